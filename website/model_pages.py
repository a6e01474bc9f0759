"""A page for each model that comes with the package, and a table of all that can be trained."""

from __future__ import annotations

import re
from functools import partial
from itertools import groupby

from page import ROOT, Made, table, text
from result_rows import tables

from crosshash import list_models
from crosshash.hub import Manifest


def pages() -> list[Made]:
    """The table of models, and a page for each that is shipped."""
    shipped = [
        Made(
            f"models/{model.name}.md",
            partial(_page, model),
            (
                f"zoo/{model.name}.yaml",
                folder := f"zoo/checkpoints/{model.name}",
                f"{folder}/README.md",
            ),
        )
        for model in list_models(status="local")
    ]
    return [Made("models/index.md", _index, ("zoo",)), *shipped]


def _figure(value: float | None) -> str:
    return "—" if value is None else f"{value:.3f}"


def _megabytes(model: Manifest) -> str:
    return f"{sum(entry.size for entry in model.files.values()) / 1e6:.1f}\N{NO-BREAK SPACE}MB"


def _index() -> str:
    shipped = [
        [
            f"[`{model.name}`](zoo/{model.name}.yaml)",
            str(model.bits),
            *_figures(model),
            _megabytes(model),
            f'`crosshash.load("{model.alias or model.name}")`',
        ]
        # What reads anyone's data comes first.
        for model in sorted(list_models(status="local"), key=lambda model: model.alias is None)
    ]
    head = ["model", "bits", "MAP i→t / t→i", "chance", "size", "load"]
    parts = [
        "# Models",
        "MAP image→text (i→t) and text→image over the whole retrieval set, ties in expectation "
        "([what that means](docs/map.md)), of the weights that are shipped, one seed. "
        "`crosshash models` prints these tables; "
        "[how models are named, checked and published](docs/hub.md).",
        "## Shipped with the package",
        table(head, shipped),
        "## Recipes",
        "Configs without a checkpoint: the command trains one. Measured figures are those of "
        "[benchmarks/RESULTS.md](benchmarks/RESULTS.md), of this library's own runs; the paper's "
        "are the paper's, by its own protocol. A dash: there is none.",
    ]
    recipes = sorted(list_models(status="recipe"), key=lambda model: model.dataset)
    found = measured()
    for dataset, group in groupby(recipes, key=lambda model: model.dataset):
        rows = [
            [
                model.method,
                str(model.bits),
                " / ".join(found.get(model.config, ["—"])),
                paper_figures(model),
                f"[`crosshash train {model.config}`](configs/{model.config}.yaml)",
            ]
            for model in group
        ]
        head = ["method", "bits", "measured, i→t / t→i", "paper, i→t / t→i", "train"]
        parts += [f"### {dataset}", table(head, rows)]
    return "\n\n".join(parts)


def _figures(model: Manifest) -> list[str]:
    figures = model.figures
    if figures is None:
        return ["—", "—"]
    maps = f"{_figure(figures.map_i2t)} / {_figure(figures.map_t2i)}"
    return [maps, _figure(figures.chance)]


def paper_figures(model: Manifest) -> str:
    """The paper's MAP in both directions; a dash where it says nothing."""
    values = [model.paper.get(key) for key in ("map_i2t", "map_t2i")]
    return " / ".join(map(_figure, values)) if any(values) else "—"


def measured() -> dict[str, list[str]]:
    """MAP image→text and text→image of configs by their names, of the first table that has them."""
    found: dict[str, list[str]] = {}
    for _, lines in tables():
        head, *rows = ([cell.strip() for cell in line.strip("|").split("|")] for line in lines)
        if not {"config", "MAP image→text", "MAP text→image"} <= set(head):
            continue
        columns = [head.index("MAP image→text"), head.index("MAP text→image")]
        for row in rows[1:]:
            found.setdefault(row[0], [row[column] for column in columns])
    return found


def _page(model: Manifest) -> str:
    card = text(f"zoo/checkpoints/{model.name}/README.md")
    body = re.sub(r"\A---\n.*?\n---\n", "", card, flags=re.S).strip()
    heading, _, rest = body.partition("\n")
    head = ["method", "data set", "bits", "size", "config"]
    facts = [
        f"[{model.method}](configs/{model.method})",
        data_page(model.dataset),
        str(model.bits),
        _megabytes(model),
        f"`{model.config}`",
    ]
    return "\n\n".join([heading, table(head, [facts]), rest.strip()])


def data_page(name: str) -> str:
    """A data set's name, a link where it has a page."""
    page = f"docs/data/{name}.md"
    return f"[{name}]({page})" if (ROOT / page).is_file() else name
