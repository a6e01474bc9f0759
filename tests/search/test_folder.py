"""An index that is kept in a folder: against a list of items, through every way it can be left."""

from __future__ import annotations

import random
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from crosshash.codes import hamming
from crosshash.search import folder as module
from crosshash.search import structures
from crosshash.search.index import CorruptIndexError, Index, SearchResult

BITS = 16


def draw_codes(rng: np.random.Generator, count: int, bits: int = BITS) -> np.ndarray:
    """Codes with many duplicates and ties: two free bits in a byte."""
    free = np.uint8(0b00100001)
    return rng.integers(0, 256, (count, bits // 8), dtype=np.uint8) & free


class Model:
    """What an index is to be: a list of ids, codes and metadata in order of insertion."""

    def __init__(self) -> None:
        self.items: list[tuple[str, np.ndarray, dict[str, Any] | None]] = []

    def add(self, codes: np.ndarray, ids: list[str], metadata: list[Any]) -> None:
        gone = set(ids)
        self.items = [item for item in self.items if item[0] not in gone]
        self.items += zip(ids, codes, metadata, strict=True)

    def remove(self, ids: list[str]) -> None:
        self.items = [item for item in self.items if item[0] not in set(ids)]

    def hits(self, query: np.ndarray, even: bool) -> list[tuple[int, str]]:
        left = [one for one in self.items if not even or (one[2] or {}).get("even") is True]
        if not left:
            return []
        far = hamming(query[None], np.stack([code for _, code, _ in left]))[0].tolist()
        order = sorted(range(len(left)), key=lambda place: (far[place], place))
        return [(far[place], left[place][0]) for place in order]


def told(found: SearchResult) -> list[list[tuple[int, str]]]:
    return [
        list(zip(row[: len(ids)].tolist(), ids, strict=True))
        for row, ids in zip(found.distances, found.ids, strict=True)
    ]


def check(index: Index, model: Model, rng: np.random.Generator) -> None:
    assert len(index) == len(model.items)
    assert index.ids == [id_ for id_, _, _ in model.items]
    assert [item.metadata for item in index] == [one for _, _, one in model.items]
    if not model.items:
        return
    np.testing.assert_array_equal(index.codes(), np.stack([code for _, code, _ in model.items]))
    asked = draw_codes(rng, 3) ^ np.uint8(1 << int(rng.integers(8)))
    for where, even in ((None, False), ({"even": True}, True)):
        wanted = [model.hits(query, even) for query in asked]
        for topk in (1, 7, len(model.items)):
            assert told(index.search(asked, topk, where=where)) == [one[:topk] for one in wanted]
        near = [[hit for hit in one if hit[0] <= 2] for one in wanted]
        assert told(index.radius(asked, 2, where=where)) == near
    values = rng.normal(size=(2, BITS)).astype(np.float32)
    flat = Index(BITS)
    flat.add(index.codes(), index.ids)
    exact, expected = (one.search(values, 9, rank="asymmetric") for one in (index, flat))
    assert exact.ids == expected.ids
    np.testing.assert_array_equal(exact.asymmetric, expected.asymmetric)
    short = index.search(values, 9, rank="asymmetric", oversample=len(index))
    assert short.ids == exact.ids


@pytest.mark.parametrize("kept", [False, True])
@pytest.mark.parametrize("seed", range(6))
def test_any_series_of_changes_leaves_what_a_list_would_hold(
    seed: int, kept: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "RECENT", 12)  # so that segments are made and merged
    monkeypatch.setattr(structures, "SMALLEST", 4)
    monkeypatch.setattr(module, "SMALLEST", 4)
    monkeypatch.setattr("crosshash.search.segment._SUSPECTS", 3)
    draw, rng, model = random.Random(seed), np.random.default_rng(seed), Model()
    place = tmp_path / "index"
    index = Index.open(place, BITS) if kept else Index(BITS)
    for step in range(40):
        there = [id_ for id_, _, _ in model.items]
        what = draw.choice(["add", "add", "upsert", "remove", "compact", "again"])
        count = draw.choice([1, 3, 12, 30])
        codes = draw_codes(rng, count)
        metadata: list[Any] = [draw.choice([None, {"even": n % 2 == 0}]) for n in range(count)]
        if what == "add":
            ids = [f"{step}é{n}" for n in range(count)]
            index.add(codes, ids, metadata)
            model.add(codes, ids, metadata)
        elif what == "upsert":
            ids = draw.sample(there, min(count // 2, len(there)))
            ids += [f"{step}-{n}" for n in range(count - len(ids))]
            index.upsert(codes, ids, metadata)
            model.add(codes, ids, metadata)
        elif what == "remove":
            ids = draw.sample(there, min(draw.choice([1, 5, 20]), len(there)))
            index.remove(ids)
            model.remove(ids)
        elif what == "compact":
            index.compact(draw.choice([None, "flat", "mih"]))
        elif kept:
            index.close()
            index = Index.open(place)
        check(index, model, rng)
    if kept:
        index.close()
        check(Index.load(place), model, rng)
        index.save(tmp_path / "copy")
        check(Index.open(tmp_path / "copy"), model, rng)


def test_what_was_added_is_there_for_the_next_process_without_saving(tmp_path: Path) -> None:
    with Index.open(tmp_path / "index", 16) as index:
        index.add(np.eye(3, 2, dtype=np.uint8), ["a", "b", 7], [{"x": 1}, None, {"x": [2]}])
        index.upsert(np.array([[9, 9]], dtype=np.uint8), ["b"], [{"new": True}])
        index.remove(["a"])
        index.metadata["kind"] = "image"
        index.save()
    script = """
import sys
from crosshash.search.index import Index
index = Index.open("faiss:" + sys.argv[1])
print([(item.id, item.code.tolist(), item.metadata) for item in index], index.metadata, 7 in index)
"""
    ran = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path / "index")],
        check=True,
        capture_output=True,
        text=True,
    )
    assert ran.stdout.strip() == (
        "[('7', [0, 0], {'x': [2]}), ('b', [9, 9], {'new': True})] {'kind': 'image'} True"
    )


def test_an_item_is_got_by_its_id(tmp_path: Path) -> None:
    index = Index.open(tmp_path / "index", 16)
    index.add(np.array([[1, 2], [3, 4]], dtype=np.uint8), ["a", 7], [None, {"x": 1}])
    item = index.get(7)
    assert (item.id, item.code.tolist(), item.metadata) == ("7", [3, 4], {"x": 1})
    with pytest.raises(LookupError, match="not in the index: '8'"):
        index.get(8)


def test_one_writes_and_others_see_it_when_they_look_again(tmp_path: Path) -> None:
    codes = np.zeros((1, 2), dtype=np.uint8)
    writer, reader = Index.open(tmp_path / "index", 16), Index.open(tmp_path / "index")
    writer.add(codes, ["a"])
    assert len(reader) == 0
    assert reader.refresh()
    assert not reader.refresh()
    assert reader.ids == ["a"]
    with pytest.raises(BlockingIOError, match="another process or another index writes to it"):
        reader.add(codes, ["b"])
    writer.compact()
    assert reader.ids == ["a"]  # what it had opened is still mapped
    writer.close()
    reader.add(codes, ["b"])  # which begins from what is there now
    with pytest.raises(ValueError, match=r"'b' .* in the index already"):
        reader.add(codes, ["b"])
    reader.close()
    assert Index.load(tmp_path / "index").ids == ["a", "b"]


def test_a_reader_that_opens_while_a_log_becomes_a_segment_misses_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer = Index.open(tmp_path / "index", 16)
    writer.add(np.zeros((3, 2), dtype=np.uint8), ["a", "b", "c"])
    opened, times = module.open_files, []

    def slow(*arguments: Any, **options: Any) -> Any:
        files = opened(*arguments, **options)
        if not times:
            writer.compact()  # between the state that was read and its log
        times.append(files)
        return files

    monkeypatch.setattr(module, "open_files", slow)
    assert Index.open(tmp_path / "index").ids == ["a", "b", "c"]
    assert len(times) == 2


def test_an_index_of_another_length_in_the_same_place_is_not_taken_for_it(tmp_path: Path) -> None:
    reader = Index.open(tmp_path / "index", 16)
    Index(32).save(tmp_path / "index")
    with pytest.raises(ValueError, match="holds codes of 32 bits, not of 16"):
        reader.refresh()


def test_a_writer_has_nothing_to_look_for(tmp_path: Path) -> None:
    with Index.open(tmp_path / "index", 16) as index:
        index.add(np.zeros((1, 2), dtype=np.uint8), ["a"])
        assert not index.refresh()
        index.add(np.zeros((1, 2), dtype=np.uint8), ["b"])
        assert index.known(["a", 7, "b"]) == [True, False, True]


def test_a_log_of_removals_alone_stays_short(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "RECENT", 10)
    with Index.open(tmp_path / "index", 16) as index:
        index.add(np.zeros((200, 2), dtype=np.uint8), range(200))
        for number in range(150):
            index.remove([number])
    (log,) = (tmp_path / "index").glob("log-*")
    assert log.stat().st_size < 1_000
    assert len(Index.open(tmp_path / "index")) == 50


def test_another_length_is_refused_and_other_files_stay(tmp_path: Path) -> None:
    Index.open(tmp_path / "index", 16).close()
    with pytest.raises(ValueError, match="holds codes of 16 bits, not of 32"):
        Index.open(tmp_path / "index", 32)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").write_text("mine")
    with pytest.raises(FileExistsError, match=r"thesis\.tex"):
        Index.open(tmp_path / "mine", 16)
    with pytest.raises(ValueError, match="no engine goes by 'mysql:'; an index is at a folder"):
        Index.open("mysql://somewhere/else", 16)
    with pytest.raises(ValueError, match="names no folder"):
        Index.open("faiss:", 16)


def test_an_index_that_is_kept_is_not_pickled_nor_saved_onto_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import pickle

    index = Index.open(tmp_path / "index", 16)
    with pytest.raises(TypeError, match=r"have each process open it with Index\.open"):
        pickle.dumps(index)
    with pytest.raises(ValueError, match="is where this index is kept"):
        index.save(tmp_path / "index")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match="is where this index is kept"):
        index.save("index")
    with pytest.raises(ValueError, match="this index is in memory"):
        Index(16).save()


