"""AMGFH's losses and its algorithm."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from typing import Literal

import torch
from torch import Tensor

from crosshash.algorithms.phases import Algorithm, BatchPhase, Phase, Terms, Update
from crosshash.codes import sign
from crosshash.layers.discriminator import Discriminator
from crosshash.layers.graph_fusion import GraphFusion
from crosshash.losses.adversarial import discriminator_loss, generator_loss, random_codes
from crosshash.losses.cosine import cosine_regression
from crosshash.losses.likelihood import pairwise_nll
from crosshash.losses.normalization import Normalization
from crosshash.losses.quantization_error import quantization
from crosshash.losses.regularization import l2
from crosshash.methods.amgfh.network import AMGFHNet
from crosshash.methods.build import METHODS
from crosshash.model.batch import Batch
from crosshash.similarity import label_similarity, nearest_anchors, neighbourhood_similarity


@METHODS.register("amgfh")
class AMGFH(Algorithm):
    """Training of AMGFH: hash functions learn the codes of the graph fusion module.

    With H = f(H_fused) the fusion module's codes (Eq. 7), B = sign(H), F = f_I(X_I), G = f_T(X_T),
    means over the n k entries, or over the n^2 pairs, of a batch:

    - ``fit`` (Eq. 8): |B - F|^2 + |B - G|^2.
    - ``dis`` (Eq. 9): |B - H|^2.
    - ``reg`` (Eq. 10): the sum of theta^2 over the parameters of hash functions and fusion module;
      its lambda is the weight.
    - ``adv`` (Eq. 11): -E log D(F) - E log D(G), the generators' side, in the non-saturating form.
    - ``adversary`` (Eq. 11): -E log D(Z) - E log(1 - D(F or G)), the discriminator's side. The
      paper does not say what its real sample Z is; ours are uniform random codes in {-1, +1}.
    - ``agree_image`` and ``agree_text``: share of the bits in which B is sign(F), and sign(G);
      figures of how far the guide leads, of weight 0.
    - ``sim`` and ``intra``: sim(H, H) + sim(F, G), and sim(F, F) + sim(G, G). sim(U, V) is
      (cos(u_i, v_j) - T_ij)^2, or softplus(theta_ij) - S_ij theta_ij; see ``sim_loss``. They are
      ours.

    The printed objective is the sum of the first four. It has no term that keeps different items
    apart, and collapses to one code for all items; ``sim=0`` keeps it for the record.

    The fusion module sees the enhanced image features as constants: it fits its batch within
    two epochs, and its gradient then drags the image encoder into the same overfit.

    Args:
        net: The network.
        count: Training pairs.
        classes: Label classes, 0 without labels.
        similarity: Where T of ``sim`` comes from: ``"features"`` (unsupervised) or ``"labels"``.
        sim_loss: ``"cosine"``: (cos(u, v) - T)^2 with T = 2S - 1 for labels; or
            ``"likelihood"``: softplus(theta) - S theta with theta = ``scale`` U V^T, for labels.
        scale: Factor of the likelihood's inner products.
        guide_dim: Width of the fusion module's streams; the paper is silent.
        guide_norm: BatchNorm in these streams; the paper is silent.
        guide_dropout: Dropout in these streams; the paper is silent.
        gcn: False is the ablation AMGFH-GCN (plain linear streams).
        attention: False is the ablation AMGFH-SA.
        fusion: ``"add"``, or ``"concat"`` for the ablation AMGFH-concat.
        activation: After graph convolution; the paper prints ``"softmax"``.
        alpha: Share of image similarity in the graph and in the features' target.
        neighbours: Nearest neighbours kept in the graph; None keeps all.
        centred: Whether the graph's cosines are those of centred features; the paper is silent.
        anchors: Training pairs, at most, among which neighbourhoods are sought for the features'
            target (see :func:`~crosshash.similarity.neighbourhood_similarity`).
        neighbourhood: Share of the anchors that make a neighbourhood.
        sharpen: Factor of the features' target, which is cut to [-1, 1] afterwards.
        sim: Weight of ``sim``; 0 leaves ``intra`` out too.
        intra: Weight of ``intra``.
        fit: Weight of ``fit``.
        dis: Weight of ``dis``; the paper's 1.
        reg: Weight of ``reg``, an explicit L2 term; the paper's 0.001.
        adv: Weight of ``adv``; the paper's 0.01.
        normalization: ``"means"``: each term counts as its mean; ``"sums"``: as in the printed
            sums, up to the one factor n k of the whole.
    """

    Network = AMGFHNet
    net: AMGFHNet

    def __init__(
        self,
        net: AMGFHNet,
        count: int,
        classes: int,
        *,
        similarity: Literal["features", "labels"] = "features",
        sim_loss: Literal["cosine", "likelihood"] = "cosine",
        scale: float = 0.5,
        guide_dim: int = 256,
        guide_norm: bool = True,
        guide_dropout: float = 0.0,
        gcn: bool = True,
        attention: bool = True,
        fusion: Literal["add", "concat"] = "add",
        activation: Literal["relu", "softmax"] = "relu",
        alpha: float = 0.5,
        neighbours: int | None = 5,
        centred: bool = True,
        anchors: int = 5000,
        neighbourhood: float = 0.08,
        sharpen: float = 4.0,
        sim: float = 1.0,
        intra: float = 1.0,
        fit: float = 1.0,
        dis: float = 1.0,
        reg: float = 0.001,
        adv: float = 0.01,
        normalization: Normalization = "means",
    ) -> None:
        super().__init__()
        if similarity == "labels" and not classes:
            raise ValueError(
                "algorithm.similarity is 'labels', but the data set has none; use 'features'"
            )
        if sim_loss == "likelihood" and similarity != "labels":
            raise ValueError(
                "algorithm.sim_loss 'likelihood' needs similarities in {0, 1}: set "
                "algorithm.similarity to 'labels', or use sim_loss 'cosine'"
            )
        self.net = net
        self.guide = GraphFusion(
            net.dim,
            net.text.dim,
            net.bits,
            dim=guide_dim,
            gcn=gcn,
            attention=attention,
            fusion=fusion,
            activation=activation,
            alpha=alpha,
            neighbours=neighbours,
            centred=centred,
            norm=guide_norm,
            dropout=guide_dropout,
        )
        self.discriminator = Discriminator(net.bits)
        self.similarity, self.sim_loss, self.scale = similarity, sim_loss, scale
        self.supervised = similarity == "labels" and sim > 0
        self.alpha, self.anchors = alpha, anchors
        self.neighbourhood, self.sharpen = neighbourhood, sharpen
        pairs, rest = 1.0, 1.0
        if normalization == "sums":  # n^2 pairs, and what is no sum over items, beside n k entries
            pairs, rest = count / net.bits, 1 / (count * net.bits)
        self.weights = {"sim": sim * pairs, "intra": intra * pairs, "fit": fit, "dis": dis}
        self.weights |= {"reg": reg * rest, "adv": adv * rest}
        self.weights |= {"agree_image": 0.0, "agree_text": 0.0}  # figures for the log, no losses
        self._neighbours = torch.zeros(count, 0, dtype=torch.int64)
        self._frequency = torch.zeros(0)

    def begin(self, batches: Iterable[Batch]) -> None:
        """Find every pair's neighbourhood, from the features as they are before training."""
        if self.similarity != "features" or not self.weights["sim"]:
            return
        images, texts = [], []
        for batch in batches:
            image = self.net.image_features(batch.images)["image"]
            images.append(image.pooled.float().cpu())
            texts.append(self.net.text_features(batch.texts).pooled.float().cpu())
        self._neighbours = nearest_anchors(
            torch.cat(images),
            torch.cat(texts),
            alpha=self.alpha,
            anchors=self.anchors,
            share=self.neighbourhood,
        )
        counts = torch.bincount(self._neighbours.flatten(), minlength=int(self._neighbours.max()))
        self._frequency = counts / len(self._neighbours)

    def phases(self) -> list[Phase]:
        """One pass: the hash functions with their guide, then the discriminator."""
        trained = [*self.net.parameters(), *self.guide.parameters()]
        updates = [Update(trained, self.hash_loss, self.weights, name="hash")]
        if self.weights["adv"]:
            updates.append(
                Update(self.discriminator.parameters(), self.adversary_loss, name="discriminator")
            )
        return [BatchPhase("hash", updates)]

    def target(self, batch: Batch) -> Tensor:
        """T (b, b): 2S - 1 from labels, or sharpened neighbourhood similarity."""
        if self.similarity == "labels":
            return 2 * self._label_similarity(batch) - 1
        neighbours = self._neighbours[batch.index.cpu()].to(batch.index.device)
        frequency = self._frequency.to(batch.index.device)
        target = self.sharpen * neighbourhood_similarity(neighbours, frequency)
        return target.clamp(-1, 1)

    def _label_similarity(self, batch: Batch) -> Tensor:
        if batch.labels is None:
            raise ValueError("algorithm.similarity is 'labels', but the batch has none")
        return label_similarity(batch.labels, batch.labels)

    def _similarity_loss(self, batch: Batch) -> Callable[[Tensor, Tensor], Tensor]:
        if self.sim_loss == "likelihood":
            return partial(pairwise_nll, S=self._label_similarity(batch), scale=self.scale)
        return partial(cosine_regression, target=self.target(batch))

    def hash_loss(self, batch: Batch) -> Terms:
        """All terms but ``adversary``, unweighted; a term of weight 0 is not computed."""
        x_image = self.net.enhanced(self.net.image_features(batch.images))
        x_text = self.net.pooled_text(self.net.text_features(batch.texts))
        F, G = self.net.hash_enhanced(x_image), self.net.hash_pooled(x_text)
        H = self.guide(x_image.detach(), x_text.detach())
        B = sign(H.detach())
        terms: Terms = {}
        if self.weights["sim"]:
            similar = self._similarity_loss(batch)
            terms["sim"] = similar(H, H) + similar(F, G)
            if self.weights["intra"]:
                terms["intra"] = similar(F, F) + similar(G, G)
        terms["fit"] = quantization(B, F) + quantization(B, G)
        terms["agree_image"] = (sign(F.detach()) == B).float().mean()
        terms["agree_text"] = (sign(G.detach()) == B).float().mean()
        if self.weights["dis"]:
            terms["dis"] = quantization(B, H)
        if self.weights["reg"]:
            hashing = [*self.net.parameters(), *self.guide.parameters()]
            terms["reg"] = l2(p for p in hashing if p.requires_grad)
        if self.weights["adv"]:
            terms["adv"] = generator_loss(self.discriminator(torch.cat([F, G])))
            batch.shared["generated"] = torch.cat([F, G]).detach()
        return terms

    def adversary_loss(self, batch: Batch) -> Terms:
        """The discriminator's side: uniform random codes are real, F and G are generated."""
        generated = batch.shared.get("generated")
        if generated is None:
            with torch.no_grad():
                generated = torch.cat(self.net(batch.images, batch.texts))
        real = self.discriminator(random_codes(generated))
        return {"adversary": discriminator_loss(real, self.discriminator(generated))}
