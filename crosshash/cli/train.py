"""The commands ``demo``, ``train`` and ``evaluate``: thin, over :mod:`crosshash.experiment`."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Optional

import typer

from crosshash.cli.options import Imports, Json, Model, Overrides, Quiet, Workers
from crosshash.cli.output import complain, headline, on_terminal, print_result, told_skipped


def demo(
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder for all results.")] = Path(
        "crosshash-demo"
    ),
    epochs: Annotated[Optional[int], typer.Option(help="Train for so many epochs.")] = None,  # noqa: UP045
    photos: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option(help="Search this folder's pictures by texts instead; nothing is trained."),
    ] = None,
    query: Annotated[
        Optional[list[str]],  # noqa: UP045
        typer.Option("--query", help="With --photos: a text to search by; may come several times."),
    ] = None,
    workers: Workers = 0,
    json_: Json = False,
    quiet: Quiet = False,
) -> None:
    """Train AMGFH on drawn scenes, evaluate, index and show it: a minute on a CPU.

    With `--photos FOLDER`, index one's own pictures with the model `photos` that comes with the
    package, 8 bytes each, and write a page of what texts find among them. The index is kept: the
    next time only new pictures are encoded, and `crosshash search` takes it.

    Example: `crosshash demo --photos ~/Pictures --query "children on a beach"`
    """
    if photos is not None:
        _show_photos(photos, output, query or [], workers, json_, quiet, epochs)
        return
    if query:
        raise ValueError("--query is a text to search photographs by; give --photos FOLDER too")
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


def _show_photos(
    photos: Path,
    output: Path,
    queries: list[str],
    workers: int,
    json_: int,
    quiet: bool,
    epochs: int | None,
) -> None:
    from crosshash.cli.own_photos import MODEL, show_photos

    if epochs is not None:
        raise ValueError("--photos trains nothing; leave --epochs out")
    # Beside the demo of drawn scenes, if that is there.
    output = output / "photos"
    done = show_photos(photos, output, queries, workers=workers, progress=not quiet)
    print_result(
        done,
        json_,
        f"{done['items']:,} pictures, {done['added']:,} new, in {done['seconds']:.0f} seconds",
        f"page: {done['page']}\nindex: {done['index']}\n"
        f'more: crosshash search "…" -i {shlex.quote(done["index"])} -m {MODEL} '
        f"--gallery hits.html --root {shlex.quote(str(photos))}",
        *told_skipped(done["skipped"]),
    )


def train(
    config: Annotated[str, typer.Argument(help="A YAML file or a bundled config's name.")],
    overrides: Overrides = None,
    output: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option(
            "--output", "-o", help="Folder of the run; default: runs/CONFIG, with its bits."
        ),
    ] = None,
    bits: Annotated[Optional[int], typer.Option(help="Length of the codes.")] = None,  # noqa: UP045
    epochs: Annotated[Optional[int], typer.Option(help="Train for so many epochs.")] = None,  # noqa: UP045
    seed: Annotated[Optional[int], typer.Option(help="Of weights, order and dropout.")] = None,  # noqa: UP045
    device: Annotated[Optional[str], typer.Option(help="auto, cpu or cuda.")] = None,  # noqa: UP045
    imports: Imports = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with a killed run.")] = False,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Train anew over the run in the folder.")
    ] = False,
    start: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option("--start", help="Fine-tune this zoo model or checkpoint folder."),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Read the data, build the model, say what would be.")
    ] = False,
    no_page: Annotated[
        bool, typer.Option("--no-page", help="Write no report.html, which takes some seconds.")
    ] = False,
    json_: Json = False,
    quiet: Quiet = False,
) -> None:
    """Train a model by a config, evaluate it and write a checkpoint, with a page about it.

    A finished run is only trained over with --overwrite; a killed one goes on with --resume.

    Example: `crosshash train amgfh/flickr8k-64 data.root=photos --bits 32 --epochs 5`
    """
    from crosshash.config import read_config
    from crosshash.experiment.run import train as run
    from crosshash.reports.chart import epochs_chart
    from crosshash.retrieval.record import training_words

    flags = {
        "bits": bits,
        "training.epochs": epochs,
        "seed": seed,
        "training.device": device,
        "imports": json.dumps(imports) if imports else None,
    }
    settings = [*(overrides or ()), *(f"{k}={v}" for k, v in flags.items() if v is not None)]
    folder = output or Path("runs") / run_name(config, settings)
    if dry_run:
        _show_plan(read_config(config, settings), folder, start, resume, overwrite, json_)
        return
    try:
        result = run(
            config,
            folder,
            overrides=settings,
            resume=resume,
            overwrite=overwrite,
            start=start,
            page=False if no_page else None,
            progress=not quiet,
        )
    except KeyboardInterrupt:
        again = [part for part in sys.argv[1:] if part not in ("--overwrite", "--resume")]
        command = shlex.join(["crosshash", *again, "--resume"])
        complain(f"crosshash: interrupted; to go on: {command}")
        raise typer.Exit(130) from None
    report = result.report
    values = {
        "checkpoint": str(result.folder),
        "page": None if result.page is None else str(result.page),
        "training": result.training,
        "figures": None if report is None else report.as_dict(),
    }
    figures = ["no labels, so no figures"] if report is None else _tables(report)
    short = {**values, "figures": None if report is None else headline(report)}
    if on_terminal():
        monitor, width = result.config.training.monitor, shutil.get_terminal_size().columns
        figures = ["\n".join(epochs_chart(result.history, monitor, width=width)), *figures]
    told = [training_words(result.training), f"checkpoint: {result.folder}"]
    if result.page is not None:
        told.append(f"page: {result.page}")
    print_result(values, json_, *filter(None, figures), *told, short=short)


def run_name(config: str, overrides: Sequence[str] = ()) -> str:
    """The folder of a config's run: ``amgfh-wiki-64``; other bits and another seed stand in it.

    Where the config's name ends in its bits these give way, ``bits=32`` makes ``amgfh-wiki-32``.
    """
    from crosshash.config import config_values

    path = Path(config)
    name = "-".join(part for part in (path.parent.name, path.name.removesuffix(".yaml")) if part)
    plain, now = config_values(config), config_values(config, overrides)
    if (bits := now.get("bits")) != plain.get("bits"):
        other = re.sub(rf"-{plain.get('bits')}(?=-|$)", f"-{bits}", name, count=1)
        name = f"{name}-{bits}" if other == name else other
    if now.get("seed", 0) != plain.get("seed", 0):
        name += f"-seed{now['seed']}"
    return name


def _show_plan(
    config: Any, folder: Path, start: str | None, resume: bool, overwrite: bool, json_: int
) -> None:
    from crosshash.experiment.dry_run import plan
    from crosshash.experiment.run_folder import check_folder
    from crosshash.reports.tables import rich_table

    check_folder(folder, resume=resume, overwrite=overwrite)
    found = plan(config, folder, start=start)
    print_result(found.as_dict(), json_, rich_table(found.rows()))


def evaluate(
    model: Model,
    overrides: Overrides = None,
    codes: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option("--codes", help="Write what is measured, for `crosshash score`: codes.npz."),
    ] = None,
    imports: Imports = None,
    json_: Json = False,
    quiet: Quiet = False,
) -> None:
    """Evaluate a model on the queries of its data set.

    Example: `crosshash evaluate runs/amgfh-flickr8k-64/checkpoint data.root=photos --json`
    """
    from crosshash.experiment.evaluation import evaluate as run
    from crosshash.reports.tables import rich_table
    from crosshash.retrieval.record import training_words

    options: dict[str, Any] = {"imports": imports or (), "codes": codes, "progress": not quiet}
    report = run(model, overrides=overrides or (), **options)
    told = report.record_dict()
    if told["training"]:
        told["training"] = training_words(told["training"])
    record = [{"record": key, "value": str(value)} for key, value in told.items()]
    tables = [*_tables(report), rich_table(record)]
    print_result(report.as_dict(), json_, *tables, short=headline(report))


def _tables(report: Any) -> list[Any]:
    """MAP in all directions, and of a nested model at its shorter lengths."""
    from crosshash.reports.tables import map_table, rich_table

    def table(name: str, title: str) -> Any:
        i2t, t2i, i2i, t2t = (
            getattr(way, name) for way in (report.i2t, report.t2i, report.i2i, report.t2t)
        )
        other = report.learned
        return map_table(
            i2t,
            t2i,
            chance=(report.i2t.chance, report.t2i.chance),
            learned=None if other is None else (getattr(other.i2t, name), getattr(other.t2i, name)),
            within=(i2i, t2t),
            title=title,
        )

    tables = [table("map", "Mean average precision")]
    if report.i2t.map_asymmetric is not None:
        tables.append(table("map_asymmetric", "The same by asymmetric distance"))
    if report.calibration_error:
        errors = [
            {"items": items, "direction": way}
            | {name.replace("_", ", "): error for name, error in found.items()}
            for items, ways in report.calibration_error.items()
            for way, found in ways.items()
        ]
        tables.append(rich_table(errors, title="Calibration error of probabilities"))
    if report.nested:
        rows = [
            {"bits": k, "image → text": r.i2t.map, "text → image": r.t2i.map, "mean": r.map_mean}
            for k, r in report.nested.items()
        ]
        tables.append(rich_table(rows, title="MAP of the first bits"))
    return tables
