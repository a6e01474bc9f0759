"""Probabilities of hits beside what was relevant: calibration error, and what nonsense finds.

CROSSHASH_DATA=… python benchmarks/calibration.py MODEL … [--bins WAY]

Each MODEL is a run, checkpoint or zoo model that carries a calibration. Errors are expected
calibration errors in 10 bins of equal width: on held-out pairs (fitted on half of them, measured on
the other half); on the queries over all that they search, and over the first 10 hits of each; and
on one half of the queries over the other half, items that no training has seen either. Then: hits
of a probability of 0.5, and of 0.9, or more among the first 10, by asymmetric distance, of the real
queries and of texts that say nothing: six random words of the vocabulary or, for features, vectors
of which each column is another query's. --bins also prints the bins of a direction by asymmetric
distance.
"""

from __future__ import annotations

import argparse
import warnings
from typing import Any

import numpy as np

import crosshash
from crosshash.config import parse_config
from crosshash.data.model_inputs import encode_pairs, prepare_inputs
from crosshash.experiment.assembly import read_data, spared
from crosshash.reports.tables import markdown_table
from crosshash.retrieval.calibration import WAYS, Calibration, calibration_of
from crosshash.retrieval.reliability import (
    calibration_error,
    distances_between,
    query_errors,
    share_label,
)

_FIRST, _NONSENSE = 10, 500
_LEAST = (0.5, 0.9)
Rows = list[dict[str, Any]]


class Measured:
    """A model with the codes of its queries and of what they search."""

    def __init__(self, name: str) -> None:
        self.name, self.model = name, crosshash.load(name)
        found = calibration_of(self.model)
        if found is None:
            raise SystemExit(f"{name} carries no calibration; train it with data.validation")
        self.calibration: Calibration = found
        self.tables = found.tables[str(self.model.bits)]
        config = parse_config(self.model.info.experiment, where=name)
        self.dataset, protocol = read_data(config)
        protocol = spared(config, protocol)
        inputs = prepare_inputs(
            self.model, self.dataset, captions=config.data.captions, progress=False
        )
        self.asked = self.dataset.select(protocol.query)
        self.query = encode_pairs(self.model, inputs.select(protocol.query), output="real")
        self.retrieval = encode_pairs(self.model, inputs.select(protocol.retrieval))
        self.labels = self.dataset.labels[protocol.query], self.dataset.labels[protocol.retrieval]

    def errors(self) -> Rows:
        """Of each direction and distance."""
        found = query_errors(self.tables, self.query, self.retrieval, self.labels)
        return [
            {
                "model": self.name,
                "direction": way,
                "distance": kind,
                "held-out": self.tables[way].held_out[kind],
                **{
                    f"{sort}{words}": ways[way][f"{kind}{first}"]
                    for sort, ways in found.items()
                    for words, first in (("", ""), (", first 10", "_first"))
                },
            }
            for way in WAYS
            for kind in ("hamming", "asymmetric")
        ]

    def likely(self, values: Any, way: str) -> tuple[np.ndarray, np.ndarray]:
        """Probabilities of the first hits (q, 10) and their positions."""
        items = self.retrieval[0 if way[2] == "i" else 1]
        places = distances_between(values, items).asymmetric
        first = np.argsort(places, axis=1, kind="stable")[:, :_FIRST]
        return self.tables[way].asymmetric.at(np.take_along_axis(places, first, axis=1)), first

    def nonsense(self) -> Any:
        """Real values of texts that say nothing."""
        rng = np.random.default_rng(0)
        if self.model.text.vocabulary is not None:
            words = np.array(sorted(self.model.text.vocabulary))
            texts = [" ".join(rng.choice(words, 6)) for _ in range(_NONSENSE)]
            return self.model.encode_text(texts, output="real", unknown="allow")
        columns = np.asarray(self.asked.texts).T
        mixed = np.stack([rng.choice(column, _NONSENSE) for column in columns], axis=1)
        return self.model.encode_text(mixed, output="real")

    def hits(self) -> Rows:
        """How many of the first hits are told at 0.5, and how many of them are relevant."""
        rows = []
        for way, title in (("t2i", "texts"), ("i2t", "images")):
            values = self.query[0 if way[0] == "i" else 1]
            told, first = self.likely(values, way)
            relevant = np.take_along_axis(share_label(*self.labels), first, axis=1)
            rows += self._hits(f"{title} of the queries", told, relevant)
        return rows + self._hits("nonsense texts", self.likely(self.nonsense(), "t2i")[0], None)

    def _hits(self, asked: str, told: np.ndarray, relevant: np.ndarray | None) -> Rows:
        rows = []
        for least in _LEAST:
            kept = told >= least
            known = relevant is not None and kept.any()
            rows.append(
                {
                    "model": self.name,
                    "asked": asked,
                    "at": str(least),
                    f"hits of {_FIRST}": float(kept.sum(axis=1).mean()),
                    "queries with none": float((~kept.any(axis=1)).mean()),
                    "mean probability": float(told[kept].mean()) if kept.any() else None,
                    "relevant": float(relevant[kept].mean()) if known else None,
                    f"of all {_FIRST}": None if relevant is None else float(relevant.mean()),
                }
            )
        return rows

    def bins(self, way: Any) -> Rows:
        """What was told and what was relevant, by asymmetric distance over all items."""
        asked, items = ("it".index(kind) for kind in (way[0], way[2]))
        places = distances_between(self.query[asked], self.retrieval[items]).asymmetric
        told, relevant = self.tables[way].asymmetric.at(places), share_label(*self.labels)
        place = np.minimum((told * 10).astype(int), 9)
        return [
            {
                "model": self.name,
                f"{way}, told": f"{number / 10:.1f}…{number / 10 + 0.1:.1f}",
                "share": float((place == number).mean()),
                "mean": float(told[place == number].mean()),
                "relevant": float(relevant[place == number].mean()),
                "error": calibration_error(told[place == number], relevant[place == number]),
            }
            for number in np.unique(place)
        ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("models", nargs="+", metavar="MODEL")
    parser.add_argument("--bins", choices=WAYS, help="print the bins of this direction")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    for name in options.models:
        found = Measured(name)
        made = found.calibration
        print(f"{name}: {made.items} held-out pairs, refit {made.refit}, by {made.relevance}\n")
        print(markdown_table(found.errors()))
        print(markdown_table(found.hits()))
        if options.bins:
            print(markdown_table(found.bins(options.bins)))


if __name__ == "__main__":
    main()
