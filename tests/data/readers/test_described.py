"""What metadata files say of pictures, as an index keeps it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from crosshash.data import folder_metadata


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def test_a_csv_file_gives_texts_labels_numbers_and_truth_values(tmp_path: Path) -> None:
    write(
        tmp_path / "metadata.csv",
        ",file_name,text,labels,year,score,seen,code,split\n"
        "0,./a.jpg,1984,dog| snow ,2024,0.5,True,007,train\n"
        "1,sub/b.jpg,,cat,2025,-1,false,12,\n"
        "2,c.jpg,two  words,,,,,,\n",
    )
    assert folder_metadata(tmp_path) == {
        "a.jpg": {
            **{"text": "1984", "labels": ["dog", "snow"], "year": 2024, "score": 0.5},
            **{"seen": True, "code": "007", "split": "train"},
        },
        "sub/b.jpg": {"labels": "cat", "year": 2025, "score": -1, "seen": False, "code": "12"},
        "c.jpg": {"text": "two  words"},
    }
    assert type(folder_metadata(str(tmp_path))["sub/b.jpg"]["score"]) is int


def test_json_lines_are_kept_as_they_are_but_for_what_no_filter_compares(tmp_path: Path) -> None:
    row = {"file_name": "a.jpg", "captions": ["one", "two"], "label": "a|b", "year": 1.0}
    other = {"license": None, "objects": {"bbox": [1]}, "boxes": [[1, 2]], "flags": [0, 1, 0]}
    write(tmp_path / "metadata.jsonl", json.dumps({**row, **other}) + "\n")
    expected = {name: row[name] for name in ("captions", "label", "year")}
    assert folder_metadata(tmp_path) == {"a.jpg": {**expected, "flags": [0, 1, 0]}}


def test_rows_of_one_picture_are_put_together(tmp_path: Path) -> None:
    write(
        tmp_path / "metadata.csv",
        "file_name,text,labels\na.jpg,one,dog|snow\na.jpg,two,dog|snow\na.jpg,one,cat|dog\n",
    )
    assert folder_metadata(tmp_path) == {
        "a.jpg": {"text": ["one", "two"], "labels": ["dog", "snow", "cat"]}
    }


def test_each_folder_may_have_its_own_file(tmp_path: Path) -> None:
    write(tmp_path / "train" / "metadata.csv", "file_name,text\na.jpg,one\n")
    write(tmp_path / "album" / "deep" / "metadata.jsonl", '{"file_name": "b.jpg", "text": "two"}')
    assert folder_metadata(tmp_path) == {
        "train/a.jpg": {"text": "one"},
        "album/deep/b.jpg": {"text": "two"},
    }
    assert folder_metadata(tmp_path / "album" / "deep") == {"b.jpg": {"text": "two"}}
    (tmp_path / "none").mkdir()
    assert folder_metadata(tmp_path / "none") == {}


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        (
            "metadata.csv",
            "picture,text\na.jpg,one\n",
            "line 2: no column file_name; it has picture",
        ),
        ("metadata.csv", "file_name,text\n../a.jpg,one\n", "leads out of the folder"),
        ("metadata.csv", "file_name,text\na.jpg,one,two\n", "the header's 2 columns"),
        ("metadata.jsonl", '{"file_name": "a.jpg", "n": NaN}', "line 1: not valid JSON"),
        ("metadata.jsonl", '{"file_name": 7}', "file_name is 7"),
    ],
)
def test_what_is_not_in_the_convention_is_refused(
    tmp_path: Path, name: str, text: str, message: str
) -> None:
    write(tmp_path / name, text)
    with pytest.raises(ValueError, match=message):
        folder_metadata(tmp_path)


def test_a_link_to_a_file_of_elsewhere_is_not_read(tmp_path: Path) -> None:
    private = write(tmp_path / "private.csv", "file_name,secret\na.jpg,42\n")
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "metadata.csv").symlink_to(private)
    with pytest.raises(ValueError, match="outside of the folder"):
        folder_metadata(tmp_path / "photos")
