"""A damaged picture gives a code or a CorruptImageError that names it; no pixels run away."""

from __future__ import annotations

import random
from io import BytesIO
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from PIL import Image as PILImage

import crosshash
from crosshash.images import CorruptImageError

QUICK = pytest.param(250, id="quick")
LONG = pytest.param(2000, id="long", marks=[pytest.mark.torture, pytest.mark.timeout(0)])
KINDS = [
    ("JPEG", "RGB"), ("JPEG", "L"), ("JPEG", "CMYK"), ("PNG", "RGB"), ("PNG", "RGBA"), ("PNG", "P"),
    ("PNG", "I;16"), ("PNG", "1"), ("GIF", "P"), ("TIFF", "RGB"), ("TIFF", "F"), ("TIFF", "I;16"),
    ("WEBP", "RGBA"), ("BMP", "RGB"),
]  # fmt: skip


def picture(kind: str, mode: str) -> bytes:
    rows = np.add.outer(np.arange(40), 3 * np.arange(50))
    if mode == "F":
        image = PILImage.fromarray((rows / rows.max()).astype(np.float32))
    elif mode == "I;16":
        image = PILImage.fromarray((rows * 300).astype(np.uint16))
    else:
        image = PILImage.fromarray((rows % 256).astype(np.uint8)).convert("RGB").convert(mode)
    file = BytesIO()
    options = {"exif": _sideways()} if kind == "JPEG" else {}
    image.save(file, kind, **options)
    return file.getvalue()


def _sideways() -> PILImage.Exif:
    exif = PILImage.Exif()
    exif[0x0112] = 6
    return exif


@pytest.mark.parametrize("count", [QUICK, LONG])
def test_pictures(count: int, tmp_path: Path, mutate: ModuleType) -> None:
    model = crosshash.load("dmsfh-shapes-64")
    whole = [picture(*kind) for kind in KINDS]
    tally = mutate.Tally()
    for seed in range(count):
        draw = random.Random(seed)
        kind = draw.randrange(len(KINDS))
        path = tmp_path / f"{seed}.{KINDS[kind][0].lower()}"
        path.write_bytes(mutate.damage(draw, whole[kind]))

        def has_a_code(path: Path = path) -> bool:
            real = model.encode_image(path, output="real", progress=False)
            return bool(real.shape == (1, 64) and np.isfinite(real).all())

        tally.attempt(f"seed {seed}, {KINDS[kind]}", has_a_code, (CorruptImageError,), path.name)
        path.unlink()
    tally.check("pictures", count)
