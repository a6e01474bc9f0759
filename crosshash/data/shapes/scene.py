"""The contents of a random scene of coloured shapes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

Choice = TypeVar("Choice")

KINDS = (
    "circle",
    "square",
    "triangle",
    "star",
    "cross",
    "heart",
    "moon",
    "arrow",
    "house",
    "fish",
    "tree",
    "flower",
)
# Settings are labels. The other backgrounds are not, and come in the same colours.
SETTINGS = ("night", "sea", "snow", "meadow")
BACKGROUNDS = ("plain", "gradient", "stripes", "checks", "speckles")
SETTING_SHARE = 0.45  # of all scenes
COUNT_SHARES = (0.36, 0.34, 0.20, 0.10)  # of scenes with one to four shapes
OUTLINE_SHARE = 0.2

COLOURS: dict[str, tuple[int, int, int]] = {
    "red": (205, 35, 40),
    "orange": (240, 140, 30),
    "yellow": (245, 215, 50),
    "green": (45, 150, 65),
    "blue": (45, 85, 205),
    "purple": (130, 55, 165),
    "pink": (240, 130, 180),
    "brown": (125, 75, 40),
    "black": (25, 25, 30),
    "white": (245, 245, 245),
}


@dataclass(frozen=True)
class Item:
    """One shape; centre and radius in parts of the picture's side, angle in degrees."""

    kind: str
    colour: str
    x: float
    y: float
    radius: float
    angle: float
    mirrored: bool
    outline: bool


@dataclass(frozen=True)
class Scene:
    """A background and the shapes before it."""

    background: str
    items: tuple[Item, ...]


def chance(rng: np.random.Generator, probability: float) -> bool:
    """True with that probability."""
    return bool(rng.random() < probability)


def uniform(rng: np.random.Generator, low: float, high: float) -> float:
    """A number in [low, high)."""
    return low + (high - low) * float(rng.random())


def pick(rng: np.random.Generator, choices: Sequence[Choice]) -> Choice:
    """One of the choices; from ``random()`` like all draws here, the plainest of NumPy's streams.

    NumPy may change how ``choice`` or ``normal`` consume the generator between releases.
    """
    return choices[int(rng.random() * len(choices))]


def sample_scene(rng: np.random.Generator) -> Scene:
    """Draw what is in a scene: a background and one to four shapes that hardly overlap."""
    background = pick(rng, SETTINGS if chance(rng, SETTING_SHARE) else BACKGROUNDS)
    count = 1 + int(np.searchsorted(np.cumsum(COUNT_SHARES)[:-1], rng.random(), side="right"))
    items: list[Item] = []
    for _ in range(count):
        radius = uniform(rng, 0.18, 0.27) * (1.15, 1.0, 0.95, 0.85)[count - 1]
        x, y = _place(rng, radius, items)
        items.append(
            Item(
                kind=pick(rng, KINDS),
                colour=pick(rng, tuple(COLOURS)),
                x=x,
                y=y,
                radius=radius,
                angle=uniform(rng, -20, 20),
                mirrored=chance(rng, 0.5),
                outline=chance(rng, OUTLINE_SHARE),
            )
        )
    return Scene(background, tuple(items))


def _place(rng: np.random.Generator, radius: float, items: list[Item]) -> tuple[float, float]:
    """The first of some random places that is clear of the other shapes, or the clearest."""
    best, best_gap = (0.5, 0.5), -math.inf
    for _ in range(30):
        x, y = uniform(rng, radius, 1 - radius), uniform(rng, radius, 1 - radius)
        gaps = [math.hypot(x - item.x, y - item.y) / (radius + item.radius) for item in items]
        gap = min(gaps, default=math.inf)
        if gap > best_gap:
            best, best_gap = (x, y), gap
        if gap > 0.95:
            break
    return best
