"""The trainer: runs the phases of any algorithm."""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from crosshash.algorithms.phases import Algorithm, BatchPhase, Phase
from crosshash.model.hash_model import HashModel
from crosshash.settings import TrainerSettings
from crosshash.training.batches import BatchSource
from crosshash.training.callbacks import Callback
from crosshash.training.devices import check_device, share, start_accelerator
from crosshash.training.log import TrainingLog
from crosshash.training.runner import PhaseRunner
from crosshash.training.state import (
    Best,
    Progress,
    learned_state,
    read_state,
    restore_state,
    write_state,
)

Validate = Callable[[HashModel], Mapping[str, float]]
_FREE = ("device", "workers", "tensorboard", "save_every")


class Trainer:
    """Trains an algorithm, evaluates it on the way and keeps the best network.

    Every epoch, and every pass of a preliminary phase, draws its order and its dropout from the
    seed and its own number alone, so that a training that was killed and resumed ends with the same
    codes as one that was not.

    Under ``accelerate launch`` several processes train together: each takes its share of an epoch,
    gradients are averaged, buffers (BatchNorm's statistics) are those of the first process.

    Args:
        algorithm: What to train; its ``net`` is evaluated and kept.
        data: The training set.
        settings: Optimisation, device, validation; default: those of :class:`TrainerSettings`.
        validate: From the network to figures, on the validation split.
        callbacks: Called after each epoch, in order; see
            :class:`~crosshash.training.callbacks.Callback`.
        folder: Where state and history go; None keeps all in memory.
        until: Epochs after which the training ends, although its schedules are as long as
            ``settings.epochs`` says; None: all.
        seed: Of order and dropout.
        progress: Show a progress bar.

    Attributes:
        best_epoch: After a run: the epoch whose network is kept.
        learned_codes: After a run: the codes B of the training rows of that same epoch, ``int8``
            (n, k) in {-1, +1}; None for a method that learns none.

    Raises:
        ValueError: There are fewer than 2 pairs in a batch or no epochs; ``until`` is not one of
            them; the device is unknown or not there; the method does not train its backbones, and
            they are not frozen.
    """

    def __init__(
        self,
        algorithm: Algorithm,
        data: BatchSource,
        settings: TrainerSettings | None = None,
        *,
        validate: Validate | None = None,
        callbacks: Sequence[Callback] = (),
        folder: str | Path | None = None,
        until: int | None = None,
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
        self.until = settings.epochs if until is None else until
        if not 1 <= self.until <= settings.epochs:
            raise ValueError(
                f"until is one of the {settings.epochs} epochs of the settings, got {until}"
            )
        check_device(settings.device)
        if algorithm.trains != "backbones" and algorithm.net.backbone_parameters():
            raise ValueError(
                f"{type(algorithm).__name__} does not train its backbones: freeze those of "
                "pictures and of texts (frozen: true in a config, net.freeze(slot) in Python)"
            )
        self.validate = validate
        known = getattr(validate, "figures", None)  # a plain function tells them when it is called
        if known is not None and settings.monitor not in known:
            raise ValueError(_unknown(settings.monitor, known))
        if validate is None:
            _warn_of_what_needs_validation(settings)
        self.callbacks = callbacks
        self.folder = None if folder is None else Path(folder)
        self.seed = seed
        self.progress = progress

    def run(
        self, *, resume: bool = False, settings: Mapping[str, Any] | None = None
    ) -> list[dict[str, float]]:
        """Train to the end, or until patience runs out or a callback stops it.

        The network holds the best weights afterwards (the last ones without validation).

        Args:
            resume: Go on from the state in the output folder; without one a warning says so, and
                training starts anew.
            settings: Further settings that a resumed training must share, such as the method's.

        Returns:
            The history: for each epoch a dict of named losses and figures.

        Raises:
            ValueError: The state in the folder was made with other settings, or there is no folder
                to resume from; two phases have one name; the validation has no figure of the
                monitored name.
            FloatingPointError: A loss is NaN or infinite; names it and the epoch.
        """
        self.accelerator = start_accelerator(self.settings.device, self.settings.precision)
        if len(self.data) < 2 * self.accelerator.num_processes:
            raise ValueError(
                f"{self.accelerator.num_processes} processes need 2 pairs each, got "
                f"{len(self.data)} in all; train with fewer processes"
            )
        runner = PhaseRunner(
            self.algorithm,
            self.data,
            self.settings,
            seed=self.seed,
            accelerator=self.accelerator,
        )
        runner.begin()
        phases = _named_apart(self.algorithm.phases())
        # One for each pass, so that early[-1], like epoch -1, is the last before the first epoch.
        early = [
            phase
            for phase in _named_apart(self.algorithm.preliminary())
            for _ in range(phase.passes if isinstance(phase, BatchPhase) else 1)
        ]
        # Where and how fast it runs may differ between a training and its resumption.
        shared = {k: v for k, v in asdict(self.settings).items() if k not in _FREE}
        own = {"seed": self.seed, "pairs": len(self.data), "preliminary": len(early)}
        shared = {**shared, **own, "until": self.until, **(settings or {})}
        done = Progress(epoch=-len(early))
        if resume and (state := self._read(shared)) is not None:
            restore_state(self.algorithm, state["algorithm"], self._frozen())
            done = Progress.from_dict(state["progress"])
            runner.restore(phases if done.epoch >= 0 else [early[done.epoch]], state["optimizers"])
            if self.accelerator.scaler is not None:
                self.accelerator.scaler.load_state_dict(state["scaler"])
        log = TrainingLog(
            self.folder if self.accelerator.is_main_process else None,
            self.until,
            history=done.history,
            preliminary=done.preliminary,
            progress=self.progress and self.accelerator.is_main_process,
            tensorboard=self.settings.tensorboard and self.accelerator.is_main_process,
        )
        with log:
            while not self._finished(done):
                epoch = done.epoch
                if epoch < 0:
                    log.pass_done(runner.run([early[epoch]], epoch), left=-1 - epoch)
                    if epoch == -1 or early[epoch + 1] is not early[epoch]:
                        runner.optimizers.clear()  # the phase is over
                else:
                    figures = {"epoch": epoch + 1, **runner.run(phases, epoch, log.advance)}
                    figures.update(self._validate(epoch, done))
                    done.stopped = self._call_back(figures)
                    log.epoch(figures)
                done.epoch += 1
                if self._finished(done) or done.epoch % self.settings.save_every == 0:
                    self._write(shared, done, runner)
        self.learned_codes = self._codes()
        if done.best.net is not None:
            net = self.algorithm.net
            restore_state(net, done.best.net, net.frozen_prefixes)
            self.learned_codes = done.best.codes
        # Where they differ in a digit, all processes go by the first.
        best = torch.tensor([done.best.epoch or done.epoch], device=self.accelerator.device)
        share(self.accelerator, [best])
        self.best_epoch = int(best)
        self.algorithm.eval()
        return done.history

    def _read(self, shared: Mapping[str, Any]) -> dict[str, Any] | None:
        if self.folder is None:
            raise ValueError("there is nothing to resume without a folder: give folder=…")
        state = read_state(self.folder, shared)
        if state is None:
            warnings.warn(f"nothing to resume in {self.folder}; training starts anew", stacklevel=3)
        return state

    def _write(self, shared: Mapping[str, Any], done: Progress, runner: PhaseRunner) -> None:
        if self.folder is None or not self.accelerator.is_main_process:
            return
        scaler = self.accelerator.scaler
        state = {
            "settings": json.dumps(shared),
            "progress": done.as_dict(),
            "algorithm": learned_state(self.algorithm, self._frozen()),
            "optimizers": {name: o.state_dict() for name, o in runner.optimizers.items()},
            "scaler": None if scaler is None else scaler.state_dict(),
        }
        write_state(self.folder, state)

    def _frozen(self) -> set[str]:
        return {f"net.{prefix}" for prefix in self.algorithm.net.frozen_prefixes}

    def _finished(self, done: Progress) -> bool:
        if done.stopped or done.epoch >= self.until:
            return True
        if self.settings.patience is None or not done.best.epoch:
            return False
        waited = done.epoch - done.best.epoch
        return waited >= self.settings.patience * self.settings.evaluate_every

    def _validate(self, epoch: int, done: Progress) -> dict[str, float]:
        """Figures of the network, where it is time for them; the best network is remembered."""
        self.algorithm.eval()
        due = epoch + 1 == self.until or (epoch + 1) % self.settings.evaluate_every == 0
        if self.validate is None or not due:
            return {}
        with torch.no_grad():
            measured = self.validate(self.algorithm.net)
        # NumPy's numbers could not be read back from the state.
        figures = {name: float(value) for name, value in measured.items()}
        if self.settings.monitor not in figures:
            raise ValueError(_unknown(self.settings.monitor, figures))
        if figures[self.settings.monitor] > done.best.value:
            net = learned_state(self.algorithm.net, self.algorithm.net.frozen_prefixes)
            done.best = Best(figures[self.settings.monitor], epoch + 1, net, self._codes())
        return figures

    def _codes(self) -> Tensor | None:
        codes = self.algorithm.learned_codes()
        return None if codes is None else codes.to("cpu", torch.int8, copy=True)

    def _call_back(self, figures: Mapping[str, float]) -> bool:
        """Whether a callback wants to stop; the answer of the first process is that of all."""
        if not self.callbacks:
            return False
        stop = torch.zeros(1, device=self.accelerator.device)
        if self.accelerator.is_main_process:
            with torch.no_grad():
                answers = [call(dict(figures), self.algorithm.net) for call in self.callbacks]
            stop += any(answer is True for answer in answers)
        share(self.accelerator, [stop])
        return bool(stop)


def _unknown(monitor: str, figures: Iterable[str]) -> str:
    return f"training.monitor is {monitor!r}, but validation gives {sorted(figures)}"


def _named_apart(phases: Sequence[Phase]) -> Sequence[Phase]:
    names = [phase.name for phase in phases]
    if len(set(names)) < len(names):
        raise ValueError(f"the phases of an algorithm have each a name of its own, got {names}")
    return phases


def _warn_of_what_needs_validation(settings: TrainerSettings) -> None:
    if settings.monitor != TrainerSettings.monitor:
        given = f"training.monitor is {settings.monitor!r}"
    elif settings.patience is not None:
        given = f"training.patience is {settings.patience}"
    else:
        return
    warnings.warn(
        f"{given}, but nothing is validated, so the last network is kept and training runs to its "
        "end; give a validation split (data.validation in a config, validate=… of the trainer)",
        stacklevel=3,
    )
