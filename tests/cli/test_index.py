"""The commands that look after an index: ``index compact``, ``index export``, ``index doctor``."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from crosshash.cli import app
from crosshash.search.doctor import set_reference
from crosshash.search.index import Index


def run(*arguments: object, code: int = 0) -> str:
    result = CliRunner().invoke(app, ["index", *map(str, arguments)])
    assert result.exit_code == code, result.output
    return result.stdout


def random(count: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (count, 2), dtype=np.uint8)


@pytest.fixture
def place(tmp_path: Path) -> Path:
    with Index.open(tmp_path / "index", 16) as index:
        index.add(random(3000, 0), range(3000))
        set_reference(index)
    return tmp_path / "index"


def test_compacting_builds_what_it_is_asked_for(tmp_path: Path) -> None:
    place = tmp_path / "index"  # structures are of 50,000 different codes or more
    with Index.open(place, 32) as index:
        index.add(np.random.default_rng(0).integers(0, 256, (51_000, 4), np.uint8), range(51_000))
    told = json.loads(run("compact", place, "--kind", "ivf", "lists=8", "--json"))
    assert told == {"index": str(place), "items": 51_000, "exact": False}
    told = json.loads(run("compact", place, "--kind", "flat", "--json"))
    assert told["exact"] is True
    with pytest.raises(ValueError, match="tree"):
        CliRunner().invoke(
            app, ["index", "compact", str(place), "--kind", "tree"], catch_exceptions=False
        )


def test_exporting_writes_all_items(place: Path, tmp_path: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet", reason="needs the extra parquet")
    path = tmp_path / "items.parquet"
    told = json.loads(run("export", place, "-o", path, "--form", "signs", "--json"))
    assert told == {"output": str(path), "items": 3000, "bits": 16}
    table = parquet.read_table(path)
    assert table["id"].to_pylist() == [str(n) for n in range(3000)]
    assert set(np.unique(table["code"][7].as_py())) <= {-1.0, 1.0}


def test_the_doctor_tells_drift_by_its_exit_code(place: Path) -> None:
    with Index.open(place) as index:
        index.add(random(2000, 1), range(3000, 5000))
    assert json.loads(run("doctor", place, "--json"))["drift"]["drifted"] is False
    with Index.open(place) as index:
        index.add(random(2000, 2) | np.uint8(3), range(5000, 7000))
    assert json.loads(run("doctor", place, "--json", code=1))["drift"]["drifted"] is True
    run("doctor", place, "--accept")
    assert json.loads(run("doctor", place, "--json"))["drift"] is None
