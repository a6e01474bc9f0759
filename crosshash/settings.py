"""How a training runs: the one list of its options, for configs, the trainer and resuming."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

from pydantic import ConfigDict, Field

OptimizerName = Literal["adamw", "adam", "sgd"]
_Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
_NotNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Schedule = Literal["constant", "linear", "cosine", "geometric"]


@dataclass(frozen=True)
class TrainerSettings:
    """Optimisation; learning rates are for losses that are means over their terms.

    The rates that DCMH's family prints are for means too, although its papers print sums: DCMH's
    code divides the loss by n b, training pairs times batch, and steps by plain gradient descent.

    Attributes:
        epochs: Passes over the training set.
        batch_size: Pairs per step and process. A last batch of fewer is left out of the epoch (the
            order is new each time), unless it is the only one.
        optimizer: Of every update that does not name its own.
        learning_rate: Its first rate.
        backbone_learning_rate: That of backbones and text encoder; None: the same.
        final_learning_rate: Where ``linear``, ``cosine`` and ``geometric`` end.
        momentum: Of ``sgd``; 0 is plain gradient descent.
        weight_decay: Decoupled with ``adamw``, an L2 term of the gradient with the others.
        schedule: Course of the learning rates over all steps.
        warmup_epochs: Epochs of linear warm-up.
        clip_norm: Largest norm of an update's gradient; None leaves it.
        precision: ``"no"`` (float32), ``"bf16"`` or ``"fp16"`` (GPU only).
        device: ``"auto"`` (a GPU where there is one), ``"cpu"`` or ``"cuda"``.
        workers: Processes that read batches.
        evaluate_every: Epochs between validations; the last epoch is always validated.
        save_every: Epochs between states to resume from, the last epoch's always among them; more
            than 1 where an epoch takes no longer than writing one.
        monitor: The figure by which the best network is kept; higher is better.
        patience: Validations without a new best before training stops; None never stops.
        tensorboard: Write TensorBoard events as well.
    """

    epochs: Annotated[int, Field(ge=1, le=1_000_000)] = 20
    batch_size: Annotated[int, Field(ge=2)] = 128
    optimizer: OptimizerName = "adamw"
    learning_rate: _Positive = 1e-3
    backbone_learning_rate: _Positive | None = None
    final_learning_rate: _Positive = 1e-6
    momentum: Annotated[float, Field(ge=0, lt=1)] = 0.9
    weight_decay: _NotNegative = 0.0
    schedule: Schedule = "cosine"
    warmup_epochs: _NotNegative = 0.0
    clip_norm: _Positive | None = None
    precision: Literal["no", "bf16", "fp16"] = "no"
    device: Literal["auto", "cpu", "cuda"] = "auto"
    workers: Annotated[int, Field(ge=0)] = 0
    evaluate_every: Annotated[int, Field(ge=1)] = 1
    save_every: Annotated[int, Field(ge=1)] = 1
    monitor: str = "map_mean"
    patience: Annotated[int, Field(ge=1)] | None = None
    tensorboard: bool = False

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid")
