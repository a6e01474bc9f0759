"""The trainer of a run, and what a run that is resumed must share."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from torch import nn

from crosshash.config import ExperimentConfig
from crosshash.data.features.cache import FeatureCache
from crosshash.data.model_inputs import PairInputs, prepare_inputs
from crosshash.experiment.assembly import Assembly
from crosshash.experiment.evaluation import Validation
from crosshash.settings import TrainerSettings
from crosshash.training.callbacks import Callback
from crosshash.training.trainer import Trainer


@dataclass(frozen=True)
class Preparation:
    """What the two trainings of a run share."""

    folder: Path
    cache: FeatureCache | None
    progress: bool

    def prepare(
        self,
        made: Assembly,
        *,
        validate: Callable[[nn.Module], Mapping[str, float]] | None = None,
        callbacks: Sequence[Callback] = (),
        until: int | None = None,
    ) -> tuple[Trainer, PairInputs]:
        """The trainer, and the pairs as the model reads them."""
        config, settings = made.config, made.config.training
        algorithm = made.algorithm()  # refuses data without labels, before features are computed
        inputs = prepare_inputs(
            made.model,
            made.dataset,
            captions=config.data.captions,
            cache=self.cache,
            workers=settings.workers,
            progress=self.progress,
        )
        if validate is None and made.selection is not None:
            validate = Validation(inputs, made.selection, settings.workers)
        if until is not None:  # nothing is validated any more
            settings = replace(settings, monitor=TrainerSettings.monitor, patience=None)
        trainer = Trainer(
            algorithm,
            inputs.select(
                made.rows,
                augment=config.data.augment,
                draw=config.data.captions == "each",
            ),
            settings,
            validate=validate,
            callbacks=callbacks,
            folder=self.folder,
            until=until,
            seed=config.seed,
            progress=self.progress,
        )
        return trainer, inputs


def resumed_settings(config: ExperimentConfig) -> dict[str, Any]:
    """What a resumed training must share beside the trainer's own settings."""
    values = config.model_dump(mode="json", exclude={"training", "paper", "evaluation", "imports"})
    values["data"].pop("root")  # the same data, and one's own parts, may stand elsewhere
    return values
