"""The commands of ``index``: build one, or add to it; compact or export it; its doctor."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, Optional

import typer
from typer.core import TyperGroup

from crosshash.cli.options import (
    Bits,
    Cache,
    Imports,
    Json,
    Model,
    Quiet,
    SkipCorrupt,
    Workers,
    settings_of,
)
from crosshash.cli.output import print_result, told_skipped

if TYPE_CHECKING:
    pass


class _BuildUnlessNamed(TyperGroup):
    """``index MODEL …`` is ``index build MODEL …``."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        if args and args[0] not in {*self.commands, *ctx.help_option_names}:
            args = ["build", *args]
        return super().parse_args(ctx, args)


app = typer.Typer(
    cls=_BuildUnlessNamed,
    help="Build a search index of images, of vectors or of codes, and look after it.",
    no_args_is_help=True,
    epilog="`crosshash index MODEL ITEMS… -o PLACE` is short for `crosshash index build …`.",
)

Place = Annotated[
    str, typer.Argument(help="A folder, lancedb:FOLDER, postgresql://… or milvus://….")
]


@app.command()
def build(
    model: Model,
    items: Annotated[
        list[str],
        typer.Argument(
            help="Image files or folders of images; one file of their vectors; or one folder of "
            "codes that `crosshash encode` wrote."
        ),
    ],
    output: Annotated[
        str,
        typer.Option(
            "--output",
            "-o",
            help="Folder for the index, where one that is there is replaced; lancedb:FOLDER; or a "
            "server's postgresql://… or milvus://….",
        ),
    ],
    add: Annotated[
        bool, typer.Option("--add", help="Add to the index that is there what it has not yet.")
    ] = False,
    bits: Bits = None,
    metadata: Annotated[
        bool,
        typer.Option(help="Keep what metadata.csv or metadata.jsonl in a folder says of pictures."),
    ] = True,
    skip_corrupt: SkipCorrupt = False,
    workers: Workers = 0,
    cache: Cache = False,
    imports: Imports = None,
    json_: Json = False,
    quiet: Quiet = False,
) -> None:
    """Build a search index of images, or of their vectors, whose ids are their row numbers.

    Captions, labels and other columns of a folder's metadata are kept as the items' metadata, which
    `crosshash search` shows and filters by.

    A folder of codes, of images or texts, is indexed as it is, with the model that made it.

    Example: `crosshash index build runs/amgfh-flickr8k-64 photos/ -o photos.index`
    """
    from crosshash.cli.described import told_lost
    from crosshash.cli.indexing import index_items

    values = index_items(
        model,
        items,
        output,
        add=add,
        bits=bits,
        metadata=metadata,
        skip_corrupt=skip_corrupt,
        workers=workers,
        cache=cache,
        imports=imports or (),
        progress=not quiet,
    )
    more = f", {values['added']} of them added" if add else ""
    more += f", {values['with_metadata']} with metadata" if values.pop("described") else ""
    line = f"{values['items']} {values.pop('kind')}s indexed{more}: {output}"
    lost, skipped = values["rows_without_picture"], values["skipped"]
    print_result(values, json_, line, *told_lost(lost), *told_skipped(skipped))


@app.command()
def compact(
    place: Place,
    kind: Annotated[
        Optional[str],  # noqa: UP045  (typer reads the annotation)
        typer.Option(help="flat, mih, ivf or hnsw; a server has some of these. Default: as it is."),
    ] = None,
    options: Annotated[
        Optional[list[str]],  # noqa: UP045
        typer.Argument(help="Options of the kind, such as `neighbours=16`."),
    ] = None,
    json_: Json = False,
) -> None:
    """Give back the room of removed items, and build a structure for large indexes.

    Example: `crosshash index compact photos.index --kind hnsw`
    """
    from crosshash.search.index import Index

    with Index.open(place) as index:
        index.compact(kind, **settings_of(options))
        values = {"index": place, "items": len(index), "exact": index.exact}
    found = "the nearest" if values["exact"] else "nearly all of the nearest"
    print_result(values, json_, f"{values['items']} items, of which {found} are found: {place}")


@app.command()
def export(
    place: Place,
    output: Annotated[Path, typer.Option("--output", "-o", help="A .parquet file.")],
    form: Annotated[
        Literal["packed", "signs"],
        typer.Option(help="Of the codes: bytes, or vectors of -1 and +1."),
    ] = "packed",
    json_: Json = False,
) -> None:
    """Write ids, codes and metadata to a Parquet file, for other stores.

    Example: `crosshash index export photos.index -o photos.parquet --form signs`
    """
    from crosshash.search.index import Index

    with Index.open(place) as index:
        count = index.export(output, form)
        values = {"output": str(output), "items": count, "bits": index.bits}
    print_result(values, json_, f"{count} codes of {values['bits']} bits: {output}")


@app.command()
def doctor(
    place: Place,
    accept: Annotated[
        bool, typer.Option("--accept", help="Compare later items with those that are there now.")
    ] = False,
    json_: Json = False,
) -> None:
    """Tell how healthy an index's codes are, and whether later ones differ from the first.

    Exit code 1 where they do.

    Example: `crosshash index doctor photos.index`
    """
    from crosshash.search.doctor import examine, set_reference
    from crosshash.search.index import Index

    with Index.open(place, verify=True) as index:
        report = examine(index)
        if accept:
            set_reference(index)
    health, drift = report.health, report.drift
    lines = [
        f"{report.items} items of {index.bits} bits; of a sample of {health.items} codes "
        f"{health.unique} differ, {len(health.constant)} bits are constant"
    ]
    if report.reference is None:
        lines.append("no reference: --accept remembers what the codes are like now")
    elif drift is None:
        lines.append(f"a reference of {report.reference.items} items, too few came later")
    else:
        lines.append(
            f"{drift.items} later items {'DIFFER' if drift.drifted else 'are alike'}: bits "
            f"p = {drift.p_bits:.2g} (bit {drift.bit} by {drift.change:+.3f}), distances "
            f"p = {drift.p_distances:.2g} (mean {drift.distance:+.2f} bits)"
        )
    print_result(report.as_dict(), json_, *lines)
    if drift is not None and drift.drifted and not accept:
        raise typer.Exit(1)
