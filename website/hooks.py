"""What MkDocs calls while it builds the site: pages that are made, and links between them."""

from __future__ import annotations

import re
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page
from repository_links import Links
from site_pages import expanded, made

PAGES = made()
LINKS = Links(PAGES)
_CELL = re.compile(r"<td[^>]*>[^<]*</td>")
# Roles of Sphinx in docstrings, as they are after Markdown: :class:`~crosshash.model.HashModel`.
_ROLE = re.compile(r":(?:class|func|meth|mod):<code>(?P<short>~?)(?P<path>[\w.]+)</code>")


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Puts the pages that are made into the navigation."""
    config.nav = expanded(config.nav or [], [page.uri for page in PAGES])
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Adds the pages that are made."""
    for page in PAGES:
        files.append(File.generated(config, page.uri, content=page.write()))
    return files


def on_page_markdown(markdown: str, page: Page, **_: Any) -> str:
    """Lets links to files of the repository lead to pages of the site."""
    try:
        return LINKS.rewritten(markdown, page.file.src_uri)
    except ValueError as error:
        raise PluginError(str(error)) from None


def on_page_content(html: str, **_: Any) -> str:
    """Makes links of the roles in docstrings, and keeps figures and spreads in one line.

    A role is a link where the reference has what it names.
    """

    def link(role: re.Match[str]) -> str:
        path = role["path"]
        shown = path.rpartition(".")[2] if role["short"] else path
        return f'<autoref identifier="{path}" optional><code>{shown}</code></autoref>'

    def whole(cell: re.Match[str]) -> str:
        return cell[0].replace(" ± ", "&nbsp;±&nbsp;")

    return _CELL.sub(whole, _ROLE.sub(link, html))
