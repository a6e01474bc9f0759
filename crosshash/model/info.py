"""What a model carries beside its weights."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass
class ModelInfo:
    """What a model carries beside its weights.

    Attributes:
        label_names: Names of the classes it was trained and evaluated with.
        figures: Measured results with their record.
        experiment: The config it was trained by.
    """

    label_names: list[str] = field(default_factory=list)
    figures: dict[str, Any] = field(default_factory=dict)
    experiment: dict[str, Any] = field(default_factory=dict)
