"""Every example runs as it stands, small and offline."""

from __future__ import annotations

import os
import runpy
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from huggingface_hub import constants
from PIL import Image

from crosshash.backbones import create_image_backbone
from crosshash.backbones.weights import weight_file
from crosshash.config import read_config

pytestmark = pytest.mark.filterwarnings("ignore")
EXAMPLES = Path(__file__).parents[1] / "examples"
SMALL = {
    "search.py": ["--sheet", "found.png"],
    "shapes_backbone.py": ["--scenes", "600"],
    "finetune.py": ["--size", "150", "--epochs", "1"],
    "swap_backbone.py": ["--size", "120", "--epochs", "1"],
    "own_parts.py": ["--size", "150", "--epochs", "1"],
    "clip_head.py": ["--epochs", "1", "--bits", "16"],
    "hash_your_embeddings.py": ["--size", "300", "--epochs", "2", "--bits", "16"],
}
# The others have tests of their own below.
ALONE = sorted(set(SMALL) - {"clip_head.py", "shapes_backbone.py", "swap_backbone.py"})


Run = Callable[[str, list[str]], str]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs an example in an empty folder, offline, and gives what it prints.

    It runs in this process, which has imported what it needs, unless it registers parts.
    """

    def alone(name: str, options: list[str]) -> str:
        done = subprocess.run(
            [sys.executable, str(EXAMPLES / name), *options],
            capture_output=True,
            text=True,
            cwd=tmp_path,
            env={**os.environ, "HF_HUB_OFFLINE": "1", "PYTHONWARNINGS": "ignore"},
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def here(name: str, options: list[str]) -> str:
        monkeypatch.chdir(tmp_path)
        monkeypatch.setattr(sys, "argv", [name, *options])
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
        runpy.run_path(str(EXAMPLES / name), run_name="__main__")
        return capsys.readouterr().out

    return lambda name, options: (alone if name == "own_parts.py" else here)(name, options)


def test_every_example_is_run_here() -> None:
    assert {path.name for path in EXAMPLES.glob("*.py")} == set(SMALL)


@pytest.mark.parametrize("name", ALONE)
def test_an_example_runs(name: str, run: Run, tmp_path: Path) -> None:
    done = run(name, SMALL[name])
    expected = {
        "search.py": "scene-",
        "finetune.py": "from scratch, 32 bits",
        "own_parts.py": "loaded by another program, its codes are equal",
        "hash_your_embeddings.py": "300 vectors as 16 bits each by a model of 0.",
    }[name]
    assert expected in done
    if name == "search.py":
        with Image.open(tmp_path / "found.png") as sheet:
            assert sheet.size[0] > 5 * 160  # five pictures side by side


def test_the_backbone_that_is_made_is_that_of_the_recipes(run: Run, tmp_path: Path) -> None:
    file = tmp_path / "w.safetensors"
    done = run("shapes_backbone.py", [*SMALL["shapes_backbone.py"], "-o", str(file)])
    assert "average precision of labels 0." in done
    part = read_config("amgfh/shapes-64").backbones["image"]
    options = {**part.options, "weights": file}
    made, shipped = (create_image_backbone(part.name, **o) for o in (options, part.options))
    assert made.spec() == shipped.spec()
    assert file.stat().st_size == weight_file(part.options["weights"]).stat().st_size


def test_backbones_are_swapped_and_words_for_a_language_model(
    language_model: Path, run: Run
) -> None:
    text = f"hf:{language_model}"
    done = run("swap_backbone.py", [*SMALL["swap_backbone.py"], "--text", text])
    rows = [line.split("|")[1].strip() for line in done.splitlines() if " + " in line]
    assert rows == ["resnet10t + bow", "vit_tiny_patch16_224 + bow", f"resnet10t + {text}"]


@pytest.mark.parametrize("options", [["--images", "v.npy"], ["--texts", "v.npy"]])
def test_a_file_of_one_side_alone_is_not_passed_over(options: list[str], run: Run) -> None:
    with pytest.raises(SystemExit, match="give files of both, images and texts"):
        run("hash_your_embeddings.py", options)


@pytest.mark.parametrize("labels", [True, False])
def test_a_head_and_the_last_block_of_a_dual_encoder_are_trained_over_a_folder(
    labels: bool, dual_encoder: Callable[[str], Path], run: Run, tmp_path: Path
) -> None:
    photos = tmp_path / "photos"
    photos.mkdir()
    rows = ["file_name,text" + ",labels" * labels]
    for number in range(40):
        colour = ("red", "blue")[number % 2]
        Image.new("RGB", (40 + number, 40), colour).save(photos / f"{number}.png")
        rows.append(f"{number}.png,a {colour} square" + f",{colour}" * labels)
    (photos / "metadata.csv").write_text("\n".join(rows))
    model = str(dual_encoder("clip"))
    options = [*SMALL["clip_head.py"], "--root", str(photos), "--model", model, "--blocks", "1"]
    done = run("clip_head.py", options)
    assert ("MAP 0." in done or "MAP 1." in done) is labels
    assert "'a red square': [" in done
