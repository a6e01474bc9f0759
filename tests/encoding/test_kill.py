"""Whenever it is killed, the same call goes on, and every item is there once."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import crosshash
from crosshash.encoding import encode_source, read_codes
from crosshash.model.hash_model import HashModel

pytest.importorskip("pyarrow", reason="needs the extra parquet")
pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="processes are forked")

# Of each part two files are synced and named; the first name is that of codes.json.
POINTS = [
    "batch:1",
    "name:1",
    "batch:3",
    "sync:1",
    "name:1",
    "sync:2",
    "name:2",
    "name:3",
    "sync:4",
]


@pytest.fixture
def shard(make_tar: Callable[..., Path], picture: Callable[[int], bytes]) -> Path:
    members = [(f"{n:02}.png", picture(n)) for n in range(20)]
    members[4] = members[11] = ("bad.png", b"no picture")
    return make_tar("a.tar", members)


def every_id_once(folder: Path) -> list[str]:
    ids = [id_ for ids, _ in read_codes(folder) for id_ in ids]
    rejects = [
        json.loads(line)["id"]
        for path in folder.glob("rejects-*.jsonl")
        for line in path.read_text().splitlines()
    ]
    assert rejects == ["bad", "bad"]
    expected = [f"{n:02}" for n in range(20) if n not in (4, 11)]
    assert ids == expected
    return ids


def test_a_process_killed_anywhere_is_gone_on_with(
    model: HashModel, shard: Path, tmp_path: Path
) -> None:
    crosshash.save(model, tmp_path / "model")
    program = Path(__file__).with_name("killed.py")
    folder = tmp_path / "codes"
    command = [sys.executable, program, tmp_path / "model", shard, folder, *POINTS]
    done = subprocess.run(
        list(map(str, command)), capture_output=True, text=True, timeout=280, check=False
    )
    assert done.returncode == 0, done.stderr
    counts = [int(line.split()[1]) for line in done.stdout.splitlines()]
    assert counts == sorted(counts)  # what was finished stays
    assert 0 in counts
    assert counts[-1] > 2
    last = encode_source(model, shard, folder, items_per_part=3)
    assert last.written == last.parts - counts[-1] > 0
    every_id_once(folder)
    encode_source(model, shard, tmp_path / "whole", items_per_part=3)
    for (_, codes), (_, whole) in zip(
        read_codes(folder), read_codes(tmp_path / "whole"), strict=True
    ):
        np.testing.assert_array_equal(codes, whole)
    left = [path.name for path in folder.iterdir() if path.name.startswith(".")]
    assert left == []


def test_the_command_killed_from_outside_is_gone_on_with(
    model: HashModel, shard: Path, tmp_path: Path
) -> None:
    crosshash.save(model, tmp_path / "model")
    folder = tmp_path / "codes"
    options = ["--items-per-part", "1", "-o", folder, "--quiet", "--json"]
    command = [sys.executable, "-m", "crosshash", "encode", tmp_path / "model", shard, *options]
    with subprocess.Popen(list(map(str, command)), stdout=subprocess.PIPE) as process:
        until = time.monotonic() + 240
        while len(list(folder.glob("part-*.parquet"))) < 3 and process.poll() is None:
            assert time.monotonic() < until
            time.sleep(0.005)
        process.send_signal(signal.SIGKILL)
    before = len(list(folder.glob("part-*.parquet")))
    assert process.returncode == -signal.SIGKILL
    assert 3 <= before < 20
    last = encode_source(crosshash.load(tmp_path / "model"), shard, folder, items_per_part=1)
    assert last.written == 20 - before
    every_id_once(folder)
