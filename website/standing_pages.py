"""Files of the repository outside of ``docs`` that are pages of the site as they are."""

from __future__ import annotations

import ast
from functools import partial
from pathlib import Path

import yaml
from page import ROOT, Made, fenced, section, table, text


def pages() -> list[Made]:
    """The examples, commands, results, changes, how to contribute, and how to cite."""
    results, changes, contributing = (
        Made(uri, partial(text, path), (path,), base)
        for uri, path, base in (
            ("measurements.md", "benchmarks/RESULTS.md", "benchmarks"),
            ("changelog.md", "CHANGELOG.md", "."),
            ("contributing.md", "CONTRIBUTING.md", "."),
        )
    )
    examples = [
        Made(f"examples/{path.stem}.md", partial(_example, path), (f"examples/{path.name}",))
        for path in _examples()
    ]
    listed = Made("examples/index.md", _list_of_examples, ("examples",))
    cite = Made("cite.md", _cite, ("CITATION.cff",))
    commands = Made("commands.md", _commands, ("crosshash/cli",))
    return [listed, *examples, commands, results, changes, contributing, cite]


def _examples() -> list[Path]:
    return sorted((ROOT / "examples").glob("*.py"))


def _about(path: Path) -> tuple[str, str]:
    """What an example does, in a line, and what else its docstring says."""
    about = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or path.stem
    first, _, rest = about.partition("\n")
    return first, rest.strip()


def _list_of_examples() -> str:
    rows = [[f"[{path.name}](examples/{path.name})", _about(path)[0]] for path in _examples()]
    return f"# Examples\n\n{table(['file', 'what it does'], rows)}"


def _example(path: Path) -> str:
    # The docstring stands in the code, where its commands keep their lines.
    code = fenced(path.read_text(encoding="utf-8"), "python")
    parts = [f"# {path.name}", _about(path)[0]]
    notebook = f"examples/notebooks/{path.stem}.ipynb"
    if (ROOT / notebook).is_file():
        parts.append(f"The same in cells: [{path.stem}.ipynb]({notebook}).")
    return "\n\n".join([*parts, code])


def _commands() -> str:
    return f"# Command line\n\n{section(text('README.md'), 'Command line')}"


def _cite() -> str:
    cff = yaml.safe_load(text("CITATION.cff"))
    parts = [
        "# Cite",
        cff["message"],
        fenced(_bibtex("crosshash", {**cff, "type": "software"}), "bibtex"),
        "## The methods' papers",
    ]
    for paper in cff["references"]:
        key = "".join(filter(str.isalnum, paper["notes"].lower())) + str(paper["year"])
        parts += [f"### {paper['notes']}", fenced(_bibtex(key, paper), "bibtex")]
    return "\n\n".join(parts)


_KINDS = {"article": "article", "conference-paper": "inproceedings", "software": "software"}
_FIELDS = {
    "journal": "journal",
    "collection-title": "booktitle",
    "year": "year",
    "volume": "volume",
    "issue": "number",
    "start": "pages",
    "doi": "doi",
    "url": "url",
    "license": "license",
}


def _bibtex(key: str, work: dict[str, object]) -> str:
    """An entry of BibTeX of one work in CITATION.cff."""
    values = {"title": f"{{{work['title']}}}", "author": _authors(work["authors"])}
    values |= {name: str(work[field]) for field, name in _FIELDS.items() if field in work}
    lines = [f"  {name} = {{{value}}}" for name, value in values.items()]
    return f"@{_KINDS[str(work['type'])]}{{{key},\n" + ",\n".join(lines) + "\n}"


def _authors(people: object) -> str:
    assert isinstance(people, list)
    names = []
    for person in people:
        if "family-names" in person:
            names.append(f"{person['family-names']}, {person['given-names']}")
        else:  # a group's name is one, but BibTeX has words for "and others"
            name = person["name"]
            others = name.endswith(" et al.")
            names += [name.removesuffix(" et al."), "others"] if others else [f"{{{name}}}"]
    return " and ".join(names)
