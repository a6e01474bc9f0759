"""What ``watch`` shows of a run, and of several."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from crosshash.reports.chart import epochs_chart
from crosshash.reports.tables import format_seconds, rich_table, visible

if TYPE_CHECKING:
    from crosshash.experiment.watching import RunView

COLOURS = {
    "running": "cyan",
    "finished": "green",
    "interrupted": "yellow",
    "failed": "red",
    "unreadable": "red",
}
_BAR = 40


def run_parts(view: RunView) -> list[Any]:
    """A run: what it is, how far, its figures, and a chart of its validation."""
    from rich.text import Text

    title = (view.record and view.record.config) or view.folder.name
    head = Text.assemble(
        (visible(title), "bold"), "  ", (state_words(view), COLOURS[view.state]), overflow="fold"
    )
    rows = [{"what": what, "now": told} for what, told in _facts(view).items() if told]
    width = shutil.get_terminal_size().columns
    chart = epochs_chart(view.history, view.monitor, width=width)
    table = rich_table(rows)
    table.show_header = False
    table.box = None
    return [head, table, *([Text("\n".join(["", *map(visible, chart)]))] if chart else [])]


def runs_table(views: Sequence[RunView], folder: Path) -> Any:
    """All runs below a folder."""
    rows = [
        {
            "run": str(view.folder.relative_to(folder)),
            "state": view.state,
            "epoch": _of(view),
            "best": "" if view.best is None else f"{view.best[1]:.3f}",
            "of": "" if view.best is None else view.monitor,
            "took": "" if view.seconds is None else format_seconds(view.seconds),
            "left": "" if view.seconds_left is None else format_seconds(view.seconds_left),
            "error": view.error.partition("\n")[0],
        }
        for view in views
    ]
    shown = [name for name in rows[0] if any(row[name] for row in rows)]
    return rich_table(rows, columns=shown)


def state_words(view: RunView) -> str:
    """The state in words, on one line."""
    record = view.record
    if view.state == "running":
        return "running" if record is None else f"running, process {record.pid} on {record.host}"
    if view.state == "interrupted":
        resumable = "; go on with --resume" if (view.folder / "state.pt").is_file() else ""
        return f"interrupted, its process is gone{resumable}"
    if view.error:
        return visible(f"{view.state}: {view.error.partition(chr(10))[0]}")
    return view.state


def epoch_line(line: Mapping[str, float], *, again: bool = False) -> str:
    """The figures of an epoch on one line."""
    kind = "second training, epoch" if again else "epoch"
    return (
        f"{kind} {line['epoch']:.0f}  {_figures({k: v for k, v in line.items() if k != 'epoch'})}"
    )


def _facts(view: RunView) -> dict[str, str]:
    record, position = view.record, view.position
    stage = "" if record is None else record.stage
    doing = {
        "training": "training",
        "refit": "second training, on all pairs",
        "evaluation": "measuring the queries, writing the checkpoint and its page",
    }
    before = f"{view.passes} passes done before the first epoch" if view.passes else ""
    running = view.state == "running"
    best = view.best
    return {
        "folder": str(view.folder),
        "doing": doing.get(stage, "") if running else "",
        "epoch": f"{_of(view)}  {_bar(view)}" if view.lines or position else before,
        "losses": _figures(view.losses()),
        "validation": _figures(view.measured()),
        "best": "" if best is None else f"{view.monitor} {best[1]:.3f} after epoch {best[0]}",
        "speed": _speed(view),
        "took": "" if view.seconds is None else format_seconds(view.seconds),
        "ends": _end(view) if running and stage != "evaluation" else "",
    }


def _of(view: RunView) -> str:
    done = len(view.lines)
    return str(done) if view.epochs is None else f"{done}/{view.epochs}"


def _bar(view: RunView) -> str:
    if not view.epochs:
        return ""
    eighths = round(8 * _BAR * min(1.0, view.epoch / view.epochs))
    full, part = divmod(eighths, 8)
    filled = "█" * full + (" ▏▎▍▌▋▊▉"[part] if part else "")
    return f"{filled:·<{_BAR}} {view.epoch / view.epochs:.0%}"


def _figures(figures: Mapping[str, float]) -> str:
    return "  ".join(f"{name} {value:.4g}" for name, value in figures.items())


def _speed(view: RunView) -> str:
    step = view.position and view.position.step_seconds
    told = [f"{format_seconds(step)} a step"] if step else []
    if view.epoch_seconds is not None:
        told.append(f"{format_seconds(view.epoch_seconds)} an epoch")
    return ", ".join(told)


def _end(view: RunView) -> str:
    left = view.seconds_left
    if left is None:
        return ""
    now = datetime.now().astimezone()
    end = now + timedelta(seconds=left)
    clock = f"{end:%H:%M}" if end.date() == now.date() else f"{end:%Y-%m-%d %H:%M}"
    more = (
        ", then a second training" if view.record and view.record.refit and not view.again else ""
    )
    return f"about {clock}, in {format_seconds(left)}, unless it stops early{more}"
