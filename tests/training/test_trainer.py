from __future__ import annotations

import json
import math
import sys
from collections.abc import Callable, Mapping
from itertools import pairwise
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from accelerate.state import PartialState
from torch import nn

from crosshash.algorithms.phases import Algorithm, BatchPhase, SolvePhase, Update
from crosshash.backbones.base import Features, ImageBackbone
from crosshash.backbones.text.features import TextFeatures
from crosshash.model.hash_model import HashModel
from crosshash.training.optimization import schedule_factor

SGD: dict[str, Any] = {"optimizer": "sgd", "learning_rate": 1.0, "momentum": 0.0}


class OneLayer(HashModel):
    """A head of one layer, for both sides."""

    def __init__(self, backbone: ImageBackbone) -> None:
        super().__init__({"image": backbone}, TextFeatures(dim=6), 8)
        self.head = nn.Linear(6, 4)

    def hash_image(self, features: Mapping[str, Features]) -> torch.Tensor:
        return self.head(features["image"].pooled)

    def hash_text(self, features: Features) -> torch.Tensor:
        return self.head(features.pooled)


class Plain(Algorithm):
    """Phases that the test writes, around a network of one layer and a trained backbone."""

    def __init__(self, toy: ModuleType, phases: Callable[[Plain], list]) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.net = OneLayer(toy.LinearBackbone(6))
        self.make = phases

    @property
    def parts(self) -> dict[str, nn.Module]:
        return {"head": self.net.head, "backbone": self.net.backbones["image"].linear}

    def phases(self) -> list:
        return self.make(self)


def falling(parameters: list[nn.Parameter], seen: list[float]) -> Callable:
    """A loss whose gradient is 1 everywhere, which notes its first parameter's value."""

    def loss(batch) -> dict[str, torch.Tensor]:
        seen.append(parameters[0].flatten()[0].item())
        return {"sum": sum(p.sum() for p in parameters)}

    return loss


def single(toy: ModuleType, loss: Callable[[Plain], Callable]) -> Plain:
    """One phase with one update of the head."""
    return Plain(
        toy,
        lambda a: [BatchPhase("only", [Update(a.net.head.parameters(), loss(a))])],
    )


def steps(seen: list[float], last: float) -> list[float]:
    return [before - after for before, after in pairwise([*seen, last])]


def changed(before: dict[str, torch.Tensor], module: nn.Module) -> set[str]:
    return {n for n, v in module.state_dict().items() if not torch.equal(before[n], v)}


def snapshot(module: nn.Module) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in module.state_dict().items()}


# Phases


@pytest.mark.parametrize(
    ("phase", "update", "moves"),
    [
        (0, 0, {"net.image_net.1.weight", "net.image_net.1.bias", "bank.F"}),
        (1, 0, {"net.text_net.1.weight", "net.text_net.1.bias", "bank.G", "seen"}),
        (1, 1, {"judge.weight", "judge.bias"}),
    ],
)
def test_an_update_moves_its_own_parameters_only(
    toy: ModuleType, phase: int, update: int, moves: set[str]
) -> None:
    algorithm, pairs = toy.make()
    chosen = algorithm.phases()[phase].updates[update]
    if chosen.name == "judge":  # needs what the text's update leaves for it
        judged = chosen.loss
        chosen.loss = lambda batch: judged(shared(batch))

    def shared(batch):
        batch.shared["generated"] = algorithm.bank.G[batch.index]
        return batch

    algorithm.phases = lambda: [BatchPhase("alone", [chosen])]
    before = snapshot(algorithm)
    toy.trainer(algorithm, pairs, epochs=1).run()
    assert changed(before, algorithm) == moves | {"bank.labels"}


def test_a_solve_phase_runs_once_an_epoch_in_its_place(toy: ModuleType) -> None:
    algorithm, pairs = toy.make()
    order = []

    def note(name: str) -> None:
        inner = getattr(algorithm, name)
        setattr(algorithm, name, lambda *given: order.append(name) or inner(*given))

    for name in ("image_loss", "text_loss", "judge_loss", "solve"):
        note(name)
    history = toy.trainer(algorithm, pairs, epochs=2).run()
    epoch = ["image_loss"] * 3 + ["text_loss", "judge_loss"] * 3 + ["solve"]
    assert order == epoch * 2
    assert history[1]["codes/balance"] == pytest.approx(float(algorithm.bank.B.mean()))


