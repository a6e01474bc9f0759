"""The chart of a figure by epoch, in block characters."""

from __future__ import annotations

import pytest

from crosshash.reports.chart import epochs_chart


def history(values: list[float]) -> list[dict[str, float]]:
    return [{"epoch": place + 1, "map_mean": value} for place, value in enumerate(values)]


def test_bars_go_from_the_lowest_to_the_highest_value() -> None:
    title, top, bottom, epochs = epochs_chart(history([0.2, 0.6, 0.4]), "map_mean", height=2)
    assert title == "MAP by epoch: best 0.600 after epoch 2, 0.400 after epoch 3"
    assert top == "0.600 ┤    ████▁▁▁▁"
    assert bottom == "0.200 ┤▁▁▁▁████████"
    assert epochs == "       1          3"


@pytest.mark.parametrize("count", [30, 73, 74, 1000])
@pytest.mark.parametrize("width", [20, 80])
def test_however_many_epochs_fit_the_width_and_show_the_best(count: int, width: int) -> None:
    values = [0.1] * count
    values[count // 2] = 0.9
    lines = epochs_chart(history(values), "map_mean", width=width)
    assert max(map(len, lines[1:])) <= width
    assert lines[1].strip("0.9 ┤█") == ""  # one bar reaches the top
    assert "█" in lines[1]
    assert lines[-1].split() == ["1", str(count)]


def test_epochs_without_the_figure_are_passed_over() -> None:
    rows = [{"epoch": 1}, *history([0.5, 0.7]), {"epoch": 4, "loss": 1.0}]
    assert epochs_chart(rows, "map_mean")[0].endswith("best 0.700 after epoch 2")
    assert epochs_chart(rows, "score") == []


def test_one_epoch_is_told_and_equal_ones_take_one_line() -> None:
    assert epochs_chart(history([0.5]), "map_mean") == ["MAP by epoch: best 0.500 after epoch 1"]
    assert epochs_chart(history([0.5, 0.5]), "map_mean")[1] == "0.500 ┤████████"
    assert len(epochs_chart(history([0.5, 0.5]), "map_mean")) == 3
