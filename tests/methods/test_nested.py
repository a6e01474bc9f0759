"""Codes of several lengths by every method that learns by gradient; a new one is met here too."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import crosshash
from crosshash.algorithms.nested import Nested
from crosshash.algorithms.phases import BatchPhase, Update
from crosshash.codes import check_nested
from crosshash.data.model_inputs import PairInputs, encode_pairs
from crosshash.methods.build import METHODS
from crosshash.model.hash_model import HashModel
from crosshash.model.prefix import prefix_view
from crosshash.retrieval.metrics import mean_average_precision
from crosshash.settings import TrainerSettings
from crosshash.training.trainer import Trainer

LENGTHS = (8, 16)
pytestmark = pytest.mark.parametrize(
    "method", [name for name in METHODS.names() if METHODS[name].trains != "nothing"]
)


@pytest.fixture
def nested_of(
    model_of: Callable[..., HashModel], narrow: Callable[[str], dict[str, Any]]
) -> Callable[..., Nested]:
    def make(method: str, pairs: Any, lengths: tuple[int, ...] = LENGTHS) -> Nested:
        net = model_of(method, bits=24, **narrow(method))
        net.nested = check_nested(lengths, 24)
        classes = pairs.labels.shape[1]
        return Nested(net, lambda view, bits: METHODS[method](view, len(pairs), classes))

    return make


def updates(algorithm: Nested) -> list[Update]:
    phases = [*algorithm.preliminary(), *algorithm.phases()]
    return [u for phase in phases if isinstance(phase, BatchPhase) for u in phase.updates]


def train(algorithm: Nested, data: PairInputs, epochs: int, **options: Any) -> Trainer:
    settings = TrainerSettings(epochs=epochs, batch_size=16, device="cpu")
    trainer = Trainer(algorithm, data, settings, progress=False, **options)
    trainer.run()
    return trainer


def inputs(batch: Any) -> PairInputs:
    return PairInputs(batch.images, batch.texts, batch.labels)


def test_gradients_reach_every_trained_parameter(
    method: str, nested_of: Any, batch_of: Any, reached: Any, begin: Any
) -> None:
    batch = batch_of(METHODS[method].Network.slots)
    algorithm = nested_of(method, batch)
    begin(algorithm, batch)
    found = reached(algorithm, batch, updates)
    assert [name for name, p in algorithm.named_parameters() if p not in found] == []


def test_a_views_codes_are_the_first_bits_of_the_networks(
    method: str, nested_of: Any, batch_of: Any, steps: Any, begin: Any
) -> None:
    batch = batch_of(METHODS[method].Network.slots)
    algorithm = nested_of(method, batch)
    begin(algorithm, batch)
    steps(algorithm, batch, 1)
    algorithm.eval()
    whole = algorithm.net(batch.images, batch.texts)
    for bits in LENGTHS:
        view = algorithm.parts[bits].net
        assert view.bits == bits
        assert {*view.parameters()} == {*algorithm.net.parameters()}
        for codes, first in zip(whole, view(batch.images, batch.texts), strict=True):
            assert torch.equal(codes[:, :bits], first)


def test_it_learns_at_every_length_and_comes_back_from_its_checkpoint(
    method: str, nested_of: Any, batch_of: Any, tmp_path: Path
) -> None:
    slots = METHODS[method].Network.slots
    data, unseen = batch_of(slots), batch_of(slots, count=40, seed=5)
    algorithm = nested_of(method, data)
    train(algorithm, inputs(data), 12)
    net = algorithm.net
    query, found = (encode_pairs(net, inputs(part)) for part in (unseen, data))
    for bits in net.lengths:
        for one, other in ((0, 1), (1, 0)):
            codes = query[one][:, : bits // 8], found[other][:, : bits // 8]
            # Chance is a quarter: there are four classes.
            assert mean_average_precision(*codes, unseen.labels, data.labels) > 0.5, bits
    crosshash.save(net, tmp_path / "model")
    loaded = crosshash.load(tmp_path / "model")
    assert loaded.nested == LENGTHS
    image, words = next(iter(unseen.images.values())), unseen.texts["bow"].numpy()
    for bits in net.lengths:
        for one in (net, loaded):
            images, texts = one.encode_image(image, bits=bits), one.encode_text(words, bits=bits)
            np.testing.assert_array_equal(images, query[0][:, : bits // 8])
            np.testing.assert_array_equal(texts, query[1][:, : bits // 8])


def test_a_killed_training_goes_on_to_the_same_codes(
    method: str, nested_of: Any, batch_of: Any, tmp_path: Path
) -> None:
    if METHODS.is_built_in(method) and method not in ("amgfh", "dmsfh", "lpdh"):
        pytest.skip(
            "one of each kind: without a bank, with one and a B step, with an epoch's share"
        )
    data = batch_of(METHODS[method].Network.slots)
    whole, killed = nested_of(method, data), nested_of(method, data)
    train(whole, inputs(data), 3)

    def kill(figures: Any, net: Any) -> None:
        if figures["epoch"] == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(killed, inputs(data), 3, folder=tmp_path, callbacks=[kill])
    again = nested_of(method, data)
    settings = TrainerSettings(epochs=3, batch_size=16, device="cpu")
    Trainer(again, inputs(data), settings, folder=tmp_path, progress=False).run(resume=True)
    for first, second in zip(
        encode_pairs(whole.net, inputs(data)), encode_pairs(again.net, inputs(data)), strict=True
    ):
        np.testing.assert_array_equal(first, second)


def test_views_of_it_are_refused_at_lengths_it_does_not_have(
    method: str, model_of: Callable[..., HashModel]
) -> None:
    with pytest.raises(ValueError, match="multiples of 8 below 16"):
        prefix_view(model_of(method), 16)
