"""The command line: thin commands over the library."""

from __future__ import annotations

import os
import sys
import warnings
from typing import Annotated

import typer

from crosshash.cli import convert, data, export, hub, search, train

app = typer.Typer(
    name="crosshash",
    help="Cross-modal hashing: photographs and texts as short binary codes.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    rich_markup_mode="markdown",
)

# In the order in which a newcomer needs them; --help keeps it.
app.command()(train.demo)
app.command()(train.train)
app.command()(train.evaluate)
app.command()(search.encode)
app.command()(search.index)
app.command()(search.search)
app.command()(hub.models)
app.command()(hub.publish)
app.command()(export.export)
app.add_typer(data.app, name="data")
app.add_typer(hub.zoo, name="zoo")
app.add_typer(convert.app, name="convert")


@app.callback(invoke_without_command=True)
def _root(
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
) -> None:
    if version:
        import crosshash

        typer.echo(crosshash.__version__)
        raise typer.Exit


def main() -> None:
    """Entry point. Exit codes: 0 done, 1 a fault of the program, 2 wrong usage or input."""
    # Threads that spin while they wait make training many times slower on a machine that is shared;
    # read when torch is imported, which no command has done yet.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    # Our own warnings are for users, who care for the message and not for the line it came from.
    warnings.showwarning = lambda message, *_: typer.echo(f"crosshash: {message}", err=True)
    try:
        app()
    except (ValueError, LookupError, OSError, ImportError, ArithmeticError) as error:
        # What the library raises on bad input has the whole story in its message.
        if type(error).__module__ == "builtins" and isinstance(error, (KeyError, IndexError)):
            raise
        typer.echo(f"crosshash: {error}", err=True)
        sys.exit(2)
    except KeyboardInterrupt:
        typer.echo("crosshash: interrupted; `--resume` goes on with a training", err=True)
        sys.exit(130)
