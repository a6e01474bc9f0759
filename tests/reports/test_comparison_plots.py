"""Plots of many models, told apart without colours too."""

from __future__ import annotations

import re

import numpy as np
import pytest

from crosshash.reports.comparison_plots import (
    marked_lines_plot,
    png_file,
    scatter_plot,
    spans_plot,
    svg_file,
)

CURVES = {f"method {n}": (np.linspace(0, 1, 9), np.full(9, n / 20)) for n in range(20)}
LABELS = ("recall", "precision")


def test_twenty_lines_look_different_in_grey() -> None:
    figure = marked_lines_plot(CURVES, "all", labels=LABELS)
    lines = figure.axes[0].get_lines()
    looks = {
        (line.get_marker(), line.get_markerfacecolor() == "none", str(line.get_linestyle()))
        for line in lines
    }
    assert len(looks) == 20
    assert len({(look[0], look[1]) for look in looks}) == 20  # marks alone tell them apart
    legend = figure.legends[0]
    assert [text.get_text() for text in legend.get_texts()] == list(CURVES)


def test_the_same_figure_is_the_same_file() -> None:
    files = []
    for _ in range(2):
        figure = marked_lines_plot(CURVES, "all", labels=LABELS, chance=0.2)
        files.append((svg_file(figure, "what it shows"), png_file(figure)))
    assert files[0] == files[1]
    svg, png = files[0]
    assert 'aria-label="what it shows"' in svg
    assert not re.search(r"<dc:date>|Matplotlib", svg)
    assert png.startswith(b"\x89PNG")
    assert b"matplotlib" not in png.lower()


def test_points_far_apart_stand_on_a_logarithmic_axis() -> None:
    apart = scatter_plot({"a": (1.0, 0.5), "b": (100.0, 0.6)}, "t", labels=("seconds", "MAP"))
    assert apart.axes[0].get_xscale() == "log"
    near = scatter_plot({"a": (0.0, 0.5), "b": (100.0, 0.6)}, "t", labels=("seconds", "MAP"))
    assert near.axes[0].get_xscale() == "linear"


def test_every_point_has_its_tick() -> None:
    figure = marked_lines_plot(
        {"a": ([2, 4, 8], [0.1, 0.2, None])}, "t", labels=LABELS, every_point=True, unit=False
    )
    assert figure.axes[0].get_xticks().tolist() == [2, 4, 8]
    with pytest.raises(ValueError, match="at least one"):
        marked_lines_plot({}, "t", labels=LABELS)
    with pytest.raises(ValueError, match="at least one"):
        scatter_plot({}, "t", labels=LABELS)


def test_a_hollow_point_is_of_its_curves_look_and_has_one_name_in_the_legend() -> None:
    hollow = {"method 3": (0.5, 0.9), "method 4": (0.5, 0.8)}
    curves = {name: CURVES[name] for name in ("method 3", "method 4", "method 5")}
    figure = marked_lines_plot(
        curves, "t", labels=LABELS, hollow=hollow, hollow_label="before the signs"
    )
    (axes,) = figure.axes
    lines = axes.get_lines()
    for line, of, point in zip(lines[3:5], lines[:2], hollow.values(), strict=True):
        assert (line.get_xdata()[0], line.get_ydata()[0]) == point
        assert (line.get_marker(), line.get_color()) == (of.get_marker(), of.get_color())
        assert (line.get_markerfacecolor(), line.get_linestyle()) == ("none", "None")
    assert axes.get_legend_handles_labels()[1] == [*curves, "before the signs"]


def test_a_name_looks_the_same_in_all_figures_of_a_set() -> None:
    few = {name: CURVES[name] for name in ("method 3", "method 12")}
    whole = marked_lines_plot(CURVES, "all", labels=LABELS)
    part = marked_lines_plot(few, "few", labels=LABELS, among=list(CURVES))
    points = scatter_plot(dict.fromkeys(few, (1.0, 2.0)), "few", labels=LABELS, among=list(CURVES))
    for figure in (part, points):
        for line in figure.axes[0].get_lines():
            known = whole.axes[0].get_lines()[int(str(line.get_label()).split()[1])]
            for look in ("marker", "color", "markerfacecolor"):
                assert getattr(line, f"get_{look}")() == getattr(known, f"get_{look}")()


def test_epochs_have_whole_numbers() -> None:
    curve = {"a": ([1, 2, 3], [0.1, 0.2, 0.3])}
    figure = marked_lines_plot(curve, "t", labels=("epoch", "loss"), unit=False, whole=True)
    assert all(float(tick).is_integer() for tick in figure.axes[0].get_xticks())


def test_two_values_of_a_name_stand_on_one_line_from_the_top_down() -> None:
    spans = {"a": (0.5, 0.7), "b": (0.4, 0.6), "c": (0.3, 0.2)}
    figure = spans_plot(
        spans, "t", label="MAP", ends=("after", "before"), parts={0: "first", 2: "second"}
    )
    (axes,) = figure.axes
    names = dict(
        zip((t.get_text() for t in axes.get_yticklabels()), axes.get_yticks(), strict=True)
    )
    assert sorted(names, key=names.__getitem__) == ["first", "a", "b", "second", "c"]
    assert axes.yaxis_inverted()
    after, before = axes.get_lines()
    assert after.get_xdata() == pytest.approx([0.5, 0.4, 0.3])
    assert before.get_xdata() == pytest.approx([0.7, 0.6, 0.2])
    assert list(before.get_ydata()) == [names[name] for name in spans]
    assert (before.get_markerfacecolor(), after.get_markerfacecolor() == "none") == ("none", False)
    with pytest.raises(ValueError, match="at least one"):
        spans_plot({}, "t", label="MAP", ends=("after", "before"))
