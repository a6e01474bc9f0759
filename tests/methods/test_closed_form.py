"""A method without parameters goes the way of the others: trained, resumed, saved, loaded."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import crosshash
from crosshash.backbones import create_text_encoder
from crosshash.backbones.base import Features
from crosshash.codes import sign
from crosshash.data.model_inputs import PairInputs, encode_pairs
from crosshash.hub.checkpoint import read_checkpoint
from crosshash.methods.build import METHODS, build_model
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


def solved(model: Any, batch: Any, method: str, **options: Any) -> Any:
    data = PairInputs(batch.images, batch.texts, batch.labels)
    algorithm = METHODS[method](model, len(data), 4, **options)
    settings = TrainerSettings(epochs=1, batch_size=7, device="cpu")
    Trainer(algorithm, data, settings, progress=False).run()
    return model.eval()


def test_signs_are_those_of_the_values_where_there_is_a_bit_for_each(batch_of: Any) -> None:
    batch = batch_of(("image",))
    x = batch.images["image"].pooled[:, :16]
    batch.images = {"image": Features(x)}
    batch.texts = {"features": batch.texts["bow"].float()}
    for centred, wanted in ((False, x), (True, x - x.mean(dim=0))):
        model = features_model("sign", 16, 60)
        F, _ = solved(model, batch, "sign", centred=centred)(batch.images, batch.texts)
        torch.testing.assert_close(F, wanted)


def test_sides_of_one_width_have_one_random_projection(batch_of: Any) -> None:
    model = features_model("sign", 36, 36)
    assert torch.equal(model.get_buffer("image_map"), model.get_buffer("text_map"))
    assert model.get_buffer("image_map").shape == (36, 16)
    other = features_model("sign", 36, 20)
    assert other.get_buffer("text_map").shape == (20, 16)


@pytest.mark.parametrize("text_width", [36, 20])
def test_itq_has_one_map_for_one_space_and_one_for_each_side_else(
    text_width: int, batch_of: Any
) -> None:
    batch = batch_of(("image",))
    x = batch.images["image"].pooled
    batch.texts = {"features": 2 * x[:, :text_width] + 1}
    model = solved(features_model("itq", 36, text_width), batch, "itq")
    maps = [model.get_buffer(f"{side}_map") for side in ("image", "text")]
    for matrix in maps:  # principal directions, rotated
        torch.testing.assert_close(matrix.T @ matrix, torch.eye(16), rtol=0, atol=1e-5)
    F, G = model(batch.images, batch.texts)
    torch.testing.assert_close(F.mean(dim=0), torch.zeros(16), rtol=0, atol=1e-4)
    same = text_width == 36
    assert torch.equal(*maps) if same else maps[0].shape != maps[1].shape
    if same:
        assert torch.equal(sign(F), sign(G))


def features_model(method: str, image: int, text: int, bits: int = 16) -> Any:
    torch.manual_seed(0)
    return build_model(
        method,
        bits=bits,
        backbones={"image": {"name": "features", "dim": image}},
        text=create_text_encoder("features", dim=text),
        network={},
    )


@pytest.mark.parametrize("method", ["itq", "cca_itq"])
def test_the_first_rotation_is_that_of_the_run_s_seed(method: str, batch_of: Any) -> None:
    batch = batch_of(("image",))
    batch.texts = {"features": batch.texts["bow"].float()}
    widths = batch.images["image"].pooled.shape[1], batch.texts["features"].shape[1]

    def found(run: int, **options: Any) -> torch.Tensor:
        model = features_model(method, *widths, bits=8)
        torch.manual_seed(run)
        return solved(model, batch, method, **options).get_buffer("image_map")

    assert torch.equal(found(1), found(1))
    assert not torch.equal(found(0), found(1))
    assert torch.equal(found(0), found(1, seed=0))
