"""What only LanceDB promises: changes whole after a kill, one writer, its lists, and damage."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from crosshash.codes import Packed, hamming
from crosshash.search import lance_files
from crosshash.search.engine import CorruptIndexError
from crosshash.search.filters import as_filter
from crosshash.search.index import Index

lancedb = pytest.importorskip("lancedb", reason="needs crosshash[lancedb]")

CHANGES = """
import sys
import numpy as np
from crosshash.search.lance import LanceEngine
engine = LanceEngine.open(sys.argv[1])
print("ready", flush=True)
sys.stdin.readline()
for number in range(int(sys.argv[2]), 10_000):
    code = np.full((2, 2), number % 256, dtype=np.uint8)
    engine.insert(code, ["a", str(number)], [{"n": number}, None], replace=True)
    if number % 5 == 4:
        engine.compact()
    print(number, flush=True)
"""


class KilledError(Exception):
    """Stands for the end of the process."""


def random(count: int, bits: int = 16, seed: int = 0) -> Packed:
    return np.random.default_rng(seed).integers(0, 256, (count, bits // 8), dtype=np.uint8)


def items(engine: Any) -> list[tuple[str, Any]]:
    return [pair for block in engine.scan() for pair in zip(block.ids, block.metadata, strict=True)]


def folder(place: Any) -> Path:
    return Path(place.uri.removeprefix("lancedb:"))


def killed_after(engine: Any, steps: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let so many steps that change files through, and no further one."""
    left = [steps]

    def limited(step: Callable[..., Any]) -> Callable[..., Any]:
        def run(*args: Any, **options: Any) -> Any:
            if not left[0]:
                raise KilledError
            left[0] -= 1
            return step(*args, **options)

        return run

    for name in ("add", "delete", "restore", "optimize", "create_index", "drop_index"):
        step = getattr(lancedb.table.LanceTable, name)
        monkeypatch.setattr(lancedb.table.LanceTable, name, limited(step))
    for name in ("sync_folder", "write_state"):
        monkeypatch.setattr(lance_files, name, limited(getattr(lance_files, name)))


def test_packed_codes_are_the_column_as_they_are(lance_place: Any) -> None:
    engine = lance_place.open(16, create=True)
    engine.insert(np.array([[0b0000_0001, 0b1100_0000]], dtype=np.uint8), ["a"], None)
    engine.insert(np.array([[0b0000_0011, 0]], dtype=np.uint8), ["b"], None)
    table = lancedb.connect(folder(lance_place)).open_table("crosshash")
    assert table.to_arrow()["code"].to_pylist() == [[1, 0b1100_0000], [3, 0]]
    found = engine.nearest(np.array([[1, 0]], dtype=np.uint8), 2)
    assert (found.ids, found.distance.tolist()) == (["b", "a"], [1, 2])


def act(engine: Any, change: str) -> None:
    if change == "delete":
        engine.delete(["a", "c"])
    elif change == "info":
        engine.write_info({"told": True})
    elif change in ("compact", "lists"):
        engine.compact()
    elif change in ("ivf", "flat"):
        engine.compact(kind=change, **({"nlist": 2} if change == "ivf" else {}))
    else:
        ids = ["d", "e"] if change == "insert" else ["b", "a"]
        engine.insert(random(2, seed=1), ids, [None, {"n": 2}], replace=change == "replace")


