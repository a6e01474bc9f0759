"""Many clients of a running service at once: errors, times, and its memory before and after."""

from __future__ import annotations

import argparse
import asyncio
import re
import time
from collections import Counter

import httpx
import numpy as np


async def memory(client: httpx.AsyncClient) -> float:
    """Resident memory of the service, in MB."""
    told = (await client.get("/metrics")).raise_for_status().text
    found = re.search(r"^process_resident_memory_bytes (\S+)$", told, re.MULTILINE)
    return float(found[1]) / 1e6 if found else float("nan")


async def ask(
    client: httpx.AsyncClient, texts: list[str], until: float, seconds: list[float], seen: Counter
) -> None:
    """Ask one search after the other: words, and the first hit of each."""
    turn, known = 0, ""
    while time.perf_counter() < until:
        text = texts[turn % len(texts)]
        turn += 1
        begun = time.perf_counter()
        try:
            if turn % 4 == 0 and known:
                answer = await client.post("/search/image", json={"id": known})
            else:
                answer = await client.post("/search/text", json={"q": text})
            seen[str(answer.status_code)] += 1
            if answer.status_code == 200 and answer.json()["hits"]:
                known = answer.json()["hits"][-1]["id"]
        except httpx.HTTPError as error:
            seen[type(error).__name__] += 1
        seconds.append(time.perf_counter() - begun)


async def measure(url: str, clients: int, length: float, texts: list[str], key: str) -> None:
    headers = {"X-API-Key": key} if key else {}
    limits = httpx.Limits(max_connections=clients + 1, max_keepalive_connections=clients + 1)
    async with httpx.AsyncClient(
        base_url=url, headers=headers, timeout=60, limits=limits
    ) as client:
        before, seconds, seen = await memory(client), [], Counter()
        begun = time.perf_counter()
        until = begun + length
        await asyncio.gather(
            *(ask(client, texts[n:] + texts[:n], until, seconds, seen) for n in range(clients))
        )
        taken = time.perf_counter() - begun
        after = await memory(client)
    failed = sum(count for status, count in seen.items() if status != "200")
    p50, p99 = np.percentile(seconds, [50, 99]) * 1e3
    print(
        "| clients | seconds | answers | a second | failed | p50 ms | p99 ms | MB before | after |"
    )
    print("| --- | --- | --- | --- | --- | --- | --- | --- | --- |")
    print(
        f"| {clients} | {taken:.0f} | {len(seconds)} | {len(seconds) / taken:.0f} | {failed} "
        f"| {p50:.0f} | {p99:.0f} | {before:.0f} | {after:.0f} |"
    )
    if failed:
        print({status: count for status, count in seen.items() if status != "200"})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("url", help="Of `crosshash serve … --rate 0`.")
    parser.add_argument("--clients", type=int, default=8)
    parser.add_argument("--seconds", type=float, default=20)
    parser.add_argument("--text", action="append", help="Words to search for; several times.")
    parser.add_argument("--key", default="", help="API key.")
    given = parser.parse_args()
    texts = given.text or ["a red circle", "two dogs", "a man on a beach", "a blue square"]
    asyncio.run(measure(given.url, given.clients, given.seconds, texts, given.key))


if __name__ == "__main__":
    main()
