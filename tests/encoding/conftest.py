from __future__ import annotations

import io
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import crosshash
from crosshash.model.hash_model import HashModel

WORDS = "a red circle and the blue square run on green grass"


@pytest.fixture(scope="session")
def model() -> HashModel:
    """Reads pictures and texts; small, with random weights."""
    torch.manual_seed(0)
    return crosshash.create(
        "amgfh",
        bits=32,
        backbones={"name": "test_resnet", "weights": "random", "image_size": 32},
        texts=[WORDS],
        dim=16,
        hidden=[16],
    ).eval()


@pytest.fixture(scope="session")
def vector_model() -> HashModel:
    """Reads vectors of 6 for images."""
    torch.manual_seed(0)
    return crosshash.create(
        "dcmh",
        bits=16,
        backbones={"name": "features", "dim": 6},
        texts=[WORDS],
        image_hidden=[8],
        text_hidden=[8],
    ).eval()


def png(seed: int) -> bytes:
    pixels = np.random.default_rng(seed).integers(0, 256, (4, 4, 3), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).resize((36, 36)).save(file, "PNG")
    return file.getvalue()


@pytest.fixture(scope="session")
def picture() -> Callable[[int], bytes]:
    """A PNG file's bytes, by seed."""
    return png


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """A folder of 11 pictures, two of them in folders of their own."""
    folder = tmp_path / "photos"
    for name in ("b", "m.jpg"):
        (folder / name).mkdir(parents=True)
    names = [*(f"{n}.png" for n in "acdefghij"), "b/x.png", "m.jpg/y.PNG"]
    for seed, name in enumerate(names):
        (folder / name).write_bytes(png(seed))
    (folder / "notes.txt").write_text("no picture")
    return folder


@pytest.fixture
def make_tar(tmp_path: Path) -> Callable[..., Path]:
    """Writes a tar file of members: bytes by name, or a TarInfo's fields by name."""

    def make(name: str, members: list[tuple[str, Any]], **options: Any) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        with tarfile.open(path, "w", **options) as tar:
            for member, content in members:
                info = tarfile.TarInfo(member)
                if isinstance(content, dict):
                    for key, value in content.items():
                        setattr(info, key, value)
                    tar.addfile(info)
                else:
                    info.size = len(content)
                    tar.addfile(info, io.BytesIO(content))
        return path

    return make
