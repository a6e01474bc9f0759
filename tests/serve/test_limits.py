"""Each limit refuses, with its status and a sentence, before work is done."""

from __future__ import annotations

import asyncio
import threading
import time
from contextlib import suppress
from typing import Any

import pytest

pytest.importorskip("fastapi", reason="needs the extra serve")
pytest.importorskip("httpx", reason="needs httpx, of the extra dev")

import httpx

from crosshash.serve.errors import Refused
from crosshash.serve.gate import Gate
from crosshash.serve.keys import read_keys
from crosshash.serve.rate import CLIENTS, Rates, network_of
from crosshash.serve.settings import ServeSettings

ASK = {"q": "a red circle"}


def told(answer: Any, status: int) -> str:
    """The sentence of an error, which is all that it says."""
    assert answer.status_code == status, answer.text
    assert list(answer.json()) == ["error"]
    return str(answer.json()["error"])


@pytest.mark.parametrize("topk", ["0", "-1", "201", "nan", "inf", "1e2", "2.5", "", "9" * 500])
def test_topk(client: Any, topk: str) -> None:
    assert "topk" in told(client().get("/search/text", params={**ASK, "topk": topk}), 422)


@pytest.mark.parametrize("topk", [0, 201, True, 2.5, "3", None, 10**30])
def test_topk_of_a_body(client: Any, topk: Any) -> None:
    assert "topk" in told(client().post("/search/text", json={**ASK, "topk": topk}), 422)


def test_topk_that_is_no_json(client: Any) -> None:
    headers, one = {"Content-Type": "application/json"}, client()
    for value in ("NaN", "Infinity", "1e999"):
        content = f'{{"q": "a red circle", "topk": {value}}}'
        assert "finite" in told(one.post("/search/text", content=content, headers=headers), 422)


def test_a_text_is_not_too_long_and_not_empty(client: Any) -> None:
    one = client(max_text=50)
    assert "50" in told(one.post("/search/text", json={"q": "red " * 25_000}), 422)
    assert "50" in told(one.get("/search/text", params={"q": "red " * 13}), 422)
    assert "empty" in told(one.post("/search/text", json={"q": " \n"}), 422)
    assert "words" in told(one.post("/search/text", json={"q": "qqq zzz"}), 422)


def test_the_body_is_bounded_by_what_is_announced_and_by_what_comes(client: Any) -> None:
    one = client(max_body=10_000)
    assert "10,000" in told(one.post("/search/image", content=b"x" * 10_001), 413)
    short = one.post("/search/image", content=b"x" * 10_000, headers={"Content-Type": "image/png"})
    assert short.status_code == 422  # read, and no picture
    for length in ("-1", "1e9", "٣"):
        headers = {"Content-Length": length.encode(), "Content-Type": "image/png"}
        assert "Content-Length" in told(one.post("/search/image", headers=headers), 400)


@pytest.mark.parametrize("kind", ["image/png", "multipart/form-data; boundary=b"])
def test_a_gigabyte_is_refused_while_it_streams(place: Any, listening: Any, kind: str) -> None:
    sent = 0

    def body() -> Any:
        nonlocal sent
        yield b'--b\r\nContent-Disposition: form-data; name="file"; filename="f"\r\n\r\n'
        while sent < 1 << 30:
            sent += 1 << 16
            yield b"\0" * (1 << 16)

    with listening(place.app(max_body=1 << 20)) as address:
        try:
            answer = httpx.post(
                f"{address}/search/image", content=body(), headers={"Content-Type": kind}
            )
            assert "1,048,576" in told(answer, 413)
        except httpx.WriteError:  # the connection was closed before all was sent
            pass
        assert sent < 64 << 20
        assert httpx.get(f"{address}/healthz").status_code == 200


def test_pixels_are_counted_before_they_are_decoded(client: Any, scenes: list[bytes]) -> None:
    one = client(max_pixels=1_000)
    assert "1,000" in told(one.post("/search/image", files={"file": scenes[0]}), 413)


def test_the_rate_of_a_client(client: Any) -> None:
    one = client(rate=0.001, burst=3)
    for _ in range(3):
        assert one.get("/about").status_code == 200
    for headers in ({}, {"X-Forwarded-For": "1.2.3.4"}, {"Forwarded": "for=1.2.3.4"}):
        refused = one.get("/about", headers=headers)
        assert "3 at once" in told(refused, 429)
        assert int(refused.headers["Retry-After"]) > 1
    assert one.get("/healthz").status_code == 200


def test_a_bucket_fills_again() -> None:
    now = [0.0]
    rates = Rates(2.0, 4, lambda: now[0])
    for _ in range(4):
        rates.check("a")
    with pytest.raises(Refused):
        rates.check("a")
    rates.check("b")
    now[0] = 0.5
    rates.check("a")
    with pytest.raises(Refused):
        rates.check("a")
    now[0] = 1000
    for _ in range(4):
        rates.check("a")
    with pytest.raises(Refused):
        rates.check("a")


def test_clients_are_forgotten_and_a_network_is_one() -> None:
    rates = Rates(1.0, 4)
    for number in range(CLIENTS + 50):
        rates.check(f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}")
    assert len(rates._buckets) == CLIENTS
    assert network_of("2001:db8::1") == network_of("2001:db8::ffff") != network_of("2001:db9::1")
    assert network_of("::ffff:1.2.3.4") == network_of("1.2.3.4")


