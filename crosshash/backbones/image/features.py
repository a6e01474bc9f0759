"""Image features that were computed elsewhere, taken as they are."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from crosshash.backbones.base import (
    IMAGE_BACKBONES,
    Features,
    ImageBackbone,
    check_features,
)


@IMAGE_BACKBONES.register("features")
class ImageFeatures(ImageBackbone):
    """Identity over precomputed image features (n, d).

    Args:
        dim: d, the width of the vectors.
    """

    name = "features"
    reads_pixels = False
    channels = 0

    def __init__(self, *, dim: int) -> None:
        super().__init__()
        if dim <= 0:
            raise ValueError(f"features: dim is the width of the vectors, got {dim}")
        self.dim = dim
        self.preprocess = None

    def prepare(self, rows: Any) -> Tensor:
        """Rows (n, d), or one row (d,), checked and as ``float32`` on the CPU.

        Raises:
            ValueError: Another width, or a row with NaN or infinity.
        """
        return check_features(rows, self.dim, "image features")

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
        return Features(x)

    def spec(self) -> dict[str, Any]:
        """Name and width."""
        return {"name": self.name, "dim": self.dim}
