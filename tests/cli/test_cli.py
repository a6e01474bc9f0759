"""The command line as a user calls it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

import crosshash
from crosshash.cli import app, main


def run(*arguments: object) -> str:
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert result.exit_code == 0, result.output
    return result.stdout


def test_version() -> None:
    assert run("--version").strip() == crosshash.__version__


def test_train_and_evaluate(tmp_path: Path) -> None:
    overrides = [
        "data.options={n: 120, size: 32, query: 20, train: 60}",
        "data.validation=10",
        "backbones.image.name=test_resnet",
        "backbones.image.options={weights: random, image_size: 32}",
        "training.epochs=1",
        "network.dim=16",
    ]
    output = tmp_path / "run"
    trained = json.loads(
        run("train", "amgfh/shapes-64", *overrides, "-o", output, "--json", "--quiet")
    )
    assert trained["checkpoint"] == str(output / "checkpoint")
    figures = json.loads(run("evaluate", output / "checkpoint", "--json", "--quiet"))
    assert figures == trained["figures"]
    assert figures["counts"] == {"query": 20, "retrieval": 100, "train": 60}
    assert not [name for name, value in figures.items() if isinstance(value, list)]
    whole = json.loads(run("evaluate", output / "checkpoint", "--json=full", "--quiet"))
    assert whole["i2t"]["map"] == figures["map_i2t"]
    assert whole["i2t"]["chance"] == figures["chance_i2t"]
    assert whole["record"]["split"] == figures["split"]
    assert len(whole["i2t"]["by_radius"]["recall"]) == 65
    assert "MAP" in run("evaluate", output / "checkpoint", "--quiet")


def test_models_lists_the_zoo() -> None:
    names = [manifest["name"] for manifest in json.loads(run("models", "--json"))]
    assert "amgfh-shapes-64" in names
    assert "amgfh-shapes-64" in run("models")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["train", "amgfh/nothing-64"], "no config"),
        (["train", "amgfh/shapes-64", "training.epoch=1"], "epochs"),
        (["train", "amgfh/shapes-64", "bits=20"], "multiple of 8"),
        (["train", "amgfh/shapes-64", "backbones.image.name=resnet19"], "resnet18"),
        (["evaluate", "amgfh-nothing-64"], "no model"),
    ],
)
def test_bad_input_ends_with_one_line_and_exit_code_2(
    arguments: list[str],
    message: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["crosshash", *arguments])
    with pytest.raises(SystemExit) as end:
        main()
    assert end.value.code == 2
    error = capsys.readouterr().err
    assert error.startswith("crosshash: ")
    assert message in error
    assert "Traceback" not in error


def test_python_m_crosshash_runs() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "crosshash", "--version"], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == crosshash.__version__
