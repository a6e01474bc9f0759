"""Pairs that training did not see turn a model's distances into probabilities, which it keeps."""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import crosshash
from crosshash.cli.output import headline
from crosshash.config import ExperimentConfig, override_config, read_config
from crosshash.experiment.calibration import calibrate, calibrate_rows
from crosshash.experiment.dry_run import plan
from crosshash.experiment.run import Result, train
from crosshash.model.digest import model_digest
from crosshash.retrieval.calibration import KEY, Calibration, calibration_of

FROZEN = {"image": {"name": "test_resnet", "options": {"weights": "random", "image_size": 32}}}
SMALL: dict[str, Any] = {
    "bits": 16,
    "nested": {8: {}},
    "backbones": FROZEN,
    "text.options": {"size": 30},
    "network": {"image_hidden": [16], "text_hidden": [16]},
    "data": {"validation": 12, "options": {"n": 90, "size": 32, "query": 20, "train": 40}},
    "training": {"epochs": 3, "batch_size": 8, "device": "cpu"},
}


def small(**overrides: object) -> ExperimentConfig:
    return override_config(read_config("dmsfh/shapes-64", SMALL), overrides)


def known(result: Result) -> Calibration:
    found = calibration_of(result.model)
    assert found is not None
    return found


def without(found: Calibration) -> dict[str, Any]:
    return {key: value for key, value in found.as_dict().items() if key != "refit"}


@pytest.fixture(scope="module")
def refit(tmp_path_factory: pytest.TempPathFactory) -> Result:
    folder = tmp_path_factory.mktemp("refit")
    return train(small(**{"data.refit": True}), folder, progress=False)


def test_the_first_training_calibrates_and_the_second_keeps_it(
    refit: Result, tmp_path: Path
) -> None:
    found = known(refit)
    assert (found.relevance, found.items, found.refit) == ("labels", 12, True)
    assert {bits: set(ways) for bits, ways in found.tables.items()} == {
        bits: {"i2t", "t2i", "i2i", "t2t"} for bits in ("8", "16")
    }
    first = train(small(), tmp_path, progress=False)
    assert not known(first).refit
    assert without(known(first)) == without(found)
    # The model that was trained on these pairs too would say another thing of them.
    selection = refit.protocol.with_validation(12, refit.config.seed)
    seen = calibrate_rows(refit.model, refit.inputs, selection.query)
    assert seen is not None
    assert without(seen) != without(found)
    again = calibrate_rows(first.model, first.inputs, selection.query)
    assert again == known(first)


def test_it_is_stored_with_the_model_whose_digest_it_leaves(refit: Result, tmp_path: Path) -> None:
    loaded = crosshash.load(refit.folder)
    assert calibration_of(loaded) == known(refit)
    before = model_digest(loaded)
    crosshash.save(loaded, tmp_path / "again")
    assert calibration_of(crosshash.load(tmp_path / "again")) == known(refit)
    del loaded.info.figures[KEY]
    assert model_digest(loaded) == before
    crosshash.save(loaded, tmp_path / "plain")
    assert calibration_of(crosshash.load(tmp_path / "plain")) is None


def test_its_error_on_the_queries_is_measured_and_told(refit: Result) -> None:
    report = refit.report
    assert report is not None
    assert set(report.calibration_error) == {"searched", "unseen"}
    assert set(report.calibration_error["unseen"]) == {"i2t", "t2i", "i2i", "t2t"}
    assert report.nested[8].calibration_error != report.calibration_error
    assert headline(report)["calibration_error"] == report.calibration_error
    again = crosshash.evaluate(refit.folder, progress=False)
    assert again.as_dict() == report.as_dict()
    stored = json.loads((refit.folder / "info.json").read_text())["figures"]
    assert stored["calibration_error"] == report.calibration_error
    card = (refit.folder / "README.md").read_text()
    assert "learned from 12 held-out pairs, before it trained on these too" in card
    for items, ways in report.calibration_error.items():
        assert f"| {items} | text → image | {ways['t2i']['hamming']:.3f} |" in card


def test_pairs_may_be_left_out_for_it_alone(tmp_path: Path) -> None:
    config = small(**{"data.calibration": 10, "data.refit": True})
    result = train(config, tmp_path / "run", progress=False)
    protocol = result.protocol
    assert protocol.calibration is not None
    assert (len(protocol.calibration), len(protocol.train)) == (10, 30)
    assert not np.isin(protocol.calibration, protocol.train).any()
    assert np.isin(protocol.calibration, protocol.retrieval).all()
    assert result.training["pairs"] == 30
    found = known(result)
    # By the model that is kept, which has not seen them.
    assert (found.items, found.refit) == (10, False)
    assert calibrate_rows(result.model, result.inputs, protocol.calibration) == found
    assert result.report.record.counts["calibration"] == 10
    again = crosshash.evaluate(result.folder, progress=False)
    assert again.as_dict() == result.report.as_dict()
    assert plan(config, tmp_path / "other").pairs["calibration"] == 10
    with pytest.raises(ValueError, match="cannot leave 40 of 40"):
        plan(small(**{"data.calibration": 40}), tmp_path / "other")


def test_nothing_held_out_or_too_little_gives_none(tmp_path: Path) -> None:
    for number in (0, 9):
        config = small(**{"data.validation": number, "training.epochs": 1})
        result = train(config, tmp_path / str(number), progress=False)
        assert calibration_of(result.model) is None
        assert result.report.calibration_error == {}
        assert "calibration_error" not in result.report.as_dict()
        assert "Probabilities" not in (result.folder / "README.md").read_text()


def test_without_labels_it_is_of_partners() -> None:
    rng = np.random.default_rng(0)
    topics = rng.normal(size=(200, 8))
    images, texts = topics @ rng.normal(size=(8, 32)), topics @ rng.normal(size=(8, 24))
    model = crosshash.fit(images, texts, bits=16, epochs=2, progress=False)
    found = calibration_of(model)
    assert found is not None
    assert (found.relevance, found.items, found.refit) == ("pairs", 20, True)
    assert set(found.tables["16"]) == {"i2t", "t2i"}
    one_kind = crosshash.fit(images, bits=16, epochs=2, progress=False)
    assert calibration_of(one_kind) is None


def test_pairs_of_ones_own_calibrate_a_finished_model(tmp_path: Path) -> None:
    model = crosshash.load("amgfh-shapes-64")
    del model.info.figures[KEY]  # as one that was trained without held-out pairs
    assert calibration_of(model) is None
    pairs, _ = crosshash.load_dataset("shapes", n=40, seed=9)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = calibrate(model, pairs.images, pairs.captions(), pairs.labels)
    assert found == calibration_of(model)
    crosshash.save(model, tmp_path / "model")
    assert calibration_of(crosshash.load(tmp_path / "model")) == found
    # It was never measured: the card has no figures of it.
    report = crosshash.evaluate(model, overrides=["data.options.n=60"], progress=False)
    assert report.calibration_error["searched"]["t2i"]["hamming"] < 0.3
    few = pairs.select(np.arange(9))
    with pytest.raises(ValueError, match=r"9 pairs without labels .* give 10 or more"):
        calibrate(model, few.images, few.captions())
