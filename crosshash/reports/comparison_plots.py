"""Plots of many models beside each other, told apart by their marks, without colours as well."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np

from crosshash.reports.plots import (
    COLOURS,
    DASHES,
    INK,
    Curve,
    add_legend,
    new_axes,
    plot_settings,
    to_svg,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Filled, then hollow: the first 20 look different in grey too.
MARKS = ("o", "s", "^", "D", "v", "P", "X", "*", "<", ">")
_EVERY = 0.12  # of a line's length between two marks
_LINE = 0.17  # inches of a line of the legend, of three names
_DOTS = 150  # an inch


def marked_lines_plot(
    curves: Mapping[str, Curve],
    title: str,
    *,
    labels: tuple[str, str],
    chance: float | None = None,
    every_point: bool = False,
    unit: bool = True,
    whole: bool = False,
    among: Sequence[str] = (),
    hollow: Mapping[str, tuple[float, float]] = MappingProxyType({}),
    hollow_label: str = "",
) -> Figure:
    """Lines with marks, one for each name.

    Args:
        curves: Name → (x, y), two vectors of one length; None among y leaves a gap.
        title: Line above the plot.
        labels: Of both axes.
        chance: A level to compare with, drawn dotted.
        every_point: Mark all points, each with its tick, and not only some along the line.
        unit: The vertical axis goes from 0 to 1.
        whole: The horizontal axis has ticks at whole numbers only.
        among: The names of all figures of a set, so that each looks the same in all; default: the
            curves'.
        hollow: Name of a curve → a point (x, y) more, a large hollow mark of the curve's colour.
        hollow_label: What these are.

    Raises:
        ValueError: There is no curve.
    """
    if not curves:
        raise ValueError(f"a plot of {labels[1]} over {labels[0]} needs at least one curve")

    numbers = _numbers(curves, among)

    def draw(axes: Axes) -> int:
        for name, (x, y) in curves.items():
            number = numbers[name]
            axes.plot(
                x,
                y,
                **_style(number),
                linestyle=DASHES[number % len(DASHES)],
                markevery=None if every_point else _EVERY,
                label=name,
            )
        large: dict[str, Any] = {"linestyle": "", "markersize": 8, "markerfacecolor": "none"}
        for name, (x, y) in hollow.items():
            axes.plot([x], [y], **{**_style(numbers[name]), **large})
        if hollow:
            axes.plot([], [], marker="o", color=INK, label=hollow_label, **large)
        if chance is not None:
            axes.axhline(chance, color=INK, linestyle=":", linewidth=1.2, label="chance")
        if every_point:
            axes.set_xticks(sorted({float(x) for xs, _ in curves.values() for x in np.ravel(xs)}))
        if unit:
            axes.set(ylim=(0, 1.02))
        if whole:
            from matplotlib.ticker import MaxNLocator

            axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        return len(curves) + bool(hollow) + (chance is not None)

    return _plot(title, labels, draw)


def scatter_plot(
    points: Mapping[str, tuple[float, float]],
    title: str,
    *,
    labels: tuple[str, str],
    among: Sequence[str] = (),
) -> Figure:
    """One mark for each name; the horizontal axis is logarithmic where all is above 0.

    Args:
        points: Name → (x, y).
        title: Line above the plot.
        labels: Of both axes.
        among: As of :func:`marked_lines_plot`.

    Raises:
        ValueError: There is no point.
    """
    if not points:
        raise ValueError(f"a plot of {labels[1]} over {labels[0]} needs at least one point")

    numbers = _numbers(points, among)

    def draw(axes: Axes) -> int:
        for name, (x, y) in points.items():
            style = {**_style(numbers[name]), "markersize": 7}
            axes.plot([x], [y], **style, linestyle="", label=name)
        values = [x for x, _ in points.values()]
        if min(values) > 0 and max(values) > 3 * min(values):
            from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

            axes.set_xscale("log")
            # Plain numbers: matplotlib's own labels of a logarithmic axis are formulas, in TeX.
            axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
            axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
            axes.xaxis.set_minor_formatter(NullFormatter())
        return len(points)

    return _plot(title, labels, draw)


def values_plot(
    curves: Mapping[str, tuple[Sequence[float], Sequence[float], Sequence[float]]],
    title: str,
    *,
    labels: tuple[str, str],
    names: Sequence[str] | None = None,
    marked: float | None = None,
) -> Figure:
    """Means with their deviations by the value of a setting, one line for each name.

    The horizontal axis is logarithmic where values are positive and span more than two decades.

    Args:
        curves: Name → (x, mean, deviation), three vectors of one length; 0 draws no bar.
        title: Line above the plot.
        labels: Of both axes.
        names: Of the values 0, 1, …, where these are no numbers.
        marked: The value that is configured, a dotted line.

    Raises:
        ValueError: There is no curve.
    """
    if not curves:
        raise ValueError(f"a plot of {labels[1]} over {labels[0]} needs at least one curve")

    def draw(axes: Axes) -> int:
        ticks = sorted({x for xs, _, _ in curves.values() for x in xs})
        for number, (name, (x, means, spread)) in enumerate(curves.items()):
            style = {**_style(number), "linestyle": DASHES[number % len(DASHES)]}
            bars = spread if any(spread) else None
            axes.errorbar(x, means, yerr=bars, capsize=3, label=name, **style)
        if marked is not None:
            axes.axvline(marked, color=INK, linestyle=":", linewidth=1.2, label="configured")
        if names is None and ticks[0] > 0 and ticks[-1] > 100 * ticks[0]:
            from matplotlib.ticker import NullLocator

            axes.set_xscale("log")
            axes.xaxis.set_minor_locator(NullLocator())
        axes.set_xticks(ticks, labels=[f"{x:g}" for x in ticks] if names is None else names)
        return len(curves) + (marked is not None)

    return _plot(title, labels, draw)


def spans_plot(
    spans: Mapping[str, tuple[float, float]],
    title: str,
    *,
    label: str,
    ends: tuple[str, str],
    parts: Mapping[int, str] = MappingProxyType({}),
) -> Figure:
    """Two values for each name, a filled and a hollow mark on one line of the plot.

    Args:
        spans: Name → two values, from the top down.
        title: Line above the plot.
        label: Of the horizontal axis.
        ends: What the two values are.
        parts: Headings of groups of names, each by the number of its first.

    Raises:
        ValueError: There is nothing to draw.
    """
    if not spans:
        raise ValueError(f"a plot of {ends[0]} and {ends[1]} needs at least one name")
    with plot_settings():
        figure, axes = new_axes(title)
        places: list[float] = []
        for number in range(len(spans)):
            gap = 1.0 if number in parts else 0.0  # a line for the heading
            places.append((places[-1] if places else -1.0) + 1.0 + gap)
        first, second = zip(*spans.values(), strict=True)
        axes.hlines(places, first, second, color=INK, alpha=0.5, linewidth=1.5)
        for values, name, colour in ((first, ends[0], COLOURS[0]), (second, ends[1], "none")):
            (marks,) = axes.plot(values, places, color=COLOURS[0], linestyle="", label=name)
            marks.set(marker="o", markersize=7, markerfacecolor=colour)
        axes.set_yticks([*places, *(places[at] - 1 for at in parts)], [*spans, *parts.values()])
        for text in axes.get_yticklabels()[len(spans) :]:
            text.set_fontstyle("italic")
        axes.set(xlabel=label, ylim=(places[-1] + 0.7, -0.7))
        axes.grid(visible=False, axis="y")
        width, height = figure.get_size_inches()
        figure.set_size_inches(1.15 * width, max(height, 1.4 + 0.24 * (places[-1] + 1)))
        add_legend(axes, 2, inside=False)
    return figure


def svg_file(figure: Figure, label: str) -> str:
    """A figure as a file of its own, in dark ink; the same figure gives the same text."""
    look = f'style="color: {INK}; font-family: sans-serif; background: #ffffff"'
    return to_svg(figure, label).replace("<svg ", f"<svg {look} ", 1) + "\n"


def png_file(figure: Figure) -> bytes:
    """A figure as a PNG file; the same figure gives the same bytes."""
    buffer = io.BytesIO()
    with plot_settings():
        figure.savefig(buffer, format="png", dpi=_DOTS, metadata={"Software": None})
    return buffer.getvalue()


def _numbers(drawn: Mapping[str, object], among: Sequence[str]) -> dict[str, int]:
    """The place of each name, by which its mark and colour are chosen."""
    return {name: number for number, name in enumerate(dict.fromkeys([*among, *drawn]))}


def _style(number: int) -> dict[str, Any]:
    colour = COLOURS[number % len(COLOURS)]
    filled = (number // len(MARKS)) % 2 == 0
    return {
        "color": colour,
        "marker": MARKS[number % len(MARKS)],
        "markersize": 5,
        "markerfacecolor": colour if filled else "none",
        "linewidth": 1.2,
    }


def _plot(title: str, labels: tuple[str, str], draw: Callable[[Axes], int]) -> Figure:
    with plot_settings():
        figure, axes = new_axes(title)
        entries = draw(axes)
        axes.set(xlabel=labels[0], ylabel=labels[1])
        if entries > 4:
            width, height = figure.get_size_inches()
            figure.set_size_inches(1.15 * width, height + _LINE * -(-entries // 3))
        add_legend(axes, entries)
    return figure
