"""The command line as a user calls it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

import crosshash
from crosshash.cli import app, main


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    import torch

    torch.manual_seed(0)
    model = crosshash.create(
        "amgfh",
        bits=32,
        backbones={"name": "test_resnet", "weights": "random", "image_size": 32},
        texts=["a red circle", "a blue square"],
        dim=16,
        hidden=[16],
    )
    folder = tmp_path_factory.mktemp("model") / "checkpoint"
    crosshash.save(model, folder)
    return folder


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pictures")
    for number in range(5):
        Image.new("RGB", (32, 32), (50 * number, 100, 10)).save(folder / f"{number}.png")
    return folder


def run(*arguments: object) -> str:
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert result.exit_code == 0, result.output
    return result.stdout


def test_version() -> None:
    assert run("--version").strip() == crosshash.__version__


def test_encode_index_and_search(checkpoint: Path, pictures: Path, tmp_path: Path) -> None:
    encoded = json.loads(run("encode", checkpoint, pictures, "-o", tmp_path / "c.npz", "--json"))
    assert encoded == {"output": str(tmp_path / "c.npz"), "items": 5, "bits": 32}
    with np.load(tmp_path / "c.npz", allow_pickle=False) as file:
        codes, ids = file["codes"], file["ids"]
    assert codes.shape == (5, 4)
    run("index", checkpoint, pictures, "-o", tmp_path / "index", "--quiet")
    page = tmp_path / "hits.html"
    found = json.loads(
        run("search", pictures / "3.png", "-i", tmp_path / "index", "-k", 3, "-g", page, "--json")
    )
    assert [hit["rank"] for hit in found["hits"]] == [1, 2, 3]
    assert found["hits"][0]["distance"] == 0
    assert str(pictures / "3.png") in ids
    assert "data:image/" in page.read_text()
    by_text = json.loads(run("search", "a red square", "-i", tmp_path / "index", "--json"))
    assert len(by_text["hits"]) == 5


def test_texts_are_encoded(checkpoint: Path, tmp_path: Path) -> None:
    run("encode", checkpoint, "red circle", "blue", "--text", "-o", tmp_path / "t.npz")
    with np.load(tmp_path / "t.npz", allow_pickle=False) as file:
        assert list(file["ids"]) == ["red circle", "blue"]


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
        (["search", "dogs", "-i", "nowhere"], "nowhere"),
        (["encode", "amgfh-shapes-64", "missing.jpg", "-o", "c.npz"], "missing.jpg"),
        (["encode", "amgfh-shapes-64", "zyzzyva", "--text", "-o", "c.npz"], "zyzzyva"),
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


def test_an_empty_folder_of_pictures_is_refused(
    checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "empty").mkdir()
    monkeypatch.setattr(
        sys,
        "argv",
        ["crosshash", "index", str(checkpoint), str(tmp_path / "empty"), "-o", str(tmp_path / "i")],
    )
    with pytest.raises(SystemExit) as end:
        main()
    assert end.value.code == 2


def test_python_m_crosshash_runs() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "crosshash", "--version"], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == crosshash.__version__
