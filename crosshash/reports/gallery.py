"""Pages that show what a search finds: one HTML file with its pictures, styles and plots inside."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PIL import Image as PILImage

from crosshash.reports.page import figures, tiles, write_page
from crosshash.reports.page import section as page_section
from crosshash.reports.squares import squares
from crosshash.rgb import to_rgb

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from crosshash.codes import Packed

THUMBNAIL = 280  # Pixels of the longer side: sharp at the page's 140 on a dense screen.


@dataclass(frozen=True)
class Item:
    """A picture, a text, or a pair of both.

    Attributes:
        image: Shown as :func:`to_rgb` makes it.
        text: A text that is searched, or a picture's caption.
        labels: What it is labelled with.
        link: An address that the picture leads to, as that of its file.
        code: Its packed code (k/8,), drawn as squares; in a hit, those that the query's code has
            otherwise are framed.
    """

    image: PILImage.Image | None = None
    text: str | None = None
    labels: Sequence[str] = ()
    link: str | None = None
    code: Packed | None = None


@dataclass(frozen=True)
class Hit:
    """A search result.

    Attributes:
        item: What was found.
        distance: Hamming distance to the query.
        relevant: Whether it shares a label with the query; ``None`` where that is not known.
        probability: How often items at such a distance were relevant; ``None`` if not known.
    """

    item: Item
    distance: int
    relevant: bool | None = None
    probability: float | None = None


@dataclass(frozen=True)
class Query:
    """A query and its hits, nearest first; ``bits`` is the length of codes, for bars."""

    item: Item
    hits: Sequence[Hit]
    bits: int | None = None


@dataclass(frozen=True)
class Section:
    """Queries under one heading, as a rule one direction of search, and how they were chosen."""

    heading: str
    queries: Sequence[Query]
    note: str = ""


def write_gallery(
    path: str | Path,
    *,
    title: str,
    lead: str = "",
    summary: Iterable[tuple[str, Any]] = (),
    sections: Iterable[Section] = (),
    plots: Iterable[tuple[str, Figure]] = (),
) -> Path:
    """Write a page of queries with their hits; it refers to no other file and runs no script.

    Args:
        path: The HTML file; an older one is replaced when the new one is whole.
        title: Heading of the page.
        lead: What one sees, below it.
        summary: (name, value) pairs for the top of the page; floats are shown with 3 decimals.
        sections: Queries and hits; relevant ones are marked by frame, sign and word.
        plots: (what it shows, Matplotlib figure) pairs, drawn into the page.

    Returns:
        ``path``.

    Raises:
        ValueError: An item has neither picture nor text.
    """
    drawn = [tiles(summary), figures(plots), *gallery_parts(sections)]
    return write_page(path, title, drawn, lead=lead)


def gallery_parts(sections: Iterable[Section]) -> list[str]:
    """Pieces of HTML for a page: how to read the hits, and each section.

    Raises:
        ValueError: An item has neither picture nor text.
    """
    parts = list(sections)
    queries = [query for part in parts for query in part.queries]
    hits = [hit for query in queries for hit in query.hits]
    told = [
        _LEGEND_RELEVANT if any(hit.relevant is not None for hit in hits) else "",
        _LEGEND_DISTANCE if hits else "",
        _LEGEND_CODE if any(query.item.code is not None for query in queries) else "",
    ]
    legend = f'<p class="legend">{"".join(told)}</p>' if any(told) else ""
    return [legend, *(_section(part) for part in parts)]


def write_search_gallery(
    path: str | Path,
    query: Item,
    hits: Sequence[Hit],
    *,
    title: str = "Search results",
    summary: Iterable[tuple[str, Any]] = (),
    bits: int | None = None,
) -> Path:
    """Write a page of one query and any number of hits.

    Args:
        path: The HTML file; an older one is replaced when the new one is whole.
        query: What was searched for.
        hits: What was found, nearest first.
        title: Heading of the page.
        summary: (name, value) pairs for the top of the page.
        bits: Length of codes, for bars of distance.

    Returns:
        ``path``.

    Raises:
        ValueError: An item has neither picture nor text.
    """
    section = Section("", [Query(query, hits, bits)])
    return write_gallery(path, title=title, summary=summary, sections=[section])


def _section(section: Section) -> str:
    known = [h.relevant for q in section.queries for h in q.hits if h.relevant is not None]
    found = f"{sum(known)} of {len(known)} results are relevant" if known else ""
    return page_section(section.heading, map(_query, section.queries), (found, section.note))


def _query(query: Query) -> str:
    hits = "\n".join(_hit(rank, hit, query) for rank, hit in enumerate(query.hits, start=1))
    found = f'<ol class="hits">\n{hits}\n</ol>' if hits else '<p class="note">No results.</p>'
    return (
        f'<article>\n<div class="query"><p class="role">Query</p>{_item(query.item, "Query")}</div>'
        f"\n{found}\n</article>"
    )


def _hit(rank: int, hit: Hit, query: Query) -> str:
    kind, sign, word = {
        True: ("relevant", "✓", "relevant"),
        False: ("miss", "✗", "not relevant"),
        None: ("neutral", "", ""),
    }[None if hit.relevant is None else bool(hit.relevant)]
    mark = f'<span class="mark"><span aria-hidden="true">{sign}</span> {word}</span>'
    distance = _measure(f"distance&nbsp;{int(hit.distance)}", hit.distance, query.bits)
    sure = (
        ""
        if hit.probability is None
        else _measure(f"probability&nbsp;{hit.probability:.2f}", hit.probability, 1)
    )
    return (
        f'<li class="{kind}">{_item(hit.item, f"Result {rank}", query.item.code)}'
        f'<p class="facts">{mark if word else ""}{distance}{sure}</p></li>'
    )


def _measure(told: str, value: float, whole: float | None) -> str:
    """A value, with a bar of its share of the whole."""
    share = 0.0 if not whole else min(1.0, max(0.0, value / whole))
    bar = f'<span class="bar"><span style="width:{share:.0%}"></span></span>' if whole else ""
    return f'<span class="measure">{told}{bar}</span>'


def _item(item: Item, role: str, query: Packed | None = None) -> str:
    text = None if item.text is None else item.text.strip()
    if item.image is None and not text:
        raise ValueError(f"{role.lower()}: an item has a picture or a text, got neither")
    parts = []
    if item.image is not None:
        described = f"{role}: {text[:200]}" if text else f"{role}, a picture without description"
        source = _data_uri(item.image)
        picture = f'<img src="{source}" alt="{escape(described)}">'
        parts.append(f'<a href="{escape(item.link)}">{picture}</a>' if item.link else picture)
    if text:
        kind = "text" if item.image is None else "caption"
        parts.append(f'<p class="{kind}" title="{escape(text)}">{escape(text)}</p>')
    if item.labels:
        chips = "".join(f"<li>{escape(label)}</li>" for label in item.labels)
        parts.append(f'<ul class="chips">{chips}</ul>')
    if item.code is not None:
        parts.append(squares(item.code, f"{role}: its code", query))
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


_LEGEND_RELEVANT = (
    '<span class="relevant"><span class="mark">✓ relevant</span>, in a green frame: '
    "shares a label with the query</span>"
    '<span class="miss"><span class="mark">✗ not relevant</span>: shares none</span>'
)
_LEGEND_DISTANCE = "<span>distance: number of bits in which the codes differ</span>"
_LEGEND_CODE = (
    "<span>squares: the bits of a code, filled for +1; framed where a result's differ from "
    "the query's</span>"
)
