"""MAP of one set of codes by the field's conventions: how far it moves when no code changes.

A model of the zoo is evaluated; a config is trained first, and has the figures of its learned codes
too, where its method learns some.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import crosshash
from crosshash.config import override_config, parse_config
from crosshash.experiment.assembly import read_data
from crosshash.experiment.evaluation import encode_sets, evaluate
from crosshash.retrieval.report import Report
from crosshash.scoring import protocol_rows, read_submission


def of_model(name: str, overrides: Sequence[str]) -> list[dict[str, Any]]:
    """Rows of a model of the zoo, by way of the file that ``crosshash score`` reads."""
    model = crosshash.load(name)
    config = parse_config(model.info.experiment, where=name)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "codes.npz"
        evaluate(name, overrides=list(overrides), codes=file, progress=False)
        codes = read_submission(file)
    dataset, protocol = read_data(override_config(config, list(overrides)))
    assert dataset.labels is not None
    labels = dataset.labels[protocol.query], dataset.labels[protocol.retrieval]
    return protocol_rows(codes.query, codes.retrieval, *labels)


def of_config(name: str, overrides: Sequence[str]) -> list[dict[str, Any]]:
    """Rows of a config that is trained, and of the codes learned for its training pairs."""
    with tempfile.TemporaryDirectory() as folder:
        asked = ["evaluation.database=both", "evaluation.topk=[50]", *overrides]
        result = crosshash.train(name, folder, overrides=asked, progress=False)
        found = encode_sets(result.model, result.inputs, result.protocol)
    labels = result.dataset.labels
    assert labels is not None
    sets = labels[result.protocol.query], labels[result.protocol.retrieval]
    rows = protocol_rows(found.query, found.retrieval, *sets)
    if result.report is not None and result.report.learned is not None:
        rows += learned_rows(result.report.learned, rows[0]["mean"])
    return rows


def learned_rows(report: Report, plain: float) -> list[dict[str, Any]]:
    """MAP over all and MAP@50 with learned codes, beside the mean with encoded ones."""
    rows = []
    for said, values in (
        ("over all, ties expected, database learned", [report.i2t.map, report.t2i.map]),
        (
            "@50, divided by retrieved, ties expected, database learned",
            [way.map_at[50]["retrieved"] for way in (report.i2t, report.t2i)],
        ),
    ):
        mean = sum(values) / 2
        row = {"convention": said, "i2t": values[0], "t2i": values[1]}
        rows.append({**row, "mean": mean, "moved": mean - plain})
    return rows


def chosen(words: Sequence[str]) -> list[tuple[str, list[str]]]:
    """Names, each with the settings that stand behind it."""
    found: list[tuple[str, list[str]]] = []
    for word in words:
        if "=" not in word:
            found.append((word, []))
        elif found:
            found[-1][1].append(word)
        else:
            raise SystemExit(f"{word}: a setting stands behind the name that it is for")
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "names",
        nargs="+",
        metavar="NAME [key=value …]",
        help="Models of the zoo or configs, each with settings over its experiment behind it.",
    )
    names = chosen(parser.parse_args().names)
    columns = [(of_config if "/" in name else of_model)(name, given) for name, given in names]
    print(f"| convention | {' | '.join(name for name, _ in names)} |")
    print("| --- |" + " --- |" * len(names))
    told = [{row["convention"]: row for row in rows} for rows in columns]
    for convention in dict.fromkeys(key for rows in told for key in rows):
        print(f"| {convention} | {' | '.join(cell(rows.get(convention)) for rows in told)} |")


def cell(row: dict[str, Any] | None) -> str:
    """Image→text / text→image, and how far the mean of both moved."""
    if row is None:
        return "—"
    return f"{row['i2t']:.3f} / {row['t2i']:.3f} ({row['moved']:+.3f})"


if __name__ == "__main__":
    main()
