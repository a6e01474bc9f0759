"""Whenever a process is killed: what was there before, or what it wrote, whole, and no rubbish."""

from __future__ import annotations

import contextlib
import functools
import json
import random
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch

import crosshash
from crosshash.hub.save import save
from crosshash.search.index import Index
from crosshash.training.files import LOCK, POSITION, RECORD
from crosshash.training.files import STATE as FILE
from crosshash.training.state import write_state

# What a training imports late would be imported by each process anew.
IMPORTED = [
    "accelerate.accelerator",
    "crosshash.backbones.image.features",
    "crosshash.backbones.text.bag_of_words",
    "crosshash.experiment.run",
    "crosshash.methods.dcmh",
    "crosshash.search.index",
    "filelock",
    "faiss",
    "safetensors.numpy",
    "safetensors.torch",
    "sklearn.feature_extraction.text",
    "torch._dynamo",
]
ROWS = np.random.default_rng(0).normal(size=(5, 6)).astype(np.float32)


@pytest.fixture(scope="module")
def context(kills: ModuleType) -> Any:
    if not kills.available():
        pytest.skip("processes are traced on Linux and x86-64 alone")
    return kills.server(IMPORTED)


def index(seed: int) -> Index:
    made = Index(32, {"seed": seed})
    codes = np.random.default_rng(seed).integers(0, 256, size=(40, 4), dtype=np.uint8)
    made.add(codes, [f"{seed}-{i}" for i in range(40)])
    return made


def read_seed(folder: Path) -> int:
    return int(Index.load(folder).metadata["seed"])


def model_bytes(folder: Path) -> bytes:
    return bytes(crosshash.load(folder).encode_image(ROWS, output="real").tobytes())


@pytest.mark.parametrize(
    "step",
    [
        pytest.param(12, id="quick"),
        pytest.param(1, id="long", marks=[pytest.mark.torture, pytest.mark.timeout(0)]),
    ],
)
@pytest.mark.parametrize("way", ["exchange", "aside"])
@pytest.mark.parametrize("what", ["checkpoint", "index"])
def test_a_save_killed_at_each_call(
    way: str, what: str, step: int, context: Any, kills: ModuleType, make_model: Any, tmp_path: Path
) -> None:
    target = tmp_path / "target"
    made: tuple[Any, Any] = (
        (make_model(0), make_model(1)) if what == "checkpoint" else (index(0), index(1))
    )
    work: Callable[..., None] = save if what == "checkpoint" else kills.saved
    read: Callable[[Path], Any] = model_bytes if what == "checkpoint" else read_seed
    whole = []
    for one in made:
        work(one, target)
        whole.append(read(target))
    assert whole[0] != whole[1]

    def ready() -> tuple[Any, ...]:
        shutil.rmtree(target)
        work(made[0], target)
        return made[1], target

    killed = functools.partial(kills.put_aside, work=work) if way == "aside" else work
    seen = []
    for call in kills.killed_at_each_call(context, killed, ready, step):
        assert read(target) in whole, call
        work(made[1], target)  # the next writer clears up
        assert [path.name for path in tmp_path.iterdir()] == ["target"], call
        assert read(target) == whole[1], call
        seen.append(call)
    assert read(target) == whole[1]
    assert len(seen) > (15 if step == 1 else 3)
    assert any("rename" in call for call in seen)


def contents_of(index: Index) -> list[tuple[str, list[int], Any]]:
    return [(item.id, item.code.tolist(), item.metadata) for item in index]


def contents(folder: Path) -> list[tuple[str, list[int], Any]]:
    return contents_of(Index.open(folder))


