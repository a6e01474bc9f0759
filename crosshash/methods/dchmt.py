"""DCHMT: Differentiable Cross-modal Hashing via Multimodal Transformers.

Tu et al., ACM MM 2022, https://doi.org/10.1145/3503161.3548187

The numbers of its equations were not checked, and none is quoted.
"""

from __future__ import annotations

import torch
from torch import Tensor

from crosshash.algorithms.code_bank import batch_labels, require_labels
from crosshash.algorithms.phases import Algorithm, BatchPhase, Phase, Terms, Update
from crosshash.methods.build import METHODS
from crosshash.model.batch import Batch
from crosshash.model.two_towers import TwoTowers
from crosshash.similarity import label_similarity

# The network is TwoTowers; the paper's trains CLIP's ViT-B/32 and its text transformer, each with a
# layer of 128 and the selection below.

# Loss


def selection_distance(U: Tensor, V: Tensor) -> Tensor:
    """Squared Euclidean distance of the paper's selections, (n, m) in [0, 2k].

    The paper's hash layer has two outputs for each bit and takes the softmax of the two; the
    greater one says which value the bit has. With u in (-1, 1), the tanh of half of their
    difference, the two are (1 + u) / 2 and (1 - u) / 2: selecting is a tanh layer of one output
    for each bit, and the selections of two items are |u_i - v_j|^2 / 2 apart.

    Args:
        U: (n, k) in (-1, 1).
        V: (m, k) in (-1, 1).
    """
    squares = U.square().sum(dim=1)[:, None] + V.square().sum(dim=1)[None]
    return (squares / 2 - U @ V.T).clamp_min(0)


def margin_loss(U: Tensor, V: Tensor, S: Tensor, margin: float) -> Tensor:
    """Mean over all n m pairs of S d^2 + (1 - S) max(0, margin - d)^2, d the selections' distance.

    Args:
        U: (n, k) in (-1, 1).
        V: (m, k) in (-1, 1).
        S: (n, m) similarities in {0, 1}.
        margin: Distance beyond which strangers are far enough.
    """
    squared = selection_distance(U, V)
    # A root has no slope at 0, where an item meets itself.
    short = (margin - squared.clamp_min(1e-6).sqrt()).relu()
    return (S * squared + (1 - S) * short.square()).mean()


# Algorithm


@METHODS.register("dchmt")
class DCHMT(Algorithm):
    """Training of DCHMT: ``inter + intra`` on a batch.

    F, G (b, k) are the batch's codes after tanh (see :func:`selection_distance`), S_ij = 1 where
    pairs i and j share a label, and strangers are to be as far apart as codes that differ in the
    share ``vartheta`` of their bits: margin = (2 k vartheta)^1/2.

    - ``inter``: :func:`margin_loss` of (F, G).
    - ``intra``: that of (F, F) and of (G, G).

    There is no quantization term: selections tend to 0 and 1 by themselves.

    Args:
        net: The network.
        count: Training pairs; not used.
        classes: Label classes.
        vartheta: Share of different bits that is far enough; the authors' 0.5.
        intra: Weight of ``intra``; the authors' code has 1.

    Raises:
        ValueError: There are no labels; ``vartheta`` is not in (0, 1].
    """

    Network = TwoTowers
    net: TwoTowers

    def __init__(
        self,
        net: TwoTowers,
        count: int,
        classes: int,
        *,
        vartheta: float = 0.5,
        intra: float = 1.0,
    ) -> None:
        super().__init__()
        require_labels(classes)
        if not 0 < vartheta <= 1:
            raise ValueError(f"algorithm.vartheta is in (0, 1], got {vartheta}")
        self.net = net
        self.margin = (2 * net.bits * vartheta) ** 0.5
        self.weights = {"intra": intra}

    def phases(self) -> list[Phase]:
        """One pass over both modalities."""
        return [BatchPhase("hash", [Update(self.net.parameters(), self.loss, self.weights)])]

    def loss(self, batch: Batch) -> Terms:
        """Both terms, unweighted; one of weight 0 is not computed."""
        F, G = (codes.tanh() for codes in self.net(batch.images, batch.texts))
        labels = batch_labels(batch)
        S = label_similarity(labels, labels)
        terms = {"inter": margin_loss(F, G, S, self.margin)}
        if self.weights["intra"]:
            own = [margin_loss(codes, codes, S, self.margin) for codes in (F, G)]
            terms["intra"] = torch.stack(own).sum()
        return terms