def test_training_agrees_with_a_loop_written_out_by_hand(toy: ModuleType) -> None:
    algorithm, pairs = toy.make(dropout=0)
    settings = {**SGD, "learning_rate": 0.1}
    history = toy.trainer(algorithm, pairs, epochs=2, schedule="geometric", **settings)
    history = history.run()
    asked = pairs.asked[4:]  # after the four batches of the beginning

    other, pairs = toy.make(dropout=0)
    other.begin([pairs.__getitems__(list(range(31)))])

    def step(module: nn.Module, loss: torch.Tensor, rate: float) -> None:
        parameters = list(module.parameters())
        for p, grad in zip(parameters, torch.autograd.grad(loss, parameters), strict=True):
            p.data -= rate * grad

    nlls = []
    for epoch in range(2):
        for number in range(2):
            for place in range(3):
                progress = (epoch + (number + place / 3) / 3) / 2
                rate = 0.1 * (1e-6 / 0.1) ** progress
                batch = pairs.__getitems__(asked[epoch * 6 + number * 3 + place])
                if number == 0:
                    terms = other.image_loss(batch)
                    nlls.append(terms["nll"].item())
                    step(other.net.image_net, terms["nll"] + 0.5 * terms["fit"], rate)
                    other.bank.store(batch.index, F=batch.shared["F"])
                else:
                    terms = other.text_loss(batch)
                    step(other.net.text_net, terms["nll"] + terms["fooled"], rate)
                    other.bank.store(batch.index, G=batch.shared["G"])
                    step(other.judge, other.judge_loss(batch)["judged"], rate)
        other.solve()
    for name, value in other.state_dict().items():
        torch.testing.assert_close(algorithm.state_dict()[name], value, msg=name)
    assert [line["image/nll"] for line in history] == pytest.approx(
        [sum(nlls[:3]) / 3, sum(nlls[3:]) / 3], rel=1e-5
    )


def test_terms_are_reported_without_their_weights(toy: ModuleType) -> None:
    def make(weight: float) -> Plain:
        loss = lambda a: lambda batch: {"t": 0 * a.net.head.weight.sum() + 3.0}  # noqa: E731
        return Plain(
            toy,
            lambda a: [
                BatchPhase("only", [Update(a.net.head.parameters(), loss(a), {"t": weight})])
            ],
        )

    for weight in (0.0, 0.5, 9.0):
        assert toy.trainer(make(weight), toy.Pairs(), epochs=1).run() == [{"epoch": 1, "t": 3.0}]


def test_two_phases_of_one_name_are_refused(toy: ModuleType) -> None:
    algorithm = Plain(toy, lambda a: [SolvePhase("x", dict), SolvePhase("x", dict)])
    with pytest.raises(ValueError, match=r"a name of its own, got \['x', 'x'\]"):
        toy.trainer(algorithm, toy.Pairs()).run()


def test_two_updates_with_a_term_of_one_name_are_refused(toy: ModuleType) -> None:
    def phases(a: Plain) -> list:
        loss = falling(list(a.net.head.parameters()), [])
        updates = [Update(a.net.head.parameters(), loss, name=name) for name in ("a", "b")]
        return [BatchPhase("both", updates)]

    with pytest.raises(ValueError, match="'a' and 'b' of one phase both have a loss term 'sum'"):
        toy.trainer(Plain(toy, phases), toy.Pairs()).run()


def test_losses_see_training_mode_and_beginning_and_validation_do_not(toy: ModuleType) -> None:
    algorithm, pairs = toy.make()

    def validate(net) -> dict[str, float]:
        algorithm.modes.append(("validate", net.training or torch.is_grad_enabled()))
        return {"map_mean": 0.0}

    toy.trainer(algorithm, pairs, epochs=2, validate=validate).run()
    assert set(algorithm.modes) == {("begin", False), ("image", True), ("validate", False)}
    assert [mode[0] for mode in algorithm.modes].count("validate") == 2
    assert not algorithm.training


def test_the_beginning_sees_every_pair_once_in_order(toy: ModuleType) -> None:
    algorithm, pairs = toy.make()
    algorithm.phases = lambda: [SolvePhase("nothing", dict)]
    toy.trainer(algorithm, pairs, epochs=1).run()
    assert [row for rows in pairs.asked for row in rows] == list(range(31))


