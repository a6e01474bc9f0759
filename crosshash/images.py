"""Reading images, one way for files, arrays and opened pictures; errors name the image."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol, Union

import numpy as np
import numpy.typing as npt
from PIL import Image as PILImage

SUFFIXES = (".bmp", ".gif", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp")
ImageLike = Union[str, Path, "PILImage.Image", npt.NDArray[np.uint8]]


class CorruptImageError(ValueError):
    """A file that is there but cannot be decoded as a picture; ``name`` says which."""

    def __init__(self, name: str, reason: str) -> None:
        super().__init__(name, reason)
        self.name = name
        self.reason = reason

    def __str__(self) -> str:
        return (
            f"{self.name}: cannot be read as an image ({self.reason}); replace or remove it, "
            "or pass on_corrupt='skip' to leave such pairs out and count them"
        )


class ImageSource(Protocol):
    """A sequence of pictures that are opened one at a time."""

    def __len__(self) -> int: ...

    def open(self, index: int, *, size: tuple[int, int] | None = None) -> PILImage.Image:
        """The picture in RGB.

        Args:
            index: Which one.
            size: Width and height from which the caller will scale down. A source may give a
                smaller picture than the stored one, never below this size in width or height.
        """
        ...

    def digest(self, index: int) -> bytes:
        """SHA-256 of the picture's contents, 32 bytes."""
        ...

    def name(self, index: int) -> str:
        """What error messages call the picture."""
        ...


class ImageFiles:
    """Pictures in files.

    Args:
        paths: One path per picture.
    """

    def __init__(self, paths: Sequence[str | Path]) -> None:
        self.paths = [Path(path) for path in paths]

    def __len__(self) -> int:
        return len(self.paths)

    def open(self, index: int, *, size: tuple[int, int] | None = None) -> PILImage.Image:
        """The picture in RGB.

        With a ``size`` of at most half the stored one, a JPEG file is decoded at a half, a quarter
        or an eighth, which takes a fraction of the time; the result is at least of that size.

        Raises:
            FileNotFoundError: The file is not there.
            CorruptImageError: The file is there but is no whole picture.
        """
        path = self.paths[index]
        try:
            with PILImage.open(path) as image:
                if size is not None:
                    image.draft("RGB", size)  # does nothing where the file is no JPEG
                image.load()
                # convert() would copy what is in RGB already.
                picture: PILImage.Image = image if image.mode == "RGB" else image.convert("RGB")
                return picture
        except FileNotFoundError:
            raise FileNotFoundError(f"{path}: no such image file") from None
        except (OSError, SyntaxError, ValueError, PILImage.DecompressionBombError) as error:
            raise CorruptImageError(str(path), str(error)) from error

    def digest(self, index: int) -> bytes:
        """SHA-256 of the file's bytes."""
        return hashlib.sha256(self.paths[index].read_bytes()).digest()

    def name(self, index: int) -> str:
        """The file's path."""
        return str(self.paths[index])


class ImageArrays:
    """Pictures in memory: PIL images, or arrays ``uint8`` (h, w, 3) or (h, w)."""

    def __init__(self, images: Sequence[Any] | npt.NDArray[np.uint8]) -> None:
        self.images = images

    def __len__(self) -> int:
        return len(self.images)

    def open(self, index: int, *, size: tuple[int, int] | None = None) -> PILImage.Image:
        """The picture in RGB, whole whatever the ``size``.

        Raises:
            ValueError: An array is not ``uint8`` with axes (h, w, 3) or (h, w).
        """
        image = self.images[index]
        if isinstance(image, PILImage.Image):
            return image.convert("RGB")
        array = np.asarray(image)
        if array.dtype != np.uint8 or not (
            array.ndim == 2 or (array.ndim == 3 and array.shape[2] == 3)
        ):
            raise ValueError(
                f"image {index}: arrays are uint8 with axes (height, width, 3), got {array.dtype} "
                f"of shape {array.shape}"
            )
        return PILImage.fromarray(array).convert("RGB")

    def digest(self, index: int) -> bytes:
        """SHA-256 of size and pixels."""
        image = self.open(index)
        return hashlib.sha256(repr(image.size).encode() + image.tobytes()).digest()

    def name(self, index: int) -> str:
        """The picture's place in the sequence."""
        return f"image {index}"


def as_image_source(images: Any) -> ImageSource:
    """Wrap paths, PIL images or ``uint8`` arrays, alone or many, into one kind of source."""
    if isinstance(images, (ImageFiles, ImageArrays)):
        return images
    if hasattr(images, "open") and hasattr(images, "digest"):
        source: ImageSource = images
        return source
    if isinstance(images, (str, Path)):
        return ImageFiles([images])
    if isinstance(images, PILImage.Image):
        return ImageArrays([images])
    if isinstance(images, np.ndarray) and images.dtype.kind != "U":  # strings are paths
        single = images.ndim == 2 or (images.ndim == 3 and images.shape[2] == 3)
        return ImageArrays(images[None] if single else images)
    items = list(images)
    if items and all(isinstance(item, (str, Path)) for item in items):
        return ImageFiles(items)
    return ImageArrays(items)
