"""A small checkpoint, and a server on this machine that speaks the Hub's protocol."""

from __future__ import annotations

import hashlib
import json
import re
import threading
from base64 import b64decode
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import numpy as np
import pytest
import torch

import crosshash
from crosshash.hub import manifest as manifest_module
from crosshash.hub import resolve as resolve_module
from crosshash.hub.manifest import Manifest, file_entries
from crosshash.model.hash_model import HashModel

WORDS = ["a red circle", "a blue square on grass"]


@pytest.fixture
def model() -> HashModel:
    torch.manual_seed(0)
    return crosshash.create(
        "amgfh",
        bits=16,
        backbones={"name": "features", "dim": 6},
        texts=WORDS,
        dim=16,
        hidden=[16],
        width=1,
    ).eval()


@pytest.fixture
def folder(model: HashModel, tmp_path: Path) -> Path:
    model.info.label_names = ["circle", "square"]
    model.info.experiment = {"data": {"name": "toy"}, "seed": 3, "paper": {"map_i2t": 0.7}}
    direction = {"map": 0.5, "map_best": 0.6, "chance": 0.3}
    model.info.figures = {
        "map_i2t": 0.5,
        "map_t2i": 0.5,
        "i2t": direction,
        "t2i": direction,
        "record": {"dataset": "toy", "protocol": "toy/0", "versions": {"numpy": "2"}},
    }
    crosshash.save(model, tmp_path / "checkpoint")
    return tmp_path / "checkpoint"


@pytest.fixture
def make_zoo(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Manifest]:
    """Makes a zoo of one published model, whose manifest is of the files in the folder."""

    def make(commit: str, **changes: Any) -> Manifest:
        files = sorted(path.name for path in folder.iterdir())
        values = {
            "name": "amgfh-toy-16",
            "method": "amgfh",
            "dataset": "toy",
            "bits": 16,
            "status": "published",
            "config": "amgfh/toy-16",
            "repository": "org/model",
            "revision": commit,
            "files": file_entries(folder, files),
            **changes,
        }
        manifest = Manifest.model_validate(values)
        zoo = folder.parent / "zoo"
        zoo.mkdir(exist_ok=True)
        (zoo / f"{manifest.name}.yaml").write_text(manifest.dump())
        for module in (manifest_module, resolve_module):
            monkeypatch.setattr(module, "bundled", lambda _: zoo)
        return manifest

    return make


@pytest.fixture
def features() -> np.ndarray:
    return np.random.default_rng(0).normal(size=(3, 6)).astype(np.float32)


@dataclass
class Repository:
    """A repository: its commits, oldest first, each with all its files."""

    commits: dict[str, dict[str, bytes]]
    gated: bool = False
    private: bool = False

    def at(self, revision: str) -> tuple[str, dict[str, bytes]] | None:
        commit = list(self.commits)[-1] if revision == "main" else revision
        return (commit, self.commits[commit]) if commit in self.commits else None


@dataclass
class Hub:
    """What the server has and was asked.

    Attributes:
        faults: For a path, what happens to the next requests: a status, ``("cut", bytes)`` closes
            the connection in the middle of the body, ``("slow", seconds)`` waits before it,
            ``("headers", dict)`` changes headers; in place of the answer come those of
            :meth:`Handler.hostile`.
    """

    url: str = ""
    storage: str = ""  # of large files, under another name of this machine as the Hub has it
    repositories: dict[str, Repository] = field(default_factory=dict)
    blobs: dict[str, bytes] = field(default_factory=dict)
    faults: dict[str, list[Any]] = field(default_factory=dict)
    requests: list[tuple[str, str, str]] = field(default_factory=list)
    token: str = "hf_secret"
    sent: int = 0  # bytes of answers without an end

    def add(self, name: str, files: dict[str, bytes], **options: Any) -> str:
        """A commit with these files; returns its hash."""
        repository = self.repositories.setdefault(name, Repository({}, **options))
        content = b"".join(n.encode() + files[n] for n in sorted(files))
        commit = hashlib.sha1(content + bytes(len(repository.commits))).hexdigest()
        repository.commits[commit] = dict(files)
        return commit

    def add_folder(self, name: str, folder: Path, **options: Any) -> str:
        files = {
            path.relative_to(folder).as_posix(): path.read_bytes()
            for path in folder.rglob("*")
            if path.is_file()
        }
        return self.add(name, files, **options)

    def asked(self, method: str, part: str) -> list[str]:
        """Paths of requests by that method that contain ``part``."""
        return [path for verb, path, _ in self.requests if verb == method and part in path]


def large(name: str) -> bool:
    """Whether the Hub keeps the file in its large file storage."""
    return name.endswith(".safetensors")


def etag(name: str, content: bytes) -> str:
    if large(name):
        return hashlib.sha256(content).hexdigest()
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


