"""Small models and batches of any method."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from crosshash.algorithms.phases import Algorithm, BatchPhase, Phase, SolvePhase
from crosshash.backbones import create_text_encoder
from crosshash.backbones.base import Features
from crosshash.methods.build import METHODS, build_model
from crosshash.model.batch import Batch
from crosshash.model.hash_model import HashModel

# Of the networks that take longest to train, ones that learn a few pairs as well.
NARROW: dict[str, dict[str, Any]] = {
    "amgfh": {"hidden": [256, 256], "dim": 128, "kernels": [1, 3, 5]},
    "hfah": {"feature": 128, "text_hidden": [256]},
    "mith": {"dim": 64, "layers": 1},
}
PAIRS, CLASSES, IMAGE_DIM, WORDS = 48, 4, 36, 60


def small_model(method: str, bits: int = 16, **network: Any) -> HashModel:
    """A small network over image features and bags of words."""
    torch.manual_seed(0)
    text = create_text_encoder("bow", vocabulary=[f"word{i}" for i in range(WORDS)])
    slots = METHODS[method].Network.slots
    return build_model(
        method,
        bits=bits,
        backbones={slot: {"name": "features", "dim": IMAGE_DIM} for slot in slots},
        text=text,
        network=network,
    )


def make_batch(slots: tuple[str, ...], count: int = PAIRS, seed: int = 0) -> Batch:
    """Pairs whose image and words depend on their labels."""
    rng = np.random.default_rng(seed)
    labels = np.zeros((count, CLASSES), dtype=np.uint8)
    labels[np.arange(count), np.arange(count) % CLASSES] = 1
    centres = np.random.default_rng(99).normal(size=(CLASSES, IMAGE_DIM))
    topics = np.random.default_rng(98).random((CLASSES, WORDS)) < 0.3
    images = labels @ centres + 0.5 * rng.normal(size=(count, IMAGE_DIM))
    words = (labels @ topics > 0) & (rng.random((count, WORDS)) < 0.8)
    pooled = torch.tensor(images, dtype=torch.float32)
    return Batch(
        torch.arange(count),
        {slot: Features(pooled) for slot in slots},
        {"bow": torch.tensor(words, dtype=torch.uint8)},
        torch.tensor(labels),
    )


def run_phase(phase: Phase, batch: Batch) -> None:
    """Run a phase once on one batch, by plain gradient steps."""
    if isinstance(phase, SolvePhase):
        with torch.no_grad():
            phase.solve([batch]) if phase.sees_data else phase.solve()
        return
    for update in phase.updates:
        loss = update.total(update.loss(batch))
        gradients = torch.autograd.grad(loss, update.parameters, allow_unused=True)
        with torch.no_grad():
            for parameter, gradient in zip(update.parameters, gradients, strict=True):
                if gradient is not None:
                    parameter -= 0.05 * gradient
            if update.after is not None:
                update.after(batch)


def begin_training(algorithm: Algorithm, batch: Batch) -> None:
    """All that comes before the first epoch."""
    algorithm.net.fit_norms([batch])
    with torch.no_grad():
        algorithm.begin([batch])
    for phase in algorithm.preliminary():
        for _ in range(phase.passes if isinstance(phase, BatchPhase) else 1):
            run_phase(phase, batch)


def take_steps(algorithm: Algorithm, batch: Batch, steps: int) -> None:
    """Run the phases on one batch."""
    for _ in range(steps):
        batch.shared.clear()
        for phase in algorithm.phases():
            run_phase(phase, batch)


@pytest.fixture
def model_of() -> Callable[..., HashModel]:
    return small_model


@pytest.fixture
def narrow() -> Callable[[str], dict[str, Any]]:
    """Options of a method's network that make it quick to train."""
    return lambda method: NARROW.get(method, {})


@pytest.fixture
def batch_of() -> Callable[..., Batch]:
    return make_batch


@pytest.fixture
def steps() -> Callable[[Algorithm, Batch, int], None]:
    return take_steps


@pytest.fixture
def begin() -> Callable[[Algorithm, Batch], None]:
    return begin_training


@pytest.fixture
def reached(steps: Any) -> Any:
    """Parameters that a gradient has come to in one of three steps.

    Residual branches that start at zero pass none on at first. That of a bias before BatchNorm can
    be all rounding (of HFAH's text pooling 3e-8 beside 0.2 of others, and none at one step here):
    of such a one this does not say that it does anything.
    """

    def find(algorithm: Any, batch: Batch, updates: Any) -> set[torch.nn.Parameter]:
        found: set[torch.nn.Parameter] = set()
        for _ in range(3):
            steps(algorithm, batch, 1)
            for update in updates(algorithm):
                loss = update.total(update.loss(batch))
                gradients = torch.autograd.grad(loss, update.parameters, allow_unused=True)
                for parameter, gradient in zip(update.parameters, gradients, strict=True):
                    if gradient is not None and gradient.abs().sum() > 0:
                        found.add(parameter)
        return found

    return find
