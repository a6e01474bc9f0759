"""Plots of retrieval figures and losses, as Matplotlib figures or inline SVG.

Figures are made with the object interface, so that nothing global changes and no screen is needed.
Their text and axes have one colour, ``INK``, which ``to_svg`` turns into the colour of the page's
own text; a plot in a page thus follows its light or dark scheme.
"""

from __future__ import annotations

import hashlib
import html
import io
import re
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from itertools import cycle
from numbers import Real
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from crosshash.needs import needs

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

INK = "#41464d"
# Blue, orange, green, pink, yellow, grey: apart for colour-blind readers, and on white and black.
COLOURS = ("#3a86c8", "#dd7f2a", "#2ba37c", "#c06aa8", "#c9a21f", "#7f8790")
DASHES = ("-", (0, (5, 1.5)), (0, (1.2, 1.2)), (0, (5, 1.5, 1.2, 1.5)))
_COUNTERS = ("epoch", "step")
_SETTINGS = {
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "axes.titlecolor": INK,
    "axes.titlelocation": "left",
    "axes.titleweight": "bold",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.8,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.formatter.use_mathtext": False,
    "grid.color": INK,
    "grid.alpha": 0.15,
    "grid.linewidth": 0.8,
    "xtick.color": INK,
    "ytick.color": INK,
    "text.color": INK,
    "text.parse_math": False,  # A "$" in a name is a dollar.
    "legend.frameon": False,
    "legend.fontsize": 9,
    "font.size": 10,
    "lines.linewidth": 1.8,
    "svg.fonttype": "none",
    "svg.hashsalt": "crosshash",
}

Curve = tuple[npt.ArrayLike, npt.ArrayLike]


def precision_recall_plot(
    curves: Mapping[str, Curve], title: str = "Precision and recall", *, chance: float | None = None
) -> Figure:
    """Precision over recall, one line per name.

    Args:
        curves: Name → (recall, precision), two vectors of one length in 0…1; NaN leaves a gap.
        title: Line above the plot.
        chance: Precision of random codes, drawn as a dotted level.

    Raises:
        ValueError: No curve, or a curve whose vectors differ in length or are empty.
    """
    figure, axes = _curves_plot(curves, title, ("recall", "precision"), chance)
    axes.set(xlabel="recall", ylabel="precision", xlim=(0, 1.01), ylim=(0, 1.02))
    return figure


def precision_at_plot(
    curves: Mapping[str, Curve], title: str = "Precision at N", *, chance: float | None = None
) -> Figure:
    """Precision among the first N results over N, one line per name.

    Args:
        curves: Name → (N, precision), two vectors of one length.
        title: Line above the plot.
        chance: Precision of random codes, drawn as a dotted level.

    Raises:
        ValueError: No curve, or a curve whose vectors differ in length or are empty.
    """
    figure, axes = _curves_plot(curves, title, ("N", "precision"), chance)
    axes.set(xlabel="results shown (N)", ylabel="precision", ylim=(0, 1.02))
    axes.set_xlim(left=0)
    return figure


def epochs_plot(
    history: Sequence[Mapping[str, Any]],
    names: Mapping[str, str],
    title: str = "MAP by epoch",
    *,
    chance: float | None = None,
) -> Figure:
    """Figures between 0 and 1 that were measured after epochs, one line per name.

    Args:
        history: One mapping per epoch, with its number in ``epoch``; epochs without a figure are
            passed over.
        names: Key in the history → name of its line.
        title: Line above the plot.
        chance: A level to compare with, drawn dotted.

    Raises:
        ValueError: No epoch has any of the figures.
    """
    curves = {}
    for key, name in names.items():
        rows = [row for row in history if _is_number(row.get(key))]
        if rows:
            curves[name] = ([row["epoch"] for row in rows], [row[key] for row in rows])
    if not curves:
        raise ValueError(f"no epoch of the history has any of {', '.join(names)}")
    figure, axes = _curves_plot(curves, title, ("epochs", "figures"), chance)
    axes.set(xlabel="epoch", ylim=(0, 1.02))
    _whole_numbers(axes, [point for points, _ in curves.values() for point in points])
    return figure


