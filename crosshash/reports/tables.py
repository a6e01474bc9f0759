"""Tables of figures, for the terminal (rich) and for documents (Markdown)."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from numbers import Integral, Real
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.table import Table

Row = Mapping[str, Any]
# Control characters (C0, DEL and C1), ends of lines, marks that turn the direction of what follows,
# and halves of characters, as undecodable file names have them.
_UNSEEN = re.compile("[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


def visible(text: str, *, keep: str = "") -> str:
    """Text in which what would steer a terminal is spelt out, by its number.

    File names, ids, captions and labels are others' words: unescaped, they could colour, hide or
    overwrite what stands beside them.

    Args:
        text: Any.
        keep: Characters to leave, such as the ends of the lines of a text that has some.
    """
    return _UNSEEN.sub(lambda found: found[0] if found[0] in keep else _spelt(found[0]), text)


def _spelt(character: str) -> str:
    number = ord(character)
    return f"\\x{number:02x}" if number < 0x100 else f"\\u{number:04x}"


def map_rows(
    i2t: float,
    t2i: float,
    chance: float | tuple[float, float] | None = None,
    learned: tuple[float, float] | None = None,
    within: tuple[float, float] | None = None,
) -> list[dict[str, Any]]:
    """Rows of MAP in both directions and their mean, beside chance.

    Args:
        i2t: MAP of image queries over texts, in 0…1.
        t2i: MAP of text queries over images, in 0…1.
        chance: What random codes would reach, for both directions or for each; ``None`` leaves
            its columns out.
        learned: MAP in both directions where searched pairs that were trained on have their learned
            codes: further rows, and a column ``database`` that tells them from ``encoded``.
        within: MAP of image queries over images and of text queries over texts, which have rows
            below the mean and no part in it.
    """
    if learned is not None:
        both = {
            "encoded": map_rows(i2t, t2i, chance, within=within),
            "learned": map_rows(*learned, chance),
        }
        return [{"database": name, **row} for name, rows in both.items() for row in rows]
    found = {"image → text": i2t, "text → image": t2i, "mean": (i2t + t2i) / 2}
    if within is not None:
        found |= dict(zip(("image → image", "text → text"), within, strict=True))
    rows: list[dict[str, Any]] = [{"direction": name, "MAP": v} for name, v in found.items()]
    if chance is not None:
        first, second = chance if isinstance(chance, tuple) else (chance, chance)
        # Chance is a matter of the queries' and items' labels, whatever the modality.
        levels = (first, second, (first + second) / 2, first, second)
        for row, level in zip(rows, levels, strict=False):
            row["chance"] = level
            row["× chance"] = f"{row['MAP'] / level:.1f}" if level > 0 else ""
    return rows


def rich_table(
    rows: Sequence[Row],
    *,
    title: str | None = None,
    columns: Sequence[str] | None = None,
    digits: int = 3,
) -> Table:
    """A table for the terminal; numbers stand right-aligned, text is shown as it is.

    Control characters and the like are spelt out (:func:`visible`), so that a cell is one line.

    Where the terminal is too narrow, text is folded and numbers stay whole; nothing is cut off.

    Args:
        rows: One mapping per row; a key that a row lacks leaves its cell empty.
        title: Line above the table.
        columns: Which keys to show, in this order; by default all, as they first appear.
        digits: Decimals of floating-point values.

    Raises:
        ValueError: A column is in none of the rows.
    """
    from rich import box
    from rich.table import Table
    from rich.text import Text

    names = _columns(rows, columns)
    # Text objects, because rich would read "[red]" in a caption or a path as markup.
    table = Table(
        title=None if title is None else Text(visible(title), style="bold"),
        title_justify="left",
        box=box.SIMPLE_HEAD,
        pad_edge=False,
    )
    cells = {name: [visible(format_value(row.get(name), digits)) for row in rows] for name in names}
    for name in names:
        if is_numeric(rows, name):
            whole = max(map(len, cells[name]))
            table.add_column(Text(visible(name)), justify="right", overflow="fold", min_width=whole)
        else:
            table.add_column(Text(visible(name)), overflow="fold", min_width=4)
    for line in zip(*cells.values(), strict=True):
        table.add_row(*map(Text, line))
    return table


def map_table(
    i2t: float,
    t2i: float,
    *,
    chance: float | tuple[float, float] | None = None,
    learned: tuple[float, float] | None = None,
    within: tuple[float, float] | None = None,
    title: str | None = "Mean average precision",
) -> Table:
    """``map_rows`` as a table for the terminal."""
    return rich_table(map_rows(i2t, t2i, chance, learned, within), title=title)


def markdown_table(
    rows: Sequence[Row], *, columns: Sequence[str] | None = None, digits: int = 3
) -> str:
    """A GitHub-flavoured Markdown table, columns padded so that it also reads as plain text.

    Args:
        rows: One mapping per row; a key that a row lacks leaves its cell empty.
        columns: Which keys to show, in this order; by default all, as they first appear.
        digits: Decimals of floating-point values.

    Returns:
        Lines that each end in a newline.

    Raises:
        ValueError: There are no columns, or a column is in none of the rows.
    """
    names = _columns(rows, columns)
    if not names:
        raise ValueError("a Markdown table needs at least one column, got no rows and no columns")
    cells = [[_escape(name) for name in names]]
    cells += [[_escape(format_value(row.get(name), digits)) for name in names] for row in rows]
    widths = [max(3, *(len(line[column]) for line in cells)) for column in range(len(names))]
    right = [is_numeric(rows, name) for name in names]
    rule = ["-" * (w - 1) + ":" if r else "-" * w for w, r in zip(widths, right, strict=True)]
    lines = [
        [c.rjust(w) if r else c.ljust(w) for c, w, r in zip(line, widths, right, strict=True)]
        for line in cells
    ]
    return "".join(f"| {' | '.join(line)} |\n" for line in [lines[0], rule, *lines[1:]])


def format_value(value: Any, digits: int = 3) -> str:
    """A figure as people read it: floats to ``digits`` decimals, thousands apart, None empty."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, Integral):
        return f"{int(value):,}"
    if isinstance(value, Real):
        return f"{float(value):.{digits}f}"
    return str(value)


