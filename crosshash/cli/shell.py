"""What holds for every command: ``--json`` with or without a value, and the end by Ctrl-C."""

from __future__ import annotations

from typing import Any

import typer
from typer.core import TyperGroup

from crosshash.cli.options import JSON

INTERRUPTED = 130  # 128 + SIGINT, as of any program that Ctrl-C ends


class Shell(TyperGroup):
    """The group of all commands."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Read ``--json=full``: typer has no options whose value may be left out."""
        try:
            spelled = spell_json(args)
        except ValueError as error:
            ctx.fail(str(error))
        return super().parse_args(ctx, spelled)

    def invoke(self, ctx: Any) -> Any:
        """Run a command; a user who interrupts it sees one line and no traceback."""
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            typer.echo("crosshash: interrupted", err=True)
            raise typer.Exit(INTERRUPTED) from None


def spell_json(args: list[str]) -> list[str]:
    """Arguments with ``--json=short`` as one ``--json`` and ``--json=full`` as two.

    What stands after ``--`` is left as it is.

    Raises:
        ValueError: ``--json`` has another value.
    """
    end = args.index("--") if "--" in args else len(args)
    spelled: list[str] = []
    for argument in args[:end]:
        option, equals, form = argument.partition("=")
        if option != "--json" or not equals:
            spelled.append(argument)
        elif form in JSON:
            spelled += ["--json"] * JSON[form]
        else:
            raise ValueError(f"{argument}: expected --json, or --json=full for all of it")
    return spelled + args[end:]
