"""The command ``crosshash export``: a model's encoders as ONNX files."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from crosshash.cli.options import Imports, Json, Model, Quiet
from crosshash.cli.output import note, print_result


def export(
    model: Model,
    output: Annotated[
        Path,
        typer.Option("--output", "-o", help="Folder; an earlier export there is replaced."),
    ],
    imports: Imports = None,
    json_: Json = False,
    quiet: Quiet = False,
) -> None:
    """Write image.onnx, text.onnx and export.json, checked with onnxruntime.

    Needs `pip install 'crosshash[onnx]'`. What feeds the files is in docs/export.md.

    Example: `crosshash export amgfh-shapes-64 -o exported`
    """
    from crosshash.hub.export import PARTS, export_onnx
    from crosshash.hub.load import load

    loaded = load(model, imports=imports or ())
    with note(f"exporting {model}", quiet or bool(json_)):
        interface = export_onnx(loaded, output)
    values = {"folder": str(output), **interface}
    lines = [f"{output}: {interface['method']}, {interface['bits']} bits"]
    for part in PARTS:
        about = interface[part]
        inputs = ", ".join(
            f"{name} {about_input['dtype']} ({', '.join(map(str, about_input['shape']))})"
            for name, about_input in about["inputs"].items()
        )
        lines.append(f"{about['file']}: {inputs}; within {about['largest_difference']:.1g}")
    print_result(values, json_, *lines)
