"""The command line's ``convert``: published weights into files that backbones load."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from crosshash.cli.options import Json
from crosshash.cli.output import print_result

app = typer.Typer(
    help="Convert published weights into safetensors files.",
    no_args_is_help=True,
    rich_markup_mode="markdown",
)


@app.callback()
def _root() -> None:
    """Convert published weights into safetensors files."""


@app.command()
def cnnf(
    source: Annotated[Path, typer.Argument(help="MatConvNet's imagenet-vgg-f.mat.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="The safetensors file to write.")],
    json_: Json = False,
) -> None:
    """Convert CNN-F's published weights for the image backbone `cnnf`.

    The file is at https://www.vlfeat.org/matconvnet/pretrained/ .

    Example: `crosshash convert cnnf imagenet-vgg-f.mat -o cnnf.safetensors`
    """
    from crosshash.backbones.matconvnet import convert_cnnf

    shapes = convert_cnnf(source, output)
    values = {
        "output": str(output),
        "backbone": "cnnf",
        "tensors": {name: list(shape) for name, shape in shapes.items()},
    }
    print_result(values, json_, f"{len(shapes)} tensors for the image backbone cnnf: {output}")


@app.command()
def static(
    source: Annotated[str, typer.Argument(help="A sentence encoder: hf: and its name or folder.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="The folder to write.")],
    dim: Annotated[int, typer.Option(help="Width of the vectors.")] = 256,
    int8: Annotated[bool, typer.Option(help="Store integers, in a quarter of the space.")] = False,
    tokens: Annotated[
        int | None, typer.Option(help="Keep so many at most, of ASCII characters. Default: all.")
    ] = None,
    json_: Json = False,
) -> None:
    """Make a table of token vectors for the text encoder `static:`.

    Example: `crosshash convert static hf:sentence-transformers/all-MiniLM-L6-v2 -o minilm-table`
    """
    from crosshash.backbones.distill import convert_static

    made = convert_static(source, output, dim=dim, int8=int8, most_tokens=tokens)
    shown = (
        f"{made['tokens']:,} vectors of width {dim}, {made['bytes'] / 1e6:.1f} MB, for the text "
        f"encoder static:{output}"
    )
    print_result({"output": str(output), **made}, json_, shown)
