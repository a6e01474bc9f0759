"""Which source is meant, and its items: files, lists, texts, vectors."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from crosshash.encoding.items import Item, Pictures, RejectedError, Source
from crosshash.encoding.listing import iterate_parts, list_items
from crosshash.encoding.sources import open_source
from crosshash.encoding.tables import Columns
from crosshash.images import CorruptImageError


def pairs(source: Source) -> list[tuple[str, str]]:
    return [(item.id, item.fault) for item in source]


def written(path: Path, rows: list[Any]) -> Path:
    """A list of that suffix."""
    if path.suffix == ".jsonl":
        path.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    elif path.suffix == ".csv":
        lines = [",".join(rows[0]), *(",".join(map(str, row.values())) for row in rows)]
        path.write_text("\n".join(lines))
    else:
        pyarrow = pytest.importorskip("pyarrow", reason="needs the extra parquet")
        from pyarrow import parquet

        parquet.write_table(pyarrow.Table.from_pylist(rows), path)
    return path


def test_files_and_folders_come_in_the_order_of_an_npz_file(
    photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from crosshash.cli.options import image_paths

    expected = [str(path) for path in image_paths([str(photos)])]
    assert len(expected) == 11
    assert pairs(open_source(photos)) == [(path, "") for path in expected]
    monkeypatch.chdir(photos)
    assert pairs(open_source(".")) == [(str(path), "") for path in image_paths(["."])]
    given = ["j.png", "b"]
    assert [item.id for item in open_source(given)] == ["j.png", str(Path("b", "x.png"))]
    with pytest.raises(FileNotFoundError, match=r"k\.png: no such file or folder"):
        open_source("k.png")


@pytest.mark.parametrize("suffix", [".csv", ".jsonl", ".parquet"])
def test_lists_by_their_columns(suffix: str, tmp_path: Path, photos: Path) -> None:
    rows = [
        {"id": "one", "image": "photos/a.png", "text": "a red circle"},
        {"id": "2", "image": "photos/b/x.png", "text": "a blue square"},
        {"id": "one", "image": "photos/none.png", "text": "grass"},
    ]
    path = written(tmp_path / f"list{suffix}", rows)
    images = open_source(path)
    assert pairs(images) == [("one", ""), ("2", ""), ("one", "")]
    assert [images.read(item) for item in images] == [tmp_path / row["image"] for row in rows]
    listing = list_items(images, 2)
    marked = [item for _, part in iterate_parts(images, listing) for item in part]
    assert [bool(item.fault) for item in marked] == [False, False, True]
    texts = open_source(path, text=True, columns=Columns(id="image"))
    assert [item.id for item in texts] == [row["image"] for row in rows]
    assert [texts.read(item) for item in texts] == [row["text"] for row in rows]
    named = open_source(path, columns=Columns(image="id"))
    assert named.read(next(iter(named))) == tmp_path / "one"
    with pytest.raises(ValueError, match=r"no column 'photo', but id, image, text; .*--image-col"):
        open_source(path, columns=Columns(image="photo"))
    with pytest.raises(ValueError, match="--id-column"):
        open_source(path, columns=Columns(id="key"))
    with pytest.raises(ValueError, match="give it alone"):
        open_source([path, photos])


def test_without_ids_a_picture_is_its_path_and_a_text_its_row(tmp_path: Path) -> None:
    path = written(tmp_path / "a.jsonl", [{"image": f"{n}.png", "text": "a"} for n in "ba"])
    assert [item.id for item in open_source(path)] == ["b.png", "a.png"]
    assert [item.id for item in open_source(path, text=True)] == ["0", "1"]


def test_rows_that_cannot_be_read_are_rejects_and_stop_no_other(tmp_path: Path) -> None:
    lines = [
        b'{"image": "a.png", "id": 7}',
        b'{"image": "b.png"',
        b"[1]",
        b"",
        b'{"id": "no image"}',
        b'{"image": "c.png", "id": null}',
        b'{"image": "https://example.org/d.png", "id": "d"}',
        b'{"image": "' + b"x" * (5 << 20) + b'", "id": "long"}',
        b'{"image": "e.png", "id": "e"}',
    ]
    (tmp_path / "a.jsonl").write_bytes(b"\n".join(lines))
    source = open_source(tmp_path / "a.jsonl")
    found = list(source)
    assert [(item.id, bool(item.fault)) for item in found] == [
        ("7", False),
        ("a.jsonl row 1", True),
        ("a.jsonl row 2", True),
        ("no image", True),
        ("a.jsonl row 4", True),
        ("d", False),
        ("a.jsonl row 6", True),
        ("e", False),
    ]
    assert "line 2: not valid JSON" in found[1].fault
    assert "line 8 is longer than" in found[6].fault
    with pytest.raises(CorruptImageError, match="is an address, and pictures are not fetched"):
        Pictures(source, [found[5]]).open(0)
    with pytest.raises(CorruptImageError, match="there is no such file"):
        Pictures(source, [found[7]]).open(0)

    (tmp_path / "a.csv").write_bytes(b"\xef\xbb\xbftext,id\na,1\na,b,c\n\xff,3\n'\n\nd,4")
    source = open_source(tmp_path / "a.csv", text=True)
    assert pairs(source)[1] == ("a.csv row 1", "3 values where the first row names 2")
    assert [id_ for id_, fault in pairs(source) if not fault] == ["1", "3", "4"]
    with pytest.raises(RejectedError, match="no valid Unicode, at character 0"):
        source.read(list(source)[2])


def test_lists_that_name_nothing_are_refused(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("image,id\n")
    with pytest.raises(ValueError, match=r"nothing to encode in .*a\.csv"):
        list_items(open_source(tmp_path / "a.csv"), 5)
    (tmp_path / "a.jsonl").write_text("[]\n")
    with pytest.raises(ValueError, match="no line of it is a JSON object"):
        open_source(tmp_path / "a.jsonl")
    (tmp_path / "b.csv").write_text("image,image\n")
    with pytest.raises(ValueError, match="two columns of its first row have one name"):
        open_source(tmp_path / "b.csv")
    with pytest.raises(FileNotFoundError, match="there is no such list"):
        open_source(tmp_path / "c.csv")


def test_parquet_is_a_list_where_it_has_the_column_and_vectors_elsewhere(tmp_path: Path) -> None:
    rows = [{"embedding": [0.5, 1.0], "image": "a.png"}] * 2
    path = written(tmp_path / "a.parquet", rows)
    assert open_source(path).form == "pictures"
    assert open_source(path, columns=Columns(image="image")).form == "pictures"
    assert open_source(f"{path}:embedding").form == "vectors"
    with pytest.raises(ValueError, match="choose one, as in"):
        open_source(path, text=True)
    inside = written(tmp_path / "b.parquet", [{"image": {"bytes": b"1", "path": None}}])
    with pytest.raises(ValueError, match="pictures inside of Parquet are read by datasets"):
        open_source(inside)


def test_texts_and_vectors(tmp_path: Path) -> None:
    long = "a red circle " * 50  # too long for a file's name
    source = open_source(["a", long, "report.csv"], text=True)
    assert pairs(source) == [("a", ""), (long, ""), ("report.csv", "")]
    assert source.describe()["given"] == []
    np.save(tmp_path / "v.npy", np.arange(12).reshape(4, 3))
    vectors = open_source(tmp_path / "v.npy")
    items = list(vectors)
    np.testing.assert_array_equal(vectors.rows(items[1:3]), [[3.0, 4.0, 5.0], [6.0, 7.0, 8.0]])
    assert vectors.rows(items).dtype == np.float32
    stamp = vectors.stamp()
    np.save(tmp_path / "v.npy", np.arange(12).reshape(4, 3) + (np.arange(3) == 2))
    assert open_source(tmp_path / "v.npy").stamp() != stamp
    with pytest.raises(ValueError, match="texts are given as they are"):
        open_source(tmp_path, text=True)
    with pytest.raises(ValueError, match="leave out --image-column"):
        open_source(tmp_path / "v.npy", columns=Columns(id="id"))
    with pytest.raises(ValueError, match="--split is of data sets of the Hub"):
        open_source(tmp_path / "v.npy", split="train")


class Named(Source):
    """Items that change under way."""

    kind = "text"
    form = "texts"
    title = "names"
    given = ("names",)

    def __init__(self, *rounds: list[str]) -> None:
        self.rounds = list(rounds)

    def __iter__(self) -> Any:
        return (Item(name, 0) for name in self.rounds.pop(0))

    def read(self, item: Item) -> str:
        return item.id


@pytest.mark.parametrize("later", ["abcdX", "abXde", "abc", "ab", "abcdef", "abcdefg", ""])
def test_a_source_that_changes_after_it_was_listed_is_seen(later: str) -> None:
    source = Named(list("abcde"), list(later))
    listing = list_items(source, 2)
    assert (listing.items, len(listing.parts)) == (5, 3)
    with pytest.raises(ValueError, match=r"names \(names\) changed while it was read"):
        list(iterate_parts(source, listing))
    source = Named(list("abcde"))
    assert [len(part) for _, part in iterate_parts(source, listing)] == [2, 2, 1]


def test_an_id_is_unicode(tmp_path: Path) -> None:
    source = Named(["a\udcff.png", "b"], ["a\udcff.png", "b"])
    ((_, items),) = iterate_parts(source, list_items(source, 5))
    assert items[0].id == "a\\udcff.png"
    assert "no valid Unicode" in items[0].fault
    assert not items[1].fault
