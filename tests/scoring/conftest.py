"""A small data set, and sound codes of it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from crosshash.data.dataset import PairedDataset
from crosshash.data.protocol import Protocol
from crosshash.scoring.submission import CODES, Submission, template

PAIRS, QUERIES, BITS = 120, 30, 16


@pytest.fixture(scope="session")
def pairs() -> PairedDataset:
    draw = np.random.default_rng(0)
    return PairedDataset(
        name="toy",
        ids=[f"pair-{row}" for row in range(PAIRS)],
        images=draw.normal(size=(PAIRS, 3)).astype(np.float32),
        texts=draw.normal(size=(PAIRS, 3)).astype(np.float32),
        labels=np.eye(4, dtype=np.uint8)[draw.integers(0, 4, PAIRS)],
    )


@pytest.fixture(scope="session")
def split() -> Protocol:
    rest = np.arange(QUERIES, PAIRS)
    return Protocol("toy", np.arange(QUERIES), rest, rest)


@pytest.fixture
def submission(pairs: PairedDataset, split: Protocol) -> Submission:
    """Real values that know the labels, with noise."""
    draw = np.random.default_rng(1)
    assert pairs.labels is not None
    wanted = pairs.labels @ draw.normal(size=(4, BITS))
    codes: dict[str, Any] = {}
    for name in CODES:
        rows = split.query if name.startswith("query") else split.retrieval
        codes[name] = wanted[rows] + draw.normal(size=(len(rows), BITS))
    empty = template(pairs, split, bits=BITS)
    return replace(empty, **codes, name="mine", method="linear", seed=3)
