"""Fixtures of the whole suite."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

if "PYTEST_XDIST_WORKER" in os.environ:
    # Read when torch is imported: workers that share the cores must not each use all of them.
    os.environ.setdefault("OMP_NUM_THREADS", "1")


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder with flickr8k, wiki, coco-mini and label-sets; skips where it is absent."""
    beside = Path(__file__).resolve().parents[2] / "shared" / "data"
    folder = Path(os.environ.get("CROSSHASH_DATA", beside))
    if not (folder / "flickr8k").is_dir():
        pytest.skip(f"needs the data folder: set CROSSHASH_DATA (looked at {folder})")
    return folder
