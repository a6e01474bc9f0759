"""``crosshash export`` as a user calls it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import typer
from typer.testing import CliRunner

import crosshash
from crosshash.cli.export import export

app = typer.Typer()
app.command()(export)
app.command()(lambda: None)  # a second command, so that the first keeps its name


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    model = crosshash.create(
        "dmsfh",
        bits=16,
        backbones={"name": "features", "dim": 6},
        texts=["a red circle", "a blue square"],
        text_hidden=[8],
    )
    path = tmp_path_factory.mktemp("models") / "small"
    crosshash.save(model, path)
    return path


def run(*words: str) -> Any:
    return CliRunner().invoke(app, ["export", *words])


def test_a_checkpoint_becomes_files_that_run(
    checkpoint: Path, onnxruntime: Any, tmp_path: Path
) -> None:
    output = tmp_path / "exported"
    done = run(str(checkpoint), "-o", str(output), "--json")
    assert done.exit_code == 0, done.output
    told = json.loads(done.stdout)
    assert told.pop("folder") == str(output)
    assert told == json.loads((output / "export.json").read_text())
    rows = np.random.default_rng(0).normal(size=(3, 6)).astype(np.float32)
    session = onnxruntime.InferenceSession(str(output / "image.onnx"))
    packed = session.run(["packed"], {"image": rows})[0]
    np.testing.assert_array_equal(packed, crosshash.load(checkpoint).encode_image(rows))
    again = run(str(checkpoint), "-o", str(output))
    assert again.exit_code == 0, again.output
    assert f"{output}: dmsfh, 16 bits" in again.stdout
    assert "image.onnx: image float32 (n, 6)" in again.stdout
    assert "text.onnx: bow uint8 (n, 4)" in again.stdout


def test_an_unknown_model_is_told_and_nothing_is_written(tmp_path: Path) -> None:
    done = run("amgfh-shapes-63", "-o", str(tmp_path / "out"))
    assert done.exit_code != 0
    assert isinstance(done.exception, LookupError)
    assert "amgfh-shapes-64" in str(done.exception)
    assert not (tmp_path / "out").exists()
