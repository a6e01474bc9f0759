"""Rows of small pictures: what several methods find for the same text, one below the other."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape


@dataclass(frozen=True)
class Thumb:
    """A picture that was found.

    Attributes:
        name: What it is called.
        distance: Hamming distance to the query.
        relevant: Whether it shares a label with the query.
        jpeg: A thumbnail, a JPEG file's bytes; None: its name alone is shown.
    """

    name: str
    distance: int
    relevant: bool
    jpeg: bytes | None = None


@dataclass(frozen=True)
class Strip:
    """What one method found, nearest first."""

    heading: str
    thumbs: Sequence[Thumb]


def strips_block(text: str, columns: Iterable[Sequence[Strip]]) -> str:
    """A text and a row of pictures for each method, as HTML; misses have a sign and a frame.

    Args:
        text: That was asked.
        columns: Methods that stand below each other, and their neighbours where there is room.
    """
    rows = "\n".join(f"<div>{''.join(map(_strip, column))}</div>" for column in columns if column)
    asked = f'<p class="text" title="{escape(text)}">{escape(text)}</p>'
    return (
        f'<article class="strips">\n<div class="query"><p class="role">Query</p>{asked}</div>\n'
        f'<div class="columns">{rows}</div>\n</article>'
    )


def _strip(strip: Strip) -> str:
    thumbs = "".join(map(_thumb, strip.thumbs))
    return (
        f'<div class="strip"><h3>{escape(strip.heading)}</h3>\n<ol class="hits">{thumbs}</ol></div>'
    )


def _thumb(thumb: Thumb) -> str:
    kind, sign, word = (
        ("relevant", "✓", "relevant") if thumb.relevant else ("miss", "✗", "not relevant")
    )
    picture = ""
    if thumb.jpeg is not None:
        source = base64.b64encode(thumb.jpeg).decode("ascii")
        picture = f'<img src="data:image/jpeg;base64,{source}" alt="">'  # its name stands below
    mark = f'<span class="mark" role="img" aria-label="{word}">{sign}</span>'
    return (
        f'<li class="{kind}">{picture}<p class="facts"><span>{mark} {thumb.distance}&nbsp;bits'
        f"</span><span>{escape(thumb.name)}</span></p></li>"
    )
