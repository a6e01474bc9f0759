"""MAP of asymmetric ranking against a loop, for every order of ties."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest

from crosshash.codes import pack, sign
from crosshash.retrieval import evaluate_both, evaluate_codes
from crosshash.retrieval.asymmetric_map import asymmetric_precision
from crosshash.retrieval.histogram import Comparison

TIES = ["expected", "best", "worst", "index"]


def data(n: int, q: int = 7, bits: int = 8, seed: int = 0) -> tuple[np.ndarray, ...]:
    """Queries of coarse values, so that many items tie; the last has nothing relevant."""
    rng = np.random.default_rng(seed)
    labels = rng.random((q + n, 3)) < 0.4
    labels[q - 1] = False
    values = labels @ rng.normal(size=(3, bits)) + rng.normal(size=(q + n, bits))
    return (values[:q].round(), values[q:], labels[:q], labels[q:])


def precision(relevant: list[bool]) -> float:
    hits = [place for place, hit in enumerate(relevant, 1) if hit]
    return sum(number / place for number, place in enumerate(hits, 1)) / len(hits)


def naive(arguments: tuple[np.ndarray, ...], ties: str) -> list[float]:
    """Average precision of each query, from all orders of its ties."""
    found = []
    for asked, wanted in zip(arguments[0], arguments[2], strict=True):
        relevant = [bool((wanted & other).any()) for other in arguments[3]]
        if not any(relevant):
            found.append(float("nan"))
            continue
        weights = [round(abs(v) / (np.abs(asked).max() or 1) * 65535) for v in asked]
        groups: dict[tuple[int, int], list[bool]] = {}
        for item, hit in zip(arguments[1], relevant, strict=True):
            bits = [
                i for i, (a, b) in enumerate(zip(asked, item, strict=True)) if (a < 0) != (b < 0)
            ]
            groups.setdefault((sum(weights[i] for i in bits), len(bits)), []).append(hit)
        ranked = [groups[key] for key in sorted(groups)]
        if ties == "index":
            orders = [ranked]
        else:
            orders = [list(o) for o in itertools.product(*map(itertools.permutations, ranked))]
        values = [precision([hit for group in order for hit in group]) for order in orders]
        choose: Any = {"best": max, "worst": min}.get(ties, lambda v: sum(v) / len(v))
        found.append(choose(values))
    return found


@pytest.mark.parametrize("ties", TIES)
@pytest.mark.parametrize("seed", range(4))
def test_average_precision_is_that_of_a_loop_over_all_orders(ties: Any, seed: int) -> None:
    arguments = data(n=9, seed=seed)
    for block in (1, 20, 1 << 19):
        found = asymmetric_precision(Comparison(*arguments), arguments[0], ties, block=block)
        np.testing.assert_allclose(found, naive(arguments, ties), atol=1e-12)


@pytest.mark.parametrize("ties", TIES)
@pytest.mark.parametrize("empty", ["skip", "zero"])
def test_equal_weights_give_the_map_of_hamming_distance(ties: Any, empty: Any) -> None:
    query, *rest = data(n=200, bits=16)
    figures = evaluate_codes(sign(query), *rest, ties=ties, empty=empty, asymmetric=True)
    assert figures.map_asymmetric == pytest.approx(figures.map, abs=1e-12)
    weighted = evaluate_codes(query, *rest, ties=ties, empty=empty, asymmetric=True)
    assert weighted.map == figures.map
    assert weighted.map_asymmetric != pytest.approx(figures.map, abs=1e-4)


def test_engines_give_one_map() -> None:
    pytest.importorskip("numba")
    arguments = data(n=300, bits=24)
    one, other = (
        asymmetric_precision(Comparison(*arguments), arguments[0], engine=engine)
        for engine in ("numpy", "numba")
    )
    np.testing.assert_array_equal(one, other)


def test_figures_are_as_they_were_where_it_is_not_asked_for() -> None:
    query, *rest = data(n=60, bits=16)
    plain, more = (
        evaluate_codes(query, *rest, asymmetric=told).as_dict() for told in (False, True)
    )
    assert 0 < more.pop("map_asymmetric") < 1
    assert more == plain


def test_all_directions_are_measured_and_signs_are_refused() -> None:
    query, found, *labels = data(n=60, bits=16)
    other, texts, *_ = data(n=60, bits=16, seed=5)
    given = (query, other), (pack(found), pack(texts))
    report = evaluate_both(*given, *labels, asymmetric=True)
    single = evaluate_codes(query, texts, *labels, asymmetric=True)
    assert report.i2t.map_asymmetric == single.map_asymmetric
    values = report.as_dict()
    assert all("map_asymmetric" in values[way] for way in ("i2t", "t2i", "i2i", "t2t"))
    with pytest.raises(TypeError, match=r"packed codes \(uint8\), whose bits all weigh the same"):
        evaluate_codes(pack(query), found, *labels, asymmetric=True)
    query[2, 3] = np.inf
    with pytest.raises(ValueError, match=r"infinite .* first at row 2"):
        evaluate_codes(query, found, *labels, asymmetric=True)
