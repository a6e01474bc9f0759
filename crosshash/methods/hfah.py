"""HFAH: Hybrid-attention Feature-reconstructive Adversarial Hashing.

Li & Wang, Journal of Engineering Research, ICCSCT 2022, https://doi.org/10.36909/jer.ICCSCT.19467
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from crosshash.algorithms.code_bank import CodeBank, bank_codes, require_labels
from crosshash.algorithms.phases import Algorithm, BatchPhase, Phase, SolvePhase, Terms, Update
from crosshash.backbones.base import Features, ImageBackbone, TextEncoder
from crosshash.codes import sign
from crosshash.layers.heads import Encoder
from crosshash.layers.hybrid_attention import HybridAttention
from crosshash.layers.label_net import FeatureHash, LabelNet
from crosshash.layers.multiscale_text import MultiScaleEncoder
from crosshash.layers.reconstruction import MODALITIES, Reconstruction
from crosshash.losses.adversarial import discriminator_loss, generator_loss
from crosshash.losses.likelihood import pairwise_nll
from crosshash.losses.normalization import Normalization, term_weight
from crosshash.losses.quantization_error import quantization
from crosshash.methods.build import METHODS
from crosshash.model.batch import Batch
from crosshash.model.hash_model import HashModel, Standardize
from crosshash.similarity import label_similarity

# Network


class HFAHNet(HashModel):
    """Image: hybrid attention between a backbone's map and its head; text: concatenated scales.

    Sections 3.3 and 4.3. Where a backbone does not go on from its map (features, transformers with
    a class token), attention is over its vector, as a map of one place.

    Args:
        backbones: ``{"image": backbone}``; the paper's is ``cnnf``.
        text: The text encoder; the paper's is ``bow``.
        bits: K.
        attention: A name of timm's attention registry; None is the ablation HFAH-2.
        multiscale: False, without attention, is the ablation HFAH-1.
        feature: Width of the semantic features; the paper's 512.
        image_hidden: Widths of layers between backbone and feature; the paper has none.
        text_hidden: Widths of layers between text and feature; the paper's 4096.
        dropout: In the fully connected layers; the paper has none.
        norm: BatchNorm in the fully connected layers; the paper has none.
        standardize: See :class:`~crosshash.model.hash_model.HashModel`.
    """

    image_net: nn.ModuleDict
    text_net: nn.ModuleDict

    def __init__(
        self,
        backbones: Mapping[str, ImageBackbone],
        text: TextEncoder,
        bits: int,
        *,
        attention: str | None = "cbam",
        multiscale: bool = True,
        feature: int = 512,
        image_hidden: Sequence[int] = (),
        text_hidden: Sequence[int] = (1024,),
        dropout: float = 0.0,
        norm: bool = True,
        standardize: Sequence[Standardize] = (),
    ) -> None:
        super().__init__(backbones, text, bits, standardize=standardize)
        backbone = backbones["image"]
        self.image_net = nn.ModuleDict()
        self.on_map = attention is not None and backbone.has_head
        if attention is not None:
            self.image_net["attention"] = HybridAttention(
                backbone.channels if self.on_map else backbone.dim, attention
            )
        if self.on_map:
            self.image_needs = ("map",)
        encoder = Encoder(backbone.dim, image_hidden, dropout=dropout, norm=norm)
        self.image_net["encoder"] = encoder
        self.image_net["hash"] = FeatureHash(encoder.out_dim, feature, bits)
        fuse = "concat" if multiscale else None
        words = MultiScaleEncoder(text.dim, text_hidden, fuse=fuse, dropout=dropout, norm=norm)  # type: ignore[arg-type]
        self.text_net = nn.ModuleDict(
            {"encoder": words, "hash": FeatureHash(words.out_dim, feature, bits)}
        )
        self.feature = feature

    def image_pair(self, features: Mapping[str, Features]) -> tuple[Tensor, Tensor]:
        """f^y (n, feature) and H^y (n, k)."""
        x = features["image"]
        vector = x.pooled
        if self.on_map:
            if x.map is None:
                raise ValueError("these features have no map, which network.attention needs")
            vector = self.backbone("image").head(self.image_net["attention"](x.map))
        elif "attention" in self.image_net:
            vector = self.image_net["attention"](vector[:, :, None, None]).flatten(1)
        return self.image_net["hash"](self.image_net["encoder"](vector))  # type: ignore[no-any-return]

    def text_pair(self, features: Features) -> tuple[Tensor, Tensor]:
        """f^x (n, feature) and H^x (n, k)."""
        return self.text_net["hash"](self.text_net["encoder"](features.pooled))  # type: ignore[no-any-return]

    def hash_image(self, features: Mapping[str, Features]) -> Tensor:
        """H^y (n, k) in (-1, 1)."""
        return self.image_pair(features)[1]

    def hash_text(self, features: Features) -> Tensor:
        """H^x (n, k) in (-1, 1)."""
        return self.text_pair(features)[1]


# Loss and algorithm

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
    - ``label_quantization``: |H^l - B|^2. Below Eq. 3 B^l is sign(H^l), Algorithm 1 updates one B.
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
        classification: Weight of ``label_classification``, printed as beta too.
        beta: Weight of ``consistency``.
        gamma: Weight of ``reconstruction``.
        adv: Weight of ``adv``; printed as 1.
        vote: Weight of H^l in B = sign(vote H^l + H^x + H^y); printed as 1. With 1 and without
            ``label_epochs`` both modalities outvote it (bits of mean 0.6 to 0.9 on flickr8k,
            benchmarks/RESULTS.md).
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
        classification: float = 1.0,
        beta: float = 1.0,
        gamma: float = 1.0,
        adv: float = 1.0,
        vote: float = 3.0,
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
        terms["label_quantization"] = quantization(self.bank.B[batch.index], H)
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
        """B = sign(vote H^l + H^x + H^y)."""
        self.bank.B.copy_(self.bank.signs(H=self.vote))
        return self.bank.figures()
