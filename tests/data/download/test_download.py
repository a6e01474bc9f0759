"""Downloads and archives, against a server on this machine that misbehaves as told."""

from __future__ import annotations

import hashlib
import io
import shutil
import stat
import threading
import zipfile
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from crosshash.data.download.archive import unpack
from crosshash.data.download.remote import (
    ChecksumError,
    DownloadError,
    Remote,
    check_space,
    recorded,
)
from crosshash.data.download.sources import SOURCES, fetch, find_source
from crosshash.data.download.transfer import download

BODY = np.random.default_rng(0).integers(0, 256, 300_000, dtype=np.uint8).tobytes()
OTHER = np.random.default_rng(1).integers(0, 256, 250_000, dtype=np.uint8).tobytes()


class Server(ThreadingHTTPServer):
    """Serves ``files`` by name; ``script`` says what is done at each request in turn."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.files: dict[str, bytes] = {"data.bin": BODY}
        self.script: list[dict[str, Any]] = []
        self.requests: list[dict[str, str]] = []
        self.tags = True

    def remote(self, name: str = "data.bin", **options: Any) -> Remote:
        return Remote(f"http://127.0.0.1:{self.server_address[1]}/{name}", **options)


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Server

    def do_GET(self) -> None:
        server = self.server
        server.requests.append({key.lower(): value for key, value in self.headers.items()})
        step = server.script.pop(0) if server.script else {}
        if "replace" in step:
            server.files["data.bin"] = step["replace"]
        name = self.path.lstrip("/")
        status = step.get("status", 200 if name in server.files else 404)
        if status != 200:
            self.send_response(status)
            for key, value in step.get("headers", {}).items():
                self.send_header(key, value)
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        body = server.files[name]
        tag = f'"{hashlib.sha256(body).hexdigest()[:16]}"'
        start = 0
        asked = self.headers.get("Range")
        same = step.get("ignore_if_range") or self.headers.get("If-Range") in (None, tag)
        if asked and same and not step.get("no_range"):
            start = int(asked.removeprefix("bytes=").rstrip("-"))
            if start >= len(body):
                self.send_response(416)
                self.send_header("Content-Range", f"bytes */{len(body)}")
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            self.send_response(206)
            shift = step.get("shift", 0)
            self.send_header("Content-Range", f"bytes {start + shift}-{len(body) - 1}/{len(body)}")
        else:
            self.send_response(200)
        if server.tags:
            self.send_header("ETag", tag)
        if not step.get("no_length"):
            self.send_header("Content-Length", str(len(body) - start))
        else:
            self.close_connection = True
            for key, value in step.get("headers", {}).items():
                self.send_header(key, value)
        self.end_headers()
        sent = body[start : start + step["cut"]] if "cut" in step else body[start:]
        self.wfile.write(sent)
        if "cut" in step:
            self.close_connection = True

    def log_message(self, *arguments: Any) -> None:
        pass


@pytest.fixture
def server() -> Iterator[Server]:
    server = Server()
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


def sha256(body: bytes) -> str:
    return "sha256:" + hashlib.sha256(body).hexdigest()


def md5(body: bytes) -> str:
    return "md5:" + hashlib.md5(body, usedforsecurity=False).hexdigest()


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize("checksum", [sha256(BODY), md5(BODY), None])
def test_a_file_comes_whole_and_is_hashed(
    server: Server, tmp_path: Path, checksum: str | None
) -> None:
    seen: list[tuple[str, int, int | None]] = []
    remote = server.remote(checksum=checksum, size=len(BODY))
    found = download(remote, tmp_path / "new", progress=lambda *step: seen.append(step))
    assert found.path.read_bytes() == BODY
    assert (found.size, found.sha256) == (len(BODY), sha256(BODY).removeprefix("sha256:"))
    assert found.verified == (checksum is not None)
    assert names(tmp_path / "new") == ["data.bin"]
    assert ("data.bin", len(BODY), len(BODY)) in seen
    again = download(remote, tmp_path / "new")
    assert again == found
    assert len(server.requests) == 1


def test_a_cut_connection_goes_on_where_it_was(server: Server, tmp_path: Path) -> None:
    server.script = [{"cut": 100_000}, {"cut": 50_000}, {}]
    found = download(server.remote(checksum=sha256(BODY)), tmp_path, pause=0)
    assert found.path.read_bytes() == BODY
    assert [request.get("range") for request in server.requests] == [
        None,
        "bytes=100000-",
        "bytes=150000-",
    ]
    assert all("if-range" in request for request in server.requests[1:])


def test_a_later_call_goes_on_with_what_an_earlier_one_left(server: Server, tmp_path: Path) -> None:
    server.script = [{"cut": 70_000}]
    with pytest.raises(DownloadError, match=r"goes on from 70,000 bytes"):
        download(server.remote(), tmp_path, pause=0, attempts=1)
    assert names(tmp_path) == ["data.bin.part", "data.bin.part.json"]
    assert download(server.remote(), tmp_path).path.read_bytes() == BODY
    assert server.requests[-1]["range"] == "bytes=70000-"
    assert names(tmp_path) == ["data.bin"]


def test_a_server_without_ranges_is_read_from_the_start(server: Server, tmp_path: Path) -> None:
    server.script = [{"cut": 100_000}, {"no_range": True}]
    assert download(server.remote(), tmp_path, pause=0).path.read_bytes() == BODY


def test_a_file_that_changes_midway_is_not_mixed(server: Server, tmp_path: Path) -> None:
    server.script = [{"cut": 100_000}, {"replace": OTHER}]
    assert download(server.remote(), tmp_path, pause=0).path.read_bytes() == OTHER


def test_a_server_that_ignores_if_range_is_found_out_by_its_tag(
    server: Server, tmp_path: Path
) -> None:
    server.script = [{"cut": 100_000}, {"replace": OTHER, "ignore_if_range": True}]
    assert download(server.remote(), tmp_path, pause=0).path.read_bytes() == OTHER
    assert [request.get("range") for request in server.requests] == [None, "bytes=100000-", None]


def test_a_part_of_unknown_origin_is_not_gone_on_with(server: Server, tmp_path: Path) -> None:
    (tmp_path / "data.bin.part").write_bytes(b"something else")
    (tmp_path / "data.bin.part.json").write_text("no json")
    assert download(server.remote(), tmp_path).path.read_bytes() == BODY
    assert "range" not in server.requests[0]


def test_another_range_than_asked_for_is_refused(server: Server, tmp_path: Path) -> None:
    server.script = [{"cut": 100_000}, {"shift": 7}]
    assert download(server.remote(), tmp_path, pause=0).path.read_bytes() == BODY
    assert "range" not in server.requests[2]


def test_without_a_tag_only_a_checksum_lets_a_part_be_used(server: Server, tmp_path: Path) -> None:
    server.tags = False
    server.script = [{"cut": 100_000}]
    download(server.remote(), tmp_path / "a", pause=0)
    assert "range" not in server.requests[1]
    server.script = [{"cut": 100_000}]
    download(server.remote(checksum=sha256(BODY)), tmp_path / "b", pause=0)
    assert server.requests[3]["range"] == "bytes=100000-"


def test_a_part_longer_than_the_file_is_dropped(server: Server, tmp_path: Path) -> None:
    server.script = [{"cut": 280_000}]
    remote = server.remote(checksum=sha256(OTHER))
    server.tags = False
    with pytest.raises(DownloadError):
        download(remote, tmp_path, pause=0, attempts=1)
    server.files["data.bin"] = OTHER
    assert download(remote, tmp_path, pause=0).path.read_bytes() == OTHER


@pytest.mark.parametrize("status", [500, 503, 429])
def test_passing_faults_are_tried_again(server: Server, tmp_path: Path, status: int) -> None:
    server.script = [{"status": status, "headers": {"Retry-After": "0"}}] * 2
    assert download(server.remote(), tmp_path, pause=0).path.read_bytes() == BODY
    assert len(server.requests) == 3


def test_it_gives_up_after_so_many_requests_without_a_byte(server: Server, tmp_path: Path) -> None:
    server.script = [{"status": 500}] * 9
    with pytest.raises(DownloadError, match=r"3 requests \(HTTP 500\)"):
        download(server.remote(), tmp_path, pause=0, attempts=3)
    assert len(server.requests) == 3


def test_pauses_grow_and_follow_the_server(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pauses: list[float] = []
    monkeypatch.setattr("crosshash.data.download.transfer.time.sleep", pauses.append)
    server.script = [
        {"status": 503},
        {"status": 503, "headers": {"Retry-After": "30"}},
        {"status": 503, "headers": {"Retry-After": "9999"}},
        {"status": 503, "headers": {"Retry-After": "tomorrow"}},
    ]
    download(server.remote(), tmp_path, pause=1)
    assert pauses == [1, 30, 120, 8]


@pytest.mark.parametrize(("status", "says"), [(404, "no such file"), (403, "refuses access")])
def test_a_refusal_is_final(server: Server, tmp_path: Path, status: int, says: str) -> None:
    server.script = [{"status": status}]
    with pytest.raises(DownloadError, match=says):
        download(server.remote(), tmp_path, pause=0)
    assert len(server.requests) == 1


def test_no_server_at_all_is_told(tmp_path: Path) -> None:
    with pytest.raises(DownloadError, match="check the connection"):
        download(Remote("http://127.0.0.1:9/x.bin"), tmp_path, pause=0, attempts=2)


def test_a_wrong_checksum_leaves_nothing(server: Server, tmp_path: Path) -> None:
    with pytest.raises(ChecksumError, match="md5 " + md5(BODY).removeprefix("md5:")):
        download(server.remote(checksum=md5(OTHER)), tmp_path)
    assert names(tmp_path) == []


def test_another_size_is_refused_before_the_bytes(server: Server, tmp_path: Path) -> None:
    with pytest.raises(ChecksumError, match="another version"):
        download(server.remote(size=len(BODY) + 1), tmp_path)
    assert names(tmp_path) == []


def test_a_file_that_is_there_and_wrong_is_kept_and_told(server: Server, tmp_path: Path) -> None:
    (tmp_path / "data.bin").write_bytes(b"mine")
    with pytest.raises(ChecksumError, match="remove the file"):
        download(server.remote(checksum=md5(BODY)), tmp_path)
    assert (tmp_path / "data.bin").read_bytes() == b"mine"


def test_a_reply_without_length_is_measured_by_the_published_size(
    server: Server, tmp_path: Path
) -> None:
    server.script = [{"no_length": True, "cut": 90_000}, {}]
    remote = server.remote(size=len(BODY))
    assert download(remote, tmp_path, pause=0).path.read_bytes() == BODY
    assert server.requests[1]["range"] == "bytes=90000-"


def test_a_full_disk_is_told_before_the_bytes(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = shutil.disk_usage(tmp_path)._replace(free=1000)
    monkeypatch.setattr("crosshash.data.download.remote.shutil.disk_usage", lambda path: usage)
    with pytest.raises(DownloadError, match="make room"):
        download(server.remote(), tmp_path)
    with pytest.raises(DownloadError, match="make room"):
        check_space(tmp_path / "not" / "there", 1001, "it")
    check_space(tmp_path, 1000, "it")


@pytest.mark.parametrize(
    "wrong",
    [
        {"url": "ftp://host/file.zip"},
        {"url": "file:///etc/passwd"},
        {"url": "https://host/"},
        {"url": "https://host/a.zip", "checksum": "crc:12"},
        {"url": "https://host/a.zip", "checksum": "md5:XYZ"},
    ],
)
def test_remotes_are_checked(wrong: dict[str, str]) -> None:
    with pytest.raises(ValueError, match=r"checksum is|address of a file"):
        Remote(**wrong)


def zipped(members: dict[str, bytes], **attributes: Any) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, body in members.items():
            info = zipfile.ZipInfo(name)
            for key, value in attributes.items():
                setattr(info, key, value)
            archive.writestr(info, body)
    return buffer.getvalue()


def test_an_archive_is_unpacked_and_goes_on(tmp_path: Path) -> None:
    archive = tmp_path / "a.zip"
    archive.write_bytes(zipped({"in/1.txt": b"one", "in/2.txt": b"two", "3.txt": b"three"}))
    assert unpack(archive, tmp_path / "out") == 3
    kept = (tmp_path / "out" / "3.txt").stat().st_mtime_ns
    (tmp_path / "out" / "in" / "2.txt").write_bytes(b"t")  # cut short
    assert unpack(archive, tmp_path / "out") == 3
    assert (tmp_path / "out" / "in" / "2.txt").read_bytes() == b"two"
    assert (tmp_path / "out" / "3.txt").stat().st_mtime_ns == kept
    assert names(tmp_path / "out" / "in") == ["1.txt", "2.txt"]


@pytest.mark.parametrize(
    "name", ["../evil.txt", "a/../../evil.txt", "/evil.txt", "C:\\evil.txt", "..\\evil.txt"]
)
def test_members_outside_of_the_folder_are_refused_before_anything(
    tmp_path: Path, name: str
) -> None:
    archive = tmp_path / "a.zip"
    archive.write_bytes(zipped({"good.txt": b"good", name: b"evil"}))
    with pytest.raises(ValueError, match="outside of the folder"):
        unpack(archive, tmp_path / "out")
    assert names(tmp_path) == ["a.zip"]


def test_links_and_devices_are_refused(tmp_path: Path) -> None:
    archive = tmp_path / "a.zip"
    for kind in (stat.S_IFLNK, stat.S_IFIFO):
        archive.write_bytes(zipped({"link": b"/etc"}, external_attr=(kind | 0o777) << 16))
        with pytest.raises(ValueError, match="a link or a device"):
            unpack(archive, tmp_path / "out")


@pytest.mark.parametrize("damage", ["cut", "flipped", "text"])
def test_damaged_archives_are_told(tmp_path: Path, damage: str) -> None:
    body = bytearray(zipped({"a.bin": BODY}))
    if damage == "flipped":
        body[1000] ^= 0xFF
    archive = tmp_path / "a.zip"
    archive.write_bytes({"cut": body[:-100], "text": b"<html>", "flipped": body}[damage])
    with pytest.raises(ValueError, match="not a whole zip file"):
        unpack(archive, tmp_path / "out")
    assert not (tmp_path / "out" / "a.bin").exists()


def test_fetch_downloads_unpacks_records_and_repeats_nothing(
    server: Server, tmp_path: Path
) -> None:
    server.files = {"one.zip": zipped({"pics/1.txt": b"1"}), "two.zip": zipped({"2.txt": b"2"})}
    remotes = (
        server.remote("one.zip", checksum=md5(server.files["one.zip"])),
        server.remote("two.zip", folder="notes"),
    )
    first = fetch(remotes, tmp_path)
    assert [found.verified for found in first] == [True, False]
    assert (tmp_path / "pics" / "1.txt").read_bytes() == b"1"
    assert (tmp_path / "notes" / "2.txt").read_bytes() == b"2"
    assert names(tmp_path) == ["downloads.json", "notes", "pics"]
    listed = recorded(tmp_path / "downloads.json")
    assert listed["two.zip"]["published"] is None
    assert listed["two.zip"]["sha256"] == sha256(server.files["two.zip"]).removeprefix("sha256:")
    assert fetch(remotes, tmp_path) == []
    assert len(server.requests) == 2


def test_fetch_keeps_archives_when_asked(server: Server, tmp_path: Path) -> None:
    server.files = {"one.zip": zipped({"1.txt": b"1"})}
    fetch((server.remote("one.zip"),), tmp_path, keep=True)
    assert names(tmp_path) == ["1.txt", "downloads.json", "one.zip"]


def test_fetch_refuses_to_begin_without_room_for_everything(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = shutil.disk_usage(tmp_path)._replace(free=len(BODY) + 10)
    monkeypatch.setattr("crosshash.data.download.remote.shutil.disk_usage", lambda path: usage)
    with pytest.raises(DownloadError, match="unpacked files"):
        fetch((server.remote(size=len(BODY)),), tmp_path)
    assert server.requests == []


def test_a_damaged_record_is_told(tmp_path: Path) -> None:
    for text in ("[1]", "[" * 100_000, '{"a": {}, "a": {}}', '{"a": 3}'):
        (tmp_path / "downloads.json").write_text(text)
        with pytest.raises(ValueError, match="remove this file"):
            recorded(tmp_path / "downloads.json")


def test_what_is_sent_beyond_the_published_size_is_not_kept(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("crosshash.data.download.transfer._BLOCK", 4096)
    server.script = [{"no_length": True}]
    seen: list[int] = []
    with pytest.raises(ChecksumError, match="sends more than 10,000 bytes"):
        download(
            server.remote(size=10_000), tmp_path, progress=lambda _, done, __: seen.append(done)
        )
    assert max(seen) <= 10_000
    assert names(tmp_path) == []


@pytest.mark.parametrize("target", ["ftp://127.0.0.1/x", "file:///etc/passwd", "data:,x"])
def test_a_server_sends_one_on_to_the_web_only(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, target: str
) -> None:
    asked: list[str] = []

    def opened(_: Any, request: Any) -> None:
        asked.append(request.full_url)

    for handler, method in (("FTP", "ftp_open"), ("File", "file_open"), ("Data", "data_open")):
        monkeypatch.setattr(f"urllib.request.{handler}Handler.{method}", opened)
    server.script = [{"status": 302, "headers": {"Location": target}}] * 2
    with pytest.raises(DownloadError):
        download(server.remote(), tmp_path, attempts=2, pause=0)
    assert asked == []


@pytest.mark.parametrize(
    "step",
    [
        {"no_length": True, "headers": {"Content-Length": "many"}},
        {"no_length": True, "headers": {"Content-Length": "-5"}},
        {"status": 503, "headers": {"Retry-After": "\u00b2"}},
        {"status": 503, "headers": {"Retry-After": "9" * 400}},
    ],
    ids=str,
)
def test_headers_of_nonsense_end_in_another_request(
    server: Server, tmp_path: Path, step: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("time.sleep", lambda _: None)
    server.script = [step]
    assert download(server.remote(checksum=md5(BODY)), tmp_path, pause=0).size == len(BODY)
    assert len(server.requests) == 2


def test_an_archive_that_would_fill_the_disk_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("crosshash.untrusted.UNPACKED_BYTES", 1 << 20)
    archive = tmp_path / "a.zip"
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("zeros", bytes(20 << 20))
    with pytest.raises(ValueError, match=r"a\.zip: it would unpack to 20,971,520 bytes"):
        unpack(archive, tmp_path / "out")
    assert names(tmp_path) == ["a.zip"]


def test_sources_say_their_terms_and_what_to_do() -> None:
    for name, source in SOURCES.items():
        assert source.licence
        if source.variants:
            assert all(remote.size and remote.checksum for remote in source.files())
        else:
            with pytest.raises(LookupError, match="no official direct link"):
                source.files()
            assert source.otherwise, name
    assert len(find_source("coco").files("2014")) == 3
    with pytest.raises(LookupError, match="2017"):
        find_source("coco").files("2018")
    with pytest.raises(LookupError, match="mirflickr"):
        find_source("mirflick")
