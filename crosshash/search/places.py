"""Where an index is: a folder, or a server that a URI names."""

from __future__ import annotations

import re
from pathlib import Path

from crosshash.search.engine import Engine

# Any other name may have a colon, as a drive's or a file's.
_SCHEME = re.compile(r"((?:faiss|lancedb)(?=:)|[A-Za-z][A-Za-z0-9+.-]+(?=://)):(?://)?")
_FORMS = "a folder, faiss:FOLDER, lancedb:FOLDER, postgresql://…, milvus://…"


def split(uri: str | Path) -> tuple[str, str]:
    """The scheme of a place, ``faiss`` for a folder, and what comes after it."""
    found = None if isinstance(uri, Path) else _SCHEME.match(uri)
    return ("faiss", str(uri)) if found is None else (found[1], str(uri)[found.end() :])


def open_engine(uri: str | Path, bits: int | None, *, verify: bool = False) -> Engine:
    """What keeps the codes at a place, made there if there is nothing and ``bits`` is given.

    Raises:
        ValueError: No engine goes by the URI's scheme.
        ImportError: The engine's package is missing.
    """
    scheme, place = split(uri)
    if scheme == "faiss":
        from crosshash.search.folder import FolderEngine

        if not place:
            raise ValueError(f"{uri!r} names no folder")
        return FolderEngine.open(Path(place), bits, verify=verify)
    if scheme == "lancedb":
        from crosshash.search.lance import LanceEngine

        return LanceEngine.open(str(uri), bits, create=bits is not None)
    if scheme in ("postgresql", "postgres"):
        from crosshash.search.postgres import PostgresEngine

        return PostgresEngine.open(str(uri), bits, create=bits is not None)
    if scheme == "milvus":
        from crosshash.search.milvus import MilvusEngine

        return MilvusEngine.open(str(uri), bits, create=bits is not None)
    raise ValueError(f"no engine goes by {scheme + ':'!r}; an index is at {_FORMS}")
