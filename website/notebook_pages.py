"""A page for each notebook, and the notebooks themselves, to be downloaded."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path

from page import ROOT, Made, fenced, table, text

_FOLDER = "examples/notebooks"


def pages() -> list[Made]:
    """The list of notebooks; for each its page and its file."""
    made = [Made("notebooks/index.md", _index, (_FOLDER,))]
    for path in notebooks():
        file = f"{_FOLDER}/{path.name}"
        made.append(Made(f"notebooks/{path.stem}.md", partial(_page, path), (file,), _FOLDER))
        made.append(Made(f"notebooks/{path.name}", partial(text, file)))
    return made


def notebooks() -> list[Path]:
    """The files, as they are committed."""
    return sorted((ROOT / _FOLDER).glob("*.ipynb"))


def cells(path: Path) -> list[tuple[str, str]]:
    """Kind, ``"markdown"`` or ``"code"``, and text of each cell."""
    found = json.loads(path.read_text(encoding="utf-8"))["cells"]
    return [(cell["cell_type"], "".join(cell["source"])) for cell in found]


def _index() -> str:
    rows = [
        [f"[{path.name}]({_FOLDER}/{path.name})", cells(path)[0][1].partition("\n")[0].lstrip("# ")]
        for path in notebooks()
    ]
    about = (
        "The [examples](examples) in cells, for Jupyter and its like. They run as they stand, in "
        "seconds to a minute, without a download; the options at the top turn them to files of "
        "one's own. Outputs are not kept."
    )
    return f"# Notebooks\n\n{about}\n\n{table(['notebook', 'what it does'], rows)}"


def _page(path: Path) -> str:
    (_, title), *others = cells(path)
    link = f'[Download {path.name}](../../docs/notebooks/{path.name}){{ download="{path.name}" }}'
    parts = [fenced(code, "python") if kind == "code" else code for kind, code in others]
    return "\n\n".join([title, link, *parts])
