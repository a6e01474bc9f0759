"""Where the library runs: versions, devices, and the folders it reads and fills."""

from __future__ import annotations

import os
import platform
from contextlib import suppress
from pathlib import Path
from typing import Any

from crosshash.data.features.cache import FeatureCache
from crosshash.retrieval.record import installed

PACKAGES = ("crosshash", "torch", "numpy", "timm", "transformers", "faiss-cpu", "faiss-gpu")


def environment() -> dict[str, Any]:
    """What a report of a fault should say of the machine, JSON-able.

    Returns:
        ``versions`` of Python and the packages; ``threads`` that torch uses on the CPU; ``cuda``,
        the devices' names; and three folders, each ``{"folder", "bytes"}`` with None for what is
        not set and 0 for what does not exist: ``data`` (``CROSSHASH_DATA``), ``features`` (the
        feature cache, below ``CROSSHASH_CACHE``) and ``hub`` (the Hugging Face Hub's cache).
    """
    import torch
    from huggingface_hub import constants

    data = os.environ.get("CROSSHASH_DATA")
    cache = FeatureCache()
    return {
        "versions": {"python": platform.python_version(), **installed(*PACKAGES)},
        "threads": torch.get_num_threads(),
        "cuda": [torch.cuda.get_device_name(n) for n in range(torch.cuda.device_count())],
        "data": {"folder": data or None, "bytes": folder_bytes(Path(data)) if data else None},
        "features": {
            "folder": str(cache.folder),
            "bytes": sum(path.stat().st_size for path in cache.files()),
        },
        "hub": {
            "folder": constants.HF_HUB_CACHE,
            "bytes": folder_bytes(Path(constants.HF_HUB_CACHE)),
        },
    }


def folder_bytes(folder: Path) -> int:
    """Bytes of all files below a folder, without what links lead to; 0 where there is none."""
    total = 0
    for place, _, names in os.walk(folder):
        for name in names:
            path = Path(place) / name
            with suppress(FileNotFoundError):  # removed while we count
                total += 0 if path.is_symlink() else path.stat().st_size
    return total
