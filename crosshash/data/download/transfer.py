"""Downloads that go on where they were cut, and are checked before they count."""

from __future__ import annotations

import json
import os
import re
import ssl
import time
import urllib.error
import urllib.request
from dataclasses import asdict, dataclass
from email.message import Message
from http.client import HTTPException
from pathlib import Path
from typing import Protocol

from crosshash.data.download.remote import (
    ChecksumError,
    DownloadError,
    Fetched,
    Progress,
    Remote,
    check_space,
    checked,
)
from crosshash.untrusted import read_json

ATTEMPTS = 5
TIMEOUT = 60.0  # seconds without a byte
_BLOCK = 1 << 18
_AGENT = "crosshash (https://pypi.org/project/crosshash)"
# What a server says that a later request may not meet.
_PASSING = {408, 425, 429, 500, 502, 503, 504}


# Of urllib's own, without those of files and FTP, to which a server could send one on.
_WEB = urllib.request.OpenerDirector()
for _handler in (
    urllib.request.ProxyHandler,
    urllib.request.HTTPHandler,
    urllib.request.HTTPSHandler,
    urllib.request.HTTPDefaultErrorHandler,
    urllib.request.HTTPRedirectHandler,
    urllib.request.HTTPErrorProcessor,
    urllib.request.UnknownHandler,
):
    _WEB.add_handler(_handler())


class _Response(Protocol):
    status: int
    headers: Message

    def read(self, amount: int) -> bytes: ...


def download(
    remote: Remote,
    folder: str | Path,
    *,
    attempts: int = ATTEMPTS,
    pause: float = 1.0,
    timeout: float = TIMEOUT,
    progress: Progress | None = None,
) -> Fetched:
    """Fetch a file into a folder, or find it there.

    Bytes go into ``<name>.part``, which a later call goes on with where the server still has the
    same file (``Range`` with ``If-Range``); the name is given when size and checksum are right.

    Args:
        remote: What to fetch.
        folder: Where to; it is made if need be.
        attempts: Requests in a row without one new byte before it gives up.
        pause: Seconds before the second request, doubled before each further one; a server's
            ``Retry-After`` counts where it is longer, up to two minutes.
        timeout: Seconds without a byte after which a connection counts as lost.
        progress: Called with the file's name, the bytes that are here and all bytes, if known.

    Raises:
        DownloadError: The server refuses, or does not answer as often as ``attempts``; or the disk
            has no room.
        ChecksumError: The file is another than the one published; nothing of it is kept.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    target, part = folder / remote.name, _Part(folder / f"{remote.name}.part")
    if target.exists():
        try:
            return checked(remote, target, progress)
        except ChecksumError as error:
            raise ChecksumError(f"{error}; remove the file and run the command again") from None
    failures = 0
    while True:
        before = part.size
        try:
            _request(remote, part, timeout, progress)
            break
        except urllib.error.HTTPError as error:
            error.close()
            if error.code not in _PASSING:
                raise DownloadError(_refusal(remote, error.code)) from None
            reason, wait = f"HTTP {error.code}", _retry_after(error.headers)
        except _LOST as error:
            reason, wait = str(getattr(error, "reason", error)) or type(error).__name__, 0.0
        failures = 1 if part.size > before else failures + 1
        if failures >= attempts:
            raise DownloadError(
                f"{remote.url}: no byte came in {attempts} requests ({reason}); check the "
                f"connection and run the command again: it goes on from {part.size:,} bytes"
            )
        time.sleep(max(pause * 2 ** (failures - 1), wait))
    try:
        fetched = checked(remote, part.path, progress)
    except ChecksumError as error:
        part.remove()  # nothing to go on with
        raise ChecksumError(f"{error}; it is removed: run the command again") from None
    part.rename(target)
    return Fetched(target, fetched.size, fetched.sha256, fetched.verified)


class _CutError(Exception):
    """A connection that ended before the file did."""


_LOST = (
    _CutError,
    urllib.error.URLError,
    HTTPException,
    TimeoutError,
    ConnectionError,
    ssl.SSLError,
)


@dataclass
class _State:
    """What the bytes of a part are bytes of."""

    url: str = ""
    etag: str | None = None
    modified: str | None = None
    total: int | None = None

    @property
    def validator(self) -> str | None:
        """A value for If-Range, which takes no weak tags."""
        strong = self.etag is not None and not self.etag.startswith("W/")
        return self.etag if strong else self.modified


class _Part:
    """A file that is not whole yet, and beside it what it is a part of."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._beside = path.with_name(f"{path.name}.json")

    @property
    def size(self) -> int:
        return self.path.stat().st_size if self.path.exists() else 0

    def state(self) -> _State:
        try:
            return _State(**read_json(self._beside))
        except (OSError, ValueError, TypeError):
            return _State()  # nothing known: the part is not gone on with

    def restart(self, state: _State) -> None:
        self.path.write_bytes(b"")
        self._beside.write_text(json.dumps(asdict(state)), encoding="utf-8")

    def remove(self) -> None:
        self.path.unlink(missing_ok=True)
        self._beside.unlink(missing_ok=True)

    def rename(self, target: Path) -> None:
        self.path.replace(target)
        self._beside.unlink(missing_ok=True)


