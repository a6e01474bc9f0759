"""Golden codes: what is committed gives them, and a model that differs does not pass."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image as PILImage

import crosshash
from crosshash.backbones.base import IMAGE_BACKBONES, Features, ImageBackbone
from crosshash.config import bundled
from crosshash.hub.checkpoint import read_checkpoint
from crosshash.hub.errors import CheckpointError
from crosshash.hub.golden import BYTES, NAMES, check_golden, has_golden, write_golden
from crosshash.hub.manifest import list_models
from crosshash.hub.resolve import locate_model
from crosshash.model.hash_model import HashModel

COMMITTED = [manifest for manifest in list_models() if manifest.status == "local"]
TEXTS = ["a red circle", "grass", "a blue square"]


class Mean(ImageBackbone):
    """The mean colour, and nothing learnt."""

    name = "mean"
    reads_pixels = True
    dim = 3
    channels = 0

    def __init__(self, *, weights: str = "random") -> None:
        super().__init__()
        self.preprocess = lambda image: torch.tensor(np.array(image.resize((4, 4)))).permute(
            2, 0, 1
        )

    def forward(self, x: torch.Tensor) -> Features:
        return Features(x.float().mean(dim=(2, 3)) / 255)

    def spec(self) -> dict[str, str]:
        return {"name": self.name}


@pytest.mark.parametrize("manifest", COMMITTED, ids=lambda manifest: manifest.name)
def test_every_committed_model_gives_its_golden_codes(manifest: object) -> None:
    assert has_golden(locate_model(manifest.name))
    crosshash.load(manifest.name)
    folder = bundled("zoo") / manifest.folder
    assert sum((folder / name).stat().st_size for name in NAMES) < 110_000


def test_features_and_texts_go_there_and_back(
    model: HashModel, folder: Path, features: np.ndarray
) -> None:
    assert not has_golden(folder)
    write_golden(model, folder, features, TEXTS)
    assert has_golden(folder)
    check_golden(read_checkpoint(folder, verify=False), folder)


def test_pictures_go_there_and_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(IMAGE_BACKBONES._entries, "mean", Mean)
    pixels = crosshash.create(
        "amgfh", bits=16, backbones="mean", texts=TEXTS, dim=16, hidden=[16], width=1
    ).eval()
    noise = np.random.default_rng(0).integers(0, 256, (3, 300, 200, 3), dtype=np.uint8)
    pictures = [PILImage.fromarray(image) for image in noise]
    crosshash.save(pixels, tmp_path / "x", golden=(pictures, TEXTS))
    assert (tmp_path / "x" / NAMES[1]).stat().st_size < BYTES
    crosshash.load(tmp_path / "x")


def test_a_model_with_other_weights_does_not_pass(
    model: HashModel, folder: Path, features: np.ndarray
) -> None:
    write_golden(model, folder, features, TEXTS)
    with torch.no_grad():
        model.state_dict()["text_head.linear.bias"].add_(0.5)
    with pytest.raises(CheckpointError, match="stored text codes"):
        check_golden(model, folder)


def test_the_last_digits_may_differ(model: HashModel, folder: Path, features: np.ndarray) -> None:
    write_golden(model, folder, features, TEXTS)
    with torch.no_grad():
        for value in model.parameters():
            value.mul_(1 + 1e-6)
    check_golden(model, folder)


def test_wide_features_are_fewer(model: HashModel, tmp_path: Path) -> None:
    wide = crosshash.create(
        "amgfh", bits=16, backbones={"name": "features", "dim": 10_000}, texts=TEXTS,
        dim=16, hidden=[16], width=1,
    ).eval()  # fmt: skip
    crosshash.save(wide, tmp_path / "x")
    write_golden(wide, tmp_path / "x", np.ones((3, 10_000), np.float32), TEXTS)
    assert (tmp_path / "x" / NAMES[1]).stat().st_size < BYTES + 1000
    check_golden(wide, tmp_path / "x")
    with pytest.raises(ValueError, match="more than"):
        write_golden(wide, tmp_path / "x", np.ones((1, 30_000), np.float32), TEXTS)


def test_a_folder_without_golden_codes_says_so(folder: Path) -> None:
    assert crosshash.load(folder).bits == 16
    with pytest.raises(FileNotFoundError, match=r"golden\.json"):
        check_golden(crosshash.load(folder), folder)


def test_golden_codes_of_another_model_are_named(
    model: HashModel, folder: Path, features: np.ndarray
) -> None:
    write_golden(model, folder, features, TEXTS)
    other = crosshash.create(
        "amgfh", bits=16, backbones={"name": "features", "dim": 7}, texts=TEXTS,
        dim=16, hidden=[16], width=1,
    ).eval()  # fmt: skip
    with pytest.raises(CheckpointError, match="do not fit the model"):
        check_golden(other, folder)
    (folder / NAMES[1]).write_bytes((folder / "model.safetensors").read_bytes())
    with pytest.raises(CheckpointError, match="no golden codes"):
        check_golden(model, folder)
