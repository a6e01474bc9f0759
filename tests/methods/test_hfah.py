"""What only HFAH has: a guiding label network, attention, reconstruction and two discriminators."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch.nn import functional

from crosshash.backbones import create_text_encoder
from crosshash.backbones.base import Features
from crosshash.codes import sign
from crosshash.data.model_inputs import PairInputs
from crosshash.layers.hybrid_attention import KINDS, HybridAttention
from crosshash.methods.build import build_model
from crosshash.methods.hfah import HFAH
from crosshash.settings import TrainerSettings
from crosshash.similarity import label_similarity
from crosshash.training.trainer import Trainer


def build(model_of: Any, batch_of: Any, network: Any = None, **objective: Any) -> tuple[HFAH, Any]:
    model = model_of("hfah", **(network or {}))
    batch = batch_of(model.slots)
    algorithm = HFAH(model, len(batch), 4, **objective)
    algorithm.begin([batch])
    return algorithm, batch


def nll(U: torch.Tensor, V: torch.Tensor, S: torch.Tensor) -> torch.Tensor:
    theta = 0.5 * U @ V.T
    return (functional.softplus(theta) - S * theta).mean()


def test_the_label_loss_is_equation_3(model_of: Any, batch_of: Any) -> None:
    algorithm, batch = build(model_of, batch_of)
    algorithm.eval()
    labels = batch.labels.float()
    S = label_similarity(labels, labels)
    f, H = algorithm.labels(labels)
    terms = algorithm.label_loss(batch)
    torch.testing.assert_close(terms["label_feature"], nll(f, f, S))
    torch.testing.assert_close(terms["label_hash"], nll(H, H, S))
    torch.testing.assert_close(terms["label_quantization"], (H - algorithm.bank.B).square().mean())
    torch.testing.assert_close(
        terms["label_classification"],
        (algorithm.labels.classifier(f) - labels).square().mean(),
    )


def test_the_modality_losses_are_equations_4_to_10(model_of: Any, batch_of: Any) -> None:
    algorithm, batch = build(model_of, batch_of)
    algorithm.eval()
    net, B = algorithm.net, algorithm.bank.B
    labels = batch.labels.float()
    S = label_similarity(labels, labels)
    guide = algorithm.labels(labels)[0]
    fy, Hy = net.image_pair(batch.images)
    fx, Hx = net.text_pair(net.text_features(batch.texts))
    made = {
        pair: decoder(Hx if pair.startswith("text") else Hy)
        for pair, decoder in algorithm.reconstruction.decoders.items()
    }
    terms = algorithm.modality_loss(batch)
    torch.testing.assert_close(terms["guidance"], nll(guide, fx, S) + nll(guide, fy, S))
    again_x = net.text_net["hash"].codes(made["text_text"])
    again_y = net.image_net["hash"].codes(made["image_image"])
    consistency = sum((B - codes).square().mean() for codes in (Hx, Hy, again_x, again_y))
    torch.testing.assert_close(terms["consistency"], consistency)
    reconstruction = sum(
        (value - (fx if pair.endswith("_text") else fy)).square().mean()
        for pair, value in made.items()
    )
    torch.testing.assert_close(terms["reconstruction"], reconstruction)


def test_discriminators_do_not_move_in_generator_updates_nor_networks_in_theirs(
    model_of: Any, batch_of: Any
) -> None:
    algorithm, _ = build(model_of, batch_of)
    label, modalities, discriminators = algorithm.phases()[0].updates
    judges = set(algorithm.reconstruction.discriminators.parameters())
    assert set(discriminators.parameters) == judges
    assert not judges & set(modalities.parameters)
    assert set(label.parameters) == set(algorithm.labels.parameters())
    assert not set(label.parameters) & set(modalities.parameters)


def before_the_first_epoch(model_of: Any, batch_of: Any, label_epochs: int) -> tuple[HFAH, Any]:
    """State of a training that a callback would see first, were it called then."""
    model = model_of("hfah")
    batch = batch_of(model.slots)
    data = PairInputs(batch.images, batch.texts, batch.labels)
    algorithm = HFAH(model, len(batch), 4, label_epochs=label_epochs)
    algorithm.phases = list  # type: ignore[method-assign]
    settings = TrainerSettings(epochs=1, batch_size=16, device="cpu")
    Trainer(algorithm, data, settings, progress=False).run()
    return algorithm, batch


def test_the_label_network_is_trained_before_all_else_and_gives_the_first_codes(
    model_of: Any, batch_of: Any
) -> None:
    trained, batch = before_the_first_epoch(model_of, batch_of, 30)
    raw, _ = before_the_first_epoch(model_of, batch_of, 0)
    S = label_similarity(batch.labels, batch.labels)
    H = trained.bank.get_buffer("H")
    torch.testing.assert_close(H, trained.labels(batch.labels)[1].detach())
    assert torch.equal(trained.bank.B, sign(H))
    assert nll(H, H, S) < 0.5 * nll(raw.bank.get_buffer("H"), raw.bank.get_buffer("H"), S)
    before = model_of("hfah").state_dict()
    assert all(torch.equal(value, before[name]) for name, value in trained.net.state_dict().items())


def test_losses_leave_the_bank_as_it_is(model_of: Any, batch_of: Any) -> None:
    algorithm, batch = build(model_of, batch_of)
    for name in algorithm.bank.codes:
        algorithm.bank.get_buffer(name).zero_()
    before = {name: value.clone() for name, value in algorithm.bank.state_dict().items()}
    label, modalities, discriminators = algorithm.phases()[0].updates
    for update in (label, modalities, discriminators):
        update.loss(batch)
    after = algorithm.bank.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)
    label.after(batch)  # all that is there; in training each update's own
    assert [n for n in before if not torch.equal(before[n], after[n])] == ["F", "G", "H"]
    assert discriminators.after is None


def test_the_label_network_gets_no_gradient_from_the_modalities(
    model_of: Any, batch_of: Any
) -> None:
    algorithm, batch = build(model_of, batch_of)
    sum(algorithm.modality_loss(batch).values()).backward()
    assert all(p.grad is None for p in algorithm.labels.parameters())


def test_discriminators_learn_to_tell_and_generators_to_deceive(
    model_of: Any, batch_of: Any
) -> None:
    algorithm, batch = build(model_of, batch_of)
    update = algorithm.phases()[0].updates[2]
    optimizer = torch.optim.Adam(update.parameters, lr=1e-2)
    losses = []
    algorithm.modality_loss(batch)
    for _ in range(40):
        loss = update.total(update.loss(batch))
        losses.append(loss.item())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert losses[-1] < 0.5 * losses[0]
    generator = algorithm.modality_loss(batch)["adv"]
    assert generator.item() > 2 * 0.7  # discriminators see through it: above the 2 log 2 of a draw


@pytest.mark.parametrize("vote", [1.0, 3.0])
def test_codes_are_the_sign_of_all_three(model_of: Any, batch_of: Any, vote: float) -> None:
    algorithm, batch = build(model_of, batch_of, vote=vote)
    codes = {name: torch.randn(48, 16) for name in "FGH"}
    algorithm.bank.store(batch.index, **codes)
    algorithm.solve_codes()
    assert torch.equal(algorithm.bank.B, sign(codes["F"] + codes["G"] + vote * codes["H"]))


@pytest.mark.parametrize(
    ("network", "objective"),
    [
        ({}, {"reconstruct": False}),
        ({"attention": None}, {"reconstruct": False}),
        ({"attention": None, "multiscale": False}, {"reconstruct": False}),
        ({"attention": "eca"}, {}),
    ],
)
def test_every_ablation_trains(
    model_of: Any, batch_of: Any, steps: Any, network: Any, objective: Any
) -> None:
    algorithm, batch = build(model_of, batch_of, network, **objective)
    before = [p.detach().clone() for p in algorithm.net.parameters()]
    steps(algorithm, batch, 2)
    assert all(p.isfinite().all() for p in algorithm.parameters())
    pairs = zip(before, algorithm.net.parameters(), strict=True)
    assert any(not torch.equal(p, q) for p, q in pairs)


@pytest.mark.parametrize("frozen", [True, False])
def test_attention_stands_between_the_map_and_the_head(batch_of: Any, frozen: bool) -> None:
    text = create_text_encoder("bow", vocabulary=[f"word{i}" for i in range(60)])
    options = {"name": "test_resnet", "weights": "random", "image_size": 32}
    model = build_model(
        "hfah",
        bits=16,
        backbones={"image": options},
        text=text,
        network={},
        frozen=["image"] if frozen else [],
    )
    assert model.image_needs == ("map",)
    pixels = torch.randn(6, 3, 32, 32)
    model.eval()
    plain = model.backbones["image"](pixels)
    attended = model.image_net["attention"](plain.map)
    vector = model.backbone("image").head(attended)
    expected = model.image_net["hash"](model.image_net["encoder"](vector))[1]
    torch.testing.assert_close(model.hash_image({"image": plain}), expected)
    model.hash_image({"image": plain}).sum().backward()
    gradients = [p.grad for p in model.image_net["attention"].parameters()]
    assert all(g is not None and g.abs().sum() > 0 for g in gradients)
    with pytest.raises(ValueError, match="no map"):
        model.hash_image({"image": Features(plain.pooled)})


@pytest.mark.parametrize("kind", KINDS)
def test_every_attention_keeps_the_shape_of_maps_and_of_single_places(kind: str) -> None:
    torch.manual_seed(0)
    attention = HybridAttention(32, kind).eval()
    for size in (1, 7):
        x = torch.randn(2, 32, size, size)
        assert attention(x).shape == x.shape


def test_an_unknown_attention_names_the_nearest() -> None:
    with pytest.raises(ValueError, match="did you mean 'cbam'"):
        HybridAttention(32, "cbma")


def test_the_label_networks_target_is_the_unified_code_or_its_own(
    model_of: Any, batch_of: Any
) -> None:
    for target in ("unified", "own"):
        algorithm, batch = build(model_of, batch_of, label_target=target)
        H = algorithm.labels(batch.labels)[1]
        B = algorithm.bank.B if target == "unified" else torch.where(H >= 0, 1.0, -1.0)
        found = algorithm.label_loss(batch)["label_quantization"]
        torch.testing.assert_close(found, (B - H).square().mean())


def test_how_far_b_is_a_function_of_the_labels_is_logged(model_of: Any, batch_of: Any) -> None:
    algorithm, batch = build(model_of, batch_of, vote=0.0)
    bank = algorithm.bank
    bank.store(batch.index, **{name: torch.randn(48, 16) for name in "FGH"})
    same = (bank.signs(H=0.0) == torch.where(bank.get_buffer("H") >= 0, 1.0, -1.0)).float().mean()
    assert algorithm.solve_codes()["label_agreement"] == pytest.approx(float(same))
    algorithm.vote = 1e6
    assert algorithm.solve_codes()["label_agreement"] == 1
