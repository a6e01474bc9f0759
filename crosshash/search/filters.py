"""Which items a search is among: conditions on their metadata, in one form for every engine."""

from __future__ import annotations

import operator
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

Operator = Literal["==", "!=", "<", "<=", ">", ">=", "in"]
_ORDERED = {"<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge}
_FORM = (
    "a filter is a mapping of names to a value, a list of values of which one is to match, or "
    'comparisons such as {">=": 2020, "<": 2025}'
)


@dataclass(frozen=True)
class Condition:
    """``metadata[name] operator value``; an item without that name never meets it.

    A list, such as an item's labels, equals each text, number, truth value and None in it. These
    equal their own kind only: 1 is neither ``"1"`` nor ``True``; and 1 equals 1.0. Ordered
    comparisons are of two numbers or two texts, and texts are ordered by code points; any other
    pair does not meet it.
    """

    name: str
    operator: Operator
    value: Any
    # Tells 1, 1.0 and True apart, which are equal to Python, where filters are remembered.
    _spelled: str = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_spelled", repr(self.value))

    def meets(self, metadata: Mapping[str, Any] | None) -> bool:
        """Whether an item's metadata meet the condition."""
        if metadata is None or self.name not in metadata:
            return False
        held = metadata[self.name]
        if self.operator == "in":
            return any(_equal(held, one) for one in self.value)
        if self.operator in ("==", "!="):
            return _equal(held, self.value) == (self.operator == "==")
        if _kind(held) != _kind(self.value):
            return False
        return bool(_ORDERED[self.operator](held, self.value))


Filter = tuple[Condition, ...]
"""Conditions that all have to be met; hashable."""


def as_filter(where: Mapping[str, Any] | None) -> Filter | None:
    """A filter as users write it, as conditions.

    Args:
        where: ``{"label": "dog"}``; ``{"label": ["dog", "cat"]}``: one of these;
            ``{"year": {">=": 2020, "<": 2025}}``. All names have to match; a list in metadata
            equals each of its values. None or empty: all items.

    Raises:
        TypeError: It is no such mapping, or a value is no text, number, truth value or None.
        ValueError: There is no such comparison.
    """
    if where is None:
        return None
    if not isinstance(where, Mapping):
        raise TypeError(f"{_FORM}; got {type(where).__name__} {where!r}")
    conditions: list[Condition] = []
    for name, asked in where.items():
        if not isinstance(name, str):
            raise TypeError(f"{_FORM}; got the name {name!r}")
        if isinstance(asked, Mapping):
            conditions += [_compared(name, sign, value) for sign, value in asked.items()]
        elif isinstance(asked, (list, tuple, set, frozenset)):
            values = tuple(_scalar(name, value) for value in asked)
            conditions.append(Condition(name, "in", values))
        else:
            conditions.append(Condition(name, "==", _scalar(name, asked)))
    return tuple(conditions) or None


def meets(conditions: Sequence[Condition], metadata: Mapping[str, Any] | None) -> bool:
    """Whether metadata meet all conditions."""
    return all(condition.meets(metadata) for condition in conditions)


def _compared(name: str, sign: Any, value: Any) -> Condition:
    if sign not in get_args(Operator):
        raise ValueError(f"{_FORM}; got {sign!r} of {name!r} (one of {get_args(Operator)})")
    if sign == "in":
        if not isinstance(value, (list, tuple, set, frozenset)):
            raise TypeError(f"{_FORM}; 'in' of {name!r} takes a list, got {value!r}")
        return Condition(name, "in", tuple(_scalar(name, one) for one in value))
    if sign in _ORDERED and _kind(value) not in ("number", "text"):
        raise TypeError(f"{sign!r} of {name!r} compares with a number or a text, got {value!r}")
    return Condition(name, sign, _scalar(name, value))


def _equal(held: Any, asked: Any) -> bool:
    """Whether a value of metadata is, or as a list has, what is asked for."""
    each = held if isinstance(held, list) else [held]
    return any(_kind(one) == _kind(asked) and one == asked for one in each)


def _scalar(name: str, value: Any) -> Any:
    if _kind(value) == "other" or value != value:
        raise TypeError(f"{_FORM}; {name!r} is compared with {type(value).__name__} {value!r}")
    return value


def _kind(value: Any) -> str:
    if value is None or isinstance(value, bool):
        return "none" if value is None else "truth"
    if isinstance(value, (int, float)):
        return "number"
    return "text" if isinstance(value, str) else "other"
