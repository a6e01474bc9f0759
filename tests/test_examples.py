"""Every example runs as it stands, small and offline."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[1] / "examples"
SMALL = {
    "search.py": [],
    "finetune.py": ["--size", "300", "--epochs", "1"],
    "swap_backbone.py": ["--size", "200", "--epochs", "1"],
    "own_parts.py": ["--size", "150", "--epochs", "1"],
    "hash_your_embeddings.py": ["--size", "300", "--epochs", "2", "--bits", "16"],
}


def run(name: str, options: list[str], folder: Path) -> str:
    done = subprocess.run(
        [sys.executable, str(EXAMPLES / name), *options],
        capture_output=True,
        text=True,
        cwd=folder,
        env={**os.environ, "HF_HUB_OFFLINE": "1", "PYTHONWARNINGS": "ignore"},
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_every_example_is_run_here() -> None:
    assert {path.name for path in EXAMPLES.glob("*.py")} == set(SMALL)


@pytest.mark.parametrize("name", SMALL)
def test_an_example_runs(name: str, tmp_path: Path) -> None:
    done = run(name, SMALL[name], tmp_path)
    expected = {
        "search.py": "scene-",
        "finetune.py": "from scratch, 32 bits",
        "swap_backbone.py": "vit_tiny_patch16_224 + bow",
        "own_parts.py": "loaded by another program, its codes are equal",
        "hash_your_embeddings.py": "300 vectors as 16 bits each by a model of 0.",
    }[name]
    assert expected in done


def test_backbones_are_swapped_for_a_language_model_too(
    language_model: Path, tmp_path: Path
) -> None:
    text = f"hf:{language_model}"
    done = run("swap_backbone.py", [*SMALL["swap_backbone.py"], "--text", text], tmp_path)
    rows = [line.split("|")[1].strip() for line in done.splitlines() if " + " in line]
    assert rows == ["resnet10t + bow", "vit_tiny_patch16_224 + bow", f"resnet10t + {text}"]
