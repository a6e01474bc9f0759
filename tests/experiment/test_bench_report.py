"""A report of a benchmark: what may be compared, what is sure, and the same bytes again."""

from __future__ import annotations

import csv
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from crosshash.experiment.bench.record import Record, Store
from crosshash.experiment.bench.report import Written, write_report
from crosshash.experiment.bench.suite import Printed
from crosshash.experiment.bench.summary import summarize
from crosshash.retrieval.evaluate import evaluate_both
from crosshash.retrieval.record import make_record

QUERIES, ITEMS = 60, 150
RANDOM = np.random.default_rng(5)
LABELS = np.eye(3, dtype=np.uint8)[RANDOM.integers(0, 3, QUERIES + ITEMS)]
CODES = np.where(RANDOM.random((3, 16)) < 0.5, 1.0, -1.0)


def run(
    store: Store, method: str, noise: float, *, bits: int = 16, seed: int = 0, **more: Any
) -> Record:
    """A record of codes that are their class's, but for a share of flipped bits."""
    random = np.random.default_rng([seed, bits, int(1000 * noise), 7])
    sides = []
    for _ in range(2):
        flips = np.where(random.random((QUERIES + ITEMS, bits)) < noise, -1.0, 1.0)
        sides.append((LABELS @ CODES)[:, :bits] * flips)
    query, found = [s[:QUERIES] for s in sides], [s[QUERIES:] for s in sides]
    told = {"supervised": method != "open", "pairs": 9, "best_epoch": 1}
    record = make_record(
        dataset="wiki", counts={"query": QUERIES, "retrieval": ITEMS}, bits=bits, training=told
    )
    labels = LABELS[:QUERIES], LABELS[QUERIES:]
    report = evaluate_both(tuple(query), tuple(found), *labels, record=record, topk=[10])
    identity = {"config": "c", "data": "d", "code": "e", "compared": "same"}
    values: dict[str, Any] = {
        "key": f"{method}{bits}{seed}{more.get('started', '')[-1:]}",
        "state": "finished",
        "name": f"{method}/wiki-{bits}",
        "suite": "tests",
        "method": method,
        "dataset": "wiki",
        "bits": bits,
        "seed": seed,
        "config": {"method": method, "bits": bits, "seed": seed, "training": {"epochs": 1}},
        "identity": identity,
        "started": "2026-01-01T00:00:00+00:00",
        "seconds": {"training": 10 * noise + seed, "whole": 3.0},
        "memory": {"of": "resident", "bytes": 2_000_000},
        "parameters": {"all": 10, "trained": 7},
        "flops": {"image": 2_000_000, "text": 1_000_000},
        "machine": {"device": "cpu", "threads": 1, "jobs": 1},
        "figures": report.as_dict(),
        "versions": {"torch": "2.0"},
    }
    made = Record.model_validate({**values, **more})
    precisions = {way: getattr(report, way).precisions for way in ("i2t", "t2i", "i2i", "t2t")}
    store.write(made, precisions)
    return made


def filled(folder: Path) -> Store:
    """Three methods: one surely the best at 16 bits, two that cannot be told apart at 8."""
    made = Store(folder)
    for seed in (0, 1):
        run(made, "good", 0.05, seed=seed)
        run(made, "open", 0.25, seed=seed)
    run(made, "fair", 0.25)
    for method in ("good", "fair"):
        run(made, method, 0.15 if method == "good" else 0.151, bits=8)
    run(made, "broken", 0.1, state="failed", error="ValueError: <no>", figures={})
    printed = Printed(
        source="A Paper, Table 1",
        note="Nothing is stated.",
        data=["wiki"],
        bits=[8, 16],
        own="GOOD",
        map_i2t={"GOOD": [[0.61, 0.6234]], "OTHER": [[0.5, 0.51]]},
    )
    made.keep_printed("tests", [printed])
    return made


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return filled(tmp_path / "store")


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Written:
    folder = tmp_path_factory.mktemp("bench")
    return write_report(filled(folder / "store").folder, folder / "report")


