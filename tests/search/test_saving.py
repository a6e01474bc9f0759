"""Indexes in folders: written whole or not at all, and read with every doubt."""

import json
import subprocess
import sys

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from crosshash.search.index import CorruptIndexError, Index

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
    return np.random.default_rng(seed).integers(0, 256, (n, bits // 8), dtype=np.uint8)


def names(n):
    return [f"item {i}" for i in range(n)]


@pytest.fixture
def saved(tmp_path):
    index = Index(16, {"model": "amgfh-shapes-16", "kind": "image"})
    index.add(packed_codes(40, 16), names(40))
    index.save(tmp_path / "index")
    return tmp_path / "index"


def test_a_saved_index_opens_the_same(tmp_path):
    metadata = {"model": "amgfh-shapes-64", "kind": "image", "root": {"é": [1, 2.5, None, True]}}
    index = Index(64, metadata)
    codes = packed_codes(len(ODD_IDS), 64)
    index.add(codes, ODD_IDS)
    index.save(tmp_path / "deep" / "index")
    back = Index.load(str(tmp_path / "deep" / "index"))
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
    assert list(Index.load(tmp_path / "deep" / "index").ids) == [*ODD_IDS, "one more"]


@pytest.mark.parametrize("ids", [[], [""]])
def test_an_index_without_items_or_letters_can_be_saved(tmp_path, ids):
    index = Index(16)
    index.add(packed_codes(len(ids), 16), ids)
    index.save(tmp_path / "index")
    assert list(Index.load(tmp_path / "index").ids) == ids


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
    index = Index.load(saved)
    index.metadata = metadata
    with pytest.raises(TypeError, match="metadata"):
        index.save(saved)
    assert Index.load(saved).metadata == {"model": "amgfh-shapes-16", "kind": "image"}


def test_metadata_that_could_not_be_read_again_is_not_saved(saved):
    deep = []
    for _ in range(70):
        deep = [deep]
    for metadata in ({"deep": deep}, {"long": "x" * (20 << 20)}):
        with pytest.raises(TypeError, match="metadata cannot be saved as JSON"):
            Index(16, metadata).save(saved)
    assert len(Index.load(saved)) == 40


def test_an_error_while_saving_leaves_the_old_index_and_no_litter(saved, monkeypatch):
    index = Index(16)
    index.add(packed_codes(5, 16), names(5))

    def fail(*_):
        raise OSError("no space left on device")

    monkeypatch.setattr("safetensors.numpy.save_file", fail)
    with pytest.raises(OSError, match="no space left"):
        index.save(saved)
    assert len(Index.load(saved)) == 40
    assert [entry.name for entry in saved.parent.iterdir()] == ["index"]


def test_a_process_killed_while_saving_leaves_the_old_index(saved):
    script = """
import os, sys
import numpy as np
import safetensors.numpy
from crosshash.search.index import Index
index = Index(16)
index.add(np.zeros((5, 2), dtype=np.uint8), list("abcde"))
safetensors.numpy.save_file = lambda *_: os._exit(9)
index.save(sys.argv[1])
"""
    ended = subprocess.run([sys.executable, "-c", script, str(saved)], check=False)
    assert ended.returncode == 9
    assert len(Index.load(saved)) == 40


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
    assert len(Index.load(tmp_path)) == 0


SEGMENT = "segment-000002.safetensors"


@pytest.mark.parametrize("damage", ["flip", "cut", "empty"])
def test_a_damaged_file_is_named_with_what_to_do(saved, damage):
    data = bytearray((saved / SEGMENT).read_bytes())
    if damage == "flip":
        data[-1] ^= 1
    (saved / SEGMENT).write_bytes({"flip": data, "cut": data[:-3], "empty": b""}[damage])
    with pytest.raises(CorruptIndexError, match=rf"{SEGMENT}: .*build it anew"):
        Index.load(saved)


def rewrite(folder, **changes):
    header = json.loads((folder / "index.json").read_text())
    header.update(changes)
    (folder / "index.json").write_text(json.dumps(header))


PART = {"file": SEGMENT, "count": 40}


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"version": 1}, ValueError, "format version 1, this crosshash reads 2; build"),
        ({"format": "other"}, CorruptIndexError, "not the header"),
        ({"parts": [{**PART, "count": 41}]}, CorruptIndexError, SEGMENT),
        ({"parts": [{**PART, "count": 0}]}, CorruptIndexError, "said to have 0 items"),
        ({"parts": [{**PART, "count": True}]}, CorruptIndexError, "said to have True items"),
        ({"parts": [{**PART, "file": "../x"}]}, CorruptIndexError, "no name of an index's file"),
        ({"parts": [{**PART, "file": 7}]}, CorruptIndexError, "not the header of an index"),
        ({"parts": [{**PART, "more": 1}]}, CorruptIndexError, "unexpected keyword"),
        ({"parts": [{**PART, "kind": "mih"}]}, CorruptIndexError, "is mih with the structure None"),
        ({"parts": [{**PART, "kind": "tree"}]}, CorruptIndexError, "kind is one of"),
        ({"parts": [PART, {**PART, "file": "segment-000003"}]}, CorruptIndexError, "no digest"),
        ({"parts": ["x"]}, CorruptIndexError, "not the header of an index"),
        ({"log": "index.json"}, CorruptIndexError, "no name of an index's file"),
        ({"bits": 32}, CorruptIndexError, r"codes is to be \(40, 4\), and is \(40, 2\)"),
        ({"bits": True}, CorruptIndexError, "'bits' is missing or no int"),
        ({"bits": "16"}, CorruptIndexError, "'bits' is missing or no int"),
        ({"metadata": None}, CorruptIndexError, "'metadata' is missing"),
        ({"sha256": {"../other": "0"}}, CorruptIndexError, f"no digest of {SEGMENT}"),
    ],
)
def test_a_header_that_disagrees_is_refused(saved, changes, error, message):
    rewrite(saved, **changes)
    for read in (Index.load, Index.open):
        with pytest.raises(error, match=message):
            read(saved)


