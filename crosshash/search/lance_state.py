"""What an index in LanceDB is at one time: a file beside its table, which says what holds."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from crosshash.codes import check_bits
from crosshash.search.engine import CorruptIndexError
from crosshash.search.manifest import check_metadata, write_header
from crosshash.untrusted import read_json

_FORMAT = "crosshash-lancedb"
_VERSION = 1


@dataclass(frozen=True)
class State:
    """The state of an index.

    Attributes:
        bits: Code length k.
        version: That of the table that holds; later ones are of a change that was not finished.
        following: The order of the next item.
        lists: How many lists the index for approximate search has; None: there is none.
        listed: The least order of the items that came after it, and are in none of its lists.
        info: What is remembered of the whole.
    """

    bits: int
    version: int
    following: int = 0
    lists: int | None = None
    listed: int = 0
    info: dict[str, Any] = field(default_factory=dict)


def write_state(path: Path, state: State) -> None:
    """Put a state in the place of the last one, on the disk when this returns.

    Raises:
        TypeError: ``info`` cannot be written as JSON and read back the same.
    """
    check_metadata(state.info)
    write_header(path, {"format": _FORMAT, "format_version": _VERSION, **asdict(state)})


def read_state(path: Path) -> State:
    """The state that a file tells, checked.

    Raises:
        FileNotFoundError: There is none.
        CorruptIndexError: It is damaged, or another file.
        ValueError: It was written by a later version of the format.
    """
    try:
        held = read_json(path)
    except ValueError as error:
        raise CorruptIndexError(path, str(error).removeprefix(f"{path}: ")) from error
    if not isinstance(held, dict) or held.pop("format", None) != _FORMAT:
        raise CorruptIndexError(path, f"not the state of an index in LanceDB (format {_FORMAT!r})")
    if (version := held.pop("format_version", None)) != _VERSION:
        raise ValueError(
            f"{path}: written by a later version (format {version!r}, known is {_VERSION}); update "
            "crosshash"
        )
    try:
        return _checked(held)
    except (TypeError, ValueError) as error:
        raise CorruptIndexError(path, f"not the state of an index ({error})") from error


def _checked(held: dict[str, Any]) -> State:
    state = State(**held)
    numbers = {"bits": (state.bits, 8), "version": (state.version, 1)}
    numbers |= {"following": (state.following, 0), "listed": (state.listed, 0)}
    if state.lists is not None:
        numbers["lists"] = (state.lists, 1)
    for name, (number, least) in numbers.items():
        # A bool is an int too, and no number of bits.
        if type(number) is not int or number < least:
            raise ValueError(f"{name!r} is no number from {least}, but {number!r}")
    if not isinstance(state.info, dict):
        raise ValueError("'info' is no JSON object")
    check_bits(state.bits)
    return state
