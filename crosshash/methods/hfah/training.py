"""HFAH's losses and its Algorithm 1."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional

from crosshash.algorithms.code_bank import CodeBank, bank_codes, require_labels
from crosshash.algorithms.phases import Algorithm, BatchPhase, Phase, SolvePhase, Terms, Update
from crosshash.codes import sign
from crosshash.layers.label_net import LabelNet
from crosshash.layers.reconstruction import MODALITIES, Reconstruction
from crosshash.losses.adversarial import discriminator_loss, generator_loss
from crosshash.losses.likelihood import pairwise_nll
from crosshash.losses.normalization import Normalization, term_weight
from crosshash.losses.quantization_error import quantization
from crosshash.methods.build import METHODS
from crosshash.methods.hfah.network import HFAHNet
from crosshash.model.batch import Batch
from crosshash.similarity import label_similarity

# Label rows that go through their network together, so that a large set's hidden layer fits.
_ROWS = 8192


@METHODS.register("hfah")
class HFAH(Algorithm):
    """Training of HFAH by Algorithm 1: label network, then both modalities, then discriminators.

    Sums over all pairs are estimated by means over those of a batch, as are sums over items. S_ij =
    1 where pairs i and j share a label; nll(U, V) is softplus(theta_ij) - S_ij theta_ij with theta
    = ``scale`` U V^T (Eq. 2), ``feature_scale`` for features. x is text, y image, l the labels.

    Label network (Eq. 3), ``alpha`` and ``classification`` weighing the last two:

    - ``label_feature``: nll(f^l, f^l).
    - ``label_hash``: nll(H^l, H^l).
    - ``label_quantization``: |H^l - B^l|^2. Below Eq. 3 B^l is sign(H^l), the label network's own;
      Algorithm 1 updates one B for all. ``label_target`` says which.
    - ``label_classification``: |L - L^|^2.

    Both modalities (Eqs. 5-6, ``beta`` and ``gamma`` weighing the middle two; Eqs. 13, 15):

    - ``guidance`` (Eq. 4): nll(f^l, f^x) + nll(f^l, f^y), f^l a constant.
    - ``consistency`` (Eqs. 9-10): |H^x - B|^2 + |B'^x - B|^2 and the same of y. B is the unified
      code, B' the code that the hash head gives to the modality's own reconstruction.
    - ``reconstruction`` (Eqs. 7-8): |f^x - f_x^x|^2 + |f^y - f_y^x|^2 and the same from y. A
      superscript is the modality of the code, a subscript the one generated; Eq. 7 prints f^x
      twice, where each generated feature is compared with the real one of its own modality. That
      one is a constant: features that learn to be easy to reconstruct become equal.
    - ``adv``: -E log D1(f_x^y) - E log D2(f_y^x), the generators' side of Eqs. 11-12. The paper
      prints one min-max objective (Eqs. 15-16); this is the non-saturating form.

    Discriminators (Eqs. 11-12, 14), a modality's own reconstruction being real:

    - ``text_adversary``: -E log D1(f_x^x) - E log(1 - D1(f_x^y)).
    - ``image_adversary``: -E log D2(f_y^y) - E log(1 - D2(f_y^x)).

    alpha, beta and gamma are not given. Section 3.2 trains the label network first, Algorithm 1 all
    together. Together, B starts at the nearly constant codes of untrained networks and holds them
    there; so the label network learns alone for ``label_epochs`` before the first epoch, and B
    starts as sign(H^l).

    Args:
        net: The network.
        count: Training pairs.
        classes: Label classes.
        label_hidden: Width of the label network's hidden layer; the paper's 4096.
        alpha: Weight of ``label_quantization``. A strong one holds H^l at the first B as well.
        label_target: B^l: ``"unified"``, the B of Algorithm 1, or ``"own"``, sign(H^l) (Eq. 3).
        classification: Weight of ``label_classification``, printed as beta too.
        beta: Weight of ``consistency``.
        gamma: Weight of ``reconstruction``.
        adv: Weight of ``adv``; printed as 1.
        vote: Weight of H^l in B = sign(vote H^l + H^x + H^y); printed as 1. With 3 B is a function
            of the labels alone; with 1 and without ``label_epochs`` both modalities outvote the
            labels (benchmarks/RESULTS.md).
        label_epochs: Passes over the training labels before the first epoch, at ``label_rate`` by
            AdamW.
        label_rate: Learning rate of these passes.
        reconstruct: False is the ablation HFAH-3: no decoders, no discriminators, no B'.
        scale: Factor of the codes' inner products; the paper's 1/2.
        feature_scale: Factor of the features' inner products; the paper's 1/2.
        normalization: ``"sums"``: terms weigh as in the printed sums; ``"means"``: as means.

    Raises:
        ValueError: There are no labels.
    """

    Network = HFAHNet
    net: HFAHNet
    learned_codes = bank_codes  # B

    def __init__(
        self,
        net: HFAHNet,
        count: int,
        classes: int,
        *,
        label_hidden: int = 512,
        alpha: float = 0.02,
        label_target: Literal["unified", "own"] = "unified",
        classification: float = 1.0,
        beta: float = 1.0,
        gamma: float = 1.0,
        adv: float = 1.0,
        vote: float = 1.0,
        label_epochs: int = 20,
        label_rate: float = 1e-3,
        reconstruct: bool = True,
        scale: float = 0.5,
        feature_scale: float = 0.5,
        normalization: Normalization = "means",
    ) -> None:
        super().__init__()
        require_labels(classes)
        self.net = net
        self.bank = CodeBank(count, net.bits, classes, more=("H",))
        self.labels = LabelNet(classes, label_hidden, net.feature, net.bits)
        self.reconstruction = Reconstruction(net.bits, net.feature) if reconstruct else None
        self.scale, self.feature_scale, self.vote = scale, feature_scale, vote
        self.label_epochs, self.label_rate = label_epochs, label_rate
        self.own_target = label_target == "own"
        share = {
            width: term_weight(normalization, width, count)
            for width in (net.bits, classes, net.feature, 1)
        }
        self.label_weights = {
            "label_quantization": alpha * share[net.bits],
            "label_classification": classification * share[classes],
        }
        self.weights = {
            "consistency": beta * share[net.bits],
            "reconstruction": gamma * share[net.feature],
            "adv": adv * share[1],
        }

    def begin(self, batches: Iterable[Batch]) -> None:
        """Keep labels and first codes of the training set."""
        self.bank.fill(batches, self.net.codes)

    def preliminary(self) -> list[Phase]:
        """Section 3.2: the label network alone, then B = sign(H^l)."""
        learn = Update(
            self.labels.parameters(),
            self.semantic_loss,
            self.label_weights,
            learning_rate=self.label_rate,
            optimizer="adamw",
        )
        return [
            BatchPhase("labels", [learn], passes=self.label_epochs, sees_data=False),
            SolvePhase("first_codes", self.solve_first_codes),
        ]

    def phases(self) -> list[Phase]:
        """Algorithm 1: three updates an iteration, B at the end of an epoch."""
        labels, trained, keep = self.labels.parameters(), [*self.net.parameters()], self.bank.keep
        updates = [Update(labels, self.label_loss, self.label_weights, "label", keep)]
        if self.reconstruction is not None:
            trained += self.reconstruction.decoders.parameters()
        updates.append(Update(trained, self.modality_loss, self.weights, "modalities", keep))
        if self.reconstruction is not None:
            discriminators = self.reconstruction.discriminators.parameters()
            updates.append(Update(discriminators, self.adversary_loss, name="discriminators"))
        return [BatchPhase("networks", updates), SolvePhase("codes", self.solve_codes)]

    def semantic_loss(self, batch: Batch) -> Terms:
        """L^l (Eq. 3) before there is a B: without its third term."""
        return self._label_terms(batch)[1]

    def label_loss(self, batch: Batch) -> Terms:
        """L^l (Eq. 3)."""
        H, terms = self._label_terms(batch)
        batch.shared["H"] = H.detach()
        B = sign(H.detach()) if self.own_target else self.bank.B[batch.index]
        terms["label_quantization"] = quantization(B, H)
        return terms

    def _label_terms(self, batch: Batch) -> tuple[Tensor, Terms]:
        """H^l and the terms of Eq. 3 without B."""
        labels = self.bank.labels[batch.index]
        S = label_similarity(labels, labels)
        f, H = self.labels(labels)
        return H, {
            "label_feature": pairwise_nll(f, f, S, scale=self.feature_scale),
            "label_hash": pairwise_nll(H, H, S, scale=self.scale),
            "label_classification": functional.mse_loss(self.labels.classifier(f), labels),
        }

    def modality_loss(self, batch: Batch) -> Terms:
        """L^x + L^y (Eqs. 4-10) and the generators' side of Eqs. 11-12."""
        labels = self.bank.labels[batch.index]
        S = label_similarity(labels, labels)
        with torch.no_grad():
            guide = self.labels(labels)[0]
        f, H = self._features(batch)
        batch.shared.update(F=H["image"].detach(), G=H["text"].detach())
        B = self.bank.B[batch.index]
        terms = {
            "guidance": torch.stack(
                [pairwise_nll(guide, f[m], S, scale=self.feature_scale) for m in MODALITIES]
            ).sum(),
            "consistency": quantization(B, H["text"]) + quantization(B, H["image"]),
        }
        if self.reconstruction is None:
            return terms
        made = self.reconstruction(H)
        for modality in MODALITIES:
            head = self.net.get_submodule(f"{modality}_net.hash.codes")
            again = head(made[f"{modality}_{modality}"])
            terms["consistency"] = terms["consistency"] + quantization(B, again)
        errors = [
            functional.mse_loss(value, f[pair.partition("_")[2]].detach())
            for pair, value in made.items()
        ]
        terms["reconstruction"] = torch.stack(errors).sum()
        discriminators = self.reconstruction.discriminators
        terms["adv"] = generator_loss(discriminators["text"](made["image_text"])) + generator_loss(
            discriminators["image"](made["text_image"])
        )
        batch.shared.update({pair: value.detach() for pair, value in made.items()})
        return terms

    def _features(self, batch: Batch) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        image = self.net.image_pair(self.net.image_features(batch.images))
        text = self.net.text_pair(self.net.text_features(batch.texts))
        return {"image": image[0], "text": text[0]}, {"image": image[1], "text": text[1]}

    def adversary_loss(self, batch: Batch) -> Terms:
        """The discriminators' side: a modality's own reconstruction is real (Eqs. 11-12)."""
        if self.reconstruction is None:
            raise ValueError("HFAH-3 has no discriminators")
        made = {k: v for k, v in batch.shared.items() if k in self.reconstruction.decoders}
        if not made:
            with torch.no_grad():
                made = self.reconstruction(self._features(batch)[1])
        terms = {}
        for target, other in (("text", "image"), ("image", "text")):
            judge = self.reconstruction.discriminators[target]
            real, generated = made[f"{target}_{target}"], made[f"{other}_{target}"]
            terms[f"{target}_adversary"] = discriminator_loss(judge(real), judge(generated))
        return terms

    def solve_first_codes(self) -> dict[str, float]:
        """H^l of all rows, and B = sign(H^l)."""
        parts = [self.labels(labels)[1] for labels in self.bank.labels.split(_ROWS)]
        H = self.bank.get_buffer("H").copy_(torch.cat(parts))
        self.bank.B.copy_(sign(H))
        return self.bank.figures()

    def solve_codes(self) -> dict[str, float]:
        """B = sign(vote H^l + H^x + H^y); logs the share of its bits that the labels' code has."""
        self.bank.B.copy_(self.bank.signs(H=self.vote))
        agree = (sign(self.bank.get_buffer("H")) == self.bank.B).float().mean()
        return {**self.bank.figures(), "label_agreement": float(agree)}
