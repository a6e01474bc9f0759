import json
import subprocess
import sys

import numpy as np
import pytest
import torch

from crosshash.codes import hamming, unpack
from crosshash.retrieval.index import CorruptIndexError, Index

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


@pytest.fixture
def saved(tmp_path):
    index = Index(16, {"model": "amgfh-shapes-16", "kind": "image"})
    index.add(packed_codes(40, 16), names(40))
    index.save(tmp_path / "index")
    return tmp_path / "index"


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
        (packed_codes(2, 16), ["x", 7], TypeError, "got int 7 at row 1"),
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


@pytest.mark.parametrize("bits", [0, -8, 12])
def test_bits_that_fill_no_bytes_are_refused(bits):
    with pytest.raises(ValueError, match="multiple of 8"):
        Index(bits)


def test_a_saved_index_opens_the_same(tmp_path):
    metadata = {"model": "amgfh-shapes-64", "kind": "image", "root": {"é": [1, 2.5, None, True]}}
    index = Index(64, metadata)
    codes = packed_codes(len(ODD_IDS), 64)
    index.add(codes, ODD_IDS)
    index.save(tmp_path / "deep" / "index")
    back = Index.open(str(tmp_path / "deep" / "index"))
    assert list(back.ids) == ODD_IDS
    assert back.metadata == metadata
    assert back.bits == 64
    np.testing.assert_array_equal(back.codes(), codes)
    asked = packed_codes(4, 64, seed=1)
    assert back.search(asked, 5).ids == index.search(asked, 5).ids
    with pytest.raises(ValueError, match="in the index already"):
        back.add(codes[:1], ODD_IDS[2:3])
    back.add(codes[:1], ["one more"])
    back.save(tmp_path / "deep" / "index")
    assert list(Index.open(tmp_path / "deep" / "index").ids) == [*ODD_IDS, "one more"]


@pytest.mark.parametrize("ids", [[], [""]])
def test_an_index_without_items_or_letters_can_be_saved(tmp_path, ids):
    index = Index(16)
    index.add(packed_codes(len(ids), 16), ids)
    index.save(tmp_path / "index")
    assert list(Index.open(tmp_path / "index").ids) == ids


def test_everyone_may_read_a_saved_index(saved):
    assert {file.stat().st_mode & 0o444 for file in saved.iterdir()} == {0o444}


def test_saving_twice_writes_the_same_bytes(tmp_path):
    for name in ("a", "b"):
        index = Index(16, {"kind": "text"})
        index.add(packed_codes(9, 16), names(9))
        index.save(tmp_path / name)
    for file in (tmp_path / "a").iterdir():
        assert file.read_bytes() == (tmp_path / "b" / file.name).read_bytes()


@pytest.mark.parametrize("metadata", [{"x": float("nan")}, {"x": object()}, {"x": (1,)}, {1: "x"}])
def test_metadata_that_json_would_change_is_refused_and_the_old_index_stays(saved, metadata):
    index = Index.open(saved)
    index.metadata = metadata
    with pytest.raises(TypeError, match="metadata"):
        index.save(saved)
    assert Index.open(saved).metadata == {"model": "amgfh-shapes-16", "kind": "image"}


def test_an_error_while_saving_leaves_the_old_index_and_no_litter(saved, monkeypatch):
    index = Index(16)
    index.add(packed_codes(5, 16), names(5))

    def fail(*_):
        raise OSError("no space left on device")

    monkeypatch.setattr("safetensors.numpy.save_file", fail)
    with pytest.raises(OSError, match="no space left"):
        index.save(saved)
    assert len(Index.open(saved)) == 40
    assert [entry.name for entry in saved.parent.iterdir()] == ["index"]


def test_a_process_killed_while_saving_leaves_the_old_index(saved):
    script = """
import os, sys
import numpy as np
import safetensors.numpy
from crosshash.retrieval.index import Index
index = Index(16)
index.add(np.zeros((5, 2), dtype=np.uint8), list("abcde"))
safetensors.numpy.save_file = lambda *_: os._exit(9)
index.save(sys.argv[1])
"""
    ended = subprocess.run([sys.executable, "-c", script, str(saved)], check=False)
    assert ended.returncode == 9
    assert len(Index.open(saved)) == 40


@pytest.mark.parametrize("name", ["notes.txt", "model.safetensors"])
def test_saving_never_deletes_other_files(saved, name):
    (saved / name).write_text("mine")
    with pytest.raises(FileExistsError, match=f"{name}.*choose a new folder"):
        Index(16).save(saved)
    assert (saved / name).read_text() == "mine"
    with pytest.raises(FileExistsError, match="is a file"):
        Index(16).save(saved / name)


