"""Encoding at scale: sources of any size to folders of codes, part by part."""

from __future__ import annotations

from typing import TYPE_CHECKING

from crosshash._lazy import attach

if TYPE_CHECKING:
    from crosshash.encoding.cluster import encode_on_cluster as encode_on_cluster
    from crosshash.encoding.folder import read_codes as read_codes
    from crosshash.encoding.folder import read_header as read_header
    from crosshash.encoding.run import encode_source as encode_source
    from crosshash.encoding.sources import open_source as open_source
else:
    __getattr__, __dir__, __all__ = attach(
        __name__,
        {
            "crosshash.encoding.cluster": ["encode_on_cluster"],
            "crosshash.encoding.folder": ["read_codes", "read_header"],
            "crosshash.encoding.run": ["encode_source"],
            "crosshash.encoding.sources": ["open_source"],
        },
    )
