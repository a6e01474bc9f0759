"""``crosshash demo``: the whole way on drawn scenes, from pixels and words to a search page."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from crosshash.experiment.evaluation import Encoded, encode_sets
from crosshash.experiment.run import Result, train
from crosshash.experiment.run_record import read_record
from crosshash.experiment.training_page import write_training_page
from crosshash.needs import needs
from crosshash.reports.tables import map_table
from crosshash.search.index import Index

CONFIG = "amgfh/shapes-64"
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

    Raises:
        ModuleNotFoundError: What it trains or draws with is not installed.
    """
    with needs("matplotlib", "the demo's page"):  # before minutes of training
        import matplotlib  # noqa: F401
    began = time.monotonic()
    output = Path(output)
    # Its own page has all that the one of the run would have.
    result = train(
        CONFIG,
        output / "run",
        overrides=overrides or [],
        overwrite=True,
        page=False,
        progress=progress,
    )
    report, record = result.report, read_record(output / "run")
    if report is None or record is None:
        raise ValueError("the demo needs a data set with labels")
    encoded = encode_sets(result.model, result.inputs, result.protocol)
    build_index(result, encoded).save(output / "index")
    lead = _LEAD.format(bits=result.config.bits, **result.protocol.counts())
    page = output / "index.html"
    write_training_page(page, result, encoded, record, title="crosshash demo", lead=lead)
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


def build_index(result: Result, encoded: Encoded) -> Index:
    """An index of the retrieval set's images, whose codes are there."""
    rows = result.protocol.retrieval
    index = Index.for_model(result.model, {"model": str(result.folder), "kind": "image"})
    index.add(encoded.retrieval[0], [result.dataset.ids[row] for row in rows])
    return index