def test_an_epoch_sees_a_pair_at_most_once_in_an_order_of_its_own(toy: ModuleType) -> None:
    algorithm, pairs = toy.make()
    toy.trainer(algorithm, pairs, epochs=2).run()
    passes = [pairs.asked[4 + 3 * number : 7 + 3 * number] for number in range(4)]
    for rows in passes:
        assert [len(part) for part in rows] == [8, 8, 8]
        assert len({row for part in rows for row in part}) == 24
    assert all(passes[0] != other for other in passes[1:])


# Schedule, clipping, numbers


@pytest.mark.parametrize("schedule", ["constant", "linear", "cosine", "geometric"])
def test_every_step_has_the_rate_of_its_place_in_the_training(
    toy: ModuleType, schedule: str
) -> None:
    seen: list[float] = []
    algorithm = single(toy, lambda a: falling(list(a.net.head.parameters()), seen))
    toy.trainer(
        algorithm,
        toy.Pairs(8),
        batch_size=2,
        epochs=3,
        **SGD,
        schedule=schedule,
        final_learning_rate=0.01,
        warmup_epochs=0.75,
    ).run()
    expected = [schedule_factor(schedule, i / 12, final=0.01, warmup=0.25) for i in range(12)]
    found = steps(seen, algorithm.net.head.weight.flatten()[0].item())
    assert found == pytest.approx(expected, abs=1e-5)
    assert expected[1] == pytest.approx(1 / 3)


def test_phases_share_an_epochs_part_of_the_schedule(toy: ModuleType) -> None:
    seen: list[float] = []

    def phases(a: Plain) -> list:
        loss = falling(list(a.net.head.parameters()), seen)
        update = Update(a.net.head.parameters(), loss)
        return [
            BatchPhase("a", [update]),
            SolvePhase("b", dict),
            BatchPhase("c", [Update(a.net.head.parameters(), loss)]),
        ]

    algorithm = Plain(toy, phases)
    toy.trainer(
        algorithm, toy.Pairs(8), batch_size=4, epochs=1, **SGD, final_learning_rate=0.01
    ).run()
    found = steps(seen, algorithm.net.head.weight.flatten()[0].item())
    expected = [schedule_factor("cosine", p / 6, final=0.01) for p in (0, 1, 4, 5)]
    assert found == pytest.approx(expected, abs=1e-5)


def test_a_backbone_has_its_own_rate_on_the_same_course(toy: ModuleType) -> None:
    seen: dict[str, list[float]] = {"head": [], "backbone": []}

    def phases(a: Plain) -> list:
        parts = {name: list(a.parts[name].parameters()) for name in seen}
        losses = {name: falling(part, seen[name]) for name, part in parts.items()}

        def loss(batch):
            return {name: losses[name](batch)["sum"] for name in losses}

        return [BatchPhase("only", [Update([*parts["head"], *parts["backbone"]], loss)])]

    algorithm = Plain(toy, phases)
    settings = {**SGD, "backbone_learning_rate": 0.1}
    toy.trainer(algorithm, toy.Pairs(8), batch_size=4, epochs=2, **settings).run()
    head, backbone = (
        steps(values, algorithm.parts[name].weight.flatten()[0].item())
        for name, values in seen.items()
    )
    assert backbone == pytest.approx([0.1 * rate for rate in head], abs=1e-5)
    assert head[0] == pytest.approx(1.0, abs=1e-5)


@pytest.mark.parametrize(("clip", "expected"), [(0.5, 0.5), (None, 100 * math.sqrt(28))])
def test_an_updates_gradient_is_clipped_as_a_whole(
    toy: ModuleType, clip: float | None, expected: float
) -> None:
    def loss(a: Plain) -> Callable:
        return lambda batch: {"t": 100 * sum(p.sum() for p in a.net.head.parameters())}

    algorithm = single(toy, loss)
    before = snapshot(algorithm.net.head)
    toy.trainer(
        algorithm,
        toy.Pairs(4),
        batch_size=4,
        epochs=1,
        clip_norm=clip,
        **SGD,
        schedule="constant",
    ).run()
    moved = [value - before[name] for name, value in algorithm.net.head.state_dict().items()]
    norm = math.sqrt(sum(float(part.square().sum()) for part in moved))
    assert norm == pytest.approx(expected, rel=1e-3)


