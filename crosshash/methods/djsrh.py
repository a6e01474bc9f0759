"""DJSRH: Deep Joint-Semantics Reconstructing Hashing, and JDSH's similarity and weights.

Su, Zhong & Zhang, ICCV 2019, "Deep Joint-Semantics Reconstructing Hashing for Large-Scale
Unsupervised Cross-Modal Retrieval"; Liu et al., SIGIR 2020, "Joint-modal Distribution-based
Similarity Hashing", https://doi.org/10.1145/3397271.3401086

The numbers of their equations were not checked, and none is quoted.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional

from crosshash.algorithms.phases import Algorithm, BatchPhase, Phase, Terms, Update
from crosshash.losses.cosine import cosine_regression
from crosshash.methods.build import METHODS
from crosshash.model.batch import Batch
from crosshash.model.two_towers import TwoTowers
from crosshash.similarity import cosine_similarity

# The network is TwoTowers. The papers': AlexNet through fc7 and a linear layer for images, trained
# as a whole; for texts a layer of 4096 with ReLU and a linear layer.

# Similarities of a batch


def joint_semantics(image: Tensor, text: Tensor, *, beta: float, eta: float) -> Tensor:
    """DJSRH's joint-semantics affinity: (1 - eta) S + eta S S^T / b, S the modalities' mixture.

    S = ``beta`` S_image + (1 - ``beta``) S_text; the second part compares whole neighbourhoods.

    Args:
        image: (b, b) similarities of the images, in [-1, 1].
        text: (b, b) similarities of the texts, in [-1, 1].
        beta: Share of the images.
        eta: Share of the second order.
    """
    mixed = beta * image + (1 - beta) * text
    return (1 - eta) * mixed + eta * mixed @ mixed.T / len(mixed)


def joint_distribution(image: Tensor, text: Tensor, *, beta: float, eta: float) -> Tensor:
    """JDSH's joint-modal similarity: the mixture, and cosines of whole rows across modalities.

    (1 - eta) (beta S_image + (1 - beta) S_text) + eta (C + C^T) / 2, where c_ij is the cosine of
    row i of S_image and row j of S_text. JDSH has three weights of sum 1; these two give any such.

    Args: as of :func:`joint_semantics`.
    """
    across = cosine_similarity(image, text)
    mixed = beta * image + (1 - beta) * text
    return (1 - eta) * mixed + eta * (across + across.T) / 2


def distribution_weights(
    S: Tensor, *, low: float, high: float, gain: tuple[float, float]
) -> Tensor:
    """JDSH's weights of similarities by their distribution: the clear ones are made clearer.

    With m the median of all s_ij (i != j) and l, r the root mean square distances from it of those
    below and above, s_ij below m - ``low`` l weigh 1 + gain_1 exp(min - s_ij), those above
    m + ``high`` r weigh 1 + gain_2 exp(s_ij - max), the others 1. JDSH takes place and width from a
    distribution fitted beforehand; median and root mean squares of the batch are ours.

    Args:
        S: (b, b) similarities.
        low: Widths below the median from which a pair is clearly unlike.
        high: Widths above the median from which a pair is clearly alike.
        gain: gain_1 and gain_2.

    Returns:
        (b, b), at least 1.
    """
    apart = S[~torch.eye(len(S), dtype=torch.bool, device=S.device)]
    middle = apart.median()
    off = S - middle
    left = (apart - middle).clamp_max(0).square().sum() / (apart < middle).sum().clamp_min(1)
    right = (apart - middle).clamp_min(0).square().sum() / (apart > middle).sum().clamp_min(1)
    unlike, alike = off < -low * left.sqrt(), off > high * right.sqrt()
    weights = torch.ones_like(S)
    weights = torch.where(unlike, 1 + gain[0] * (S.min() - S).exp(), weights)
    return torch.where(alike, 1 + gain[1] * (S - S.max()).exp(), weights)


# Algorithm


@METHODS.register("djsrh")
class DJSRH(Algorithm):
    """Training of DJSRH, without labels: ``inter + intra``, codes that rebuild given cosines.

    F, G (b, k) are the batch's codes after tanh(a x), a = (epoch + 1)^1/2 with epochs counted from
    0, so that they become signs by and by. T = ``mu`` S is the target of their cosines, S the joint
    similarity of the batch's features as they were before training.

    - ``inter``: mean of (cos(f_i, g_j) - T_ij)^2.
    - ``intra``: that of (f_i, f_j) plus that of (g_i, g_j).

    S_image and S_text are cosines of features. Those of the papers' features are never below 0, and
    their code stretches them to 2 cos - 1; ``centred`` takes the training set's mean off each
    feature before, and the cosines as they are, which is ours.

    ``similarity="jdsh"`` is JDSH: :func:`joint_distribution` times :func:`distribution_weights`,
    in place of :func:`joint_semantics`. (A later release of JDSH's code also takes the mean of
    cos(f_i, g_i) off the loss; that is left out.)

    Args:
        net: The network.
        count: Training pairs.
        classes: Label classes; not used.
        similarity: ``"djsrh"`` or ``"jdsh"``.
        centred: Whether cosines are of centred features.
        beta: Share of the images in S; DJSRH's 0.9 on MIRFLICKR, 0.6 on NUS-WIDE, 0.3 on wiki.
        eta: Share of the second order in S; DJSRH's 0.4.
        mu: Factor of S; DJSRH's 1.5.
        intra: Weight of ``intra``; DJSRH's 0.1, on wiki 0.3.
        low: JDSH's, see :func:`distribution_weights`.
        high: Likewise.
        gain: Likewise, of both sides.

    Raises:
        ValueError: ``beta`` or ``eta`` is not in [0, 1].
    """

    supervised = False
    Network = TwoTowers
    net: TwoTowers

    def __init__(
        self,
        net: TwoTowers,
        count: int,
        classes: int,
        *,
        similarity: Literal["djsrh", "jdsh"] = "djsrh",
        centred: bool = True,
        beta: float = 0.5,
        eta: float = 0.4,
        mu: float = 1.5,
        intra: float = 0.1,
        low: float = 2.0,
        high: float = 2.0,
        gain: float = 1.0,
    ) -> None:
        super().__init__()
        for name, value in (("beta", beta), ("eta", eta)):
            if not 0 <= value <= 1:
                raise ValueError(f"algorithm.{name} is in [0, 1], got {value}")
        self.net = net
        self.similarity, self.centred = similarity, centred
        self.beta, self.eta, self.mu = beta, eta, mu
        self.low, self.high, self.gain = low, high, gain
        self.steepness = 1.0
        self.weights = {"intra": intra}
        # As they are before training; begin makes them anew, so they are no part of the state.
        self._features: dict[str, Tensor] = {}

    def begin(self, batches: Iterable[Batch]) -> None:
        """Keep the features of the training set, each row of length 1."""
        found: dict[str, list[Tensor]] = {"image": [], "text": []}
        for batch in batches:
            image = self.net.image_features(batch.images)["image"]
            found["image"].append(image.pooled.float().cpu())
            found["text"].append(self.net.text_features(batch.texts).pooled.float().cpu())
        for modality, parts in found.items():
            rows = torch.cat(parts)
            if self.centred:
                rows = rows - rows.mean(dim=0)
            self._features[modality] = functional.normalize(rows, dim=1)

    def epoch_starts(self, epoch: int, epochs: int) -> None:
        """How steep tanh is in this epoch."""
        self.steepness = (epoch + 1) ** 0.5

    def phases(self) -> list[Phase]:
        """One pass over both modalities."""
        return [BatchPhase("hash", [Update(self.net.parameters(), self.loss, self.weights)])]

    def target(self, batch: Batch) -> Tensor:
        """T (b, b), the cosines that codes are to have."""
        own = []
        for modality in ("image", "text"):
            rows = self._features[modality][batch.index.cpu()].to(batch.index.device)
            cosine = rows @ rows.T
            own.append(cosine if self.centred else 2 * cosine - 1)
        if self.similarity == "djsrh":
            return self.mu * joint_semantics(*own, beta=self.beta, eta=self.eta)
        S = joint_distribution(*own, beta=self.beta, eta=self.eta)
        gain = (self.gain, self.gain)
        return self.mu * S * distribution_weights(S, low=self.low, high=self.high, gain=gain)

    def loss(self, batch: Batch) -> Terms:
        """Both terms, unweighted; one of weight 0 is not computed."""
        F, G = ((self.steepness * codes).tanh() for codes in self.net(batch.images, batch.texts))
        T = self.target(batch)
        terms = {"inter": cosine_regression(F, G, T)}
        if self.weights["intra"]:
            terms["intra"] = cosine_regression(F, F, T) + cosine_regression(G, G, T)
        return terms
