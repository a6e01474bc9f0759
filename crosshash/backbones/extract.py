"""Features of many pictures by a frozen backbone, decoded in worker processes."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar, Union

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from crosshash.backbones.base import Features, ImageBackbone
from crosshash.images import CorruptImageError, ImageSource

# A slice of a batch goes through the network at once on the CPU: the activations of eight pictures
# stay in its cache, where those of 64 take up to twice the time.
_CPU_SLICE = 8
_BAR_AFTER = 2.0  # seconds
T = TypeVar("T")
_Read = Union[Tensor, Exception]


def check_keep(backbone: ImageBackbone, keep: Sequence[str]) -> tuple[str, ...]:
    """The parts of ``Features`` to deliver, ``pooled`` always among them.

    Raises:
        ValueError: An unknown part, a map of a backbone without one, or a backbone of no pictures.
    """
    if isinstance(keep, str) or not set(keep) <= {"pooled", "map"}:
        raise ValueError(f"keep is ('pooled',) or ('pooled', 'map'), got {keep!r}")
    if not backbone.reads_pixels:
        raise ValueError(
            f"image backbone {backbone.name!r} takes features that are computed already; there is "
            "nothing to extract from pictures"
        )
    if "map" in keep and not backbone.channels:
        raise ValueError(f"image backbone {backbone.name!r} has no feature map; keep ('pooled',)")
    return ("pooled", "map") if "map" in keep else ("pooled",)


def extract(
    backbone: ImageBackbone,
    source: ImageSource,
    *,
    keep: Sequence[str] = ("pooled",),
    batch_size: int = 64,
    workers: int = 0,
    device: torch.device | str | None = None,
    progress: bool = True,
    on_corrupt: str = "raise",
) -> Features:
    """Features of all pictures of a source, on the CPU, in order; see ``iterate_features``.

    Returns:
        pooled ``(n, d)`` and, where kept, map ``(n, c, h, w)``.
    """
    names = check_keep(backbone, keep)
    chunks = iterate_features(
        backbone,
        source,
        keep=names,
        batch_size=batch_size,
        workers=workers,
        device=device,
        progress=progress,
        on_corrupt=on_corrupt,
    )
    out: dict[str, Tensor] = {}
    start = 0
    for chunk in chunks:
        for name in names:
            part = getattr(chunk, name)
            if name not in out:
                out[name] = torch.empty((len(source), *part.shape[1:]), dtype=part.dtype)
            out[name][start : start + len(part)] = part
        start += len(chunk.pooled)
    return Features(**out) if out else no_features(backbone, names)


def no_features(backbone: ImageBackbone, names: Sequence[str]) -> Features:
    """Features of no picture at all, with the right widths."""
    feature_map = torch.empty(0, backbone.channels, 0, 0) if "map" in names else None
    return Features(torch.empty(0, backbone.dim), feature_map)


def iterate_features(
    backbone: ImageBackbone,
    source: ImageSource,
    *,
    indices: Sequence[int] | None = None,
    keep: Sequence[str] = ("pooled",),
    batch_size: int = 64,
    workers: int = 0,
    device: torch.device | str | None = None,
    progress: bool = True,
    on_corrupt: str = "raise",
) -> Iterator[Features]:
    """Features of a source's pictures, batch by batch and in order.

    The backbone runs in eval mode, without gradients, and is in its former mode afterwards. No
    random number of the caller's is drawn.

    Args:
        backbone: Reads pixels.
        source: The pictures.
        indices: Which of them; default: all.
        keep: ``("pooled",)`` or ``("pooled", "map")``.
        batch_size: Pictures of a batch; features depend on it within rounding only.
        workers: Processes that decode; 0 decodes between batches.
        device: Where to run, and where the features are; default: where the backbone is.
        progress: Show a bar on a terminal when it takes longer than two seconds.
        on_corrupt: ``"raise"``, or ``"skip"``: the rows of pictures that cannot be decoded are NaN.

    Raises:
        CorruptImageError: A file is no picture, and ``on_corrupt="raise"``; names it.
        FileNotFoundError: A file is not there; names it.
        ValueError: A feature is NaN or infinite; names the picture.
    """
    names = check_keep(backbone, keep)
    if on_corrupt not in ("raise", "skip"):
        raise ValueError(f"on_corrupt={on_corrupt!r}: use 'raise' or 'skip'")
    if batch_size <= 0:
        raise ValueError(f"batch_size is the number of pictures in a batch, got {batch_size}")
    rows = list(range(len(source)) if indices is None else indices)
    target = torch.device(device) if device is not None else _device_of(backbone)
    backbone.to(target)
    assert_never_none = backbone.preprocess
    loader: DataLoader[Any] = DataLoader(
        _Pictures(source, assert_never_none, rows),
        batch_size=batch_size,
        num_workers=workers,
        collate_fn=_collate,
        pin_memory=target.type == "cuda",
        # Its own generator: else a cached run and a computed one would go on from other seeds.
        generator=torch.Generator(),
    )
    batches = _batches(backbone, loader, source, rows, "map" in names, on_corrupt == "skip", target)
    if not progress:
        return batches
    return with_bar(batches, len(rows), lambda chunk: len(chunk.pooled), f"{backbone.name} features")


class _Pictures(Dataset[_Read]):
    """Preprocessed pictures; errors are values, since a worker would rename and reword them."""

    def __init__(
        self, source: ImageSource, preprocess: Callable[[Any], Tensor] | None, rows: list[int]
    ) -> None:
        self.source = source
        self.preprocess = preprocess
        self.rows = rows

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, place: int) -> _Read:
        try:
            image = self.source.open(self.rows[place])
            return self.preprocess(image)  # type: ignore[misc]
        except (OSError, ValueError) as error:
            return error


def _collate(items: list[_Read]) -> tuple[Tensor | None, list[Exception | None]]:
    pixels = [item for item in items if isinstance(item, Tensor)]
    errors = [None if isinstance(item, Tensor) else item for item in items]
    return (torch.stack(pixels) if pixels else None), errors


def _batches(
    backbone: ImageBackbone,
    loader: DataLoader[Any],
    source: ImageSource,
    rows: list[int],
    keep_map: bool,
    skip: bool,
    device: torch.device,
) -> Iterator[Features]:
    start = 0
    with _eval_mode(backbone):
        for pixels, errors in loader:
            for error in errors:
                if error is not None and not (skip and isinstance(error, CorruptImageError)):
                    raise error
            batch = rows[start : start + len(errors)]
            start += len(errors)
            features = _forward(backbone, pixels, keep_map, device)
            good = torch.tensor([error is None for error in errors])
            _check_finite(features.pooled, [r for r, ok in zip(batch, good) if ok], source)
            yield features if bool(good.all()) else _with_gaps(features, good)


def _forward(
    backbone: ImageBackbone, pixels: Tensor, keep_map: bool, device: torch.device
) -> Features:
    if device.type == "cpu":
        # Depthwise convolutions run twice as fast with channels last; values move by 1e-6.
        pixels = pixels.contiguous(memory_format=torch.channels_last)
        slices = pixels.split(_CPU_SLICE)
    else:
        slices = (pixels.to(device, non_blocking=True),)
    with torch.inference_mode():
        parts = [backbone(part) for part in slices]
        pooled = torch.cat([part.pooled for part in parts])
        maps = torch.cat([part.map for part in parts]) if keep_map else None
    # Copies made outside are ordinary tensors, which a later layer may save for its gradient.
    return Features(
        pooled.clone(memory_format=torch.contiguous_format),
        None if maps is None else maps.clone(memory_format=torch.contiguous_format),
    )


