"""What every engine promises, compared with lists and distances between all pairs."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from crosshash.codes import Packed, hamming
from crosshash.search.engine import Found
from crosshash.search.filters import Condition, Filter, as_filter, meets
from crosshash.search.folder import FolderEngine
from crosshash.search.index import Index

Metadata = dict[str, Any] | None
Entry = tuple[str, bytes, Metadata]
ODD = [
    "",
    " ",
    "a\nb",
    "\x00",
    "a\x00b",
    "\x01",
    "ébène",
    "e\u0301",
    "\udcff.jpg",
    "\ud7ff\x01",
    "😀",
]
ODD += ["'; DROP TABLE items; --", '") or (1 == 1', "%s", "{codes}", "\\x00", "x" * 3000, "0", "00"]


class Oracle:
    """A list in order of insertion."""

    def __init__(self) -> None:
        self.entries: list[Entry] = []

    def insert(
        self, codes: Packed, ids: Sequence[str], metadata: Sequence[Metadata] | None
    ) -> None:
        self.delete(ids)
        held = [None] * len(ids) if metadata is None else metadata
        self.entries += zip(ids, (code.tobytes() for code in codes), held, strict=True)

    def delete(self, ids: Sequence[str]) -> None:
        self.entries = [entry for entry in self.entries if entry[0] not in set(ids)]

    def within(self, code: Packed, radius: int, where: Filter | None = None) -> list[Any]:
        met = [entry for entry in self.entries if where is None or meets(where, entry[2])]
        if not met:
            return []
        distances = hamming(code[None], np.stack([as_code(entry[1]) for entry in met]))[0]
        rows = np.argsort(distances, kind="stable")
        return [(int(distances[row]), *met[row]) for row in rows if distances[row] <= radius]

    def nearest(self, code: Packed, topk: int, where: Filter | None = None) -> list[Any]:
        return self.within(code, 8 * len(code), where)[:topk]


def as_code(code: bytes) -> Packed:
    return np.frombuffer(code, dtype=np.uint8)


def hits(found: Found, queries: int) -> list[list[Any]]:
    """The hits of each query, whose columns are of the types that are promised."""
    kinds = [found.query.dtype, found.distance.dtype, found.order.dtype, found.codes.dtype]
    assert kinds == [np.int64, np.int32, np.int64, np.uint8]
    assert (np.diff(found.query) >= 0).all()
    answer: list[list[Any]] = [[] for _ in range(queries)]
    columns = (found.query, found.distance, found.ids, found.codes, found.metadata)
    for query, distance, id_, code, held in zip(*columns, strict=True):
        answer[query].append((int(distance), id_, code.tobytes(), held))
    return answer


def scanned(engine: Any, where: Filter | None = None) -> list[Entry]:
    """All items, whose orders grow."""
    blocks = list(engine.scan(where))
    orders = [order for block in blocks for order in block.order.tolist()]
    assert orders == sorted(set(orders))
    return [entry for block in blocks for entry in entries(block)]


def entries(items: Any) -> list[Entry]:
    codes = (code.tobytes() for code in items.codes)
    return list(zip(items.ids, codes, items.metadata, strict=True))


def random(count: int, bits: int = 16, seed: int = 0) -> Packed:
    return np.random.default_rng(seed).integers(0, 256, (count, bits // 8), dtype=np.uint8)


def check(engine: Any, oracle: Oracle, where: Filter | None = None) -> None:
    """Everything that can be asked has the oracle's answer."""
    assert len(engine) == len(oracle.entries)
    assert scanned(engine, where) == [
        entry for entry in oracle.entries if where is None or meets(where, entry[2])
    ]
    held = [as_code(entry[1]) for entry in oracle.entries[:1]]
    queries = np.stack([*random(1, engine.bits, seed=9), *held])
    for topk in (1, 7, len(oracle.entries) + 5):
        found = hits(engine.nearest(queries, topk, where), len(queries))
        assert found == [oracle.nearest(query, topk, where) for query in queries]
    for radius in (0, engine.bits // 3):
        found = hits(engine.within(queries, radius, where), len(queries))
        assert found == [oracle.within(query, radius, where) for query in queries]


def test_an_empty_index_answers(place: Any) -> None:
    engine = place.open(16, create=True)
    assert (engine.bits, engine.exact, len(engine)) == (16, True, 0)
    assert engine.known(["a"]) == [False]
    assert engine.read_info() == {}
    assert len(engine.fetch([])) == 0
    engine.insert(random(0), [], None)
    engine.delete([])
    check(engine, Oracle())


def test_changes_and_searches_are_those_of_a_list(place: Any) -> None:
    """One-byte codes: many ties at every cut, and many items of one code."""
    engine, oracle = place.open(8, create=True), Oracle()
    rng = np.random.default_rng(1)
    for step in range(4):
        ids = [str(number) for number in rng.permutation(80)[:30]]
        metadata = [None if rng.random() < 0.2 else {"n": int(rng.integers(3))} for _ in ids]
        codes = random(30, 8, seed=step) & np.uint8(0x1F)
        engine.insert(codes, ids, metadata, replace=True)
        oracle.insert(codes, ids, metadata)
        gone = [entry[0] for entry in oracle.entries if rng.random() < 0.3]
        engine.delete(gone)
        oracle.delete(gone)
    check(engine, oracle)
    for where in ({"n": 1}, {"n": {">": 0}}, {"n": {"!=": 2}}, {"m": 1}, {"n": [0, 2]}):
        check(engine, oracle, as_filter(where))
    check(place.open(8), oracle)
    engine.compact()
    check(engine, oracle)


def test_codes_of_many_bits_are_told_apart(place: Any) -> None:
    engine, oracle = place.open(128, create=True), Oracle()
    codes = np.concatenate([random(20, 128), random(20, 128)])
    ids = [f"id{row}" for row in range(40)]
    engine.insert(codes, ids, None)
    oracle.insert(codes, ids, None)
    check(engine, oracle)


def test_odd_ids_and_metadata_come_back_as_they_were(place: Any) -> None:
    engine, oracle = place.open(16, create=True), Oracle()
    metadata: list[Metadata] = [{id_: id_, "list": [id_, None, {"a": 1e-320}]} for id_ in ODD]
    metadata[:3] = [None, {}, {"b": 1.0, "a": 2**70, "t": True, "\x00": 0.1, "e": 1e23}]
    engine.insert(random(len(ODD)), ODD, metadata)
    oracle.insert(random(len(ODD)), ODD, metadata)
    check(engine, oracle)
    again = place.open()
    assert again.known([*ODD, "a\x00", "x" * 2999]) == [True] * len(ODD) + [False] * 2
    assert entries(again.fetch(ODD[::-1])) == oracle.entries[::-1]
    assert [list(held or ()) for held in again.fetch(ODD[2:3]).metadata] == [
        list(metadata[2] or ())
    ]
    assert type(again.fetch(ODD[2:3]).metadata[0]["b"]) is float
    engine.delete(ODD[3:5])
    assert engine.known(ODD[2:6]) == [True, False, False, True]
    for id_ in ODD[5:]:
        for where in (as_filter({id_: id_}), (Condition("list", "!=", id_),)):
            assert scanned(engine, where) == [
                entry for entry in oracle.entries
                if entry[0] not in ODD[3:5] and meets(where or (), entry[2])
            ]  # fmt: skip


def test_what_is_refused_changes_nothing(place: Any) -> None:
    engine, oracle = place.open(16, create=True), Oracle()
    engine.insert(random(3), ["a", "b", "c"], [{"n": 1}, None, {}])
    oracle.insert(random(3), ["a", "b", "c"], [{"n": 1}, None, {}])
    with pytest.raises(ValueError, match=r"id 'b' \(row 1\) is in the index already"):
        engine.insert(random(3, seed=1), ["d", "b", "a"], None)
    with pytest.raises(LookupError, match="not in the index: 'x'; nothing was changed"):
        engine.delete(["a", "x"])
    with pytest.raises(LookupError, match="not in the index: 'x'"):
        engine.fetch(["a", "x"])
    with pytest.raises(ValueError, match="JSON"):
        engine.insert(random(2, seed=2), ["y", "a"], [None, {"n": float("nan")}], replace=True)
    with pytest.raises(TypeError, match=r"takes no options, got \['speed'\]"):
        engine.compact(speed=1)
    check(engine, oracle)
    check(place.open(16), oracle)


def test_what_is_replaced_comes_last(place: Any) -> None:
    engine = place.open(16, create=True)
    codes = np.zeros((3, 2), dtype=np.uint8)
    engine.insert(codes, ["a", "b", "c"], None)
    engine.insert(codes[:2], ["a", "d"], [{"n": 1}, None], replace=True)
    assert list(engine.nearest(codes[:1], 3).ids) == ["b", "c", "a"]
    assert [entry[0] for entry in scanned(engine)] == ["b", "c", "a", "d"]
    assert list(engine.fetch(["a", "a"]).metadata) == [{"n": 1}, {"n": 1}]


def test_many_items_are_got_by_one_question_in_the_order_asked(
    place: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    codes = random(5)
    with Index.open(place.uri, 16) as index:
        index.add(codes, ["a", 7, "c", "d", "e"], [{"n": 1}, None, {}, None, {"n": 2}])
        fetch, asked = index._engine.fetch, []
        monkeypatch.setattr(index._engine, "fetch", lambda ids: asked.append(ids) or fetch(ids))
        found = index.get_many(iter(["e", 7, "e", "a"]))
        assert asked == [["e", "7", "e", "a"]]
        assert [(item.id, item.code.tolist(), item.metadata) for item in found] == [
            ("e", codes[4].tolist(), {"n": 2}),
            ("7", codes[1].tolist(), None),
            ("e", codes[4].tolist(), {"n": 2}),
            ("a", codes[0].tolist(), {"n": 1}),
        ]
        assert index.get_many([]) == []
        with pytest.raises(LookupError, match="not in the index: 'x', 'y'"):
            index.get_many(["a", "y", "x"])
        with pytest.raises(TypeError, match="got a single string"):
            index.get_many("ae")


VALUES = [None, True, False, 0, 1, 1.0, 0.1, 1e23, 10**23, 2**53, 2**53 + 1, float(2**53), 1e-320]
VALUES += [
    -0.0,
    "",
    "1",
    "a",
    "A",
    "ab",
    "é",
    "😀",
    "\x00",
    "\x01",
    "\x00b",
    "\ud7ff",
    "\udcff",
    "\ue000",
]
VALUES += ["'", '"', "\\", "a\n"]
ASKED = [*VALUES, float("inf"), float("-inf")]


def test_filters_mean_on_a_server_what_they_mean_here(place: Any) -> None:
    engine = place.open(8, create=True)
    metadata: list[Metadata] = [{"v": value, "w": [value]} for value in VALUES]
    metadata += [
        None,
        {},
        {"v": []},
        {"v": {"v": 1}},
        {"v": [1]},
        {"v": [True, "a", [0], {"v": ""}]},
        {"v": [None, 2**53 + 1, "a", "\x00"]},
        {"V": 1},
        {"'": 1},
        {"\x00": "a"},
    ]
    ids = [str(row) for row in range(len(metadata))]
    engine.insert(random(len(ids), 8), ids, metadata)
    asked: list[Filter] = [(Condition("v", "in", ()),), (Condition("v", "in", ("a", 1, None)),)]
    asked += [(Condition("w", "!=", 1),), (Condition("'", "==", 1),), (Condition("\x00", ">", ""),)]
    asked += [(Condition("v", "<=", "a"),), (Condition("v", ">", 1.0),)]
    asked += [(Condition("v", ">", 0), Condition("v", "<", 2**53 + 1), Condition("v", "!=", 1))]
    for value in ASKED:
        asked += [(Condition("v", "==", value),), (Condition("v", "!=", value),)]
        if isinstance(value, (str, float)) or type(value) is int:
            asked += [(Condition("v", sign, value),) for sign in ("<", ">=")]
    for where in asked:
        met = [id_ for id_, held in zip(ids, metadata, strict=True) if meets(where, held)]
        assert [entry[0] for entry in scanned(engine, where)] == met, where


def test_what_is_remembered_of_the_whole(place: Any) -> None:
    engine = place.open(16, create=True)
    info = {"b": 1.0, "a": ["\x00", "\udcff", None], "'": {"x": 2**70}}
    engine.write_info(info)
    assert engine.read_info() == info
    engine.insert(random(1), ["a"], None)
    again = place.open()
    assert (again.bits, again.read_info(), len(again)) == (16, info, 1)
    engine.write_info({})
    again.refresh()
    assert again.read_info() == {}


def test_where_there_is_no_index_or_another(place: Any) -> None:
    with pytest.raises(FileNotFoundError, match=r"no (saved )?index"):
        place.open(16)
    with pytest.raises((ValueError, FileNotFoundError), match=r"tell its bits|no saved index"):
        place.open(create=True)
    with pytest.raises(ValueError, match="multiple of 8"):
        place.open(12, create=True)
    place.open(16, create=True).insert(random(1), ["a"], None)
    assert len(place.open(16, create=True)) == 1
    with pytest.raises(ValueError, match=r"of 16 bits, .*32"):
        place.open(32)


def test_threads_share_an_engine(place: Any) -> None:
    engine, oracle = place.open(16, create=True), Oracle()
    if isinstance(engine, FolderEngine):
        pytest.skip("the lock of Index is around it, which test_index.py shares among threads")
    engine.insert(random(8), [f"a{row}" for row in range(8)], None)
    failed: list[BaseException] = []

    def work(number: int) -> None:
        try:
            for turn in range(3):
                ids = [f"{number}-{turn}-{row}" for row in range(4)]
                engine.insert(random(4, seed=number), ids, None)
                found = engine.nearest(random(1), 5)
                assert len(found.ids) == 5
                engine.delete(ids[:2])
        except BaseException as error:  # noqa: BLE001 - told below, in the test's thread
            failed.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []
    assert len(engine) == len(scanned(engine)) == 8 + 3 * 3 * 2
    oracle.entries = scanned(engine)
    check(engine, oracle)
