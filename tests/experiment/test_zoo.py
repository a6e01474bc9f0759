"""The zoo from its recipes: what is there is kept, what was killed goes on, what fails is told."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

import crosshash
from crosshash import config as config_module
from crosshash.algorithms.phases import Algorithm
from crosshash.data.dataset import PairedDataset
from crosshash.data.load import DATASETS
from crosshash.data.protocol import Protocol
from crosshash.experiment.zoo import build_zoo, copy_figures
from crosshash.hub import manifest as manifest_module
from crosshash.hub import resolve as resolve_module
from crosshash.hub.golden import has_golden
from crosshash.hub.manifest import read_manifest
from crosshash.retrieval import calibration_of


def toy(root: str, *, scale: float = 1.0) -> tuple[PairedDataset, Protocol]:
    rng = np.random.default_rng(0)
    labels = np.eye(3, dtype=np.uint8)[rng.integers(0, 3, 60)]
    images = (labels @ rng.normal(size=(3, 5)) + 0.1 * rng.normal(size=(60, 5))) * scale
    words = np.array(["a red circle", "a blue square", "grass"])
    dataset = PairedDataset(
        name="toy",
        ids=[str(row) for row in range(60)],
        images=images.astype(np.float32),
        texts=[[str(words[row.argmax()])] for row in labels],
        labels=labels,
        label_names=["a", "b", "c"],
    )
    rows = np.arange(60)
    return dataset, Protocol("toy/0", rows[:10], rows[10:], rows[10:])


def absent(root: str) -> tuple[PairedDataset, Protocol]:
    raise FileNotFoundError("absent: not found\nat no place")


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with configs of its own in place of the bundled ones."""
    base = {
        "method": "amgfh",
        "bits": 16,
        "backbones": {"image": "features"},
        "network": {"dim": 8, "hidden": [8], "width": 1},
        "algorithm": {"similarity": "labels", "guide_dim": 8, "reg": 0.0},
        "data": {"name": "toy"},
        "training": {"epochs": 2, "batch_size": 25, "device": "cpu"},
        "paper": {"map_i2t": 0.9, "map_t2i": 0.8},
    }
    folder = tmp_path / "configs" / "amgfh"
    (folder / "variants").mkdir(parents=True)
    configs: dict[str, dict[str, Any]] = {
        "toy-16": base,
        "toy-32": {"base": "toy-16.yaml", "bits": 32},
        "absent-16": {"base": "toy-16.yaml", "data": {"name": "absent"}},
        "broken-16": {"base": "toy-16.yaml", "network": {"dropout": "much"}},
        "variants/shy": {"training": {"learning_rate": 1e-4}},
    }
    for name, values in configs.items():
        (folder / f"{name}.yaml").write_text(yaml.safe_dump(values))
    (tmp_path / "zoo").mkdir()
    for module in (config_module, manifest_module, resolve_module):
        monkeypatch.setattr(module, "bundled", lambda kind: tmp_path / kind)
    DATASETS.names()
    monkeypatch.setitem(DATASETS._entries, "toy", toy)
    monkeypatch.setitem(DATASETS._entries, "absent", absent)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path


def states(**options: Any) -> dict[str, str]:
    return {o.name: o.state for o in build_zoo(progress=False, **options)}


def test_every_recipe_is_tried_and_the_good_ones_are_in_the_zoo(place: Path) -> None:
    told = []
    outcomes = build_zoo(progress=False, done=told.append)
    assert told == outcomes
    assert {o.name: o.state for o in outcomes} == {
        "amgfh-absent-16": "no data",
        "amgfh-broken-16": "failed",
        "amgfh-toy-16": "built",
        "amgfh-toy-32": "built",
    }
    rows = {row["name"]: row for row in (outcome.row() for outcome in outcomes)}
    assert rows["amgfh-absent-16"]["error"] == "absent: not found"
    assert "dropout" in (place / "runs/zoo/amgfh-broken-16/error.txt").read_text()
    manifest = read_manifest(place / "zoo" / "amgfh-toy-16.yaml")
    assert manifest.figures is not None
    assert rows["amgfh-toy-16"]["MAP i→t"] == manifest.figures.map_i2t
    assert manifest.paper == {"map_i2t": 0.9, "map_t2i": 0.8}
    assert manifest.figures.protocol == "toy/0"
    assert "golden.safetensors" in manifest.files


def test_a_built_model_keeps_its_calibration(place: Path) -> None:
    build_zoo(["amgfh/toy-16"], overrides=["data.validation=15"], progress=False)
    model = crosshash.load("amgfh-toy-16")
    found = calibration_of(model)
    assert found is not None
    assert found.items == 15
    assert model.info.figures["best_epoch"] in (1, 2)
    errors = crosshash.evaluate(model, progress=False).calibration_error
    assert model.info.figures["calibration_error"] == errors != {}


