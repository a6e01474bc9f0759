"""Conditions on metadata as expressions of Milvus over digests, which mean the same there as here.

Milvus compares JSON in a way of its own: it takes numbers for floats, and names that are not there
for unequal. So an item has a digest of each name, and one of each name with its value; whether two
values are equal is whether their digests are. Which of two values comes first no digest tells.
"""

from __future__ import annotations

from typing import Any

from crosshash.search.filters import Condition, Filter
from crosshash.search.scalars import finite
from crosshash.search.tokens import named, untold, valued

# Milvus's own limit of the elements of an array.
TOKENS = 4096
NONE = "order < 0"


def as_expression(where: Filter | None) -> tuple[str, Filter]:
    """An expression that every item meets that meets all conditions, and what it does not tell.

    Returns:
        The expression, empty where it would be met by all, and the conditions that are to be
        evaluated of the items that meet it.
    """
    parts = [_condition(condition) for condition in where or ()]
    return " and ".join(f"({part})" for part in parts), untold(where)


def _condition(condition: Condition) -> str:
    name, value = condition.name, condition.value
    if condition.operator in ("==", "in"):
        return _any(name, value if condition.operator == "in" else (value,))
    there = f'array_contains(tokens, "{named(name)}")'
    if condition.operator == "!=" and finite([value]):
        return f"({there}) and not ({_any(name, (value,))})"
    return there


def _any(name: str, values: tuple[Any, ...]) -> str:
    asked = ", ".join(f'"{valued(name, value)}"' for value in finite(values))
    return f"array_contains_any(tokens, [{asked}])" if asked else NONE
