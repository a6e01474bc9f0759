"""What only Milvus promises: changes whole after a kill, its index, limits and errors."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
import pytest

from crosshash.codes import Packed, hamming
from crosshash.search.filters import as_filter

# The timeout is also that of waiting for another file's server.
pytestmark = [pytest.mark.server, pytest.mark.timeout(900)]


class KilledError(Exception):
    """Stands for the end of the process."""


def random(count: int, bits: int = 16, seed: int = 0) -> Packed:
    return np.random.default_rng(seed).integers(0, 256, (count, bits // 8), dtype=np.uint8)


def killed_after(engine: Any, writes: int) -> None:
    """Let an engine's requests that write through until so many were made, and no further one."""
    left = [writes]
    server = engine._server

    def limited(name: str) -> Any:
        request = getattr(server, name)

        def send(*args: Any) -> None:
            if not left[0]:
                raise KilledError
            left[0] -= 1
            request(*args)

        return send

    server.insert, server.delete = limited("insert"), limited("delete")


def items(engine: Any) -> list[tuple[str, Any]]:
    return [pair for block in engine.scan() for pair in zip(block.ids, block.metadata, strict=True)]


def test_packed_codes_are_the_vectors_as_they_are(milvus_place: Any) -> None:
    engine = milvus_place.open(16, create=True)
    engine.insert(np.array([[0b0000_0001, 0b1100_0000]], dtype=np.uint8), ["a"], None)
    engine.insert(np.array([[0b0000_0011, 0]], dtype=np.uint8), ["b"], None)
    (row,) = engine._server.query(engine._server.name, "order == 0", ["code"])
    assert row["code"] == [b"\x01\xc0"]
    found = engine.nearest(np.array([[1, 0]], dtype=np.uint8), 2)
    assert (found.ids, found.distance.tolist()) == (["b", "a"], [1, 2])


# Replacing inserts as well, and all tell what is part of the index in the same row.
@pytest.mark.parametrize(
    "change",
    [
        pytest.param("insert", marks=pytest.mark.torture),
        "replace",
        "delete",
        pytest.param("info", marks=pytest.mark.torture),
    ],
)
def test_a_change_that_is_killed_anywhere_is_whole_or_not_there(
    milvus_place: Any, change: str
) -> None:
    before = [("a", None), ("b", {"n": 1}), ("c", {})]
    milvus_place.open(16, create=True).insert(random(3), list("abc"), [held for _, held in before])
    after = {
        "insert": [*before, ("d", None), ("e", {"n": 2})],
        "replace": [("c", {}), ("b", None), ("a", {"n": 2})],
        "delete": [("b", {"n": 1})],
        "info": before,
    }[change]

    def act(engine: Any) -> None:
        if change == "delete":
            engine.delete(["a", "c"])
        elif change == "info":
            engine.write_info({"told": True})
        else:
            ids = ["d", "e"] if change == "insert" else ["b", "a"]
            engine.insert(random(2, seed=1), ids, [None, {"n": 2}], replace=change == "replace")

    seen = []
    for writes in range(20):
        engine = milvus_place.open()
        killed_after(engine, writes)
        try:
            act(engine)
        except KilledError:
            reader = milvus_place.open()
            held = items(reader)
            assert held in (before, after)
            assert len(reader) == len(held)
            assert reader.read_info() in ({}, {"told": True})
            seen.append(held == after if change != "info" else reader.read_info() != {})
            if not seen[-1]:
                continue
        break
    writer = milvus_place.open()
    assert items(writer) == after
    writer.insert(random(1, seed=2), ["z"], None)
    assert items(milvus_place.open()) == [*after, ("z", None)]
    assert False in seen
    assert seen == sorted(seen)


