"""The frame of every page that the library writes: one file, one design, nothing loaded or run."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from html import escape
from pathlib import Path
from string import Template
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from crosshash.files import atomic_file
from crosshash.reports.plots import to_svg
from crosshash.reports.tables import Row, format_value, is_numeric

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def write_page(path: str | Path, title: str, parts: Iterable[str], *, lead: str = "") -> Path:
    """Write a page; an older one is replaced when the new one is whole.

    Args:
        path: The HTML file.
        title: Its heading.
        parts: Pieces of HTML in reading order; empty ones are left out.
        lead: What one sees here, a sentence or two below the heading.

    Returns:
        ``path``.
    """
    body = [f'<p class="lead">{escape(lead)}</p>' if lead else "", *parts]
    page = _PAGE.substitute(title=escape(title), body="\n".join(filter(None, body)))
    target = Path(path)
    with atomic_file(target) as temporary:
        # Half a surrogate pair, as in an undecodable file name, has no UTF-8 form: it becomes "?".
        temporary.write_bytes(page.encode("utf-8", "replace"))
    return target


def tiles(summary: Iterable[tuple[str, Any]]) -> str:
    """(name, value) pairs side by side; floats are shown with 3 decimals."""
    shown = "".join(
        f"<div><dt>{escape(name)}</dt><dd>{escape(format_value(value))}</dd></div>"
        for name, value in summary
    )
    return f'<dl class="summary">{shown}</dl>' if shown else ""


def figures(plots: Iterable[tuple[str, Figure]]) -> str:
    """(what it shows, Matplotlib figure) pairs, each with its caption."""
    drawn = "".join(
        f"<figure>{to_svg(figure, label)}<figcaption>{escape(label)}</figcaption></figure>"
        for label, figure in plots
    )
    return f'<div class="plots">{drawn}</div>' if drawn else ""


def section(heading: str, parts: Iterable[str], notes: Iterable[str] = ()) -> str:
    """Pieces of HTML under a heading, if it has a text, with words on them beside it."""
    title = f"<h2>{escape(heading)}</h2>" if heading else ""
    told = "".join(f'<p class="note">{escape(note)}</p>' for note in notes if note)
    header = f"<header>{title}{told}</header>" if title or told else ""
    inner = "\n".join(filter(None, parts))
    return f"<section>{header}\n{inner}\n</section>"


def folded(heading: str, *parts: str) -> str:
    """Pieces of HTML that are shown where their heading is clicked."""
    return f"<details><summary>{escape(heading)}</summary>{''.join(parts)}</details>"


def table(
    rows: Sequence[Row],
    *,
    digits: int = 3,
    bold: Collection[tuple[int, str]] = (),
    numbers: Collection[str] = (),
    parts: Mapping[int, str] = MappingProxyType({}),
) -> str:
    """A table, one mapping per row; a key that a row lacks leaves its cell empty.

    Columns of numbers stand right-aligned; the first column names the rows.

    Args:
        rows: What stands in it.
        digits: Decimals of floating-point values.
        bold: Cells that stand out, each by the number of its row and its column's name.
        numbers: Columns that stand right-aligned too, such as those of ``0.512 ± 0.003``.
        parts: Headings of groups of rows, each by the number of its first row.
    """
    names = list(dict.fromkeys(name for row in rows for name in row))
    if not names:
        return ""
    right = {name for name in names if name in numbers or is_numeric(rows, name)}
    kinds = {name: ' class="number"' if name in right else "" for name in names}
    head = "".join(f'<th scope="col"{kinds[name]}>{escape(name)}</th>' for name in names)
    lines = []
    for number, row in enumerate(rows):
        if number in parts:
            lines += ["</tbody>\n<tbody>"] if number else []
            told = escape(parts[number])
            lines.append(
                f'<tr class="part"><th scope="rowgroup" colspan="{len(names)}">{told}</th></tr>'
            )
        cells = [escape(format_value(row.get(name), digits)) for name in names]
        strong = [(number, name) in bold for name in names]
        cells = [f"<strong>{c}</strong>" if s else c for c, s in zip(cells, strong, strict=True)]
        first = f'<th scope="row"{kinds[names[0]]}>{cells[0]}</th>'
        rest = [f"<td{kinds[n]}>{c}</td>" for n, c in zip(names[1:], cells[1:], strict=True)]
        lines.append(f"<tr>{first}{''.join(rest)}</tr>")
    # Focusable, so that one without a mouse can move what is wider than the page.
    return (
        f'<div class="table" tabindex="0"><table><thead><tr>{head}</tr></thead>\n'
        f"<tbody>{''.join(lines)}</tbody></table></div>"
    )


def facts(told: Iterable[tuple[str, Any]]) -> str:
    """(name, value) pairs one below the other, for what is read and not compared."""
    rows = "".join(
        f"<div><dt>{escape(name)}</dt><dd>{escape(format_value(value))}</dd></div>"
        for name, value in told
    )
    return f'<dl class="facts-list">{rows}</dl>' if rows else ""


_STYLE = """
:root {
  color-scheme: light dark;
  --page: #f6f7f8; --card: #ffffff; --well: #eef0f2; --line: #dfe3e7;
  --ink: #1d2126; --quiet: #5d6670; --good: #1a7f4b; --good-wash: #e6f4ec; --miss: #a3544a;
  --accent: #2f62c9; --differs: #b4431f;
}
@media (prefers-color-scheme: dark) {
  :root {
    --page: #131619; --card: #1b1f23; --well: #24292e; --line: #31373d;
    --ink: #e5e8eb; --quiet: #9aa4ae; --good: #4fc487; --good-wash: #173226; --miss: #dd9186;
    --accent: #86aefc; --differs: #ff9b6b;
  }
}
* { box-sizing: border-box; margin: 0; }
body {
  background: var(--page); color: var(--ink); line-height: 1.45;
  font-family: system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif;
}
main {
  max-width: 1180px; margin: 0 auto; padding: clamp(1.25rem, 4vw, 3rem) clamp(1rem, 3vw, 2rem);
}
h1 {
  font-size: clamp(1.4rem, 3vw, 1.9rem); font-weight: 650; letter-spacing: -0.015em;
  text-wrap: balance;
}
.lead { max-width: 44rem; margin-top: 0.75rem; font-size: 1.05rem; text-wrap: pretty; }
h2 { font-size: 1.2rem; font-weight: 650; letter-spacing: -0.01em; }
section { margin-top: 2.75rem; }
section > header {
  display: flex; flex-wrap: wrap; align-items: baseline; gap: 0.25rem 1rem; margin-bottom: 0.9rem;
}
.note { color: var(--quiet); font-size: 0.9rem; }
.summary { display: flex; flex-wrap: wrap; gap: 0.75rem; margin-top: 1.5rem; }
.summary > div, .plots > figure, article {
  background: var(--card); border: 1px solid var(--line); border-radius: 12px;
}
.summary > div { flex: 1 1 9rem; max-width: 18rem; padding: 0.75rem 1rem; }
dt { color: var(--quiet); font-size: 0.8rem; }
dd {
  font-size: 1.3rem; font-weight: 600; font-variant-numeric: tabular-nums; overflow-wrap: anywhere;
}
.facts-list, .table { background: var(--card); border: 1px solid var(--line); border-radius: 12px; }
.facts-list { padding: 0.4rem 1rem; }
.facts-list > div {
  display: grid; grid-template-columns: minmax(6rem, 11rem) 1fr; gap: 0 1rem; padding: 0.4rem 0;
}
.facts-list > div + div { border-top: 1px solid var(--line); }
.facts-list dt { font-size: 0.9rem; }
.facts-list dd { font-size: 0.95rem; font-weight: 400; white-space: pre-line; }
.table { margin-top: 0.75rem; padding: 0.4rem 1rem; overflow-x: auto; }
.table + .note, .plots + .note { margin-top: 1.5rem; }
.table:focus-visible { outline: 3px solid var(--accent); outline-offset: 2px; }
details { margin-top: 0.75rem; }
details > summary { color: var(--quiet); font-size: 0.9rem; cursor: pointer; }
details > summary:focus-visible { outline: 3px solid var(--accent); outline-offset: 2px; }
table { border-collapse: collapse; width: 100%; font-size: 0.92rem; }
th, td { padding: 0.4rem 1.75rem 0.4rem 0; text-align: left; white-space: nowrap; }
thead th { color: var(--quiet); font-size: 0.8rem; font-weight: 400; }
tbody th { font-weight: 500; }
tbody .part th { padding-top: 0.9rem; color: var(--quiet); font-size: 0.8rem; }
tbody tr { border-top: 1px solid var(--line); }
.number { text-align: right; font-variant-numeric: tabular-nums; }
.number:last-child { padding-right: 0; }
.plots {
  display: grid; gap: 0.75rem; margin-top: 0.75rem;
  grid-template-columns: repeat(auto-fit, minmax(min(100%, 26rem), 1fr));
}
.plots > figure { padding: 1rem; }
figcaption { color: var(--quiet); font-size: 0.85rem; margin-top: 0.5rem; }
.plots svg {
  display: block; width: 100%; max-width: 46rem; height: auto; margin: 0 auto;
  font-family: inherit;
}
.legend {
  display: flex; flex-wrap: wrap; gap: 0.4rem 1.5rem; margin-top: 2rem; color: var(--quiet);
  font-size: 0.875rem;
}
article {
  display: grid; gap: 1.25rem; padding: 1rem; margin-bottom: 0.9rem;
  grid-template-columns: minmax(9rem, 12rem) 1fr;
}
.query { border-right: 1px solid var(--line); padding-right: 1.25rem; }
.role { color: var(--quiet); font-size: 0.75rem; letter-spacing: 0.04em; margin-bottom: 0.4rem; }
.hits {
  list-style: none; padding: 0; display: grid; gap: 0.75rem;
  grid-template-columns: repeat(auto-fill, minmax(8.5rem, 1fr));
}
.hits > li {
  display: flex; flex-direction: column; border: 2px solid var(--line); border-radius: 10px;
  overflow: hidden;
}
.hits > .relevant { border-color: var(--good); }
.hits > .miss { border-style: dashed; }
.facts {
  display: flex; flex-wrap: wrap; justify-content: space-between; gap: 0 0.5rem; margin-top: auto;
  padding: 0.35rem 0.6rem; font-size: 0.78rem; font-variant-numeric: tabular-nums;
}
.relevant > .facts { background: var(--good-wash); }
.mark { font-weight: 600; white-space: nowrap; }
.relevant .mark { color: var(--good); }
.miss .mark { color: var(--miss); }
.measure { flex: 1 1 5.5rem; color: var(--quiet); }
.bar {
  display: block; height: 4px; margin: 0.1rem 0 0.2rem; border-radius: 2px;
  background: var(--well);
}
.bar > span { display: block; height: 100%; border-radius: 2px; background: var(--accent); }
.chips {
  display: flex; flex-wrap: wrap; gap: 0.25rem; padding: 0; margin-top: 0.4rem; list-style: none;
}
.chips > li { padding: 0 0.5rem; border-radius: 99px; background: var(--well); font-size: 0.75rem; }
.hits .chips, .hits .squares { margin: 0.4rem 0.6rem 0; }
.squares { display: block; width: 4.5rem; height: auto; margin-top: 0.6rem; }
.squares .zero { fill: var(--line); }
.squares .one { fill: var(--accent); }
.squares .other { fill: none; stroke: var(--differs); stroke-width: 0.24; }
a { color: inherit; }
a:focus-visible { outline: 3px solid var(--accent); outline-offset: 2px; }
img { display: block; width: 100%; aspect-ratio: 1; object-fit: contain; background: var(--well); }
.query img { border-radius: 8px; }
.text, .caption {
  display: -webkit-box; -webkit-box-orient: vertical; overflow: hidden; overflow-wrap: anywhere;
}
.text { -webkit-line-clamp: 7; line-clamp: 7; }
.hits .text { padding: 0.6rem 0.6rem 0; font-size: 0.92rem; }
.query .text { font-size: 1.1rem; font-weight: 550; -webkit-line-clamp: 12; line-clamp: 12; }
.caption { -webkit-line-clamp: 3; line-clamp: 3; color: var(--quiet); font-size: 0.82rem; }
.hits .caption { padding: 0.45rem 0.6rem 0; }
.query .caption { margin-top: 0.5rem; }
.strips { grid-template-columns: minmax(0, 1fr); }
.strips > .query { border-right: 0; border-bottom: 1px solid var(--line); padding: 0 0 1rem; }
.columns {
  display: grid; gap: 0.9rem 1.5rem;
  grid-template-columns: repeat(auto-fit, minmax(min(100%, 24rem), 1fr));
}
.strip + .strip { margin-top: 0.9rem; }
h3 { margin-bottom: 0.3rem; font-size: 0.85rem; font-weight: 600; }
.strip .hits {
  grid: auto-flow / repeat(5, minmax(0, 8rem)); gap: 0.4rem; overflow: visible; padding: 0;
}
.strip .miss { border-color: var(--miss); }
.strip .facts { padding: 0.25rem 0.4rem; font-size: 0.72rem; overflow-wrap: anywhere; }
@media (max-width: 40rem) {
  .facts-list > div { grid-template-columns: 1fr; }
  th, td { padding-right: 1.1rem; }
  article { grid-template-columns: 1fr; }
  .query { border-right: 0; border-bottom: 1px solid var(--line); padding: 0 0 1rem; }
  .query img { max-width: 14rem; }
  .hits {  /* a strip to swipe, so that a page of many queries stays short */
    grid-template-columns: none; grid-auto-flow: column; grid-auto-columns: 9rem;
    overflow-x: auto; overscroll-behavior-x: contain; scroll-snap-type: x proximity;
    padding-bottom: 0.5rem;
  }
  .hits > li { scroll-snap-align: start; }
}
@media print {
  article { break-inside: avoid; }
}
"""

# The policy lets the browser load nothing: whatever the page shows is in the file itself.
_PAGE = Template(
    """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" \
content="default-src 'none'; img-src data:; style-src 'unsafe-inline'">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>$title</title>
<style>"""
    + _STYLE
    + """</style>
</head>
<body>
<main>
<h1>$title</h1>
$body
</main>
</body>
</html>
"""
)
