"""The trainer: runs the phases of any algorithm."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from torch import Tensor, nn
from torch.utils.data import DataLoader

from crosshash.algorithms.batch import Batch
from crosshash.algorithms.phases import Algorithm, BatchPhase, SolvePhase, Update
from crosshash.training.log import TrainingLog
from crosshash.training.optimization import OptimizerSettings, Schedule, schedule_factor
from crosshash.training.state import learned_state, read_state, restore_state, write_state

Validate = Callable[[nn.Module], Mapping[str, float]]


class BatchSource(Protocol):
    """A training set that hands out whole batches."""

    def __len__(self) -> int: ...

    def __getitems__(self, rows: list[int]) -> Batch:
        """The pairs of those rows."""
        ...


class Trainer:
    """Trains an algorithm, evaluates it on the way and keeps the best network.

    Every epoch draws its order and its dropout from (seed, epoch) alone, so that a training that
    was killed and resumed ends with the same codes as one that was not.

    Args:
        algorithm: What to train; its ``net`` is evaluated and kept.
        data: The training set.
        epochs: Passes over the training set.
        batch_size: Pairs per step. A last batch of fewer is left out of the epoch (the order is
            new each time), unless it is the only one.
        optimizer: Optimiser of every update.
        schedule: Course of the learning rates over all steps.
        final_learning_rate: Where ``cosine`` and ``geometric`` end.
        warmup_epochs: Epochs of linear warm-up.
        clip_norm: Largest norm of an update's gradient; None leaves it.
        precision: ``"no"`` (float32), ``"bf16"`` or ``"fp16"`` (GPU only).
        device: ``"auto"`` or ``"cpu"``.
        workers: Processes that read batches.
        validate: From the network to figures, on the validation split.
        evaluate_every: Epochs between validations; the last epoch is always validated.
        monitor: The figure by which the best network is kept; higher is better.
        patience: Validations without a new best before training stops; None never stops.
        folder: Where state and history go; None keeps all in memory.
        tensorboard: Write TensorBoard events as well.
        seed: Of order and dropout.
        progress: Show a progress bar.
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
        device: str = "auto",
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
        if self.batch_size < 2:
            raise ValueError(f"training needs at least 2 pairs in a batch, got {self.batch_size}")
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
        # accelerate keeps one state per process and refuses a second precision otherwise.
        AcceleratorState._reset_state()
        self.accelerator = Accelerator(cpu=device == "cpu", mixed_precision=precision)
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

    def run(self, *, resume: bool = False, settings: Mapping[str, Any] | None = None) -> list[Any]:
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
        self.algorithm.to(self.accelerator.device)
        torch.manual_seed(self.seed)
        self.algorithm.eval()
        with torch.no_grad():
            self.algorithm.begin(self._in_order())
        self.algorithm.train()
        phases = self.algorithm.phases()
        backbone = set(getattr(self.algorithm.net, "backbone_parameters", list)())
        optimizers = {
            f"{phase.name}.{update.name}": self.accelerator.prepare(
                self.optimizer.build(update.parameters, backbone)
            )
            for phase in phases
            if isinstance(phase, BatchPhase)
            for update in phase.updates
        }
        frozen = {f"net.{name}" for name in getattr(self.algorithm.net, "frozen_prefixes", set())}
        start, best, history = 0, _Best(), []
        state = read_state(self.folder, settings) if resume and self.folder else None
        if state is not None:
            restore_state(self.algorithm, state["algorithm"], frozen)
            for name, optimizer in optimizers.items():
                optimizer.load_state_dict(state["optimizers"][name])
            start, history = state["epoch"], state["history"]
            best = _Best(state["best_value"], state["best_epoch"], state["best_net"])
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
                        net = learned_state(self.algorithm.net, _strip(frozen))
                        best = _Best(figures[self.monitor], epoch + 1, net)
                log.epoch(figures)
                if self.folder and self.accelerator.is_main_process:
                    write_state(
                        self.folder,
                        {
                            "settings": _json(settings),
                            "epoch": epoch + 1,
                            "algorithm": learned_state(self.algorithm, frozen),
                            "optimizers": {n: o.state_dict() for n, o in optimizers.items()},
                            "best_value": best.value,
                            "best_epoch": best.epoch,
                            "best_net": best.net,
                            "history": log.history,
                        },
                    )
        if best.net is not None:
            restore_state(self.algorithm.net, best.net, _strip(frozen))
        self.best_epoch = best.epoch or len(log.history)
        self.algorithm.eval()
        return log.history

    def _exhausted(self, best: _Best, epoch: int) -> bool:
        if self.patience is None or not best.epoch:
            return False
        return epoch - best.epoch >= self.patience * self.evaluate_every

    def _validate(self) -> Mapping[str, float]:
        self.algorithm.eval()
        if self.validate is None:
            return {}
        with torch.no_grad():
            figures = self.validate(self.algorithm.net)
        if self.monitor not in figures:
            raise ValueError(
                f"training.monitor is {self.monitor!r}, but validation gives {sorted(figures)}"
            )
        return figures

    def _epoch(
        self,
        epoch: int,
        phases: Sequence[BatchPhase | SolvePhase],
        optimizers: Mapping[str, Any],
        log: TrainingLog,
    ) -> dict[str, float]:
        torch.manual_seed(self.seed * 1_000_003 + epoch)
        self.algorithm.train()
        sums: dict[str, Tensor] = {}
        counts: dict[str, int] = defaultdict(int)
        figures: dict[str, float] = {"epoch": epoch + 1}
        for number, phase in enumerate(phases):
            if isinstance(phase, SolvePhase):
                solved = phase.solve()
                figures.update({f"{phase.name}/{name}": v for name, v in solved.items()})
                continue
            batches = self._shuffled(epoch, number)
            for step, batch in enumerate(batches):
                done = epoch + (number + step / len(batches)) / len(phases)
                factor = self._factor(done / self.epochs)
                for update in phase.updates:
                    optimizer = optimizers[f"{phase.name}.{update.name}"]
                    terms = self._step(update, optimizer, batch, factor, epoch)
                    for name, value in terms.items():
                        key = name if len(phases) == 1 else f"{phase.name}/{name}"
                        sums[key] = sums.get(key, torch.zeros_like(value)) + value
                        counts[key] += 1
                log.advance(done)
        # Read once an epoch: each read waits for the device.
        figures.update({name: float(value) / counts[name] for name, value in sums.items()})
        broken = [name for name, value in figures.items() if not math.isfinite(value)]
        if broken:
            raise FloatingPointError(
                f"epoch {epoch + 1}: {', '.join(broken)} is not finite; lower "
                "training.learning_rate or set training.clip_norm"
            )
        return figures

    def _step(
        self, update: Update, optimizer: Any, batch: Batch, factor: float, epoch: int
    ) -> dict[str, Tensor]:
        for group in optimizer.param_groups:
            group.setdefault("base_lr", group["lr"])
            group["lr"] = group["base_lr"] * factor
        with self.accelerator.autocast():
            terms = update.loss(batch)
            total = update.total(terms)
        optimizer.zero_grad()
        self.accelerator.backward(total)
        parameters = list(update.parameters)
        if self.accelerator.num_processes > 1:
            # The losses call parts of the network, so a wrapper around forward would not see them.
            for parameter in parameters:
                if parameter.grad is not None:
                    parameter.grad = self.accelerator.reduce(parameter.grad, "mean")
        if self.clip_norm is not None:
            self.accelerator.clip_grad_norm_(parameters, self.clip_norm)
        optimizer.step()
        return {name: value.detach() for name, value in terms.items()}

    def _factor(self, progress: float) -> float:
        final = min(1.0, self.final_learning_rate / self.optimizer.learning_rate)
        return schedule_factor(self.schedule, progress, final=final, warmup=self.warmup)

    def _shuffled(self, epoch: int, phase: int) -> _Batches:
        generator = torch.Generator().manual_seed((self.seed * 1_000_003 + epoch) * 31 + phase)
        order = torch.randperm(len(self.data), generator=generator)
        order = order[self.accelerator.process_index :: self.accelerator.num_processes]
        rows = [part.tolist() for part in order.split(self.batch_size)]
        if len(rows) > 1 and len(rows[-1]) < self.batch_size:
            rows.pop()
        return _Batches(self.data, rows, self.workers, self.accelerator.device)

    def _in_order(self) -> _Batches:
        rows = [part.tolist() for part in torch.arange(len(self.data)).split(self.batch_size)]
        return _Batches(self.data, rows, self.workers, self.accelerator.device)


class _Best:
    def __init__(
        self, value: float = -math.inf, epoch: int = 0, net: dict[str, Tensor] | None = None
    ) -> None:
        self.value, self.epoch, self.net = value, epoch, net


class _Batches:
    """Batches of given rows, read by worker processes, on the device."""

    def __init__(
        self, data: BatchSource, rows: list[list[int]], workers: int, device: torch.device
    ) -> None:
        self.rows = rows
        self.device = device
        self.loader: DataLoader[Any] = DataLoader(
            data,  # type: ignore[arg-type]
            batch_sampler=rows,
            num_workers=workers,
            collate_fn=_whole,
        )

    def __len__(self) -> int:
        return len(self.rows)

    def __iter__(self) -> Iterator[Batch]:
        for batch in self.loader:
            yield batch.to(self.device)


def _whole(batch: Batch) -> Batch:
    return batch


def _strip(prefixes: set[str]) -> set[str]:
    return {prefix.removeprefix("net.") for prefix in prefixes}


def _json(settings: Mapping[str, Any]) -> str:
    import json

    return json.dumps(settings)
