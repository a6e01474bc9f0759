"""CPH: Contrastive Pair Hashing, a method of this library; no paper describes it.

It learns from pairs alone, of precomputed vectors or a frozen encoder's features: each side has a
small network over its vectors, and codes of a pair are to find each other among those of a batch.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from crosshash.algorithms.code_bank import require_labels
from crosshash.algorithms.phases import Algorithm, BatchPhase, Phase, Terms, Update
from crosshash.backbones.base import Features, ImageBackbone, TextEncoder
from crosshash.layers.heads import Encoder, HashHead
from crosshash.losses.contrast import info_nce, neighbour_divergence
from crosshash.losses.likelihood import pairwise_nll
from crosshash.losses.straight_through import toward_signs
from crosshash.methods.build import METHODS
from crosshash.model.batch import Batch
from crosshash.model.hash_model import HashModel, Standardize
from crosshash.similarity import cosine_similarity, label_similarity

_LARGEST_SCALE = 100.0  # CLIP's bound of the inverse temperature


class CPHNet(HashModel):
    """For each side fully connected layers and a linear hash layer, whose outputs are balanced.

    A BatchNorm without scale and shift after the hash layer keeps the mean of each output at 0, so
    that each bit is set for about half of all items, and brings them to one size.

    Args:
        backbones: ``{"image": backbone}``.
        text: The text encoder.
        bits: K.
        hidden: Widths of the layers before the hash layer, on both sides; none: a linear map.
        dropout: After each of these, in training.
        input_dropout: Of the vectors' values, in training.
        shared: One network for both sides, whose vectors are of one kind and equally wide.
        standardize: See :class:`~crosshash.model.hash_model.HashModel`.

    Raises:
        ValueError: ``shared`` is asked for, and the sides are not equally wide or not standardized
            alike.
    """

    image_net: nn.Sequential
    text_net: nn.Sequential

    def __init__(
        self,
        backbones: Mapping[str, ImageBackbone],
        text: TextEncoder,
        bits: int,
        *,
        hidden: Sequence[int] = (256,),
        dropout: float = 0.3,
        input_dropout: float = 0.0,
        shared: bool = False,
        standardize: Sequence[Standardize] = (),
    ) -> None:
        super().__init__(backbones, text, bits, standardize=standardize)
        widths = backbones["image"].dim, text.dim
        if shared and (widths[0] != widths[1] or len(set(standardize)) == 1):
            raise ValueError(
                "network.shared: one network for both sides needs vectors of one width, "
                f"standardized on both sides or on none; got {widths[0]} and {widths[1]}, "
                f"standardize={list(standardize)}"
            )

        def side(width: int) -> nn.Sequential:
            encoder = Encoder(width, hidden, dropout=dropout)
            head = HashHead(encoder.out_dim, bits, tanh=False)
            layers = [encoder, head, nn.BatchNorm1d(bits, affine=False)]
            return nn.Sequential(*([nn.Dropout(input_dropout)] * bool(input_dropout)), *layers)

        self.image_net = side(widths[0])
        self.shared = shared
        if not shared:  # once: a checkpoint has each tensor under one name
            self.text_net = side(widths[1])

    def hash_image(self, features: Mapping[str, Features]) -> Tensor:
        """F (n, k), unbounded, each output of mean 0 and variance 1 over the training set."""
        return self.image_net(features["image"].pooled)  # type: ignore[no-any-return]

    def hash_text(self, features: Features) -> Tensor:
        """G (n, k), as F."""
        net = self.image_net if self.shared else self.text_net
        return net(features.pooled)  # type: ignore[no-any-return]


@METHODS.register("cph")
class CPH(Algorithm):
    """Training of CPH: ``pair + neighbour + label``.

    u = s(tanh F), v = s(tanh G) are a batch's codes, where s moves them towards their signs by the
    share ``straight`` (:func:`~crosshash.losses.straight_through.toward_signs`).

    - ``pair``: InfoNCE of cos(u_i, v_j), with a learned temperature
      (:func:`~crosshash.losses.contrast.info_nce`): of all the batch's texts an image is to find
      its own, and the other way round.
    - ``neighbour``: KL divergence of the neighbourhoods of u from those of the image vectors, and
      of v from those of the text vectors, in the batch
      (:func:`~crosshash.losses.contrast.neighbour_divergence`); their mean.
    - ``label``: nll(u, v; S) of shared labels, with theta = ``label_scale`` u v^T
      (:func:`~crosshash.losses.likelihood.pairwise_nll`).

    A network of one kind of vector (``network.shared``), whose pairs are an item and itself, sees
    the item under two different dropouts.

    Args:
        net: The network.
        count: Training pairs.
        classes: Label classes.
        temperature: Of ``pair`` at first.
        straight: Share of the signs in u and v, in [0, 1].
        neighbour: Weight of ``neighbour``; 0 leaves it out.
        code_scale: Inverse temperature of neighbourhoods of codes.
        vector_scale: Inverse temperature of neighbourhoods of vectors.
        label: Weight of ``label``; 0 leaves it out, and no label is used.
        label_scale: Factor of the inner products in ``label``.

    Raises:
        ValueError: ``temperature`` is not above 0, ``straight`` is not in [0, 1], or ``label`` is
            above 0 without labels.
    """

    Network = CPHNet
    net: CPHNet

    def __init__(
        self,
        net: CPHNet,
        count: int,
        classes: int,
        *,
        temperature: float = 0.07,
        straight: float = 0.5,
        neighbour: float = 0.0,
        code_scale: float = 10.0,
        vector_scale: float = 10.0,
        label: float = 0.0,
        label_scale: float = 0.15,
    ) -> None:
        super().__init__()
        if temperature <= 0:
            raise ValueError(f"algorithm.temperature is above 0, got {temperature}")
        if not 0 <= straight <= 1:
            raise ValueError(f"algorithm.straight is in [0, 1], got {straight}")
        if label:
            require_labels(classes)
        self.net = net
        self.supervised = label > 0
        self.log_scale = nn.Parameter(torch.tensor(-math.log(temperature)))
        self.straight = straight
        self.scales = {"scale": code_scale, "vector_scale": vector_scale}
        self.label_scale = label_scale
        self.weights = {"neighbour": neighbour, "label": label}

    def phases(self) -> list[Phase]:
        """One pass over both sides."""
        update = Update([*self.net.parameters(), self.log_scale], self.loss, self.weights)
        return [BatchPhase("hash", [update])]

    def loss(self, batch: Batch) -> Terms:
        """All terms, unweighted; one of weight 0 is not computed."""
        images = self.net.image_features(batch.images)
        texts = self.net.text_features(batch.texts)
        u = toward_signs(self.net.hash_image(images).tanh(), self.straight)
        v = toward_signs(self.net.hash_text(texts).tanh(), self.straight)
        scale = self.log_scale.exp().clamp(max=_LARGEST_SCALE)
        terms = {"pair": info_nce(cosine_similarity(u, v), scale)}
        if self.weights["neighbour"]:
            both = neighbour_divergence(u, images["image"].pooled, **self.scales)
            both = both + neighbour_divergence(v, texts.pooled, **self.scales)
            terms["neighbour"] = both / 2
        if self.weights["label"]:
            if batch.labels is None:
                raise ValueError("algorithm.label: the batch has no labels")
            S = label_similarity(batch.labels, batch.labels)
            terms["label"] = pairwise_nll(u, v, S, scale=self.label_scale)
        return terms
