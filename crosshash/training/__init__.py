"""One trainer for all methods."""

from __future__ import annotations

from typing import TYPE_CHECKING

from crosshash._lazy import attach

if TYPE_CHECKING:
    from crosshash.settings import TrainerSettings as TrainerSettings
    from crosshash.training.trainer import Trainer as Trainer
else:
    __getattr__, __dir__, __all__ = attach(
        __name__,
        {
            "crosshash.settings": ["TrainerSettings"],
            "crosshash.training.trainer": ["Trainer"],
        },
    )
