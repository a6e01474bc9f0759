"""Where the checkpoint is that a name means."""

from __future__ import annotations

from pathlib import Path

import pytest

import crosshash
from crosshash.hub.resolve import locate_model


def test_a_runs_folder_means_the_checkpoint_in_it(folder: Path) -> None:
    run = folder.parent  # the fixture writes <run>/checkpoint
    (run / "history.jsonl").write_text("{}")
    assert locate_model(run) == folder
    assert locate_model(str(run)) == folder
    assert crosshash.load(run).bits == crosshash.load(folder).bits == 16


def test_a_checkpoint_comes_before_one_inside_it(folder: Path, tmp_path: Path) -> None:
    crosshash.save(crosshash.load(folder), folder / "checkpoint")
    assert locate_model(folder) == folder


def test_a_folder_without_a_checkpoint_is_told_what_was_looked_for(tmp_path: Path) -> None:
    (tmp_path / "run" / "checkpoint").mkdir(parents=True)
    with pytest.raises(FileNotFoundError) as caught:
        crosshash.load(tmp_path / "run")
    message = str(caught.value)
    for part in ("config.json, info.json, model.safetensors", str(tmp_path / "run" / "checkpoint")):
        assert part in message


@pytest.mark.parametrize("name", ["config.json", "info.json", "model.safetensors"])
def test_a_file_missing_in_a_runs_checkpoint_is_named(folder: Path, name: str) -> None:
    (folder / name).unlink()
    with pytest.raises(FileNotFoundError, match=rf"checkpoint is no whole .*: {name} is missing"):
        crosshash.load(folder.parent)
