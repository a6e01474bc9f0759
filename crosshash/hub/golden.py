"""Golden codes: a few inputs and a model's codes for them, stored beside its weights."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image as PILImage

from crosshash.codes import pack
from crosshash.hub.contained import contained, read_object
from crosshash.hub.errors import CheckpointError
from crosshash.hub.limits import read_header
from crosshash.model.hash_model import HashModel
from crosshash.rgb import to_rgb

NAMES = ("golden.json", "golden.safetensors")
BYTES = 100_000
# Convolutions differ in the last digits between machines; a code's value is of the order of 1.
TOLERANCE = 2e-3
_ITEMS = 4
_SIDE = 64


def write_golden(model: HashModel, folder: str | Path, images: Any, texts: Any) -> None:
    """Store the first few inputs and the model's codes for them in a checkpoint folder.

    Args:
        model: As it is read back from the folder: codes are those of the stored weights.
        folder: Of the checkpoint.
        images: Pictures (PIL images or ``uint8`` arrays, of which small copies are stored), or
            features, a floating array (n, d) for every slot or a mapping from slot to array.
        texts: Strings, or features, a floating array (n, d).

    Raises:
        ValueError: Not even one pair fits into 100 kB.
    """
    from safetensors.numpy import save_file

    path = Path(folder)
    for count in range(_ITEMS, 0, -1):
        tensors = _image_tensors(model, images, count)
        words: list[str] | None = None
        if isinstance(texts, np.ndarray):
            tensors["texts"] = np.ascontiguousarray(texts[:count], np.float32)
        else:
            words = [str(text) for text in texts[:count]]
        size = sum(tensor.nbytes for tensor in tensors.values())
        size += count * 2 * (4 * model.bits + model.bits // 8)
        if size <= BYTES:
            break
    else:
        raise ValueError(f"one pair for golden codes takes {size} bytes, more than {BYTES}")
    real_image, real_text = _codes(model, tensors, words)
    tensors |= {"real.image": real_image, "real.text": real_text}
    tensors |= {"codes.image": pack(real_image), "codes.text": pack(real_text)}
    save_file(tensors, str(path / NAMES[1]))
    note = json.dumps({"texts": words}, ensure_ascii=False, indent=2) + "\n"
    (path / NAMES[0]).write_text(note, encoding="utf-8")


def has_golden(folder: str | Path) -> bool:
    """Whether codes are stored in the folder."""
    return all((Path(folder) / name).is_file() for name in NAMES)


def check_golden(model: HashModel, folder: str | Path) -> None:
    """Compare a model's codes with those stored beside it.

    Real values may differ by 0.002 of their size; a bit of a code may differ only where its value
    is that close to 0.

    Raises:
        FileNotFoundError: The folder has no golden codes.
        CheckpointError: The codes are others, or the stored ones cannot be read.
    """
    from safetensors.numpy import load_file

    path = Path(folder)
    for name in NAMES:
        try:
            contained(path, name)
        except FileNotFoundError:
            raise FileNotFoundError(
                f"{path} has no {name}, so its codes cannot be checked; load it without golden"
            ) from None
    elements = read_header(path / NAMES[1])
    if (path / NAMES[1]).stat().st_size > 2 * BYTES or not _stored(elements):
        raise CheckpointError(f"{path / NAMES[1]}: these are no golden codes")
    tensors = load_file(str(path / NAMES[1]))
    words = read_object(path / NAMES[0]).get("texts")
    try:
        real = dict(zip(("image", "text"), _codes(model, tensors, words), strict=True))
    except (KeyError, TypeError, ValueError) as error:
        raise CheckpointError(f"{path}: its golden inputs do not fit the model: {error}") from error
    for part, values in real.items():
        _compare(path, part, values, tensors[f"real.{part}"], tensors[f"codes.{part}"])


def _stored(elements: Mapping[str, Any]) -> bool:
    return {"real.image", "real.text", "codes.image", "codes.text"} <= set(elements)


def _compare(
    path: Path,
    part: str,
    values: npt.NDArray[np.float32],
    expected: npt.NDArray[np.float32],
    codes: npt.NDArray[np.uint8],
) -> None:
    if values.shape != expected.shape or codes.shape != pack(values).shape:
        raise CheckpointError(
            f"{path}: its {part} codes have the shape {values.shape}, stored {expected.shape}"
        )
    close = TOLERANCE * (1 + np.abs(expected))
    off = ~(np.abs(values - expected) <= close)
    bits = np.unpackbits(codes ^ pack(values), axis=1, bitorder="little").astype(bool)
    flipped = bits & (np.abs(values) > close)
    if off.any() or flipped.any():
        raise CheckpointError(
            f"{path}: the model does not give its stored {part} codes: {int(off.sum())} of "
            f"{off.size} values and {int(flipped.sum())} bits differ, at most by "
            f"{float(np.abs(values - expected).max()):.4g}; a library computes differently here, "
            "or files of two models are mixed"
        )


def _image_tensors(model: HashModel, images: Any, count: int) -> dict[str, npt.NDArray[Any]]:
    if isinstance(images, np.ndarray) and images.dtype.kind == "f":
        images = dict.fromkeys(model.slots, images)
    if isinstance(images, Mapping):
        return {
            f"images.{slot}": np.array(rows[:count], np.float32) for slot, rows in images.items()
        }
    return {f"images.{row}": _thumbnail(image) for row, image in enumerate(images[:count])}


def _thumbnail(image: Any) -> npt.NDArray[np.uint8]:
    picture = image if isinstance(image, PILImage.Image) else PILImage.fromarray(image)
    picture = to_rgb(picture).copy()
    picture.thumbnail((_SIDE, _SIDE))
    return np.array(picture, np.uint8)


def _codes(
    model: HashModel, tensors: Mapping[str, npt.NDArray[Any]], words: Sequence[str] | None
) -> tuple[Any, Any]:
    """Real image and text codes of stored inputs."""
    given = {n[len("images.") :]: v for n, v in tensors.items() if n.startswith("images.")}
    pictures = all(value.dtype == np.uint8 for value in given.values())
    images: Any = [given[key] for key in sorted(given, key=int)] if pictures else given
    image = model.encode_image(images, output="real", progress=False)
    texts: Any = tensors["texts"] if words is None else list(words)
    return image, model.encode_text(texts, output="real", unknown="allow")