def test_what_is_left_of_a_change_is_not_found_and_does_not_come_back(milvus_place: Any) -> None:
    engine = milvus_place.open(16, create=True)
    killed_after(engine, 1)
    with pytest.raises(KilledError):
        engine.insert(random(2), ["a", "b"], None)
    again = milvus_place.open()
    assert (len(again), again.known(["a"]), items(again)) == (0, [False], [])
    assert again.nearest(random(1), 5).ids == again.within(random(1), 16).ids == []
    again.insert(random(1, seed=3), ["c"], None)
    assert again.within(random(1), 16).ids == ["c"]


def test_a_second_writer_is_told_where_it_is_noticed(
    milvus_place: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine, other = milvus_place.open(16, create=True), milvus_place.open()
    known = engine._known

    def meanwhile(*args: Any) -> Any:
        other.insert(random(1), ["b"], None)
        return known(*args)

    monkeypatch.setattr(engine, "_known", meanwhile)
    with pytest.raises(RuntimeError, match="one writer at a time"):
        engine.insert(random(1), ["a"], None)
    assert [id_ for id_, _ in items(milvus_place.open())] == ["b"]


def test_a_search_whose_hit_is_taken_out_meanwhile_is_made_again(
    milvus_place: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine, writer = milvus_place.open(16, create=True), milvus_place.open()
    codes = random(6)
    engine.insert(codes, list("abcdef"), None)
    rows, gone = engine._searches.rows, ["a", "b"]

    def meanwhile(orders: Any) -> Any:
        if gone:
            writer.delete([gone.pop(0)])
        return rows(orders)

    monkeypatch.setattr(engine._searches, "rows", meanwhile)
    assert sorted(engine.nearest(codes[:1], 4).ids) == list("cdef")
    assert gone == []
    gone.append("c")
    assert sorted(engine.within(codes[:1], 16).ids) == list("def")


def test_many_items_are_read_as_often_as_one(
    milvus_place: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each read waits for a tick of the server."""
    engine = milvus_place.open(16, create=True)
    ids = [str(row) for row in range(60)]
    engine.insert(random(60), ids, None)
    query, reads = engine._server.query, []

    def counted(*args: Any) -> Any:
        reads.append(args[1])
        return query(*args)

    engine.fetch(ids)  # so that what a read without a wait sees is there
    monkeypatch.setattr(engine._server, "query", counted)
    counts = []
    for asked in (ids[:1], ids):
        reads.clear()
        assert engine.fetch(asked).ids == asked
        counts.append(len(reads))
    assert counts[0] == counts[1] <= 3


def test_more_than_a_search_gives_is_found_in_halves(
    milvus_place: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = milvus_place.open(8, create=True)
    codes = random(120, 8) & np.uint8(7)
    ids = [str(row) for row in range(120)]
    engine.insert(codes, ids, [{"n": row % 10} for row in range(120)])
    monkeypatch.setattr("crosshash.search.milvus_search._LIMIT", 32)
    monkeypatch.setattr("crosshash.search.milvus_search._SPARE", 2)
    monkeypatch.setattr("crosshash.search.milvus_search.BLOCK", 16)
    distances = hamming(codes[:1], codes)[0]
    rows = np.argsort(distances, kind="stable").astype(str).tolist()
    assert [engine.nearest(codes[:1], topk).ids for topk in (1, 5, 50)] == [
        rows[:topk] for topk in (1, 5, 50)
    ]
    assert engine.within(codes[:1], 1).ids == rows[: (distances <= 1).sum()]
    late = [row for row in rows if int(row) % 10 > 7]
    assert engine.nearest(codes[:1], 20, as_filter({"n": {">": 7}})).ids == late[:20]
    assert [id_ for id_, _ in items(engine)] == ids


def test_lists_make_nearest_approximate_and_nothing_else(milvus_place: Any) -> None:
    engine = milvus_place.open(64, create=True)
    codes = np.repeat(random(1500, 64), 2, axis=0)
    engine.insert(codes, [str(row) for row in range(3000)], [{"n": row % 2} for row in range(3000)])
    again = milvus_place.open()
    assert again.exact
    engine.compact(kind="ivf", nlist=32)
    assert not engine.exact
    assert not milvus_place.open().exact
    queries = random(4, 64, seed=5)
    distances = hamming(queries, codes)
    found = again.nearest(queries, 10)
    assert not again.exact  # it was opened before
    assert (found.distance == distances[found.query, [int(id_) for id_ in found.ids]]).all()
    for pair in np.array([int(id_) for id_ in found.ids]).reshape(-1, 2):
        assert pair[0] % 2 == 0
        assert pair[1] == pair[0] + 1
    count = int((distances <= 26).sum())
    assert len(again.within(queries, 26).ids) == count
    met = again.nearest(queries, 10, as_filter({"n": 1}))
    assert (met.distance.reshape(4, 10) == np.sort(distances[:, 1::2], axis=1)[:, :10]).all()
    assert len(again.nearest(queries[:1], 2900).ids) == 2900
    engine.compact(kind="flat")
    assert engine.exact
    best = np.sort(distances, axis=1)[:, :10]
    assert (engine.nearest(queries, 10).distance.reshape(4, 10) == best).all()


def test_what_milvus_does_not_keep_is_refused(milvus_place: Any) -> None:
    engine = milvus_place.open(16, create=True)
    for ids, metadata, told in (
        (["a", "x" * 65534], None, "the id at row 1 takes 65,536 bytes as JSON"),
        (["a", "b"], [None, {"n": "x" * 65530}], "the metadata at row 1 takes"),
        (["a", "b"], [{str(n): 0 for n in range(2049)}, {}], "row 0 have 4,098 names and values"),
    ):
        with pytest.raises(ValueError, match=told):
            engine.insert(random(2), ids, metadata)
    with pytest.raises(ValueError, match=r"takes 70,0\d\d bytes as JSON"):
        engine.write_info({"n": "x" * 70000})
    assert (len(engine), engine.read_info()) == (0, {})
    engine.insert(random(1), ["x" * 65533], [{"n": "x" * 65525}])
    assert milvus_place.open().known(["x" * 65533]) == [True]
    with pytest.raises(ValueError, match='kind is "flat" or "ivf", got \'hnsw\''):
        engine.compact(kind="hnsw")
    with pytest.raises(ValueError, match="nlist is a number from 1 to 65536"):
        engine.compact(kind="ivf", nlist=0)


def test_collections_of_others_are_left_alone(milvus_place: Any) -> None:
    from crosshash.search.milvus_server import MilvusServer

    server = MilvusServer(milvus_place.uri)
    make, kind = server.pymilvus.FieldSchema, server.pymilvus.DataType
    fields = [make("n", kind.INT64, is_primary=True), make("v", kind.BINARY_VECTOR, dim=16)]
    server.make(server.name, fields, "")
    for create in (False, True):
        with pytest.raises(ValueError, match="are not an index of this package"):
            milvus_place.open(16, create=create)
    server.close()


def test_addresses_and_passwords(monkeypatch: pytest.MonkeyPatch) -> None:
    from crosshash.search.milvus import MilvusEngine

    wrong = ["milvus://u:s3cr/t@localhost/a", "milvus://u:s3cr@localhost", "milvus://u:s3cr@h/a-b"]
    for uri in wrong:
        with pytest.raises(ValueError, match="a Milvus index is milvus://user:password@") as caught:
            MilvusEngine.open(uri)
        assert "s3cr" not in str(caught.value)
    pytest.importorskip("pymilvus", reason="needs crosshash[milvus]")
    monkeypatch.setattr("crosshash.search.milvus_server._CONNECT_SECONDS", 1)
    with pytest.raises(ConnectionError, match="no connection to the server") as refused:
        MilvusEngine.open("milvus://u:s3cr@127.0.0.1:1/a")
    assert "s3cr" not in str(refused.value)
    monkeypatch.setitem(sys.modules, "pymilvus", None)
    with pytest.raises(ModuleNotFoundError, match=r"pip install 'crosshash\[milvus\]'"):
        MilvusEngine.open("milvus://localhost/a")
