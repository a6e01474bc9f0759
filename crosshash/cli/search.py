"""The commands ``encode``, ``index`` and ``search``: thin, over models and their indexes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, Optional

import typer

from crosshash.cli.options import Imports, Json, Model, Quiet, Workers, image_paths
from crosshash.cli.output import print_result

if TYPE_CHECKING:
    from crosshash.cli.encoding import Encoded
    from crosshash.images import ImageFiles
    from crosshash.model.hash_model import HashModel
    from crosshash.search.index import Index


SkipCorrupt = Annotated[
    bool, typer.Option("--skip-corrupt", help="Leave out files that are no pictures; list them.")
]
Bits = Annotated[
    Optional[int],  # noqa: UP045  (typer reads the annotation)
    typer.Option(help="The first so many bits, of a model that was trained for them."),
]
AllowUnknown = Annotated[
    bool, typer.Option("--allow-unknown", help="Take a text without a known word for an empty one.")
]


def encode(
    model: Model,
    items: Annotated[
        list[str],
        typer.Argument(help="Image files, folders of images, or texts; or one file of vectors."),
    ],
    output: Annotated[Path, typer.Option("--output", "-o", help="A .npz file for codes and ids.")],
    text: Annotated[bool, typer.Option("--text", help="The items are texts.")] = False,
    bits: Bits = None,
    skip_corrupt: SkipCorrupt = False,
    allow_unknown: AllowUnknown = False,
    workers: Workers = 0,
    imports: Imports = None,
    json_: Json = False,
    quiet: Quiet = False,
) -> None:
    """Write the packed codes of images or texts, or of vectors, whose ids are their row numbers.

    Example: `crosshash encode amgfh-shapes-64 photos/ -o codes.npz`
    """
    import numpy as np

    from crosshash.cli.encoding import (
        Encoded,
        encode_pictures,
        encode_texts,
        encode_vectors,
        vector_file,
    )
    from crosshash.files import atomic_file
    from crosshash.hub.load import load

    vectors = vector_file(items)
    paths = [] if text or vectors else _pictures(items)
    network = load(model, imports=imports or ())
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
        )
    with atomic_file(output) as path, path.open("wb") as file:
        np.savez(file, codes=done.codes, ids=np.array(done.ids))
    values = {
        "output": str(output),
        "items": len(done.ids),
        "bits": bits,
        "skipped": done.skipped,
    }
    line = f"{len(done.ids)} codes of {bits} bits: {output}"
    print_result(values, json_, line, *_told(done.skipped))


def index(
    model: Model,
    items: Annotated[
        list[str],
        typer.Argument(help="Image files or folders of images; or one file of their vectors."),
    ],
    output: Annotated[
        Path,
        typer.Option("--output", "-o", help="Folder for the index; one that is there is replaced."),
    ],
    add: Annotated[
        bool, typer.Option("--add", help="Add to the index that is there what it has not yet.")
    ] = False,
    bits: Bits = None,
    skip_corrupt: SkipCorrupt = False,
    workers: Workers = 0,
    imports: Imports = None,
    json_: Json = False,
    quiet: Quiet = False,
) -> None:
    """Build a search index of images, or of their vectors, whose ids are their row numbers.

    Example: `crosshash index runs/amgfh-flickr8k-64 photos/ -o photos.index`
    """
    from crosshash.cli.encoding import encode_pictures, encode_vectors, vector_file
    from crosshash.files import check_replaceable
    from crosshash.hub.load import load
    from crosshash.search.index import Index
    from crosshash.search.manifest import FILES, WHAT

    vectors = vector_file(items)
    paths = [] if vectors else _pictures(items)
    built = Index.open(output) if add else None
    check_replaceable(output, holds=FILES, what=WHAT)  # not only when it is saved, after the work
    network = load(model, imports=imports or ())
    if built is None:
        built = Index.for_model(network, {"model": str(model), "kind": "image"}, bits=bits)
    elif bits not in (None, built.bits):
        raise ValueError(
            f"{output} holds codes of {built.bits} bits, to which none of {bits} can be added; "
            "leave --bits out, or build another index"
        )
    else:
        built.check_model(network)
    new = [path for path in paths if str(path) not in built]
    before, done = len(built), None
    if vectors:
        done = _without(encode_vectors(network, vectors, bits=built.bits), built)
    elif new:
        done = encode_pictures(
            network,
            new,
            bits=built.bits,
            skip_corrupt=skip_corrupt,
            workers=workers,
            progress=not quiet,
        )
    if done is not None and done.ids:
        built.add(done.codes, done.ids)
        if not add:
            built.save(output)
    skipped = [] if done is None else done.skipped
    added = len(built) - before
    values = {
        "index": str(output),
        "items": len(built),
        "added": added,
        "bits": built.bits,
        "skipped": skipped,
    }
    there = f", {added} of them added" if add else ""
    print_result(values, json_, f"{len(built)} images indexed{there}: {output}", *_told(skipped))


def search(
    query: Annotated[str, typer.Argument(help="A text, or the path of an image.")],
    folder: Annotated[
        Path, typer.Option("--index", "-i", help="Folder that `crosshash index` wrote.")
    ],
    model: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option("--model", "-m", help="Default: the one that the index names, of the zoo."),
    ] = None,
    topk: Annotated[int, typer.Option("--topk", "-k", min=1, help="Hits to show.")] = 10,
    rank: Annotated[
        Literal["asymmetric", "hamming"],
        typer.Option("--rank", help="By the bits that differ, weighed by the query or counted."),
    ] = "asymmetric",
    min_probability: Annotated[
        Optional[float],  # noqa: UP045
        typer.Option(min=0, max=1, help="Leave out hits that are less probably relevant."),
    ] = None,
    gallery: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option("--gallery", "-g", help="Write the hits as one HTML page with pictures."),
    ] = None,
    root: Annotated[
        Path, typer.Option("--root", help="The folder whose pictures a gallery may show.")
    ] = Path(),
    trust: Annotated[
        bool,
        typer.Option("--trust", help="The index is one's own: load any model it names, show all."),
    ] = False,
    allow_unknown: AllowUnknown = False,
    imports: Imports = None,
    json_: Json = False,
) -> None:
    """Search an index by a text or by an image.

    The nearest items differ from the query in few bits of which it is sure: `asymmetric` is the sum
    of its values there, `distance` the number of these bits. `probability` is how often items at
    such a distance were relevant, of a model that learned it from held-out pairs.

    An index that others made names a model and files: without `--model` a model of the zoo only is
    loaded, and a gallery shows no picture outside of `--root`, by default the current folder.
    `--trust` lifts both.

    Example: `crosshash search "two dogs run through the snow" -i photos.index -m runs/photos`
    """
    from crosshash.cli.encoding import encode_texts
    from crosshash.cli.hits import hit_rows, probabilities
    from crosshash.cli.trust import check_below, named_model
    from crosshash.images import SUFFIXES
    from crosshash.reports.tables import rich_table
    from crosshash.search.index import Index

    suffix = Path(query).suffix.lower()
    is_image = suffix in SUFFIXES
    if is_image and not Path(query).is_file():
        raise FileNotFoundError(
            f"{query}: no such image file; a query that ends in {suffix} is the path of an image, "
            "any other is a text"
        )
    opened = Index.open(folder)
    named = model or named_model(opened, folder, trust=trust)
    network = _model_of(opened, folder, named, imports or (), asked=model is not None)
    values = (
        _query_picture(network, query, opened.bits)
        if is_image
        else encode_texts(
            network, [query], bits=opened.bits, allow_unknown=allow_unknown, output="real"
        )
    )
    found = opened.search(values, topk=topk, rank=rank)
    likely = probabilities(network, opened, found, values, "image" if is_image else "text")
    rows = hit_rows(found, likely, min_probability, model=named)
    if gallery:
        if not trust:
            check_below(root, [str(row["id"]) for row in rows])
        _gallery(gallery, query, is_image, rows)
    shown = rich_table(rows) if rows else f"nothing of a probability of {min_probability} or more"
    print_result({"query": query, "hits": rows}, json_, shown)


def _pictures(items: list[str]) -> list[Path]:
    """Picture files, each once, as an index has them."""
    return list(dict.fromkeys(image_paths(items)))


def _without(done: Encoded, built: Index) -> Encoded:
    """What an index has not yet."""
    new = [row for row, id_ in enumerate(done.ids) if id_ not in built]
    return done._replace(codes=done.codes[new], ids=[done.ids[row] for row in new])


def _told(skipped: list[str]) -> list[str]:
    """A line on pictures that were left out, and their names."""
    from crosshash.reports.tables import visible

    if not skipped:
        return []
    names = map(visible, skipped)  # each of which is one line
    return ["\n  ".join([f"{len(skipped)} skipped, which cannot be read as images:", *names])]


def _model_of(
    opened: Index, folder: Path, name: str, imports: Sequence[str], *, asked: bool
) -> HashModel:
    """The model of that name, which must be the very one that made the index."""
    from crosshash.hub.load import load

    try:
        network = load(name, imports=imports)
    except (LookupError, FileNotFoundError) as error:
        if asked:
            raise
        raise LookupError(
            f"{folder} was built with the model {name}, which is not here: {error}; where it is "
            "elsewhere now, name it with --model"
        ) from None
    opened.check_model(network)
    return network


def _query_picture(network: HashModel, path: str, bits: int) -> Any:
    from crosshash.images import CorruptImageError

    try:
        return network.encode_image(path, bits=bits, output="real")
    except CorruptImageError as error:
        raise ValueError(
            f"{path}: cannot be read as an image ({error.reason}); search by another picture"
        ) from None


def _gallery(path: Path, query: str, is_image: bool, rows: list[dict[str, Any]]) -> None:
    from crosshash.images import ImageFiles
    from crosshash.reports.gallery import Hit, Item, write_search_gallery

    files = ImageFiles([row["id"] for row in rows])
    hits = [
        Hit(Item(image=_small(files, place), text=Path(row["id"]).name), row["distance"])
        for place, row in enumerate(rows)
    ]
    asked = Item(image=_small(ImageFiles([query]), 0) if is_image else None, text=query)
    write_search_gallery(path, asked, hits, title=f"crosshash: {query}")


def _small(files: ImageFiles, place: int) -> Any:
    """A picture as the page has it, so that no more than one is held whole."""
    from crosshash.reports.gallery import THUMBNAIL

    picture = files.open(place, size=(THUMBNAIL, THUMBNAIL))
    picture.thumbnail((THUMBNAIL, THUMBNAIL))
    return picture
