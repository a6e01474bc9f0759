"""What only DNPH has: a margin for own proxies, labels, and codes spread like random ones."""

from __future__ import annotations

import math
from itertools import permutations
from typing import Any

import pytest
import torch

from crosshash.methods.dnph import DNPH, label_entropy, matched_signs, neighborhood_loss

LABELS = torch.tensor([[1.0, 0, 1], [0, 1, 0], [0, 0, 1], [1, 1, 0], [0, 0, 0]])


def test_own_proxies_have_to_be_closer_by_the_margin() -> None:
    generator = torch.Generator().manual_seed(0)
    codes, proxies = (torch.randn(n, 6, generator=generator) for n in (5, 3))
    total = 0.0
    for i in range(5):
        unit = codes[i] / codes[i].norm()
        distances = [
            float((unit - proxies[c] / proxies[c].norm()).square().sum())
            + 0.7 * float(LABELS[i, c])
            for c in range(3)
        ]
        whole = sum(math.exp(-d / 0.5) for d in distances)
        total -= sum(
            math.log(math.exp(-distances[c] / 0.5) / whole) for c in range(3) if LABELS[i, c]
        )
    found = neighborhood_loss(codes, proxies, LABELS, margin=0.7, temperature=0.5)
    assert float(found) == pytest.approx(total / 5, rel=1e-4)


def test_the_labels_of_an_item_share_its_cross_entropy() -> None:
    logits = torch.randn(5, 3, generator=torch.Generator().manual_seed(0))
    total = 0.0
    for i in range(5):
        own = [c for c in range(3) if LABELS[i, c]]
        whole = sum(math.exp(float(v)) for v in logits[i])
        for c in own:
            total -= math.log(math.exp(float(logits[i, c])) / whole) / len(own)
    assert float(label_entropy(logits, LABELS)) == pytest.approx(total / 5, rel=1e-4)


def test_signs_are_matched_as_well_as_any_order_could() -> None:
    generator = torch.Generator().manual_seed(0)
    codes = torch.randn(5, 6, generator=generator)
    signs = torch.randint(0, 2, (5, 6), generator=generator) * 2.0 - 1
    found = matched_signs(codes, signs)
    assert sorted(map(tuple, found.tolist())) == sorted(map(tuple, signs.tolist()))
    best = max(float((codes * signs[list(order)]).sum()) for order in permutations(range(5)))
    assert float((codes * found).sum()) == pytest.approx(best, rel=1e-5)
    assert best > float((codes * signs).sum())


def test_the_terms_are_those_of_the_docstring(model_of: Any, batch_of: Any) -> None:
    model = model_of("dnph").eval()
    batch = batch_of(model.slots)
    algorithm = DNPH(model, len(batch), 4, margin=0.5)
    torch.manual_seed(3)
    terms = algorithm.loss(batch)
    F, G = (codes.tanh() for codes in model(batch.images, batch.texts))
    labels = batch.labels.float()
    expected = sum(
        neighborhood_loss(codes, algorithm.proxies, labels, margin=0.5, temperature=1.0)
        for codes in (F, G)
    )
    torch.testing.assert_close(terms["proxy"], expected / 2)
    torch.manual_seed(3)
    signs = torch.randint(0, 2, F.shape) * 2.0 - 1
    spread = sum((u * matched_signs(u, signs)).sum() / len(u) for u in (F, G))
    torch.testing.assert_close(terms["uniform"], -spread)
    logits = algorithm.heads["image"](model.image_vector(model.image_features(batch.images)))
    words = algorithm.heads["text"](model.text_vector(model.text_features(batch.texts)))
    torch.testing.assert_close(
        terms["label"], label_entropy(logits, labels) + label_entropy(words, labels)
    )


def test_terms_of_weight_zero_are_not_computed(model_of: Any, batch_of: Any) -> None:
    model = model_of("dnph")
    batch = batch_of(model.slots)
    algorithm = DNPH(model, len(batch), 4, label=0.0, uniform=0.0)
    assert set(algorithm.loss(batch)) == {"proxy"}
    assert not algorithm.heads


def test_a_temperature_is_above_zero(model_of: Any) -> None:
    with pytest.raises(ValueError, match="temperature is above 0, got 0"):
        DNPH(model_of("dnph"), 8, 4, temperature=0)
