"""ITQ: Iterative Quantization.

Gong, Lazebnik, Gordo & Perronnin, TPAMI 2013, 35(12), 2916-2929,
https://doi.org/10.1109/TPAMI.2012.193
"""

from __future__ import annotations

from collections.abc import Iterable

import torch

from crosshash.algorithms.closed_form import itq_rotation, moments, principal_directions
from crosshash.algorithms.phases import Algorithm, Phase, SolvePhase
from crosshash.methods.build import METHODS
from crosshash.methods.sign import SIDES, AffineNet
from crosshash.model.batch import Batch


@METHODS.register("itq")
class ITQ(Algorithm):
    """Principal directions of the vectors, rotated to their signs (sections 2 and 3).

    W holds the k leading eigenvectors of the covariance, and R minimises |sign(V R) - V R|^2 over
    V = X W. ITQ is a method of one kind of vector; of two kinds we make this: where they are
    equally wide, as in a common space, all vectors, centred by side, have one W and one R; else
    each side has its own, and codes are compared within a side only.

    Args:
        net: The network.
        count: Training pairs.
        classes: Label classes; no label is used.
        iterations: Alternations between codes and rotation; the paper's 50.
        seed: Of the first rotation. None: the seed of the run (:func:`torch.initial_seed`).
    """

    supervised = False
    paired = False
    Network = AffineNet
    trains = "nothing"
    net: AffineNet

    def __init__(
        self,
        net: AffineNet,
        count: int,
        classes: int,
        *,
        iterations: int = 50,
        seed: int | None = None,
    ) -> None:
        super().__init__()
        self.net = net
        self.iterations = iterations
        self.seed = torch.initial_seed() if seed is None else seed

    def phases(self) -> list[Phase]:
        """One phase, which goes over the data twice: for moments, then for projections."""
        return [SolvePhase("itq", self.solve, sees_data=True)]

    def solve(self, batches: Iterable[Batch]) -> dict[str, float]:
        """Maps of both sides; the share of the variance that their directions keep is logged."""
        net = self.net
        found = {side: moments(net.vectors(batch)[side] for batch in batches) for side in SIDES}
        means = {side: mean for side, (mean, _) in found.items()}
        one_space = len(set(net.widths.values())) == 1
        figures = {}
        for sides in [SIDES] if one_space else [(side,) for side in SIDES]:
            covariance = torch.stack([found[side][1] for side in sides]).mean(dim=0)
            W = principal_directions(covariance, net.bits)
            V = torch.cat(
                [
                    (vectors[side].double() - means[side]) @ W
                    for vectors in map(net.vectors, batches)
                    for side in sides
                ]
            )
            R = itq_rotation(V, net.bits, iterations=self.iterations, seed=self.seed)
            kept = float((W.T @ covariance @ W).trace() / covariance.trace())
            for side in sides:
                net.put(side, means[side], W @ R)
                figures[f"{side}_variance"] = kept
        return figures
