"""What a model carries beside its weights."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from crosshash.model.hash_model import HashModel


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


def one_line(model: HashModel) -> str:
    """A model in a line: method, bits, what it reads through, where it is."""
    named = {slot: model.backbone(slot).name for slot in model.slots}
    text = model.text.name
    if model.text.vocabulary is not None:
        text += f" of {len(model.text.vocabulary)} words"
    parts = [
        f"{part}: {name}{' (frozen)' if part in model.frozen else ''}"
        for part, name in {**named, "text": text}.items()
    ]
    method = f"{model.method}, " if model.method else ""
    shorter = f", nested {', '.join(map(str, model.nested))}" if model.nested else ""
    return (
        f"{type(model).__name__}({method}{model.bits} bits{shorter}, {', '.join(parts)}, "
        f"{str(model.dtype).removeprefix('torch.')} on {model.device})"
    )
