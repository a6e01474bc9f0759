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
from crosshash.scoring.leaderboard import read_leaderboard


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
    assert "9000" in done.stdout
    told = "failed: 2; --retry runs what failed again"
    assert told in done.stdout
    asked = ("bench", suite, "--store", tmp_path / "b", "evaluation.ranks=[9000]", "--plan")
    assert told in run(*asked).stdout
    assert "--retry" not in run(*asked, "--retry").stdout


def test_a_row_whose_run_is_another_rows_is_told(suite: Path, tmp_path: Path) -> None:
    again = "runs: [{configs: [sign.yaml, itq.yaml]}, {configs: [sign.yaml], label: again}]\n"
    suite.write_text(f"title: mine\n{again}")
    asked = ("bench", suite, "--store", tmp_path / "store", "--seed", 0, "--seed", 1, "--plan")
    shown = run(*asked).stdout
    line = "sign, again on features: the same run as sign, which is run once"
    assert shown.count(line) == 1
    planned = json.loads(run(*asked, "--json").stdout)
    assert [(one["row"], one["also"]) for one in planned] == [
        *[("sign", ["sign, again"])] * 2, *[("itq", [])] * 2,
    ]  # fmt: skip


def test_codes_from_outside_stand_beside_the_runs_of_a_report(suite: Path, tmp_path: Path) -> None:
    store, board = tmp_path / "store", tmp_path / "report" / "leaderboard.csv"
    run("bench", suite, "--store", store, "--keep-models", "--seed", 0, "--seed", 1)
    run("report", store, "-o", board.parent)
    ours = read_leaderboard(board)
    assert sorted((row["name"], row["seed"]) for row in ours) == [
        ("itq", "0"), ("itq", "1"), ("sign", "0"), ("sign", "1"),
    ]  # fmt: skip
    assert {row["link"] for row in ours} == {""}
    (model,) = (
        path for path in (store / "models").iterdir() if _is_of(store, path.name, "itq", seed=1)
    )
    codes = tmp_path / "codes.npz"
    run("evaluate", model, f"data.root={tmp_path}", "--codes", codes)
    data = ("query=20", "train=30", "--root", tmp_path)
    added = run("score", codes, *data, "--name", "theirs", "--leaderboard", board)
    assert "a row added" in added.stdout
    *before, theirs = read_leaderboard(board)
    assert before == ours
    same = next(row for row in ours if (row["name"], row["seed"]) == ("itq", "1"))
    own = {"name": "theirs", **{name: theirs[name] for name in theirs if "asymmetric" in name}}
    assert theirs == {**same, **own}
    assert len(theirs["split"]) == 64


def _is_of(store: Path, key: str, method: str, *, seed: int) -> bool:
    record = json.loads((store / "records" / f"{key}.json").read_text())
    return bool((record["method"], record["seed"]) == (method, seed))


def test_without_a_suite_those_of_the_package_are_listed() -> None:
    listed = run("bench").stdout
    assert "amgfh-table-1" in listed
    assert "All methods in minutes" in listed
    assert "name a suite" in str(run("bench", "bits=16", code=1).exception)
