"""What an algorithm can say to the trainer beside its phases."""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable, Mapping
from itertools import pairwise
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from crosshash.algorithms.phases import Algorithm, BatchPhase, SolvePhase, Update
from crosshash.backbones.base import Features
from crosshash.backbones.text.features import TextFeatures
from crosshash.model.batch import Batch
from crosshash.model.hash_model import HashModel
from crosshash.training.log import TrainingLog

SGD: dict[str, Any] = {"optimizer": "sgd", "learning_rate": 1.0, "momentum": 0.0}


class FeaturesNet(HashModel):
    """The features are the codes."""

    def hash_image(self, features: Mapping[str, Features]) -> Tensor:
        return features["image"].pooled

    def hash_text(self, features: Features) -> Tensor:
        return features.pooled


class Plain(Algorithm):
    """One weight, and phases that the test writes; the gradient of its loss is 1."""

    def __init__(self, toy: ModuleType, **options: Any) -> None:
        super().__init__()
        backbone = toy.LinearBackbone(6)
        self.net = FeaturesNet({"image": backbone}, TextFeatures(dim=6), 8, **options)
        self.net.freeze("image")
        self.weight = nn.Parameter(torch.zeros(()))
        self.seen: list[float] = []
        self.batches: list[Batch] = []

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        self.seen.append(self.weight.item())
        self.batches.append(batch)
        return {"sum": self.weight.clone()}

    def update(self, **options: Any) -> Update:
        return Update([self.weight], self.loss, **options)

    def steps(self) -> list[float]:
        values = [*self.seen, self.weight.item()]
        return [before - after for before, after in pairwise(values)]


def of(toy: ModuleType, phases: Callable[[Plain], list], early: Any = None) -> Plain:
    algorithm = Plain(toy)
    algorithm.phases = lambda: phases(algorithm)
    if early is not None:
        algorithm.preliminary = lambda: early(algorithm)
    return algorithm


# Preliminary phases


def test_preliminary_phases_run_once_in_order_before_the_first_epoch(toy: ModuleType) -> None:
    algorithm, pairs = toy.make(kind=toy.EarlyToy)
    toy.trainer(algorithm, pairs, epochs=2).run()
    assert algorithm.order == ["judge"] * 9 + ["codes"] + ["image"] * 6
    passes = [pairs.asked[4 + 3 * number : 7 + 3 * number] for number in range(3)]
    assert all(len({row for part in rows for row in part}) == 24 for rows in passes)
    assert passes[0] != passes[1] != passes[2]


def test_preliminary_rates_are_constant_and_an_epochs_course_begins_after_them(
    toy: ModuleType,
) -> None:
    algorithm = of(
        toy,
        lambda a: [BatchPhase("main", [a.update()])],
        lambda a: [BatchPhase("early", [a.update(learning_rate=0.25)], passes=2)],
    )
    options = {**SGD, "schedule": "geometric", "final_learning_rate": 0.01}
    toy.trainer(algorithm, toy.Pairs(8), batch_size=4, epochs=1, warmup_epochs=0.0, **options).run()
    assert algorithm.steps() == pytest.approx([0.25] * 4 + [1.0, 0.1], abs=1e-6)


def test_preliminary_figures_are_logged_by_pass_and_not_as_epochs(
    toy: ModuleType, tmp_path: Path
) -> None:
    algorithm, pairs = toy.make(kind=toy.EarlyToy)
    history = toy.trainer(algorithm, pairs, epochs=2, folder=tmp_path).run()
    lines = [json.loads(x) for x in (tmp_path / "preliminary.jsonl").read_text().splitlines()]
    assert [set(line) for line in lines] == [{"pass", "judge/early"}] * 3 + [
        {"pass", "codes/balance"}
    ]
    assert [line["pass"] for line in lines] == [1, 2, 3, 4]
    assert lines[2]["judge/early"] < lines[0]["judge/early"]
    assert [line["epoch"] for line in history] == [1, 2]
    assert not {name for line in history for name in line if "early" in name}


def test_preliminary_phases_have_names_apart(toy: ModuleType) -> None:
    algorithm = of(toy, lambda a: [], lambda a: [SolvePhase("x", dict), SolvePhase("x", dict)])
    with pytest.raises(ValueError, match=r"a name of its own, got \['x', 'x'\]"):
        toy.trainer(algorithm, toy.Pairs()).run()


def test_a_preliminary_loss_that_is_no_number_stops_the_training(toy: ModuleType) -> None:
    algorithm, pairs = toy.make(kind=toy.EarlyToy)
    algorithm.early_loss = lambda batch: {"early": algorithm.judge.weight.sum() * torch.nan}
    with pytest.raises(FloatingPointError, match="before the first epoch: judge/early is not fin"):
        toy.trainer(algorithm, pairs).run()


