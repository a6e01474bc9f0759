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

from crosshash.data.features.cache import FeatureCache
from crosshash.hub.save import save
from crosshash.model.hash_model import HashModel
from crosshash.search.index import Index
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


def an_index() -> Index:
    index = Index(64)
    index.add(np.zeros((500, 8), dtype=np.uint8), range(500))
    return index


def save_model(folder: Path, model: HashModel) -> None:
    save(model, folder / "out")


def save_index(folder: Path, model: HashModel) -> None:
    an_index().save(folder / "out")


def save_state(folder: Path, model: HashModel) -> None:
    write_state(folder, {"values": torch.zeros(5000)})


def save_features(folder: Path, model: HashModel) -> None:
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
def test_a_full_disk(
    write: Callable[[Path, HashModel], None], size: int, make_model: Any, tmp_path: Path
) -> None:
    model = make_model(width=64)
    if write is not save_features:  # which are only added to
        write(tmp_path, model)
    before = contents(tmp_path)
    with room_for(size), pytest.raises(OSError, match=str(tmp_path)) as error:
        write(tmp_path, model)
    assert "\n" not in str(error.value)
    assert contents(tmp_path) == before
    write(tmp_path, model)  # with room again


@pytest.mark.parametrize("write", WRITERS)
def test_a_folder_that_may_not_be_written(
    write: Callable[[Path, HashModel], None], make_model: Any, tmp_path: Path
) -> None:
    if os.geteuid() == 0:
        pytest.skip("root may write everywhere")
    model = make_model()
    tmp_path.chmod(0o500)
    try:
        with pytest.raises(PermissionError, match=str(tmp_path)):
            write(tmp_path, model)
    finally:
        tmp_path.chmod(0o700)
    assert contents(tmp_path) == {}
