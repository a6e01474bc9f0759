"""A leaderboard as a CSV file: one row for each name, split, length and seed."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping
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
    told = {name: getattr(submission, name) for name in ("name", "method", "seed", "link")}
    return figures_row(report.as_dict(), **told)


def figures_row(
    figures: Mapping[str, Any], *, name: str, method: str, seed: int | None, link: str = ""
) -> dict[str, str]:
    """A row of figures as :meth:`~crosshash.retrieval.report.Report.as_dict` gives them.

    What they lack, as those of a record of before may, stays empty.
    """
    record = figures["record"]
    values = {
        **record,
        **{"name": name, "method": method, "seed": seed, "link": link},
        "data": record.get("dataset"),
        "map_mean": figures.get("map_mean"),
        "version": record.get("versions", {}).get("crosshash"),
    }
    for way in ("i2t", "t2i"):
        for figure in ("map", "map_asymmetric", "chance"):
            values[f"{figure}_{way}"] = figures[way].get(figure)
    return {column: _written(values.get(column)) for column in COLUMNS}


def leaderboard_csv(rows: Iterable[Mapping[str, str]]) -> str:
    """Rows as the text of a leaderboard's file."""
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return buffer.getvalue()


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
    with atomic_file(path) as place:
        place.write_bytes(leaderboard_csv(rows).encode())
    return bool(places)


def _written(value: Any) -> str:
    if value is None:
        return ""
    return f"{value:.6f}" if isinstance(value, float) else str(value)
