"""The whole way to the Hub and back, against a server that speaks its protocol."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import crosshash
from crosshash.files import sha256
from crosshash.hub.errors import CheckpointError, HubError
from crosshash.hub.publish import publish
from crosshash.model.hash_model import HashModel

NAME = "amgfh-toy-16"
WEIGHTS = "model.safetensors"


def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)


def test_a_published_model_is_loaded_by_its_name_and_pinned_commit(
    hub: Any, folder: Path, model: HashModel, features: np.ndarray, make_zoo: Any
) -> None:
    commit = hub.add_folder("org/model", folder)
    hub.add("org/model", {"config.json": b"{}"})  # a later commit, which is not what is loaded
    make_zoo(commit)
    loaded = crosshash.load(NAME)
    np.testing.assert_array_equal(loaded.encode_image(features), model.encode_image(features))
    np.testing.assert_array_equal(loaded.encode_text("red"), model.encode_text("red"))


def test_a_second_load_needs_no_connection(
    hub: Any, folder: Path, features: np.ndarray, monkeypatch: pytest.MonkeyPatch, make_zoo: Any
) -> None:
    make_zoo(hub.add_folder("org/model", folder))
    expected = crosshash.load(NAME).encode_image(features)
    again = crosshash.load("hf:org/model")
    hub.requests.clear()
    offline(monkeypatch)
    np.testing.assert_array_equal(crosshash.load(NAME).encode_image(features), expected)
    np.testing.assert_array_equal(crosshash.load("hf:org/model").encode_image(features), expected)
    np.testing.assert_array_equal(again.encode_image(features), expected)
    assert hub.requests == []


def test_a_second_load_downloads_nothing(hub: Any, folder: Path, make_zoo: Any) -> None:
    make_zoo(hub.add_folder("org/model", folder))
    crosshash.load(NAME)
    hub.requests.clear()
    crosshash.load(NAME)
    assert hub.asked("GET", "/lfs/") == []
    assert hub.asked("GET", "/resolve/") == []


def test_only_the_files_of_the_model_are_downloaded(hub: Any, folder: Path) -> None:
    (folder / "training.log").write_text("long")
    (folder / "modeling.py").write_text("raise SystemExit")
    (folder / "state.pt").write_bytes(b"\x80\x04")
    hub.add_folder("org/model", folder)
    crosshash.load("hf:org/model")
    asked = {Path(path).name for path in hub.asked("HEAD", "/resolve/")}
    assert asked == {"config.json", "info.json", "vocabulary.json", WEIGHTS}


def test_the_environment_says_where_the_hub_and_its_cache_are(
    hub: Any, folder: Path, tmp_path: Path
) -> None:
    hub.add_folder("org/model", folder)
    environment = {
        "HF_ENDPOINT": hub.url,
        "HF_HUB_CACHE": str(tmp_path / "elsewhere"),
        "HF_HUB_DISABLE_XET": "1",
        "HF_HUB_OFFLINE": "0",  # whatever the tests themselves run under
    }
    code = "import crosshash; print(crosshash.load('hf:org/model').bits)"
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.stdout.strip(), done.returncode) == ("16", 0), done.stderr
    assert any((tmp_path / "elsewhere").rglob(WEIGHTS))


def test_offline_without_a_cache_says_so(
    hub: Any, folder: Path, monkeypatch: pytest.MonkeyPatch, make_zoo: Any
) -> None:
    make_zoo(hub.add_folder("org/model", folder))
    offline(monkeypatch)
    with pytest.raises(HubError, match="HF_HUB_OFFLINE forbids"):
        crosshash.load(NAME)


def test_a_revision_may_be_named_in_two_ways(hub: Any, folder: Path) -> None:
    first = hub.add_folder("org/model", folder)
    hub.add("org/model", {"README.md": b"emptied"})
    assert crosshash.load(f"hf:org/model@{first}").bits == 16
    assert crosshash.load("hf:org/model", revision=first).bits == 16
    with pytest.raises(ValueError, match="another"):
        crosshash.load(f"hf:org/model@{first}", revision="main")
    with pytest.raises(HubError, match=r"no checkpoint of crosshash.*config\.json"):
        crosshash.load("hf:org/model")


def test_a_file_that_is_not_the_manifests_is_refused_and_kept(
    hub: Any, folder: Path, make_zoo: Any
) -> None:
    manifest = make_zoo("0" * 40)
    changed = bytearray((folder / WEIGHTS).read_bytes())
    changed[-1] ^= 1
    (folder / WEIGHTS).write_bytes(changed)
    commit = hub.add_folder("org/model", folder)
    make_zoo(commit, files=manifest.files)
    with pytest.raises(CheckpointError, match=r"SHA-256.*Remove .*blobs") as caught:
        crosshash.load(NAME)
    assert "nothing removed" in str(caught.value)
    kept = str(caught.value).split("Remove ")[1].split(" and load")[0]
    assert Path(kept).read_bytes() == bytes(changed)


def test_a_file_of_another_size_is_refused(hub: Any, folder: Path, make_zoo: Any) -> None:
    manifest = make_zoo("0" * 40)
    (folder / "info.json").write_text("{}")
    make_zoo(hub.add_folder("org/model", folder), files=manifest.files)
    with pytest.raises(CheckpointError, match=r"info\.json.*2 bytes, expected"):
        crosshash.load(NAME)


def test_a_damaged_file_of_the_cache_is_found_without_a_manifest(hub: Any, folder: Path) -> None:
    hub.add_folder("org/model", folder)
    crosshash.load("hf:org/model")
    blobs = folder.parent / "cache" / "models--org--model" / "blobs"
    (blob,) = (path for path in blobs.iterdir() if len(path.name) == 64)
    blob.write_bytes(blob.read_bytes()[:-1] + b"\x55")
    with pytest.raises(CheckpointError, match="damaged"):
        crosshash.load("hf:org/model")


def test_a_cut_connection_goes_on_where_it_stopped(hub: Any, folder: Path) -> None:
    hub.add_folder("org/model", folder)
    tag = sha256(folder / WEIGHTS)
    hub.faults[f"GET /lfs/{tag}"] = [("cut", 1000), ("cut", 2000)]
    assert crosshash.load("hf:org/model").bits == 16
    assert len(hub.asked("GET", f"/lfs/{tag}")) == 3


def test_a_slow_connection_is_waited_for(
    hub: Any, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_DOWNLOAD_TIMEOUT", 0.2)
    commit = hub.add_folder("org/model", folder)
    path = f"GET /org/model/resolve/{commit}/vocabulary.json"
    hub.faults[path] = [("slow", 0.6), ("slow", 0.01)]  # the first is given up, the second is not
    assert crosshash.load("hf:org/model").encode_text("red").shape == (1, 2)


@pytest.mark.parametrize("status", [500, 503])
def test_an_error_of_the_server_is_tried_again(hub: Any, folder: Path, status: int) -> None:
    commit = hub.add_folder("org/model", folder)
    hub.faults[f"HEAD /org/model/resolve/{commit}/config.json"] = [status, status]
    assert crosshash.load("hf:org/model").bits == 16


def test_a_server_that_stays_down_is_named(hub: Any, folder: Path) -> None:
    hub.add_folder("org/model", folder)
    hub.faults["GET /api/models/org/model/revision/main"] = [500] * 50
    with pytest.raises(HubError, match="could not be fetched from http://127"):
        crosshash.load("hf:org/model")


def test_no_server_at_all_is_named(hub: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(HubError, match=r"127\.0\.0\.1:9.*check the connection"):
        crosshash.load("hf:org/model")


def test_a_gated_repository_says_how_to_get_access(
    hub: Any, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.add_folder("org/model", folder, gated=True)
    with pytest.raises(HubError, match=r"gated: ask for access at http.*org/model.*HF_TOKEN"):
        crosshash.load("hf:org/model")
    monkeypatch.setenv("HF_TOKEN", hub.token)
    assert crosshash.load("hf:org/model").bits == 16


def test_the_token_does_not_go_to_the_file_storage_of_others(
    hub: Any, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.add_folder("org/model", folder, private=True)
    with pytest.raises(HubError, match="or it is private"):
        crosshash.load("hf:org/model")
    monkeypatch.setenv("HF_TOKEN", hub.token)
    assert crosshash.load("hf:org/model").bits == 16
    tokens = {token for method, path, token in hub.requests if "/lfs/" in path}
    assert tokens == {""}


def test_a_repository_that_is_not_there_is_named(hub: Any) -> None:
    with pytest.raises(HubError, match="no repository org/nothing"):
        crosshash.load("hf:org/nothing")


def test_a_revision_that_is_not_there_is_named(hub: Any, folder: Path) -> None:
    hub.add_folder("org/model", folder)
    with pytest.raises(HubError, match="no revision 'v9'"):
        crosshash.load("hf:org/model@v9")


@pytest.mark.parametrize("name", ["hf:model", "hf:../etc/passwd", "hf:org/model@", "hf:a/b/c"])
def test_a_name_that_is_no_repository_is_refused_unasked(hub: Any, name: str) -> None:
    with pytest.raises(LookupError, match="expected hf:organisation/name"):
        crosshash.load(name)
    assert hub.requests == []


def test_what_is_published_is_what_is_loaded(
    hub: Any,
    folder: Path,
    model: HashModel,
    features: np.ndarray,
    monkeypatch: pytest.MonkeyPatch,
    make_zoo: Any,
) -> None:
    monkeypatch.setenv("HF_TOKEN", hub.token)
    (folder / "notes.txt").write_text("mine")
    done = publish(folder, "org/new", private=True)
    assert done.manifest is not None
    commit, files = hub.repositories["org/new"].at("main")
    assert hub.repositories["org/new"].private
    assert done.manifest.revision == commit
    assert set(files) - {".gitattributes"} == {
        "README.md", "config.json", "info.json", "vocabulary.json", WEIGHTS,
    }  # fmt: skip
    assert len(hub.repositories["org/new"].commits) == 2  # its creation, and one upload
    make_zoo(commit, **done.manifest.model_dump(exclude_none=True))
    loaded = crosshash.load(NAME)
    np.testing.assert_array_equal(loaded.encode_image(features), model.encode_image(features))


def test_publishing_again_leaves_no_file_of_before(
    hub: Any, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", hub.token)
    hub.add("org/new", {"golden.json": b"{}", "LICENSE": b"free", "config.json": b"{}"})
    publish(folder, "org/new")
    _, files = hub.repositories["org/new"].at("main")
    assert "golden.json" not in files
    assert files["LICENSE"] == b"free"
    assert json.loads(files["config.json"])["bits"] == 16


def test_a_model_pushes_itself_under_its_account(
    hub: Any, model: HashModel, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(HubError, match="HF_TOKEN"):
        publish(folder)
    monkeypatch.setenv("HF_TOKEN", hub.token)
    assert publish(folder).repository == f"me/{NAME}"
    manifest = crosshash.publish(model, "me/other").manifest
    assert manifest.repository == "me/other"
    assert crosshash.load("hf:me/other").bits == 16


def test_names_of_this_machines_folders_are_not_published(
    hub: Any, folder: Path, monkeypatch: pytest.MonkeyPatch, make_zoo: Any, model: HashModel
) -> None:
    monkeypatch.setenv("HF_TOKEN", hub.token)
    info = json.loads((folder / "info.json").read_text())
    info["experiment"]["data"]["root"] = "/home/me/secret project/photos"
    info["experiment"]["weights"] = ["C:\\Users\\me\\net.safetensors", "../weights/net.safetensors"]
    info["experiment"]["text"] = {"name": "hf:/home/me/bert"}
    model.info.experiment = info["experiment"]
    crosshash.save(model, folder)
    manifest = publish(folder, "org/new").manifest
    assert manifest is not None
    _, files = hub.repositories["org/new"].at("main")
    experiment = json.loads(files["info.json"])["experiment"]
    assert experiment["data"] == {"name": "toy", "root": "photos"}
    assert experiment["weights"] == ["net.safetensors", "../weights/net.safetensors"]
    assert experiment["text"] == {"name": "hf:bert"}
    assert manifest.files["info.json"].size == len(files["info.json"])
    assert b"/home/me" not in b"".join(files.values())
    make_zoo("0" * 40, **manifest.model_dump(exclude_none=True))
    assert crosshash.load(NAME).bits == 16


def test_publishing_with_a_wrong_token_is_refused(
    hub: Any, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_wrong")
    with pytest.raises(HubError, match="log in"):
        publish(folder, "org/new")
    assert hub.repositories == {}


def test_a_dry_run_asks_the_hub_nothing(hub: Any, folder: Path) -> None:
    done = publish(folder, dry_run=True)
    assert hub.requests == []
    assert done.manifest is None
    assert done.repository == f"<account>/{NAME}"
    assert f"# {NAME}" in done.card
    with pytest.raises(ValueError, match="no repository"):
        publish(folder, "a b", dry_run=True)
