"""The command line: thin commands over the library."""

from __future__ import annotations

import os
import sys
import warnings
from pathlib import Path
from typing import Annotated, Any, Optional

import typer

from crosshash.cli import (
    convert as cli_convert,
)
from crosshash.cli import (
    data as cli_data,
)
from crosshash.cli import (
    export as cli_export,
)
from crosshash.cli import (
    hub as cli_hub,
)
from crosshash.cli.output import print_result

app = typer.Typer(
    name="crosshash",
    help="Cross-modal hashing: photographs and texts as short binary codes.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    rich_markup_mode="markdown",
)

app.command()(cli_hub.models)
app.command()(cli_hub.publish)
app.command()(cli_export.export)
app.add_typer(cli_hub.zoo, name="zoo")
app.add_typer(cli_data.app, name="data")
app.add_typer(cli_convert.app, name="convert")

Json = Annotated[bool, typer.Option("--json", help="Print JSON, for scripts.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Show no progress bars.")]
Model = Annotated[str, typer.Argument(help="A zoo name or a checkpoint folder.")]
Overrides = Annotated[
    Optional[list[str]],  # noqa: UP045  (typer reads the annotation)
    typer.Argument(help="Settings over the config: key=value with dotted keys."),
]


@app.callback(invoke_without_command=True)
def _root(
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
) -> None:
    if version:
        import crosshash

        typer.echo(crosshash.__version__)
        raise typer.Exit


@app.command()
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


