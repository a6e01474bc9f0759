"""Folders of codes: written in parts, gone on with, refused, read."""

from __future__ import annotations

import errno
import io
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import crosshash
from crosshash.encoding import encode_source, open_source, read_codes, read_header
from crosshash.encoding.items import Pictures
from crosshash.encoding.run import Summary
from crosshash.images import CorruptImageError
from crosshash.model.hash_model import HashModel

pytest.importorskip("pyarrow", reason="needs the extra parquet")


def read_all(folder: Path) -> tuple[list[str], Any]:
    parts = list(read_codes(folder))
    return [id_ for ids, _ in parts for id_ in ids], np.concatenate([codes for _, codes in parts])


def rejects(folder: Path) -> dict[str, str]:
    lines = [
        json.loads(line)
        for path in sorted(folder.glob("rejects-*.jsonl"))
        for line in path.read_text().splitlines()
    ]
    found = {line["id"]: line["reason"] for line in lines}
    assert len(found) == len(lines)
    return found


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_a_folder_is_encoded_in_parts(model: HashModel, photos: Path, tmp_path: Path) -> None:
    told: list[tuple[int, int]] = []
    done = encode_source(
        model,
        photos,
        tmp_path / "codes",
        name="mine",
        items_per_part=4,
        batch_size=3,
        progress=lambda *counts: told.append(counts),
    )
    assert done == Summary(items=11, rejected=0, parts=3, missing=0, written=3, bits=32)
    names = [f"{what}-00000{n}.{end}" for what, end in (("part", "parquet"), ("rejects", "jsonl"))
             for n in range(3)]  # fmt: skip
    assert sorted(contents(tmp_path / "codes")) == ["codes.json", *names]
    expected = [item.id for item in open_source(photos)]
    ids, codes = read_all(tmp_path / "codes")
    assert ids == expected
    np.testing.assert_array_equal(codes, model.encode_image(expected))
    assert [len(part) for part, _ in read_codes(tmp_path / "codes")] == [4, 4, 3]
    assert told[0] == (0, 11)
    assert told[-1] == (11, 11)
    assert [count for count, _ in told] == sorted(count for count, _ in told)
    header = read_header(tmp_path / "codes")
    assert (header.model, header.kind, header.items) == ("mine", "image", 11)
    assert header.source == {"what": "picture files", "given": [str(photos)]}


@pytest.mark.parametrize("workers", [0, 2])
def test_corrupt_pictures_are_rejects(
    model: HashModel, photos: Path, tmp_path: Path, workers: int
) -> None:
    whole = dict(zip(*read_back(model, photos, tmp_path / "whole"), strict=True))
    (photos / "a.png").write_bytes((photos / "a.png").read_bytes()[:200])
    (photos / "g.png").write_text("no picture")
    (photos / "i.png").unlink()
    (photos / "i.png").symlink_to("nowhere")
    done = encode_source(
        model, photos, tmp_path / "codes", items_per_part=4, batch_size=3, workers=workers
    )
    assert (done.items, done.rejected) == (8, 3)
    told = rejects(tmp_path / "codes")
    assert set(told) == {str(photos / name) for name in ("a.png", "g.png", "i.png")}
    assert told[str(photos / "g.png")] == "it is in no known format"
    assert "a link to nowhere" in told[str(photos / "i.png")]
    ids, codes = read_all(tmp_path / "codes")
    assert not set(ids) & set(told)
    for id_, code in zip(ids, codes, strict=True):
        np.testing.assert_array_equal(code, whole[id_])


def read_back(model: HashModel, source: Any, folder: Path, **options: Any) -> tuple[list[str], Any]:
    encode_source(model, source, folder, **options)
    return read_all(folder)


def test_a_part_of_rejects_alone_and_a_missing_file_of_a_list(
    model: HashModel, photos: Path, tmp_path: Path
) -> None:
    rows = ["photos/none.png", "photos/notes.txt", "photos/c.png"]
    (tmp_path / "list.csv").write_text("\n".join(["image", *rows]))
    ids, codes = read_back(model, tmp_path / "list.csv", tmp_path / "codes", items_per_part=2)
    assert ids == ["photos/c.png"]
    np.testing.assert_array_equal(codes, model.encode_image(photos / "c.png"))
    assert rejects(tmp_path / "codes")["photos/none.png"] == "there is no such file"


