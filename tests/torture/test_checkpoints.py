"""A damaged or edited checkpoint gives the codes of the whole one, or an error that says why."""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

import crosshash
from crosshash.hub.errors import CheckpointError

ROWS = np.random.default_rng(0).normal(size=(5, 6)).astype(np.float32)
TEXTS = ["a red circle", "a blue square on grass", "a square"]
QUICK = pytest.param(400, id="quick")
LONG = pytest.param(4000, id="long", marks=[pytest.mark.torture, pytest.mark.timeout(0)])


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory, make_model: Any) -> Path:
    folder = tmp_path_factory.mktemp("torture") / "checkpoint"
    crosshash.save(make_model(standardize=["image"]), folder, golden=(ROWS, TEXTS))
    return folder


def codes(folder: Path) -> bytes:
    model = crosshash.load(folder)
    real = model.encode_image(ROWS, output="real"), model.encode_text(TEXTS, output="real")
    return b"".join(values.tobytes() for values in real)


def edited_tensors(draw: random.Random, content: bytes) -> bytes:
    """Swapped, zeroed, scaled, shifted or infinite weights, in a file that is whole in itself."""
    from safetensors.torch import load, save

    state = load(content)
    name = draw.choice(sorted(state))
    alike = [n for n, v in state.items() if v.shape == state[name].shape and v.is_floating_point()]
    other, what = draw.choice(alike or [name]), draw.randrange(5)
    if what == 0:
        state[name], state[other] = state[other].clone(), state[name].clone()
    elif what == 1:
        state = {n: torch.zeros_like(v) for n, v in state.items()}
    elif what == 2:
        state[name] = state[name] * 2
    elif what == 3 and state[name].is_floating_point():
        state[name] = state[name].clone().fill_(draw.choice([float("nan"), float("inf")]))
    else:
        state[name] = state[name].roll(1)
    return bytes(save(state))


def mutant(draw: random.Random, folder: Path, mutate: ModuleType) -> str:
    """Change a checkpoint in one way; returns which."""
    files = sorted(path.name for path in folder.iterdir())
    name, way = draw.choice(files), draw.randrange(8)
    if way == 0:
        (folder / name).unlink()
        return f"{name} deleted"
    if way == 1:
        other = draw.choice(files)
        content = (folder / name).read_bytes()
        (folder / name).write_bytes((folder / other).read_bytes())
        (folder / other).write_bytes(content)
        return f"{name} and {other} exchanged"
    change: Callable[[random.Random, bytes], bytes] = mutate.damage
    if way in (2, 3):
        name, change = "model.safetensors", edited_tensors
    elif way in (4, 5, 6):
        name = draw.choice([file for file in files if file.endswith(".json")])
        change = mutate.edit_json
    mutate.changed_file(folder, name, change, draw)
    return f"{name}, {change.__name__}"


@pytest.mark.parametrize("count", [QUICK, LONG])
def test_checkpoints(count: int, checkpoint: Path, tmp_path: Path, mutate: ModuleType) -> None:
    whole, tally = codes(checkpoint), mutate.Tally()
    for seed in range(count):
        draw, folder = random.Random(seed), tmp_path / "mutant"
        shutil.copytree(checkpoint, folder)
        name = f"seed {seed}, {mutant(draw, folder, mutate)}"
        errors = (CheckpointError, FileNotFoundError)
        tally.attempt(name, lambda folder=folder: codes(folder) == whole, errors)
        shutil.rmtree(folder)
    tally.check("checkpoints", count)


def test_files_of_two_models_are_told_apart(checkpoint: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    shutil.copytree(checkpoint, other)
    path = other / "model.safetensors"
    save_file({name: value + 1 for name, value in load_file(path).items()}, path)
    with pytest.raises(CheckpointError, match=r"model\.safetensors is not as saved"):
        crosshash.load(other)
    with pytest.raises(CheckpointError, match="does not give its stored"):
        crosshash.hub.check_golden(crosshash.load(other, verify=False), other)