@pytest.mark.parametrize("value", [math.nan, math.inf])
@pytest.mark.parametrize("term", ["nll", "fit"])
def test_a_loss_that_is_no_number_stops_the_training_by_its_name(
    toy: ModuleType, term: str, value: float
) -> None:
    algorithm, pairs = toy.make()
    inner, calls, solved = algorithm.image_loss, [], []

    def broken(batch):
        terms = inner(batch)
        calls.append(1)
        if len(calls) == 5:  # in the middle of epoch 2
            terms[term] = terms[term] * value
        return terms

    algorithm.image_loss = broken
    solve = algorithm.solve
    algorithm.solve = lambda: solved.append(1) or solve()
    with pytest.raises(FloatingPointError, match=rf"epoch 2: .*image/{term}.* is not finite"):
        toy.trainer(algorithm, pairs).run()
    assert len(solved) == 1  # B is not solved for from broken codes


def test_a_solved_figure_that_is_no_number_stops_the_training(toy: ModuleType) -> None:
    algorithm, pairs = toy.make()
    algorithm.solve = lambda: {"balance": math.nan}
    with pytest.raises(FloatingPointError, match="epoch 1: codes/balance is not finite"):
        toy.trainer(algorithm, pairs).run()


# Validation


def scripted(algorithm: nn.Module, figures: list[float], nets: list) -> Callable:
    values = iter(figures)

    def validate(net: nn.Module) -> dict[str, float]:
        nets.append(snapshot(net))
        return {"map_mean": next(values), "other": 1.0}

    return validate


def test_the_best_network_by_the_monitored_figure_is_kept(toy: ModuleType) -> None:
    algorithm, pairs = toy.make()
    nets: list = []
    trainer = toy.trainer(
        algorithm, pairs, validate=scripted(algorithm, [0.1, 0.5, 0.3, 0.5, 0.2], nets)
    )
    history = trainer.run()
    assert trainer.best_epoch == 2
    assert not changed(nets[1], algorithm.net)
    assert changed(nets[4], algorithm.net)
    assert [line["map_mean"] for line in history] == [0.1, 0.5, 0.3, 0.5, 0.2]
    assert history[0]["other"] == 1.0


def test_without_validation_the_last_network_is_kept(toy: ModuleType) -> None:
    algorithm, pairs = toy.make()
    trainer = toy.trainer(algorithm, pairs, epochs=3)
    history = trainer.run()
    assert trainer.best_epoch == 3
    assert set(history[0]) == {
        "epoch",
        "image/nll",
        "image/fit",
        "text/nll",
        "text/fooled",
        "text/judged",
        "codes/balance",
    }


def test_an_unknown_monitor_names_the_figures_there_are(toy: ModuleType) -> None:
    algorithm, pairs = toy.make()
    trainer = toy.trainer(algorithm, pairs, validate=toy.agreement, monitor="map")
    with pytest.raises(ValueError, match=r"monitor is 'map', but validation gives \['map_mean'\]"):
        trainer.run()


def test_validation_comes_every_so_many_epochs_and_after_the_last(toy: ModuleType) -> None:
    algorithm, pairs = toy.make()
    history = toy.trainer(algorithm, pairs, validate=toy.agreement, evaluate_every=2).run()
    assert [line["epoch"] for line in history if "map_mean" in line] == [2, 4, 5]


@pytest.mark.parametrize(
    ("figures", "every", "patience", "epochs"),
    [
        ([0.5, 0.4, 0.3, 0.2, 0.1, 0.0], 1, 2, 3),
        ([0.5, 0.4, 0.6, 0.2, 0.1, 0.0], 1, 2, 5),
        ([0.5, 0.5, 0.5, 0.5, 0.5, 0.5], 1, 1, 2),
        ([0.5, 0.4, 0.9], 2, 1, 4),
        ([0.1, 0.2, 0.3], 2, 1, 6),
        ([0.5, 0.4, 0.3, 0.2, 0.1, 0.0], 1, None, 6),
    ],
)
def test_training_stops_when_patience_runs_out(
    toy: ModuleType, figures: list[float], every: int, patience: int | None, epochs: int
) -> None:
    algorithm, pairs = toy.make()
    history = toy.trainer(
        algorithm,
        pairs,
        epochs=6,
        validate=scripted(algorithm, figures, []),
        evaluate_every=every,
        patience=patience,
    ).run()
    assert len(history) == epochs


