"""The command ``encode``: thin, over models and :mod:`crosshash.encoding`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, Optional

import typer

from crosshash.cli.options import (
    AllowUnknown,
    Bits,
    Cache,
    Imports,
    Json,
    Model,
    Quiet,
    SkipCorrupt,
    Workers,
    image_paths,
)
from crosshash.cli.output import item_bar, print_result, told_skipped

if TYPE_CHECKING:
    from crosshash.cli.encoding import Encoded
    from crosshash.encoding.run import Summary

SCALE = "Folders of codes"
PER_PART = 10_000


def encode(
    model: Model,
    items: Annotated[
        list[str],
        typer.Argument(
            metavar="SOURCE...",
            help="Image files, folders of images, or texts; or one file of vectors. For a folder "
            "of codes also tar shards (`a-{000..010}.tar`), a list (.csv, .jsonl, .parquet), or a "
            "data set (a saved folder, `hf:organisation/name`).",
        ),
    ],
    output: Annotated[
        Path,
        typer.Option(
            "--output",
            "-o",
            help="A .npz file for codes and ids; or a folder, for Parquet files part by part.",
        ),
    ],
    text: Annotated[bool, typer.Option("--text", help="The items are texts.")] = False,
    bits: Bits = None,
    skip_corrupt: SkipCorrupt = False,
    allow_unknown: AllowUnknown = False,
    workers: Workers = 0,
    cache: Cache = False,
    imports: Imports = None,
    json_: Json = False,
    quiet: Quiet = False,
    image_column: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option(help="Of a list: paths of images. [default: image]", rich_help_panel=SCALE),
    ] = None,
    text_column: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option(help="Of a list: texts. [default: text]", rich_help_panel=SCALE),
    ] = None,
    id_column: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option(help="Of a list: ids. [default: id, if there]", rich_help_panel=SCALE),
    ] = None,
    split: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option(help="Part of a data set of the Hub.", rich_help_panel=SCALE),
    ] = None,
    items_per_part: Annotated[
        int, typer.Option(min=1, help="Items of a part.", rich_help_panel=SCALE)
    ] = PER_PART,
    batch_size: Annotated[
        Optional[int],  # noqa: UP045
        typer.Option(
            min=1,
            help="Items that go through the network together. [default: 64 images, 1024 others]",
            rich_help_panel=SCALE,
        ),
    ] = None,
    dtype: Annotated[
        Literal["fp32", "bf16"],
        typer.Option(help="Numbers that the network computes in.", rich_help_panel=SCALE),
    ] = "fp32",
    ray: Annotated[
        Optional[int],  # noqa: UP045
        typer.Option(
            min=1,
            help="Share the parts among so many actors of a Ray cluster.",
            rich_help_panel=SCALE,
        ),
    ] = None,
) -> None:
    """Write the packed codes of images or texts, or of vectors, whose ids are their row numbers.

    Into a folder they are written part by part: the same command goes on where it was stopped, and
    what cannot be encoded is listed beside each part. `accelerate launch -m crosshash encode …`
    shares the parts among processes.

    Example: `crosshash encode amgfh-shapes-64 photos/ -o codes.npz`

    Example: `crosshash encode amgfh-shapes-64 "shards-{000..010}.tar" -o codes/ --workers 2`
    """
    from crosshash.cli.encoding import feature_cache

    if output.suffix.lower() != ".npz":
        from crosshash.encoding.sources import open_source
        from crosshash.encoding.tables import Columns

        columns = Columns(image_column, text_column, id_column)
        done = _encode_folder(
            model,
            open_source(items, text=text, columns=columns, split=split),
            output,
            imports=imports or (),
            quiet=quiet,
            bits=bits,
            items_per_part=items_per_part,
            batch_size=batch_size,
            workers=workers,
            dtype=dtype,
            allow_unknown=allow_unknown,
            cache=feature_cache(cache),
            actors=ray,
        )
        print_result({"output": str(output), **done._asdict()}, json_, *_told(done, output))
        return
    chosen = {
        "--image-column": image_column,
        "--text-column": text_column,
        "--id-column": id_column,
        "--split": split,
        "--batch-size": batch_size,
        "--items-per-part": None if items_per_part == PER_PART else items_per_part,
        "--dtype": None if dtype == "fp32" else dtype,
        "--ray": ray,
    }
    for name, value in chosen.items():
        if value is not None:
            raise ValueError(f"{name} is of folders of codes; give a folder: -o {output.stem}/")
    written = _encode_file(
        model,
        items,
        output,
        text=text,
        bits=bits,
        skip_corrupt=skip_corrupt,
        allow_unknown=allow_unknown,
        workers=workers,
        cache=feature_cache(cache),
        imports=imports or (),
        quiet=quiet,
    )
    count, length = len(written.ids), written.codes.shape[1] * 8
    values = {
        "output": str(output),
        "items": count,
        "bits": length,
        "skipped": written.skipped,
    }
    line = f"{count} codes of {length} bits: {output}"
    print_result(values, json_, line, *told_skipped(written.skipped))


def _encode_file(
    model: str,
    items: list[str],
    output: Path,
    *,
    text: bool,
    bits: int | None,
    skip_corrupt: bool,
    allow_unknown: bool,
    workers: int,
    cache: Any,
    imports: Any,
    quiet: bool,
) -> Encoded:
    import numpy as np

    from crosshash.cli.encoding import (
        Encoded,
        encode_pictures,
        encode_texts,
        encode_vectors,
        vector_file,
    )
    from crosshash.encoding.items import is_file, is_folder
    from crosshash.encoding.saved import is_saved
    from crosshash.encoding.shards import TAR
    from crosshash.encoding.tables import CSV, LINES
    from crosshash.files import atomic_file
    from crosshash.hub.load import load

    for item in items:
        listed = Path(item).suffix.lower() in (TAR, *CSV, *LINES) and not (
            text and not is_file(item)
        )
        if listed or (is_saved(item) and (is_folder(item) or not text)):
            raise ValueError(
                f"{item}: shards, lists and data sets are encoded into a folder, part by part; "
                f"give one: -o {output.stem}/"
            )
    vectors = vector_file(items)
    paths = [] if text or vectors else image_paths(items)
    network = load(model, imports=imports)
    bits = network.check_length(bits)
    if vectors:
        done = encode_vectors(network, vectors, bits=bits, text=text)
    elif text:
        codes = encode_texts(network, items, bits=bits, allow_unknown=allow_unknown)
        done = Encoded(codes, items, [])
    else:
        done = encode_pictures(
            network,
            paths,
            bits=bits,
            skip_corrupt=skip_corrupt,
            workers=workers,
            progress=not quiet,
            cache=cache,
        )
    with atomic_file(output) as path, path.open("wb") as file:
        np.savez(file, codes=done.codes, ids=np.array(done.ids))
    return done


def _encode_folder(
    model: str,
    source: Any,
    output: Path,
    *,
    imports: Any,
    quiet: bool,
    actors: int | None,
    **options: Any,
) -> Summary:
    """This process's share, on its device; or all, by the actors of a cluster."""
    from functools import partial

    from crosshash.encoding.run import encode_source
    from crosshash.hub.load import load
    from crosshash.training.devices import own_share

    if actors is not None:
        from crosshash.encoding.cluster import encode_on_cluster

        get = partial(load, model, imports=imports)
        with item_bar("encoding", quiet) as progress:
            return encode_on_cluster(
                get, source, output, name=model, actors=actors, progress=progress, **options
            )
    number, processes, device = own_share()
    network = load(model, imports=imports, device=device)
    with item_bar("encoding", quiet or number > 0) as progress:
        return encode_source(
            network,
            source,
            output,
            name=model,
            share=(number, processes),
            progress=progress,
            **options,
        )


def _told(done: Summary, output: Path) -> list[str]:
    lines = [
        f"{done.items} codes of {done.bits} bits in {done.parts - done.missing} parts, "
        f"{done.written} of them new: {output}"
    ]
    if done.rejected:
        lines.append(f"{done.rejected} rejected; their reasons: {output / 'rejects-*.jsonl'}")
    if done.missing:
        lines.append(f"{done.missing} of {done.parts} parts are others' and not there yet")
    return lines
