"""Reading images, one way for files, arrays and opened pictures; errors name the image."""

from __future__ import annotations

import hashlib
import operator
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, Union, overload

import numpy as np
import numpy.typing as npt
from PIL import Image as PILImage

from crosshash.rgb import to_rgb
from crosshash.stored_picture import CorruptImageError as CorruptImageError
from crosshash.stored_picture import decode, digest

SUFFIXES = (".bmp", ".gif", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp")
# To find damaged files: a JPEG is read to its end at any size, and fastest at a small one.
PROBE = (32, 32)
ImageLike = Union[str, Path, "PILImage.Image", npt.NDArray[Any], Mapping[str, Any]]
# A Path has lost one of the two slashes.
_ADDRESS = re.compile(r"(https?|ftp|s3|gs|hf):/", re.IGNORECASE)


class ImageSource(Protocol):
    """A sequence of pictures that are opened one at a time.

    With this class as its base a source is indexed as a list is: ``source[-1]`` is a picture,
    ``source[10:20]`` the source of ten, and a loop opens one after the other.
    """

    def __len__(self) -> int: ...

    def open(self, index: int, *, size: tuple[int, int] | None = None) -> PILImage.Image:
        """The picture in RGB, upright and on white as :func:`crosshash.rgb.to_rgb` makes it.

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

    @overload
    def __getitem__(self, index: int) -> PILImage.Image: ...

    @overload
    def __getitem__(self, index: slice) -> ImageSubset: ...

    def __getitem__(self, index: int | slice) -> PILImage.Image | ImageSubset:
        count = len(self)
        if isinstance(index, slice):
            return ImageSubset(self, np.arange(count)[index])
        row = operator.index(index)
        if not -count <= row < count:
            raise IndexError(f"picture {row} is outside of a source of {count}")
        return self.open(row % count)

    def __iter__(self) -> Iterator[PILImage.Image]:
        return (self.open(index) for index in range(len(self)))


class ImageFiles(ImageSource):
    """Pictures in files.

    Args:
        paths: One path per picture.

    Raises:
        ValueError: One of them is an address; nothing is fetched.
    """

    def __init__(self, paths: Sequence[str | Path]) -> None:
        self.paths = [_path(path) for path in paths]

    def __len__(self) -> int:
        return len(self.paths)

    def open(self, index: int, *, size: tuple[int, int] | None = None) -> PILImage.Image:
        """The picture in RGB, upright and on white; of several frames the first.

        With a ``size`` of at most half the stored one, a JPEG file is decoded at a half, a quarter
        or an eighth, which takes a fraction of the time; the result is at least of that size.

        Raises:
            FileNotFoundError: The file is not there.
            CorruptImageError: The file is there but is no whole picture, no regular file, or has
                more pixels than ``PIL.Image.MAX_IMAGE_PIXELS``.
        """
        return decode(self.paths[index], self.name(index), size)

    def digest(self, index: int) -> bytes:
        """SHA-256 of the file's bytes."""
        return digest(self.paths[index], self.name(index))

    def name(self, index: int) -> str:
        """The file's path."""
        return str(self.paths[index])


class ImageArrays(ImageSource):
    """Pictures in memory, mixed as they come.

    Args:
        images: PIL images of any mode, as they are meant to be seen
            (:func:`crosshash.rgb.to_rgb`); arrays, ``uint8`` (h, w, 3) or (h, w), or floating
            (h, w, 3) in [0, 1], of which a value v becomes the whole number nearest to 255 v; or
            encoded pictures as the Hugging Face ``datasets`` keep them, ``{"bytes": …, "path": …}``
            with one of the two, or paths. A sequence is not copied: a picture is looked up when it
            is opened.
    """

    def __init__(self, images: Sequence[Any] | npt.NDArray[Any]) -> None:
        self.images = images

    def __len__(self) -> int:
        return len(self.images)

    def open(self, index: int, *, size: tuple[int, int] | None = None) -> PILImage.Image:
        """The picture in RGB, upright and on white; one in memory is whole whatever the ``size``.

        Raises:
            ValueError: It is none of the kinds above.
            FileNotFoundError: Its file is not there.
            CorruptImageError: Its bytes or its file are no whole picture, it has no pixels, or grey
                values outside of its mode's range.
        """
        image, name = self.images[index], self.name(index)
        stored = None if isinstance(image, PILImage.Image) else _stored(image, name)
        if stored is not None:
            return decode(stored, name if isinstance(stored, bytes) else str(stored), size)
        if not isinstance(image, PILImage.Image):
            image = PILImage.fromarray(_pixels(image, name))
        try:
            return to_rgb(image)
        except (OSError, SyntaxError, ValueError) as error:  # one that Pillow has not loaded yet
            raise CorruptImageError(name, str(error)) from error

    def digest(self, index: int) -> bytes:
        """SHA-256 of a file's bytes, or of size and pixels as they are seen."""
        stored = _stored(self.images[index], self.name(index))
        if stored is not None:
            return digest(stored, self.name(index))
        image = self.open(index)
        return hashlib.sha256(repr(image.size).encode() + image.tobytes()).digest()

    def name(self, index: int) -> str:
        """The picture's place in the sequence."""
        return f"image {index}"


class ImageSubset(ImageSource):
    """Some pictures of a source, by row number, without copying them."""

    def __init__(self, source: ImageSource, rows: npt.NDArray[np.integer[Any]]) -> None:
        self.source: ImageSource = source
        self.rows: npt.NDArray[np.integer[Any]] = rows
        if isinstance(source, ImageSubset):
            self.source, self.rows = source.source, source.rows[rows]

    def __len__(self) -> int:
        return len(self.rows)

    def open(self, index: int, *, size: tuple[int, int] | None = None) -> PILImage.Image:
        """The picture in RGB, scaled down to no less than ``size`` where that is faster."""
        return self.source.open(int(self.rows[index]), size=size)

    def digest(self, index: int) -> bytes:
        """SHA-256 of the picture's contents, 32 bytes."""
        return self.source.digest(int(self.rows[index]))

    def name(self, index: int) -> str:
        """What error messages call the picture."""
        return self.source.name(int(self.rows[index]))


def as_image_source(images: Any) -> ImageSource:
    """Wrap pictures, alone or many, into one kind of source.

    Args:
        images: A source, which passes; a path; whatever :class:`ImageArrays` takes; or a sequence,
            an array, a table's column or an iterator of these.

    Raises:
        ValueError: It is nothing of the kind, or an address.
    """
    if hasattr(images, "open") and hasattr(images, "digest"):
        source: ImageSource = images
        return source
    if isinstance(images, (str, Path)):
        return ImageFiles([images])
    if isinstance(images, PILImage.Image) or is_encoded(images):
        return ImageArrays([images])
    if hasattr(images, "__array__"):
        images = np.asarray(images.detach().cpu() if hasattr(images, "detach") else images)
        if images.ndim and images.dtype.kind not in "UO":  # strings are paths
            single = images.ndim == 2 or (images.ndim == 3 and images.shape[2] == 3)
            return ImageArrays(images[None] if single else images)
        images = images.tolist()
    if isinstance(images, (bytes, bytearray, Mapping)) or not isinstance(images, Iterable):
        raise ValueError(
            "images are paths, PIL images, uint8 arrays (height, width, 3) or encoded pictures "
            f"{{'bytes': …, 'path': …}}, alone or many; got {type(images).__name__}"
        )
    if isinstance(images, Sequence) and len(images) and not isinstance(images[0], (str, Path)):
        return ImageArrays(images)  # not copied: a column decodes a picture on every access
    items = list(images)
    if items and all(isinstance(item, (str, Path)) for item in items):
        return ImageFiles(items)
    return ImageArrays(items)


def is_encoded(image: Any) -> bool:
    """Whether it is one encoded picture, ``{"bytes": …, "path": …}``."""
    return isinstance(image, Mapping) and bool(image) and set(image) <= {"bytes", "path"}


def _path(path: str | Path) -> Path:
    if _ADDRESS.match(str(path)):
        raise ValueError(
            f"{str(path)!r} is an address, and pictures are not fetched; download it and pass the "
            "file's path"
        )
    return Path(path)


def _stored(image: Any, name: str) -> bytes | Path | None:
    """What a picture is decoded from, a file's bytes or its path; None for one that is decoded."""
    if isinstance(image, (str, Path)):
        return _path(image)
    if not is_encoded(image):
        return None
    content, path = image.get("bytes"), image.get("path")
    if content is None and path is None:
        raise ValueError(f"{name}: has neither bytes nor a path; leave out what has no picture")
    return _path(path) if content is None else bytes(content)


def _pixels(image: Any, name: str) -> npt.NDArray[np.uint8]:
    array = np.asarray(image)
    in_color = array.ndim == 3 and array.shape[2] == 3
    if array.dtype == np.uint8 and (in_color or array.ndim == 2):
        return array
    if array.dtype.kind != "f" or not in_color:
        raise ValueError(
            f"{name}: arrays are uint8 with axes (height, width, 3) or (height, width), or "
            f"floating (height, width, 3) in [0, 1]; got {_kind(image, array)}"
        )
    low, high = array.min(initial=0), array.max(initial=0)
    if not (low >= 0 and high <= 1):  # NaN is neither
        raise ValueError(
            f"{name}: a floating picture (height, width, 3) has values in [0, 1], got {low:g} to "
            f"{high:g}; scale it, or pass preprocessed pixels as (n, 3, height, width)"
        )
    pixels: npt.NDArray[np.uint8] = np.rint(array * 255).astype(np.uint8)
    return pixels


def _kind(image: Any, array: npt.NDArray[Any]) -> str:
    if array.dtype.kind in "OSU":
        return f"a {type(image).__name__}"
    return f"{array.dtype} of shape {array.shape}"
