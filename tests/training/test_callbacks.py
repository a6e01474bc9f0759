from __future__ import annotations

from pathlib import Path
from types import ModuleType

import pytest
import torch

from crosshash.training.callbacks import Callback


def test_a_callback_sees_each_epochs_figures_and_the_network_at_rest(toy: ModuleType) -> None:
    seen = []

    def note(figures, net) -> None:
        seen.append((dict(figures), net.training, torch.is_grad_enabled()))
        figures.clear()  # a copy

    algorithm, pairs = toy.make(kind=toy.EarlyToy)
    trainer = toy.trainer(
        algorithm, pairs, validate=toy.agreement, evaluate_every=2, callbacks=[note]
    )
    history = trainer.run()
    assert [line for line, *_ in seen] == history
    assert [line["epoch"] for line, *_ in seen] == [1, 2, 3, 4, 5]
    assert ["map_mean" in line for line, *_ in seen] == [False, True, False, True, True]
    assert {modes for _, *modes in map(tuple, seen) for modes in [tuple(modes)]} == {(False, False)}


def test_a_callback_that_returns_true_stops_the_training_once_all_were_asked(
    toy: ModuleType,
) -> None:
    asked: list[int] = []

    def stop(figures, net) -> bool:
        return figures["epoch"] == 3

    def note(figures, net) -> None:
        asked.append(figures["epoch"])

    algorithm, pairs = toy.make()
    trainer = toy.trainer(algorithm, pairs, callbacks=[stop, note])
    assert [line["epoch"] for line in trainer.run()] == [1, 2, 3]
    assert asked == [1, 2, 3]
    assert trainer.best_epoch == 3
    assert not algorithm.training


@pytest.mark.parametrize("answer", [None, False, 1, "no"])
def test_nothing_but_true_stops(toy: ModuleType, answer: object) -> None:
    trainer = toy.trainer(*toy.make(), epochs=2, callbacks=[lambda figures, net: answer])
    assert len(trainer.run()) == 2


def test_a_stopped_training_keeps_its_best_network_and_stays_stopped(
    toy: ModuleType, tmp_path: Path
) -> None:
    figures = iter([0.1, 0.9, 0.3])

    def run(algorithm, pairs, resume: bool) -> list:
        trainer = toy.trainer(
            algorithm,
            pairs,
            folder=tmp_path,
            validate=lambda net: {"map_mean": next(figures)},
            callbacks=[lambda line, net: line["epoch"] == 3],
        )
        history = trainer.run(resume=resume)
        assert trainer.best_epoch == 2
        return history

    first, pairs = toy.make()
    history = run(first, pairs, resume=False)
    assert len(history) == 3
    second, pairs = toy.make()
    assert run(second, pairs, resume=True) == history
    state = second.state_dict()
    assert all(torch.equal(value, state[name]) for name, value in first.state_dict().items())


def test_an_epoch_whose_callback_fails_is_trained_again_on_resuming(
    toy: ModuleType, tmp_path: Path
) -> None:
    asked: list[int] = []

    def failing(figures, net) -> None:
        asked.append(figures["epoch"])
        if len(asked) == 3:
            raise RuntimeError("disk full")

    algorithm, pairs = toy.make()
    with pytest.raises(RuntimeError, match="disk full"):
        toy.trainer(algorithm, pairs, folder=tmp_path, callbacks=[failing]).run()
    resumed, pairs = toy.make()
    history = toy.trainer(resumed, pairs, folder=tmp_path, callbacks=[failing]).run(resume=True)
    assert asked == [1, 2, 3, 3, 4, 5]
    whole, pairs = toy.make()
    assert toy.trainer(whole, pairs).run() == history


def test_callbacks_have_no_part_in_training(toy: ModuleType) -> None:
    def drawing(figures, net) -> None:
        torch.rand(3)

    histories = [
        toy.trainer(*toy.make(), callbacks=callbacks).run() for callbacks in ([], [drawing])
    ]
    assert histories[0] == histories[1]


