"""Notebooks made of example scripts: ``python website/notebooks.py`` writes them.

A comment ``# %%`` in ``main`` begins a cell; its words, and those of the lines right below it,
stand above the cell. ``# %show NAME`` is a line ``NAME``, by which a notebook shows what the script
saves. The parser's options become a cell of names and their defaults. An example without any
``# %%`` has no notebook.
"""

from __future__ import annotations

import argparse
import ast
import builtins
import json
import re
from pathlib import Path
from textwrap import dedent
from typing import Any

import nbformat
from page import ROOT

EXAMPLES, NOTEBOOKS = ROOT / "examples", ROOT / "examples" / "notebooks"
_CELL = re.compile(r"^ {4}# %% (?P<words>.*\n(?: {4}# .*\n)*)", re.MULTILINE)
# Only scripts need them.
_OF_SCRIPTS = re.compile(r"^(?:from __future__ import .*|import argparse)\n+", re.MULTILINE)


def sources() -> list[Path]:
    """The examples that have a notebook."""
    scripts = sorted(EXAMPLES.glob("*.py"))
    return [path for path in scripts if _CELL.search(path.read_text(encoding="utf-8"))]


def notebook(path: Path) -> str:
    """The notebook of an example, as it is written to a file.

    Raises:
        ValueError: ``main`` does not begin with a parser whose options are ``options``, or has a
            statement between the parser and the first ``# %%``.
    """
    code = path.read_text(encoding="utf-8")
    head, _, body = code.partition("def main() -> None:\n")
    body = body.partition('\n\nif __name__ == "__main__":')[0]
    parser, found, rest = body.partition("    options = parser.parse_args()\n")
    if not found or not parser.startswith("    parser = argparse."):
        raise ValueError(f"{path.name}: main() is to begin with a parser, parsed to `options`")
    before, *parts = _CELL.split(rest)
    if before.strip():
        raise ValueError(f"{path.name}: a cell begins by `# %%` right below parse_args()")
    module = ast.parse(code)
    imports, *others = _top(head)
    cells = [_words(_about(module, path.name)), _code(_OF_SCRIPTS.sub("", imports))]
    cells += map(_code, others)
    cells += [_words("What the script takes as arguments:"), _code(_options(parser))]
    for words, lines in zip(parts[::2], parts[1::2], strict=True):
        code = re.sub(r"^# %show (?=\w+$)", "", dedent(lines), flags=re.MULTILINE)
        cells += [_words(re.sub(r"\n *# ", " ", words)), _code(code)]
    for number, cell in enumerate(cells):
        cell["id"] = f"{path.stem}-{number}".replace("_", "-")  # else random ones
    about = {
        "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
        "language_info": {"name": "python"},
    }
    made = nbformat.v4.new_notebook(cells=cells, metadata=about, nbformat_minor=5)
    nbformat.validate(made)
    return f"{nbformat.writes(made)}\n"


def write() -> list[Path]:
    """Writes all notebooks, and gives their places."""
    NOTEBOOKS.mkdir(exist_ok=True)
    places = []
    for path in sources():
        places.append(NOTEBOOKS / f"{path.stem}.ipynb")
        places[-1].write_text(notebook(path), encoding="utf-8")
    return places


def _words(text: str) -> Any:
    return nbformat.v4.new_markdown_cell(text.strip())


def _code(text: str) -> Any:
    return nbformat.v4.new_code_cell(text.strip())


def _top(head: str) -> list[str]:
    """What stands above ``main``: the imports, then the rest, without the docstring."""
    nodes = ast.parse(head).body[1:]
    last = max(n.end_lineno or 0 for n in nodes if isinstance(n, ast.Import | ast.ImportFrom))
    lines = head.splitlines()
    parts = ["\n".join(lines[nodes[0].lineno - 1 : last]), "\n".join(lines[last:])]
    return [part for part in parts if part.strip()]


def _about(module: ast.Module, name: str) -> str:
    """The docstring as the notebook's beginning; its commands are the script's."""
    first, *others = (ast.get_docstring(module) or "").split("\n\n")
    title, _, rest = first.partition(": ")
    parts = [f"# {title}", rest[:1].upper() + rest[1:]]
    parts += [" ".join(text.split()) for text in others if not text.startswith("python ")]
    told = re.sub(r"--(\w+)", r"`options.\1`", "\n\n".join(parts)).replace("``", "`")
    needs = "[Install](../../docs/install.md) crosshash first."
    return f"{told}\n\nThe same as a script: [{name}](../{name}). {needs}"


def _options(code: str) -> str:
    """The options of a parser as names with their defaults, and what their help says of them."""
    names: dict[str, Any] = {"argparse": argparse, "Path": Path, "__doc__": ""}
    exec(compile(dedent(code), "parser", "exec"), names)
    lines = ["from types import SimpleNamespace", "", "options = SimpleNamespace("]
    for action in names["parser"]._actions[1:]:  # the first is --help
        kind = getattr(action.type, "__name__", "")
        # Numbers show what they are; of None one cannot tell.
        shown = [f"a {kind}"] if kind and not hasattr(builtins, kind) else []
        about = [re.sub(r"--(\w+)", r"\1", action.help)] if action.help else []
        told = "; ".join(about + shown)
        value = json.dumps(action.default) if isinstance(action.default, str) else action.default
        lines.append(f"    {action.dest}={value}," + f"  # {told}" * bool(told))
    return "\n".join([*lines, ")"])


if __name__ == "__main__":
    for place in write():
        print(place.relative_to(ROOT))
