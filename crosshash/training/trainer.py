"""The trainer: runs the phases of any algorithm."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from crosshash.algorithms.phases import Algorithm, BatchPhase, Phase, SolvePhase, Terms, Update
from crosshash.model.batch import Batch
from crosshash.settings import TrainerSettings
from crosshash.training.batches import Batches, BatchSource, ordered_rows, shuffled_rows
from crosshash.training.devices import (
    average_gradients,
    check_device,
    share,
    start_accelerator,
)
from crosshash.training.log import TermMeans, TrainingLog
from crosshash.training.optimization import build_optimizer, schedule_factor
from crosshash.training.state import Best, learned_state, read_state, restore_state, write_state

Validate = Callable[[nn.Module], Mapping[str, float]]
_FREE = ("device", "workers", "tensorboard")


class Trainer:
    """Trains an algorithm, evaluates it on the way and keeps the best network.

    Every epoch draws its order and its dropout from (seed, epoch) alone, so that a training that
    was killed and resumed ends with the same codes as one that was not.

    Under ``accelerate launch`` several processes train together: each takes its share of an epoch,
    gradients are averaged, buffers (BatchNorm's statistics) are those of the first process.

    Args:
        algorithm: What to train; its ``net`` is evaluated and kept.
        data: The training set.
        settings: Optimisation, device, validation; default: those of :class:`TrainerSettings`.
        validate: From the network to figures, on the validation split.
        folder: Where state and history go; None keeps all in memory.
        seed: Of order and dropout.
        progress: Show a progress bar.

    Raises:
        ValueError: There are fewer than 2 pairs in a batch or no epochs; the device is unknown
            or not there.
    """

    def __init__(
        self,
        algorithm: Algorithm,
        data: BatchSource,
        settings: TrainerSettings | None = None,
        *,
        validate: Validate | None = None,
        folder: str | Path | None = None,
        seed: int = 0,
        progress: bool = True,
    ) -> None:
        settings = settings or TrainerSettings()
        self.algorithm = algorithm
        self.data = data
        self.settings = replace(settings, batch_size=min(settings.batch_size, len(data)))
        if self.settings.batch_size < 2 or settings.epochs < 1:
            raise ValueError(
                "training needs at least 2 pairs in a batch and 1 epoch, got "
                f"{self.settings.batch_size} and {settings.epochs}"
            )
        check_device(settings.device)
        self.validate = validate
        self.folder = None if folder is None else Path(folder)
        self.seed = seed
        self.progress = progress

    def run(
        self, *, resume: bool = False, settings: Mapping[str, Any] | None = None
    ) -> list[dict[str, float]]:
        """Train to the end, or until patience runs out.

        The network holds the best weights afterwards (the last ones without validation).

        Args:
            resume: Go on from the state in the output folder, if there is one.
            settings: Further settings that a resumed training must share, such as the method's.

        Returns:
            The history: for each epoch a dict of named losses and figures.

        Raises:
            ValueError: The state in the folder was made with other settings; the validation has
                no figure of the monitored name.
            FloatingPointError: A loss is NaN or infinite; names it and the epoch.
        """
        # Where and how fast it runs may differ between a training and its resumption.
        shared = {k: v for k, v in asdict(self.settings).items() if k not in _FREE}
        settings = {**shared, "seed": self.seed, "pairs": len(self.data), **(settings or {})}
        self.accelerator = start_accelerator(self.settings.device, self.settings.precision)
        if len(self.data) < 2 * self.accelerator.num_processes:
            raise ValueError(
                f"{self.accelerator.num_processes} processes need 2 pairs each, got "
                f"{len(self.data)} in all; train with fewer processes"
            )
        self.algorithm.to(self.accelerator.device)
        share(self.accelerator, self.algorithm.state_dict().values())
        torch.manual_seed(self.seed)
        self.algorithm.eval()
        with torch.no_grad():
            rows = ordered_rows(len(self.data), self.settings.batch_size)
            self.algorithm.begin(self._batches(rows))
        # What it learns may differ in the last digits; from here on gradients alone are shared.
        share(self.accelerator, self.algorithm.state_dict().values())
        self.algorithm.train()
        phases = self.algorithm.phases()
        names = [phase.name for phase in phases]
        if len(set(names)) < len(names):
            raise ValueError(f"the phases of an algorithm have each a name of its own, got {names}")
        backbone = set(getattr(self.algorithm.net, "backbone_parameters", list)())
        optimizers = {
            f"{phase.name}.{update.name}": self.accelerator.prepare(
                build_optimizer(update.parameters, backbone, self.settings)
            )
            for phase in phases
            if isinstance(phase, BatchPhase)
            for update in phase.updates
        }
        net_frozen = set(getattr(self.algorithm.net, "frozen_prefixes", ()))
        frozen = {f"net.{prefix}" for prefix in net_frozen}
        start, best, history = 0, Best(), []
        scaler = self.accelerator.scaler
        state = read_state(self.folder, settings) if resume and self.folder else None
        if state is not None:
            restore_state(self.algorithm, state["algorithm"], frozen)
            for name, optimizer in optimizers.items():
                optimizer.load_state_dict(state["optimizers"][name])
            if scaler is not None:
                scaler.load_state_dict(state["scaler"])
            start, history = state["epoch"], state["history"]
            best = Best(**state["best"])
        log = TrainingLog(
            self.folder if self.accelerator.is_main_process else None,
            self.settings.epochs,
            history=history,
            progress=self.progress and self.accelerator.is_main_process,
            tensorboard=self.settings.tensorboard and self.accelerator.is_main_process,
        )
        with log:
            for epoch in range(start, self.settings.epochs):
                if self._exhausted(best, epoch):
                    break
                figures = self._epoch(epoch, phases, optimizers, log)
                last = epoch + 1 == self.settings.epochs
                if self.validate and (last or (epoch + 1) % self.settings.evaluate_every == 0):
                    figures.update(self._validate())
                    if figures[self.settings.monitor] > best.value:
                        net = learned_state(self.algorithm.net, net_frozen)
                        best = Best(figures[self.settings.monitor], epoch + 1, net)
                log.epoch(figures)
                if self.folder and self.accelerator.is_main_process:
                    write_state(
                        self.folder,
                        {
                            "settings": json.dumps(settings),
                            "epoch": epoch + 1,
                            "algorithm": learned_state(self.algorithm, frozen),
                            "optimizers": {n: o.state_dict() for n, o in optimizers.items()},
                            "scaler": scaler.state_dict() if scaler is not None else None,
                            "best": vars(best),
                            "history": log.history,
                        },
                    )
        if best.net is not None:
            restore_state(self.algorithm.net, best.net, net_frozen)
        self.best_epoch = best.epoch or len(log.history)
        self.algorithm.eval()
        return log.history

    def _exhausted(self, best: Best, epoch: int) -> bool:
        if self.settings.patience is None or not best.epoch:
            return False
        return epoch - best.epoch >= self.settings.patience * self.settings.evaluate_every

    def _validate(self) -> dict[str, float]:
        self.algorithm.eval()
        if self.validate is None:
            return {}
        with torch.no_grad():
            measured = self.validate(self.algorithm.net)
        # NumPy's numbers could not be read back from the state.
        figures = {name: float(value) for name, value in measured.items()}
        if self.settings.monitor not in figures:
            raise ValueError(
                f"training.monitor is {self.settings.monitor!r}, but validation gives "
                f"{sorted(figures)}"
            )
        return figures

    def _epoch(
        self,
        epoch: int,
        phases: Sequence[Phase],
        optimizers: Mapping[str, Any],
        log: TrainingLog,
    ) -> dict[str, float]:
        torch.manual_seed(self.seed * 1_000_003 + epoch)
        self.algorithm.train()
        figures: dict[str, float] = {"epoch": epoch + 1}
        for number, phase in enumerate(phases):
            if isinstance(phase, SolvePhase):
                found = {name: float(value) for name, value in phase.solve().items()}
            else:
                start = epoch + number / len(phases)
                found = self._pass(epoch, number, phase, start, 1 / len(phases), optimizers, log)
            if len(phases) > 1:
                found = {f"{phase.name}/{name}": value for name, value in found.items()}
            broken = [name for name, value in found.items() if not math.isfinite(value)]
            if broken:
                raise FloatingPointError(
                    f"epoch {epoch + 1}: {', '.join(broken)} is not finite; lower "
                    "training.learning_rate or set training.clip_norm"
                )
            figures.update(found)
        share(self.accelerator, self.algorithm.buffers())
        return figures

    def _pass(
        self,
        epoch: int,
        number: int,
        phase: BatchPhase,
        start: float,
        length: float,
        optimizers: Mapping[str, Any],
        log: TrainingLog,
    ) -> dict[str, float]:
        rows = shuffled_rows(
            len(self.data),
            self.settings.batch_size,
            seed=(self.seed * 1_000_003 + epoch) * 31 + number,
            process=self.accelerator.process_index,
            processes=self.accelerator.num_processes,
        )
        batches = self._batches(rows)
        means = TermMeans()
        for step, batch in enumerate(batches):
            done = start + length * step / len(batches)
            for update in phase.updates:
                optimizer = optimizers[f"{phase.name}.{update.name}"]
                terms = self._step(update, optimizer, batch, self._factor(done))
                means.add(update.name, terms)
            log.advance(done)
        return means.read(self.accelerator)

    def _step(self, update: Update, optimizer: Any, batch: Batch, factor: float) -> Terms:
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
        return terms

    def _factor(self, epochs: float) -> float:
        """Learning rates after so many epochs, as a share of the first ones."""
        settings = self.settings
        return schedule_factor(
            settings.schedule,
            epochs / settings.epochs,
            final=min(1.0, settings.final_learning_rate / settings.learning_rate),
            warmup=settings.warmup_epochs / settings.epochs,
        )

    def _batches(self, rows: list[list[int]]) -> Batches:
        return Batches(self.data, rows, self.settings.workers, self.accelerator.device)
