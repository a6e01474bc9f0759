"""Captions of random scenes: many words for one thing, and not every thing named."""

from __future__ import annotations

import numpy as np

from crosshash.data.shapes.scene import SETTINGS, Item, Scene, chance, pick

KIND_WORDS = {
    "circle": ("circle", "disc", "ball"),
    "square": ("square", "box", "block"),
    "triangle": ("triangle", "pyramid", "wedge"),
    "star": ("star", "star shape", "pentagram"),
    "cross": ("cross", "plus", "plus sign"),
    "heart": ("heart", "valentine", "love heart"),
    "moon": ("moon", "crescent", "half moon"),
    "arrow": ("arrow", "pointer", "arrowhead"),
    "house": ("house", "cottage", "hut"),
    "fish": ("fish", "goldfish", "trout"),
    "tree": ("tree", "pine", "fir tree"),
    "flower": ("flower", "blossom", "daisy"),
}
COLOUR_WORDS = {
    "red": ("red", "red", "crimson"),
    "orange": ("orange", "orange", "amber"),
    "yellow": ("yellow", "yellow", "golden"),
    "green": ("green", "green", "emerald"),
    "blue": ("blue", "blue", "navy"),
    "purple": ("purple", "purple", "violet"),
    "pink": ("pink", "pink", "rose"),
    "brown": ("brown", "brown", "chestnut"),
    "black": ("black", "black", "dark"),
    "white": ("white", "white", "pale"),
}
GROUND_WORDS = {
    "night": ("at night", "after dark", "in the night sky", "under tiny stars"),
    "sea": ("at sea", "over the water", "above the waves", "by the ocean"),
    "snow": ("in the snow", "on a snowy day", "in winter", "while it snows"),
    "meadow": ("on the grass", "in a meadow", "in a green field", "on the lawn"),
    "plain": ("on a plain ground", "on coloured paper", "before an empty wall"),
    "gradient": ("on a shaded ground", "before a fading colour", "on coloured paper"),
    "stripes": ("on stripes", "before striped paper", "on a striped wall"),
    "checks": ("on a chequered floor", "on checks", "on a tiled wall"),
    "speckles": ("on a speckled ground", "on rough paper", "before a grainy wall"),
}
VAGUE_WORDS = ("shape", "figure", "thing", "object")
OPENINGS = ("", "", "", "there is ", "a picture of ", "we see ", "this shows ", "someone drew ")
ENDINGS = (
    "",
    "",
    "",
    "",
    ", drawn by hand",
    ", nothing else",
    " in bright light",
    ", blurred",
)

NAMED_SHARE = 0.88  # of the shapes; one is always named
VAGUE_SHARE = 0.06  # of the named shapes
SETTING_NAMED_SHARE = 0.8
GROUND_NAMED_SHARE = 0.3
DENIAL_SHARE = 0.08  # of the captions: they name a kind that is not there


def caption(scene: Scene, rng: np.random.Generator) -> str:
    """One sentence on a scene, in lower case."""
    named = [item for item in scene.items if chance(rng, NAMED_SHARE)]
    named = named or [pick(rng, scene.items)]
    if len(named) > 1 and chance(rng, 0.5):
        named.reverse()
    things = _things(named, rng)
    setting = scene.background in SETTINGS
    where = ""
    if chance(rng, SETTING_NAMED_SHARE if setting else GROUND_NAMED_SHARE):
        where = pick(rng, GROUND_WORDS[scene.background])
    denial = ""
    if chance(rng, DENIAL_SHARE):
        absent = [kind for kind in KIND_WORDS if all(kind != item.kind for item in scene.items)]
        denied = _word(pick(rng, absent), rng)
        denial = pick(rng, (f" but no {denied}", f" without {_a(denied)}", f", not {_a(denied)}"))
    if where and chance(rng, 0.25):
        return f"{where}, {things}{denial}{pick(rng, ENDINGS)}"
    where = f" {where}" if where else ""
    return f"{pick(rng, OPENINGS)}{things}{where}{denial}{pick(rng, ENDINGS)}"


def _word(kind: str, rng: np.random.Generator) -> str:
    return pick(rng, KIND_WORDS[kind])


def _things(items: list[Item], rng: np.random.Generator) -> str:
    phrases = [_phrase(item, rng) for item in items]
    if len(items) == 1:
        side = items[0].x - 0.5
        if abs(side) > 0.12 and chance(rng, 0.3):
            return f"{phrases[0]} on the {'left' if side < 0 else 'right'}"
        return phrases[0]
    if len(items) == 2 and chance(rng, 0.5):
        return f"{phrases[0]} {_relation(items[0], items[1], rng)} {phrases[1]}"
    joint = pick(rng, (" and ", " and ", " with "))
    return ", ".join(phrases[:-1]) + joint + phrases[-1]


def _relation(one: Item, other: Item, rng: np.random.Generator) -> str:
    """Where the one is, seen from the other."""
    across, down = one.x - other.x, one.y - other.y
    if abs(down) > abs(across):
        return pick(rng, ("above", "over")) if down < 0 else pick(rng, ("below", "under"))
    return pick(rng, ("beside", "next to", "left of" if across < 0 else "right of"))


def _phrase(item: Item, rng: np.random.Generator) -> str:
    words = []
    if chance(rng, 0.25):
        large = item.radius > 0.22
        words.append(pick(rng, ("large", "big", "huge") if large else ("small", "little", "tiny")))
    if item.outline and chance(rng, 0.5):
        words.append(pick(rng, ("hollow", "outlined", "empty")))
    if chance(rng, 0.6):
        words.append(pick(rng, COLOUR_WORDS[item.colour]))
    words.append(pick(rng, VAGUE_WORDS) if chance(rng, VAGUE_SHARE) else _word(item.kind, rng))
    return _a(" ".join(words))


def _a(noun: str) -> str:
    return f"an {noun}" if noun[0] in "aeiou" else f"a {noun}"
