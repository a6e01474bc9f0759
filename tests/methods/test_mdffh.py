"""What only MDFFH has: two image slots, its objective and its alternating phases."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from crosshash.algorithms.phases import BatchPhase, SolvePhase
from crosshash.backbones.base import Features
from crosshash.methods.build import METHODS
from crosshash.methods.mdffh import MDFFH
from crosshash.model.batch import Batch
from crosshash.similarity import label_similarity


def build(model_of: Any, batch_of: Any, **objective: Any) -> tuple[MDFFH, Any]:
    model = model_of("mdffh")
    batch = batch_of(model.slots)
    algorithm = MDFFH(model, len(batch), 4, **objective)
    algorithm.begin([batch])
    return algorithm, batch


def test_the_loss_is_equation_5(model_of: Any, batch_of: Any) -> None:
    """Computed here pair by pair over all n, as the paper prints it."""
    algorithm, batch = build(model_of, batch_of, eta=0.7)
    algorithm.eval()
    algorithm.begin([batch])
    n, bank = len(batch), algorithm.bank
    F, G = algorithm.net(batch.images, batch.texts)
    labels = batch.labels
    likelihood = torch.zeros(())
    for i in range(n):
        for j in range(n):
            theta = 0.5 * F[i] @ G[j]
            alike = float(bool((labels[i] * labels[j]).sum() > 0))
            likelihood = likelihood + torch.nn.functional.softplus(theta) - alike * theta
    printed = likelihood + 0.7 * (bank.B - F).square().sum()
    update = algorithm.phases()[0].updates[0]
    ours = update.total(algorithm.image_loss(batch)) * n * n
    torch.testing.assert_close(ours, printed, rtol=1e-4, atol=1e-2)
    printed = likelihood + 0.7 * (bank.B - G).square().sum()
    update = algorithm.phases()[1].updates[0]
    torch.testing.assert_close(
        update.total(algorithm.text_loss(batch)) * n * n, printed, rtol=1e-4, atol=1e-2
    )


def test_a_batchs_loss_is_the_printed_sum_over_n_b_as_in_dcmhs_code(
    model_of: Any, batch_of: Any
) -> None:
    """So that a rate which DCMH's family prints is a rate for this loss."""
    algorithm, batch = build(model_of, batch_of)
    algorithm.eval()
    n, b, bank = len(batch), 16, algorithm.bank
    rows = batch.index[7 : 7 + b]
    part = Batch(
        rows,
        {slot: Features(value.pooled[rows]) for slot, value in batch.images.items()},
        {"bow": batch.texts["bow"][rows]},
        batch.labels[rows],
    )
    update = algorithm.phases()[0].updates[0]
    ours = update.total(algorithm.image_loss(part))
    F = algorithm.net.hash_image(part.images)
    theta = 0.5 * F @ bank.G.T
    S = label_similarity(part.labels, batch.labels)
    printed = (torch.nn.functional.softplus(theta) - S * theta).sum()
    printed = printed + (bank.B[rows] - F).square().sum()
    torch.testing.assert_close(ours, printed / (n * b), rtol=1e-5, atol=1e-6)


def test_algorithm_1_is_images_texts_codes(model_of: Any, batch_of: Any) -> None:
    algorithm, _ = build(model_of, batch_of)
    image, text, codes = algorithm.phases()
    assert isinstance(image, BatchPhase)
    assert isinstance(text, BatchPhase)
    assert isinstance(codes, SolvePhase)
    trained = [set(phase.updates[0].parameters) for phase in (image, text)]
    assert not trained[0] & trained[1]
    assert trained[0] | trained[1] == set(algorithm.net.parameters())


def test_codes_are_the_sign_of_the_sum(model_of: Any, batch_of: Any) -> None:
    algorithm, batch = build(model_of, batch_of)
    algorithm.bank.store(batch.index, F=torch.randn(48, 16), G=torch.randn(48, 16))
    figures = algorithm.solve_codes()
    total = algorithm.bank.F + algorithm.bank.G
    assert torch.equal(algorithm.bank.B, torch.where(total >= 0, 1.0, -1.0))
    assert set(figures) == {"unique", "balance"}


@pytest.mark.parametrize(("phase", "own", "other"), [(0, "F", "G"), (1, "G", "F")])
def test_a_batchs_codes_are_stored_after_its_step_and_not_by_its_loss(
    model_of: Any, batch_of: Any, phase: int, own: str, other: str
) -> None:
    algorithm, batch = build(model_of, batch_of)
    before = {name: value.clone() for name, value in algorithm.bank.state_dict().items()}
    with torch.no_grad():
        for parameter in algorithm.net.parameters():
            parameter.mul_(2)
    update = algorithm.phases()[phase].updates[0]
    update.loss(batch)
    left = batch.shared[own].clone()
    after = algorithm.bank.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)
    update.after(batch)
    assert torch.equal(after[own], left)
    assert not torch.equal(after[own], before[own])
    assert torch.equal(after[other], before[other])


def test_without_the_transformer_it_is_mdffh_1(model_of: Any, batch_of: Any, steps: Any) -> None:
    from crosshash.methods.build import build_model

    whole = model_of("mdffh")
    model = build_model(
        "mdffh",
        bits=16,
        backbones={"cnn": {"name": "features", "dim": 36}},
        text=whole.text,
        network={},
    )
    assert model.slots == ("cnn",)
    batch = batch_of(("cnn",))
    algorithm = MDFFH(model, len(batch), 4)
    algorithm.begin([batch])
    steps(algorithm, batch, 2)
    assert model.encode_image(batch.images["cnn"]).shape == (48, 2)


def test_the_convolutional_network_is_needed(model_of: Any) -> None:
    from crosshash.methods.build import build_model

    with pytest.raises(ValueError, match="cnn"):
        build_model(
            "mdffh",
            bits=16,
            backbones={"vit": {"name": "features", "dim": 36}},
            text=model_of("mdffh").text,
            network={},
        )


def test_both_slots_tell_in_the_code(model_of: Any, batch_of: Any) -> None:
    model = model_of("mdffh").eval()
    batch = batch_of(model.slots)
    whole = model.hash_image(batch.images)
    for slot in model.slots:
        changed = {**batch.images, slot: Features(torch.zeros(48, 36))}
        assert not torch.allclose(model.hash_image(changed), whole)


@pytest.mark.parametrize("method", ["mdffh", "dmsfh", "hfah"])
def test_labels_are_needed(model_of: Any, method: str) -> None:
    with pytest.raises(ValueError, match="learns from labels, but the data set has none"):
        METHODS[method](model_of(method), 48, 0)


def test_scales_of_the_text_can_be_left_out(model_of: Any) -> None:
    """The first layer then reads the text's vector as it is."""
    from crosshash.layers.multiscale_text import MultiScaleText

    plain, scaled = (model_of("mdffh", multiscale=choice) for choice in (False, True))
    assert not any(isinstance(part, MultiScaleText) for part in plain.modules())
    assert any(isinstance(part, MultiScaleText) for part in scaled.modules())
    assert plain.encode_text("word1 word2").shape == (1, 2)
