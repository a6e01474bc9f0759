"""A model of photographs and texts on flickr8k: pairs that find each other, and words never seen.

CROSSHASH_DATA=… python benchmarks/photos.py MODEL …

Each MODEL is a run, a checkpoint or a model of the zoo that reads photographs and texts. Measured
on the 1,000 query photographs, which no training has seen, at each of its lengths: R@k of a
photograph's first caption and the photograph itself among the 1,000, also before the signs; and
the first ten hits of the 40 queries in unseen_words.csv, whose words are in no caption of any
other photograph (this is checked). A hit counts if one of its five captions has a word of what is
meant. Texts are ranked by asymmetric distance. --words prints each query.
"""

from __future__ import annotations

import argparse
import csv
import re
import warnings
from pathlib import Path
from typing import Any

import numpy as np

import crosshash
from crosshash.data.features.cache import FeatureCache
from crosshash.reports.tables import markdown_table
from crosshash.retrieval.neighbours import (
    asymmetric_scores,
    cosine_scores,
    pair_recall,
    partner_recall,
)

_WORDS = Path(__file__).with_name("unseen_words.csv")
_FIRST, _LEAST = 10, 3
Rows = list[dict[str, Any]]


def unseen_words() -> dict[str, set[str]]:
    """What is meant by each query, as words of captions."""
    with _WORDS.open(encoding="utf-8", newline="") as file:
        return {row["query"]: set(row["meant"].split()) for row in csv.DictReader(file)}


def words_of(text: str) -> set[str]:
    """The words of a text, lower case."""
    return set(re.findall(r"[a-z]+", text.lower()))


def check_unseen(captions: list[str]) -> None:
    """Refuse queries all of whose words a caption may have taught."""
    seen = set().union(*map(words_of, captions))
    small = {"a", "in", "two"}
    known = {q: words_of(q) & seen - small for q in unseen_words() if " " not in q}
    if any(known.values()):
        raise SystemExit(f"seen in captions: {[q for q, words in known.items() if words]}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("models", nargs="+")
    parser.add_argument("--root", default="flickr8k")
    parser.add_argument("--words", action="store_true")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    dataset, protocol = crosshash.load_dataset("flickr8k", root=options.root)
    asked = dataset.select(protocol.query)
    others = dataset.select(np.setdiff1d(np.arange(len(dataset)), protocol.query))
    check_unseen([caption for group in others.texts for caption in group])
    said = [set().union(*map(words_of, group)) for group in asked.texts]
    meant = unseen_words()
    relevant = np.array([[bool(words & has) for has in said] for words in meant.values()])
    pairs: Rows = []
    unseen: Rows = []
    single: dict[str, dict[str, Any]] = {
        query: {"query": query, "relevant of 1,000": int(row.sum())}
        for query, row in zip(meant, relevant, strict=True)
    }
    for name in options.models:
        model = crosshash.load(name)
        images = model.encode_image(
            asked.images, output="real", cache=FeatureCache(), progress=False
        )
        texts = model.encode_text(asked.captions("first"), output="real", unknown="allow")
        queries = model.encode_text(list(meant), output="real", unknown="allow")
        for bits in model.lengths:
            title = f"{name}, {bits} bits"
            found = partner_recall(images[:, :bits], texts[:, :bits])
            real = cosine_scores(texts[:, :bits], images[:, :bits])
            before = pair_recall(real, np.arange(len(real)), [10])[10]
            pairs.append({"codes": title, **found, "t2i_r10 before the signs": before})
            scores = asymmetric_scores(queries[:, :bits], images[:, :bits])
            first = np.argsort(-scores, axis=1, kind="stable")[:, :_FIRST]
            hits = np.take_along_axis(relevant, first, axis=1).sum(axis=1)
            unseen.append(
                {
                    "codes": title,
                    f"relevant of the first {_FIRST}": hits.mean() / _FIRST,
                    "by chance": relevant.mean(),
                    f"queries with {_LEAST} or more": f"{(hits >= _LEAST).sum()} of {len(hits)}",
                }
            )
            for query, count in zip(meant, hits, strict=True):
                single[query][f"{bits} bits" if len(options.models) == 1 else title] = int(count)
    print(markdown_table(pairs))
    print()
    print(markdown_table(unseen))
    if options.words:
        print()
        print(markdown_table(list(single.values())))


if __name__ == "__main__":
    main()
