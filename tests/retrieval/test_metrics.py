from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import permutations
from typing import Any

import numpy as np
import pytest

from crosshash.codes import pack
from crosshash.retrieval.metrics import average_precision, mean_average_precision
from crosshash.retrieval.ties import harmonic_span

DENOMINATORS = ("total", "min", "retrieved", "first")


def problem(seed: int, bits: int, q: int = 12, n: int = 150, c: int = 4) -> tuple[Any, ...]:
    """Noisy label-dependent codes; the last two queries have nothing relevant."""
    rng = np.random.default_rng(seed)
    labels = rng.random((q + n, c + 1)) < 0.25
    labels[np.arange(q), np.arange(q) % c] = True
    labels[:, c] = False
    labels[q - 2] = False
    labels[q - 1] = [False] * c + [True]
    codes = labels[:, :c] @ rng.normal(size=(c, bits)) + rng.normal(size=(q + n, bits))
    # Coarse codes, so that 64 bits tie too.
    codes = codes[:, np.arange(bits) % 16]
    return codes[:q], codes[q:], labels[:q].astype(int), labels[q:].astype(int)


def naive(relevance: list[bool], k: int | None, denominator: str) -> float:
    """Average precision of one ranking, hit by hit, by the words of each convention."""
    k = len(relevance) if k is None else k
    precisions, hits, above = [], 0, 0
    for rank, relevant in enumerate(relevance, start=1):
        if relevant:
            hits += 1
            above += rank <= k
            precisions.append((rank, hits / rank))
    if not precisions:
        return math.nan
    if denominator == "first":
        first = [value for _, value in precisions[:k]]
        return sum(first) / len(first)
    total = sum(value for rank, value in precisions if rank <= k)
    if denominator == "retrieved":
        return total / above if above else 0.0
    return total / (hits if denominator == "total" else min(k, hits))


def distances(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return ((a >= 0)[:, None] != (b >= 0)[None]).sum(axis=2)


@pytest.mark.parametrize("topk", [None, 1, 7, 50, 1000])
@pytest.mark.parametrize("denominator", DENOMINATORS)
@pytest.mark.parametrize("bits", [16, 64])
def test_index_ties_agree_with_a_loop_over_queries(
    bits: int, denominator: str, topk: int | None
) -> None:
    query, items, query_labels, item_labels = problem(1, bits)
    expected = []
    for code, labels in zip(distances(query, items), query_labels, strict=True):
        order = np.argsort(code, kind="stable")
        expected.append(naive(list((item_labels @ labels > 0)[order]), topk, denominator))
    found = average_precision(
        query, items, query_labels, item_labels, topk=topk, ties="index", denominator=denominator
    )
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-12)
    assert np.isnan(found[-2:]).all()
    assert not np.isnan(found[:-2]).any()


def orders(distance: np.ndarray) -> Iterator[np.ndarray]:
    """Every order inside ties, each equally often."""
    for permutation in permutations(range(len(distance))):
        shuffled = np.array(permutation)
        yield shuffled[np.argsort(distance[shuffled], kind="stable")]


@pytest.mark.parametrize("denominator", DENOMINATORS)
@pytest.mark.parametrize("topk", [None, 1, 2, 3, 4, 5])
def test_expected_best_and_worst_are_exact_over_all_orders(
    topk: int | None, denominator: str
) -> None:
    rng = np.random.default_rng(5)
    for trial in range(4):
        query = np.ones((1, 8))
        items = np.where(np.arange(8) < rng.integers(0, 2 + trial, size=(6, 1)), -1, 1)
        relevant = rng.random(6) < (0.3, 0.5, 0.7, 1.0)[trial]
        relevant[trial] = True
        distance = distances(query, items)[0]
        values = [naive(list(relevant[o]), topk, denominator) for o in orders(distance)]
        for ties, value in (
            ("expected", np.mean(values)),
            ("best", max(values)),
            ("worst", min(values)),
        ):
            found = average_precision(
                query,
                items,
                np.ones((1, 1)),
                relevant[:, None],
                topk=topk,
                ties=ties,
                denominator=denominator,
            )
            assert found[0] == pytest.approx(value, abs=1e-12), (trial, ties)


@pytest.mark.parametrize("denominator", DENOMINATORS)
@pytest.mark.parametrize("topk", [None, 5, 40])
@pytest.mark.parametrize("bits", [16, 64])
def test_expected_ties_are_the_mean_over_thousands_of_shuffles(
    bits: int, topk: int | None, denominator: str
) -> None:
    shuffles, rng = 3000, np.random.default_rng(2)
    query, items, query_labels, item_labels = problem(3, bits, q=6, n=80)
    found = average_precision(
        query, items, query_labels, item_labels, topk=topk, denominator=denominator
    )
    k = topk or len(items)
    for row, distance in enumerate(distances(query, items)[:-2]):
        order = np.argsort(distance + rng.random((shuffles, len(items))), axis=1)
        relevant = (item_labels @ query_labels[row] > 0)[order]
        hits = np.cumsum(relevant, axis=1)
        precision = hits / np.arange(1, len(items) + 1) * relevant
        counted = hits <= k if denominator == "first" else np.arange(len(items)) < k
        divisor = {
            "total": hits[:, -1],
            "min": np.minimum(hits[:, -1], k),
            "first": np.minimum(hits[:, -1], k),
            "retrieved": np.maximum(hits[:, k - 1], 1),
        }[denominator]
        values = (precision * counted).sum(axis=1) / divisor
        error = values.std() / math.sqrt(shuffles)
        assert abs(values.mean() - found[row]) < 5 * error + 1e-12