@pytest.mark.parametrize(
    "change", ["insert", "replace", "delete", "info", "compact", "ivf", "flat", "lists"]
)
def test_a_change_that_is_killed_anywhere_is_whole_or_not_there(
    lance_place: Any, tmp_path: Path, change: str
) -> None:
    first = lance_place.open(16, create=True)
    for id_, metadata in (old := [("a", None), ("b", {"n": 1}), ("c", {})]):
        first.insert(random(1, seed=ord(id_)), [id_], [metadata])
    if change in ("flat", "lists"):
        first.compact(kind="ivf", nlist=2)
    first.close()
    before = (old, {}, change not in ("flat", "lists"))
    after = {
        "insert": ([*old, ("d", None), ("e", {"n": 2})], {}, True),
        "replace": ([("c", {}), ("b", None), ("a", {"n": 2})], {}, True),
        "delete": ([("b", {"n": 1})], {}, True),
        "info": (old, {"told": True}, True),
        "compact": before,
        "ivf": (old, {}, False),
        "flat": (old, {}, True),
        "lists": before,
    }[change]
    middle = [(old, {}, True)] if change == "lists" else []
    saved = tmp_path / "saved"
    shutil.copytree(folder(lance_place), saved)
    seen = []
    for steps in range(100):
        shutil.rmtree(folder(lance_place))
        shutil.copytree(saved, folder(lance_place))
        engine = lance_place.open()
        with pytest.MonkeyPatch.context() as monkeypatch:
            killed_after(engine, steps, monkeypatch)
            try:
                act(engine, change)
            except KilledError:
                pass
            else:
                break
        engine.close()
        reader = lance_place.open()
        held = (items(reader), reader.read_info(), reader.exact)
        assert held in (before, after, *middle)
        ids = [id_ for id_, _ in held[0]]
        assert len(reader) == len(ids)
        assert sorted(reader.within(random(1), 16).ids) == sorted(ids)
        seen.append(held == after)
        writer = lance_place.open()  # the next one goes on
        writer.insert(random(1, seed=2), ["z"], None)
        assert [id_ for id_, _ in items(writer)] == [*ids, "z"]
        assert [id_ for id_, _ in items(lance_place.open())] == [*ids, "z"]
        writer.close()
    assert (items(lance_place.open()), engine.read_info(), engine.exact) == after
    assert len(seen) > 1
    assert seen == sorted(seen) or middle


def test_a_process_that_is_killed_keeps_what_it_has_told(lance_place: Any) -> None:
    lance_place.open(16, create=True).close()
    told, draw = -1, np.random.default_rng(0)
    for _ in range(2):
        command = [sys.executable, "-c", CHANGES, lance_place.uri, str(told + 1)]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
        with subprocess.Popen(command, text=True, **pipes) as process:
            assert process.stdout.readline() == "ready\n"
            process.stdin.write("go\n")
            process.stdin.flush()
            lines = [process.stdout.readline() for _ in range(3)]
            time.sleep(0.03 * draw.random())
            process.kill()
            told = int([*lines, *process.stdout.read().split()][-1])
        reader = lance_place.open()
        last = reader.fetch(["a"]).metadata[0]["n"]
        # The change that was under way may have been made, and not been told.
        assert last in (told, told + 1)
        assert sorted(items(reader)) == sorted(
            [("a", {"n": last}), *((str(number), None) for number in range(last + 1))]
        )
        assert sorted(reader.within(random(1), 16).ids) == sorted(["a", *map(str, range(last + 1))])
        told = last


