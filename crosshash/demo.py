"""``crosshash demo``: the whole way on drawn scenes, from pixels and words to a search page."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from crosshash.codes import Packed, pack
from crosshash.config import ExperimentConfig, read_config
from crosshash.experiment.run import Result, train
from crosshash.reports.gallery import Hit, Item, Query, Section, write_gallery
from crosshash.reports.plots import epochs_plot, loss_plot, precision_recall_plot
from crosshash.reports.tables import map_table
from crosshash.retrieval.evaluate import Report
from crosshash.search.index import Index

if TYPE_CHECKING:
    from matplotlib.figure import Figure

CONFIG = "amgfh/shapes-64"
QUERIES, HITS, FAILURES = 6, 5, 2
_LEAD = (
    "A network that knew shapes from other scenes saw {train:,} drawn scenes with their captions, "
    "and learnt to give a scene and a text that tells of the same things codes of {bits} bits that "
    "differ in few of them. Each query below found its nearest among {retrieval:,} others by these "
    "codes alone."
)


@dataclass
class Summary:
    """What the demo made and measured."""

    map_i2t: float
    map_t2i: float
    chance_i2t: float
    chance_t2i: float
    checkpoint: str
    index: str
    page: str
    seconds: float

    def as_dict(self) -> dict[str, Any]:
        """JSON-able."""
        return asdict(self)

    def table(self) -> Any:
        """MAP in both directions beside chance, for the terminal."""
        return map_table(self.map_i2t, self.map_t2i, chance=(self.chance_i2t, self.chance_t2i))


def run_demo(
    output: str | Path, *, overrides: list[str] | None = None, progress: bool = True
) -> Summary:
    """Train AMGFH on ``shapes``, evaluate it, build an index, write a page.

    Args:
        output: Folder for the run, the index and ``index.html``; a run that is there is replaced.
        overrides: ``key=value`` over the bundled config.
        progress: Show progress bars.
    """
    began = time.monotonic()
    output = Path(output)
    config = read_config(CONFIG, overrides or [])
    result = train(config, output / "run", overwrite=True, progress=progress)
    images = build_index(result)
    images.save(output / "index")
    page = output / "index.html"
    report = result.report
    if report is None:
        raise ValueError("the demo needs a data set with labels")
    counts = result.protocol.counts()
    write_gallery(
        page,
        title="crosshash demo",
        lead=_LEAD.format(bits=config.bits, **counts),
        summary=_summary(report, counts, config),
        sections=_sections(result, images),
        plots=_plots(report, result),
    )
    return Summary(
        map_i2t=report.i2t.map,
        map_t2i=report.t2i.map,
        chance_i2t=report.i2t.chance,
        chance_t2i=report.t2i.chance,
        checkpoint=str(result.folder),
        index=str(output / "index"),
        page=str(page),
        seconds=round(time.monotonic() - began, 1),
    )


def build_index(result: Result) -> Index:
    """An index of the retrieval set's images."""
    retrieval = result.dataset.select(result.protocol.retrieval)
    index = Index.for_model(result.model, {"model": str(result.folder), "kind": "image"})
    index.add(result.model.encode_image(retrieval.images, progress=False), retrieval.ids)
    return index


def _sections(result: Result, images: Index) -> list[Section]:
    """Both directions for the first queries, and the texts that found least."""
    dataset, model, rows = result.dataset, result.model, result.protocol.query
    retrieval = dataset.select(result.protocol.retrieval)
    captions = retrieval.captions(result.captions)
    texts = Index(model.bits)
    texts.add(model.encode_text(captions, unknown="allow"), retrieval.ids)
    captions = dataset.select(rows).captions(result.captions)
    asked = model.encode_text(captions, output="real", unknown="allow")
    few, some = rows[:QUERIES], asked[:QUERIES]
    shown = model.encode_image(dataset.select(few).images, output="real", progress=False)
    first = f"The first {QUERIES} queries of the data set's split, none of them chosen."
    sections = [
        Section("Text → image", _found(result, few, some, images, text=True), first),
        Section("Image → text", _found(result, few, shown, texts, text=False), first),
    ]
    if dataset.labels is not None:
        least = _worst(result, asked, images)
        told = f"Of {len(rows)} texts, those that found fewest relevant images."
        found = _found(result, rows[least], asked[least], images, text=True)
        sections.append(Section("Where it fails", found, told))
    return sections


