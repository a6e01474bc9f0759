"""Codes measured on held-out pairs of vectors, beside closed forms and the vectors themselves."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from crosshash.backbones import create_text_encoder
from crosshash.codes import pack
from crosshash.data.dataset import FeatureArray, PairedDataset
from crosshash.data.model_inputs import prepare_inputs
from crosshash.methods.build import METHODS, build_model
from crosshash.model.hash_model import HashModel
from crosshash.retrieval.metrics import mean_average_precision
from crosshash.retrieval.neighbours import (
    cosine_scores,
    neighbour_recall,
    pair_recall,
    partner_recall,
)
from crosshash.settings import TrainerSettings
from crosshash.training.trainer import Trainer

Rows = npt.NDArray[np.int64]
RANKS = (1, 10, 100)
# Title, method and options of its algorithm.
BASELINES: tuple[tuple[str, str, dict[str, Any]], ...] = (
    ("signs", "sign", {"centred": False}),
    ("centred signs", "sign", {}),
    ("ITQ", "itq", {}),
    ("CCA-ITQ", "cca_itq", {}),
)
_COLUMNS = {
    "t2i_r1": "text → image R@1",
    "t2i_r10": "text → image R@10",
    "t2i_r10_asymmetric": "text → image R@10 asymmetric",
    "i2t_r1": "image → text R@1",
    "i2t_r10": "image → text R@10",
    "i2t_r10_asymmetric": "image → text R@10 asymmetric",
    **{f"neighbours_{k}": f"neighbours @{k}" for k in RANKS},
    "map_mean": "MAP",
}


class HeldOut:
    """Figures of a model on held-out pairs; as ``validate`` of a training, those of an epoch.

    - ``t2i_r1``, ``t2i_r10``, ``i2t_…``: share of the pairs' first texts that have their own image
      among the 1 or 10 nearest of all held-out images by Hamming distance, and of images with their
      first text; ``…_asymmetric``: nearest by the inner product of the query's real-valued outputs
      with stored signs; ``…_real``: by the cosine of real-valued outputs of both.
    - ``neighbours_k``: share of the k nearest held-out vectors of the same kind, by cosine, that
      the k nearest codes hold; mean of both kinds.
    - ``map_mean``: with labels, MAP of the held-out pairs over all others, mean of both directions.
    - ``score``: what chooses the epoch: ``map_mean`` with labels, else the mean of ``t2i_r10`` and
      ``i2t_r10``, or ``neighbours_10`` where there is one kind of vector.

    Args:
        dataset: Vectors of both kinds.
        rows: (h,) the held-out pairs.
        searched: (r,) the pairs in which MAP looks for shared labels; None: no MAP.
        shared: There is one kind of vector, given as both.
    """

    def __init__(
        self,
        dataset: PairedDataset,
        rows: Rows,
        searched: Rows | None = None,
        *,
        shared: bool = False,
    ) -> None:
        self.pairs = dataset.select(rows)
        self.images, self.texts = vectors_of(self.pairs)
        self.others: PairedDataset | None = None
        if searched is not None and dataset.labels is not None:
            self.others = dataset.select(searched)
        self.shared = shared
        self.ranks = [k for k in RANKS if k < len(rows)]

    def __call__(self, model: Any) -> dict[str, float]:
        """All figures that there are."""
        F, G = self._outputs(model, self.pairs)
        kinds = [(F, self.images), (G, self.texts)][: 1 if self.shared else 2]
        found = [neighbour_recall(pack(codes), x, ks=self.ranks) for codes, x in kinds]
        figures = {
            f"neighbours_{k}": float(np.mean([recall[k] for recall in found])) for k in self.ranks
        }
        if self.shared:
            figures["score"] = figures[f"neighbours_{min(10, self.ranks[-1])}"]
        else:
            figures |= partner_recall(F, G, [1, 10])
            for name, query, database in (("t2i", G, F), ("i2t", F, G)):
                figures |= _recalls(f"{name}_r{{}}_real", cosine_scores(query, database))
            figures["score"] = (figures["t2i_r10"] + figures["i2t_r10"]) / 2
        if self.others is not None:
            images, texts = self._outputs(model, self.others)
            labels = self.pairs.labels, self.others.labels
            directions = [(F, texts), (G, images)][: 1 if self.shared else 2]
            maps = [mean_average_precision(pack(q), pack(db), *labels) for q, db in directions]
            figures["score"] = figures["map_mean"] = float(np.mean(maps))
        return figures

    def _outputs(self, model: Any, pairs: PairedDataset) -> tuple[Any, Any]:
        F = model.encode_image(pairs.images, output="real", batch_size=1024, progress=False)
        if self.shared:
            return F, F
        return F, model.encode_text(pairs.texts, output="real", batch_size=1024)

    def vectors(self) -> dict[str, float]:
        """The same figures of the vectors themselves, as far as they can be compared."""
        figures = {f"neighbours_{k}": 1.0 for k in self.ranks}
        images, texts = self.images, self.texts
        if not self.shared and images.shape[1] == texts.shape[1]:
            figures |= _recalls("t2i_r{}", cosine_scores(texts, images))
            figures |= _recalls("i2t_r{}", cosine_scores(images, texts))
        return figures

    @staticmethod
    def row(title: str, figures: Mapping[str, float]) -> dict[str, Any]:
        """A row of the table: what the codes are, and their figures by column."""
        named = {column: figures[key] for key, column in _COLUMNS.items() if key in figures}
        return {"codes": title, **named}

    @staticmethod
    def real_row(title: str, figures: Mapping[str, float]) -> dict[str, Any]:
        """The row of a model's real-valued outputs, from the figures of its codes."""
        real = {key.removesuffix("_real"): v for key, v in figures.items() if key.endswith("_real")}
        return HeldOut.row(title, real)


