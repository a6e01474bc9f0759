"""The page of results: its figures are those of the records that lie beside it."""

from __future__ import annotations

import re
import zipfile
from pathlib import Path

import pytest

from crosshash.experiment.bench import report
from crosshash.experiment.bench.cases import expand
from crosshash.experiment.bench.record import Store

RESULTS = Path(__file__).parent.parent / "docs" / "results"
# As 0.512, and the words around it; marks of what is sure are left out, as NumPy may draw anew.
FIGURE = re.compile(r"[−+]?\b\d\.\d{3}\b")


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    folder = tmp_path_factory.mktemp("results")
    with zipfile.ZipFile(RESULTS / "records.zip") as archive:
        archive.extractall(folder)
    return Store(folder)


def test_the_tables_are_those_of_the_records(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("drawn_figures", "epoch_figures"):
        monkeypatch.setattr(report, name, lambda table: [])
    written = report.write_report(store.folder, tmp_path, pictures=False)
    assert written.failed == 0
    made = written.files["markdown"].read_text(encoding="utf-8")
    kept = (RESULTS / "report" / "tables.md").read_text(encoding="utf-8")
    assert FIGURE.findall(made) == FIGURE.findall(kept)
    assert len(FIGURE.findall(kept)) > 300


def test_every_record_is_of_the_suite_of_results(store: Store) -> None:
    asked = {(c.row, c.config.data.name, c.config.bits, c.config.seed) for c in expand("results")}
    found = {(r.row, r.dataset, r.bits, r.seed) for r in store.all()}
    assert found <= asked


def test_the_page_has_no_figure_that_the_tables_have_not() -> None:
    page = (RESULTS / "index.md").read_text(encoding="utf-8")
    tables = (RESULTS / "report" / "tables.md").read_text(encoding="utf-8")
    measured = (RESULTS.parent.parent / "benchmarks" / "RESULTS.md").read_text(encoding="utf-8")
    known = set(FIGURE.findall(tables)) | set(FIGURE.findall(measured))
    assert [figure for figure in FIGURE.findall(page) if figure not in known] == []
