import copy
import pickle
import subprocess
import sys
import threading
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch

import crosshash
from crosshash.codes import hamming, unpack
from crosshash.search.index import Index

ODD_IDS = [
    "",
    " ",
    "a\nb",
    "a\r\nb",
    "\x00",
    "ébène",
    "e\u0301",
    "犬が二匹",
    "🐕‍🦺",
    'a,b\t"c"',
    "\udcff.jpg",
]


def packed_codes(n, bits, seed=0):
    """Codes with many ties: few free bits in each byte."""
    generator = np.random.default_rng(seed)
    return generator.integers(0, 256, (n, bits // 8), dtype=np.uint8) & np.uint8(0b10010011)


def names(n):
    return [f"item {i}" for i in range(n)]


@pytest.mark.parametrize("bits", [8, 16, 24, 64, 96, 128, 512])
@pytest.mark.parametrize("queries", [1, 40])
def test_search_agrees_with_brute_force_and_ties_come_in_order_of_insertion(bits, queries):
    codes, asked = packed_codes(1500, bits), packed_codes(queries, bits, seed=1)
    index = Index(bits)
    index.add(codes[:1000], names(1500)[:1000])
    index.add(codes[1000:], names(1500)[1000:])
    distances = hamming(asked, codes)
    order = np.argsort(distances, axis=1, kind="stable")
    for topk in (1, 10, 300, 1500):
        found = index.search(asked, topk)
        nearest = order[:, :topk]
        np.testing.assert_array_equal(found.positions, nearest)
        np.testing.assert_array_equal(found.distances, np.take_along_axis(distances, nearest, 1))
        assert found.ids == [[f"item {i}" for i in row] for row in nearest]
        assert len(found) == queries


def test_ties_keep_their_order_beyond_one_block_of_faiss():
    # FAISS scans 65,536 codes at a time; all of these are equally far.
    index = Index(64)
    index.add(np.zeros((70_000, 8), dtype=np.uint8), names(70_000))
    found = index.search(np.full((33, 8), 255, dtype=np.uint8), 5)
    np.testing.assert_array_equal(found.positions, np.tile(np.arange(5), (33, 1)))
    assert (found.distances == 64).all()


def test_packed_signed_and_real_codes_are_the_same_codes():
    codes = packed_codes(50, 32)
    signs = unpack(codes)
    index = Index(32)
    index.add(codes, names(50))
    expected = index.search(codes[:7])
    real = signs[:7] * np.random.default_rng(0).uniform(0.1, 1, (7, 32))
    for form in (signs[:7], real, torch.from_numpy(real).float(), signs[:7].tolist()):
        np.testing.assert_array_equal(index.search(form).positions, expected.positions)
    other = Index(32)
    other.add(signs, names(50))
    np.testing.assert_array_equal(other.codes(), codes)


def test_topk_larger_than_the_index_gives_all_of_it():
    index = Index(16)
    index.add(packed_codes(3, 16), ["a", "b", "c"])
    found = index.search(packed_codes(2, 16), topk=100)
    assert found.distances.shape == (2, 3)
    assert [sorted(row) for row in found.ids] == [["a", "b", "c"]] * 2


def test_no_queries_give_no_results():
    index = Index(16)
    index.add(packed_codes(3, 16), ["a", "b", "c"])
    found = index.search(np.zeros((0, 2), dtype=np.uint8), topk=2)
    assert found.ids == []
    assert found.distances.shape == (0, 2)


def test_codes_and_ids_come_back_out():
    index = Index(24)
    codes = packed_codes(20, 24)
    index.add(codes[:5], iter(names(20)[:5]))
    index.add(codes[5:], np.array(names(20)[5:]))
    np.testing.assert_array_equal(index.codes(), codes)
    assert list(index.ids) == names(20)
    assert all(type(id_) is str for id_ in index.ids)
    assert len(index) == 20
    assert repr(index) == "Index(bits=24, items=20, metadata={})"
    index.codes()[:] = 0  # A copy: the index keeps its own.
    np.testing.assert_array_equal(index.codes(), codes)


@pytest.mark.parametrize(
    ("codes", "ids", "error", "message"),
    [
        (packed_codes(2, 16), ["x", "x"], ValueError, "'x' is given twice, again at row 1"),
        (packed_codes(2, 16), ["x", "item 3"], ValueError, r"'item 3' \(row 1\) is in the index"),
        (packed_codes(2, 16), ["x"], ValueError, "1 ids for 2 codes"),
        (
            packed_codes(2, 16),
            ["x", 7.0],
            TypeError,
            r"strings or integers, got float 7\.0 at row 1",
        ),
        (packed_codes(2, 16), ["x", True], TypeError, "got bool True at row 1"),
        (packed_codes(2, 16), np.array([True, False]), TypeError, "got bool.* at row 0"),
        (packed_codes(2, 16), [7, "7"], ValueError, "'7' is given twice, again at row 1"),
        (packed_codes(1, 16), "x", TypeError, "a single string"),
        (packed_codes(2, 32), ["x", "y"], ValueError, "holds codes of 16 bits"),
        (np.zeros((2, 16), dtype=np.uint8), ["x", "y"], ValueError, "packed uint8 codes of shape"),
        (np.ones((2, 8)), ["x", "y"], ValueError, r"\(n, 16\) signed; got codes of shape \(2, 8\)"),
        (np.ones((2, 16), dtype=bool), ["x", "y"], TypeError, "got bool"),
        (torch.ones(2, 16, dtype=torch.bool), ["x", "y"], TypeError, "got bool"),
        (np.ones((2, 16), dtype=np.uint16), ["x", "y"], TypeError, "got uint16"),
        (np.full((2, 16), "+"), ["x", "y"], TypeError, "signed or real"),
        (np.full((2, 16), np.nan), ["x", "y"], ValueError, "NaN"),
        (np.ones(16), ["x"], ValueError, "two axes"),
    ],
)
def test_a_refused_add_leaves_the_index_as_it_was(codes, ids, error, message):
    index = Index(16)
    index.add(packed_codes(10, 16), names(10))
    with pytest.raises(error, match=message):
        index.add(codes, ids)
    assert len(index) == 10
    assert index.codes().shape == (10, 2)
    index.add(packed_codes(2, 16), ["x", "y"])  # Nothing of the refused batch stands.
    assert list(index.ids) == [*names(10), "x", "y"]


def test_search_refuses_an_empty_index_a_bad_topk_and_other_widths():
    index = Index(16)
    with pytest.raises(ValueError, match="empty; add codes"):
        index.search(packed_codes(1, 16))
    index.add(packed_codes(3, 16), names(3))
    with pytest.raises(ValueError, match="topk is at least 1, got 0"):
        index.search(packed_codes(1, 16), topk=0)
    with pytest.raises(ValueError, match="codes of 16 bits"):
        index.search(packed_codes(1, 64))


def test_integers_stand_for_their_digits():
    index = Index(16)
    index.add(packed_codes(3, 16), np.array([10, -3, 2**60]))
    index.add(packed_codes(1, 16), [7])
    assert list(index.ids) == ["10", "-3", str(2**60), "7"]
    assert 7 in index
    assert "7" in index
    assert np.int64(-3) in index
    assert 8 not in index
    assert "07" not in index
    index.remove([10, "7"])
    assert list(index.ids) == ["-3", str(2**60)]


@pytest.mark.parametrize("id_", [1.0, True, None, b"1", ("1",)])
def test_what_can_be_no_id_is_not_looked_up(id_):
    with pytest.raises(TypeError, match="strings or integers"):
        _ = id_ in Index(16)


def without(codes, ids, gone):
    kept = [row for row, id_ in enumerate(ids) if id_ not in gone]
    index = Index(codes.shape[1] * 8)
    index.add(codes[kept], [ids[row] for row in kept])
    return index


@pytest.mark.parametrize(
    "gone", [[0], [299], [5, 3, 4, 3], range(0, 300, 2), range(1, 300), range(300), []]
)
def test_removing_leaves_what_an_index_without_the_items_would_be(tmp_path, gone):
    codes, ids = packed_codes(300, 24), names(300)
    removed = [ids[row] for row in gone]
    index = Index(24)
    index.add(codes, ids)
    index.remove(iter(removed))
    expected = without(codes, ids, set(removed))
    assert list(index.ids) == list(expected.ids)
    assert not any(id_ in index for id_ in removed)
    np.testing.assert_array_equal(index.codes(), expected.codes())
    index.save(tmp_path / "removed")
    expected.save(tmp_path / "never")
    for file in (tmp_path / "never").iterdir():
        assert file.read_bytes() == (tmp_path / "removed" / file.name).read_bytes()
    more = removed[:1] or ["one more"]  # what was removed may come back, at the end
    for one in (index, expected):
        one.add(codes[:1], more)
    asked = packed_codes(20, 24, seed=1)
    found, wanted = index.search(asked, 300), expected.search(asked, 300)
    assert found.ids == wanted.ids
    np.testing.assert_array_equal(found.positions, wanted.positions)
    np.testing.assert_array_equal(found.distances, wanted.distances)


@pytest.mark.parametrize(
    ("ids", "error", "message"),
    [
        (["item 3", "nothing", "item 4"], LookupError, "not in the index: 'nothing'; nothing was"),
        ([f"x{n}" for n in range(7)], LookupError, "'x0', 'x1', 'x2', 'x3', 'x4' and 2 more"),
        ([3], LookupError, "'3'"),
        ("item 3", TypeError, r"single string; pass \[id\]"),
        (["item 3", 3.0], TypeError, "got float 3.0 at row 1"),
    ],
)
def test_a_refused_removal_removes_nothing(ids, error, message):
    index = Index(16)
    index.add(packed_codes(10, 16), names(10))
    with pytest.raises(error, match=message):
        index.remove(ids)
    assert list(index.ids) == names(10)
    np.testing.assert_array_equal(index.codes(), packed_codes(10, 16))


def through_pickle(index):
    return pickle.loads(pickle.dumps(index))  # noqa: S301


@pytest.mark.parametrize("again", [through_pickle, copy.copy])
def test_an_index_can_be_pickled_and_copied(again):
    index = Index(24, {"kind": "image", "root": {"é": [1]}})
    index.add(packed_codes(len(ODD_IDS), 24), ODD_IDS)
    back = again(index)
    assert list(back.ids) == ODD_IDS
    assert back.metadata == index.metadata
    asked = packed_codes(4, 24, seed=1)
    np.testing.assert_array_equal(back.search(asked).positions, index.search(asked).positions)
    back.remove(["a\nb"])
    back.metadata["kind"] = "text"
    assert "a\nb" in index  # the two are apart
    assert index.metadata["kind"] == "image"
    assert len(again(Index(16))) == 0


def model_of(bits=16, seed=0):
    torch.manual_seed(seed)
    return crosshash.create(
        "amgfh", bits=bits, backbones={"name": "features", "dim": 6}, texts=["a red circle"], dim=16
    )


def test_an_index_knows_the_model_that_it_was_made_for(tmp_path):
    model = model_of()
    index = Index.for_model(model, {"model": "runs/photos", "kind": "image"})
    assert index.bits == 16
    index.add(model.encode_text("red circle"), ["x"])
    index.save(tmp_path / "index")
    back = Index.load(tmp_path / "index")
    assert back.metadata["kind"] == "image"
    back.check_model(model)
    back.check_model(model_of())  # the same numbers
    with pytest.raises(
        ValueError, match=r"another model named runs/photos \(digest \w{12}; .*`crosshash index`"
    ):
        back.check_model(model_of(seed=1))
    with pytest.raises(ValueError, match="codes of 16 bits, and this model's have 32"):
        back.check_model(model_of(bits=32))


def test_an_index_of_a_nested_length_knows_its_model_and_takes_codes_of_that_length_alone(tmp_path):
    model = model_of(bits=32)
    plain = Index.for_model(model).metadata
    model.nested = (8, 16)
    index = Index.for_model(model, bits=16)
    assert index.bits == 16
    assert index.metadata == plain  # which lengths are nested changes no code
    index.add(model.encode_text(["red", "a circle"], bits=16), ["x", "y"])
    index.save(tmp_path / "index")
    back = Index.load(tmp_path / "index")
    back.check_model(model)
    assert back.search(model.encode_text("red", bits=16), topk=1).ids == [["x"]]
    for bits in (8, 32):
        with pytest.raises(ValueError, match="this index holds codes of 16 bits"):
            back.search(model.encode_text("red", bits=bits))
    with pytest.raises(ValueError, match="codes of 8, 16 and 32 bits, not of 24"):
        Index.for_model(model, bits=24)
    with pytest.raises(ValueError, match="codes of 24 bits, and this model's have 8, 16, 32"):
        Index(24).check_model(model)


def test_an_index_made_for_no_model_takes_any_of_its_length():
    Index(16).check_model(model_of())
    with pytest.raises(ValueError, match="16 bits"):
        Index(16).check_model(model_of(bits=8))


@pytest.mark.parametrize("bits", [0, -8, 12])
def test_bits_that_fill_no_bytes_are_refused(bits):
    with pytest.raises(ValueError, match="multiple of 8"):
        Index(bits)


def test_no_torch_is_loaded_for_searching():
    script = """
import sys
import numpy as np
from crosshash.search.index import Index
assert "faiss" not in sys.modules
index = Index(16)
index.add(np.zeros((1, 2), dtype=np.uint8), ["a"])
index.search(np.zeros((1, 2), dtype=np.uint8))
assert "torch" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", script], check=True)


def test_a_search_beside_writers_finds_each_id_with_its_own_code() -> None:
    """A code is its id's number, so that a distance tells whether they belong together."""
    index, queries = Index(64), range(1, 12_000, 400)
    stop = threading.Event()

    def codes(numbers: Iterable[int]) -> np.ndarray:
        return np.array(list(numbers), dtype=np.int64).view(np.uint8).reshape(-1, 8)

    def write(start: int) -> int:
        for first in range(start, start + 6000, 20):
            numbers = range(first, first + 20)
            index.add(codes(numbers), numbers)
            index.remove(numbers[::2])
        return start

    def search() -> tuple[int, list[str]]:
        searches, wrong = 0, []
        while not stop.is_set():
            found = index.search(codes(queries), topk=3)
            for query, ids, distances in zip(queries, found.ids, found.distances, strict=True):
                apart = [(query ^ int(id_)).bit_count() for id_ in ids]
                wrong += [id_ for id_, a, b in zip(ids, apart, distances, strict=True) if a != b]
            searches += 1
        return searches, wrong

    index.add(codes([0]), [0])
    with ThreadPoolExecutor() as pool:
        readers = [pool.submit(search) for _ in range(2)]
        try:
            assert list(pool.map(write, [1, 6001])) == [1, 6001]
        finally:
            stop.set()
        for reader in readers:
            searches, wrong = reader.result()
            assert searches > 0
            assert wrong == []
    assert len(index) == 6001
    assert np.array_equal(index.codes(), codes(map(int, index.ids)))
