"""A Hub that is made to do harm, or is broken: every load ends, in a HubError, and writes nothing.

Limits are lowered for the tests; the ways are those of a real server.
"""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest

import crosshash
from crosshash.files import sha256
from crosshash.hub import resolve as resolve_module
from crosshash.hub import session
from crosshash.hub.errors import CheckpointError, HubError
from crosshash.hub.manifest import Manifest
from crosshash.hub.publish import publish

COMMIT = "a" * 40
WEIGHTS = "model.safetensors"
INFO = "GET /api/models/org/model/revision/main"


def written(folder: Path) -> set[str]:
    """Files beside the checkpoint and outside of the cache of huggingface_hub."""
    places = (path for path in folder.parent.rglob("*") if path.is_file())
    names = {path.relative_to(folder.parent).as_posix() for path in places}
    return {name for name in names if not name.startswith(("checkpoint/", "cache/", "zoo/"))}


@pytest.fixture
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Time runs out after a moment."""
    from huggingface_hub import constants

    monkeypatch.setattr(session, "TIMEOUT", 0.2)
    monkeypatch.setattr(session, "PATIENCE", 0.2)
    for name in ("HF_HUB_DOWNLOAD_TIMEOUT", "HF_HUB_ETAG_TIMEOUT"):
        monkeypatch.setattr(constants, name, 0.2)


@pytest.mark.usefixtures("soon")
@pytest.mark.parametrize("part", ["info", "tree", "file"])
@pytest.mark.parametrize("fault", [("silent", 5), ("drip",)])
def test_a_server_that_is_silent_or_drips_is_given_up(
    hub: Any, folder: Path, part: str, fault: tuple[Any, ...]
) -> None:
    commit = hub.add_folder("org/model", folder)
    path = {
        "info": INFO,
        "tree": f"GET /api/models/org/model/tree/{commit}",
        "file": f"GET /lfs/{sha256(folder / WEIGHTS)}",
    }[part]
    hub.faults[path] = [fault] * 50
    begun = time.monotonic()
    with pytest.raises(HubError):
        crosshash.load("hf:org/model")
    assert time.monotonic() - begun < 20


@pytest.mark.usefixtures("soon")
@pytest.mark.parametrize(
    "path",
    [
        "POST /api/repos/create",
        "GET /api/models/org/new/tree/main",
        "POST /api/models/org/new/preupload/main",
        "POST /org/new.git/info/lfs/objects/batch",
        "POST /api/models/org/new/commit/main",
        "GET /api/whoami-v2",
    ],
)
def test_publishing_to_a_silent_server_ends(
    hub: Any, folder: Path, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", hub.token)
    hub.faults[path] = [("silent", 5)] * 50
    with pytest.raises(HubError):
        publish(folder, None if "whoami" in path else "org/new")
    assert hub.faults[path] != [("silent", 5)] * 50  # it was asked


def test_what_is_sent_without_end_is_cut_off(hub: Any, folder: Path) -> None:
    commit = hub.add_folder("org/model", folder)
    hub.faults[f"GET /org/model/resolve/{commit}/vocabulary.json"] = [("endless",)] * 50
    with pytest.raises(HubError, match=r"vocabulary\.json sends more than the \d+ bytes"):
        crosshash.load("hf:org/model")
    hub.add_folder("org/other", folder)
    hub.faults = {f"GET /lfs/{sha256(folder / WEIGHTS)}": [("endless",)] * 50}
    with pytest.raises(HubError, match=r"lfs/.* sends more than the [\d,]+ bytes that it announc"):
        crosshash.load("hf:org/other")
    assert hub.sent < 64 << 20


def test_an_answer_without_end_is_cut_off(
    hub: Any, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session, "JSON_BYTES", 1 << 20)
    hub.add_folder("org/model", folder)
    hub.faults[INFO] = [("endless",)] * 50
    with pytest.raises(HubError, match="sends more than the 1,048,576 bytes"):
        crosshash.load("hf:org/model")
    assert hub.sent < 64 << 20


def test_a_file_that_is_larger_than_the_manifest_says_is_not_fetched(
    hub: Any, folder: Path, make_zoo: Any
) -> None:
    manifest = make_zoo(COMMIT)
    with (folder / WEIGHTS).open("ab") as file:
        file.write(bytes(1000))
    commit = hub.add_folder("org/model", folder)
    make_zoo(commit, files=manifest.files)
    with pytest.raises(HubError, match=r"are published; it is another file, and was not fetched"):
        crosshash.load("amgfh-toy-16")
    assert hub.asked("GET", "/lfs/") == []


def test_what_is_sent_packed_is_refused(hub: Any, folder: Path) -> None:
    commit = hub.add_folder("org/model", folder)
    path = f"GET /org/model/resolve/{commit}/vocabulary.json"
    hub.faults[path] = [("headers", {"Content-Encoding": "gzip", "Content-Length": "9"})] * 50
    with pytest.raises(HubError, match="sent packed"):
        crosshash.load("hf:org/model")


@pytest.mark.parametrize(
    "name",
    ["text_encoder/../../../../stolen.json", "text_encoder/..\\..\\x.json", "/stolen.json"],
)
def test_names_that_lead_out_of_the_cache_are_refused(hub: Any, folder: Path, name: str) -> None:
    files = {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}
    hub.add("org/model", {**files, name: b"{}"})
    with pytest.raises(HubError, match=r"is no name of a file .*nothing was fetched"):
        crosshash.load("hf:org/model")
    assert hub.asked("GET", "/resolve/") == []
    assert written(folder) == set()


@pytest.mark.parametrize(
    "headers",
    [
        {"ETag": '"../../../../stolen"'},
        {"ETag": '".."'},
        {"ETag": '"/stolen"'},
        {"ETag": 'W/"a\\b"'},
        {"X-Linked-Etag": '"../../../../stolen"'},
        {"X-Repo-Commit": "../../../../stolen"},
    ],
    ids=str,
)
def test_headers_that_would_be_names_elsewhere_are_refused(
    hub: Any, folder: Path, headers: dict[str, str]
) -> None:
    commit = hub.add_folder("org/model", folder)
    for name in ("config.json", "info.json", "vocabulary.json", WEIGHTS):
        for verb in ("HEAD", "GET"):
            path = f"{verb} /org/model/resolve/{commit}/{name}"
            hub.faults[path] = [("headers", headers)] * 50
    with pytest.raises(HubError, match="is said to be"):
        crosshash.load("hf:org/model")
    assert written(folder) == set()


@pytest.mark.parametrize("target", ["file:///etc/passwd", "ftp://localhost/x", "gopher://x/", "::"])
@pytest.mark.parametrize("part", ["info", "file"])
def test_redirects_to_other_places_than_the_web_are_refused(
    hub: Any, folder: Path, target: str, part: str
) -> None:
    commit = hub.add_folder("org/model", folder)
    path = INFO if part == "info" else f"GET /org/model/resolve/{commit}/config.json"
    hub.faults[path] = [("redirect", target)] * 50
    with pytest.raises(HubError):
        crosshash.load("hf:org/model")


def test_redirects_in_a_circle_end(hub: Any, folder: Path) -> None:
    hub.add_folder("org/model", folder)
    hub.faults[INFO] = [("redirect", INFO.removeprefix("GET "))] * 200
    with pytest.raises(HubError):
        crosshash.load("hf:org/model")


@pytest.mark.parametrize(
    "body",
    [
        b"", b"<html>", b"[" * 100_000, b"3", b"null", b"[1]", b'"x"', b"\xff", b"{}",
        b'{"sha": "../../x", "id": "org/model", "siblings": []}',
        b'{"sha": null, "id": "org/model", "siblings": []}',
        b'{"sha": "' + b"a" * 40 + b'", "siblings": 3}',
        b'{"sha": "' + b"a" * 40 + b'", "siblings": [{"rfilename": 5}]}',
        b'{"sha": ' + b"9" * 5000 + b"}",
    ],
)  # fmt: skip
@pytest.mark.parametrize("part", ["info", "tree"])
def test_answers_of_nonsense_are_told(hub: Any, folder: Path, body: bytes, part: str) -> None:
    commit = hub.add_folder("org/model", folder)
    path = INFO if part == "info" else f"GET /api/models/org/model/tree/{commit}"
    hub.faults[path] = [("body", body)] * 50
    with pytest.raises(HubError):
        crosshash.load("hf:org/model")
    assert written(folder) == set()


def test_nothing_of_the_watch_is_left(hub: Any, folder: Path) -> None:
    from huggingface_hub.utils import get_session

    hub.add_folder("org/model", folder)
    before = {kind: list(hooks) for kind, hooks in get_session().event_hooks.items()}
    crosshash.load("hf:org/model")
    with pytest.raises(HubError):
        crosshash.load("hf:org/nothing")
    assert get_session().event_hooks == before


def test_a_commit_that_is_none_is_not_pinned(
    hub: Any, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", hub.token)
    answer = {"success": True, "commitOid": "../x", "commitUrl": f"{hub.url}/org/new/commit/x"}
    path = "POST /api/models/org/new/commit/main"
    hub.faults[path] = [("body", json.dumps(answer).encode())]
    with pytest.raises(HubError):
        publish(folder, "org/new")


def test_every_file_that_is_loaded_is_in_the_manifest(
    hub: Any, folder: Path, make_zoo: Any
) -> None:
    manifest = make_zoo(hub.add_folder("org/model", folder))
    (folder / "config.json").write_text("{}")  # of the same name, and unlisted below
    files = {n: entry for n, entry in manifest.files.items() if n != "config.json"}
    make_zoo(hub.add_folder("org/model", folder), files=files)
    with pytest.raises(CheckpointError, match=r"no SHA-256 of config\.json"):
        crosshash.load("amgfh-toy-16")


def test_a_file_beside_those_of_the_manifest_is_refused(folder: Path) -> None:
    from crosshash.hub.manifest import file_entries

    names = sorted(path.name for path in folder.iterdir())
    values = {"name": "amgfh-toy-16", "method": "amgfh", "dataset": "toy", "bits": 16}
    values |= {"status": "local", "config": "amgfh/toy-16", "folder": folder.name}
    manifest = Manifest.model_validate({**values, "files": file_entries(folder, names)})
    assert resolve_module.local_folder(manifest, folder.parent) == folder
    (folder / "text_encoder").mkdir()
    (folder / "text_encoder" / "tokenizer.json").write_text("{}")
    with pytest.raises(CheckpointError, match=r"has text_encoder/tokenizer\.json as well"):
        resolve_module.local_folder(manifest, folder.parent)
