"""What a report tells beside its figures, and which files it leaves in a folder."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure

from crosshash.experiment.bench import report
from crosshash.experiment.bench.record import Record, Store
from crosshash.experiment.bench.report import Written, write_report
from crosshash.experiment.bench.report_figures import Drawn
from crosshash.experiment.bench.summary import Table
from crosshash.scoring.leaderboard import read_leaderboard

Measured = Callable[..., Record]
BASE = np.random.default_rng(3).uniform(0.3, 0.5, 60)


def told(written: Written) -> dict[str, str]:
    """The texts of a report, by what they are."""
    return {name: written.files[name].read_text() for name in ("page", "markdown", "latex")}


@pytest.mark.usefixtures("undrawn")
def test_rows_with_seeds_by_several_versions_of_torch_are_named(
    tmp_path: Path, measured: Measured
) -> None:
    store = Store(tmp_path / "store")
    for number, version in enumerate(("2.1", "2.2", "2.2")):
        for variant in ("plain", "other"):
            own = {"seed": number, "variant": variant, "versions": {"torch": version}}
            measured(store, "mixed", BASE, **own)
        measured(store, "one", BASE, seed=number, versions={"torch": "2.2"})
    texts = told(write_report(store.folder, tmp_path / "report"))
    for name in ("page", "markdown"):
        assert texts[name].count("Seeds by torch 2.1 and 2.2: mixed.") == 1
        assert texts[name].count("Seeds by torch 2.1 and 2.2: all rows.") == 1  # of the ablations
    assert "Seeds by torch" not in texts["latex"]


@pytest.mark.usefixtures("undrawn")
def test_lengths_by_several_versions_of_torch_are_no_matter(
    tmp_path: Path, measured: Measured
) -> None:
    store = Store(tmp_path / "store")
    for bits, version in ((16, "2.1"), (32, "2.2")):
        measured(store, "one", BASE, bits=bits, versions={"torch": version})
    assert "Seeds by torch" not in told(write_report(store.folder, tmp_path / "report"))["page"]


@pytest.mark.usefixtures("undrawn")
def test_failed_runs_are_named_on_the_page_and_in_markdown(
    tmp_path: Path, measured: Measured
) -> None:
    store = Store(tmp_path / "store")
    measured(store, "good", BASE)
    written = write_report(store.folder, tmp_path / "report")
    assert "Failed" not in told(written)["markdown"]
    measured(store, "broken", BASE, state="failed", error="ValueError: a | b", figures={})
    texts = told(write_report(store.folder, tmp_path / "report"))
    assert "## Failed\n\nThey stand in no table above.\n\n| method" in texts["markdown"]
    assert r"ValueError: a \| b" in texts["markdown"]
    assert "ValueError: a | b" in texts["page"]
    assert [row["name"] for row in read_leaderboard(written.files["leaderboard"])] == ["good"]


@pytest.mark.usefixtures("undrawn")
def test_latex_has_the_seeds_where_there_are_several(tmp_path: Path, measured: Measured) -> None:
    store = Store(tmp_path / "store")
    measured(store, "one", BASE)
    assert r"Method & image $\to$ text" in told(write_report(store.folder, tmp_path / "a"))["latex"]
    measured(store, "one", BASE, seed=1)
    latex = told(write_report(store.folder, tmp_path / "a"))["latex"]
    assert r"Method & Seeds & image $\to$ text" in latex
    assert "\none & 2 & 0." in latex


def test_figures_of_an_older_report_go_and_ones_own_files_stay(
    tmp_path: Path, measured: Measured, monkeypatch: pytest.MonkeyPatch
) -> None:
    def drawn(table: Table) -> Iterator[Drawn]:
        yield Drawn(f"{table.name}-time", "told", Figure(), on_page=False)

    monkeypatch.setattr(report, "drawn_figures", drawn)
    monkeypatch.setattr(report, "epoch_figures", lambda table: [])
    figures = tmp_path / "report" / "figures"
    own = (figures / "mine-time.svg", figures / "notes.txt", figures.parent / "kept.svg")
    for data in ("old", "new"):
        store = Store(tmp_path / data)
        measured(store, "one", BASE, dataset=data)
        write_report(store.folder, figures.parent)
        if data == "old":
            assert (figures / "old-time.png").is_file()
            for path in own:
                path.write_text("one's own")
            with (figures / ".written").open("a") as file:  # no list of ours
                file.write("../kept.svg\nnotes.txt\n\n..\n")
    assert {path.name for path in figures.iterdir()} == {
        *(".written", "new-time.svg", "new-time.png", "mine-time.svg", "notes.txt")
    }
    assert [path.read_text() for path in own] == ["one's own"] * 3