HOSTILE = ("silent", "redirect", "body", "endless", "drip")


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    hub: Hub
    odd: Mapping[str, str] = {}

    def hostile(self, kind: str, *given: Any) -> None:
        """No answer, one that never ends, one byte at a time, sent on, or another body."""
        with suppress(OSError):  # the other side has enough
            if kind == "silent":
                threading.Event().wait(*given)
                self.close_connection = True
            elif kind == "redirect":
                self.reply(302, Location=given[0])
            elif kind == "body":
                self.reply(200, given[0], Content_Type="application/json")
            elif kind == "endless":
                self.reply(200, Transfer_Encoding="chunked", Content_Length="")
                for _ in range(10_000):
                    self.wfile.write(b"10000\r\n" + bytes(0x10000) + b"\r\n")
                    self.hub.sent += 0x10000
            elif kind == "drip":
                self.reply(200, Content_Length=1000)
                for _ in range(1000):
                    self.wfile.write(b" ")
                    self.wfile.flush()
                    threading.Event().wait(0.02)

    def log_message(self, *_: Any) -> None:
        pass

    def reply(
        self, status: int, body: bytes = b"", *, fault: Any = None, **headers: str | int
    ) -> None:
        self.send_response(status)
        headers = {**headers, **self.odd}
        headers.setdefault("Content-Length", len(body))
        for name, value in headers.items():
            if value == "":
                continue
            self.send_header(name.replace("_", "-"), str(value))
        self.end_headers()
        if self.command == "HEAD":
            return
        if isinstance(fault, tuple) and fault[0] == "cut":
            self.wfile.write(body[: fault[1]])
            self.wfile.flush()
            self.close_connection = True
            return
        if isinstance(fault, tuple) and fault[0] == "slow":
            threading.Event().wait(fault[1])
        self.wfile.write(body)

    def json(self, values: Any, status: int = 200, **headers: str | int) -> None:
        body = json.dumps(values).encode()
        self.reply(status, body, Content_Type="application/json", **headers)

    def refuse(self, status: int, code: str, message: str = "refused") -> None:
        self.json({"error": message}, status, X_Error_Code=code, X_Error_Message=message)

    def body(self) -> bytes:
        return self.rfile.read(int(self.headers.get("Content-Length", 0)))

    def answer(self) -> None:
        path = unquote(urlsplit(self.path).path)
        authorization = self.headers.get("Authorization", "")
        self.hub.requests.append((self.command, path, authorization))
        waiting = self.hub.faults.get(f"{self.command} {path}", [])
        fault = waiting.pop(0) if waiting else None
        body = self.body()
        if isinstance(fault, int):
            return self.reply(fault)
        self.odd = fault[1] if isinstance(fault, tuple) and fault[0] == "headers" else {}
        if isinstance(fault, tuple) and fault[0] in HOSTILE:
            return self.hostile(*fault)
        logged_in = authorization == f"Bearer {self.hub.token}"
        if path == "/api/whoami-v2":
            if not logged_in:
                return self.refuse(401, "", "Invalid credentials in Authorization header")
            return self.json({"type": "user", "name": "me", "orgs": []})
        if path == "/api/validate-yaml":
            return self.json({"errors": [], "warnings": []})
        if path == "/api/repos/create":
            return self.create(json.loads(body), logged_in)
        if found := re.fullmatch(r"/lfs/(\w+)", path):
            return self.storage(found[1], body, fault)
        if found := re.fullmatch(r"/([^/]+/[^/]+)\.git/info/lfs/objects/batch", path):
            return self.batch(json.loads(body))
        pattern = r"/(?:api/models/)?([^/]+/[^/]+)(?:/(\w+)/([^/]+))?(?:/(.+))?"
        found = re.fullmatch(pattern, path)
        if found is None:
            return self.reply(404)
        name, action, revision, file = found.groups()
        repository = self.hub.repositories.get(name)
        if repository is None or (repository.private and not logged_in):
            return self.refuse(401, "RepoNotFound", "Repository not found")
        if action in ("preupload", "commit"):
            if not logged_in:
                return self.refuse(403, "", "no write access")
            return self.preupload(body) if action == "preupload" else self.commit(repository, body)
        at = repository.at(revision or "main")
        if at is None:
            return self.refuse(404, "RevisionNotFound")
        commit, files = at
        if action in (None, "revision"):
            siblings = [{"rfilename": n} for n in files]
            return self.json({"id": name, "modelId": name, "sha": commit, "siblings": siblings})
        if action == "tree":
            return self.json([self.entry(n, content) for n, content in files.items()])
        if repository.gated and not logged_in:
            return self.refuse(401, "GatedRepo", "Access to this model is restricted")
        if file not in files:
            return self.refuse(404, "EntryNotFound")
        content = files[file]
        tag = etag(file, content)
        if not large(file):
            return self.reply(200, content, fault=fault, ETag=f'"{tag}"', X_Repo_Commit=commit)
        self.hub.blobs.setdefault(tag, content)
        return self.reply(
            302,
            Location=f"{self.hub.storage}/lfs/{tag}",
            X_Repo_Commit=commit,
            X_Linked_Etag=f'"{tag}"',
            X_Linked_Size=len(content),
            ETag='"of the pointer"',
        )

    def entry(self, name: str, content: bytes) -> dict[str, Any]:
        oid = hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()
        values: dict[str, Any] = {"type": "file", "path": name, "size": len(content), "oid": oid}
        if large(name):
            values["lfs"] = {"oid": etag(name, content), "size": len(content), "pointerSize": 130}
        return values

    def storage(self, tag: str, body: bytes, fault: Any) -> None:
        if self.command == "PUT":
            self.hub.blobs[tag] = body
            return self.reply(200)
        if self.command == "POST":  # verify
            whole = hashlib.sha256(self.hub.blobs.get(tag, b"")).hexdigest() == tag
            return self.reply(200 if whole else 404)
        content = self.hub.blobs[tag]
        part = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        if part is None:
            return self.reply(200, content, fault=fault, ETag=f'"{tag}"')
        start, size = int(part[1]), len(content)
        span = f"bytes {start}-{size - 1}/{size}"
        return self.reply(206, content[start:], fault=fault, Content_Range=span)

    def create(self, asked: dict[str, Any], logged_in: bool) -> None:
        name = f"{asked.get('organization') or 'me'}/{asked['name']}"
        if not logged_in:
            return self.refuse(401, "", "Invalid credentials in Authorization header")
        exists = name in self.hub.repositories
        if not exists:
            self.hub.add(name, {".gitattributes": b"*.safetensors filter=lfs\n"})
            private = asked.get("private") or asked.get("visibility") == "private"
            self.hub.repositories[name].private = bool(private)
        return self.json({"url": f"{self.hub.url}/{name}"}, 409 if exists else 200)

    def preupload(self, body: bytes) -> None:
        files = [
            {
                "path": file["path"],
                "uploadMode": "lfs" if large(file["path"]) else "regular",
                "shouldIgnore": False,
            }
            for file in json.loads(body)["files"]
        ]
        self.json({"files": files})

    def batch(self, asked: dict[str, Any]) -> None:
        objects = []
        for entry in asked["objects"]:
            target = {"href": f"{self.hub.url}/lfs/{entry['oid']}", "header": {}}
            actions = {"upload": target, "verify": target}
            known = entry["oid"] in self.hub.blobs
            objects.append({**entry, **({} if known else {"actions": actions})})
        self.json({"transfer": "basic", "objects": objects})

    def commit(self, repository: Repository, body: bytes) -> None:
        name = next(n for n, r in self.hub.repositories.items() if r is repository)
        current = repository.at("main")
        files = dict(current[1] if current else {})
        for line in body.splitlines():
            step = json.loads(line)
            value = step["value"]
            if step["key"] == "file":
                files[value["path"]] = b64decode(value["content"])
            elif step["key"] == "lfsFile":
                files[value["path"]] = self.hub.blobs[value["oid"]]
            elif step["key"] == "deletedFile":
                del files[value["path"]]
        commit = self.hub.add(name, files)
        url = f"{self.hub.url}/{name}/commit/{commit}"
        self.json({"success": True, "commitOid": commit, "commitUrl": url})

    do_GET = do_HEAD = do_POST = do_PUT = answer  # noqa: N815


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """A Hub of its own, which huggingface_hub uses with an empty cache and without a token."""
    from huggingface_hub import constants, file_download
    from huggingface_hub.utils import disable_progress_bars

    state = Hub()
    handler = type("OfHub", (Handler,), {"hub": state})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    state.url = f"http://127.0.0.1:{server.server_address[1]}"
    state.storage = state.url.replace("127.0.0.1", "localhost")
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    template = constants.HUGGINGFACE_CO_URL_TEMPLATE.removeprefix(constants.ENDPOINT)
    # What huggingface_hub reads from HF_ENDPOINT and others when it is imported.
    monkeypatch.setattr(constants, "ENDPOINT", state.url)
    for module in (constants, file_download):  # older versions read a copy of it
        monkeypatch.setattr(
            module, "HUGGINGFACE_CO_URL_TEMPLATE", state.url + template, raising=False
        )
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "no-token"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
    monkeypatch.setenv("HF_HUB_DISABLE_XET", "1")
    for name in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    for name in (
        "http_proxy",
        "https_proxy",
        "all_proxy",
        "HTTP_PROXY",
        "HTTPS_PROXY",
        "ALL_PROXY",
    ):
        monkeypatch.delenv(name, raising=False)
    # Waits between attempts, which the server's own pauses do not use.
    monkeypatch.setattr("time.sleep", lambda _: None)
    disable_progress_bars()
    yield state
    server.shutdown()
    server.server_close()
