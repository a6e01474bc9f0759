"""Pages that show what a search finds: one HTML file with its pictures, styles and plots inside."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from string import Template
from typing import TYPE_CHECKING, Any

from PIL import Image as PILImage

from crosshash.files import atomic_file
from crosshash.reports.plots import to_svg
from crosshash.reports.tables import format_value
from crosshash.rgb import to_rgb

if TYPE_CHECKING:
    from matplotlib.figure import Figure

THUMBNAIL = 280  # Pixels of the longer side: sharp at the page's 140 on a dense screen.


@dataclass(frozen=True)
class Item:
    """A picture, a text, or a pair of both; a picture is shown as :func:`to_rgb` makes it."""

    image: PILImage.Image | None = None
    text: str | None = None


@dataclass(frozen=True)
class Hit:
    """A search result.

    Attributes:
        item: What was found.
        distance: Hamming distance to the query.
        relevant: Whether it shares a label with the query; ``None`` where that is not known.
    """

    item: Item
    distance: int
    relevant: bool | None = None


@dataclass(frozen=True)
class Query:
    """A query and its hits, nearest first."""

    item: Item
    hits: Sequence[Hit]


@dataclass(frozen=True)
class Section:
    """Queries under one heading, as a rule one direction of search."""

    heading: str
    queries: Sequence[Query]


def write_gallery(
    path: str | Path,
    *,
    title: str,
    summary: Iterable[tuple[str, Any]] = (),
    sections: Iterable[Section] = (),
    plots: Iterable[tuple[str, Figure]] = (),
) -> Path:
    """Write a page of queries with their hits; it refers to no other file and runs no script.

    Args:
        path: The HTML file; an older one is replaced when the new one is whole.
        title: Heading of the page.
        summary: (name, value) pairs for the top of the page; floats are shown with 3 decimals.
        sections: Queries and hits; relevant ones are marked by frame, sign and word.
        plots: (what it shows, Matplotlib figure) pairs, drawn into the page.

    Returns:
        ``path``.

    Raises:
        ValueError: An item has neither picture nor text.
    """
    parts = list(sections)
    tiles = "".join(
        f"<div><dt>{escape(name)}</dt><dd>{escape(format_value(value))}</dd></div>"
        for name, value in summary
    )
    drawn = "".join(f"<figure>{to_svg(figure, label)}</figure>" for label, figure in plots)
    hits = [hit for part in parts for query in part.queries for hit in query.hits]
    body = [
        f'<dl class="summary">{tiles}</dl>' if tiles else "",
        f'<div class="plots">{drawn}</div>' if drawn else "",
        _LEGEND if any(hit.relevant is not None for hit in hits) else "",
        *(_section(part) for part in parts),
    ]
    page = _PAGE.substitute(title=escape(title), body="\n".join(filter(None, body)))
    target = Path(path)
    with atomic_file(target) as temporary:
        # Half a surrogate pair, as in an undecodable file name, has no UTF-8 form: it becomes "?".
        temporary.write_bytes(page.encode("utf-8", "replace"))
    return target


def write_search_gallery(
    path: str | Path,
    query: Item,
    hits: Sequence[Hit],
    *,
    title: str = "Search results",
    summary: Iterable[tuple[str, Any]] = (),
) -> Path:
    """Write a page of one query and any number of hits.

    Args:
        path: The HTML file; an older one is replaced when the new one is whole.
        query: What was searched for.
        hits: What was found, nearest first.
        title: Heading of the page.
        summary: (name, value) pairs for the top of the page.

    Returns:
        ``path``.

    Raises:
        ValueError: An item has neither picture nor text.
    """
    section = Section("", [Query(query, hits)])
    return write_gallery(path, title=title, summary=summary, sections=[section])


def _section(section: Section) -> str:
    known = [h.relevant for q in section.queries for h in q.hits if h.relevant is not None]
    note = f'<p class="note">{sum(known)} of {len(known)} results are relevant</p>' if known else ""
    heading = f"<h2>{escape(section.heading)}</h2>" if section.heading else ""
    header = f"<header>{heading}{note}</header>" if heading or note else ""
    queries = "\n".join(_query(query) for query in section.queries)
    return f"<section>{header}\n{queries}\n</section>"


def _query(query: Query) -> str:
    hits = "\n".join(_hit(rank, hit) for rank, hit in enumerate(query.hits, start=1))
    found = f'<ol class="hits">\n{hits}\n</ol>' if hits else '<p class="note">No results.</p>'
    return (
        f'<article>\n<div class="query"><p class="role">Query</p>{_item(query.item, "Query")}</div>'
        f"\n{found}\n</article>"
    )


def _hit(rank: int, hit: Hit) -> str:
    kind, sign, word = {
        True: ("relevant", "✓", "relevant"),
        False: ("miss", "✗", "not relevant"),
        None: ("neutral", "", ""),
    }[None if hit.relevant is None else bool(hit.relevant)]
    mark = f'<span class="mark"><span aria-hidden="true">{sign}</span> {word}</span>'
    return (
        f'<li class="{kind}">{_item(hit.item, f"Result {rank}")}'
        f'<p class="facts">{mark if word else ""}'
        f'<span class="distance">distance&nbsp;{int(hit.distance)}</span></p></li>'
    )


def _item(item: Item, role: str) -> str:
    text = None if item.text is None else item.text.strip()
    if item.image is None and not text:
        raise ValueError(f"{role.lower()}: an item has a picture or a text, got neither")
    parts = []
    if item.image is not None:
        described = f"{role}: {text[:200]}" if text else f"{role}, a picture without description"
        source = _data_uri(item.image)
        parts.append(f'<img src="{source}" alt="{escape(described)}">')
    if text:
        kind = "text" if item.image is None else "caption"
        parts.append(f'<p class="{kind}" title="{escape(text)}">{escape(text)}</p>')
    return "".join(parts)


def _data_uri(image: PILImage.Image) -> str:
    """A thumbnail, as models see the picture, as a data URI: PNG of few colours, else JPEG."""
    small = to_rgb(image).copy()
    small.thumbnail((THUMBNAIL, THUMBNAIL), PILImage.Resampling.LANCZOS)
    buffer = io.BytesIO()
    if small.getcolors(256) is not None:
        kind = "png"
        small.save(buffer, "PNG", optimize=True)
    else:
        kind = "jpeg"
        small.save(buffer, "JPEG", quality=82, optimize=True, progressive=True)
    return f"data:image/{kind};base64,{base64.b64encode(buffer.getvalue()).decode('ascii')}"


_STYLE = """
:root {
  color-scheme: light dark;
  --page: #f6f7f8; --card: #ffffff; --well: #eef0f2; --line: #dfe3e7;
  --ink: #1d2126; --quiet: #5d6670; --good: #1a7f4b; --good-wash: #e6f4ec; --miss: #a3544a;
}
@media (prefers-color-scheme: dark) {
  :root {
    --page: #131619; --card: #1b1f23; --well: #24292e; --line: #31373d;
    --ink: #e5e8eb; --quiet: #9aa4ae; --good: #4fc487; --good-wash: #173226; --miss: #dd9186;
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
.plots {
  display: grid; gap: 0.75rem; margin-top: 0.75rem;
  grid-template-columns: repeat(auto-fit, minmax(min(100%, 26rem), 1fr));
}
.plots > figure { padding: 1rem; }
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
.distance { color: var(--quiet); }
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
@media (max-width: 40rem) {
  article { grid-template-columns: 1fr; }
  .query { border-right: 0; border-bottom: 1px solid var(--line); padding: 0 0 1rem; }
  .query img { max-width: 14rem; }
  .hits { grid-template-columns: repeat(auto-fill, minmax(7.5rem, 1fr)); }
}
@media print {
  article { break-inside: avoid; }
}
"""

_LEGEND = (
    '<p class="legend">'
    '<span class="relevant"><span class="mark">✓ relevant</span>, in a green frame: '
    "shares a label with the query</span>"
    '<span class="miss"><span class="mark">✗ not relevant</span>: shares none</span>'
    "<span>distance: number of bits in which the codes differ</span></p>"
)

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
