"""Codes made from labels alone."""

from __future__ import annotations

import torch
from torch import Tensor

from crosshash.codes import sign
from crosshash.losses.likelihood import pairwise_nll
from crosshash.losses.quantization_error import quantization
from crosshash.losses.straight_through import toward_signs
from crosshash.similarity import label_similarity

_STEPS, _RATE, _FIRM = 400, 0.05, 0.01


def label_codes(
    labels: Tensor, bits: int, *, scale: float, anchors: int = 1024, seed: int = 0
) -> Tensor:
    """Binary codes of training rows that tell best which of them share a label.

    They are the signs of free values, one row for each different label row, that minimise the
    pairwise likelihood of S by gradient steps (Adam) with straight-through signs. What items look
    like plays no part. Every step meets ``anchors`` training rows at random, so that its cost does
    not grow with the square of the label rows.

    Args:
        labels: (n, c) in {0, 1}.
        bits: k.
        scale: Factor of the likelihood's inner products.
        anchors: Training rows that are met in a step, at most.
        seed: Of the start and the draws; the same seed gives the same codes.

    Returns:
        (n, bits) in {-1, +1}; rows of the same labels have the same code.
    """
    # On the CPU, so that the same seed gives the same codes on every device.
    rows, place, count = torch.unique(
        labels.cpu().float(), dim=0, return_inverse=True, return_counts=True
    )
    generator = torch.Generator().manual_seed(seed)
    share = len(rows) * count / count.sum()
    values = (0.5 * torch.randn(len(rows), bits, generator=generator)).requires_grad_()
    optimizer = torch.optim.Adam([values], lr=_RATE)
    with torch.enable_grad():
        for _ in range(_STEPS):
            drawn = place[
                torch.randint(len(place), (min(anchors, len(place)),), generator=generator)
            ]
            signed = toward_signs(values, 1.0)
            S = label_similarity(rows, rows[drawn])
            loss = pairwise_nll(signed, signed[drawn], S, scale=scale, weights=share)
            loss = loss + _FIRM * quantization(sign(values.detach()), values)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    return sign(values.detach())[place].to(labels.device)
