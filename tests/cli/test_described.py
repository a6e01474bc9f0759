"""``crosshash index`` keeps what a folder's metadata say, and ``search`` shows it."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

from crosshash.cli import app
from crosshash.search.index import Index

MODEL = "amgfh-shapes-64"
Fail = Callable[..., str]


def run(*arguments: object) -> str:
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert result.exit_code == 0, result.output
    return result.stdout


def told(*arguments: object) -> dict[str, object]:
    found: dict[str, object] = json.loads(run(*arguments, "--json"))
    return found


@pytest.fixture
def photos(pictures: Path) -> Path:
    """Five pictures: two captions and labels of the first, a row of the second, one of none."""
    (pictures / "metadata.csv").write_text(
        "file_name,text,labels,year\n"
        "0.png,a red <star>,star|red,2023\n0.png,a star,star|red,2023\n"
        "1.png,a blue circle,circle,2024\ngone.png,nothing,star,2024\n"
    )
    return pictures


def test_captions_and_labels_are_kept_shown_and_filtered_by(photos: Path, tmp_path: Path) -> None:
    place, page = tmp_path / "index", tmp_path / "hits.html"
    built = told("index", MODEL, photos, "-o", place)
    assert (built["items"], built["with_metadata"]) == (5, 2)
    assert built["rows_without_picture"] == [str(photos / "gone.png")]
    index = Index.load(place)
    first = {"text": ["a red <star>", "a star"], "labels": ["star", "red"], "year": 2023}
    assert index.get(str(photos / "0.png")).metadata == first
    assert index.get(str(photos / "2.png")).metadata is None
    asked = ["search", "a red star", "-i", place]
    hits = told(*asked)["hits"]
    assert {Path(hit["id"]).name: hit["metadata"] for hit in hits}["0.png"] == first
    for where, names in (("labels=red", ["0.png"]), ("labels=circle", ["1.png"]),
                         ("year=2024", ["1.png"]), ("labels=blue", [])):  # fmt: skip
        found = told(*asked, "--where", where)["hits"]
        assert [Path(hit["id"]).name for hit in found] == names
    shown = run(*asked, "--gallery", page, "--root", photos)
    assert shown.splitlines()[1].split()[-3:] == ["id", "caption", "labels"]
    assert re.search(r"0\.png +a red <star> \(\+1\) +star, red", shown)
    text = page.read_text(encoding="utf-8")
    assert "a red &lt;star&gt; (+1)" in text
    assert sorted(re.findall(r"<li>(\w+)</li>", text)) == ["circle", "red", "star"]


def test_what_was_left_out_is_said(photos: Path, tmp_path: Path) -> None:
    lines = run("index", MODEL, photos, "-o", tmp_path / "index").splitlines()
    assert lines[0].startswith("5 images indexed, 2 with metadata: ")
    assert lines[1:] == [
        "1 row of metadata without its picture:",
        f"  {photos / 'gone.png'}",
    ]
    (photos / "metadata.csv").write_text(
        "file_name,text\n" + "".join(f"x{n}.png,a\n" for n in range(8))
    )
    lines = run("index", MODEL, photos, "-o", tmp_path / "index").splitlines()
    assert lines[0].startswith("5 images indexed, 0 with metadata: ")
    assert (lines[1], len(lines), lines[-1]) == (
        "8 rows of metadata without their pictures:", 8, "  … and 3 more"
    )  # fmt: skip


def test_metadata_may_be_left_unread(photos: Path, tmp_path: Path, fail: Fail) -> None:
    place = tmp_path / "index"
    built = told("index", MODEL, photos, "-o", place, "--no-metadata")
    assert (built["with_metadata"], built["rows_without_picture"]) == (0, [])
    assert all(item.metadata is None for item in Index.load(place))
    shown = run("index", MODEL, photos, "-o", place, "--no-metadata")
    assert shown == f"5 images indexed: {place}\n"
    (photos / "metadata.csv").write_text("picture,text\n0.png,a star\n")
    error = fail("index", MODEL, photos, "-o", place)
    assert "no column file_name" in error
    assert "--no-metadata" in error
    run("index", MODEL, photos, "-o", place, "--no-metadata")


def test_pictures_that_are_added_bring_their_metadata(photos: Path, tmp_path: Path) -> None:
    place = tmp_path / "index"
    run("index", MODEL, photos / "1.png", photos / "2.png", "-o", place)
    built = told("index", MODEL, photos, "-o", place, "--add")
    assert (built["added"], built["with_metadata"]) == (3, 1)
    held = {Path(item.id).name: item.metadata for item in Index.load(place)}
    assert held["1.png"] is None  # it was there
    assert held["0.png"] is not None


def test_damaged_pictures_move_no_metadata(photos: Path, tmp_path: Path) -> None:
    (photos / "0.png").write_text("no picture")
    place = tmp_path / "index"
    built = told("index", MODEL, photos, "-o", place, "--skip-corrupt")
    assert (built["items"], built["with_metadata"]) == (4, 1)
    expected = {"text": "a blue circle", "labels": "circle", "year": 2024}
    assert Index.load(place).get(str(photos / "1.png")).metadata == expected
