"""A damaged index gives the results of the whole one, or an error that says why."""

from __future__ import annotations

import random
import shutil
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from crosshash.search.index import CorruptIndexError, Index

QUICK = pytest.param(300, id="quick")
LONG = pytest.param(2000, id="long", marks=[pytest.mark.torture, pytest.mark.timeout(0)])
CODES = np.random.default_rng(0).integers(0, 256, size=(60, 4), dtype=np.uint8)


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("torture") / "index"
    index = Index(32, {"model": "dcmh-toy-32", "kind": "image", "root": "photos"})
    index.add(CODES, [f"photos/{i}é.jpg" for i in range(len(CODES))])
    index.save(folder)
    return folder


def result(folder: Path) -> tuple[list[list[str]], list[list[int]], dict[str, object]]:
    index = Index.load(folder)
    found = index.search(CODES[:7], topk=9)
    return found.ids, found.distances.tolist(), index.metadata


@pytest.mark.parametrize("count", [QUICK, LONG])
def test_indexes(count: int, saved: Path, tmp_path: Path, mutate: ModuleType) -> None:
    ids, distances, _ = result(saved)
    tally = mutate.Tally()
    files = sorted(path.name for path in saved.iterdir())
    for seed in range(count):
        draw, folder = random.Random(seed), tmp_path / "mutant"
        shutil.copytree(saved, folder)
        name = draw.choice(files)
        change = mutate.edit_json if name == "index.json" and seed % 2 else mutate.damage
        mutate.changed_file(folder, name, change, draw)
        errors = (CorruptIndexError, FileNotFoundError, ValueError)
        told = f"seed {seed}, {name}, {change.__name__}"
        tally.attempt(told, lambda f=folder: result(f)[:2] == (ids, distances), errors)
        shutil.rmtree(folder)
    tally.check("indexes", count)
