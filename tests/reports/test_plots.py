import subprocess
import sys
from xml.etree import ElementTree

import numpy as np
import pytest
from matplotlib import rcParams

from crosshash.reports.plots import (
    INK,
    epochs_plot,
    loss_plot,
    ones_plot,
    precision_at_plot,
    precision_recall_plot,
    to_svg,
)

RECALL = np.linspace(0, 1, 17)
CURVES = {"image → text": (RECALL, 1 - RECALL / 2), "text → image": (RECALL, 1 - RECALL / 3)}


def labels(figure):
    return [line.get_label() for line in figure.axes[0].get_lines()]


def test_precision_recall_draws_each_curve_and_chance():
    figure = precision_recall_plot(CURVES, "16 bits", chance=0.33)
    axes = figure.axes[0]
    assert labels(figure) == ["image → text", "text → image", "chance"]
    np.testing.assert_array_equal(axes.get_lines()[1].get_ydata(), 1 - RECALL / 3)
    assert axes.get_title(loc="left") == "16 bits"
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("recall", "precision")


def test_lines_differ_in_colour_and_in_dashes():
    figure = precision_recall_plot({str(i): CURVES["image → text"] for i in range(4)})
    lines = figure.axes[0].get_lines()
    assert len({line.get_color() for line in lines}) == 4
    assert len({str(line._dash_pattern) for line in lines}) == 4


def test_precision_at_starts_at_zero_results():
    figure = precision_at_plot({"image → text": ([1, 10, 100], [0.9, 0.8, 0.7])})
    assert figure.axes[0].get_xlim()[0] == 0
    assert figure.axes[0].get_ylim() == (0, 1.02)


@pytest.mark.parametrize("plot", [precision_recall_plot, precision_at_plot])
@pytest.mark.parametrize(
    ("curves", "message"),
    [
        ({}, "at least one curve"),
        ({"a": ([0, 1], [1])}, r"'a'.*shapes \(2,\) and \(1,\)"),
        ({"a": ([], [])}, "'a'"),
        ({"a": ([[1]], [[1]])}, "'a'"),
    ],
)
def test_curves_that_do_not_fit_are_refused(plot, curves, message):
    with pytest.raises(ValueError, match=message):
        plot(curves)


def test_loss_plot_draws_every_named_number_over_its_epoch():
    history = [
        {"epoch": 5, "similarity": 2.0, "note": "warm-up"},
        {"epoch": 6, "similarity": 1.0, "total": np.float32(1.5)},
    ]
    lines = loss_plot(history).axes[0].get_lines()
    assert [line.get_label() for line in lines] == ["similarity", "total"]
    np.testing.assert_array_equal(lines[0].get_xdata(), [5, 6])
    np.testing.assert_array_equal(lines[1].get_ydata(), [np.nan, 1.5])


def test_epochs_without_numbers_count_from_one():
    line = loss_plot([{"loss": 1.0}, {"loss": 0.5}]).axes[0].get_lines()[0]
    np.testing.assert_array_equal(line.get_xdata(), [1, 2])


@pytest.mark.parametrize(
    ("values", "scale"),
    [([100.0, 1.0], "log"), ([2.0, 1.0], "linear"), ([100.0, -1.0], "linear")],
)
def test_losses_of_different_magnitude_get_a_logarithmic_axis(values, scale):
    assert loss_plot([{"loss": value} for value in values]).axes[0].get_yscale() == scale


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([0.02, 0.5, 3.0], {"0.02", "0.1", "0.5", "1", "2"}),
        ([70.0, 2.1], {"5", "10", "50"}),
        ([3e-7, 20.0], {"0.001", "0.1", "10"}),
    ],
)
def test_the_numbers_of_a_logarithmic_axis_are_numbers_and_no_formulas(values, expected):
    svg = to_svg(loss_plot([{"loss": value} for value in values]))
    assert "$" not in svg
    assert "math" not in svg
    texts = [e.text for e in ElementTree.fromstring(svg).iter() if e.tag.endswith("}text")]
    assert expected <= set(texts)
    for text in set(texts) - {"Loss", "loss", "epoch"}:
        float(text)  # raises at what is no number


@pytest.mark.parametrize("history", [[], [{"epoch": 1}], [{"loss": "low"}], [{"loss": True}]])
def test_a_history_without_numbers_is_refused(history):
    with pytest.raises(ValueError, match="at least one epoch with a number"):
        loss_plot(history)


def test_a_loss_that_turned_to_nan_or_infinity_still_draws():
    figure = loss_plot([{"loss": 1.0}, {"loss": float("nan")}, {"loss": float("inf")}])
    assert to_svg(figure).startswith("<svg")


