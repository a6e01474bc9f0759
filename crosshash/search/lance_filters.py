"""Conditions on metadata as SQL of LanceDB over digests, which mean the same there as here.

LanceDB reads JSON by functions that take every value for a text; digests (``tokens``) are equal
where values are. Which of two values comes first no digest tells.
"""

from __future__ import annotations

from typing import Any

from crosshash.search.filters import Condition, Filter
from crosshash.search.scalars import finite
from crosshash.search.tokens import named, untold, valued


def as_where(where: Filter | None) -> tuple[str, Filter]:
    """SQL that every item meets that meets all conditions, and what it does not tell.

    Returns:
        The SQL, empty where it would be met by all, and the conditions that are to be evaluated of
        the items that meet it.
    """
    parts = [_condition(condition) for condition in where or ()]
    return " AND ".join(f"({part})" for part in parts), untold(where)


def _condition(condition: Condition) -> str:
    name, value = condition.name, condition.value
    if condition.operator in ("==", "in"):
        return _any(name, value if condition.operator == "in" else (value,))
    there = f"array_has(tokens, '{named(name)}')"
    if condition.operator == "!=" and finite([value]):
        return f"{there} AND NOT {_any(name, (value,))}"
    return there


def _any(name: str, values: tuple[Any, ...]) -> str:
    asked = ", ".join(f"'{valued(name, value)}'" for value in finite(values))
    return f"array_has_any(tokens, [{asked}])" if asked else "false"
