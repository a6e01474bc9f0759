"""Features of many pictures by a frozen backbone, decoded in worker processes."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from typing import Any, TypeVar

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from crosshash.backbones.base import Features, ImageBackbone, TextEncoder
from crosshash.backbones.decode import PictureReader
from crosshash.backbones.forward import evaluating, running
from crosshash.images import CorruptImageError, ImageSource

_BAR_AFTER = 2.0  # seconds
T = TypeVar("T")
_Read = tuple[list[int], Tensor, list[Exception | None]]
# Told the number, in its source, of a picture that cannot be decoded, and why.
OnCorrupt = Callable[[int, CorruptImageError], None]


def check_keep(encoder: ImageBackbone | TextEncoder, keep: Sequence[str]) -> tuple[str, ...]:
    """The parts of ``Features`` to deliver, ``pooled`` always among them.

    Raises:
        ValueError: An unknown part, a map of an encoder without one, or a backbone of no pictures.
    """
    if isinstance(keep, str) or not set(keep) <= {"pooled", "map"}:
        raise ValueError(f"keep is ('pooled',) or ('pooled', 'map'), got {keep!r}")
    if isinstance(encoder, ImageBackbone) and not encoder.reads_pixels:
        raise ValueError(
            f"image backbone {encoder.name!r} takes features that are computed already; there is "
            "nothing to extract from pictures"
        )
    if "map" in keep and not encoder.channels:
        kind = "image backbone" if isinstance(encoder, ImageBackbone) else "text encoder"
        raise ValueError(f"{kind} {encoder.name!r} has no feature map; keep ('pooled',)")
    return ("pooled", "map") if "map" in keep else ("pooled",)


def no_features(encoder: ImageBackbone | TextEncoder, names: Sequence[str]) -> Features:
    """Features of no item at all, with the right widths."""
    feature_map = torch.empty(0, encoder.channels, 0, 0) if "map" in names else None
    return Features(torch.empty(0, encoder.dim), feature_map)


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
    on_corrupt: str | OnCorrupt = "raise",
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
        on_corrupt: ``"raise"``; ``"skip"``: the rows of pictures that cannot be decoded are NaN; or
            a function that is told each of them, in whose row are the features of a black picture.

    Raises:
        CorruptImageError: A file is no picture, and ``on_corrupt="raise"``; names it.
        FileNotFoundError: A file is not there; names it.
        ValueError: A feature is NaN or infinite; names the picture.
    """
    names = check_keep(backbone, keep)
    if not callable(on_corrupt) and on_corrupt not in ("raise", "skip"):
        raise ValueError(f"on_corrupt={on_corrupt!r}: use 'raise' or 'skip'")
    if batch_size <= 0:
        raise ValueError(f"batch_size is the number of pictures in a batch, got {batch_size}")
    rows = list(range(len(source)) if indices is None else indices)
    pictures = _Pictures(source, backbone.preprocess, rows)
    loader: DataLoader[Any] = DataLoader(
        pictures,
        batch_size=batch_size,
        num_workers=workers,
        collate_fn=_whole,
        # Its own generator: else a cached run and a computed one would go on from other seeds.
        generator=torch.Generator(),
    )
    batches = _batches(backbone, loader, pictures, "map" in names, on_corrupt, device)
    if not progress:
        return batches
    return with_bar(
        batches, len(rows), lambda chunk: len(chunk.pooled), f"{backbone.name} features"
    )


class _Pictures(Dataset[_Read]):
    """Batches of preprocessed pictures; an error is a value, since a worker would reword it."""

    def __init__(self, source: ImageSource, preprocess: Any, rows: list[int]) -> None:
        self.source = source
        self.reader = PictureReader(source, preprocess)
        self.rows = rows

    def __len__(self) -> int:
        return len(self.rows)

    def __getitems__(self, places: list[int]) -> _Read:
        """The batch of those places (the name under which torch's loader asks for a batch)."""
        rows = [self.rows[place] for place in places]
        return rows, *self.reader.read(rows)


def _whole(batch: Any) -> Any:
    return batch


def _batches(
    backbone: ImageBackbone,
    loader: DataLoader[Any],
    pictures: _Pictures,
    keep_map: bool,
    on_corrupt: str | OnCorrupt,
    device: torch.device | str | None,
) -> Iterator[Features]:
    before: Callable[[], Features] | None = None
    fatal: list[Exception] = []
    errors: list[Exception | None] = []
    with evaluating(backbone, device) as target:
        batches = iter(loader)  # processes are forked before threads are started
        try:
            with running(backbone, target, keep_map=keep_map, most=len(pictures)) as begin:
                # One batch is computed while the next is decoded.
                for rows, pixels, errors in batches:
                    skip = on_corrupt != "raise"
                    fatal = [e for e in errors if e and not (skip and _is_corrupt(e))]
                    if callable(on_corrupt) and not fatal:
                        _tell(on_corrupt, rows, errors)
                        errors = []
                    finish = None if fatal else begin(pixels)
                    if before is not None:
                        yield before()
                    if finish is None:
                        raise fatal[0]
                    before = partial(_finished, finish, rows, errors, pictures.source)
                if before is not None:
                    yield before()
        finally:
            # An error, its traceback, this frame and the error again would be a circle, which keeps
            # the processes until it is collected, and then waits seconds for them.
            del fatal, errors, batches


def _is_corrupt(error: Exception) -> bool:
    return isinstance(error, CorruptImageError)


def _tell(told: OnCorrupt, rows: list[int], errors: list[Exception | None]) -> None:
    for row, error in zip(rows, errors, strict=True):
        if isinstance(error, CorruptImageError):
            told(row, error)


def _finished(
    finish: Callable[[], Features],
    rows: list[int],
    errors: list[Exception | None],
    source: ImageSource,
) -> Features:
    features = finish()
    broken = torch.nonzero(~torch.isfinite(features.pooled).all(dim=1))[:, 0]
    if len(broken):
        raise ValueError(
            f"{source.name(rows[int(broken[0])])}: its features are NaN or infinite; check the "
            "weights, or compute in float32"
        )
    lost = [place for place, error in enumerate(errors) if error is not None]
    for part in features:
        if part is not None and lost:
            part[lost] = torch.nan
    return features


def with_bar(
    items: Iterable[T], total: int, size: Callable[[T], int], description: str
) -> Iterator[T]:
    """Pass items on, with a progress bar on the terminal's stderr when it takes long.

    Args:
        items: Passed on as they come.
        total: What the sizes add up to.
        size: How much of the total an item is.
        description: What the bar says.
    """
    bar: Any = None
    done, began = 0, time.monotonic()
    try:
        for item in items:
            yield item
            done += size(item)
            if bar is None and time.monotonic() - began > _BAR_AFTER and done < total:
                bar = _bar(total, description)
            if bar is not None:
                bar.update(bar.task_ids[0], completed=done)
    finally:
        if bar is not None:
            bar.stop()


def _bar(total: int, description: str) -> Any:
    from rich.console import Console
    from rich.progress import MofNCompleteColumn, Progress, TimeRemainingColumn

    console = Console(stderr=True)
    columns = (*Progress.get_default_columns()[:3], MofNCompleteColumn(), TimeRemainingColumn())
    bar = Progress(*columns, console=console, transient=True, disable=not console.is_terminal)
    bar.add_task(description, total=total)
    bar.start()
    return bar
