"""Codes that are kept and searched: one index, whatever keeps it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from crosshash._lazy import attach

if TYPE_CHECKING:
    from crosshash.search.index import Index as Index
    from crosshash.search.result import Item as Item
    from crosshash.search.result import SearchResult as SearchResult
else:
    __getattr__, __dir__, __all__ = attach(
        __name__,
        {
            "crosshash.search.index": ["Index"],
            "crosshash.search.result": ["Item", "SearchResult"],
        },
    )
