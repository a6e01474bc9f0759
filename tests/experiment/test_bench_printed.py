"""What papers print beside what was measured: paired by method, on the same data alone."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from crosshash.experiment.bench.record import Record, Store
from crosshash.experiment.bench.report import Written, write_report
from crosshash.experiment.bench.report_printed import (
    PrintedTable,
    printed_grid,
    printed_notes,
    printed_tables,
)
from crosshash.experiment.bench.suite import Printed, read_suite
from crosshash.experiment.bench.summary import summarize

Measured = Callable[..., Record]
PRINTED: dict[str, Any] = {
    "source": "A Paper, Table 1",
    "note": "Nothing is stated.",
    "data": ["wiki"],
    "bits": [16, 32],
    "own": "CCA-ITQ",
    "map_i2t": {"CCA-ITQ": [[0.45, 0.46]], "CMFH": [[0.3, 0.31]], "JDSH": [[0.52, 0.53]]},
    "map_t2i": {"CCA-ITQ": [[0.35, 0.36]], "CMFH": [[0.2, 0.21]], "JDSH": [[0.5, 0.53]]},
}
COSTS: dict[str, Any] = {
    "source": "A Paper, Table 7",
    "data": ["wiki"],
    "bits": [16],
    "own": "CCA_ITQ",
    "efficiency": {
        "CCA-ITQ": {"seconds": 100, "gflops": 0.5, "gigabytes": 16},
        "CMFH": {"gflops": 3.67},
    },
}


@pytest.fixture
def store(tmp_path: Path, measured: Measured) -> Store:
    """The paper's method with two seeds, one of its baselines by a variant, and one not in it."""
    made = Store(tmp_path / "store")
    cost = {
        "memory": {"of": "cuda", "bytes": 4_000_000_000},
        "flops": {"image": 900_000_000, "text": 100_000_000},
        "machine": {"device": "NVIDIA H100", "threads": 8, "jobs": 2},
    }
    for seed, i2t in enumerate((0.41, 0.43)):
        spent = {"training": 40.0 + 20 * seed, "whole": 99.0}
        measured(made, "cca_itq", [i2t, i2t], [0.38, 0.38], seed=seed, seconds=spent, **cost)
    measured(made, "djsrh", [0.52, 0.52], [0.5, 0.5], variant="jdsh")
    measured(made, "lpdh", [0.6, 0.6])
    return made


def only(store: Store, printed: dict[str, Any]) -> PrintedTable:
    known = [("tests", Printed.model_validate(printed))]
    (one,) = printed_tables(known, summarize(store).tables)
    return one


def written(store: Store, folder: Path, *printed: dict[str, Any]) -> Written:
    store.keep_printed("tests", [Printed.model_validate(one) for one in printed])
    return write_report(store.folder, folder)


