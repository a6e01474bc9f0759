"""Asymmetric ranking against loops over bits, and search by it."""

from __future__ import annotations

import sys
import threading
import tracemalloc
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
import torch

from crosshash.codes import hamming, pack, unpack
from crosshash.retrieval import asymmetric as module
from crosshash.retrieval.asymmetric import WeightedQueries, nearest
from crosshash.search.index import Index, SearchResult

BITS = [8, 16, 24, 64, 128, 264, 1024]


def real(n: int, bits: int, seed: int = 0) -> np.ndarray:
    """Values of which some are equal in size, or zero, so that there are ties."""
    rng = np.random.default_rng(seed)
    values = rng.standard_normal((n, bits)).astype(np.float32)
    return np.where(rng.random((n, bits)) < 0.5, values.round(), values)


def stored(n: int, bits: int, seed: int = 1) -> np.ndarray:
    """Packed codes, many of them the same."""
    rng = np.random.default_rng(seed)
    codes = rng.integers(0, 256, (n, bits // 8), dtype=np.uint8)
    return codes[rng.integers(0, n, n)]


def index_of(codes: np.ndarray) -> Index:
    index = Index(codes.shape[1] * 8)
    index.add(codes, range(len(codes)))
    return index


def naive(values: np.ndarray, code: np.ndarray) -> tuple[int, int]:
    """Asymmetric distance in whole weights, and Hamming distance, bit by bit."""
    largest = max(abs(float(value)) for value in values)
    distance = differ = 0
    for value, sign in zip(values.tolist(), unpack(code[None])[0].tolist(), strict=True):
        if (1 if value >= 0 else -1) != sign:
            distance += round(abs(value) / (largest or 1.0) * 65535)
            differ += 1
    return distance, differ


@pytest.mark.parametrize("bits", BITS)
def test_search_ranks_as_a_loop_over_bits(bits: int) -> None:
    values, codes = real(4, bits), stored(150, bits)
    values[3] = 0.0
    index = index_of(codes)
    whole = index.search(values, topk=150, rank="asymmetric")
    assert whole.asymmetric is not None
    assert (whole.asymmetric.dtype, whole.distances.dtype) == (np.float32, np.int32)
    for row, asked in enumerate(values):
        keys = [naive(asked, code) for code in codes]
        order = sorted(range(150), key=lambda item, keys=keys: (*keys[item], item))
        assert whole.positions[row].tolist() == order
        assert whole.ids[row] == [str(item) for item in order]
        assert whole.distances[row].tolist() == [keys[item][1] for item in order]
        unit = float(np.abs(asked).max()) / 65535
        np.testing.assert_array_equal(
            whole.asymmetric[row], np.float32([keys[item][0] * unit for item in order])
        )
    for topk in (1, 7, 149):
        part = index.search(values, topk=topk, rank="asymmetric")
        np.testing.assert_array_equal(part.positions, whole.positions[:, :topk])
        np.testing.assert_array_equal(part.asymmetric, whole.asymmetric[:, :topk])


@pytest.mark.parametrize("bits", BITS)
def test_the_order_is_that_of_the_inner_product_up_to_the_rounding(bits: int) -> None:
    rng = np.random.default_rng(bits)
    values = rng.standard_normal((6, bits)) * rng.choice([1e-20, 1.0, 1e20], (6, 1))
    codes = rng.integers(0, 256, (300, bits // 8), dtype=np.uint8)
    found = index_of(codes).search(values, topk=300, rank="asymmetric")
    sizes, signs = np.abs(values), unpack(codes).astype(float)
    exact = (sizes.sum(axis=1)[:, None] - values @ signs.T) / 2
    half, tiny = sizes.max(axis=1) / 131070, 1e-12 * sizes.sum(axis=1)
    apart = hamming(codes, codes)
    for row, order in enumerate(found.positions):
        ranked = exact[row, order]
        # A float32 holds 24 binary digits.
        allowed = found.distances[row] * half[row] + ranked * 2.0**-24 + tiny[row]
        assert (np.abs(found.asymmetric[row] - ranked) <= allowed).all()
        farther = np.triu(ranked[:, None] - ranked[None])  # an earlier item than a later one
        slack = apart[np.ix_(order, order)] * half[row] + tiny[row]
        assert (farther <= slack).all()


def test_its_own_code_is_at_distance_0_and_equal_weights_give_hamming() -> None:
    values = real(20, 32)
    index = index_of(pack(values))
    found = index.search(values, topk=1, rank="asymmetric")
    np.testing.assert_array_equal(found.asymmetric, np.zeros((20, 1)))
    codes = stored(300, 32)
    signs = unpack(stored(5, 32, seed=9)).astype(np.float32) * 0.25
    for oversample in (None, 1):
        plain = index_of(codes).search(signs, topk=40)
        same = index_of(codes).search(signs, topk=40, rank="asymmetric", oversample=oversample)
        np.testing.assert_array_equal(same.positions, plain.positions)
        np.testing.assert_array_equal(same.distances, plain.distances)
        np.testing.assert_array_equal(same.asymmetric, plain.distances * np.float32(0.25))
        assert plain.asymmetric is None


def test_a_query_of_zeros_is_ranked_by_hamming_distance() -> None:
    index, zeros = index_of(stored(200, 24)), np.zeros((1, 24), np.float32)
    found, plain = index.search(zeros, 200, rank="asymmetric"), index.search(zeros, 200)
    np.testing.assert_array_equal(found.positions, plain.positions)
    assert not found.asymmetric.any()


@pytest.mark.parametrize("bits", [8, 16, 64, 264])
@pytest.mark.parametrize("block", [1, 7, 64, 1000])
def test_ties_keep_their_order_across_blocks(
    bits: int, block: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    values, codes = real(5, bits), stored(500, bits)
    expected = [index_of(codes).search(values, k, rank="asymmetric") for k in (1, 40, 500)]
    monkeypatch.setattr(module, "_BLOCK", block)
    for k, one in zip((1, 40, 500), expected, strict=True):
        found = index_of(codes).search(values, k, rank="asymmetric")
        np.testing.assert_array_equal(found.positions, one.positions)


def same(one: SearchResult, other: SearchResult) -> bool:
    return all(
        np.array_equal(getattr(one, name), getattr(other, name))
        for name in ("positions", "distances", "asymmetric")
    )


@pytest.mark.parametrize("bits", BITS)
def test_numba_finds_what_numpy_finds(bits: int) -> None:
    pytest.importorskip("numba")
    queries, codes = WeightedQueries(real(5, bits)), stored(700, bits)
    for topk in (1, 90):
        one, other = (nearest(queries, codes, topk, engine=engine) for engine in ("numpy", "numba"))
        for expected, came in zip(one, other, strict=True):
            np.testing.assert_array_equal(came, expected)


def test_a_shortlist_of_all_items_is_exact_and_a_short_one_is_ranked_exactly() -> None:
    values, codes = real(8, 32), stored(400, 32)
    index = index_of(codes)
    exact = index.search(values, 10, rank="asymmetric")
    for oversample in (40, 41, 10**9):
        assert same(index.search(values, 10, rank="asymmetric", oversample=oversample), exact)
    whole = index.search(values, 400, rank="asymmetric")
    for oversample in (1, 3, 39):
        found = index.search(values, 10, rank="asymmetric", oversample=oversample)
        near = index.search(values, 10 * oversample).positions
        for row in range(8):
            wanted = [item for item in whole.positions[row] if item in near[row]]
            assert found.positions[row].tolist() == wanted[:10]
    assert not same(index.search(values, 10, rank="asymmetric", oversample=1), exact)


def test_topk_beyond_the_index_no_queries_and_what_was_removed() -> None:
    codes = stored(30, 16)
    index, values = index_of(codes), real(2, 16)
    index.remove(range(0, 30, 3))
    kept = [item for item in range(30) if item % 3]
    found = index.search(values, 100, rank="asymmetric")
    assert found.positions.shape == found.asymmetric.shape == (2, 20)
    other = index_of(codes[kept]).search(values, 100, rank="asymmetric")
    assert same(found, other)
    assert found.ids == [[str(kept[place]) for place in row] for row in other.positions]
    none = index.search(values[:0], 3, rank="asymmetric")
    assert (none.ids, none.positions.shape, none.asymmetric.shape) == ([], (0, 3), (0, 3))


def test_values_of_any_floating_type_are_taken() -> None:
    index, values = index_of(stored(50, 16)), real(3, 16).round(1).astype(np.float16)
    expected = index.search(values, rank="asymmetric")
    wide = values.astype(np.float64)
    for form in (values.astype(np.float32), wide, torch.from_numpy(values), wide.tolist()):
        assert same(index.search(form, rank="asymmetric"), expected)
    tiny = np.full((1, 16), -1e-60)  # -0 in float32, whose sign is +
    assert (
        index.search(tiny, rank="asymmetric").distances[0, 0] == index.search(tiny).distances[0, 0]
    )


@pytest.mark.parametrize(
    ("codes", "options", "error", "message"),
    [
        (np.zeros((2, 2), np.uint8), {}, TypeError, r"got packed codes \(uint8\).*rank=\"hamming"),
        (np.ones((2, 16), np.int8), {}, TypeError, "got codes in int8, whose bits all weigh"),
        (np.ones((2, 16), bool), {}, TypeError, "got codes in bool"),
        (np.ones((2, 8), np.float32), {}, ValueError, "holds codes of 16 bits"),
        (np.ones(16, np.float32), {}, ValueError, "two axes"),
        ("nan", {}, ValueError, "values of 2 queries are NaN, infinite .* first at row 1"),
        ("inf", {}, ValueError, "values of 2 queries are NaN, infinite .* first at row 1"),
        ("1e38", {}, ValueError, "too large for float32, the first at row 1"),
        (None, {"topk": 0}, ValueError, "topk is at least 1, got 0"),
        (None, {"oversample": 0}, ValueError, "oversample is a whole number of at least 1"),
        (None, {"oversample": 1.5}, ValueError, "oversample is a whole number of at least 1"),
        (None, {"rank": "hamming", "oversample": 2}, ValueError, "add rank='asymmetric'"),
        (None, {"rank": "assymetric"}, ValueError, "unknown rank 'assymetric'.*asymmetric"),
    ],
)
def test_what_cannot_be_ranked_is_told(
    codes: Any, options: dict[str, Any], error: type[Exception], message: str
) -> None:
    asked = real(3, 16).astype(np.float64)
    if isinstance(codes, str):
        asked[1:] = float(codes)
    elif codes is not None:
        asked = codes
    with pytest.raises(error, match=message):
        index_of(stored(9, 16)).search(asked, **{"rank": "asymmetric", **options})
    with pytest.raises(ValueError, match="empty; add codes"):
        Index(16).search(real(1, 16), rank="asymmetric")


def test_memory_stays_bounded() -> None:
    queries, codes = WeightedQueries(real(3, 64)), stored(400_000, 64)
    nearest(queries, codes, 10, engine="numpy")
    tracemalloc.start()
    nearest(queries, codes, 10, engine="numpy")
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 3e6, peak  # a key for each item would be 3.2 MB


@pytest.fixture
def no_numba(monkeypatch: pytest.MonkeyPatch) -> Any:
    module.compiled.cache_clear()
    monkeypatch.setitem(sys.modules, "numba", None)
    yield
    module.compiled.cache_clear()


@pytest.mark.usefixtures("no_numba")
def test_without_numba_auto_takes_numpy(monkeypatch: pytest.MonkeyPatch) -> None:
    queries, codes = WeightedQueries(real(2, 16)), stored(50, 16)
    with pytest.raises(ImportError, match=r"pip install crosshash\[fast\]"):
        nearest(queries, codes, 5, engine="numba")
    monkeypatch.setattr(module, "_WORTH_COMPILING", 0)
    for one, other in zip(
        nearest(queries, codes, 5), nearest(queries, codes, 5, engine="numpy"), strict=True
    ):
        np.testing.assert_array_equal(one, other)


def test_auto_compiles_where_the_work_is_worth_it(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def compiled() -> Any:
        asked.append(True)
        return module.add_up

    monkeypatch.setattr(module, "compiled", compiled)
    monkeypatch.setattr(module._Work, "pairs", 0)
    monkeypatch.setattr(module, "_WORTH_COMPILING", 350)
    queries, codes = WeightedQueries(real(2, 16)), stored(50, 16)
    nearest(queries, codes, 5)
    module.expect(100)
    nearest(queries, codes, 5)
    assert not asked
    nearest(queries, codes, 5)  # the 400th pair, of those that were only expected too
    assert asked
    with pytest.raises(ValueError, match="unknown engine 'numda'"):
        nearest(queries, codes, 5, engine="numda")  # type: ignore[arg-type]


@pytest.mark.parametrize("threads", ["1", "3"])
def test_the_number_of_threads_does_not_matter(
    threads: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    queries, codes = WeightedQueries(real(9, 32)), stored(300, 32)
    monkeypatch.setenv("OMP_NUM_THREADS", threads)
    found = nearest(queries, codes, 20)
    for row in range(9):
        alone = nearest(WeightedQueries(real(9, 32)[row : row + 1]), codes, 20)
        np.testing.assert_array_equal(found[0][row], alone[0][0])


def test_a_search_beside_writers_sees_whole_codes() -> None:
    """Every item's first 8 bits are equal to its last, so that a torn one would tell."""
    rng = np.random.default_rng(0)
    halves = rng.integers(0, 256, (3000, 1), dtype=np.uint8)
    codes = np.concatenate([halves, halves], axis=1)
    index, stop = Index(16), threading.Event()
    index.add(codes[:1], [0])
    queries = np.concatenate([np.ones((1, 8)), -np.ones((1, 8))], axis=1).astype(np.float32)

    def search() -> int:
        searches = 0
        while not stop.is_set() or not searches:
            found = index.search(queries, topk=50, rank="asymmetric")
            # One of two equal halves differs in each place.
            assert (found.asymmetric == 8).all()
            assert len(found.ids[0]) == found.positions.shape[1]
            searches += 1
        return searches

    with ThreadPoolExecutor() as pool:
        readers = [pool.submit(search) for _ in range(2)]
        try:
            for start in range(1, 3000, 50):
                index.add(codes[start : start + 50], range(start, min(start + 50, 3000)))
                index.remove(range(start, min(start + 50, 3000), 2))
        finally:
            stop.set()
        assert all(reader.result() for reader in readers)
