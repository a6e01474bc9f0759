from __future__ import annotations

import json
import os
import pickle
import signal
import subprocess
import sys
import warnings
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch

import crosshash
from crosshash.training.files import STATE as FILE


def equal(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> bool:
    return list(a) == list(b) and all(torch.equal(a[name], b[name]) for name in a)


class StopError(Exception):
    pass


def stop_after(toy: ModuleType, algorithm, epochs: int) -> None:
    """Make the algorithm fail in the epoch after so many."""
    solve, left = algorithm.solve, [epochs]

    def failing():
        if not left[0]:
            raise StopError
        left[0] -= 1
        return solve()

    algorithm.solve = failing


def half_trained(toy: ModuleType, folder: Path, epochs: int = 2, **options) -> None:
    algorithm, pairs = toy.make()
    stop_after(toy, algorithm, epochs)
    with pytest.raises(StopError):
        toy.trainer(algorithm, pairs, folder=folder, validate=toy.agreement, **options).run()


@pytest.mark.parametrize(
    ("killed", "early", "epochs", "left"),
    [
        ("--kill-at-text-step=8", 4, 2, 3 * 2 * 3),  # in the third epoch of three batches a phase
        ("--kill-at-early-step=5", 1, 0, 2 * 3 + 4 + 5 * 2 * 3),  # in the second pass of three
    ],
)
def test_a_killed_training_ends_as_an_uninterrupted_one_bit_for_bit(
    toy: ModuleType, tmp_path: Path, killed: str, early: int, epochs: int, left: int
) -> None:
    process = subprocess.run(
        [sys.executable, toy.__file__, tmp_path, killed],
        env={**os.environ, "PYTHONPATH": str(Path(crosshash.__file__).parents[1])},
        timeout=120,
        check=False,
    )
    assert process.returncode == -signal.SIGKILL
    assert len(lines(tmp_path / "preliminary.jsonl")) == early
    history = tmp_path / "history.jsonl"
    assert len(lines(history) if history.exists() else []) == epochs

    resumed, pairs = toy.make(kind=toy.EarlyToy)
    second = toy.trainer(resumed, pairs, folder=tmp_path, validate=toy.agreement)
    figures = second.run(resume=True)
    assert len(pairs.asked) == 4 + left  # 4: all pairs, seen once at the start

    whole, pairs = toy.make(kind=toy.EarlyToy)
    other = tmp_path / "whole"
    first = toy.trainer(whole, pairs, folder=other, validate=toy.agreement)
    assert first.run() == figures
    assert equal(whole.state_dict(), resumed.state_dict())
    assert first.best_epoch == second.best_epoch
    assert lines(history) == lines(other / "history.jsonl") == figures
    assert lines(tmp_path / "preliminary.jsonl") == lines(other / "preliminary.jsonl")
    assert [line["epoch"] for line in figures] == [1, 2, 3, 4, 5]


def lines(path: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


@pytest.mark.parametrize("done", range(1, 4))
def test_a_preliminary_phase_resumes_after_each_of_its_passes(
    toy: ModuleType, tmp_path: Path, done: int
) -> None:
    algorithm, pairs = toy.make(kind=toy.EarlyToy)
    loss, steps = algorithm.early_loss, [0]

    def failing(batch):
        steps[0] += 1
        if steps[0] > 3 * done:
            raise StopError
        return loss(batch)

    if done < 3:
        algorithm.early_loss = failing
    else:
        algorithm.early_solve = lambda batches: failing(None)
        steps[0] = 9
    options = {"folder": tmp_path, "optimizer": "adam"}
    with pytest.raises(StopError):
        toy.trainer(algorithm, pairs, **options).run()
    resumed, pairs = toy.make(kind=toy.EarlyToy)
    history = toy.trainer(resumed, pairs, **options).run(resume=True)
    assert resumed.order.count("judge") == 9 - 3 * done
    whole, pairs = toy.make(kind=toy.EarlyToy)
    assert toy.trainer(whole, pairs, optimizer="adam").run() == history
    assert equal(whole.state_dict(), resumed.state_dict())


@pytest.mark.parametrize("optimizer", ["adamw", "adam", "sgd"])
@pytest.mark.parametrize("stopped", [1, 4])
def test_every_optimiser_resumes_exactly(
    toy: ModuleType, tmp_path: Path, optimizer: str, stopped: int
) -> None:
    options = {
        "optimizer": optimizer,
        "weight_decay": 0.01,
        "schedule": "geometric",
        "warmup_epochs": 1.5,
        "clip_norm": 0.5,
        "patience": 4,
    }
    half_trained(toy, tmp_path, stopped, **options)
    resumed, pairs = toy.make()
    trainer = toy.trainer(resumed, pairs, folder=tmp_path, validate=toy.agreement, **options)
    history = trainer.run(resume=True)
    whole, pairs = toy.make()
    assert toy.trainer(whole, pairs, validate=toy.agreement, **options).run() == history
    assert equal(whole.state_dict(), resumed.state_dict())


def test_a_state_of_every_other_epoch_resumes_exactly(toy: ModuleType, tmp_path: Path) -> None:
    options = {"save_every": 2}
    half_trained(toy, tmp_path, 3, **options)
    state = torch.load(tmp_path / "state.pt", weights_only=True)
    assert state["progress"]["epoch"] == 2
    resumed, pairs = toy.make()
    trainer = toy.trainer(resumed, pairs, folder=tmp_path, validate=toy.agreement, **options)
    history = trainer.run(resume=True)
    whole, pairs = toy.make()
    assert toy.trainer(whole, pairs, validate=toy.agreement, **options).run() == history
    assert equal(whole.state_dict(), resumed.state_dict())
    lines = (tmp_path / "history.jsonl").read_text().splitlines()
    assert [json.loads(line) for line in lines] == history
    state = torch.load(tmp_path / "state.pt", weights_only=True)
    assert state["progress"]["epoch"] == 5  # the last, whatever its number


def test_the_best_network_is_kept_across_a_resume(toy: ModuleType, tmp_path: Path) -> None:
    figures = iter([0.9, 0.1])
    algorithm, pairs = toy.make()
    stop_after(toy, algorithm, 2)
    seen = []

    def validate(net) -> dict[str, float]:
        seen.append({name: value.clone() for name, value in net.state_dict().items()})
        return {"map_mean": next(figures, 0.2)}

    with pytest.raises(StopError):
        toy.trainer(algorithm, pairs, folder=tmp_path, validate=validate).run()
    resumed, pairs = toy.make()
    trainer = toy.trainer(resumed, pairs, folder=tmp_path, validate=validate)
    trainer.run(resume=True)
    assert trainer.best_epoch == 1
    assert equal(resumed.net.state_dict(), seen[0])


def test_figures_may_be_numbers_of_numpy(toy: ModuleType, tmp_path: Path) -> None:
    def validate(net) -> dict[str, float]:
        return {"map_mean": np.float64(0.5), "other": np.float32(0.25)}

    algorithm, pairs = toy.make()
    toy.trainer(algorithm, pairs, folder=tmp_path, validate=validate, epochs=1).run()
    again, pairs = toy.make()
    trainer = toy.trainer(again, pairs, folder=tmp_path, validate=validate, epochs=1)
    history = trainer.run(resume=True)
    assert history[0]["map_mean"] == 0.5
    assert history[0]["other"] == 0.25


def test_a_finished_training_is_not_trained_again(toy: ModuleType, tmp_path: Path) -> None:
    first, pairs = toy.make()
    history = toy.trainer(first, pairs, folder=tmp_path, validate=toy.agreement).run()
    second, pairs = toy.make()
    trainer = toy.trainer(second, pairs, folder=tmp_path, validate=toy.agreement)
    assert trainer.run(resume=True) == history
    assert equal(first.state_dict(), second.state_dict())
    assert len(pairs.asked) == 4


def test_patience_that_has_run_out_stays_so(toy: ModuleType, tmp_path: Path) -> None:
    def falling(net) -> dict[str, float]:
        return {"map_mean": next(figures)}

    figures = iter([0.5, 0.4, 0.3, 0.2])
    options = {"folder": tmp_path, "validate": falling, "patience": 1}
    first, pairs = toy.make()
    assert len(toy.trainer(first, pairs, **options).run()) == 2
    second, pairs = toy.make()
    assert len(toy.trainer(second, pairs, **options).run(resume=True)) == 2
    assert len(pairs.asked) == 4


def test_resuming_where_nothing_stands_says_so_and_starts_anew(
    toy: ModuleType, tmp_path: Path
) -> None:
    algorithm, pairs = toy.make()
    trainer = toy.trainer(algorithm, pairs, folder=tmp_path / "new")
    with pytest.warns(UserWarning, match=r"nothing to resume in .*new; training starts anew"):
        assert len(trainer.run(resume=True)) == 5
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert len(trainer.run(resume=True)) == 5


def test_resuming_without_a_folder_is_refused(toy: ModuleType) -> None:
    with pytest.raises(ValueError, match="nothing to resume without a folder"):
        toy.trainer(*toy.make()).run(resume=True)


def test_without_resume_a_training_starts_anew(toy: ModuleType, tmp_path: Path) -> None:
    half_trained(toy, tmp_path)
    algorithm, pairs = toy.make()
    history = toy.trainer(algorithm, pairs, folder=tmp_path).run()
    assert [line["epoch"] for line in history] == [1, 2, 3, 4, 5]
    assert len((tmp_path / "history.jsonl").read_text().splitlines()) == 5


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"seed": 1}, "seed: 0 -> 1"),
        ({"batch_size": 4}, "batch_size: 8 -> 4"),
        ({"epochs": 6}, "epochs: 5 -> 6"),
        ({"optimizer": "sgd"}, "optimizer: 'adamw' -> 'sgd'"),
        ({"precision": "bf16"}, "precision: 'no' -> 'bf16'"),
    ],
)
def test_a_resume_with_other_settings_is_refused(
    toy: ModuleType, tmp_path: Path, changed: dict, told: str
) -> None:
    half_trained(toy, tmp_path)
    before = (tmp_path / FILE).read_bytes()
    algorithm, pairs = toy.make()
    trainer = toy.trainer(algorithm, pairs, folder=tmp_path, validate=toy.agreement, **changed)
    with pytest.raises(ValueError, match=f"a training with other settings .*{told}"):
        trainer.run(resume=True)
    assert (tmp_path / FILE).read_bytes() == before


