"""The page that a training leaves: its figures, its course, its codes, and what they find."""

from __future__ import annotations

import os
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from crosshash.experiment.evaluation import Encoded
from crosshash.experiment.run_record import RunRecord
from crosshash.experiment.training_gallery import gallery_sections
from crosshash.experiment.training_plots import I2T, T2I, training_plots
from crosshash.reports.gallery import gallery_parts
from crosshash.reports.page import facts, figures, section, table, tiles, write_page
from crosshash.reports.tables import format_seconds, map_rows
from crosshash.retrieval.health import CodeHealth, code_health
from crosshash.retrieval.neighbours import partner_recall
from crosshash.retrieval.record import training_words
from crosshash.retrieval.report import Report
from crosshash.training.files import PAGE

if TYPE_CHECKING:
    from crosshash.experiment.run import Result

SWITCH = "CROSSHASH_PAGE"
_HEALTH = "Entropy is 1 for a bit at one half; bits that correlate say partly the same."
_PAIRS = 2000  # queries among which partners are looked for
_RANKS = (1, 10)


def page_wanted(page: bool | None) -> bool:
    """Whether a training draws its page: as it was told, else as ``CROSSHASH_PAGE`` says (0 or 1).

    Raises:
        ValueError: The variable has another value.
    """
    if page is not None:
        return page
    said = os.environ.get(SWITCH) or "1"
    if said not in ("0", "1"):
        raise ValueError(f"{SWITCH}={said}: expected 0, for no pages of trainings, or 1")
    return said == "1"


def draw_page(result: Result, encoded: Encoded | None, record: RunRecord) -> Path | None:
    """Write the page beside the checkpoint; where that fails, a warning says so, as a run is more.

    Returns:
        The file; None where it could not be drawn.
    """
    path = result.folder.parent / PAGE
    try:
        return write_training_page(path, result, encoded, record)
    except Exception as error:  # noqa: BLE001  (whatever it is, the checkpoint is there)
        warnings.warn(
            f"{path} could not be drawn ({type(error).__name__}: {error}); the training itself is "
            f"done, its model is {result.folder}",
            stacklevel=2,
        )
        return None


def write_training_page(
    path: str | Path,
    result: Result,
    encoded: Encoded | None,
    record: RunRecord,
    *,
    title: str | None = None,
    lead: str | None = None,
) -> Path:
    """Write the page of a training; the same arguments give the same bytes.

    Args:
        path: The HTML file.
        result: Of the training.
        encoded: Its queries and what they search; None where there are no queries.
        record: Of the run.
        title: Heading; default: what was trained on what.
        lead: Below it; default: the training in a sentence.

    Returns:
        ``path``.
    """
    health = _health(result.report, encoded)
    captions, protocol = result.captions, result.protocol
    shown = [] if encoded is None else gallery_sections(result.dataset, protocol, encoded, captions)
    recalls = [] if result.report is not None else _recalls(encoded)
    tables = _tables(result.report) if result.report else [table(recalls)] if recalls else []
    curves = figures(training_plots(result, record, health))
    parts = [
        tiles(_tiles(result, recalls)),
        section("The run", [facts(_facts(result, record))]),
        section("Figures", tables) if tables else "",
        section("Curves", [curves]) if curves else "",
        section("Codes of what is searched", [table(_health_rows(health))], [_HEALTH])
        if health
        else "",
        *gallery_parts(shown),
    ]
    name = f"{record.method.upper()} on {record.dataset}, {record.bits} bits"
    words = training_words(result.training)
    told = f"{words[0].upper()}{words[1:]}."
    return write_page(path, title or name, parts, lead=told if lead is None else lead)


