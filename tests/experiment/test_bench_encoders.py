"""Encoders in a report: a part of the table and a set of figures for each, by its own names."""

from __future__ import annotations

import csv
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from crosshash.experiment.bench.record import Record, Store
from crosshash.experiment.bench.report import write_report
from crosshash.experiment.bench.report_encoders import encoder_notes
from crosshash.experiment.bench.report_epochs import epoch_figures
from crosshash.experiment.bench.report_figures import drawn_figures
from crosshash.experiment.bench.report_gallery import gallery_section
from crosshash.experiment.bench.report_grids import map_grid
from crosshash.experiment.bench.summary import Table, summarize

Measured = Callable[..., Record]
QUERIES = 60
BASE = np.random.default_rng(3).uniform(0.3, 0.5, QUERIES)
HISTORY = [{"epoch": n, "totals": {"all": 1 / n}} for n in (1, 2)]
FOUND = [{"id": "x", "text": "words", "found": [{"id": "y", "distance": 1, "relevant": True}]}]


def config(*images: str, text: str = "bow", **options: Any) -> dict[str, Any]:
    """Of these backbones; the options are the last one's."""
    slots = {f"slot{n}": {"name": name, "frozen": True} for n, name in enumerate(images)}
    list(slots.values())[-1].update(options)
    return {"backbones": slots, "text": {"name": text}}


LARGE = {"options": {"image_size": 288, "preprocess": {"crop_pct": 1.0}}}


@pytest.fixture
def store(tmp_path: Path, measured: Measured) -> Store:
    """Eight methods with labels and four without, and three of these with other encoders too."""
    made = Store(tmp_path / "store")
    for number in range(8):
        own = config("mobilenetv2_100", "mobilenetv2_100")
        measured(made, f"with{number}", BASE - 0.01 * number, config=own, history=HISTORY)
    for number in range(4):
        values, own = BASE - 0.1 - 0.01 * number, config("mobilenetv2_100")
        measured(made, f"open{number}", values, supervised=False, config=own)
    other = config("tf_efficientnet_lite0", text="hf:sentence-transformers/all-MiniLM-L6-v2")
    for method, gap in (("with1", 0.2), ("with0", 0.3)):
        measured(made, method, BASE + gap, encoder="lite0", config=other, hits=FOUND)
    measured(made, "open0", BASE + 0.1, encoder="lite0", supervised=False, config=other, bits=32)
    return made


def only(store: Store) -> Table:
    (table,) = summarize(store).tables
    return table


@pytest.mark.usefixtures("undrawn")
def test_each_encoder_has_parts_of_its_own(store: Store, tmp_path: Path) -> None:
    grid = map_grid(only(store))
    headings = [
        *("Trained with labels", "Trained without labels"),
        *("Trained with labels, lite0", "Trained without labels, lite0"),
    ]
    assert grid.parts == dict(zip((0, 8, 12, 14), headings, strict=True))
    names = [row["method"] for row in grid.rows]
    assert names[12:] == ["with0, lite0", "with1, lite0", "open0, lite0"]
    bold = {grid.rows[number]["method"] for number, _ in grid.bold}
    assert bold == {"with0", "open0", "with0, lite0"}  # the best of each part, which has others
    written = write_report(store.folder, tmp_path / "report")
    latex = written.files["latex"].read_text()
    assert re.findall(r"\\emph\{(.*?)\}", latex) == headings
    markdown = written.files["markdown"].read_text()
    assert "Trained without labels, lite0:\n\n| method" in markdown
    assert "better than all others of its column and part" in markdown
    page = written.files["page"].read_text()
    assert 'colspan="5">Trained with labels, lite0</th>' in page
    told = "lite0: tf_efficientnet_lite0 and hf:sentence-transformers/all-MiniLM-L6-v2."
    for text in (page, markdown, latex.replace(r"\_", "_")):
        assert f"Encoders of images and texts: mobilenetv2_100 and bow; {told}" in text
    with written.files["significance"].open(encoding="utf-8", newline="") as file:
        found = {(line["encoder"], line["labels"], line["best"]) for line in csv.DictReader(file)}
    assert found == {
        *(("plain", "yes", "with0"), ("plain", "no", "open0"), ("lite0", "yes", "with0, lite0"))
    }