def test_an_empty_folder_may_become_an_index(tmp_path):
    Index(16).save(tmp_path)
    assert len(Index.open(tmp_path)) == 0


@pytest.mark.parametrize("name", ["index.faiss", "ids.safetensors"])
@pytest.mark.parametrize("damage", ["flip", "cut", "empty"])
def test_a_damaged_file_is_named_with_what_to_do(saved, name, damage):
    data = bytearray((saved / name).read_bytes())
    if damage == "flip":
        data[-1] ^= 1
    (saved / name).write_bytes({"flip": data, "cut": data[:-3], "empty": b""}[damage])
    with pytest.raises(CorruptIndexError, match=rf"{name}: .*build the index anew"):
        Index.open(saved)


def rewrite(folder, **changes):
    header = json.loads((folder / "index.json").read_text())
    header.update(changes)
    (folder / "index.json").write_text(json.dumps(header))


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"version": 2}, ValueError, "format version 2, this crosshash reads 1; upgrade"),
        ({"format": "other"}, CorruptIndexError, "not the header"),
        ({"count": 41}, CorruptIndexError, "index.faiss: .*41 flat codes"),
        ({"bits": 32}, CorruptIndexError, "index.faiss: .*32 bits.* 40 of 16"),
        ({"bits": "16"}, CorruptIndexError, "'bits' is missing or no int"),
        ({"metadata": None}, CorruptIndexError, "'metadata' is missing"),
        ({"sha256": {"../other": "0"}}, CorruptIndexError, "sha256 is to name"),
    ],
)
def test_a_header_that_disagrees_is_refused(saved, changes, error, message):
    rewrite(saved, **changes)
    with pytest.raises(error, match=message):
        Index.open(saved)


@pytest.mark.parametrize("text", ["{", "[]", "", "\x00"])
def test_a_header_that_is_no_json_object_is_refused(saved, text):
    (saved / "index.json").write_text(text)
    with pytest.raises(CorruptIndexError, match=r"index\.json: "):
        Index.open(saved)


def test_files_that_are_whole_but_wrong_are_refused(saved, tmp_path):
    import faiss
    from safetensors.numpy import save_file

    from crosshash.files import sha256

    good = json.loads((saved / "index.json").read_text())["sha256"]
    kept = {name: (saved / name).read_bytes() for name in good}

    def expect(name, message):
        rewrite(saved, sha256={**good, name: sha256(saved / name)})
        with pytest.raises(CorruptIndexError, match=rf"{name}: .*{message}"):
            Index.open(saved)
        (saved / name).write_bytes(kept[name])

    (saved / "index.faiss").write_bytes(b"no FAISS index at all")
    expect("index.faiss", "FAISS cannot read it")
    hashed = faiss.IndexBinaryHash(16, 4)
    hashed.add(packed_codes(40, 16))
    faiss.write_index_binary(hashed, str(saved / "index.faiss"))
    expect("index.faiss", "IndexBinaryHash")
    (saved / "ids.safetensors").write_bytes(b"no tensors")
    expect("ids.safetensors", "no list of ids")
    letters = np.frombuffer(b"x" * 40, dtype=np.uint8)
    for offsets, message in [
        (np.arange(41), "40 different ids expected, got 40, 1 of them"),
        (np.arange(40), "offsets do not fit"),
        (np.arange(40)[::-1], "offsets do not fit"),
        (np.array([0, 40]), "40 different ids expected, got 1"),
    ]:
        tensors = {"utf8": letters, "offsets": np.ascontiguousarray(offsets)}
        save_file(tensors, str(saved / "ids.safetensors"))
        expect("ids.safetensors", message)
    save_file({"utf8": letters}, str(saved / "ids.safetensors"))
    expect("ids.safetensors", "offsets")
    rewrite(saved, sha256=good)
    assert len(Index.open(saved)) == 40


@pytest.mark.parametrize("name", ["index.json", "index.faiss", "ids.safetensors"])
def test_a_missing_file_is_named(saved, name):
    (saved / name).unlink()
    with pytest.raises(FileNotFoundError, match=name):
        Index.open(saved)


def test_opening_what_is_not_there_says_so(tmp_path):
    with pytest.raises(FileNotFoundError, match="no saved index here"):
        Index.open(tmp_path / "nowhere")


def test_no_torch_is_loaded_for_searching():
    script = """
import sys
import numpy as np
from crosshash.retrieval.index import Index
assert "faiss" not in sys.modules
index = Index(16)
index.add(np.zeros((1, 2), dtype=np.uint8), ["a"])
index.search(np.zeros((1, 2), dtype=np.uint8))
assert "torch" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", script], check=True)