def test_a_built_model_is_loaded_by_name_and_has_the_figures_of_its_manifest(place: Path) -> None:
    build_zoo(["amgfh/toy-16"], progress=False)
    model = crosshash.load("amgfh-toy-16")
    report = crosshash.evaluate(model, progress=False)
    figures = read_manifest(place / "zoo" / "amgfh-toy-16.yaml").figures
    assert figures is not None
    assert round(report.i2t.map, 4) == figures.map_i2t
    assert round(report.t2i.map, 4) == figures.map_t2i
    assert model.info.figures["map_i2t"] == report.i2t.map


def test_what_is_built_is_left_unless_it_is_damaged(place: Path) -> None:
    assert states(names=["amgfh-toy-16"]) == {"amgfh-toy-16": "built"}
    path = place / "zoo/checkpoints/amgfh-toy-16/model.safetensors"
    before = path.stat().st_mtime_ns
    assert states(names=["amgfh-toy-*"]) == {"amgfh-toy-16": "present", "amgfh-toy-32": "built"}
    assert path.stat().st_mtime_ns == before
    assert states(names=["amgfh-toy-16"], again=True) == {"amgfh-toy-16": "built"}
    path.write_bytes(b"damaged")
    assert states(names=["amgfh-toy-16"]) == {"amgfh-toy-16": "built"}


def test_a_killed_build_goes_on_where_it_stopped(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = build_zoo(["amgfh-toy-16"], "other", runs="other-runs", progress=False)[0].manifest
    seen: list[int] = []

    def watched(self: Algorithm, epoch: int, epochs: int) -> None:
        seen.append(epoch)
        if seen == [0, 1]:
            raise KeyboardInterrupt

    monkeypatch.setattr(Algorithm, "epoch_starts", watched)
    with pytest.raises(KeyboardInterrupt):
        build_zoo(["amgfh-toy-16"], progress=False)
    assert states(names=["amgfh-toy-16"]) == {"amgfh-toy-16": "built"}
    assert seen == [0, 1, 1]
    resumed = read_manifest(place / "zoo" / "amgfh-toy-16.yaml")
    assert whole is not None
    assert resumed.files["model.safetensors"] == whole.files["model.safetensors"]
    assert not (place / "runs/zoo/amgfh-toy-16/state.pt").exists()


def test_a_variant_has_a_name_of_its_own(place: Path) -> None:
    assert states(names=["amgfh-toy-16-shy", "amgfh/toy-16-shy"]) == {"amgfh-toy-16-shy": "built"}
    manifest = read_manifest(place / "zoo" / "amgfh-toy-16-shy.yaml")
    assert (manifest.variant, manifest.config) == ("shy", "amgfh/toy-16-shy")
    assert has_golden(place / "zoo" / str(manifest.folder))


def test_weights_too_large_for_half_precision_are_kept_whole(place: Path) -> None:
    names, overrides = ["amgfh-toy-16"], ["network.standardize=[image]", "data.options.scale=9e3"]
    outcome = build_zoo(names, progress=False, overrides=overrides)[0]
    assert outcome.state == "built", outcome.error
    half = build_zoo(names, "half", runs="half-runs", progress=False)[0]
    assert outcome.manifest is not None
    assert half.manifest is not None
    large, small = (o.manifest.files["model.safetensors"].size for o in (outcome, half))
    assert large > 1.2 * small


@pytest.mark.parametrize("names", [["nothing-16"], ["amgfh-toy-16", "hfah-*"]])
def test_a_name_that_is_no_recipe_stops_before_anything_is_built(
    place: Path, names: list[str]
) -> None:
    with pytest.raises(LookupError, match="no model"):
        build_zoo(names, progress=False)
    assert list((place / "zoo").iterdir()) == []


def test_figures_are_kept_where_folders_are_not(place: Path) -> None:
    build_zoo(["amgfh-toy-16"], progress=False)
    before = (place / "zoo" / "amgfh-toy-16.yaml").read_text()
    built = build_zoo(["amgfh-toy-*"], "built", runs="built-runs", progress=False)
    copied = copy_figures("built", "zoo")
    assert [manifest.name for manifest in copied] == ["amgfh-toy-32"]  # the other is local already
    assert (place / "zoo" / "amgfh-toy-16.yaml").read_text() == before
    kept = read_manifest(place / "zoo" / "amgfh-toy-32.yaml")
    assert (kept.status, kept.folder, kept.files) == ("recipe", None, {})
    assert kept.figures is not None
    assert built[1].manifest is not None
    assert built[1].manifest.figures is not None
    assert kept.figures.map_i2t == built[1].manifest.figures.map_i2t
    assert kept.figures.command == f"crosshash zoo build {kept.name}"
    with pytest.raises(LookupError, match="crosshash train amgfh/toy-32"):
        crosshash.load("amgfh-toy-32")
    with pytest.raises(FileNotFoundError, match="no manifest"):
        copy_figures("nowhere", "zoo")
