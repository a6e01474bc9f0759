"""The zoo by name: manifests, recipes of configs, filters, and names that do not exist."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import crosshash
from crosshash.config import bundled, find_config
from crosshash.files import sha256
from crosshash.hub import manifest as manifest_module
from crosshash.hub import resolve as resolve_module
from crosshash.hub.checkpoint import CARD, files_of
from crosshash.hub.errors import CheckpointError
from crosshash.hub.manifest import (
    Manifest,
    file_entries,
    find_manifest,
    list_models,
    model_rows,
    read_manifest,
)

HASH = "0" * 64


def values(**changes: Any) -> dict[str, Any]:
    return {
        "name": "amgfh-toy-16",
        "method": "amgfh",
        "dataset": "toy",
        "bits": 16,
        "status": "local",
        "config": "amgfh/toy-16",
        "folder": "checkpoint",
        "files": {"config.json": {"sha256": HASH, "size": 1}},
        **changes,
    }


@pytest.fixture
def zoo(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A zoo with one local model."""
    manifest = Manifest.model_validate(values(files=file_entries(folder, files_of(folder))))
    (folder.parent / "amgfh-toy-16.yaml").write_text(manifest.dump())
    for module in (manifest_module, resolve_module):
        monkeypatch.setattr(module, "bundled", lambda _: folder.parent)
    return folder.parent


def test_every_manifest_is_whole() -> None:
    found = [manifest for manifest in list_models() if manifest.status != "recipe"]
    assert found
    for manifest in found:
        assert find_config(manifest.config)
        assert manifest.figures is not None
        if manifest.status == "local":
            folder = bundled("zoo") / str(manifest.folder)
            names = {p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file()}
            assert names == {*manifest.files, CARD}
            # The model of photographs has its image network with it.
            most = 18_000_000 if manifest.alias == "photos" else 2_000_000
            assert sum(p.stat().st_size for p in folder.rglob("*") if p.is_file()) < most
            for name, entry in manifest.files.items():
                assert sha256(folder / name) == entry.sha256


def test_every_config_of_one_length_is_a_recipe_or_more() -> None:
    names = {manifest.name for manifest in list_models()}
    configs = [p for p in bundled("configs").glob("*/*.yaml") if p.stem[-1].isdigit()]
    assert len(configs) > 20
    assert {f"{path.parent.name}-{path.stem}" for path in configs} <= names


def test_models_are_filtered() -> None:
    assert {m.method for m in list_models(method="hfah")} == {"hfah"}
    assert {m.dataset for m in list_models(dataset="wiki")} == {"wiki"}
    assert {m.status for m in list_models(status="recipe")} == {"recipe"}
    assert {m.name for m in list_models("hfah-wiki-*")} == {
        "hfah-wiki-16", "hfah-wiki-32", "hfah-wiki-64",
    }  # fmt: skip
    assert {m.bits for m in list_models("wiki-3")} == {32}
    assert list_models("nothing") == []


def test_models_stand_in_the_order_of_their_lengths() -> None:
    assert [m.bits for m in list_models("amgfh-wiki")] == [16, 32, 64]


def test_rows_have_what_was_measured_and_what_was_printed() -> None:
    rows = {row["name"]: row for row in model_rows(list_models())}
    assert rows["amgfh-shapes-64"]["status"] == "local"
    assert 0.8 < rows["amgfh-shapes-64"]["MAP i→t"] < 1
    assert rows["mdffh-mirflickr-64"]["status"] == "recipe"
    assert rows["mdffh-mirflickr-64"]["MAP i→t"] is None
    assert rows["mdffh-mirflickr-64"]["paper i→t"] == 0.7879


def test_an_unknown_name_has_the_nearest() -> None:
    with pytest.raises(LookupError, match=r"amgfh-shapes-64.*hf:organisation/name"):
        crosshash.load("amgfh-shape-64")


@pytest.mark.parametrize("name", ["../amgfh-shapes-64", "/etc/passwd", "amgfh-", "", "a/b"])
def test_a_name_that_is_a_path_to_nothing_is_unknown(name: str) -> None:
    with pytest.raises(LookupError, match="no model"):
        find_manifest(name)


@pytest.mark.parametrize(
    ("name", "command"),
    [
        ("mdffh-mirflickr-64", "crosshash train mdffh/mirflickr-64"),
        ("amgfh-flickr8k-64-adv", "crosshash train amgfh/flickr8k-64-adv"),
    ],
)
def test_a_recipe_says_how_to_train_it(name: str, command: str) -> None:
    with pytest.raises(LookupError, match=f"{command}`"):
        crosshash.load(name)


def test_a_local_model_is_loaded(zoo: Path) -> None:
    assert crosshash.load("amgfh-toy-16").bits == 16
    with pytest.raises(ValueError, match="no revision"):
        crosshash.load("amgfh-toy-16", revision="main")
    with pytest.raises(ValueError, match="no revision"):
        crosshash.load(zoo / "checkpoint", revision="main")


def test_a_changed_file_is_refused(zoo: Path) -> None:
    (zoo / "checkpoint" / "vocabulary.json").write_text('["other"]')
    with pytest.raises(CheckpointError, match=r"vocabulary\.json.*expected \d+ bytes"):
        crosshash.load("amgfh-toy-16")
    (zoo / "checkpoint" / "vocabulary.json").unlink()
    with pytest.raises(CheckpointError, match=r"vocabulary\.json.*missing"):
        crosshash.load("amgfh-toy-16")


def test_a_file_of_the_same_size_is_refused_too(zoo: Path) -> None:
    path = zoo / "checkpoint" / "vocabulary.json"
    path.write_text(path.read_text().replace("red", "rad"))
    with pytest.raises(CheckpointError, match="SHA-256"):
        crosshash.load("amgfh-toy-16")


def test_a_manifest_goes_there_and_back(tmp_path: Path) -> None:
    manifest = Manifest.model_validate(
        values(
            status="published",
            repository="org/model",
            revision="a" * 40,
            figures={"map_i2t": 0.5, "map_t2i": 0.4, "protocol": "p", "seed": 0, "command": "c"},
        )
    )
    (tmp_path / "x.yaml").write_text(manifest.dump())
    assert read_manifest(tmp_path / "x.yaml") == manifest


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"nam": 1}, "nam"),
        ({"bits": 7}, "bits"),
        ({"name": "other"}, "amgfh-toy-16"),
        ({"folder": "../up"}, "no name of a file"),
        ({"folder": None}, "folder"),
        ({"files": {"../x": {"sha256": HASH, "size": 1}}}, "no name of a file"),
        ({"files": {"*": {"sha256": HASH, "size": 1}}}, "letters, digits"),
        ({"files": {"x": {"sha256": "0", "size": 1}}}, "sha256"),
        ({"files": {"x": {"sha256": HASH, "size": -1}}}, "size"),
        ({"status": "published"}, "repository, revision"),
        ({"status": "published", "repository": "org/m", "revision": "main"}, "revision"),
        ({"repository": "../../x"}, "repository"),
        ({"status": "gone"}, "status"),
    ],
)
def test_a_manifest_that_says_nonsense_is_refused(
    tmp_path: Path, changes: dict[str, Any], said: str
) -> None:
    import yaml

    path = tmp_path / "m.yaml"
    path.write_text(yaml.safe_dump(values(**changes)))
    with pytest.raises(ValueError, match=said) as caught:
        read_manifest(path)
    assert "m.yaml" in str(caught.value)
