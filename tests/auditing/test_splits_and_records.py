"""Splits that share pairs, and reports that mix epochs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from crosshash.auditing.figures import check_shuffled, check_ties, cut_in_a_tie, measure
from crosshash.auditing.records import check_database, check_epochs, read_report
from crosshash.auditing.splits import check_content, check_splits
from crosshash.data.dataset import PairedDataset
from crosshash.data.protocol import Protocol
from crosshash.retrieval.histogram import Comparison
from crosshash.retrieval.metrics import mean_average_precision


def test_queries_that_were_trained_on_are_found(pairs: PairedDataset) -> None:
    leaky = Protocol("shuffled", np.arange(60), np.arange(60, 240), np.arange(6, 240))
    found = check_splits(pairs, leaky)
    assert [one.found for one in found] == [
        "54 of 60 query pairs are in the train set too ('pair-6', 'pair-7', 'pair-8', …)"
    ]
    twice = Protocol("twice", np.arange(60), np.r_[60:240, 60], np.arange(60, 240))
    assert "1 of 181 pairs of the retrieval set" in check_splits(pairs, twice)[0].found


def test_copies_under_other_ids_are_found(pairs: PairedDataset, split: Protocol) -> None:
    def copied(images: bool, texts: bool, count: int) -> list[Any]:
        parts = {"images": np.array(pairs.images), "texts": np.array(pairs.texts)}
        for side, wanted in (("images", images), ("texts", texts)):
            if wanted:
                parts[side][:count] = parts[side][100 : 100 + count]
        images_, texts_ = parts["images"], parts["texts"]
        other = PairedDataset(name="copied", ids=pairs.ids, images=images_, texts=texts_)
        return [(one.level, one.found.split(" have ")[0]) for one in check_content(other, split)]

    assert copied(False, False, 3) == []
    assert copied(True, True, 1)[0] == ("fault", "1 of 60 queries")
    assert copied(True, False, 3) == [("fault", "3 of 60 queries")]
    assert copied(False, True, 3) == [("note", "3 of 60 queries")]


@pytest.mark.parametrize(
    "report",
    [
        {"i2t": {"map": 0.7, "epoch": 31}, "t2i": {"map": 0.8, "epoch": 44}},
        {"best_epoch_i2t": 31, "best_epoch_t2i": 44},
        {"best": {"image_to_text": {"best_epoch": 3}, "text_to_image": {"best_epoch": 4}}},
    ],
)
def test_directions_of_different_epochs_are_found(report: dict[str, Any]) -> None:
    (found,) = check_epochs(report)
    assert found.check == "epochs"
    assert "i2t of epoch" in found.found
    assert not check_epochs(json.loads(json.dumps(report).replace("44", "31").replace("4}", "3}")))


def test_best_epochs_of_a_history_are_told_from_one_epoch() -> None:
    history = [
        {"epoch": epoch, "map_i2t": i2t, "map_t2i": t2i}
        for epoch, i2t, t2i in ((1, 0.5, 0.4), (2, 0.7, 0.6), (3, 0.6, 0.8))
    ]
    (found,) = check_epochs({"map_i2t": 0.7, "map_t2i": 0.8}, history)
    assert "i2t of epoch 2 and t2i of epoch 3" in found.found
    assert not check_epochs({"map_i2t": 0.6, "map_t2i": 0.8}, history)
    assert not check_epochs({"map_i2t": 0.71, "map_t2i": 0.81}, history)  # of other pairs


def test_the_database_must_be_named() -> None:
    assert check_database({"map_i2t": 0.7})[0].level == "fault"
    assert check_database({"record": {"database": "learned"}})[0].level == "note"
    assert not check_database({"record": {"database": "encoded"}})


def test_a_report_is_read_from_a_run_and_from_json(tmp_path: Path) -> None:
    (tmp_path / "checkpoint").mkdir()
    figures = {"map_i2t": 0.5, "record": {"database": "encoded"}}
    (tmp_path / "checkpoint" / "info.json").write_text(json.dumps({"figures": figures}))
    (tmp_path / "history.jsonl").write_text('{"epoch": 1, "map_i2t": 0.4}\n{"epoch": 2}\n')
    assert read_report(tmp_path) == (figures, [{"epoch": 1, "map_i2t": 0.4}, {"epoch": 2}])
    file = tmp_path / "report.json"
    file.write_text(json.dumps({**figures, "history": [{"epoch": 1}]}))
    assert read_report(file) == (figures, [{"epoch": 1}])
    file.write_text("[1, 2]")
    with pytest.raises(ValueError, match="expected a JSON object, got list"):
        read_report(file)
    file.write_text('{"history": 3}')
    with pytest.raises(ValueError, match="history is a list"):
        read_report(file)


def _setting(count: int = 200) -> tuple[Any, Any, Any, Any]:
    draw = np.random.default_rng(0)
    labels = np.eye(4, dtype=np.uint8)[draw.integers(0, 4, count)]
    codes = np.where(labels @ draw.normal(size=(4, 8)) >= 0, 1, -1)
    from crosshash.codes import pack

    packed = pack(codes)
    return (packed[:50],) * 2, (packed[50:],) * 2, labels[:50], labels[50:]


def test_a_measure_that_knows_more_than_codes_is_not_at_chance() -> None:
    setting = _setting()
    assert not check_shuffled(*setting)

    def best_of_ties(*given: Any) -> float:
        return mean_average_precision(*given, ties="best")

    found = check_shuffled(*setting, map_of=best_of_ties)
    assert {one.check for one in found} == {"shuffled labels"}


def test_ties_are_told_with_their_share_of_cut_queries() -> None:
    setting = _setting()
    figures = measure(*setting, topk=10)
    told = {one.found.split(" is ")[0] for one in check_ties(figures)}
    apart = figures["i2t"]["map"]["best"] - figures["i2t"]["map"]["worst"]
    assert ("MAP i2t" in told) == (apart > 0.02)
    assert figures["i2t"]["cut_in_a_tie"] == 1  # some 40 items have a query's own code
    query = np.ones((1, 8), dtype=int)
    items = np.array([[-1] * d + [1] * (8 - d) for d in (0, 1, 1, 2)])
    histogram = Comparison(query, items, [[1, 0]], [[1, 0], [0, 1], [1, 0], [0, 1]]).histogram()
    assert [cut_in_a_tie(histogram, k) for k in (1, 2, 3, 9)] == [0, 1, 0, 0]
