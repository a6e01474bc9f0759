"""Frozen backbones by reference to their public home, whose part a local server plays."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save

import crosshash
from crosshash.hub.errors import CheckpointError, HubError
from crosshash.model.hash_model import HashModel

HOME = "timm/test_resnet.r160_in1k"
PICTURES = np.random.default_rng(0).integers(0, 256, (2, 40, 40, 3), dtype=np.uint8)


@pytest.fixture
def pixels() -> HashModel:
    torch.manual_seed(0)
    return crosshash.create(
        "amgfh",
        bits=16,
        backbones={"name": "test_resnet", "weights": "random", "image_size": 32},
        texts=["a red circle", "a blue square"],
        dim=16,
        hidden=[16],
        width=1,
    ).eval()


def publish_backbone(hub: Any, model: HashModel) -> str:
    """The backbone's weights as timm publishes them: its names, a classifier, no counters."""
    state = {
        name.removeprefix("backbones.image.model."): value
        for name, value in model.state_dict().items()
        if name.startswith("backbones.image.model.") and not name.endswith("num_batches_tracked")
    }
    state["fc.weight"] = torch.ones(10, 3)
    return hub.add(HOME, {"model.safetensors": save(state)})


def test_a_checkpoint_by_reference_is_small_and_gives_the_same_codes(
    hub: Any, pixels: HashModel, tmp_path: Path
) -> None:
    commit = publish_backbone(hub, pixels)
    crosshash.save(pixels, tmp_path / "full")
    crosshash.save(pixels, tmp_path / "reference", backbones="reference")
    full, small = (load_file(tmp_path / x / "model.safetensors") for x in ("full", "reference"))
    left = {name for name in full if name.startswith("backbones.")} & set(small)
    assert left
    assert all(name.endswith("num_batches_tracked") for name in left)
    config = json.loads((tmp_path / "reference" / "config.json").read_text())
    assert config["references"]["image"]["repository"] == HOME
    assert config["references"]["image"]["revision"] == commit
    hub.add(HOME, {"model.safetensors": b"another"})  # later, which the reference does not follow
    loaded = crosshash.load(tmp_path / "reference")
    expected = pixels.encode_image(PICTURES, output="real")
    np.testing.assert_array_equal(loaded.encode_image(PICTURES, output="real"), expected)
    for name, value in pixels.state_dict().items():
        assert torch.equal(loaded.state_dict()[name], value), name


def test_what_is_not_the_public_weights_is_not_left_out(
    hub: Any, pixels: HashModel, tmp_path: Path
) -> None:
    publish_backbone(hub, pixels)
    next(pixels.backbones.parameters()).data.add_(1e-3)
    with pytest.raises(ValueError, match=rf"not those of {HOME}.*backbones='full'"):
        crosshash.save(pixels, tmp_path / "x", backbones="reference")
    assert not (tmp_path / "x").exists()


def test_a_changed_home_is_refused(hub: Any, pixels: HashModel, tmp_path: Path) -> None:
    publish_backbone(hub, pixels)
    crosshash.save(pixels, tmp_path / "x", backbones="reference")
    path = tmp_path / "x" / "config.json"
    config = json.loads(path.read_text())
    config["references"]["image"]["sha256"] = "0" * 64
    path.write_text(json.dumps(config))
    with pytest.raises(CheckpointError, match="SHA-256"):
        crosshash.load(tmp_path / "x")
    config["references"] = {}
    path.write_text(json.dumps(config))
    with pytest.raises(CheckpointError, match=r"missing: backbones\.image\.model"):
        crosshash.load(tmp_path / "x")


def test_without_a_connection_it_says_what_is_missing(
    hub: Any, pixels: HashModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from huggingface_hub import constants

    publish_backbone(hub, pixels)
    crosshash.save(pixels, tmp_path / "x", backbones="reference")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert crosshash.load(tmp_path / "x").bits == 16  # from the cache
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "empty"))
    with pytest.raises(HubError, match=f"{HOME}.*HF_HUB_OFFLINE"):
        crosshash.load(tmp_path / "x")


def test_nothing_to_refer_to_is_said(model: HashModel, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="nothing to store by reference"):
        crosshash.save(model, tmp_path / "x", backbones="reference")


@pytest.mark.parametrize(
    "change",
    [{"repository": "a/../b"}, {"revision": "main"}, {"file": "../x.safetensors"},
     {"file": "pytorch_model.bin"}, {"size": 0}, {"extra": 1}],
)  # fmt: skip
def test_a_reference_of_nonsense_is_refused(folder: Path, change: dict[str, Any]) -> None:
    config = json.loads((folder / "config.json").read_text())
    whole = {"repository": "a/b", "revision": "0" * 40, "sha256": "0" * 64, "size": 8}
    config["references"] = {"image": {**whole, **change}}
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(CheckpointError, match="references"):
        crosshash.load(folder)


def test_a_transformer_is_kept_by_reference_too(
    hub: Any, language_model: Path, tmp_path: Path
) -> None:
    model = crosshash.create(
        "amgfh", bits=16, backbones={"name": "features", "dim": 6},
        text={"name": f"hf:{language_model}", "max_length": 8}, dim=16, hidden=[16], width=1,
    ).eval()  # fmt: skip
    model.freeze("text")
    model.text.name = "hf:org/tiny"
    # As whole models are published: below the name of the base.
    state = {
        f"bert.{n}": value for n, value in load_file(language_model / "model.safetensors").items()
    }
    hub.add("org/tiny", {"model.safetensors": save(state)})
    crosshash.save(model, tmp_path / "x", backbones="reference")
    stored = load_file(tmp_path / "x" / "model.safetensors")
    assert not any(name.endswith("embeddings.weight") for name in stored)
    loaded = crosshash.load(tmp_path / "x")
    expected = model.encode_text(["red circle"], output="real")
    np.testing.assert_array_equal(loaded.encode_text(["red circle"], output="real"), expected)
