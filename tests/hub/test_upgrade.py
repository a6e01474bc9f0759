"""Checkpoints of older formats load, and give the codes that they gave when they were written."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from safetensors.torch import load_file, save_file

import crosshash
from crosshash.hub import upgrade as upgrade_module
from crosshash.hub.checkpoint import read_checkpoint
from crosshash.hub.errors import CheckpointError
from crosshash.hub.golden import check_golden, has_golden
from crosshash.hub.upgrade import FORMAT_VERSION, STEPS, Contents, upgrade

VERSION_1 = Path(__file__).parent / "version-1"
VERSION_2 = Path(__file__).parent / "version-2"
VERSION_3 = Path(__file__).parent / "version-3"


def test_a_folder_of_version_3_gives_its_codes() -> None:
    assert json.loads((VERSION_3 / "config.json").read_text())["format_version"] == 3
    assert has_golden(VERSION_3)
    assert crosshash.load(VERSION_3).info.label_names == ["circle", "square"]


def test_a_folder_of_version_2_gives_its_codes() -> None:
    assert json.loads((VERSION_2 / "config.json").read_text())["format_version"] == 2
    loaded = crosshash.load(VERSION_2)
    assert set(loaded.info.experiment) == {"method", "bits", "backbones", "algorithm", "data"}
    assert any(name.startswith("backbones.image.") for name in loaded.state_dict())


def test_a_folder_of_version_1_gives_its_codes() -> None:
    assert json.loads((VERSION_1 / "config.json").read_text())["format_version"] == 1
    loaded = crosshash.load(VERSION_1)
    assert loaded.info.label_names == ["circle", "square"]


def test_a_folder_of_version_1_is_saved_in_the_present_version(tmp_path: Path) -> None:
    crosshash.save(crosshash.load(VERSION_1), tmp_path / "anew")
    config = json.loads((tmp_path / "anew" / "config.json").read_text())
    assert config["format_version"] == FORMAT_VERSION
    for name in ("golden.json", "golden.safetensors"):
        shutil.copy(VERSION_1 / name, tmp_path / "anew" / name)
    check_golden(read_checkpoint(tmp_path / "anew", verify=False), tmp_path / "anew")


def test_there_is_a_step_from_every_version() -> None:
    assert sorted(STEPS) == list(range(1, FORMAT_VERSION))


def test_steps_follow_each_other_and_may_rename_tensors(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def step(contents: Contents) -> None:
        contents.config["network"]["width"] = contents.config["network"].pop("breadth")
        for old, new in contents.tensors.items():
            contents.tensors[old] = new.replace("old_head.", "text_head.")

    path = folder / "model.safetensors"
    state = load_file(path)
    old = {name.replace("text_head.", "old_head."): value.clone() for name, value in state.items()}
    save_file(old, path)
    config = json.loads((folder / "config.json").read_text())
    config["network"]["breadth"] = config["network"].pop("width")
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(ValueError, match="breadth"):
        read_checkpoint(folder)
    monkeypatch.setitem(STEPS, FORMAT_VERSION, step)
    defaults = {**upgrade_module.upgrade.__kwdefaults__, "to": FORMAT_VERSION + 1}
    monkeypatch.setattr(upgrade_module.upgrade, "__kwdefaults__", defaults)
    assert read_checkpoint(folder, verify=False).bits == 16


def test_a_newer_version_asks_for_an_update() -> None:
    with pytest.raises(CheckpointError, match=r"99.*pip install -U crosshash"):
        upgrade(Contents({"format_version": 99}, {}, {}), Path("x"))


@pytest.mark.parametrize("version", [None, 0, -1, "1", 1.0, True, [1]])
def test_no_version_is_refused(version: object) -> None:
    with pytest.raises(CheckpointError, match="format version"):
        upgrade(Contents({"format_version": version}, {}, {}), Path("x"))


def test_a_step_that_meets_nonsense_names_itself() -> None:
    with pytest.raises(CheckpointError, match="from format version 1 to 2"):
        upgrade(Contents({"format_version": 1, "text": 3}, {}, {}), Path("x"))
