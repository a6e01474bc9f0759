"""The command line: thin commands over the library."""

from __future__ import annotations

import os
import sys
import warnings
from typing import Annotated, Any

import typer

from crosshash.cli import (
    audit,
    bench,
    config,
    convert,
    data,
    encode,
    export,
    fit,
    hub,
    index,
    info,
    score,
    search,
    serve,
    train,
    watch,
)
from crosshash.cli.output import complain
from crosshash.cli.shell import INTERRUPTED, Shell

app = typer.Typer(
    name="crosshash",
    cls=Shell,
    help="Cross-modal hashing: photographs and texts as short binary codes.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    rich_markup_mode="markdown",
)

# In the order in which a newcomer needs them; --help keeps it.
START, SEARCH = "Start here", "Search"
ZOO, DATA = "Zoo", "Data and features"
app.command(rich_help_panel=START)(train.demo)
app.command(rich_help_panel=START)(fit.fit)
app.command(rich_help_panel=START)(train.train)
app.command(rich_help_panel=START)(watch.watch)
app.command(rich_help_panel=START)(config.config)
app.command(rich_help_panel=START)(train.evaluate)
app.command(rich_help_panel=START)(audit.audit)
app.command(rich_help_panel=START)(score.score)
app.command(rich_help_panel=START)(bench.bench)
app.command(rich_help_panel=START)(bench.report)
app.command(rich_help_panel=START)(info.info)
app.command(rich_help_panel=SEARCH)(encode.encode)
app.add_typer(index.app, name="index", rich_help_panel=SEARCH)
app.command(rich_help_panel=SEARCH)(search.search)
app.command(rich_help_panel=SEARCH)(serve.serve)
app.command(rich_help_panel=ZOO)(hub.models)
app.command(rich_help_panel=ZOO)(hub.publish)
app.command(rich_help_panel=ZOO)(export.export)
app.add_typer(hub.zoo, name="zoo", rich_help_panel=ZOO)
app.add_typer(data.app, name="data", rich_help_panel=DATA)
app.add_typer(convert.app, name="convert", rich_help_panel=DATA)

# What a library that we use will change is no concern of our users.
_FOR_DEVELOPERS = (DeprecationWarning, PendingDeprecationWarning, FutureWarning)


@app.callback(invoke_without_command=True)
def _root(
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
) -> None:
    if version:
        import crosshash

        typer.echo(crosshash.__version__)
        raise typer.Exit


def main() -> None:
    """Entry point.

    Exit codes: 0 done, 1 a fault of the program or one that ``audit`` found, 2 wrong usage or
    input, 130 interrupted, 141 where nobody reads the output any more.
    """
    # Threads that spin while they wait make training many times slower on a machine that is shared;
    # read when torch is imported, which no command has done yet.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    # Here and not as a filter, of which libraries set their own while they are imported.
    warnings.showwarning = _show_warning  # type: ignore[assignment]  # it ignores the place
    try:
        app()
    except (ValueError, LookupError, OSError, ImportError, ArithmeticError) as error:
        # What the library raises on bad input has the whole story in its message.
        if type(error).__module__ == "builtins" and isinstance(error, (KeyError, IndexError)):
            raise
        complain(f"crosshash: {error}")
        sys.exit(2)
    except KeyboardInterrupt:
        typer.echo("crosshash: interrupted", err=True)
        sys.exit(INTERRUPTED)


def _show_warning(message: Warning | str, category: type[Warning], *_: Any) -> None:
    """Users care for the message of a warning and not for the line it came from."""
    if not issubclass(category, _FOR_DEVELOPERS):
        complain(f"crosshash: {message}")
