"""Ablations in a report: variants beside their plain runs, and whether they surely differ."""

from __future__ import annotations

import csv
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from crosshash.experiment.bench.record import Record, Store
from crosshash.experiment.bench.report import Written, write_report
from crosshash.experiment.bench.report_ablations import ablation_grid, notes
from crosshash.experiment.bench.report_printed import printed_tables
from crosshash.experiment.bench.suite import Printed
from crosshash.experiment.bench.summary import Table, summarize
from crosshash.retrieval.significance import compare_with_best, holm

Measured = Callable[..., Record]
QUERIES = 200
RANDOM = np.random.default_rng(3)
BASE = RANDOM.uniform(0.3, 0.5, QUERIES)


def noise(mean: float, spread: float = 0.01) -> Any:
    """Gaps of queries whose mean is this, exactly."""
    values = np.random.default_rng(int(1e6 * (mean + 1))).normal(0, spread, QUERIES)
    return values - values.mean() + mean


@pytest.fixture
def store(tmp_path: Path, measured: Measured) -> Store:
    """A method with two seeds and four variants, another with one that is not in doubt, a third."""
    made = Store(tmp_path / "store")
    for seed in (0, 1):
        measured(made, "hash", BASE + 0.002 * seed, seed=seed)
        measured(made, "hash", BASE + noise(-0.05), BASE + noise(0.03), seed=seed, variant="s")
    measured(made, "hash", BASE + 0.2, BASE, seed=1, variant="one")  # of one seed
    measured(made, "hash", BASE + noise(0.0004, 0.1), seed=0, variant="same")
    measured(made, "hash", BASE + 0.3, seed=7, variant="apart")  # of no seed of the plain runs
    measured(made, "other", BASE - 0.1)
    measured(made, "other", BASE - noise(0.12), variant="printed")
    measured(made, "third", BASE - 0.15)
    return made


