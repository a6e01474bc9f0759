"""What commands show: results, as tables or JSON, and bars while something takes long."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any


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


def print_result(values: Any, as_json: bool, *renderables: Any) -> None:
    """JSON on standard output, or what a person reads."""
    if as_json:
        print(json.dumps(values, ensure_ascii=False))
        return
    from rich.console import Console

    console = Console()
    for renderable in renderables:
        if isinstance(renderable, str):  # a path is no markup and is not broken into lines
            console.print(renderable, markup=False, highlight=False, soft_wrap=True)
        else:
            console.print(renderable)
