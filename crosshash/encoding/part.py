"""The codes of one part of a source, and what of it cannot be encoded."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, get_args

import numpy as np
import torch
from torch import Tensor

from crosshash.backbones.forward import evaluating
from crosshash.codes import Packed, pack
from crosshash.encoding.items import Item, Pictures, RejectedError, Source
from crosshash.images import ImageSource
from crosshash.model.encoding import (
    FeatureStore,
    image_chunks,
    image_codes,
    text_chunks,
    text_codes,
)
from crosshash.model.hash_model import HashModel

Dtype = Literal["fp32", "bf16"]
UNKNOWN = "the model knows none of its words; --allow-unknown takes it for an empty text"


@dataclass(frozen=True)
class Settings:
    """How a model is run.

    Attributes:
        bits: One of its lengths.
        batch_size: Items that go through the network together; None: by their form.
        workers: Processes that decode pictures.
        dtype: ``"bf16"`` runs it under autocast.
        allow_unknown: Texts without a known word are no rejects.
        cache: Keeps the features of pictures.
    """

    bits: int
    batch_size: int | None = None
    workers: int = 0
    dtype: Dtype = "fp32"
    allow_unknown: bool = False
    cache: FeatureStore | None = None

    def check(self) -> None:
        """Refuse what no model can be run with.

        Raises:
            ValueError: ``dtype`` or ``batch_size`` is none; or there is a cache for features that
                are not those of a training.
        """
        if self.dtype not in get_args(Dtype):
            raise ValueError(f"dtype is 'fp32' or 'bf16', got {self.dtype!r}")
        if self.dtype != "fp32" and self.cache is not None:
            raise ValueError(f"features under {self.dtype} are not kept: fp32, or no cache")
        if self.batch_size is not None and self.batch_size < 1:
            raise ValueError(f"batch_size is the number of items in a batch, got {self.batch_size}")

    def batch(self, form: str) -> int:
        """``batch_size``, or what is usual."""
        return self.batch_size or (64 if form == "pictures" else 1024)


class Part(NamedTuple):
    """Ids of n items, their codes ``uint8`` (n, k/8), and ids and reasons of the others."""

    ids: list[str]
    codes: Packed
    rejects: list[tuple[str, str]]


def encode_part(
    model: HashModel,
    source: Source,
    items: Sequence[Item],
    settings: Settings,
    done: Callable[[int], None] = lambda count: None,
) -> Part:
    """Encode some items of a source.

    Args:
        model: In any mode.
        source: Of the items.
        items: One or more.
        settings: How.
        done: Told after each batch how many items more are done.

    Raises:
        OSError: The disk failed while a picture was read.
        ValueError: The model takes no such items; or its codes are NaN.
    """
    rejects = {row: item.fault for row, item in enumerate(items) if item.fault}
    rows = [row for row in range(len(items)) if row not in rejects]
    batch = settings.batch(source.form)
    cast = torch.autocast(model.device.type, torch.bfloat16, enabled=settings.dtype == "bf16")
    with evaluating(model), torch.inference_mode(), cast:
        if source.form == "pictures":
            pictures = Pictures(source, [items[row] for row in rows])
            batches = _pictures(model, pictures, rows, settings, rejects)
        elif source.form == "texts":
            batches = _texts(model, source, items, rows, settings, rejects)
        else:
            batches = _vectors(model, source, items, rows, batch, rejects)
        parts = [np.empty((0, settings.bits // 8), np.uint8)]
        kept: list[int] = []
        seen = 0
        for some, real in batches:
            good = [place for place, row in enumerate(some) if row not in rejects]
            parts.append(pack(real[good][:, : settings.bits].float().cpu()))
            kept += [some[place] for place in good]
            done(len(some))
            seen += len(some)
    done(len(items) - seen)
    told = [(items[row].id, rejects[row]) for row in sorted(rejects)]
    return Part([items[row].id for row in kept], np.concatenate(parts), told)


def _pictures(
    model: HashModel,
    pictures: ImageSource,
    rows: Sequence[int],
    settings: Settings,
    rejects: dict[int, str],
) -> Iterator[tuple[Sequence[int], Tensor]]:
    """Rows of batches and their real-valued codes; those in ``rejects`` then mean nothing."""
    if not rows:
        return

    def told(place: int, error: Any) -> None:
        rejects[rows[place]] = error.reason

    chunks = image_chunks(
        {slot: model.backbone(slot) for slot in model.slots},
        pictures,
        needs=model.image_needs,
        device=model.device,
        batch_size=settings.batch("pictures"),
        workers=settings.workers,
        progress=False,
        on_corrupt=told,
        cache=settings.cache,
    )
    yield from _numbered(rows, (image_codes(model, chunk) for chunk in chunks))


def _texts(
    model: HashModel,
    source: Source,
    items: Sequence[Item],
    rows: Sequence[int],
    settings: Settings,
    rejects: dict[int, str],
) -> Iterator[tuple[Sequence[int], Tensor]]:
    size = settings.batch("texts")
    for start in range(0, len(rows), size):
        batch = rows[start : start + size]
        texts = [_text(source, items[row], row, rejects) for row in batch]
        prepared = model.text.prepare(texts, unknown="allow")
        if not settings.allow_unknown:
            for place in model.text.unknown_rows(prepared).tolist():
                rejects.setdefault(batch[place], UNKNOWN)
        inputs = {name: value.to(model.device) for name, value in prepared.items()}
        yield batch, text_codes(model, inputs)


def _text(source: Source, item: Item, row: int, rejects: dict[int, str]) -> str:
    try:
        text: str = source.read(item)
    except RejectedError as error:
        rejects[row] = str(error)
        text = ""
    return text


def _vectors(
    model: HashModel,
    source: Source,
    items: Sequence[Item],
    rows: Sequence[int],
    size: int,
    rejects: dict[int, str],
) -> Iterator[tuple[Sequence[int], Tensor]]:
    vectors = source.rows([items[row] for row in rows])
    encoders = [model.backbone(slot) for slot in model.slots]
    parts = [model.text] if source.kind == "text" else encoders
    directed = any(getattr(part, "normalize", False) for part in parts)
    finite = np.isfinite(vectors).all(axis=1)
    lost = ~finite | (~vectors.any(axis=1) if directed else False)
    for place in np.flatnonzero(lost).tolist():
        zero = "it is all zero and has no direction"
        rejects[rows[place]] = zero if finite[place] else "it holds NaN or infinity"
    good = np.flatnonzero(~lost)
    if not len(good):
        return
    kept = [rows[place] for place in good.tolist()]
    if source.kind == "text":
        texts = text_chunks(
            model.text, vectors[good], device=model.device, batch_size=size, unknown="allow"
        )
        yield from _numbered(kept, (text_codes(model, chunk) for chunk in texts))
        return
    images = image_chunks(
        {slot: model.backbone(slot) for slot in model.slots},
        vectors[good],
        needs=model.image_needs,
        device=model.device,
        batch_size=size,
        workers=0,
        progress=False,
    )
    yield from _numbered(kept, (image_codes(model, chunk) for chunk in images))


def _numbered(
    rows: Sequence[int], batches: Iterable[Tensor]
) -> Iterator[tuple[Sequence[int], Tensor]]:
    start = 0
    for real in batches:
        yield rows[start : start + len(real)], real
        start += len(real)
