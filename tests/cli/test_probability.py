"""``crosshash search`` tells how probable hits are, and leaves out those that are not."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

import crosshash
from crosshash.cli import app, main
from crosshash.retrieval.calibration import KEY, Calibration, Steps, Table
from crosshash.search.index import Index

TEXT = "a red circle at night"
HAMMING = [0.9, 0.9, 0.8, *[0.4] * 5, *[0.1] * 57]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model that knows of texts over images, and an index of codes ever farther from a text's."""
    path = tmp_path_factory.mktemp("probability")
    model = crosshash.load("amgfh-shapes-64")
    del model.info.figures[KEY]
    steps = Steps(starts=[0.0, 1e-9, 0.2], heights=[0.95, 0.6, 0.05])
    tables = {"64": {"t2i": Table(hamming=HAMMING, asymmetric=steps)}}
    calibration = Calibration(relevance="labels", items=100, tables=tables)
    crosshash.save(model, path / "plain")
    before = Index.for_model(model, {"kind": "image"})
    model.info.figures[KEY] = calibration.as_dict()
    crosshash.save(model, path / "model")
    near = model.encode_text(TEXT, output="signs")
    codes = np.tile(near, (20, 1))
    for item in range(20):
        codes[item, :item] *= -1
    indexes = {kind: Index.for_model(model, {"kind": kind}) for kind in ("image", "thing")}
    for name, index in {**indexes, "before": before}.items():
        index.add(codes, [f"{item}.png" for item in range(20)])
        index.save(path / f"{name}.index")
    Image.new("RGB", (32, 32)).save(path / "query.png")
    return path


def hits(folder: Path, *options: object) -> list[dict[str, object]]:
    command = ["search", TEXT, "-i", folder / "image.index", "-m", folder / "model", "--json"]
    result = CliRunner().invoke(app, [str(part) for part in (*command, *options)])
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)["hits"]


def test_hits_have_their_probability(folder: Path) -> None:
    found = hits(folder, "--rank", "hamming")
    assert [hit["probability"] for hit in found] == HAMMING[:10]
    assert [hit["distance"] for hit in found] == list(range(10))
    weighed = hits(folder)
    values = np.abs(crosshash.load(folder / "model").encode_text(TEXT, output="real"))
    for hit in weighed:
        share = hit["asymmetric"] / values.sum()
        expected = 0.95 if share == 0 else 0.6 if share < 0.2 else 0.05
        assert hit["probability"] == expected
    command = ["search", TEXT, "-i", folder / "image.index", "-m", folder / "model"]
    shown = CliRunner().invoke(app, [str(part) for part in command]).stdout
    head = ["rank", "probability", "asymmetric", "distance", "id"]
    assert shown.split("\n")[1].split() == head


def test_less_probable_hits_are_left_out(folder: Path, tmp_path: Path) -> None:
    found = hits(folder, "--rank", "hamming", "--min-probability", 0.8)
    assert [hit["id"] for hit in found] == ["0.png", "1.png", "2.png"]
    assert [hit["rank"] for hit in found] == [1, 2, 3]
    assert len(hits(folder, "--min-probability", 0.7)) == 1
    assert hits(folder, "--min-probability", 0.97) == []
    command = ["search", TEXT, "-i", folder / "image.index", "-m", folder / "model", "-g"]
    more = [tmp_path / "page.html", "--min-probability", 0.97]
    result = CliRunner().invoke(app, [str(part) for part in (*command, *more)])
    assert result.stdout == "nothing of a probability of 0.97 or more\n"
    assert TEXT in (tmp_path / "page.html").read_text()


@pytest.mark.parametrize(
    ("query", "index", "model"),
    [
        (TEXT, "before", "plain"),  # no pairs were held out
        (TEXT, "thing", "model"),  # what its items are is not said
        ("query.png", "image", "model"),  # nothing is known of images over images
    ],
)
def test_where_none_is_known_none_is_asked_for(
    folder: Path,
    query: str,
    index: str,
    model: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(folder)
    command = ["crosshash", "search", query, "-i", f"{index}.index", "-m", model, "--json"]
    result = CliRunner().invoke(app, command[1:])
    assert not any("probability" in hit for hit in json.loads(result.stdout)["hits"])
    monkeypatch.setattr(sys, "argv", [*command, "--min-probability", "0.5"])
    with pytest.raises(SystemExit) as end:
        main()
    assert end.value.code == 2
    error = capsys.readouterr().err
    assert error.startswith(f"crosshash: --min-probability: {model} does not know how probable")
    assert "data.validation or data.calibration" in error
