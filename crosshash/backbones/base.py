"""What every image backbone and text encoder keeps to, and where their names are registered."""

from __future__ import annotations

import hashlib
import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image as PILImage
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.dlpack import from_dlpack

from crosshash.registry import Registry

Texts = str | Sequence[str] | npt.NDArray[Any] | Tensor
Inputs = dict[str, Tensor]
# Files that a checkpoint keeps for its text encoder; a bag of words has the first, a transformer
# the others, and an encoder of one's own what it likes of them.
ASSETS = (
    "vocabulary.json",
    "text_encoder/*.json",
    "text_encoder/*.txt",
    "text_encoder/*.model",
)


class Features(NamedTuple):
    """What an encoder sees in a batch.

    Attributes:
        pooled: (n, d), one vector per item.
        map: (n, c, h, w), the last feature map, or None where the encoder has none; of texts the
            states of their tokens, (n, c, 1, l), exact zeros where a text has no token.
    """

    pooled: Tensor
    map: Tensor | None = None

    def rows(self, index: Tensor | slice) -> Features:
        """The features of some items."""
        return Features(self.pooled[index], None if self.map is None else self.map[index])

    def to(self, target: torch.device | torch.dtype) -> Features:
        """The same features on another device, or as numbers of another type."""
        return Features(self.pooled.to(target), None if self.map is None else self.map.to(target))


class ImageBackbone(nn.Module, ABC):
    """Pictures, or vectors in their place, to features; rows of a batch never mix in eval mode.

    Attributes:
        name: The name that creates it.
        dim: d, width of the pooled feature.
        channels: c, channels of the feature map; 0 where there is no map.
        preprocess: Turns a PIL picture in RGB into one row of the input, (3, h, w); None where the
            input is no picture.
        reads_pixels: Whether the input is a picture.
        has_head: Whether :meth:`head` goes on from the feature map.
    """

    name: str
    dim: int
    channels: int
    has_head: bool = False
    preprocess: Callable[[PILImage.Image], Tensor] | None
    reads_pixels: bool

    @abstractmethod
    def forward(self, x: Tensor) -> Features:
        """Features of a batch of preprocessed pictures (n, 3, h, w), or of vectors (n, d)."""

    def head(self, feature_map: Tensor) -> Tensor:
        """The rest of the backbone after its feature map (n, c, h, w): the pooled feature (n, d).

        In eval mode ``head(forward(x).map)`` is ``forward(x).pooled``, so that a layer may stand
        between the two.

        Raises:
            ValueError: The backbone has no such rest (``has_head`` is False).
        """
        raise ValueError(
            f"image backbone {self.name!r} cannot go on from a feature map; use cnnf, alexnet or "
            "a CNN of timm"
        )

    @abstractmethod
    def spec(self) -> dict[str, Any]:
        """JSON-able options with which ``create_image_backbone(**spec)`` builds it unweighted."""


class TextEncoder(nn.Module, ABC):
    """Texts to features; rows of a batch never mix in eval mode.

    ``prepare`` makes tensors on the CPU whose rows are the texts, so that a data set is prepared
    once and batches are rows of the result; ``forward`` turns such rows into features.

    Attributes:
        name: The name that creates it.
        channels: c, width of the tokens' states in ``map``; 0 where there is no map.
        takes_rows: Whether ``prepare`` takes rows (n, d) in place of strings.
        vocabulary: The words, or tokens, that it knows, in their order; None where it has none.
    """

    name: str
    channels: int = 0
    takes_rows: bool = False
    vocabulary: list[str] | None = None

    @property
    @abstractmethod
    def dim(self) -> int:
        """d, width of the pooled feature."""

    @property
    def fitted(self) -> bool:
        """Whether it can be used; where False, ``fit`` must come first."""
        return True

    def fit(self, texts: Sequence[str]) -> TextEncoder:
        """Learn what must be known before training, such as a vocabulary; returns itself."""
        return self

    @abstractmethod
    def prepare(self, texts: Texts, *, unknown: str = "raise") -> Inputs:
        """Turn texts into tensors on the CPU, one row per text.

        Args:
            texts: Strings, or rows that stand for them where the encoder takes such.
            unknown: What to do with a text in which nothing is known: ``"raise"``, or ``"allow"``
                to let it pass (``unknown_rows`` then says which).

        Raises:
            ValueError: Nothing is known in a text and ``unknown="raise"``; the message names it.
        """

    def unknown_rows(self, inputs: Inputs) -> Tensor:
        """Row numbers, ``int64`` (m,), of prepared texts in which nothing is known."""
        return torch.empty(0, dtype=torch.int64)

    @abstractmethod
    def forward(self, inputs: Inputs) -> Features:
        """Features of prepared rows, with a map of ``channels`` where the encoder has one."""

    @abstractmethod
    def spec(self) -> dict[str, Any]:
        """JSON-able options of ``create_text_encoder(**spec, assets=folder)``, without weights."""

    def save_assets(self, folder: str | Path) -> list[Path]:
        """Write what a checkpoint needs beside spec and weights; returns the files written.

        A checkpoint keeps the files that are named as in ``ASSETS``; the encoder that is built
        again finds them in the folder that its option ``assets`` names.
        """
        return []