def lines(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_a_method_of_the_paper_has_printed_measured_and_difference_in_its_row(store: Store) -> None:
    grid = printed_grid(only(store, PRINTED))
    assert grid.parts == {0: "wiki, 16 bits", 3: "wiki, 32 bits"}
    own, other, variant = grid.rows[:3]
    assert own == {
        "method": "CCA-ITQ (the paper's own)",
        "measured as": "cca_itq",
        "image → text, printed": "0.450",
        "image → text, measured here": "0.420 ± 0.014",
        "image → text, difference": "−0.030",
        "text → image, printed": "0.350",
        "text → image, measured here": "0.380 ± 0.000",
        "text → image, difference": "+0.030",
    }
    assert list(other.values()) == ["CMFH", "", "0.300", "", "", "0.200", "", ""]  # no method here
    assert variant["measured as"] == "djsrh-jdsh"
    assert variant["image → text, difference"] == "0.000"
    assert grid.rows[3]["image → text, measured here"] == ""  # at other lengths nothing was run
    assert not any("lpdh" in row["measured as"] for row in grid.rows)


def test_other_data_is_told_and_has_no_difference(store: Store) -> None:
    one = only(store, {**PRINTED, "data": ["coco"]})
    assert list(printed_grid(one).rows[0]) == [
        *("method", "image → text, printed", "text → image, printed")
    ]
    told = " ".join(printed_notes(one))
    assert "Nothing of it was measured here on coco." in told
    assert "of other data (wiki)" in told
    assert "difference: " not in told
    absent = {way: {"CMFH": [[0.3, 0.31]]} for way in ("map_i2t", "map_t2i")}
    nothing = " ".join(printed_notes(only(store, {**PRINTED, **absent})))
    assert nothing.endswith("Nothing of it was measured here on wiki.")


def test_one_method_on_two_splits_has_a_row_for_each(store: Store, measured: Measured) -> None:
    more = {"compared": "other", "data": "other", "code": "e", "config": "c"}
    measured(store, "cca_itq", [0.7, 0.7], identity=more, key="other")
    rows = printed_grid(only(store, PRINTED)).rows
    found = [row for row in rows[:4] if row["method"].startswith("CCA-ITQ")]
    assert [row["measured as"] for row in found] == ["wiki: cca_itq", "wiki-2: cca_itq"]
    assert {row["image → text, printed"] for row in found} == {"0.450"}
    assert {row["image → text, difference"] for row in found} == {"−0.030", "+0.250"}


def test_costs_stand_as_ratios_with_their_hardware(store: Store) -> None:
    one = only(store, COSTS)
    own, other = printed_grid(one).rows
    assert own["measured on"] == "NVIDIA H100, threads: 8, runs at once: 2, memory: cuda"
    shown = [value for name, value in own.items() if "," in name]
    assert shown == ["100", "50.00 ± 14.14", "0.5", "0.5", "1", "2", "16", "4.00", "0.25"]
    assert other["GFLOPs, printed"] == "3.67"
    assert other["training, s, printed"] == other["GFLOPs, ratio"] == ""
    assert "ratio: measured here over printed" in " ".join(printed_notes(one))


@pytest.mark.usefixtures("undrawn")
def test_the_files_have_what_papers_print(store: Store, tmp_path: Path) -> None:
    report = written(store, tmp_path / "report", PRINTED, COSTS)
    page, markdown, latex = (
        report.files[name].read_text() for name in ("page", "markdown", "latex")
    )
    for text in (page, markdown):
        assert "Nothing is stated." in text
        assert text.count("(the paper") == 3  # two lengths, and the costs
    assert r"\label{tab:printed-a-paper-table-1}" in latex
    assert r"\multicolumn{3}{c}{image $\to$ text}" in latex
    assert "0.450 & 0.420 $\\pm$ 0.014 & $-$0.030" in latex
    found = lines(report.files["printed"])
    assert len(found) == 2 * 2 * 3 + 4
    assert float(found[0].pop("difference")) == pytest.approx(-0.03)
    assert found[0] == {
        **{"suite": "tests", "table": "A Paper, Table 1", "dataset": "wiki", "bits": "16"},
        **{"method": "CCA-ITQ", "own": "yes", "direction": "i2t", "figure": "map"},
        **{"printed": "0.45", "row": "cca_itq", "measured": "0.42"},
    }
    absent = [one for one in found if one["method"] == "CMFH"]
    assert {one["row"] + one["measured"] + one["difference"] for one in absent} == {""}
    cost = {one["figure"]: one for one in found if one["own"] == "yes" and not one["direction"]}
    assert [cost[name]["measured"] for name in ("seconds", "gflops", "gigabytes")] == [
        *("50.0", "1.0", "4.0")
    ]
    assert cost["seconds"]["difference"] == ""
    again = written(store, tmp_path / "again", PRINTED, COSTS)
    for name in ("page", "markdown", "latex", "printed"):
        assert report.files[name].read_bytes() == again.files[name].read_bytes()


def test_a_table_in_two_suites_is_of_the_first(store: Store) -> None:
    one = Printed.model_validate(PRINTED)
    for suite in ("b", "a"):
        store.keep_printed(suite, [one])
    assert store.printed() == [("a", one)]


def test_costs_are_of_one_data_set_at_one_length() -> None:
    with pytest.raises(ValueError, match="efficiency are of one data set at one length"):
        Printed.model_validate({**COSTS, "bits": [16, 32]})


def test_the_operations_that_dmsfh_names_are_kept() -> None:
    _, cost = read_suite("dmsfh-table-3").printed
    assert [(one.method, one.name, one.value) for one in cost.figures()] == [
        ("DMSFH", "gflops", 3.67)
    ]
