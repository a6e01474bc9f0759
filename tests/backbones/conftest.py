from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image


@pytest.fixture
def picture_files(tmp_path: Path) -> list[Path]:
    """Ten different small photographs as JPEG and PNG files."""
    generator = np.random.default_rng(0)
    folder = tmp_path / "pictures"
    folder.mkdir()
    paths = []
    for number in range(10):
        coarse = generator.integers(0, 256, (6, 8, 3), dtype=np.uint8)
        path = folder / f"{number}.{'png' if number % 2 else 'jpg'}"
        Image.fromarray(coarse).resize((80, 60)).save(path)
        paths.append(path)
    return paths
