"""``crosshash demo``: the whole way on drawn scenes, from pixels and words to a search page."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from crosshash.config import ExperimentConfig, read_config
from crosshash.experiment.run import Result, train
from crosshash.reports.gallery import Hit, Item, Query, Section, write_gallery
from crosshash.reports.plots import loss_plot, precision_recall_plot
from crosshash.reports.tables import map_table
from crosshash.retrieval.evaluate import Report
from crosshash.search.index import Index

CONFIG = "amgfh/shapes-64"
QUERIES, HITS = 6, 5


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
    curves = {
        name: (figures.by_rank.recall, figures.by_rank.precision)
        for name, figures in (("image → text", report.i2t), ("text → image", report.t2i))
    }
    write_gallery(
        page,
        title="crosshash demo",
        summary=_summary(report, result, config),
        sections=[_text_queries(result, images), _image_queries(result)],
        plots=[
            (
                "Precision and recall over the whole ranking",
                precision_recall_plot(
                    curves,
                    "Precision and recall by rank",
                    chance=(report.i2t.chance + report.t2i.chance) / 2,
                ),
            ),
            ("Losses of each epoch", loss_plot(_losses(result), "Losses by epoch")),
        ],
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


def _text_queries(result: Result, images: Index) -> Section:
    rows = result.protocol.query[:QUERIES]
    captions = result.dataset.captions(result.captions)
    asked = [captions[row] for row in rows]
    values = result.model.encode_text(asked, output="real", unknown="allow")
    return Section(
        "Text → image",
        [_query(result, row, values[n], images, text=True) for n, row in enumerate(rows)],
    )


def _image_queries(result: Result) -> Section:
    retrieval = result.dataset.select(result.protocol.retrieval)
    texts = Index(result.model.bits)
    captions = retrieval.captions(result.captions)
    texts.add(result.model.encode_text(captions, unknown="allow"), retrieval.ids)
    rows = result.protocol.query[:QUERIES]
    asked = result.dataset.select(rows).images
    values = result.model.encode_image(asked, output="real", progress=False)
    return Section(
        "Image → text",
        [_query(result, row, values[n], texts, text=False) for n, row in enumerate(rows)],
    )


def _query(
    result: Result, row: int, values: np.ndarray[Any, Any], index: Index, *, text: bool
) -> Query:
    """One query with its nearest items; ``text`` says that a text asks and images answer."""
    dataset = result.dataset
    place = {item: number for number, item in enumerate(dataset.ids)}
    found = index.search(values[None], topk=HITS, rank="asymmetric")
    hits = []
    for item, distance in zip(found.ids[0], found.distances[0], strict=True):
        other = place[item]
        hits.append(
            Hit(
                _item(result, other, image=text),
                int(distance),
                bool((dataset.labels[row] & dataset.labels[other]).any())
                if dataset.labels is not None
                else None,
            )
        )
    return Query(_item(result, row, image=not text), hits)


def _item(result: Result, row: int, *, image: bool) -> Item:
    if image:
        return Item(image=result.dataset.images.open(row), text=None)  # type: ignore[union-attr]
    return Item(image=None, text=result.dataset.captions(result.captions)[row])


def _losses(result: Result) -> list[dict[str, float]]:
    return [{k: v for k, v in line.items() if "map" not in k} for line in result.history]


def _summary(report: Report, result: Result, config: ExperimentConfig) -> list[tuple[str, str]]:
    counts = result.protocol.counts()
    return [
        ("MAP image → text", f"{report.i2t.map:.3f} (chance {report.i2t.chance:.3f})"),
        ("MAP text → image", f"{report.t2i.map:.3f} (chance {report.t2i.chance:.3f})"),
        ("Codes", f"{config.bits} bits"),
        ("Queries", str(counts["query"])),
        ("Searched", str(counts["retrieval"])),
        ("Trained on", str(counts["train"])),
    ]