@pytest.mark.parametrize(
    ("changes", "step"),
    [
        pytest.param(2, 80, id="quick"),
        pytest.param(7, 1, id="long", marks=[pytest.mark.torture, pytest.mark.timeout(0)]),
    ],
)
def test_a_kept_index_killed_at_each_call_has_what_it_acknowledged(
    changes: int,
    step: int,
    context: Any,
    kills: ModuleType,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    one, states = Index(16), [contents_of(Index(16))]
    for change in range(kills.LAST + 1):
        with contextlib.suppress(ValueError):  # the last one saves, which this has no place for
            kills.change(one, change)
        states.append(contents_of(one))
    before, folder, done = (tmp_path / name for name in ("before", "index", "index.done"))
    Index.open(before, 16).close()
    for name in ("RECENT", "SMALLEST"):  # as in the processes that are killed
        monkeypatch.setattr(f"crosshash.search.folder.{name}", 4)

    def ready() -> tuple[Any, ...]:
        shutil.rmtree(folder, ignore_errors=True)
        done.unlink(missing_ok=True)
        shutil.copytree(before, folder)
        return folder, change

    calls, acknowledged = [], 0
    for change in range(changes):
        for call in kills.killed_at_each_call(context, kills.changed, ready, step):
            acknowledged += done.exists()
            # The change that was under way may have been made, and not been told.
            first = change + done.exists()
            assert contents(folder) in states[first : first + 2], (change, call)
            with Index.open(folder) as index:  # the next writer clears up and goes on
                index.add([[1] * 16], ["after"])
            assert contents(folder)[-1] == ("after", [255, 255], None), (change, call)
            calls.append(call)
        assert contents(folder) == states[min(change + 2, kills.LAST + 1)]
        with Index.open(before) as index:
            kills.change(index, change)
        assert contents(before) == states[change + 1]
    assert acknowledged
    assert any("rename" in call for call in calls)
    assert len(calls) > (120 if step == 1 else changes)  # more than the first of each change


def test_a_state_killed_at_each_call(context: Any, kills: ModuleType, tmp_path: Path) -> None:
    states = [{"value": torch.full((50,), float(number))} for number in (0, 1)]

    def ready() -> tuple[Any, ...]:
        write_state(tmp_path, states[0])
        return tmp_path, states[1]

    seen = 0
    for call in kills.killed_at_each_call(context, write_state, ready):
        found = torch.load(tmp_path / FILE, weights_only=True)["value"]
        assert any(torch.equal(found, state["value"]) for state in states), call
        seen += 1
    assert seen > 4


CONFIG = {
    "method": "dcmh",
    "bits": 8,
    "backbones": "features",
    "text": {"name": "bow", "options": {"size": 20}},
    "data": {"name": "features", "validation": 0},
    "network": {"image_hidden": [8], "text_hidden": [8]},
    "training": {"epochs": 12, "batch_size": 8, "device": "cpu"},
}


@pytest.mark.parametrize(
    "count",
    [
        pytest.param(4, id="quick"),
        pytest.param(100, id="long", marks=[pytest.mark.torture, pytest.mark.timeout(0)]),
    ],
)
def test_a_training_killed_at_any_time_ends_as_one_that_was_not(
    count: int, context: Any, kills: ModuleType, tmp_path: Path
) -> None:
    work = functools.partial(kills.trained, json.dumps(CONFIG))
    kills.run(context, work, tmp_path / "first")  # the server is up now
    started = time.monotonic()
    kills.run(context, work, tmp_path / "whole")
    took = time.monotonic() - started
    weights = (tmp_path / "whole" / "checkpoint" / "model.safetensors").read_bytes()
    draw, killed = random.Random(0), 0
    while killed < count:
        folder = tmp_path / f"run-{killed}"
        alive = kills.start(context, work, folder)
        time.sleep(draw.random() * took)
        alive.kill()
        alive.join()
        killed += 1
        if not (folder / "checkpoint").is_dir():
            kills.run(context, work, folder)
        assert (folder / "checkpoint" / "model.safetensors").read_bytes() == weights
        left = {path.name for path in folder.iterdir()}
        known = {"checkpoint", "history.jsonl", "preliminary.jsonl", FILE, LOCK, RECORD, POSITION}
        assert left <= known
        shutil.rmtree(folder)
