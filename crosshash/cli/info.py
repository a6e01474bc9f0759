"""The command ``info``: what the library finds here, or what a model is."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Annotated, Any, Optional

import typer

from crosshash.cli.options import Imports, Json
from crosshash.cli.output import print_result


def info(
    model: Annotated[
        Optional[str],  # noqa: UP045  (typer reads the annotation)
        typer.Argument(
            help="A zoo name, hf:organisation/name or a checkpoint folder; default: this machine."
        ),
    ] = None,
    clear_cache: Annotated[
        bool, typer.Option("--clear-cache", help="Delete the cached features, after a question.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Delete without a question.")] = False,
    imports: Imports = None,
    json_: Json = False,
) -> None:
    """Show versions, devices and caches; or method, size and figures of a model.

    Example: `crosshash info amgfh-shapes-64`
    """
    if clear_cache:
        if model is not None:
            raise ValueError(f"--clear-cache is of all models; leave {model} out")
        _clear(yes, json_)
    elif model is not None:
        from crosshash.hub.about import about

        values = about(model, imports=imports or ())
        print_result(values, json_, _table("model", model, _model_rows(values)))
    else:
        from crosshash.environment import environment

        values = environment()
        here = values["versions"]["crosshash"]
        print_result(values, json_, _table("crosshash", here, _machine_rows(values)))


def _clear(yes: bool, json_: int) -> None:
    from rich.filesize import decimal

    from crosshash.data.features.cache import FeatureCache

    cache = FeatureCache()
    size = sum(path.stat().st_size for path in cache.files())
    if size and not yes:
        if json_ or not sys.stdin.isatty():
            raise ValueError(f"{decimal(size)} of features in {cache.folder}: say --yes to delete")
        typer.confirm(f"Delete {decimal(size)} of features in {cache.folder}?", abort=True)
    freed = cache.clear()
    values = {"folder": str(cache.folder), "freed": freed}
    print_result(values, json_, f"{decimal(freed)} freed in {cache.folder}")


def _machine_rows(values: Mapping[str, Any]) -> dict[str, Any]:
    return {
        **{name: found for name, found in values["versions"].items() if name != "crosshash"},
        "CPU threads": values["threads"],
        "CUDA": ", ".join(values["cuda"]) or "none",
        "data (CROSSHASH_DATA)": _folder(values["data"]),
        "features (CROSSHASH_CACHE)": _folder(values["features"]),
        "Hub cache": _folder(values["hub"]),
    }


def _folder(place: Mapping[str, Any]) -> str:
    from rich.filesize import decimal

    if place["folder"] is None:
        return "not set"
    return f"{place['folder']} ({decimal(place['bytes'])})"


def _model_rows(values: Mapping[str, Any]) -> dict[str, Any]:
    from rich.filesize import decimal

    words = values["vocabulary"]
    return {
        "method": values["method"],
        "bits": values["bits"],
        **({"nested": ", ".join(map(str, values["nested"]))} if values["nested"] else {}),
        **{f"backbone {slot}": name for slot, name in values["backbones"].items()},
        "text encoder": values["text"] + ("" if words is None else f", {words:,} words"),
        "parameters": f"{values['parameters']:,}, of which {values['trained']:,} are trained",
        "folder": f"{values['folder']} ({decimal(values['bytes'])})",
        "data set": values["dataset"] or "not said",
        **{
            label: "not measured" if values[key] is None else f"{values[key]:.3f}"
            for key, label in (
                ("map_i2t", "MAP image → text"),
                ("map_t2i", "MAP text → image"),
                ("chance", "chance"),
            )
        },
        "licence": values["licence"] or "not said",
        "golden codes": "yes" if values["golden"] else "no",
        "SHA-256 of the weights": values["sha256"],
    }


def _table(kind: str, name: str, rows: Mapping[str, Any]) -> Any:
    from crosshash.reports.tables import rich_table

    return rich_table([{kind: label, name: str(value)} for label, value in rows.items()])