def lines(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def only(store: Store) -> Table:
    (table,) = summarize(store).tables
    return table


def test_variants_are_no_rows_but_stand_below_their_plain_run(store: Store, tmp_path: Path) -> None:
    table = only(store)
    assert [entry.name for entry in table.entries] == ["hash", "other", "third"]
    assert {name for found in table.compared.values() for name in found.means} == {
        *("hash", "other", "third")
    }
    grid = ablation_grid(table)
    assert grid.parts == {0: "hash", 5: "other"}
    names = [row["method"] for row in grid.rows]
    assert names[:1] + names[5:] == ["hash", "other", "other-printed"]
    assert names[1:5] == ["hash-apart", "hash-one", "hash-same", "hash-s"]  # the best first
    written = write_report(store.folder, tmp_path / "report")
    page, markdown, latex = (
        written.files[name].read_text() for name in ("page", "markdown", "latex")
    )
    before, after = markdown.split("## Ablations: wiki\n")
    assert "hash-s" not in before
    assert "| other-printed" in after
    assert "other:\n\n| method" in after
    assert "third" not in after
    section = page[page.index("<h2>Ablations: wiki</h2>") :]
    assert page.count("hash-s<") == section.count("hash-s<") == 1
    assert section.count('<tr class="part">') == 2
    assert r"\label{tab:wiki-ablations}" in latex
    assert re.findall(r"\\emph\{(.*?)\}", latex) == ["Trained with labels", "hash", "other"]
    assert not re.search(r"[↑↓−]", latex)
    plots = "".join(path.read_text() for path in written.files["plots"].glob("*.svg"))
    assert "hash-s" not in plots
    assert "third" in plots


def test_a_difference_is_of_the_mean_of_both_directions_over_shared_seeds(store: Store) -> None:
    table = only(store)
    rows = {row["method"]: row for row in ablation_grid(table).rows}
    assert rows["hash"]["16 bits, difference"] == ""
    both = -0.05 / 2 + 0.03 / 2 - 0.001  # seed 1 of the plain run has 0.002 more
    assert rows["hash-s"]["16 bits, difference"] == f"−{-both:.3f} ± 0.001"
    assert rows["hash-one"]["16 bits, difference"] == f"+{0.1 - 0.002:.3f}"  # against seed 1 alone
    assert rows["hash-apart"]["16 bits, difference"] == ""
    assert rows["hash-same"]["16 bits, difference"] == "0.000"
    assert (rows["hash"]["seeds"], rows["hash-one"]["seeds"]) == ("2", "1")
    deviation = rows["hash"]["16 bits, image → text"]
    assert re.fullmatch(r"0\.\d{3} ± 0\.001", deviation)
    (one, _) = table.ablations
    found = one.differences["hash-s", 16, "mean"]
    assert found.mean == pytest.approx(both)
    assert found.pairs == pytest.approx([both + 0.001, both - 0.001])


@pytest.mark.usefixtures("undrawn")
def test_what_is_sure_is_marked_in_each_direction_and_the_mean_is_bold(
    store: Store, tmp_path: Path
) -> None:
    table = only(store)
    grid = ablation_grid(table)
    rows = {row["method"]: row for row in grid.rows}
    assert rows["hash-s"]["16 bits, image → text"].endswith(" ↓")
    assert rows["hash-s"]["16 bits, text → image"].endswith(" ↑")
    assert rows["hash-one"]["16 bits, image → text"].endswith(" ↑")
    bold = {grid.rows[number]["method"] for number, _ in grid.bold}
    assert bold == {"hash-s", "hash-one", "other-printed"}
    assert {name for _, name in grid.bold} == {"16 bits, difference"}
    for name in ("hash", "hash-same", "hash-apart"):
        assert not re.search("[↑↓]", "".join(map(str, rows[name].values())))
    told = " ".join(notes(table))
    assert "Holm's correction over the variants of a method" in told
    assert "1,000 resamples" in told
    written = write_report(store.folder, tmp_path / "report")
    latex = written.files["latex"].read_text()
    assert re.search(
        r"hash-s .*\$\\downarrow\$ & .*\$\\uparrow\$ & \\textbf\{\$-\$0\.011 \$\\pm", latex
    )
    assert re.search(r"\| hash-s .*\*\*−0\.011 ± 0\.001\*\*", written.files["markdown"].read_text())
    assert "<strong>−0.011 ± 0.001</strong>" in written.files["page"].read_text()


@pytest.mark.usefixtures("undrawn")
def test_p_is_corrected_over_the_variants_of_a_method_length_and_direction(
    tmp_path: Path, measured: Measured
) -> None:
    store = Store(tmp_path / "store")
    gaps = {name: noise(0.0092 + 0.0001 * n, 0.06) for n, name in enumerate("abcd")}
    measured(store, "hash", BASE)
    for name, gap in gaps.items():
        measured(store, "hash", BASE + gap, BASE + gap, variant=name)
    measured(store, "other", BASE)
    measured(store, "other", BASE + gaps["a"], variant="a")
    path = write_report(store.folder, tmp_path / "report").files["ablations"]
    found = {(line["direction"], line["variant"]): line for line in lines(path)}
    assert len(found) == 3 * 5
    variants = [f"hash-{name}" for name in gaps]
    alone = []
    for name in gaps:
        made = compare_with_best({"plain": BASE, "variant": BASE + gaps[name]})
        alone += made.values.values()
    assert max(alone) < 0.05
    for way in ("i2t", "t2i", "mean"):
        lined = [found[way, name] for name in variants]
        # Precisions are kept as numbers of 32 bits, which may move a draw over 0.
        assert [float(line["p_alone"]) for line in lined] == pytest.approx(alone, abs=0.004)
        corrected = holm([float(line["p_alone"]) for line in lined])
        assert [float(line["p"]) for line in lined] == corrected
        assert max(corrected) >= 0.05
        assert {line["sure"] for line in lined} == {"yes" if p < 0.05 else "no" for p in corrected}
        line = found[way, "other-a"]  # one comparison has nothing to correct
        assert (line["p"], line["sure"]) == (line["p_alone"], "yes")
    line = found["mean", "hash-b"]
    assert float(line["difference"]) == pytest.approx(0.0093)
    assert float(line["map_variant"]) - float(line["map_plain"]) == pytest.approx(0.0093)
    assert (line["seeds"], line["deviation"], line["resamples"]) == ("1", "", "1000")


def test_what_has_no_plain_run_of_its_kind_stays_a_row(tmp_path: Path, measured: Measured) -> None:
    store = Store(tmp_path / "store")
    measured(store, "hash", BASE)
    measured(store, "hash", BASE - 0.1, variant="open", supervised=False)
    measured(store, "hash", BASE - 0.2, variant="clip", encoder="lite0")
    measured(store, "hash", BASE - 0.3, variant="mine", label="mine")
    measured(store, "hash", BASE - 0.1, variant="short", settings={"training.epochs": 2})
    measured(store, "hash", BASE - 0.1, variant="long", bits=32)
    measured(store, "alone", BASE - 0.1, variant="s")
    measured(store, "hash", BASE - 0.2, variant="s")
    measured(store, "hash", BASE - 0.2, variant="s", bits=32)
    table = only(store)
    assert {entry.name for entry in table.entries} == {
        *("hash", "hash-open", "hash-clip, lite0", "hash-mine, mine", "hash-short", "hash-long"),
        *("alone-s", "hash-s"),
    }
    rows = {entry.name: entry for entry in table.entries}
    assert rows["hash-open"].part.heading == "Trained without labels"
    assert list(rows["hash-s"].runs) == [32]  # of 16 bits the plain run is there
    (one,) = table.ablations
    assert [entry.name for entry in one.variants] == ["hash-s"]
    assert list(one.variants[0].runs) == one.bits == [16]
    measured(store, "hash", BASE, bits=32, label="mine", settings={"training.epochs": 2})
    assert {entry.name for entry in only(store).entries} == {*rows, "hash, mine"}


def test_a_variant_of_other_encoders_is_measured_against_the_plain_run_of_these(
    tmp_path: Path, measured: Measured
) -> None:
    store = Store(tmp_path / "store")
    for encoder, gap in (("plain", 0.1), ("lite0", 0.2)):
        measured(store, "hash", BASE, encoder=encoder)
        measured(store, "hash", BASE - gap, variant="s", encoder=encoder)
    table = only(store)
    assert [one.plain.name for one in table.ablations] == ["hash", "hash, lite0"]
    rows = {row["method"]: row["16 bits, difference"] for row in ablation_grid(table).rows}
    assert (rows["hash-s"], rows["hash-s, lite0"]) == ("−0.100", "−0.200")


@pytest.mark.usefixtures("undrawn")
def test_without_precisions_a_difference_is_told_and_not_called_sure(
    store: Store, tmp_path: Path
) -> None:
    (store.folder / "records" / "hash_s_16_1.npz").unlink()
    grid = ablation_grid(only(store))
    row = next(row for row in grid.rows if row["method"] == "hash-s")
    assert row["16 bits, difference"] == "−0.011 ± 0.001"
    assert not re.search("[↑↓]", "".join(map(str, row.values())))
    assert "hash-s" not in {grid.rows[number]["method"] for number, _ in grid.bold}
    path = write_report(store.folder, tmp_path / "report").files["ablations"]
    found = [line for line in lines(path) if line["variant"] == "hash-s"]
    assert [(line["p"], line["sure"], line["resamples"]) for line in found] == [("", "no", "0")] * 3


def test_queries_that_have_nothing_relevant_are_left_out(
    tmp_path: Path, measured: Measured
) -> None:
    store, gone = Store(tmp_path / "store"), BASE.copy()
    gone[:9] = np.nan
    measured(store, "hash", gone)
    measured(store, "hash", gone - noise(0.1), variant="s")
    (one,) = only(store).ablations
    assert {found.sure for found in one.differences.values()} == {True}


def test_what_papers_print_stands_beside_variants_too(store: Store) -> None:
    found = {"HASH-S": [[0.5]], "HASH": [[0.6]]}
    printed = Printed(source="A Paper", data=["wiki"], bits=[16], map_i2t=found)
    (one,) = printed_tables([("tests", printed)], summarize(store).tables)
    assert [(pair.figure.method, pair.row) for pair in one.pairs] == [
        *(("HASH-S", "hash-s"), ("HASH", "hash"))
    ]


@pytest.mark.usefixtures("undrawn")
def test_the_same_records_give_the_same_files(store: Store, tmp_path: Path) -> None:
    first: Written = write_report(store.folder, tmp_path / "a", resamples=200)
    second = write_report(store.folder, tmp_path / "b", resamples=200)
    for name in ("page", "markdown", "latex", "ablations"):
        assert first.files[name].read_bytes() == second.files[name].read_bytes()
    (found, _), (other, _) = (summarize(store, seed=seed).tables[0].ablations for seed in (0, 1))
    assert (
        found.differences["hash-same", 16, "mean"].p != other.differences["hash-same", 16, "mean"].p
    )
