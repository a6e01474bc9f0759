"""From what users hand over, pictures, strings, arrays, to chunks of features and to codes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image as PILImage
from torch import Tensor

from crosshash.backbones.base import Features, ImageBackbone, TextEncoder, check_features, tensor_of
from crosshash.backbones.extract import OnCorrupt, iterate_features
from crosshash.backbones.image.features import ImageFeatures
from crosshash.codes import pack, sign
from crosshash.images import (
    CorruptImageError,
    ImageSource,
    ImageSubset,
    as_image_source,
    is_encoded,
)

Output = Literal["packed", "signs", "real"]
# Rows that go through the hash layers at least: with one to three, matrix products of MKL, and with
# some more, convolutions of oneDNN, add up in another order (measured on an x86 CPU).
FEWEST = 16
_TEXTS = (
    "texts are a string, or many in a list, an array or a table's column, or rows of numbers (n, d)"
)
_VECTORS = (
    "this model reads image features: rows of numbers (n, d), an array, a list or a table's column"
)
_CACHED = 512  # pictures whose features are in memory at a time


class FeatureStore(Protocol):
    """What keeps features of pictures: :class:`~crosshash.data.features.cache.FeatureCache`."""

    def features(
        self,
        backbone: ImageBackbone,
        source: ImageSource,
        *,
        keep: Sequence[str],
        batch_size: int,
        workers: int,
        device: torch.device | str | None,
        progress: bool,
        on_corrupt: str,
    ) -> Features:
        """Features of all pictures, in order, on the CPU; NaN of those that are skipped."""
        ...


def image_chunks(
    backbones: Mapping[str, ImageBackbone],
    images: Any,
    *,
    needs: Sequence[str],
    device: torch.device,
    batch_size: int,
    workers: int,
    progress: bool,
    on_corrupt: str | OnCorrupt = "raise",
    cache: FeatureStore | None = None,
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
        on_corrupt: What of pictures that cannot be decoded, as ``iterate_features`` takes it; a
            function may be told once for each slot.
        cache: Features of pictures are taken from there, and kept there.
    """
    vectors = all(isinstance(backbone, ImageFeatures) for backbone in backbones.values())
    if vectors and not isinstance(images, Mapping):
        images = _collected(images, _VECTORS)
        if isinstance(images, list) and not images:
            return
        images = dict.fromkeys(backbones, images)
    elif isinstance(images, Features) or _is_input(images):
        images = dict.fromkeys(backbones, images)
    if isinstance(images, Mapping) and not is_encoded(images):
        if set(images) != set(backbones):
            raise ValueError(f"features are needed for {list(backbones)}, got {list(images)}")
        given = {slot: _given(backbones[slot], value) for slot, value in images.items()}
        for part in _parts(next(iter(given.values())), batch_size):
            yield {slot: _rows(value, part).to(device) for slot, value in given.items()}
        return
    source = as_image_source(images)
    options: dict[str, Any] = {
        "keep": needs,
        "batch_size": batch_size,
        "workers": workers,
        "device": device,
        "progress": progress,
    }
    if cache is not None:
        for first in range(0, len(source), _CACHED):
            some = ImageSubset(source, np.arange(first, min(first + _CACHED, len(source))))
            skip = on_corrupt if isinstance(on_corrupt, str) else "skip"
            kept = {
                slot: cache.features(backbone, some, **options, on_corrupt=skip)
                for slot, backbone in backbones.items()
            }
            if not isinstance(on_corrupt, str):
                _tell_skipped(kept.values(), some, partial(_tell_from, first, on_corrupt))
            for part in _parts(next(iter(kept.values())), batch_size):
                yield {slot: value.rows(part).to(device) for slot, value in kept.items()}
        return
    slots = {
        slot: iterate_features(backbone, source, **options, on_corrupt=on_corrupt)
        for slot, backbone in backbones.items()
    }
    for chunk in zip(*slots.values(), strict=True):
        yield dict(zip(slots, chunk, strict=True))


def _tell_skipped(kept: Iterable[Features], source: ImageSource, told: OnCorrupt) -> None:
    """Tell of the pictures whose features are NaN, and give them features that are numbers."""
    for features in kept:
        lost = torch.nonzero(features.pooled.isnan().any(dim=1))[:, 0]
        for place in lost.tolist():
            error = CorruptImageError(source.name(place), "it changed while it was read")
            try:
                source.open(place)
            except CorruptImageError as found:
                error = found
            told(place, error)
        for part in features:
            if part is not None:
                part[lost] = 0.0


def _tell_from(first: int, told: OnCorrupt, place: int, error: CorruptImageError) -> None:
    told(first + place, error)