HARM = ["[" * 100_000, '{"bits": 1, "bits": 2}', '{"bits": NaN}', "9" * 5000, "\udc80"]


@pytest.mark.parametrize("text", ["{", "[]", "", "\x00", *HARM])
def test_a_header_that_is_no_json_object_is_refused(saved, text):
    (saved / "index.json").write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(CorruptIndexError, match=r"index\.json: .*build it anew"):
        Index.load(saved)


def tensors_of(folder):
    return dict(load_file(folder / SEGMENT))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"codes": None}, "codes missing"),
        ({"more": np.zeros(3, np.uint8)}, "more, U8 .* has no place here"),
        ({"codes": np.zeros((40, 3), np.uint8)}, r"codes is to be \(40, 2\)"),
        ({"codes": np.zeros((39, 2), np.uint8)}, "39 codes of 40 items without their lists"),
        ({"offsets": np.zeros(41, np.int32)}, "offsets, I32"),
        ({"offsets": np.zeros(40, np.int64)}, r"offsets is to be \(41,\)"),
        ({"hashes": np.zeros(39, np.uint32)}, r"hashes is to be \(40,\)"),
        ({"rows": np.zeros(40, np.uint32)}, "without their lists"),
    ],
)
def test_a_segment_of_another_form_is_refused_without_reading_it(saved, changes, message):
    tensors = {**tensors_of(saved), **changes}
    save_file({name: one for name, one in tensors.items() if one is not None}, saved / SEGMENT)
    with pytest.raises(CorruptIndexError, match=rf"{SEGMENT}: .*{message}"):
        Index.open(saved)


def test_a_file_of_something_else_is_no_segment(saved):
    (saved / SEGMENT).write_bytes(b"no tensors")
    with pytest.raises(CorruptIndexError, match=f"{SEGMENT}: its header"):
        Index.open(saved)


@pytest.mark.parametrize("name", ["index.json", SEGMENT])
def test_a_missing_file_is_named(saved, name):
    (saved / name).unlink()
    for read in (Index.load, Index.open):
        with pytest.raises(FileNotFoundError, match=name):
            read(saved)


def test_opening_what_is_not_there_says_so(tmp_path):
    for read in (Index.load, Index.open):
        with pytest.raises(FileNotFoundError, match="no saved index here"):
            read(tmp_path / "nowhere")
