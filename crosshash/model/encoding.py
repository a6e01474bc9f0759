"""From what users hand over, pictures, strings, arrays, to chunks of features and to codes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from crosshash.backbones.base import Features, ImageBackbone, TextEncoder, check_features
from crosshash.backbones.extract import iterate_features
from crosshash.codes import pack, sign
from crosshash.images import as_image_source

Output = Literal["packed", "signs", "real"]


def image_chunks(
    backbones: Mapping[str, ImageBackbone],
    images: Any,
    *,
    needs: Sequence[str],
    device: torch.device,
    batch_size: int,
    workers: int,
    progress: bool,
) -> Iterator[dict[str, Features | Tensor]]:
    """What each slot is given, some rows at a time: features, or pixels that are preprocessed.

    Args:
        backbones: By slot; they read files, pictures and ``uint8`` arrays.
        images: As ``HashModel.encode_image`` takes them.
        needs: Parts of the features that the model reads: ``"pooled"``, ``"map"``.
        device: Where the rows go.
        batch_size: Rows at a time.
        workers: Processes that decode pictures.
        progress: Show a bar when it takes long.
    """
    if isinstance(images, Features) or _is_floating(images):
        images = dict.fromkeys(backbones, images)
    if isinstance(images, Mapping):
        if set(images) != set(backbones):
            raise ValueError(f"features are needed for {list(backbones)}, got {list(images)}")
        given = {slot: _given(backbones[slot], value) for slot, value in images.items()}
        for part in _parts(next(iter(given.values())), batch_size):
            yield {slot: _rows(value, part).to(device) for slot, value in given.items()}
        return
    source = as_image_source(images)
    slots = {
        slot: iterate_features(
            backbone,
            source,
            keep=needs,
            batch_size=batch_size,
            workers=workers,
            device=device,
            progress=progress,
        )
        for slot, backbone in backbones.items()
    }
    for chunk in zip(*slots.values(), strict=True):
        yield dict(zip(slots, chunk, strict=True))


def text_chunks(
    encoder: TextEncoder, texts: Any, *, device: torch.device, batch_size: int, unknown: str
) -> Iterator[Features | dict[str, Tensor]]:
    """What the text encoder is given, some rows at a time; see ``HashModel.encode_text``."""
    if isinstance(texts, str):
        texts = [texts]
    words = isinstance(texts, Sequence) and all(isinstance(text, str) for text in texts)
    if not isinstance(texts, Features) and (words or encoder.takes_rows):
        prepared = encoder.prepare(texts, unknown=unknown)
        for part in _parts(next(iter(prepared.values())), batch_size):
            yield {name: value[part].to(device) for name, value in prepared.items()}
        return
    if not isinstance(texts, Features):
        texts = Features(check_features(texts, encoder.dim, "text features"))
    for part in _parts(texts, batch_size):
        yield texts.rows(part).to(device)


def collect(chunks: Iterable[Tensor], output: Output) -> Any:
    """Codes in the form that is asked for."""
    if output not in ("packed", "signs", "real"):
        raise ValueError(f"output is 'packed', 'signs' or 'real', got {output!r}")
    parts = []
    for chunk in chunks:
        real = chunk.float().cpu().numpy()
        if output == "packed":
            parts.append(pack(real))
        else:
            parts.append(real if output == "real" else sign(real).astype(np.int8))
    if not parts:
        raise ValueError("there is nothing to encode: the input is empty")
    return np.concatenate(parts)


def _given(backbone: ImageBackbone, value: Any) -> Features | Tensor:
    """Features as they are, pixels (n, 3, h, w) as a tensor, vectors (n, d) as features."""
    if isinstance(value, Features):
        return value
    if getattr(value, "ndim", 2) == 4:
        return torch.as_tensor(value, dtype=torch.float32)
    return Features(check_features(value, backbone.dim, "image features"))


def _is_floating(value: Any) -> bool:
    if isinstance(value, Tensor):
        return value.is_floating_point()
    return isinstance(value, np.ndarray) and value.dtype.kind == "f"


def _parts(value: Features | Tensor, size: int) -> Iterator[slice]:
    count = len(value.pooled if isinstance(value, Features) else value)
    return (slice(start, start + size) for start in range(0, count, size))


def _rows(value: Features | Tensor, part: slice) -> Features | Tensor:
    return value.rows(part) if isinstance(value, Features) else value[part]
