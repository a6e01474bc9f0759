"""Where a model is put, and as what, is checked before anything is read."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

import crosshash


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
@pytest.mark.parametrize("device", ["cuda", "cuda:1", torch.device("cuda")])
def test_a_device_that_is_not_there_is_refused_first(tmp_path: Path, device: object) -> None:
    with pytest.raises(ValueError, match=r"torch can use no device 'cuda.*use 'cpu'"):
        crosshash.load(tmp_path / "nowhere", device=device)


@pytest.mark.parametrize("device", ["gpu", "", "cpu:x"])
def test_a_device_of_no_kind_is_refused_first(tmp_path: Path, device: str) -> None:
    with pytest.raises(ValueError, match=f"no kind of device '{device}': use 'cpu', 'cuda'"):
        crosshash.load(tmp_path / "nowhere", device=device)


@pytest.mark.parametrize("dtype", [torch.int8, torch.complex64, "float16", float])
def test_a_type_that_is_not_floating_is_refused_first(tmp_path: Path, dtype: object) -> None:
    with pytest.raises(ValueError, match=r"dtype is a floating type such as torch\.float16"):
        crosshash.load(tmp_path / "nowhere", dtype=dtype)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("dtype", [None, torch.float16, torch.bfloat16])
def test_a_model_on_a_gpu_gives_the_codes_of_the_cpu(dtype: torch.dtype | None) -> None:
    data, _ = crosshash.load_dataset("shapes", n=20, seed=7)
    here = crosshash.load("amgfh-shapes-64")
    there = crosshash.load("amgfh-shapes-64", device="cuda", dtype=dtype)
    for side, given in (("encode_image", data.images), ("encode_text", data.captions())):
        expected = getattr(here, side)(given, output="real")
        found = getattr(there, side)(given, output="real")
        np.testing.assert_allclose(found, expected, atol=0.1 if dtype else 1e-3)


def test_a_type_holds_for_all_weights(folder: Path, features: np.ndarray) -> None:
    plain, half = crosshash.load(folder), crosshash.load(folder, dtype=torch.float16)
    assert {value.dtype for value in half.parameters()} == {torch.float16}
    found = half.encode_image(features, output="real")
    np.testing.assert_allclose(found, plain.encode_image(features, output="real"), atol=0.01)


def test_a_model_in_half_precision_is_saved_and_loaded(folder: Path, tmp_path: Path) -> None:
    half = crosshash.load(folder, dtype=torch.float16)
    crosshash.save(half, tmp_path / "half")
    again = crosshash.load(tmp_path / "half")
    assert again.dtype == torch.float32
    words = ["a red circle", "blue grass"]
    np.testing.assert_allclose(
        again.encode_text(words, output="real"), half.encode_text(words, output="real"), atol=0.01
    )
