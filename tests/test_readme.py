"""What the README shows runs as it stands there."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

README = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")


def test_the_first_lines_of_code_load_a_model_and_search(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    code = re.findall(r"```python\n(.*?)```", README, re.DOTALL)[0]
    exec(compile(code, "README.md", "exec"), {})
    assert "scene-" in capsys.readouterr().out


def test_the_first_lines_of_code_find_what_they_ask_for(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    code = re.findall(r"```python\n(.*?)```", README, re.DOTALL)[0]
    names: dict[str, Any] = {}
    exec(compile(code, "README.md", "exec"), names)
    dataset, index, model = names["dataset"], names["index"], names["model"]
    labels = dataset.labels[:, [dataset.label_names.index(name) for name in ("star", "night")]]
    rows = [dataset.ids.index(id_) for id_ in names["found"].ids[0]]
    assert labels.all(axis=1).sum() == 2  # of 200 pictures; one of them comes first
    assert labels[rows[0]].all()
    assert labels[rows].any(axis=1).all()
    # And not this text alone: 0.32 of all pairs share a label.
    values = model.encode_text(dataset.captions("first"), output="real", unknown="allow")
    found = index.search(values, topk=5, rank="asymmetric").ids
    rows = np.array([[dataset.ids.index(id_) for id_ in ids] for ids in found])
    relevant = (dataset.labels[:, None] & dataset.labels[rows]).any(axis=2)
    assert relevant.mean() > 0.85


def test_the_lines_that_train_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    code = re.findall(r"```python\n(.*?)```", README, re.DOTALL)[1]
    names: dict[str, Any] = {}
    exec(compile(f"import crosshash\n{code}", "README.md", "exec"), names)
    assert names["result"].codes()["query"].images.shape[1] == 4


def test_every_command_in_the_table_exists() -> None:
    from typer.main import get_command

    from crosshash.cli import app

    commands = set(get_command(app).commands)  # type: ignore[attr-defined]
    assert set(re.findall(r"^\| `crosshash (\w+)", README, re.MULTILINE)) == commands


def test_every_config_in_the_readme_is_bundled() -> None:
    from crosshash.config import find_config

    names = re.findall(r"(?:amgfh|mdffh|dmsfh|hfah|lpdh)/[\w-]+", README)
    assert names
    for name in names:
        assert find_config(name)
