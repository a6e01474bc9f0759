"""What only DMSFH has: label heads, intra-modal terms and the graph-regularised B step."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch.nn import functional

from crosshash.codes import sign
from crosshash.config import read_config
from crosshash.methods.dmsfh import DMSFH
from crosshash.similarity import label_similarity


def build(model_of: Any, batch_of: Any, **objective: Any) -> tuple[DMSFH, Any]:
    model = model_of("dmsfh")
    batch = batch_of(model.slots)
    algorithm = DMSFH(model, len(batch), 4, **objective)
    algorithm.begin([batch])
    return algorithm, batch


def nll(U: torch.Tensor, V: torch.Tensor, S: torch.Tensor) -> torch.Tensor:
    theta = 0.5 * U @ V.T
    return (functional.softplus(theta) - S * theta).sum()


def test_the_loss_is_equation_13(model_of: Any, batch_of: Any) -> None:
    algorithm, batch = build(model_of, batch_of, beta=0.7)
    algorithm.eval()
    algorithm.begin([batch])
    labels, n, B = batch.labels.float(), len(batch), algorithm.bank.B
    S = label_similarity(labels, labels)
    F, G = algorithm.net(batch.images, batch.texts)
    for number, (own, other, modality) in enumerate([(F, G, "image"), (G, F, "text")]):
        if modality == "image":
            vector = algorithm.net.image_vector(batch.images)
        else:
            vector = algorithm.net.text_vector(algorithm.net.text_features(batch.texts))
        logits = algorithm.heads[modality](vector)
        printed = (
            nll(own, other, S)
            + nll(own, own.detach(), S)
            + functional.binary_cross_entropy_with_logits(logits, labels, reduction="sum")
            + 0.7 * (B - own).square().sum()
        )
        update = algorithm.phases()[number].updates[0]
        ours = update.total(update.loss(batch)) * n * n
        torch.testing.assert_close(ours, printed, rtol=1e-4, atol=1e-2)


@pytest.mark.parametrize(("phase", "own"), [(0, "F"), (1, "G")])
def test_a_batchs_intra_term_meets_the_codes_that_were_stored_before_it(
    model_of: Any, batch_of: Any, phase: int, own: str
) -> None:
    algorithm, batch = build(model_of, batch_of)
    algorithm.eval()
    stored = torch.randn(48, 16)
    algorithm.bank.store(batch.index, **{own: stored})
    update = algorithm.phases()[phase].updates[0]
    terms = update.loss(batch)
    codes = batch.shared[own]
    assert torch.equal(algorithm.bank.get_buffer(own), stored)
    S = label_similarity(batch.labels, batch.labels)
    torch.testing.assert_close(terms["intra"].detach(), nll(codes, stored, S) / 48**2)
    update.after(batch)
    assert torch.equal(algorithm.bank.get_buffer(own), codes)


@pytest.mark.parametrize("laplacian", ["normalized", "unnormalized"])
def test_the_b_step_minimises_the_graph_and_quantization_terms(
    model_of: Any, batch_of: Any, laplacian: Any
) -> None:
    algorithm, batch = build(model_of, batch_of, laplacian=laplacian, gamma=0.8, beta=0.6)
    bank = algorithm.bank
    bank.store(batch.index, F=torch.randn(48, 16), G=torch.randn(48, 16))
    figures = algorithm.solve_codes()
    S = label_similarity(bank.labels, bank.labels).double()
    degrees = S.sum(dim=1)
    lap = torch.diag(degrees) - S
    if laplacian == "normalized":
        lap = lap / (degrees[:, None] * degrees[None]).sqrt()
    matrix = 2 * 0.6 * torch.eye(48, dtype=torch.float64) + 0.8 * lap
    relaxed = torch.linalg.solve(matrix, 0.6 * (bank.F + bank.G).double())
    assert torch.equal(bank.B, sign(relaxed).float())
    mean = torch.trace(bank.B.double().T @ lap @ bank.B.double()) / bank.B.numel()
    assert figures["graph"] == pytest.approx(float(mean), rel=1e-6)


def test_a_common_offset_swamps_codes_with_the_unnormalized_laplacian_alone(
    model_of: Any, batch_of: Any
) -> None:
    unique = {}
    for laplacian in ("normalized", "unnormalized"):
        algorithm, batch = build(model_of, batch_of, laplacian=laplacian, gamma=20.0)
        algorithm.bank.labels[:, 0] = 1  # everything is alike, as nearly so in dense label sets
        algorithm.begin([_with(batch, algorithm.bank.labels)])
        generator = torch.Generator().manual_seed(0)
        F = torch.randn(48, 16, generator=generator) + 0.3
        algorithm.bank.store(batch.index, F=F, G=F)
        unique[laplacian] = algorithm.solve_codes()["unique"]
    assert unique["unnormalized"] < unique["normalized"]


def _with(batch: Any, labels: torch.Tensor) -> Any:
    batch.labels = labels.clone()
    return batch


def test_dmsfh_p_has_the_two_likelihoods_only(model_of: Any, batch_of: Any) -> None:
    settings = read_config("dmsfh/wiki-64-p").algorithm
    algorithm, batch = build(model_of, batch_of, **settings)
    assert settings["intra"] == 1  # wiki's own recipe leaves L2 out
    for loss in (algorithm.image_loss, algorithm.text_loss):
        assert set(loss(batch)) == {"inter", "intra"}
    algorithm.solve_codes()
    assert torch.equal(algorithm.bank.B, sign(algorithm.bank.F + algorithm.bank.G))
    assert not list(algorithm.heads.parameters())


def test_dmsfh_p_may_keep_the_quantization_term(model_of: Any, batch_of: Any) -> None:
    settings = {**read_config("dmsfh/wiki-64-p").algorithm, "beta": 1.0}
    algorithm, batch = build(model_of, batch_of, **settings)
    assert set(algorithm.image_loss(batch)) == {"inter", "intra", "quantization"}


def test_dmsfh_s_keeps_the_label_term(model_of: Any, batch_of: Any) -> None:
    algorithm, batch = build(model_of, batch_of, gamma=0.0)
    assert set(algorithm.text_loss(batch)) == {"inter", "intra", "label", "quantization"}
    assert "graph" not in algorithm.solve_codes()


@pytest.mark.parametrize("weights", [{"beta": 0.0}, {"beta": -1.0, "gamma": 0.0}])
def test_codes_that_no_term_holds_are_refused(model_of: Any, weights: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="beta is above 0, or 0 where gamma is 0 as well"):
        DMSFH(model_of("dmsfh"), 48, 4, **weights)


def test_scales_of_the_text_can_be_left_out(model_of: Any) -> None:
    """The first layer then reads the text's vector as it is."""
    from crosshash.layers.multiscale_text import MultiScaleText

    plain, scaled = (model_of("dmsfh", multiscale=choice) for choice in (False, True))
    assert not any(isinstance(part, MultiScaleText) for part in plain.modules())
    assert any(isinstance(part, MultiScaleText) for part in scaled.modules())
    assert plain.encode_text("word1 word2").shape == (1, 2)
