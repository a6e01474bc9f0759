"""The hits of ``search`` as a page: what the index knows of each, and a link to its file."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from crosshash.cli.hits import caption_of, labels_of

if TYPE_CHECKING:
    from crosshash.reports.gallery import Item
    from crosshash.search.result import Item as Found


def query_item(query: str, values: Any, page: Path, *, is_image: bool) -> Item:
    """What was searched for: a text, or the path of a picture.

    Args:
        query: Text or path.
        values: Its outputs (1, k).
        page: The page that it is shown on.
        is_image: Whether it is a path.
    """
    from crosshash.codes import pack
    from crosshash.reports.gallery import Item

    code = pack(values)[0]
    if not is_image:
        return Item(text=query, code=code)
    return Item(_small(query), query, link=_address(Path(query), page), code=code)


def hit_item(found: Found, page: Path) -> Item:
    """A picture that was found, of an id that is its path; with caption and labels of its metadata.

    Args:
        found: The item of the index.
        page: The page that it is shown on; its link leads from there to the file.
    """
    from crosshash.reports.gallery import Item

    caption = caption_of(found.metadata) or Path(found.id).name
    labels, link = labels_of(found.metadata), _address(Path(found.id), page)
    return Item(_small(found.id), caption, labels, link, found.code)


def write_hits(
    page: Path,
    asked: Item,
    items: Sequence[Item],
    rows: Sequence[Mapping[str, Any]],
    summary: Sequence[tuple[str, Any]],
    bits: int,
) -> None:
    """Write the page.

    Args:
        page: The HTML file.
        asked: The query.
        items: What was found, nearest first.
        rows: Distance, and where it is known probability, of each.
        summary: (name, value) pairs for the top.
        bits: Length of codes.
    """
    from crosshash.reports.gallery import Hit, write_search_gallery

    hits = [
        Hit(item, row["distance"], probability=row.get("probability"))
        for item, row in zip(items, rows, strict=True)
    ]
    title = f"crosshash: {asked.text}"
    write_search_gallery(page, asked, hits, title=title, summary=summary, bits=bits)


def _address(file: Path, page: Path) -> str:
    """The file as the page names it: relative, so that both may move together."""
    try:
        relative = os.path.relpath(file.absolute(), page.absolute().parent)
    except ValueError:  # Windows: on another drive
        return file.absolute().as_uri()
    return quote(os.fsencode(Path(relative).as_posix()))


def _small(path: str) -> Any:
    """A picture as the page has it, so that no more than one is held whole."""
    from crosshash.images import ImageFiles
    from crosshash.reports.gallery import THUMBNAIL

    picture = ImageFiles([path]).open(0, size=(THUMBNAIL, THUMBNAIL))
    picture.thumbnail((THUMBNAIL, THUMBNAIL))
    return picture
