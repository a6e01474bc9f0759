"""What a few texts of a data set find, to be set beside what they find by other methods."""

from __future__ import annotations

import io
import warnings
from collections.abc import Callable

import numpy as np
import numpy.typing as npt
from PIL import Image as PILImage

from crosshash.codes import hamming, pack
from crosshash.data.dataset import PairedDataset
from crosshash.data.protocol import Protocol
from crosshash.experiment.bench.kept import FoundImage, TextQuery
from crosshash.images import CorruptImageError, ImageSource

QUERIES, FOUND = 4, 5
_SIDE, _QUALITY = 112, 80  # of a thumbnail: pixels of its longer side, and as JPEG

Real = npt.NDArray[np.float32]


def text_queries(
    dataset: PairedDataset,
    protocol: Protocol,
    texts: Real,
    images: Real,
    *,
    captions: str,
    compared: str,
    asked: npt.NDArray[np.bool_],
    keep: Callable[[bytes], str],
) -> list[TextQuery]:
    """The first images of a few texts, by Hamming distance; none where there is nothing to see.

    Args:
        dataset: The pairs; with features in place of pictures or captions nothing is shown.
        protocol: Which are queries and which are searched.
        texts: (q, k) real-valued outputs of the queries' texts.
        images: (n, k) of the searched images.
        captions: Which caption is a pair's text.
        compared: Digest of queries and searched pairs, hexadecimal, which chooses among the
            queries: the same ones for all runs whose figures may be compared.
        asked: (q,) whether a query has anything relevant; others are not chosen.
        keep: Stores a thumbnail and gives its name.
    """
    pictures = dataset.images
    if isinstance(pictures, np.ndarray) or dataset.text_kind != "captions":
        return []
    labels, words = dataset.labels, dataset.captions(captions)
    found = []
    for place in _chosen(np.flatnonzero(asked), compared):
        row = int(protocol.query[place])
        distances = hamming(pack(texts[place : place + 1]), pack(images))[0]
        hits = []
        for nearest in np.argsort(distances, kind="stable")[:FOUND]:
            other = int(protocol.retrieval[nearest])
            hits.append(
                FoundImage(
                    id=dataset.ids[other],
                    distance=int(distances[nearest]),
                    relevant=labels is not None and bool((labels[row] & labels[other]).any()),
                    picture=_thumbnail(pictures, other, keep),
                )
            )
        found.append(TextQuery(id=dataset.ids[row], text=words[row], found=hits))
    return found


def _chosen(places: npt.NDArray[np.int64], digest: str) -> list[int]:
    """A few of the places, in order, by a digest alone."""
    # From random(), whose stream NumPy does not change between releases.
    draws = np.random.default_rng(int(digest, 16)).random(len(places))
    return sorted(places[np.argsort(draws, kind="stable")[:QUERIES]].tolist())


def _thumbnail(pictures: ImageSource, row: int, keep: Callable[[bytes], str]) -> str:
    """The name of a picture's thumbnail; empty where it cannot be read."""
    try:
        small = pictures.open(row, size=(_SIDE, _SIDE))
    except (OSError, CorruptImageError) as error:  # as features were kept, it was not needed
        warnings.warn(f"{pictures.name(row)}: shown without its picture ({error})", stacklevel=2)
        return ""
    small.thumbnail((_SIDE, _SIDE), PILImage.Resampling.LANCZOS)
    buffer = io.BytesIO()
    small.save(buffer, "JPEG", quality=_QUALITY, optimize=True)
    return keep(buffer.getvalue())
