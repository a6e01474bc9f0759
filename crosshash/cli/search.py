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

Side = Literal["image", "text"]


def search(
    query: Annotated[str, typer.Argument(help="A text, or the path of an image or of a vector.")],
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
    side: Annotated[
        Optional[Side],  # noqa: UP045
        typer.Option(help="Of what a vector is. Default: as its width says."),
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
    """Search an index by a text, by an image or by the vector of one.

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
    from crosshash.data.features.vectors import is_vector_file
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
    kind: Side = "image" if is_image else "text"
    is_vector = is_vector_file(query)
    if side and not is_vector:
        raise ValueError(f"--side is of the vector of a file, and {query!r} is none")
    if is_image:
        values = _query_picture(network, query, opened.bits)
    elif is_vector:
        values, kind = _query_vector(network, query, opened.bits, side)
    else:
        values = encode_texts(
            network, [query], bits=opened.bits, allow_unknown=allow_unknown, output="real"
        )
    found = opened.search(
        values,
        topk=topk,
        rank=rank,
        where=settings_of(where) or None,
        metadata=True,
        query=kind,
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


def _query_vector(
    network: HashModel, source: str, bits: int, side: Side | None
) -> tuple[Any, Side]:
    """Outputs of the vector in a file, and whether it is of an image or of a text.

    Raises:
        ValueError: There are several, of no side's width, or of both sides' and it is not said.
    """
    import numpy as np

    from crosshash.data.features.vectors import read_vectors

    rows = np.atleast_2d(read_vectors(source, source)).astype(np.float32)
    widths: dict[Side, int] = {
        "image": network.backbone(network.slots[0]).dim,
        "text": network.text.dim,
    }
    asked = {name: width for name, width in widths.items() if side in (None, name)}
    sides = [name for name, width in asked.items() if rows.shape == (1, width)]
    if not sides:
        known = " or ".join(f"{width} (of {name}s)" for name, width in asked.items())
        raise ValueError(f"{source}: a query is one vector of width {known}, got {rows.shape}")
    found = [
        network.encode_image(rows, bits=bits, output="real")
        if name == "image"
        else network.encode_text(rows, bits=bits, output="real")
        for name in sides
    ]
    if (found[0] != found[-1]).any():
        raise ValueError(
            f"{source}: vectors of images and of texts are both of this width; say of which it is, "
            "--side image or --side text"
        )
    return found[0], sides[0]
