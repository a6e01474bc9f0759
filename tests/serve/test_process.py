"""``crosshash serve`` as a process: it starts, is told to look again, and stops when it is done."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("fastapi", reason="needs the extra serve")
pytest.importorskip("httpx", reason="needs httpx, of the extra dev")

import httpx
from typer.testing import CliRunner

import crosshash
from crosshash.cli import app

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="sends signals")
START = 240.0


class Process:
    """A running service and the lines that it wrote."""

    def __init__(self, *arguments: object) -> None:
        self.lines: list[str] = []
        self.process = subprocess.Popen(
            [sys.executable, "-m", "crosshash", "serve", *map(str, arguments), "--port", "0"],
            env={**os.environ, "PYTHONPATH": str(Path(crosshash.__file__).parents[1])},
            stderr=subprocess.PIPE,
            text=True,
        )
        threading.Thread(target=self._read, daemon=True).start()
        self.address = self.line(r"(http://127\.0\.0\.1:\d+)")

    def _read(self) -> None:
        assert self.process.stderr
        self.lines += [""]
        for line in self.process.stderr:
            self.lines.append(line)

    def line(self, pattern: str) -> str:
        """Wait for a line."""
        until = time.monotonic() + START
        while time.monotonic() < until and self.process.poll() is None:
            found = re.search(pattern, "".join(self.lines))
            if found:
                return found[1]
            time.sleep(0.05)
        raise AssertionError("".join(self.lines))


@pytest.fixture
def process(place: Any) -> Iterator[Process]:
    one = Process("amgfh-shapes-64", place.index, "--root", place.photos)
    yield one
    one.process.kill()
    one.process.wait()


@pytest.mark.timeout(600)
def test_it_looks_again_at_sighup_and_ends_what_runs_at_sigterm(process: Any, place: Any) -> None:
    with httpx.Client(base_url=process.address, timeout=60) as one:
        assert one.get("/search/text", params={"q": "a red circle"}).status_code == 200
        assert one.get("/items/x", headers={"Host": "evil.example"}).status_code == 421
        with place.opened() as index:
            index.add(np.zeros((1, 8), np.uint8), ["new"])
        process.process.send_signal(signal.SIGHUP)
        assert process.line(r"opened anew: (\d+) items") == "7"
        assert one.get("/items/new").status_code == 200

    sending = threading.Event()

    def slow() -> Iterator[bytes]:
        content = Path(place.ids[0]).read_bytes()
        yield content[:100]
        sending.set()
        time.sleep(1.5)
        yield content[100:]

    answers: list[Any] = []

    def ask() -> None:
        headers = {"Content-Type": "image/png"}
        url = f"{process.address}/search/image"
        answers.append(httpx.post(url, content=slow(), headers=headers, timeout=60))

    thread = threading.Thread(target=ask)
    thread.start()
    assert sending.wait(30)
    time.sleep(0.3)
    process.process.send_signal(signal.SIGTERM)
    time.sleep(0.7)
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"{process.address}/healthz")
    thread.join(60)
    assert answers[0].status_code == 200
    assert answers[0].json()["hits"][0]["id"] == place.ids[0]
    assert process.process.wait(60) == 0
    assert "Traceback" not in "".join(process.lines)


def invoke(*arguments: object) -> Any:
    return CliRunner().invoke(app, ["serve", *map(str, arguments)])


@pytest.fixture
def served(monkeypatch: Any) -> list[dict[str, Any]]:
    """What the command would have served."""
    calls: list[dict[str, Any]] = []
    monkeypatch.setattr("crosshash.serve.process.run", lambda app, **told: calls.append(
        {"settings": app.state.service.settings, **told}) or 0)  # fmt: skip
    return calls


def test_it_listens_on_this_machine_alone_unless_told(served: Any, place: Any) -> None:
    assert invoke("amgfh-shapes-64", place.index).exit_code == 0
    assert served[0]["host"] == "127.0.0.1"
    assert served[0]["settings"].hosts == ("localhost", "127.0.0.1", "[::1]")
    assert not served[0]["settings"].writable
    assert served[0]["settings"].root is None


def test_it_warns_where_all_may_reach_it_without_a_key(served: Any, place: Any) -> None:
    keys = place.index.with_name("keys")
    keys.write_text("k" * 24)
    common = ("amgfh-shapes-64", place.index, "--host", "0.0.0.0")
    warned = invoke(*common, "--writable")
    assert "--api-key-file" in warned.output
    assert "remove" in warned.output
    quiet = invoke(*common, "--api-key-file", keys, "--name", "Photos.example", "--max-body", "1")
    assert "--api-key-file" not in quiet.output
    settings = served[1]["settings"]
    assert settings.keys == ("k" * 24,)
    assert settings.hosts == ("localhost", "127.0.0.1", "[::1]", "photos.example")
    assert settings.max_body == 1_000_000


def test_what_is_not_there_is_told_before_anything_is_served(served: Any, place: Any) -> None:
    lost = place.index.with_name("lost")
    for arguments in (
        (lost,),
        (place.index, "--root", lost),
        (place.index, "--api-key-file", lost),
    ):
        result = invoke("amgfh-shapes-64", *arguments)
        assert isinstance(result.exception, FileNotFoundError)
    with pytest.raises(ValueError, match="codes of 64 bits"):
        raise invoke("amgfh-wiki-16", place.index).exception
    assert not served


def test_one_that_may_write_makes_an_index(served: Any, tmp_path: Path) -> None:
    assert invoke("amgfh-shapes-64", tmp_path / "new", "--writable").exit_code == 0
    assert (tmp_path / "new" / "index.json").is_file()


def test_without_the_extra_it_says_what_to_install() -> None:
    code = (
        "import sys; sys.modules['fastapi'] = None; sys.argv[1:] = ['serve', 'a', 'b'];"
        "from crosshash.cli import main; main()"
    )
    environment = {**os.environ, "PYTHONPATH": str(Path(crosshash.__file__).parents[1])}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 2
    assert 'pip install "crosshash[serve]"' in done.stderr