def _request(remote: Remote, part: _Part, timeout: float, progress: Progress | None) -> None:
    """Ask for what is missing, once; returns when the part is whole."""
    state, have = part.state(), part.size
    # Without a validator only a checksum could tell that the parts are of two versions.
    goes_on = state.url == remote.url and have > 0 and bool(state.validator or remote.checksum)
    if goes_on and have == state.total:
        return
    headers = {"User-Agent": _AGENT, "Accept-Encoding": "identity"}
    if goes_on:
        headers["Range"] = f"bytes={have}-"
        if state.validator:
            headers["If-Range"] = state.validator
    request = urllib.request.Request(remote.url, headers=headers)
    try:
        with _WEB.open(request, timeout=timeout) as response:
            _receive(remote, part, state, response, progress)
    except urllib.error.HTTPError as error:
        if error.code == 416:  # the part is longer than the file has become
            part.remove()
            raise _CutError("the server's file has changed") from None
        raise


def _receive(
    remote: Remote, part: _Part, state: _State, response: _Response, progress: Progress | None
) -> None:
    have, length = part.size, response.headers.get("Content-Length")
    if response.status == 206:
        found = re.fullmatch(
            r"bytes (\d+)-\d+/(\d+|\*)", response.headers.get("Content-Range", "").strip()
        )
        etag = response.headers.get("ETag")
        if found is None or int(found[1]) != have or (state.etag and etag and etag != state.etag):
            part.remove()
            raise _CutError("the server's file has changed")
        total = None if found[2] == "*" else _whole(found[2])
    else:  # all of it: the first request, a server without ranges, or another version
        have, total = 0, None if length is None else _whole(length)
        tag, modified = response.headers.get("ETag"), response.headers.get("Last-Modified")
        part.restart(_State(remote.url, tag, modified, total))
    if remote.size is not None and total is not None and total != remote.size:
        part.remove()
        raise ChecksumError(
            f"{remote.url}: the server offers {total:,} bytes, published are {remote.size:,}; it "
            "is another version or a notice in the file's place: open the address in a browser"
        )
    whole = remote.size if total is None else total
    check_space(part.path.parent, (whole or 0) - have, remote.name)
    with part.path.open("ab") as file:
        while block := response.read(_BLOCK):
            have += len(block)
            if whole is not None and have > whole:
                break
            file.write(block)
            if progress is not None:
                progress(remote.name, have, whole)
        file.flush()
        os.fsync(file.fileno())
    if whole is not None and have > whole:
        part.remove()
        raise ChecksumError(
            f"{remote.url}: the server sends more than {whole:,} bytes; it is another version or a "
            "notice in the file's place: open the address in a browser"
        )
    if whole is not None and have < whole:
        raise _CutError(f"the connection ended at {have:,} of {whole:,} bytes")


def _retry_after(headers: Message | None) -> float:
    value = headers.get("Retry-After", "") if headers is not None else ""
    return min(float(value), 120.0) if re.fullmatch(r" *[0-9]{1,9} *", value) else 0.0


def _whole(text: str) -> int:
    if not re.fullmatch(r"[0-9]{1,18}", text.strip()):
        raise _CutError(f"the server announces {text[:40]!r} bytes")
    return int(text)


def _refusal(remote: Remote, code: int) -> str:
    meaning = {401: "asks for a login", 403: "refuses access", 404: "has no such file"}
    return (
        f"{remote.url}: the server {meaning.get(code, 'refuses')} (HTTP {code}); see whether the "
        "file has moved, and put it into the folder by hand: the command then goes on from there"
    )
