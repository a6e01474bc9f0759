"""Checkpoint folders: what is written is read back, and nothing else is accepted."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

import crosshash
from crosshash.hub.checkpoint import CheckpointError, read_checkpoint
from crosshash.model.hash_model import HashModel

ROWS = np.random.default_rng(0).normal(size=(3, 6)).astype(np.float32)


def test_a_loaded_model_gives_the_codes_of_the_saved_one(model: HashModel, folder: Path) -> None:
    loaded = crosshash.load(folder)
    expected = model.encode_image(ROWS, output="real")
    np.testing.assert_array_equal(loaded.encode_image(ROWS, output="real"), expected)
    np.testing.assert_array_equal(
        loaded.encode_text("a red square"), model.encode_text("a red square")
    )
    assert loaded.info.label_names == ["circle", "square"]
    assert loaded.frozen == {"image"}
    assert not loaded.training


def test_a_checkpoint_needs_neither_the_hub_nor_the_training_data(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    config = json.loads((folder / "config.json").read_text())
    assert config["backbones"]["image"] == {"name": "features", "dim": 6}
    assert read_checkpoint(folder).encode_text("blue").shape == (1, 2)


def test_it_has_no_pickle_and_readable_files(folder: Path) -> None:
    assert {path.name for path in folder.iterdir()} == {
        "README.md",
        "config.json",
        "info.json",
        "model.safetensors",
        "vocabulary.json",
    }
    assert all(path.stat().st_mode & 0o044 for path in folder.iterdir())


def test_half_precision_is_read_back_as_single(model: HashModel, tmp_path: Path) -> None:
    crosshash.save(model, tmp_path / "half", dtype=torch.float16)
    stored = load_file(tmp_path / "half" / "model.safetensors").values()
    assert {value.dtype for value in stored if value.is_floating_point()} == {torch.float16}
    assert {value.dtype for value in crosshash.load(tmp_path / "half").parameters()} == {
        torch.float32
    }


def test_loading_takes_a_type(folder: Path) -> None:
    loaded = crosshash.load(folder, dtype=torch.float64, device="cpu")
    assert {value.dtype for value in loaded.parameters()} == {torch.float64}


def test_an_unknown_way_to_store_backbones_is_refused(model: HashModel, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="'full' or 'reference'"):
        crosshash.save(model, tmp_path / "x", backbones="none")  # type: ignore[arg-type]


def test_a_missing_tensor_is_named(folder: Path) -> None:
    path = folder / "model.safetensors"
    state = load_file(path)
    del state["text_head.linear.weight"]
    save_file(state, path)
    with pytest.raises(CheckpointError, match=r"missing: text_head\.linear\.weight"):
        read_checkpoint(folder)


def test_an_extra_tensor_is_named(folder: Path) -> None:
    path = folder / "model.safetensors"
    save_file({**load_file(path), "surprise": torch.zeros(1)}, path)
    with pytest.raises(CheckpointError, match="unexpected: surprise"):
        read_checkpoint(folder)


def test_a_tensor_of_another_shape_is_named(folder: Path) -> None:
    path = folder / "model.safetensors"
    state = load_file(path)
    state["text_head.linear.bias"] = torch.zeros(8)
    save_file(state, path)
    with pytest.raises(CheckpointError, match=r"text_head\.linear\.bias \(8,\) instead of \(16,\)"):
        read_checkpoint(folder)


def test_a_truncated_weight_file_is_refused(folder: Path) -> None:
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(CheckpointError, match=r"model\.safetensors"):
        read_checkpoint(folder)


@pytest.mark.parametrize(
    "content", ["{", "[1]", "{}", '{"format_version": 1}', '{"format_version": 2}']
)
def test_a_config_that_describes_no_model_is_refused(folder: Path, content: str) -> None:
    (folder / "config.json").write_text(content)
    with pytest.raises(CheckpointError, match=r"config\.json"):
        read_checkpoint(folder)


@pytest.mark.parametrize("name", ["config.json", "info.json", "model.safetensors"])
def test_a_missing_file_is_named(folder: Path, name: str) -> None:
    (folder / name).unlink()
    with pytest.raises(FileNotFoundError, match=name):
        read_checkpoint(folder)


def test_a_save_that_fails_leaves_the_old_checkpoint(
    model: HashModel, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = {path.name: path.read_bytes() for path in folder.iterdir()}

    def fail(_: object) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(model.text, "save_assets", fail)
    with pytest.raises(OSError, match="disk full"):
        crosshash.save(model, folder)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    assert [path.name for path in folder.parent.iterdir()] == [folder.name]
