"""Weights that come with the package are found by their name, from any folder."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from sklearn.linear_model import LogisticRegression

import crosshash
from crosshash.backbones import create_image_backbone
from crosshash.backbones.weights import weight_file
from crosshash.config import bundled, read_config


def test_a_name_is_a_file_of_the_package_and_a_path_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    shipped = bundled("zoo") / "weights" / "shapes-resnet10t.safetensors"
    assert weight_file("shapes-resnet10t") == shipped
    assert shipped.stat().st_size < 1_000_000
    # What a recipe names is no other file where a folder has one of that name.
    Path("shapes-resnet10t").write_bytes(b"another")
    assert weight_file("shapes-resnet10t") == shipped
    save_file({"weight": torch.zeros(1)}, "own.safetensors")
    assert weight_file("own.safetensors") == Path("own.safetensors")
    with pytest.raises(FileNotFoundError, match=r"package: shapes-resnet10t"):
        weight_file("shapes-resnet11t")


def test_every_file_of_the_package_is_of_a_recipe() -> None:
    parts = [path.read_text("utf-8") for path in (bundled("configs") / "parts").rglob("*.yaml")]
    for file in (bundled("zoo") / "weights").glob("*"):
        assert any(f"weights: {file.stem}\n" in part for part in parts), file


def test_the_backbone_of_the_recipes_tells_what_is_in_scenes_that_it_has_not_seen() -> None:
    part = read_config("amgfh/shapes-64").backbones["image"]
    assert part.frozen
    backbone = create_image_backbone(part.name, **part.options).eval()
    dataset, _ = crosshash.load_dataset("shapes", n=400, seed=5)
    with torch.no_grad():
        pixels = torch.stack([backbone.preprocess(dataset.images.open(row)) for row in range(400)])
        features = backbone(pixels).pooled.numpy()
    settings, kinds = dataset.labels[:, 12:], dataset.labels[:, :12]
    setting = np.where(settings.any(axis=1), settings.argmax(axis=1), 4)

    def told(truth: np.ndarray) -> float:
        """Share of the last hundred of which a linear layer, fitted to the others, is right."""
        layer = LogisticRegression(max_iter=1000).fit(features[:300], truth[:300])
        return float(layer.score(features[300:], truth[300:]))

    # By random weights 0.55 and 0.85, the latter as if no picture had any kind.
    assert told(setting) > 0.95
    assert np.mean([told(kind) for kind in kinds.T]) > 0.97
