"""Models by name."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

import crosshash
from crosshash.config import bundled, find_config
from crosshash.files import sha256
from crosshash.hub import load as load_module
from crosshash.hub.checkpoint import CheckpointError


def test_an_unknown_name_has_the_nearest() -> None:
    with pytest.raises(LookupError, match="amgfh-shapes-64"):
        crosshash.load("amgfh-shape-64")


def test_every_manifest_is_whole() -> None:
    for manifest in crosshash.list_models():
        assert find_config(manifest.config)
        if manifest.status == "local":
            assert manifest.folder
            folder = bundled("zoo") / manifest.folder
            assert {p.name for p in folder.iterdir()} == set(manifest.files)
            for name, digest in manifest.files.items():
                assert sha256(folder / name) == digest


def test_a_recipe_says_how_to_train_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    manifest = {
        "name": "amgfh-x-64",
        "method": "amgfh",
        "dataset": "x",
        "bits": 64,
        "status": "recipe",
        "config": "amgfh/x-64",
    }
    (tmp_path / "amgfh-x-64.yaml").write_text(yaml.safe_dump(manifest))
    monkeypatch.setattr(load_module, "bundled", lambda _: tmp_path)
    with pytest.raises(LookupError, match="crosshash train amgfh/x-64"):
        crosshash.load("amgfh-x-64")


def test_a_changed_file_is_refused(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    manifest = {
        "name": "m",
        "method": "amgfh",
        "dataset": "x",
        "bits": 16,
        "status": "local",
        "config": "amgfh/x-64",
        "folder": "checkpoint",
        "files": {path.name: sha256(path) for path in folder.iterdir()},
    }
    (tmp_path / "m.yaml").write_text(yaml.safe_dump(manifest))
    monkeypatch.setattr(load_module, "bundled", lambda _: tmp_path)
    assert crosshash.load("m").bits == 16
    (folder / "vocabulary.json").write_text('["other"]')
    with pytest.raises(CheckpointError, match=r"vocabulary\.json"):
        crosshash.load("m")


def test_a_manifest_with_a_misspelt_key_is_named(tmp_path: Path) -> None:
    (tmp_path / "m.yaml").write_text("nam: x\n")
    with pytest.raises(ValueError, match="nam"):
        load_module.read_manifest(tmp_path / "m.yaml")