def _worst(result: Result, values: Any, images: Index) -> Any:
    """Places of the texts that found fewest relevant images, the first of these."""
    place = {item: number for number, item in enumerate(result.dataset.ids)}
    found = images.search(values, topk=HITS, rank="asymmetric").ids
    relevant = [
        sum(bool(_relevant(result, row, place[id_])) for id_ in ids)
        for row, ids in zip(result.protocol.query, found, strict=True)
    ]
    return np.argsort(relevant, kind="stable")[:FAILURES]


def _found(result: Result, rows: Any, values: Any, index: Index, *, text: bool) -> list[Query]:
    """Queries with their nearest items; ``text`` says that texts ask and images answer."""
    dataset = result.dataset
    place = {item: number for number, item in enumerate(dataset.ids)}
    found = index.search(values, topk=HITS, rank="asymmetric")
    queries = []
    for number, row in enumerate(rows):
        hits = [
            Hit(
                _item(result, place[id_], index.get(id_).code, image=text),
                int(distance),
                _relevant(result, row, place[id_]),
            )
            for id_, distance in zip(found.ids[number], found.distances[number], strict=True)
        ]
        asked = _item(result, row, pack(values[number : number + 1])[0], image=not text)
        queries.append(Query(asked, hits, index.bits))
    return queries


def _relevant(result: Result, row: int, other: int) -> bool | None:
    labels = result.dataset.labels
    return None if labels is None else bool((labels[row] & labels[other]).any())


def _item(result: Result, row: int, code: Packed, *, image: bool) -> Item:
    if image:
        return Item(result.dataset.images.open(row), code=code)  # type: ignore[union-attr]
    return Item(text=result.dataset.captions(result.captions)[row], code=code)


def _plots(report: Report, result: Result) -> list[tuple[str, Figure]]:
    """MAP after each epoch where pairs were held out for it, the ranking at the end, the losses."""
    names = {"map_i2t": "image → text", "map_t2i": "text → image"}
    chance = (report.i2t.chance + report.t2i.chance) / 2
    curves = {
        name: (figures.by_rank.recall, figures.by_rank.precision)
        for name, figures in (("image → text", report.i2t), ("text → image", report.t2i))
    }
    plots = [
        (
            "How many of the nearest are relevant, from the first hit (left) to all items (right)",
            precision_recall_plot(curves, "Precision and recall by rank", chance=chance),
        ),
        (
            "What each part of the training minimizes; losses of one epoch are not on one scale",
            loss_plot(_losses(result), "Losses by epoch"),
        ),
    ]
    if any(name in line for line in result.history for name in names):
        told = "Mean average precision of scenes that were held out, after each epoch"
        plots.insert(0, (told, epochs_plot(result.history, names, chance=chance)))
    return plots


def _losses(result: Result) -> list[dict[str, float]]:
    return [{k: v for k, v in line.items() if "map" not in k} for line in result.history]


def _summary(
    report: Report, counts: dict[str, int], config: ExperimentConfig
) -> list[tuple[str, str]]:
    return [
        (f"MAP image → text, chance {report.i2t.chance:.3f}", f"{report.i2t.map:.3f}"),
        (f"MAP text → image, chance {report.t2i.chance:.3f}", f"{report.t2i.map:.3f}"),
        ("Codes", f"{config.bits} bits"),
        ("Queries", str(counts["query"])),
        ("Searched", str(counts["retrieval"])),
        ("Trained on", str(counts["train"])),
    ]
