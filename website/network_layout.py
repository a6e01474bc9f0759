"""Where the boxes of a network stand in its figure, and where the lines between them run."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Literal

# In pixels of a phone's width, at which the figure is not scaled.
WIDTH, PAD, LINE = 360, 8, 15
BETWEEN, LANE, _GAP, _EDGE = 12, 7, 20, 8

Side = Literal["image", "text", "both"]


@dataclass
class Place:
    """A box with what stands in it, on one side or across both.

    Attributes:
        path: Its name.
        side: Images are on the left.
        lines: Of text.
        style: Class of the style sheet: ``"encoder"``, ``"layer"``, ``"code"``, ``"training"`` or
            ``"step"``.
        reads: Paths of the boxes from which its inputs come.
        words: The same as the lines, in one.
        names: How many of the lines are its name, which is bold.
    """

    path: str
    side: Side
    lines: list[str]
    style: str
    reads: set[str]
    words: str = ""
    names: int = 1
    x: float = 0
    y: float = 0
    width: float = 0

    @property
    def height(self) -> float:
        """In pixels."""
        return 2 * PAD + LINE * len(self.lines)

    @property
    def middle(self) -> float:
        """Of its width."""
        return self.x + self.width / 2


@dataclass
class Rail:
    """A line beside the boxes, from one to others that do not stand right below it."""

    source: Place
    left: bool
    targets: list[Place] = field(default_factory=list)
    lane: int = 0

    @property
    def x(self) -> float:
        """Where it runs."""
        away = 6 + LANE * self.lane
        return self.source.x - away if self.left else self.source.x + self.source.width + away


@dataclass
class Layout:
    """A figure's boxes and lines.

    Attributes:
        groups: Boxes below each other: the network, what only training has, and its steps.
        heads: Height of the line above each group but the first.
        columns: Middle of the images' column, and of the texts'.
        straight: Arrows down, from a place to a height.
        rails: All other lines.
        height: Of the whole.
    """

    groups: list[list[Place]]
    heads: list[float] = field(default_factory=list)
    columns: tuple[float, float] = (0, 0)
    straight: list[tuple[float, float, float]] = field(default_factory=list)
    rails: list[Rail] = field(default_factory=list)
    height: float = 0


def laid_out(groups: list[list[Place]]) -> Layout:
    """Places boxes in the order given, and draws lines to them from what they read.

    Args:
        groups: The last group's boxes are as wide as the figure, close together.
    """
    found = Layout(groups)
    places = {place.path: place for group in groups for place in group}
    lanes = {True: 0, False: 0}
    # Twice: how wide the boxes are depends on how many rails run beside them.
    for _ in range(2):
        _stack(found, _EDGE + LANE * lanes[True], _EDGE + LANE * lanes[False])
        _connect(found, places)
        for left in lanes:
            lanes[left] = max((r.lane + 1 for r in found.rails if r.left == left), default=0)
    return found


def _stack(found: Layout, left: float, right: float) -> None:
    """Gives each box its place between the margins."""
    inner = WIDTH - left - right
    half = (inner - BETWEEN) / 2
    top = {"image": 30.0, "text": 30.0}
    found.columns, found.heads = (left + half / 2, left + half * 1.5 + BETWEEN), []
    for group in found.groups:
        if group is not found.groups[0]:
            lowest = max(top.values())
            found.heads.append(lowest)
            top = dict.fromkeys(top, lowest + 34)
        for place in group:
            columns = list(top) if place.side == "both" else [place.side]
            if place.style == "code":  # both at one height
                lowest = max(top.values())
                rest = [p for p in group if p.style == "code"]
                place.y = lowest if place is rest[0] else rest[0].y
            else:
                place.y = max(top[column] for column in columns)
            place.width = inner if place.side == "both" else half
            place.x = left + (half + BETWEEN if place.side == "text" else 0)
            gap = _GAP
            if place.style == "step":
                place.x, place.width, gap = _EDGE, WIDTH - 2 * _EDGE, 8
            top |= dict.fromkeys(columns, place.y + place.height + gap)
    found.height = max(top.values())


def _connect(found: Layout, places: dict[str, Place]) -> None:
    """Arrows to what stands right below, and rails to the rest, in lanes that do not cross."""
    found.straight = []
    rails: dict[tuple[str, bool], Rail] = {}
    for target in places.values():
        for path in sorted(target.reads & places.keys()):
            source = places[path]
            narrow = source if target.side == "both" else target
            if _nothing_between(source, target, narrow.middle, places.values()):
                found.straight.append((narrow.middle, source.y + source.height, target.y))
                continue
            left = "text" not in (target.side, source.side)
            rails.setdefault((path, left), Rail(source, left)).targets.append(target)
    ends: dict[tuple[bool, int], float] = {}
    for rail in sorted(rails.values(), key=lambda rail: rail.source.y):
        while ends.get((rail.left, rail.lane), -1) > rail.source.y:
            rail.lane += 1
        last = max(rail.targets, key=lambda target: target.y)
        ends[rail.left, rail.lane] = last.y + last.height
    found.rails = list(rails.values())


def _nothing_between(source: Place, target: Place, x: float, places: Iterable[Place]) -> bool:
    """Whether a line straight down at ``x``, from one box to another, crosses none."""
    top, bottom = source.y + source.height, target.y
    both = all(place.x < x < place.x + place.width for place in (source, target))
    crossed = (p for p in places if p.x < x < p.x + p.width and top <= p.y < bottom)
    return both and top < bottom and not any(True for _ in crossed)
