"""What a training starts from, before it does."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from crosshash.config import ExperimentConfig, read_config
from crosshash.data.features.cache import FeatureCache
from crosshash.experiment.assembly import assemble
from crosshash.experiment.run import Result, train

WORDS = ("red", "green", "blue")


def write_folder(folder: Path, *, labels: bool, pairs: int = 36) -> Path:
    """Pictures of three colours, each with a caption and perhaps its colour as a label."""
    folder.mkdir()
    draw = np.random.default_rng(0)
    lines = ["file_name,text,labels" if labels else "file_name,text"]
    for number in range(pairs):
        kind = number % 3
        pixels = draw.integers(0, 60, (32, 32, 3), dtype=np.uint8)
        pixels[..., kind] += 180
        Image.fromarray(pixels).save(folder / f"{number}.png")
        row = f"{number}.png,a {WORDS[kind]} picture"
        lines.append(f"{row},{WORDS[kind]}" if labels else row)
    (folder / "metadata.csv").write_text("\n".join(lines))
    return folder


def folder_config(method: str, root: Path) -> ExperimentConfig:
    spec = {"name": "test_resnet", "frozen": True, "options": {"weights": "random"}}
    slots = ("cnn", "vit") if method == "mdffh" else ("image",)
    return read_config(
        f"{method}/folder-64",
        {
            "data.root": str(root),
            "backbones": dict.fromkeys(slots, spec),
            "training": {"epochs": 1, "device": "cpu"},
        },
    )


def run(method: str, tmp_path: Path, *, labels: bool, progress: bool = False) -> Result:
    config = folder_config(method, write_folder(tmp_path / "photos", labels=labels))
    cache = FeatureCache(tmp_path / "cache")
    return train(config, tmp_path / "run", cache=cache, progress=progress)


def test_labels_in_ones_own_folder_are_used(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    result = run("amgfh", tmp_path, labels=True, progress=True)
    assert result.config.algorithm["similarity"] == "labels"
    assert result.config.algorithm["sim_loss"] == "likelihood"
    assert result.model.info.experiment["without_labels"] == {}
    assert result.report is not None
    assert "'photos' has labels of 3 classes: training uses them" in capsys.readouterr().err


def test_a_folder_without_labels_goes_by_its_features(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    result = run("amgfh", tmp_path, labels=False, progress=True)
    unsupervised = read_config("amgfh/flickr8k-64-unsupervised").algorithm
    assert result.config.algorithm == unsupervised
    assert result.report is None
    assert "no labels: training goes by the features" in capsys.readouterr().err


@pytest.mark.parametrize("method", ["mdffh", "dmsfh", "hfah"])
def test_every_method_has_a_recipe_for_a_folder_with_labels(method: str, tmp_path: Path) -> None:
    result = run(method, tmp_path, labels=True)
    assert result.report is not None
    assert result.model.method == method


@pytest.mark.filterwarnings("ignore:Initializing zero-element")
@pytest.mark.parametrize("method", ["mdffh", "dmsfh", "hfah"])
def test_a_method_that_learns_from_labels_says_that_there_are_none(
    method: str, tmp_path: Path
) -> None:
    with pytest.raises(
        ValueError, match=r"learns from labels, but .* has none.*cph, ucch, djsrh, or amgfh"
    ):
        run(method, tmp_path, labels=False)


def test_a_setting_of_ones_own_holds_without_labels_too(tmp_path: Path) -> None:
    root = write_folder(tmp_path / "photos", labels=False)
    spec = {"name": "test_resnet", "options": {"weights": "random"}}
    config = read_config(
        "amgfh/folder-64", {"data.root": str(root), "backbones": spec, "algorithm.sim": 7.0}
    )
    made = assemble(config)
    assert made.config.algorithm["sim"] == 7.0
    assert made.config.algorithm["similarity"] == "features"


@pytest.mark.parametrize(("pairs", "few"), [(4, True), (36, False)])
def test_fewer_pairs_than_words_are_said(tmp_path: Path, pairs: int, few: bool) -> None:
    root = write_folder(tmp_path / "photos", labels=False, pairs=pairs)
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        assemble(folder_config("amgfh", root))
    said = [str(warning.message) for warning in told if "vocabulary" in str(warning.message)]
    assert bool(said) == few
    if few:
        assert said[0].startswith("3 training pairs for a vocabulary of 4 words")
