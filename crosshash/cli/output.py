"""What commands show: results, as tables or JSON, and bars while something takes long."""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import typer

from crosshash.cli.options import JSON

NOBODY_READS = 141  # 128 + SIGPIPE, as of any program before a `| head`
_UNFOLDED = 1_000_000  # characters of a line
# What JSON leaves as it is and terminals obey, see `crosshash.reports.tables.visible`.
_UNSEEN = re.compile("[\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


@contextmanager
def note(text: str, quiet: bool) -> Iterator[None]:
    """A line that moves while something of unknown length is done."""
    from rich.console import Console

    console = Console(stderr=True)
    if quiet or not console.is_terminal:
        yield
        return
    with console.status(text):
        yield


def counted(text: str, quiet: bool) -> Any:
    """A bar around results, in the form that ``unusable_pictures`` takes; None where quiet."""
    from crosshash.backbones.extract import with_bar

    def wrap(items: Iterable[Any], total: int) -> Iterable[Any]:
        return with_bar(items, total, lambda _: 1, text)

    return None if quiet else wrap


@contextmanager
def byte_bars(quiet: bool) -> Iterator[Any]:
    """A bar for each description that a download reports, on the terminal."""
    from rich.console import Console
    from rich.progress import DownloadColumn, Progress, TimeRemainingColumn, TransferSpeedColumn

    console = Console(stderr=True)
    columns = Progress.get_default_columns()[:2]
    bars = Progress(
        *columns,
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
        console=console,
        disable=quiet or not console.is_terminal,
    )
    tasks: dict[str, Any] = {}

    def progress(what: str, done: int, total: int | None) -> None:
        if what not in tasks:
            tasks[what] = bars.add_task(what, total=total)
        bars.update(tasks[what], completed=done, total=total)

    with bars:
        yield progress


@contextmanager
def item_bar(text: str, quiet: bool) -> Iterator[Any]:
    """A bar with items per second and the time left, moved by calls with done and total."""
    from rich.console import Console
    from rich.progress import MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    console = Console(stderr=True)
    speed = TextColumn("{task.fields[speed]}")
    columns = (*Progress.get_default_columns()[:3], MofNCompleteColumn(), speed)
    bar = Progress(
        *columns,
        TimeRemainingColumn(),
        console=console,
        disable=quiet or not console.is_terminal,
    )
    task = bar.add_task(text, total=None, speed="")

    def progress(done: int, total: int) -> None:
        bar.update(task, completed=done, total=total)
        if speed := bar.tasks[0].speed:
            bar.update(task, speed=f"{speed:,.0f} a second")

    with bar:
        yield progress


def told_skipped(skipped: list[str]) -> list[str]:
    """A line on pictures that were left out, and their names."""
    from crosshash.reports.tables import visible

    if not skipped:
        return []
    names = map(visible, skipped)  # each of which is one line
    return ["\n  ".join([f"{len(skipped)} skipped, which cannot be read as images:", *names])]


def print_result(
    values: Any, json_: int, *renderables: Any, short: Mapping[str, Any] | None = None
) -> None:
    """JSON on standard output, or what a person reads.

    Args:
        values: Everything, JSON-able.
        json_: What ``--json`` was: 0 not given, 1 short, 2 whole.
        renderables: Strings and tables. On a terminal they are folded into its width; in a file or
            a pipe each row is one line, however long. Control characters in strings are spelt out,
            but for tabs and ends of lines; tables do the same themselves.
        short: The figures that most scripts want, where ``values`` are long; by default ``values``.
    """
    try:
        if json_:
            chosen = values if short is None or json_ >= JSON["full"] else short
            print(_json(chosen))
        else:
            print(_rendered(renderables), end="")
        sys.stdout.flush()
    except BrokenPipeError:  # of `| head`: the rest must not be written at the program's end
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise typer.Exit(NOBODY_READS) from None


def on_terminal() -> bool:
    """Whether a person reads standard output as it comes, and no file or program."""
    return sys.stdout.isatty()


def complain(text: object) -> None:
    """A line on standard error, for errors and warnings, with control characters spelt out.

    Further lines are indented, so that no name in it can pose as another message.
    """
    from crosshash.reports.tables import visible

    typer.echo("\n  ".join(visible(str(text), keep="\t\n").splitlines()), err=True)


def headline(report: Any) -> dict[str, Any]:
    """The figures of a report that fit on a few lines, for ``short``."""
    told, shorter = ("bits", "dataset", "protocol", "database"), report.nested.items()
    ways = ("i2t", "t2i", "i2i", "t2t")
    weighted = {f"map_asymmetric_{way}": getattr(report, way).map_asymmetric for way in ways}
    return {
        "map_i2t": report.i2t.map,
        "map_t2i": report.t2i.map,
        "map_mean": report.map_mean,
        "map_i2i": report.i2i.map,
        "map_t2t": report.t2t.map,
        **{name: value for name, value in weighted.items() if value is not None},
        "chance_i2t": report.i2t.chance,
        "chance_t2i": report.t2i.chance,
        **{name: getattr(report.record, name) for name in told},
        "counts": dict(report.record.counts),
        "split": report.record.split,
        **({"calibration_error": errors} if (errors := report.calibration_error) else {}),
        **({} if report.learned is None else {"learned": headline(report.learned)}),
        **({"nested": {str(k): headline(r) for k, r in shorter}} if shorter else {}),
    }


def _json(values: Any) -> str:
    text = json.dumps(values, ensure_ascii=False)
    return _UNSEEN.sub(lambda found: f"\\u{ord(found[0]):04x}", text)  # they stand in strings only


def _rendered(renderables: Iterable[Any]) -> str:
    from rich.console import Console

    from crosshash.reports.tables import visible

    console = Console(width=None if sys.stdout.isatty() else _UNFOLDED)
    with console.capture() as shown:
        for renderable in renderables:
            if isinstance(renderable, str):  # a path is no markup and is not broken into lines
                line = visible(renderable, keep="\t\n")
                console.print(line, markup=False, highlight=False, soft_wrap=True)
            else:
                console.print(renderable)
    return shown.get()
