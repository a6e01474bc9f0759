"""The command ``score``: thin, over :mod:`crosshash.scoring`."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, Optional

import typer

from crosshash.cli.options import Json, Quiet, settings_of
from crosshash.cli.output import headline, note, print_result


def score(
    codes: Annotated[
        Optional[str],  # noqa: UP045  (typer reads the annotation)
        typer.Argument(metavar="CODES.npz", help="A file of codes, whatever made them."),
    ] = None,
    options: Annotated[
        Optional[list[str]],  # noqa: UP045
        typer.Argument(metavar="KEY=VALUE", help="Options of the data set's reader."),
    ] = None,
    data: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option("--data", help="The data set; default: the one that the file names."),
    ] = None,
    root: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option("--root", help="Its folder; default: its name, also below CROSSHASH_DATA."),
    ] = None,
    leaderboard: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option("--leaderboard", help="A CSV file to which the figures are added, as a row."),
    ] = None,
    name: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option("--name", help="Of the row; default: the one that the file says."),
    ] = None,
    protocols: Annotated[
        bool, typer.Option("--protocols", help="MAP by each of the field's conventions as well.")
    ] = False,
    template: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option("--template", help="Write a file to fill in, for this data set, to --output."),
    ] = None,
    bits: Annotated[Optional[int], typer.Option(help="Code length of a template: 64.")] = None,  # noqa: UP045
    output: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option("--output", "-o", help="Of --template: a .npz file."),
    ] = None,
    json_: Json = False,
    quiet: Quiet = False,
) -> None:
    """Score codes from outside, by the evaluation that our own models have.

    The file is checked first: the split's digest, the numbers of rows, the codes. No pickle is
    read. `crosshash evaluate MODEL --codes codes.npz` writes one from a model.

    Example: `crosshash score codes.npz --data wiki --leaderboard board.csv`
    """
    if template is not None:
        given = [part for part in (codes, *(options or ())) if part is not None]
        _write_template(template, root, given, 64 if bits is None else bits, output, json_)
        return
    if codes is None:
        raise ValueError("which codes? name a .npz file, or write one: --template DATASET -o FILE")
    if bits is not None or output is not None:
        raise ValueError("--bits and --output are for --template; the file says its bits")
    from crosshash.data.load import load_dataset
    from crosshash.scoring.leaderboard import add_to_leaderboard, leaderboard_row
    from crosshash.scoring.measuring import score as run
    from crosshash.scoring.submission import read_submission

    submission = read_submission(codes)
    if name is not None:
        submission = replace(submission, name=name).check()
    chosen = data or submission.dataset
    if not chosen:
        raise ValueError(f"{codes} does not say its data set; name it with --data")
    with note(f"reading {chosen}", quiet):
        dataset, protocol = load_dataset(chosen, root, **settings_of(options))
    report = run(submission, dataset, protocol)
    said = {key: getattr(submission, key) for key in ("name", "method", "seed", "link")}
    values: dict[str, Any] = {**said, **headline(report)}
    shown = list(_tables(report))
    if protocols:
        from crosshash.scoring.protocols import protocol_rows

        rows = (protocol.query, protocol.retrieval)
        labels = tuple(dataset.labels[part] for part in rows)  # type: ignore[index]
        values["protocols"] = protocol_rows(submission.query, submission.retrieval, *labels)
        shown.append(_rounded(values["protocols"], "The same codes by other conventions"))
    if leaderboard is not None:
        replaced = add_to_leaderboard(leaderboard, submission, report)
        values["leaderboard"] = leaderboard_row(submission, report)
        shown.append(f"{leaderboard}: {'a row replaced' if replaced else 'a row added'}")
    print_result(values, json_, *shown)


def _write_template(
    name: str, root: Path | None, options: list[str], bits: int, output: Path | None, json_: int
) -> None:
    from crosshash.data.load import load_dataset
    from crosshash.scoring.submission import CODES, template, write_submission

    if output is None:
        raise ValueError("--template writes a file; name it with --output codes.npz")
    made = template(*load_dataset(name, root, **settings_of(options)), bits=bits)
    write_submission(output, made)
    shapes = {key: list(getattr(made, key).shape) for key in CODES}
    values = {"written": str(output), "split": made.split, "bits": bits, "shapes": shapes}
    print_result(
        values,
        json_,
        f"{output}: random codes of {bits} bits, packed, to be replaced by yours in the order of "
        "query_ids and retrieval_ids",
        *(f"  {key} {tuple(shape)}" for key, shape in shapes.items()),
        f"split {made.split}",
    )


def _tables(report: Any) -> Iterator[Any]:
    from crosshash.reports.tables import rich_table

    figures = [("MAP", "map"), ("MAP by asymmetric distance", "map_asymmetric")]
    figures += [("MAP, ties best", "map_best"), ("MAP, ties worst", "map_worst")]
    rows = []
    for said, key in [*figures, ("chance", "chance")]:
        ways = [getattr(way, key) for way in (report.i2t, report.t2i)]
        if None not in ways:
            rows.append({"figure": said, "i2t": ways[0], "t2i": ways[1], "mean": sum(ways) / 2})
    record = report.record
    title = f"{record.dataset}, {record.bits} bits, database {record.database}"
    yield rich_table(rows, title=title)
    counts = ", ".join(f"{count:,} {part}" for part, count in record.counts.items())
    yield f"split {record.split[:12]}… ({counts})"


def _rounded(rows: list[dict[str, Any]], title: str) -> Any:
    from crosshash.reports.tables import rich_table

    return rich_table([{**row, "moved": f"{row['moved']:+.3f}"} for row in rows], title=title)