def loss_plot(history: Sequence[Mapping[str, Any]], title: str = "Loss") -> Figure:
    """Named losses over the epochs, one line per name.

    The axis is logarithmic where all values are positive and span more than a factor of 30.

    Args:
        history: One mapping per epoch: loss name → value. ``epoch`` (else ``step``), where given,
            numbers the points; values that are no numbers are left out.
        title: Line above the plot.

    Raises:
        ValueError: There are no numbers in the history.
    """
    names = [
        name
        for name in dict.fromkeys(key for row in history for key in row)
        if name not in _COUNTERS and any(_is_number(row.get(name)) for row in history)
    ]
    if not names:
        raise ValueError("a loss plot needs at least one epoch with a number, got none")
    counter = next((key for key in _COUNTERS if all(key in row for row in history)), None)
    points = [row[counter] for row in history] if counter else list(range(1, len(history) + 1))
    values = np.array(
        [[row[n] if _is_number(row.get(n)) else np.nan for row in history] for n in names],
        dtype=np.float64,
    )
    with _plotting():
        from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    with plot_settings():
        figure, axes = new_axes(title)
        _lines(axes, {name: (points, row) for name, row in zip(names, values, strict=True)})
        axes.set(xlabel=counter or "epoch", ylabel="loss")
        _whole_numbers(axes, points)
        finite = values[np.isfinite(values)]
        span = finite.max() / finite.min() if finite.size and finite.min() > 0 else 1
        if span > 30:
            axes.set_yscale("log")
            # Plain numbers: matplotlib's own labels of a logarithmic axis are formulas, in TeX.
            axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if span < 1000 else (1,)))
            axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
            axes.yaxis.set_minor_formatter(NullFormatter())
        add_legend(axes, len(names))
    return figure


def ones_plot(shares: Mapping[str, npt.ArrayLike], title: str = "Share of +1 by bit") -> Figure:
    """The share of codes in which each bit is +1, one row of marks per name.

    Args:
        shares: Name → (k,) shares in 0…1; a bit at 0 or 1 is the same in all codes.
        title: Line above the plot.

    Raises:
        ValueError: There are none, or they are no vectors.
    """
    curves = {name: (np.arange(np.size(share)), share) for name, share in shares.items()}
    figure, axes = _curves_plot(curves, title, ("bit", "share of +1"), None)
    # The larger around the smaller, where two have the same share.
    for line, (size, marker) in zip(axes.get_lines(), cycle(enumerate("os^D")), strict=False):
        line.set(linestyle="none", marker=marker, markersize=3.5 + 2 * size, fillstyle="none")
    with plot_settings():
        axes.axhline(0.5, color=INK, linestyle=":", linewidth=1.2)
        axes.set(xlabel="bit", ylabel="share of +1", ylim=(-0.03, 1.03))
        add_legend(axes, len(curves), inside=False)
    return figure


def to_svg(figure: Figure, label: str = "") -> str:
    """A figure as an ``<svg>`` element for a page; the same figure gives the same text.

    Args:
        figure: One of this module's, or any Matplotlib figure; its layout is fixed from now on.
        label: What the plot shows, for readers who cannot see it.
    """
    buffer = io.StringIO()
    nothing = dict.fromkeys(("Creator", "Date", "Format", "Type"))
    with plot_settings():
        # Every drawing would move a flexible layout a little; it is settled once.
        figure.draw_without_rendering()
        figure.set_layout_engine("none")
        figure.savefig(buffer, format="svg", transparent=True, metadata=nothing)
    svg = buffer.getvalue()
    head, body = svg[svg.index("<svg") :].strip().split(">", 1)
    # Its stylesheet would reach beyond the plot.
    body = re.sub(r"<defs>\s*<style.*?</style>\s*</defs>\s*", "", body, count=1, flags=re.DOTALL)
    prefix = "p" + hashlib.sha256((label + body).encode()).hexdigest()[:8]
    body = re.sub(r"<[^>]+>", lambda tag: _adapt_tag(tag[0], prefix), body)
    box = re.search(r'viewBox="[^"]*"', head)
    named = f'role="img" aria-label="{html.escape(label)}"' if label else 'aria-hidden="true"'
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" '
        f'{box[0] if box else ""} stroke-linejoin="round" {named}>{body}'
    )


