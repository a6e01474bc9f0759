"""Shapes: an embedded data set that is drawn when it is read, the same for the same seed."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from crosshash.data.dataset import PairedDataset
from crosshash.data.load import DATASETS
from crosshash.data.protocol import Protocol
from crosshash.data.shapes.drawing import render
from crosshash.data.shapes.scene import KINDS, SETTINGS, sample_scene
from crosshash.data.shapes.words import caption
from crosshash.images import ImageArrays

CAPTIONS = 2
QUERY_FRACTION = 400 / 3000
TRAIN_FRACTION = 2000 / 3000


@DATASETS.register("shapes")
def shapes(
    root: str | Path | None = None,
    *,
    n: int = 3000,
    size: int = 64,
    seed: int = 0,
    query: int | None = None,
    train: int | None = None,
) -> tuple[PairedDataset, Protocol]:
    """Draw n scenes of one to four coloured shapes, with two captions each.

    The 16 labels are the 12 kinds of shape that are in the scene and 4 settings (night, sea, snow,
    meadow), which the other scenes lack. Colour, size, place, angle, outline, background, litter,
    light and grain vary and mean nothing. Captions use synonyms, leave out some shapes, and
    sometimes name one that is not there ("but no star"). Two scenes share a label with probability
    0.32, which is the MAP of chance.

    Args:
        root: Not used; there are no files.
        n: Pairs. The first m pairs are the same for any n >= m.
        size: Side of the square pictures in pixels, at least 32.
        seed: Seed of the scenes and of the protocol.
        query: Pairs in the query set; by default 400 of 3,000.
        train: Training pairs among the others, which are all searched; by default 2,000 of 3,000.

    Raises:
        ValueError: ``size`` is below 32, n below 2, or the sets are too large for n.
    """
    if n < 2 or size < 32:
        raise ValueError(f"shapes needs n >= 2 and size >= 32, got n={n} and size={size}")
    pictures = np.empty((n, size, size, 3), dtype=np.uint8)
    labels = np.zeros((n, len(KINDS) + len(SETTINGS)), dtype=np.uint8)
    names = (*KINDS, *SETTINGS)
    texts = []
    for index in range(n):
        rng = np.random.default_rng([seed, index])
        scene = sample_scene(rng)
        texts.append([caption(scene, rng) for _ in range(CAPTIONS)])
        # Last, as the number of draws depends on the size of the picture.
        pictures[index] = render(scene, size, rng)
        for label in (scene.background, *(item.kind for item in scene.items)):
            if label in names:
                labels[index, names.index(label)] = 1
    dataset = PairedDataset(
        name="shapes",
        ids=[f"scene-{index:05d}" for index in range(n)],
        images=ImageArrays(pictures),
        texts=texts,
        labels=labels,
        label_names=names,
    )
    protocol = Protocol.random(
        n,
        query=max(1, round(QUERY_FRACTION * n)) if query is None else query,
        train=max(1, int(TRAIN_FRACTION * n)) if train is None else train,
        seed=seed,
        name=f"shapes/random-{seed}",
    )
    protocol.check(n, dataset.ids)
    return dataset, protocol
