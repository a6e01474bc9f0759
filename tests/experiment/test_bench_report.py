"""A report of a benchmark: what may be compared, what is sure, and the same bytes again."""

from __future__ import annotations

import base64
import csv
import io
import json
import re
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
from matplotlib import get_data_path
from PIL import Image as PILImage
from PIL import ImageFont

from crosshash.experiment.bench.entries import Part
from crosshash.experiment.bench.record import Record, Store
from crosshash.experiment.bench.report import Written, write_report
from crosshash.experiment.bench.report_epochs import epoch_figures
from crosshash.experiment.bench.report_figures import drawn_figures
from crosshash.experiment.bench.report_grids import ceiling_grids, radius_grids
from crosshash.experiment.bench.suite import Printed
from crosshash.experiment.bench.summary import summarize
from crosshash.retrieval.evaluate import evaluate_both
from crosshash.retrieval.record import make_record

QUERIES, ITEMS = 60, 150
RANDOM = np.random.default_rng(5)
LABELS = np.eye(3, dtype=np.uint8)[RANDOM.integers(0, 3, QUERIES + ITEMS)]
CODES = np.where(RANDOM.random((3, 16)) < 0.5, 1.0, -1.0)


def run(
    store: Store, method: str, noise: float, *, bits: int = 16, seed: int = 0, **more: Any
) -> Record:
    """A record of codes that are their class's, but for a share of flipped bits."""
    random = np.random.default_rng([seed, bits, int(1000 * noise), 7])
    sides = []
    for _ in range(2):
        flips = np.where(random.random((QUERIES + ITEMS, bits)) < noise, -1.0, 1.0)
        sides.append((LABELS @ CODES)[:, :bits] * flips)
    query, found = [s[:QUERIES] for s in sides], [s[QUERIES:] for s in sides]
    told = {"supervised": not method.startswith("open"), "pairs": 9, "best_epoch": 1}
    record = make_record(
        dataset="wiki", counts={"query": QUERIES, "retrieval": ITEMS}, bits=bits, training=told
    )
    labels = LABELS[:QUERIES], LABELS[QUERIES:]
    report = evaluate_both(tuple(query), tuple(found), *labels, record=record, topk=[10])
    identity = {"config": "c", "data": "d", "code": "e", "compared": "same"}
    values: dict[str, Any] = {
        "key": f"{method}{bits}{seed}{more.get('started', '')[-1:]}",
        "state": "finished",
        "name": f"{method}/wiki-{bits}",
        "suite": "tests",
        "method": method,
        "dataset": "wiki",
        "bits": bits,
        "seed": seed,
        "config": {"method": method, "bits": bits, "seed": seed, "training": {"epochs": 1}},
        "identity": identity,
        "started": "2026-01-01T00:00:00+00:00",
        "seconds": {"training": 10 * noise + seed, "whole": 3.0},
        "memory": {"of": "resident", "bytes": 2_000_000},
        "parameters": {"all": 10, "trained": 7},
        "flops": {"image": 2_000_000, "text": 1_000_000},
        "machine": {"device": "cpu", "threads": 1, "jobs": 1},
        "figures": report.as_dict(),
        "versions": {"torch": "2.0"},
    }
    made = Record.model_validate({**values, **more})
    precisions = {way: getattr(report, way).precisions for way in ("i2t", "t2i", "i2i", "t2t")}
    store.write(made, precisions)
    return made


def picture(store: Store, grey: int) -> str:
    """The name of a small picture in a store."""
    buffer = io.BytesIO()
    PILImage.new("RGB", (8, 6), (grey, grey, grey)).save(buffer, "JPEG")
    return store.keep_picture(buffer.getvalue())


