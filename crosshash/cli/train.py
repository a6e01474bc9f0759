"""The commands ``demo``, ``train`` and ``evaluate``: thin, over :mod:`crosshash.experiment`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Optional

import typer

from crosshash.cli.options import Json, Model, Overrides, Quiet
from crosshash.cli.output import headline, print_result


def demo(
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder for all results.")] = Path(
        "crosshash-demo"
    ),
    epochs: Annotated[Optional[int], typer.Option(help="Train for so many epochs.")] = None,  # noqa: UP045
    json_: Json = False,
    quiet: Quiet = False,
) -> None:
    """Train AMGFH on drawn scenes, evaluate, index and show it: a few minutes on a CPU.

    Example: `crosshash demo --output /tmp/demo`
    """
    from crosshash.demo import run_demo

    overrides = [f"training.epochs={epochs}"] if epochs else []
    summary = run_demo(output, overrides=overrides, progress=not quiet)
    print_result(
        summary.as_dict(),
        json_,
        summary.table(),
        f"page: {summary.page}\ncheckpoint: {summary.checkpoint}\nindex: {summary.index}\n"
        f"{summary.seconds:.0f} seconds",
    )


def train(
    config: Annotated[str, typer.Argument(help="A YAML file or a bundled config's name.")],
    overrides: Overrides = None,
    output: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option("--output", "-o", help="Folder of the run; default: runs/CONFIG."),
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with a killed run.")] = False,
    start: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option("--start", help="Fine-tune this zoo model or checkpoint folder."),
    ] = None,
    json_: Json = False,
    quiet: Quiet = False,
) -> None:
    """Train a model by a config, evaluate it and write a checkpoint.

    Example: `crosshash train configs/amgfh/flickr8k-64.yaml data.root=photos training.epochs=5`
    """
    from crosshash.config import read_config
    from crosshash.experiment import train as run
    from crosshash.reports.tables import map_table

    experiment = read_config(config, overrides or [])
    path = Path(config)
    folder = output or Path("runs") / f"{path.parent.name}-{path.name.removesuffix('.yaml')}"
    result = run(experiment, folder, resume=resume, start=start, progress=not quiet)
    report = result.report
    values = {
        "checkpoint": str(result.folder),
        "figures": None if report is None else report.as_dict(),
    }
    figures = "no labels, so no figures" if report is None else map_table(**_maps(report))
    short = {**values, "figures": None if report is None else headline(report)}
    print_result(values, json_, figures, f"checkpoint: {result.folder}", short=short)


def evaluate(
    model: Model,
    overrides: Overrides = None,
    json_: Json = False,
    quiet: Quiet = False,
) -> None:
    """Evaluate a model on the queries of its data set.

    Example: `crosshash evaluate runs/amgfh-flickr8k-64/checkpoint data.root=photos --json`
    """
    from crosshash.experiment import evaluate as run
    from crosshash.reports.tables import map_table, rich_table

    report = run(model, overrides=overrides, progress=not quiet)
    record = [{"record": key, "value": str(value)} for key, value in report.record_dict().items()]
    tables = map_table(**_maps(report)), rich_table(record)
    print_result(report.as_dict(), json_, *tables, short=headline(report))


def _maps(report: Any) -> dict[str, Any]:
    i2t, t2i = report.i2t, report.t2i
    return {"i2t": i2t.map, "t2i": t2i.map, "chance": (i2t.chance, t2i.chance)}