@pytest.mark.parametrize(("n", "r", "k"), [(400, 150, 60), (1000, 500, 12), (600, 60, 59)])
def test_a_large_tie_agrees_with_sums_over_exact_probabilities(n: int, r: int, k: int) -> None:
    query, items = np.ones((1, 8)), np.ones((n, 8))
    labels = np.arange(n)[:, None] < r
    values = {
        denominator: average_precision(
            query, items, np.ones((1, 1)), labels, topk=k, denominator=denominator
        )[0]
        for denominator in DENOMINATORS
    }
    every = math.comb(n, r)
    first = math.fsum(
        math.comb(x - 1, i - 1) * math.comb(n - x, r - i) / every * i / x
        for i in range(1, k + 1)
        for x in range(i, n - r + i + 1)
    )
    assert values["first"] == pytest.approx(first / k, rel=1e-11)

    def among(place: int, t: int, size: int) -> float:
        return t / size * (1 + (place - 1) * (t - 1) / max(size - 1, 1)) / place

    above = math.fsum(among(x, r, n) for x in range(1, k + 1))
    assert values["total"] == pytest.approx(above / r, rel=1e-11)
    assert values["min"] == pytest.approx(above / min(k, r), rel=1e-11)
    retrieved = math.fsum(
        math.comb(r, t) * math.comb(n - r, k - t) / math.comb(n, k) * among(x, t, k) / t
        for t in range(1, k + 1)
        for x in range(1, k + 1)
    )
    assert values["retrieved"] == pytest.approx(retrieved, rel=1e-11)


def test_harmonic_spans_keep_their_relative_precision() -> None:
    for start in (0, 1, 63, 64, 100, 189_900):
        for count in (0, 1, 2, 40, 1000):
            exact = math.fsum(1 / (start + i) for i in range(1, count + 1))
            assert harmonic_span(float(start), float(count)) == pytest.approx(exact, rel=3e-14)


@pytest.mark.parametrize("denominator", DENOMINATORS)
@pytest.mark.parametrize("topk", [None, 10])
def test_best_is_at_least_expected_and_expected_at_least_worst(
    topk: int | None, denominator: str
) -> None:
    arguments = problem(7, 16)
    best, expected, worst, index = (
        average_precision(*arguments, topk=topk, denominator=denominator, ties=ties)[:-2]
        for ties in ("best", "expected", "worst", "index")
    )
    assert (best >= expected - 1e-12).all()
    assert (expected >= worst - 1e-12).all()
    assert (best >= index - 1e-12).all()
    assert (index >= worst - 1e-12).all()
    assert best.mean() > expected.mean() + 0.01 > worst.mean() + 0.02


def test_without_a_cut_the_four_denominators_are_the_same() -> None:
    arguments = problem(8, 16)
    for ties in ("expected", "best", "worst", "index"):
        values = [
            mean_average_precision(*arguments, ties=ties, denominator=denominator, topk=topk)
            for denominator in DENOMINATORS
            for topk in (None, 150, 999)
        ]
        np.testing.assert_allclose(values, values[0], rtol=0, atol=1e-12)


def test_with_a_cut_the_four_denominators_differ() -> None:
    values = [
        mean_average_precision(*problem(8, 16), topk=20, denominator=denominator)
        for denominator in DENOMINATORS
    ]
    assert min(abs(a - b) for i, a in enumerate(values) for b in values[:i]) > 0.005


def test_order_of_the_database_does_not_change_expected_but_index() -> None:
    query, items, query_labels, item_labels = problem(9, 16)
    order = np.random.default_rng(0).permutation(len(items))
    for ties, same in (("expected", True), ("best", True), ("worst", True), ("index", False)):
        one = mean_average_precision(query, items, query_labels, item_labels, ties=ties)
        other = mean_average_precision(
            query, items[order], query_labels, item_labels[order], ties=ties
        )
        assert (abs(one - other) < 1e-12) == same, ties


def test_flipping_or_exchanging_bits_everywhere_changes_nothing() -> None:
    query, items, query_labels, item_labels = problem(10, 16)
    value = mean_average_precision(query, items, query_labels, item_labels, topk=30)
    flip = np.where(np.arange(16) % 3, 1, -1)
    order = np.random.default_rng(1).permutation(16)
    for change in (lambda codes: codes * flip, lambda codes: codes[:, order]):
        found = mean_average_precision(
            change(query), change(items), query_labels, item_labels, topk=30
        )
        assert found == value


