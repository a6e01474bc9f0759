"""The command ``fit``: thin, over :mod:`crosshash.experiment.fitting`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Optional

import typer

from crosshash.cli.options import Json, Quiet
from crosshash.cli.output import print_result


def fit(
    images: Annotated[
        Optional[str],  # noqa: UP045
        typer.Argument(help="Vectors of images: a file, FILE:NAME for an array or column of it."),
    ] = None,
    texts: Annotated[
        Optional[str],  # noqa: UP045
        typer.Argument(help="Vectors of their texts; without, there is one kind of vector."),
    ] = None,
    output: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option("--output", "-o", help="Folder for the model."),
    ] = None,
    labels: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option("--labels", help="Labels: 0/1 rows or class numbers, a file as the others."),
    ] = None,
    no_labels: Annotated[
        bool, typer.Option("--no-labels", help="Learn from the pairs alone, as without --labels.")
    ] = False,
    bits: Annotated[int, typer.Option(help="Length of the codes.")] = 64,
    per_image: Annotated[
        str, typer.Option("--per-image", help="Texts of each image: a number, or a file of them.")
    ] = "1",
    epochs: Annotated[Optional[int], typer.Option(help="Train for at most so many epochs.")] = None,  # noqa: UP045
    seed: Annotated[int, typer.Option(help="Of held-out pairs, weights and order.")] = 0,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace the model that the folder has.")
    ] = False,
    json_: Json = False,
    quiet: Quiet = False,
) -> None:
    """Make a model of vectors that you have, and measure it.

    Example: `crosshash fit images.npy texts.npy -o model`
    """
    from crosshash.experiment.fitting import fit as run
    from crosshash.hub.card import FIGURES, held_out_words
    from crosshash.reports.tables import rich_table

    if output is None:
        raise ValueError("say where the model goes: --output FOLDER (-o FOLDER)")
    model = run(
        images,
        texts,
        None if no_labels else labels,
        bits,
        per_image=int(per_image) if per_image.isdecimal() else per_image,
        epochs=epochs,
        seed=seed,
        output=output,
        overwrite=overwrite,
        progress=not quiet,
        table=False,
    )
    told = model.info.figures[FIGURES]
    size = sum(file.stat().st_size for file in output.rglob("*") if file.is_file())
    values = {"model": str(output), "bits": model.bits, "bytes": size, **told}
    line = f"{model.bits} bits, {size / 1e6:.2f} MB: {output}"
    print_result(values, json_, rich_table(told["rows"]), held_out_words(told), line)
