"""Conditions on metadata as expressions of Milvus over digests, which mean the same there as here.

Milvus compares JSON in a way of its own: it takes numbers for floats, and names that are not there
for unequal. So an item has a digest of each name, and one of each name with its value; whether two
values are equal is whether their digests are. Which of two values comes first no digest tells.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

from crosshash.search.filters import Condition, Filter
from crosshash.search.scalars import as_json, finite

# Milvus's own limit of the elements of an array.
TOKENS = 4096
TOKEN_CHARACTERS = 32
NONE = "order < 0"


def as_tokens(metadata: Mapping[str, Any] | None) -> list[str]:
    """The digests of an item's names and of its values: 32 hexadecimal digits each."""
    pairs = (metadata or {}).items()
    return [token for name, value in pairs for token in (_named(name), _valued(name, value))]


def as_expression(where: Filter | None) -> tuple[str, Filter]:
    """An expression that every item meets that meets all conditions, and what it does not tell.

    Returns:
        The expression, empty where it would be met by all, and the conditions that are to be
        evaluated of the items that meet it.
    """
    parts = [_condition(condition) for condition in where or ()]
    rest = tuple(one for one in where or () if one.operator not in ("==", "!=", "in"))
    return " and ".join(f"({part})" for part in parts), rest


def _condition(condition: Condition) -> str:
    name, value = condition.name, condition.value
    if condition.operator in ("==", "in"):
        return _any(name, value if condition.operator == "in" else (value,))
    there = f'array_contains(tokens, "{_named(name)}")'
    if condition.operator == "!=" and finite([value]):
        return f"({there}) and not ({_any(name, (value,))})"
    return there


def _any(name: str, values: tuple[Any, ...]) -> str:
    asked = ", ".join(f'"{_valued(name, value)}"' for value in finite(values))
    return f"array_contains_any(tokens, [{asked}])" if asked else NONE


def _named(name: str) -> str:
    return _digest(as_json(name))


def _valued(name: str, value: Any) -> str:
    return _digest(f"{as_json(name)}: {as_json(value)}")


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:TOKEN_CHARACTERS]
