"""Distances as probabilities: fitted, bounded, falling, read back, and as far off as they say."""

from __future__ import annotations

import copy
import json
from typing import Any

import numpy as np
import pytest

from crosshash.codes import as_packed, hamming, pack
from crosshash.retrieval.calibrating import LEAST, fit_steps, learn
from crosshash.retrieval.calibration import (
    KEY,
    MOST_STEPS,
    WAYS,
    Calibration,
    Steps,
    read_calibration,
)
from crosshash.retrieval.reliability import (
    calibration_error,
    distances_between,
    query_errors,
)
from crosshash.search.index import Index

BITS = 16


def codes_of(labels: np.ndarray, rng: np.random.Generator, noise: float) -> np.ndarray:
    """Real values around a code for each class."""
    centres = np.sign(np.random.default_rng(5).normal(size=(labels.shape[1], BITS)))
    return labels @ centres + noise * rng.normal(size=(len(labels), BITS))


def pairs(count: int, seed: int, noise: float = 1.5) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Images, texts and labels of one of four classes."""
    rng = np.random.default_rng(seed)
    labels = np.eye(4, dtype=np.int64)[rng.integers(0, 4, count)]
    return codes_of(labels, rng, noise), codes_of(labels, rng, noise), labels


@pytest.fixture(scope="module")
def fitted() -> Calibration:
    found = learn(*pairs(80, 0), lengths=(8, BITS))
    assert found is not None
    return found


def test_a_small_example_by_hand() -> None:
    # At 0: 3 of 4; at 1/4: 0 of 1 and at 1/2: 1 of 2, which rise and become one step, 1 of 3; at 1:
    # 0 of 2. Of 2, 3 and 1 queries: one query more is 2, 1 and 2 comparisons more, of which 5 of 11
    # are relevant: 4 of 9, by the rule of succession.
    places = np.array([0, 0, 0, 0, 0.25, 0.5, 0.5, 1, 1])
    relevant = np.array([1, 1, 1, 0, 0, 1, 0, 0, 0], dtype=bool)
    queries = np.array([0, 0, 1, 1, 0, 1, 2, 5, 5])
    steps = fit_steps(places, relevant, queries, smoothing=1)
    mean = 5 / 11
    expected = [(3 + 2 * mean) / 6, (1 + mean) / 4, 2 * mean / 4]
    assert steps.heights == pytest.approx(expected)
    assert steps.starts == [0, 0.125, 0.75]
    assert steps.at([0, 0.1, 0.13, 0.74, 0.75, 1]).tolist() == [
        steps.heights[place] for place in (0, 0, 1, 1, 2, 2)
    ]


def test_what_smoothing_makes_rise_becomes_one_step() -> None:
    # 1 of 1 would sink below 90 of 100 that are farther.
    places = np.repeat([0.0, 0.5, 1.0], [1, 100, 100])
    relevant = np.repeat([True, True, False], [1, 90, 110])
    queries = np.arange(201)
    steps = fit_steps(places, relevant, queries, smoothing=1)
    assert steps.heights[0] == pytest.approx(steps.at([0.5])[0])


@pytest.mark.parametrize("all_of_them", [False, True])
def test_without_a_doubt_in_the_data_none_is_0_or_1(all_of_them: bool) -> None:
    steps = fit_steps(np.linspace(0, 1, 50), np.full(50, all_of_them), np.arange(50))
    assert 0 < min(steps.heights) <= max(steps.heights) < 1
    assert (steps.heights[0] > 0.9) == all_of_them


def test_steps_without_number_are_thinned_by_little() -> None:
    # At each of 1,000 places another number of 1,000 is relevant.
    places = np.repeat(np.linspace(0, 1, 1000), 1000)
    falling = np.tile(np.arange(1000), 1000) < np.repeat(np.arange(999, -1, -1), 1000)
    steps = fit_steps(places, falling, np.tile(np.arange(1000), 1000))
    assert len(steps.heights) == MOST_STEPS
    assert np.abs(steps.at(places) - (1 - places)).max() < 1 / 128


def test_probabilities_fall_with_distance_and_stay_inside(fitted: Calibration) -> None:
    assert list(fitted.tables) == ["8", "16"]
    for bits in (8, BITS):
        for way in WAYS:
            query, items = (("image" if kind == "i" else "text") for kind in (way[0], way[2]))
            own: Any = {"query": query, "items": items, "bits": bits}
            near = fitted.probability([np.arange(bits + 1)], **own)
            weighed = fitted.probability([np.linspace(0, 7.5, 1000)], sizes=[7.5], **own)
            for found in (near, weighed):
                assert found is not None
                assert 0 < found.min() <= found.max() < 1
                assert (np.diff(found[0]) <= 0).all()
                assert found[0, 0] > 2 * found[0, -1]


def test_asymmetric_distances_count_as_shares_of_the_query(fitted: Calibration) -> None:
    own: Any = {"query": "text", "items": "image", "bits": BITS}
    found = fitted.probability([[1.0, 3.0], [10.0, 30.0], [0.0, 0.0]], sizes=[8, 80, 0], **own)
    assert found is not None
    assert found[0].tolist() == found[1].tolist()
    assert found[2].tolist() == [fitted.tables["16"]["t2i"].asymmetric.at(0.5)] * 2


def test_hits_have_the_probability_of_the_distance_that_ranked_them(fitted: Calibration) -> None:
    images, texts, _ = pairs(30, 3)
    index = Index(BITS, {"kind": "image", KEY: fitted.as_dict()})
    index.add(images, range(30))
    table = fitted.tables["16"]["t2i"]
    assert index.search(texts, topk=5).probability is None  # of what kind was not said
    plain = index.search(texts, topk=5, query="text")
    assert plain.probability.tolist() == np.array(table.hamming)[plain.distances].tolist()
    near = index.radius(texts, 3, query="text")
    there = near.distances >= 0
    assert (~there).any()
    assert (
        near.probability[there].tolist() == np.array(table.hamming)[near.distances[there]].tolist()
    )
    assert np.isnan(near.probability[~there]).all()
    weighed = index.search(texts, topk=5, rank="asymmetric", query="text")
    shares = weighed.asymmetric / np.abs(texts).sum(axis=1, keepdims=True)
    assert weighed.probability == pytest.approx(table.asymmetric.at(shares))
    with pytest.raises(ValueError, match="unknown query 'txt'"):
        index.search(texts, query="txt")
    index.metadata["kind"] = "thing"
    assert index.search(texts, topk=5, query="text").probability is None


def test_both_distances_are_those_of_a_search() -> None:
    images, texts, _ = pairs(30, 3)
    index = Index(BITS)
    index.add(images, range(30))
    found = distances_between(texts, as_packed(images))
    assert found.hamming.tolist() == hamming(pack(texts), pack(images)).tolist()
    told = index.search(texts, topk=30, rank="asymmetric")
    shares = told.asymmetric / np.abs(texts).sum(axis=1, keepdims=True)
    ranked = np.take_along_axis(found.asymmetric, told.positions, axis=1)
    assert ranked == pytest.approx(shares, abs=1e-4)


def test_what_is_not_known_has_no_probability(fitted: Calibration) -> None:
    assert fitted.probability([[1]], query="text", items="image", bits=32) is None
    images, texts, labels = pairs(40, 0)
    partners = learn(images, texts)
    assert partners is not None
    assert partners.relevance == "pairs"
    assert set(partners.tables["16"]) == {"i2t", "t2i"}
    assert partners.probability([[1]], query="text", items="text", bits=BITS) is None
    assert learn(images, images) is None  # each would find itself
    assert learn(images[: LEAST - 1], texts[: LEAST - 1], labels[: LEAST - 1]) is None


def test_an_item_is_not_its_own_neighbour() -> None:
    # No two share a label, so that only itself would be relevant.
    values = np.random.default_rng(0).normal(size=(40, BITS))
    found = learn(values, values + 0.1, np.eye(40, dtype=np.int64))
    assert found is not None
    ways = found.tables["16"]
    assert ways["i2i"].hamming[0] < 0.01
    assert ways["i2t"].hamming[0] > 0.3
    alone = learn(values, values, np.eye(40, dtype=np.int64))
    assert alone is not None
    assert alone.tables["16"]["i2t"].hamming[0] < 0.01


def test_a_partner_is_harder_to_find_among_more() -> None:
    images, texts, labels = pairs(40, 0)
    own: Any = {"query": "text", "items": "image", "bits": BITS}
    partners, shared = learn(images, texts), learn(images, texts, labels)
    assert partners is not None
    assert shared is not None
    among = [partners.probability([[2]], count=count, **own)[0, 0] for count in (2, 40, 400)]
    assert among[1] == pytest.approx(partners.tables["16"]["t2i"].hamming[2])
    odds = [p / (1 - p) for p in among]
    assert odds[1] / odds[2] == pytest.approx(399 / 39)
    assert odds[0] / odds[1] == pytest.approx(39)
    assert shared.probability([[2]], count=400, **own) == shared.probability([[2]], **own)


def test_distances_of_other_codes_are_refused(fitted: Calibration) -> None:
    for distance in (17, -1):
        with pytest.raises(ValueError, match=r"0…16, got .*give sizes"):
            fitted.probability([[distance]], query="text", items="image", bits=BITS)
    with pytest.raises(ValueError, match=r"\(4, 16\) and \(5, 16\)"):
        learn(np.ones((4, 16)), np.ones((5, 16)))


def test_the_error_of_a_known_truth() -> None:
    rng = np.random.default_rng(0)
    told = rng.random(200_000)
    assert calibration_error(told, rng.random(200_000) < told) < 0.01
    # Told the root of the truth: the mean of √p - p over 0…1 is 1/6.
    assert calibration_error(np.sqrt(told), rng.random(200_000) < told) == pytest.approx(
        1 / 6, abs=0.01
    )
    assert calibration_error(np.full(10, 0.3), np.arange(10) < 3) == 0
    assert calibration_error([1.0, 1.0], [False, True]) == 0.5


def test_on_others_of_the_same_kind_the_error_is_small_and_foretold() -> None:
    found = learn(*pairs(300, 0))
    assert found is not None
    images, texts, labels = pairs(500, 1)
    query, retrieval = (images[:100], texts[:100]), (pack(images[100:]), pack(texts[100:]))
    ways = found.tables["16"]
    errors = query_errors(ways, query, retrieval, (labels[:100], labels[100:]))
    for way in WAYS:
        told = errors["searched"][way]
        assert set(told) == {
            f"{kind}{where}" for kind in ("hamming", "asymmetric") for where in ("", "_first")
        }
        assert max(told[kind] for kind in ("hamming", "asymmetric")) < 0.05
        assert max(told.values()) < 0.1  # of 100 queries
        assert 0 < max(ways[way].held_out.values()) < 0.05
    one, other = ((images[half:100:2], texts[half:100:2]) for half in (0, 1))
    halves = (labels[:100:2], labels[1:100:2])
    assert query_errors(ways, one, other, halves)["searched"] == errors["unseen"]
    # Codes with more noise are worse than they were.
    images, texts, labels = pairs(500, 1, noise=6)
    query, retrieval = (images[:100], texts[:100]), (pack(images[100:]), pack(texts[100:]))
    worse = query_errors(ways, query, retrieval, (labels[:100], labels[100:]))
    assert min(found["hamming_first"] for found in worse["searched"].values()) > 0.2


def test_many_queries_are_thinned_and_not_the_items(monkeypatch: pytest.MonkeyPatch) -> None:
    images, texts, labels = pairs(300, 0)
    found = learn(images, texts, labels)
    assert found is not None
    ways, searched = found.tables["16"], (pack(images[200:]), pack(texts[200:]))
    some = np.arange(0, 200, 4)
    expected = query_errors(
        ways, (images[some], texts[some]), searched, (labels[some], labels[200:])
    )
    monkeypatch.setattr("crosshash.retrieval.reliability._COMPARISONS", 50 * 100)
    thinned = query_errors(
        ways, (images[:200], texts[:200]), searched, (labels[:200], labels[200:])
    )
    assert thinned["searched"] == expected["searched"]


def test_it_is_read_back_the_same(fitted: Calibration) -> None:
    assert read_calibration(json.loads(json.dumps(fitted.as_dict()))) == fitted


@pytest.mark.parametrize(
    ("place", "value", "said"),
    [
        (("relevance",), "clicks", "'labels' or 'pairs'"),
        (("items",), "80", "valid integer"),
        (("more",), 1, "Extra inputs"),
        (("tables", "16", "x2t"), {}, "i2t"),
        (("tables", "24"), {"i2t": "the same"}, "valid dictionary"),
        (("tables", "16", "i2t", "hamming"), [0.5, 0.6, *[0.1] * 15], "never rise"),
        (("tables", "16", "i2t", "hamming"), [0.5, 0.4], "16.i2t: 2 probabilities"),
        (("tables", "16", "i2t", "hamming", 0), 1.0, "less than 1"),
        (("tables", "16", "i2t", "hamming", 0), float("nan"), "finite"),
        (("tables", "16", "i2t", "hamming", 0), "0.9", "valid number"),
        (("tables", "16", "t2i", "asymmetric", "starts", 0), 0.001, "ascend from 0"),
        (("tables", "16", "t2i", "asymmetric", "starts"), [0.0], "1 starts for"),
        (("tables", "16", "t2i", "asymmetric", "starts"), [0.0] * 1000, "at most 256"),
        (("tables", "16", "t2i", "asymmetric"), {"starts": [0], "heights": [0.0]}, "greater than"),
        (("tables",), None, "valid dictionary"),
    ],
)
def test_damage_is_told(fitted: Calibration, place: tuple[Any, ...], value: Any, said: str) -> None:
    values = copy.deepcopy(fitted.as_dict())
    part: Any = values
    for key in place[:-1]:
        part = part[key]
    part[place[-1]] = value
    with pytest.raises(ValueError, match=rf"^calibration\..*{said}") as error:
        read_calibration(values)
    assert "\n" not in str(error.value)


def test_steps_of_nan_stay_nan() -> None:
    steps = Steps(starts=[0.0], heights=[0.5])
    assert np.isnan(steps.at([np.nan])).all()
