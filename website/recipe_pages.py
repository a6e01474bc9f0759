"""A page for each recipe, of a method on a data set: its lengths, their figures, and its config."""

from __future__ import annotations

from functools import partial
from itertools import groupby

from method_pages import title
from model_pages import data_page, measured, paper_figures
from page import Made, fenced, table

from crosshash import list_models
from crosshash.cli.config import annotated_yaml
from crosshash.config import explain_config
from crosshash.hub import Manifest

FOLDER = "recipes"


def pages() -> list[Made]:
    """One for each method and data set with a recipe; the shipped models among the lengths, too."""
    return [
        Made(
            f"{FOLDER}/{method}-{dataset}.md",
            partial(_page, models),
            tuple(f"configs/{model.config}.yaml" for model in models),
        )
        for (method, dataset), models in _groups()
    ]


def _groups() -> list[tuple[tuple[str, str], list[Manifest]]]:
    groups = groupby(list_models(), key=lambda model: (model.method, model.dataset))
    found = [(key, [m for m in models if m.variant is None]) for key, models in groups]
    return [
        (key, models) for key, models in found if any(model.status == "recipe" for model in models)
    ]


def _page(models: list[Manifest]) -> str:
    first, longest = models[0], models[-1]
    figures = measured()
    head = ["bits", "config", "weights", "measured, MAP i→t / t→i", "the paper's, i→t / t→i"]
    rows = []
    for model in models:
        shipped = model.status == "local"
        weights = f"[`{model.name}`](zoo/{model.name}.yaml)" if shipped else "to be trained"
        found = " / ".join(figures.get(model.config, ["—"]))
        rows.append([str(model.bits), f"`{model.config}`", weights, found, paper_figures(model)])
    method = f"[{title(first.method)}](configs/{first.method})"
    return "\n\n".join(
        [
            f"# {title(first.method)} on {first.dataset}",
            f"The method {method}, the data {data_page(first.dataset)}.",
            fenced(f"crosshash train {longest.config}", "bash"),
            "[What a training leaves](docs/training.md), and how settings are laid over a config: "
            "`crosshash train … key=value`.",
            table(head, rows),
            "Measured figures are those of [benchmarks/RESULTS.md](benchmarks/RESULTS.md), the "
            "paper's are by its own protocol; a dash: there is none.",
            f"## Config of {longest.bits} bits",
            "Each value with the file that it comes from, as `crosshash config "
            f"{longest.config}` prints it.",
            fenced(annotated_yaml(explain_config(longest.config)), "yaml"),
        ]
    )
