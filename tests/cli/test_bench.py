"""The commands ``bench`` and ``report``."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from crosshash.cli import app
from crosshash.experiment.bench.suite import suite_names


def run(*arguments: object, code: int = 0) -> Any:
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert result.exit_code == code, result.output
    return result


@pytest.fixture
def suite(tmp_path: Path) -> Path:
    random = np.random.default_rng(0)
    labels = np.eye(3, dtype=np.uint8)[random.integers(0, 3, 60)]
    np.save(tmp_path / "labels.npy", labels)
    for name in ("images", "texts"):
        centres = labels @ random.normal(size=(3, 16))
        np.save(tmp_path / f"{name}.npy", (centres + random.normal(size=(60, 16))).astype("f4"))
    config = (
        "bits: 8\nbackbones: features\ntext: features\n"
        f"data: {{name: features, root: {tmp_path}, options: {{query: 20, train: 30}}}}\n"
        "training: {epochs: 1, device: cpu}\n"
    )
    for method in ("sign", "itq"):
        (tmp_path / f"{method}.yaml").write_text(f"method: {method}\n{config}")
    path = tmp_path / "mine.yaml"
    path.write_text("title: mine\nruns: [{configs: [sign.yaml, itq.yaml]}]\n")
    return path


def test_a_plan_is_shown_then_run_then_there_and_reported(suite: Path, tmp_path: Path) -> None:
    store = tmp_path / "store"
    plan = run("bench", suite, "--store", store, "--plan").stdout
    assert plan.count("missing") == 2
    assert "unknown" in plan
    assert not store.exists()
    done = run("bench", suite, "--store", store)
    assert done.stdout.count("finished") == 2
    assert "2/2 itq" in done.stderr
    values = json.loads(run("bench", suite, "--store", store, "--plan", "--json").stdout)
    assert [(one["row"], one["state"]) for one in values] == [
        ("sign", "finished"), ("itq", "finished"),
    ]  # fmt: skip
    told = json.loads(run("report", store, "-o", tmp_path / "report", "--json").stdout)
    assert (told["runs"], told["failed"]) == (2, 0)
    assert "<h2>MAP on features" in Path(told["files"]["page"]).read_text()


def test_a_report_is_made_with_pictures_or_without(suite: Path, tmp_path: Path) -> None:
    store = tmp_path / "store"
    run("bench", suite, "--store", store, "--method", "sign")
    (pictures := store / "pictures").mkdir()
    content = b"the bytes of a picture"
    name = f"{hashlib.sha256(content).hexdigest()[:32]}.jpg"
    (pictures / name).write_bytes(content)
    (record,) = (store / "records").glob("*.json")
    hit = {"id": "found", "distance": 3, "relevant": False, "picture": name}
    hits = [{"id": "asked", "text": "some words", "found": [hit]}]
    record.write_text(json.dumps({**json.loads(record.read_text()), "hits": hits}))
    for more, shown in (((), 1), (("--no-pictures",), 0)):
        run("report", store, "-o", tmp_path / "report", *more)
        page = (tmp_path / "report" / "index.html").read_text()
        assert page.count("data:image/jpeg") == shown
        assert ("some words" in page, "✗" in page) == (True, True)


def test_settings_and_choices_are_over_the_suites(suite: Path, tmp_path: Path) -> None:
    more = ("--bits", 8, "--bits", 16, "--seed", 3, "--method", "sign", "training.epochs=2")
    store = ("--store", tmp_path / "store")
    values = json.loads(run("bench", suite, *more, *store, "--plan", "--json").stdout)
    assert [(one["row"], one["bits"], one["seed"]) for one in values] == [
        ("sign", 8, 3), ("sign", 16, 3),
    ]  # fmt: skip


@pytest.mark.parametrize("data", [(), ("--data", "wiki"), ("--data", "flickr8k")])
def test_every_suite_of_the_package_has_a_plan(
    data: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CROSSHASH_DATA", str(tmp_path))  # empty: settings are checked all the same
    monkeypatch.chdir(tmp_path)
    drawn = {"quick", "results"}  # of these some data is drawn, and never missing
    names = [name for name in suite_names() if name not in drawn]
    chosen = (*data, "--seed", 0, "--store", tmp_path / "store")
    planned = json.loads(run("bench", *names, *chosen, "--plan", "--json").stdout)
    assert {one["suite"] for one in planned} == set(names)
    assert {one["state"] for one in planned} == {"no data"}
    found = {one["data"] for one in planned}
    assert found == (
        {"wiki", "flickr8k", "mirflickr", "nuswide", "coco"} if not data else {data[1]}
    )


def test_what_went_wrong_is_told_and_ends_with_exit_code_1(suite: Path, tmp_path: Path) -> None:
    many = "data.options={query: 20, train: 3000}"
    gone = run("bench", suite, "--store", tmp_path / "a", many, "--method", "itq")
    assert "no data" in gone.stdout
    assert "3,000 training pairs" in gone.stdout
    done = run("bench", suite, "--store", tmp_path / "b", "evaluation.ranks=[9000]", code=1)
    assert done.stdout.count("failed") == 2
    assert "9000" in done.stdout


def test_without_a_suite_those_of_the_package_are_listed() -> None:
    listed = run("bench").stdout
    assert "amgfh-table-1" in listed
    assert "All methods in minutes" in listed
    assert "name a suite" in str(run("bench", "bits=16", code=1).exception)
