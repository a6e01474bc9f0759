"""Look-ups within a radius: as a paper prints them, and as they were measured."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from crosshash.experiment.bench.record import Record, Store
from crosshash.experiment.bench.report import write_report
from crosshash.experiment.bench.report_printed import printed_grid, printed_tables
from crosshash.experiment.bench.suite import Lookup, Printed, read_suite
from crosshash.experiment.bench.summary import summarize

CURVES = {  # radius 0, 1, 2, and beyond
    "i2t": ([0.0, 0.5, 0.7, 0.3], [0.0, 0.1, 0.2, 1.0]),
    "t2i": ([0.4, 0.4, 0.4, 0.3], [0.1, 0.1, 0.1, 1.0]),
}
PRINTED: dict[str, Any] = {
    "source": "A Paper, Table 9",
    "data": ["wiki"],
    "bits": [8],
    "radii": [0, 1, 2],
    "lookup_i2t": {"ITQ": {"precision": 0.9, "recall": 0.0616, "f1": 0.1154}},
    "lookup_t2i": {"THEIRS": {"precision": 0.8, "recall": 0.05, "f1": 0.0941}},
}


def record(bits: int = 8, dataset: str = "wiki") -> Record:
    conventions = {"denominator": "total", "ties": "expected", "empty": "skip"}
    conventions["f1_average"] = "query"
    counts = {"query": 3, "retrieval": 9}
    told = {**conventions, "database": "encoded", "counts": counts, "training": {}}
    figures: dict[str, Any] = {"map_mean": 0.5, "record": told}
    for way, (precision, recall) in CURVES.items():
        curve = {"at": [0, 1, 2, 3], "precision": precision, "recall": recall}
        figures[way] = {"map": 0.5, "chance": 0.3, "by_radius": curve, "by_rank": curve}
    return Record(
        key=f"{dataset}{bits}", state="finished", name=f"itq/{dataset}-{bits}", suite="tests",
        method="itq", dataset=dataset, bits=bits, seed=0, config={"method": "itq"},
        identity={"compared": dataset, "data": "d", "code": "e", "config": "c"}, started="2026",
        seconds={"training": 1.0, "whole": 1.0}, memory={"of": "resident", "bytes": 1},
        parameters={"all": 1, "trained": 1}, flops={"image": 1, "text": 1},
        machine={"device": "cpu", "threads": 1, "jobs": 1}, figures=figures,
    )  # fmt: skip


@pytest.fixture
def store(tmp_path: Path) -> Store:
    made = Store(tmp_path / "store")
    for one in (record(), record(bits=16), record(dataset="other")):
        made.write(one, {})
    return made


def test_look_ups_stand_beside_the_printed_ones_as_means_over_the_radii(store: Store) -> None:
    known = [("tests", Printed.model_validate(PRINTED))]
    (one,) = printed_tables(known, summarize(store).tables)
    grid = printed_grid(one)
    place = "mean of the radii 0, 1, 2"
    assert list(grid.parts.values()) == [
        *(f"wiki, 8 bits, {way}, {place}" for way in ("image → text", "text → image"))
    ]
    ours, theirs = grid.rows
    assert (ours["method"], ours["measured as"]) == ("ITQ", "itq")
    assert ours["F1, printed"] == "0.1154"
    # Of precision (0 + 0.5 + 0.7) / 3 and of recall (0 + 0.1 + 0.2) / 3.
    told = [ours[f"{name}, measured here"] for name in ("precision", "recall", "F1")]
    assert told == ["0.4000", "0.1000", "0.1600"]
    assert ours["F1, difference"] == "+0.0446"
    assert (theirs["method"], theirs["F1, measured here"]) == ("THEIRS", "")


@pytest.mark.usefixtures("undrawn")
def test_the_report_has_them_in_place_of_map(store: Store, tmp_path: Path) -> None:
    store.keep_printed("tests", [Printed.model_validate(PRINTED)])
    written = write_report(store.folder, tmp_path / "report")
    markdown = written.files["markdown"].read_text()
    printed = markdown[markdown.index("## As printed: A Paper, Table 9") :]
    assert "0.1154" in printed
    page = written.files["page"].read_text()
    assert "one that finds nothing has a precision of 0" in page


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"radii": []}, "need radii"),
        ({"lookup_i2t": {}, "lookup_t2i": {}}, "need radii"),
        ({"radii": [0, 9]}, "in 0…8"),
        ({"bits": [8, 16]}, "one data set at one length"),
        ({"map_i2t": {"OURS": [[0.5]]}}, "stand alone"),
        ({"lookup_i2t": {"ITQ": {"precision": 0.9, "recall": 0.1}}}, "f1"),
        ({"lookup_i2t": {"ITQ": {"precision": 9.0, "recall": 0.1, "f1": 0.2}}}, "less than or"),
    ],
)
def test_wrong_look_ups_are_told_what_is_wrong(
    tmp_path: Path, change: dict[str, Any], told: str
) -> None:
    path = tmp_path / "wrong.yaml"
    block = {"methods": ["itq"], "data": ["wiki"], "bits": [8]}
    path.write_text(
        yaml.safe_dump({"title": "a", "runs": [block], "printed": [{**PRINTED, **change}]})
    )
    with pytest.raises(ValueError, match=told):
        read_suite(path)


def test_the_printed_f1_are_of_the_printed_precision_and_recall() -> None:
    (printed,) = read_suite("dmsfh-table-5").printed

    def gap(one: Lookup) -> float:
        return abs(2 * one.precision * one.recall / (one.precision + one.recall) - one.f1)

    found = [*printed.lookup_i2t.items(), *printed.lookup_t2i.items()]
    assert len(found) == 10
    wrong = [(name, one.f1) for name, one in found if gap(one) > 1e-4]
    assert wrong == [("CMHH", 0.0694)]  # as the suite's note says
    assert np.isclose(printed.lookup_t2i["CMHH"].recall, 0.0308)
