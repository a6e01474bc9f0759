"""What a record keeps for figures: losses by epoch, MAP before the sign, and what texts found."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from PIL import Image as PILImage

from crosshash.algorithms.phases import Update
from crosshash.codes import sign
from crosshash.data.dataset import PairedDataset
from crosshash.data.model_inputs import encode_pairs
from crosshash.data.protocol import Protocol
from crosshash.experiment.bench import running
from crosshash.experiment.bench.bench import run_suites
from crosshash.experiment.bench.cases import Choice
from crosshash.experiment.bench.ceiling import cosine_precision
from crosshash.experiment.bench.hits import text_queries
from crosshash.experiment.bench.record import Record, Store
from crosshash.retrieval.metrics import average_precision

SMALL = ["data.options={n: 48, size: 32, query: 9, train: 32}", "training.epochs=2"]


def ran(folder: Path, methods: list[str], *more: str) -> list[Record]:
    """Records of drawn scenes."""
    choice = Choice(["shapes"], methods=methods, overrides=[*SMALL, *more])
    done = run_suites(["quick"], folder, choice=choice)
    found = [one.record for one in done if one.record is not None]
    assert [record.error for record in found] == [""] * len(methods)
    return found


@pytest.mark.parametrize("method", ["dcmh", "amgfh"])
def test_totals_of_epochs_are_what_was_minimised(
    method: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    minimised: list[float] = []
    real = Update.total

    def watched(self: Update, terms: Any) -> Any:
        total = real(self, terms)
        minimised.append(float(total.detach()))
        return total

    monkeypatch.setattr(Update, "total", watched)
    (record,) = ran(tmp_path, [method], "training.batch_size=8")
    assert [epoch.epoch for epoch in record.history] == [1, 2]
    assert record.selection == []
    half = len(minimised) // 2
    for epoch, seen in zip(record.history, (minimised[:half], minimised[half:]), strict=True):
        # 4 batches, each met by every update.
        assert sum(epoch.totals.values()) == pytest.approx(sum(seen) / 4, rel=1e-4)
        assert epoch.validation == {}
    names = {"dcmh": {"image", "text"}, "amgfh": {"hash"}}
    assert set(record.history[0].totals) == names[method]
    assert any(name.endswith("inter" if method == "dcmh" else "sim") for name in epoch.terms)


def test_a_second_training_has_its_own_history(tmp_path: Path) -> None:
    (record,) = ran(tmp_path, ["ucch"], "data.validation=6", "data.refit=true")
    assert {"map_i2t", "map_t2i", "map_mean"} == set(record.selection[-1].validation)
    assert record.history[-1].validation == {}
    assert record.history[-1].epoch == record.figures["record"]["training"]["best_epoch"]
    assert set(record.history[0].totals) == {"hash"}
    assert record.history[0].terms != record.selection[0].terms


def test_what_is_solved_in_closed_form_has_no_totals(tmp_path: Path) -> None:
    (record,) = ran(tmp_path, ["itq"])
    assert record.history[0].totals == {}
    assert record.history[0].terms


def test_precision_by_cosine_is_that_of_each_ranking() -> None:
    random = np.random.default_rng(3)
    query, items = random.normal(size=(7, 8)), random.normal(size=(40, 8))
    labels = [random.integers(0, 2, size=(n, 3)) for n in (7, 40)]
    labels[0][2] = 0  # with nothing relevant
    found = cosine_precision(query.astype(np.float32), items.astype(np.float32), *labels, block=99)
    for row in range(7):
        cosines = items @ query[row] / np.linalg.norm(items, axis=1)
        hits = np.flatnonzero((labels[1] @ labels[0][row])[np.argsort(-cosines)])
        expected = np.nan if row == 2 else np.mean(np.arange(1, len(hits) + 1) / (hits + 1))
        assert found[row] == pytest.approx(expected, nan_ok=True)


@pytest.mark.parametrize("ties", ["expected", "best", "worst", "index"])
def test_outputs_that_are_signs_already_lose_nothing(ties: Any) -> None:
    # Their cosines are Hamming distances, ties and all, though rounding tells some apart.
    random = np.random.default_rng(4)
    query, items = (sign(random.normal(size=(n, 24)).astype(np.float32)) for n in (9, 300))
    labels = [np.eye(3, dtype=np.uint8)[random.integers(0, 3, n)] for n in (9, 300)]
    found = cosine_precision(query * np.float32(0.3), items * np.float32(0.7), *labels, ties=ties)
    assert found == pytest.approx(average_precision(query, items, *labels, ties=ties))


def test_a_run_keeps_its_ceiling_and_what_texts_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    results: dict[str, Any] = {}
    real = running.train

    def watched(config: Any, *arguments: Any, **options: Any) -> Any:
        results[config.method] = real(config, *arguments, **options)
        return results[config.method]

    monkeypatch.setattr(running, "train", watched)
    records = ran(tmp_path, ["ucch", "itq"])
    store = Store(tmp_path)
    for record in records:
        result = results[record.method]
        dataset, protocol = result.dataset, result.protocol
        rows = protocol.query, protocol.retrieval
        query, items = (
            encode_pairs(result.model, result.inputs.select(part), output="real") for part in rows
        )
        labels = [dataset.labels[part] for part in rows]
        for way, asked in (("i2t", 0), ("t2i", 1)):
            own = cosine_precision(query[asked], items[1 - asked], *labels)
            assert record.ceiling[way] == pytest.approx(float(np.nanmean(own)))
        assert len(record.hits) == 4
        for hits in record.hits:
            row = dataset.ids.index(hits.id)
            assert row in protocol.query
            assert hits.text == dataset.captions("first")[row]
            place = list(protocol.query).index(row)
            distances = (sign(query[1][place]) != sign(items[0])).sum(axis=1)
            assert [hit.distance for hit in hits.found] == sorted(distances.tolist())[:5]
            for hit in hits.found:
                other = dataset.ids.index(hit.id)
                assert distances[list(protocol.retrieval).index(other)] == hit.distance
                assert hit.relevant == bool((dataset.labels[row] & dataset.labels[other]).any())
                picture = store.picture(hit.picture)
                assert picture is not None
                with PILImage.open(io.BytesIO(picture)) as shown:
                    assert (shown.format, shown.size) == ("JPEG", (32, 32))
    first, second = records
    assert [hits.id for hits in first.hits] == [hits.id for hits in second.hits]
    shown = {hit.picture for record in records for hits in record.hits for hit in hits.found}
    assert {path.name for path in (tmp_path / "pictures").iterdir()} == shown


def test_features_have_nothing_to_show(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    for name in ("images", "texts"):
        np.save(tmp_path / f"{name}.npy", random.normal(size=(40, 9)).astype(np.float32))
    np.save(tmp_path / "labels.npy", np.eye(2, dtype=np.uint8)[random.integers(0, 2, 40)])
    options = {"query": 8, "train": 20}
    data = {"name": "features", "root": str(tmp_path), "options": options}
    plain = {"backbones": "features", "text": "features", "training": {"epochs": 1}}
    (tmp_path / "own.yaml").write_text(
        yaml.safe_dump({"method": "sign", "bits": 8, "data": data, **plain})
    )
    suite = {"title": "one", "runs": [{"configs": [str(tmp_path / "own.yaml")]}]}
    (tmp_path / "suite.yaml").write_text(yaml.safe_dump(suite))
    (one,) = run_suites([tmp_path / "suite.yaml"], tmp_path / "store")
    assert one.record is not None
    assert one.record.hits == []
    assert 0 < one.record.ceiling["t2i"] < 1
    assert not (tmp_path / "store" / "pictures").exists()
    # A record of before says nothing of all this, and is read; a picture's name leads nowhere else.
    file = tmp_path / "store" / "records" / f"{one.key}.json"
    values = json.loads(file.read_text())
    for name in ("ceiling", "history", "selection", "hits"):
        del values[name]
    file.write_text(json.dumps(values))
    (old,) = Store(tmp_path / "store").all()
    assert (old.ceiling, old.history, old.hits) == ({}, [], [])
    assert old.figures == one.record.figures
    found = [{"id": "b", "distance": 1, "relevant": True, "picture": "../../etc/passwd"}]
    file.write_text(json.dumps({**values, "hits": [{"id": "a", "text": "x", "found": found}]}))
    with pytest.raises(ValueError, match=r"hits\.0\.found\.0\.picture.*runs it again"):
        Store(tmp_path / "store").all()


def test_a_picture_is_kept_once_and_is_what_it_is_called(tmp_path: Path) -> None:
    store = Store(tmp_path)
    name = store.keep_picture(b"picture")
    assert store.keep_picture(b"picture") == name
    assert store.picture(name) == b"picture"
    (tmp_path / "pictures" / name).write_bytes(b"another")
    assert store.picture(name) is None
    assert store.picture("") is None


def test_a_picture_that_cannot_be_read_costs_no_run(tmp_path: Path) -> None:
    for number in range(3):
        PILImage.new("RGB", (300, 200), (80 * number, 0, 0)).save(tmp_path / f"{number}.png")
    dataset = PairedDataset(
        name="few",
        ids=["a", "b", "c"],
        images=[tmp_path / f"{number}.png" for number in range(3)],
        texts=["one", "two", "three"],
        labels=[[1], [1], [0]],
    )
    (tmp_path / "2.png").unlink()
    protocol = Protocol("own", *(np.array(rows, dtype=np.int64) for rows in ([0], [1, 2], [1])))
    outputs = np.array([[1.0] * 8, [1.0] * 8, [-1.0] * 8], dtype=np.float32)
    kept: list[bytes] = []

    def keep(content: bytes) -> str:
        kept.append(content)
        return "0" * 32 + ".jpg"

    with pytest.warns(UserWarning, match=r"2\.png: shown without its picture"):
        (asked,) = text_queries(
            dataset,
            protocol,
            outputs[:1],
            outputs[1:],
            captions="first",
            compared="ab",
            asked=np.array([True]),
            keep=keep,
        )
    assert [(hit.id, hit.distance, hit.relevant) for hit in asked.found] == [
        ("b", 0, True),
        ("c", 8, False),
    ]
    assert [bool(hit.picture) for hit in asked.found] == [True, False]
    with PILImage.open(io.BytesIO(kept[0])) as shown:
        assert shown.size == (112, 75)
