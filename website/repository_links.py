"""Links between files of the repository, as links between pages of the site."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterable
from pathlib import PurePosixPath

from page import ROOT, Made

# Code is left alone: blocks between fences, and spans between backticks.
_CODE = re.compile(r"(^ *(?P<fence>`{3,})[^\n]*\n.*?^ *(?P=fence)\s*$|`[^`\n]+`)", re.M | re.S)
_LINK = re.compile(r"(?<=\]\()(?P<path>[^)\s#:]+)(?P<anchor>#[^)\s]*)?(?=\))")


class Links:
    """Where in the site each file of the repository is shown.

    Args:
        pages: Those that are made when the site is built.
    """

    def __init__(self, pages: Iterable[Made]) -> None:
        made = list(pages)
        self._bases = {page.uri: page.base for page in made}
        self._shown = {f"docs/{page.uri}": page.uri for page in made}
        self._shown |= {path: page.uri for page in made for path in page.stands_for}

    def rewritten(self, markdown: str, uri: str) -> str:
        """The Markdown of a page, its links to files of the repository being links to pages.

        Args:
            markdown: Its links are relative to the file's place in the repository.
            uri: The page's place in the site.

        Raises:
            ValueError: A link leads to what is not in the repository, or has no page.
        """
        base = self._bases.get(uri, posixpath.join("docs", posixpath.dirname(uri)))
        here = posixpath.dirname(uri) or "."

        def place(link: re.Match[str]) -> str:
            target = self.page_of(posixpath.normpath(posixpath.join(base, link["path"])), uri)
            return posixpath.relpath(target, here) + (link["anchor"] or "")

        parts, end = [], 0
        for code in _CODE.finditer(markdown):
            parts += [_LINK.sub(place, markdown[end : code.start()]), code[0]]
            end = code.end()
        return "".join([*parts, _LINK.sub(place, markdown[end:])])

    def page_of(self, path: str, uri: str) -> str:
        """Place in the site of a file of the repository.

        Raises:
            ValueError: It is not there, or has no page; names the page with the link.
        """
        if path in self._shown:
            return self._shown[path]
        if not (ROOT / path).exists():
            raise ValueError(f"{uri} links to {path}, which is not in the repository")
        if not PurePosixPath(path).is_relative_to("docs"):
            raise ValueError(f"{uri} links to {path}, which no page of the site shows")
        return posixpath.relpath(path, "docs")
