from __future__ import annotations

import sys
import tracemalloc
from typing import Any

import numpy as np
import pytest

from crosshash.retrieval import histogram as module
from crosshash.retrieval import kernel
from crosshash.retrieval.histogram import Comparison, Histogram
from crosshash.retrieval.metrics import mean_average_precision


def comparison(bits: int, n: int, classes: int, q: int = 9, seed: int = 0) -> Comparison:
    """Random codes; some items lie on the first query or opposite to the second."""
    rng = np.random.default_rng(seed)
    query = rng.integers(0, 256, (q, bits // 8), dtype=np.uint8)
    items = rng.integers(0, 256, (n, bits // 8), dtype=np.uint8)
    items[: n // 4] = query[0]
    items[n // 4 : n // 3] = ~query[1]
    query_labels, item_labels = (rng.random((size, classes)) < 2 / classes for size in (q, n))
    return Comparison(query, items, query_labels, item_labels)


def naive(pairs: Comparison) -> tuple[np.ndarray, np.ndarray]:
    """Distances and relevance, pair by pair in unpacked bits."""
    unpacked = [
        np.unpackbits(packed, axis=1).astype(int)
        for packed in (
            pairs.query_codes,
            pairs.retrieval_codes,
            pairs.query_labels,
            pairs.retrieval_labels,
        )
    ]
    query, items, query_labels, item_labels = unpacked
    distance = (query[:, None] != items[None]).sum(axis=2)
    return distance, query_labels @ item_labels.T > 0


def naive_histogram(pairs: Comparison) -> Histogram:
    distance, relevant = naive(pairs)
    bins = pairs.bits + 1
    return Histogram(
        np.array([np.bincount(row, minlength=bins) for row in distance]),
        np.array(
            [
                np.bincount(row[hit], minlength=bins)
                for row, hit in zip(distance, relevant, strict=True)
            ]
        ),
    )


def assert_same(one: Histogram, other: Histogram) -> None:
    np.testing.assert_array_equal(one.total, other.total)
    np.testing.assert_array_equal(one.relevant, other.relevant)


SIZES = [(8, 1, 1), (16, 63, 3), (24, 64, 8), (48, 65, 24), (64, 700, 24), (72, 3073, 81)]
WIDE = [(128, 500, 64), (256, 200, 65), (264, 300, 291), (512, 100, 10)]


@pytest.mark.parametrize(("bits", "n", "classes"), SIZES + WIDE)
def test_numpy_counts_every_pair(bits: int, n: int, classes: int) -> None:
    pairs = comparison(bits, n, classes)
    assert_same(pairs.histogram("numpy"), naive_histogram(pairs))


@pytest.mark.parametrize(("bits", "n", "classes"), SIZES + WIDE)
def test_numba_counts_the_same_as_numpy(bits: int, n: int, classes: int) -> None:
    pytest.importorskip("numba")
    pairs = comparison(bits, n, classes)
    assert_same(pairs.histogram("numba"), pairs.histogram("numpy"))


@pytest.mark.parametrize("block", [1, 7, 64, 300, 701, 5000, 1 << 20])
def test_blocks_of_any_size_give_the_same(block: int) -> None:
    pairs = comparison(32, 300, 5)
    assert_same(pairs.histogram("numpy", block=block), pairs.histogram("numpy"))


@pytest.mark.parametrize("block", [1, 700, 1 << 20])
@pytest.mark.parametrize("bits", [16, 64, 264])
def test_rankings_are_stable_in_database_order(bits: int, block: int) -> None:
    pairs = comparison(bits, 200, 5)
    distance, relevant = naive(pairs)
    seen = []
    for rows, ranking in pairs.rankings(block):
        seen += range(rows.start, rows.stop)
        for row, found in zip(range(rows.start, rows.stop), ranking, strict=True):
            order = sorted(range(200), key=lambda item, row=row: (distance[row, item], item))
            assert found.tolist() == relevant[row, order].tolist()
    assert seen == list(range(9))


def test_positives_items_and_collapsed() -> None:
    histogram = comparison(16, 200, 5).histogram("numpy")
    _, relevant = naive(comparison(16, 200, 5))
    assert histogram.items == 200
    assert histogram.positives.tolist() == relevant.sum(axis=1).tolist()
    one = histogram.collapsed()
    assert one.total.tolist() == [[200]] * 9
    assert one.relevant[:, 0].tolist() == histogram.positives.tolist()


def test_memory_stays_bounded() -> None:
    pairs = comparison(64, 60_000, 24, q=96)
    engines = ["numpy", "numba"] if kernel_is_there() else ["numpy"]
    for engine in engines:
        pairs.histogram(engine)  # imports and compiles
        tracemalloc.start()
        pairs.histogram(engine)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        # One word for each pair would be 46 MB.
        assert peak < 12e6, (engine, peak)
    tracemalloc.start()
    for _ in pairs.rankings():
        pass
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 16e6, peak


def kernel_is_there() -> bool:
    try:
        kernel.compiled()
    except ImportError:
        return False
    return True


@pytest.fixture
def no_numba(monkeypatch: pytest.MonkeyPatch) -> Any:
    kernel.compiled.cache_clear()
    monkeypatch.setitem(sys.modules, "numba", None)
    yield
    kernel.compiled.cache_clear()


@pytest.mark.usefixtures("no_numba")
def test_without_numba_the_error_names_the_extra() -> None:
    with pytest.raises(ImportError, match=r"pip install crosshash\[fast\]"):
        comparison(16, 50, 3).histogram("numba")


@pytest.mark.usefixtures("no_numba")
def test_without_numba_auto_takes_numpy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_WORTH_COMPILING", 0)
    pairs = comparison(16, 50, 3)
    assert_same(pairs.histogram("auto"), naive_histogram(pairs))


def test_auto_takes_the_kernel_where_the_work_is_worth_it(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def compiled() -> Any:
        asked.append(True)
        return lambda *arguments: None

    monkeypatch.setattr(kernel, "compiled", compiled)
    pairs = comparison(16, 50, 3)
    pairs.histogram("auto")
    assert not asked
    monkeypatch.setattr(module, "_WORTH_COMPILING", 9 * 50)
    pairs.histogram("auto")
    assert asked


@pytest.mark.parametrize("threads", ["1", "2", "5", "", "3,2", "many"])
def test_the_number_of_threads_does_not_matter(
    threads: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", threads)
    pairs = comparison(32, 400, 5, q=23)
    for engine in ("numpy", "numba") if kernel_is_there() else ("numpy",):
        assert_same(pairs.histogram(engine, block=900), naive_histogram(pairs))


def test_engines_give_one_map() -> None:
    pytest.importorskip("numba")
    rng = np.random.default_rng(4)
    labels = rng.random((220, 4)) < 0.3
    codes = labels @ rng.normal(size=(4, 16)) + rng.normal(size=(220, 16))
    one, other = (
        mean_average_precision(
            codes[:20], codes[20:], labels[:20], labels[20:], topk=30, engine=engine
        )
        for engine in ("numpy", "numba")
    )
    assert one == other


def test_a_block_below_one_is_refused() -> None:
    with pytest.raises(ValueError, match="block is a number of pairs"):
        comparison(16, 50, 3).histogram(block=0)
