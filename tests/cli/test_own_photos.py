"""``crosshash demo --photos``: a folder of pictures, searched by words on one page."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest
from PIL import Image
from typer.testing import CliRunner

import crosshash
from crosshash.cli import app
from crosshash.cli.own_photos import HITS, QUERIES
from crosshash.search.index import Index


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """Seven drawn scenes, one in a folder inside, two with a caption, and a damaged file."""
    folder = tmp_path / "pictures"
    (folder / "more").mkdir(parents=True)
    dataset, _ = crosshash.load_dataset("shapes", n=7, query=2, train=2)
    for row in range(7):
        name = f"more/{row}.png" if row == 6 else f"{row}.png"
        dataset.images.open(row).save(folder / name)
    with (folder / "metadata.csv").open("w", newline="") as file:
        csv.writer(file).writerows([["file_name", "text"], ["0.png", "A moon"], ["1.png", "A <b>"]])
    (folder / "damaged.jpg").write_bytes(b"no picture")
    return folder


def demo(*arguments: object) -> dict[str, object]:
    done = CliRunner().invoke(app, ["demo", *map(str, arguments), "--json", "--quiet"])
    assert done.exit_code == 0, done.output
    return dict(json.loads(done.stdout))


def test_a_folder_is_indexed_once_and_searched_by_texts(pictures: Path, tmp_path: Path) -> None:
    output = tmp_path / "out"
    options = ["--photos", pictures, "-o", output]
    done = demo(*options, "--query", "the moon <at night>", "--query", "a ball")
    assert (done["items"], done["added"]) == (7, 7)
    assert done["skipped"] == [str(pictures / "damaged.jpg")]
    page = Path(str(done["page"])).read_text(encoding="utf-8")
    assert page.count("<img") == 2 * HITS
    assert "the moon &lt;at night&gt;" in page
    assert "A &lt;b&gt;" in page or "A moon" in page
    assert "8 bytes" in page
    with Index.open(str(done["index"])) as index:
        assert (len(index), index.bits) == (7, 64)
        assert index.get(str(pictures / "0.png")).metadata["text"] == "A moon"
    (pictures / "2.png").unlink()
    Image.new("RGB", (40, 30), "red").save(pictures / "new.png")
    again = demo(*options)
    assert again["added"] == 1
    assert again["queries"] == list(QUERIES)
    page = Path(str(again["page"])).read_text(encoding="utf-8")
    assert page.count("<img") == len(QUERIES) * HITS
    assert "2.png" not in page


def test_what_it_cannot_do_is_told(pictures: Path, tmp_path: Path) -> None:
    def told(*arguments: object) -> str:
        done = CliRunner().invoke(app, ["demo", "-o", str(tmp_path / "out"), *map(str, arguments)])
        assert done.exit_code != 0
        return " ".join(str(done.exception).split())

    assert "is no folder; --photos takes a folder of pictures" in told("--photos", tmp_path / "no")
    assert "give --photos FOLDER too" in told("--query", "a dog")
    assert "trains nothing; leave --epochs out" in told("--photos", pictures, "--epochs", 1)
    assert "knows none of its words" in told("--photos", pictures, "--query", "\u732b")
    assert not (tmp_path / "out").exists()  # a text is read before any picture
    (tmp_path / "empty").mkdir()
    assert "no image below" in told("--photos", tmp_path / "empty")
