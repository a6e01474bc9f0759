"""Contrast of pairs within a batch, and of a batch's order with that of its vectors."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from crosshash.similarity import cosine_similarity


def info_nce(similarity: Tensor, scale: Tensor | float) -> Tensor:
    """Mean cross-entropy of finding each pair's other side, in both directions.

    (CE(t S, diagonal) + CE(t S^T, diagonal)) / 2 with t = ``scale``: CLIP's loss (Radford et al.
    2021, arXiv:2103.00020, figure 3), after van den Oord et al. 2018 (arXiv:1807.03748, Eq. 4).

    Args:
        similarity: (n, n), rows of the first side and columns of the second; pair i is (i, i). Or
            many such, (…, n, n), of which the mean is taken.
        scale: Inverse temperature, above 0.

    Example:
        >>> import torch
        >>> bool(info_nce(torch.eye(3), 10.0) < info_nce(torch.zeros(3, 3), 10.0))
        True
    """
    logits = scale * similarity
    rows, columns = logits.flatten(0, -2), logits.mT.flatten(0, -2)
    count = similarity.shape[-1]
    target = torch.arange(count, device=similarity.device).repeat(len(rows) // count)
    return (functional.cross_entropy(rows, target) + functional.cross_entropy(columns, target)) / 2


def neighbour_divergence(
    codes: Tensor, vectors: Tensor, *, scale: float, vector_scale: float
) -> Tensor:
    """How far the codes' neighbours in a batch are from those of the vectors.

    Mean over i of KL(p_i || q_i), where p_i and q_i are softmaxes over the other rows j of
    ``vector_scale`` cos(x_i, x_j) and ``scale`` cos(u_i, u_j), as in stochastic neighbour embedding
    (Hinton & Roweis 2002). No gradient flows into p.

    Args:
        codes: (n, k) codes u.
        vectors: (n, d) vectors x.
        scale: Inverse temperature of the codes.
        vector_scale: Inverse temperature of the vectors.
    """
    own = torch.eye(len(codes), dtype=torch.bool, device=codes.device)
    p = (vector_scale * cosine_similarity(vectors, vectors)).masked_fill(own, -torch.inf)
    q = (scale * cosine_similarity(codes, codes)).masked_fill(own, -torch.inf)
    log_p, log_q = p.detach().log_softmax(dim=1), q.log_softmax(dim=1)
    terms = log_p.exp() * (log_p - log_q)
    return terms.masked_fill(own, 0.0).sum(dim=1).mean()
