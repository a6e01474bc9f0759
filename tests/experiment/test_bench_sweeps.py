"""Sweeps of suites: one setting at a time, the configured value once, and their figures."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from crosshash.config import ConfigError, read_config
from crosshash.experiment.bench.bench import plan_suites, run_suites
from crosshash.experiment.bench.cases import Choice, expand
from crosshash.experiment.bench.record import Record, Store
from crosshash.experiment.bench.report import Written, write_report
from crosshash.experiment.bench.report_sweeps import drawn_sweeps, find_sweeps, sweep_rows
from crosshash.experiment.bench.suite import read_suite
from crosshash.experiment.bench.summary import summarize
from crosshash.experiment.bench.sweeps import Swept

ETAS = {"tenth": 0.1, "one": 1.0, "twenty": 20.0}


def written_suite(folder: Path, *blocks: dict[str, Any], **more: Any) -> Path:
    path = folder / "suite.yaml"
    path.write_text(
        yaml.safe_dump({"title": "swept", "runs": list(blocks), **more}, sort_keys=False)
    )
    return path


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Store]:
    """A suite with a plain run and two sweeps, and its store after it was run."""
    folder = tmp_path_factory.mktemp("sweeps")
    random = np.random.default_rng(0)
    classes = random.integers(0, 3, 60)
    for name in ("images", "texts"):
        noisy = random.normal(size=(3, 16))[classes] + random.normal(size=(60, 16))
        np.save(folder / f"{name}.npy", noisy.astype(np.float32))
    np.save(folder / "labels.npy", np.eye(3, dtype=np.uint8)[classes])
    config = {
        "method": "dcmh",
        "bits": 8,
        "backbones": "features",
        "text": "features",
        "network": {"image_hidden": [8], "text_hidden": [8]},
        "data": {"name": "features", "root": str(folder), "options": {"query": 20, "train": 30}},
        "training": {"epochs": 1, "batch_size": 16, "device": "cpu"},
    }
    (folder / "mine.yaml").write_text(yaml.safe_dump(config))
    block: dict[str, Any] = {"configs": ["mine.yaml"], "seeds": [0, 1]}
    printed = {
        "source": "A Paper",
        "data": ["features"],
        "bits": [8],
        "map_i2t": {"tenth": [[0.5]], "one": [[0.6]], "other": [[0.4]]},
    }
    path = written_suite(
        folder,
        {**block, "sweep": {"algorithm.eta": ETAS, "training.batch_size": [8, 16]}},
        block,
        printed=[printed],
    )
    store = Store(folder / "store")
    run_suites([path], store.folder)
    return path, store


@pytest.fixture(scope="module")
def written(ran: tuple[Path, Store], tmp_path_factory: pytest.TempPathFactory) -> Written:
    return write_report(ran[1].folder, tmp_path_factory.mktemp("report"))


def test_each_key_has_each_value_while_the_others_stay(tmp_path: Path) -> None:
    path = written_suite(
        tmp_path,
        {
            "methods": ["amgfh"],
            "data": ["wiki"],
            "bits": [16],
            "label": "mine",
            "overrides": {"training.epochs": 2},
            "sweep": {"algorithm.dis": [10.0, 50.0], "algorithm.adv": {"none": 0.0, "much": 1.0}},
        },
    )
    cases = expand(path)
    assert [case.row for case in cases] == [
        f"amgfh, mine, {name}" for name in ("dis=10.0", "dis=50.0", "none", "much")
    ]
    own = read_config("amgfh/wiki-16").algorithm
    assert [(c.config.algorithm["dis"], c.config.algorithm["adv"]) for c in cases] == [
        (10.0, own["adv"]), (50.0, own["adv"]), (own["dis"], 0.0), (own["dis"], 1.0),
    ]  # fmt: skip
    assert cases[0].settings.items() >= {"training.epochs": 2, "algorithm.dis": 10.0}.items()
    assert cases[2].sweep == Swept(
        key="algorithm.adv", value=0.0, name="none", own=own["adv"], own_name=f"adv={own['adv']}"
    )
    # A command's settings are over every config, but what is swept stays swept.
    chosen = expand(path, Choice(overrides=["algorithm.dis=3.0"]))
    assert [case.config.algorithm["dis"] for case in chosen] == [10.0, 50.0, 3.0, 3.0]


def test_the_configured_value_is_the_plain_run(tmp_path: Path) -> None:
    block = {"methods": ["dmsfh"], "data": ["wiki"], "bits": [32]}
    keys = {"algorithm.label": [0.5, 1.0], "training.weight_decay": [0.001, 0.01]}
    cases = expand(written_suite(tmp_path, {**block, "sweep": keys}, block))
    plain = read_config("dmsfh/wiki-32")
    assert "label" not in plain.algorithm  # 1 by default
    assert [case.config for case in cases if case.sweep is None] == [plain]
    assert [case.label for case in cases] == ["label=0.5", "", "weight_decay=0.01"]
    swept = cases[0].sweep
    assert swept is not None
    assert (swept.own, swept.own_name) == (1.0, "label=1.0")


def test_table_6_keeps_the_names_of_its_printed_rows() -> None:
    (printed,) = read_suite("amgfh-table-6").printed
    cases = expand("amgfh-table-6")
    swept = [case.sweep for case in cases if case.sweep is not None]
    assert {*(one.name for one in swept), *(one.own_name for one in swept)} == set(printed.map_i2t)
    assert len(cases) == 13  # the paper's own weights are one run
    assert {one.own_name for one in swept} == {"DIS 1", "REG 0.001", "ADV 0.01"}


@pytest.mark.parametrize(
    ("sweep", "told"),
    [
        ({"algorithm.dis": [1.0]}, "at least two values"),
        ({"algorithm.dis": [1.0, 2.0, 1]}, "all different"),
        ({"algorithm.dis": {"a": 1.0, "b": 1.0}}, "all different"),
        ({"algorithm.dis": [1, "1"]}, "all different"),
        ({"algorithm.dis": 1.0}, "valid list"),
        ({"bits": [16, 32]}, "list these as bits of the block"),
        ({"data.name": ["wiki", "coco"]}, "list these as data of the block"),
    ],
)
def test_a_wrong_sweep_is_told_what_is_wrong(
    tmp_path: Path, sweep: dict[str, Any], told: str
) -> None:
    block = {"methods": ["amgfh"], "data": ["wiki"], "bits": [16], "sweep": sweep}
    with pytest.raises(ConfigError, match=told):
        read_suite(written_suite(tmp_path, block))


def test_a_key_that_no_config_has_is_named(tmp_path: Path) -> None:
    block: dict[str, Any] = {"methods": ["amgfh"], "data": ["wiki"], "bits": [16]}
    path = written_suite(tmp_path, {**block, "sweep": {"training.epoch": [1, 2]}})
    with pytest.raises(ConfigError, match=r"amgfh/wiki-16, sweep of training\.epoch:\n.*'epochs'"):
        expand(path)
    path = written_suite(tmp_path, {**block, "sweep": {"algorithm.diss": [1.0, 2.0]}})
    with pytest.raises(ConfigError, match=r"diss.*'dis'"):
        plan_suites([path], tmp_path / "store")


def test_a_run_of_a_sweep_says_which_key_it_is_of(ran: tuple[Path, Store]) -> None:
    path, store = ran
    records = store.all()
    # Three values of one key and two of another share the configured one: two seeds each.
    assert len(records) == len(plan_suites([path], store.folder)) == 2 * (3 + 2 - 1)
    assert sum(record.sweep is None for record in records) == 2
    named = {record.sweep.name: record.sweep.key for record in records if record.sweep is not None}
    assert named == {
        "tenth": "algorithm.eta", "twenty": "algorithm.eta", "batch_size=8": "training.batch_size",
    }  # fmt: skip
    old = Record.model_validate({k: v for k, v in records[0].model_dump().items() if k != "sweep"})
    assert old.sweep is None  # as of a store from before there were any


def test_sweeps_are_found_in_the_records_alone(ran: tuple[Path, Store]) -> None:
    sweeps = find_sweeps(ran[1].all())
    assert [(sweep.row, sweep.key) for sweep in sweeps] == [
        ("dcmh", "algorithm.eta"), ("dcmh", "training.batch_size"),
    ]  # fmt: skip
    assert [(p.name, p.value, p.own, p.entry.seeds) for p in sweeps[0].points] == [
        ("tenth", 0.1, False, "2"), ("one", 1.0, True, "2"), ("twenty", 20.0, False, "2"),
    ]  # fmt: skip
    assert [(point.value, point.own) for point in sweeps[1].points] == [(8, False), (16, True)]
    for row in sweep_rows(sweeps):
        assert re.fullmatch(r"0\.\d{3} ± 0\.\d{3}", row["image → text"])


def test_runs_that_differ_in_more_or_were_measured_otherwise_are_no_part_of_a_sweep(
    ran: tuple[Path, Store],
) -> None:
    records = ran[1].all()
    (plain, _) = (record for record in records if record.sweep is None)
    swept = [record for record in records if record.sweep is not None]
    longer = {**plain.config, "training": {**plain.config["training"], "epochs": 9}}
    ties = {**plain.figures, "record": {**plain.figures["record"], "ties": "index"}}
    for other in ({"config": longer}, {"figures": ties}):
        sweeps = find_sweeps([*swept, plain.model_copy(update=other)])
        assert not any(point.own for sweep in sweeps for point in sweep.points)
    # With a single value nothing is drawn, but the table has it.
    batch = [r for r in swept if r.sweep is not None and r.sweep.key == "training.batch_size"]
    assert list(drawn_sweeps(find_sweeps(batch))) == []
    assert [row["value"] for row in sweep_rows(find_sweeps(batch))] == ["8"]


def test_sweeps_have_a_section_and_no_rows_among_the_methods(
    ran: tuple[Path, Store], written: Written
) -> None:
    (table,) = summarize(ran[1]).tables
    assert [entry.name for entry in table.entries] == ["dcmh"]
    assert written.runs == 8
    plots = {path.name for path in written.files["plots"].iterdir()}
    eta = "sweep-features-8-dcmh-algorithm.eta"
    assert {f"{eta}.svg", f"{eta}.png", "sweep-features-8-dcmh-training.batch_size.svg"} <= plots
    page = written.files["page"].read_text()
    section = page[page.index("<h2>Sensitivity") : page.index("<h2>As printed")]
    assert section.count("<svg") == 2
    assert section.count("<td>yes</td>") == 2  # the configured value of each key
    assert "tenth" not in page[: page.index("<h2>Sensitivity")]
    markdown = written.files["markdown"].read_text()
    assert "## Sensitivity" in markdown
    printed = markdown[markdown.index("## As printed") :]
    assert re.search(r"\| tenth +\| dcmh, tenth +\| +0\.500 \| 0\.\d{3} ± ", printed)
    assert re.search(r"\| one +\| dcmh, one +\| +0\.600 \| 0\.\d{3} ± ", printed)
    assert "twenty" not in printed  # the paper has no such row
    assert "dcmh, tenth" in written.files["figures"].read_text()


def test_a_store_of_sweeps_alone_has_a_report(ran: tuple[Path, Store], tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    for record in ran[1].all():
        if record.sweep is not None:
            store.write(record, {})
    written = write_report(store.folder, tmp_path / "report")
    assert written.runs == 6
    assert "6 runs on features" in written.files["page"].read_text()


def test_an_axis_is_logarithmic_beyond_two_decades_and_the_configured_value_is_marked(
    ran: tuple[Path, Store],
) -> None:
    eta, batch = find_sweeps(ran[1].all())
    figures = [drawn.figure for drawn in drawn_sweeps([eta, batch])]
    assert [figure.axes[0].get_xscale() for figure in figures] == ["log", "linear"]
    axes: Any = figures[0].axes[0]
    assert [label.get_text() for label in axes.get_xticklabels()] == ["0.1", "1", "20"]
    assert axes.get_legend_handles_labels()[1] == ["configured", "image → text", "text → image"]
    drawn = [bars.lines[0] for bars in axes.containers]
    assert len({line.get_marker() for line in drawn}) == 2  # told apart in grey
    assert all(bars.has_yerr for bars in axes.containers)
    (marked,) = (line for line in axes.get_lines() if line.get_label() == "configured")
    assert list(marked.get_xdata()) == [1.0, 1.0]
    # Values that are no numbers stand side by side under their names.
    words = [
        record.model_copy(update={"sweep": record.sweep.model_copy(update={"value": text})})
        for record in ran[1].all()
        if record.sweep is not None and (text := {0.1: "low", 20.0: "high"}.get(record.sweep.value))
    ]
    (drawn_words,) = drawn_sweeps(find_sweeps(words))
    labels = drawn_words.figure.axes[0].get_xticklabels()
    assert [label.get_text() for label in labels] == ["high", "low"]
