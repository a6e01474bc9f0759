"""Image features that were computed elsewhere, taken as they are."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from torch import Tensor

from crosshash.backbones.base import (
    IMAGE_BACKBONES,
    Features,
    ImageBackbone,
    check_directions,
    check_features,
    unit_rows,
)


@IMAGE_BACKBONES.register("features")
class ImageFeatures(ImageBackbone):
    """Identity over precomputed image features (n, d).

    Args:
        dim: d, the width of the vectors.
        normalize: Bring each to unit length first, so that its scale does not count.
    """

    name = "features"
    reads_pixels = False
    channels = 0

    def __init__(self, *, dim: int, normalize: bool = False) -> None:
        super().__init__()
        if dim <= 0:
            raise ValueError(f"features: dim is the width of the vectors, got {dim}")
        self.dim = dim
        self.normalize = normalize
        self.preprocess = None

    def prepare(self, rows: Any) -> Tensor:
        """Rows (n, d), or one row (d,), checked and as ``float32`` on the CPU, as features are.

        Raises:
            ValueError: Paths, another width, a row with NaN or infinity, or, to be normalized, of
                zeros.
        """
        if len(rows) and isinstance(rows[0], (str, Path)):
            raise ValueError(
                f"this model reads image features of width {self.dim}, not pictures; compute them "
                "as for its training"
            )
        checked = check_features(rows, self.dim, "image features")
        if not self.normalize:
            return checked
        check_directions(checked, "image features")
        return unit_rows(checked)

    def forward(self, x: Tensor) -> Features:
        """The vectors (n, d) as pooled features.

        Raises:
            ValueError: The vectors are not d wide.
        """
        if x.ndim != 2 or x.shape[1] != self.dim:
            raise ValueError(
                f"image features: expected (n, {self.dim}), got {tuple(x.shape)}; "
                "set dim to the width of the file's vectors"
            )
        return Features(unit_rows(x) if self.normalize else x)

    def spec(self) -> dict[str, Any]:
        """Name, width, and whether vectors are normalized."""
        return {
            "name": self.name,
            "dim": self.dim,
            **({"normalize": True} if self.normalize else {}),
        }
