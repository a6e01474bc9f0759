"""Two unimodal hash functions and their codes, whatever the method."""

from __future__ import annotations

from typing import TYPE_CHECKING

from crosshash._lazy import attach

if TYPE_CHECKING:
    from crosshash.model.batch import Batch as Batch
    from crosshash.model.hash_model import HashModel as HashModel
    from crosshash.model.hash_model import ModelInfo as ModelInfo
    from crosshash.model.prefix import prefix_view as prefix_view
    from crosshash.model.two_towers import TwoTowers as TwoTowers
else:
    __getattr__, __dir__, __all__ = attach(
        __name__,
        {
            "crosshash.model.batch": ["Batch"],
            "crosshash.model.hash_model": ["HashModel", "ModelInfo"],
            "crosshash.model.prefix": ["prefix_view"],
            "crosshash.model.two_towers": ["TwoTowers"],
        },
    )
