"""``crosshash fit`` and what is done with its model, as a user calls them."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

import crosshash
from crosshash.cli import app, main
from crosshash.search.index import Index


def run(*arguments: object) -> str:
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert result.exit_code == 0, result.output
    return result.stdout


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Vectors of 80 images with two texts each, in files, and a model of them."""
    path = tmp_path_factory.mktemp("vectors")
    rng = np.random.default_rng(0)
    topics = rng.normal(size=(80, 6))
    np.save(path / "images.npy", (topics @ rng.normal(size=(6, 20))).astype(np.float16))
    texts = np.repeat(topics, 2, axis=0) @ rng.normal(size=(6, 12))
    np.savez(path / "texts.npz", mini=texts, other=texts[:3])
    np.save(path / "labels.npy", topics[:, :3].argmax(axis=1))
    fit(path, "-o", path / "model", "--quiet")
    return path


def fit(path: Path, *more: object) -> str:
    files = (path / "images.npy", f"{path / 'texts.npz'}:mini")
    return run("fit", *files, "--per-image", 2, "--bits", 16, "--epochs", 2, *more)


def test_a_model_is_fitted_and_measured(folder: Path, tmp_path: Path) -> None:
    told = json.loads(fit(folder, "-o", tmp_path / "model", "--json", "--quiet"))
    assert (told["bits"], told["pairs"], told["held_out"]) == (16, 80, 8)
    assert told["bytes"] < 1e6
    assert "CCA-ITQ" in {row["codes"] for row in told["rows"]}
    assert crosshash.load(tmp_path / "model").method == "cph"
    table = fit(folder, "-o", tmp_path / "model", "--overwrite", "--quiet")
    assert "centred signs" in table
    assert "16 bits, 0.0" in table


def test_figures_are_told_once(folder: Path, tmp_path: Path) -> None:
    texts = f"{folder / 'texts.npz'}:mini"
    files = [str(folder / "images.npy"), texts, "--per-image", "2", "-o", str(tmp_path / "model")]
    result = CliRunner().invoke(app, ["fit", *files, "--bits", "16", "--epochs", "1"])
    assert result.exit_code == 0, result.output
    assert "Measured on" in result.stdout
    assert result.output.count("Measured on") == 1


def test_labels_are_used_unless_they_are_not_to_be(folder: Path, tmp_path: Path) -> None:
    labels = ("--labels", folder / "labels.npy", "--quiet")
    fit(folder, "-o", tmp_path / "with", *labels)
    fit(folder, "-o", tmp_path / "without", *labels, "--no-labels")
    assert crosshash.load(tmp_path / "with").method == "lpdh"
    assert crosshash.load(tmp_path / "without").method == "cph"


def test_vectors_are_encoded_and_indexed_by_their_row_numbers(folder: Path, tmp_path: Path) -> None:
    images, model = folder / "images.npy", crosshash.load(folder / "model")
    told = json.loads(run("encode", folder / "model", images, "-o", tmp_path / "c.npz", "--json"))
    assert told["items"] == 80
    with np.load(tmp_path / "c.npz", allow_pickle=False) as file:
        codes, ids = file["codes"], file["ids"]
    np.testing.assert_array_equal(codes, model.encode_image(np.load(images)))
    assert ids.tolist() == [str(row) for row in range(80)]
    texts = f"{folder / 'texts.npz'}:other"
    run("encode", folder / "model", texts, "--text", "-o", tmp_path / "t.npz")
    with np.load(tmp_path / "t.npz", allow_pickle=False) as file:
        assert file["codes"].shape == (3, 2)
    built = json.loads(run("index", folder / "model", images, "-o", tmp_path / "index", "--json"))
    assert (built["items"], built["added"]) == (80, 80)
    index = Index.load(tmp_path / "index")
    assert index.search(codes[7:8], topk=80).distances[0][0] == 0
    np.testing.assert_array_equal(index.codes(), codes)
    again = run("index", folder / "model", images, "-o", tmp_path / "index", "--add", "--json")
    assert json.loads(again)["added"] == 0


