"""A small data set of features, and an encoder of it that is sound."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from crosshash.data.dataset import PairedDataset
from crosshash.data.protocol import Protocol

BITS, PAIRS, QUERIES = 16, 240, 60
Encode = Callable[[Any, Any], tuple[Any, Any]]


def make_pairs() -> PairedDataset:
    draw = np.random.default_rng(0)
    labels = np.eye(4, dtype=np.uint8)[draw.integers(0, 4, PAIRS)]
    images = labels @ draw.normal(size=(4, 12)) + 0.3 * draw.normal(size=(PAIRS, 12))
    texts = labels @ draw.normal(size=(4, 10)) + 0.3 * draw.normal(size=(PAIRS, 10))
    return PairedDataset(
        name="toy",
        ids=[f"pair-{row}" for row in range(PAIRS)],
        images=images.astype(np.float32),
        texts=texts.astype(np.float32),
        labels=labels,
    )


@pytest.fixture(scope="session")
def pairs() -> PairedDataset:
    return make_pairs()


@pytest.fixture(scope="session")
def split() -> Protocol:
    rest = np.arange(QUERIES, PAIRS)
    return Protocol("toy", np.arange(QUERIES), rest, rest)


@pytest.fixture(scope="session")
def sound(pairs: PairedDataset) -> Encode:
    """Linear maps to one random code for each class, each item by itself."""
    draw = np.random.default_rng(1)
    assert pairs.labels is not None
    wanted = pairs.labels @ draw.normal(size=(4, BITS))
    to_image = np.linalg.lstsq(np.asarray(pairs.images), wanted, rcond=None)[0]
    to_text = np.linalg.lstsq(np.asarray(pairs.texts), wanted, rcond=None)[0]

    def encode(images: Any, texts: Any) -> tuple[Any, Any]:
        # Sums in float64: what is lost by another order of adding is far below float32.
        return (
            (np.asarray(images, np.float64) @ to_image).astype(np.float32),
            (np.asarray(texts, np.float64) @ to_text).astype(np.float32),
        )

    return encode
