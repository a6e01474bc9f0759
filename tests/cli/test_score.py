"""``crosshash score``: from a template or a model to a row of a leaderboard."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from crosshash.cli import app
from crosshash.scoring.leaderboard import read_leaderboard

SHAPES = ("n=120", "seed=7")


def run(*arguments: object) -> str:
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert result.exit_code == 0, result.output
    return result.stdout


@pytest.fixture
def codes(tmp_path: Path) -> Path:
    file = tmp_path / "codes.npz"
    told = json.loads(run("score", "--template", "shapes", *SHAPES, "-o", file, "--json"))
    assert told["shapes"]["query_images"] == [16, 8]
    return file


def test_a_template_is_filled_in_and_scored(codes: Path, tmp_path: Path) -> None:
    parts = dict(np.load(codes))
    rows = np.random.default_rng(0).integers(0, 256, (104, 8), dtype=np.uint8)
    np.savez(codes, **{**parts, "retrieval_texts": rows, "name": "mine"})
    board = tmp_path / "board.csv"
    options = ("score", codes, *SHAPES, "--leaderboard", board)
    told = json.loads(run(*options, "--protocols", "--json"))
    assert told["counts"]["query"] == 16
    assert told["name"] == "mine"
    assert told["map_i2t"] == told["protocols"][0]["i2t"]
    assert "map_asymmetric_i2t" not in told
    shown = run(*options, "--name", "other")
    assert "a row added" in shown
    assert "a row replaced" in run(*options)
    assert [row["name"] for row in read_leaderboard(board)] == ["mine", "other"]
    assert "MAP, ties worst" in shown


def test_codes_of_a_model_are_written_and_scored(tmp_path: Path) -> None:
    file = tmp_path / "codes.npz"
    overrides = ("data.options.n=120", "data.options.seed=7")
    evaluated = run("evaluate", "dmsfh-shapes-64", *overrides, "--codes", file, "--json", "-q")
    ours, told = json.loads(evaluated), json.loads(run("score", file, *SHAPES, "--json", "-q"))
    assert (told["map_i2t"], told["map_t2i"]) == (ours["map_i2t"], ours["map_t2i"])
    assert told["map_asymmetric_i2t"] > told["chance_i2t"]
    assert (told["name"], told["split"]) == ("dmsfh-shapes-64", ours["split"])


def test_what_cannot_be_scored_is_told(
    codes: Path, tmp_path: Path, fail: Callable[..., str]
) -> None:
    assert "give the options of their split" in fail("score", codes, "n=130", "seed=7")
    assert "which codes?" in fail("score")
    assert "name it with --output" in fail("score", "--template", "shapes", *SHAPES)
    assert "are for --template" in fail("score", codes, "--bits", 8)
    assert "name it" in fail("score", "--template", "shapes", "n=30", "-o", tmp_path / "codes.npy")
    assert "multiple of 8" in fail("score", "--template", "shapes", "-o", codes, "--bits", 12)
    assert "no such file" in fail("score", tmp_path / "none.npz")
    assert "begins and ends" in fail("score", codes, *SHAPES, "--name", "=1+1")
