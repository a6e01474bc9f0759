"""Pairs as the tensors that go through a model, whole or in batches."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional
from torch.utils.data import DataLoader

from crosshash.backbones.base import Features
from crosshash.backbones.decode import PictureReader
from crosshash.backbones.forward import evaluating
from crosshash.data.dataset import FeatureArray, PairedDataset
from crosshash.data.features.cache import FeatureCache
from crosshash.images import ImageSource
from crosshash.model.batch import Batch
from crosshash.model.encoding import Output, collect, image_codes, text_codes


class Pixels:
    """Pictures that are decoded when a batch asks for them, for a backbone that is trained.

    Args:
        source: All pictures.
        preprocess: From a PIL picture to a tensor (3, h, w).
        rows: Which of them, in which order; default: all.
        augment: Mirror and shift each picture at random, as :func:`mirrored_and_shifted` does.
    """

    def __init__(
        self,
        source: ImageSource,
        preprocess: Any,
        rows: Sequence[int] | None = None,
        *,
        augment: bool = False,
    ) -> None:
        self.source = source
        self.preprocess = preprocess
        self.reader = PictureReader(source, preprocess)
        self.rows = list(range(len(source))) if rows is None else [int(row) for row in rows]
        self.augment = augment

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, places: Sequence[int]) -> Tensor:
        pixels = self.reader([self.rows[place] for place in places])
        if self.augment:
            pixels = mirrored_and_shifted(pixels)
        # The layout in which convolutions are fastest, on CPUs and GPUs.
        return pixels.contiguous(memory_format=torch.channels_last)

    def select(self, places: Sequence[int], *, augment: bool = False) -> Pixels:
        """The pictures at those places."""
        rows = [self.rows[place] for place in places]
        return Pixels(self.source, self.preprocess, rows, augment=augment)


def mirrored_and_shifted(pixels: Tensor) -> Tensor:
    """Each picture mirrored or not, and moved by up to an eighth of its sides; same shape.

    The border is filled by reflection. Draws from torch's global generator.
    """
    n, _, height, width = pixels.shape
    mirrored = torch.rand(n) < 0.5
    pixels = torch.where(mirrored[:, None, None, None], pixels.flip(3), pixels)
    down, right = height // 8, width // 8
    padded = functional.pad(pixels, (right, right, down, down), mode="reflect")
    tops = torch.randint(0, 2 * down + 1, (n,)).tolist()
    lefts = torch.randint(0, 2 * right + 1, (n,)).tolist()
    return torch.stack(
        [
            picture[:, top : top + height, left : left + width]
            for picture, top, left in zip(padded, tops, lefts, strict=True)
        ]
    )


class PairInputs:
    """n pairs ready for a model: pixels or features, prepared texts, labels.

    Args:
        images: For each slot :class:`Pixels` or features of n rows.
        texts: Prepared texts, or features, of n rows, or of all that ``text_counts`` say.
        labels: (n, c) in {0, 1}, or None.
        text_counts: (n,) rows of ``texts`` that each pair has, in order; None: one each.
    """

    def __init__(
        self,
        images: Mapping[str, Pixels | Features],
        texts: Mapping[str, Tensor] | Features,
        labels: Tensor | None = None,
        text_counts: Tensor | None = None,
    ) -> None:
        self.images = dict(images)
        self.texts = texts
        self.labels = labels
        rows = len(_tensor(texts))
        counts = torch.ones(rows, dtype=torch.int64) if text_counts is None else text_counts
        self._starts, self._counts = counts.cumsum(0) - counts, counts
        self._draws = False

    def __len__(self) -> int:
        return len(self._counts)

    def select(
        self,
        rows: npt.NDArray[np.int64] | Sequence[int],
        *,
        augment: bool = False,
        draw: bool = False,
    ) -> PairInputs:
        """The pairs of those rows, in their order.

        Args:
            rows: Row numbers.
            augment: Mirror and shift pixels, for training.
            draw: A batch has one of a pair's texts, drawn from torch's global generator, for
                training; False: the first.
        """
        chosen = torch.from_numpy(np.array(rows, dtype=np.int64))  # a copy: protocols are read-only
        found = PairInputs(
            {
                slot: value.select(chosen.tolist(), augment=augment)
                if isinstance(value, Pixels)
                else _rows(value, chosen)
                for slot, value in self.images.items()
            },
            self.texts,
            None if self.labels is None else self.labels[chosen],
        )
        found._starts, found._counts = self._starts[chosen], self._counts[chosen]
        found._draws = draw
        return found

    def every_text(self) -> PairInputs:
        """A pair for each text, with its image, in order."""
        pairs = torch.arange(len(self)).repeat_interleave(self._counts)
        found = self.select(pairs.numpy())
        first = self._counts.cumsum(0) - self._counts
        found._starts = found._starts + torch.arange(len(pairs)) - first[pairs]
        found._counts = torch.ones_like(found._counts)
        return found

    def __getitems__(self, rows: list[int]) -> Batch:
        """The batch of those rows (the name under which torch's loader asks for a whole batch)."""
        index = torch.tensor(rows, dtype=torch.int64)
        return Batch(
            index,
            {
                slot: value[rows] if isinstance(value, Pixels) else _rows(value, index)
                for slot, value in self.images.items()
            },
            _rows(self.texts, self._text_rows(index)),
            None if self.labels is None else self.labels[index],
        )

    def _text_rows(self, index: Tensor) -> Tensor:
        rows = self._starts[index]
        if self._draws:
            rows = rows + (torch.rand(len(index)) * self._counts[index]).long()
        return rows


def prepare_inputs(
    model: Any,
    dataset: PairedDataset,
    *,
    captions: str = "first",
    cache: FeatureCache | None = None,
    workers: int = 0,
    progress: bool = True,
) -> PairInputs:
    """Run what is frozen once, and prepare the rest.

    Args:
        model: A ``HashModel``; its frozen backbones run here, through the cache.
        dataset: The pairs.
        captions: Which caption is a pair's text: ``"first"``, ``"join"``, or ``"each"``: all are
            prepared, from which :meth:`PairInputs.select` draws.
        cache: Features of frozen backbones; default: the user's cache folder.
        workers: Processes that decode pictures.
        progress: Show bars.

    Raises:
        ValueError: The data set has features where the model reads pixels or words, or the other
            way round.
    """
    cache = cache or FeatureCache()
    images: dict[str, Pixels | Features] = {}
    for slot, backbone in model.backbones.items():
        if isinstance(dataset.images, np.ndarray):
            if backbone.reads_pixels:
                raise ValueError(
                    f"data set {dataset.name!r} has image features, but the backbone "
                    f"{backbone.name!r} reads pixels; use the backbone 'features'"
                )
            images[slot] = Features(backbone.prepare(dataset.images))
        elif not backbone.reads_pixels:
            raise ValueError(
                f"data set {dataset.name!r} has pictures, but the backbone {backbone.name!r} "
                "takes features; name a timm model instead"
            )
        elif slot in model.frozen:
            images[slot] = cache.features(
                backbone,
                dataset.images,
                keep=model.image_needs,
                workers=workers,
                device=model.device,
                progress=progress,
            )
        else:
            images[slot] = Pixels(dataset.images, backbone.preprocess)
    given: Sequence[str] | FeatureArray
    counts = None
    if captions == "each":
        given, numbers = dataset.every_text()
        counts = torch.from_numpy(numbers)
    elif isinstance(dataset.texts, np.ndarray):
        given = dataset.texts
    else:
        given = dataset.captions(captions)
    prepared = model.text.prepare(given, unknown="allow")
    unknown = len(model.text.unknown_rows(prepared))
    if unknown:
        warnings.warn(
            f"{unknown} of {len(given)} texts of {dataset.name!r} have no word that the model "
            "knows; they all get the code of an empty text",
            stacklevel=2,
        )
    texts: Mapping[str, Tensor] | Features = prepared
    if "text" in model.frozen and any(True for _ in model.text.parameters()):
        texts = cache.text_features(
            model.text, given, keep=model.text_needs, device=model.device, progress=progress
        )
    labels = None if dataset.labels is None else torch.from_numpy(dataset.labels)
    return PairInputs(images, texts, labels, counts)


@torch.no_grad()
def encode_pairs(
    model: Any,
    inputs: PairInputs,
    *,
    output: Output = "packed",
    batch_size: int = 256,
    workers: int = 0,
) -> tuple[Any, Any]:
    """Codes of images and texts, each ``uint8`` (n, k/8) or as ``output`` says."""
    order = torch.arange(len(inputs)).split(batch_size)
    loader: DataLoader[Any] = DataLoader(
        inputs,  # type: ignore[arg-type]
        batch_sampler=[rows.tolist() for rows in order],
        num_workers=workers,
        collate_fn=_whole,  # type: ignore[arg-type]
        generator=torch.Generator(),  # draws nothing from the caller's
    )
    images, texts = [], []
    with evaluating(model):
        for batch in loader:
            moved = batch.to(model.device)
            images.append(collect([image_codes(model, moved.images)], output))
            texts.append(collect([text_codes(model, moved.texts)], output))
    return np.concatenate(images), np.concatenate(texts)


def _whole(batch: Batch) -> Batch:
    return batch


def _tensor(texts: Mapping[str, Tensor] | Features) -> Tensor:
    return texts.pooled if isinstance(texts, Features) else next(iter(texts.values()))


def _rows(value: Any, rows: Tensor) -> Any:
    if isinstance(value, Features):
        return value.rows(rows)
    return {name: part[rows] for name, part in value.items()}