@pytest.fixture
def logged(tmp_path: Path) -> Path:
    with Index.open(tmp_path / "index", 16) as index:
        for number in range(3):
            index.add(np.full((1, 2), number, dtype=np.uint8), [number], [{"n": number}])
    return tmp_path / "index"


def test_a_record_that_was_cut_short_was_not_acknowledged(logged: Path) -> None:
    log = logged / "log-000001"
    whole = log.read_bytes()
    counts = []
    for end in range(len(whole), -1, -1):
        log.write_bytes(whole[:end])
        counts.append(len(Index.open(logged)))
    assert counts == sorted(counts, reverse=True)
    assert set(counts) == {0, 1, 2, 3}
    log.write_bytes(whole[:-3])
    with Index.open(logged) as index:
        index.add(np.full((1, 2), 9, dtype=np.uint8), ["9"])
    assert Index.open(logged).ids == ["0", "1", "9"]
    log.write_bytes(whole + bytes(500))  # as a file is after a loss of power
    with Index.open(logged) as index:
        index.add(np.full((1, 2), 9, dtype=np.uint8), ["9"])
    assert Index.open(logged).ids == ["0", "1", "2", "9"]


def test_a_damaged_record_is_an_error_and_nothing_is_overwritten(logged: Path) -> None:
    log = logged / "log-000001"
    whole = log.read_bytes()
    for place in range(20, len(whole), 7):
        damaged = bytearray(whole)
        damaged[place] ^= 1
        log.write_bytes(damaged)
        try:
            assert len(Index.open(logged)) < 3  # a length that leads beyond the end
        except CorruptIndexError as error:
            assert "log-000001" in str(error)  # noqa: PT017
        assert log.read_bytes() == damaged
    log.write_bytes(b"something else")
    with pytest.raises(CorruptIndexError, match="no log of a crosshash index"):
        Index.open(logged)


