"""Nested lengths from the config to the checkpoint and its figures."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import crosshash
from crosshash.algorithms.nested import Nested
from crosshash.cli.output import headline
from crosshash.config import ConfigError, ExperimentConfig, bundled, read_config
from crosshash.experiment.assembly import assemble, check_parts
from crosshash.experiment.dry_run import plan
from crosshash.experiment.run import train
from crosshash.hub.about import about
from crosshash.hub.manifest import measured
from crosshash.methods.build import METHODS
from crosshash.methods.dmsfh import DMSFH
from crosshash.retrieval.metrics import mean_average_precision

FROZEN = {"image": {"name": "test_resnet", "options": {"weights": "random", "image_size": 32}}}
SMALL: dict[str, Any] = {
    "bits": 24,
    "nested": {8: {"scale": 0.7}, 16: {}},
    "backbones": FROZEN,
    "text.options": {"size": 500},
    "network": {"image_hidden": [16], "text_hidden": [16]},
    "data": {
        "validation": 10,
        "refit": True,
        "options": {"n": 90, "size": 32, "query": 20, "train": 40},
    },
    "training": {"epochs": 2, "batch_size": 8, "device": "cpu"},
}


def small(**overrides: Any) -> ExperimentConfig:
    return read_config("dmsfh/shapes-64", {**SMALL, **overrides})


def test_a_nested_model_is_trained_measured_and_loaded_at_every_length(tmp_path: Path) -> None:
    result = train(small(), tmp_path, progress=False)
    report, codes, labels = result.report, result.codes(), result.dataset.labels
    assert list(report.nested) == [8, 16]
    both = labels[result.protocol.query], labels[result.protocol.retrieval]
    for bits, shorter in report.nested.items():
        query, found = codes["query"].images, codes["retrieval"].texts
        first = slice(bits // 8)
        assert shorter.i2t.map == mean_average_precision(query[:, first], found[:, first], *both)
        assert shorter.record.bits == shorter.i2t.bits == bits
    assert (report.record.bits, report.i2t.bits) == (24, 24)
    assert len(result.refit) > 0

    told = headline(report)["nested"]
    assert {k: found["map_mean"] for k, found in told.items()} == {
        str(k): r.map_mean for k, r in report.nested.items()
    }
    folder = tmp_path / "checkpoint"
    figures = json.loads((folder / "info.json").read_text())["figures"]
    assert figures["nested"]["8"]["map_mean"] == report.nested[8].map_mean
    manifest = measured(figures, 0, "a command")
    assert manifest.nested == {k: round(r.map_mean, 4) for k, r in report.nested.items()}
    assert "The first 8 and 16 bits are codes by themselves" in (folder / "README.md").read_text()
    assert about(folder)["nested"] == [8, 16]

    model = crosshash.load(folder)
    assert model.lengths == (8, 16, 24)
    query = result.dataset.select(result.protocol.query)
    np.testing.assert_array_equal(
        model.encode_image(query.images, bits=16), codes["query"].images[:, :2]
    )
    again = crosshash.evaluate(folder, progress=False)
    assert again.nested[8].t2i.map == report.nested[8].t2i.map


def test_each_length_has_the_settings_of_its_own_over_those_of_all() -> None:
    settings = {"algorithm.scale": 0.3, "algorithm.beta": 2.0, "nested.16.weight": 4}
    made = assemble(small(**settings))
    algorithm = made.algorithm()
    assert isinstance(algorithm, Nested)
    assert {bits: part.scale for bits, part in algorithm.parts.items()} == {
        8: 0.7,
        16: 0.3,
        24: 0.3,
    }
    assert {part.beta for part in algorithm.parts.values()} == {2.0}
    assert algorithm.weights == {8: 1.0, 16: 4, 24: 1.0}
    assert made.model.describe()["nested"] == [8, 16]


def test_a_model_of_one_length_is_described_as_before(tmp_path: Path) -> None:
    made = assemble(small(nested=[]))
    assert "nested" not in made.model.describe()
    assert type(made.algorithm()) is DMSFH


def test_a_plan_tells_the_lengths(tmp_path: Path) -> None:
    found = plan(small(), tmp_path)
    assert found.nested == [8, 16]
    assert {"what": "nested", "value": "8 bits, 16 bits"} in found.rows()


def test_a_nested_training_starts_from_a_model_of_one_length(tmp_path: Path) -> None:
    once = {"data.refit": False, "data.validation": 0, "training.epochs": 1}
    first = train(small(nested=[], **once), tmp_path / "one", progress=False)
    made = assemble(small(), first.model)
    own, given = made.model.state_dict(), first.model.state_dict()
    assert all((own[name] == value).all() for name, value in given.items())


def test_what_cannot_be_nested_is_refused_before_data_is_read(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Solved(DMSFH):
        trains = "nothing"

    with pytest.raises(ConfigError, match=r"(?s)nested\.8.*did you mean 'scale'"):
        check_parts(small(nested={8: {"scal": 1.0}}))
    monkeypatch.setitem(METHODS._entries, "solved", Solved)
    with pytest.raises(ConfigError, match="nested: solved solves all in closed form"):
        check_parts(small(method="solved"))


RECIPES = sorted(
    path.relative_to(bundled("configs")).with_suffix("").as_posix()
    for path in bundled("configs").glob("*/*-nested.yaml")
)


# Its terms of no one length are once in the sum; benchmarks/RESULTS.md, "Nested codes".
OF_ITS_OWN = "dnph/flickr8k-nested"


@pytest.mark.parametrize("name", [name for name in RECIPES if name != OF_ITS_OWN])
def test_a_nested_recipe_has_for_each_length_what_that_length_has_alone(name: str) -> None:
    nested = read_config(name)
    assert (*nested.nested, nested.bits) == (16, 32, 64)
    for bits in (16, 32, 64):
        alone = read_config(f"{name.removesuffix('-nested')}-{bits}")
        own = {**nested.algorithm, **nested.nested.get(bits, {})}
        own.pop("weight", None)  # in the sum of the lengths
        assert own == alone.algorithm
        if bits == 64:
            assert nested.model_copy(update={"nested": {}}) == alone


def test_every_method_that_learns_by_gradient_has_nested_recipes() -> None:
    methods = {path.parent.name for path in bundled("configs").glob("*/wiki-64.yaml")}
    learning = {method for method in methods if METHODS[method].trains != "nothing"}
    for data in ("wiki", "flickr8k"):
        assert {f"{method}/{data}-nested" for method in learning} <= set(RECIPES)
