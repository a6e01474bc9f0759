"""CCA-ITQ: Iterative Quantization of canonical correlations.

Gong, Lazebnik, Gordo & Perronnin, TPAMI 2013, 35(12), 2916-2929,
https://doi.org/10.1109/TPAMI.2012.193
"""

from __future__ import annotations

from collections.abc import Iterable

import torch

from crosshash.algorithms.closed_form import canonical_directions, itq_rotation, moments
from crosshash.algorithms.phases import Algorithm, Phase, SolvePhase
from crosshash.methods.build import METHODS
from crosshash.methods.sign import SIDES, AffineNet
from crosshash.model.batch import Batch


@METHODS.register("cca_itq")
class CCAITQ(Algorithm):
    """Directions in which both sides correlate most, rotated to their signs (sections 3 and 5).

    The paper finds the directions between images and tags and rotates the images' projections. We
    rotate the sum of a pair's two projections, since both sides are to have codes. Each direction
    is weighed by a power of its correlation, as in Gong et al. 2014 (IJCV, "A multi-view embedding
    space for modeling internet images, tags, and their semantics"): else all count alike.

    Args:
        net: The network.
        count: Training pairs.
        classes: Label classes; no label is used.
        ridge: Added to the diagonal of each side's covariance, in units of its mean variance;
            the paper adds a small constant.
        power: Of the correlations that weigh the directions; 0: none does.
        iterations: Alternations between codes and rotation; the paper's 50.
        seed: Of the first rotation. None: the seed of the run (:func:`torch.initial_seed`).
    """

    supervised = False
    Network = AffineNet
    trains = "nothing"
    net: AffineNet

    def __init__(
        self,
        net: AffineNet,
        count: int,
        classes: int,
        *,
        ridge: float = 1.0,
        power: float = 1.0,
        iterations: int = 50,
        seed: int | None = None,
    ) -> None:
        super().__init__()
        self.net = net
        self.ridge, self.power = ridge, power
        self.iterations = iterations
        self.seed = torch.initial_seed() if seed is None else seed

    def phases(self) -> list[Phase]:
        """One phase, which goes over the data twice: for moments, then for projections."""
        return [SolvePhase("cca_itq", self.solve, sees_data=True)]

    def solve(self, batches: Iterable[Batch]) -> dict[str, float]:
        """Maps of both sides; the mean correlation along their directions is logged."""
        net = self.net
        mean, covariance = moments(
            torch.cat([vectors[side] for side in SIDES], dim=1)
            for vectors in map(net.vectors, batches)
        )
        split = net.widths["image"]
        *directions, correlations = canonical_directions(
            covariance, split, net.bits, ridge=self.ridge
        )
        weighed = (matrix * correlations**self.power for matrix in directions)
        maps = dict(zip(SIDES, weighed, strict=True))
        means = {"image": mean[:split], "text": mean[split:]}
        V = torch.cat(
            [
                torch.stack([(vectors[s].double() - means[s]) @ maps[s] for s in SIDES]).sum(dim=0)
                for vectors in map(net.vectors, batches)
            ]
        )
        R = itq_rotation(V, net.bits, iterations=self.iterations, seed=self.seed)
        for side in SIDES:
            net.put(side, means[side], maps[side] @ R)
        return {"correlation": float(correlations.mean())}
