"""Every picture as the same RGB pixels, in whatever mode and on whichever side it is stored."""

from __future__ import annotations

import struct
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image as PILImage

# Of the rules below. Stored features belong to it: raise it where the pixels of a picture change.
DECODING = 2
_WHITE = (255, 255, 255)
_ALPHA = ("LA", "La", "PA", "RGBA", "RGBa")
_WIDE = ("I", "I;16", "I;16B", "I;16L", "I;16N")  # grey values of more than 8 bits
_ORIENTATION = 0x0112  # in EXIF
_TURNS = {
    2: PILImage.Transpose.FLIP_LEFT_RIGHT,
    3: PILImage.Transpose.ROTATE_180,
    4: PILImage.Transpose.FLIP_TOP_BOTTOM,
    5: PILImage.Transpose.TRANSPOSE,
    6: PILImage.Transpose.ROTATE_270,
    7: PILImage.Transpose.TRANSVERSE,
    8: PILImage.Transpose.ROTATE_90,
}
_SIDEWAYS = (5, 6, 7, 8)
_BITS, _PHOTOMETRIC, _WHITE_IS_ZERO = 258, 262, 0  # TIFF's tags, and a value of the second
# What Pillow raises on a damaged EXIF block.
_DAMAGED = (SyntaxError, ValueError, LookupError, TypeError, OSError, struct.error)


def to_rgb(image: PILImage.Image) -> PILImage.Image:
    """A picture as it is meant to be seen, in RGB of 8 bits; the same one in any mode is the same.

    It is turned as its EXIF orientation says, and composed on white where it is transparent. Grey
    values of modes ``I;16`` and ``I`` go from 0 to 65535 (in a TIFF file of fewer bits, to the
    largest of these), those of mode ``F`` from 0 to 1; they are rounded to the nearest of 255
    steps. Of several frames it is the one that the picture stands on, in a file just opened the
    first.

    Args:
        image: In any of Pillow's modes. It is not changed; in RGB and upright it is returned.

    Raises:
        ValueError: It has no pixels, or grey values outside of the range above, or NaN.
    """
    if 0 in image.size:
        raise ValueError(f"it has no pixels, {image.width} x {image.height}")
    image.load()
    turn = _TURNS.get(_orientation(image))
    upright = _flat(image)
    if turn is None:
        return upright
    upright = upright.transpose(turn)
    upright.info = {}  # Pillow copies it, and a second time the picture would be turned again
    return upright


def is_sideways(image: PILImage.Image) -> bool:
    """Whether :func:`to_rgb` exchanges width and height; of a file that need not be loaded yet."""
    return _orientation(image) in _SIDEWAYS


def _orientation(image: PILImage.Image) -> int:
    try:
        value = image.getexif().get(_ORIENTATION)
    except _DAMAGED:
        return 1  # says nothing that can be read; the pixels are there all the same
    return value if isinstance(value, int) else 1


def _flat(image: PILImage.Image) -> PILImage.Image:
    """In RGB, on white, on the side on which it is stored."""
    clear = image.info.get("transparency")
    if image.mode in _WIDE:
        return _wide(image, clear)
    if image.mode == "F":
        return _floating(image)
    if image.mode in _ALPHA or clear is not None or _has_clear_palette(image):
        return _on_white(image, clear)
    # convert() would copy what is in RGB already.
    return image if image.mode == "RGB" else image.convert("RGB")


def _on_white(image: PILImage.Image, clear: Any) -> PILImage.Image:
    if image.mode == "La":
        image = image.convert("LA")
    elif image.mode == "RGB" and isinstance(clear, tuple) and max(clear) > 255:
        image = image.copy()  # a file of 16 bits, of which Pillow keeps the upper 8
        image.info["transparency"] = tuple(value >> 8 for value in clear)
    elif image.mode == "P":
        image = image.copy()  # Pillow would write the transparency into this palette
    layer = image if image.mode == "RGBA" else image.convert("RGBA")
    flat = PILImage.new("RGB", image.size, _WHITE)
    flat.paste(layer, mask=layer)
    return flat


def _has_clear_palette(image: PILImage.Image) -> bool:
    return image.mode == "P" and image.palette is not None and image.palette.mode.endswith("A")


def _wide(image: PILImage.Image, clear: Any) -> PILImage.Image:
    values = np.asarray(image)
    tags = getattr(image, "tag_v2", {})  # a TIFF file's
    white = 65535
    if image.mode != "I" and _BITS in tags:
        white = (1 << int(tags[_BITS][0])) - 1
    low, high = int(values.min()), int(values.max())
    if low < 0 or high > white:
        raise ValueError(
            f"grey values of mode {image.mode} are 0 to {white}, it has {low} to {high}; scale "
            "them, or save it with 8 or 16 bits"
        )
    scaled = values.astype(np.uint32)
    scaled *= 255  # in place, as a picture may be large
    scaled += white // 2
    scaled //= white
    grey = scaled.astype(np.uint8)
    if image.mode != "I" and tags.get(_PHOTOMETRIC) == _WHITE_IS_ZERO:
        grey = 255 - grey  # of 8 bits Pillow does it
    if isinstance(clear, int):
        grey[values == clear] = 255
    return _grey(grey)


def _floating(image: PILImage.Image) -> PILImage.Image:
    values = np.asarray(image)
    low, high = float(values.min()), float(values.max())
    if not (low >= 0 and high <= 1):  # NaN is neither
        raise ValueError(
            f"grey values of mode F are 0 to 1, it has {low:g} to {high:g}; scale them, or save it "
            "with 8 or 16 bits"
        )
    scaled = values * 255
    return _grey(np.rint(scaled, out=scaled).astype(np.uint8))


def _grey(values: npt.NDArray[np.uint8]) -> PILImage.Image:
    return PILImage.fromarray(values).convert("RGB")
