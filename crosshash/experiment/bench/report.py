"""All records of a store as one page, tables for papers, figures and CSV files."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from crosshash.experiment.bench import report_ablations, report_sweeps
from crosshash.experiment.bench.entries import DIRECTIONS
from crosshash.experiment.bench.record import Store
from crosshash.experiment.bench.report_csv import (
    ablations_csv,
    curves_csv,
    epochs_csv,
    figures_csv,
    printed_csv,
    runs_csv,
    significance_csv,
)
from crosshash.experiment.bench.report_epochs import NOTE, epoch_figures
from crosshash.experiment.bench.report_figures import Drawn, drawn_figures
from crosshash.experiment.bench.report_gallery import gallery_section
from crosshash.experiment.bench.report_grids import Grid, further_grids, map_grid
from crosshash.experiment.bench.report_printed import (
    PrintedTable,
    printed_grid,
    printed_notes,
    printed_tables,
)
from crosshash.experiment.bench.report_tables import (
    FAILED,
    cost_rows,
    failed_rows,
    latex,
    markdown,
    notes,
    title,
)
from crosshash.experiment.bench.report_versions import version_notes
from crosshash.experiment.bench.summary import Summary, Table, summarize
from crosshash.files import atomic_file
from crosshash.reports import page
from crosshash.reports.comparison_plots import png_file, svg_file

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_PAGE, _FIGURES, _LIST = "index.html", "figures", ".written"


@dataclass(frozen=True)
class Written:
    """What a report has.

    Attributes:
        runs: That ended, failed ones among them.
        failed: Of these.
        files: By what they are: ``page``, ``markdown``, ``latex``, ``figures``, ``curves``,
            ``epochs``, ``significance``, ``ablations``, ``leaderboard`` and ``printed`` (CSV), and
            ``plots``, the folder of SVG and PNG files.
    """

    runs: int
    failed: int
    files: dict[str, Path]


def write_report(
    store: str | Path,
    output: str | Path,
    *,
    resamples: int = 1000,
    seed: int = 0,
    pictures: bool = True,
) -> Written:
    """Write a store's report; the same records give the same bytes.

    Args:
        store: The folder of records, of :func:`~crosshash.experiment.bench.bench.run_suites`.
        output: The folder that gets it. Files of an older report there are replaced, figures of
            tables that are gone are removed, and files of one's own in it are left as they are;
            rows that others added to its ``leaderboard.csv`` are not.
        resamples: Draws of the paired bootstrap, at least.
        seed: Of these.
        pictures: Show what texts found; without, their names, distances and marks remain.

    Raises:
        FileNotFoundError: There are no records.
        ValueError: None of the runs has ended well, or a file of the store is damaged.
    """
    known, folder = Store(store), Path(output)
    summary = summarize(known, resamples=resamples, seed=seed)
    if not summary.records:
        raise ValueError(
            f"all {len(summary.failed)} runs in {known.folder} failed, so that there is nothing to "
            "report; `crosshash bench SUITE --retry` runs them again"
        )
    figures = folder / _FIGURES
    figures.mkdir(parents=True, exist_ok=True)
    drawn = {table.name: [*drawn_figures(table), *epoch_figures(table)] for table in summary.tables}
    parts = []
    for table in summary.tables:
        parts.append(_table_section(table, drawn[table.name]))
        parts.append(_ablations_section(table))
        parts.append(gallery_section(table, known, pictures=pictures))
    sweeps = report_sweeps.find_sweeps(summary.records)
    printed = printed_tables(known.printed(), summary.tables, sweeps)
    swept = list(report_sweeps.drawn_sweeps(sweeps))
    plots = [(one.name, one.told, one.figure) for found in drawn.values() for one in found]
    _write_figures(figures, [*plots, *swept])
    files = {
        "markdown": ("tables.md", markdown(summary, printed)),
        "latex": ("tables.tex", latex(summary, printed)),
        "figures": ("figures.csv", figures_csv(summary.records)),
        "curves": ("curves.csv", curves_csv(summary.records)),
        "epochs": ("epochs.csv", epochs_csv(summary.records)),
        "significance": ("significance.csv", significance_csv(summary.tables)),
        "ablations": ("ablations.csv", ablations_csv(summary.tables)),
        "printed": ("printed.csv", printed_csv(printed)),
        "leaderboard": ("leaderboard.csv", runs_csv(summary.tables)),
    }
    for name, text in files.values():
        _write(folder / name, text.encode())
    parts.append(_sweeps_section(sweeps, swept))
    parts += [_printed_section(one) for one in printed]
    parts += [_failed_section(summary), _how_section(summary)]
    page.write_page(folder / _PAGE, "Benchmark", parts, lead=_lead(summary))
    found = {name: folder / file for name, (file, _) in files.items()}
    runs, failed = len(summary.records) + len(summary.failed), len(summary.failed)
    return Written(runs, failed, {"page": folder / _PAGE, **found, "plots": figures})


def _write_figures(folder: Path, drawn: Sequence[tuple[str, str, Figure]]) -> None:
    """Write figures, and remove those that the list of an older report has and that are gone."""
    listed, names = folder / _LIST, set[str]()
    older = listed.read_text(encoding="utf-8").splitlines() if listed.is_file() else []
    for name, told, figure in drawn:
        _write(folder / f"{name}.svg", svg_file(figure, told).encode())
        _write(folder / f"{name}.png", png_file(figure))
        names |= {f"{name}.svg", f"{name}.png"}
    for name in set(older) - names:
        if name == Path(name).name and name.endswith((".svg", ".png")):
            (folder / name).unlink(missing_ok=True)
    _write(listed, "".join(f"{name}\n" for name in sorted(names)).encode())


def _write(path: Path, content: bytes) -> None:
    with atomic_file(path) as temporary:
        temporary.write_bytes(content)


def _lead(summary: Summary) -> str:
    sets = ", ".join(dict.fromkeys(record.dataset for record in summary.records))
    told = f"{len(summary.records)} runs on {sets}"
    if summary.failed:
        told += f"; {len(summary.failed)} more failed"
    if summary.older:
        told += f"; {summary.older} older ones are left out, as the same was run anew"
    return f"{told}. Every figure stands with how it was measured."


def _table_section(table: Table, drawn: Sequence[Drawn]) -> str:
    parts = [_grid(map_grid(table))]
    parts += [page.folded(told, _grid(grid)) for told, grid in further_grids(table).items()]
    parts += [
        page.folded(
            "Cost, at the longest codes; time and memory are of the device and what ran beside",
            page.table(cost_rows(table)),
        ),
        page.figures([(one.told, one.figure) for one in drawn if one.on_page]),
        _small(NOTE) if any(one.name.endswith("-loss") for one in drawn) else "",
    ]
    return page.section(title(table), parts, [*notes(table), *version_notes(table.entries)])


def _ablations_section(table: Table) -> str:
    if not table.ablations:
        return ""
    shown = _grid(report_ablations.ablation_grid(table))
    versions = version_notes(report_ablations.entries(table))
    told = [*report_ablations.notes(table), *versions]
    return page.section(report_ablations.title(table), [shown], told)


def _grid(grid: Grid) -> str:
    return page.table(grid.rows, bold=grid.bold, numbers=grid.columns, parts=grid.parts)


def _sweeps_section(
    sweeps: Sequence[report_sweeps.Sweep], drawn: Sequence[report_sweeps.Drawn]
) -> str:
    if not sweeps:
        return ""
    parts = [
        page.table(report_sweeps.sweep_rows(sweeps), numbers=DIRECTIONS.values()),
        page.figures([(one.told, one.figure) for one in drawn]),
    ]
    return page.section(report_sweeps.SENSITIVITY, parts, [report_sweeps.NOTE])


def _printed_section(one: PrintedTable) -> str:
    return page.section(one.title, [_grid(printed_grid(one))], printed_notes(one))


def _failed_section(summary: Summary) -> str:
    if not summary.failed:
        return ""
    return page.section("Failed", [page.table(failed_rows(summary))], [FAILED])


def _how_section(summary: Summary) -> str:
    told: list[tuple[str, Any]] = []
    versions: dict[str, set[str]] = {}
    for record in summary.records:
        for package, version in record.versions.items():
            versions.setdefault(package, set()).add(version)
    told += [(package, ", ".join(sorted(found))) for package, found in sorted(versions.items())]
    codes = sorted({record.identity["code"][:8] for record in summary.records})
    told.append(("code", ", ".join(codes)))
    for table in summary.tables:
        counts = {name: table.record["counts"][name] for name in ("query", "retrieval")}
        told.append((table.name, ", ".join(f"{name} {n:,}" for name, n in counts.items())))
    return page.section("Versions and splits", [page.facts(told)])


def _small(text: str) -> str:
    from html import escape

    return f'<p class="note">{escape(text)}</p>'
