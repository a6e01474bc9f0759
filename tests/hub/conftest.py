"""A small checkpoint."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

import crosshash
from crosshash.methods.base import HashModel


@pytest.fixture
def model() -> HashModel:
    torch.manual_seed(0)
    return crosshash.create(
        "amgfh",
        bits=16,
        image={"name": "test_resnet", "weights": "random", "image_size": 32},
        texts=["a red circle", "a blue square on grass"],
        dim=16,
        hidden=[16],
        width=1,
    ).eval()


@pytest.fixture
def folder(model: HashModel, tmp_path: Path) -> Path:
    model.info.label_names = ["circle", "square"]
    model.save(tmp_path / "checkpoint")
    return tmp_path / "checkpoint"
