"""Ids in addresses: any text, also with slashes, or as a file is named that has no UTF-8 form."""

from __future__ import annotations

from urllib.parse import unquote_to_bytes

from fastapi import Request

LONGEST = 4_096
IMAGE = b"/image"


def id_and_part(request: Request) -> tuple[str, bool]:
    """The id in a path ``/items/ID`` or ``/items/ID/image``, and whether it is the latter.

    It is read from what was sent: an id that ends in ``/image`` is told from the picture of another
    by its slash, which comes as ``%2F``.
    """
    raw: bytes = request.scope.get("raw_path") or request.scope["path"].encode()
    rest = raw.partition(b"?")[0].partition(b"/items/")[2]
    picture = rest.endswith(IMAGE) and len(rest) > len(IMAGE)
    id_ = unquote_to_bytes(rest[: -len(IMAGE)] if picture else rest)
    return id_.decode("utf-8", "surrogateescape"), picture
