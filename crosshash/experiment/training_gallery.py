"""What a trained model finds for the first queries of its data set, for a page."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

from crosshash.codes import Packed, pack
from crosshash.data.dataset import PairedDataset
from crosshash.data.protocol import Protocol
from crosshash.experiment.evaluation import Encoded
from crosshash.reports.gallery import THUMBNAIL, Hit, Item, Query, Section
from crosshash.search.index import Index

QUERIES, HITS, FAILURES = 6, 5, 2
_MOST = 1000  # texts among which the worst are looked for
_FEATURES = {
    "image": "Pictures are not at hand, as the images are features: captions stand for them.",
    "text": "Words are not at hand, as the texts are features: pictures stand for them.",
}

Rows = npt.NDArray[np.int64]


def gallery_sections(
    dataset: PairedDataset, protocol: Protocol, encoded: Encoded, captions: str
) -> list[Section]:
    """Both directions for the first queries, and where labels tell it the texts that found least.

    Args:
        dataset: Has pictures, captions or both; without any there is nothing to show.
        protocol: Which of its pairs are queries and which are searched.
        encoded: These, by the model.
        captions: Which caption is a pair's text.
    """
    if dataset.image_kind == "features" and dataset.text_kind == "features":
        return []
    shown = _Shown(dataset, protocol, encoded, captions)
    few = range(min(QUERIES, len(protocol.query)))
    first = f"The first {len(few)} queries of the data set's split, none of them chosen."
    instead = shown.instead
    sections = [
        Section("Text → image", shown.queries(few, text=True), f"{first} {instead}".strip()),
        Section("Image → text", shown.queries(few, text=False), f"{first} {instead}".strip()),
    ]
    if dataset.labels is not None:
        told = f"Of {shown.asked} texts, those that found fewest relevant images."
        sections.append(Section("Where it fails", shown.queries(shown.worst(), text=True), told))
    return sections


class _Shown:
    """Queries and their hits as items that can be seen."""

    def __init__(
        self, dataset: PairedDataset, protocol: Protocol, encoded: Encoded, captions: str
    ) -> None:
        self.dataset, self.protocol, self.encoded = dataset, protocol, encoded
        self.captions = dataset.captions(captions) if dataset.text_kind == "captions" else None
        self.asked = min(_MOST, len(protocol.query))
        missing = [_FEATURES["image"]] if dataset.image_kind == "features" else []
        missing += [_FEATURES["text"]] if self.captions is None else []
        self.instead = " ".join(missing)
        self.indexes = []
        for codes in encoded.retrieval:
            index = Index(codes.shape[1] * 8)
            index.add(codes, map(str, range(len(codes))))
            self.indexes.append(index)

    def queries(self, places: Iterable[int], *, text: bool) -> list[Query]:
        """Those of the queries with their hits; ``text`` says that texts ask and images answer."""
        chosen = list(places)
        values = self.encoded.query[1 if text else 0][chosen]
        codes = self.encoded.retrieval[0 if text else 1]
        found, distances = self._search(values, text=text)
        queries = []
        for number, place in enumerate(chosen):
            row = int(self.protocol.query[place])
            hits = []
            for position, distance in zip(found[number], distances[number], strict=True):
                other = int(self.protocol.retrieval[position])
                item = self._item(other, codes[position], picture=text)
                hits.append(Hit(item, int(distance), self._relevant(row, other)))
            code = pack(values[number : number + 1])[0]
            asked = self._item(row, code, picture=not text)
            queries.append(Query(asked, hits, values.shape[1]))
        return queries

    def worst(self) -> list[int]:
        """Places of the texts that found fewest relevant images, the first of these."""
        found, _ = self._search(self.encoded.query[1][: self.asked], text=True)
        rows = self.protocol.query[: self.asked]
        relevant = [
            sum(bool(self._relevant(row, self.protocol.retrieval[place])) for place in places)
            for row, places in zip(rows, found, strict=True)
        ]
        return [int(place) for place in np.argsort(relevant, kind="stable")[:FAILURES]]

    def _search(self, values: npt.NDArray[np.float32], *, text: bool) -> tuple[Rows, Rows]:
        """Places (q, h) in the retrieval set of the nearest items, and their distances."""
        index = self.indexes[0 if text else 1]
        found = index.search(values, topk=min(HITS, len(index)), rank="asymmetric")
        places = np.array([[int(id_) for id_ in ids] for ids in found.ids])
        return places, found.distances.astype(np.int64)

    def _relevant(self, row: int, other: int) -> bool | None:
        labels = self.dataset.labels
        return None if labels is None else bool((labels[row] & labels[other]).any())

    def _item(self, row: int, code: Packed, *, picture: bool) -> Item:
        """One side of a pair; where it is features, the other side stands for it."""
        images = self.dataset.images
        if not isinstance(images, np.ndarray) and (picture or self.captions is None):
            image = images.open(row, size=(THUMBNAIL, THUMBNAIL))
            image.thumbnail((THUMBNAIL, THUMBNAIL))  # no more than one is held whole
            return Item(image, code=code)
        words = "" if self.captions is None else self.captions[row].strip()
        return Item(text=words or f"{self.dataset.ids[row]}, without a word", code=code)