def _tiles(result: Result, recalls: Sequence[Mapping[str, Any]]) -> list[tuple[str, Any]]:
    """The figures of the top: MAP where labels tell it, else whether pairs find each other."""
    counts, report = result.protocol.counts(), result.report
    if report is not None:
        first = [
            (f"MAP {name}, chance {found.chance:.3f}", f"{found.map:.3f}")
            for name, found in ((I2T, report.i2t), (T2I, report.t2i))
        ]
    else:
        first = [
            (f"Recall@{row['first']} {row['direction']}, chance {row['chance']:.3f}", row["recall"])
            for row in recalls
            if row["first"] == recalls[-1]["first"]
        ]
    return [
        *first,
        ("Codes", f"{result.config.bits} bits"),
        ("Queries", f"{counts['query']:,}"),
        ("Searched", f"{counts['retrieval']:,}"),
        ("Trained on", f"{result.training['pairs']:,}"),
    ]


def _recalls(encoded: Encoded | None) -> list[dict[str, Any]]:
    """How often a query's own partner is among the nearest of all queries, in both directions."""
    if encoded is None:
        return []
    images, texts = (side[:_PAIRS] for side in encoded.query)
    count = len(images)
    found = partner_recall(images, texts, _RANKS)
    return [
        {
            "direction": words,
            "among": f"{count:,} pairs",
            "first": k,
            "recall": found[f"{way}_r{k}"],
            "chance": k / count,
        }
        for way, words in (("i2t", I2T), ("t2i", T2I))
        for k in _RANKS
        if k < count
    ]


def _facts(result: Result, record: RunRecord) -> list[tuple[str, Any]]:
    config, dataset = result.config, result.dataset
    labels = "no labels" if dataset.labels is None else f"{dataset.labels.shape[1]} labels"
    told = {
        "Config": record.config or "an object in memory",
        "Settings over it": "\n".join(record.overrides),
        "Method": config.method,
        "Data": f"{dataset.name}, split {result.protocol.name}, {labels}",
        "Codes": " and ".join(f"{bits} bits" for bits in (*result.model.nested, config.bits)),
        "Images": ", ".join(f"{slot}: {part.name}" for slot, part in config.backbones.items()),
        "Texts": config.text.name,
        "Seed": str(config.seed),
        "Training": training_words(result.training),
        "Epochs": f"{len(result.history)} of at most {config.training.epochs}",
        "Time": f"{format_seconds(record.seconds)}, until this page was drawn",
    }
    return [(name, value) for name, value in told.items() if value]


def _tables(report: Report) -> list[str]:
    """MAP in all directions, and of the shorter lengths."""
    ways = (report.i2t, report.t2i, report.i2i, report.t2t)
    i2t, t2i, *within = (way.map for way in ways)
    other = report.learned
    rows = map_rows(
        i2t,
        t2i,
        (report.i2t.chance, report.t2i.chance),
        None if other is None else (other.i2t.map, other.t2i.map),
        (within[0], within[1]),
    )
    shorter = [
        {"bits": bits, I2T: found.i2t.map, T2I: found.t2i.map, "mean": found.map_mean}
        for bits, found in report.nested.items()
    ]
    return [table(rows), table(shorter)]


def _health(report: Report | None, encoded: Encoded | None) -> dict[str, CodeHealth]:
    if report is not None:
        return {"images": report.image_health, "texts": report.text_health}
    if encoded is None or not len(encoded.retrieval[0]):
        return {}
    return dict(zip(("images", "texts"), map(code_health, encoded.retrieval), strict=True))


def _health_rows(health: Mapping[str, CodeHealth]) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    for name, found in health.items():
        alike = "none"
        if found.most_alike is not None:
            first, second, value = found.most_alike
            alike = f"{first} and {second}, {value:+.2f}"
        rows.append(
            {
                "codes of": name,
                "different": f"{found.unique:,} of {found.items:,}",
                "share of +1": f"{found.ones.min():.2f} to {found.ones.max():.2f}",
                "constant bits": len(found.constant),
                "entropy of a bit": float(found.bit_entropy.mean()),
                "correlation of two bits": found.correlation,
                "most alike bits": alike,
            }
        )
    return rows
