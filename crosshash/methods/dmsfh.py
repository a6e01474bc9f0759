"""DMSFH: Deep Multi-Semantic Fusion-based Cross-modal Hashing.

Zhu et al., Mathematics 2022, 10(3), 430, https://doi.org/10.3390/math10030430
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Literal

from torch import Tensor, nn
from torch.nn import functional

from crosshash.algorithms.code_bank import CodeBank, bank_codes, require_labels
from crosshash.algorithms.laplacian import LabelLaplacian
from crosshash.algorithms.phases import Algorithm, BatchPhase, Phase, SolvePhase, Terms, Update
from crosshash.backbones.base import Features, ImageBackbone, TextEncoder
from crosshash.codes import sign
from crosshash.layers.heads import Encoder, HashHead
from crosshash.layers.multiscale_text import MultiScaleEncoder
from crosshash.losses.normalization import Normalization, term_weight
from crosshash.losses.quantization_error import quantization
from crosshash.methods.build import METHODS
from crosshash.model.batch import Batch
from crosshash.model.hash_model import HashModel, Standardize

# Network


class DMSFHNet(HashModel):
    """Image: a backbone and its last layer; text: concatenated scales and two layers.

    Section 3.2: the last layer of each side has K + c outputs, codes and label logits. Here it is
    two layers side by side, which is the same; that for labels stands in the algorithm, since only
    training needs it. (On the image side a hash layer and a label layer are said to follow the
    K + c nodes; we read them as their two parts, as on the text side.)

    Args:
        backbones: ``{"image": backbone}``; the paper's is ``resnet34``.
        text: The text encoder; the paper's is ``bow``.
        bits: K.
        image_hidden: Widths of layers between backbone and codes; the paper has none, and trains
            the backbone.
        text_hidden: Widths of the text layers before the codes; the paper's 4096, 512.
        multiscale: False leaves the scales of the text out, as for a sentence encoder's vector.
        dropout: In the fully connected layers; the paper names none.
        norm: BatchNorm in the fully connected layers; the paper names none.
        standardize: See :class:`~crosshash.model.hash_model.HashModel`.
        image_dropout: See :class:`~crosshash.model.hash_model.HashModel`.
    """

    image_net: nn.ModuleDict
    text_net: nn.ModuleDict

    def __init__(
        self,
        backbones: Mapping[str, ImageBackbone],
        text: TextEncoder,
        bits: int,
        *,
        image_hidden: Sequence[int] = (),
        text_hidden: Sequence[int] = (1024, 512),
        multiscale: bool = True,
        dropout: float = 0.0,
        norm: bool = True,
        standardize: Sequence[Standardize] = (),
        image_dropout: float = 0.0,
    ) -> None:
        super().__init__(
            backbones, text, bits, standardize=standardize, image_dropout=image_dropout
        )
        encoder = Encoder(backbones["image"].dim, image_hidden, dropout=dropout, norm=norm)
        fuse: Literal["concat"] | None = "concat" if multiscale else None
        words = MultiScaleEncoder(text.dim, text_hidden, fuse=fuse, dropout=dropout, norm=norm)
        self.dims = {"image": encoder.out_dim, "text": words.out_dim}
        self.image_net = nn.ModuleDict(
            {"encoder": encoder, "codes": HashHead(encoder.out_dim, bits, tanh=False)}
        )
        self.text_net = nn.ModuleDict(
            {"encoder": words, "codes": HashHead(words.out_dim, bits, tanh=False)}
        )

    def image_vector(self, features: Mapping[str, Features]) -> Tensor:
        """What the image side's last layer reads, (n, dims["image"])."""
        return self.image_net["encoder"](features["image"].pooled)  # type: ignore[no-any-return]

    def text_vector(self, features: Features) -> Tensor:
        """What the text side's last layer reads, (n, dims["text"])."""
        return self.text_net["encoder"](features.pooled)  # type: ignore[no-any-return]

    def hash_image(self, features: Mapping[str, Features]) -> Tensor:
        """F (n, k), unbounded."""
        return self.image_net["codes"](self.image_vector(features))  # type: ignore[no-any-return]

    def hash_text(self, features: Features) -> Tensor:
        """G (n, k), unbounded."""
        return self.text_net["codes"](self.text_vector(features))  # type: ignore[no-any-return]


# Loss and algorithm


