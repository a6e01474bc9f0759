"""The commands of ``crosshash data`` as a user calls them."""

from __future__ import annotations

import hashlib
import io
import json
import threading
import zipfile
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from safetensors.numpy import load_file
from typer.testing import CliRunner

from crosshash.cli.data import app
from crosshash.data import DATASETS, PairedDataset, Protocol
from crosshash.data.download.remote import Remote
from crosshash.data.download.sources import SOURCES, Source

SHAPES = ["shapes", "n=40", "size=32", "query=8", "train=20"]


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CROSSHASH_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    root = tmp_path / "photos"
    root.mkdir()
    lines = ["file_name,text,labels"]
    for row in range(12):
        Image.new("RGB", (40, 30), (20 * row, 9, 9)).save(root / f"{row}.png")
        lines.append(f"{row}.png,a photo of {row},{'even' if row % 2 == 0 else 'odd'}")
    (root / "metadata.csv").write_text("\n".join(lines))
    return root


@pytest.fixture
def source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Source]:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("notes/1.txt", "one")
    (tmp_path / "served").mkdir()
    (tmp_path / "served" / "set.zip").write_bytes(buffer.getvalue())
    handler = partial(SimpleHTTPRequestHandler, directory=str(tmp_path / "served"))
    monkeypatch.setattr(SimpleHTTPRequestHandler, "log_message", lambda *arguments: None)
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    digest = hashlib.sha256(buffer.getvalue()).hexdigest()
    url = f"http://127.0.0.1:{server.server_address[1]}/set.zip"
    made = Source(
        title="Small set",
        page="http://127.0.0.1/",
        licence="Be kind.",
        variants={"one": (Remote(url, len(buffer.getvalue()), f"sha256:{digest}", "notes"),)},
    )
    monkeypatch.setitem(SOURCES, "small", made)
    yield made
    server.shutdown()
    server.server_close()
    thread.join()


def invoke(*arguments: object) -> Any:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def run(*arguments: object) -> str:
    result = invoke(*arguments)
    assert result.exit_code == 0, (result.output, result.exception)
    return result.stdout


def test_check_counts_and_exports_the_protocol(tmp_path: Path) -> None:
    path = tmp_path / "split.json"
    values = json.loads(run("check", *SHAPES, "seed=3", "--export", path, "--json"))
    assert (values["found"], values["pairs"], values["dropped"]) == (40, 40, {})
    assert values["sets"] == {"query": 8, "retrieval": 32, "train": 20}
    assert values["unusable_images"] == []
    written = json.loads(path.read_text())
    assert written["split_sha256"] == values["split_sha256"]
    assert written["seed"] == 3
    shown = run("check", *SHAPES, "seed=3", "--decode")
    assert values["split_sha256"] in shown
    assert "query set" in shown


def test_check_names_damaged_images_only_where_it_decodes(folder: Path) -> None:
    (folder / "7.png").write_bytes(b"no picture")
    quick = json.loads(
        run("check", "imagefolder", "check_images=false", "--root", folder, "--json")
    )
    assert quick["unusable_images"] == []
    slow = invoke(
        "check", "imagefolder", "check_images=false", "--root", folder, "--decode", "--json"
    )
    assert slow.exit_code != 0
    assert "1 of 12 images cannot be used" in str(slow.exception)
    assert "7.png" in json.loads(slow.stdout)["unusable_images"][0]
    told = str(invoke("check", "imagefolder", "--root", folder).exception)
    assert "7.png" in told
    assert "option on_corrupt=skip" in told  # as the command line takes it
    shown = run("check", "imagefolder", "on_corrupt=skip", "--root", folder)
    assert "7.png" in shown.partition("skipped: ")[2]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["check", "shape"], "shapes"),
        (["check", "shapes", "quarry=3"], "query"),
        (["check", "shapes", "query"], "key=value"),
        (["check", "flickr8k", "--root", "nowhere"], "nowhere"),
        (["download", "nuswide", "--yes"], "agreement"),
        (["download", "flickr9k"], "flickr8k"),
        (["download", "coco", "--variant", "2018"], "2017"),
        (["features", *SHAPES, "--backbone", "resnet18", "-o", "f.npz"], "safetensors"),
        (["features", *SHAPES, "--backbone", "resnet18", "-o", "f.safetensors", "--device", "x"],
         "'cpu'"),
        (["show", *SHAPES, "-o", "sheet.pdf"], ".png"),
    ],
)  # fmt: skip
def test_bad_input_is_told(arguments: list[str], message: str) -> None:
    result = invoke(*arguments)
    assert result.exit_code != 0
    assert message in str(result.exception)


