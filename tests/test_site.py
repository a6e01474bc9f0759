"""The documentation site: its pages are there, and what they show runs as it stands there."""

from __future__ import annotations

import functools
import posixpath
import re
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from PIL import Image

import crosshash
from crosshash.methods import METHODS

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
WRITTEN = ["quickstart", "photographs", "finetune", "swap_backbone", "write_a_method"]
WRITTEN += ["map", "migration", "audit", "score"]
RESULTS = (ROOT / "benchmarks" / "RESULTS.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def site() -> Any:
    """The modules that make pages, as MkDocs finds them."""
    sys.path.insert(0, str(ROOT / "website"))
    try:
        import site_pages
    finally:
        sys.path.remove(str(ROOT / "website"))
    return site_pages


def uris(nav: list[Any]) -> list[str]:
    found = []
    for entry in nav:
        for value in entry.values() if isinstance(entry, dict) else [entry]:
            found += uris(value) if isinstance(value, list) else [value]
    return found


def test_every_page_of_the_navigation_is_there_and_every_page_is_in_it(site: Any) -> None:
    nav = yaml.safe_load((ROOT / "mkdocs.yml").read_text(encoding="utf-8"))["nav"]
    made = [page.uri for page in site.made()]
    shown = uris(site.expanded(nav, made))
    made = [uri for uri in made if uri.endswith(".md")]
    stand = [path.relative_to(DOCS).as_posix() for path in DOCS.rglob("*.md")]
    assert len(set(shown)) == len(shown)
    # What the table of models leads to would be more than half of the navigation.
    recipes = {page.uri for page in site.recipe_pages.pages()}
    assert set(shown) == {*made, *stand} - recipes


def test_every_method_and_every_shipped_model_has_a_page(site: Any) -> None:
    made = {page.uri for page in site.made()}
    assert {f"methods/{name}.md" for name in site.method_pages.names()} <= made
    models = [model.name for model in crosshash.list_models(status="local")]
    assert models
    assert {f"models/{name}.md" for name in models} <= made


def test_every_recipe_has_a_page_with_its_config_and_a_link_from_the_table(site: Any) -> None:
    pages = {page.uri: page for page in site.recipe_pages.pages()}
    recipes = [m for m in crosshash.list_models(status="recipe") if m.variant is None]
    assert {f"recipes/{m.method}-{m.dataset}.md" for m in recipes} == set(pages)
    told = pages["recipes/lpdh-flickr8k.md"].write()
    assert "crosshash train lpdh/flickr8k-64" in told
    assert re.search(r"learning_rate: .*# lpdh/base\.yaml", told)
    index = next(page for page in site.made() if page.uri == "models/index.md").write()
    assert "](configs/lpdh/flickr8k-64.yaml)" in index


def test_every_public_name_is_in_the_reference(site: Any) -> None:
    groups = site.api_pages.GROUPS
    names = [name for group in groups for name in group.names]
    assert set(names) == set(crosshash.__all__) - {"__version__"}
    rooms = [room for group in groups for room in group.rooms]
    assert set(rooms) == {
        room
        for room in set(dir(crosshash)) - set(crosshash.__all__)
        if hasattr(getattr(crosshash, room), "__all__")
    }
    assert "HashHead" in site.api_pages.shown("layers")
    assert site.api_pages.shown("methods") == ["METHODS", "build_model"]


def test_every_page_that_is_made_has_a_head_and_links_that_lead_to_pages(site: Any) -> None:
    pages = site.made()
    links = site.Links(pages)
    for page in pages:
        if page.uri.endswith(".md"):
            text = links.rewritten(page.write(), page.uri)
            assert text.startswith("# "), page.uri


def test_links_between_pages_work_in_the_repository_and_in_the_site(site: Any) -> None:
    pages = site.made()
    links, known = site.Links(pages), {page.uri for page in pages}
    known |= {path.relative_to(DOCS).as_posix() for path in DOCS.rglob("*")}
    count = 0
    for path in DOCS.rglob("*.md"):
        uri = path.relative_to(DOCS).as_posix()
        text = links.rewritten(path.read_text(encoding="utf-8"), uri)
        words = re.sub(r"```.*?```", "", text, flags=re.S)
        for target in re.findall(r"\]\(([^)\s#:]+)[)#]", words):
            count += 1
            assert posixpath.normpath(posixpath.join(posixpath.dirname(uri), target)) in known
    assert count > 60
    with pytest.raises(ValueError, match=r"index\.md links to nowhere\.md, which is not"):
        links.rewritten("[x](../nowhere.md)", "index.md")
    with pytest.raises(ValueError, match=r"links to pyproject\.toml, which no page"):
        links.rewritten("[x](../pyproject.toml)", "index.md")
    code = "`[x](a.md)` [y](../zoo)"
    assert links.rewritten(code, "map.md") == "`[x](a.md)` [y](models/index.md)"


def test_a_method_page_has_its_docstrings_config_and_figures(site: Any) -> None:
    pages = {page.uri: page.write for page in site.made()}
    page = pages["methods/dcmh.md"]()
    assert "::: crosshash.methods.dcmh.DCMH\n" in page + "\n"
    assert (ROOT / "configs/dcmh/base.yaml").read_text(encoding="utf-8").strip() in page
    assert re.search(r"^\| dcmh/wiki-64 \| yes \| 0\.302 \|", page, re.M)
    assert "| dsph" not in page
    assert "| CCA-ITQ, 64 bits |" in pages["methods/cca_itq.md"]()
    assert "CCA-ITQ" not in pages["methods/itq.md"]().partition("## Measured")[2]


def test_figures_of_the_page_that_helps_to_choose_are_measured_ones() -> None:
    text = (DOCS / "choose.md").read_text(encoding="utf-8")
    figures = re.findall(r"(?<![\d.])\+?0\.\d{3,4}(?!\d)", text)
    assert len(figures) > 25
    assert [figure for figure in figures if figure not in RESULTS] == []
    told = " ".join(RESULTS.split())  # without its line ends
    for words in ("52 s", "720 KB", "take 11 s", "4 min 30 s", "2 min 40 s", "five to ten minutes"):
        assert words in told
        assert words.removeprefix("take ") in " ".join(text.split())


def test_the_extras_are_those_of_the_package() -> None:
    project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    section = project.partition("[project.optional-dependencies]")[2].partition("\n[")[0]
    table = (DOCS / "install.md").read_text(encoding="utf-8").partition("| extra |")[2]
    rows = re.findall(r"^\| (`.*?) \|", table.partition("\n\n")[0], re.M)
    told = re.findall(r"`([\w-]+)`", " ".join(rows))
    assert sorted(told) == sorted(re.findall(r"^([\w-]+) =", section, re.M))


@pytest.fixture(scope="module")
def load() -> Any:
    return functools.cache(crosshash.load)


@pytest.mark.parametrize("name", WRITTEN)
def test_code_runs_and_prints_what_stands_below_it(
    name: str,
    load: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    METHODS.names()
    monkeypatch.setattr(METHODS, "_entries", dict(METHODS._entries))  # a page registers its own
    monkeypatch.setattr(crosshash, "load", load)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.chdir(tmp_path)
    photographs(tmp_path / "photos")
    text = (DOCS / f"{name}.md").read_text(encoding="utf-8")
    blocks = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    assert blocks
    names: dict[str, Any] = {"__name__": "page"}
    for block in blocks:
        capsys.readouterr()
        exec(compile(block, f"{name}.md", "exec"), names)
        printed = capsys.readouterr().out.splitlines()
        told = re.findall(r"^(?:print\(.*\)  )?# (.*)$", block, re.M)
        assert told == printed, block


def test_the_first_page_searches_as_the_readme_does() -> None:
    # Whose test runs the lines.
    (code,) = re.findall(r"```python\n(.*?)```", (DOCS / "index.md").read_text("utf-8"), re.DOTALL)
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert code == re.findall(r"```python\n(.*?)```", readme, re.DOTALL)[0]


def photographs(folder: Path) -> None:
    """Four files of drawn scenes."""
    folder.mkdir()
    dataset, _ = crosshash.load_dataset("shapes", n=20, seed=3)
    for row in range(4):
        picture = np.asarray(dataset.images[row])
        Image.fromarray(picture).save(folder / f"{row}.jpg")


def test_the_builder_knows_the_pages(site: Any) -> None:
    pytest.importorskip("mkdocs", reason='needs pip install "crosshash[docs]"')
    pytest.importorskip("mkdocstrings", reason='needs pip install "crosshash[docs]"')
    from mkdocs.config import load_config

    config = load_config(str(ROOT / "mkdocs.yml"))
    (hooks,) = config.hooks.values()
    config = hooks.on_config(config)
    assert "methods/dcmh.md" in uris(config.nav)
    page = hooks.on_page_content("see :class:<code>~crosshash.model.hash_model.HashModel</code>")
    assert page == (
        'see <autoref identifier="crosshash.model.hash_model.HashModel" optional>'
        "<code>HashModel</code></autoref>"
    )
    cell = "<td>0.5 ± 0.1</td>"
    assert hooks.on_page_content(f"<p>a ± b</p>{cell}") == (
        "<p>a ± b</p><td>0.5&nbsp;±&nbsp;0.1</td>"
    )


def test_docstrings_name_their_own_scope_and_show_examples() -> None:
    griffe = pytest.importorskip("griffe", reason='needs pip install "crosshash[docs]"')
    code = '"""See :func:`f`."""\nclass C:\n    """:meth:`m`, :meth:`x`.\n\n    Example:\n'
    code += '        >>> 1\n    """\n    def m(self):\n        """."""\ndef f():\n    """."""\n'
    extensions = griffe.load_extensions(str(ROOT / "website" / "docstrings.py"))
    with griffe.temporary_visited_package("p", {"__init__.py": code}, extensions=extensions) as p:
        assert p.docstring.value == "See :func:`~p.f`."
        assert p["C"].docstring.value.startswith(":meth:`~p.C.m`, :meth:`x`.\n\nExamples:\n")
