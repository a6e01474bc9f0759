"""A half-done training goes on with what it began with, and alone in its folder."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import crosshash
from crosshash.config import ExperimentConfig, parse_config
from crosshash.data.dataset import PairedDataset
from crosshash.data.protocol import Protocol
from crosshash.experiment.assembly import assemble
from crosshash.experiment.identity import data_identity, training_identity
from crosshash.experiment.run import train
from crosshash.training.files import LOCK

PAIRS = 40


def config(**more: Any) -> ExperimentConfig:
    return parse_config(
        {
            "method": "dcmh",
            "bits": 8,
            "backbones": "features",
            "data": {"name": "features", "validation": 0},
            "network": {"image_hidden": [8], "text_hidden": [8]},
            "training": {"epochs": 2, "batch_size": 8, "device": "cpu"},
            **more,
        }
    )


def data(seed: int = 0, words: str = "red green blue") -> tuple[PairedDataset, Protocol]:
    rng = np.random.default_rng(seed)
    labels = np.eye(3, dtype=np.uint8)[np.arange(PAIRS) % 3]
    names = words.split()
    texts = [f"{names[int(row.argmax())]} thing" for row in labels]
    images = (labels @ rng.normal(size=(3, 5)) + rng.normal(size=(PAIRS, 5))).astype(np.float32)
    pairs = PairedDataset(
        name="toy",
        ids=[str(i) for i in range(PAIRS)],
        images=images,
        texts=texts,
        labels=labels,
    )
    rows = np.arange(PAIRS)
    return pairs, Protocol("toy", query=rows[:10], retrieval=rows[10:], train=rows[10:])


def half_done(folder: Path, **given: Any) -> None:
    train(config(), folder, progress=False, **{"data": data(), **given})
    shutil.rmtree(folder / "checkpoint")  # as if it had been killed before the end


def moved(split: Protocol) -> Protocol:
    rows = np.arange(PAIRS)
    return Protocol(split.name, query=rows[:10], retrieval=rows[10:], train=rows[10:][::-1])


@pytest.mark.parametrize(
    ("other", "named"),
    [
        (lambda: data(seed=1), "images"),
        (lambda: data(words="rot green blue"), "texts.*vocabulary"),
        (lambda: (data()[0], moved(data()[1])), "split"),
    ],
)
def test_it_does_not_go_on_with_other_data(tmp_path: Path, other: Any, named: str) -> None:
    half_done(tmp_path)
    with pytest.raises(ValueError, match=f"other settings.*{named}"):
        train(config(), tmp_path, data=other(), resume=True, progress=False)


def test_it_does_not_go_on_without_the_model_it_started_from(tmp_path: Path) -> None:
    first = train(config(seed=5), tmp_path / "first", data=data(), progress=False).folder
    other = train(config(seed=6), tmp_path / "other", data=data(), progress=False).folder
    half_done(tmp_path / "run", start=first)
    for start in (None, other):
        with pytest.raises(ValueError, match="start model"):
            train(config(), tmp_path / "run", data=data(), start=start, resume=True, progress=False)
    train(config(), tmp_path / "run", data=data(), start=first, resume=True, progress=False)


def test_the_same_is_the_same_and_each_part_counts() -> None:
    def identity(pairs: PairedDataset, split: Protocol) -> dict[str, Any]:
        made = assemble(config(), data=(pairs, split))
        return {**training_identity(made), **data_identity(pairs)}

    first = identity(*data())
    assert first == identity(*data())
    assert set(first) == {
        "start model",
        "backbone image",
        "vocabulary",
        "split",
        "images",
        "texts",
        "labels",
    }
    pairs, split = data()
    labels = pairs.labels[::-1].copy()
    again = PairedDataset(
        name="toy", ids=pairs.ids, images=pairs.images, texts=pairs.texts, labels=labels
    )
    changed = identity(again, split)
    assert [key for key in first if first[key] != changed[key]] == ["labels"]


def test_pictures_are_known_by_their_contents(tmp_path: Path) -> None:
    few = {"n": 30, "size": 32, "query": 5, "train": 20}
    pairs, _ = crosshash.load_dataset("shapes", **few)
    first = data_identity(pairs)
    pictures = [pairs.images[row] for row in range(len(pairs))]
    pictures[-1] = pictures[0]
    other = PairedDataset(
        name=pairs.name, ids=pairs.ids, images=pictures, texts=pairs.texts, labels=pairs.labels
    )
    changed = data_identity(other)
    assert [key for key in first if first[key] != changed[key]] == ["images"]


HOLD = """
import sys, time
from pathlib import Path
from crosshash.experiment.run_folder import running_in
with running_in(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(600)
"""


def test_of_two_trainings_in_one_folder_the_second_is_refused(tmp_path: Path) -> None:
    root = Path(crosshash.__file__).parents[1]
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path / "run")],
        stdout=subprocess.PIPE,
        env={"PYTHONPATH": str(root)},
    )
    try:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        with pytest.raises(FileExistsError, match=r"another process is training.*choose another"):
            train(config(), tmp_path / "run", data=data(), progress=False)
    finally:
        holder.kill()
        holder.communicate()
    train(config(), tmp_path / "run", data=data(), progress=False)  # who is dead holds nothing


def test_a_folder_named_checkpoint_that_is_none_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "checkpoint").mkdir()
    (tmp_path / "checkpoint" / "thesis.tex").write_text("years")
    for overwrite in (False, True):
        with pytest.raises(FileExistsError, match=r"thesis\.tex"):
            train(config(), tmp_path, data=data(), overwrite=overwrite, progress=False)
    assert [path.name for path in tmp_path.rglob("*")] == ["checkpoint", "thesis.tex"]
    assert LOCK not in [path.name for path in tmp_path.iterdir()]


def test_a_figure_to_select_by_that_is_none_is_refused_before_training(tmp_path: Path) -> None:
    settings = config(data={"name": "features", "validation": 8})
    with pytest.raises(ValueError, match="monitor is 'accuracy', but validation gives"):
        train(
            settings,
            tmp_path / "run",
            data=data(),
            overrides={"training.monitor": "accuracy"},
            progress=False,
        )
    assert not (tmp_path / "run").exists()