def test_a_log_by_another_hand_is_refused(logged: Path) -> None:
    import struct
    from zlib import crc32

    log = logged / "log-000001"
    mark = log.read_bytes()[:16]
    for payload in (
        b"2\n{}",
        b"x",
        b'40\n{"removed": [], "ids": ["a"], "metadata": []}ab',
        b'30\n{"removed": [], "ids": ["a"]}  abc',
        b'30\n{"removed": [], "ids": [7]}   ab',
    ):
        log.write_bytes(mark + struct.pack("<QI", len(payload), crc32(payload)) + payload)
        with pytest.raises(CorruptIndexError, match="a record cannot be read"):
            Index.open(logged)


def test_a_full_disk_leaves_what_was_acknowledged(
    logged: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    index = Index.open(logged)
    index.add(np.full((1, 2), 5, dtype=np.uint8), ["5"])

    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="No space left"):
        index.add(np.full((1, 2), 6, dtype=np.uint8), ["6"])
    monkeypatch.undo()
    assert "6" not in index
    index.add(np.full((1, 2), 7, dtype=np.uint8), ["7"])
    index.close()
    assert Index.open(logged).ids == ["0", "1", "2", "5", "7"]


def test_files_of_earlier_states_are_deleted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "RECENT", 500)
    monkeypatch.setattr(module, "SMALLEST", 500)
    rng = np.random.default_rng(0)
    with Index.open(tmp_path, 64) as index:
        for part in range(4):
            codes = rng.integers(0, 256, (700, 8), dtype=np.uint8)
            index.add(codes, range(part * 700, (part + 1) * 700))
        index.remove(range(1000))
        index.add(codes[:1], ["x"])
        index.compact("mih")
        assert index.exact
        assert len(index) == 1801
    names = sorted(path.name for path in tmp_path.iterdir())
    assert [name.split("-")[0] for name in names] == [
        "index.json",
        "segment",
        "structure",
        "write.lock",
    ]
    (tmp_path / "segment-999999.safetensors").write_bytes(b"left by a process that was killed")
    with Index.open(tmp_path) as index:
        index.add(codes[1:2], ["y"])
    assert not (tmp_path / "segment-999999.safetensors").exists()