@METHODS.register("dmsfh")
class DMSFH(Algorithm):
    """Training of DMSFH: L1 + L2 + L3 + gamma L4 + beta L5 (Eq. 13), by Algorithm 1.

    The printed sums are means here, over all n^2 pairs, n c or n k entries, which with
    ``normalization="sums"`` stand in the proportion of the sums: the whole is Eq. 13 over n^2, as
    in DCMH's code, and the printed rates are for that. S_ij = 1 where pairs i and j share a label;
    nll(U, V) is softplus(phi_ij) - S_ij phi_ij, phi = ``scale`` U V^T.

    - ``inter`` (L1, Eq. 3): nll(F, G).
    - ``intra`` (L2, Eqs. 5-7): nll(F, F) in the image phase, nll(G, G) in the text phase. As in
      DCMH's family, a batch's codes meet the bank's as constants. Algorithm 1 stores the batch's
      own codes in the bank before, here they are stored after the step: b of n rows are the ones of
      the epoch before.
    - ``label`` (L3, Eqs. 8-10): softplus(l_ij) - L_ij l_ij of the label logits l of the phase's
      modality, the cross-entropy of each label.
    - ``graph`` (L4, Eq. 11): tr(B^T Lap B), Lap = D - S; a figure of the B step, logged as a mean
      over B's entries.
    - ``quantization`` (L5, Eq. 12): |B - F|^2 in the image phase, |B - G|^2 in the text phase.

    A term whose weight is 0 is left out. DMSFH-P is L1 and L2 "only", ``label=0, gamma=0, beta=0``;
    B is then sign(F + G), and nothing learns from it.

    "F text, G image" above Eq. 4 is the other way round elsewhere, Eq. 16 prints S^vv for S^tt, and
    Eq. 18 exchanges gamma and beta; Eq. 13 holds.

    **B step.** Eq. 19 as printed inverts a singular Laplacian and multiplies matrices that do not
    fit. The minimiser of the relaxed problem is ``(2 beta I + gamma Lap)^-1 beta (F + G)``, and B
    its sign. With the unnormalised Laplacian the degrees are in the thousands, and B tends to one
    code for all; the symmetric normalised one is the default (figures in benchmarks/RESULTS.md).
    Share of different codes and balance of B's bits are logged every epoch.

    Args:
        net: The network.
        count: Training pairs.
        classes: Label classes.
        intra: Weight of L2; the paper's 1.
        label: Weight of L3; the paper's 1.
        gamma: Weight of L4; the paper's 1. DMSFH-S has ``gamma=0``.
        beta: Weight of L5; the paper's 1. Without the graph term it may be 0.
        scale: Factor of the inner products; the paper's 1/2.
        laplacian: ``"normalized"``, or ``"unnormalized"`` as printed.
        normalization: ``"sums"``: terms weigh as in the printed sums; ``"means"``: as means.

    Raises:
        ValueError: There are no labels; ``beta`` is below 0, or 0 where ``gamma`` is not: B would
            not be determined.
    """

    Network = DMSFHNet
    net: DMSFHNet
    learned_codes = bank_codes  # B

    def __init__(
        self,
        net: DMSFHNet,
        count: int,
        classes: int,
        *,
        intra: float = 1.0,
        label: float = 1.0,
        gamma: float = 1.0,
        beta: float = 1.0,
        scale: float = 0.5,
        laplacian: Literal["normalized", "unnormalized"] = "normalized",
        normalization: Normalization = "sums",
    ) -> None:
        super().__init__()
        require_labels(classes)
        if beta < 0 or (gamma and not beta):
            raise ValueError(
                f"algorithm.beta is above 0, or 0 where gamma is 0 as well, got {beta}"
            )
        self.net = net
        self.bank = CodeBank(count, net.bits, classes)
        self.heads = nn.ModuleDict()
        if label:
            self.heads.update({m: nn.Linear(dim, classes) for m, dim in net.dims.items()})
        self.intra, self.gamma, self.beta, self.scale = intra, gamma, beta, scale
        self.normalized = laplacian == "normalized"
        self.weights = {
            "intra": intra,
            "label": label * term_weight(normalization, classes, count),
            "quantization": beta * term_weight(normalization, net.bits, count),
        }
        self._laplacian: LabelLaplacian | None = None

    def begin(self, batches: Iterable[Batch]) -> None:
        """Keep labels and first codes of the training set, and the graph of its labels."""
        self.bank.fill(batches, self.net.codes)
        if self.gamma:
            self._laplacian = LabelLaplacian(self.bank.labels, normalized=self.normalized)

    def phases(self) -> list[Phase]:
        """Algorithm 1: images with G and B fixed, texts with F and B fixed, then B."""
        image, text = self.net.image_parameters(), self.net.text_parameters()
        if self.heads:
            image += self.heads["image"].parameters()
            text += self.heads["text"].parameters()
        return [
            BatchPhase(
                "image", [Update(image, self.image_loss, self.weights, after=self.bank.keep)]
            ),
            BatchPhase("text", [Update(text, self.text_loss, self.weights, after=self.bank.keep)]),
            SolvePhase("codes", self.solve_codes),
        ]

    def image_loss(self, batch: Batch) -> Terms:
        """Eq. 13 as a function of the batch's F and label logits (gradients: Eqs. 14-15)."""
        vector = self.net.image_vector(self.net.image_features(batch.images))
        F = self.net.image_net["codes"](vector)
        batch.shared["F"] = F.detach()
        return self._terms(batch, "image", vector, F, own="F", other="G")

    def text_loss(self, batch: Batch) -> Terms:
        """Eq. 13 as a function of the batch's G and label logits (gradients: Eqs. 16-17)."""
        vector = self.net.text_vector(self.net.text_features(batch.texts))
        G = self.net.text_net["codes"](vector)
        batch.shared["G"] = G.detach()
        return self._terms(batch, "text", vector, G, own="G", other="F")

    def _terms(
        self, batch: Batch, modality: str, vector: Tensor, codes: Tensor, *, own: str, other: str
    ) -> Terms:
        terms = {"inter": self.bank.nll(batch, codes, other, scale=self.scale)}
        if self.intra:
            terms["intra"] = self.bank.nll(batch, codes, own, scale=self.scale)
        if self.heads:
            labels = self.bank.labels[batch.index]
            logits = self.heads[modality](vector)
            terms["label"] = functional.binary_cross_entropy_with_logits(logits, labels)
        if self.beta:
            terms["quantization"] = quantization(self.bank.B[batch.index], codes)
        return terms

    def solve_codes(self) -> dict[str, float]:
        """B = sign((2 beta I + gamma Lap)^-1 beta (F + G)); logs B's health and L4 as a mean."""
        if self._laplacian is None:
            self.bank.B.copy_(self.bank.signs())
            return self.bank.figures()
        relaxed = self._laplacian.solve(
            self.beta * (self.bank.F + self.bank.G), shift=2 * self.beta, weight=self.gamma
        )
        self.bank.B.copy_(sign(relaxed))
        trace = self._laplacian.trace(self.bank.B) / self.bank.B.numel()
        return {**self.bank.figures(), "graph": trace}
