"""The command ``config``: a config resolved, each value with where it comes from."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

import typer
import yaml

from crosshash.cli.options import Json, Overrides
from crosshash.cli.output import print_result

INDENT = "  "
WIDTH = 60  # of a value, beyond which its source follows at once


def config(
    name: Annotated[str, typer.Argument(help="A YAML file or a bundled config's name.")],
    overrides: Overrides = None,
    json_: Json = False,
) -> None:
    """Print a config with all its bases, and the file that each value comes from.

    What is printed is YAML, and a config in one file.

    Example: `crosshash config amgfh/wiki-64 training.epochs=5`
    """
    from crosshash.config import explain_config

    values = explain_config(name, overrides or ())
    rows = [{"key": key, "value": value, "source": source} for key, value, source in values]
    print_result(rows, json_, annotated_yaml(values))


def annotated_yaml(values: Sequence[tuple[str, Any, str]]) -> str:
    """Dotted keys, values and sources as YAML, each source in a comment."""
    lines: list[tuple[str, str]] = []
    above: list[str] = []
    for dotted, value, source in values:
        *place, key = dotted.split(".")
        kept = 0
        while kept < min(len(place), len(above)) and place[kept] == above[kept]:
            kept += 1
        lines += [
            (f"{INDENT * depth}{_flow({place[depth]: None}).removesuffix(' null')}", "")
            for depth in range(kept, len(place))
        ]
        above = place
        lines.append((f"{INDENT * len(place)}{_flow({key: value})}", source))
    width = max(len(text) for text, source in lines if source and len(text) <= WIDTH)
    return "\n".join(f"{text:{width}}  # {source}" if source else text for text, source in lines)


def _flow(pair: dict[str, Any]) -> str:
    """``key: value`` on one line."""
    text = yaml.safe_dump(pair, default_flow_style=True, allow_unicode=True, width=float("inf"))
    return text.strip()[1:-1]
