"""The commands around the zoo, as a person or a script calls them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml
from typer.testing import CliRunner

from crosshash.cli.hub import models, publish, zoo
from crosshash.config import bundled
from crosshash.experiment import zoo as zoo_build
from crosshash.experiment.zoo import Outcome

app = typer.Typer()
app.command()(models)
app.command()(publish)
app.add_typer(zoo, name="zoo")
COMMITTED = bundled("zoo") / "checkpoints" / "amgfh-shapes-64"


def run(*words: str) -> Any:
    return CliRunner().invoke(app, list(words), catch_exceptions=False)


def test_models_are_listed_and_filtered() -> None:
    found = json.loads(run("models", "--method", "amgfh", "--dataset", "shapes", "--json").stdout)
    assert [model["name"] for model in found] == ["amgfh-shapes-64"]
    assert found[0]["status"] == "local"
    assert found[0]["figures"]["protocol"] == "shapes/random-0"
    shown = run("models", "amgfh-shapes").stdout
    assert "amgfh-shapes-64" in shown
    assert "local" in shown
    assert "no model fits" in run("models", "nothing").stdout
    assert json.loads(run("models", "nothing", "--json").stdout) == []
    with pytest.raises(ValueError, match="expected published, local or recipe"):
        run("models", "--status", "great")


def test_a_dry_run_prints_card_and_manifest() -> None:
    done = run("publish", str(COMMITTED), "--repo", "me/shapes", "--dry-run")
    assert done.exit_code == 0
    assert "would publish to https://huggingface.co/me/shapes" in done.stdout
    assert 'crosshash.load("hf:me/shapes")' in done.stdout
    manifest = yaml.safe_load(done.stdout.partition("without repository and commit:")[2])
    assert manifest["name"] == "amgfh-shapes-64"
    assert manifest["files"]["config.json"]["size"] > 0
    values = json.loads(run("publish", str(COMMITTED), "--dry-run", "--json").stdout)
    assert values["published"] is False
    assert "README.md" in values["files"]


def test_building_ends_with_a_table_and_with_1_where_one_failed(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    asked: list[Any] = []
    outcomes = [Outcome("a", "built", 2.4), Outcome("b", "no data", error="not here")]

    def build(names: Any, output: Path, **options: Any) -> list[Outcome]:
        asked.append((list(names), output, options["overrides"], options["again"]))
        return outcomes

    monkeypatch.setattr(zoo_build, "build_zoo", build)
    done = run("zoo", "build", "a", "b", "-o", str(tmp_path), "--set", "seed=1", "--again")
    assert done.exit_code == 0
    assert asked == [(["a", "b"], tmp_path, ["seed=1"], True)]
    assert "no data" in done.stdout
    assert "b: not here" in done.stdout.splitlines()
    outcomes.append(Outcome("c", "failed", error="ValueError: why"))
    done = run("zoo", "build", "--json")
    assert done.exit_code == 1
    assert [row["state"] for row in json.loads(done.stdout)] == ["built", "no data", "failed"]
