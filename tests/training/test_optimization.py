from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest
import torch
from torch import nn

from crosshash.settings import TrainerSettings
from crosshash.training.optimization import build_optimizer, schedule_factor


def weight(value: float = 2.0) -> nn.Parameter:
    return nn.Parameter(torch.full((3,), value))


@pytest.mark.parametrize("progress", [0.0, 0.3, 1.0])
def test_a_constant_rate_stays(progress: float) -> None:
    assert schedule_factor("constant", progress, final=0.01) == 1.0


def test_cosine_falls_from_one_to_the_final_share() -> None:
    values = [schedule_factor("cosine", step / 10, final=0.2) for step in range(11)]
    assert values[0] == 1.0
    assert values[5] == pytest.approx(0.6)
    assert values[10] == pytest.approx(0.2)
    assert values == sorted(values, reverse=True)
    assert values[3] == pytest.approx(0.2 + 0.8 * 0.5 * (1 + math.cos(0.3 * math.pi)))


def test_geometric_falls_by_a_constant_ratio() -> None:
    values = [schedule_factor("geometric", step / 10, final=1e-4) for step in range(11)]
    assert values[0] == 1.0
    assert values[10] == pytest.approx(1e-4)
    ratios = [b / a for a, b in pairwise(values)]
    assert ratios == pytest.approx([10**-0.4] * 10)


def test_linear_falls_by_equal_steps() -> None:
    values = [schedule_factor("linear", step / 10, final=0.2) for step in range(11)]
    assert values == pytest.approx(np.linspace(1, 0.2, 11).tolist())


def test_a_rate_of_dcmh_lies_within_the_epoch_that_it_is_of() -> None:
    epochs, first, last = 500, 10**-1.5, 1e-6
    for epoch, rate in enumerate(np.linspace(first, last, epochs)):
        begin, end = (
            first * schedule_factor("linear", e / epochs, final=last / first)
            for e in (epoch, epoch + 1)
        )
        assert begin * (1 + 1e-9) >= rate >= end * (1 - 1e-9)


@pytest.mark.parametrize("schedule", ["constant", "linear", "cosine", "geometric"])
def test_warm_up_rises_linearly_and_the_course_begins_where_it_ends(schedule: str) -> None:
    def factor(progress: float) -> float:
        return schedule_factor(schedule, progress, final=0.1, warmup=0.2)

    assert [factor(p) for p in (0.0, 0.05, 0.1)] == pytest.approx([0.0, 0.25, 0.5])
    assert factor(0.2) == 1.0
    assert factor(0.6) == pytest.approx(schedule_factor(schedule, 0.5, final=0.1))
    assert factor(1.0) == pytest.approx(schedule_factor(schedule, 1.0, final=0.1))


def test_a_training_may_be_all_warm_up() -> None:
    assert schedule_factor("cosine", 0.5, final=0.1, warmup=1.0) == 0.5
    assert schedule_factor("cosine", 0.5, final=0.1, warmup=2.0) == 0.25


def test_an_unknown_schedule_is_named() -> None:
    with pytest.raises(ValueError, match="'linear', 'cosine' or 'geometric', got 'line'"):
        schedule_factor("line", 0.5, final=0.1)


def test_backbone_parameters_have_their_own_rate() -> None:
    head, backbone = weight(), weight()
    settings = TrainerSettings(learning_rate=0.1, backbone_learning_rate=0.001)
    groups = build_optimizer([head, backbone], {backbone}, settings).param_groups
    assert [(len(g["params"]), g["lr"]) for g in groups] == [(1, 0.1), (1, 0.001)]
    assert groups[1]["params"][0] is backbone


def test_without_a_rate_of_their_own_backbone_parameters_have_that_of_all() -> None:
    head, backbone = weight(), weight()
    groups = build_optimizer(
        [head, backbone], {backbone}, TrainerSettings(learning_rate=0.1)
    ).param_groups
    assert [g["lr"] for g in groups] == [0.1, 0.1]


def test_an_update_of_backbone_parameters_alone_has_one_group() -> None:
    backbone = weight()
    settings = TrainerSettings(learning_rate=0.1, backbone_learning_rate=0.01)
    assert [
        g["lr"] for g in build_optimizer(iter([backbone]), {backbone}, settings).param_groups
    ] == [0.01]


def test_sgd_has_momentum_and_an_l2_term() -> None:
    p = weight(2.0)
    optimizer = build_optimizer(
        [p],
        set(),
        TrainerSettings(optimizer="sgd", learning_rate=0.1, momentum=0.5, weight_decay=0.01),
    )
    value, velocity = 2.0, 0.0
    for _ in range(3):
        p.grad = torch.full((3,), 3.0)
        optimizer.step()
        velocity = 0.5 * velocity + 3.0 + 0.01 * value
        value -= 0.1 * velocity
    torch.testing.assert_close(p.detach(), torch.full((3,), value))


def test_weight_decay_is_decoupled_with_adamw_only() -> None:
    decoupled, coupled = weight(2.0), weight(2.0)
    for p, name in ((decoupled, "adamw"), (coupled, "adam")):
        optimizer = build_optimizer(
            [p], set(), TrainerSettings(optimizer=name, learning_rate=0.1, weight_decay=0.01)
        )
        p.grad = torch.zeros(3)
        optimizer.step()
    torch.testing.assert_close(decoupled.detach(), torch.full((3,), 2.0 * (1 - 0.1 * 0.01)))
    torch.testing.assert_close(coupled.detach(), torch.full((3,), 2.0 - 0.1), atol=1e-5, rtol=0)


def test_an_unknown_optimiser_is_named() -> None:
    with pytest.raises(ValueError, match="'adamw', 'adam' or 'sgd', got 'lion'"):
        build_optimizer([weight()], set(), TrainerSettings(optimizer="lion"))
