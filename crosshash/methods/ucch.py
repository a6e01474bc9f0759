"""UCCH: Unsupervised Contrastive Cross-modal Hashing.

Hu et al., IEEE TPAMI 2022, https://doi.org/10.1109/TPAMI.2022.3177356

The numbers of its equations were not checked, and none is quoted.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor
from torch.nn import functional

from crosshash.algorithms.code_bank import CodeBank
from crosshash.algorithms.phases import Algorithm, BatchPhase, Phase, Terms, Update
from crosshash.codes import sign
from crosshash.methods.build import METHODS
from crosshash.model.batch import Batch
from crosshash.model.two_towers import TwoTowers

# The network is TwoTowers. The paper's: for images VGG or its features, and layers of 8192 with
# ReLU (two after features); for texts one layer of 8192.

# Losses


def contrast_loss(codes: Tensor, candidates: Tensor, *, temperature: float) -> Tensor:
    """Mean over the items of -log p(own code), by a softmax over all candidates.

    The logits are u · b / (``temperature`` k^1/2).

    Args:
        codes: (n, k) real-valued codes of length 1.
        candidates: (m, k) in {-1, +1}, m >= n; the first n are the items' own.
        temperature: Above 0.
    """
    logits = codes @ candidates.T / (temperature * codes.shape[1] ** 0.5)
    return functional.cross_entropy(logits, torch.arange(len(codes), device=codes.device))


def ranking_loss(F: Tensor, G: Tensor, *, margin: float, shift: float) -> Tensor:
    """Cross-modal ranking loss: a pair stands above all others, of which the far ones count less.

    For each row of C = F G^T, and for each column, the mean of log sum_j exp(c'_ij) - c_ii +
    ``margin``; c'_ij is c_ij where c_ij >= c_ii - ``margin``, and c_ij - ``shift`` elsewhere.
    Unlike a hinge on the hardest stranger, which often is none, it looks at all of them.

    Args:
        F: (n, k) real-valued codes of length 1.
        G: (n, k) likewise, of the same pairs.
        margin: How far below the pair a stranger counts in full.
        shift: Taken off the others.
    """
    cosine = F @ G.T
    total = cosine.new_zeros(())
    for rows in (cosine, cosine.T):
        pair = rows.diagonal()
        near = rows >= pair[:, None] - margin
        lowered = torch.where(near, rows, rows - shift)
        total = total + (lowered.logsumexp(dim=1) - pair + margin).mean()
    return total


# Algorithm


@METHODS.register("ucch")
class UCCH(Algorithm):
    """Training of UCCH, without labels: ``alpha contrast + (1 - alpha) ranking``.

    F, G (b, k) are the batch's codes after tanh, brought to length 1. A memory M (n, k) has a code
    for each training pair; B = sign(M) are the binary codes that both modalities learn. After a
    step the batch's rows become ``momentum`` M + (1 - ``momentum``) (F + G) / 2, each part and the
    whole of length 1: B follows the networks slowly, without a relaxation.

    - ``contrast``: :func:`contrast_loss` of F, and of G; candidates are the batch's rows of B and
      ``negatives`` random ones.
    - ``ranking``: :func:`ranking_loss` of F and G.

    In the first ``warmup`` epochs the codes of the batch itself, sign(F + G), stand for B, and M
    takes them over without momentum.

    The authors draw negatives for each item; ours are the same for all items of a batch, whose
    other rows are among them.

    Args:
        net: The network.
        count: Training pairs.
        classes: Label classes; not used.
        alpha: Share of ``contrast``; the authors' 0.9.
        temperature: Of ``contrast``; the authors' 0.9.
        negatives: Random rows of B that a batch meets, at most; the authors' 4096.
        momentum: Of M; the authors' 0.4.
        margin: Of ``ranking``; the authors' 0.2.
        shift: Of ``ranking``; the authors' 1.
        warmup: Epochs; the authors' 1.

    Raises:
        ValueError: ``alpha`` is not in [0, 1] or ``momentum`` not in [0, 1).
    """

    supervised = False
    Network = TwoTowers
    net: TwoTowers

    def __init__(
        self,
        net: TwoTowers,
        count: int,
        classes: int,
        *,
        alpha: float = 0.9,
        temperature: float = 0.9,
        negatives: int = 4096,
        momentum: float = 0.4,
        margin: float = 0.2,
        shift: float = 1.0,
        warmup: int = 1,
    ) -> None:
        super().__init__()
        if not 0 <= alpha <= 1:
            raise ValueError(f"algorithm.alpha is in [0, 1], got {alpha}")
        if not 0 <= momentum < 1:
            raise ValueError(f"algorithm.momentum is in [0, 1), got {momentum}")
        self.net = net
        self.bank = CodeBank(count, net.bits, beside={"M": net.bits})
        self.temperature, self.negatives = temperature, negatives
        self.momentum, self.margin, self.shift = momentum, margin, shift
        self.warmup, self.warm = warmup, warmup > 0
        self.weights = {"contrast": alpha, "ranking": 1 - alpha}

    def begin(self, batches: Iterable[Batch]) -> None:
        """Fill the memory with the codes of the untrained networks."""
        self.bank.fill(batches, lambda batch: {"M": _mean(*self._codes(batch))})

    def epoch_starts(self, epoch: int, epochs: int) -> None:
        """Whether the epoch is one of warming up."""
        self.warm = epoch < self.warmup

    def phases(self) -> list[Phase]:
        """One pass over both modalities."""
        update = Update(self.net.parameters(), self.loss, self.weights, after=self.bank.keep)
        return [BatchPhase("hash", [update])]

    def loss(self, batch: Batch) -> Terms:
        """Both terms, unweighted."""
        F, G = self._codes(batch)
        mean = _mean(F.detach(), G.detach())
        memory = self.bank.get_buffer("M")
        candidates = sign(mean if self.warm else memory[self._drawn(batch.index)])
        contrast = [
            contrast_loss(codes, candidates, temperature=self.temperature) for codes in (F, G)
        ]
        momentum = 0.0 if self.warm else self.momentum
        moved = momentum * memory[batch.index] + (1 - momentum) * mean
        batch.shared["M"] = functional.normalize(moved, dim=1)
        return {
            "contrast": torch.stack(contrast).sum(),
            "ranking": ranking_loss(F, G, margin=self.margin, shift=self.shift),
        }

    def _drawn(self, index: Tensor) -> Tensor:
        """A batch's own rows of the memory, then random ones."""
        count = len(self.bank.F)
        drawn = torch.randint(count, (min(self.negatives, count),), device=index.device)
        return torch.cat([index, drawn])

    def _codes(self, batch: Batch) -> tuple[Tensor, Tensor]:
        F, G = self.net(batch.images, batch.texts)
        return functional.normalize(F.tanh(), dim=1), functional.normalize(G.tanh(), dim=1)

    def learned_codes(self) -> Tensor:
        """B = sign(M)."""
        return sign(self.bank.get_buffer("M"))


def _mean(F: Tensor, G: Tensor) -> Tensor:
    return functional.normalize(F + G, dim=1)
