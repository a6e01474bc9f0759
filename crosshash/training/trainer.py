"""The trainer: runs the phases of any algorithm."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn

from crosshash.algorithms.phases import Algorithm, BatchPhase, Phase, SolvePhase, Terms, Update
from crosshash.model.batch import Batch
from crosshash.training.batches import Batches, BatchSource, ordered_rows, shuffled_rows
from crosshash.training.devices import (
    Device,
    average_gradients,
    check_device,
    share,
    start_accelerator,
)
from crosshash.training.log import TermMeans, TrainingLog
from crosshash.training.optimization import OptimizerSettings, Schedule, schedule_factor
from crosshash.training.state import Best, learned_state, read_state, restore_state, write_state

Validate = Callable[[nn.Module], Mapping[str, float]]


class Trainer:
    """Trains an algorithm, evaluates it on the way and keeps the best network.

    Every epoch draws its order and its dropout from (seed, epoch) alone, so that a training that
    was killed and resumed ends with the same codes as one that was not.

    Under ``accelerate launch`` several processes train together: each takes its share of an epoch,
    gradients are averaged, buffers (BatchNorm's statistics) are those of the first process.

    Args:
        algorithm: What to train; its ``net`` is evaluated and kept.
        data: The training set.
        epochs: Passes over the training set.
        batch_size: Pairs per step and process. A last batch of fewer is left out of the epoch
            (the order is new each time), unless it is the only one.
        optimizer: Optimiser of every update.
        schedule: Course of the learning rates over all steps.
        final_learning_rate: Where ``cosine`` and ``geometric`` end.
        warmup_epochs: Epochs of linear warm-up.
        clip_norm: Largest norm of an update's gradient; None leaves it.
        precision: ``"no"`` (float32), ``"bf16"`` or ``"fp16"`` (GPU only).
        device: ``"auto"`` (a GPU where there is one), ``"cpu"`` or ``"cuda"``.
        workers: Processes that read batches.
        validate: From the network to figures, on the validation split.
        evaluate_every: Epochs between validations; the last epoch is always validated.
        monitor: The figure by which the best network is kept; higher is better.
        patience: Validations without a new best before training stops; None never stops.
        folder: Where state and history go; None keeps all in memory.
        tensorboard: Write TensorBoard events as well.
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
        *,
        epochs: int,
        batch_size: int = 128,
        optimizer: OptimizerSettings | None = None,
        schedule: Schedule = "cosine",
        final_learning_rate: float = 1e-6,
        warmup_epochs: float = 0.0,
        clip_norm: float | None = None,
        precision: str = "no",
        device: Device = "auto",
        workers: int = 0,
        validate: Validate | None = None,
        evaluate_every: int = 1,
        monitor: str = "map_mean",
        patience: int | None = None,
        folder: str | Path | None = None,
        tensorboard: bool = False,
        seed: int = 0,
        progress: bool = True,
    ) -> None:
        self.algorithm = algorithm
        self.data = data
        self.epochs = epochs
        self.batch_size = min(batch_size, len(data))
        if self.batch_size < 2 or epochs < 1:
            raise ValueError(
                "training needs at least 2 pairs in a batch and 1 epoch, got "
                f"{self.batch_size} and {epochs}"
            )
        check_device(device)
        self.optimizer = optimizer or OptimizerSettings()
        self.schedule = schedule
        self.final_learning_rate = final_learning_rate
        self.warmup = warmup_epochs / epochs
        self.clip_norm = clip_norm
        self.workers = workers
        self.validate = validate
        self.evaluate_every = evaluate_every
        self.monitor = monitor
        self.patience = patience
        self.folder = None if folder is None else Path(folder)
        self.tensorboard = tensorboard
        self.seed = seed
        self.progress = progress
        self.precision = precision
        self.device = device
        self.settings: dict[str, Any] = {
            "epochs": epochs,
            "batch_size": self.batch_size,
            "optimizer": vars(self.optimizer),
            "schedule": schedule,
            "final_learning_rate": final_learning_rate,
            "warmup_epochs": warmup_epochs,
            "clip_norm": clip_norm,
            "precision": precision,
            "evaluate_every": evaluate_every,
            "monitor": monitor,
            "patience": patience,
            "seed": seed,
            "pairs": len(data),
        }

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
        settings = {**self.settings, **(settings or {})}
        self.accelerator = start_accelerator(self.device, self.precision)
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
            rows = ordered_rows(len(self.data), self.batch_size)
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
                self.optimizer.build(update.parameters, backbone)
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
            self.epochs,
            history=history,
            progress=self.progress and self.accelerator.is_main_process,
            tensorboard=self.tensorboard and self.accelerator.is_main_process,
        )
        with log:
            for epoch in range(start, self.epochs):
                if self._exhausted(best, epoch):
                    break
                figures = self._epoch(epoch, phases, optimizers, log)
                last = epoch + 1 == self.epochs
                if self.validate and (last or (epoch + 1) % self.evaluate_every == 0):
                    figures.update(self._validate())
                    if figures[self.monitor] > best.value:
                        net = learned_state(self.algorithm.net, net_frozen)
                        best = Best(figures[self.monitor], epoch + 1, net)
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
        if self.patience is None or not best.epoch:
            return False
        return epoch - best.epoch >= self.patience * self.evaluate_every

    def _validate(self) -> dict[str, float]:
        self.algorithm.eval()
        if self.validate is None:
            return {}
        with torch.no_grad():
            measured = self.validate(self.algorithm.net)
        # NumPy's numbers could not be read back from the state.
        figures = {name: float(value) for name, value in measured.items()}
        if self.monitor not in figures:
            raise ValueError(
                f"training.monitor is {self.monitor!r}, but validation gives {sorted(figures)}"
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
            self.batch_size,
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
                terms = self._step(update, optimizer, batch, self._factor(done / self.epochs))
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
        if self.clip_norm is not None:
            # accelerate's own clipping would unscale the gradients of every optimiser.
            self.accelerator.unscale_gradients(optimizer)
            nn.utils.clip_grad_norm_(parameters, self.clip_norm)
        optimizer.step()
        return terms

    def _factor(self, progress: float) -> float:
        final = min(1.0, self.final_learning_rate / self.optimizer.learning_rate)
        return schedule_factor(self.schedule, progress, final=final, warmup=self.warmup)

    def _batches(self, rows: list[list[int]]) -> Batches:
        return Batches(self.data, rows, self.workers, self.accelerator.device)
