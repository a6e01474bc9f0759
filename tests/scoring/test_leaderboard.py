"""The leaderboard's file, and the table of conventions."""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from crosshash.data.dataset import PairedDataset
from crosshash.data.protocol import Protocol
from crosshash.retrieval import mean_average_precision
from crosshash.scoring import add_to_leaderboard, protocol_rows, score
from crosshash.scoring.leaderboard import COLUMNS, read_leaderboard
from crosshash.scoring.submission import Submission


def test_rows_are_added_and_replaced(
    submission: Submission, pairs: PairedDataset, split: Protocol, tmp_path: Path
) -> None:
    file, report = tmp_path / "board.csv", score(submission, pairs, split)
    assert not add_to_leaderboard(file, submission, report)
    assert not add_to_leaderboard(file, replace(submission, seed=4), report)
    other = replace(submission, name="theirs, with a comma", link="https://example.org")
    assert not add_to_leaderboard(file, other, report)
    worse = replace(submission, query_images=-submission.query_images, method="mended")
    measured = score(worse, pairs, split)
    assert add_to_leaderboard(file, worse, measured)
    with file.open(newline="") as lines:
        reader = csv.DictReader(lines)
        rows = list(reader)
    assert tuple(reader.fieldnames or ()) == COLUMNS
    assert [(row["name"], row["seed"], row["method"]) for row in rows] == [
        ("mine", "3", "mended"),
        ("mine", "4", "linear"),
        ("theirs, with a comma", "3", "linear"),
    ]
    assert float(rows[0]["map_i2t"]) == pytest.approx(measured.i2t.map, abs=1e-6)
    assert float(rows[1]["map_asymmetric_t2i"]) == pytest.approx(
        float(report.t2i.map_asymmetric or 0), abs=1e-6
    )
    assert rows[0]["split"] == split.digest(pairs.ids)
    assert not [name for name in COLUMNS if "date" in name or "time" in name]
    assert read_leaderboard(file) == rows


def test_learned_codes_do_not_take_the_place_of_encoded_ones(
    submission: Submission, pairs: PairedDataset, split: Protocol, tmp_path: Path
) -> None:
    file = tmp_path / "board.csv"
    for database in ("encoded", "learned"):
        one = replace(submission, database=database)
        assert not add_to_leaderboard(file, one, score(one, pairs, split))
    assert [row["database"] for row in read_leaderboard(file)] == ["encoded", "learned"]


def test_what_is_no_leaderboard_is_left_as_it_is(
    submission: Submission, pairs: PairedDataset, split: Protocol, tmp_path: Path
) -> None:
    file, report = tmp_path / "notes.csv", score(submission, pairs, split)
    for content, said in (
        (b"name,score\nmine,1\n", "its columns are name, score"),
        (",".join(COLUMNS).encode() + b"\nmine,linear\n", "line 2 has not 18 fields"),
        (b"\xff\xfe", "cannot be read as CSV"),
    ):
        file.write_bytes(content)
        with pytest.raises(ValueError, match=said):
            add_to_leaderboard(file, submission, report)
        assert file.read_bytes() == content
    with pytest.raises(ValueError, match="needs a name"):
        add_to_leaderboard(tmp_path / "new.csv", replace(submission, name=""), report)
    assert not (tmp_path / "new.csv").exists()


def test_conventions_are_those_that_they_are_called(
    submission: Submission, pairs: PairedDataset, split: Protocol
) -> None:
    assert pairs.labels is not None
    labels = pairs.labels[split.query], pairs.labels[split.retrieval]
    sides = submission.query, submission.retrieval
    rows = protocol_rows(*sides, *labels, ranks=(10, 20, 5000), sizes={"few": (20, 50)})
    by_name = {row["convention"]: row for row in rows}
    assert len(by_name) == len(rows)

    def plain(asked: int, given: int, **convention: object) -> float:
        return mean_average_precision(sides[0][asked], sides[1][given], *labels, **convention)  # type: ignore[arg-type]

    assert rows[0]["i2t"] == plain(0, 1)
    assert rows[0]["moved"] == 0
    one = by_name["@10, divided by retrieved, ties worst"]
    wanted = {"topk": 10, "denominator": "retrieved", "ties": "worst"}
    assert (one["i2t"], one["t2i"]) == (plain(0, 1, **wanted), plain(1, 0, **wanted))
    assert one["moved"] == pytest.approx(one["mean"] - rows[0]["mean"])
    assert by_name["over all, ties index"]["t2i"] == plain(1, 0, ties="index")
    assert "@20, divided by min, ties expected" in by_name
    assert not [
        name for name in by_name if name.startswith(("@5000", "@20, divided by min, ties b"))
    ]
    few = by_name["few: 20 queries, 50 searched"]
    draw, maps = np.random.default_rng(0), []
    for _ in range(5):
        q, n = np.sort(draw.permutation(30)[:20]), np.sort(draw.permutation(90)[:50])
        parts = sides[0][0][q], sides[1][1][n], labels[0][q], labels[1][n]
        maps.append(mean_average_precision(*parts))
    assert few["i2t"] == pytest.approx(np.mean(maps))
    assert "half of the searched pairs" in by_name


def test_sizes_that_are_not_at_hand_are_left_out(
    submission: Submission, pairs: PairedDataset, split: Protocol
) -> None:
    assert pairs.labels is not None
    labels = pairs.labels[split.query], pairs.labels[split.retrieval]
    rows = protocol_rows(submission.query, submission.retrieval, *labels)
    assert not [row for row in rows if "MIRFLICKR" in row["convention"]]