def test_a_preliminary_optimiser_is_gone_when_its_phase_is_over(
    toy: ModuleType, tmp_path: Path
) -> None:
    algorithm, pairs = toy.make(kind=toy.EarlyToy)
    states = []
    trainer = toy.trainer(algorithm, pairs, epochs=1, folder=tmp_path, optimizer="adam")
    write = trainer._write
    trainer._write = lambda *given: states.append(set(given[2].optimizers)) or write(*given)
    trainer.run()
    names = {"image.update", "text.text", "text.judge"}
    assert states == [{"judge.update"}, {"judge.update"}, set(), set(), names]


def test_progress_names_the_preliminary_phase_and_its_pass(
    toy: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown: list[str] = []
    show = TrainingLog._show

    def noting(log: TrainingLog, *given: Any) -> None:
        show(log, *given)
        shown.append(log._bar.tasks[0].description)

    monkeypatch.setattr(TrainingLog, "_show", noting)
    algorithm, pairs = toy.make(kind=toy.EarlyToy)
    toy.trainer(algorithm, pairs, epochs=1).run()
    assert shown == [
        "before training (judge, pass 1/4)",
        "before training (judge, pass 2/4)",
        "before training (judge, pass 3/4)",
        "before training (codes, pass 4/4)",
        "training",
    ]


# Updates


def test_an_update_has_its_own_rate_on_the_same_course(toy: ModuleType) -> None:
    algorithm = of(toy, lambda a: [BatchPhase("main", [a.update(learning_rate=0.5)])])
    options = {**SGD, "schedule": "geometric", "final_learning_rate": 0.01}
    toy.trainer(algorithm, toy.Pairs(8), batch_size=4, epochs=1, **options).run()
    assert algorithm.steps() == pytest.approx([0.5, 0.05], abs=1e-6)


def test_an_update_has_its_own_optimiser(toy: ModuleType) -> None:
    steps = {}
    for name in ("sgd", "adam"):
        algorithm = of(
            toy,
            lambda a, name=name: [
                BatchPhase("main", [Update([a.weight], lambda b: a.loss(b), optimizer=name)])
            ],
        )
        algorithm.loss = lambda batch, a=algorithm: {"sum": 7 * Plain.loss(a, batch)["sum"]}
        toy.trainer(
            algorithm, toy.Pairs(4), batch_size=4, epochs=1, schedule="constant", **SGD
        ).run()
        steps[name] = algorithm.steps()
    assert steps["sgd"] == pytest.approx([7.0])
    assert steps["adam"] == pytest.approx([1.0])  # its first step is the rate


def test_what_comes_after_a_step_sees_its_batch_the_new_weights_and_no_gradients(
    toy: ModuleType,
) -> None:
    seen: list[tuple[float, float, bool]] = []
    algorithm = Plain(toy)

    def loss(batch: Batch) -> dict[str, Tensor]:
        batch.shared["before"] = algorithm.weight.detach().clone()
        return algorithm.loss(batch)

    def after(batch: Batch) -> None:
        assert batch is algorithm.batches[-1]
        seen.append(
            (batch.shared["before"].item(), algorithm.weight.item(), torch.is_grad_enabled())
        )

    algorithm.phases = lambda: [BatchPhase("main", [Update([algorithm.weight], loss, after=after)])]
    toy.trainer(algorithm, toy.Pairs(8), batch_size=4, epochs=1, schedule="constant", **SGD).run()
    assert seen == [(0.0, -1.0, False), (-1.0, -2.0, False)]


def test_weights_are_read_at_every_step(toy: ModuleType) -> None:
    algorithm = Plain(toy)
    weights = {"sum": 1.0}
    algorithm.epoch_starts = lambda epoch, epochs: weights.update(sum=epoch / epochs)
    algorithm.phases = lambda: [BatchPhase("main", [algorithm.update(weights=weights)])]
    toy.trainer(algorithm, toy.Pairs(4), batch_size=4, epochs=4, schedule="constant", **SGD).run()
    assert algorithm.steps() == pytest.approx([0.0, 0.25, 0.5, 0.75])


# Epochs


def test_the_algorithm_hears_of_each_epoch_before_it_and_of_those_that_are_left_on_resuming(
    toy: ModuleType, tmp_path: Path
) -> None:
    heard: list[tuple[int, int]] = []
    algorithm = of(
        toy,
        lambda a: [BatchPhase("main", [a.update()])],
        lambda a: [BatchPhase("early", [a.update()])],
    )

    def hear(epoch: int, epochs: int) -> None:
        heard.append((epoch, epochs))
        if len(heard) == 3:
            raise KeyboardInterrupt

    algorithm.epoch_starts = hear
    with pytest.raises(KeyboardInterrupt):
        toy.trainer(algorithm, toy.Pairs(8), epochs=4, folder=tmp_path).run()
    toy.trainer(algorithm, toy.Pairs(8), epochs=4, folder=tmp_path).run(resume=True)
    assert heard == [(0, 4), (1, 4), (2, 4), (2, 4), (3, 4)]


# What phases see


def test_a_phase_has_as_many_passes_as_it_says_each_in_an_order_of_its_own(
    toy: ModuleType,
) -> None:
    algorithm = of(toy, lambda a: [BatchPhase("main", [a.update()], passes=3)])
    pairs = toy.Pairs(12)
    toy.trainer(algorithm, pairs, batch_size=4, epochs=1).run()
    passes = [[row for part in pairs.asked[i : i + 3] for row in part] for i in (0, 3, 6)]
    assert all(sorted(rows) == list(range(12)) for rows in passes)
    assert passes[0] != passes[1] != passes[2] != passes[0]


def test_a_phase_of_no_passes_is_left_out(toy: ModuleType) -> None:
    algorithm = of(toy, lambda a: [BatchPhase("main", [a.update()], passes=0)])
    assert toy.trainer(algorithm, toy.Pairs(), epochs=1).run() == [{"epoch": 1}]
    assert algorithm.weight.item() == 0


def test_a_phase_that_sees_no_data_reads_none_and_has_the_same_rows(toy: ModuleType) -> None:
    rows = {}
    for sees in (True, False):
        algorithm = of(toy, lambda a, sees=sees: [BatchPhase("main", [a.update()], sees_data=sees)])
        pairs = toy.Pairs(12)
        toy.trainer(algorithm, pairs, batch_size=4, epochs=1).run()
        assert len(pairs.asked) == 3 * sees
        rows[sees] = [batch.index.tolist() for batch in algorithm.batches]
        assert all(bool(batch.images) == sees for batch in algorithm.batches)
    assert rows[True] == rows[False]


def test_a_solution_sees_every_row_in_order_as_often_as_it_likes(toy: ModuleType) -> None:
    algorithm = Plain(toy)
    seen: list[list[int]] = []

    def solve(batches: Any) -> dict[str, float]:
        assert not algorithm.training
        assert not torch.is_grad_enabled()
        for _ in range(2):
            seen.append([row for batch in batches for row in batch.index.tolist()])
        return {"rows": len(seen[0])}

    def blind() -> dict[str, float]:
        assert not algorithm.training
        assert not torch.is_grad_enabled()
        return {}

    algorithm.phases = lambda: [
        SolvePhase("all", solve, sees_data=True),
        SolvePhase("blind", blind),
    ]
    history = toy.trainer(algorithm, toy.Pairs(11), batch_size=4, epochs=1).run()
    assert seen == [list(range(11))] * 2
    assert history == [{"epoch": 1, "all/rows": 11}]


# What is known before


def test_standardized_features_are_known_to_the_beginning_and_fixed_in_training(
    toy: ModuleType,
) -> None:
    algorithm, pairs = toy.make(standardize=("image", "text"))
    begin, found = algorithm.begin, []

    def beginning(batches: Any) -> None:
        found.append(torch.cat([algorithm.net.text_features(b.texts).pooled for b in batches]))
        found.append({n: v.clone() for n, v in algorithm.net.norms.state_dict().items()})
        begin(batches)

    algorithm.begin = beginning
    toy.trainer(algorithm, pairs, epochs=2).run()
    torch.testing.assert_close(found[0].mean(dim=0), torch.zeros(6), atol=1e-5, rtol=0)
    torch.testing.assert_close(
        found[0].var(dim=0, unbiased=False), torch.ones(6), atol=1e-4, rtol=0
    )
    raw = algorithm.net.backbones["image"](pairs.image).pooled
    torch.testing.assert_close(found[1]["image.running_mean"], raw.mean(dim=0))
    after = algorithm.net.norms.state_dict()
    assert all(torch.equal(value, after[name]) for name, value in found[1].items())
    F, _ = algorithm.net({"image": pairs.image}, Features(pairs.text))
    assert F.isfinite().all()


@pytest.mark.parametrize("trains", ["heads", "nothing"])
def test_a_method_that_does_not_train_backbones_wants_them_frozen(
    toy: ModuleType, trains: str
) -> None:
    algorithm = Plain(toy)
    algorithm.trains = trains
    toy.trainer(algorithm, toy.Pairs())
    algorithm.net.backbones["image"].requires_grad_(True)
    with pytest.raises(ValueError, match="Plain does not train its backbones: freeze those of"):
        toy.trainer(algorithm, toy.Pairs())


@pytest.mark.parametrize("options", [{"monitor": "map_i2t"}, {"patience": 3}])
def test_settings_that_mean_nothing_without_validation_are_said(
    toy: ModuleType, options: dict[str, Any]
) -> None:
    (name,) = options
    with pytest.warns(UserWarning, match=rf"training\.{name} is .* but nothing is validated"):
        toy.trainer(*toy.make(), **options)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        toy.trainer(*toy.make(), validate=toy.agreement, **options)
        toy.trainer(*toy.make())
