"""What tests of several commands share."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from crosshash.cli import main

Fail = Callable[..., str]


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    folder = tmp_path / "pictures"
    folder.mkdir()
    for number in range(5):
        Image.new("RGB", (32, 32), (50 * number, 100, 10)).save(folder / f"{number}.png")
    return folder


@pytest.fixture
def fail(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Fail:
    """Call the program with input that it refuses; gives what it says."""

    def call(*arguments: object) -> str:
        monkeypatch.setattr(sys, "argv", ["crosshash", *map(str, arguments)])
        with pytest.raises(SystemExit) as end:
            main()
        error = capsys.readouterr().err
        assert end.value.code == 2, error
        assert error.startswith("crosshash: ")
        assert error.count("\n") == 1, error
        return error

    return call
