"""The index is exchanged and refreshed while searches go on, and none of them fails."""

from __future__ import annotations

import shutil
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("fastapi", reason="needs the extra serve")
pytest.importorskip("httpx", reason="needs httpx, of the extra dev")

import httpx

from crosshash.search.index import Index
from crosshash.serve.shelf import Shelf

ASK = {"q": "a red circle"}
KEY = {"X-API-Key": "k" * 16}


class Watched:
    """Stands for an index, and knows whether it was closed."""

    def __init__(self) -> None:
        self.closed = 0

    def close(self) -> None:
        self.closed += 1

    def __len__(self) -> int:
        return 3


def test_the_old_index_is_closed_when_its_last_user_is_done() -> None:
    made: list[Watched] = []
    shelf = Shelf(lambda: made.append(Watched()) or made[-1])  # type: ignore[arg-type, func-returns-value]
    with shelf.use() as first, shelf.use():
        assert shelf.reload() == 3
        with shelf.use() as second:
            assert second is made[1] is not first
        assert made[0].closed == 0
    assert [one.closed for one in made] == [1, 0]
    shelf.reload()
    assert [one.closed for one in made] == [1, 1, 0]
    shelf.close()
    assert [one.closed for one in made] == [1, 1, 1]


def test_no_search_fails_while_the_index_is_exchanged(place: Any, listening: Any) -> None:
    app, statuses, stop = place.app(keys=("k" * 16,), rate=0), [], threading.Event()
    with listening(app) as address:

        def search() -> None:
            with httpx.Client(base_url=address, headers=KEY, timeout=60) as one:
                while not stop.is_set():
                    answer = one.get("/search/text", params=ASK)
                    statuses.append((answer.status_code, len(answer.json()["hits"])))

        threads = [threading.Thread(target=search) for _ in range(4)]
        for thread in threads:
            thread.start()
        with place.opened() as index:
            for number in range(8):
                index.add(np.full((1, 8), number, np.uint8), [f"new {number}"])
                answer = httpx.post(f"{address}/admin/reload", headers=KEY, timeout=60)
                assert answer.json() == {"items": 7 + number}
        stop.set()
        for thread in threads:
            thread.join(60)
    assert len(statuses) > 8
    assert {status for status, _ in statuses} == {200}
    assert {hits for _, hits in statuses} <= set(range(6, 15))


def test_an_index_that_cannot_be_served_leaves_the_old_one(client: Any, place: Any) -> None:
    one = client(keys=("k" * 16,))
    kept = place.index.with_name("kept")
    place.index.rename(kept)
    other = Index(64, {"model_digest": "f" * 64, "model": "another"})
    other.add(np.zeros((1, 8), np.uint8), ["x"])
    for make in (lambda: None, lambda: other.save(place.index)):
        make()
        answer = one.post("/admin/reload", headers=KEY)
        assert answer.status_code == 409
        assert str(place.index) not in answer.text
        assert one.get("/search/text", params=ASK, headers=KEY).json()["hits"]
    shutil.rmtree(place.index)
    kept.rename(place.index)
    assert one.post("/admin/reload", headers=KEY).json() == {"items": 6}


def test_reloading_needs_a_right(client: Any) -> None:
    answer = client().post("/admin/reload")
    assert answer.status_code == 403
    assert "--api-key-file" in answer.json()["error"]
    assert client(writable=True).post("/admin/reload").status_code == 200


def test_one_that_writes_goes_on_after_a_reload(client: Any, place: Any) -> None:
    one = client(writable=True)
    for number in range(3):
        new = {"items": [{"id": f"new {number}", "text": "a red circle"}]}
        assert one.post("/items", json=new).status_code == 201
        assert one.post("/admin/reload").json() == {"items": 7 + number}
    last = {"items": [{"id": "last", "text": "a red circle"}]}
    assert one.post("/items", json=last).status_code == 201
    with place.opened() as other, pytest.raises(BlockingIOError):
        other.remove(place.ids[:1])


def test_where_another_writes_it_says_so(client: Any, place: Any) -> None:
    one = client(writable=True)
    with place.opened() as other:
        other.remove(place.ids[:1])
        new = {"items": [{"id": "new", "text": "a red circle"}]}
        answer = one.post("/items", json=new)
        assert answer.status_code == 503
        assert answer.headers["Retry-After"]
        assert str(place.index) not in answer.text
    assert one.post("/items", json=new).json() == {"added": ["new"], "items": 6}


def test_what_others_write_is_seen(client: Any, place: Any) -> None:
    one = client(refresh=0.05)
    with place.opened() as other:
        other.add(np.zeros((1, 8), np.uint8), ["new"])
    until = time.monotonic() + 30
    while one.get("/items/new").status_code != 200:
        assert time.monotonic() < until
        time.sleep(0.02)


def test_another_models_index_in_its_place_is_not_searched(client: Any, place: Any) -> None:
    one = client()
    service = one.app.state.service
    with place.opened() as other:
        other.metadata["model_digest"] = "f" * 64
        other.save()
    assert service.refresh() is False
    answer = one.get("/search/text", params=ASK)
    assert (answer.status_code, one.get("/healthz").status_code) == (503, 503)
    assert one.get("/healthz").json() == {"live": True, "ready": False}
    assert "crosshash_ready 0.0" in one.get("/metrics").text


def test_queries_that_come_together_are_one_batch(place: Any, monkeypatch: Any) -> None:
    from crosshash.serve.encoder import Encoder, UnknownWordsError

    encoder, sizes, begun, release = (
        Encoder(place.model, 64),
        [],
        threading.Event(),
        threading.Event(),
    )
    values = encoder._values

    def watched(kind: Any, items: list[Any]) -> Any:
        sizes.append((kind, len(items)))
        begun.set()
        release.wait(30)
        return values(kind, items)

    monkeypatch.setattr(encoder, "_values", watched)
    first = encoder.begin("text", "a red circle")
    assert begun.wait(30)
    texts = ["a blue square", "qqq zzz", "a green circle"]
    futures = [encoder.begin("text", text) for text in texts]
    picture = encoder.begin("image", {"bytes": Path(place.ids[0]).read_bytes()})
    release.set()
    alone = place.model.encode_text(["a red circle", texts[0], texts[2]], output="real")
    np.testing.assert_array_equal(first.result(60), alone[0])
    np.testing.assert_array_equal(futures[0].result(60), alone[1])
    np.testing.assert_array_equal(futures[2].result(60), alone[2])
    with pytest.raises(UnknownWordsError):
        futures[1].result(60)
    assert picture.result(60).shape == (64,)
    assert sizes == [("text", 1), ("text", 3), ("text", 1), ("text", 1), ("text", 1), ("image", 1)]
    encoder.close()