def _adapt_tag(tag: str, prefix: str) -> str:
    """One SVG tag with names that no other plot has, and the page's font and text colour."""
    tag = re.sub(r'^<g id="[^"]*"', "<g", tag)
    tag = re.sub(r'(\bid="|href="#|url\(#)', rf"\g<1>{prefix}-", tag)
    return re.sub(r'font-family: [^;"]*(; )?', "", tag).replace(INK, "currentColor")


def _plotting() -> AbstractContextManager[None]:
    return needs("matplotlib", "a plot")


def plot_settings() -> Any:
    """A context in which figures have the look of this module."""
    with _plotting():
        import matplotlib

    return matplotlib.rc_context(_SETTINGS)


def new_axes(title: str) -> tuple[Figure, Axes]:
    """An empty plot; within :func:`plot_settings`."""
    with _plotting():
        from matplotlib.figure import Figure

    figure = Figure(figsize=(4.8, 3.5), layout="constrained")
    axes = figure.add_subplot()
    axes.tick_params(length=0, pad=6, labelsize=9)
    axes.set_title(title, fontsize=11, pad=10)
    return figure, axes


def _curves_plot(
    curves: Mapping[str, Curve], title: str, names: tuple[str, str], chance: float | None
) -> tuple[Figure, Axes]:
    if not curves:
        raise ValueError(f"a plot of {names[1]} over {names[0]} needs at least one curve, got none")
    arrays = {}
    for name, (x, y) in curves.items():
        horizontal, vertical = np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64)
        if horizontal.ndim != 1 or horizontal.shape != vertical.shape or not horizontal.size:
            raise ValueError(
                f"curve {name!r}: {names[0]} and {names[1]} are two vectors of one length, "
                f"got shapes {horizontal.shape} and {vertical.shape}"
            )
        arrays[name] = (horizontal, vertical)
    with plot_settings():
        figure, axes = new_axes(title)
        _lines(axes, arrays)
        if chance is not None:
            axes.axhline(chance, color=INK, linestyle=":", linewidth=1.2, label="chance")
        add_legend(axes, len(arrays) + (chance is not None))
    return figure, axes


def _lines(axes: Axes, curves: Mapping[str, tuple[Any, Any]]) -> None:
    styles = zip(cycle(COLOURS), cycle(DASHES), strict=False)
    for (name, (x, y)), (colour, dash) in zip(curves.items(), styles, strict=False):
        single = len(x) == 1  # A line needs two points to be seen.
        marker = "o" if single else None
        axes.plot(x, y, color=colour, linestyle=dash, marker=marker, label=name)


def _whole_numbers(axes: Axes, points: Sequence[float]) -> None:
    """Ticks of epochs or steps; of a single one no others."""
    from matplotlib.ticker import FixedLocator, MaxNLocator

    single = len(set(points)) == 1
    locator = FixedLocator(points[:1]) if single else MaxNLocator(integer=True)
    axes.xaxis.set_major_locator(locator)


def add_legend(axes: Axes, entries: int, *, inside: bool = True) -> None:
    """The names of what is drawn: inside, or below where they are more than four."""
    if inside and entries <= 4:
        axes.legend(loc="best")
        return
    if (before := axes.get_legend()) is not None:
        before.remove()
    # Wherever a long one stood inside, it would hide lines.
    handles, names = axes.get_legend_handles_labels()
    axes.figure.legend(handles, names, loc="outside lower left", ncols=3)


def _is_number(value: Any) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool)
