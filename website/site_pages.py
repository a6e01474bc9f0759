"""All pages that are made when the site is built."""

from __future__ import annotations

import api_pages
import method_pages
import model_pages
import notebook_pages
import recipe_pages
import standing_pages
from page import Made
from repository_links import Links as Links


def made() -> list[Made]:
    """In the order in which the navigation shows those of a folder."""
    rooms = (method_pages, model_pages, recipe_pages, api_pages, standing_pages, notebook_pages)
    return [page for room in rooms for page in room.pages()]


def expanded(nav: list[object], uris: list[str]) -> list[object]:
    """A navigation in which each ``folder/*`` is all pages of that folder that are made.

    Files that are no pages, such as notebooks to download, have no place in it.

    Args:
        nav: As in ``mkdocs.yml``.
        uris: Places of the pages that are made.
    """
    found: list[object] = []
    for entry in nav:
        if isinstance(entry, dict):
            found.append({k: expanded(v, uris) if isinstance(v, list) else v
                          for k, v in entry.items()})  # fmt: skip
        elif isinstance(entry, str) and entry.endswith("/*"):
            found += [u for u in uris if u.startswith(entry[:-1]) and u.endswith(".md")]
        else:
            found.append(entry)
    return found
