"""From what users hand over, pictures, strings, arrays, to chunks of features and to codes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch
from torch import Tensor

from crosshash.backbones.base import Features, check_features
from crosshash.backbones.extract import iterate_features
from crosshash.codes import pack, sign
from crosshash.images import as_image_source

if TYPE_CHECKING:
    from crosshash.methods.base import HashModel

Output = Literal["packed", "signs", "real"]


def image_chunks(
    model: HashModel, images: Any, *, batch_size: int, workers: int, progress: bool
) -> Iterator[dict[str, Features]]:
    """Features of each slot, some rows at a time; see ``HashModel.encode_image``."""
    if isinstance(images, Features) or _is_floating(images):
        images = dict.fromkeys(model.slots, images)
    if isinstance(images, Mapping):
        if set(images) != set(model.slots):
            raise ValueError(f"features are needed for {list(model.slots)}, got {list(images)}")
        given = {slot: _given(model, slot, value) for slot, value in images.items()}
        for part in _parts(next(iter(given.values())), batch_size):
            rows = {slot: _rows(value, part, model.device) for slot, value in given.items()}
            yield model.image_features(rows)
        return
    source = as_image_source(images)
    slots = {
        slot: iterate_features(
            model.backbone(slot),
            source,
            keep=model.image_needs,
            batch_size=batch_size,
            workers=workers,
            device=model.device,
            progress=progress,
        )
        for slot in model.slots
    }
    for chunk in zip(*slots.values(), strict=True):
        yield model.image_features(dict(zip(slots, chunk, strict=True)))


def text_chunks(
    model: HashModel, texts: Any, *, batch_size: int, unknown: str
) -> Iterator[Features]:
    """Features of texts, some rows at a time; see ``HashModel.encode_text``."""
    if isinstance(texts, str):
        texts = [texts]
    if isinstance(texts, Features):
        for part in _parts(texts, batch_size):
            yield model.text_features(_feature_rows(texts, part, model.device))
        return
    words = isinstance(texts, Sequence) and all(isinstance(text, str) for text in texts)
    if words or model.text.takes_rows:
        prepared = model.text.prepare(texts, unknown=unknown)
        for part in _parts(next(iter(prepared.values())), batch_size):
            rows = {name: value[part].to(model.device) for name, value in prepared.items()}
            yield model.text_features(rows)
        return
    given = Features(check_features(texts, model.text.dim, "text features"))
    yield from text_chunks(model, given, batch_size=batch_size, unknown=unknown)


def collect(model: HashModel, chunks: Iterable[Tensor], output: Output) -> Any:
    """Codes in the form that is asked for; the chunks are made here, in eval mode."""
    if output not in ("packed", "signs", "real"):
        raise ValueError(f"output is 'packed', 'signs' or 'real', got {output!r}")
    training = model.training
    model.eval()
    parts = []
    try:
        for chunk in chunks:
            real = chunk.float().cpu().numpy()
            if output == "packed":
                parts.append(pack(real))
            else:
                parts.append(real if output == "real" else sign(real).astype(np.int8))
    finally:
        model.train(training)
    if not parts:
        raise ValueError("there is nothing to encode: the input is empty")
    return np.concatenate(parts)


def _given(model: HashModel, slot: str, value: Any) -> Features | Tensor:
    """Features as they are, pixels (n, 3, h, w) as a tensor, vectors (n, d) as features."""
    if isinstance(value, Features):
        return value
    if getattr(value, "ndim", 2) == 4:
        return torch.as_tensor(value, dtype=torch.float32)
    return Features(check_features(value, model.backbone(slot).dim, "image features"))


def _is_floating(value: Any) -> bool:
    if isinstance(value, Tensor):
        return value.is_floating_point()
    return isinstance(value, np.ndarray) and value.dtype.kind == "f"


def _parts(value: Features | Tensor, size: int) -> Iterator[slice]:
    count = len(value.pooled if isinstance(value, Features) else value)
    return (slice(start, start + size) for start in range(0, count, size))


def _rows(value: Features | Tensor, part: slice, device: torch.device) -> Features | Tensor:
    if isinstance(value, Features):
        return _feature_rows(value, part, device)
    return value[part].to(device)


def _feature_rows(value: Features, part: slice, device: torch.device) -> Features:
    kept = None if value.map is None else value.map[part].to(device)
    return Features(value.pooled[part].to(device), kept)
