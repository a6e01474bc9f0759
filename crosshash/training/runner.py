"""Runs the phases of an algorithm: batches, steps, and what is solved in closed form."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import nn

from crosshash.algorithms.phases import Algorithm, BatchPhase, Phase, SolvePhase, Terms, Update
from crosshash.model.batch import Batch
from crosshash.settings import TrainerSettings
from crosshash.training.batches import Batches, BatchSource, RowNumbers, ordered_rows, shuffled_rows
from crosshash.training.devices import average_gradients, share
from crosshash.training.log import TermMeans
from crosshash.training.optimization import build_optimizer, schedule_factor

# Between the seeds of a phase's passes in an epoch; a generator of torch's heeds 32 bits of a seed.
_STRIDE = 0x9E3779B1


class PhaseRunner:
    """Runs an algorithm's phases on a training set, one round after the other.

    A round is an epoch, numbered from 0, or a pass of a preliminary phase; these are numbered from
    below up to -1. It draws its order and its dropout from (seed, round) alone.

    Args:
        algorithm: What is trained.
        data: The training set.
        settings: Optimisation.
        seed: Of order and dropout.
        accelerator: Device and processes.

    Attributes:
        optimizers: By phase and update, from an update's first step on.
    """

    def __init__(
        self,
        algorithm: Algorithm,
        data: BatchSource,
        settings: TrainerSettings,
        *,
        seed: int,
        accelerator: Any,
    ) -> None:
        self.algorithm = algorithm
        self.data = data
        self.settings = settings
        self.seed = seed
        self.accelerator = accelerator
        self.optimizers: dict[str, Any] = {}

    def begin(self) -> None:
        """Take in the training set before all else: the statistics of features, then the method.

        All processes start from the values of the first, here and afterwards: what is learnt from
        the same data may differ in its last digits.
        """
        self.algorithm.to(self.accelerator.device)
        state = self.algorithm.state_dict().values()
        share(self.accelerator, state)
        torch.manual_seed(self.seed)
        self.algorithm.eval()
        with torch.no_grad():
            self.algorithm.net.fit_norms(self._ordered())
            share(self.accelerator, state)
            self.algorithm.begin(self._ordered())
        share(self.accelerator, self.algorithm.state_dict().values())
        self.algorithm.train()

    def restore(self, phases: Sequence[Phase], states: Mapping[str, Any]) -> None:
        """Put the optimisers of the phases back as they were saved; others start anew."""
        for phase in phases:
            if isinstance(phase, BatchPhase):
                for update in phase.updates:
                    if (name := _name(phase, update)) in states:
                        self._optimizer(phase, update).load_state_dict(states[name])

    def run(
        self, phases: Sequence[Phase], number: int, moved: Callable[[float], None] | None = None
    ) -> dict[str, float]:
        """One round of the phases in order.

        Args:
            phases: All of an epoch, or one preliminary.
            number: Of the round.
            moved: Told how far the training is, as a fractional number of epochs.

        Returns:
            Means of the loss terms and solved figures, by name; the phase's before it, where an
            epoch has several or it is preliminary.

        Raises:
            FloatingPointError: A loss or a figure is NaN or infinite; names it and the epoch.
        """
        torch.manual_seed(self.seed * 1_000_003 + number)
        self.algorithm.train()
        if number >= 0:
            self.algorithm.epoch_starts(number, self.settings.epochs)
        figures: dict[str, float] = {}
        for place, phase in enumerate(phases):
            if isinstance(phase, SolvePhase):
                found = self._solve(phase)
            else:
                found = self._pass(phase, number, place, len(phases), moved)
            if len(phases) > 1 or number < 0:
                found = {f"{phase.name}/{name}": value for name, value in found.items()}
            broken = [name for name, value in found.items() if not math.isfinite(value)]
            if broken:
                when = f"epoch {number + 1}" if number >= 0 else "before the first epoch"
                raise FloatingPointError(
                    f"{when}: {', '.join(broken)} is not finite; lower "
                    "training.learning_rate or set training.clip_norm"
                )
            figures.update(found)
        share(self.accelerator, self.algorithm.buffers())
        return figures

    def _solve(self, phase: SolvePhase) -> dict[str, float]:
        self.algorithm.eval()
        with torch.no_grad():
            figures = phase.solve(self._ordered()) if phase.sees_data else phase.solve()
        self.algorithm.train()
        if phase.sees_data:  # it may have set parameters as well
            share(self.accelerator, self.algorithm.state_dict().values())
        return {name: float(value) for name, value in figures.items()}

    def _pass(
        self,
        phase: BatchPhase,
        number: int,
        place: int,
        places: int,
        moved: Callable[[float], None] | None,
    ) -> dict[str, float]:
        """A batch phase, which is number ``place`` of ``places`` in its round."""
        seed = (self.seed * 1_000_003 + number) * 31 + place
        rows = [
            batch
            for again in range(phase.passes if number >= 0 else 1)  # before, a pass is a round
            for batch in shuffled_rows(
                len(self.data),
                self.settings.batch_size,
                seed=seed + again * _STRIDE,
                process=self.accelerator.process_index,
                processes=self.accelerator.num_processes,
            )
        ]
        means = TermMeans()
        for step, batch in enumerate(self._batches(rows, sees_data=phase.sees_data)):
            done = number + (place + step / len(rows)) / places
            factor = self._factor(done) if number >= 0 else 1.0
            for update in phase.updates:
                means.add(update.name, self._step(phase, update, batch, factor))
            if moved is not None:
                moved(done)
        return means.read(self.accelerator)

    def _step(self, phase: BatchPhase, update: Update, batch: Batch, factor: float) -> Terms:
        optimizer = self._optimizer(phase, update)
        for group in optimizer.param_groups:
            group.setdefault("base_lr", group["lr"])
            group["lr"] = group["base_lr"] * factor
        with self.accelerator.autocast():
            terms = update.loss(batch)
            total = update.total(terms)
        optimizer.zero_grad()
        self.accelerator.backward(total)
        parameters = list(update.parameters)
        average_gradients(self.accelerator, parameters)
        if self.settings.clip_norm is not None:
            # accelerate's own clipping would unscale the gradients of every optimiser.
            self.accelerator.unscale_gradients(optimizer)
            nn.utils.clip_grad_norm_(parameters, self.settings.clip_norm)
        optimizer.step()
        if update.after is not None:
            with torch.no_grad():
                update.after(batch)
        return terms

    def _optimizer(self, phase: BatchPhase, update: Update) -> Any:
        name = _name(phase, update)
        if name not in self.optimizers:
            settings = replace(
                self.settings,
                learning_rate=update.learning_rate or self.settings.learning_rate,
                optimizer=update.optimizer or self.settings.optimizer,
            )
            backbone = set(self.algorithm.net.backbone_parameters())
            optimizer = build_optimizer(update.parameters, backbone, settings)
            self.optimizers[name] = self.accelerator.prepare(optimizer)
        return self.optimizers[name]

    def _factor(self, epochs: float) -> float:
        """Learning rates after so many epochs, as a share of the first ones."""
        settings = self.settings
        return schedule_factor(
            settings.schedule,
            epochs / settings.epochs,
            final=min(1.0, settings.final_learning_rate / settings.learning_rate),
            warmup=settings.warmup_epochs / settings.epochs,
        )

    def _ordered(self) -> Batches:
        return self._batches(ordered_rows(len(self.data), self.settings.batch_size))

    def _batches(self, rows: list[list[int]], *, sees_data: bool = True) -> Batches:
        if not sees_data:  # there is nothing that workers could read
            return Batches(RowNumbers(len(self.data)), rows, 0, self.accelerator.device)
        return Batches(self.data, rows, self.settings.workers, self.accelerator.device)


def _name(phase: BatchPhase, update: Update) -> str:
    return f"{phase.name}.{update.name}"
