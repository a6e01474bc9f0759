"""Where an index is: a folder, or a server that a URI names."""

from __future__ import annotations

from pathlib import Path

from crosshash.search.engine import Engine

_FORMS = "a folder, faiss:FOLDER, postgresql://…, milvus://…"


def open_engine(uri: str | Path, bits: int | None) -> Engine:
    """What keeps the codes at a place, made there if there is nothing and ``bits`` is given.

    Raises:
        ValueError: No engine goes by the URI's scheme.
        ImportError: The engine's package is missing.
    """
    scheme, colon, rest = str(uri).partition(":")
    # A scheme of one letter is a drive.
    if isinstance(uri, Path) or not colon or len(scheme) < 2 or scheme == "faiss":
        from crosshash.search.folder import FolderEngine

        place = rest.removeprefix("//") if colon and scheme == "faiss" else uri
        if not str(place):
            raise ValueError(f"{uri!r} names no folder")
        return FolderEngine.open(Path(place), bits)
    if scheme in ("postgresql", "postgres"):
        from crosshash.search.postgres import PostgresEngine

        return PostgresEngine.open(str(uri), bits, create=bits is not None)
    if scheme == "milvus":
        from crosshash.search.milvus import MilvusEngine

        return MilvusEngine.open(str(uri), bits, create=bits is not None)
    if Path(uri).exists():  # a file name may have a colon
        return open_engine(Path(uri), bits)
    raise ValueError(f"no engine goes by {scheme + ':'!r}; an index is at {_FORMS}")
