"""DCMH: Deep Cross-Modal Hashing.

Jiang & Li, CVPR 2017, https://arxiv.org/abs/1602.02255
"""

from __future__ import annotations

from collections.abc import Iterable

from torch import Tensor

from crosshash.algorithms.code_bank import CodeBank, bank_codes, require_labels
from crosshash.algorithms.phases import Algorithm, BatchPhase, Phase, SolvePhase, Terms, Update
from crosshash.losses.normalization import Normalization, term_weight
from crosshash.losses.quantization_error import quantization
from crosshash.methods.build import METHODS
from crosshash.model.batch import Batch
from crosshash.model.two_towers import TwoTowers

# The network is TwoTowers. The paper's: CNN-F through fc7 and a linear layer for images, trained as
# a whole; for texts a layer of 8192 with ReLU and a linear layer; no BatchNorm.

# Loss


def balance(codes: Tensor, before: Tensor, bank: Tensor) -> Tensor:
    """Mean over the bits of (the bit's mean over all n rows)^2, a batch's rows being new.

    DCMH's |F 1|^2 is the sum over the bits of (the sum over the rows)^2, here over n^2 and k.

    Args:
        codes: (b, k) codes of the batch.
        before: (b, k) what the bank has in their place, constants.
        bank: (n, k) the bank's codes, constants.
    """
    total = bank.sum(dim=0) - before.sum(dim=0) + codes.sum(dim=0)
    return (total / len(bank)).square().mean()


# Algorithm


@METHODS.register("dcmh")
class DCMH(Algorithm):
    """Training of DCMH by its Algorithm 1: ``inter + gamma quantization + eta balance`` (Eq. 1).

    F, G (n, k) are image and text codes, S_ij = 1 where pairs i and j share a label. The printed
    sums are means here, which with ``normalization="sums"`` stand in the proportion of the sums:
    the whole is the printed one over n^2.

    - ``inter``: softplus(theta_ij) - S_ij theta_ij, theta = ``scale`` F G^T, of a batch's rows
      against the bank's codes of the other modality.
    - ``quantization``: |B - F|^2 in the image phase, |B - G|^2 in the text phase.
    - ``balance``: |F 1|^2 in the image phase, |G 1|^2 in the text phase: each bit is to be +1 for
      half of the training pairs.

    A term of weight 0 is left out.

    Args:
        net: The network.
        count: Training pairs.
        classes: Label classes.
        gamma: Weight of ``quantization``; the paper's 1.
        eta: Weight of ``balance``; the paper's 1.
        scale: Factor of the inner products; the paper's 1/2.
        normalization: ``"sums"``: terms weigh as in the printed sums; ``"means"``: as means.

    Raises:
        ValueError: There are no labels.
    """

    Network = TwoTowers
    net: TwoTowers
    learned_codes = bank_codes  # B

    def __init__(
        self,
        net: TwoTowers,
        count: int,
        classes: int,
        *,
        gamma: float = 1.0,
        eta: float = 1.0,
        scale: float = 0.5,
        normalization: Normalization = "sums",
    ) -> None:
        super().__init__()
        require_labels(classes)
        self.net = net
        self.bank = CodeBank(count, net.bits, classes)
        self.scale = scale
        self.weights = {
            "quantization": gamma * term_weight(normalization, net.bits, count),
            # Over n^2 the printed sum is k times this mean, whatever n is.
            "balance": eta * (net.bits if normalization == "sums" else 1),
        }

    def begin(self, batches: Iterable[Batch]) -> None:
        """Keep labels and first codes of the training set."""
        self.bank.fill(batches, self.net.codes)

    def phases(self) -> list[Phase]:
        """Algorithm 1: images with G and B fixed, texts with F and B fixed, then B."""
        keep, weights = self.bank.keep, self.weights
        image = Update(self.net.image_parameters(), self.image_loss, weights, after=keep)
        text = Update(self.net.text_parameters(), self.text_loss, weights, after=keep)
        return [
            BatchPhase("image", [image]),
            BatchPhase("text", [text]),
            SolvePhase("codes", self.solve_codes),
        ]

    def image_loss(self, batch: Batch) -> Terms:
        """The objective as a function of the batch's F."""
        F = self.net.hash_image(self.net.image_features(batch.images))
        return self._terms(batch, F, own="F", other="G")

    def text_loss(self, batch: Batch) -> Terms:
        """The objective as a function of the batch's G."""
        G = self.net.hash_text(self.net.text_features(batch.texts))
        return self._terms(batch, G, own="G", other="F")

    def _terms(self, batch: Batch, codes: Tensor, *, own: str, other: str) -> Terms:
        batch.shared[own] = codes.detach()
        terms = {"inter": self.bank.nll(batch, codes, other, scale=self.scale)}
        if self.weights["quantization"]:
            terms["quantization"] = quantization(self.bank.B[batch.index], codes)
        if self.weights["balance"]:
            bank = self.bank.get_buffer(own)
            terms["balance"] = balance(codes, bank[batch.index], bank)
        return terms

    def solve_codes(self) -> dict[str, float]:
        """B = sign(gamma (F + G)); any gamma above 0 gives the same."""
        self.bank.B.copy_(self.bank.signs())
        return self.bank.figures()
