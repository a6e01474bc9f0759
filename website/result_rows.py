"""The rows of the tables in benchmarks/RESULTS.md that are about one method."""

from __future__ import annotations

import re
from collections.abc import Iterator

from page import text

RESULTS = "benchmarks/RESULTS.md"


def rows_of(method: str) -> str:
    """All tables that have rows of the method, cut down to these, below links to where they stand.

    Args:
        method: Registered name. A row is about it whose first cell begins with it, as in ``dcmh``,
            ``dcmh/wiki-64``, ``dcmh-wiki-64``, ``CCA-ITQ, 64 bits``, and those below that have no
            first cell.
    """
    parts = []
    for heading, lines in tables():
        rows = _rows(lines[2:], method)
        if rows:
            where = f"### [{heading}]({RESULTS}#{_anchor(heading)})" if heading else ""
            if where in parts:
                where = ""
            parts += [where, "\n".join([*lines[:2], *rows])]
    return "\n\n".join(part for part in parts if part)


def tables() -> Iterator[tuple[str, list[str]]]:
    """Each table, as its lines, and the heading that it stands below."""
    heading, found = "", list[str]()
    for line in [*text(RESULTS).splitlines(), ""]:
        if line.startswith("|"):
            found.append(line)
            continue
        if found:
            yield heading, found
            found = []
        if line.startswith("#"):
            heading = line.lstrip("# ")


def _rows(lines: list[str], method: str) -> list[str]:
    rows, inside = [], False
    for line in lines:
        first = line.strip("|").partition("|")[0].strip().lower().replace("-", "_")
        if first:
            inside = re.match(rf"{re.escape(method)}(?![a-z0-9])", first) is not None
        if inside:
            rows.append(line)
    return rows


def _anchor(heading: str) -> str:
    """The anchor that both GitHub and the site give to a heading of RESULTS.md."""
    return re.sub(r"\s+", "-", re.sub(r"[^\w\s-]", "", heading).strip().lower())
