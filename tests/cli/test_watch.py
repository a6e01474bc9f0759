"""The command ``watch``, and the chart at the end of ``train``."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner, Result

from crosshash.cli import app
from crosshash.experiment.run_folder import running_in
from crosshash.experiment.run_record import RunRecord, kept_record, read_record

RECORD = RunRecord(
    method="dcmh",
    dataset="wiki",
    bits=16,
    seed=0,
    epochs=10,
    config="dcmh/wiki-16",
    monitor="map_mean",
)
ENVIRONMENT = {**os.environ, "COLUMNS": "100", "LINES": "50", "TERM": "xterm-256color"}
WATCH = [sys.executable, "-m", "crosshash", "watch"]


def history(folder: Path, epochs: int) -> None:
    lines = [
        {"epoch": n, "likelihood": 1 / n, "map_mean": round(0.1 + n / 20, 2)}
        for n in range(1, epochs + 1)
    ]
    text = "".join(json.dumps(line) + "\n" for line in lines)
    (folder / "history.jsonl.new").write_text(text)
    (folder / "history.jsonl.new").replace(folder / "history.jsonl")


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["watch", *map(str, arguments)])


@contextlib.contextmanager
def training(folder: Path, epochs: int = 4) -> Any:
    """A run that goes on in this process."""
    with running_in(folder), kept_record(folder) as keeper:
        keeper.begin(RECORD)
        history(folder, epochs)
        place = {"epoch": epochs + 0.5, "seconds": 45, "epoch_seconds": 10, "step_seconds": 0.02}
        (folder / "position.json").write_text(json.dumps(place))
        yield keeper


def test_once_prints_how_a_run_is_and_leaves(tmp_path: Path) -> None:
    with training(tmp_path):
        shown = run(tmp_path, "--once")
    assert shown.exit_code == 0
    assert f"dcmh/wiki-16  running, process {os.getpid()} on " in shown.stdout
    assert "4/10" in shown.stdout
    assert "likelihood 0.25" in shown.stdout
    assert "map_mean 0.300 after epoch 4" in shown.stdout
    assert "20 ms a step, 10 s an epoch" in shown.stdout
    assert "unless it stops early" in shown.stdout
    assert "MAP by epoch: best 0.300 after epoch 4" in shown.stdout
    assert "█" in shown.stdout


def test_json_has_all_of_it(tmp_path: Path) -> None:
    with training(tmp_path):
        found = json.loads(run(tmp_path, "--json").stdout)
    assert (found["state"], found["epoch"], found["of_epochs"]) == ("running", 4.5, 10)
    assert found["validation"] == {"map_mean": 0.3}
    assert found["pid"] == os.getpid()
    assert 40 < found["seconds_left"] <= 55


def test_a_folder_of_runs_is_a_table_of_their_states(tmp_path: Path) -> None:
    with training(tmp_path / "done"):
        pass
    with pytest.raises(FloatingPointError):
        broken(tmp_path / "failed")
    (tmp_path / "odd").mkdir()
    (tmp_path / "odd" / "run.json").write_text("{")
    with training(tmp_path / "goes-on"):
        shown = run(tmp_path, "--once")
        values = json.loads(run(tmp_path, "--json").stdout)
    assert shown.exit_code == 0
    states = {Path(value["folder"]).name: value["state"] for value in values}
    assert states == {
        "done": "finished",
        "failed": "failed",
        "goes-on": "running",
        "odd": "unreadable",
    }
    lines = {line.split()[0]: line for line in shown.stdout.splitlines() if line.split()}
    assert lines["done"].split()[1:4] == ["finished", "4/10", "0.300"]
    assert "FloatingPointError: epoch 3: loss is not finite" in lines["failed"]
    assert "not valid JSON" in lines["odd"]


def broken(folder: Path) -> None:
    with training(folder):
        raise FloatingPointError("epoch 3: loss is not finite")


def test_what_files_say_does_not_steer_the_terminal(tmp_path: Path) -> None:
    with training(tmp_path):
        record = RECORD.model_copy(update={"config": "\x1b[31mred\n[bold]x"})
        (tmp_path / "run.json").write_text(record.model_dump_json())
        shown = run(tmp_path, "--once").stdout
    assert "\x1b" not in shown
    assert "\\x1b[31mred\\x0a[bold]x" in shown


def test_a_folder_without_a_run_is_wrong_input(tmp_path: Path) -> None:
    done = subprocess.run([*WATCH, str(tmp_path)], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "has no run, in it or below" in done.stderr


@pytest.mark.parametrize("fails", [False, True])
def test_in_a_pipe_each_epoch_is_a_line_until_the_run_ends(tmp_path: Path, fails: bool) -> None:
    watching: Any = None
    with contextlib.suppress(FloatingPointError), training(tmp_path, 2):
        watching = subprocess.Popen(
            [*WATCH, str(tmp_path)], stdout=subprocess.PIPE, text=True, env=ENVIRONMENT
        )
        first = [watching.stdout.readline() for _ in range(2)]
        history(tmp_path, 3)
        third = watching.stdout.readline()
        assert watching.poll() is None
        if fails:
            raise FloatingPointError("epoch 4")
    last = watching.stdout.read()
    assert first[1] == "epoch 2  likelihood 0.5  map_mean 0.2\n"
    assert third.startswith("epoch 3  ")
    assert last == ("failed: FloatingPointError: epoch 4\n" if fails else "finished\n")
    assert watching.wait(30) == int(fails)


@pytest.mark.skipif(sys.platform == "win32", reason="needs a pseudo-terminal")
def test_on_a_terminal_the_view_moves_until_the_run_ends(tmp_path: Path) -> None:
    import pty

    ours, theirs = pty.openpty()
    shown: list[bytes] = []

    def read() -> None:
        with contextlib.suppress(OSError):  # the other side is closed
            while part := os.read(ours, 65536):
                shown.append(part)

    def wait_for(text: str) -> None:
        until = time.monotonic() + 60
        while text not in b"".join(shown).decode("utf-8", "replace"):
            assert time.monotonic() < until, b"".join(shown)
            time.sleep(0.05)

    reader = threading.Thread(target=read, daemon=True)
    with training(tmp_path, 4):
        watching = subprocess.Popen([*WATCH, str(tmp_path)], stdout=theirs, env=ENVIRONMENT)
        os.close(theirs)
        reader.start()
        wait_for("4/10")
        history(tmp_path, 5)
        wait_for("5/10")
        wait_for("MAP by epoch: best 0.350 after epoch 5")
    assert watching.wait(30) == 0
    wait_for("finished")


CONFIG = {
    "method": "dcmh",
    "bits": 16,
    "backbones": {"image": {"name": "features"}},
    "text": {"name": "features"},
    "data": {"name": "features", "validation": 6, "root": "."},
    "network": {"image_hidden": [8], "text_hidden": [8]},
    "training": {"epochs": 3, "batch_size": 16, "device": "cpu"},
}


def test_a_training_ends_with_a_chart_on_a_terminal_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from safetensors.numpy import save_file

    rng = np.random.default_rng(0)
    hot = np.eye(3, dtype=np.uint8)[rng.integers(0, 3, 60)]
    vectors = (hot @ rng.normal(size=(3, 6)) + rng.normal(size=(60, 6))).astype(np.float32)
    rows = {"te": slice(0, 12), "tr": slice(12, 60)}
    named = {"I": vectors, "T": vectors + 0.1, "L": hot}
    parts = {f"{k}_{part}": v[rows[part]].copy() for k, v in named.items() for part in rows}
    save_file(parts, tmp_path / "f.safetensors")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.yaml").write_text(json.dumps(CONFIG))
    options = "data.root=f.safetensors"

    def trained(*more: str) -> str:
        command = ["train", "mine.yaml", options, "--overwrite", "-o", "run", "-q", *more]
        done = CliRunner().invoke(app, command)
        assert done.exit_code == 0, done.output
        return done.stdout

    assert "by epoch" not in trained()
    monkeypatch.setattr("crosshash.cli.train.on_terminal", lambda: True)
    shown = trained()
    assert shown.startswith("MAP by epoch: best 0.")
    assert json.loads(trained("--json"))["checkpoint"] == "run/checkpoint"
    record = read_record(tmp_path / "run")
    assert record is not None
    assert (record.config, record.overrides) == ("mine.yaml", [options])
    assert not (tmp_path / "run" / "report.html").exists()
    monkeypatch.setenv("CROSSHASH_PAGE", "1")
    assert "page: run/report.html" in trained()
    assert (tmp_path / "run" / "report.html").is_file()
    assert json.loads(trained("--json", "--no-page"))["page"] is None
    assert not (tmp_path / "run" / "report.html").exists()
