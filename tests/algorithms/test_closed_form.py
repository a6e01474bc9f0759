"""Closed forms against their definitions."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from crosshash.algorithms.closed_form import (
    canonical_directions,
    itq_rotation,
    moments,
    nested_rotation,
    principal_directions,
    random_frame,
)
from crosshash.codes import sign


def rows(count: int, width: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    mixed = torch.randn(width, width, generator=generator)
    return (torch.randn(count, width, generator=generator) @ mixed + 3.0).double()


def test_moments_are_those_of_all_rows_whatever_the_batches() -> None:
    X = rows(57, 6)
    mean, covariance = moments(X.split(10))
    torch.testing.assert_close(mean, X.mean(dim=0))
    torch.testing.assert_close(covariance, torch.cov(X.T, correction=0))
    with pytest.raises(ValueError, match="no rows"):
        moments([])


def test_principal_directions_hold_the_most_variance() -> None:
    _, covariance = moments([rows(200, 5)])
    W = principal_directions(covariance, 2)
    torch.testing.assert_close(W.T @ W, torch.eye(2, dtype=torch.float64))
    values = torch.linalg.eigvalsh(covariance)
    torch.testing.assert_close((W.T @ covariance @ W).diagonal(), values.flip(0)[:2])
    assert principal_directions(covariance, 9).shape == (5, 5)


def test_canonical_directions_are_uncorrelated_but_with_their_partner() -> None:
    X = rows(300, 5)
    Y = X[:, :3] @ rows(3, 4, seed=1)[:3] + 0.5 * rows(300, 4, seed=2)
    both = torch.cat([X, Y], dim=1)
    _, covariance = moments([both])
    A, B, correlations = canonical_directions(covariance, 5, 3, ridge=0.0)
    U, V = (X - X.mean(dim=0)) @ A, (Y - Y.mean(dim=0)) @ B
    eye = torch.eye(3, dtype=torch.float64)
    torch.testing.assert_close(U.T @ U / 300, eye)
    torch.testing.assert_close(V.T @ V / 300, eye)
    torch.testing.assert_close(U.T @ V / 300, torch.diag(correlations))
    assert bool((correlations[:-1] >= correlations[1:]).all())
    with_ridge = canonical_directions(covariance, 5, 3, ridge=1.0)[2]
    assert bool((with_ridge < correlations).all())


def test_a_direction_without_variance_has_no_part_in_a_correlation() -> None:
    X = torch.cat([rows(50, 3), torch.full((50, 1), 2.0, dtype=torch.float64)], dim=1)
    _, covariance = moments([torch.cat([X, X[:, :2]], dim=1)])
    A, _, correlations = canonical_directions(covariance, 4, 2, ridge=0.0)
    assert bool(A.isfinite().all())
    torch.testing.assert_close(correlations, torch.ones(2, dtype=torch.float64))


@pytest.mark.parametrize(("height", "width"), [(8, 3), (3, 8), (4, 4)])
def test_a_frame_is_orthonormal_along_its_shorter_side(height: int, width: int) -> None:
    R = random_frame(height, width, torch.Generator().manual_seed(0))
    small = R.T @ R if height >= width else R @ R.T
    torch.testing.assert_close(small, torch.eye(min(height, width), dtype=torch.float64))


@pytest.mark.parametrize(("width", "bits"), [(8, 8), (5, 8)])
def test_a_rotation_is_a_fixed_point_of_its_alternation(width: int, bits: int) -> None:
    V = rows(400, width)
    V = V - V.mean(dim=0)
    R = itq_rotation(V, bits, iterations=300)
    torch.testing.assert_close(R @ R.T, torch.eye(width, dtype=torch.float64))
    # For fixed codes no frame agrees better with them than R: <B, V R> is the nuclear norm.
    agreement = (sign(V @ R) * (V @ R)).sum()
    most = torch.linalg.matrix_norm(V.T @ sign(V @ R), ord="nuc")
    assert agreement.item() == pytest.approx(most.item(), rel=1e-6)
    start = itq_rotation(V, bits, iterations=0)
    assert agreement > (sign(V @ start) * (V @ start)).sum()


@pytest.mark.parametrize(("width", "lengths"), [(32, [8, 16, 32]), (12, [8, 16, 32]), (5, [8, 24])])
def test_a_nested_rotation_begins_with_that_of_a_shorter_code(
    width: int, lengths: list[int]
) -> None:
    V = rows(400, width)
    V = V - V.mean(dim=0)
    R = nested_rotation(V, lengths)
    assert R.shape == (width, lengths[-1])
    for k in lengths:
        shorter = [length for length in lengths if length <= k]
        assert torch.equal(R[:k, :k], nested_rotation(V[:, :k], shorter))
        assert not R[k:, :k].any()
    # Each length's new bits are a frame of all directions so far.
    for start, end in zip([0, *lengths], lengths, strict=False):
        block = R[:end, start:end]
        small = block @ block.T if len(block) <= end - start else block.T @ block
        torch.testing.assert_close(small, torch.eye(len(small), dtype=torch.float64))
    assert torch.equal(nested_rotation(V, [32]), itq_rotation(V, 32))
