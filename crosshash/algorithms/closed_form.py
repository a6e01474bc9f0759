"""Closed forms of hashing: moments of vectors, canonical directions, rotations to binary codes."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence

import torch
from torch import Tensor

from crosshash.codes import sign


def moments(vectors: Iterable[Tensor]) -> tuple[Tensor, Tensor]:
    """Mean (d,) and covariance (d, d) of all rows, in ``float64``.

    Products within a batch are of its own type, and sums over batches ``float64``.

    Args:
        vectors: Batches (b, d).

    Raises:
        ValueError: There is no row.
    """
    count, total, products = 0, torch.zeros(()), torch.zeros(())
    shift: Tensor | None = None
    for batch in vectors:
        if shift is None:  # near the mean: nothing of note is lost in the difference below
            shift = batch.mean(dim=0)
        rows = batch - shift
        count, total = count + len(rows), total + rows.double().sum(dim=0)
        products = products + (rows.T @ rows).double()
    if shift is None:
        raise ValueError("moments of no rows at all; give at least one vector")
    mean = total / count
    return mean + shift.double(), products / count - mean[:, None] * mean


def principal_directions(covariance: Tensor, most: int) -> Tensor:
    """The directions of largest variance, (d, r) with orthonormal columns, r = min(most, d)."""
    vectors: Tensor = torch.linalg.eigh(covariance).eigenvectors
    return vectors.flip(1)[:, :most]


def canonical_directions(
    covariance: Tensor, split: int, most: int, *, ridge: float
) -> tuple[Tensor, Tensor, Tensor]:
    """Canonical correlation analysis of two kinds of vectors that stand side by side.

    The covariance of each kind has ``ridge`` times its mean variance added to its diagonal (Gong et
    al., TPAMI 2013, section 5, add a small constant), without which directions fit the chance of
    few rows.

    Args:
        covariance: (d + e, d + e) of pairs of vectors, the first kind before the second.
        split: d.
        most: Directions, at most.
        ridge: Regularization, in units of the mean variance.

    Returns:
        Directions (d, r) and (e, r), and their correlations (r,), r = min(most, d, e).
    """
    first = _inverse_root(covariance[:split, :split], ridge)
    second = _inverse_root(covariance[split:, split:], ridge)
    U, correlations, V = torch.linalg.svd(
        first @ covariance[:split, split:] @ second, full_matrices=False
    )
    return first @ U[:, :most], second @ V.T[:, :most], correlations[:most]


def random_frame(rows: int, columns: int, generator: torch.Generator | None = None) -> Tensor:
    """A random matrix (rows, columns) whose shorter side is orthonormal, ``float64``."""
    drawn = torch.randn(
        max(rows, columns), min(rows, columns), dtype=torch.float64, generator=generator
    )
    Q: Tensor = torch.linalg.qr(drawn).Q
    return Q if rows >= columns else Q.T


def itq_rotation(V: Tensor, bits: int, *, iterations: int = 50, seed: int = 0) -> Tensor:
    """Iterative quantization: R that minimises |sign(V R) - V R|^2, from a random start.

    Gong et al., TPAMI 2013, section 3.2: B = sign(V R), then R from the singular vectors of V^T B,
    and so on. Other than as many bits as directions, which the paper does not have, is ours: R has
    then orthonormal rows, so that each bit is a direction of its own among the given ones, or, of
    fewer bits, orthonormal columns, and it is the agreement of B and V R that grows.

    Args:
        V: (n, r) centred projections.
        bits: k.
        iterations: Alternations; the paper's 50.
        seed: Of the start.

    Returns:
        (r, k).
    """
    R = random_frame(V.shape[1], bits, torch.Generator().manual_seed(seed)).to(V)
    for _ in range(iterations):
        left, _, right = torch.linalg.svd(V.T @ sign(V @ R), full_matrices=False)
        R = left @ right
    return R


def nested_rotation(V: Tensor, lengths: Sequence[int], *, iterations: int = 50) -> Tensor:
    """A rotation of nested codes, whose first columns are that of a shorter one.

    The first ``lengths[0]`` bits are those of as many directions by ITQ, the next ones, up to
    ``lengths[1]``, are rotated from the first ``lengths[1]`` directions, and so on: what counts
    most is in the bits of every length. The idea is ours. Of one length it is
    :func:`itq_rotation`.

    Args:
        V: (n, r) centred projections, the most important first; r is at most ``lengths[-1]``.
        lengths: Ascending.
        iterations: See :func:`itq_rotation`.

    Returns:
        (r, ``lengths[-1]``); columns of different lengths are not orthogonal to each other.
    """
    R = V.new_zeros(V.shape[1], lengths[-1])
    for start, end in itertools.pairwise([0, *lengths]):
        R[:end, start:end] = itq_rotation(
            V[:, :end], end - start, iterations=iterations, seed=start
        )
    return R


def _inverse_root(covariance: Tensor, ridge: float) -> Tensor:
    values, vectors = torch.linalg.eigh(covariance)
    kept = values.clamp_min(0) + ridge * values.clamp_min(0).mean()
    # A direction without any variance has no part in a correlation.
    scale = torch.where(kept > 1e-12 * kept.max(), kept.rsqrt(), torch.zeros_like(kept))
    root: Tensor = vectors @ torch.diag(scale) @ vectors.T
    return root
