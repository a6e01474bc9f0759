"""What only CPH has."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch

import crosshash
from crosshash.backbones import create_text_encoder
from crosshash.backbones.base import Features
from crosshash.codes import sign
from crosshash.data.model_inputs import PairInputs
from crosshash.losses.contrast import info_nce, neighbour_divergence
from crosshash.losses.likelihood import pairwise_nll
from crosshash.losses.straight_through import toward_signs
from crosshash.methods import CCAITQ, CPH
from crosshash.methods.build import build_model
from crosshash.model.batch import Batch
from crosshash.settings import TrainerSettings
from crosshash.similarity import cosine_similarity, label_similarity
from crosshash.training.trainer import Trainer


def one_kind(**network: Any) -> Any:
    torch.manual_seed(0)
    return build_model(
        "cph",
        bits=16,
        backbones={"image": {"name": "features", "dim": 36}},
        text=create_text_encoder("features", dim=36),
        network={"shared": True, **network},
    )


def test_the_loss_is_made_of_its_terms(model_of: Any, batch_of: Any) -> None:
    model = model_of("cph", dropout=0.0).eval()
    batch = batch_of(model.slots)
    algorithm = CPH(model, 48, 4, straight=0.4, neighbour=2.0, label=3.0, temperature=0.2)
    terms = algorithm.loss(batch)
    F, G = model(batch.images, batch.texts)
    u, v = toward_signs(F.tanh(), 0.4), toward_signs(G.tanh(), 0.4)
    near = [
        neighbour_divergence(u, batch.images["image"].pooled, scale=10.0, vector_scale=10.0),
        neighbour_divergence(v, batch.texts["bow"].float(), scale=10.0, vector_scale=10.0),
    ]
    S = label_similarity(batch.labels, batch.labels)
    expected = {
        "pair": info_nce(cosine_similarity(u, v), 5.0),
        "neighbour": (near[0] + near[1]) / 2,
        "label": pairwise_nll(u, v, S, scale=0.15),
    }
    assert terms.keys() == expected.keys()
    for name, value in expected.items():
        torch.testing.assert_close(terms[name], value)
    (update,) = algorithm.phases()[0].updates
    total = expected["pair"] + 2 * expected["neighbour"] + 3 * expected["label"]
    torch.testing.assert_close(update.total(terms), total)


def test_without_weights_nothing_but_pairs_counts(model_of: Any, batch_of: Any) -> None:
    batch = batch_of(("image",))
    batch.labels = None
    algorithm = CPH(model_of("cph"), 48, 0)
    assert set(algorithm.loss(batch)) == {"pair"}
    assert not algorithm.supervised
    assert CPH(model_of("cph"), 48, 4, label=1.0).supervised


def test_signs_are_drawn_around_the_outputs(model_of: Any, batch_of: Any) -> None:
    model = model_of("cph").eval()
    batch = batch_of(model.slots)
    algorithm = CPH(model, 48, 0, noise=0.5)
    F = torch.tensor([-1.0, 0.0, 0.25, 2.0]).expand(20_000, 4)
    torch.manual_seed(0)
    drawn = algorithm._codes(F)
    assert drawn.abs().eq(1).all()
    torch.testing.assert_close(
        drawn.eq(1).float().mean(dim=0), (F[0] / 0.5).sigmoid(), rtol=0, atol=0.015
    )
    assert algorithm.loss(batch)["pair"] != algorithm.loss(batch)["pair"]
    algorithm.epoch_starts(3, 4)
    shares = algorithm._codes(F).eq(1).float().mean(dim=0)
    torch.testing.assert_close(shares, (F[0] / 0.125).sigmoid(), rtol=0, atol=0.015)


def test_gradients_are_those_without_noise(model_of: Any) -> None:
    algorithm = CPH(model_of("cph"), 48, 0, noise=5.0)
    F = torch.tensor([[0.5, -2.0, 0.0]], requires_grad=True)
    algorithm._codes(F).sum().backward()
    assert F.grad is not None
    torch.testing.assert_close(F.grad, 1 - F.detach().tanh().square())


def test_the_temperature_is_learned_within_its_bound(model_of: Any, batch_of: Any) -> None:
    model = model_of("cph")
    batch = batch_of(model.slots)
    data = PairInputs(batch.images, batch.texts)
    algorithm = CPH(model, 48, 0, temperature=0.5)
    settings = TrainerSettings(epochs=3, batch_size=24, learning_rate=0.01, device="cpu")
    Trainer(algorithm, data, settings, progress=False).run()
    assert algorithm.log_scale.item() > torch.tensor(2.0).log().item()
    model.eval()  # without dropout
    algorithm.log_scale.data.fill_(20.0)
    bounded = algorithm.loss(batch)["pair"]
    algorithm.log_scale.data.fill_(torch.tensor(100.0).log())
    torch.testing.assert_close(algorithm.loss(batch)["pair"], bounded)


def test_the_first_temperature_is_that_of_the_least_loss(
    model_of: Any, batch_of: Any, begin: Any
) -> None:
    model = model_of("cph", dropout=0.0, input_dropout=0.0)
    batch = batch_of(model.slots)
    algorithm = CPH(model, 48, 0)
    begin(algorithm, batch)
    chosen = algorithm.log_scale.item()

    def pair(log_scale: float) -> float:
        algorithm.log_scale.data.fill_(log_scale)
        return algorithm.loss(batch)["pair"].item()

    assert pair(chosen) < min(pair(chosen - 0.1), pair(chosen + 0.1))


def test_pairs_that_say_little_of_each_other_do_not_begin_above_one_code_for_all(
    begin: Any,
) -> None:
    images, texts = torch.randn(2, 400, 12, generator=torch.Generator().manual_seed(0))
    features = {"image": Features(images)}
    batch = Batch(torch.arange(400), features, {"features": texts}, None)
    losses = {}
    for temperature in (0.07, None):
        model = build_model(
            "cph",
            bits=8,
            backbones={"image": {"name": "features", "dim": 12}},
            text=create_text_encoder("features", dim=12),
            network={},
        )
        algorithm = CPH(model, 400, 0, temperature=temperature)
        begin(algorithm, batch)
        losses[temperature] = algorithm.loss(batch)["pair"].item()
    one_code = math.log(400)
    assert losses[0.07] > one_code
    assert losses[None] < one_code + 0.1


@pytest.mark.parametrize("directions", [128, 16, 8])
def test_it_starts_from_the_closed_form(
    directions: int, model_of: Any, batch_of: Any, begin: Any
) -> None:
    model = model_of("cph", directions=directions)
    batch = batch_of(model.slots)
    begin(CPH(model, 48, 0), batch)
    other = model_of("cca_itq")
    closed = CCAITQ(other, 48, 0)
    closed.solve([batch])
    F, G = model.eval()(batch.images, batch.texts)
    torch.testing.assert_close(F.mean(dim=0), torch.zeros(16), rtol=0, atol=1e-4)
    torch.testing.assert_close(torch.cat([F, G]).std(), torch.tensor(1.0), rtol=1e-3, atol=0)
    if directions >= 16:  # the first 16 of them, however many there are
        for own, wanted in zip((F, G), other.eval()(batch.images, batch.texts), strict=True):
            assert (sign(own) == sign(wanted)).float().mean() > 0.99


@pytest.mark.parametrize("own_start", [True, False])
def test_the_first_bits_of_nested_codes_start_as_they_do_alone(
    own_start: bool, model_of: Any, batch_of: Any, begin: Any
) -> None:
    model = model_of("cph", directions=16)  # of 16 bits
    model.nested = (8,)
    batch = batch_of(model.slots)
    begin(CPH(model, 48, 0, own_start=own_start), batch)
    alone = model_of("cph", directions=16, bits=8)
    begin(CPH(alone, 48, 0), batch)
    same = [
        bool((sign(own[:, :8]) == sign(wanted)).all())
        for own, wanted in zip(
            model.eval()(batch.images, batch.texts),
            alone.eval()(batch.images, batch.texts),
            strict=True,
        )
    ]
    assert same == [own_start, own_start]


def test_one_kind_of_vector_starts_from_its_principal_directions(batch_of: Any) -> None:
    model = one_kind(directions=20)
    batch = batch_of(("image",))
    batch.texts = {"features": batch.images["image"].pooled}
    algorithm = CPH(model, 48, 0)
    with torch.no_grad():
        algorithm.begin([batch])
    P = model.image_net.get_buffer("directions")
    torch.testing.assert_close(P.T @ P, torch.eye(20), rtol=0, atol=1e-5)
    variance = model.image_net.projected(batch.images["image"].pooled).var(dim=0)
    assert bool((variance[:-1] >= variance[1:] - 1e-5).all())


def test_one_network_for_one_kind_of_vector(batch_of: Any, tmp_path: Path) -> None:
    model = one_kind(input_dropout=0.2)
    x = batch_of(("image",)).images["image"].pooled.numpy()
    codes = model.encode_image(x)
    assert (codes == model.encode_text(x)).all()
    crosshash.save(model, tmp_path / "model")
    loaded = crosshash.load(tmp_path / "model")
    assert (loaded.encode_text(x) == codes).all()
    assert not [name for name in loaded.state_dict() if name.startswith("text_net")]


def test_two_dropouts_make_a_pair_of_an_item(batch_of: Any) -> None:
    model = one_kind(input_dropout=0.3).train()
    x = batch_of(("image",)).images
    F, G = model(x, {"features": x["image"].pooled})
    assert not torch.equal(F, G)


def test_wrong_settings_are_refused(model_of: Any) -> None:
    with pytest.raises(ValueError, match="temperature is above 0"):
        CPH(model_of("cph"), 48, 0, temperature=0.0)
    with pytest.raises(ValueError, match=r"straight is in \[0, 1\]"):
        CPH(model_of("cph"), 48, 0, straight=1.5)
    with pytest.raises(ValueError, match="noise is at least 0"):
        CPH(model_of("cph"), 48, 0, noise=-0.1)
    with pytest.raises(ValueError, match="learns from labels"):
        CPH(model_of("cph"), 48, 0, label=1.0)
    with pytest.raises(ValueError, match="one network for both sides"):
        model_of("cph", shared=True)
    with pytest.raises(ValueError, match="one network for both sides"):
        one_kind(standardize=["image"])
    with pytest.raises(ValueError, match="directions is at least 1"):
        model_of("cph", directions=0)
    with pytest.raises(ValueError, match="looks is at least 1"):
        CPH(model_of("cph"), 48, 0, looks=0)
