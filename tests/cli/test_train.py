"""The commands that read a config: ``train`` and ``config``."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image
from typer.testing import CliRunner

from crosshash.cli import app, main
from crosshash.cli.train import run_name
from crosshash.config import ExperimentConfig, parse_config, read_config

SMALL = [
    "data.options={n: 60, size: 32, query: 10, train: 40}",
    "data.validation=8",
    "backbones={name: test_resnet, frozen: false, options: {weights: random, image_size: 32}}",
    "text.options.size=20",
    "network.dim=16",
]


def run(*arguments: object) -> str:
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert result.exit_code == 0, result.output
    return result.stdout


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """Forty pictures with captions in a folder."""
    folder = tmp_path / "photos"
    folder.mkdir()
    colours = np.random.default_rng(0).integers(0, 256, (40, 3))
    lines = ["file_name,text"]
    for number, colour in enumerate(colours):
        Image.new("RGB", (32, 32), tuple(map(int, colour))).save(folder / f"{number}.png")
        lines.append(f"{number}.png,a {'red' if colour[0] > 127 else 'dark'} picture")
    (folder / "metadata.csv").write_text("\n".join(lines))
    return folder


def test_a_config_is_printed_with_the_file_of_each_value() -> None:
    text = run("config", "mdffh/flickr8k-32-1", "training.epochs=3", "data.options={a: 'x: y'}")
    assert parse_config(yaml.safe_load(text)) == read_config(
        "mdffh/flickr8k-32-1", ["training.epochs=3", "data.options={a: 'x: y'}"]
    )
    lines = {line.split("#")[0].strip(): line.split("#")[-1].strip() for line in text.splitlines()}
    assert lines["method: mdffh"] == "mdffh/base.yaml"
    assert lines["bits: 32"] == "mdffh/flickr8k-32.yaml"
    assert lines["epochs: 3"] == "override"
    assert lines["pad_type: same"] == "parts/backbones/mobilenetv2.yaml"
    assert lines["seed: 0"] == "default"


def test_a_config_is_printed_as_json() -> None:
    rows = json.loads(run("config", "amgfh/wiki-16", "--json"))
    assert {"key": "bits", "value": 16, "source": "amgfh/wiki-16.yaml"} in rows
    assert {"key": "data.name", "value": "wiki", "source": "parts/data/wiki.yaml"} in rows


@pytest.mark.parametrize(
    ("config", "overrides", "name"),
    [
        ("amgfh/wiki-64", [], "amgfh-wiki-64"),
        ("amgfh/wiki-64", ["training.epochs=5", "bits=64"], "amgfh-wiki-64"),
        ("amgfh/wiki-64", ["bits=32"], "amgfh-wiki-32"),
        ("hfah/flickr8k-16-1", ["bits=8", "seed=3"], "hfah-flickr8k-8-1-seed3"),
        ("configs/amgfh/wiki-64.yaml", ["bits=128"], "amgfh-wiki-128"),
        ("amgfh/base", ["data=shapes", "bits=32"], "amgfh-base-32"),
    ],
)
def test_other_bits_and_another_seed_have_a_folder_of_their_own(
    config: str, overrides: list[str], name: str
) -> None:
    assert run_name(config, overrides) == name


def test_a_config_in_the_present_folder_names_its_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("mine.yaml").write_text("bits: 64\n")
    assert run_name("mine.yaml") == "mine"
    assert run_name("mine.yaml", ["bits=16"]) == "mine-16"


def test_flags_are_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from crosshash.experiment import run as experiment

    seen: list[tuple[ExperimentConfig, Path]] = []

    def train(config: str, folder: Path, *, overrides: list[str], **_: object) -> None:
        seen.append((read_config(config, overrides), folder))
        raise ValueError

    monkeypatch.setattr(experiment, "train", train)
    monkeypatch.chdir(tmp_path)
    flags = "--bits 32 --epochs 2 --seed 5 --device cpu --import mine.py --import my.parts"
    CliRunner().invoke(app, ["train", "amgfh/mirflickr-64", "training.epochs=9", *flags.split()])
    config, folder = seen[0]
    assert (config.bits, config.seed) == (32, 5)
    assert (config.training.epochs, config.training.device) == (2, "cpu")
    assert config.imports == [str(tmp_path / "mine.py"), "my.parts"]
    assert config.paper == {}  # that of 64 bits
    assert folder == Path("runs/amgfh-mirflickr-32-seed5")


def test_a_dry_run_tells_what_would_be_and_writes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    told = json.loads(run("train", "amgfh/shapes-64", *SMALL, "--dry-run", "--json", "--bits", 32))
    assert told["pairs"] == {"train": 32, "query": 10, "retrieval": 50, "validation": 8}
    assert (told["vocabulary"], told["bits"], told["steps"]) == (20, 32, 1)
    assert (told["backbones"], told["frozen"]) == ({"image": "test_resnet"}, ["text"])
    assert 0 < told["trained"] == told["parameters"]
    assert told["checkpoint"] == "runs/amgfh-shapes-32/checkpoint"
    text = run("train", "amgfh/shapes-64", *SMALL, "backbones.frozen=true", "--dry-run")
    assert "test_resnet, frozen" in text
    assert "20 words" in text
    assert not list(tmp_path.iterdir())


def call(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> int:
    monkeypatch.setattr(sys, "argv", ["crosshash", *map(str, arguments)])
    with pytest.raises(SystemExit) as end:
        main()
    return int(end.value.code or 0)


def test_a_run_is_not_trained_over_unasked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["train", "amgfh/shapes-64", *SMALL, "--epochs", 1, "-o", tmp_path / "run", "-q"]
    assert call(monkeypatch, *command) == 0
    for more in ([], ["--resume"], ["--dry-run"]):
        assert call(monkeypatch, *command, *more) == 2
        told = capsys.readouterr().err
        assert "finished training" in told
        assert "--overwrite" in told
    assert call(monkeypatch, *command, "--overwrite") == 0


def test_an_interrupted_training_tells_the_command_that_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from crosshash.experiment import run as experiment

    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(experiment, "train", interrupted)
    folder = tmp_path / "my run"
    assert call(monkeypatch, "train", "amgfh/wiki-64", "-o", folder, "--overwrite") == 130
    told = capsys.readouterr().err
    assert f"crosshash train amgfh/wiki-64 -o '{folder}' --resume" in told
    assert "--overwrite" not in told


def test_a_damaged_picture_names_the_setting_that_leaves_it_out(
    files: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (files / "7.png").write_bytes(b"no picture")
    command = ["train", "amgfh/folder-64", f"data.root={files}", "--dry-run"]
    command += [part for part in SMALL if not part.startswith("data.")]
    assert call(monkeypatch, *command) == 2
    told = capsys.readouterr().err
    assert "7.png" in told
    assert "data.options.on_corrupt=skip" in told
    rest = json.loads(run(*command, "data.options.on_corrupt=skip", "--json"))
    assert rest["pairs"] == {"train": 35, "query": 4, "retrieval": 35}
