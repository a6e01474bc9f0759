"""The command ``search``: thin, over a model and its index."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, Optional

import typer

from crosshash.cli.options import AllowUnknown, Imports, Json, settings_of
from crosshash.cli.output import print_result

if TYPE_CHECKING:
    from crosshash.model.hash_model import HashModel
    from crosshash.search.index import Index


def search(
    query: Annotated[str, typer.Argument(help="A text, or the path of an image.")],
    place: Annotated[
        str,
        typer.Option(
            "--index", "-i", help="Folder that `crosshash index` wrote, or a server's URI."
        ),
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
    where: Annotated[
        Optional[list[str]],  # noqa: UP045
        typer.Option(help="A condition on metadata, `labels=dog` or `year='{\">=\": 2020}'`."),
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
    from crosshash.cli.hit_gallery import hit_item, query_item, write_hits
    from crosshash.cli.hits import hit_rows, table_rows
    from crosshash.cli.trust import check_below, named_model
    from crosshash.images import SUFFIXES
    from crosshash.reports.tables import rich_table
    from crosshash.retrieval.calibration import KEY
    from crosshash.search.index import Index

    suffix = Path(query).suffix.lower()
    is_image = suffix in SUFFIXES
    if is_image and not Path(query).is_file():
        raise FileNotFoundError(
            f"{query}: no such image file; a query that ends in {suffix} is the path of an image, "
            "any other is a text"
        )
    opened = Index.open(place, verify=True)  # as others may have made it
    named = model or named_model(opened, place, trust=trust)
    network = _model_of(opened, place, named, imports or (), asked=model is not None)
    if KEY in network.info.figures:  # which may have been calibrated since
        opened.metadata[KEY] = network.info.figures[KEY]
    values = (
        _query_picture(network, query, opened.bits)
        if is_image
        else encode_texts(
            network, [query], bits=opened.bits, allow_unknown=allow_unknown, output="real"
        )
    )
    found = opened.search(
        values,
        topk=topk,
        rank=rank,
        where=settings_of(where) or None,
        metadata=True,
        query="image" if is_image else "text",
    )
    rows = hit_rows(found, min_probability, model=named)
    if gallery:
        if not trust:
            check_below(root, [str(row["id"]) for row in rows])
        asked = query_item(query, values, gallery, is_image=is_image)
        items = [hit_item(item, gallery) for item in opened.get_many(row["id"] for row in rows)]
        told = [("Model", named), ("Index", place), ("Items", len(opened)), ("Ranked by", rank)]
        write_hits(gallery, asked, items, rows, told, opened.bits)
    least = "" if min_probability is None else f" of a probability of {min_probability} or more"
    shown = rich_table(table_rows(rows)) if rows else f"nothing{least}"
    print_result({"query": query, "hits": rows}, json_, shown)


def _model_of(
    opened: Index, place: str, name: str, imports: Sequence[str], *, asked: bool
) -> HashModel:
    """The model of that name, which must be the very one that made the index."""
    from crosshash.hub.load import load

    try:
        network = load(name, imports=imports)
    except (LookupError, FileNotFoundError) as error:
        if asked:
            raise
        raise LookupError(
            f"{place} was built with the model {name}, which is not here: {error}; where it is "
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
