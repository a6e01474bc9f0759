"""Damaged features, metadata and configs: a data set or settings that hold, or an error."""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from PIL import Image as PILImage

from crosshash.config import ConfigError, ExperimentConfig, bundled, read_config
from crosshash.data.dataset import PairedDataset
from crosshash.data.readers.features import features
from crosshash.data.readers.imagefolder import imagefolder

LONG = [pytest.mark.torture, pytest.mark.timeout(0)]
PAIRS = 40


def arrays() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    return {
        "images": rng.normal(size=(PAIRS, 6)).astype(np.float32),
        "texts": rng.random((PAIRS, 5)).astype(np.float32),
        "labels": np.eye(3, dtype=np.uint8)[np.arange(PAIRS) % 3],
    }


def write_npy(folder: Path) -> None:
    for name, values in arrays().items():
        np.save(folder / name, values)


def write_npz(folder: Path) -> None:
    np.savez_compressed(folder / "features.npz", **arrays())


def write_safetensors(folder: Path) -> None:
    from safetensors.numpy import save_file

    save_file(arrays(), folder / "features.safetensors")


def write_matlab(folder: Path) -> None:
    from scipy.io import savemat
    from scipy.sparse import csc_matrix

    values = arrays()
    savemat(folder / "features.mat", {**values, "texts": csc_matrix(values["texts"])})


def holds(dataset: PairedDataset) -> bool:
    """Whether it is one data set in itself: no array runs away, nothing is no number."""
    counts = {len(dataset.ids), len(dataset.images), len(dataset.texts)}
    if isinstance(dataset.images, np.ndarray) and isinstance(dataset.texts, np.ndarray):
        finite = np.isfinite(dataset.images).all() and np.isfinite(dataset.texts).all()
        return bool(finite) and len(counts) == 1
    return len(counts) == 1


@pytest.mark.parametrize(
    ("write", "count"),
    [
        pytest.param(write_npy, 40, id="npy"),
        pytest.param(write_npz, 40, id="npz"),
        pytest.param(write_safetensors, 40, id="safetensors"),
        pytest.param(write_matlab, 4, id="matlab"),  # each is read by a process of its own
        pytest.param(write_npy, 300, id="npy-long", marks=LONG),
        pytest.param(write_npz, 300, id="npz-long", marks=LONG),
        pytest.param(write_safetensors, 300, id="safetensors-long", marks=LONG),
        pytest.param(write_matlab, 100, id="matlab-long", marks=LONG),
    ],
)
def test_features(
    write: Callable[[Path], None], count: int, tmp_path: Path, mutate: ModuleType
) -> None:
    whole, folder, tally = tmp_path / "whole", tmp_path / "mutant", mutate.Tally()
    whole.mkdir()
    write(whole)
    names = sorted(path.name for path in whole.iterdir())
    sizes = {"query": 10, "train": 20}
    assert holds(features(whole, **sizes)[0])
    for seed in range(count):
        draw = random.Random(seed)
        shutil.copytree(whole, folder)
        name = draw.choice(names)
        mutate.changed_file(folder, name, mutate.damage, draw)
        told = f"seed {seed}, {name}"
        tally.attempt(told, lambda: holds(features(folder, **sizes)[0]), (ValueError,))
        shutil.rmtree(folder)
    tally.check(f"features, {write.__name__}", count)


ROWS = [(f"{row}.jpg", f'a "dog" number {row}, é', f"dog|n{row % 3}") for row in range(6)]


def write_csv(folder: Path) -> None:
    import csv

    with (folder / "metadata.csv").open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([("file_name", "text", "labels"), *ROWS])


def write_jsonl(folder: Path) -> None:
    import json

    with (folder / "metadata.jsonl").open("w", encoding="utf-8") as file:
        for name, text, labels in ROWS:
            line = {"file_name": name, "text": text, "labels": labels.split("|")}
            file.write(json.dumps(line, ensure_ascii=False) + "\n")


@pytest.mark.parametrize(
    "count", [pytest.param(60, id="quick"), pytest.param(500, id="long", marks=LONG)]
)
@pytest.mark.parametrize("write", [write_csv, write_jsonl])
def test_metadata(
    write: Callable[[Path], None], count: int, tmp_path: Path, mutate: ModuleType
) -> None:
    for row, (name, _, _) in enumerate(ROWS):
        PILImage.new("RGB", (8, 8), (row, 40 * row, 0)).save(tmp_path / name)
    write(tmp_path)
    path = next(tmp_path.glob("metadata.*"))
    whole, tally = path.read_bytes(), mutate.Tally()
    for seed in range(count):
        path.write_bytes(mutate.damage(random.Random(seed), whole))
        errors = (ValueError, FileNotFoundError)
        tally.attempt(f"seed {seed}", lambda: holds(imagefolder(tmp_path)[0]), errors)
    tally.check(f"metadata, {path.suffix}", count)


@pytest.mark.parametrize(
    "count", [pytest.param(150, id="quick"), pytest.param(1000, id="long", marks=LONG)]
)
def test_configs(count: int, tmp_path: Path, mutate: ModuleType) -> None:
    parts = ["wiki.yaml", "base.yaml"]
    texts = [(bundled("configs") / "lpdh" / name).read_bytes() for name in parts]
    data = (bundled("configs") / "parts" / "data" / "wiki.yaml").read_bytes()
    (tmp_path / "lpdh").mkdir()
    (tmp_path / "parts" / "data").mkdir(parents=True)
    (tmp_path / "parts" / "data" / "wiki.yaml").write_bytes(data)
    tally = mutate.Tally()
    for seed in range(count):
        draw = random.Random(seed)
        for name, text in zip(parts, texts, strict=True):
            (tmp_path / "lpdh" / name).write_bytes(text)
        mutate.changed_file(tmp_path / "lpdh", draw.choice(parts), mutate.damage, draw)

        def is_one() -> bool:
            config = read_config(tmp_path / "lpdh" / "wiki.yaml", ["bits=32"])
            return isinstance(config, ExperimentConfig) and config.bits == 32

        tally.attempt(f"seed {seed}", is_one, (ConfigError, FileNotFoundError))
    tally.check("configs", count)
