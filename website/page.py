"""What a page that is made when the site is built consists of."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]


@dataclass(frozen=True)
class Made:
    """A page that does not stand in ``docs``.

    Attributes:
        uri: Its place among the pages: ``"methods/dcmh.md"``. What does not end in ``.md`` is a
            file to download, which no navigation shows.
        write: Gives its text, Markdown whose links are relative to ``base``.
        stands_for: Files and folders of the repository; links to them lead to this page.
        base: Folder of the repository that its links are relative to.
    """

    uri: str
    write: Callable[[], str]
    stands_for: tuple[str, ...] = ()
    base: str = "."


def text(name: str) -> str:
    """A file of the repository."""
    return (ROOT / name).read_text(encoding="utf-8")


def section(markdown: str, title: str) -> str:
    """What stands below a heading of the second rank, up to the next one.

    Raises:
        ValueError: There is no such heading.
    """
    _, found, rest = f"\n{markdown}".partition(f"\n## {title}\n")
    if not found:
        raise ValueError(f"no heading {title!r}")
    return rest.partition("\n## ")[0].strip()


def fenced(code: str, language: str) -> str:
    """Code as a block of Markdown, whatever fences are in it."""
    fence = "`" * (4 if "```" in code else 3)
    return f"{fence}{language}\n{code.strip()}\n{fence}"


def table(head: list[str], rows: list[list[str]]) -> str:
    """A table of Markdown."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
