"""MAP by asymmetric distance, from the config to the checkpoint's figures and what is printed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

import crosshash
from crosshash.cli import app
from crosshash.cli.output import headline
from crosshash.config import read_config
from crosshash.experiment.run import train
from crosshash.retrieval import evaluate_codes

FROZEN = {"image": {"name": "test_resnet", "options": {"weights": "random", "image_size": 32}}}
SMALL = {
    "bits": 16,
    "text.options": {"size": 30},
    "nested": {8: {}},
    "backbones": FROZEN,
    "network": {"image_hidden": [16], "text_hidden": [16]},
    "data": {"validation": 10, "options": {"n": 90, "size": 32, "query": 20, "train": 40}},
    "training": {"epochs": 4, "batch_size": 8, "device": "cpu"},
    "evaluation": {"asymmetric": True, "database": "both"},
}
WAYS = ("i2t", "t2i", "i2i", "t2t")


@pytest.mark.parametrize("ties", ["expected", "index"])
def test_it_is_measured_where_asked_for_beside_figures_that_stay(tmp_path: Path, ties: str) -> None:
    config = read_config("dmsfh/shapes-64", {**SMALL, "evaluation.ties": ties})
    result = train(config, tmp_path, progress=False)
    report, model, found = result.report, result.model, result.codes()["retrieval"]
    asked = result.dataset.select(result.protocol.query)
    labels = asked.labels, result.dataset.labels[result.protocol.retrieval]
    images = model.encode_image(asked.images, output="real", progress=False)
    texts = model.encode_text(asked.captions("first"), output="real", unknown="allow")
    for bits, figures in {16: report, 8: report.nested[8]}.items():
        searched = (found.images[:, : bits // 8], found.texts[:, : bits // 8])
        pairs = {
            "i2t": (images, searched[1]),
            "t2i": (texts, searched[0]),
            "i2i": (images, searched[0]),
            "t2t": (texts, searched[1]),
        }
        for way, (query, items) in pairs.items():
            one = evaluate_codes(query[:, :bits], items, *labels, ties=ties, asymmetric=True)
            measured = getattr(figures, way)
            assert measured.map_asymmetric == pytest.approx(one.map_asymmetric, abs=1e-9)
    assert any(abs(getattr(report, w).map_asymmetric - getattr(report, w).map) > 1e-4 for w in WAYS)
    assert report.learned is not None
    assert report.learned.i2t.map_asymmetric not in (None, report.i2t.map_asymmetric)

    told = headline(report)
    names = {f"map_asymmetric_{way}": getattr(report, way).map_asymmetric for way in WAYS}
    assert {name: told[name] for name in names} == names
    kept = json.loads((tmp_path / "checkpoint" / "info.json").read_text())["figures"]
    assert [kept[way]["map_asymmetric"] for way in WAYS] == list(names.values())

    plain = crosshash.evaluate(
        tmp_path / "checkpoint", overrides={"evaluation.asymmetric": False}, progress=False
    )
    assert "map_asymmetric" not in json.dumps([plain.as_dict(), headline(plain)])
    expected = report.as_dict()
    del expected["learned"]
    for figures in (expected, expected["nested"]["8"]):
        for way in WAYS:
            del figures[way]["map_asymmetric"]
    assert plain.as_dict() == expected


def test_the_command_prints_it_below_the_other() -> None:
    command = ["evaluate", "amgfh-shapes-64", "data.options.n=60", "--quiet"]
    plain, both = (
        CliRunner().invoke(app, [*command, *more]).stdout
        for more in ([], ["evaluation.asymmetric=true"])
    )
    assert "The same by asymmetric distance" not in plain
    above, _, below = both.partition("The same by asymmetric distance")
    assert "image → text" in above
    assert "image → text" in below
    assert above == plain[: len(above)]
