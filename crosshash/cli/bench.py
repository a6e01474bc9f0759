"""The commands ``bench`` and ``report``: thin, over :mod:`crosshash.experiment.bench`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Optional

import typer

from crosshash.cli.options import Json, Quiet
from crosshash.cli.output import complain, print_result

STORE = Path("runs/bench")


def bench(
    suites: Annotated[
        Optional[list[str]],  # noqa: UP045  (typer reads the annotation)
        typer.Argument(
            metavar="SUITE… [KEY=VALUE…]",
            help="Suites by name or YAML file, and settings over every config; without any, the "
            "names of those that come with the package.",
        ),
    ] = None,
    store: Annotated[Path, typer.Option("--store", "-s", help="Folder of the records.")] = STORE,
    plan: Annotated[
        bool, typer.Option("--plan", help="Show the runs and which are there; run nothing.")
    ] = False,
    jobs: Annotated[
        int, typer.Option("--jobs", "-j", min=1, help="Runs at once; on GPUs one for each.")
    ] = 1,
    data: Annotated[
        Optional[list[str]],  # noqa: UP045
        typer.Option(help="This data set in place of the suite's; may come several times."),
    ] = None,
    bits: Annotated[
        Optional[list[int]],  # noqa: UP045
        typer.Option(help="This length in place of the suite's; may come several times."),
    ] = None,
    seeds: Annotated[
        Optional[list[int]],  # noqa: UP045
        typer.Option("--seed", help="This seed in place of the suite's; may come several times."),
    ] = None,
    methods: Annotated[
        Optional[list[str]],  # noqa: UP045
        typer.Option("--method", help="Only this method; may come several times."),
    ] = None,
    retry: Annotated[bool, typer.Option("--retry", help="Run failed runs again.")] = False,
    any_code: Annotated[
        bool, typer.Option("--any-code", help="Do not run again what is there by other code.")
    ] = False,
    keep: Annotated[
        bool, typer.Option("--keep-models", help="Keep the checkpoints, in models of the store.")
    ] = False,
    json_: Json = False,
    quiet: Quiet = False,
) -> None:
    """Run what is missing of suites of experiments, and keep a record of each run.

    A run is known by its config, its data and the code: what is there is not run again, and what
    was killed goes on. Ends with exit code 1 where a run failed. `crosshash report` shows all.

    Example: `crosshash bench quick --plan`
    """
    from crosshash.experiment.bench.bench import plan_suites, run_suites
    from crosshash.experiment.bench.cases import Choice
    from crosshash.experiment.bench.planning import left_words

    names = [name for name in suites or [] if "=" not in name or Path(name).is_file()]
    settings = [setting for setting in suites or [] if setting not in names]
    if not names:
        if settings:
            raise ValueError("settings are over the configs of suites; name a suite too")
        _list_suites(json_)
        return
    choice = Choice(data or (), bits or (), seeds or (), methods or (), settings)
    if plan:
        planned = plan_suites(names, store, choice=choice, retry=retry, any_code=any_code)
        _show(planned, left_words(planned, jobs), json_)
        return
    lines = None if quiet else _Lines(jobs)
    done = run_suites(
        names,
        store,
        choice=choice,
        jobs=jobs,
        retry=retry,
        any_code=any_code,
        keep=keep,
        begin=None if lines is None else lines.begin,
        done=None if lines is None else lines.done,
    )
    _show(done, f"records: {store}", json_)
    if any(one.state == "failed" for one in done):
        raise typer.Exit(1)


class _Lines:
    """A line for what is to be run, and for each run that ends."""

    def __init__(self, jobs: int) -> None:
        self.jobs = jobs
        self.runs = self.ended = 0

    def begin(self, planned: list[Any]) -> None:
        from crosshash.experiment.bench.planning import left_words

        self.runs = sum(one.to_run for one in planned)
        complain(left_words(planned, self.jobs))

    def done(self, record: Any) -> None:
        from crosshash.reports.tables import format_seconds

        self.ended += 1
        told = f"{record.row}, {record.dataset}, {record.bits} bits, seed {record.seed}"
        if record.state == "failed":
            told += f": failed: {record.error}"
        else:
            maps = " ".join(f"{record.figures[name]:.3f}" for name in ("map_i2t", "map_t2i"))
            told += f": MAP {maps}, {format_seconds(record.seconds['whole'])}"
        complain(f"{self.ended}/{self.runs} {told}")


def _show(planned: list[Any], last: str, json_: int) -> None:
    from crosshash.reports.tables import rich_table

    rows = [one.table_row() for one in planned]
    if len({row["suite"] for row in rows}) == 1:
        rows = [{key: value for key, value in row.items() if key != "suite"} for row in rows]
    if not any(one.to_run for one in planned):
        rows = [{key: value for key, value in row.items() if key != "expected"} for row in rows]
    reasons = dict.fromkeys(
        f"{one.case.name}: {one.error}" if one.state == "failed" else one.error
        for one in planned
        if one.error
    )
    same = dict.fromkeys(
        f"{row} on {one.case.config.data.name}: the same run as {one.case.row}, which is run once"
        for one in planned
        for row in one.also
    )
    failed = sum(one.state == "failed" for one in planned)
    again = [f"failed: {failed}; --retry runs what failed again"] if failed else []
    told = [*same, *reasons, *again, last]
    print_result([one.as_dict() for one in planned], json_, rich_table(rows), *told)


def _list_suites(json_: int) -> None:
    from crosshash.experiment.bench.cases import expand
    from crosshash.experiment.bench.suite import read_suite, suite_names
    from crosshash.reports.tables import rich_table

    rows = [
        {"suite": name, "runs": len(expand(name)), "what": read_suite(name).title}
        for name in suite_names()
    ]
    print_result(rows, json_, rich_table(rows), "crosshash bench SUITE --plan shows its runs")


def report(
    store: Annotated[Path, typer.Argument(help="Folder of records, of `crosshash bench`.")] = STORE,
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder of the report.")] = Path(
        "report"
    ),
    resamples: Annotated[
        int, typer.Option(min=100, help="Draws of the paired bootstrap, at least.")
    ] = 1000,
    seed: Annotated[int, typer.Option(min=0, help="Of these draws.")] = 0,
    pictures: Annotated[
        bool,
        typer.Option(help="Show what texts find; without pictures, names and marks remain."),
    ] = True,
    json_: Json = False,
) -> None:
    """Write all records of a store as one page, tables for papers, and CSV files.

    A figure is bold only where it is significantly better than all others of its column, among
    methods with labels or among those without, by a paired bootstrap over the queries with Holm's
    correction; otherwise it is called a tie.

    Example: `crosshash report runs/bench -o report`
    """
    from crosshash.experiment.bench.report import write_report

    written = write_report(store, output, resamples=resamples, seed=seed, pictures=pictures)
    values = {name: str(path) for name, path in written.files.items()}
    shown = [f"{name}: {path}" for name, path in values.items()]
    values_too = {"runs": written.runs, "failed": written.failed, "files": values}
    told = f"{written.runs} runs" + (f", {written.failed} of them failed" if written.failed else "")
    print_result(values_too, json_, told, *shown)
