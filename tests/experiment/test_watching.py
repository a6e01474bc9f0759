"""Runs as another process sees them, from the files that they write."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from crosshash.experiment.run_folder import running_in
from crosshash.experiment.run_record import RunRecord
from crosshash.experiment.watching import find_runs, is_held, read_run, read_runs

RECORD = RunRecord(
    method="dcmh",
    dataset="wiki",
    bits=16,
    seed=0,
    epochs=10,
    config="dcmh/wiki-16",
    monitor="map_mean",
    figures=["map_i2t", "map_t2i", "map_mean"],
    seconds=5.0,
)


def write_run(folder: Path, epochs: int = 3, **record: Any) -> Path:
    """A run as a training leaves it after some epochs."""
    folder.mkdir(parents=True, exist_ok=True)
    values = RECORD.model_copy(update=record)
    (folder / "run.json").write_text(values.model_dump_json())
    lines = [
        {"epoch": n, "likelihood": 1 / n, "map_i2t": 0.1 * n, "map_t2i": 0.1, "map_mean": 0.2 - n}
        for n in range(1, epochs + 1)
    ]
    (folder / "history.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return folder


def place(folder: Path, **values: float) -> None:
    (folder / "position.json").write_text(json.dumps(values))


def test_a_run_whose_folder_is_held_is_running(tmp_path: Path) -> None:
    write_run(tmp_path)
    place(tmp_path, epoch=3.5, seconds=35, epoch_seconds=10, step_seconds=0.5)
    with running_in(tmp_path):
        view = read_run(tmp_path)
    assert view.state == "running"
    assert (view.epoch, view.epochs, view.epoch_seconds) == (3.5, 10, 10)
    assert view.seconds == 40
    assert view.seconds_left == pytest.approx(65, abs=5)  # six and a half epochs
    assert view.best == (1, pytest.approx(-0.8))
    assert view.losses() == {"likelihood": pytest.approx(1 / 3)}
    assert set(view.measured()) == {"map_i2t", "map_t2i", "map_mean"}
    json.dumps(view.as_dict(), allow_nan=False)


def test_before_an_epoch_is_done_its_beginning_tells_how_long_one_takes(tmp_path: Path) -> None:
    write_run(tmp_path, epochs=0)
    with running_in(tmp_path):
        place(tmp_path, epoch=0.25, seconds=30, step_seconds=0.5)
        assert read_run(tmp_path).epoch_seconds == 120
        place(tmp_path, epoch=0.01, seconds=30)
        assert read_run(tmp_path).epoch_seconds is None
        assert read_run(tmp_path).seconds_left is None


@pytest.mark.parametrize("state", ["finished", "failed", "interrupted"])
def test_a_run_that_ended_is_as_its_record_says(tmp_path: Path, state: str) -> None:
    write_run(tmp_path, state=state, error="ValueError: x" if state == "failed" else "")
    place(tmp_path, epoch=3.5, seconds=35)  # of a run that broke off
    view = read_run(tmp_path)
    assert (view.state, view.position, view.epoch) == (state, None, 3)
    assert view.error == ("ValueError: x" if state == "failed" else "")


def test_a_run_that_says_it_runs_but_holds_nothing_was_killed(tmp_path: Path) -> None:
    write_run(tmp_path)
    (tmp_path / ".lock").touch()
    assert read_run(tmp_path).state == "interrupted"
    (tmp_path / "checkpoint").mkdir()  # it was killed while it drew its page
    assert read_run(tmp_path).state == "finished"


def test_runs_of_versions_without_a_record_are_read_as_far_as_they_go(tmp_path: Path) -> None:
    write_run(tmp_path)
    (tmp_path / "run.json").unlink()
    view = read_run(tmp_path)
    assert (view.state, view.epochs, view.record) == ("interrupted", None, None)
    assert view.measured()["map_t2i"] == 0.1
    json.dumps(view.as_dict())


def test_in_the_second_training_its_own_epochs_count(tmp_path: Path) -> None:
    write_run(tmp_path, stage="refit", best_epoch=4, refit=True)
    (tmp_path / "refit").mkdir()
    (tmp_path / "refit" / "history.jsonl").write_text('{"epoch": 1, "likelihood": 7}\n')
    with running_in(tmp_path):
        place(tmp_path / "refit", epoch=1.5, seconds=15, epoch_seconds=10)
        view = read_run(tmp_path)
    assert (view.again, view.epoch, view.epochs) == (True, 1.5, 4)
    assert view.losses() == {"likelihood": 7}
    assert view.seconds_left == pytest.approx(25, abs=5)
    assert view.best == (1, pytest.approx(-0.8))  # of the first


def test_looking_at_a_run_does_not_keep_another_from_beginning(tmp_path: Path) -> None:
    """One who looks may hold the lock for a moment, in which a training must wait and not fail."""
    from threading import Timer

    from filelock import FileLock

    looks = FileLock(tmp_path / ".lock", thread_local=False)
    looks.acquire()
    Timer(0.3, looks.release).start()
    with running_in(tmp_path):
        assert is_held(tmp_path)
    assert is_held(tmp_path) is False
    assert is_held(tmp_path / "elsewhere") is False


def test_all_runs_below_a_folder_are_found_and_nothing_within_a_run(tmp_path: Path) -> None:
    first = write_run(tmp_path / "b" / "first")
    write_run(first / "refit")
    second = write_run(tmp_path / "a")
    (tmp_path / "c" / "checkpoint").mkdir(parents=True)
    (tmp_path / "c" / "checkpoint" / "config.json").touch()
    write_run(tmp_path / ".hidden")
    assert find_runs(tmp_path) == [second, first, tmp_path / "c"]
    assert find_runs(first) == [first]


def test_a_folder_without_a_run_says_what_was_looked_for(tmp_path: Path) -> None:
    with pytest.raises(
        FileNotFoundError, match=r"has no run, in it or below: looked for run\.json"
    ):
        find_runs(tmp_path)
    with pytest.raises(FileNotFoundError, match="gone is no folder: expected that of a run"):
        find_runs(tmp_path / "gone")


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("history.jsonl", '{"epoch": 1}\n{"epoch": "2"}\n', "line 2: expected figures by name"),
        ("history.jsonl", "[1]\n", "line 1: expected figures by name"),
        ("history.jsonl", '{"epoch": NaN}\n', "line 1: not valid JSON"),
        ("position.json", "{}", "Field required"),
        ("run.json", "{}", "this is no record of a run"),
    ],
)
def test_damaged_files_are_named(tmp_path: Path, name: str, content: str, message: str) -> None:
    write_run(tmp_path / "bad")
    write_run(tmp_path / "good", state="finished")
    (tmp_path / "bad" / name).write_text(content)
    with running_in(tmp_path / "bad"):
        with pytest.raises(ValueError, match=rf"{name}.*{message}"):
            read_run(tmp_path / "bad")
        bad, good = read_runs([tmp_path / "bad", tmp_path / "good"])
    assert (bad.state, good.state) == ("unreadable", "finished")
    assert message in bad.error


def test_watching_imports_nothing_heavy() -> None:
    code = (
        "import sys, crosshash.cli.watch_view, crosshash.experiment.watching; "
        "print(sorted({'torch', 'numba', 'matplotlib', 'faiss'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
