"""A split held out for model selection is trained on again."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import crosshash
from crosshash.config import ConfigError, ExperimentConfig, override_config, read_config
from crosshash.experiment import assembly
from crosshash.experiment.assembly import build, read_data
from crosshash.experiment.dry_run import plan
from crosshash.experiment.run import Result, train
from crosshash.training import trainer as trainer_module

FROZEN = {"image": {"name": "test_resnet", "options": {"weights": "random", "image_size": 32}}}
SMALL: dict[str, Any] = {
    "bits": 16,
    "backbones": FROZEN,
    "text.options": {"size": 500},
    "network": {"image_hidden": [16], "text_hidden": [16], "dropout": 0.2},
    "data": {
        "validation": 10,
        "refit": True,
        "options": {"n": 90, "size": 32, "query": 20, "train": 40},
    },
    "training": {"epochs": 4, "batch_size": 8, "device": "cpu", "schedule": "cosine"},
}


def small(**overrides: object) -> ExperimentConfig:
    return override_config(read_config("dmsfh/shapes-64", SMALL), overrides)


def second_best(net: torch.nn.Module) -> dict[str, float]:
    """A validation by which the second epoch is the best of all."""
    second_best.calls += 1  # type: ignore[attr-defined]
    return {"map_mean": {1: 0.1, 2: 0.9}.get(second_best.calls, 0.2)}  # type: ignore[attr-defined]


def run(folder: Path, config: ExperimentConfig, **options: Any) -> Result:
    second_best.calls = 0  # type: ignore[attr-defined]
    return train(config, folder, validate=second_best, progress=False, **options)


def lines(path: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def same_weights(a: torch.nn.Module, b: torch.nn.Module) -> bool:
    first, second = a.state_dict(), b.state_dict()
    return first.keys() == second.keys() and all(torch.equal(first[n], second[n]) for n in first)


def until(epoch: int) -> Any:
    return lambda figures, net: figures["epoch"] == epoch


@pytest.mark.parametrize("augment", [False, True])
def test_the_network_is_that_of_a_training_on_all_rows_stopped_after_the_best_epoch(
    tmp_path: Path, augment: bool
) -> None:
    more = {"data.augment": augment, "backbones.image.frozen": not augment}
    refit = run(tmp_path / "refit", small(**more))
    plain = {**more, "data.refit": False, "data.validation": 0}
    whole = train(small(**plain), tmp_path / "whole", callbacks=[until(2)], progress=False)
    assert refit.model.info.figures["best_epoch"] == 2
    assert refit.refit == whole.history
    assert same_weights(refit.model, whole.model)
    assert refit.report.i2t.map == whole.report.i2t.map
    first = run(tmp_path / "first", small(**more, **{"data.refit": False}))
    assert not same_weights(refit.model, first.model)
    assert refit.history == first.history


def test_both_histories_stay_and_figures_say_what_was_done(tmp_path: Path) -> None:
    result = train(small(), tmp_path, progress=False)
    best = result.model.info.figures["best_epoch"]
    assert lines(tmp_path / "history.jsonl") == result.history
    assert lines(tmp_path / "refit" / "history.jsonl") == result.refit
    assert (len(result.history), len(result.refit)) == (4, best)
    assert "map_mean" in result.history[0]
    assert "map_mean" not in result.refit[0]
    told = {
        "supervised": True,
        "pairs": 40,
        "best_epoch": best,
        "held_out": 10,
        "refit": True,
    }
    assert result.report.record.training == told
    stored = json.loads((tmp_path / "checkpoint" / "info.json").read_text())["figures"]
    assert (stored["record"]["training"], stored["best_epoch"]) == (told, best)
    card = (tmp_path / "checkpoint" / "README.md").read_text()
    assert f"epoch {best} chosen on 10 held-out pairs, then trained on all 40 pairs" in card
    again = crosshash.evaluate(tmp_path / "checkpoint", progress=False)
    assert again.record.training == told
    plain = train(small(**{"data.refit": False}), tmp_path / "plain", progress=False)
    assert plain.report.record.training == {**told, "pairs": 30, "refit": False}
    assert plain.refit == []


def test_held_out_pairs_that_choose_no_epoch_calibrate(tmp_path: Path) -> None:
    config = small(**{"training.evaluate_every": 4})
    result = train(config, tmp_path, progress=False)
    assert result.report is not None
    assert result.report.record.training == {"supervised": True, "pairs": 40, "best_epoch": 4}
    assert result.model.info.figures["calibration"]["items"] == 10
    assert "4 epochs on 40 pairs" in (tmp_path / "checkpoint" / "README.md").read_text()
    assert not (tmp_path / "plain" / "refit").exists()


def test_without_validation_the_record_has_no_held_out_pairs(tmp_path: Path) -> None:
    config = small(**{"data.refit": False, "data.validation": 0, "training.epochs": 1})
    result = train(config, tmp_path, progress=False)
    assert result.report.record.training == {
        "supervised": True,
        "pairs": 40,
        "best_epoch": 1,
    }


def test_the_vocabulary_is_learnt_anew_from_all_training_rows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    built = []

    def note(config: Any, dataset: Any, rows: np.ndarray, start: Any) -> Any:
        built.append((rows, build(config, dataset, rows, start)))
        return built[-1][1]

    monkeypatch.setattr(assembly, "build", note)
    result = run(tmp_path, small())
    (few, first), (every, second) = built
    assert set(few) < set(every) == set(result.protocol.train)
    assert set(first.text.vocabulary) < set(second.text.vocabulary)
    assert result.model is second


@pytest.mark.parametrize("writes", [1, 4, 5])
def test_a_training_killed_in_either_part_resumes_to_the_same_network(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, writes: int
) -> None:
    whole = train(small(), tmp_path / "whole", progress=False)
    write, left = trainer_module.write_state, [writes]

    def killed(folder: Path, state: Any) -> None:
        write(folder, state)
        left[0] -= 1
        if not left[0]:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(trainer_module, "write_state", killed)
        with pytest.raises(KeyboardInterrupt):
            train(small(), tmp_path / "killed", progress=False)
    assert (tmp_path / "killed" / "refit" / "state.pt").exists() == (writes == 5)
    with pytest.raises(FileExistsError, match="half-done"):
        train(small(), tmp_path / "killed", progress=False)
    resumed = train(small(), tmp_path / "killed", resume=True, progress=False)
    assert same_weights(resumed.model, whole.model)
    assert (resumed.history, resumed.refit) == (whole.history, whole.refit)
    assert lines(tmp_path / "killed" / "refit" / "history.jsonl") == whole.refit


def test_a_training_with_refit_is_not_resumed_without(tmp_path: Path) -> None:
    train(small(), tmp_path, progress=False)
    shutil.rmtree(tmp_path / "checkpoint")  # as if it had been killed before the end
    with pytest.raises(ValueError, match="refit"):
        train(small(**{"data.refit": False}), tmp_path, resume=True, progress=False)


def test_nothing_of_an_earlier_second_training_is_left_when_it_is_trained_over(
    tmp_path: Path,
) -> None:
    train(small(), tmp_path, progress=False)
    (tmp_path / "refit" / "notes.txt").write_text("mine")
    again = train(small(seed=1), tmp_path, overwrite=True, progress=False)
    assert lines(tmp_path / "refit" / "history.jsonl") == again.refit
    train(small(**{"data.refit": False}), tmp_path, overwrite=True, progress=False)
    assert [path.name for path in (tmp_path / "refit").iterdir()] == ["notes.txt"]


def test_fine_tuning_starts_from_the_given_model_both_times(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    start = run(tmp_path / "start", small(**{"data.options.seed": 5}))
    given = {name: value.clone() for name, value in start.model.state_dict().items()}
    begun = []

    def note(*arguments: Any) -> Any:
        model = build(*arguments)
        begun.append({name: value.clone() for name, value in model.state_dict().items()})
        return model

    monkeypatch.setattr(assembly, "build", note)
    tuned = run(tmp_path / "tuned", small(), start=start.folder)
    assert tuned.model.text.vocabulary == start.model.text.vocabulary
    assert [all(torch.equal(given[n], state[n]) for n in given) for state in begun] == [True, True]
    assert not same_weights(tuned.model, start.model)


def test_callbacks_and_patience_belong_to_the_first_training(tmp_path: Path) -> None:
    seen = []
    with warnings.catch_warnings():
        warnings.filterwarnings("error", message=".*nothing is validated.*")
        result = run(
            tmp_path,
            small(**{"training.patience": 1, "training.epochs": 9}),
            callbacks=[lambda figures, net: seen.append(figures["map_mean"])],
        )
    assert seen == [0.1, 0.9, 0.2]
    assert len(result.refit) == 2
    assert result.report.record.training == {
        "supervised": True,
        "pairs": 40,
        "best_epoch": 2,
        "held_out": 0,  # the validation was our own
        "refit": True,
    }


def test_refit_without_a_split_to_train_on_again_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"data.refit: .*data.validation, which holds none out"):
        small(**{"data.validation": 0})


def test_refit_is_refused_where_the_held_out_pairs_are_the_authors_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def read(config: ExperimentConfig) -> Any:
        dataset, protocol = read_data(config)
        return dataset, replace(protocol, retrieval=protocol.train, validation=np.arange(80, 90))

    monkeypatch.setattr(assembly, "read_data", read)
    with pytest.raises(ConfigError, match="validation set of its own, so that all 40 training"):
        train(small(), tmp_path, progress=False)


def test_a_dry_run_shows_the_second_training() -> None:
    found = plan(small(), "there")
    assert found.pairs == {"train": 30, "query": 20, "retrieval": 70, "validation": 10}
    assert found.refit == 40
    shown = {row["what"]: row["value"] for row in found.rows()}
    assert shown["refit"] == (
        "best epoch chosen on 10 held-out pairs, then trained anew on all 40 pairs"
    )
    assert plan(small(**{"data.refit": False}), "there").refit is None


@pytest.mark.torture  # two processes are trained in tests/training/test_processes.py as well
def test_two_processes_train_a_second_time_together(tmp_path: Path) -> None:
    script = tmp_path / "run.py"
    script.write_text(
        "import os, torch\n"
        "from crosshash.config import parse_config\n"
        "from crosshash.experiment import train\n"
        f"config = parse_config({small().model_dump(mode='json')!r})\n"
        "result = train(config, 'run', progress=False)\n"
        "found = {'state': result.model.state_dict(), 'history': result.refit,\n"
        "         'files': sorted(os.listdir('run/checkpoint'))}\n"
        "torch.save(found, f'result-{os.environ[\"RANK\"]}.pt')\n"
        "torch.distributed.destroy_process_group()\n"
    )
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
    common = {
        **os.environ,
        "PYTHONPATH": str(Path(crosshash.__file__).parents[1]),
        "CROSSHASH_CACHE": str(tmp_path / "cache"),
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
        "WORLD_SIZE": "2",
        "LOCAL_WORLD_SIZE": "2",
        "ACCELERATE_USE_CPU": "true",
        "OMP_NUM_THREADS": "1",
    }
    processes = [
        subprocess.Popen(
            [sys.executable, script],
            cwd=tmp_path,
            env={**common, "RANK": str(rank), "LOCAL_RANK": str(rank)},
        )
        for rank in range(2)
    ]
    try:
        assert [process.wait(timeout=200) for process in processes] == [0, 0]
    finally:
        for process in processes:
            process.kill()
    first, second = (torch.load(tmp_path / f"result-{rank}.pt") for rank in range(2))
    assert first["history"] == second["history"] == lines(tmp_path / "run/refit/history.jsonl")
    assert first["files"] == second["files"]
    assert all(torch.equal(first["state"][n], second["state"][n]) for n in first["state"])
    model = crosshash.load(tmp_path / "run" / "checkpoint")
    assert all(torch.equal(v, first["state"][n]) for n, v in model.state_dict().items())
