"""Conditions on metadata as SQL over ``filterable``, which holds what scalars.py writes."""

from __future__ import annotations

from typing import Any

from crosshash.search.filters import Condition, Filter
from crosshash.search.scalars import as_json, as_number, as_text, finite

# What a condition compares with is a parameter, never a part of these.
_THERE = "filterable ? %s"
_EQUAL = "filterable @> %s::jsonb"
_ORDERED = (
    "CASE WHEN jsonb_typeof(filterable -> %s) = '{kind}' "
    "THEN {held} {operator} {asked} ELSE false END"
)
_NUMBER = {"kind": "number", "held": "(filterable ->> %s)::numeric", "asked": "%s::numeric"}
_TEXT = {"kind": "string", "held": '(filterable ->> %s) COLLATE "C"', "asked": "%s::text"}


def as_sql(where: Filter | None) -> tuple[str, list[Any]]:
    """An expression that is true of the items that meet all conditions, and its parameters."""
    pairs = [_condition(condition) for condition in where or ()]
    text = " AND ".join(f"({text})" for text, _ in pairs)
    return text or "true", [value for _, values in pairs for value in values]


def _condition(condition: Condition) -> tuple[str, list[Any]]:
    name, value = as_text(condition.name), condition.value
    if condition.operator in ("==", "in"):
        return _any(condition.name, value if condition.operator == "in" else (value,))
    if condition.operator == "!=":
        equal, values = _any(condition.name, (value,))
        return f"{_THERE} AND NOT ({equal})", [name, *values]
    form = _TEXT if isinstance(value, str) else _NUMBER
    asked = as_text(value) if isinstance(value, str) else as_number(value)
    return _ORDERED.format(**form, operator=condition.operator), [name, name, asked]


def _any(name: str, values: tuple[Any, ...]) -> tuple[str, list[Any]]:
    forms = ("{{{}: {}}}", "{{{}: [{}]}}")  # a value, and a list that has it
    asked = [
        form.format(as_json(name), as_json(value)) for value in finite(values) for form in forms
    ]
    return " OR ".join([_EQUAL] * len(asked)) or "false", asked