def test_validation_has_no_part_in_training(toy: ModuleType) -> None:
    def drawing(net) -> dict[str, float]:
        return {"map_mean": float(torch.rand(()))}

    states = []
    for validate in (None, drawing):
        algorithm, pairs = toy.make()
        toy.trainer(algorithm, pairs, validate=validate).run()
        states.append(snapshot(algorithm.judge))
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])


# Runs


def test_one_seed_gives_one_training_and_another_seed_another(toy: ModuleType) -> None:
    histories = []
    for seed in (0, 0, 1):
        algorithm, pairs = toy.make()
        torch.rand(7)  # what was drawn before does not matter
        histories.append(toy.trainer(algorithm, pairs, seed=seed).run())
    assert histories[0] == histories[1]
    assert histories[0] != histories[2]


def test_worker_processes_change_nothing(toy: ModuleType) -> None:
    histories = []
    for workers in (0, 2):
        algorithm, pairs = toy.make()
        histories.append(toy.trainer(algorithm, pairs, epochs=1, workers=workers).run())
    assert histories[0] == histories[1]


def test_training_learns(toy: ModuleType) -> None:
    algorithm, pairs = toy.make(dropout=0)
    history = toy.trainer(algorithm, pairs, epochs=20).run()
    assert history[-1]["image/nll"] < 0.93 * history[0]["image/nll"]
    assert history[-1]["text/nll"] < 0.93 * history[0]["text/nll"]


def test_mixed_precision_runs_on_the_cpu_and_keeps_full_weights(toy: ModuleType) -> None:
    types = []

    def precise(precision: str) -> list[dict[str, float]]:
        algorithm, pairs = toy.make(dropout=0)
        inner = algorithm.net.image_net.forward
        algorithm.net.image_net.forward = lambda x: types.append(inner(x).dtype) or inner(x)
        history = toy.trainer(algorithm, pairs, precision=precision).run()
        assert {p.dtype for p in algorithm.parameters()} == {torch.float32}
        return history

    full, mixed, again = precise("no"), precise("bf16"), precise("no")
    assert types[0] == types[-1] == torch.float32
    assert torch.bfloat16 in types
    assert mixed != full
    assert mixed[-1]["image/nll"] == pytest.approx(full[-1]["image/nll"], rel=0.05)
    assert again == full


def test_trainers_made_before_they_run_keep_their_own_precision(toy: ModuleType) -> None:
    types: list[torch.dtype] = []

    def loss(a: Plain) -> Callable:
        def noting(batch):
            out = a.net.head(batch.texts.pooled)
            types.append(out.dtype)
            return {"t": out.float().square().mean()}

        return noting

    trainers = [
        toy.trainer(single(toy, loss), toy.Pairs(8), epochs=1, precision=precision)
        for precision in ("bf16", "no")
    ]
    for trainer in trainers:
        trainer.run()
    assert types == [torch.bfloat16, torch.float32]


def test_a_trainer_does_not_inherit_the_device_of_an_earlier_one(toy: ModuleType) -> None:
    PartialState().device = torch.device("meta")
    algorithm, pairs = toy.make()
    trainer = toy.trainer(algorithm, pairs, epochs=1, device="cpu")
    trainer.run()
    assert trainer.accelerator.device.type == "cpu"
    assert algorithm.bank.F.device.type == "cpu"


def test_history_is_written_line_by_line(toy: ModuleType, tmp_path: Path) -> None:
    algorithm, pairs = toy.make()
    history = toy.trainer(algorithm, pairs, folder=tmp_path / "run", epochs=2).run()
    lines = (tmp_path / "run" / "history.jsonl").read_text().splitlines()
    assert [json.loads(line) for line in lines] == history
    assert {path.name for path in (tmp_path / "run").iterdir()} == {"history.jsonl", "state.pt"}


