"""The commands ``encode``, ``index`` and ``search``: thin, over models and their indexes."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Optional

import typer

from crosshash.cli.options import Imports, Json, Model, Quiet, Workers, image_paths
from crosshash.cli.output import print_result


def encode(
    model: Model,
    items: Annotated[list[str], typer.Argument(help="Image files, folders of images, or texts.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="A .npz file for codes and ids.")],
    text: Annotated[bool, typer.Option("--text", help="The items are texts.")] = False,
    workers: Workers = 0,
    imports: Imports = None,
    json_: Json = False,
    quiet: Quiet = False,
) -> None:
    """Write the packed codes of images or texts.

    Example: `crosshash encode amgfh-shapes-64 photos/ -o codes.npz`
    """
    import numpy as np

    from crosshash.files import atomic_file
    from crosshash.hub.load import load

    network = load(model, imports=imports or ())
    if text:
        ids, codes = items, network.encode_text(items)
    else:
        paths = image_paths(items)
        ids = [str(path) for path in paths]
        codes = network.encode_image(paths, workers=workers, progress=not quiet)
    with atomic_file(output) as path, path.open("wb") as file:
        np.savez(file, codes=codes, ids=np.array(ids))
    values = {"output": str(output), "items": len(ids), "bits": network.bits}
    print_result(values, json_, f"{len(ids)} codes of {network.bits} bits: {output}")


def index(
    model: Model,
    items: Annotated[list[str], typer.Argument(help="Image files or folders of images.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder for the index.")],
    workers: Workers = 0,
    imports: Imports = None,
    json_: Json = False,
    quiet: Quiet = False,
) -> None:
    """Build a search index of images.

    Example: `crosshash index runs/amgfh-flickr8k-64/checkpoint photos/ -o photos.index`
    """
    from crosshash.hub.load import load
    from crosshash.retrieval.index import Index

    network = load(model, imports=imports or ())
    paths = image_paths(items)
    built = Index(network.bits, metadata={"model": str(model), "kind": "image"})
    codes = network.encode_image(paths, workers=workers, progress=not quiet)
    built.add(codes, [str(path) for path in paths])
    built.save(output)
    values = {"index": str(output), "items": len(built), "bits": built.bits}
    print_result(values, json_, f"{len(built)} images indexed: {output}")


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
    imports: Imports = None,
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
    network = load(str(name), imports=imports or ())
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
