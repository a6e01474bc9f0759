"""Each endpoint answers what the library itself gives."""

from __future__ import annotations

import json
from io import BytesIO
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
import pytest

pytest.importorskip("fastapi", reason="needs the extra serve")
pytest.importorskip("httpx", reason="needs httpx, of the extra dev")
from PIL import Image

from crosshash.search.index import Index


def quoted(id_: str) -> str:
    return quote(id_, safe="")


def test_words_find_what_the_index_finds(client: Any, place: Any) -> None:
    answer = client().get("/search/text", params={"q": "a red circle", "topk": 4}).json()
    values = place.model.encode_text("a red circle", output="real")
    found = place.opened().search(values, 4, rank="asymmetric", metadata=True)
    assert [hit["id"] for hit in answer["hits"]] == found.ids[0]
    assert [hit["distance"] for hit in answer["hits"]] == found.distances[0].tolist()
    assert [hit["metadata"] for hit in answer["hits"]] == found.metadata[0]
    np.testing.assert_allclose([h["asymmetric"] for h in answer["hits"]], found.asymmetric[0])
    assert answer["code"] == place.model.encode_text("a red circle")[0].tobytes().hex()
    assert "probability" not in answer["hits"][0]


def test_a_probability_is_shown_where_there_is_one(client: Any, monkeypatch: Any) -> None:

    likely = np.linspace(0.9, 0.4, 6)[None]
    monkeypatch.setattr("crosshash.search.reader.probabilities", lambda *_, **__: likely[0])
    hits = client().get("/search/text", params={"q": "a red circle"}).json()["hits"]
    assert [hit["probability"] for hit in hits] == likely[0].tolist()


def test_a_body_is_a_parameter(client: Any) -> None:
    one = client()
    where = {"year": {">=": 2022}, "colour": ["red", "green"]}
    got = one.get(
        "/search/text", params={"q": "a blue square", "topk": 3, "where": json.dumps(where)}
    )
    posted = one.post("/search/text", json={"q": "a blue square", "topk": 3, "where": where})
    assert got.json() == posted.json()
    assert {hit["metadata"]["year"] for hit in got.json()["hits"]} == {2022, 2024}


@pytest.mark.parametrize("way", ["form", "body"])
def test_a_picture_finds_itself(client: Any, place: Any, way: str) -> None:
    content, one = Path(place.ids[3]).read_bytes(), client()
    if way == "form":
        answer = one.post("/search/image", files={"file": content}, data={"topk": "2"})
    else:
        headers = {"Content-Type": "image/png"}
        answer = one.post("/search/image", params={"topk": 2}, content=content, headers=headers)
    assert answer.status_code == 200, answer.text
    assert answer.json()["hits"][0]["distance"] == 0
    assert answer.json()["hits"][0]["id"] == place.ids[3]
    assert len(answer.json()["hits"]) == 2


def test_an_item_finds_itself(client: Any, place: Any) -> None:
    one = client()
    answer = one.post("/search/image", json={"id": place.ids[2]}).json()
    assert answer["hits"][0] == {
        "rank": 1,
        "id": place.ids[2],
        "distance": 0,
        "metadata": {"colour": "green", "year": 2022},
    }
    assert one.post("/search/image", json={"id": "nothing"}).status_code == 404


def test_an_item_and_its_picture(client: Any, place: Any) -> None:
    one, id_ = client(), place.ids[1]
    item = one.get(f"/items/{quoted(id_)}").json()
    assert item["metadata"] == {"colour": "blue", "year": 2021}
    assert item["code"] == place.opened().get(id_).code.tobytes().hex()
    answer = one.get(f"/items/{quoted(id_)}/image", params={"size": 32})
    assert answer.headers["content-type"] == "image/jpeg"
    assert Image.open(BytesIO(answer.content)).size == (32, 32)
    assert one.get(f"/items/{quoted('no such')}").status_code == 404


def test_a_picture_is_scaled_and_says_nothing_of_where_it_was_made(client: Any, place: Any) -> None:
    exif = Image.Exif()
    exif[0x010E] = "taken at home"
    large = Image.new("RGB", (900, 600), "red")
    path = place.photos / "large.jpg"
    large.save(path, exif=exif)
    with place.opened() as index:
        index.add(place.model.encode_image(path, progress=False), [str(path)])
    answer = client().get(f"/items/{quoted(str(path))}/image", params={"size": 300})
    assert Image.open(BytesIO(answer.content)).size == (300, 200)
    assert b"taken at home" in path.read_bytes()
    assert b"taken at home" not in answer.content


@pytest.mark.parametrize(
    "id_", ["a/b.jpg", "x/image", "?&#%2F", "caf\udce9.jpg", "日本", " ", "a//b"]
)
def test_ids_are_any_text(client: Any, place: Any, id_: str) -> None:
    with place.opened() as index:
        index.add(np.zeros((1, 8), np.uint8), [id_], [{"is": "odd"}])
    one = client(writable=True)
    path = "/items/" + quote(id_, safe="", errors="surrogateescape")
    assert one.get(path).json() == {"id": id_, "metadata": {"is": "odd"}, "code": "00" * 8}
    assert one.get(f"{path}/image").status_code == 404
    found = one.get("/search/text", params={"q": "a blue square"})
    assert id_ in [hit["id"] for hit in found.json()["hits"]]
    assert one.delete(path).json() == {"removed": id_, "items": 6}
    assert one.get(path).status_code == 404