def test_packed_signed_real_and_tensor_codes_give_the_same() -> None:
    torch = pytest.importorskip("torch")
    query, items, query_labels, item_labels = problem(11, 64)
    value = mean_average_precision(query, items, query_labels, item_labels)
    for convert in (pack, lambda c: np.where(c >= 0, 1, -1).astype(np.int8), torch.from_numpy):
        labels = query_labels.astype(bool), item_labels.astype(np.float32)
        assert mean_average_precision(convert(query), convert(items), *labels) == value
    labels = torch.from_numpy(query_labels), torch.from_numpy(item_labels).float()
    assert mean_average_precision(query, items, *labels) == value


def test_a_perfect_ranking_is_one_and_a_reversed_one_is_near_zero() -> None:
    labels = np.repeat(np.eye(2, dtype=int), 50, axis=0)
    codes = np.where(labels[:, :1] * np.ones(8) > 0, 1, -1)
    assert mean_average_precision(codes, codes, labels, labels) == pytest.approx(1)
    reversed_ = mean_average_precision(codes, -codes, labels, labels)
    assert reversed_ == pytest.approx(np.mean(np.arange(1, 51) / np.arange(51, 101)))


def test_queries_with_nothing_relevant_are_skipped_or_zero() -> None:
    arguments = problem(12, 16)
    values = average_precision(*arguments)
    assert np.isnan(values).tolist() == [False] * 10 + [True] * 2
    skip = mean_average_precision(*arguments)
    assert skip == pytest.approx(np.nanmean(values), abs=1e-15)
    zero = mean_average_precision(*arguments, empty="zero")
    assert zero == pytest.approx(skip * 10 / 12, abs=1e-15)


def test_only_empty_queries_are_an_error() -> None:
    query, items, query_labels, item_labels = problem(13, 16)
    with pytest.raises(ValueError, match="none of the 2 queries shares a label"):
        mean_average_precision(query[-2:], items, query_labels[-2:], item_labels)


def test_real_labels_agree_with_the_loop(shared_data: Any) -> None:
    labels = np.load(shared_data / "label-sets" / "mirflickr25k.npz")["labels"]
    rng = np.random.default_rng(0)
    labels = labels[rng.permutation(len(labels))[:2100]]
    codes = labels @ rng.normal(size=(24, 16)) + 2 * rng.normal(size=(2100, 16))
    query, items = codes[:100], codes[100:]
    for denominator in DENOMINATORS:
        expected = [
            naive(
                list((labels[100:] @ one > 0)[np.argsort(distance, kind="stable")]),
                50,
                denominator,
            )
            for one, distance in zip(labels[:100], distances(query, items), strict=True)
        ]
        found = average_precision(
            query,
            items,
            labels[:100],
            labels[100:],
            topk=50,
            ties="index",
            denominator=denominator,
        )
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-9)


def changed(position: int, value: Any) -> list[Any]:
    arguments: list[Any] = list(problem(14, 16))
    arguments[position] = value(arguments[position])
    return arguments


@pytest.mark.parametrize(
    ("position", "value", "message"),
    [
        (0, lambda a: a[:, :8], "query codes of 8 bits .* retrieval codes of 16 bits"),
        (0, lambda a: np.where(a > 1, np.nan, a), "codes of .* items are NaN"),
        (0, lambda a: a[:-1], "11 query codes with 12 rows of query labels"),
        (1, lambda a: a[:, :12], "bits must be a positive multiple of 8"),
        (1, lambda a: a[:-1], "149 retrieval codes with 150 rows"),
        (2, lambda a: a[:, :-1], "query labels have 4 classes and retrieval labels 5"),
        (2, lambda a: a * 2, "query labels must be 0 or 1, .*: 2"),
        (3, lambda a: np.where(a, 1, -1), "retrieval labels must be 0 or 1, .*: -1"),
        (3, lambda a: np.where(a > 0, np.nan, 0.0), "retrieval labels must be 0 or 1, .* nan"),
        (3, lambda a: a.astype(str), "retrieval labels are numbers 0 and 1"),
        (3, lambda a: a[:, 0], r"matrix \(items, classes\).*np.eye"),
    ],
)
def test_input_that_does_not_fit_is_refused(position: int, value: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        mean_average_precision(*changed(position, value))


def test_empty_sets_are_refused() -> None:
    query, items, query_labels, item_labels = problem(14, 16)
    with pytest.raises(ValueError, match="the query set is empty"):
        mean_average_precision(query[:0], items, query_labels[:0], item_labels)
    with pytest.raises(ValueError, match="the retrieval set is empty"):
        mean_average_precision(query, items[:0], query_labels, item_labels[:0])


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ({"ties": "expect"}, "unknown ties 'expect': did you mean 'expected'"),
        ({"denominator": "totals"}, "unknown denominator .* 'total'"),
        ({"empty": "nan"}, "unknown empty 'nan': known: skip, zero"),
        ({"engine": "numpie"}, "unknown engine .* 'numpy'"),
        ({"engine": "numpie", "ties": "index"}, "unknown engine"),
        ({"topk": 0}, "topk is a whole number of at least 1 or None, got 0"),
        ({"topk": 2.5}, "got 2.5"),
        ({"topk": True}, "got True"),
    ],
)
def test_unknown_conventions_are_refused(option: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        mean_average_precision(*problem(14, 16), **option)