def format_seconds(seconds: float) -> str:
    """A span of time as people say it, by its two largest units.

    Example:
        >>> format_seconds(0.012), format_seconds(83.4), format_seconds(7260)
        ('12 ms', '1 min 23 s', '2 h 1 min')
    """
    if seconds < 1:
        return f"{1000 * max(seconds, 0):.0f} ms"
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    for unit, size, lesser, part in (("d", 86400, "h", 3600), ("h", 3600, "min", 60)):
        if whole >= size:
            return f"{whole // size} {unit} {whole % size // part} {lesser}"
    return f"{whole // 60} min {whole % 60} s" if whole >= 60 else f"{whole} s"


def _columns(rows: Sequence[Row], columns: Sequence[str] | None) -> list[str]:
    present = list(dict.fromkeys(name for row in rows for name in row))
    if columns is None:
        return present
    unknown = [name for name in columns if name not in present]
    if rows and unknown:
        raise ValueError(f"no row has {', '.join(unknown)}; the rows have {', '.join(present)}")
    return list(columns)


def is_numeric(rows: Sequence[Row], name: str) -> bool:
    """Whether a column holds numbers, or numbers written out, and nothing else."""
    values = [row[name] for row in rows if row.get(name) not in (None, "")]
    return bool(values) and all(_is_number(value) for value in values)


def _is_number(value: Any) -> bool:
    if isinstance(value, str):
        return value.removeprefix("-").replace(".", "", 1).isdecimal()
    return isinstance(value, Real) and not isinstance(value, bool)


def _escape(text: str) -> str:
    """Cell text that cannot end its cell or its row."""
    return " ".join(text.replace("\\", "\\\\").replace("|", "\\|").split())
