"""``crosshash audit``: what it passes, what it finds, and its exit codes."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

import crosshash
from crosshash.auditing import audit
from crosshash.cli import app
from crosshash.data.load import load_dataset

SHIPPED = [one.name for one in crosshash.list_models() if one.status == "local"]
LEAKY = """
import torch

torch.manual_seed(0)
image_net, text_net = torch.nn.Linear(128, 32), torch.nn.Linear(10, 32)

@torch.no_grad()
def paired(images, texts):
    image, text = image_net(torch.tensor(images)), text_net(torch.tensor(texts))
    return torch.tanh(image + text), torch.tanh(text)

@torch.no_grad()
def attends(images, texts):
    image, text = image_net(torch.tensor(images)), text_net(torch.tensor(texts))
    return torch.softmax(image @ image.T, dim=1) @ image, text

number = 3
"""


def invoke(*arguments: object) -> tuple[int, str]:
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    return result.exit_code, result.stdout


@pytest.fixture(scope="module")
def leaky(tmp_path_factory: pytest.TempPathFactory) -> Path:
    # Once: it is imported, and a second file of its name would be refused.
    file = tmp_path_factory.mktemp("audit") / "leaky_encoders_of_a_test.py"
    file.write_text(LEAKY)
    return file


WIKI = [name for name in SHIPPED if "wiki" in name]
ONE_EACH = ["amgfh-wiki-64", "dmsfh-wiki-16", "hfah-wiki-32", "lpdh-wiki-64", "mdffh-wiki-16"]


@pytest.mark.parametrize(
    "name",
    [name if name in ONE_EACH else pytest.param(name, marks=pytest.mark.torture) for name in WIKI],
)
def test_shipped_models_of_wiki_pass(name: str, shared_data: Path) -> None:
    code, told = invoke("audit", name, "--root", shared_data / "wiki", "--json", "--quiet")
    found = json.loads(told)
    assert code == 0, found["findings"]
    assert found["faults"] == 0
    assert not found["skipped"]
    manifest = next(one for one in crosshash.list_models() if one.name == name)
    measured = found["figures"]["i2t"]["map"]["expected"]
    assert manifest.figures is not None
    assert measured == pytest.approx(manifest.figures.map_i2t, abs=1e-4)


@pytest.mark.parametrize("name", [name for name in SHIPPED if "shapes" in name])
def test_shipped_models_of_shapes_pass(name: str) -> None:
    dataset, protocol = load_dataset("shapes", n=160, seed=7)
    found = audit(name, dataset, protocol, items=12)
    assert not found.faults
    assert not found.skipped


def test_the_shipped_model_of_photographs_passes(shared_data: Path) -> None:
    dataset, protocol = load_dataset("flickr8k", root=shared_data / "flickr8k")
    found = audit("photos", dataset, protocol, items=8, limit=24)
    assert not found.faults
    assert not found.skipped


def test_leaks_of_a_function_are_found(leaky: Path, shared_data: Path) -> None:
    root = shared_data / "wiki"
    code, told = invoke("audit", f"{leaky}:paired", "--data", "wiki", "--root", root, "--json")
    assert code == 1
    checks = {one["check"] for one in json.loads(told)["findings"] if one["level"] == "fault"}
    assert checks == {"partner"}
    code, told = invoke("audit", f"{leaky}:attends", "--data", "wiki", "--root", root)
    assert code == 1
    assert {"FAULT alone", "FAULT batch size", "FAULT shuffled"} <= set(told.splitlines())
    assert "NOTE content" in told
    assert "MAP@50 t2i" in told


def test_a_report_with_mixed_epochs_is_found(tmp_path: Path) -> None:
    report = tmp_path / "report.json"
    report.write_text('{"i2t": {"epoch": 2}, "t2i": {"epoch": 9}}')
    common = ["audit", "dmsfh-shapes-64", "n=120", "seed=7", "--items", "8", "--json"]
    code, told = invoke(*common, "--report", report)
    assert code == 1
    checks = {one["check"] for one in json.loads(told)["findings"] if one["level"] == "fault"}
    assert checks == {"epochs", "database"}


def test_what_cannot_be_audited_is_refused(fail: Callable[..., str], leaky: Path) -> None:
    assert "name it with --data" in fail("audit", f"{leaky}:paired")
    assert "has no function 'number'" in fail("audit", f"{leaky}:number", "--data", "wiki")
    assert "no Python file" in fail("audit", "nowhere.py:encode", "--data", "wiki")
    assert "nowhere" in fail("audit", "nowhere_at_all:encode", "--data", "wiki")


def test_a_file_is_named_with_its_ending_and_its_function(
    fail: Callable[..., str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "encoder_beside_a_test.py").write_text("def encode(images, texts): ...\n")
    monkeypatch.chdir(tmp_path)
    told = fail("audit", "encoder_beside_a_test:encode", "--data", "wiki")
    assert "name a file with its ending, encoder_beside_a_test.py:encode" in told
    assert "with its ending" not in fail("audit", "nowhere_at_all:encode", "--data", "wiki")
    told = fail("audit", "encoder_beside_a_test.py", "--data", "wiki")
    assert "name it too, as in encoder_beside_a_test.py:encode" in told


def test_a_function_that_fails_is_named(fail: Callable[..., str], leaky: Path) -> None:
    told = fail("audit", f"{leaky}:paired", "--data", "shapes", "n=60")
    assert "failed on" in told
    assert "paired" in told


def test_the_folder_of_a_run_passes_with_its_history(tmp_path: Path, shared_data: Path) -> None:
    overrides = {"data.root": str(shared_data / "wiki"), "training.epochs": 3, "data.refit": False}
    crosshash.train("lpdh/wiki-16", tmp_path / "run", overrides=overrides, progress=False)
    code, told = invoke("audit", tmp_path / "run", "--items", "8", "--json", "--quiet")
    found = json.loads(told)
    assert code == 0, found["findings"]
    assert {"epochs", "database"} <= set(found["passed"])
    # The same run, as one would report it who took each direction's best epoch.
    lines = (tmp_path / "run" / "history.jsonl").read_text().splitlines()
    history = [{"epoch": 1, "map_i2t": 0.9, "map_t2i": 0.1}, *map(json.loads, lines)]
    best = {f"map_{way}": max(e.get(f"map_{way}", 0) for e in history) for way in ("i2t", "t2i")}
    report = tmp_path / "report.json"
    report.write_text(json.dumps({**best, "record": {"database": "encoded"}, "history": history}))
    code, told = invoke("audit", tmp_path / "run", "--report", report, "--items", "8", "--json")
    assert code == 1
    assert [one["check"] for one in json.loads(told)["findings"] if one["level"] == "fault"] == [
        "epochs"
    ]