def kept(store: Store, *, seed: int = 0, first: float = 4.0) -> dict[str, Any]:
    """What a record has beside its figures; the loss is that of the first epoch, then half of it,
    then a quarter, with the second seed a little more."""
    losses = [first, first / 2, first / 4 + seed]
    terms = [{"inter": loss / 2, "other": loss / 10} for loss in losses]
    history = [
        {"epoch": n, "terms": term, "totals": {"image": 0.75 * loss, "text": 0.25 * loss}}
        for n, (term, loss) in enumerate(zip(terms, losses, strict=True), 1)
    ]
    for line, mean in ((history[0], 0.2), (history[2], 0.4 + 0.1 * seed)):
        line["validation"] = {"map_i2t": mean + 0.1, "map_t2i": mean - 0.1, "map_mean": mean}
    found = [
        {
            "id": f"item <{place}>",
            "distance": place,
            "relevant": place != 2,
            "picture": picture(store, 40 * place),
        }
        for place in range(5)
    ]
    asked = [{"id": f"q{n}", "text": f"text {n} of <many>", "found": found} for n in range(4)]
    return {"ceiling": {"i2t": 0.91, "t2i": 0.87}, "history": history, "hits": asked}


def filled(folder: Path) -> Store:
    """Four methods: one surely the best at 16 bits, two that cannot be told apart at 8, and one
    without labels that is surely better than the other."""
    made = Store(folder)
    for seed in (0, 1):
        run(made, "good", 0.05, seed=seed, **kept(made, seed=seed))
        run(made, "open", 0.25, seed=seed, **kept(made, seed=seed, first=400))
    epoch = {"epoch": 1, "terms": {"variance": 0.5}, "validation": {"map_mean": 0.3}}
    run(made, "open-closed", 0.4, history=[epoch])
    run(made, "fair", 0.25)  # from before all this was kept
    for method in ("good", "fair"):
        run(made, method, 0.15 if method == "good" else 0.151, bits=8)
    run(made, "broken", 0.1, state="failed", error="ValueError: <no>", figures={})
    printed = Printed(
        source="A Paper, Table 1",
        note="Nothing is stated.",
        data=["wiki"],
        bits=[8, 16],
        own="GOOD",
        map_i2t={"GOOD": [[0.61, 0.6234]], "OTHER": [[0.5, 0.51]]},
    )
    made.keep_printed("tests", [printed])
    return made


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return filled(tmp_path / "store")


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Written:
    folder = tmp_path_factory.mktemp("bench")
    return write_report(filled(folder / "store").folder, folder / "report")


