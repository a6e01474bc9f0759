"""LPDH: Label-Posterior Distillation Hashing, a method of this library; no paper describes it.

It joins three things: the pairwise likelihood of DCMH's family against a bank of codes, the labels'
own predictability as a softer target, and codes that feel their signs while they learn. The network
is DMSFH's: for each modality layers over its encoder, then a hash layer without tanh.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn
from torch.nn import functional

from crosshash.algorithms.code_bank import CodeBank, bank_codes, require_labels
from crosshash.algorithms.label_coding import label_codes
from crosshash.algorithms.phases import Algorithm, BatchPhase, Phase, SolvePhase, Terms, Update
from crosshash.codes import sign
from crosshash.losses.likelihood import pairwise_nll
from crosshash.losses.quantization_error import quantization
from crosshash.losses.straight_through import toward_signs
from crosshash.methods.build import METHODS
from crosshash.methods.dmsfh import DMSFHNet
from crosshash.model.batch import Batch
from crosshash.similarity import label_similarity, posterior_similarity


@METHODS.register("lpdh")
class LPDH(Algorithm):
    """Training of LPDH: ``hard + distill + label + target + quantization``, for both modalities.

    F, G (b, k) are a batch's codes, p, q (b, c) the labels' probabilities by two linear heads on
    the layers that also feed the codes. F', G', p', q' (m, .) are those of ``anchors`` random rows
    of a bank with the newest values of all training pairs; they are constants. All terms are means.

    - ``hard``: nll(F, G'; S) + nll(G, F'; S), where S_ij = 1 where two pairs share a label and
      nll(U, V; T) is softplus(theta_ij) - T_ij theta_ij with theta = ``scale`` s(U) s(V)^T.
    - ``distill``: the same with T_ij = 1 - prod_c (1 - p_ic q'_jc), which is the probability that i
      and j share a label, as far as image i and text j show it. Labels that no network could read
      from an item pull on S but not on T. No gradient flows through T.
    - ``label``: the labels' cross-entropy of both heads.
    - ``target``: |B - F|^2 + |B - G|^2, where B are codes that were made from the labels alone
      before the first epoch (:func:`~crosshash.algorithms.label_coding.label_codes`).
    - ``quantization``: (|F| - 1)^2 + (|G| - 1)^2.

    s moves codes towards their signs by the share ``straight``
    (:func:`~crosshash.losses.straight_through.toward_signs`), so that theta feels what signs give.
    A share that grows lets codes find their places first and settle for signs later.

    Args:
        net: The network.
        count: Training pairs.
        classes: Label classes.
        scale: Factor of the inner products.
        distill: Weight of ``distill``.
        label: Weight of ``label``; 0 needs ``distill=0``.
        target: Weight of ``target``.
        quantization: Weight of ``quantization``.
        straight: Share of the signs in theta, in [0, 1]; or those of the first and the last epoch,
            between which it grows by equal steps.
        anchors: Rows of the bank that a batch meets, at most.

    Raises:
        ValueError: There are no labels; ``straight`` is not in [0, 1]; ``anchors`` is below 1;
            ``distill`` is asked for without heads.
    """

    Network = DMSFHNet
    net: DMSFHNet

    def __init__(
        self,
        net: DMSFHNet,
        count: int,
        classes: int,
        *,
        scale: float = 0.15,
        distill: float = 1.0,
        label: float = 1.0,
        target: float = 0.03,
        quantization: float = 0.02,
        straight: float | tuple[float, float] = 0.3,
        anchors: int = 1024,
    ) -> None:
        super().__init__()
        require_labels(classes)
        first, last = straight if isinstance(straight, tuple) else (straight, straight)
        if not (0 <= first <= 1 and 0 <= last <= 1):
            raise ValueError(f"algorithm.straight is in [0, 1], got {straight}")
        if anchors < 1:
            raise ValueError(f"algorithm.anchors is at least 1, got {anchors}")
        if distill and not label:
            raise ValueError(
                "algorithm.distill needs the heads that algorithm.label trains: set label above 0, "
                "or distill to 0"
            )
        self.net = net
        self.bank = CodeBank(
            count, net.bits, classes, beside={"p": classes, "q": classes} if distill else {}
        )
        self.heads = nn.ModuleDict()
        if label:
            self.heads.update({m: nn.Linear(dim, classes) for m, dim in net.dims.items()})
        self.scale, self.straight, self.anchors = scale, first, anchors
        self._straight = first, last
        self.weights = {
            "distill": distill,
            "label": label,
            "target": target,
            "quantization": quantization,
        }

    def begin(self, batches: Iterable[Batch]) -> None:
        """Keep labels, first codes and first probabilities of the training set."""
        self.bank.fill(batches, self._first)

    def _first(self, batch: Batch) -> dict[str, Tensor]:
        image = self.net.image_vector(self.net.image_features(batch.images))
        text = self.net.text_vector(self.net.text_features(batch.texts))
        rows = {"F": self.net.image_net["codes"](image), "G": self.net.text_net["codes"](text)}
        if self.bank.beside:
            rows["p"] = self.heads["image"](image).sigmoid()
            rows["q"] = self.heads["text"](text).sigmoid()
        return rows

    def preliminary(self) -> list[Phase]:
        """Codes of the labels, which the first epoch needs."""
        return [SolvePhase("label_codes", self.solve_codes)] if self.weights["target"] else []

    def epoch_starts(self, epoch: int, epochs: int) -> None:
        """Set the epoch's share of signs."""
        first, last = self._straight
        self.straight = first + (last - first) * epoch / max(1, epochs - 1)

    def phases(self) -> list[Phase]:
        """One pass over both modalities."""
        trained = [*self.net.parameters(), *self.heads.parameters()]
        update = Update(trained, self.loss, self.weights, after=self.bank.keep)
        return [BatchPhase("hash", [update])]

    def loss(self, batch: Batch) -> Terms:
        """All terms, unweighted; one of weight 0 is not computed."""
        image = self.net.image_vector(self.net.image_features(batch.images))
        text = self.net.text_vector(self.net.text_features(batch.texts))
        F, G = self.net.image_net["codes"](image), self.net.text_net["codes"](text)
        labels, drawn = self.bank.labels[batch.index], self._drawn(F.device)
        S = label_similarity(labels, self.bank.labels[drawn])
        terms = {"hard": self._nll(F, G, drawn, S, S)}
        batch.shared.update(F=F.detach(), G=G.detach())
        if self.heads:
            logits = [self.heads["image"](image), self.heads["text"](text)]
            entropy = functional.binary_cross_entropy_with_logits
            terms["label"] = entropy(logits[0], labels) + entropy(logits[1], labels)
        if self.bank.beside:
            p, q = (values.detach().float().sigmoid() for values in logits)
            T_image = posterior_similarity(p, self.bank.get_buffer("q")[drawn])
            T_text = posterior_similarity(q, self.bank.get_buffer("p")[drawn])
            terms["distill"] = self._nll(F, G, drawn, T_image, T_text)
            batch.shared.update(p=p, q=q)
        if self.weights["target"]:
            B = self.bank.B[batch.index]
            terms["target"] = quantization(B, F) + quantization(B, G)
        if self.weights["quantization"]:
            terms["quantization"] = quantization(sign(F.detach()), F) + quantization(
                sign(G.detach()), G
            )
        return terms

    def _drawn(self, device: torch.device) -> Tensor:
        count = len(self.bank.F)
        if count <= self.anchors:
            return torch.arange(count, device=device)
        return torch.randint(count, (self.anchors,), device=device)

    def _nll(self, F: Tensor, G: Tensor, drawn: Tensor, T_image: Tensor, T_text: Tensor) -> Tensor:
        """nll(F, G'; T_image) + nll(G, F'; T_text)."""
        texts, images = self._signed(self.bank.G[drawn]), self._signed(self.bank.F[drawn])
        return pairwise_nll(self._signed(F), texts, T_image, scale=self.scale) + pairwise_nll(
            self._signed(G), images, T_text, scale=self.scale
        )

    def _signed(self, codes: Tensor) -> Tensor:
        return toward_signs(codes, self.straight)

    def solve_codes(self) -> dict[str, float]:
        """B, the codes of the labels."""
        labels = self.bank.labels
        self.bank.B.copy_(label_codes(labels, self.net.bits, scale=self.scale))
        return self.bank.figures()

    learned_codes = bank_codes
