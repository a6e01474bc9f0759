"""API keys: read from a file, compared in constant time."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Sequence
from pathlib import Path

from starlette.datastructures import Headers

from crosshash.serve.errors import Refused
from crosshash.untrusted import read_bytes

SHORTEST = 16
_FILE_BYTES = 1 << 20


def read_keys(path: Path) -> tuple[str, ...]:
    """The keys of a file, one on a line; empty lines and those that begin with ``#`` are none.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: It has no key, or one that can be guessed or sent in no header.
    """
    lines = read_bytes(path, _FILE_BYTES).decode("utf-8", "replace").splitlines()
    numbered = [(number, line.strip()) for number, line in enumerate(lines, start=1)]
    keys = [(number, key) for number, key in numbered if key and not key.startswith("#")]
    for number, key in keys:
        if len(key) < SHORTEST or not key.isascii() or not key.isprintable() or " " in key:
            raise ValueError(
                f"{path}, line {number}: a key is {SHORTEST} or more ASCII characters without "
                "spaces; make one with `openssl rand -hex 24`"
            )
    if not keys:
        raise ValueError(f"{path} holds no key; write one on a line, or leave the file out")
    return tuple(key for _, key in keys)


class Keys:
    """Tells whether a request brings a key; all are compared, each in constant time."""

    def __init__(self, keys: Sequence[str]) -> None:
        self._digests = [_digest(key.encode()) for key in keys]

    def check(self, headers: Headers) -> None:
        """Refuse a request without a key, where there are keys."""
        if not self._digests:
            return
        scheme, _, token = headers.get("authorization", "").partition(" ")
        given = token.strip() if scheme.lower() == "bearer" else headers.get("x-api-key", "")
        digest = _digest(given.encode("latin-1", "replace"))
        found = [hmac.compare_digest(digest, known) for known in self._digests]
        if not any(found):
            raise Refused(
                401,
                "an API key is needed: send it as `Authorization: Bearer KEY` or `X-API-Key: KEY`",
                WWW_Authenticate="Bearer",
            )


def _digest(key: bytes) -> bytes:
    return hashlib.sha256(key).digest()