IMAGE_BACKBONES: Registry[Callable[..., ImageBackbone]] = Registry(
    "image backbone", "crosshash.backbones.image", "crosshash_image_backbone"
)
TEXT_ENCODERS: Registry[Callable[..., TextEncoder]] = Registry(
    "text encoder", "crosshash.backbones.text", "crosshash_text_encoder"
)


def digest_of(description: Any, tensors: Iterable[tuple[str, Tensor]]) -> str:
    """SHA-256, 64 hexadecimal digits, over what is JSON-able and named tensors, in any order.

    Of a tensor its name, type, shape and bytes count; not its device or its layout in memory.
    """
    digest = hashlib.sha256(json.dumps(description, sort_keys=True).encode())
    for name, tensor in sorted(tensors, key=lambda pair: pair[0]):
        digest.update(f"\0{name}\0{tensor.dtype}\0{tuple(tensor.shape)}\0".encode())
        flat = tensor.detach().cpu().contiguous().reshape(-1)
        digest.update(flat.view(torch.uint8).numpy().data)
    return digest.hexdigest()


def fingerprint(module: ImageBackbone | TextEncoder) -> str:
    """SHA-256 over the weights (names, types, shapes, bytes) and the spec, 64 hexadecimal digits.

    Two encoders of one fingerprint give the same features for the same input.
    """
    return digest_of(module.spec(), module.state_dict().items())


def tensor_of(array: npt.NDArray[Any]) -> Tensor:
    """A tensor over an array's numbers, which nobody writes: an array may be a file's pages.

    They are not copied, and ``torch.from_numpy`` warns of an array that cannot be written.
    """
    if array.flags.writeable:
        return torch.from_numpy(array)
    try:
        shared: Tensor = from_dlpack(array)
    except BufferError:  # of releases before both knew of such arrays
        return torch.from_numpy(array.copy())
    return shared


def check_features(rows: Any, dim: int, what: str) -> Tensor:
    """Precomputed features as a ``float32`` tensor (n, d) on the CPU.

    Args:
        rows: (n, d), or one row (d,), of numbers.
        dim: The width d that is expected.
        what: What the rows are called in errors.

    Raises:
        ValueError: Another width, no numbers, or a row with NaN or infinity.
    """
    tensor = rows if isinstance(rows, Tensor) else tensor_of(_numbers(rows, what))
    tensor = tensor.detach().cpu().float()
    tensor = tensor[None] if tensor.ndim == 1 else tensor
    if tensor.ndim != 2 or tensor.shape[1] != dim:
        raise ValueError(
            f"{what}: expected rows of width {dim}, got an array of shape {tuple(tensor.shape)}"
        )
    bad = torch.nonzero(~torch.isfinite(tensor).all(dim=1))[:, 0]
    if len(bad):
        raise ValueError(
            f"{what}: {len(bad)} rows hold NaN or infinity, the first is row {int(bad[0])}; "
            "remove or recompute them"
        )
    return tensor


def check_directions(rows: Tensor, what: str) -> None:
    """Refuse rows that cannot be brought to unit length.

    Args:
        rows: (n, d) features.
        what: What the rows are called in errors.

    Raises:
        ValueError: A row is zero; says which.
    """
    zero = torch.nonzero((rows == 0).all(dim=1))[:, 0]
    if len(zero):
        raise ValueError(
            f"{what}: {len(zero)} rows are all zero and have no direction, the first is row "
            f"{int(zero[0])}; remove or recompute them"
        )


def unit_rows(rows: Tensor) -> Tensor:
    """Rows (n, d) at unit length, whatever their scale; a zero row stays one."""
    largest = rows.abs().amax(dim=1, keepdim=True)
    # Their squares could overflow, or vanish, before this division.
    return functional.normalize(rows / largest.clamp_min(torch.finfo(rows.dtype).tiny), dim=1)


def _numbers(rows: Any, what: str) -> npt.NDArray[Any]:
    try:
        array = np.asarray(rows)
    except ValueError as error:  # rows of unequal length
        raise ValueError(f"{what}: expected an array of numbers (n, d): {error}") from None
    if array.dtype.kind not in "fiub":
        raise ValueError(f"{what}: expected an array of numbers (n, d), got {array.dtype}")
    return np.ascontiguousarray(array, dtype=np.float32)