def text_chunks(
    encoder: TextEncoder, texts: Any, *, device: torch.device, batch_size: int, unknown: str
) -> Iterator[Features | dict[str, Tensor]]:
    """What the text encoder is given, some rows at a time; see ``HashModel.encode_text``."""
    texts = _collected(texts, _TEXTS)
    if isinstance(texts, list) and not texts:
        return
    if isinstance(texts, list) or (encoder.takes_rows and not isinstance(texts, Features)):
        prepared = encoder.prepare(texts, unknown=unknown)
        for part in _parts(next(iter(prepared.values())), batch_size):
            yield {name: value[part].to(device) for name, value in prepared.items()}
        return
    if not isinstance(texts, Features):
        texts = Features(check_features(texts, encoder.dim, "text features"))
    for part in _parts(texts, batch_size):
        yield texts.rows(part).to(device)


def image_codes(model: Any, images: Mapping[str, Tensor | Features]) -> Tensor:
    """Real-valued codes (n, k) of a batch by a ``HashModel`` in eval mode; n changes no value.

    A few rows are brought to ``FEWEST`` by repeating the last: products of fewer are summed in
    another order.
    """
    features = model.image_features(images)
    count = len(next(iter(features.values())).pooled)
    enough = {slot: _at_least_fewest(value) for slot, value in features.items()}
    codes: Tensor = model.hash_image(enough)
    return codes[:count]


def text_codes(model: Any, texts: Mapping[str, Tensor] | Features) -> Tensor:
    """As :func:`image_codes`, of texts."""
    features = model.text_features(texts)
    codes: Tensor = model.hash_text(_at_least_fewest(features))
    return codes[: len(features.pooled)]


def _at_least_fewest(features: Features) -> Features:
    count = len(features.pooled)
    if count >= FEWEST:
        return features
    rows = torch.arange(FEWEST, device=features.pooled.device).clamp(max=count - 1)
    return features.rows(rows)


def checked_length(bits: int | None, lengths: Sequence[int]) -> int:
    """The length of codes that is asked for; None is the last of ``lengths``, all bits.

    Raises:
        ValueError: Codes of that length were not trained.
    """
    if bits is None:
        return lengths[-1]
    if bits not in lengths:
        *shorter, last = map(str, lengths)
        known = f"{', '.join(shorter)} and {last}" if shorter else last
        raise ValueError(
            f"this model gives codes of {known} bits, not of {bits}: shorter codes are good where "
            "they were trained (`nested` in a config)"
        )
    return bits


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


def _is_input(images: Any) -> bool:
    """Whether it is an array of a network's input, features or pixels, and not of pictures.

    Raises:
        ValueError: It is a floating array of neither.
    """
    if not hasattr(images, "__array__") or isinstance(images, PILImage.Image):
        return False
    array = images if isinstance(images, Tensor) else np.asarray(images)
    floating = array.is_floating_point() if isinstance(array, Tensor) else array.dtype.kind == "f"
    axes, shape = len(array.shape), tuple(array.shape)
    # Of (n, 3, h, 3), which could be either, the network's order of axes is taken.
    if not floating or (axes in (3, 4) and shape[-1] == 3 and shape[-3] != 3):
        return False
    if axes == 3 or axes > 4 or (axes == 4 and shape[1] != 3):
        raise ValueError(
            "a floating array of images is (n, 3, height, width), preprocessed pixels; (n, height, "
            "width, 3) or (height, width, 3), pictures with values in [0, 1]; or (n, d), features; "
            f"got the shape {shape}"
        )
    return True


def _given(backbone: ImageBackbone, value: Any) -> Features | Tensor:
    """Features as they are, pixels (n, 3, h, w) as a tensor, vectors (n, d) as features."""
    if isinstance(value, Features):
        return value
    if getattr(value, "ndim", 2) == 4:
        if value.shape[1] != 3:
            raise ValueError(
                "preprocessed pixels have the axes (n, 3, height, width), got the shape "
                f"{tuple(value.shape)}; pictures are given without naming a slot"
            )
        return (value if isinstance(value, Tensor) else tensor_of(np.asarray(value))).float()
    if isinstance(backbone, ImageFeatures):
        return Features(backbone.prepare(value))
    return Features(check_features(value, backbone.dim, "image features"))


def _collected(items: Any, what: str) -> Features | Tensor | npt.NDArray[Any] | list[Any]:
    """Arrays of numbers as they are; all else, one string too, as a list.

    Args:
        items: Texts, or rows of numbers.
        what: What they should be, for the message.

    Raises:
        ValueError: It is no collection.
    """
    if isinstance(items, (Features, Tensor)):
        return items
    if isinstance(items, (str, Path)):
        return [items]
    if hasattr(items, "__array__"):  # NumPy's, or the column of a table
        array: npt.NDArray[Any] = np.asarray(items)
        if array.ndim and array.dtype.kind in "fiub":
            return array
        items = array.tolist()
    if isinstance(items, (bytes, bytearray, Mapping)) or not isinstance(items, Iterable):
        raise ValueError(f"{what}; got {type(items).__name__}")
    return list(items)


def _parts(value: Features | Tensor, size: int) -> Iterator[slice]:
    count = len(value.pooled if isinstance(value, Features) else value)
    return (slice(start, start + size) for start in range(0, count, size))


def _rows(value: Features | Tensor, part: slice) -> Features | Tensor:
    return value.rows(part) if isinstance(value, Features) else value[part]
