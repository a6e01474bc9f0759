"""Codes made from labels alone."""

from __future__ import annotations

import torch

from crosshash.algorithms.label_coding import label_codes
from crosshash.retrieval.metrics import mean_average_precision


def labels_of(count: int = 300, classes: int = 6) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    labels = (torch.rand(count, classes, generator=generator) < 0.25).float()
    labels[torch.arange(count), torch.arange(count) % classes] = 1
    return labels


def test_they_rank_rows_that_share_a_label_first() -> None:
    labels = labels_of()
    codes = label_codes(labels, 32, scale=0.2)
    assert codes.shape == (300, 32)
    assert set(codes.unique().tolist()) == {-1.0, 1.0}
    relevant = labels.numpy().astype("int64")
    found = mean_average_precision(codes[:50], codes[50:], relevant[:50], relevant[50:])
    assert found > 0.9


def test_rows_of_the_same_labels_have_the_same_code_in_any_order() -> None:
    labels = labels_of(60)
    codes = label_codes(labels, 16, scale=0.3)
    same = (labels[:, None] == labels[None]).all(2)
    assert (codes[:, None] == codes[None]).all(2)[same].all()
    assert torch.equal(label_codes(labels, 16, scale=0.3), codes)
    assert not torch.equal(label_codes(labels, 16, scale=0.3, seed=1), codes)


def test_a_step_that_meets_few_rows_learns_too() -> None:
    labels = labels_of()
    codes = label_codes(labels, 32, scale=0.2, anchors=32)
    relevant = labels.numpy().astype("int64")
    assert mean_average_precision(codes[:50], codes[50:], relevant[:50], relevant[50:]) > 0.85