def test_a_service_that_only_reads_adds_and_removes_nothing(client: Any, place: Any) -> None:
    one = client()
    refused = one.post("/items", json={"items": [{"id": "new", "text": "a blue square"}]})
    assert refused.status_code == 403
    assert "--writable" in refused.json()["error"]
    assert one.delete(f"/items/{quoted(place.ids[0])}").status_code == 403
    assert len(place.opened()) == 6


def test_texts_are_added_and_removed(client: Any, place: Any) -> None:
    one = client(writable=True)
    items = [{"id": "t/1", "text": "a red circle", "metadata": {"kind": "text"}},
             {"id": "t/2", "text": "a blue square"}]  # fmt: skip
    added = one.post("/items", json={"items": items})
    assert (added.status_code, added.json()) == (201, {"added": ["t/1", "t/2"], "items": 8})
    found = one.post("/search/text", json={"q": "a red circle", "topk": 1}).json()
    assert found["hits"][0]["id"] == "t/1"
    assert one.post("/items", json={"items": items}).status_code == 409
    assert one.post("/items", json={"items": items, "replace": True}).status_code == 201
    assert Index.open(place.index).get("t/1").metadata == {"kind": "text"}
    assert one.delete("/items/t%2F1").status_code == 200
    assert one.delete("/items/t%2F1").status_code == 404
    assert "t/1" not in Index.open(place.index)


def test_a_picture_is_added(client: Any, scenes: Any) -> None:
    one = client(writable=True)
    form = {"id": "mine", "metadata": '{"year": 1999}'}
    added = one.post("/items", data=form, files={"file": scenes[7]})
    assert added.status_code == 201, added.text
    found = one.post("/search/image", files={"file": scenes[7]}, data={"topk": "1"}).json()
    assert found["hits"][0]["id"] == "mine"
    assert found["hits"][0]["metadata"] == {"year": 1999}


def test_all_items_are_added_or_none(client: Any, place: Any) -> None:
    one = client(writable=True)
    items = [{"id": "good", "text": "a blue square"}, {"id": "bad", "text": "zzz qqq"}]
    assert one.post("/items", json={"items": items}).status_code == 422
    twice = [{"id": "good", "text": "a blue square"}, {"id": "good", "text": "a cat"}]
    assert one.post("/items", json={"items": twice}).status_code == 422
    assert len(place.opened()) == 6


def test_an_empty_index_finds_nothing(client: Any, place: Any) -> None:
    with place.opened() as index:
        index.remove(place.ids)
    assert client().get("/search/text", params={"q": "a blue square"}).json()["hits"] == []


def test_health_and_figures(client: Any) -> None:
    one = client()
    one.get("/search/text", params={"q": "a blue square"})
    one.get("/search/text")
    one.get("/nowhere/at/all")
    assert one.get("/healthz").json() == {"live": True, "ready": True}
    told = one.get("/metrics").text
    line = 'crosshash_requests_total{method="GET",route="/search/text",status="%s"} 1.0'
    assert line % 200 in told
    assert line % 422 in told
    assert 'route="none",status="404"' in told
    assert "nowhere" not in told
    assert 'crosshash_request_seconds_count{route="/search/text"} 2.0' in told
    assert "crosshash_items 6.0" in told
    assert "crosshash_requests_held 1.0" in told


def test_what_there_is_is_told_without_another_server(client: Any) -> None:
    one = client()
    told = one.get("/openapi.json").json()
    paths = {"/search/text", "/search/image", "/items", "/items/{id}", "/healthz", "/metrics"}
    assert paths <= set(told["paths"])
    assert "requestBody" in told["paths"]["/items"]["post"]
    assert one.get("/docs").status_code == 404


def test_the_page_comes_whole_from_the_package(client: Any) -> None:
    one = client(keys=("k" * 20,))
    page = one.get("/")
    assert page.status_code == 200
    assert "http://" not in page.text + one.get("/page.css").text + one.get("/page.js").text
    assert "https://" not in page.text + one.get("/page.css").text + one.get("/page.js").text
    assert "innerHTML" not in one.get("/page.js").text
    assert "<style" not in page.text
    assert one.get("/icon.svg").headers["content-type"] == "image/svg+xml"


def test_a_model_of_features_says_what_it_cannot_read(tmp_path: Path) -> None:
    from fastapi.testclient import TestClient

    import crosshash
    from crosshash.serve import create_app

    model = crosshash.load("amgfh-wiki-16")
    index = Index.for_model(model, uri=tmp_path / "i")
    index.close()
    with TestClient(create_app(model, lambda: Index.open(tmp_path / "i"))) as one:
        assert one.get("/about").json()["reads"] == {"image": False, "text": False}
        refused = one.get("/search/text", params={"q": "a blue square"})
        assert refused.status_code == 422
        assert "features" in refused.json()["error"]