def test_download_shows_its_terms_and_waits_for_a_yes(source: Source, tmp_path: Path) -> None:
    root = tmp_path / "small"
    for extra in ([], ["--json"]):
        refused = invoke("download", "small", "--root", root, *extra)
        assert refused.exit_code != 0
        assert "Be kind." in refused.output
        assert "--yes" in str(refused.exception)
        assert not root.exists()
    shown = run("download", "small", "--root", root, "--yes", "--quiet")
    assert "as published" in shown
    assert (root / "notes" / "1.txt").read_text() == "one"
    assert "there already" in run("download", "small", "--root", root, "--yes")


def test_download_as_json(source: Source, tmp_path: Path) -> None:
    values = json.loads(run("download", "small", "--root", tmp_path / "small", "--yes", "--json"))
    (entry,) = values["files"]
    assert entry["verified"] is True
    assert f"sha256:{entry['sha256']}" == source.files()[0].checksum


def test_features_are_written_for_others(folder: Path, tmp_path: Path) -> None:
    path = tmp_path / "f.safetensors"
    options = ["--backbone", "test_resnet", "--weights", "random", "-b", "image_size=32"]
    values = json.loads(
        run("features", "imagefolder", "--root", folder, *options, "-o", path, "--json", "-q")
    )
    assert (values["pairs"], values["dim"], values["left_out"]) == (12, 96, [])
    assert values["backbone"]["image_size"] == [32, 32]
    arrays = load_file(path)
    assert arrays["images"].shape == (12, 96)
    assert np.array_equal(arrays["labels"].sum(axis=0), [6, 6])
    (folder / "3.png").write_bytes(b"no picture")
    arguments = ["features", "imagefolder", "check_images=false", "--root", folder, *options]
    told = str(invoke(*arguments, "-o", path, "-q").exception)
    assert "3.png" in told
    assert "--skip-corrupt" in told
    assert "on_corrupt" not in told
    assert "3.png" in run(*arguments, "-o", path, "-q", "--skip-corrupt", "--dtype", "float16")
    assert load_file(path)["images"].shape == (11, 96)


def test_show_has_frequencies_lengths_and_a_sheet(folder: Path, tmp_path: Path) -> None:
    sheet = tmp_path / "sheet.png"
    arguments = ["show", "imagefolder", "--root", folder, "-o", sheet, "--samples", 5]
    values = json.loads(run(*arguments, "--json"))
    assert values["label_frequencies"][0] == {"label": "even", "pairs": 6, "share": 0.5}
    assert values["text_lengths"]["median"] == 4
    with Image.open(sheet) as picture:
        assert picture.width > 900
    first = sheet.read_bytes()
    shown = run(*arguments)
    assert sheet.read_bytes() == first
    assert "even" in shown
    run(*arguments, "--seed", 1)
    assert sheet.read_bytes() != first


def test_features_without_pictures_or_texts_have_no_sheet(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def reader(root: str) -> tuple[PairedDataset, Protocol]:
        values = np.eye(6, dtype=np.float32)
        data = PairedDataset(name="v", ids=list("abcdef"), images=values, texts=values)
        return data, Protocol("v", query=[0], retrieval=[1, 2], train=[1])

    DATASETS.names()
    monkeypatch.setitem(DATASETS._entries, "vectors", reader)
    assert json.loads(run("show", "vectors", "--json"))["text_lengths"]["most"] == 1
    assert "image dim" in run("show", "vectors")
    result = invoke("show", "vectors", "-o", tmp_path / "sheet.png")
    assert "neither pictures nor texts" in str(result.exception)


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_a_real_coco_tree_goes_through_all_commands(shared_data: Path, tmp_path: Path) -> None:
    tree = ["coco", "query=20", "train=100", "--root", shared_data / "coco-mini"]
    values = json.loads(
        run("check", *tree, "--decode", "--export", tmp_path / "split.json", "--json", "-q")
    )
    assert (values["found"], values["labels"], values["unusable_images"]) == (159, 80, [])
    shown = json.loads(run("show", *tree, "-o", tmp_path / "sheet.jpg", "--json", "-q"))
    assert shown["label_frequencies"][0]["label"] == "person"
    assert shown["text_lengths"]["least"] >= 5
    options = ["--backbone", "test_resnet", "--weights", "random", "-b", "image_size=32", "-q"]
    run("features", *tree, *options, "-o", tmp_path / "f.safetensors")
    assert load_file(tmp_path / "f.safetensors")["images"].shape == (159, 96)
