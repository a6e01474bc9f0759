"""Damage, by seed: bytes of any file, and values of JSON files, as accidents and hands make it."""

from __future__ import annotations

import json
import random
import warnings
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

Damage = Callable[[random.Random, bytes], bytes]


def _place(draw: random.Random, content: bytes) -> int:
    """Any place, the head of a file as often as all the rest."""
    most = min(len(content), 256) if draw.random() < 0.5 else len(content)
    return draw.randrange(max(1, most))


def flip(draw: random.Random, content: bytes) -> bytes:
    """One to four bits."""
    changed = bytearray(content)
    for _ in range(draw.randint(1, 4) if content else 0):
        changed[_place(draw, content)] ^= 1 << draw.randrange(8)
    return bytes(changed)


def cut(draw: random.Random, content: bytes) -> bytes:
    return content[: _place(draw, content)]


def grow(draw: random.Random, content: bytes) -> bytes:
    return content + draw.randbytes(draw.randint(1, 64))


def blank(draw: random.Random, content: bytes) -> bytes:
    """A span of zeros, as after a crash of the file system."""
    start = _place(draw, content)
    span = len(content[start : start + draw.choice([4, 64, 512, 4096])])
    return content[:start] + bytes(span) + content[start + span :]


def repeat(draw: random.Random, content: bytes) -> bytes:
    """A span twice."""
    start = _place(draw, content)
    stop = start + draw.choice([1, 8, 512])
    return content[:stop] + content[start:]


def leave_out(draw: random.Random, content: bytes) -> bytes:
    start = _place(draw, content)
    return content[:start] + content[start + draw.choice([1, 8, 512]) :]


def foreign(draw: random.Random, content: bytes) -> bytes:
    """What is no such file at all."""
    others = [b"", b"\0", b"{}", b"[]", b"null", b"\xff\xd8\xff", b"PK\x03\x04", b"version https"]
    return draw.choice([*others, draw.randbytes(200), b"[" * 100_000, b"9" * 10_000])


DAMAGES: Sequence[Damage] = (flip, flip, flip, cut, grow, blank, repeat, leave_out, foreign)


def damage(draw: random.Random, content: bytes) -> bytes:
    """One of all kinds."""
    return draw.choice(DAMAGES)(draw, content)


def edit_json(draw: random.Random, content: bytes) -> bytes:
    """Another value, a key more or less, or two values in each other's place."""
    values = json.loads(content)
    places = list(_places(values))
    if not places:
        return b"{}"
    holder, key = draw.choice(places)
    what = draw.randrange(4)
    if what == 0:
        del holder[key]
    elif what == 1:
        other, place = draw.choice(places)
        holder[key], other[place] = other[place], holder[key]
    elif what == 2 and isinstance(holder, dict):
        holder[draw.choice(["extra", "name", "weights", "dim", ""])] = draw.choice([1, "x", None])
    else:
        holder[key] = _other(draw, holder[key])
    try:
        return json.dumps(values).encode("utf-8", "surrogatepass")
    except (ValueError, RecursionError):  # a value within itself
        return b"{"


def _places(value: Any) -> Any:
    if isinstance(value, dict):
        for key, inner in value.items():
            yield value, key
            yield from _places(inner)
    elif isinstance(value, list):
        for key, inner in enumerate(value):
            yield value, key
            yield from _places(inner)


def _other(draw: random.Random, value: Any) -> Any:
    deep: Any = 0
    for _ in range(draw.choice([1, 200])):
        deep = [deep]
    strange = [
        None,
        True,
        -1,
        0,
        7,
        1e308,
        10**30,
        float("nan"),
        "",
        "x",
        "../x",
        "\x1b[2J",
        [],
        {},
    ]
    if isinstance(value, bool) or not isinstance(value, int | float):
        return draw.choice([*strange, deep])
    return draw.choice([*strange, value + 1, value - 1, -value, value * 2, value / 2, str(value)])


class Tally(Counter[str]):
    """How attempts ended: ``clear error``, ``correct``; anything else is a fault."""

    faults: list[str]

    def __init__(self) -> None:
        super().__init__()
        self.faults = []

    def attempt(
        self,
        name: str,
        attempt: Callable[[], bool],
        errors: tuple[type[Exception], ...],
        named: str = "",
    ) -> None:
        """Count one: it raises one of the errors, or says whether its result is correct.

        Args:
            name: Of the attempt.
            attempt: What is tried.
            errors: What it may raise.
            named: What an error has to name.
        """
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                ended = "correct" if attempt() else "another result"
        except errors as error:
            told = named in str(error) and str(error).strip()
            ended = "clear error" if told else f"no name of the file: {error}"[:300]
        except Exception as error:  # noqa: BLE001  (any other is what is sought)
            ended = f"{type(error).__name__}: {error}"[:300]
        self[ended] += 1
        if ended not in ("clear error", "correct"):
            self.faults.append(f"{name}: {ended}")

    def check(self, what: str, count: int) -> None:
        """Nothing else than errors and correct results, and some of them errors."""
        print(f"{what}: {count} tried, {dict(self)}")
        assert not self.faults, "\n".join(self.faults[:20])
        assert sum(self.values()) == count
        assert self["clear error"] > count // 20


def changed_file(folder: Path, name: str, change: Damage, draw: random.Random) -> None:
    """Damage one file of a folder."""
    path = folder / name
    path.write_bytes(change(draw, path.read_bytes()))
