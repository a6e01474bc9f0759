from __future__ import annotations

import json

import numpy as np
import pytest

from crosshash.data import Protocol
from crosshash.data.protocol_file import ids_digest, read_protocol, write_protocol

IDS = [f"i{i}" for i in range(40)]


@pytest.fixture
def protocol():
    return Protocol.random(40, query=6, train=15, seed=2)


@pytest.fixture
def path(tmp_path, protocol):
    path = tmp_path / "splits" / "a.json"
    write_protocol(path, protocol, IDS, dataset="coco", seed=2)
    return path


def edit(path, **changes):
    content = json.loads(path.read_text())
    content.update(changes)
    path.write_text(json.dumps(content))


def test_a_protocol_comes_back_as_it_was(path, protocol):
    read = read_protocol(path, IDS, dataset="coco")
    assert read.name == protocol.name
    assert read.validation is None
    for part, rows in protocol.sets().items():
        np.testing.assert_array_equal(read.sets()[part], rows)


def test_order_and_the_sets_that_are_held_out_are_kept(tmp_path):
    protocol = Protocol("p", [3, 1], [30, 10, 11, 12, 5, 4], [12, 11], [20], [30, 4])
    write_protocol(tmp_path / "p.json", protocol, IDS)
    read = read_protocol(tmp_path / "p.json", IDS)
    assert {part: rows.tolist() for part, rows in read.sets().items()} == {
        "query": [3, 1],
        "retrieval": [30, 10, 11, 12, 5, 4],
        "train": [12, 11],
        "validation": [20],
        "calibration": [30, 4],
    }


def test_the_file_says_what_it_is_for(path, protocol):
    content = json.loads(path.read_text())
    assert (content["dataset"], content["pairs"], content["seed"]) == ("coco", 40, 2)
    assert content["counts"] == protocol.counts()
    assert content["split_sha256"] == protocol.digest(IDS)
    assert content["ids_sha256"] == ids_digest(IDS)


def test_the_same_protocol_gives_the_same_bytes(path, protocol, tmp_path):
    write_protocol(tmp_path / "b.json", protocol, IDS, dataset="coco", seed=2)
    assert (tmp_path / "b.json").read_bytes() == path.read_bytes()


def test_files_stay_small(tmp_path):
    ids = [f"i{i}" for i in range(186_577)]
    protocol = Protocol.random(len(ids), query=2000, train=5000)
    write_protocol(tmp_path / "nus.json", protocol, ids)
    assert (tmp_path / "nus.json").stat().st_size < 100_000
    assert read_protocol(tmp_path / "nus.json", ids).digest(ids) == protocol.digest(ids)


def test_an_unsound_protocol_is_not_written(tmp_path):
    with pytest.raises(ValueError, match="must be disjoint"):
        write_protocol(tmp_path / "p.json", Protocol("p", [0], [0, 1], [1]), IDS)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "ids", [IDS[:39], [*IDS[:39], "other"], IDS[::-1]], ids=["fewer", "renamed", "reordered"]
)
def test_another_version_of_the_data_is_refused(path, ids):
    with pytest.raises(ValueError, match=r"made for 40 pairs, .* another version of the data"):
        read_protocol(path, ids)


def test_another_data_set_is_refused(path):
    with pytest.raises(ValueError, match="a protocol of data set 'coco', not of 'nuswide'"):
        read_protocol(path, IDS, dataset="nuswide")


def test_edited_rows_are_refused(path):
    content = json.loads(path.read_text())
    rows = content["rows"] | {"train": content["rows"]["retrieval"]}
    edit(path, rows=rows)
    with pytest.raises(ValueError, match="do not have the hash"):
        read_protocol(path, IDS)


@pytest.mark.parametrize(
    "rows",
    ["", "a", "5-", "-5", "3-1", "1,,2", "39-40", "0-999999999999", "0-39,0-39", "1.5", 7, None],
)
def test_rows_that_are_no_rows_are_refused(path, rows):
    content = json.loads(path.read_text())
    edit(path, rows=content["rows"] | {"query": rows})
    with pytest.raises(ValueError, match="is no row or range of rows below 40"):
        read_protocol(path, IDS)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"format": "x"}, "not a protocol file"),
        ({"version": 2}, "version 2 of the format"),
        ({"pairs": "40"}, "pairs: missing or of the wrong type"),
        ({"pairs": True}, "pairs: missing or of the wrong type"),
        ({"rows": {}}, "the sets are query, retrieval, train"),
        ({"rows": {"query": "0", "retrieval": "1", "train": "1", "x": "2"}}, "the sets are"),
    ],
)
def test_other_contents_are_refused(path, changes, message):
    edit(path, **changes)
    with pytest.raises(ValueError, match=message):
        read_protocol(path, IDS)


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[]", b"\xff\xfe", b"[" * 100_000, b'{"a": 1, "a": 2}', b"9" * 5000]
)
def test_a_file_that_is_no_protocol_is_refused(tmp_path, content):
    (tmp_path / "p.json").write_bytes(content)
    with pytest.raises(ValueError, match=r"p\.json: .*a protocol file"):
        read_protocol(tmp_path / "p.json", IDS)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"p\.json: no such protocol file"):
        read_protocol(tmp_path / "p.json", IDS)
