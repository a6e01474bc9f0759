"""``crosshash demo --photos``: a folder of one's own pictures, searched by words on one page."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from crosshash.cli.hit_gallery import hit_item, query_item
from crosshash.cli.hits import hit_rows
from crosshash.cli.indexing import index_items
from crosshash.hub.load import load
from crosshash.reports.gallery import Hit, Query, Section, write_gallery
from crosshash.retrieval.calibration import KEY
from crosshash.search.index import Index

if TYPE_CHECKING:
    from crosshash.model.hash_model import HashModel

MODEL = "photos-64"
# Of what the model has seen most: people, dogs, and what they do outdoors.
QUERIES = (
    "a dog playing in the grass",
    "children laughing",
    "people at the sea",
    "mountains and snow",
    "someone riding a bicycle",
    "a crowd in a city street",
)
HITS = 5
_LEAD = (
    "{items:,} pictures of {folder}, each as a code of {bits} bits: {bytes} bytes. A text becomes "
    "such a code as well, and the pictures whose codes differ from it in the fewest bits that it "
    "is sure of come first. Captions and labels, where there are any, were not read for it."
)


def show_photos(
    folder: Path,
    output: Path,
    queries: Sequence[str] = (),
    *,
    workers: int = 0,
    progress: bool = True,
) -> dict[str, Any]:
    """Index the pictures of a folder, or those that are new, and write a page of what texts find.

    Args:
        folder: Has pictures, also in folders inside; those that cannot be read are left out.
        output: Gets ``index``, which is kept for the next time, and ``index.html``.
        queries: Texts; default: :data:`QUERIES`.
        workers: Processes that decode.
        progress: Show a bar when it takes long.

    Returns:
        ``page``, ``index``, ``items``, of which ``added``, ``skipped`` paths, ``queries`` and
        ``seconds``.

    Raises:
        FileNotFoundError: There is no folder, or no picture in it.
        ValueError: A text has no word that the model knows.
    """
    began = time.monotonic()
    if not folder.is_dir():
        raise FileNotFoundError(f"{folder} is no folder; --photos takes a folder of pictures")
    model = load(MODEL)
    texts = list(queries) or list(QUERIES)
    values = model.encode_text(texts, output="real", unknown="allow")  # before the work
    for row in model.text.unknown_rows(model.text.prepare(texts, unknown="allow")).tolist():
        raise ValueError(f"--query {texts[row]!r}: {MODEL} knows none of its words; use others")
    place = output / "index"
    done = index_items(
        MODEL,
        [str(folder)],
        str(place),
        add=place.is_dir(),
        skip_corrupt=True,
        workers=workers,
        progress=progress,
    )
    page = output / "index.html"
    with Index.open(place) as index:
        index.metadata[KEY] = model.info.figures[KEY]
        found = [
            _query(model, index, text, values[row : row + 1], page)
            for row, text in enumerate(texts)
        ]
        items = len(index)
    chosen = "As they were given." if queries else "Examples; give your own with --query."
    write_gallery(
        page,
        title="Your photographs",
        lead=_LEAD.format(items=items, folder=folder, bits=model.bits, bytes=model.bits // 8),
        summary=[("Pictures", items), ("Bytes each", model.bits // 8), ("Model", MODEL)],
        sections=[Section("Text → image", found, chosen)],
    )
    return {
        "page": str(page),
        "index": str(place),
        "items": items,
        "added": done["added"],
        "skipped": done["skipped"],
        "queries": texts,
        "seconds": round(time.monotonic() - began, 1),
    }


def _query(model: HashModel, index: Index, text: str, values: Any, page: Path) -> Query:
    """A text with its hits; pictures that are no longer there are taken out of the index."""
    while True:
        found = index.search(values, topk=HITS, rank="asymmetric", metadata=True, query="text")
        gone = [id_ for id_ in found.ids[0] if not Path(id_).is_file()]
        if not gone:
            break
        index.remove(gone)
    rows = hit_rows(found, model=MODEL)
    items = index.get_many(row["id"] for row in rows)
    hits = [
        Hit(hit_item(item, page), row["distance"], probability=row.get("probability"))
        for item, row in zip(items, rows, strict=True)
    ]
    return Query(query_item(text, values, page, is_image=False), hits, model.bits)
