"""A model in another floating type takes the same inputs and gives the same codes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

import crosshash
from crosshash import HashModel
from crosshash.backbones.extract import iterate_features
from crosshash.backbones.forward import floating_type
from crosshash.data import PairedDataset

# How far a value in (-1, 1) may move, some times the type's rounding.
NEAR = {torch.float16: 0.01, torch.bfloat16: 0.1, torch.float64: 1e-4}
dtypes = pytest.mark.parametrize("dtype", list(NEAR), ids=str)


def agree(found: np.ndarray, expected: np.ndarray, dtype: torch.dtype) -> None:
    assert found.dtype == np.float32
    assert np.abs(found - expected).max() < NEAR[dtype]
    flipped = (found >= 0) != (expected >= 0)
    assert np.abs(expected[flipped]).max(initial=0) < NEAR[dtype]
    assert np.abs(expected).mean() > NEAR[dtype]  # else nothing would be said


def inputs_of(model: HashModel, data: PairedDataset) -> dict[str, Any]:
    backbone = model.backbone("image")
    [features] = iterate_features(backbone, data.images, keep=("pooled", "map"))
    pixels = torch.stack([backbone.preprocess(picture) for picture in data.images])
    return {
        "pictures": data.images,
        "pixels": pixels,
        "double pixels": pixels.double(),
        "features": {"image": features},
    }


@dtypes
def test_pictures_pixels_and_features_give_the_codes_of_float32(
    model: HashModel, pictures: PairedDataset, dtype: torch.dtype
) -> None:
    expected = model.encode_image(pictures.images, output="real")
    other = crosshash.load("amgfh-shapes-64", dtype=dtype)
    assert other.dtype == dtype
    for given in inputs_of(model, pictures).values():
        agree(other.encode_image(given, output="real"), expected, dtype)


@dtypes
def test_words_give_the_codes_of_float32(
    model: HashModel, pictures: PairedDataset, dtype: torch.dtype
) -> None:
    captions = pictures.captions()
    rows = model.text.prepare(captions)["bow"]
    expected = model.encode_text(captions, output="real")
    other = crosshash.load("amgfh-shapes-64", dtype=dtype)
    for given in (captions, rows, rows.double().numpy()):
        agree(other.encode_text(given, output="real"), expected, dtype)


@dtypes
@pytest.mark.parametrize("method", ["amgfh", "mdffh", "dmsfh", "hfah"])
def test_standardized_features_give_the_codes_of_float32(method: str, dtype: torch.dtype) -> None:
    plain = crosshash.load(f"{method}-wiki-64")
    assert len(plain.norms) > 0
    other = crosshash.load(f"{method}-wiki-64", dtype=dtype)
    rng = np.random.default_rng(0)
    images = rng.dirichlet(np.ones(128), 50).astype(np.float32)
    texts = rng.dirichlet(np.ones(10), 50).astype(np.float32)
    agree(
        other.encode_image(images, output="real"), plain.encode_image(images, output="real"), dtype
    )
    for given in (texts, texts.astype(np.float64)):
        agree(
            other.encode_text(given, output="real"), plain.encode_text(texts, output="real"), dtype
        )


@pytest.mark.parametrize(
    ("change", "dtype"),
    [
        (lambda model: model.half(), torch.float16),
        (lambda model: model.to(torch.bfloat16), torch.bfloat16),
        (lambda model: model.double(), torch.float64),
        (lambda model: model.half().float(), torch.float32),
    ],
)
def test_a_loaded_model_may_be_changed(
    model: HashModel, pictures: PairedDataset, change: Any, dtype: torch.dtype
) -> None:
    other = change(crosshash.load("amgfh-shapes-64"))
    assert other.dtype == dtype
    found = other.encode_image(pictures.images, output="real")
    agree(found, model.encode_image(pictures.images, output="real"), torch.bfloat16)
    found = other.encode_text(pictures.captions(), output="real")
    agree(found, model.encode_text(pictures.captions(), output="real"), torch.bfloat16)


def test_a_backbone_alone_may_be_in_half_precision(
    model: HashModel, pictures: PairedDataset
) -> None:
    other = crosshash.load("amgfh-shapes-64")
    other.backbones.half()
    assert other.dtype == torch.float32
    assert floating_type(other.backbone("image")) == torch.float16
    expected = model.encode_image(pictures.images, output="real")
    for given in inputs_of(model, pictures).values():
        agree(other.encode_image(given, output="real"), expected, torch.float16)


@dtypes
def test_a_step_of_training_takes_rows_of_float32(
    model: HashModel, pictures: PairedDataset, dtype: torch.dtype
) -> None:
    other = crosshash.load("amgfh-shapes-64", dtype=dtype).train()
    pixels = inputs_of(model, pictures)["pixels"]
    F, G = other({"image": pixels}, other.text.prepare(pictures.captions()))
    assert F.dtype == G.dtype == dtype
    (F * G).sum().backward()
    gradients = [p.grad for p in other.parameters() if p.grad is not None]
    assert gradients
    assert all(gradient.dtype == dtype for gradient in gradients)


def test_a_module_without_floating_numbers_has_the_default_type() -> None:
    assert floating_type(torch.nn.ReLU()) == torch.get_default_dtype()
