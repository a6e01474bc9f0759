"""Similarities between items: shared labels, their probability, cosine, neighbourhoods."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional


def label_similarity(a: Tensor, b: Tensor) -> Tensor:
    """S_ij = 1 where items i and j share a label, else 0.

    Args:
        a: (n, c) labels in {0, 1}.
        b: (m, c) labels in {0, 1}.

    Returns:
        (n, m) of the default floating type, in {0, 1}.
    """
    return (a.float() @ b.float().T > 0).to(torch.get_default_dtype())


def posterior_similarity(a: Tensor, b: Tensor) -> Tensor:
    """Probability that two items share a label, given independent probabilities of their labels.

    1 - prod_c (1 - a_ic b_jc); of labels in {0, 1} it is :func:`label_similarity`.

    Args:
        a: (n, c) probabilities.
        b: (m, c) probabilities.

    Returns:
        (n, m) in [0, 1].
    """
    none = torch.ones(len(a), len(b), dtype=a.dtype, device=a.device)
    one = torch.ones((), dtype=a.dtype, device=a.device)
    for own, other in zip(a.T, b.T, strict=True):  # (n, m, c) would not fit in the cache
        none *= torch.addcmul(one, own[:, None], other[None], value=-1)
    return 1 - none


def cosine_similarity(a: Tensor, b: Tensor) -> Tensor:
    """Cosine between all rows: (n, d) and (m, d) to (n, m) in [-1, 1]; a zero row gives 0."""
    return functional.normalize(a.float(), dim=1) @ functional.normalize(b.float(), dim=1).T


def nearest_anchors(
    image: Tensor, text: Tensor, *, alpha: float, anchors: int, share: float, seed: int = 0
) -> Tensor:
    """The neighbourhood of each item: its nearest among randomly drawn items.

    Nearness is alpha times the cosine of centred image features plus (1 - alpha) times that of
    centred text features, each text row brought to unit length first.

    Args:
        image: (n, d) image features.
        text: (n, e) text features.
        alpha: Weight of the image cosine, in [0, 1].
        anchors: At most so many items are drawn as anchors (all, where there are fewer), so that
            cost grows with n and not with its square.
        share: Share of the anchors that make a neighbourhood, in (0, 1).
        seed: Of the draw.

    Returns:
        (n, m) anchor numbers, ``int64``, m = share of the anchors, at least 1.
    """
    count = min(anchors, len(image))
    drawn = torch.randperm(len(image), generator=torch.Generator().manual_seed(seed))[:count]
    drawn = drawn.to(image.device)
    image = functional.normalize(image.float() - image.float().mean(dim=0), dim=1)
    text = functional.normalize(text.float(), dim=1)
    text = functional.normalize(text - text.mean(dim=0), dim=1)
    size = max(1, round(share * count))
    rows = []
    for start in range(0, len(image), 4096):  # bounds the similarity matrix
        part = slice(start, start + 4096)
        near = alpha * image[part] @ image[drawn].T + (1 - alpha) * text[part] @ text[drawn].T
        rows.append(near.topk(size, dim=1).indices)
    return torch.cat(rows)


def neighbourhood_similarity(neighbours: Tensor, frequency: Tensor) -> Tensor:
    """Second-order similarity: how far the neighbourhoods of two items agree.

    Cosine of the centred indicator vectors over the anchors. DJSRH (Su et al. 2019) takes the
    product of rows of the batch's own similarity matrix; neighbours among the whole training set
    say more than the chance company of a batch.

    Args:
        neighbours: (b, m) anchor numbers of b items.
        frequency: (a,) share of all items that have each anchor as a neighbour.

    Returns:
        (b, b) in [-1, 1]; its mean over all pairs of items is about 0.
    """
    indicator = torch.zeros(len(neighbours), len(frequency), device=frequency.device)
    indicator.scatter_(1, neighbours, 1.0)
    return cosine_similarity(indicator - frequency, indicator - frequency)