def test_while_it_runs_its_position_can_be_read(
    toy: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("crosshash.training.log._OFTEN", 0.0)
    seen = []

    def read(figures: Mapping[str, float], net: object) -> None:
        seen.append(json.loads((tmp_path / "position.json").read_text()))

    algorithm, pairs = toy.make()
    toy.trainer(algorithm, pairs, folder=tmp_path, epochs=3, callbacks=[read]).run()
    assert [int(place["epoch"]) for place in seen] == [0, 1, 2]  # steps of the epoch that is done
    assert all(place["seconds"] > 0 and place["step_seconds"] > 0 for place in seen)
    assert ["epoch_seconds" in place for place in seen] == [False, True, True]
    assert not (tmp_path / "position.json").exists()


def test_a_training_that_breaks_off_leaves_its_position(
    toy: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("crosshash.training.log._OFTEN", 0.0)

    def breaks(figures: Mapping[str, float], net: object) -> None:
        raise RuntimeError("enough")

    algorithm, pairs = toy.make()
    with pytest.raises(RuntimeError, match="enough"):
        toy.trainer(algorithm, pairs, folder=tmp_path, epochs=3, callbacks=[breaks]).run()
    assert 0 < json.loads((tmp_path / "position.json").read_text())["epoch"] < 1


def test_positions_are_not_written_at_every_step(
    toy: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("crosshash.training.log._OFTEN", 1000.0)

    def none_yet(figures: Mapping[str, float], net: object) -> None:
        assert not (tmp_path / "position.json").exists()

    algorithm, pairs = toy.make()
    toy.trainer(algorithm, pairs, folder=tmp_path, epochs=2, callbacks=[none_yet]).run()


def test_without_a_folder_nothing_is_written(
    toy: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    algorithm, pairs = toy.make()
    toy.trainer(algorithm, pairs, epochs=1).run()
    assert list(tmp_path.iterdir()) == []


def test_progress_goes_to_standard_error(
    toy: ModuleType, capsys: pytest.CaptureFixture[str]
) -> None:
    algorithm, pairs = toy.make()
    toy.trainer(algorithm, pairs, epochs=2, progress=True, validate=toy.agreement).run()
    shown = capsys.readouterr()
    assert shown.out == ""
    assert "epoch 2/2" in shown.err
    algorithm, pairs = toy.make()
    toy.trainer(algorithm, pairs, epochs=1, progress=False).run()
    assert capsys.readouterr().err == ""


def test_tensorboard_events_are_written(toy: ModuleType, tmp_path: Path) -> None:
    accumulator = pytest.importorskip(
        "tensorboard.backend.event_processing.event_accumulator",
        reason="needs the extra tensorboard",
    )
    algorithm, pairs = toy.make()
    history = toy.trainer(
        algorithm, pairs, epochs=2, folder=tmp_path, tensorboard=True, validate=toy.agreement
    ).run()
    events = accumulator.EventAccumulator(str(tmp_path / "tensorboard"))
    events.Reload()
    for name in ("image/nll", "codes/balance", "map_mean"):
        found = [(event.step, event.value) for event in events.Scalars(name)]
        assert found == [(line["epoch"], pytest.approx(line[name])) for line in history]


def test_a_missing_tensorboard_names_the_extra(
    toy: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    algorithm, pairs = toy.make()
    with pytest.raises(ImportError, match=r"pip install 'crosshash\[tensorboard\]'"):
        toy.trainer(algorithm, pairs, folder=tmp_path, tensorboard=True).run()


def test_tensorboard_needs_a_folder(toy: ModuleType) -> None:
    algorithm, pairs = toy.make()
    with pytest.raises(ValueError, match="TensorBoard needs an output folder"):
        toy.trainer(algorithm, pairs, tensorboard=True).run()


@pytest.mark.parametrize("count", [0, 1])
def test_too_few_pairs_are_refused(toy: ModuleType, count: int) -> None:
    with pytest.raises(ValueError, match=f"at least 2 pairs in a batch and 1 epoch, got {count}"):
        toy.trainer(toy.make()[0], toy.Pairs(count))


def test_fewer_pairs_than_a_batch_are_one_batch(toy: ModuleType) -> None:
    algorithm, pairs = toy.make(count=5)
    toy.trainer(algorithm, pairs, batch_size=128, epochs=1).run()
    assert [len(rows) for rows in pairs.asked] == [5, 5, 5]


def test_no_epochs_are_refused(toy: ModuleType) -> None:
    with pytest.raises(ValueError, match="1 epoch, got 8 and 0"):
        toy.trainer(*toy.make(), epochs=0)


def test_an_unknown_device_is_named(toy: ModuleType) -> None:
    with pytest.raises(ValueError, match="'auto', 'cpu' or 'cuda', got 'gpu'"):
        toy.trainer(*toy.make(), device="gpu")


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_a_device_that_is_not_there_is_refused(toy: ModuleType) -> None:
    with pytest.raises(ValueError, match="torch sees no such device"):
        toy.trainer(*toy.make(), device="cuda")