@pytest.mark.parametrize(
    ("configs", "told"),
    [
        ({"a": config("features", text="features")}, "the data's own vectors"),
        ({"a": config("features")}, "the data's own vectors and bow"),
        ({"a": config("clip:x", text="clip:x"), "b": config("clip:x", text="clip:x")}, "clip:x"),
        ({"a": config("one"), "b": config("two")}, "each method's own"),
        (
            {"a": config("one"), "b": config("one", "two"), "c": config("one"), "d": {}},
            "each method's own",
        ),
        (
            {"a": config("one"), "b": config("one", "two"), "c": config("one")},
            "one and bow (b: one, two and bow)",
        ),
        (
            {"a": config("one"), "b": config("one", "one", **LARGE), "c": config("one")},
            "one and bow (b: one, one (image_size=288, crop_pct=1.0) and bow)",
        ),
        (
            {"a": config("one"), "b": config("one"), "c": config("one", frozen=False)},
            "one (frozen=True) and bow (c: one (frozen=False) and bow)",
        ),
        ({"a": config("clip:x", text="clip:x", **LARGE)}, "clip:x"),
        ({"a": config("one", **LARGE), "b": config("two", "one", **LARGE)}, "each method's own"),
        (
            {"a": config("one"), "b": config("one", **LARGE)},
            "one and bow, options of each method's own",
        ),
    ],
)
def test_encoders_are_told_by_their_names_where_runs_agree(
    tmp_path: Path, measured: Measured, configs: dict[str, Any], told: str
) -> None:
    store = Store(tmp_path / "store")
    for method, own in configs.items():
        measured(store, method, BASE, config=own)
    assert encoder_notes(only(store)) == [f"Encoders of images and texts: {told}."]


def test_records_that_do_not_say_their_encoders_give_no_note(
    tmp_path: Path, measured: Measured
) -> None:
    store = Store(tmp_path / "store")
    measured(store, "a", BASE, config={})
    assert encoder_notes(only(store)) == []


@pytest.mark.usefixtures("undrawn")  # once is enough
def test_figures_are_a_set_for_each_encoder_of_few_lines(store: Store, tmp_path: Path) -> None:
    table = only(store)
    drawn = {one.name: one for one in drawn_figures(table)}
    rank = drawn["wiki-16-pr-rank-i2t"]
    lines = rank.figure.axes[0].get_lines()
    best = [f"with{n}" for n in range(5)] + [f"open{n}" for n in range(3)]
    assert [line.get_label() for line in lines] == [*best, "chance"]
    assert len({line.get_marker() for line in lines[:-1]}) == 8
    limit = "; the best 5 of 8 with labels and the best 3 of 4 without labels (curves.csv has all)"
    assert rank.told == f"Precision and recall by rank: wiki, 16 bits, image → text{limit}"
    assert rank.on_page  # 16 bits are the longest of this encoder
    other = drawn["wiki-lite0-16-pr-rank-i2t"]
    assert other.told == "Precision and recall by rank: wiki, lite0, 16 bits, image → text"
    names = [line.get_label() for line in other.figure.axes[0].get_lines()]
    assert names == ["with0, lite0", "with1, lite0", "chance"]
    assert {"wiki-time", "wiki-lite0-time", "wiki-lite0-bytes"} < set(drawn)
    assert "wiki-bytes" not in drawn  # one length
    assert len(drawn["wiki-time"].figure.axes[0].get_lines()) == 12  # points do not cross
    (loss,) = epoch_figures(table)  # eight methods have one, and so all are drawn
    assert len(loss.figure.axes[0].get_lines()) == 8
    assert "best" not in loss.told
    files = write_report(store.folder, tmp_path / "report").files
    with files["curves"].open(encoding="utf-8", newline="") as file:
        assert len({line["row"] for line in csv.DictReader(file)}) == 15


def test_a_gallery_shows_the_best_of_all_encoders(
    store: Store, tmp_path: Path, measured: Measured
) -> None:
    for number in range(6):
        measured(store, f"with{number}", BASE - 0.01 * number, bits=32, hits=FOUND)
        found = {"encoder": "lite0", "bits": 32, "hits": FOUND}
        measured(store, f"with{number}", BASE + 0.1 - 0.01 * number, **found)
    html = gallery_section(only(store), store)
    assert re.findall(r"<h3>(.*?)</h3>", html) == [
        f"with{number}, lite0, with labels" for number in range(6)
    ]
