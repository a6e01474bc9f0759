"""Graph Laplacian of label similarity over n items, without an n x n matrix."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from crosshash.similarity import label_similarity

_BLOCK = 1024
# Up to so many label patterns their similarities are kept (512 MiB); above, made again each time.
_KEPT = 8192


class LabelLaplacian:
    """The Laplacian of S, S_ij = 1 where items i and j share a label.

    Items of one label row are alike to S. With p different rows (a few thousand, whatever n is)
    every product and every solution comes down to p x p: S = P S_p P^T, P (n, p) saying which row
    an item has. Sums are float64: unnormalised degrees reach n.

    Args:
        labels: (n, c) in {0, 1}.
        normalized: I - D^-1/2 S D^-1/2 instead of D - S. An item without labels is alike to none,
            itself included; its row is 0 in both.
    """

    def __init__(self, labels: Tensor, *, normalized: bool = True) -> None:
        patterns, self.pattern, counts = torch.unique(
            labels.to(torch.uint8), dim=0, return_inverse=True, return_counts=True
        )
        self.patterns = patterns.float()
        self.counts = counts.double()[:, None]
        self._blocks: list[Tensor] | None = None
        if len(patterns) <= _KEPT:
            self._blocks = list(self._similarity_blocks())
        self.scale = torch.ones_like(self.counts)
        degrees = self._similar(self.counts)
        self.degrees = degrees
        if normalized:
            linked = degrees > 0
            self.degrees = linked.double()
            self.scale = torch.where(linked, degrees, 1.0).rsqrt()

    def _similarity_blocks(self) -> Iterator[Tensor]:
        for part in self.patterns.split(_BLOCK):
            yield label_similarity(part, self.patterns).double()

    def _similar(self, x: Tensor) -> Tensor:
        """S_p x, for (p, m)."""
        blocks = self._similarity_blocks() if self._blocks is None else self._blocks
        return torch.cat([block @ x for block in blocks])

    def _neighbours(self, x: Tensor) -> Tensor:
        """The part of the Laplacian that couples items, on sums over the items of each row."""
        return self.scale * self._similar(self.scale * x)

    def _sums(self, x: Tensor) -> Tensor:
        """P^T x: (n, m) to (p, m)."""
        zeros = x.new_zeros(len(self.patterns), x.shape[1])
        sums: Tensor = zeros.index_add_(0, self.pattern, x)
        return sums

    def product(self, x: Tensor) -> Tensor:
        """The Laplacian times (n, m)."""
        x = x.double()
        return self.degrees[self.pattern] * x - self._neighbours(self._sums(x))[self.pattern]

    def trace(self, codes: Tensor) -> float:
        """tr(B^T Lap B) of (n, k): how much neighbours differ."""
        return float((codes * self.product(codes)).sum())

    def solve(
        self,
        right: Tensor,
        *,
        shift: float,
        weight: float,
        tolerance: float = 1e-8,
        most: int = 1000,
    ) -> Tensor:
        """X of (shift I + weight Lap) X = right, (n, m), by conjugate gradients over label rows.

        Writing the sums over the items of a row as y = P^T X gives p equations,
        (A - weight C M) y = P^T right, with A = shift + weight D, C the counts and M the coupling;
        y = C^1/2 z makes them symmetric positive definite. X follows from y item by item.

        Args:
            right: (n, m).
            shift: Above 0.
            weight: At least 0.
            tolerance: Of the residual, as a share of the right side.
            most: Steps at most.

        Raises:
            ValueError: ``shift`` or ``weight`` is out of range.
            ArithmeticError: ``most`` steps do not reach the tolerance.
        """
        if shift <= 0 or weight < 0:
            raise ValueError(f"shift is above 0 and weight at least 0, got {shift} and {weight}")
        right = right.double()
        diagonal = shift + weight * self.degrees
        root = self.counts.sqrt()

        def matrix(z: Tensor) -> Tensor:
            product: Tensor = diagonal * z - weight * root * self._neighbours(root * z)
            return product

        z = _conjugate_gradients(matrix, self._sums(right) / root, diagonal, tolerance, most)
        coupled = weight * self._neighbours(root * z)
        return (right + coupled[self.pattern]) / diagonal[self.pattern]


def _conjugate_gradients(
    matrix: Callable[[Tensor], Tensor],
    right: Tensor,
    diagonal: Tensor,
    tolerance: float,
    most: int,
) -> Tensor:
    """Solve for all columns at once, preconditioned by the diagonal."""
    x = torch.zeros_like(right)
    residual = right.clone()
    wanted = tolerance * right.norm(dim=0)
    direction = preconditioned = residual / diagonal
    product = (residual * preconditioned).sum(dim=0)
    for _ in range(most):
        if bool((residual.norm(dim=0) <= wanted).all()):
            return x
        image = matrix(direction)
        # A column that is solved has a direction of 0, and stays as it is.
        step = product / (direction * image).sum(dim=0).clamp_min(torch.finfo(x.dtype).tiny)
        x = x + step * direction
        residual = residual - step * image
        preconditioned = residual / diagonal
        before, product = product, (residual * preconditioned).sum(dim=0)
        ratio = product / before.clamp_min(torch.finfo(x.dtype).tiny)
        direction = preconditioned + ratio * direction
    if bool((residual.norm(dim=0) <= wanted).all()):
        return x
    raise ArithmeticError(
        f"conjugate gradients: {most} steps leave a residual of "
        f"{float((residual.norm(dim=0) / right.norm(dim=0)).max()):.1e}, wanted {tolerance:.1e}"
    )