def lines(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_the_best_is_bold_where_it_is_sure_and_a_tie_is_called_one(
    store: Store, written: Written
) -> None:
    assert (written.runs, written.failed) == (8, 1)
    (table,) = summarize(store).tables
    good, fair = (next(e for e in table.entries if e.name == name) for name in ("good", "fair"))
    assert table.is_best(good, 16, "i2t")
    assert not table.is_tied(good, 16, "i2t")
    assert {table.is_tied(entry, 8, "t2i") for entry in (good, fair)} == {True}
    markdown = written.files["markdown"].read_text()
    row = next(line for line in markdown.splitlines() if line.startswith("| good"))
    assert row.count("**") == 4  # both directions at 16 bits
    assert row.count(" = ") == 2  # both at 8
    assert re.search(r"\*\*0\.\d{3} ± 0\.\d{3}\*\*", row)  # two seeds
    assert "| open   | no " in markdown
    latex = written.files["latex"].read_text()
    assert latex.count(r"\textbf{") == 2
    assert r"\toprule" in latex
    assert latex.count(r"$^{=}$") == 4
    page = written.files["page"].read_text()
    assert page.count("<strong>") == 2
    sure = [line for line in lines(written.files["significance"]) if line["bits"] == "16"]
    assert {line["tie"] for line in sure} == {"no"}
    assert all(float(line["p"]) < 0.05 for line in sure)


def test_means_and_deviations_are_over_seeds(store: Store) -> None:
    (table,) = summarize(store).tables
    good = next(entry for entry in table.entries if entry.name == "good")
    values = good.values(16, "i2t", "map")
    assert len(values) == 2
    assert good.seeds == "1–2"
    assert table.compared[16, "i2t"].means["good"] == pytest.approx(np.mean(values), abs=1e-6)


def test_every_number_and_curve_is_in_the_csv_files(store: Store, written: Written) -> None:
    record = store.read("good161")
    assert record is not None
    own = {
        (line["direction"], line["figure"]): float(line["value"])
        for line in lines(written.files["figures"])
        if line["key"] == "good161"
    }
    assert own["i2t", "map"] == record.figures["i2t"]["map"]
    assert own["t2t", "map_at.10.first"] == record.figures["t2t"]["map_at"]["10"]["first"]
    assert own["", "flops.image"] == 2_000_000
    curves = [line for line in lines(written.files["curves"]) if line["key"] == "good161"]
    radius = [c for c in curves if (c["direction"], c["by"]) == ("t2i", "radius")]
    known = record.figures["t2i"]["by_radius"]
    assert [float(c["recall"]) for c in radius] == known["recall"]
    assert len(radius) == 17


def test_a_report_is_the_same_again_and_stands_alone(
    store: Store, written: Written, tmp_path: Path
) -> None:
    first, second = written.files["page"].parent, tmp_path / "again"
    write_report(store.folder, second)
    files = [path.relative_to(first) for path in sorted(first.rglob("*")) if path.is_file()]
    assert files == [p.relative_to(second) for p in sorted(second.rglob("*")) if p.is_file()]
    for path in files:
        assert (first / path).read_bytes() == (second / path).read_bytes(), path
    page = (first / "index.html").read_text()
    assert not re.search(r"(src|href)=\"(?!#)", page)
    assert "<script" not in page
    assert page.count("<svg") == 9  # three curves of both directions, three of cost
    assert "ValueError: &lt;no&gt;" in page
    names = {path.name for path in written.files["plots"].iterdir()}
    assert {"wiki-8-pr-rank-i2t.svg", "wiki-16-pr-radius-t2i.png", "wiki-bytes.svg"} <= names
    assert {"wiki-16-precision-at-i2t.png", "wiki-time.svg", "wiki-memory.png"} <= names
    svg = (written.files["plots"] / "wiki-time.svg").read_text()
    assert svg.startswith("<svg ")
    assert not re.search(r"20\d\d-\d\d-\d\d", svg)


def test_printed_figures_stand_beside_those_that_were_measured(written: Written) -> None:
    markdown = written.files["markdown"].read_text()
    printed = markdown[markdown.index("## As printed: A Paper, Table 1") :]
    assert "Nothing is stated." in printed
    assert re.search(r"\| GOOD +\| +0\.6100 \| +0\.6234", printed)
    assert "measured here: good" in printed


def test_what_may_not_be_compared_stands_in_another_table(store: Store) -> None:
    record = run(store, "other", 0.0)
    identity = {**record.identity, "compared": "other queries"}
    run(store, "other", 0.0, identity=identity)
    figures = json.loads(json.dumps(record.figures))
    figures["record"]["ties"] = "index"
    run(store, "third", 0.0, figures=figures)
    tables = summarize(store).tables
    assert sorted(len(table.entries) for table in tables) == [1, 1, 3]
    assert {table.name for table in tables} == {"wiki", "wiki-2", "wiki-3"}
    alone = next(table for table in tables if len(table.entries) == 1)
    assert not alone.compared  # nothing is better than all others where there are none


def test_nothing_is_better_than_what_it_was_not_compared_with(store: Store) -> None:
    (store.folder / "records" / "open160.npz").unlink()
    (table,) = summarize(store).tables
    assert set(table.compared) == {(8, "i2t"), (8, "t2i")}


def test_runs_of_other_settings_are_other_rows_and_newer_code_replaces_older(store: Store) -> None:
    run(store, "good", 0.07, settings={"training.epochs": 2}, key="longer")
    newer = {"started": "2026-01-02T00:00:00+00:09", "identity": {
        "config": "c", "data": "d", "code": "f", "compared": "same"}}  # fmt: skip
    run(store, "fair", 0.2, **newer)
    summary = summarize(store)
    names = [entry.name for entry in summary.tables[0].entries]
    assert {"good (epochs=2)", "good (as configured)"} < set(names)
    named = (e for e in summary.tables[0].entries if e.name == "good (as configured)")
    assert sorted(next(named).runs) == [8, 16]  # a row has all its lengths
    assert names.count("fair") == 1
    assert summary.older == 1
    (fair,) = (e for e in summary.tables[0].entries if e.name == "fair")
    assert [record.identity["code"] for record in fair.runs[16]] == ["f"]


def test_a_data_sets_name_leads_no_file_elsewhere(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    run(store, "good", 0.1, dataset="../../a b$")
    (table,) = summarize(store).tables
    assert table.name == ".._.._a_b_"
    assert table.dataset == "../../a b$"


def test_nothing_to_report_is_told(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="crosshash bench"):
        write_report(tmp_path / "none", tmp_path / "report")
    store = Store(tmp_path / "store")
    run(store, "broken", 0.1, state="failed", error="it broke", figures={})
    with pytest.raises(ValueError, match="--retry"):
        write_report(store.folder, tmp_path / "report")
    assert not (tmp_path / "report").exists()