def test_a_resume_with_other_settings_of_the_caller_is_refused(
    toy: ModuleType, tmp_path: Path
) -> None:
    def run(**settings) -> None:
        algorithm, pairs = toy.make()
        trainer = toy.trainer(algorithm, pairs, folder=tmp_path, epochs=1)
        trainer.run(resume=True, settings=settings)

    with pytest.warns(UserWarning, match="nothing to resume"):
        run(objective={"widths": (4, 4)})
    run(objective={"widths": (4, 4)})
    with pytest.raises(ValueError, match=r"objective: .* -> "):
        run(objective={"widths": (4, 5)})
    with pytest.raises(ValueError, match=r"objective: .* -> None"):
        run()


def test_a_state_of_another_model_is_refused(toy: ModuleType, tmp_path: Path) -> None:
    half_trained(toy, tmp_path)
    algorithm, pairs = toy.make()
    algorithm.extra = torch.nn.Linear(2, 2)
    with pytest.raises(ValueError, match=r"does not fit the model: missing \['extra.weight'"):
        toy.trainer(algorithm, pairs, folder=tmp_path).run(resume=True)


def test_a_state_that_cannot_be_read_is_named(toy: ModuleType, tmp_path: Path) -> None:
    half_trained(toy, tmp_path)
    path = tmp_path / FILE
    path.write_bytes(path.read_bytes()[:500])
    algorithm, pairs = toy.make()
    with pytest.raises(ValueError, match=rf"{FILE}: cannot be read .*remove it to start"):
        toy.trainer(algorithm, pairs, folder=tmp_path).run(resume=True)


