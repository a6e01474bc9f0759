"""The command ``watch``: runs that go on in other processes, as they are now or until they end."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from crosshash.cli.options import Json
from crosshash.cli.output import on_terminal, print_result

if TYPE_CHECKING:
    from crosshash.experiment.watching import RunView

EVERY = 1.0  # seconds between two looks


def watch(
    folder: Annotated[
        Path, typer.Argument(help="The folder of a run, or one with runs below it, as runs/.")
    ],
    once: Annotated[
        bool, typer.Option("--once", help="Print how things are now, and do not wait.")
    ] = False,
    json_: Json = False,
) -> None:
    """Follow a training that runs in another process, until it ends; or all below a folder.

    Shows epoch, losses, validation by epoch, the time that steps and epochs take and when the run
    will end. It reads the run's files and changes none. In a pipe each epoch is a line; with --json
    the present state is printed. Ends with exit code 1 where the run failed or was interrupted.

    Example: `crosshash watch runs/amgfh-wiki-64`
    """
    from crosshash.cli.watch_view import run_parts, runs_table
    from crosshash.experiment.watching import find_runs, read_run, read_runs

    found = find_runs(folder)
    if found != [folder]:
        views = read_runs(found)
        if once or json_ or not on_terminal():
            values = [view.as_dict() for view in views]
            print_result(values, json_, runs_table(views, folder))
            return
        _follow(
            lambda: read_runs(find_runs(folder)),
            lambda views: runs_table(views, folder),
            lambda views: any(view.state == "running" for view in views),
        )
        return
    view = read_run(folder)
    if once or json_:
        print_result(view.as_dict(), json_, *run_parts(view))
        return
    if on_terminal():
        view = _follow(lambda: read_run(folder), _group, lambda view: view.state == "running")
    else:
        view = _told_by_lines(folder)
    if view.state != "finished":
        raise typer.Exit(1)


def _group(view: RunView) -> Any:
    from rich.console import Group

    from crosshash.cli.watch_view import run_parts

    return Group(*run_parts(view))


def _follow(read: Any, shown: Any, goes_on: Any) -> Any:
    """Show what is read again and again, on the terminal; gives the last."""
    from rich.live import Live

    now = read()
    with Live(shown(now), auto_refresh=False, vertical_overflow="crop") as live:
        while goes_on(now):
            time.sleep(EVERY)
            now = read()
            live.update(shown(now), refresh=True)
    return now


def _told_by_lines(folder: Path) -> RunView:
    """One line for each epoch, and one for the end."""
    from crosshash.cli.watch_view import epoch_line, state_words
    from crosshash.experiment.watching import read_run

    told = {False: 0, True: 0}
    while True:
        view = read_run(folder)
        for again, lines in ((False, view.history), (True, view.refit)):
            for line in lines[told[again] :]:
                print_result(None, False, epoch_line(line, again=again))
            told[again] = max(told[again], len(lines))
        if view.state != "running":
            print_result(None, False, state_words(view))
            return view
        time.sleep(EVERY)