def test_an_object_with_memory_is_a_callback(toy: ModuleType) -> None:
    class Plateau:
        """Stops when a loss has not fallen."""

        last = float("inf")

        def __call__(self, figures, net, /) -> bool:
            before, self.last = self.last, figures["image/nll"]
            return self.last >= before

    plateau: Callback = Plateau()
    algorithm, pairs = toy.make()
    history = toy.trainer(
        algorithm, pairs, epochs=200, learning_rate=0.3, callbacks=[plateau]
    ).run()
    assert 1 < len(history) < 200
    assert history[-1]["image/nll"] >= history[-2]["image/nll"]


# A training that ends before its schedules do


def test_a_training_until_an_epoch_goes_as_one_that_is_stopped_there(
    toy: ModuleType, tmp_path: Path
) -> None:
    stopped, pairs = toy.make()
    options = {"schedule": "geometric", "warmup_epochs": 1.5}
    stop = [lambda figures, net: figures["epoch"] == 3]
    history = toy.trainer(stopped, pairs, callbacks=stop, **options).run()
    shorter, pairs = toy.make()
    trainer = toy.trainer(shorter, pairs, until=3, folder=tmp_path, **options)
    assert trainer.run() == history
    assert trainer.best_epoch == 3
    states = stopped.state_dict(), shorter.state_dict()
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])
    other, pairs = toy.make()
    with pytest.raises(ValueError, match="until: 3 -> 4"):
        toy.trainer(other, pairs, until=4, folder=tmp_path, **options).run(resume=True)


@pytest.mark.parametrize("until", [0, 6])
def test_until_is_one_of_the_epochs(toy: ModuleType, until: int) -> None:
    with pytest.raises(ValueError, match=f"until is one of the 5 epochs .*got {until}"):
        toy.trainer(*toy.make(), until=until)


def test_the_last_epoch_before_until_is_validated(toy: ModuleType) -> None:
    algorithm, pairs = toy.make()
    options = {"until": 3, "evaluate_every": 2, "validate": toy.agreement}
    history = toy.trainer(algorithm, pairs, **options).run()
    assert ["map_mean" in line for line in history] == [False, True, True]


# Codes that were learned for the training rows


@pytest.mark.parametrize("kept", [2, 4])
def test_learned_codes_are_those_of_the_epoch_whose_network_is_kept(
    toy: ModuleType, tmp_path: Path, kept: int
) -> None:
    figures, seen = iter([0.0, 0.9, 0.1, 0.0 if kept == 2 else 1.0]), []
    algorithm, pairs = toy.make()
    algorithm.learned_codes = lambda: algorithm.bank.B

    def validate(net) -> dict[str, float]:
        seen.append(algorithm.bank.B.clone())
        return {"map_mean": next(figures)}

    options = {"epochs": 4, "folder": tmp_path, "validate": validate}
    trainer = toy.trainer(algorithm, pairs, **options)
    trainer.run()
    assert not torch.equal(seen[1], seen[3])
    assert torch.equal(trainer.learned_codes.float(), seen[kept - 1])
    again, pairs = toy.make()
    again.learned_codes = lambda: again.bank.B
    resumed = toy.trainer(again, pairs, **options)
    resumed.run(resume=True)
    assert torch.equal(resumed.learned_codes, trainer.learned_codes)


def test_without_validation_learned_codes_are_the_last(toy: ModuleType) -> None:
    algorithm, pairs = toy.make()
    plain = toy.trainer(algorithm, pairs, epochs=2)
    plain.run()
    assert plain.learned_codes is None
    algorithm.learned_codes = lambda: algorithm.bank.B
    trainer = toy.trainer(algorithm, pairs, epochs=2)
    trainer.run()
    assert torch.equal(trainer.learned_codes.float(), algorithm.bank.B)
