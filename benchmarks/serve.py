"""Many clients of a running service at once: errors, times, and its memory before and after."""

from __future__ import annotations

import argparse
import asyncio
import re
import time
from collections import Counter

import aiohttp  # httpx lets some of many clients wait for others
import numpy as np


async def memory(session: aiohttp.ClientSession) -> float:
    """Resident memory of the service, in MB."""
    async with session.get("/metrics") as answer:
        answer.raise_for_status()
        told = await answer.text()
    found = re.search(r"^process_resident_memory_bytes (\S+)$", told, re.MULTILINE)
    return float(found[1]) / 1e6 if found else float("nan")


async def ask(
    session: aiohttp.ClientSession,
    texts: list[str],
    until: float,
    seconds: list[float],
    seen: Counter,
) -> None:
    """Ask one search after the other: words, and the first hit of each."""
    turn, known = 0, ""
    while time.perf_counter() < until:
        text = texts[turn % len(texts)]
        turn += 1
        begun = time.perf_counter()
        try:
            if turn % 4 == 0 and known:
                request = session.post("/search/image", json={"id": known})
            else:
                request = session.post("/search/text", json={"q": text})
            async with request as answer:
                told = await answer.json()
            seen[str(answer.status)] += 1
            if answer.status == 200 and told["hits"]:
                known = told["hits"][-1]["id"]
        except (aiohttp.ClientError, asyncio.TimeoutError) as error:
            seen[type(error).__name__] += 1
        seconds.append(time.perf_counter() - begun)


async def measure(url: str, clients: int, length: float, texts: list[str], key: str) -> None:
    session = aiohttp.ClientSession(
        url,
        headers={"X-API-Key": key} if key else {},
        timeout=aiohttp.ClientTimeout(60),
        connector=aiohttp.TCPConnector(limit=0),
    )
    async with session:
        before, seconds, seen = await memory(session), [], Counter()
        begun = time.perf_counter()
        until = begun + length
        await asyncio.gather(
            *(ask(session, texts[n:] + texts[:n], until, seconds, seen) for n in range(clients))
        )
        taken = time.perf_counter() - begun
        after = await memory(session)
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
