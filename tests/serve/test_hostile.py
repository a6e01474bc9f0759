"""Requests that mean harm get an error that tells nothing, or their plain answer."""

from __future__ import annotations

import json
import os
import struct
import zlib
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
import pytest

pytest.importorskip("fastapi", reason="needs the extra serve")
pytest.importorskip("httpx", reason="needs httpx, of the extra dev")

ASK = {"q": "a red circle"}


def bomb(width: int, height: int) -> bytes:
    """A small PNG file that unpacks to as many grey pixels, all 0."""

    def chunk(name: bytes, data: bytes) -> bytes:
        body = name + data
        return struct.pack(">I", len(data)) + body + struct.pack(">I", zlib.crc32(body))

    head = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    packer = zlib.compressobj(9)
    row = bytes(width + 1)
    data = b"".join(packer.compress(row) for _ in range(height)) + packer.flush()
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


def harmless(answer: Any, place: Any, *statuses: int) -> None:
    assert answer.status_code in statuses, answer.text
    assert set(answer.json()) == {"error"}
    told = answer.text
    for word in ("Traceback", "site-packages", ".py", str(place.index), str(Path.cwd())):
        assert word not in told


def test_a_picture_that_unpacks_without_end(client: Any, place: Any) -> None:
    whole = bomb(3_000, 3_000)
    assert len(whole) < 20_000
    told = struct.pack(">II", 60_000, 60_000) + whole[24:29]  # more than Pillow opens
    head = b"IHDR" + told
    liar = whole[:12] + head + struct.pack(">I", zlib.crc32(head)) + whole[33:]
    one = client(max_pixels=1_000_000)
    for content in (whole, liar):
        harmless(one.post("/search/image", files={"file": content}), place, 413)
    # Few enough pixels, of which not all are there.
    head = b"IHDR" + struct.pack(">II", 900, 1_000) + whole[24:29]
    short = whole[:12] + head + struct.pack(">I", zlib.crc32(head)) + whole[33:60]
    harmless(one.post("/search/image", files={"file": short}), place, 422)


@pytest.mark.parametrize(
    "content",
    [b"", b"\x89PNG\r\n\x1a\n", b"GIF89a", b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n",
     b"<svg xmlns='http://www.w3.org/2000/svg'/>", b"\0" * 5_000],
)  # fmt: skip
def test_what_is_no_picture(client: Any, place: Any, scenes: Any, content: bytes) -> None:
    one = client()
    harmless(one.post("/search/image", files={"file": content}), place, 422)
    harmless(one.post("/search/image", files={"file": scenes[0][:200]}), place, 422)
    assert one.post("/search/image", files={"file": scenes[0]}).status_code == 200


SQL = ["' OR 1=1 --", '"; DROP TABLE items; --', "%' UNION SELECT * FROM pg_user --", "\0", "\\"]


@pytest.mark.parametrize("text", SQL)
def test_sql_is_text(client: Any, place: Any, text: str) -> None:
    one = client(writable=True)
    harmless(one.get("/items/" + quote(text, safe="")), place, 404)
    harmless(one.delete("/items/" + quote(text, safe="")), place, 404)
    harmless(one.post("/search/image", json={"id": text}), place, 404)
    for where in ({"colour": text}, {text: "red"}, {"colour": [text]}):
        answer = one.post("/search/text", json={**ASK, "where": where})
        assert answer.json()["hits"] == [], where
    harmless(one.post("/search/text", json={**ASK, "where": {"year": {text: 1}}}), place, 422)
    added = one.post("/items", json={"items": [{"id": text, "text": "a red circle",
                                                "metadata": {text: text}}]})  # fmt: skip
    assert added.status_code == 201
    found = one.post("/search/text", json={**ASK, "where": {text: text}}).json()["hits"]
    assert [hit["id"] for hit in found] == [text]
    assert one.get("/about").json()["items"] == 7


@pytest.mark.parametrize(
    "where",
    ["[1]", "7", "{", '{"a": NaN}', '{"a": {"b": {"c": 1}}}', '{"a": 1, "a": 2}', '{"a": [[1]]}',
     '{"year": {">": null}}', "[" * 8_000, '{"a":' * 1_000 + "1" + "}" * 1_000, "x" * 9_000],
)  # fmt: skip
def test_a_filter_that_is_none(client: Any, place: Any, where: str) -> None:
    harmless(client().get("/search/text", params={**ASK, "where": where}), place, 422)


@pytest.mark.parametrize(
    "text", ["[" * 100_000, '{"q":' * 50_000, '"' + "\\" * 9_999, "\xff", "", "null"]
)
def test_a_body_that_is_no_question(client: Any, place: Any, text: str) -> None:
    one, headers = client(writable=True), {"Content-Type": "application/json"}
    for path in ("/search/text", "/search/image", "/items"):
        answer = one.post(path, content=text.encode("latin-1"), headers=headers)
        harmless(answer, place, 422)


@pytest.mark.parametrize(
    ("kind", "content"),
    [("multipart/form-data", b"x"), ("multipart/form-data; boundary=", b"x"), ("text/plain", b"{}"),
     ("multipart/form-data; boundary=b", b"--b\r\nno header\r\n\r\n"), ("", b"{}"),
     ("multipart/form-data; boundary=b; charset=nonsense", b"--b\r\n\r\n\r\n--b--")],
)  # fmt: skip
def test_a_form_that_is_none(client: Any, place: Any, kind: str, content: bytes) -> None:
    one = client(writable=True)
    for path in ("/search/image", "/items"):
        answer = one.post(path, content=content, headers={"Content-Type": kind})
        harmless(answer, place, 400, 415, 422)


