"""Text features that were computed elsewhere, taken as they are."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from crosshash.backbones.base import (
    TEXT_ENCODERS,
    Features,
    Inputs,
    TextEncoder,
    Texts,
    check_directions,
    check_features,
    unit_rows,
)
from crosshash.backbones.text._strings import check_unknown


@TEXT_ENCODERS.register("features")
class TextFeatures(TextEncoder):
    """Identity over precomputed text features (n, d).

    Args:
        dim: d, the width of the vectors.
        normalize: Bring each to unit length first, so that its scale does not count.
        assets: Not used; there are none.
    """

    name = "features"
    takes_rows = True

    def __init__(
        self, *, dim: int, normalize: bool = False, assets: str | Path | None = None
    ) -> None:
        super().__init__()
        if dim <= 0:
            raise ValueError(f"features: dim is the width of the vectors, got {dim}")
        self._dim = dim
        self.normalize = normalize

    @property
    def dim(self) -> int:
        """d, as given."""
        return self._dim

    def prepare(self, texts: Texts, *, unknown: str = "raise") -> Inputs:
        """Rows (n, d), or one row (d,), checked; ``{"features": float32 (n, d)}``.

        Raises:
            ValueError: The texts are strings, of another width, hold NaN or infinity, or, to be
                normalized, zeros alone.
        """
        check_unknown(unknown)
        if isinstance(texts, str) or (len(texts) and isinstance(texts[0], str)):
            raise ValueError(
                f"this model reads text features of width {self._dim}, not strings; compute them "
                "as for its training"
            )
        checked = check_features(texts, self._dim, "text features")
        if self.normalize:
            check_directions(checked, "text features")
        return {"features": checked}

    def forward(self, inputs: Inputs) -> Features:
        """The vectors (n, d) as pooled features."""
        x = inputs["features"]
        return Features(unit_rows(x) if self.normalize else x)

    def spec(self) -> dict[str, Any]:
        """Name, width, and whether vectors are normalized."""
        return {
            "name": self.name,
            "dim": self._dim,
            **({"normalize": True} if self.normalize else {}),
        }