def test_all_of_a_change_is_on_the_disk_before_it_holds(
    lance_place: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced, missed = set(), []
    fsync, write = os.fsync, lance_files.write_state

    def syncing(handle: int) -> None:
        fsync(handle)
        synced.add(os.fstat(handle).st_ino)

    def writing(path: Path, state: Any) -> None:
        there = [path.parent, *path.parent.glob("*.lance"), *path.parent.glob("*.lance/**/*")]
        missed.extend(one for one in there if one.stat().st_ino not in synced)
        write(path, state)

    monkeypatch.setattr(os, "fsync", syncing)
    monkeypatch.setattr(lance_files, "write_state", writing)
    engine = lance_place.open(16, create=True)
    engine.insert(random(3), ["a", "b", "c"], None)
    engine.insert(random(2), ["a", "d"], None, replace=True)
    engine.compact(kind="ivf", nlist=2)
    assert len(synced) > 10
    assert missed == []


def test_what_the_system_leaves_half_written_is_undone(lance_place: Any) -> None:
    """As where the power fails after LanceDB's commit and before the state is written."""
    engine = lance_place.open(16, create=True)
    engine.insert(random(2), ["a", "b"], None)
    with pytest.MonkeyPatch.context() as monkeypatch:
        killed_after(engine, 1, monkeypatch)
        with pytest.raises(KilledError):
            engine.insert(random(1), ["c"], None)
    versions = folder(lance_place) / "crosshash.lance" / "_versions"
    min(versions.glob("*.manifest")).write_bytes(b"")
    with pytest.raises(BlockingIOError, match="another process or another index writes"):
        lance_place.open()
    engine.close()
    again = lance_place.open()
    assert items(again) == [("a", None), ("b", None)]
    again.insert(random(1), ["d"], None)
    assert [id_ for id_, _ in items(lance_place.open())] == ["a", "b", "d"]


def test_a_second_writer_is_told(lance_place: Any) -> None:
    engine, other = lance_place.open(16, create=True), lance_place.open()
    engine.insert(random(1), ["a"], None)
    for change in ("insert", "delete", "info", "compact"):
        with pytest.raises(BlockingIOError, match="one writes at a time, until it is closed"):
            act(other, change)
    assert len(other) == 0
    engine.close()
    other.insert(random(1), ["b"], None)
    assert [id_ for id_, _ in items(other)] == ["a", "b"]


def test_readers_see_what_was_there_until_they_refresh(lance_place: Any) -> None:
    engine = lance_place.open(16, create=True)
    engine.insert(random(3), ["a", "b", "c"], None)
    reader = lance_place.open()
    blocks = reader.scan()
    engine.delete(["a"])
    engine.write_info({"n": 1})
    assert [len(reader), reader.known(["a"]), reader.read_info()] == [3, [True], {}]
    assert [id_ for block in blocks for id_ in block.ids] == ["a", "b", "c"]
    assert [reader.refresh(), reader.refresh(), engine.refresh()] == [True, False, False]
    assert [len(reader), reader.known(["a"]), reader.read_info()] == [2, [False], {"n": 1}]
    blocks = reader.scan()
    engine.insert(random(1), ["b"], None, replace=True)
    engine.compact()
    # What it reads is not there any more: it goes on with what is, or says so.
    assert reader.nearest(random(1), 5).ids == ["b", "c"]
    with pytest.raises(RuntimeError, match="has another compacted it meanwhile"):
        next(reader.scan() if reader.refresh() else blocks)


def test_lists_make_nearest_approximate_and_nothing_else(lance_place: Any) -> None:
    engine = lance_place.open(64, create=True)
    codes = np.repeat(random(1500, 64), 2, axis=0)
    engine.insert(codes, [str(row) for row in range(3000)], [{"n": row % 2} for row in range(3000)])
    reader = lance_place.open()
    engine.compact(kind="ivf", nlist=32)
    assert (engine.exact, reader.exact, lance_place.open().exact) == (False, True, False)
    # These are in no list until the next compacting, and are found nevertheless.
    engine.insert(codes[:600], [str(row) for row in range(3000, 3600)], [{"n": 2}] * 600)
    codes = np.concatenate([codes, codes[:600]])
    queries = np.concatenate([random(4, 64, seed=5), codes[[7, 2000, 3333]]])
    distances = hamming(queries, codes)
    for _ in range(2):
        found = engine.nearest(queries, 20)
        hit = np.array([int(id_) for id_ in found.ids])
        assert (found.distance == distances[found.query, hit]).all()
        best = np.sort(distances, axis=1)[:, :20]
        assert 0.05 < (found.distance.reshape(-1, 20) == best).mean() < 1
        for query in range(len(queries)):
            mine, far = hit[found.query == query], found.distance[found.query == query]
            for row in mine[far < far[-1]]:
                same = np.flatnonzero((codes == codes[row]).all(axis=1))
                assert set(same) <= set(mine)
        for some in (queries, queries[:1]):
            assert len(engine.within(some, 26).ids) == (distances[: len(some)] <= 26).sum()
            met = engine.nearest(some, 10, as_filter({"n": 1}))
            best = np.sort(distances[: len(some), 1:3000:2], axis=1)[:, :10]
            assert (met.distance.reshape(-1, 10) == best).all()
        assert len(engine.nearest(queries[:1], 3500).ids) == 3500
        engine.compact()
    engine.compact(kind="flat")
    assert engine.exact
    assert lancedb.connect(folder(lance_place)).open_table("crosshash").list_indices() == []
    best = np.sort(distances, axis=1)[:, :10]
    assert (engine.nearest(queries, 10).distance.reshape(-1, 10) == best).all()


def test_ties_and_many_queries_are_answered_alike(lance_place: Any) -> None:
    """More equal distances than LanceDB is asked for at first, where no order is promised."""
    engine = lance_place.open(8, create=True)
    codes = random(4000, 8) & np.uint8(3)
    for first in (2000, 0):
        ids = [str(row) for row in range(first, first + 2000)]
        metadata = [{"n": row} for row in range(2000)]
        engine.insert(codes[first : first + 2000], ids, metadata)
    order = [*range(2000, 4000), *range(2000)]
    queries = random(6, 8, seed=1)
    for where, met in ((None, order), ({"n": {">=": 1000}}, [n for n in order if n % 2000 > 999])):
        distances = hamming(queries, codes[met])
        for count in (1, 6):
            found = engine.nearest(queries[:count], 30, as_filter(where))
            near = engine.within(queries[:count], 2, as_filter(where))
            for query in range(count):
                rows = np.argsort(distances[query], kind="stable")
                names = [str(met[row]) for row in rows]
                ids = np.array(found.ids)[found.query == query].tolist()
                assert ids == names[:30]
                ids = np.array(near.ids)[near.query == query].tolist()
                assert ids == names[: (distances[query] <= 2).sum()]


def test_all_items_are_ranked_by_asymmetric_distance(lance_place: Any) -> None:
    engine = lance_place.open(16, create=True)
    index, codes = Index(16), random(500)
    metadata = [{"n": row % 3} for row in range(500)]
    index.add(codes, range(500), metadata)
    for rows in (slice(200), slice(200, 500)):
        engine.insert(codes[rows], [str(row) for row in range(500)[rows]], metadata[rows])
    values = np.random.default_rng(3).normal(size=(3, 16)).astype(np.float32)
    with Index.open(lance_place.uri) as kept:
        for where in (None, {"n": 1}, {"n": {"<": 2}}):
            mine, other = (
                one.search(values, 20, rank="asymmetric", where=where) for one in (kept, index)
            )
            assert mine.ids == other.ids
            assert (mine.asymmetric == other.asymmetric).all()
            assert (mine.distances == other.distances).all()


def test_many_ids_are_looked_up_by_all_rows(lance_place: Any) -> None:
    engine = lance_place.open(16, create=True)
    ids = [str(row) for row in range(9000)]
    engine.insert(random(9000), ids, None)
    assert engine.known([*ids, "x"]) == [True] * 9000 + [False]
    engine.delete(ids[100:])
    assert [id_ for id_, _ in items(engine)] == ids[:100]


def test_ids_of_one_digest_are_told_apart(
    lance_place: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("table", "rows"):
        monkeypatch.setattr(f"crosshash.search.lance_{name}.key_of", lambda id_: len(id_))
    engine = lance_place.open(16, create=True)
    engine.insert(random(2), ["a", "b"], None)
    assert engine.known(["a", "c", "b"]) == [True, False, True]
    engine.delete(["a"])
    assert [id_ for id_, _ in items(engine)] == ["b"]


def test_what_compact_does_not_take(lance_place: Any) -> None:
    engine = lance_place.open(16, create=True)
    with pytest.raises(ValueError, match="that of the items, 0, got 1"):
        engine.compact(kind="ivf")
    engine.insert(np.zeros((9, 2), dtype=np.uint8), list("abcdefghi"), None)
    with pytest.raises(ValueError, match='kind is "flat" or "ivf", got \'hnsw\''):
        engine.compact(kind="hnsw")
    for wrong in (0, 10, True, 2.0):
        with pytest.raises(ValueError, match="nlist is a number from 1 to that of the items, 9"):
            engine.compact(kind="ivf", nlist=wrong)
    with pytest.raises(TypeError, match=r"takes no options, got \['nlist'\]"):
        engine.compact(nlist=3)
    assert (engine.exact, len(engine)) == (True, 9)
    engine.compact(kind="ivf", nlist=2)
    engine.insert(random(300) & np.uint8(1), [str(row) for row in range(300)], None)
    with pytest.raises(ValueError, match="too few different codes for 300 lists, and search is ex"):
        engine.compact(kind="ivf", nlist=300)
    assert (engine.exact, len(lance_place.open())) == (True, 309)


def test_several_tables_of_a_folder(tmp_path: Path) -> None:
    for name, bits in (("one", 16), ("two", 32)):
        with Index.open(f"lancedb:{tmp_path}?table={name}", bits) as index:
            index.add(random(2, bits), ["a", "b"], [{"n": bits}, None])
            index.metadata["name"] = name
            index.save()
    with Index.open(f"lancedb:{tmp_path}?table=one") as index:
        assert (index.bits, index.ids, index.metadata) == (16, ["a", "b"], {"name": "one"})
        index.save(tmp_path / "copy")
    assert Index.load(tmp_path / "copy").ids == ["a", "b"]


def test_folders_of_others_are_left_alone(lance_place: Any, tmp_path: Path) -> None:
    table = lancedb.connect(folder(lance_place)).create_table("crosshash", [{"a": 1}])
    with pytest.raises(ValueError, match="is not an index of this package; name another"):
        lance_place.open(16, create=True)
    assert table.to_arrow().to_pylist() == [{"a": 1}]
    (tmp_path / "file").write_text("mine")
    with pytest.raises(FileExistsError, match="is a file"):
        Index.open(f"lancedb:{tmp_path / 'file'}", 16)
    with pytest.raises(FileNotFoundError, match="there is no index here"):
        Index.open(f"lancedb:{tmp_path / 'none'}")
    assert not (tmp_path / "none").exists()
    for wrong in ("lancedb:", f"lancedb:{tmp_path}?name=a", f"lancedb:{tmp_path}?table=a b"):
        with pytest.raises(ValueError, match=r"an index in LanceDB is lancedb:FOLDER\?table=NAME"):
            Index.open(wrong, 16)


def test_a_table_that_a_killed_process_left_empty_is_taken(lance_place: Any) -> None:
    with pytest.MonkeyPatch.context() as monkeypatch:
        killed_after(None, 0, monkeypatch)
        with pytest.raises(KilledError):
            lance_place.open(32, create=True)
    with pytest.raises(FileNotFoundError, match="there is no index here"):
        lance_place.open()
    engine = lance_place.open(16, create=True)
    engine.insert(random(1), ["a"], None)
    assert len(lance_place.open()) == 1


def test_what_is_damaged_is_told(lance_place: Any) -> None:
    engine = lance_place.open(16, create=True)
    engine.insert(random(1), ["a"], None)
    engine.close()
    path = folder(lance_place) / "crosshash.crosshash.json"
    whole = path.read_text()
    state = json.loads(whole)
    wrong = [{"bits": 12}, {"bits": True}, {"bits": 32}, {"version": 99}, {"following": -1}]
    wrong += [{"lists": 0}, {"info": []}, {"format": "other"}, {"more": 1}, {"version": "1"}]
    for change in wrong:
        path.write_text(json.dumps(state | change))
        with pytest.raises(CorruptIndexError, match="copy the whole index again"):
            lance_place.open()
    path.write_text(whole[:40])
    with pytest.raises(CorruptIndexError, match="not valid JSON"):
        lance_place.open()
    path.write_text(json.dumps(state | {"format_version": 2}))
    with pytest.raises(ValueError, match="written by a later version"):
        lance_place.open()
    path.write_text(whole)
    assert items(lance_place.open()) == [("a", None)]
    path.unlink()
    with pytest.raises(CorruptIndexError, match=r"crosshash.crosshash.json is missing"):
        lance_place.open(16, create=True)
    path.write_text(whole)
    for manifest in (folder(lance_place) / "crosshash.lance" / "_versions").iterdir():
        manifest.write_bytes(b"x")
    with pytest.raises(CorruptIndexError, match="its table is damaged"):
        lance_place.open()
    shutil.rmtree(folder(lance_place) / "crosshash.lance")
    with pytest.raises(CorruptIndexError, match="its table is missing"):
        lance_place.open()


def test_a_full_disk_changes_nothing(lance_place: Any) -> None:
    resource = pytest.importorskip("resource", reason="limits of a process are POSIX")
    engine = lance_place.open(16, create=True)
    engine.insert(random(2), ["a", "b"], None)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (200, hard))
    try:
        with pytest.raises(OSError, match=r"lancedb:.*File too large") as error:
            engine.insert(random(500), [str(row) for row in range(500)], None)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert "\n" not in str(error.value)
    assert items(engine) == items(lance_place.open()) == [("a", None), ("b", None)]
    engine.insert(random(1), ["c"], None)
    assert len(engine) == 3


def test_without_lancedb_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "lancedb", None)
    with pytest.raises(ModuleNotFoundError, match=r"pip install 'crosshash\[lancedb\]'"):
        Index.open("lancedb:folder", 16)
