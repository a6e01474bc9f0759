"""``crosshash encode`` into a folder, and ``crosshash index`` of it, as a user calls them."""

from __future__ import annotations

import io
import json
import subprocess
import sys
import tarfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from typer.testing import CliRunner

import crosshash
from crosshash.cli import app
from crosshash.encoding import read_codes, read_header
from crosshash.search.index import Index

Fail = Callable[..., str]


def save_model(folder: Path, seed: int = 0) -> Path:
    torch.manual_seed(seed)
    model = crosshash.create(
        "amgfh",
        bits=32,
        backbones={"name": "test_resnet", "weights": "random", "image_size": 32},
        texts=["a red circle", "a blue square"],
        dim=16,
        hidden=[16],
    )
    crosshash.save(model, folder)
    return folder


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_model(tmp_path_factory.mktemp("model") / "m")


@pytest.fixture
def shard(pictures: Path, tmp_path: Path) -> Path:
    """The pictures, and one that is none."""
    with tarfile.open(tmp_path / "s.tar", "w") as tar:
        for path in sorted(pictures.iterdir()):
            tar.add(path, path.name)
        info = tarfile.TarInfo("bad.png")
        info.size = 3
        tar.addfile(info, io.BytesIO(b"bad"))
    return tmp_path / "s.tar"


@pytest.fixture
def arrow() -> None:
    pytest.importorskip("pyarrow", reason="needs the extra parquet")


def run(*arguments: object) -> str:
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert result.exit_code == 0, result.output
    return result.stdout


@pytest.mark.usefixtures("arrow")
def test_encode_and_index_in_two_steps_are_index_in_one(
    model: Path, pictures: Path, tmp_path: Path
) -> None:
    codes = tmp_path / "codes"
    told = json.loads(run("encode", model, pictures, "-o", codes, "--items-per-part", 2, "--json"))
    assert told == {
        "output": str(codes), "items": 5, "rejected": 0, "parts": 3, "missing": 0, "written": 3,
        "bits": 32,
    }  # fmt: skip
    again = run("encode", model, pictures, "-o", codes, "--items-per-part", 2)
    assert again == f"5 codes of 32 bits in 3 parts, 0 of them new: {codes}\n"
    assert (
        run("index", model, codes, "-o", tmp_path / "a") == f"5 images indexed: {tmp_path / 'a'}\n"
    )
    run("index", model, pictures, "-o", tmp_path / "b")
    a, b = Index.load(tmp_path / "a"), Index.load(tmp_path / "b")
    assert a.ids == b.ids
    assert a.metadata == b.metadata
    np.testing.assert_array_equal(a.codes(), b.codes())

    Image.new("RGB", (32, 32)).save(pictures / "6.png")
    run("encode", model, pictures, "-o", tmp_path / "more")
    added = run("index", model, tmp_path / "more", "-o", tmp_path / "a", "--add", "--json")
    assert (json.loads(added)["items"], json.loads(added)["added"]) == (6, 1)


@pytest.mark.usefixtures("arrow")
def test_rejects_are_counted_and_their_file_is_named(
    model: Path, shard: Path, tmp_path: Path
) -> None:
    shown = run("encode", model, shard, "-o", tmp_path / "codes").splitlines()
    assert shown[1] == f"1 rejected; their reasons: {tmp_path / 'codes' / 'rejects-*.jsonl'}"
    ((ids, _),) = read_codes(tmp_path / "codes")
    assert ids == list("01234")
    assert read_header(tmp_path / "codes").model == str(model)