def test_a_state_runs_no_code(toy: ModuleType, tmp_path: Path) -> None:
    class Evil:
        def __reduce__(self):
            return (Path.touch, (tmp_path / "ran",))

    torch.save({"settings": Evil()}, tmp_path / FILE, pickle_module=pickle)
    algorithm, pairs = toy.make()
    with pytest.raises(ValueError, match="cannot be read"):
        toy.trainer(algorithm, pairs, folder=tmp_path).run(resume=True)
    assert not (tmp_path / "ran").exists()


def test_frozen_weights_are_not_stored_and_stay_as_they_are(
    toy: ModuleType, tmp_path: Path
) -> None:
    half_trained(toy, tmp_path)
    state = torch.load(tmp_path / FILE, weights_only=True)
    stored = [*state["algorithm"], *state["progress"]["best"]["net"]]
    assert "net.image_net.1.weight" in stored
    assert "image_net.1.weight" in stored
    assert not [name for name in stored if "backbones." in name]
    resumed, pairs = toy.make()
    with torch.no_grad():
        resumed.net.backbones["image"].linear.weight.fill_(0.5)
    toy.trainer(resumed, pairs, folder=tmp_path, validate=toy.agreement).run(resume=True)
    assert (resumed.net.backbones["image"].linear.weight == 0.5).all()


def test_a_damaged_state_is_refused(toy: ModuleType, tmp_path: Path) -> None:
    half_trained(toy, tmp_path)
    path = tmp_path / FILE
    whole = path.read_bytes()
    state = torch.load(path, weights_only=True)
    value = next(v for v in state["algorithm"].values() if v.is_floating_point() and v.numel() > 4)
    place = whole.index(value.contiguous().numpy().tobytes())
    path.write_bytes(whole[: place + 5] + bytes([whole[place + 5] ^ 1]) + whole[place + 6 :])
    algorithm, pairs = toy.make()
    with pytest.raises(ValueError, match=r"damaged.*remove it to start training anew"):
        toy.trainer(algorithm, pairs, folder=tmp_path, validate=toy.agreement).run(resume=True)
    path.write_bytes(whole)
    algorithm, pairs = toy.make()
    assert toy.trainer(algorithm, pairs, folder=tmp_path, validate=toy.agreement).run(resume=True)