def lines(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_the_best_is_bold_where_it_is_sure_and_a_tie_is_called_one(
    store: Store, written: Written
) -> None:
    assert (written.runs, written.failed) == (9, 1)
    (table,) = summarize(store).tables
    good, fair = (next(e for e in table.entries if e.name == name) for name in ("good", "fair"))
    assert table.is_best(good, 16, "i2t")
    assert not table.is_tied(good, 16, "i2t")
    assert {table.is_tied(entry, 8, "t2i") for entry in (good, fair)} == {True}
    markdown = written.files["markdown"].read_text()
    row = next(line for line in markdown.splitlines() if line.startswith("| good"))
    assert row.count("**") == 4  # both directions at 16 bits
    assert row.count(" = ") == 2  # both at 8
    assert re.search(r"\*\*0\.\d{3} ± 0\.\d{3}\*\*", row)  # two seeds
    assert re.search(r"\| open +\| +2 .*\*\*0\.\d{3}", markdown)  # the best without labels
    latex = written.files["latex"].read_text()
    assert latex.count(r"\textbf{") == 4
    assert r"\toprule" in latex
    assert latex.count(r"$^{=}$") == 4
    page = written.files["page"].read_text()
    assert page.count("<strong>") == 4
    sure = [line for line in lines(written.files["significance"]) if line["bits"] == "16"]
    assert {line["tie"] for line in sure} == {"no"}
    assert all(float(line["p"]) < 0.05 for line in sure)
    assert {(line["labels"], line["best"]) for line in sure} == {("yes", "good"), ("no", "open")}


def test_methods_with_labels_and_without_are_two_parts_each_best_first(
    store: Store, written: Written
) -> None:
    (table,) = summarize(store).tables
    assert [entry.name for entry in table.entries] == ["good", "fair", "open", "open-closed"]
    markdown = written.files["markdown"].read_text().split("## As printed")[0]
    first, second = "Trained with labels:\n\n| method", "Trained without labels:\n\n| method"
    # MAP, MAP@10 by two denominators, before the signs, and look-ups of two directions.
    assert (markdown.count(first), markdown.count(second)) == (6, 6)
    order = [markdown.index(f"| {name} ") for name in ("good", "fair", "open", "open-closed")]
    assert order == sorted(order)
    latex = written.files["latex"].read_text().split("As printed")[0]
    assert latex.count(r"\midrule") == 2
    parts = re.findall(r"\\multicolumn\{6\}\{l\}\{\\emph\{(.*?)\}\}", latex)
    assert parts == ["Trained with labels", "Trained without labels"]
    page = written.files["page"].read_text()
    heading = '<tr class="part"><th scope="rowgroup" colspan="6">Trained without labels</th></tr>'
    assert page.count(heading) == 1
    assert page.split("As printed")[0].count('class="part"') == 12


def test_what_the_signs_cost_stands_beside_what_codes_reach(store: Store, written: Written) -> None:
    (table,) = summarize(store).tables
    (grid,) = ceiling_grids(table).values()
    assert [row["method"] for row in grid.rows] == ["good", "open"]  # the others kept none
    assert grid.rows[0]["image → text, before the signs"] == "0.910 ± 0.000"
    good = table.entries[0].values(16, "t2i", "map")
    assert grid.rows[0]["text → image, codes"].startswith(f"{np.mean(good):.3f} ±")
    own = [line for line in lines(written.files["figures"]) if line["key"] == "good161"]
    found = {line["direction"]: line["value"] for line in own if "signs" in line["figure"]}
    assert found == {"i2t": "0.91", "t2i": "0.87"}
    svg = (written.files["plots"] / "wiki-signs.svg").read_text()
    assert {"good", "open", "before the signs"} <= set(texts(svg))
    assert "fair" not in texts(svg)


def test_losses_are_relative_to_the_first_epochs_and_means_over_seeds(
    store: Store, written: Written
) -> None:
    (table,) = summarize(store).tables
    drawn = {one.name: one for one in epoch_figures(table)}
    assert set(drawn) == {"wiki-16-loss", "wiki-16-validation"}
    loss = {line.get_label(): line for line in drawn["wiki-16-loss"].figure.axes[0].get_lines()}
    assert set(loss) == {"good", "open"}  # one is solved in closed form, one has no history
    assert loss["good"].get_xdata() == pytest.approx([1, 2, 3])
    assert loss["good"].get_ydata() == pytest.approx([1, 0.5, 0.25 + 0.5 / 4])
    assert loss["open"].get_ydata() == pytest.approx([1, 0.5, 0.25 + 0.5 / 400])
    (line, _) = drawn["wiki-16-validation"].figure.axes[0].get_lines()
    assert (list(line.get_xdata()), list(line.get_ydata())) == ([1, 3], pytest.approx([0.2, 0.45]))
    epochs = [one for one in lines(written.files["epochs"]) if one["key"] == "good161"]
    assert {"inter", "total.image", "map_mean"} <= {one["figure"] for one in epochs}
    assert {one["training"] for one in epochs} == {"final"}
    assert len(epochs) == 3 * 4 + 2 * 3


def test_look_ups_within_small_radii_are_those_of_the_records(store: Store) -> None:
    (table,) = summarize(store).tables
    record = store.read("fair160")
    assert record is not None
    for grid, way in zip(radius_grids(table).values(), ("i2t", "t2i"), strict=True):
        row = next(row for row in grid.rows if row["method"] == "fair")
        for radius in (0, 1, 2):
            figures = record.figures[way]
            for name, value in (
                ("precision", figures["by_radius"]["precision"][radius]),
                ("recall", figures["by_radius"]["recall"][radius]),
                ("F1", figures["f1_at_radius"][str(radius)]),
            ):
                assert row[f"r = {radius}, {name}"] == f"{value:.4f}"
    assert set(radius_grids(table)) == {
        "Within a Hamming radius r, 16 bits, image → text; F1 by query",
        "Within a Hamming radius r, 16 bits, text → image; F1 by query",
    }


@pytest.mark.usefixtures("undrawn")
def test_what_texts_find_is_shown_with_marks_and_pictures(
    store: Store, written: Written, tmp_path: Path
) -> None:
    page = written.files["page"].read_text()
    assert page.count('<article class="strips">') == 4
    assert "text 3 of &lt;many&gt;" in page
    assert "<many>" not in page
    assert re.findall(r"<h3>(.*?)</h3>", page)[:2] == ["good, with labels", "open, without labels"]
    hits = re.findall(r'<li class="(\w+)">(.*?)</li>', page)
    assert len(hits) == 4 * 2 * 5
    for kind, hit in hits:
        missed = "item &lt;2&gt;" in hit
        assert kind == ("miss" if missed else "relevant")
        assert ("✗" in hit, "✓" in hit) == (missed, not missed)
        assert f"</span> {re.findall(r'item &lt;(.)', hit)[0]}&nbsp;bits" in hit
        source = re.search(r'src="data:image/jpeg;base64,([^"]*)"', hit)
        assert source
        with PILImage.open(io.BytesIO(base64.b64decode(source[1]))) as shown:
            assert shown.size == (8, 6)
    bare = write_report(store.folder, tmp_path / "bare", pictures=False).files["page"].read_text()
    assert "data:image" not in bare
    assert bare.count("✗") == page.count("✗")
    assert "item &lt;2&gt;" in bare
    for file in (store.folder / "pictures").iterdir():  # no longer what its name says
        file.write_bytes(b"another")
    changed = write_report(store.folder, tmp_path / "changed").files["page"].read_text()
    assert "data:image" not in changed


@pytest.mark.usefixtures("undrawn")
def test_six_methods_at_most_share_a_gallery(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    for number in range(6):
        run(store, f"with{number}", 0.05 * number, **kept(store))
    run(store, "open0", 0.2, **kept(store))
    run(store, "open1", 0.3, **kept(store))
    page = write_report(store.folder, tmp_path / "report").files["page"].read_text()
    shown = re.findall(r"<h3>(\w+), .*?</h3>", page)[:6]
    assert shown == ["with0", "with1", "with2", "with3", "open0", "open1"]


def texts(svg: str) -> list[str]:
    """What stands in a figure."""
    return [
        "".join(part.itertext()).strip()
        for part in ElementTree.fromstring(svg).iter("{http://www.w3.org/2000/svg}text")
    ]


def test_labels_of_figures_are_whole_and_plain(written: Written) -> None:
    face = str(Path(get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf")
    files = sorted(written.files["plots"].glob("*.svg"))
    assert len(files) == 18
    for file in files:
        root = ElementTree.fromstring(file.read_text())
        _, _, width, height = map(float, root.attrib["viewBox"].split())
        for text in root.iter("{http://www.w3.org/2000/svg}text"):
            words, style = "".join(text.itertext()).strip(), text.attrib["style"]
            assert words
            assert not re.search(r"[$\\]", words), (file.name, words)  # no raw TeX
            size = re.search(r"font(?:-size)?: (?:\w+ )*([\d.]+)px", style)
            assert size, style
            length = ImageFont.truetype(face, 100).getlength(words) * float(size[1]) / 100
            place = re.search(r"translate\(([\d.]+) ([\d.]+)\)", text.attrib.get("transform", ""))
            x, y = place.groups() if place else (text.attrib["x"], text.attrib["y"])
            share = {"middle": 0.5, "end": 1.0}.get(anchor(style), 0.0)
            along, whole = (float(y), height) if "-90" in text.attrib.get("transform", "") else (
                float(x), width)  # fmt: skip
            start = along - share * length
            assert start >= -2, (file.name, words)
            assert start + length <= whole + 2, (file.name, words)


def anchor(style: str) -> str:
    found = re.search(r"text-anchor: (\w+)", style)
    return found[1] if found else "start"


def test_means_and_deviations_are_over_seeds(store: Store) -> None:
    (table,) = summarize(store).tables
    good = next(entry for entry in table.entries if entry.name == "good")
    values = good.values(16, "i2t", "map")
    assert len(values) == 2
    assert good.seeds == "1–2"
    assert table.compared[16, "i2t", Part("plain", True)].means["good"] == pytest.approx(
        np.mean(values), abs=1e-6
    )


def test_every_number_and_curve_is_in_the_csv_files(store: Store, written: Written) -> None:
    record = store.read("good161")
    assert record is not None
    own = {
        (line["direction"], line["figure"]): float(line["value"])
        for line in lines(written.files["figures"])
        if line["key"] == "good161"
    }
    assert own["i2t", "map"] == record.figures["i2t"]["map"]
    assert own["t2t", "map_at.10.first"] == record.figures["t2t"]["map_at"]["10"]["first"]
    assert own["", "flops.image"] == 2_000_000
    curves = [line for line in lines(written.files["curves"]) if line["key"] == "good161"]
    radius = [c for c in curves if (c["direction"], c["by"]) == ("t2i", "radius")]
    known = record.figures["t2i"]["by_radius"]
    assert [float(c["recall"]) for c in radius] == known["recall"]
    assert len(radius) == 17


def test_a_report_is_the_same_again_and_stands_alone(
    store: Store, written: Written, tmp_path: Path
) -> None:
    first, second = written.files["page"].parent, tmp_path / "again"
    write_report(store.folder, second)
    files = [path.relative_to(first) for path in sorted(first.rglob("*")) if path.is_file()]
    assert files == [p.relative_to(second) for p in sorted(second.rglob("*")) if p.is_file()]
    for path in files:
        assert (first / path).read_bytes() == (second / path).read_bytes(), path
    page = (first / "index.html").read_text()
    assert not re.search(r"(src|href)=\"(?!#|data:)", page)
    assert "<script" not in page
    assert page.count("<svg") == 12  # three curves of both directions, four of cost, two of epochs
    assert "ValueError: &lt;no&gt;" in page
    names = {path.name for path in written.files["plots"].iterdir()}
    assert {"wiki-8-pr-rank-i2t.svg", "wiki-16-pr-radius-t2i.png", "wiki-bytes.svg"} <= names
    assert {"wiki-16-precision-at-i2t.png", "wiki-time.svg", "wiki-memory.png"} <= names
    svg = (written.files["plots"] / "wiki-time.svg").read_text()
    assert svg.startswith("<svg ")
    assert not re.search(r"20\d\d-\d\d-\d\d", svg)


def test_costs_are_of_the_longest_length_that_all_have_and_bytes_have_the_ceiling(
    written: Written, tmp_path: Path
) -> None:
    both = Store(tmp_path / "both")
    for method, bits, noise in (("a", 8, 0.3), ("a", 16, 0.1), ("b", 8, 0.2)):
        run(both, method, noise, bits=bits, **kept(both))
    (table,) = summarize(both).tables
    drawn = {one.name: one for one in drawn_figures(table)}
    for kind in ("time", "memory"):
        assert drawn[f"wiki-{kind}"].told.endswith(": wiki, 8 bits")
        assert (
            drawn[f"wiki-{kind}"].figure.axes[0].get_title("left")
            == f"MAP and {kind}, wiki, 8 bits"
        )
    points = drawn["wiki-time"].figure.axes[0].get_lines()
    assert sorted(line.get_xdata()[0] for line in points) == [2.0, 3.0]  # of both at 8 bits
    hollow = [
        (line.get_xdata()[0], line.get_ydata()[0])
        for line in drawn["wiki-bytes"].figure.axes[0].get_lines()
        if line.get_markerfacecolor() == "none" and len(line.get_xdata())
    ]
    assert hollow == [(2.0, pytest.approx(0.89)), (1.0, pytest.approx(0.89))]
    # Where no length is shared, those of the most entries are drawn, and the others counted.
    label = (written.files["plots"] / "wiki-time.svg").read_text().split('aria-label="')[1]
    assert label.split('"')[0].endswith(": wiki, 16 bits")
    run(both, "c", 0.1, bits=16)
    (table,) = summarize(both).tables
    (time,) = (one for one in drawn_figures(table) if one.name == "wiki-time")
    assert time.told.endswith("wiki, 16 bits, which 1 of 3 do not have")


def test_printed_figures_stand_beside_those_that_were_measured(written: Written) -> None:
    markdown = written.files["markdown"].read_text()
    printed = markdown[markdown.index("## As printed: A Paper, Table 1") :]
    assert "Nothing is stated." in printed
    assert re.search(r"\| GOOD \(the paper's own\) \| good +\| +0\.6100 \| +0\.\d{4} \| ", printed)
    assert re.search(r"\| OTHER +\| +\| +0\.5000 \| +\| +\|", printed)


def test_what_may_not_be_compared_stands_in_another_table(store: Store) -> None:
    record = run(store, "other", 0.0)
    identity = {**record.identity, "compared": "other queries"}
    run(store, "other", 0.0, identity=identity)
    figures = json.loads(json.dumps(record.figures))
    figures["record"]["ties"] = "index"
    run(store, "third", 0.0, figures=figures)
    tables = summarize(store).tables
    assert sorted(len(table.entries) for table in tables) == [1, 1, 4]
    assert {table.name for table in tables} == {"wiki", "wiki-2", "wiki-3"}
    alone = next(table for table in tables if len(table.entries) == 1)
    assert not alone.compared  # nothing is better than all others where there are none


def test_what_draws_among_captions_is_measured_by_the_first_as_others_are(store: Store) -> None:
    for method, captions in (("one", "first"), ("many", "each"), ("all", "join")):
        record = run(store, method, 0.0)
        figures = json.loads(json.dumps(record.figures))
        figures["record"]["captions"] = captions
        run(store, method, 0.0, figures=figures)
    rows = [{entry.name for entry in table.entries} for table in summarize(store).tables]
    assert {"one", "many"} in rows
    assert {"all"} in rows


def test_nothing_is_better_than_what_it_was_not_compared_with(store: Store) -> None:
    (store.folder / "records" / "good160.npz").unlink()
    (table,) = summarize(store).tables
    ways = ("i2t", "t2i")
    known = {(8, way, Part("plain", True)) for way in ways}
    known |= {(16, way, Part("plain", False)) for way in ways}
    assert set(table.compared) == known


def test_runs_of_other_settings_are_other_rows_and_newer_code_replaces_older(store: Store) -> None:
    run(store, "good", 0.07, settings={"training.epochs": 2}, key="longer")
    newer = {"started": "2026-01-02T00:00:00+00:09", "identity": {
        "config": "c", "data": "d", "code": "f", "compared": "same"}}  # fmt: skip
    run(store, "fair", 0.2, **newer)
    summary = summarize(store)
    names = [entry.name for entry in summary.tables[0].entries]
    assert {"good (epochs=2)", "good (as configured)"} < set(names)
    named = (e for e in summary.tables[0].entries if e.name == "good (as configured)")
    assert sorted(next(named).runs) == [8, 16]  # a row has all its lengths
    assert names.count("fair") == 1
    assert summary.older == 1
    (fair,) = (e for e in summary.tables[0].entries if e.name == "fair")
    assert [record.identity["code"] for record in fair.runs[16]] == ["f"]


def test_a_length_without_a_config_of_its_own_is_of_the_same_row(store: Store) -> None:
    run(store, "long", 0.1, bits=16, name="long/wiki-16")
    run(store, "long", 0.1, bits=8, name="long/wiki-64")  # with its bits over it
    (entry,) = (e for e in summarize(store).tables[0].entries if e.name.startswith("long"))
    assert (entry.name, sorted(entry.runs)) == ("long", [8, 16])


def test_a_data_sets_name_leads_no_file_elsewhere(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    run(store, "good", 0.1, dataset="../../a b$")
    (table,) = summarize(store).tables
    assert table.name == ".._.._a_b_"
    assert table.dataset == "../../a b$"


def test_nothing_to_report_is_told(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="crosshash bench"):
        write_report(tmp_path / "none", tmp_path / "report")
    store = Store(tmp_path / "store")
    run(store, "broken", 0.1, state="failed", error="it broke", figures={})
    with pytest.raises(ValueError, match="--retry"):
        write_report(store.folder, tmp_path / "report")
    assert not (tmp_path / "report").exists()