@app.command()
def train(
    config: Annotated[str, typer.Argument(help="A YAML file or a bundled config's name.")],
    overrides: Overrides = None,
    output: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option("--output", "-o", help="Folder of the run; default: runs/<config>."),
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
    print_result(values, json_, figures, f"checkpoint: {result.folder}")


@app.command()
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
    print_result(report.as_dict(), json_, map_table(**_maps(report)), rich_table(record))


@app.command()
def encode(
    model: Model,
    items: Annotated[list[str], typer.Argument(help="Image files, folders of images, or texts.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="A .npz file for codes and ids.")],
    text: Annotated[bool, typer.Option("--text", help="The items are texts.")] = False,
    workers: Annotated[int, typer.Option(help="Processes that decode images.")] = 0,
    json_: Json = False,
    quiet: Quiet = False,
) -> None:
    """Write the packed codes of images or texts.

    Example: `crosshash encode amgfh-shapes-64 photos/ -o codes.npz`
    """
    import numpy as np

    from crosshash.files import atomic_file
    from crosshash.hub.load import load

    network = load(model)
    if text:
        ids, codes = items, network.encode_text(items)
    else:
        paths = _image_paths(items)
        ids = [str(path) for path in paths]
        codes = network.encode_image(paths, workers=workers, progress=not quiet)
    with atomic_file(output) as path, path.open("wb") as file:
        np.savez(file, codes=codes, ids=np.array(ids))
    values = {"output": str(output), "items": len(ids), "bits": network.bits}
    print_result(values, json_, f"{len(ids)} codes of {network.bits} bits: {output}")


@app.command()
def index(
    model: Model,
    items: Annotated[list[str], typer.Argument(help="Image files or folders of images.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder for the index.")],
    workers: Annotated[int, typer.Option(help="Processes that decode images.")] = 0,
    json_: Json = False,
    quiet: Quiet = False,
) -> None:
    """Build a search index of images.

    Example: `crosshash index runs/amgfh-flickr8k-64/checkpoint photos/ -o photos.index`
    """
    from crosshash.hub.load import load
    from crosshash.retrieval.index import Index

    network = load(model)
    paths = _image_paths(items)
    built = Index(network.bits, metadata={"model": str(model), "kind": "image"})
    codes = network.encode_image(paths, workers=workers, progress=not quiet)
    built.add(codes, [str(path) for path in paths])
    built.save(output)
    values = {"index": str(output), "items": len(built), "bits": built.bits}
    print_result(values, json_, f"{len(built)} images indexed: {output}")


@app.command()
def search(
    query: Annotated[str, typer.Argument(help="A text, or the path of an image.")],
    folder: Annotated[
        Path, typer.Option("--index", "-i", help="Folder that `crosshash index` wrote.")
    ],
    model: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option("--model", "-m", help="Default: the model that the index was built with."),
    ] = None,
    topk: Annotated[int, typer.Option("--topk", "-k", min=1, help="Hits to show.")] = 10,
    gallery: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option("--gallery", "-g", help="Write the hits as one HTML page with pictures."),
    ] = None,
    json_: Json = False,
) -> None:
    """Search an index by a text or by an image.

    Example: `crosshash search "two dogs run through the snow" -i photos.index -g hits.html`
    """
    from crosshash.hub.load import load
    from crosshash.images import SUFFIXES
    from crosshash.reports.tables import rich_table
    from crosshash.retrieval.index import Index

    opened = Index.open(folder)
    name = model or opened.metadata.get("model")
    if not name:
        raise ValueError(f"{folder} does not say its model; name it with --model")
    network = load(str(name))
    if network.bits != opened.bits:
        raise ValueError(f"{name} has {network.bits} bits, the index {folder} {opened.bits}")
    is_image = Path(query).suffix.lower() in SUFFIXES
    code = network.encode_image(query) if is_image else network.encode_text(query)
    found = opened.search(code, topk=topk)
    rows = [
        {"rank": rank + 1, "distance": int(distance), "id": item}
        for rank, (item, distance) in enumerate(zip(found.ids[0], found.distances[0], strict=True))
    ]
    if gallery:
        _gallery(gallery, query, is_image, rows)
    print_result({"query": query, "hits": rows}, json_, rich_table(rows))


def _image_paths(items: list[str]) -> list[Path]:
    """Image files as given, and all below folders, sorted."""
    from crosshash.images import SUFFIXES

    paths: list[Path] = []
    for item in map(Path, items):
        if item.is_dir():
            found = [path for path in item.rglob("*") if path.suffix.lower() in SUFFIXES]
            if not found:
                raise FileNotFoundError(f"no image below {item} (looked for {', '.join(SUFFIXES)})")
            paths += sorted(found)
        else:
            paths.append(item)
    return paths


def _gallery(path: Path, query: str, is_image: bool, rows: list[dict[str, Any]]) -> None:
    from crosshash.images import ImageFiles
    from crosshash.reports.gallery import Hit, Item, write_search_gallery

    files = ImageFiles([row["id"] for row in rows])
    hits = [
        Hit(Item(image=files.open(place), text=Path(row["id"]).name), row["distance"])
        for place, row in enumerate(rows)
    ]
    asked = Item(image=ImageFiles([query]).open(0) if is_image else None, text=query)
    write_search_gallery(path, asked, hits, title=f"crosshash: {query}")


def _maps(report: Any) -> dict[str, Any]:
    i2t, t2i = report.i2t, report.t2i
    return {"i2t": i2t.map, "t2i": t2i.map, "chance": (i2t.chance, t2i.chance)}


def main() -> None:
    """Entry point. Exit codes: 0 done, 1 a fault of the program, 2 wrong usage or input."""
    # Threads that spin while they wait make training many times slower on a machine that is shared;
    # read when torch is imported, which no command has done yet.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    # torch warns of its own decorator each time torch-geometric is imported.
    warnings.filterwarnings("ignore", message=".*torch.jit.script", category=FutureWarning)
    # Our own warnings are for users, who care for the message and not for the line it came from.
    warnings.showwarning = lambda message, *_: typer.echo(f"crosshash: {message}", err=True)
    try:
        app()
    except (ValueError, LookupError, OSError, ImportError, ArithmeticError) as error:
        # What the library raises on bad input has the whole story in its message.
        if type(error).__module__ == "builtins" and isinstance(error, (KeyError, IndexError)):
            raise
        typer.echo(f"crosshash: {error}", err=True)
        sys.exit(2)
    except KeyboardInterrupt:
        typer.echo("crosshash: interrupted; `--resume` goes on with a training", err=True)
        sys.exit(130)
