"""The pixels of a scene of shapes."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
from PIL import Image as PILImage
from PIL import ImageDraw

from crosshash.data.shapes.scene import COLOURS, Item, Scene, pick, uniform

Rgb = tuple[int, int, int]
Points = list[tuple[float, float]]
Field = npt.NDArray[np.float64]

OVERSAMPLING = 3  # shapes are drawn on a finer grid and averaged, for smooth edges


def _arc(start: float, stop: float, radius: float = 1.0, x: float = 0.0, n: int = 24) -> Points:
    angles = [math.radians(start + (stop - start) * i / n) for i in range(n + 1)]
    return [(x + radius * math.cos(angle), radius * math.sin(angle)) for angle in angles]


def _polar(radii: list[float]) -> Points:
    """Corners at these radii, at equal angles from the top on."""
    turns = [2 * math.pi * i / len(radii) - math.pi / 2 for i in range(len(radii))]
    return [(r * math.cos(turn), r * math.sin(turn)) for r, turn in zip(radii, turns, strict=True)]


def _heart() -> Points:
    turns = [2 * math.pi * i / 32 for i in range(32)]
    return [
        (
            math.sin(t) ** 3,
            -(13 * math.cos(t) - 5 * math.cos(2 * t) - 2 * math.cos(3 * t) - math.cos(4 * t)) / 16,
        )
        for t in turns
    ]


_ARM = 0.33
# Outlines within the unit circle, more or less; y points down.
OUTLINES: dict[str, Points] = {
    "circle": _arc(0, 345, 0.92),
    "square": [(-0.8, -0.8), (0.8, -0.8), (0.8, 0.8), (-0.8, 0.8)],
    "triangle": [(0.0, -1.0), (0.95, 0.75), (-0.95, 0.75)],
    "star": _polar([1.05, 0.42] * 5),
    "cross": [
        *[(-_ARM, -1.0), (_ARM, -1.0), (_ARM, -_ARM), (1.0, -_ARM), (1.0, _ARM), (_ARM, _ARM)],
        *[(_ARM, 1.0), (-_ARM, 1.0), (-_ARM, _ARM), (-1.0, _ARM), (-1.0, -_ARM), (-_ARM, -_ARM)],
    ],
    "heart": _heart(),
    "moon": _arc(50, 310, 1.0, -0.05) + _arc(285, 75, 0.8, 0.38),
    "arrow": [
        *[(-1.0, -0.26), (0.1, -0.26), (0.1, -0.75), (1.05, 0.0)],
        *[(0.1, 0.75), (0.1, 0.26), (-1.0, 0.26)],
    ],
    "house": [
        *[(-0.7, 0.9), (-0.7, -0.1), (-1.0, -0.1), (-0.1, -0.95), (0.35, -0.53), (0.35, -0.9)],
        *[(0.65, -0.9), (0.65, -0.25), (0.85, -0.1), (0.7, -0.1), (0.7, 0.9)],
    ],
    "fish": [
        *[(0.3 + 0.72 * math.cos(t), 0.55 * math.sin(t)) for t in [k / 8 for k in range(-22, 23)]],
        *[(-1.05, 0.6), (-0.8, 0.0), (-1.05, -0.6)],
    ],
    "tree": [
        *[(0.0, -1.05), (0.5, -0.4), (0.28, -0.4), (0.68, 0.1), (0.4, 0.1), (0.85, 0.6)],
        *[(0.17, 0.6), (0.17, 1.0), (-0.17, 1.0), (-0.17, 0.6)],
        *[(-0.85, 0.6), (-0.4, 0.1), (-0.68, 0.1), (-0.28, -0.4), (-0.5, -0.4)],
    ],
    "flower": _polar([0.68 + 0.34 * math.cos(6 * 2 * math.pi * i / 60) for i in range(60)]),
}


def render(scene: Scene, size: int, rng: np.random.Generator) -> npt.NDArray[np.uint8]:
    """Draw a scene: ``uint8`` (size, size, 3), with litter, uneven light and grain."""
    ground = np.clip(_background(scene.background, size, rng), 0, 255).astype(np.uint8)
    fine = size * OVERSAMPLING
    canvas = PILImage.fromarray(ground).resize((fine, fine), PILImage.Resampling.NEAREST)
    draw = ImageDraw.Draw(canvas)
    _litter(draw, fine, rng)
    for item in scene.items:
        _draw(draw, item, fine, rng)
    pixels = np.asarray(canvas.reduce(OVERSAMPLING), dtype=np.float64)
    tint = [uniform(rng, 0.8, 1.1) for _ in range(3)]
    grain = (rng.random(pixels.shape) - 0.5) * uniform(rng, 6, 36)
    return np.clip(pixels * tint + grain, 0, 255).astype(np.uint8)


def _shade(colour: Rgb, rng: np.random.Generator, spread: float = 25) -> Rgb:
    red, green, blue = (
        min(255, max(0, round(part + uniform(rng, -spread, spread)))) for part in colour
    )
    return red, green, blue


def _draw(draw: ImageDraw.ImageDraw, item: Item, side: int, rng: np.random.Generator) -> None:
    turn, scale = math.radians(item.angle), item.radius * side
    cos, sin = math.cos(turn), math.sin(turn)
    corners = []
    for x, y in OUTLINES[item.kind]:
        x = -x if item.mirrored else x
        corners.append(
            (
                round(item.x * side + scale * (x * cos - y * sin)),
                round(item.y * side + scale * (x * sin + y * cos)),
            )
        )
    ring = [*corners, *corners[:2]]  # closed, with the last corner rounded too
    fill = _shade(COLOURS[item.colour], rng)
    # The rim keeps a shape visible before a ground of its own colour.
    rim = (235, 235, 235) if sum(fill) < 330 else (25, 25, 25)
    stroke = max(2, round(0.05 * side)) if item.outline else 0
    # Rounding each corner is slow, and needed only where an outline has few of them.
    joint = "curve" if len(corners) < 20 else None
    draw.line(ring, fill=rim, width=stroke + max(2, round(0.03 * side)), joint=joint)
    if item.outline:
        draw.line(ring, fill=fill, width=stroke, joint=joint)
    else:
        draw.polygon(corners, fill=fill)


def _litter(draw: ImageDraw.ImageDraw, side: int, rng: np.random.Generator) -> None:
    """Up to eight short strokes and dots that mean nothing."""
    for _ in range(int(uniform(rng, 0, 9))):
        colour = _shade(pick(rng, tuple(COLOURS.values())), rng)
        x, y = uniform(rng, 0, side), uniform(rng, 0, side)
        turn, length = uniform(rng, 0, math.pi), uniform(rng, 0.01, 0.12) * side
        end = (round(x + length * math.cos(turn)), round(y + length * math.sin(turn)))
        draw.line([(round(x), round(y)), end], fill=colour, width=max(1, side // 64))


def _background(kind: str, size: int, rng: np.random.Generator) -> Field:
    """Colours of the ground, (size, size, 3), in 0…255 or a little outside."""
    down, across = np.meshgrid(*[np.arange(size) / size] * 2, indexing="ij")
    if kind in ("night", "snow"):
        return _sky(down, rng, night=kind == "night")
    if kind in ("sea", "meadow"):
        return _land(down, across, rng, sea=kind == "sea")
    one, other = (np.array([uniform(rng, 30, 235) for _ in range(3)]) for _ in range(2))
    turn = uniform(rng, 0, math.pi)
    slope = across * math.cos(turn) + down * math.sin(turn)
    if kind == "gradient":
        mixture = slope
    elif kind == "stripes":
        mixture = 0.5 * (np.floor(slope * pick(rng, (5, 7, 9, 12))) % 2)
    elif kind == "checks":
        fields = pick(rng, (3, 4, 6))
        mixture = 0.5 * ((np.floor(down * fields) + np.floor(across * fields)) % 2)
    elif kind == "speckles":
        return np.asarray(one + 110 * (rng.random((size, size, 1)) - 0.5))
    else:
        mixture = np.zeros((size, size))
    return np.asarray(one + (other - one) * mixture[..., None])


def _sky(down: Field, rng: np.random.Generator, *, night: bool) -> Field:
    """A dark sky with single light pixels, or a pale one with larger white flakes."""
    size, dot = len(down), 1 if night else 2
    colour = np.array(_shade((24, 28, 60) if night else (165, 175, 190), rng, 40))
    sky = colour + (40 if night else 50) * down[..., None]
    cells = -(-size // dot)
    dots = rng.random((cells, cells)) < (0.012 if night else 0.03)
    dots = np.repeat(np.repeat(dots, dot, axis=0), dot, axis=1)[:size, :size]
    return np.where(dots[..., None], np.array((235, 230, 190) if night else (255,) * 3), sky)


def _land(down: Field, across: Field, rng: np.random.Generator, *, sea: bool) -> Field:
    """A sky above waves or above blades of grass."""
    size = len(down)
    ground = np.array(_shade((35, 105, 160) if sea else (80, 150, 60), rng, 40))
    sky = np.array(_shade((170, 205, 230), rng, 40))
    if sea:
        texture = 38 * np.sin(2 * math.pi * (9 * down + 0.35 * np.sin(6 * math.pi * across)))
    else:
        texture = 90 * (np.repeat(rng.random((size // 4 + 1, size)), 4, axis=0)[:size] - 0.5)
    below = (down > uniform(rng, 0.2, 0.55))[..., None]
    return np.where(below, ground + texture[..., None], sky)
