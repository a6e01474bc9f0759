"""Files that others wrote: JSON of bounded size and depth, and how far a small file may unpack."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

JSON_BYTES = 32 << 20
# Mappings and lists inside of each other; what walks them afterwards goes as deep.
DEPTH = 64
# A file may unpack to the larger of these: so many bytes, or so many times its own size.
UNPACKED_BYTES = 2 << 30
UNPACKED_RATIO = 100


def parse_json(
    text: str | bytes,
    where: str | Path,
    *,
    finite: bool = True,
    hook: Callable[[dict[str, Any]], Any] | None = None,
) -> Any:
    """The value of a JSON document, which has no key twice and is not nested without end.

    Args:
        text: The document; bytes are UTF-8.
        where: The file, and its line, for messages.
        finite: Refuse NaN and infinite numbers, which are no JSON but which Python writes.
        hook: Takes the place of each object, as ``object_hook`` of :func:`json.loads`; keys are not
            compared then and numbers not checked, since it is for files of millions of objects.

    Raises:
        ValueError: It is no such document; the message begins with ``where``.
    """
    options: dict[str, Any] = {"object_pairs_hook": _without_doubles}
    if finite:
        options |= {"parse_constant": _not_finite, "parse_float": _finite}
    try:
        decoded = text.decode("utf-8") if isinstance(text, bytes) else text
        value = json.loads(decoded, **(options if hook is None else {"object_hook": hook}))
        _check_depth(value)
    except RecursionError:
        raise ValueError(f"{where}: not valid JSON (nested deeper than {DEPTH})") from None
    except ValueError as error:  # no JSON, no UTF-8, or a number of thousands of digits
        raise ValueError(f"{where}: not valid JSON ({error})") from None
    return value


def read_json(
    path: Path,
    *,
    limit: int = JSON_BYTES,
    finite: bool = True,
    hook: Callable[[dict[str, Any]], Any] | None = None,
) -> Any:
    """Parse a JSON file of at most ``limit`` bytes, as :func:`parse_json` does.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: It is too large or no such document; the message begins with the path.
    """
    return parse_json(read_bytes(path, limit), path, finite=finite, hook=hook)


def read_bytes(path: Path, limit: int) -> bytes:
    """All bytes of a file that has at most ``limit``.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: It is larger; not more than the limit is read.
    """
    with path.open("rb") as file:
        content = file.read(limit + 1)
    if len(content) > limit:
        size = max(path.stat().st_size, len(content))
        raise ValueError(f"{path}: {size:,} bytes, but at most {limit:,} are read")
    return content


def check_unpacked(unpacked: int, packed: int, what: str) -> None:
    """Refuse a file that would become far larger than it is, before it does.

    Args:
        unpacked: Bytes that the file says it holds.
        packed: Bytes of the file.
        what: What would be unpacked, for the message.

    Raises:
        ValueError: They are more than both :data:`UNPACKED_BYTES` and :data:`UNPACKED_RATIO` times
            the file's.
    """
    allowed = unpacked_limit(packed)
    if unpacked > allowed:
        raise ValueError(
            f"{what} would unpack to {unpacked:,} bytes from a file of {packed:,}, and at most "
            f"{allowed:,} are taken for that; if the file is meant so, save it without compression "
            "or in parts"
        )


def unpacked_limit(packed: int) -> int:
    """The most bytes that a file of ``packed`` bytes may unpack to."""
    return max(UNPACKED_BYTES, UNPACKED_RATIO * packed)


def is_unicode(text: str) -> bool:
    r"""Whether a string can be written as UTF-8: it has no half of a surrogate pair.

    Example:
        >>> is_unicode("café"), is_unicode("caf\udce9")
        (True, False)
    """
    if text.isascii():
        return True
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def _without_doubles(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        (twice, _), *_ = Counter(name for name, _ in pairs).most_common(1)
        raise ValueError(f"the key {twice!r} stands twice in one object")
    return found


def _finite(text: str) -> float:
    number = float(text)
    return number if math.isfinite(number) else _not_finite(text)


def _not_finite(text: str) -> NoReturn:
    raise ValueError(f"{text[:40]} is no finite number")


def _check_depth(value: Any) -> None:
    level = [value] if isinstance(value, (dict, list)) else []
    for _ in range(DEPTH):
        level = [
            entry
            for item in level
            for entry in (item.values() if isinstance(item, dict) else item)
            if isinstance(entry, (dict, list))
        ]
    if level:
        raise ValueError(f"nested deeper than {DEPTH}")
