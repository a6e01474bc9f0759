"""DSPH: Deep Semantic-aware Proxy Hashing for multi-label cross-modal retrieval.

Huo et al., IEEE TCSVT 2023, https://ieeexplore.ieee.org/document/10149001

Its loss is that of HyP2 (Xu et al., ACM MM 2022, https://arxiv.org/abs/2208.06866), for two
modalities. The numbers of its equations were not checked, and none is quoted.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from crosshash.algorithms.code_bank import batch_labels, require_labels
from crosshash.algorithms.phases import Algorithm, BatchPhase, Phase, Terms, Update
from crosshash.methods.build import METHODS
from crosshash.model.batch import Batch
from crosshash.model.two_towers import TwoTowers
from crosshash.similarity import cosine_similarity, label_similarity

# The network is TwoTowers; the paper's trains CLIP's ViT-B/32 and its text transformer, each with a
# linear hash layer.

# Loss


def proxy_loss(codes: Tensor, proxies: Tensor, labels: Tensor, threshold: float) -> Tensor:
    """Items close to the proxies of their labels, and not too close to the others'.

    Mean of 1 - cos(u_i, p_c) over the labels that hold, plus mean of max(0, cos(u_i, p_c) -
    ``threshold``) over those that do not.

    Args:
        codes: (n, k) real-valued codes.
        proxies: (c, k), one for each label.
        labels: (n, c) in {0, 1}.
        threshold: Cosine above which strangers are pushed away.
    """
    cosine = cosine_similarity(codes, proxies)
    far = (cosine - threshold).relu()
    return _mean_where(labels, 1 - cosine) + _mean_where(1 - labels, far)


def stranger_loss(U: Tensor, V: Tensor, labels: Tensor, threshold: float) -> Tensor:
    """Items without a common label are not too close, among those of several labels.

    Mean of max(0, cos(u_i, v_j) - ``threshold``) over the pairs (i, j) that share no label and of
    which each item has two or more; 0 where there is none. Proxies alone cannot tell such pairs
    apart (Xu et al. 2022).

    Args:
        U: (n, k) real-valued codes.
        V: (n, k) real-valued codes of the same pairs.
        labels: (n, c) in {0, 1}.
        threshold: Cosine above which strangers are pushed away.
    """
    several = labels.sum(dim=1) > 1
    labels = labels[several]
    far = (cosine_similarity(U[several], V[several]) - threshold).relu()
    return _mean_where(1 - label_similarity(labels, labels), far)


def _mean_where(mask: Tensor, values: Tensor) -> Tensor:
    return (mask * values).sum() / mask.sum().clamp_min(1)


def code_threshold(bits: int, classes: int) -> float:
    """The cosine that two of ``classes`` codes of ``bits`` bits need not exceed.

    1 - 2 d / bits, d being the largest distance that Griesmer's bound allows to a linear code of
    2^m >= ``classes`` words: the sum of ceil(d / 2^i) over i < m is at most ``bits``. The paper
    looks d up in a table of codes; the bound is ours, and a table may have a smaller d.

    Raises:
        ValueError: There are fewer codes than classes.
    """
    words = max(1, math.ceil(math.log2(classes)))
    if words > bits:
        raise ValueError(
            f"{bits} bits have {2**bits} codes, fewer than the {classes} labels; take {words} bits "
            "or more, or set algorithm.threshold"
        )
    distance = max(
        d for d in range(1, bits + 1) if sum(-(-d // 2**i) for i in range(words)) <= bits
    )
    return 1 - 2 * distance / bits


# Algorithm


@METHODS.register("dsph")
class DSPH(Algorithm):
    """Training of DSPH: ``proxy + alpha stranger`` on a batch, with proxies that learn as well.

    F, G (b, k) are the batch's codes after tanh.

    - ``proxy``: :func:`proxy_loss` of F plus that of G, with one proxy for each label.
    - ``stranger``: :func:`stranger_loss` of (F, F), (G, G) and (F, G).

    The authors give the proxies an optimiser of their own (SGD at 0.02); ours is the network's.

    Args:
        net: The network.
        count: Training pairs; not used.
        classes: Label classes.
        alpha: Weight of ``stranger``; the authors' 0.8. 0 leaves it out.
        threshold: Cosine above which strangers are pushed away; None: :func:`code_threshold`.

    Raises:
        ValueError: There are no labels.
    """

    Network = TwoTowers
    net: TwoTowers

    def __init__(
        self,
        net: TwoTowers,
        count: int,
        classes: int,
        *,
        alpha: float = 0.8,
        threshold: float | None = None,
    ) -> None:
        super().__init__()
        require_labels(classes)
        self.net = net
        self.proxies = nn.Parameter(torch.randn(classes, net.bits))
        self.threshold = code_threshold(net.bits, classes) if threshold is None else threshold
        self.weights = {"stranger": alpha}

    def phases(self) -> list[Phase]:
        """One pass over both modalities."""
        trained = [*self.net.parameters(), self.proxies]
        return [BatchPhase("hash", [Update(trained, self.loss, self.weights)])]

    def loss(self, batch: Batch) -> Terms:
        """Both terms, unweighted; one of weight 0 is not computed."""
        F, G = (codes.tanh() for codes in self.net(batch.images, batch.texts))
        labels = batch_labels(batch)
        terms = {
            "proxy": proxy_loss(F, self.proxies, labels, self.threshold)
            + proxy_loss(G, self.proxies, labels, self.threshold)
        }
        if self.weights["stranger"]:
            terms["stranger"] = torch.stack(
                [stranger_loss(U, V, labels, self.threshold) for U, V in ((F, F), (G, G), (F, G))]
            ).sum()
        return terms
