"""Indexes on disk: written whole or not at all, and read with every doubt."""

import json
import subprocess
import sys

import numpy as np
import pytest

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


@pytest.mark.parametrize("name", ["index.faiss", "ids.safetensors"])
@pytest.mark.parametrize("damage", ["flip", "cut", "empty"])
def test_a_damaged_file_is_named_with_what_to_do(saved, name, damage):
    data = bytearray((saved / name).read_bytes())
    if damage == "flip":
        data[-1] ^= 1
    (saved / name).write_bytes({"flip": data, "cut": data[:-3], "empty": b""}[damage])
    with pytest.raises(CorruptIndexError, match=rf"{name}: .*build the index anew"):
        Index.load(saved)


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
        ({"bits": True}, CorruptIndexError, "'bits' is missing or no int"),
        ({"count": 10**30}, CorruptIndexError, "flat codes of 16 bits"),
        ({"bits": "16"}, CorruptIndexError, "'bits' is missing or no int"),
        ({"metadata": None}, CorruptIndexError, "'metadata' is missing"),
        ({"sha256": {"../other": "0"}}, CorruptIndexError, "sha256 is to name"),
    ],
)
def test_a_header_that_disagrees_is_refused(saved, changes, error, message):
    rewrite(saved, **changes)
    with pytest.raises(error, match=message):
        Index.load(saved)


HARM = ["[" * 100_000, '{"bits": 1, "bits": 2}', '{"bits": NaN}', "9" * 5000, "\udc80"]


@pytest.mark.parametrize("text", ["{", "[]", "", "\x00", *HARM])
def test_a_header_that_is_no_json_object_is_refused(saved, text):
    (saved / "index.json").write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(CorruptIndexError, match=r"index\.json: .*build the index anew"):
        Index.load(saved)


def test_files_that_are_whole_but_wrong_are_refused(saved, tmp_path):
    import faiss
    from safetensors.numpy import save_file

    from crosshash.files import sha256

    good = json.loads((saved / "index.json").read_text())["sha256"]
    kept = {name: (saved / name).read_bytes() for name in good}

    def expect(name, message):
        rewrite(saved, sha256={**good, name: sha256(saved / name)})
        with pytest.raises(CorruptIndexError, match=rf"{name}: .*{message}"):
            Index.load(saved)
        (saved / name).write_bytes(kept[name])

    (saved / "index.faiss").write_bytes(b"no FAISS index at all")
    expect("index.faiss", "no flat index")
    hashed = faiss.IndexBinaryHash(16, 4)
    hashed.add(packed_codes(40, 16))
    faiss.write_index_binary(hashed, str(saved / "index.faiss"))
    expect("index.faiss", "no flat index")
    whole = kept["index.faiss"]
    (saved / "index.faiss").write_bytes(whole[:25] + b"\xff" * 7 + whole[32:])
    expect("index.faiss", "40 flat codes of 16 bits")
    (saved / "index.faiss").write_bytes(whole + b"more")
    expect("index.faiss", "has 84 bytes")
    (saved / "ids.safetensors").write_bytes(b"no tensors")
    expect("ids.safetensors", "no list of ids")
    letters = np.frombuffer(b"x" * 40, dtype=np.uint8)
    for offsets, message in [
        (np.arange(41), "40 different ids expected, got 40, 1 of them"),
        (np.arange(40), "offsets do not fit"),
        (np.arange(40)[::-1], "offsets do not fit"),
        (np.array([0, 40]), "40 different ids expected, got 1"),
        (np.arange(41.0), "offsets is one row of int64, got float64"),
        (np.arange(41).astype(np.int32), "offsets is one row of int64, got int32"),
        (
            np.arange(41).reshape(1, 41),
            r"offsets is one row of int64, got int64 of shape \(1, 41\)",
        ),
        (np.zeros(0, np.int64), "no list of ids"),
    ]:
        tensors = {"utf8": letters, "offsets": np.ascontiguousarray(offsets)}
        save_file(tensors, str(saved / "ids.safetensors"))
        expect("ids.safetensors", message)
    wrong = {"utf8": letters.astype(np.int16), "offsets": np.arange(41)}
    save_file(wrong, str(saved / "ids.safetensors"))
    expect("ids.safetensors", "utf8 is one row of uint8, got int16")
    save_file({"utf8": letters}, str(saved / "ids.safetensors"))
    expect("ids.safetensors", "offsets")
    rewrite(saved, sha256=good)
    assert len(Index.load(saved)) == 40


@pytest.mark.parametrize("name", ["index.json", "index.faiss", "ids.safetensors"])
def test_a_missing_file_is_named(saved, name):
    (saved / name).unlink()
    with pytest.raises(FileNotFoundError, match=name):
        Index.load(saved)


def test_open_is_load(saved):
    assert list(Index.open(saved).ids) == list(Index.load(saved).ids) == names(40)


def test_opening_what_is_not_there_says_so(tmp_path):
    with pytest.raises(FileNotFoundError, match="no saved index here"):
        Index.load(tmp_path / "nowhere")
