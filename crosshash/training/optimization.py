"""Optimisers and learning-rate schedules, by name."""

from __future__ import annotations

import math
from collections.abc import Iterable

import torch
from torch import nn

from crosshash.settings import Schedule, TrainerSettings


def schedule_factor(
    schedule: Schedule, progress: float, *, final: float, warmup: float = 0.0
) -> float:
    """Learning rate at a point of training, as a share of the initial one.

    Args:
        schedule: ``constant``; or from 1 to ``final``: ``linear`` by equal steps, ``cosine`` along
            half a wave, ``geometric`` by a constant ratio. DCMH's family lowers its rates linearly,
            once an epoch (``np.linspace`` over the epochs); here every step has a rate of its own
            on that line, and DCMH's of an epoch is between those of its first and last steps.
        progress: Share of all steps done, in [0, 1].
        final: Share that is left at the end, in (0, 1].
        warmup: Share of all steps over which the rate rises linearly from 0.

    Raises:
        ValueError: The schedule is unknown.
    """
    if warmup and progress < warmup:
        return progress / warmup
    progress = (progress - warmup) / (1 - warmup) if warmup < 1 else 1.0
    if schedule == "constant":
        return 1.0
    if schedule == "linear":
        return 1 + (final - 1) * progress
    if schedule == "cosine":
        return final + (1 - final) * 0.5 * (1 + math.cos(math.pi * progress))
    if schedule == "geometric":
        return float(final**progress)
    raise ValueError(f"schedule is 'constant', 'linear', 'cosine' or 'geometric', got {schedule!r}")


def build_optimizer(
    parameters: Iterable[nn.Parameter], backbone: set[nn.Parameter], settings: TrainerSettings
) -> torch.optim.Optimizer:
    """An optimiser over ``parameters``; those in ``backbone`` may have their own rate.

    Weight decay is decoupled with ``adamw`` and an L2 term of the gradient with ``adam`` and
    ``sgd``.

    Raises:
        ValueError: The optimiser is unknown.
    """
    parameters = list(parameters)
    rate, decay = settings.learning_rate, settings.weight_decay
    groups = [
        {"params": [p for p in parameters if p not in backbone], "lr": rate},
        {
            "params": [p for p in parameters if p in backbone],
            "lr": settings.backbone_learning_rate or rate,
        },
    ]
    groups = [group for group in groups if group["params"]]
    # The fused kernels of recent torch are several times faster on the CPU as well.
    if settings.optimizer == "adamw":
        return torch.optim.AdamW(groups, weight_decay=decay, fused=True)
    if settings.optimizer == "adam":
        return torch.optim.Adam(groups, weight_decay=decay, fused=True)
    if settings.optimizer == "sgd":
        return torch.optim.SGD(groups, momentum=settings.momentum, weight_decay=decay, fused=True)
    raise ValueError(f"optimizer is 'adamw', 'adam' or 'sgd', got {settings.optimizer!r}")
