"""A chart of block characters for the terminal: a validation figure by epoch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np

_BLOCKS = " ▁▂▃▄▅▆▇█"
_WIDEST = 4  # columns of one epoch
_NAMES = {"map_mean": "MAP", "map_i2t": "MAP image → text", "map_t2i": "MAP text → image"}


def epochs_chart(
    history: Sequence[Mapping[str, Any]], name: str, *, width: int = 80, height: int = 5
) -> list[str]:
    """The lines of a chart of one figure by epoch, higher bars for higher values.

    The axis goes from the lowest to the highest value. Where there are more epochs than columns, a
    column is the best of several.

    Args:
        history: One mapping per epoch, with its number in ``epoch``; epochs without the figure are
            passed over.
        name: Key of the figure in the history.
        width: Columns of the terminal.
        height: Lines of bars.

    Returns:
        What is shown, the bars and the epochs below them: of a single epoch the first alone, and
        nothing where no epoch has the figure.

    Example:
        >>> rows = [{"epoch": 1, "map_mean": 0.25}, {"epoch": 2, "map_mean": 0.75}]
        >>> print(*epochs_chart(rows, "map_mean", height=2), sep=chr(10))
        MAP by epoch: best 0.750 after epoch 2
        0.750 ┤    ████
        0.250 ┤▁▁▁▁████
               1      2
    """
    found = [(int(row["epoch"]), float(row[name])) for row in history if name in row]
    if not found:
        return []
    best_epoch, best = max(found, key=lambda point: point[1])
    last_epoch, last = found[-1]
    now = "" if last_epoch == best_epoch else f", {last:.3f} after epoch {last_epoch}"
    title = f"{_NAMES.get(name, name)} by epoch: best {best:.3f} after epoch {best_epoch}{now}"
    if len(found) == 1:
        return [title]
    values = np.array([value for _, value in found])
    low, high = values.min(), values.max()
    height = height if high > low else 1
    labels = f"{high:.3f}", f"{low:.3f}"
    margin = max(map(len, labels))
    columns = max(width - margin - 3, 1)
    if len(values) > columns:
        edges = np.linspace(0, len(values), columns + 1).astype(int)
        values = np.array([values[a:b].max() for a, b in pairwise(edges)])
    each = min(_WIDEST, columns // len(values))
    shares = (values - low) / (high - low) if high > low else np.ones(len(values))
    eighths = 1 + np.rint(shares * (8 * height - 1)).astype(int)
    lines = []
    for line in reversed(range(height)):
        filled = np.clip(eighths - 8 * line, 0, 8)
        label = labels[0] if line == height - 1 else labels[1] if line == 0 else ""
        bars = "".join(_BLOCKS[part] * each for part in filled).rstrip()
        lines.append(f"{label:>{margin}} {'┤' if label else '│'}{bars}")
    first, end = str(found[0][0]), str(last_epoch)
    gap = each * len(values) - len(first) - len(end)
    below = f"{first}{' ' * gap}{end}" if gap > 0 else f"{first}–{end}" if first != end else first
    return [title, *lines, f"{'':{margin + 2}}{below}"]