def test_a_disk_that_fails_stops_the_run_and_rejects_nothing(
    model: HashModel, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(stored: Any, name: str, size: Any) -> Any:
        error = CorruptImageError(name, "Input/output error")
        raise error from OSError(code, "failed")

    monkeypatch.setattr("crosshash.encoding.items.decode", fail)
    code = errno.EIO
    with pytest.raises(OSError, match="failed"):
        encode_source(model, photos, tmp_path / "codes", items_per_part=4)
    assert list(contents(tmp_path / "codes")) == ["codes.json"]
    code = errno.ENAMETOOLONG
    source = open_source(photos)
    pictures = Pictures(source, list(source))
    with pytest.raises(CorruptImageError):
        pictures.open(0)


def test_a_source_that_goes_away_stops_the_run_and_rejects_nothing(
    model: HashModel, photos: Path, tmp_path: Path
) -> None:
    def take_away(done: int, total: int) -> None:
        if done == 4:
            photos.rename(tmp_path / "away")

    source = open_source(sorted(photos.glob("*.png")))
    folder, options = tmp_path / "codes", {"items_per_part": 8, "batch_size": 2}
    with pytest.raises(FileNotFoundError, match="was there when picture files were listed"):
        encode_source(model, source, folder, progress=take_away, **options)
    assert list(contents(folder)) == ["codes.json"]
    (tmp_path / "away").rename(photos)
    assert encode_source(model, source, folder, **options).items == 9


def test_what_is_finished_is_kept_and_the_rest_is_done(
    model: HashModel, photos: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "codes"
    encode_source(model, photos, folder, items_per_part=2)
    whole = contents(folder)
    for number in (1, 4):
        (folder / f"part-00000{number}.parquet").unlink()
    (folder / "rejects-000004.jsonl").write_text('{"id": "half')  # as a kill between the two leaves
    with pytest.raises(FileNotFoundError, match=r"2 of 6 parts are not there, .*part-000001"):
        read_codes(folder)
    stamps = {path.name: path.stat().st_mtime_ns for path in folder.glob("part-*")}
    done = encode_source(model, photos, folder, items_per_part=2, batch_size=5)
    assert (done.written, done.items, done.missing) == (2, 11, 0)
    assert contents(folder) == whole
    assert all((folder / name).stat().st_mtime_ns == stamp for name, stamp in stamps.items())
    assert encode_source(model, photos, folder, items_per_part=2).written == 0


def test_processes_share_the_parts(model: HashModel, photos: Path, tmp_path: Path) -> None:
    encode_source(model, photos, tmp_path / "one", items_per_part=2)
    folder = tmp_path / "three"
    first = encode_source(model, photos, folder, items_per_part=2, share=(1, 3))
    assert (first.written, first.missing) == (2, 4)
    assert sorted(path.name for path in folder.glob("part-*")) == [
        "part-000001.parquet", "part-000004.parquet",
    ]  # fmt: skip
    for number in (0, 2):
        last = encode_source(model, photos, folder, items_per_part=2, share=(number, 3))
    assert (last.missing, last.items) == (0, 11)
    assert contents(folder) == contents(tmp_path / "one")


def test_a_folder_of_another_model_source_or_setting_is_refused(
    model: HashModel, vector_model: HashModel, photos: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "codes"
    encode_source(model, photos, folder, items_per_part=4)
    before = contents(folder)
    np.save(tmp_path / "v.npy", np.ones((11, 6), np.float32))

    def refused(what: str, **options: Any) -> None:
        given = {"model": model, "source": photos, "items_per_part": 4, **options}
        with pytest.raises(ValueError, match=f"was begun with {what}.*run the same command"):
            encode_source(folder=folder, **given)
        assert contents(folder) == before

    refused("another model", model=vector_model, source=tmp_path / "v.npy")
    refused("another --dtype", dtype="bf16")
    refused("parts of another size", items_per_part=5)
    refused("another kind of item", source=open_source(["a red circle"] * 11, text=True))
    refused("another source", source=photos / "b")
    (photos / "k.png").write_bytes((photos / "a.png").read_bytes())
    refused("another source, or the source has changed since")
    (photos / "k.png").unlink()
    (photos / "c.png").write_bytes((photos / "c.png").read_bytes() + b"longer")
    refused("another source, or the source has changed since: source_digest")


def test_a_folder_that_is_none_of_ours_is_left_alone(
    model: HashModel, photos: Path, tmp_path: Path
) -> None:
    with pytest.raises(FileExistsError, match="holds other files"):
        encode_source(model, photos, photos)
    with pytest.raises(FileExistsError, match="is a file"):
        encode_source(model, photos, photos / "a.png")
    folder = tmp_path / "codes"
    encode_source(model, photos, folder)
    (folder / "codes.json").unlink()
    with pytest.raises(ValueError, match=r"has parts of codes and no codes\.json"):
        encode_source(model, photos, folder)
    with pytest.raises(FileNotFoundError, match="no folder of codes"):
        read_codes(folder)


def test_nothing_to_encode_is_an_error_and_leaves_nothing(model: HashModel, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match=r"there is nothing to encode in .*empty"):
        encode_source(model, tmp_path / "empty", tmp_path / "codes")
    assert not (tmp_path / "codes").exists()
    for wrong, options in (
        ("share is", {"share": (2, 2)}),
        ("dtype is", {"dtype": "fp16"}),
        ("batch_size is", {"batch_size": 0}),
        ("at least 1 item", {"items_per_part": 0}),
    ):
        with pytest.raises(ValueError, match=wrong):
            encode_source(model, tmp_path, tmp_path / "codes", **options)


def test_bf16_changes_few_bits(make_tar: Callable[..., Path], tmp_path: Path) -> None:
    model = crosshash.load("amgfh-shapes-64")
    dataset, _ = crosshash.load_dataset("shapes", n=60, seed=7)
    members = []
    for number, image in enumerate(dataset.images):
        file = io.BytesIO()
        image.save(file, "PNG")
        members.append((f"{number}.png", file.getvalue()))
    path = make_tar("a.tar", members)
    _, full = read_back(model, path, tmp_path / "fp32")
    _, half = read_back(model, path, tmp_path / "bf16", dtype="bf16")
    np.testing.assert_array_equal(full, model.encode_image(dataset.images))
    assert 0 < np.unpackbits(full ^ half).mean() < 0.02  # some 0.003
    assert next(model.parameters()).dtype == torch.float32


def test_texts_and_those_the_model_knows_no_word_of(model: HashModel, tmp_path: Path) -> None:
    texts = ["a red circle", "zyzzyva", "blue", "a red circle"]
    source = open_source(texts, text=True)
    ids, codes = read_back(model, source, tmp_path / "codes", items_per_part=3, batch_size=2)
    assert ids == ["a red circle", "blue"]
    np.testing.assert_array_equal(codes, model.encode_text(ids))
    done = encode_source(model, source, tmp_path / "codes", items_per_part=3)
    assert (done.rejected, done.written) == (2, 0)
    told = [path.read_text() for path in sorted((tmp_path / "codes").glob("rejects-*"))]
    assert "knows none of its words" in told[0]
    assert "its id stands before" in told[1]
    ids, codes = read_back(model, source, tmp_path / "all", allow_unknown=True)
    assert ids == texts[:3]
    np.testing.assert_array_equal(codes[1], model.encode_text("", unknown="allow")[0])
    with pytest.raises(ValueError, match="the other setting of --allow-unknown"):
        encode_source(model, source, tmp_path / "codes", items_per_part=3, allow_unknown=True)


def test_vectors_and_rows_that_are_not_finite(vector_model: HashModel, tmp_path: Path) -> None:
    rows = np.random.default_rng(0).normal(size=(7, 6)).astype(np.float32)
    rows[2, 3] = np.nan
    rows[5] = np.inf
    np.save(tmp_path / "v.npy", rows)
    ids, codes = read_back(vector_model, tmp_path / "v.npy", tmp_path / "codes", items_per_part=3)
    assert ids == ["0", "1", "3", "4", "6"]
    np.testing.assert_array_equal(codes, vector_model.encode_image(rows[[0, 1, 3, 4, 6]]))
    assert set(rejects(tmp_path / "codes")) == {"2", "5"}
    np.save(tmp_path / "w.npy", rows[:, :5])
    with pytest.raises(ValueError, match="expected rows of width 6"):
        encode_source(vector_model, tmp_path / "w.npy", tmp_path / "other")


def test_a_model_that_takes_no_such_items_says_so(
    vector_model: HashModel, photos: Path, tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match=r"rows of width 6, got .* \(\d+, 36, 36, 3\)"):
        encode_source(vector_model, photos, tmp_path / "codes")


@pytest.mark.parametrize("damage", ["cut", "rows", "other", "null", "header", "version", "parts"])
def test_a_damaged_folder_is_refused(
    model: HashModel, photos: Path, tmp_path: Path, damage: str
) -> None:
    import pyarrow
    from pyarrow import parquet

    folder = tmp_path / "codes"
    encode_source(model, photos, folder, items_per_part=6)
    part = folder / "part-000001.parquet"
    header = json.loads((folder / "codes.json").read_text())
    table = parquet.read_table(part)
    if damage == "cut":
        part.write_bytes(part.read_bytes()[:-20])
    elif damage == "rows":
        shutil.copy(folder / "part-000000.parquet", part)
    elif damage == "other":
        parquet.write_table(table.select(["id"]), part)
    elif damage == "null":
        codes = pyarrow.array([None] * 5, pyarrow.binary(4))
        parquet.write_table(pyarrow.table([table["id"], codes], names=["id", "code"]), part)
    elif damage == "header":
        header["bits"] = "32"
    elif damage == "version":
        header["version"] = 2
    else:
        header["items_per_part"] = 0
    (folder / "codes.json").write_text(json.dumps(header))
    expected = {
        "cut": "cannot be read as Parquet",
        "rows": "expected at most 5",
        "other": "expected at most 5 of",
        "null": "an id or a code is missing",
        "header": "'bits' is missing or no int",
        "version": "this crosshash reads 1; upgrade",
        "parts": "in parts of 0",
    }[damage]
    with pytest.raises(ValueError, match=expected):
        read_all(folder)


def test_a_part_with_too_few_rows_is_not_taken_for_finished(
    model: HashModel, photos: Path, tmp_path: Path
) -> None:
    from pyarrow import parquet

    folder = tmp_path / "codes"
    encode_source(model, photos, folder, items_per_part=6)
    part = folder / "part-000000.parquet"
    parquet.write_table(parquet.read_table(part).slice(0, 4), part)
    with pytest.raises(ValueError, match="4 codes and 0 rejects of 6 items; delete it, and run"):
        encode_source(model, photos, folder, items_per_part=6)
