"""A method without parameters goes the way of the others: trained, resumed, saved, loaded."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import crosshash
from crosshash.codes import sign
from crosshash.data.model_inputs import PairInputs, encode_pairs
from crosshash.hub.checkpoint import read_checkpoint
from crosshash.methods.build import METHODS
from crosshash.settings import TrainerSettings
from crosshash.training.trainer import Trainer


def trained(model_of: Any, batch_of: Any, **options: Any) -> tuple[Any, PairInputs]:
    model = model_of("cca_itq")
    batch = batch_of(model.slots)
    data = PairInputs(batch.images, batch.texts, batch.labels)
    algorithm = METHODS["cca_itq"](model, len(data), 4)
    settings = TrainerSettings(epochs=1, batch_size=7, device="cpu")
    trainer = Trainer(algorithm, data, settings, progress=False, **options)
    history = trainer.run(
        resume=(options.get("folder") / "state.pt").exists() if options else False
    )
    assert set(history[0]) == {"epoch", "correlation"}
    return model, data


def test_its_buffers_are_the_solution_whatever_the_batches(model_of: Any, batch_of: Any) -> None:
    model, data = trained(model_of, batch_of)
    images = data.images["image"].pooled.double()
    texts = data.texts["bow"].double()
    vectors = {"image": images - images.mean(dim=0), "text": texts - texts.mean(dim=0)}
    projected = {side: x @ model.get_buffer(f"{side}_map").double() for side, x in vectors.items()}
    F, G = model.eval()(data.images, data.texts)
    torch.testing.assert_close(F.double(), projected["image"], rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(G.double(), projected["text"], rtol=1e-4, atol=1e-4)
    # A rotation to binary codes is a fixed point of its own alternation (Gong et al., section 3).
    both = projected["image"] + projected["text"]
    left, _, right = torch.linalg.svd(both.T @ sign(both))
    loss = (sign(both) - both).square().sum()
    again = both @ left @ right
    assert (sign(again) - again).square().sum() == pytest.approx(loss.item(), rel=1e-2)
    assert not list(model.parameters())


def test_its_codes_are_the_same_after_saving_loading_and_resuming(
    model_of: Any, batch_of: Any, tmp_path: Path
) -> None:
    model, data = trained(model_of, batch_of, folder=tmp_path)
    codes = encode_pairs(model, data)
    resumed, _ = trained(model_of, batch_of, folder=tmp_path)
    crosshash.save(model, tmp_path / "model")
    loaded = read_checkpoint(tmp_path / "model")
    fresh = encode_pairs(model_of("cca_itq"), data)
    for side in range(2):
        np.testing.assert_array_equal(codes[side], encode_pairs(resumed, data)[side])
        np.testing.assert_array_equal(codes[side], encode_pairs(loaded, data)[side])
        assert (codes[side] != fresh[side]).any()


def test_a_model_without_parameters_or_buffers_is_on_the_cpu(model_of: Any) -> None:
    model = model_of("cca_itq")
    assert model.device == torch.device("cpu")
    for name in [name for name, _ in model.named_buffers()]:
        delattr(model, name)
    assert not model.state_dict()
    assert model.device == torch.device("cpu")


def test_a_model_of_buffers_alone_is_where_they_are(model_of: Any) -> None:
    assert model_of("cca_itq").to("meta").device == torch.device("meta")
