"""MDFFH: Multi-Dimensional Feature Fusion Hashing.

Ren & Xu, Frontiers in Physics 2024, 12, 1379873, https://doi.org/10.3389/fphy.2024.1379873
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Literal

import torch
from torch import Tensor, nn

from crosshash.algorithms.code_bank import CodeBank, bank_codes, require_labels
from crosshash.algorithms.phases import Algorithm, BatchPhase, Phase, SolvePhase, Terms, Update
from crosshash.backbones.base import Features, ImageBackbone, TextEncoder
from crosshash.layers.heads import Encoder, HashHead
from crosshash.layers.multiscale_text import MultiScaleEncoder
from crosshash.losses.normalization import Normalization, term_weight
from crosshash.losses.quantization_error import quantization
from crosshash.methods.build import METHODS
from crosshash.model.batch import Batch
from crosshash.model.hash_model import HashModel, Standardize

# Network


class MDFFHNet(HashModel):
    """Image: features of a transformer and a CNN side by side; text: scales joined by convolution.

    Section 3.2: ViT's pooled feature through one layer of its own, concatenated with the output of
    CNN-F's first six layers (through fc6), then fully connected layers. The paper names no
    activation; ours is ReLU after every layer but the last and ViT's own.

    Args:
        backbones: ``{"cnn": …, "vit": …}``, the paper's ``cnnf`` (fc6) and
            ``vit_base_patch16_224``; without ``vit`` it is the ablation MDFFH-1.
        text: The text encoder; the paper's is ``bow``.
        bits: K.
        branch: Width of the transformer's own layer; the paper's 4096.
        image_hidden: Widths of the image layers before the codes; the paper's 8192, 4096.
        text_hidden: Widths of the text layers before the codes; the paper's 4096, 4096.
        multiscale: False leaves the scales of the text out, as for a sentence encoder's vector.
        dropout: In the fully connected layers; the paper names none.
        norm: BatchNorm in the fully connected layers; the paper names none.
        standardize: See :class:`~crosshash.model.hash_model.HashModel`.
        image_dropout: See :class:`~crosshash.model.hash_model.HashModel`.
    """

    slots = ("cnn", "vit")
    optional = ("vit",)
    image_net: nn.ModuleDict

    def __init__(
        self,
        backbones: Mapping[str, ImageBackbone],
        text: TextEncoder,
        bits: int,
        *,
        branch: int = 512,
        image_hidden: Sequence[int] = (1024,),
        text_hidden: Sequence[int] = (1024,),
        multiscale: bool = True,
        dropout: float = 0.0,
        norm: bool = True,
        standardize: Sequence[Standardize] = (),
        image_dropout: float = 0.0,
    ) -> None:
        super().__init__(
            backbones, text, bits, standardize=standardize, image_dropout=image_dropout
        )
        width = backbones["cnn"].dim
        image_net = nn.ModuleDict()
        if "vit" in backbones:
            image_net["vit"] = nn.Linear(backbones["vit"].dim, branch)
            width += branch
        encoder = Encoder(width, image_hidden, dropout=dropout, norm=norm)
        image_net["codes"] = nn.Sequential(encoder, HashHead(encoder.out_dim, bits, tanh=False))
        self.image_net = image_net
        fuse: Literal["conv"] | None = "conv" if multiscale else None
        words = MultiScaleEncoder(text.dim, text_hidden, fuse=fuse, dropout=dropout, norm=norm)
        self.text_net = nn.Sequential(words, HashHead(words.out_dim, bits, tanh=False))

    def hash_image(self, features: Mapping[str, Features]) -> Tensor:
        """F (n, k), unbounded."""
        fused = features["cnn"].pooled
        if "vit" in self.slots:
            fused = torch.cat([fused, self.image_net["vit"](features["vit"].pooled)], dim=1)
        return self.image_net["codes"](fused)  # type: ignore[no-any-return]

    def hash_text(self, features: Features) -> Tensor:
        """G (n, k), unbounded."""
        return self.text_net(features.pooled)  # type: ignore[no-any-return]


# Loss and algorithm


@METHODS.register("mdffh")
class MDFFH(Algorithm):
    """Training of MDFFH by Algorithm 1: ``inter + eta quantization`` (Eq. 5).

    The printed sums are means here, over all n^2 pairs and n k entries, which with
    ``normalization="sums"`` stand in the proportion of the sums: the whole is Eq. 5 over n^2, as in
    DCMH's code, and the printed rates are for that. F, G and B are the paper's P, Q and H; S_ij = 1
    where pairs i and j share a label.

    - ``inter`` (Eq. 3): softplus(phi_ij) - S_ij phi_ij, phi = ``scale`` F G^T, of a batch's rows
      against the bank's codes of the other modality.
    - ``quantization`` (Eq. 4): |B - F|^2 in the image phase, |B - G|^2 in the text phase.

    Eq. 2 prints sigma as 1 / (1 + e^phi), which is 1 / (1 + e^-phi); V in Eq. 5 stands for Q, and
    the parameter study's gamma is eta.

    Args:
        net: The network.
        count: Training pairs.
        classes: Label classes.
        eta: Weight of the quantization terms; the paper's 1.
        scale: Factor of the inner products; the paper's 1/2.
        normalization: ``"sums"``: terms weigh as in the printed sums; ``"means"``: as means.

    Raises:
        ValueError: There are no labels.
    """

    Network = MDFFHNet
    net: MDFFHNet
    learned_codes = bank_codes  # B

    def __init__(
        self,
        net: MDFFHNet,
        count: int,
        classes: int,
        *,
        eta: float = 1.0,
        scale: float = 0.5,
        normalization: Normalization = "sums",
    ) -> None:
        super().__init__()
        require_labels(classes)
        self.net = net
        self.bank = CodeBank(count, net.bits, classes)
        self.scale = scale
        self.weights = {"quantization": eta * term_weight(normalization, net.bits, count)}

    def begin(self, batches: Iterable[Batch]) -> None:
        """Keep labels and first codes of the training set."""
        self.bank.fill(batches, self.net.codes)

    def phases(self) -> list[Phase]:
        """Algorithm 1: images with G and B fixed, texts with F and B fixed, then B."""
        image = Update(
            self.net.image_parameters(), self.image_loss, self.weights, after=self.bank.keep
        )
        text = Update(
            self.net.text_parameters(), self.text_loss, self.weights, after=self.bank.keep
        )
        return [
            BatchPhase("image", [image]),
            BatchPhase("text", [text]),
            SolvePhase("codes", self.solve_codes),
        ]

    def image_loss(self, batch: Batch) -> Terms:
        """Eq. 5 as a function of the batch's F (Eq. 6 is its gradient)."""
        F = self.net.hash_image(self.net.image_features(batch.images))
        batch.shared["F"] = F.detach()
        return {
            "inter": self.bank.nll(batch, F, "G", scale=self.scale),
            "quantization": quantization(self.bank.B[batch.index], F),
        }

    def text_loss(self, batch: Batch) -> Terms:
        """Eq. 5 as a function of the batch's G (Eq. 7 is its gradient)."""
        G = self.net.hash_text(self.net.text_features(batch.texts))
        batch.shared["G"] = G.detach()
        return {
            "inter": self.bank.nll(batch, G, "F", scale=self.scale),
            "quantization": quantization(self.bank.B[batch.index], G),
        }

    def solve_codes(self) -> dict[str, float]:
        """B = sign(eta (F + G)) (Eq. 9); any eta above 0 gives the same."""
        self.bank.B.copy_(self.bank.signs())
        return self.bank.figures()
