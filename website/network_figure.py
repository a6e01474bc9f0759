"""A figure of a method's network as SVG, in the colours of the page it stands in."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable
from html import escape
from pathlib import Path
from typing import Any

from matplotlib import get_data_path
from network_layout import BETWEEN, LANE, LINE, PAD, WIDTH, Layout, Place, Rail, Side, laid_out
from network_trace import Box
from networks import Drawn, Step
from PIL import ImageFont

SIZE = 12  # of letters
_HEADS: dict[Side, str] = {"image": "Images", "text": "Texts", "both": "Images and texts"}


def figure(method: str, found: Drawn) -> str:
    """The figure of a method's network.

    Args:
        method: As papers write it.
        found: What is known of it.
    """
    network, training = _network(found), _training(found)
    steps = [_step(number, step) for number, step in enumerate(found.steps, 1)]
    named = {"": network, "only in training": training, "steps of training": steps}
    named = {name: group for name, group in named.items() if group}
    layout = laid_out(list(named.values()))
    parts = [
        _words(x, 18, head) for x, head in zip(layout.columns, ("images", "texts"), strict=True)
    ]
    parts += [_apart(y, head) for y, head in zip(layout.heads, list(named)[1:], strict=True)]
    parts += _lines(layout)
    parts += [_box(place) for group in layout.groups for place in group]
    about = escape(described([*network, *training], found.steps))
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {layout.height:g}" '
        f'role="img" aria-labelledby="network-title network-about" font-size="{SIZE}">\n'
        f'<title id="network-title">The network of {escape(method)}</title>\n'
        f'<desc id="network-about">{about}</desc>\n' + "\n".join(parts) + "\n</svg>"
    )


def described(places: Iterable[Place], steps: Iterable[Step]) -> str:
    """The same in words."""
    told: dict[str, list[str]] = {}
    for place in places:
        if place.style != "code":
            kind = "Only in training" if place.style == "training" else _HEADS[place.side]
            told.setdefault(kind, []).append(place.words)
    parts = [f"{kind}: {'; '.join(lines)}." for kind, lines in told.items()]
    names = [f"{step.phase} ({', '.join(step.terms) or 'closed form'})" for step in steps]
    return " ".join([*parts, f"Steps of training: {'; '.join(names)}."])


def _network(found: Drawn) -> list[Place]:
    places = []
    for box in _ordered(found.boxes):
        side: Side = found.sides[box.path]  # type: ignore[assignment]
        name = found.names.get(box.path)
        kind = name or box.kind
        if name and box.path != "text" and name != "features":
            kind += ", frozen" if box.path in found.frozen else ", trained"
        style = "encoder" if name else "layer"
        places.append(_place(box, kind, side, style, box.reads))
    bits = f"signs: {found.bits} bits"
    places.append(Place("F", "image", ["F", bits], "code", found.ends["F"]))
    places.append(Place("G", "text", ["G", bits], "code", found.ends["G"]))
    return places


def _training(found: Drawn) -> list[Place]:
    sides = dict(found.sides)
    places = []
    boxes = found.boxes.keys() | found.training.keys()
    for box in _ordered(found.training):
        # What a bank keeps is read from the bank.
        reads = {name if name in boxes else name.rpartition(".")[0] for name in box.reads}
        behind = {sides[path] for path in reads if path in sides}
        sides[box.path] = behind.pop() if len(behind) == 1 else "both"
        side: Side = sides[box.path]  # type: ignore[assignment]
        places.append(_place(box, box.kind, side, "training", reads))
    return places


def _step(number: int, step: Step) -> Place:
    name = f"{number}. {step.phase}" + (", before the first epoch" if step.once else "")
    room = WIDTH - 16 - 2 * PAD
    terms = wrapped(", ".join(step.terms) or "in closed form", room)
    return Place(f"step {number}", "both", [*wrapped(name, room, bold=True), *terms], "step", set())


def _ordered(boxes: dict[str, Box]) -> list[Box]:
    """In the order of their calls, but each after all that it reads."""
    rest, done = dict(boxes), []
    while rest:
        ready = (path for path, box in rest.items() if not box.reads & rest.keys() - {path})
        done.append(rest.pop(next(ready, next(iter(rest)))))
    return done


def _place(box: Box, kind: str, side: Side, style: str, reads: set[str]) -> Place:
    """Name, class, and widths, none wider than the box."""
    # As if there were as many rails beside it as any figure has.
    inner = WIDTH - 16 - 6 * LANE
    room = inner - 2 * PAD if side == "both" else (inner - BETWEEN) / 2 - PAD
    shown = " → ".join(box.widths[:1] if len(set(box.widths)) == 1 else box.widths)
    names = wrapped(box.path, room, bold=True)
    lines = [*names, *wrapped(kind, room), *wrapped(shown, room)]
    words = f"{box.path}, {kind}, {shown}"
    return Place(box.path, side, lines, style, reads, words, len(names))


def wrapped(text: str, room: float, *, bold: bool = False) -> list[str]:
    """Lines no wider than ``room``, broken behind blanks, dots, underscores and before capitals."""
    lines = [""]
    for part in re.split(r"(?<=[ ._])(?! )|(?<=[a-z])(?=[A-Z])", text):
        if lines[-1] and text_width((lines[-1] + part).rstrip(), bold=bold) > room:
            lines.append("")
        lines[-1] += part
    return [line.strip() for line in lines]


def text_width(text: str, *, bold: bool = False) -> float:
    """Pixels of a line in DejaVu Sans, whose letters are wider than those of most systems."""
    return float(_font(bold).getlength(text))


@functools.cache
def _font(bold: bool) -> Any:
    name = "DejaVuSans-Bold.ttf" if bold else "DejaVuSans.ttf"
    return ImageFont.truetype(str(Path(get_data_path()) / "fonts" / "ttf" / name), SIZE)


def _lines(layout: Layout) -> list[str]:
    parts = [_line([(x, y), (x, end)]) + _arrow(x, end, 0, 1) for x, y, end in layout.straight]
    return parts + [part for rail in layout.rails for part in _rail(rail)]


def _rail(rail: Rail) -> list[str]:
    """A trunk beside the boxes, and a branch to each."""
    source, x = rail.source, rail.x
    edge, start = source.x + (0 if rail.left else source.width), source.y + source.height - 10
    heights = [target.y + 12 for target in rail.targets]
    parts = [_line([(edge, start), (x, start), (x, max(heights))])]
    for target, y in zip(rail.targets, heights, strict=True):
        end = target.x + (0 if rail.left else target.width)
        parts.append(_line([(x, y), (end, y)]) + _arrow(end, y, 1 if rail.left else -1, 0))
    return parts


def _line(points: Iterable[tuple[float, float]]) -> str:
    return f'<polyline points="{" ".join(f"{x:g},{y:g}" for x, y in points)}"/>'


def _arrow(x: float, y: float, dx: int, dy: int) -> str:
    """A head whose point is at (x, y)."""
    back = [(x - 6 * dx + half * dy, y - 6 * dy + half * dx) for half in (-3.5, 3.5)]
    corners = [(x, y), *back]
    return f'<polygon points="{" ".join(f"{a:g},{b:g}" for a, b in corners)}"/>'


def _apart(y: float, head: str) -> str:
    line = f'<line x1="8" x2="{WIDTH - 8}" y1="{y:g}" y2="{y:g}"/>'
    return line + _words(WIDTH / 2, y + 21, head)


def _words(x: float, y: float, words: str) -> str:
    return f'<text class="head" x="{x:g}" y="{y:g}">{words}</text>'


def _box(place: Place) -> str:
    parts = [
        f'<rect class="{place.style}" x="{place.x:g}" y="{place.y:g}" width="{place.width:g}" '
        f'height="{place.height:g}" rx="{12 if place.style == "code" else 4}"/>'
    ]
    for number, line in enumerate(place.lines):
        y = place.y + PAD + LINE * (number + 0.75)
        weight = ' font-weight="700"' if number < place.names else ""
        parts.append(f'<text x="{place.middle:g}" y="{y:g}"{weight}>{escape(line)}</text>')
    return "".join(parts)
