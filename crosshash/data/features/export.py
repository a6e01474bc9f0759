"""Features of a data set's pictures as one safetensors file, for any program."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch

from crosshash.backbones.base import ImageBackbone, fingerprint
from crosshash.backbones.decode import decode_size
from crosshash.data.dataset import PairedDataset
from crosshash.data.features.cache import FeatureCache
from crosshash.data.protocol_file import ids_digest
from crosshash.files import atomic_file

FORMAT = "crosshash-features"
VERSION = "1"
_TYPES = {"float16": np.float16, "float32": np.float32}


def export_features(
    path: str | Path,
    dataset: PairedDataset,
    backbone: ImageBackbone,
    *,
    dtype: str = "float32",
    cache: FeatureCache | None = None,
    batch_size: int = 64,
    workers: int = 0,
    device: torch.device | str | None = None,
    on_corrupt: str = "raise",
    progress: bool = True,
) -> dict[str, Any]:
    """Write the pooled features of a frozen backbone, with labels and text features if any.

    The file has ``images`` (n, d), ``labels`` ``uint8`` (n, c) where the data set has labels, and
    ``texts`` where its texts are features; rows are in the order of the pairs. Its metadata, all
    strings, say what the features are of: ``format``, ``version``, ``dataset``, ``pairs``,
    ``ids_sha256`` (of the ids' JSON list), ``backbone`` (JSON), ``fingerprint`` (of weights and
    preprocessing), ``decoded_from`` (the size at which JPEG files are decoded, or ``full``),
    ``label_names`` (JSON) and ``left_out`` (JSON: ids of pairs whose picture cannot be decoded).

    Args:
        path: The file; an older one is replaced when the new one is whole.
        dataset: Its images are pictures.
        backbone: Reads pixels.
        dtype: ``"float32"``, or ``"float16"`` for half the size.
        cache: Where features are found and kept; default: the user's cache folder.
        batch_size: As :meth:`FeatureCache.features` takes it; and so are the next three.
        workers: Processes that decode.
        device: Where the backbone runs.
        on_corrupt: ``"raise"``, or ``"skip"``: pairs with a damaged picture are not in the file.
        progress: Show a bar.

    Returns:
        What the metadata say, with lists and numbers in place of strings, and the file's ``dim``.

    Raises:
        CorruptImageError: A picture is damaged, and ``on_corrupt="raise"``.
        ValueError: The data set has features already, a feature is too large for ``float16``, all
            pictures are damaged, or an option is unknown.
    """
    from safetensors.numpy import save_file

    if dtype not in _TYPES:
        raise ValueError(f"dtype={dtype!r}: use 'float32' or 'float16'")
    if isinstance(dataset.images, np.ndarray):
        raise ValueError(
            f"data set {dataset.name!r} has image features already; features are computed from "
            "pictures"
        )
    features = (cache or FeatureCache()).features(
        backbone,
        dataset.images,
        batch_size=batch_size,
        workers=workers,
        device=device,
        progress=progress,
        on_corrupt=on_corrupt,
    )
    pooled = features.pooled.float().numpy()
    whole = np.isfinite(pooled).all(axis=1)
    if not whole.any():
        raise ValueError(f"data set {dataset.name!r}: none of {len(whole)} pictures can be decoded")
    left_out = [dataset.ids[row] for row in np.flatnonzero(~whole)]
    if left_out:
        pooled, dataset = pooled[whole], dataset.select(np.flatnonzero(whole))
    with np.errstate(over="ignore"):
        images = pooled.astype(_TYPES[dtype])
    if not np.isfinite(images).all():
        raise ValueError(f"features reach {np.abs(pooled).max():.0f}, too large for {dtype}")
    arrays: dict[str, Any] = {"images": images}
    if dataset.labels is not None:
        arrays["labels"] = dataset.labels
    if isinstance(dataset.texts, np.ndarray):
        arrays["texts"] = dataset.texts
    size = decode_size(backbone.preprocess)
    about: dict[str, Any] = {
        "format": FORMAT,
        "version": VERSION,
        "dataset": dataset.name,
        "pairs": len(dataset),
        "ids_sha256": ids_digest(dataset.ids),
        "backbone": backbone.spec(),
        "fingerprint": fingerprint(backbone),
        "decoded_from": "full" if size is None else f"{size[0]}x{size[1]}",
        "label_names": list(dataset.label_names),
        "left_out": left_out,
    }
    written = {k: v if isinstance(v, str) else json.dumps(v) for k, v in about.items()}
    with atomic_file(path) as temporary:
        save_file({k: np.ascontiguousarray(v) for k, v in arrays.items()}, temporary, written)
    return {**about, "dim": images.shape[1]}