def searched(folder: Path, *arguments: object) -> list[str]:
    found = run("search", *arguments, "-i", folder / "index", "-m", folder / "model", "--json")
    return [hit["id"] for hit in json.loads(found)["hits"]]


def test_a_vector_is_a_query_of_the_side_that_its_width_says(folder: Path, tmp_path: Path) -> None:
    images, model = np.load(folder / "images.npy"), crosshash.load(folder / "model")
    run("index", folder / "model", folder / "images.npy", "-o", folder / "index")
    index = Index.load(folder / "index")
    with np.load(folder / "texts.npz", allow_pickle=False) as file:
        texts = file["other"]
    np.save(tmp_path / "image.npy", images[7])
    np.savez(tmp_path / "text.npz", one=texts[2:], more=texts)
    values = model.encode_text(texts[2:], output="real")
    for query, outputs in (
        (tmp_path / "image.npy", model.encode_image(images[7:8], output="real")),
        (f"{tmp_path / 'text.npz'}:one", values),
    ):
        expected = index.search(outputs, topk=10, rank="asymmetric").ids[0]
        assert searched(folder, query) == list(expected)


def test_of_two_sides_of_one_width_the_vectors_is_said(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    images, texts = rng.normal(size=(2, 40, 12))
    np.save(tmp_path / "query.npy", images[:1])
    np.save(tmp_path / "images.npy", images)
    fitted = {"bits": 16, "epochs": 2, "progress": False, "overwrite": True}
    for pair in ((images, texts), (images,)):
        model = crosshash.fit(*pair, output=tmp_path / "model", **fitted)
        place, query = tmp_path / "index", tmp_path / "query.npy"
        run("index", tmp_path / "model", tmp_path / "images.npy", "-o", place)
        expected = {
            side: list(Index.load(place).search(values, topk=10, rank="asymmetric").ids[0])
            for side, values in (
                ("image", model.encode_image(images[:1], output="real")),
                ("text", model.encode_text(images[:1], output="real")),
            )
        }
        for side, ids in expected.items():
            assert searched(tmp_path, query, "--side", side) == ids
        if len(pair) == 1:  # both are the same function
            assert searched(tmp_path, query) == expected["image"]
            continue
        assert expected["image"] != expected["text"]
        command = ["search", query, "-i", place, "-m", tmp_path / "model"]
        result = CliRunner().invoke(app, [str(argument) for argument in command])
        assert "say of which it is, --side image or --side text" in str(result.exception)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["search", "none.npy", "-i", "i", "-m", "model"], "there is no file none.npy"),
        (["search", "images.npy", "-i", "i", "-m", "model"], "one vector of width 20 (of images)"),
        (
            ["search", "row.npy", "-i", "i", "-m", "model", "--side", "text"],
            "one vector of width 12 (of texts), got (1, 20)",
        ),
        (
            ["search", "a dog", "-i", "i", "-m", "model", "--side", "text"],
            "--side is of the vector of a file, and 'a dog' is none",
        ),
        (["fit", "images.npy"], "say where the model goes: --output FOLDER"),
        (["fit", "-o", "m"], "nothing to fit"),
        (["fit", "none.npy", "-o", "m"], "images: there is no file none.npy"),
        (["fit", "images.npy", "texts.npz", "-o", "m"], "choose one, as in texts.npz:mini"),
        (["fit", "images.npy", "texts.npz:mini", "-o", "m"], "set per_image=2"),
        (["fit", "images.npy", "-o", "model"], "is there: choose another folder"),
        (["encode", "model", "labels.npy", "-o", "c.npz"], "expected rows of width 20"),
        (["encode", "model", "images.npy", "b.npy", "-o", "c.npz"], "give it alone"),
    ],
)
def test_bad_input_ends_with_one_line_and_exit_code_2(
    arguments: list[str],
    message: str,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(folder)
    if arguments[0] == "search":
        np.save("row.npy", np.ones((1, 20)))
        run("index", "model", "images.npy", "-o", "i")
    monkeypatch.setattr(sys, "argv", ["crosshash", *arguments])
    with pytest.raises(SystemExit) as end:
        main()
    assert end.value.code == 2
    error = capsys.readouterr().err
    assert error.startswith("crosshash: ")
    assert message in error
