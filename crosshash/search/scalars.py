"""Ids and what metadata can be filtered by, in forms that a server compares as Python does."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from crosshash.untrusted import parse_json

_ODD = re.compile("[\x00\x01\ud7ff-\udfff]")


def id_bytes(id_: str) -> bytes:
    """An id as bytes, from which :func:`id_text` gives it back, whatever characters it has."""
    return id_.encode("utf-8", "surrogatepass")


def id_text(held: bytes) -> str:
    """The id of which these are the bytes."""
    return held.decode("utf-8", "surrogatepass")


def id_key(id_: str) -> bytes:
    """SHA-256 of an id: 32 bytes to look it up by, however long it is."""
    return hashlib.sha256(id_bytes(id_)).digest()


def as_document(metadata: Mapping[str, Any]) -> str:
    """Metadata as JSON in ASCII, from which :func:`from_document` gives the same back.

    Raises:
        ValueError: A number in it is NaN or infinite, which JSON has not.
    """
    return json.dumps(metadata, allow_nan=False)


def from_document(text: str, where: str | Path) -> dict[str, Any]:
    """The metadata of a document.

    Raises:
        ValueError: It is no JSON object; the message begins with ``where``.
    """
    value = parse_json(text, where)
    if not isinstance(value, dict):
        raise ValueError(f"{where}: metadata are JSON objects, found {type(value).__name__}")
    return value


def as_text(text: str) -> str:
    """A text without U+0000 and lone surrogates, which servers refuse; order is kept.

    Almost every text stays as it is. U+0000 and U+0001, and U+D7FF with the surrogates after it,
    become pairs that sort among the others as they did, so that texts are equal or ordered by code
    points exactly where these are.
    """
    return _ODD.sub(_pair, text)


def _pair(found: re.Match[str]) -> str:
    number = ord(found[0])
    if number < 2:
        return "\x01" + chr(number + 1)
    # The second of a pair counts from 1: nothing, where the text ends, comes before it.
    return "\ud7ff" + chr(number - 0xD7FF + 1)


def as_number(number: float) -> str:
    """A number in decimal digits, where 1 and 1.0 are the same, and ordered as Python orders.

    The shortest digits of a float are on the same side of every integer and of every other float
    as the float; a float that is an integer is written as that integer, exactly.
    """
    if isinstance(number, float) and not number.is_integer():
        return float.__repr__(number).replace("inf", "Infinity")
    return str(int(number))


def as_filterable(metadata: Mapping[str, Any]) -> str:
    """The JSON by which a server filters: each name with its text, number, truth value or null.

    A list stands as the list of these in it. An object equals nothing in filters and stands as
    ``{}``: the name is there.
    """
    pairs = (f"{as_json(name)}: {_as_json_or_list(value)}" for name, value in metadata.items())
    return f"{{{', '.join(pairs)}}}"


def _as_json_or_list(value: Any) -> str:
    told = ", ".join(map(as_json, comparable(value)))
    return f"[{told}]" if isinstance(value, list) else told or "{}"


def as_json(value: Any) -> str:
    """A text, number, truth value or null of :func:`as_filterable`."""
    if isinstance(value, str):
        return json.dumps(as_text(value), ensure_ascii=False)
    if value is None or isinstance(value, bool):
        return json.dumps(value)
    return as_number(value)


def comparable(value: Any) -> list[Any]:
    """What a value of metadata equals in filters: itself, what is in a list, an object nothing."""
    each = value if isinstance(value, list) else [value]
    return [one for one in each if not isinstance(one, (list, dict))]


def finite(values: Sequence[Any]) -> list[Any]:
    """Those values that an item can have: JSON has no infinite numbers."""
    return [value for value in values if value not in (float("inf"), float("-inf"))]
