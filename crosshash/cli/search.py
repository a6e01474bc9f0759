"""The commands ``index`` and ``search``: thin, over models and their indexes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, Optional

import typer

from crosshash.cli.options import (
    AllowUnknown,
    Bits,
    Imports,
    Json,
    Model,
    Quiet,
    SkipCorrupt,
    Workers,
    image_paths,
)
from crosshash.cli.output import print_result, told_skipped

if TYPE_CHECKING:
    from crosshash.cli.encoding import Encoded
    from crosshash.images import ImageFiles
    from crosshash.model.hash_model import HashModel
    from crosshash.retrieval.index import Index, SearchResult


def index(
    model: Model,
    items: Annotated[
        list[str],
        typer.Argument(
            help="Image files or folders of images; one file of their vectors; or one folder of "
            "codes that `crosshash encode` wrote."
        ),
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

    A folder of codes, of images or texts, is indexed as it is, with the model that made it.

    Example: `crosshash index runs/amgfh-flickr8k-64 photos/ -o photos.index`
    """
    from crosshash.cli.encoding import (
        Encoded,
        codes_folder,
        encode_pictures,
        encode_vectors,
        vector_file,
    )
    from crosshash.encoding.folder import read_codes
    from crosshash.hub.load import load
    from crosshash.retrieval.index import Index
    from crosshash.retrieval.index_file import check_replaceable

    codes = codes_folder(items)
    vectors = None if codes else vector_file(items)
    paths = [] if codes or vectors else image_paths(items)
    built = Index.load(output) if add else None
    check_replaceable(output)  # not only when it is saved, after the work
    network = load(model, imports=imports or ())
    kind = "image"
    if codes is not None:
        codes.check(network, bits)
        bits, kind = codes.header.bits, codes.header.kind
    if built is None:
        built = Index.for_model(network, {"model": str(model), "kind": kind}, bits=bits)
    elif bits not in (None, built.bits):
        raise ValueError(
            f"{output} holds codes of {built.bits} bits, to which none of {bits} can be added; "
            "leave --bits out, or build another index"
        )
    else:
        built.check_model(network)
    new = [path for path in paths if str(path) not in built]
    before, done = len(built), None
    if codes is not None:
        for ids, packed in read_codes(codes.folder):
            some = _without(Encoded(packed, ids, []), built)
            built.add(some.codes, some.ids)
        if len(built) > before:
            built.save(output)
    elif vectors:
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
    line = f"{len(built)} {kind}s indexed{there}: {output}"
    print_result(values, json_, line, *told_skipped(skipped))


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
    of its values there, `distance` the number of these bits.

    An index that others made names a model and files: without `--model` a model of the zoo only is
    loaded, and a gallery shows no picture outside of `--root`, by default the current folder.
    `--trust` lifts both.

    Example: `crosshash search "two dogs run through the snow" -i photos.index -m runs/photos`
    """
    from crosshash.cli.encoding import encode_texts
    from crosshash.cli.trust import check_below, named_model
    from crosshash.images import SUFFIXES
    from crosshash.reports.tables import rich_table
    from crosshash.retrieval.index import Index

    suffix = Path(query).suffix.lower()
    is_image = suffix in SUFFIXES
    if is_image and not Path(query).is_file():
        raise FileNotFoundError(
            f"{query}: no such image file; a query that ends in {suffix} is the path of an image, "
            "any other is a text"
        )
    opened = Index.load(folder)
    named = model or named_model(opened, folder, trust=trust)
    network = _model_of(opened, folder, named, imports or (), asked=model is not None)
    values = (
        _query_picture(network, query, opened.bits)
        if is_image
        else encode_texts(
            network, [query], bits=opened.bits, allow_unknown=allow_unknown, output="real"
        )
    )
    rows = _rows(opened.search(values, topk=topk, rank=rank))
    if gallery:
        if not trust:
            check_below(root, [str(row["id"]) for row in rows])
        _gallery(gallery, query, is_image, rows)
    print_result({"query": query, "hits": rows}, json_, rich_table(rows))


def _rows(found: SearchResult) -> list[dict[str, Any]]:
    """The hits of one query as they are told, nearest first."""
    known = {"asymmetric": found.asymmetric, "distance": found.distances}
    told = {name: values[0].tolist() for name, values in known.items() if values is not None}
    return [
        {"rank": place + 1, **{name: values[place] for name, values in told.items()}, "id": id_}
        for place, id_ in enumerate(found.ids[0])
    ]


def _without(done: Encoded, built: Index) -> Encoded:
    """What an index has not yet."""
    new = [row for row, id_ in enumerate(done.ids) if id_ not in built]
    return done._replace(codes=done.codes[new], ids=[done.ids[row] for row in new])


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
