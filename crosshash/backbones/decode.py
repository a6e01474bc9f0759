"""From a stored picture to one row of a backbone's input."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from PIL import Image as PILImage
from torch import Tensor

from crosshash.images import CorruptImageError, ImageSource

Preprocess = Callable[[PILImage.Image], Tensor]


def decode_size(preprocess: Any) -> tuple[int, int] | None:
    """The smallest width and height from which a preprocessing still scales down, or None.

    It is the size of the resize with which timm's and torchvision's transforms begin; a JPEG file
    need not be decoded at more than that (see :meth:`crosshash.images.ImageFiles.open`). None for
    any other preprocessing, which then gets the whole picture.
    """
    steps = getattr(preprocess, "transforms", None)
    if not isinstance(steps, (list, tuple)) or not steps:
        return None
    first = steps[0]
    if type(first).__name__ not in ("Resize", "ResizeKeepRatio"):
        return None
    size = first.size
    height, width = (size, size) if isinstance(size, int) else (size[0], size[-1])
    return int(width), int(height)


class PictureReader:
    """Pictures of a source as batches of a backbone's input, (n, 3, h, w).

    Gives what ``preprocess(picture)`` gives. Where the preprocessing is timm's, it is done in fewer
    steps: only the part of a picture that is cropped out is resized, and scaling and normalising
    work in the batch itself, whose channels are last in memory, the layout in which backbones run.
    The box of the crop is rounded to ``float32``, so that a value in some 25 differs by one of 255
    grey levels; where the box falls on whole pixels, none does.

    Args:
        source: The pictures. One at a time is held, so that what a worker takes at most is a
            picture of ``PIL.Image.MAX_IMAGE_PIXELS`` and the batches that wait.
        preprocess: From a PIL picture in RGB to (3, h, w).
    """

    def __init__(self, source: ImageSource, preprocess: Any) -> None:
        self.source = source
        self.preprocess: Preprocess = preprocess
        self.size = decode_size(preprocess)
        self._geometry, self._scale = _split(preprocess)

    def __call__(self, rows: Sequence[int]) -> Tensor:
        """The pictures of those rows, decoded no larger than needed; errors are raised."""
        pixels, errors = self.read(rows)
        for error in errors:
            if error is not None:
                raise error
        return pixels

    def read(self, rows: Sequence[int]) -> tuple[Tensor, list[Exception | None]]:
        """The pictures of those rows, and for each the error in whose place a black one stands."""
        errors: list[Exception | None] = []
        plain: list[Tensor] = []
        batch = torch.empty(0)
        for place, row in enumerate(rows):
            error: Exception | None = None
            try:
                picture = self.source.open(row, size=self.size)
                self._check_shape(picture, row)
            except (OSError, ValueError) as raised:
                picture, error = PILImage.new("RGB", (64, 64)), raised
            errors.append(error)
            if self._scale is None:
                plain.append(self.preprocess(picture))
                continue
            for step in self._geometry:
                picture = step(picture)
            pixels = np.asarray(picture)
            if place == 0:
                height, width, channels = pixels.shape
                batch = torch.empty(len(rows), height, width, channels)
                mean, std = (values.repeat(width) for values in self._scale)
            flat = batch[place].view(height, width * channels)
            np.copyto(flat.numpy(), pixels.reshape(height, width * channels))
            flat.div_(255).sub_(mean).div_(std)
        return torch.stack(plain) if plain else batch.permute(0, 3, 1, 2), errors

    def _check_shape(self, picture: PILImage.Image, row: int) -> None:
        """Refuse a picture so narrow that, scaled whole, it would be huge or have no pixel."""
        steps = getattr(self.preprocess, "transforms", None)
        if not steps or (self._geometry and isinstance(self._geometry[0], _ResizedCrop)):
            return  # of which only the crop is ever made
        width, height = _scaled(steps[0], picture)
        limit = PILImage.MAX_IMAGE_PIXELS
        if not width * height or (limit is not None and width * height > limit):
            raise CorruptImageError(
                self.source.name(row),
                f"{picture.width} x {picture.height} pixels, which the model's preprocessing "
                f"would scale to {width} x {height}",
            )


def _scaled(step: Any, picture: PILImage.Image) -> tuple[int, int]:
    """Width and height after a resize that keeps their ratio; of any other step, as they are."""
    width, height = picture.size
    kind = type(step).__name__
    if kind == "ResizeKeepRatio":
        down, across = step.get_params(picture, step.size, step.longest)
        return int(across), int(down)
    if kind != "Resize" or not isinstance(step.size, int):
        return width, height
    scale = step.size / min(width, height)
    if step.max_size is not None:
        scale = min(scale, step.max_size / max(width, height))
    return int(width * scale), int(height * scale)


class _ResizedCrop:
    """``Resize`` of the shorter side and ``CenterCrop`` in one step, without the rest's pixels."""

    def __init__(self, short: int, crop: tuple[int, int], interpolation: str) -> None:
        self.short = short
        self.crop = crop
        self.filter = PILImage.Resampling[interpolation.upper()]

    def __call__(self, picture: PILImage.Image) -> PILImage.Image:
        width, height = picture.size
        # torchvision's roundings.
        new_width = max(self.short, int(self.short * width / min(width, height)))
        new_height = max(self.short, int(self.short * height / min(width, height)))
        left = round((new_width - self.crop[1]) / 2)
        top = round((new_height - self.crop[0]) / 2)
        across, down = width / new_width, height / new_height
        box = (
            left * across,
            top * down,
            (left + self.crop[1]) * across,
            (top + self.crop[0]) * down,
        )
        return picture.resize((self.crop[1], self.crop[0]), self.filter, box=box)


def _split(preprocess: Any) -> tuple[list[Any], tuple[Tensor, Tensor] | None]:
    """The steps on PIL pictures, and mean and std, where the rest is ToTensor and Normalize."""
    steps = list(getattr(preprocess, "transforms", None) or [])
    names = [type(step).__name__ for step in steps]
    if names[-2:] not in (["MaybeToTensor", "Normalize"], ["ToTensor", "Normalize"]):
        return [], None
    mean, std = (
        torch.as_tensor(values, dtype=torch.float32).flatten()
        for values in (steps[-1].mean, steps[-1].std)
    )
    if len(mean) != 3 or len(std) != 3 or bool((std == 0).any()):
        return [], None
    if names[:-2] == ["Resize", "CenterCrop"]:
        resize, crop = steps[0], tuple(steps[1].size)
        short = resize.size if isinstance(resize.size, int) else 0
        # A crop larger than the picture is padded, which is left to torchvision.
        if short >= max(crop) and resize.max_size is None:
            return [_ResizedCrop(short, crop, resize.interpolation.value)], (mean, std)
    return steps[:-2], (mean, std)
