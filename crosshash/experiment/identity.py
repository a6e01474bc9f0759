"""What a training is made of, in digests: a half-done one goes on with nothing else."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from crosshash.backbones.base import fingerprint
from crosshash.data.dataset import PairedDataset
from crosshash.experiment.assembly import Assembly

_DIGITS = 16  # of 64: these are compared, not trusted


def training_identity(made: Assembly) -> dict[str, Any]:
    """Digests of what decides a training beside its config and :func:`data_identity`.

    Returns:
        ``start model`` (None without); ``vocabulary`` and weights of the text encoder;
        ``backbone <slot>``, weights and preprocessing, as the feature cache knows it; and
        ``split``, the rows of each part of the protocol and those held out.
    """
    found: dict[str, Any] = {"start model": made.start_digest}
    for slot in made.model.slots:
        found[f"backbone {slot}"] = fingerprint(made.model.backbone(slot))
    text = made.model.text
    found["vocabulary"] = _digest([fingerprint(text), json.dumps(text.vocabulary)])
    parts = {"trained": made.rows, **made.protocol.sets()}
    if made.selection is not None:
        parts |= {f"held out {name}": rows for name, rows in made.selection.sets().items()}
    found["split"] = _digest(item for name in sorted(parts) for item in (name, parts[name]))
    return _short(found)


def data_identity(dataset: PairedDataset) -> dict[str, Any]:
    """Digests of the contents of ``images``, ``texts`` and ``labels`` (None without labels).

    Every picture's file is read; once for both trainings of ``data.refit``.
    """
    images: Iterable[Any]
    if isinstance(dataset.images, np.ndarray):
        images = [dataset.images]
    else:
        with ThreadPoolExecutor(8) as pool:  # hashing and reading release the interpreter's lock
            images = list(pool.map(dataset.images.digest, range(len(dataset.images))))
    features = isinstance(dataset.texts, np.ndarray)
    texts: list[Any] = [*dataset.every_text()] if features else [json.dumps(dataset.texts)]
    found = {
        "images": _digest([json.dumps(dataset.ids), *images]),
        "texts": _digest(texts),
        "labels": None if dataset.labels is None else _digest([dataset.labels]),
    }
    return _short(found)


def _short(found: dict[str, Any]) -> dict[str, Any]:
    return {key: value and value[:_DIGITS] for key, value in found.items()}


def _digest(parts: Iterable[str | bytes | np.ndarray]) -> str:
    digest = hashlib.sha256()
    for part in parts:
        if isinstance(part, np.ndarray):
            digest.update(f"{part.dtype}{part.shape}".encode())
            digest.update(np.ascontiguousarray(part).data)
        else:
            digest.update(part.encode("utf-8", "surrogatepass") if isinstance(part, str) else part)
        digest.update(b"\0")
    return digest.hexdigest()
