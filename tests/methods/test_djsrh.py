"""What only DJSRH and JDSH have: similarities of a batch's features as targets of cosines."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch

from crosshash.methods.djsrh import (
    DJSRH,
    distribution_weights,
    joint_distribution,
    joint_semantics,
)


def similarities(seed: int, n: int = 6) -> torch.Tensor:
    values = torch.randn(n, 5, generator=torch.Generator().manual_seed(seed))
    values = values / values.norm(dim=1, keepdim=True)
    return values @ values.T


def test_joint_semantics_compares_whole_neighbourhoods() -> None:
    image, text = similarities(0), similarities(1)
    found = joint_semantics(image, text, beta=0.3, eta=0.4)
    mixed = [
        [0.3 * float(image[i, j]) + 0.7 * float(text[i, j]) for j in range(6)] for i in range(6)
    ]
    for i in range(6):
        for j in range(6):
            second = sum(mixed[i][m] * mixed[j][m] for m in range(6)) / 6
            expected = 0.6 * mixed[i][j] + 0.4 * second
            assert float(found[i, j]) == pytest.approx(expected, abs=1e-5)


def test_joint_distribution_compares_rows_across_modalities() -> None:
    image, text = similarities(0), similarities(1)
    found = joint_distribution(image, text, beta=0.3, eta=0.4)

    def cosine(i: int, j: int) -> float:
        return float(image[i] @ text[j] / (image[i].norm() * text[j].norm()))

    for i in range(6):
        for j in range(6):
            mixed = 0.3 * float(image[i, j]) + 0.7 * float(text[i, j])
            expected = 0.6 * mixed + 0.2 * (cosine(i, j) + cosine(j, i))
            assert float(found[i, j]) == pytest.approx(expected, abs=1e-5)


def test_clear_similarities_weigh_more_and_others_one() -> None:
    S = similarities(2, 9)
    found = distribution_weights(S, low=1.0, high=0.5, gain=(2.0, 3.0))
    apart = sorted(float(S[i, j]) for i in range(9) for j in range(9) if i != j)
    middle = apart[(len(apart) - 1) // 2]

    def width(values: list[float]) -> float:
        return math.sqrt(sum((v - middle) ** 2 for v in values) / len(values))

    left = middle - width([v for v in apart if v < middle])
    right = middle + 0.5 * width([v for v in apart if v > middle])
    least, most = float(S.min()), float(S.max())
    kinds = set()
    for i in range(9):
        for j in range(9):
            value = float(S[i, j])
            expected = 1.0
            if value < left:
                expected = 1 + 2 * math.exp(least - value)
            elif value > right:
                expected = 1 + 3 * math.exp(value - most)
            kinds.add((value < left) - (value > right))
            assert float(found[i, j]) == pytest.approx(expected, abs=1e-4)
    assert kinds == {-1, 0, 1}


def build(model_of: Any, batch_of: Any, **objective: Any) -> tuple[DJSRH, Any]:
    model = model_of("djsrh", image_hidden=[16], text_hidden=[16]).eval()
    batch = batch_of(model.slots)
    algorithm = DJSRH(model, len(batch), 0, **objective)
    with torch.no_grad():
        algorithm.begin([batch])
    return algorithm, batch


@pytest.mark.parametrize("centred", [True, False])
@pytest.mark.parametrize("similarity", ["djsrh", "jdsh"])
def test_the_target_is_made_of_the_features(
    model_of: Any, batch_of: Any, similarity: Any, centred: bool
) -> None:
    algorithm, batch = build(model_of, batch_of, similarity=similarity, centred=centred, mu=1.2)
    own = []
    for rows in (batch.images["image"].pooled, algorithm.net.text_features(batch.texts).pooled):
        rows = rows - rows.mean(dim=0) if centred else rows
        cosine = torch.nn.functional.cosine_similarity(rows[:, None], rows[None], dim=2)
        own.append(cosine if centred else 2 * cosine - 1)
    if similarity == "djsrh":
        expected = joint_semantics(*own, beta=0.5, eta=0.4)
    else:
        S = joint_distribution(*own, beta=0.5, eta=0.4)
        expected = S * distribution_weights(S, low=2.0, high=2.0, gain=(1.0, 1.0))
    torch.testing.assert_close(algorithm.target(batch), 1.2 * expected, rtol=1e-4, atol=1e-5)


def test_codes_become_signs_by_and_by(model_of: Any, batch_of: Any) -> None:
    algorithm, batch = build(model_of, batch_of)
    F, G = algorithm.net(batch.images, batch.texts)
    T = algorithm.target(batch)
    for epoch in (0, 8):
        algorithm.epoch_starts(epoch, 20)
        f, g = ((math.sqrt(epoch + 1) * codes).tanh() for codes in (F, G))
        terms = algorithm.loss(batch)

        def off(U: Any, V: Any) -> Any:
            cosine = torch.nn.functional.cosine_similarity(U[:, None], V[None], dim=2)
            return (cosine - T).square().mean()

        torch.testing.assert_close(terms["inter"], off(f, g))
        torch.testing.assert_close(terms["intra"], off(f, f) + off(g, g))


def test_the_target_stays_that_of_the_features_before_training(
    model_of: Any, batch_of: Any, steps: Any
) -> None:
    algorithm, batch = build(model_of, batch_of)
    before = algorithm.target(batch)
    steps(algorithm, batch, 2)
    assert torch.equal(algorithm.target(batch), before)
    batch.labels = None
    steps(algorithm, batch, 1)
    assert not algorithm.supervised


def test_terms_of_weight_zero_are_not_computed(model_of: Any, batch_of: Any) -> None:
    algorithm, batch = build(model_of, batch_of, intra=0.0)
    assert set(algorithm.loss(batch)) == {"inter"}


@pytest.mark.parametrize("name", ["beta", "eta"])
def test_shares_are_shares(model_of: Any, batch_of: Any, name: str) -> None:
    with pytest.raises(ValueError, match=rf"algorithm.{name} is in \[0, 1\], got 2"):
        build(model_of, batch_of, **{name: 2})
