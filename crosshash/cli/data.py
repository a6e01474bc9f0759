"""The commands ``crosshash data …``: thin, over :mod:`crosshash.data`."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, Optional

import typer

from crosshash.cli.options import Json, Quiet, Workers, hint_on_damage, settings_of
from crosshash.cli.output import byte_bars, counted, note, print_result

app = typer.Typer(
    help="Data sets: check, download, show, and extract features.",
    no_args_is_help=True,
    rich_markup_mode="markdown",
)

Name = Annotated[str, typer.Argument(help="A data set, such as mirflickr, nuswide or coco.")]
Root = Annotated[
    Optional[Path],  # noqa: UP045  (typer reads the annotation)
    typer.Option(
        "--root", help="The data set's folder; default: its name, also below CROSSHASH_DATA."
    ),
]
Settings = Annotated[
    Optional[list[str]],  # noqa: UP045
    typer.Argument(metavar="KEY=VALUE", help="Options of the data set's reader."),
]
_SHOWN = 5


@app.command()
def check(
    name: Name,
    options: Settings = None,
    root: Root = None,
    export: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option("--export", help="Write the protocol, as a file others can use."),
    ] = None,
    decode: Annotated[
        bool, typer.Option("--decode", help="Decode every image, which finds hint_on_damage files.")
    ] = False,
    json_: Json = False,
    quiet: Quiet = False,
) -> None:
    """Read a data set, check its images and print what was found, left out and why.

    Ends with exit code 2 where an image is missing or damaged.

    Example: `crosshash data check coco --root coco year=2014 --export split.json`
    """
    from crosshash.data.protocol_file import write_protocol
    from crosshash.data.summary import describe, unusable_pictures

    with note(f"reading {name}", quiet):
        dataset, protocol = _read(name, root, options)
    what = "decoding images" if decode else "looking for images"
    problems = unusable_pictures(dataset, decode=decode, progress=counted(what, quiet))
    values = describe(dataset, protocol)
    values["unusable_images"] = problems
    if export is not None:
        seed = settings_of(options).get("seed")
        write_protocol(export, protocol, dataset.ids, dataset=dataset.name, seed=seed)
        values["exported"] = str(export)
    print_result(values, json_, *_summary_tables(values, dataset.skipped))
    if problems:
        shown = "; ".join(problems[:_SHOWN]) + ("; …" if len(problems) > _SHOWN else "")
        raise ValueError(f"{len(problems)} of {len(dataset)} images cannot be used: {shown}")


@app.command()
def download(
    name: Name,
    root: Root = None,
    variant: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option("--variant", help="Which version, where there are several: coco has 2014."),
    ] = None,
    yes: Annotated[
        bool, typer.Option("--yes", "-y", help="Accept the licence without a question.")
    ] = False,
    keep: Annotated[bool, typer.Option("--keep", help="Keep the archives.")] = False,
    json_: Json = False,
    quiet: Quiet = False,
) -> None:
    """Download a data set from its official address, check it and unpack it.

    A download that was cut goes on where it was.

    Example: `crosshash data download mirflickr --root mirflickr --yes`
    """
    from crosshash.data.download.sources import fetch, find_source
    from crosshash.reports.tables import rich_table

    source = find_source(name)
    files = source.files(variant)
    folder = Path(name) if root is None else root
    planned = [
        {
            "file": remote.name,
            "holds": remote.holds,
            "GB": "?" if remote.size is None else f"{remote.size / 1e9:.2f}",
            "checksum": (remote.checksum or "none published").partition(":")[0],
        }
        for remote in files
    ]
    terms = f"{source.title} ({source.page})\nTerms: {source.licence}"
    if json_:
        typer.echo(terms, err=True)
    else:
        print_result(None, False, terms, rich_table(planned, columns=list(planned[0])))
    if not yes:
        if json_ or not sys.stdin.isatty():
            raise ValueError("read the terms above and say --yes to accept them")
        typer.confirm(f"Accept these terms and download into {folder}?", abort=True)
    with byte_bars(quiet) as progress:
        fetched = fetch(files, folder, keep=keep, progress=progress)
    values = {
        "root": str(folder),
        "licence": source.licence,
        "files": [
            {
                "file": found.path.name,
                "size": found.size,
                "sha256": found.sha256,
                "verified": found.verified,
            }
            for found in fetched
        ],
    }
    told = [
        f"{found.path.name}: {found.size:,} bytes, sha256 {found.sha256}, "
        + ("as published" if found.verified else "no checksum is published to compare with")
        for found in fetched
    ]
    left = len(files) - len(fetched)
    if left:
        told.append(f"{left} files were there already ({folder / 'downloads.json'})")
    print_result(values, json_, *told, f"next: crosshash data check {name} --root {folder}")


@app.command()
def features(
    name: Name,
    output: Annotated[Path, typer.Option("--output", "-o", help="A .safetensors file.")],
    backbone: Annotated[str, typer.Option("--backbone", help="A timm name, alexnet or cnnf.")],
    options: Settings = None,
    root: Root = None,
    weights: Annotated[
        str, typer.Option("--weights", help="pretrained, random, or a .safetensors file.")
    ] = "pretrained",
    backbone_option: Annotated[
        Optional[list[str]],  # noqa: UP045
        typer.Option(
            "--backbone-option",
            "-b",
            metavar="KEY=VALUE",
            help="Of the backbone, such as image_size=160.",
        ),
    ] = None,
    dtype: Annotated[str, typer.Option(help="float32, or float16 for half the size.")] = "float32",
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    batch_size: Annotated[int, typer.Option(min=1, help="Images of a batch.")] = 64,
    workers: Workers = 0,
    skip_corrupt: Annotated[
        bool, typer.Option("--skip-corrupt", help="Leave hint_on_damage images out, and say which.")
    ] = False,
    json_: Json = False,
    quiet: Quiet = False,
) -> None:
    """Write the features of a frozen backbone, with labels, as a file any program can read.

    Example: `crosshash data features coco --root coco --backbone resnet50 -o f.safetensors`
    """
    import torch

    from crosshash.backbones import create_image_backbone
    from crosshash.data.features.export import export_features
    from crosshash.training.devices import check_device

    check_device(device)
    chosen = "cuda" if device != "cpu" and torch.cuda.is_available() else "cpu"
    if output.suffix != ".safetensors":
        raise ValueError(f"{output}: features are written as .safetensors")
    dataset, _ = _read(name, root, options)
    network = create_image_backbone(
        backbone, **{"weights": weights, **settings_of(backbone_option)}
    )
    with hint_on_damage("--skip-corrupt"):
        values = export_features(
            output,
            dataset,
            network,
            dtype=dtype,
            batch_size=batch_size,
            workers=workers,
            device=chosen,
            on_corrupt="skip" if skip_corrupt else "raise",
            progress=not quiet,
        )
    lost = values["left_out"]
    told = [f"{values['pairs']:,} pairs, {values['dim']} features each ({dtype}): {output}"]
    if lost:
        shown = ", ".join(lost[:_SHOWN]) + (", …" if len(lost) > _SHOWN else "")
        told.append(f"{len(lost)} pairs left out, their images cannot be decoded: {shown}")
    print_result({"output": str(output), **values}, json_, *told)


@app.command()
def show(
    name: Name,
    options: Settings = None,
    root: Root = None,
    output: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option("--output", "-o", help="Write sample pairs as a .png, .jpg or .webp sheet."),
    ] = None,
    samples: Annotated[int, typer.Option(min=1, help="Pairs on the sheet.")] = 16,
    seed: Annotated[int, typer.Option(help="Draws the pairs on the sheet.")] = 0,
    json_: Json = False,
    quiet: Quiet = False,
) -> None:
    """Show counts, label frequencies, lengths of texts, and a sheet of sample pairs.

    Example: `crosshash data show coco --root coco -o sheet.png`
    """
    from crosshash.data.summary import describe, label_frequencies, text_lengths
    from crosshash.reports.samples import write_sample_sheet
    from crosshash.reports.tables import rich_table

    with note(f"reading {name}", quiet):
        dataset, protocol = _read(name, root, options)
    values = describe(dataset, protocol)
    values["text_lengths"] = text_lengths(dataset)
    values["label_frequencies"] = label_frequencies(dataset)
    told = []
    if output is not None:
        drawn = _samples(dataset, samples, seed)
        title = f"{dataset.name}: {len(drawn)} of {len(dataset):,} pairs"
        values["sheet"] = str(write_sample_sheet(output, drawn, title=title))
        told = [f"sheet: {output}"]
    unit = "words of a text" if dataset.text_kind == "captions" else "values that are not 0"
    lengths = rich_table([values["text_lengths"]], title=f"Lengths: {unit}", digits=1)
    frequencies = rich_table(values["label_frequencies"], title="Labels")
    tables = [*_summary_tables(values, dataset.skipped), lengths]
    print_result(
        values, json_, *tables, *([frequencies] if dataset.labels is not None else []), *told
    )


def _read(name: str, root: Path | None, options: list[str] | None) -> tuple[Any, Any]:
    """A data set and its protocol."""
    from crosshash.data.load import load_dataset

    return load_dataset(name, root, **settings_of(options))


def _samples(dataset: Any, count: int, seed: int) -> list[Any]:
    import numpy as np

    from crosshash.reports.samples import Sample

    if dataset.image_kind == "features" and dataset.text_kind == "features":
        raise ValueError(f"data set {dataset.name!r} has neither pictures nor texts to show")
    order = np.argsort(np.random.default_rng(seed).random(len(dataset)), kind="stable")
    drawn = []
    for row in sorted(order[:count].tolist()):
        labels: Any = [] if dataset.labels is None else np.flatnonzero(dataset.labels[row])
        names = [dataset.label_names[c] if dataset.label_names else str(c) for c in labels]
        drawn.append(
            Sample(
                name=dataset.ids[row],
                image=dataset.images.open(row) if dataset.image_kind == "pixels" else None,
                text=dataset.texts[row][0] if dataset.text_kind == "captions" else "",
                labels=names,
            )
        )
    return drawn


def _summary_tables(values: Mapping[str, Any], skipped: Iterable[str]) -> list[Any]:
    from crosshash.reports.tables import rich_table

    counts = {k: v for k, v in values.items() if isinstance(v, int)}
    rows: list[dict[str, Any]] = [
        {"count": key.replace("_", " "), "number": value} for key, value in counts.items()
    ]
    for reason, number in values["dropped"].items():
        rows.append({"count": f"dropped: {reason}", "number": number})
    if "unusable_images" in values:
        rows.append({"count": "unusable images", "number": len(values["unusable_images"])})
    for part, number in values["sets"].items():
        rows.append({"count": f"{part} set", "number": number})
    told = list(skipped)
    lines = [f"protocol: {values['protocol']}", f"split: {values['split_sha256']}"]
    if told:
        lines.append("skipped: " + "; ".join(told[:_SHOWN]) + ("; …" if told[_SHOWN:] else ""))
    if "exported" in values:
        lines.append(f"exported: {values['exported']}")
    return [rich_table(rows, title=values["name"]), *lines]