@pytest.mark.usefixtures("arrow")
def test_lists_by_named_columns_and_texts(model: Path, pictures: Path, tmp_path: Path) -> None:
    (tmp_path / "l.csv").write_text("file,caption,key\npictures/3.png,red circle,k\n")
    columns = ["--image-column", "file", "--text-column", "caption", "--id-column", "key"]
    run("encode", model, tmp_path / "l.csv", *columns, "-o", tmp_path / "images", "--bits", 32)
    run("encode", model, tmp_path / "l.csv", *columns, "-o", tmp_path / "texts", "--text")
    network = crosshash.load(model)
    ((ids, codes),) = read_codes(tmp_path / "images")
    assert ids == ["k"]
    np.testing.assert_array_equal(codes, network.encode_image(pictures / "3.png"))
    ((ids, codes),) = read_codes(tmp_path / "texts")
    assert ids == ["k"]
    np.testing.assert_array_equal(codes, network.encode_text("red circle"))
    shown = run("index", model, tmp_path / "texts", "-o", tmp_path / "index")
    assert shown == f"1 texts indexed: {tmp_path / 'index'}\n"
    assert Index.load(tmp_path / "index").metadata["kind"] == "text"


@pytest.mark.usefixtures("arrow")
def test_a_folder_of_codes_that_does_not_fit_is_not_indexed(
    model: Path, pictures: Path, tmp_path: Path, fail: Fail
) -> None:
    codes, output = tmp_path / "codes", tmp_path / "index"
    run("encode", model, pictures, "-o", codes, "--items-per-part", 2)
    other = save_model(tmp_path / "other", seed=1)
    assert "was made by another model" in fail("index", other, codes, "-o", output)
    assert "give it alone" in fail("index", model, codes, pictures, "-o", output)
    (codes / "part-000001.parquet").unlink()
    assert "1 of 3 parts are not there" in fail("index", model, codes, "-o", output)
    assert not output.exists()
    error = fail("encode", other, pictures, "-o", codes, "--items-per-part", 2)
    assert "was begun with another model" in error


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        (["s.tar", "-o", "c.npz"], "are encoded into a folder, part by part; give one: -o c/"),
        (["l.csv", "-o", "c.npz"], "are encoded into a folder"),
        (["pictures", "-o", "c.npz", "--dtype", "bf16"], "--dtype is of folders of codes"),
        (["pictures", "-o", "c.npz", "--id-column", "x"], "--id-column is of folders of codes"),
        (["none", "-o", "codes"], "none: no such file or folder"),
        (["l.csv", "-o", "codes"], "there is no such list"),
        (["pictures", "-o", "codes", "--split", "x"], "--split is of data sets of the Hub"),
    ],
)
@pytest.mark.usefixtures("shard")
def test_wrong_calls_say_what_is_meant(
    model: Path, tmp_path: Path, fail: Fail, monkeypatch: pytest.MonkeyPatch,
    arguments: list[str], part: str,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    assert part in fail("encode", model, *arguments)
    assert not (tmp_path / "codes").exists()
    assert not (tmp_path / "c.npz").exists()


def test_without_pyarrow_it_is_said_before_anything_is_done(
    model: Path, pictures: Path, tmp_path: Path, fail: Fail, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    error = fail("encode", model, pictures, "-o", tmp_path / "codes")
    assert "pip install 'crosshash[parquet]'" in error
    assert not (tmp_path / "codes").exists()


@pytest.mark.usefixtures("arrow")
def test_two_processes_write_what_one_does(model: Path, shard: Path, tmp_path: Path) -> None:
    common = ["encode", model, shard, "--items-per-part", 1, "-o"]
    run(*common, tmp_path / "one")
    launcher = [sys.executable, "-m", "torch.distributed.run", "--nproc_per_node", "2"]
    command = [*launcher, "--standalone", "-m", "crosshash", *common, tmp_path / "two", "--json"]
    done = subprocess.run(
        list(map(str, command)), capture_output=True, text=True, timeout=280, check=False
    )
    assert done.returncode == 0, done.stderr
    told = [json.loads(line) for line in done.stdout.splitlines()]
    assert [one["written"] for one in told] == [3, 3]
    assert {path.name: path.read_bytes() for path in (tmp_path / "one").iterdir()} == {
        path.name: path.read_bytes() for path in (tmp_path / "two").iterdir()
    }