def test_svg_is_well_formed_named_and_free_of_dates():
    svg = to_svg(precision_recall_plot(CURVES), 'curves of "AMGFH" <64 bits>')
    root = ElementTree.fromstring(svg)
    assert root.get("role") == "img"
    assert root.get("aria-label") == 'curves of "AMGFH" <64 bits>'
    assert root.get("viewBox")
    assert root.get("width") is None
    assert not [e for e in root.iter() if e.tag.rsplit("}")[-1] in ("metadata", "style", "script")]
    assert "image → text" in [e.text for e in root.iter() if e.tag.endswith("}text")]


def test_svg_is_the_same_every_time_and_in_every_process():
    figure = precision_recall_plot(CURVES, chance=0.3)
    first = to_svg(figure, "x")
    assert to_svg(figure, "x") == first
    assert to_svg(precision_recall_plot(CURVES, chance=0.3), "x") == first
    script = """
import sys
import numpy as np
from crosshash.reports.plots import precision_recall_plot, to_svg
assert "matplotlib" not in sys.modules
recall = np.linspace(0, 1, 17)
curves = {"image → text": (recall, 1 - recall / 2), "text → image": (recall, 1 - recall / 3)}
sys.stdout.buffer.write(to_svg(precision_recall_plot(curves, chance=0.3), "x").encode())
assert "matplotlib.pyplot" not in sys.modules
"""
    other = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True)
    assert other.stdout.decode() == first


def test_svg_takes_text_colour_and_font_from_the_page():
    svg = to_svg(precision_recall_plot(CURVES))
    assert INK not in svg
    assert "currentColor" in svg
    assert "font-family" not in svg
    assert "#000000" not in svg


def test_names_in_two_plots_of_one_page_never_meet_and_all_references_resolve():
    def names(svg):
        root = ElementTree.fromstring(svg)
        return [e.get("id") for e in root.iter() if e.get("id")]

    one, two = to_svg(precision_recall_plot(CURVES)), to_svg(precision_at_plot(CURVES))
    assert len(names(one)) == len(set(names(one))) > 0
    assert not set(names(one)) & set(names(two))
    for reference in one.split('href="#')[1:] + one.split("url(#")[1:]:
        assert any(reference.startswith(name) for name in names(one))


def test_names_are_text_not_markup_or_formulas():
    name = f'</text><script>alert(1)</script> $x$ id="a" {INK}'
    svg = to_svg(precision_recall_plot({name: CURVES["image → text"]}, "cost: $5 or $6"))
    texts = [e.text for e in ElementTree.fromstring(svg).iter() if e.tag.endswith("}text")]
    assert name in texts
    assert "cost: $5 or $6" in texts
    assert "<script" not in svg


def test_a_curve_of_many_points_stays_small():
    ranks = np.arange(1, 18_016)
    precision = 0.33 + 0.5 * np.exp(-ranks / 4000)
    assert len(to_svg(precision_at_plot({"image → text": (ranks, precision)}))) < 60_000


def test_shares_of_ones_are_marks_with_a_level_at_one_half():
    figure = ones_plot({"images": [0.1, 0.5, 1.0], "texts": [0, 0.2, 0.4]})
    images, texts, half = figure.axes[0].get_lines()
    assert images.get_xdata().tolist() == [0, 1, 2]
    assert (images.get_linestyle(), texts.get_linestyle()) == ("None", "None")
    assert images.get_marker() != texts.get_marker()  # told apart without colour
    assert set(half.get_ydata()) == {0.5}
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == ["images", "texts"]
    with pytest.raises(ValueError, match="at least one"):
        ones_plot({})


def test_a_single_epoch_has_a_single_tick():
    for figure in (
        loss_plot([{"epoch": 3, "loss": 1.0}]),
        epochs_plot([{"epoch": 3, "map": 0.5}], {"map": "MAP"}),
    ):
        assert figure.axes[0].get_xticks().tolist() == [3]
    figure = loss_plot([{"epoch": n, "loss": n} for n in range(1, 9)])
    assert all(float(tick).is_integer() for tick in figure.axes[0].get_xticks())


def test_the_names_of_many_lines_stand_below_them():
    figure = loss_plot([{"epoch": n, **{f"loss-{m}": m for m in range(7)}} for n in (1, 2)])
    assert figure.axes[0].get_legend() is None
    assert len(figure.legends[0].get_texts()) == 7


def test_plots_change_no_global_state():
    before = dict(rcParams)
    to_svg(loss_plot([{"loss": 1.0}]))
    assert dict(rcParams) == before
