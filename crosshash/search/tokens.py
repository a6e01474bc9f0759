"""Digests of metadata by which an engine tells equal values where it cannot compare JSON."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

from crosshash.search.filters import Filter
from crosshash.search.scalars import as_json, comparable

TOKEN_CHARACTERS = 32


def as_tokens(metadata: Mapping[str, Any] | None) -> list[str]:
    """The digests of an item's names and of its values, those in lists too: 32 digits each."""
    told = [
        token
        for name, value in (metadata or {}).items()
        for token in (named(name), *(valued(name, one) for one in comparable(value)))
    ]
    return list(dict.fromkeys(told))


def named(name: str) -> str:
    """The digest of a name, which every item has that has the name."""
    return _digest(as_json(name))


def valued(name: str, value: Any) -> str:
    """The digest of a name with its value, the same where the values are equal."""
    return _digest(f"{as_json(name)}: {as_json(value)}")


def untold(where: Filter | None) -> Filter:
    """The conditions that no digest tells: which of two values comes first."""
    return tuple(one for one in where or () if one.operator not in ("==", "!=", "in"))


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:TOKEN_CHARACTERS]
