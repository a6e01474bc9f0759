"""A leaderboard as a CSV file: one row for each name, split, length and seed."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import Any

from crosshash.files import atomic_file
from crosshash.retrieval.report import Report
from crosshash.scoring.submission import Submission
from crosshash.untrusted import read_bytes

# A row with the same values of these takes the place of an older one.
KEY = ("name", "data", "split", "database", "bits", "seed")
COLUMNS = (
    *("name", "method", "data", "protocol", "split", "database", "bits", "seed"),
    *("map_i2t", "map_t2i", "map_mean", "map_asymmetric_i2t", "map_asymmetric_t2i"),
    *("chance_i2t", "chance_t2i", "ties", "link", "version"),
)
_BYTES = 32 << 20


def leaderboard_row(submission: Submission, report: Report) -> dict[str, str]:
    """A row by its columns; figures with six digits, empty where there is none.

    Raises:
        ValueError: The submission has no name.
    """
    if not submission.name:
        raise ValueError("a row of a leaderboard needs a name; say it with --name")
    record = report.record
    values: dict[str, Any] = {
        "name": submission.name,
        "method": submission.method,
        "data": record.dataset,
        "protocol": record.protocol,
        "split": record.split,
        "database": record.database,
        "bits": record.bits,
        "seed": "" if submission.seed is None else submission.seed,
        "map_i2t": report.i2t.map,
        "map_t2i": report.t2i.map,
        "map_mean": report.map_mean,
        "map_asymmetric_i2t": report.i2t.map_asymmetric,
        "map_asymmetric_t2i": report.t2i.map_asymmetric,
        "chance_i2t": report.i2t.chance,
        "chance_t2i": report.t2i.chance,
        "ties": record.ties,
        "link": submission.link,
        "version": record.versions.get("crosshash", ""),
    }
    return {name: _written(values[name]) for name in COLUMNS}


def read_leaderboard(path: str | Path) -> list[dict[str, str]]:
    """The rows of a leaderboard; none where there is no file yet.

    Raises:
        ValueError: It is larger than 32 MB, no UTF-8, or has other columns.
    """
    place = Path(path)
    if not place.exists():
        return []
    try:
        text = read_bytes(place, _BYTES).decode("utf-8")
        reader = csv.DictReader(io.StringIO(text, newline=""), strict=True)
        rows = list(reader)
    except (UnicodeDecodeError, csv.Error) as error:
        raise ValueError(f"{place}: cannot be read as CSV ({error})") from None
    if tuple(reader.fieldnames or ()) != COLUMNS:
        raise ValueError(
            f"{place}: its columns are {', '.join(map(str, reader.fieldnames or ['none']))}; "
            f"expected {', '.join(COLUMNS)}. Name another file"
        )
    broken = [number for number, row in enumerate(rows, 2) if None in row or None in row.values()]
    if broken:
        raise ValueError(f"{place}: line {broken[0]} has not {len(COLUMNS)} fields")
    return rows


def add_to_leaderboard(path: str | Path, submission: Submission, report: Report) -> bool:
    """Append a row, or put it in the place of an older one of the same name, split and seed.

    Args:
        path: The CSV file; made where there is none, else replaced as a whole.
        submission: Has the name.
        report: Its figures, from :func:`~crosshash.scoring.score`.

    Returns:
        Whether it took the place of a row.

    Raises:
        ValueError: The submission has no name, or the file is no leaderboard.
    """
    row, rows = leaderboard_row(submission, report), read_leaderboard(path)
    places = [i for i, old in enumerate(rows) if all(old[name] == row[name] for name in KEY)]
    if places:
        rows[places[0]] = row
        rows = [old for i, old in enumerate(rows) if i not in places[1:]]
    else:
        rows.append(row)
    with atomic_file(path) as place, place.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    return bool(places)


def _written(value: Any) -> str:
    if value is None:
        return ""
    return f"{value:.6f}" if isinstance(value, float) else str(value)