def test_a_slow_request_is_ended_and_the_service_goes_on(client: Any, monkeypatch: Any) -> None:
    one = client(timeout=0.3)
    service, release = one.app.state.service, threading.Event()
    search = service.search
    monkeypatch.setattr(service, "search", lambda *args: release.wait(20) and search(*args))
    assert "0.3 s" in told(one.get("/search/text", params=ASK), 504)
    release.set()
    monkeypatch.setattr(service, "search", search)
    until = time.monotonic() + 20
    while one.get("/search/text", params=ASK).status_code != 200:
        assert time.monotonic() < until


def test_a_body_that_comes_too_slowly_is_ended(place: Any, listening: Any) -> None:
    app = place.app(timeout=0.3)

    def body() -> Any:
        for _ in range(20):
            yield b"x"
            time.sleep(0.1)

    with listening(app) as address:
        begun = time.monotonic()
        headers = {"Content-Type": "image/png"}
        with suppress(httpx.WriteError):
            answer = httpx.post(f"{address}/search/image", content=body(), headers=headers)
            assert answer.status_code == 504
        until = time.monotonic() + 10
        while app.state.gate.held and time.monotonic() < until:
            time.sleep(0.01)
        assert app.state.gate.held == 0
        assert time.monotonic() - begun < 10
        assert 'route="/search/image",status="504"' in httpx.get(f"{address}/metrics").text


def test_more_than_the_queue_holds_is_refused(place: Any, listening: Any, monkeypatch: Any) -> None:
    app, release = place.app(running=1, waiting=2), threading.Event()
    search, answers = app.state.service.search, []
    monkeypatch.setattr(app.state.service, "search", lambda *a: release.wait(30) and search(*a))
    with listening(app) as address:

        def ask() -> None:
            answers.append(httpx.get(f"{address}/search/text", params=ASK, timeout=60))

        threads = [threading.Thread(target=ask) for _ in range(3)]
        for thread in threads:
            thread.start()
        until = time.monotonic() + 20
        while app.state.gate.held < 3 and time.monotonic() < until:
            time.sleep(0.01)
        refused = httpx.get(f"{address}/search/text", params=ASK)
        assert "waiting" in told(refused, 503)
        assert refused.headers["Retry-After"] == "1"
        assert httpx.get(f"{address}/healthz").status_code == 200
        release.set()
        for thread in threads:
            thread.join(30)
        assert [answer.status_code for answer in answers] == [200, 200, 200]
    assert app.state.gate.held == app.state.gate.working == 0


def test_work_that_nobody_waits_for_keeps_its_thread() -> None:
    async def main() -> None:
        gate, release = Gate(1, 5), threading.Event()
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(gate.work(release.wait), 0.1)
        assert gate.working == 1
        second = asyncio.ensure_future(gate.work(lambda: "done"))
        await asyncio.sleep(0.05)
        assert gate.working == 1
        assert not second.done()
        release.set()
        assert await second == "done"
        gate.close()

    asyncio.run(main())


def test_keys(client: Any) -> None:
    one = client(keys=("first-key-of-two!", "second-key-of-two"))
    for headers in ({}, {"X-API-Key": "wrong"}, {"Authorization": "Bearer"},
                    {"Authorization": "Basic first-key-of-two!"}, {"X-API-Key": ""},
                    {"X-API-Key": "first-key-of-two"}, {"X-API-Key": b"\xff\xfe"},
                    {"Authorization": "Bearer x", "X-API-Key": "second-key-of-two"}):  # fmt: skip
        answer = one.get("/search/text", params=ASK, headers=headers)
        assert "API key" in told(answer, 401)
        assert answer.headers["WWW-Authenticate"] == "Bearer"
    for headers in (
        {"X-API-Key": "second-key-of-two"},
        {"Authorization": "bearer first-key-of-two!"},
    ):
        assert one.get("/search/text", params=ASK, headers=headers).status_code == 200
    for path in ("/metrics", "/openapi.json", "/about", "/items/x", "/items/x/image"):
        told(one.get(path), 401)
    assert one.post("/admin/reload").status_code == 401
    assert [one.get(path).status_code for path in ("/healthz", "/", "/page.js")] == [200] * 3


def test_keys_are_read_from_a_file(tmp_path: Any) -> None:
    path = tmp_path / "keys"
    path.write_text("# of the page\n\n  " + "a" * 20 + "  \n" + "b" * 20)
    assert read_keys(path) == ("a" * 20, "b" * 20)
    assert "a" * 20 not in repr(ServeSettings(keys=read_keys(path)))
    for bad in ("short", "with a space in it so that", "é" * 20):
        path.write_text(f"{'a' * 20}\n{bad}\n")
        with pytest.raises(ValueError, match="line 2"):
            read_keys(path)
    path.write_text("# none\n")
    with pytest.raises(ValueError, match="no key"):
        read_keys(path)


@pytest.mark.parametrize("limit", ["timeout", "rate", "burst", "max_body", "running", "max_topk"])
def test_settings_that_serve_nobody_are_refused(limit: str) -> None:
    for value in (-1, float("nan"), float("inf")):
        with pytest.raises(ValueError, match=limit):
            ServeSettings(**{limit: value})
