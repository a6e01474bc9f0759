"""What a training would do, without doing it."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from crosshash.config import ExperimentConfig
from crosshash.experiment.assembly import assemble
from crosshash.model.hash_model import HashModel
from crosshash.training.batches import shuffled_rows
from crosshash.training.files import CHECKPOINT


@dataclass(frozen=True)
class Plan:
    """A training in numbers.

    Attributes:
        method: Its name.
        bits: K.
        nested: Shorter lengths at which the first bits are trained as codes.
        dataset: Name of the data set.
        pairs: In each set: train, query, retrieval, and validation where pairs are held out.
        refit: Pairs of the second training, for as many epochs as were best in the first; None
            without ``data.refit``.
        labels: Label classes, 0 without labels.
        supervision: What is made of the labels, where the config has settings for both cases.
        text: The text encoder.
        vocabulary: Its words; None for an encoder without.
        backbones: For each image slot the backbone's name.
        frozen: Slots, and ``"text"``, that are not trained.
        trained: Parameters that are trained, of the network and of its helpers in training.
        parameters: All parameters.
        epochs: Passes over the training set.
        steps: Batches of an epoch.
        checkpoint: Where the model would be written.
    """

    method: str
    bits: int
    nested: list[int]
    dataset: str
    pairs: dict[str, int]
    refit: int | None
    labels: int
    supervision: str | None
    text: str
    vocabulary: int | None
    backbones: dict[str, str]
    frozen: list[str]
    trained: int
    parameters: int
    epochs: int
    steps: int
    checkpoint: str

    def as_dict(self) -> dict[str, Any]:
        """JSON-able."""
        return asdict(self)

    def rows(self) -> list[dict[str, str]]:
        """Rows of a table for people."""
        parts = {**self.backbones, "text": self.text}
        words = "" if self.vocabulary is None else f", {self.vocabulary:,} words"
        values = {
            "method": f"{self.method}, {self.bits} bits",
            **({"nested": ", ".join(f"{k} bits" for k in self.nested)} if self.nested else {}),
            "data": self.dataset,
            **{f"{part} pairs": f"{count:,}" for part, count in self.pairs.items()},
            **({"refit": self._refit()} if self.refit else {}),
            "labels": f"{self.labels} classes" if self.labels else "none",
            **({"supervision": self.supervision} if self.supervision else {}),
            **{
                part: f"{name}{words if part == 'text' else ''}, "
                f"{'frozen' if part in self.frozen else 'trained'}"
                for part, name in parts.items()
            },
            "parameters": f"{self.trained:,} trained of {self.parameters:,}",
            "steps": f"{self.steps:,} an epoch, {self.epochs} epochs",
            "checkpoint": self.checkpoint,
        }
        return [{"what": key, "value": value} for key, value in values.items()]

    def _refit(self) -> str:
        held = f"{self.pairs['validation']:,} held-out pairs"
        return f"best epoch chosen on {held}, then trained anew on all {self.refit:,} pairs"


def plan(
    config: ExperimentConfig, folder: str | Path, *, start: HashModel | str | Path | None = None
) -> Plan:
    """Read the data and build the model of a config; train nothing and write nothing.

    Args:
        config: What would be trained.
        folder: Where the run would be.
        start: As :func:`crosshash.train` takes it.

    Raises:
        ConfigError: The config is wrong.
        FileNotFoundError: Data or weights are not there.
    """
    made = assemble(config, start)
    config, model, protocol = made.config, made.model, made.protocol
    pairs = {
        "train": len(made.rows),
        "query": len(protocol.query),
        "retrieval": len(protocol.retrieval),
    }
    if made.selection is not None:
        pairs["validation"] = len(made.selection.query)
    if protocol.calibration is not None:
        pairs["calibration"] = len(protocol.calibration)
    words = getattr(model.text, "vocabulary", None)
    weights = list(made.algorithm().parameters())
    batch = min(config.training.batch_size, len(made.rows))
    return Plan(
        method=config.method,
        bits=config.bits,
        nested=list(model.nested),
        dataset=made.dataset.name,
        pairs=pairs,
        refit=len(protocol.train) if config.data.refit else None,
        labels=0 if made.dataset.labels is None else made.dataset.labels.shape[1],
        supervision=made.supervision,
        text=model.text.name,
        vocabulary=None if words is None else len(words),
        backbones={slot: model.backbone(slot).name for slot in model.slots},
        frozen=sorted(model.frozen),
        trained=sum(p.numel() for p in weights if p.requires_grad),
        parameters=sum(p.numel() for p in weights),
        epochs=config.training.epochs,
        steps=len(shuffled_rows(len(made.rows), batch, seed=0)),
        checkpoint=str(Path(folder) / CHECKPOINT),
    )
