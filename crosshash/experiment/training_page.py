"""The page that a training leaves: its figures, its course, its codes, and what they find."""

from __future__ import annotations

import os
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from crosshash.codes import sign
from crosshash.experiment.evaluation import Encoded
from crosshash.experiment.run_record import RunRecord, is_measured
from crosshash.experiment.training_gallery import gallery_sections
from crosshash.reports.gallery import gallery_parts
from crosshash.reports.page import facts, figures, section, table, tiles, write_page
from crosshash.reports.plots import epochs_plot, loss_plot, ones_plot, precision_recall_plot
from crosshash.reports.tables import format_seconds, map_rows
from crosshash.retrieval.evaluate import Report
from crosshash.retrieval.health import CodeHealth, code_health
from crosshash.retrieval.neighbours import pair_recall, symmetric_scores
from crosshash.retrieval.record import training_words
from crosshash.training.files import PAGE

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from crosshash.experiment.run import Result

SWITCH = "CROSSHASH_PAGE"
I2T, T2I = "image → text", "text → image"
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
    curves = figures(_plots(result, record) + (_ones_plot(health) if health else []))
    parts = [
        tiles(_tiles(result, encoded)),
        section("The run", [facts(_facts(result, record))]),
        section("Figures", _tables(result.report)) if result.report else "",
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


def _tiles(result: Result, encoded: Encoded | None) -> list[tuple[str, str]]:
    """The figures of the top: MAP where labels tell it, else whether pairs find each other."""
    counts, report = result.protocol.counts(), result.report
    if report is not None:
        first = [
            (f"MAP {name}, chance {found.chance:.3f}", f"{found.map:.3f}")
            for name, found in ((I2T, report.i2t), (T2I, report.t2i))
        ]
    else:
        first = _recalls(encoded)
    return [
        *first,
        ("Codes", f"{result.config.bits} bits"),
        ("Queries", f"{counts['query']:,}"),
        ("Searched", f"{counts['retrieval']:,}"),
        ("Trained on", f"{result.training['pairs']:,}"),
    ]


def _recalls(encoded: Encoded | None) -> list[tuple[str, str]]:
    if encoded is None:
        return []
    images, texts = (sign(side[:_PAIRS]) for side in encoded.query)
    count = len(images)
    found = []
    for name, asked, searched in ((I2T, images, texts), (T2I, texts, images)):
        scores = symmetric_scores(asked, searched)
        ranks = [k for k in _RANKS if k < count]
        for k, recall in pair_recall(scores, np.arange(count), ranks).items() if ranks else ():
            told = f"Recall@{k} {name} among {count:,} pairs, chance {k / count:.3f}"
            found.append((told, f"{recall:.3f}"))
    return found


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


def _plots(result: Result, record: RunRecord) -> list[tuple[str, Figure]]:
    """Validation figures and losses after each epoch, and the ranking at the end."""
    plots = _validation_plots(result, record)
    report = result.report
    if report is not None:
        curves = {
            name: (found.by_rank.recall, found.by_rank.precision)
            for name, found in ((I2T, report.i2t), (T2I, report.t2i))
        }
        told = (
            "How many of the nearest are relevant, from the first hit (left) to all items (right)"
        )
        drawn = precision_recall_plot(
            curves, "Precision and recall by rank", chance=_chance(report)
        )
        plots.append((told, drawn))
    for history, which in ((result.history, ""), (result.refit, " of the second training")):
        plots += _loss_plots(history, record, which)
    return plots


def _validation_plots(result: Result, record: RunRecord) -> list[tuple[str, Figure]]:
    names = list(dict.fromkeys(n for line in result.history for n in line))
    names = [name for name in names if is_measured(name, record)]
    if {"map_i2t", "map_t2i"} <= set(names):  # their mean lies between them
        names.remove("map_mean")
    if not names:
        return []
    rows = [{k: v for k, v in line.items() if k in ("epoch", *names)} for line in result.history]
    values = [value for row in rows for key, value in row.items() if key != "epoch"]
    if not all(0 <= value <= 1 for value in values):
        told = "What was measured on pairs that were held out, after each epoch"
        return [(told, loss_plot(rows, "Validation by epoch"))]
    lines = {name: {"map_i2t": I2T, "map_t2i": T2I}.get(name, name) for name in names}
    maps = all(name.startswith("map_") for name in names)
    told = (
        "Mean average precision of pairs that were held out, after each epoch"
        if maps
        else "What was measured on pairs that were held out, after each epoch"
    )
    chance = None if result.report is None or not maps else _chance(result.report)
    title = "MAP by epoch" if maps else "Validation by epoch"
    return [(told, epochs_plot(rows, lines, title, chance=chance))]


def _loss_plots(
    history: Sequence[Mapping[str, float]], record: RunRecord, which: str
) -> list[tuple[str, Figure]]:
    """A plot for each phase of an epoch, as the losses of different phases have nothing in common.

    The name of a phase stands before its losses, as in ``image/likelihood``.
    """
    names = dict.fromkeys(n for line in history for n in line if n != "epoch")
    phases: dict[str, list[str]] = {}
    for name in names:
        if not is_measured(name, record):
            phases.setdefault(name.rpartition("/")[0], []).append(name)
    plots = []
    for phase, terms in phases.items():
        rows = [
            {"epoch": line["epoch"]}
            | {name.rpartition("/")[2]: line[name] for name in terms if name in line}
            for line in history
        ]
        of = f" of the phase {phase}" if phase else ""
        told = (
            f"What each part of the training{of} minimizes; losses of one epoch are not on one "
            "scale"
            if len(terms) > 1
            else f"What the training{of} minimizes: {terms[0].rpartition('/')[2]}"
        )
        title = f"Losses by epoch{which}{f': {phase}' if phase else ''}"
        plots.append((told, loss_plot(rows, title)))
    return plots


def _chance(report: Report) -> float:
    return (report.i2t.chance + report.t2i.chance) / 2


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
                "most alike": alike,
            }
        )
    return rows


def _ones_plot(health: Mapping[str, CodeHealth]) -> list[tuple[str, Figure]]:
    told = "How often each bit is +1: at one half it tells most, at 0 or 1 nothing"
    return [(told, ones_plot({name: found.ones for name, found in health.items()}))]