def test_a_page_of_another_site_is_refused(client: Any, place: Any) -> None:
    one = client(writable=True, hosts=("127.0.0.1",))
    body = {"items": [{"id": "x", "text": "a red circle"}]}
    for origin in ("http://evil.example", "null", "http://127.0.0.1:99", "http://[", ""):
        answer = one.post("/items", json=body, headers={"Origin": origin})
        harmless(answer, place, 403)
    harmless(one.post("/items", json=body, headers={"Host": "evil.example"}), place, 421)
    own = {"Origin": "http://127.0.0.1:8000", "Host": "127.0.0.1:8000"}
    assert one.post("/items", json=body, headers=own).status_code == 201


def test_pictures_are_shown_from_below_the_root_only(
    client: Any, place: Any, tmp_path: Path
) -> None:
    outside = tmp_path / "secret.png"
    outside.write_bytes(Path(place.ids[0]).read_bytes())
    (place.photos / "link.png").symlink_to(outside)
    (place.photos / "folder").symlink_to(tmp_path)
    (place.photos / "circle.png").symlink_to(place.photos / "circle.png")
    (place.photos / "inside.png").symlink_to(place.ids[0])
    (place.photos / "text.png").write_text("no picture")
    os.mkfifo(place.photos / "pipe.png")
    wrong = [
        *(str(outside), "../secret.png", f"{place.photos}/../secret.png", "/etc/passwd"),
        *(str(place.photos / "link.png"), str(place.photos / "folder" / "secret.png"), "link.png"),
        *("circle.png", "pipe.png", "text.png", "", ".", "a\0b", "x" * 5_000, str(place.photos)),
        *("file:///etc/passwd", "http://127.0.0.1/x.png", "//etc/passwd", "..\\secret.png"),
    ]
    with place.opened() as index:
        index.add(np.zeros((len(wrong) + 1, 8), np.uint8), [*wrong, "inside.png"])
    one = client()
    for id_ in wrong:
        answer = one.get(f"/items/{quote(id_, safe='')}/image")
        assert answer.status_code == 404, id_
        assert "secret" not in answer.text
    assert one.get("/items/inside.png/image").status_code == 200
    assert client(root=None).get("/items/inside.png/image").status_code == 404


def test_a_picture_below_the_root_that_unpacks_without_end(client: Any, place: Any) -> None:
    whole = bomb(40, 40)
    head = b"IHDR" + struct.pack(">II", 60_000, 60_000) + whole[24:29]
    liar = whole[:12] + head + struct.pack(">I", zlib.crc32(head)) + whole[33:]
    for content in (liar, bomb(1_200, 1_000), b"", b"\x89PNG\r\n\x1a\n" + b"\0" * 99):
        Path(place.ids[0]).write_bytes(content)
        answer = client(max_pixels=1_000_000).get(f"/items/{quote(place.ids[0], safe='')}/image")
        harmless(answer, place, 404)


def test_a_picture_that_is_in_no_index_is_not_shown(client: Any, place: Any) -> None:
    extra = place.photos / "extra.png"
    extra.write_bytes(Path(place.ids[0]).read_bytes())
    answer = client().get(f"/items/{quote(str(extra), safe='')}/image")
    harmless(answer, place, 404)


@pytest.mark.parametrize("path", ["/../etc/passwd", "/%2e%2e/etc/passwd", "/page.js/../../app.py",
                                  "/static/app.py", "/items", "/nothing//x"])  # fmt: skip
def test_there_is_nothing_else(client: Any, place: Any, path: str) -> None:
    harmless(client().get(path), place, 404, 405)


def test_a_fault_of_the_service_is_told_to_nobody(
    client: Any, place: Any, monkeypatch: Any
) -> None:
    one = client()

    def fail(*_: Any) -> None:
        raise ValueError(f"secret of {place.index}")

    monkeypatch.setattr(one.app.state.service, "search", fail)
    answer = one.get("/search/text", params=ASK)
    harmless(answer, place, 500)
    assert "secret" not in answer.text
    assert 'status="500"' in one.get("/metrics").text


def test_headers_that_guard_browsers_are_on_every_answer(client: Any, place: Any) -> None:
    one = client(keys=("k" * 16,), max_body=2_000)
    key = {"X-API-Key": "k" * 16}
    answers = [one.get(path) for path in ("/", "/about", "/nothing", "/healthz")]
    answers.append(one.post("/items", content=b"x" * 3_000, headers=key))
    assert [answer.status_code for answer in answers] == [200, 401, 401, 200, 413]
    for answer in answers:
        policy = answer.headers["Content-Security-Policy"]
        assert "default-src 'none'" in policy
        assert "unsafe-inline" not in policy
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert answer.headers["Referrer-Policy"] == "no-referrer"


def test_a_query_cannot_write_into_an_answer(client: Any, place: Any) -> None:
    text = "<script>alert(1)</script>\r\nSet-Cookie: a=b"
    answer = client().get("/items/" + quote(text, safe=""))
    harmless(answer, place, 404)
    assert answer.headers["content-type"] == "application/json"
    assert "set-cookie" not in answer.headers


def test_numbers_that_json_has_not_become_null(client: Any, place: Any, monkeypatch: Any) -> None:
    from crosshash.search.index import Index
    from crosshash.search.result import Item

    odd = Item(place.ids[0], np.zeros(8, np.uint8), {"score": float("nan"), "list": [float("inf")]})
    monkeypatch.setattr(Index, "get", lambda *_: odd)
    told = client().get("/items/x")
    assert json.loads(told.text)["metadata"] == {"score": None, "list": [None]}
