"""What the Hub sends, watched: no silence without end, no more than was announced, no odd names."""

from __future__ import annotations

import importlib
import re
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from crosshash.hub.contained import safe_name
from crosshash.hub.errors import CheckpointError, HubError
from crosshash.untrusted import JSON_BYTES, parse_json

COMMIT = re.compile(r"[0-9a-f]{40}")
# Seconds without a byte, where huggingface_hub would wait for ever.
TIMEOUT = 60.0
# A connection that has lasted so many seconds and gave fewer bytes in each is given up.
PATIENCE, RATE = 60.0, 1000
_KINDS = ("connect", "read", "write", "pool")
_MARK = "crosshash"
# It becomes the name of a file.
_TAG = re.compile(r'(W/)?"?(?!\.)[\w.+=-]+"?')


@contextmanager
def watched(sizes: Mapping[str, int] | None = None) -> Iterator[None]:
    """Watch every request that huggingface_hub makes while this is entered.

    Args:
        sizes: Bytes that files are known to have, by name; of none more are fetched.

    Raises:
        HubError: The server sends more than it announced, too slowly, packed, or names that would
            lie elsewhere than in the cache.
    """
    from huggingface_hub import get_session

    hooks = get_session().event_hooks  # of httpx, whichever name it goes by
    watch = _Watch(sizes or {})
    hooks["request"].append(watch.request)
    hooks["response"].append(watch.response)
    try:
        yield
    finally:
        hooks["request"].remove(watch.request)
        hooks["response"].remove(watch.response)


class _Watch:
    def __init__(self, sizes: Mapping[str, int]) -> None:
        self._sizes = sizes
        self._announced: dict[str, int] = {}

    def request(self, request: Any) -> None:
        waits = dict(request.extensions.get("timeout") or {})
        waits = {kind: TIMEOUT if waits.get(kind) is None else waits[kind] for kind in _KINDS}
        request.extensions = {**request.extensions, "timeout": waits, _MARK: True}
        # Of packed bytes nothing says what they unpack to.
        request.headers["Accept-Encoding"] = "identity"

    def response(self, response: Any) -> None:
        if _MARK not in response.request.extensions:
            return  # of a request that was under way before
        url, headers = str(response.url), response.headers
        if headers.get("Content-Encoding", "identity") != "identity":
            raise HubError(f"{url} is sent packed, which was not asked for")
        if "/resolve/" in response.url.path:
            _check_headers(url, headers)
        if response.request.method == "HEAD":
            self._take(response)
            return
        limit = self._announced.get(url, _whole(headers.get("Content-Length")) or JSON_BYTES)
        response.stream = _bounded(response, url, limit)
        if "/api/" in response.url.path and response.status_code == 200:
            response.read()
            _check_answer(url, response.content)

    def _take(self, response: Any) -> None:
        """Keep the size that is announced for a file, here and at the address it is sent on to."""
        headers = response.headers
        size = _whole(headers.get("X-Linked-Size")) or _whole(headers.get("Content-Length"))
        if size is None or "/resolve/" not in response.url.path:
            return
        for name, known in self._sizes.items():
            if response.url.path.endswith(f"/{name}") and size > known:
                raise HubError(
                    f"{response.url} has {size:,} bytes, and {known:,} are published; it is "
                    "another file, and was not fetched"
                )
        self._announced[str(response.url)] = size
        if location := headers.get("Location"):
            self._announced[str(response.url.join(location))] = size


def _whole(text: str | None) -> int | None:
    return int(text) if text is not None and re.fullmatch(r"\d{1,18}", text) else None


def _check_headers(url: str, headers: Mapping[str, str]) -> None:
    """Refuse what would not be the name of a file, or of a folder, in the cache."""
    tag = headers.get("X-Linked-Etag") or headers.get("ETag") or "none"
    if not _TAG.fullmatch(tag):
        raise HubError(f"{url} is said to be kept as {tag!r}, which is no name of a file")
    commit = headers.get("X-Repo-Commit")
    if commit and not COMMIT.fullmatch(commit):
        raise HubError(f"{url} is said to be of the commit {commit!r}, which is none")


def _check_answer(url: str, content: bytes) -> None:
    """Refuse names of files and commits that would be no names in the cache."""
    try:
        answer = parse_json(content, url, finite=False)
        about = answer if isinstance(answer, dict) else {}
        if not COMMIT.fullmatch(str(about.get("sha") or "0" * 40)):
            raise HubError(f"{url} names the commit {about['sha']!r}, which is none")
        entries = answer if isinstance(answer, list) else about.get("siblings") or []
        for entry in entries:
            safe_name(str(entry.get("path", entry.get("rfilename", "none"))))
    except CheckpointError as error:
        raise HubError(f"{url}: {error}; nothing was fetched") from None
    except (ValueError, AttributeError, TypeError) as error:
        raise HubError(f"{url} gave an answer that is none ({error})") from None


def _bounded(response: Any, url: str, limit: int) -> Any:
    """The body of a response, which ends in an error where it goes beyond ``limit``."""
    stream = response.stream
    base: Any = importlib.import_module(type(response).__module__.partition(".")[0]).SyncByteStream

    class Bounded(base):
        def __iter__(self) -> Iterator[bytes]:
            count, begun = 0, time.monotonic()
            for block in stream:
                count += len(block)
                if count > limit:
                    raise HubError(
                        f"{url} sends more than the {limit:,} bytes that it announced; it was cut "
                        "off: try later, or tell the repository's owner"
                    )
                lasted = time.monotonic() - begun
                if lasted > PATIENCE and count < RATE * lasted:
                    raise HubError(
                        f"{url} gave {count:,} bytes in {lasted:.0f} seconds; it was given up: try "
                        "later"
                    )
                yield block

        def close(self) -> None:
            stream.close()

    return Bounded()
