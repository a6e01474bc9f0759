"""A disk that is full, and a folder that may not be written: a sentence, and the old output."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import crosshash
from crosshash.data.features.cache import FeatureCache
from crosshash.hub.save import save
from crosshash.retrieval.index import Index
from crosshash.training.state import write_state

resource = pytest.importorskip("resource", reason="limits of a process are POSIX")


@contextmanager
def room_for(size: int) -> Iterator[None]:
    """Files of at most so many bytes, as on a disk that has no more; Python ignores the signal."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def a_model() -> Any:
    torch.manual_seed(0)
    backbone = {"name": "features", "dim": 6}
    return crosshash.create(
        "dcmh",
        bits=16,
        backbones=backbone,
        texts=["a red circle", "a blue square"],
        image_hidden=[64],
        text_hidden=[64],
    ).eval()


def an_index() -> Index:
    index = Index(64)
    index.add(np.zeros((500, 8), dtype=np.uint8), range(500))
    return index


def save_model(folder: Path) -> None:
    save(a_model(), folder / "out")


def save_index(folder: Path) -> None:
    an_index().save(folder / "out")


def save_state(folder: Path) -> None:
    write_state(folder, {"values": torch.zeros(5000)})


def save_features(folder: Path) -> None:
    rows = torch.arange(3000.0)[:, None]

    def compute(indices: list[int]) -> Iterator[dict[str, torch.Tensor]]:
        yield {"pooled": rows[indices]}

    digests = [int(row).to_bytes(32, "big") for row in range(3000)]
    FeatureCache(folder / "out").lookup("key", digests, ("pooled",), compute)


def contents(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


WRITERS = [save_model, save_index, save_state, save_features]


@pytest.mark.parametrize(
    ("write", "size"),
    [(write, size) for write in WRITERS for size in (0, 3000)],
)
def test_a_full_disk(write: Callable[[Path], None], size: int, tmp_path: Path) -> None:
    if write is not save_features:  # which are only added to
        write(tmp_path)
    before = contents(tmp_path)
    with room_for(size), pytest.raises(OSError, match=str(tmp_path)) as error:
        write(tmp_path)
    assert "\n" not in str(error.value)
    assert contents(tmp_path) == before
    write(tmp_path)  # with room again


@pytest.mark.parametrize("write", WRITERS)
def test_a_folder_that_may_not_be_written(write: Callable[[Path], None], tmp_path: Path) -> None:
    if os.geteuid() == 0:
        pytest.skip("root may write everywhere")
    tmp_path.chmod(0o500)
    try:
        with pytest.raises(PermissionError, match=str(tmp_path)):
            write(tmp_path)
    finally:
        tmp_path.chmod(0o700)
    assert contents(tmp_path) == {}