def baselines(
    dataset: PairedDataset, rows: Rows, bits: int, *, shared: bool = False
) -> dict[str, HashModel]:
    """The closed forms of vectors, solved on some pairs, by their titles.

    Args:
        dataset: Vectors of both kinds; each text of a pair makes a pair.
        rows: (n,) the pairs.
        bits: K.
        shared: There is one kind of vector, given as both: CCA has nothing to correlate.
    """
    found = {}
    for title, method, options in BASELINES:
        if not (shared and method == "cca_itq"):
            found[title] = solved(method, dataset, rows, bits, **options)
    return found


def solved(method: str, dataset: PairedDataset, rows: Rows, bits: int, **options: Any) -> HashModel:
    """A closed form of vectors at unit length, solved on the texts of some pairs."""
    images, texts = vectors_of(dataset)
    torch.manual_seed(0)
    model = build_model(
        method,
        bits=bits,
        backbones={"image": {"name": "features", "dim": images.shape[1], "normalize": True}},
        text=create_text_encoder("features", dim=texts.shape[1], normalize=True),
        network={},
        frozen=("image", "text"),
    )
    pairs = prepare_inputs(model, dataset.select(rows), captions="each").every_text()
    classes = 0 if dataset.labels is None else dataset.labels.shape[1]
    algorithm = METHODS[method](model, len(pairs), classes, **options)
    settings = TrainerSettings(epochs=1, batch_size=4096, device="cpu")
    Trainer(algorithm, pairs, settings, progress=False).run()
    return model.eval()


def vectors_of(dataset: PairedDataset) -> tuple[FeatureArray, FeatureArray]:
    """Vectors (n, d) of the images and (n, e) of the first texts.

    Raises:
        ValueError: The data set has pictures or captions.
    """
    images, texts = dataset.images, dataset.texts
    if not (isinstance(images, np.ndarray) and isinstance(texts, np.ndarray)):
        raise ValueError(f"{dataset!r} is not of vectors; extract features first")
    return images, texts


def _recalls(name: str, scores: Any) -> dict[str, float]:
    found = pair_recall(scores, np.arange(len(scores)), [1, 10])
    return {name.format(k): value for k, value in found.items()}
