"""What only AMGFH has: its guide, its objective and its ablations."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from crosshash.algorithms.phases import BatchPhase
from crosshash.backbones.base import Features
from crosshash.config import ConfigError
from crosshash.methods.amgfh import AMGFH


def build(model_of: Any, batch_of: Any, network: Any = None, **objective: Any) -> tuple[AMGFH, Any]:
    model = model_of("amgfh", **(network or {}))
    batch = batch_of(model.slots)
    algorithm = AMGFH(model, len(batch), 4, **objective)
    algorithm.begin([batch])
    return algorithm, batch


@pytest.mark.parametrize(
    "objective",
    [
        {"gcn": False},
        {"attention": False},
        {"fusion": "concat"},
        {"activation": "softmax"},
        {"neighbours": 5},
        {"dis": 0.0},
        {"reg": 0.0},
        {"adv": 0.0},
        {"sim": 0.0},
        {"intra": 0.0},
        {"similarity": "labels"},
        {"similarity": "labels", "sim_loss": "likelihood"},
        {"alpha": 0.9},
    ],
)
def test_every_ablation_of_the_objective_trains(
    model_of: Any, batch_of: Any, steps: Any, objective: dict[str, Any]
) -> None:
    algorithm, batch = build(model_of, batch_of, **objective)
    before = [p.detach().clone() for p in algorithm.net.parameters()]
    steps(algorithm, batch, 2)
    assert all(p.isfinite().all() for p in algorithm.parameters())
    after = algorithm.net.parameters()
    assert any(not torch.equal(p, q) for p, q in zip(before, after, strict=True))


@pytest.mark.parametrize(
    "network",
    [
        {"enhance": False},
        {"kernels": [3]},
        {"dropout": 0.5},
        {"text_pooling": "multiscale"},
        {"hidden": [64, 32]},
    ],
)
def test_every_variant_of_the_network_trains(
    model_of: Any, batch_of: Any, steps: Any, network: dict[str, Any]
) -> None:
    algorithm, batch = build(model_of, batch_of, network)
    steps(algorithm, batch, 2)
    assert algorithm.net.encode_text("word1 word2").shape == (1, 2)


def test_a_term_of_weight_zero_is_not_computed(model_of: Any, batch_of: Any) -> None:
    algorithm, batch = build(model_of, batch_of, intra=0.0, dis=0.0, reg=0.0, adv=0.0)
    logged = {"agree_image", "agree_text"}
    assert set(algorithm.hash_loss(batch)) == {"sim", "fit"} | logged
    assert all(algorithm.weights[name] == 0 for name in logged)
    assert len(algorithm.phases()[0].updates) == 1  # type: ignore[union-attr]


def test_the_discriminator_stands_still_in_the_generators_update(
    model_of: Any, batch_of: Any
) -> None:
    algorithm, _ = build(model_of, batch_of)
    phase = algorithm.phases()[0]
    assert isinstance(phase, BatchPhase)
    hashing, adversary = phase.updates
    judges = set(algorithm.discriminator.parameters())
    assert not judges & set(hashing.parameters)
    assert set(adversary.parameters) == judges


def test_the_guide_sends_no_gradient_into_the_hash_functions(model_of: Any, batch_of: Any) -> None:
    algorithm, batch = build(model_of, batch_of, adv=0.0)
    x = algorithm.net.enhanced(batch.images).requires_grad_()
    codes = algorithm.guide(x.detach(), batch.texts["bow"].float())
    assert not torch.autograd.grad(codes.sum(), x, allow_unused=True)[0]


def test_a_batch_decides_the_guide_but_not_the_codes(model_of: Any, batch_of: Any) -> None:
    algorithm, batch = build(model_of, batch_of)
    algorithm.eval()
    image, text = algorithm.net.enhanced(batch.images), batch.texts["bow"].float()
    whole, half = algorithm.guide(image, text), algorithm.guide(image[:24], text[:24])
    assert not torch.allclose(whole[:24], half, atol=1e-3)


def test_the_label_target_is_one_for_shared_labels_and_minus_one_else(
    model_of: Any, batch_of: Any
) -> None:
    algorithm, batch = build(model_of, batch_of, similarity="labels")
    target = algorithm.target(batch)
    for i, j in ((0, 4), (0, 1), (3, 7), (2, 3)):
        assert target[i, j] == (1 if i % 4 == j % 4 else -1)


def test_the_feature_target_finds_the_classes_without_labels(model_of: Any, batch_of: Any) -> None:
    algorithm, batch = build(model_of, batch_of, neighbourhood=0.2)
    batch.labels = None
    target = algorithm.target(batch)
    same = torch.arange(48)[:, None] % 4 == torch.arange(48) % 4
    assert target.min() >= -1
    assert target.max() <= 1
    assert target[same].mean() > target[~same].mean() + 0.5


def test_labels_are_needed_where_the_objective_says_so(model_of: Any) -> None:
    with pytest.raises(ValueError, match="similarity"):
        AMGFH(model_of("amgfh"), 10, 0, similarity="labels")
    with pytest.raises(ValueError, match="likelihood"):
        AMGFH(model_of("amgfh"), 10, 4, sim_loss="likelihood")


def test_a_map_is_refused_where_the_backbone_has_none(model_of: Any) -> None:
    with pytest.raises(ValueError, match="map"):
        model_of("amgfh", features="map")


def test_a_misspelt_network_option_names_the_right_one(model_of: Any) -> None:
    with pytest.raises(ConfigError, match="dropout"):
        model_of("amgfh", droput=0.5)


def test_enhancement_starts_from_the_features_as_they_are(model_of: Any, batch_of: Any) -> None:
    plain = model_of("amgfh", enhance=False)
    enhanced = model_of("amgfh")
    enhanced.projection.load_state_dict(plain.projection.state_dict())
    features = {"image": Features(torch.randn(5, 36))}
    torch.testing.assert_close(plain.enhanced(features), enhanced.enhanced(features))


def test_the_log_says_how_far_the_guide_leads(model_of: Any, batch_of: Any) -> None:
    algorithm, batch = build(model_of, batch_of)
    algorithm.eval()
    F, G = algorithm.net(batch.images, batch.texts)
    net = algorithm.net
    H = algorithm.guide(
        net.enhanced(net.image_features(batch.images)),
        net.pooled_text(net.text_features(batch.texts)),
    )
    terms = algorithm.hash_loss(batch)
    for name, codes in (("agree_image", F), ("agree_text", G)):
        same = ((H >= 0) == (codes >= 0)).float().mean()
        assert float(terms[name]) == pytest.approx(float(same))


def test_sums_weigh_the_terms_in_the_printed_proportion(model_of: Any, batch_of: Any) -> None:
    """Sums over 48 x 16 entries, 48 x 48 pairs; ADV and REG are printed without a sum of items."""
    means, _ = build(model_of, batch_of, sim=2.0, fit=3.0, dis=4.0, reg=5.0, adv=6.0)
    sums, _ = build(
        model_of, batch_of, sim=2.0, fit=3.0, dis=4.0, reg=5.0, adv=6.0, normalization="sums"
    )
    factor = {name: sums.weights[name] / means.weights[name] for name in ("sim", "fit", "dis")}
    factor |= {name: sums.weights[name] / means.weights[name] for name in ("reg", "adv")}
    assert factor == pytest.approx(
        {"sim": 48 / 16, "fit": 1, "dis": 1, "reg": 1 / (48 * 16), "adv": 1 / (48 * 16)}
    )