@pytest.fixture(scope="module")
def large() -> tuple[np.ndarray, np.ndarray]:
    """10,000 codes of 32 bits around 500 centres, one of them often, and 20 queries."""
    rng = np.random.default_rng(0)
    centres = rng.integers(0, 256, (500, 4), dtype=np.uint8)
    flips = np.packbits(rng.random((10_000, 32)) < 0.06, axis=1)
    codes = centres[rng.integers(0, 500, 10_000)] ^ flips
    codes[rng.integers(0, 10_000, 1_500)] = codes[7]
    return codes, codes[rng.integers(0, 10_000, 20)] ^ np.uint8(1)


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("flat", {}),
        ("mih", {}),
        ("mih", {"substring": 11}),
        ("ivf", {"lists": 64, "probes": 16}),
        ("hnsw", {"neighbours": 16}),
    ],
)
def test_each_structure_finds_what_it_promises_and_all_duplicates(
    kind: str,
    options: dict[str, int],
    large: tuple[np.ndarray, np.ndarray],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "SMALLEST", 500)
    codes, asked = large
    flat = Index(32)
    flat.add(codes, range(len(codes)))
    with Index.open(tmp_path / "index", 32) as built:
        built.add(codes, range(len(codes)))
        built.compact(kind, **options)
    index = Index.open(tmp_path / "index")
    expected, found = flat.search(asked, 100), index.search(asked, 100)
    if index.exact:
        assert found.ids == expected.ids
    else:
        shared = [len(set(a) & set(b)) for a, b in zip(found.ids, expected.ids, strict=True)]
        assert np.mean(shared) > 80
    assert index.exact == (kind in ("flat", "mih"))
    for radius in (0, 3, 6, 13):
        assert index.radius(asked, radius).ids == flat.radius(asked, radius).ids
    same = [str(row) for row in np.flatnonzero((codes == codes[7]).all(axis=1))]
    assert len(same) > 1_300
    assert index.search(codes[7:8], len(same)).ids == [same]
    index.remove(same[:-1])
    assert index.search(codes[7:8], 1).ids == [same[-1:]]


@pytest.mark.parametrize(
    ("kind", "options", "error", "message"),
    [
        ("tree", {}, ValueError, "kind is one of flat, mih, ivf, hnsw, got 'tree'"),
        ("mih", {"m": 1}, TypeError, r"mih has the options \['substring'\], got 'm'"),
        ("hnsw", {"search": -1}, ValueError, "search is a whole number of at least 0, got -1"),
        ("ivf", {"lists": 2.0}, ValueError, "lists is a whole number"),
    ],
)
def test_structures_and_options_that_there_are_not(
    kind: str, options: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        Index(16).compact(kind, **options)


def test_threads_search_within_different_radii_at_once(
    large: tuple[np.ndarray, np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "SMALLEST", 500)
    codes, asked = large
    index = Index(32)
    index.add(codes, range(len(codes)))
    radii = [0, 3, 6] * 8
    expected = {radius: index.radius(asked, radius).ids for radius in set(radii)}
    index.compact("mih", substring=8)
    with ThreadPoolExecutor(6) as pool:
        found = list(pool.map(lambda radius: index.radius(asked, radius).ids, radii))
    assert found == [expected[radius] for radius in radii]


def test_a_structure_of_other_codes_is_refused(
    large: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import json

    from crosshash.files import sha256

    monkeypatch.setattr(module, "SMALLEST", 500)
    codes, _ = large
    for name, count in (("one", 6_000), ("two", 7_000)):
        with Index.open(tmp_path / name, 32) as index:
            index.add(codes[:count] + np.arange(4, dtype=np.uint8), range(count))
            index.compact("ivf", lists=8)
    (one,), (two,) = ((tmp_path / name).glob("structure-*") for name in ("one", "two"))
    one.write_bytes(two.read_bytes())
    with pytest.raises(CorruptIndexError, match="contents differ"):
        Index.open(tmp_path / "one")
    header = json.loads((tmp_path / "one" / "index.json").read_text())
    header["sha256"][one.name] = sha256(one)
    (tmp_path / "one" / "index.json").write_text(json.dumps(header))
    with pytest.raises(CorruptIndexError, match="no ivf of"):
        Index.open(tmp_path / "one")
