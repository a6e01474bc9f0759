"""The command ``audit``: thin, over :mod:`crosshash.auditing`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Optional

import typer

from crosshash.cli.options import Imports, Json, Quiet, settings_of
from crosshash.cli.output import note, print_result


def audit(
    encoder: Annotated[
        str,
        typer.Argument(
            metavar="MODEL|MODULE:FUNCTION",
            help="A zoo name, a checkpoint or run folder; or a function encode(images, texts), as "
            "module:function or file.py:function, which is imported and run.",
        ),
    ],
    options: Annotated[
        Optional[list[str]],  # noqa: UP045  (typer reads the annotation)
        typer.Argument(metavar="KEY=VALUE", help="Options of the data set's reader."),
    ] = None,
    data: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option("--data", help="A data set; default: the one that the model was trained on."),
    ] = None,
    root: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option("--root", help="Its folder; default: its name, also below CROSSHASH_DATA."),
    ] = None,
    report: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option(
            "--report",
            help="A result to check, JSON or the folder of a run; default: what the model carries.",
        ),
    ] = None,
    items: Annotated[int, typer.Option(min=8, help="Pairs to encode in several ways.")] = 48,
    topk: Annotated[int, typer.Option(min=1, help="k of MAP@k, whose ties are told.")] = 50,
    limit: Annotated[
        Optional[int],  # noqa: UP045
        typer.Option(min=8, help="Encode at most so many queries and so many searched pairs."),
    ] = None,
    bits: Annotated[
        Optional[int],  # noqa: UP045
        typer.Option(help="Length that the codes are to have; a model says its own."),
    ] = None,
    tolerance: Annotated[
        Optional[float],  # noqa: UP045
        typer.Option(help="How far real values may differ between batches; default: rounding."),
    ] = None,
    imports: Imports = None,
    json_: Json = False,
    quiet: Quiet = False,
) -> None:
    """Look for leaks and faults in an encoder, its codes, its split and its report.

    Codes that change with the batch or with the partner, splits that share pairs, codes that
    cannot be packed, figures that hang on ties, directions from different epochs. A function is
    run: give only one that you trust. Ends with exit code 1 where a fault is found.

    Example: `crosshash audit my_model.py:encode --data wiki`
    """
    from crosshash.auditing.records import read_report
    from crosshash.auditing.run import audit as run
    from crosshash.auditing.subject import subject_of
    from crosshash.data.load import load_dataset
    from crosshash.plugins import import_parts

    import_parts(imports or ())
    subject = subject_of(encoder)
    name, place, settings = _data_of(subject.model, data)
    with note(f"reading {name}", quiet):
        dataset, protocol = load_dataset(
            name, root or place, **{**settings, **settings_of(options)}
        )
    told: dict[str, Any] = {}
    given = report or (Path(encoder) if subject.model is not None else None)
    if given is not None and (report is not None or given.is_dir()):
        told["report"], told["history"] = read_report(given)
    with note(f"auditing {encoder}", quiet):
        found = run(
            subject,
            dataset,
            protocol,
            items=items,
            topk=topk,
            limit=limit,
            bits=bits,
            tolerance=tolerance,
            **told,
        )
    print_result(found.as_dict(), json_, *_shown(found))
    if found.faults:
        raise typer.Exit(1)


def _data_of(model: Any, data: str | None) -> tuple[str, str | None, dict[str, Any]]:
    """Name, folder and options of the data set; a model's own where none is named."""
    if data is not None:
        return data, None, {}
    known = {} if model is None else (model.info.experiment or {}).get("data") or {}
    if not known.get("name"):
        raise ValueError(
            "which data set is to be encoded? name it with --data, as in --data wiki"
            + ("" if model is None else "; this model does not say its own")
        )
    return known["name"], known.get("root"), dict(known.get("options") or {})


def _shown(found: Any) -> list[Any]:
    """Findings as paragraphs, what was measured as a table, and a line that sums up."""
    from crosshash.reports.tables import rich_table

    shown: list[Any] = [
        f"{one.level.upper()} {one.check}\n  expected  {one.expected}\n  found     {one.found}\n"
        f"  mend      {one.mend}\n"
        for one in found.findings
    ]
    figures = found.figures
    if "i2t" in figures:
        rows = [
            {"figure": f"{said} {way}", **figures[way][key], "chance": figures[way]["chance"]}
            for key, said in (("map", "MAP"), ("map_at_k", f"MAP@{figures['topk']}"))
            for way in ("i2t", "t2i")
        ]
        shown.append(rich_table(rows, title="By the order inside ties"))
    if found.skipped:
        left = "; ".join(f"{check} ({why})" for check, why in found.skipped.items())
        shown.append(f"not checked: {left}")
    notes = len(found.findings) - len(found.faults)
    shown.append(
        f"{found.subject} on {found.dataset}: checks passed: {len(found.passed)}, "
        f"faults: {len(found.faults)}, notes: {notes}"
    )
    return shown
