"""MITH's training: likelihoods over banks of both codes, contrast, distillation."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn
from torch.nn import functional

from crosshash.algorithms.code_bank import CodeBank, require_labels
from crosshash.algorithms.phases import Algorithm, BatchPhase, Phase, Terms, Update
from crosshash.codes import sign
from crosshash.losses.contrast import info_nce
from crosshash.losses.quantization_error import quantization
from crosshash.methods.build import METHODS
from crosshash.methods.mith.network import MITHNet, Parts
from crosshash.model.batch import Batch
from crosshash.similarity import cosine_similarity


def token_contrast(image: Tensor, text: Tensor, scale: float) -> Tensor:
    """Within each pair, each concept token of the image is to find the text's, and back.

    Mean over the pairs of :func:`~crosshash.losses.contrast.info_nce` of their (k, k) cosines.

    Args:
        image: (n, k, d).
        text: (n, k, d).
        scale: Inverse temperature.
    """
    image, text = functional.normalize(image, dim=2), functional.normalize(text, dim=2)
    return info_nce(image @ text.mT, scale)


def distillation(student: Tensor, teacher: Tensor) -> Tensor:
    """Sum over the bits of (teacher - student)^2, mean over the items; no gradient to the teacher.

    Args:
        student: (n, k).
        teacher: (n, k).
    """
    return (teacher.detach() - student).square().sum(dim=1).mean()


@METHODS.register("mith")
class MITH(Algorithm):
    """Training of MITH: the weighted sum of seven terms on a batch.

    c, t are the global and the local codes of a batch's images or texts, c', t' those of all
    training pairs that a bank keeps as constants. nll is
    :func:`~crosshash.losses.likelihood.pairwise_nll` with S_ij = 1 where pairs share a label.

    - ``intra``: nll(t, t') of the images plus that of the texts.
    - ``inter``: nll(c, c') of images against the bank's texts, plus that of texts against its
      images.
    - ``quantization``: ((c + t) / 2 - B)^2 of both, where B are the signs of the sum of both
      modalities' lambda c + (1 - lambda) t.
    - ``contrast``: :func:`~crosshash.losses.contrast.info_nce` of the cosines of images' r and
      texts' r.
    - ``tokens``: :func:`token_contrast` of the concept tokens after a linear layer for each
      modality, which only training has.
    - ``distill``: t is to follow c, and ``follow``: c is to follow t, by :func:`distillation`, of
      both.

    A batch meets the bank as it was before it, and the bank starts with the first network's codes;
    the authors' starts with random codes and has a batch's own before its losses.

    Args:
        net: The network.
        count: Training pairs.
        classes: Label classes.
        intra: Weight of ``intra``; all defaults are the authors'. 0 leaves a term out.
        inter: Weight of ``inter``, which is never left out.
        quantization: Weight of ``quantization``.
        contrast: Weight of ``contrast``.
        tokens: Weight of ``tokens``; the authors' is 0.01 times that of ``contrast``.
        distill: Weight of ``distill``.
        follow: Weight of ``follow``; the authors' is 0.1 times that of ``distill``.
        temperature: Of both contrasts.

    Raises:
        ValueError: There are no labels; ``temperature`` is not above 0.
    """

    Network = MITHNet
    net: MITHNet

    def __init__(
        self,
        net: MITHNet,
        count: int,
        classes: int,
        *,
        intra: float = 1.0,
        inter: float = 10.0,
        quantization: float = 8.0,
        contrast: float = 50.0,
        tokens: float = 0.5,
        distill: float = 1.0,
        follow: float = 0.1,
        temperature: float = 0.07,
    ) -> None:
        super().__init__()
        require_labels(classes)
        if temperature <= 0:
            raise ValueError(f"algorithm.temperature is above 0, got {temperature}")
        self.net = net
        self.bank = CodeBank(count, net.bits, classes, more=("F_local", "G_local"))
        self.projections = nn.ModuleDict()
        if tokens:
            self.projections.update({m: nn.Linear(net.dim, net.dim) for m in ("image", "text")})
        self.scale = 1 / temperature
        self.weights = {
            "intra": intra,
            "inter": inter,
            "quantization": quantization,
            "contrast": contrast,
            "tokens": tokens,
            "distill": distill,
            "follow": follow,
        }

    def begin(self, batches: Iterable[Batch]) -> None:
        """Keep labels and first codes of the training set."""
        self.bank.fill(batches, lambda batch: _codes(*self._parts(batch)))

    def phases(self) -> list[Phase]:
        """One pass over both modalities."""
        trained = [*self.net.parameters(), *self.projections.parameters()]
        update = Update(trained, self.loss, self.weights, after=self.bank.keep)
        return [BatchPhase("hash", [update])]

    def _parts(self, batch: Batch) -> tuple[Parts, Parts]:
        image = self.net.image_parts(self.net.image_features(batch.images))
        return image, self.net.text_parts(self.net.text_features(batch.texts))

    def loss(self, batch: Batch) -> Terms:
        """All terms, unweighted; one of weight 0 is not computed."""
        image, text = self._parts(batch)
        bank, weights = self.bank, self.weights
        batch.shared.update(_codes(image, text))
        terms = {"inter": bank.nll(batch, image.code, "G") + bank.nll(batch, text.code, "F")}
        if weights["intra"]:
            terms["intra"] = bank.nll(batch, image.local, "F_local") + bank.nll(
                batch, text.local, "G_local"
            )
        if weights["quantization"]:
            B = sign((self.net.mixed(image) + self.net.mixed(text)).detach())
            terms["quantization"] = quantization(B, (image.code + image.local) / 2) + quantization(
                B, (text.code + text.local) / 2
            )
        if weights["contrast"]:
            terms["contrast"] = info_nce(cosine_similarity(image.vector, text.vector), self.scale)
        if self.projections:
            p, q = (
                self.projections[name](parts.concepts)
                for name, parts in (("image", image), ("text", text))
            )
            terms["tokens"] = token_contrast(p, q, self.scale)
        if weights["distill"]:
            terms["distill"] = torch.stack(
                [distillation(parts.local, parts.code) for parts in (image, text)]
            ).sum()
        if weights["follow"]:
            terms["follow"] = torch.stack(
                [distillation(parts.code, parts.local) for parts in (image, text)]
            ).sum()
        return terms


def _codes(image: Parts, text: Parts) -> dict[str, Tensor]:
    codes = {"F": image.code, "G": text.code, "F_local": image.local, "G_local": text.local}
    return {name: value.detach() for name, value in codes.items()}
