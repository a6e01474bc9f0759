"""``crosshash encode``, ``index`` and ``search`` as a user calls them."""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from typer.testing import CliRunner

import crosshash
from crosshash.cli import app
from crosshash.search.folder import FolderEngine
from crosshash.search.index import Index
from crosshash.search.result import Item

Fail = Callable[..., str]


def save_model(folder: Path, seed: int = 0, bits: int = 32, nested: tuple[int, ...] = ()) -> Path:
    torch.manual_seed(seed)
    model = crosshash.create(
        "amgfh",
        bits=bits,
        nested=nested,
        backbones={"name": "test_resnet", "weights": "random", "image_size": 32},
        texts=["a red circle", "a blue square"],
        dim=16,
        hidden=[16],
    )
    crosshash.save(model, folder)
    return folder


@pytest.fixture(scope="module")
def run_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a finished training."""
    folder = tmp_path_factory.mktemp("run")
    save_model(folder / "checkpoint")
    return folder


@pytest.fixture
def index(run_folder: Path, pictures: Path, tmp_path: Path) -> Path:
    run("index", run_folder, pictures, "-o", tmp_path / "index", "--quiet")
    return tmp_path / "index"


def run(*arguments: object) -> str:
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert result.exit_code == 0, result.output
    return result.stdout


def break_pictures(folder: Path) -> list[str]:
    """Two corrupt files among the pictures: one is cut, one was never a picture."""
    whole = (folder / "1.png").read_bytes()
    (folder / "1.png").write_bytes(whole[: len(whole) // 2])
    (folder / "notes.jpg").write_text("no picture")
    return [str(folder / "1.png"), str(folder / "notes.jpg")]


def test_encode_index_and_search(run_folder: Path, pictures: Path, tmp_path: Path) -> None:
    encoded = json.loads(run("encode", run_folder, pictures, "-o", tmp_path / "c.npz", "--json"))
    told = {"output": str(tmp_path / "c.npz"), "items": 5, "bits": 32, "skipped": []}
    assert encoded == told
    with np.load(tmp_path / "c.npz", allow_pickle=False) as file:
        codes, ids = file["codes"], file["ids"]
    assert codes.shape == (5, 4)
    built = json.loads(run("index", run_folder, pictures, "-o", tmp_path / "index", "--json"))
    assert built == {
        "index": str(tmp_path / "index"),
        "items": 5,
        "added": 5,
        "bits": 32,
        "with_metadata": 0,
        "rows_without_picture": [],
        "skipped": [],
    }
    page = tmp_path / "hits.html"
    model = ["-i", tmp_path / "index", "--model", run_folder, "--json"]
    found = json.loads(
        run("search", pictures / "3.png", *model, "-k", 3, "-g", page, "--root", pictures)
    )
    assert [hit["rank"] for hit in found["hits"]] == [1, 2, 3]
    assert found["hits"][0]["distance"] == 0
    assert str(pictures / "3.png") in ids
    assert "data:image/" in page.read_text()
    by_text = json.loads(run("search", "a red square", *model))
    assert len(by_text["hits"]) == 5


def test_hits_come_by_asymmetric_distance_unless_by_hamming_distance_is_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    network, rng = crosshash.load("amgfh-shapes-64"), np.random.default_rng(0)
    index, page = tmp_path / "index", tmp_path / "hits.html"
    built = Index.for_model(network, {"model": "amgfh-shapes-64"})
    text = "a red circle at night"
    near = np.tile(network.encode_text(text), (40, 1))
    built.add(near ^ rng.integers(0, 256, (40, 8), np.uint8), [f"{n}.png" for n in range(40)])
    built.save(index)
    Image.new("RGB", (32, 32)).save(tmp_path / "query.png")
    for query, values in (
        (text, network.encode_text(text, output="real")),
        (tmp_path / "query.png", network.encode_image(tmp_path / "query.png", output="real")),
    ):
        orders = []
        for options, rank in (([], "asymmetric"), (["--rank", "hamming"], "hamming")):
            hits = json.loads(run("search", query, "-i", index, "--json", *options))["hits"]
            found = built.search(values, rank=rank)
            orders.append([hit["id"] for hit in hits])
            assert orders[-1] == found.ids[0]
            assert [hit["distance"] for hit in hits] == found.distances[0].tolist()
            if rank == "asymmetric":
                assert [hit["asymmetric"] for hit in hits] == found.asymmetric[0].tolist()
            else:
                assert not any("asymmetric" in hit for hit in hits)
        assert orders[0] != orders[1]
    shown = run("search", text, "-i", index)
    assert shown.split("\n")[1].split() == ["rank", "asymmetric", "distance", "id"]
    hits = json.loads(run("search", text, "-i", index, "--json"))["hits"]
    for hit in hits:
        Image.new("RGB", (32, 32)).save(tmp_path / hit["id"])
    monkeypatch.chdir(tmp_path)
    run("search", text, "-i", index, "-g", page)
    places = [page.read_text().index(f">{hit['id']}<") for hit in hits]
    assert places == sorted(places)
    assert f"distance&nbsp;{hits[0]['distance']}" in page.read_text()


def test_another_ranking_is_refused(index: Path) -> None:
    result = CliRunner().invoke(app, ["search", "red", "-i", str(index), "--rank", "cosine"])
    assert result.exit_code == 2
    assert "asymmetric" in result.output


def test_texts_are_encoded(run_folder: Path, tmp_path: Path) -> None:
    run("encode", run_folder, "red circle", "blue", "--text", "-o", tmp_path / "t.npz")
    with np.load(tmp_path / "t.npz", allow_pickle=False) as file:
        assert list(file["ids"]) == ["red circle", "blue"]


def test_the_checkpoint_may_be_named_by_its_run(
    run_folder: Path, pictures: Path, tmp_path: Path
) -> None:
    for name, model in (("run", run_folder), ("itself", run_folder / "checkpoint")):
        run("index", model, pictures, "-o", tmp_path / name)
    one, other = Index.load(tmp_path / "run"), Index.load(tmp_path / "itself")
    np.testing.assert_array_equal(one.codes(), other.codes())
    assert one.metadata["model_digest"] == other.metadata["model_digest"]


def test_a_picture_named_twice_is_indexed_once(
    run_folder: Path, pictures: Path, tmp_path: Path
) -> None:
    run("index", run_folder, pictures, pictures / "2.png", "-o", tmp_path / "index")
    assert len(Index.load(tmp_path / "index")) == 5


@pytest.mark.parametrize("workers", [0, 2])
def test_corrupt_pictures_are_left_out_when_asked(
    run_folder: Path, pictures: Path, tmp_path: Path, workers: int
) -> None:
    run("index", run_folder, pictures, "-o", tmp_path / "whole")
    corrupt = break_pictures(pictures)
    options = ["-o", tmp_path / "index", "--skip-corrupt", "--workers", workers, "--json"]
    told = json.loads(run("index", run_folder, pictures, *options))
    assert told["skipped"] == corrupt
    assert told["items"] == 4
    whole = Index.load(tmp_path / "whole")
    whole.remove(corrupt[:1])
    index = Index.load(tmp_path / "index")
    assert index.ids == whole.ids
    np.testing.assert_array_equal(index.codes(), whole.codes())


def test_what_was_left_out_is_listed(run_folder: Path, pictures: Path, tmp_path: Path) -> None:
    corrupt = break_pictures(pictures)
    shown = run("encode", run_folder, pictures, "-o", tmp_path / "c.npz", "--skip-corrupt")
    assert shown.splitlines()[1:] == [
        "2 skipped, which cannot be read as images:",
        *(f"  {name}" for name in corrupt),
    ]
    with np.load(tmp_path / "c.npz", allow_pickle=False) as file:
        assert len(file["ids"]) == len(file["codes"]) == 4


@pytest.mark.parametrize("command", ["index", "encode"])
def test_a_corrupt_picture_is_named_with_the_option_that_leaves_it_out(
    run_folder: Path, pictures: Path, tmp_path: Path, fail: Fail, command: str
) -> None:
    corrupt = break_pictures(pictures)
    out = tmp_path / "out.npz"
    error = fail(command, run_folder, pictures, "-o", out)
    assert corrupt[0] in error
    assert "--skip-corrupt" in error
    assert "on_corrupt" not in error
    assert not out.exists()
    nothing = fail(command, run_folder, *corrupt, "-o", out, "--skip-corrupt")
    assert "none of 2 pictures can be read" in nothing


def test_after_training_again_the_index_is_refused(
    run_folder: Path, pictures: Path, tmp_path: Path, fail: Fail
) -> None:
    trained = tmp_path / "run"
    shutil.copytree(run_folder, trained)
    run("index", trained, pictures, "-o", tmp_path / "index")
    save_model(trained / "checkpoint", seed=1)
    error = fail("search", "red", "-i", tmp_path / "index", "--trust")
    assert f"made by another model named {trained} (digest " in error
    assert "`crosshash index`" in error
    # So is any other model of this length; the very model may lie elsewhere.
    assert "digest" in fail("search", "red", "-i", tmp_path / "index", "-m", trained)
    assert "digest" in fail("index", trained, pictures, "-o", tmp_path / "index", "--add")
    run("search", "red", "-i", tmp_path / "index", "-m", run_folder)


def test_a_model_of_another_length_is_refused(index: Path, tmp_path: Path, fail: Fail) -> None:
    other = save_model(tmp_path / "other", bits=16)
    assert "32 bits, and this model's have 16" in fail("search", "red", "-i", index, "-m", other)


def test_codes_and_indexes_have_a_nested_length_where_it_is_asked_for(
    pictures: Path, tmp_path: Path, fail: Fail
) -> None:
    model = save_model(tmp_path / "nested", nested=(8, 16))
    out, place = tmp_path / "codes.npz", tmp_path / "short"
    told = {}
    for bits in ("32", "16"):
        run("encode", model, pictures, "-o", out, "--quiet", "--bits", bits)
        told[bits] = np.load(out)["codes"]
    np.testing.assert_array_equal(told["16"], told["32"][:, :2])
    run("encode", model, "a red circle", "--text", "-o", out, "--bits", 8)
    assert np.load(out)["codes"].shape == (1, 1)
    assert "8, 16 and 32 bits, not of 24" in fail(
        "encode", model, "red", "--text", "-o", out, "--bits", 24
    )
    run("index", model, pictures, "-o", place, "--quiet", "--bits", 16)
    np.testing.assert_array_equal(Index.load(place).codes(), told["16"])
    hits = json.loads(run("search", "a red circle", "-i", place, "--trust", "--json"))["hits"]
    assert len(hits) == 5
    picture = pictures / "2.png"
    first = json.loads(run("search", picture, "-i", place, "--trust", "--json"))["hits"][0]
    assert (first["distance"], first["id"] in map(str, pictures.iterdir())) == (0, True)
    Image.new("RGB", (32, 32), (9, 9, 200)).save(pictures / "new.png")
    run("index", model, pictures, "-o", place, "--add", "--quiet")
    assert len(Index.load(place)) == 6
    assert "codes of 16 bits, to which none of 8" in fail(
        "index", model, pictures, "-o", place, "--add", "--bits", 8
    )


def test_a_model_that_is_gone_is_named_with_what_to_do(
    index: Path, tmp_path: Path, fail: Fail
) -> None:
    metadata = json.loads((index / "index.json").read_text())
    metadata["metadata"]["model"] = str(tmp_path / "moved")
    (index / "index.json").write_text(json.dumps(metadata))
    error = fail("search", "red", "-i", index, "--trust")
    assert str(tmp_path / "moved") in error
    assert "--model" in error


def test_pictures_are_added_to_an_index(run_folder: Path, pictures: Path, index: Path) -> None:
    before = Index.load(index)
    Image.new("RGB", (32, 32), (1, 2, 3)).save(pictures / "0-new.png")
    told = json.loads(run("index", run_folder, pictures, "-o", index, "--add", "--json"))
    assert (told["items"], told["added"]) == (6, 1)
    after = Index.load(index)
    assert list(after.ids) == [*before.ids, str(pictures / "0-new.png")]
    assert after.metadata == before.metadata
    again = run("index", run_folder, pictures, "-o", index, "--add")
    assert again.startswith("6 images indexed, 0 of them added")


def test_an_index_is_replaced_but_other_files_are_not(
    run_folder: Path, pictures: Path, index: Path, fail: Fail
) -> None:
    run("index", run_folder, pictures / "0.png", "-o", index)
    assert len(Index.load(index)) == 1
    (index / "notes.txt").write_text("mine")
    assert "notes.txt" in fail("index", run_folder, pictures, "-o", index)
    assert "no saved index here" in fail("index", run_folder, pictures, "-o", "nowhere", "--add")


def test_a_text_of_unknown_words_is_refused_in_words_of_the_command_line(
    run_folder: Path, index: Path, tmp_path: Path, fail: Fail
) -> None:
    for arguments in (
        ["search", "zyzzyva", "-i", index, "--trust"],
        ["encode", run_folder, "red", "zyzzyva", "--text", "-o", tmp_path / "t.npz"],
    ):
        error = fail(*arguments)
        assert "'zyzzyva'" in error
        assert "--allow-unknown" in error
        assert "unknown=" not in error
        run(*arguments, "--allow-unknown")
    with np.load(tmp_path / "t.npz", allow_pickle=False) as file:
        empty = crosshash.load(run_folder).encode_text("", unknown="allow")
        np.testing.assert_array_equal(file["codes"][1:], empty)


def test_the_path_of_no_picture_is_not_searched_as_a_text(
    index: Path, pictures: Path, fail: Fail
) -> None:
    error = fail("search", pictures / "red.jpg", "-i", index)
    assert "red.jpg: no such image file" in error
    corrupt = break_pictures(pictures)
    error = fail("search", corrupt[1], "-i", index, "--trust")
    assert "cannot be read as an image" in error
    assert "corrupt" not in error


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["search", "dogs", "-i", "nowhere"], "nowhere"),
        (["encode", "amgfh-shapes-64", "missing.jpg", "-o", "c.npz"], "missing.jpg"),
        (["index", "amgfh-shapes-64", ".", "-o", "i"], "no image below"),
        (["index", ".", "missing.jpg", "-o", "i"], "model.safetensors"),
    ],
)
def test_what_is_not_there_is_named(
    arguments: list[str],
    message: str,
    fail: Fail,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert message in fail(*arguments)


def write_index(folder: Path, model: str, ids: list[str]) -> Path:
    """An index as others may send one, of the codes of the model that comes with the package."""
    network = crosshash.load("amgfh-shapes-64")
    built = Index.for_model(network, {"model": model, "kind": "image"})
    built.add(network.encode_image(np.zeros((len(ids), 32, 32, 3), np.uint8)), ids)
    built.save(folder)
    return folder


@pytest.mark.parametrize("named", ["hf:someone/model", "amgfh-shapes-64", "../model"])
def test_an_index_chooses_no_model_but_one_of_the_zoo(
    named: str, tmp_path: Path, fail: Fail, monkeypatch: pytest.MonkeyPatch
) -> None:
    index = write_index(tmp_path / "index", named, ["a.jpg"])
    monkeypatch.chdir(tmp_path)
    if named == "amgfh-shapes-64":
        run("search", "a red circle", "-i", index)
        (tmp_path / named).mkdir()
        run("search", "a red circle", "-i", index)
        (tmp_path / named / "config.json").write_text("{}")  # which would be loaded in its place

    def load(*_: object, **__: object) -> None:
        raise AssertionError("loaded")

    monkeypatch.setattr("crosshash.hub.load.load", load)
    error = fail("search", "a red circle", "-i", index)
    assert f"built with {named}, which is no model of the zoo" in error
    assert "--model" in error
    assert "--trust" in error
    for allowed in (["--trust"], ["--model", "x"]):
        with pytest.raises(AssertionError, match="loaded"):
            fail("search", "a red circle", "-i", index, *allowed)


def test_an_index_puts_no_picture_of_elsewhere_into_a_gallery(
    tmp_path: Path, fail: Fail, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown, private, page = tmp_path / "shown", tmp_path / "private", tmp_path / "hits.html"
    for folder in (shown, private):
        folder.mkdir()
        Image.new("RGB", (8, 8)).save(folder / "a.png")
    (shown / "link.png").symlink_to(private / "a.png")
    monkeypatch.chdir(shown)
    ids = [str(private / "a.png"), "../private/a.png", "link.png"]
    for number, id_ in enumerate(ids):
        index = write_index(tmp_path / f"index-{number}", "amgfh-shapes-64", ["a.png", id_])
        error = fail("search", "a star", "-i", index, "-g", page)
        assert f"{id_}: a gallery shows pictures of {shown} only" in error
        assert not page.exists()
        run("search", "a star", "-i", index)  # ids are only told
    run("search", "a star", "-i", index, "-g", page, "--root", "..")
    assert page.read_text().count("data:image/") == 2
    page.unlink()
    run("search", "a star", "-i", index, "-g", page, "--trust")
    assert page.read_text().count("data:image/") == 2


def test_a_gallery_holds_one_large_picture_at_a_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from crosshash.cli import hit_gallery

    Image.new("RGB", (3000, 2000), (9, 99, 9)).save(tmp_path / "a.png")
    page, path = tmp_path / "hits.html", str(tmp_path / "a.png")
    values = np.ones((1, 16), np.float32)
    asked = hit_gallery.query_item(path, values, page, is_image=True)
    hit = hit_gallery.hit_item(Item(path, np.zeros(2, np.uint8)), page)
    assert [item.image.size for item in (asked, hit)] == [(280, 187)] * 2


def test_a_gallery_tells_what_the_index_knows_and_leads_to_the_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "photos").mkdir()
    names = ["photos/a b é.png", "photos/javascript:x.png"]
    for name in names:
        Image.new("RGB", (8, 8)).save(tmp_path / name)
    monkeypatch.chdir(tmp_path)
    network = crosshash.load("amgfh-shapes-64")
    told = [{"caption": "a <red> star", "labels": ["star", "red"]}, {"label": "blue"}]
    with Index.for_model(network, {"model": "amgfh-shapes-64", "kind": "image"}, uri="index") as i:
        i.add(network.encode_image(np.zeros((2, 32, 32, 3), np.uint8)), names, told)
    run("search", "a red star", "-i", "index", "-g", "pages/hits.html")
    page = (tmp_path / "pages" / "hits.html").read_text(encoding="utf-8")
    assert set(re.findall(r'<a href="([^"]*)"', page)) == {
        "../photos/a%20b%20%C3%A9.png",
        "../photos/javascript%3Ax.png",
    }
    assert "a &lt;red&gt; star" in page
    assert "javascript:x.png" in page  # the name, where there is no caption
    assert re.findall(r"<li>(\w+)</li>", page) == ["star", "red", "blue"]
    assert page.count('class="squares"') == 3
    assert page.count("64 bits, ") == 2
    assert all(name in page for name in ("amgfh-shapes-64", ">index<", "asymmetric"))
    assert "probability&nbsp;0." in page


def test_a_gallery_asks_the_index_once_for_all_its_hits(
    pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fetch, asked = FolderEngine.fetch, []

    def counted(engine: FolderEngine, ids: list[str]) -> object:
        asked.append(ids)
        return fetch(engine, ids)

    place = tmp_path / "index"
    ids = [str(path) for path in sorted(pictures.iterdir())]
    write_index(place, "amgfh-shapes-64", ids)
    monkeypatch.setattr(FolderEngine, "fetch", counted)
    run("search", "a star", "-i", place, "-g", tmp_path / "hits.html", "--root", pictures)
    assert [sorted(one) for one in asked] == [ids]


@pytest.mark.parametrize("workers", [0, 1])
def test_what_is_no_file_among_pictures_is_left_out_and_nothing_hangs(
    run_folder: Path, pictures: Path, tmp_path: Path, fail: Fail, workers: int
) -> None:
    os.mkfifo(pictures / "pipe.jpg")
    (pictures / "gone.jpg").symlink_to("nowhere.jpg")
    inner = pictures / "folder.jpg"
    inner.mkdir()
    Image.new("RGB", (32, 32), (9, 9, 9)).save(inner / "5.png")
    common = ["index", run_folder, pictures, "-o", tmp_path / "index", "--workers", workers]
    error = fail(*common)
    assert "gone.jpg" in error
    assert "--skip-corrupt" in error
    assert "pipe.jpg: cannot be read as an image (it is a pipe, not a file)" in fail(
        "index", run_folder, pictures / "pipe.jpg", "-o", tmp_path / "index"
    )
    told = json.loads(run(*common, "--skip-corrupt", "--json"))
    assert told["skipped"] == [str(pictures / "gone.jpg"), str(pictures / "pipe.jpg")]
    assert str(inner / "5.png") in Index.load(tmp_path / "index")
    assert told["items"] == 6


def test_names_of_files_cannot_steer_the_terminal(
    run_folder: Path, pictures: Path, tmp_path: Path
) -> None:
    name = "\x1b[2J\u202e\n0 skipped.jpg"
    (pictures / name).write_text("no picture")
    shown = run("index", run_folder, pictures, "-o", tmp_path / "index", "--skip-corrupt")
    assert not set(shown) & set("\x1b\u202e")
    assert shown.endswith(r"pictures/\x1b[2J\u202e\x0a0 skipped.jpg" + "\n")
    whole = run("index", run_folder, pictures, "-o", tmp_path / "index", "--skip-corrupt", "--json")
    assert json.loads(whole)["skipped"] == [str(pictures / name)]
    assert "\u202e" not in whole
