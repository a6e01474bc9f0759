"""What stands in the record of a run, however it ends."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from crosshash.experiment import run_record
from crosshash.experiment.run_record import RunRecord, kept_record, read_record

RECORD = RunRecord(method="dcmh", dataset="wiki", bits=16, seed=3, epochs=5, config="dcmh/wiki-16")


def broken(folder: Path, error: BaseException) -> None:
    with kept_record(folder) as keeper:
        keeper.begin(RECORD)
        raise error


def test_a_run_that_ends_well_is_finished(tmp_path: Path) -> None:
    with kept_record(tmp_path) as keeper:
        keeper.begin(RECORD)
        running = read_record(tmp_path)
        keeper.note(stage="evaluation", best_epoch=2)
    assert running is not None
    assert (running.state, running.stage, running.pid > 0) == ("running", "training", True)
    record = read_record(tmp_path)
    assert record is not None
    assert (record.state, record.stage, record.best_epoch) == ("finished", "evaluation", 2)
    assert (record.config, record.seed, record.error) == ("dcmh/wiki-16", 3, "")


@pytest.mark.parametrize(
    ("error", "state", "told"),
    [
        (FloatingPointError("epoch 3: loss"), "failed", "FloatingPointError: epoch 3: loss"),
        (KeyboardInterrupt(), "interrupted", ""),
    ],
)
def test_a_run_that_breaks_off_says_how(
    tmp_path: Path, error: BaseException, state: str, told: str
) -> None:
    with pytest.raises(type(error)):
        broken(tmp_path, error)
    record = read_record(tmp_path)
    assert record is not None
    assert (record.state, record.error) == (state, told)


def test_a_run_that_is_refused_before_it_begins_has_no_record(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="refused"), kept_record(tmp_path):
        raise ValueError("refused")
    assert read_record(tmp_path) is None


def test_further_processes_keep_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RANK", "1")
    with kept_record(tmp_path) as keeper:
        keeper.begin(RECORD)
    assert not list(tmp_path.iterdir())


def test_the_time_of_earlier_attempts_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = iter([0.0, 0.0, 70.0, 100.0, 100.0, 107.0])
    monkeypatch.setattr(run_record.time, "monotonic", lambda: next(clock))
    with pytest.raises(ValueError, match="x"):
        broken(tmp_path, ValueError("x"))
    with kept_record(tmp_path) as keeper:
        keeper.begin(RECORD)
    record = read_record(tmp_path)
    assert record is not None
    assert record.seconds == 77


def test_of_a_killed_attempt_counts_how_far_it_had_come(tmp_path: Path) -> None:
    killed = RECORD.model_copy(update={"seconds": 5.0})
    (tmp_path / "run.json").write_text(killed.model_dump_json())
    (tmp_path / "position.json").write_text('{"epoch": 2.5, "seconds": 1000}')
    with kept_record(tmp_path) as keeper:
        keeper.begin(RECORD)
    record = read_record(tmp_path)
    assert record is not None
    assert 1005 <= record.seconds < 1060


def test_a_record_that_cannot_be_written_stops_nothing(
    tmp_path: Path,
) -> None:
    folder = tmp_path / "run"
    folder.write_text("a file, in which none can be made")
    with kept_record(folder) as keeper:
        with pytest.warns(UserWarning, match=r"run\.json is not written"):
            keeper.begin(RECORD)
        folder.unlink()
    record = read_record(folder)
    assert record is not None
    assert record.state == "finished"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("[]", "the whole: Input should be"),
        ("{", "not valid JSON"),
        ('{"method": "dcmh"}', "dataset: Field required"),
        (json.dumps({**RECORD.model_dump(), "state": "fine"}), "state: Input should be"),
        (json.dumps({**RECORD.model_dump(), "bits": "16"}), "bits: Input should be"),
    ],
)
def test_a_damaged_record_is_refused(tmp_path: Path, content: str, message: str) -> None:
    (tmp_path / "run.json").write_text(content)
    with pytest.raises(ValueError, match=rf"run\.json.*{message}"):
        read_record(tmp_path)


def test_what_a_later_version_adds_is_passed_over(tmp_path: Path) -> None:
    values = {**RECORD.model_dump(), "watts": 3}
    (tmp_path / "run.json").write_text(json.dumps(values))
    assert read_record(tmp_path) == RECORD


def test_seconds_are_counted_from_the_beginning(tmp_path: Path) -> None:
    with kept_record(tmp_path) as keeper:
        time.sleep(0.2)  # reading data is no part of it
        keeper.begin(RECORD)
        assert keeper.note().seconds < 0.2
