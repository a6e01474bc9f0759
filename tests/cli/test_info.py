"""``crosshash info`` as a user calls it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from typer.testing import CliRunner

import crosshash
from crosshash.cli import app
from crosshash.data.features.cache import FeatureCache


@pytest.fixture(autouse=True)
def _own_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "a.bin").write_bytes(bytes(3000))
    monkeypatch.setenv("CROSSHASH_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("CROSSHASH_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def filled(tmp_path: Path) -> Path:
    FeatureCache().lookup(
        "net-0", [bytes(32)], ("pooled",), lambda rows: iter([{"pooled": torch.ones(1, 4)}])
    )
    (shard,) = (tmp_path / "cache").rglob("*.safetensors")
    return shard


def run(*arguments: object) -> Any:
    return CliRunner().invoke(app, ["info", *map(str, arguments)])


def test_the_machine_is_told(tmp_path: Path, filled: Path) -> None:
    values = json.loads(run("--json").stdout)
    assert values["versions"]["crosshash"] == crosshash.__version__
    assert values["versions"]["torch"] == torch.__version__.partition("+")[0]
    assert {"python", "numpy", "timm", "transformers"} <= set(values["versions"])
    assert values["threads"] == torch.get_num_threads()
    assert values["data"] == {"folder": str(tmp_path / "data"), "bytes": 3000}
    assert values["features"] == {
        "folder": str(tmp_path / "cache" / "features"),
        "bytes": filled.stat().st_size,
    }
    shown = run().stdout
    assert f"{tmp_path / 'data'} (3.0 kB)" in shown
    assert str(tmp_path / "cache" / "features") in shown


def test_without_data_and_cache_it_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CROSSHASH_DATA")
    values = json.loads(run("--json").stdout)
    assert values["data"] == {"folder": None, "bytes": None}
    assert values["features"]["bytes"] == 0
    assert "not set" in run().stdout


def test_the_cache_is_cleared_only_after_a_yes(filled: Path, tmp_path: Path) -> None:
    other = tmp_path / "cache" / "features" / "notes.txt"
    other.write_text("mine")
    size = filled.stat().st_size
    refused = run("--clear-cache")
    assert refused.exit_code != 0
    assert "--yes" in str(refused.exception)
    assert filled.exists()
    done = json.loads(run("--clear-cache", "--yes", "--json").stdout)
    assert done["freed"] == size
    assert [path for path in (tmp_path / "cache").rglob("*") if path.is_file()] == [other]
    assert not filled.parents[1].exists()
    assert json.loads(run("--clear-cache", "--json").stdout)["freed"] == 0


def test_clearing_is_of_no_single_model() -> None:
    result = run("amgfh-shapes-64", "--clear-cache", "--yes")
    assert "leave amgfh-shapes-64 out" in str(result.exception)


def test_a_model_of_the_zoo_is_told() -> None:
    values = json.loads(run("amgfh-shapes-64", "--json").stdout)
    model = crosshash.load("amgfh-shapes-64")
    assert (values["method"], values["bits"], values["golden"]) == ("amgfh", 64, True)
    assert values["vocabulary"] == model.text.dim
    assert values["parameters"] == sum(weight.numel() for weight in model.parameters())
    assert values["map_i2t"] == pytest.approx(model.info.figures["map_i2t"])
    assert (values["dataset"], values["licence"]) == ("shapes", "Apache-2.0")
    shown = run("amgfh-shapes-64").stdout
    for told in ("resnet10t", "words", f"{values['map_i2t']:.3f}", "Apache-2.0", values["sha256"]):
        assert told in shown


def test_a_folder_that_was_never_measured_is_told(tmp_path: Path) -> None:
    model = crosshash.create(
        "dmsfh",
        bits=16,
        backbones={"name": "features", "dim": 6},
        texts=["a red circle", "a blue square"],
        text_hidden=[8],
    )
    crosshash.save(model, tmp_path / "small")
    values = json.loads(run(tmp_path / "small", "--json").stdout)
    assert (values["map_i2t"], values["chance"], values["dataset"]) == (None, None, None)
    assert (values["golden"], values["vocabulary"]) == (False, 4)
    assert values["licence"] == "apache-2.0"
    assert "not measured" in run(tmp_path / "small").stdout
    (tmp_path / "small" / "README.md").unlink()
    assert json.loads(run(tmp_path / "small", "--json").stdout)["licence"] is None


def test_a_recipe_says_how_it_is_trained() -> None:
    result = run("amgfh-mirflickr-64")
    assert isinstance(result.exception, LookupError)
    assert "crosshash train amgfh/mirflickr-64" in str(result.exception)
