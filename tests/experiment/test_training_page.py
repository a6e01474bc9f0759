"""The page that a training leaves beside its checkpoint."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from crosshash.config import parse_config
from crosshash.data.dataset import PairedDataset
from crosshash.data.protocol import Protocol
from crosshash.experiment import training_page
from crosshash.experiment.evaluation import encode_sets
from crosshash.experiment.run import Result, train
from crosshash.experiment.run_record import RunRecord, read_record
from crosshash.experiment.training_page import page_wanted, write_training_page

PAIRS = 60
ROWS = np.arange(PAIRS)
CONFIG: dict[str, Any] = {
    "method": "dcmh",
    "bits": 16,
    "backbones": {"image": {"name": "features"}},
    "text": {"name": "bow", "options": {"size": 20}},
    "data": {"name": "features", "validation": 10},
    "network": {"image_hidden": [8], "text_hidden": [8]},
    "training": {"epochs": 2, "batch_size": 16, "device": "cpu"},
}
HOSTILE = "<script>alert(1)</script>"


def pairs(
    *, pictures: bool = False, captions: bool = True, labels: bool = True
) -> tuple[PairedDataset, Protocol]:
    """Sixty pairs of three kinds."""
    rng = np.random.default_rng(0)
    kinds = rng.integers(0, 3, PAIRS)
    hot = np.eye(3, dtype=np.uint8)[kinds]
    vectors = (hot @ rng.normal(size=(3, 6)) + 0.1 * rng.normal(size=(PAIRS, 6))).astype("float32")
    words = [f"{('red', 'green', 'blue')[kind]} thing {HOSTILE}" for kind in kinds]
    colours = np.eye(3)[kinds] * 255
    dataset = PairedDataset(
        name="things",
        ids=[f"thing-{row}" for row in ROWS],
        images=[Image.new("RGB", (32, 32), tuple(map(int, c))) for c in colours]
        if pictures
        else vectors,
        texts=words if captions else vectors,
        labels=hot if labels else None,
    )
    return dataset, Protocol("split", ROWS[:12], ROWS[12:], ROWS[12:])


def trained(folder: Path, made: Any, **over: Any) -> Result:
    page = over.pop("page", True)
    values = {**CONFIG, **over}
    if not isinstance(made[0].texts, list):
        values["text"] = {"name": "features"}
    return train(parse_config(values), folder, data=made, page=page, progress=False)


def read(folder: Path) -> str:
    return (folder / "report.html").read_text(encoding="utf-8")


def headings(page: str) -> list[str]:
    return re.findall(r"<h2>(.*?)</h2>", page)


def captions_of_plots(page: str) -> list[str]:
    return re.findall(r"<figcaption>(.*?)</figcaption>", page)


def test_a_training_leaves_a_page_of_its_figures_and_what_it_finds(tmp_path: Path) -> None:
    result = trained(tmp_path, pairs())
    page = read(tmp_path)
    assert result.page == tmp_path / "report.html"
    assert headings(page) == [
        "The run",
        "Figures",
        "Curves",
        "Codes of what is searched",
        "Text → image",
        "Image → text",
        "Where it fails",
    ]
    assert result.report is not None
    chance = f"{result.report.i2t.chance:.3f}"
    tile = f"<dt>MAP image → text, chance {chance}</dt><dd>{result.report.i2t.map:.3f}</dd>"
    assert tile in page
    assert "<dt>Seed</dt><dd>0</dd>" in page
    assert "<dt>Data</dt><dd>things, split split, 3 labels</dd>" in page
    told = captions_of_plots(page)
    assert told[0] == "Mean average precision of pairs that were held out, after each epoch"
    assert told[1].startswith("How many of the nearest are relevant")
    # Parts of different phases have nothing in common, and a plot for each.
    assert [line.split(",")[0] for line in told[2:5]] == [
        f"Losses and figures of the phase {phase}" for phase in ("image", "text", "codes")
    ]
    assert told[-1].startswith("How often each bit is +1")
    # Images are features: their captions stand for them, as words and not as markup.
    assert "captions stand for them" in page
    assert "<img" not in page
    assert HOSTILE not in page
    assert "thing &lt;script&gt;" in page


def test_the_page_loads_and_runs_nothing(tmp_path: Path) -> None:
    trained(tmp_path, pairs(pictures=True), **PIXELS)
    page = read(tmp_path)
    assert page.count("<img ") == 6 * 5 + 6 + 2 * 5  # hits of texts, queries by image, failures
    assert not re.findall(r"<script|<link|<iframe|<object", page)
    addresses = re.findall(r'(?:src|href|xlink:href)="([^"]*)"', page)
    assert addresses
    assert all(address.startswith(("data:image/", "#")) for address in addresses)


PIXELS = {
    "backbones": {
        "image": {"name": "test_resnet", "options": {"weights": "random", "image_size": 32}}
    },
}


def test_data_without_labels_are_measured_by_pairs_that_find_each_other(tmp_path: Path) -> None:
    trained(tmp_path, pairs(labels=False), **UNLABELLED)
    page = read(tmp_path)
    assert headings(page) == [
        "The run",
        "Figures",
        "Curves",
        "Codes of what is searched",
        "Text → image",
        "Image → text",
    ]
    recalls = re.findall(r"<dt>(Recall@\d+ [^<]*)</dt><dd>([\d.]+)</dd>", page)
    assert [name for name, _ in recalls] == [
        f"Recall@10 {way}, chance {10 / 12:.3f}" for way in ("image → text", "text → image")
    ]
    rows = re.findall(r"<td>12 pairs</td><td[^>]*>(\d+)</td><td[^>]*>([\d.]+)</td>", page)
    assert [first for first, _ in rows] == ["1", "10", "1", "10"]
    # Pairs of one kind share a code: a partner is one of the few that are nearest.
    assert all(0 < float(value) <= 1 for _, value in rows)
    assert float(rows[0][1]) > 1 / 12
    assert "relevant" not in page.split("</style>")[1].replace("irrelevant", "")


UNLABELLED = {
    "method": "cph",
    "network": {},
    "data": {"name": "features", "validation": 0},
}


def test_features_alone_have_no_gallery(tmp_path: Path) -> None:
    trained(tmp_path, pairs(captions=False))
    assert headings(read(tmp_path))[-1] == "Codes of what is searched"


def test_closed_forms_have_no_losses_and_data_without_queries_no_figures(tmp_path: Path) -> None:
    dataset, _ = pairs(captions=False)
    everything = Protocol("all", ROWS[:0], ROWS, ROWS)
    closed = {"method": "cca_itq", "bits": 8, "network": {}, "data": UNLABELLED["data"]}
    trained(tmp_path, (dataset, everything), **closed, training={"epochs": 1})
    page = read(tmp_path)
    assert "The run" in headings(page)
    assert "Figures" not in headings(page)
    assert "MAP" not in page


def test_a_second_training_has_its_losses_shown(tmp_path: Path) -> None:
    result = trained(tmp_path, pairs(), data={"name": "features", "validation": 10, "refit": True})
    assert result.refit
    assert "Losses by epoch of the second training" in read(tmp_path)


def test_the_same_run_gives_the_same_bytes(tmp_path: Path) -> None:
    result = trained(tmp_path / "run", pairs(pictures=True), **PIXELS, page=False)
    record = read_record(tmp_path / "run")
    assert record is not None
    encoded = encode_sets(result.model, result.inputs, result.protocol)
    pages = [
        write_training_page(tmp_path / f"{n}.html", result, encoded, record).read_bytes()
        for n in range(2)
    ]
    assert pages[0] == pages[1]
    # Of the record the page has how long it took, and not when, where or in which process.
    other = record.model_copy(update={"started": "2001-01-01", "host": "elsewhere", "pid": 1})
    third = write_training_page(tmp_path / "2.html", result, encoded, other).read_bytes()
    assert third == pages[0]


def test_figures_beyond_one_are_drawn_on_their_own_scale(tmp_path: Path) -> None:
    result = trained(tmp_path, pairs(), page=False)
    result = replace(result, history=[{"epoch": n, "loss": 1.0, "score": -n} for n in (1, 2)])
    record = RunRecord(method="dcmh", dataset="things", bits=16, seed=0, epochs=2, monitor="score")
    page = write_training_page(tmp_path / "p.html", result, None, record).read_text()
    assert captions_of_plots(page)[0].startswith("What was measured on pairs that were held out")
    assert captions_of_plots(page)[2] == "What the training minimizes: loss"


def test_a_page_that_cannot_be_drawn_loses_no_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: object, **__: object) -> None:
        raise RuntimeError("no ink")

    monkeypatch.setattr(training_page, "write_training_page", fails)
    with pytest.warns(UserWarning, match=r"report\.html could not be drawn \(RuntimeError: no ink"):
        result = trained(tmp_path, pairs())
    assert result.page is None
    assert (tmp_path / "checkpoint" / "model.safetensors").is_file()
    record = read_record(tmp_path)
    assert record is not None
    assert record.state == "finished"


def test_pages_are_drawn_unless_a_variable_or_an_argument_says_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("CROSSHASH_PAGE")
    assert page_wanted(None)
    assert not page_wanted(False)
    monkeypatch.setenv("CROSSHASH_PAGE", "0")
    assert not page_wanted(None)
    assert page_wanted(True)
    monkeypatch.setenv("CROSSHASH_PAGE", "never")
    with pytest.raises(ValueError, match="CROSSHASH_PAGE=never: expected 0"):
        page_wanted(None)


def test_the_record_of_a_run_follows_it(tmp_path: Path) -> None:
    seen: list[RunRecord | None] = []

    def look(figures: Mapping[str, float], net: object) -> None:
        seen.append(read_record(tmp_path))
        if resumed:
            return
        raise FloatingPointError("enough")

    resumed, config = False, parse_config(CONFIG)
    options: dict[str, Any] = {"data": pairs(), "callbacks": [look], "progress": False}
    with pytest.raises(FloatingPointError):
        train(config, tmp_path, overrides={"data.validation": 12}, **options)
    failed = read_record(tmp_path)
    assert failed is not None
    assert (failed.state, failed.error) == ("failed", "FloatingPointError: enough")
    assert (failed.method, failed.dataset, failed.bits, failed.epochs) == ("dcmh", "things", 16, 2)
    assert (failed.monitor, failed.overrides) == ("map_mean", ["data.validation=12"])
    assert failed.figures == ["map_i2t", "map_t2i", "map_mean"]
    assert seen[0] is not None
    assert (seen[0].state, seen[0].stage) == ("running", "training")
    resumed = True
    result = train(config, tmp_path, **options)
    done = read_record(tmp_path)
    assert done is not None
    assert (done.state, done.stage, done.error) == ("finished", "evaluation", "")
    assert done.best_epoch == result.training["best_epoch"]
    assert (done.config, done.overrides) == (None, [])


def test_training_anew_takes_the_page_of_the_earlier_run_away(tmp_path: Path) -> None:
    trained(tmp_path, pairs(), page=False)
    (tmp_path / "report.html").write_text("of the run before")
    config = parse_config(CONFIG)
    train(config, tmp_path, data=pairs(), overwrite=True, page=False, progress=False)
    assert not (tmp_path / "report.html").exists()
