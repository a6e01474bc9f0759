"""DNPH: Deep Neighborhood-aware Proxy Hashing with uniform distribution constraint.

Huo et al., ACM TOMM 2024, https://doi.org/10.1145/3643639

The numbers of its equations were not checked, and none is quoted. (DNpH, "Deep
Neighborhood-preserving Hashing with Quadratic Spherical Mutual Information", is another method.)
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from crosshash.algorithms.code_bank import batch_labels, require_labels
from crosshash.algorithms.phases import Algorithm, BatchPhase, Phase, Terms, Update
from crosshash.losses.adversarial import random_codes
from crosshash.methods.build import METHODS
from crosshash.model.batch import Batch
from crosshash.model.two_towers import TwoTowers
from crosshash.similarity import cosine_similarity

# The network is TwoTowers; the paper's trains CLIP's ViT-B/32 and its text transformer, each with a
# linear hash layer.

# Losses


def neighborhood_loss(
    codes: Tensor, proxies: Tensor, labels: Tensor, *, margin: float, temperature: float
) -> Tensor:
    """Mean over the items of -sum over their labels of log p_c.

    p is the softmax over all proxies of minus the distances |u / |u| - p_c / |p_c||^2, to which
    ``margin`` is added for the item's own labels: these proxies have to be closer by as much.

    Args:
        codes: (n, k) real-valued codes.
        proxies: (c, k), one for each label.
        labels: (n, c) in {0, 1}.
        margin: Added to the squared distance of an item's own proxies.
        temperature: Divides the distances.
    """
    distance = 2 - 2 * cosine_similarity(codes, proxies) + margin * labels
    likelihood = (-distance / temperature).log_softmax(dim=1)
    return -(labels * likelihood).sum(dim=1).mean()


def label_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    """Mean over the items of the softmax cross-entropy of their labels, each in equal shares.

    The authors' code takes an item's first label for the only one, which depends on the order of
    the labels; equal shares are ours, and the same for items of one label.

    Args:
        logits: (n, c).
        labels: (n, c) in {0, 1}.
    """
    shares = labels / labels.sum(dim=1, keepdim=True).clamp_min(1)
    return -(shares * logits.log_softmax(dim=1)).sum(dim=1).mean()


def matched_signs(codes: Tensor, signs: Tensor) -> Tensor:
    """``signs`` in the order in which they are closest to ``codes`` as a whole, one for each item.

    The assignment of the largest sum of inner products, by the Hungarian algorithm. (The authors'
    sum distances, not squared; with rows of one length both orders are the best for the squares.)

    Args:
        codes: (n, k) real-valued codes; no gradient flows through the order.
        signs: (n, k) in {-1, +1}.
    """
    from scipy.optimize import linear_sum_assignment

    products = (codes.detach().float() @ signs.T.float()).cpu().numpy()
    _, order = linear_sum_assignment(products, maximize=True)
    return signs[torch.as_tensor(order, device=signs.device)]


# Algorithm


@METHODS.register("dnph")
class DNPH(Algorithm):
    """Training of DNPH: ``proxy + label + uniform``, with proxies that learn as well.

    F, G (b, k) are the batch's codes after tanh.

    - ``proxy``: :func:`neighborhood_loss` over all 2b codes, with one proxy for each label.
    - ``label``: :func:`label_entropy` of a linear layer on what feeds the hash layer, for both
      modalities.
    - ``uniform``: minus the mean over the items of u_i · s_i, for F and for G, where s are b
      uniform random codes in the order of :func:`matched_signs`: the codes of a batch are to be
      spread like random ones.

    Args:
        net: The network.
        count: Training pairs; not used.
        classes: Label classes.
        margin: Of ``proxy``; the authors' 1.
        temperature: Of ``proxy``; the authors' 1.
        label: Weight of ``label``; the authors' 1. 0 leaves it out.
        uniform: Weight of ``uniform``; the authors' 0.1. 0 leaves it out.

    Raises:
        ValueError: There are no labels; ``temperature`` is not above 0.
    """

    Network = TwoTowers
    net: TwoTowers

    def __init__(
        self,
        net: TwoTowers,
        count: int,
        classes: int,
        *,
        margin: float = 1.0,
        temperature: float = 1.0,
        label: float = 1.0,
        uniform: float = 0.1,
    ) -> None:
        super().__init__()
        require_labels(classes)
        if temperature <= 0:
            raise ValueError(f"algorithm.temperature is above 0, got {temperature}")
        self.net = net
        self.proxies = nn.Parameter(torch.randn(classes, net.bits))
        self.heads = nn.ModuleDict()
        if label:
            self.heads.update({m: nn.Linear(dim, classes) for m, dim in net.dims.items()})
        self.margin, self.temperature = margin, temperature
        self.weights = {"label": label, "uniform": uniform}

    def phases(self) -> list[Phase]:
        """One pass over both modalities."""
        trained = [*self.net.parameters(), *self.heads.parameters(), self.proxies]
        return [BatchPhase("hash", [Update(trained, self.loss, self.weights)])]

    def loss(self, batch: Batch) -> Terms:
        """All terms, unweighted; one of weight 0 is not computed."""
        image = self.net.image_vector(self.net.image_features(batch.images))
        text = self.net.text_vector(self.net.text_features(batch.texts))
        F, G = self.net.image_net["codes"](image).tanh(), self.net.text_net["codes"](text).tanh()
        labels = batch_labels(batch)
        both, twice = torch.cat([F, G]), torch.cat([labels, labels])
        proxy = neighborhood_loss(
            both, self.proxies, twice, margin=self.margin, temperature=self.temperature
        )
        terms = {"proxy": proxy}
        if self.heads:
            terms["label"] = label_entropy(self.heads["image"](image), labels) + label_entropy(
                self.heads["text"](text), labels
            )
        if self.weights["uniform"]:
            signs = random_codes(F.detach())
            products = [(codes * matched_signs(codes, signs)).sum(dim=1) for codes in (F, G)]
            terms["uniform"] = -torch.stack(products).mean(dim=1).sum()
        return terms
