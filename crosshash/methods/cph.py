"""CPH: Contrastive Pair Hashing, a method of this library; no paper describes it.

It learns from pairs alone, of precomputed vectors or a frozen encoder's features. It starts from
a closed form, CCA-ITQ, and goes on by contrast: the codes of a pair are to find each other among
those of a batch.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence

import torch
from torch import Tensor, nn

from crosshash.algorithms.closed_form import (
    canonical_directions,
    moments,
    nested_rotation,
    principal_directions,
    random_frame,
)
from crosshash.algorithms.code_bank import require_labels
from crosshash.algorithms.phases import Algorithm, BatchPhase, Phase, Terms, Update
from crosshash.backbones.base import Features, ImageBackbone, TextEncoder
from crosshash.layers.heads import HashHead
from crosshash.losses.contrast import info_nce, neighbour_divergence
from crosshash.losses.likelihood import pairwise_nll
from crosshash.losses.straight_through import toward_signs
from crosshash.methods.build import METHODS
from crosshash.model.batch import Batch
from crosshash.model.hash_model import HashModel, Standardize
from crosshash.similarity import cosine_similarity, label_similarity

_LARGEST_SCALE = 100.0  # CLIP's bound of the inverse temperature
_BATCHES_OF_TEMPERATURE = 16  # enough for one number; more were not compared


class CPHSide(nn.Module):
    """Codes of one kind of vector: fixed directions, a hidden layer beside them, a hash layer.

    The hash layer reads z = (x - mean) P and a hidden layer over z. P and the hash layer's first
    weights of z are closed forms (:meth:`CPH.begin`), its first weights of the hidden layer are
    zero; P stays, the rest is trained.

    Args:
        width: d.
        directions: r, columns of P.
        bits: K.
        hidden: Width of the hidden layer; 0: there is none.
        dropout: Of that layer, in training.
        input_dropout: Of z, in training.
    """

    def __init__(
        self,
        width: int,
        directions: int,
        bits: int,
        *,
        hidden: int,
        dropout: float,
        input_dropout: float,
    ) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(width))
        self.register_buffer("directions", random_frame(width, directions).float())
        self.input_dropout = nn.Dropout(input_dropout)
        self.hidden: nn.Sequential | None = None
        if hidden:
            self.hidden = nn.Sequential(
                nn.Linear(directions, hidden), nn.ReLU(), nn.Dropout(dropout)
            )
        self.head = HashHead(directions + hidden, bits, tanh=False)
        nn.init.zeros_(self.head.weight[:, directions:])
        nn.init.zeros_(self.head.linear.bias)

    def projected(self, x: Tensor) -> Tensor:
        """Z (n, r)."""
        return (x - self.get_buffer("mean")) @ self.get_buffer("directions")

    def forward(self, x: Tensor) -> Tensor:
        """Real-valued codes (n, k)."""
        return self.outputs(self.projected(x))

    def outputs(self, z: Tensor) -> Tensor:
        """Those of projections (n, r)."""
        z = self.input_dropout(z)
        seen = z if self.hidden is None else torch.cat([z, self.hidden(z)], dim=1)
        return self.head(seen)  # type: ignore[no-any-return]


class CPHNet(HashModel):
    """For each side a projection to directions that say something of the other, and small layers.

    Args:
        backbones: ``{"image": backbone}``.
        text: The text encoder.
        bits: K.
        directions: r, at most; no more than the vectors have values.
        hidden: Width of each side's hidden layer; 0: codes are linear.
        dropout: Of that layer, in training.
        input_dropout: Of the projections, in training.
        shared: One network for both sides, whose vectors are of one kind and equally wide.
        standardize: See :class:`~crosshash.model.hash_model.HashModel`.

    Raises:
        ValueError: ``directions`` is below 1; or ``shared`` is asked for, and the sides are not
            equally wide or not standardized alike.
    """

    image_net: CPHSide
    text_net: CPHSide

    def __init__(
        self,
        backbones: Mapping[str, ImageBackbone],
        text: TextEncoder,
        bits: int,
        *,
        directions: int = 128,
        hidden: int = 256,
        dropout: float = 0.3,
        input_dropout: float = 0.1,
        shared: bool = False,
        standardize: Sequence[Standardize] = (),
    ) -> None:
        super().__init__(backbones, text, bits, standardize=standardize)
        widths = backbones["image"].dim, text.dim
        if directions < 1:
            raise ValueError(f"network.directions is at least 1, got {directions}")
        if shared and (widths[0] != widths[1] or len(set(standardize)) == 1):
            raise ValueError(
                "network.shared: one network for both sides needs vectors of one width, "
                f"standardized on both sides or on none; got {widths[0]} and {widths[1]}, "
                f"standardize={list(standardize)}"
            )
        r = min(directions, *widths)
        options = {"hidden": hidden, "dropout": dropout, "input_dropout": input_dropout}
        self.image_net = CPHSide(widths[0], r, bits, **options)  # type: ignore[arg-type]
        self.shared = shared
        if not shared:  # once: a checkpoint has each tensor under one name
            self.text_net = CPHSide(widths[1], r, bits, **options)  # type: ignore[arg-type]

    def sides(self) -> list[CPHSide]:
        """The networks of images and of texts; one, where they share it."""
        return [self.image_net] if self.shared else [self.image_net, self.text_net]

    def hash_image(self, features: Mapping[str, Features]) -> Tensor:
        """F (n, k), unbounded."""
        return self.image_net(features["image"].pooled)  # type: ignore[no-any-return]

    def hash_text(self, features: Features) -> Tensor:
        """G (n, k), unbounded."""
        return self.sides()[-1](features.pooled)  # type: ignore[no-any-return]


@METHODS.register("cph")
class CPH(Algorithm):
    """Training of CPH: ``pair + neighbour + label``, from a start in closed form.

    The start (:meth:`begin`) gives each side canonical directions, weighed by their correlations,
    and a rotation of the first K of them to signs: CCA-ITQ
    (:class:`~crosshash.methods.CCAITQ`). One kind of vector has its principal directions: ITQ. The
    start gives the first temperature too.

    u, v are a batch's codes: tanh F and tanh G, moved towards signs by the share ``straight``
    (:func:`~crosshash.losses.straight_through.toward_signs`). With ``noise`` they are drawn: signs
    of F + e and G + e, where e is logistic noise, so that a bit of output f is +1 with the
    probability sigmoid(f / t), as in the stochastic neurons of Bengio, Leonard & Courville 2013.
    t falls from ``noise`` in the first epoch by equal steps towards 0.

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
        ridge: Of the canonical correlations, as in CCA-ITQ.
        looks: Times that the training set is gone over for the directions; more than once where
            texts are drawn anew each time (``data.captions: each``).
        own_start: Where codes are nested, the first bits start as they do alone
            (:func:`~crosshash.algorithms.closed_form.nested_rotation`); False: one rotation of all.
        temperature: Of ``pair`` at first. None: that of the least ``pair`` of the start. A smaller
            one may begin above the loss of one code for all, log n of a batch of n, and learn that.
        straight: Share of the signs in u and v, in [0, 1].
        noise: t in the first epoch, in units of the outputs, which have variance 1 at first; 0:
            signs are those of the outputs.
        neighbour: Weight of ``neighbour``; 0 leaves it out.
        code_scale: Inverse temperature of neighbourhoods of codes.
        vector_scale: Inverse temperature of neighbourhoods of vectors.
        label: Weight of ``label``; 0 leaves it out, and no label is used.
        label_scale: Factor of the inner products in ``label``.

    Raises:
        ValueError: ``looks`` is below 1, ``temperature`` is not above 0, ``straight`` is not in
            [0, 1], ``noise`` is below 0, or ``label`` is above 0 without labels.
    """

    Network = CPHNet
    net: CPHNet

    def __init__(
        self,
        net: CPHNet,
        count: int,
        classes: int,
        *,
        ridge: float = 1.0,
        looks: int = 1,
        own_start: bool = True,
        temperature: float | None = None,
        straight: float = 1.0,
        noise: float = 0.0,
        neighbour: float = 0.0,
        code_scale: float = 10.0,
        vector_scale: float = 10.0,
        label: float = 0.0,
        label_scale: float = 0.15,
    ) -> None:
        super().__init__()
        if looks < 1:
            raise ValueError(f"algorithm.looks is at least 1, got {looks}")
        if temperature is not None and temperature <= 0:
            raise ValueError(f"algorithm.temperature is above 0, got {temperature}")
        if not 0 <= straight <= 1:
            raise ValueError(f"algorithm.straight is in [0, 1], got {straight}")
        if noise < 0:
            raise ValueError(f"algorithm.noise is at least 0, got {noise}")
        if label:
            require_labels(classes)
        self.net = net
        self.ridge, self.looks = ridge, looks
        self.supervised = label > 0
        self.temperature, self.own_start = temperature, own_start
        self.log_scale = nn.Parameter(torch.tensor(-math.log(temperature or 1.0)))
        self.straight = straight
        self.noise = self.spread = noise
        self.scales = {"scale": code_scale, "vector_scale": vector_scale}
        self.label_scale = label_scale
        self.weights = {"neighbour": neighbour, "label": label}

    def begin(self, batches: Iterable[Batch]) -> None:
        """The start: directions from all pairs' moments, a rotation of projections, temperature."""
        sides = self.net.sides()
        mean, covariance = moments(
            torch.cat(self._vectors(batch)[: len(sides)], dim=1)
            for _ in range(self.looks)
            for batch in batches
        )
        split, r = len(sides[0].get_buffer("mean")), sides[0].get_buffer("directions").shape[1]
        if self.net.shared:
            found = [principal_directions(covariance, r)]
        else:
            A, B, correlations = canonical_directions(covariance, split, r, ridge=self.ridge)
            found = [A * correlations, B * correlations]
        for side, part, matrix in zip(sides, mean.tensor_split([split]), found, strict=False):
            side.get_buffer("mean").copy_(part)
            side.get_buffer("directions").copy_(matrix)
        V = [
            [side.projected(x) for side, x in zip(sides, self._vectors(batch), strict=False)]
            for batch in batches
        ]
        first = torch.cat([torch.stack(parts).sum(dim=0)[:, : self.net.bits] for parts in V])
        lengths = self.net.lengths if self.own_start else [self.net.bits]
        R = nested_rotation(first.double(), lengths).to(first)
        size = torch.cat([torch.cat(parts) for parts in V])[:, : len(R)] @ R
        for side in sides:
            weight = side.head.weight
            weight.zero_()
            weight[:, : len(R)] = R.T / size.std()  # outputs of variance 1
        if self.temperature is None:
            self._set_temperature(V)

    def _set_temperature(self, projections: Sequence[Sequence[Tensor]]) -> None:
        """That of the least ``pair``, before a weight has moved."""
        from scipy.optimize import minimize_scalar  # slow to import

        sides = self.net.sides()
        count = len(projections)
        both = [torch.cat([parts[i] for parts in projections]) for i in (0, -1)]
        before = self.training
        self.train()  # with the dropouts of training, without which two sides of one item are one
        # Batches as large as training's, each from all over the set, which may be in some order.
        similarity = [
            cosine_similarity(
                *(
                    self._codes(side.outputs(z[start::count]))
                    for side, z in zip((sides[0], sides[-1]), both, strict=True)
                )
            )
            for start in range(min(count, _BATCHES_OF_TEMPERATURE))
        ]
        self.train(before)

        def mean_loss(log_scale: float) -> float:
            losses = [info_nce(S, math.exp(log_scale)).item() for S in similarity]
            return sum(losses) / len(losses)

        bounds = (0.0, math.log(_LARGEST_SCALE))
        self.log_scale.fill_(minimize_scalar(mean_loss, bounds=bounds, method="bounded").x)

    def _vectors(self, batch: Batch) -> list[Tensor]:
        images = self.net.image_features(batch.images)["image"].pooled
        return [images, self.net.text_features(batch.texts).pooled]

    def phases(self) -> list[Phase]:
        """One pass over both sides."""
        update = Update([*self.net.parameters(), self.log_scale], self.loss, self.weights)
        return [BatchPhase("hash", [update])]

    def epoch_starts(self, epoch: int, epochs: int) -> None:
        """Less noise: t = ``noise`` (1 - epoch / epochs)."""
        self.spread = self.noise * (1 - epoch / epochs)

    def loss(self, batch: Batch) -> Terms:
        """All terms, unweighted; one of weight 0 is not computed."""
        images = self.net.image_features(batch.images)
        texts = self.net.text_features(batch.texts)
        u, v = self._codes(self.net.hash_image(images)), self._codes(self.net.hash_text(texts))
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

    def _codes(self, outputs: Tensor) -> Tensor:
        drawn = outputs
        if self.spread:
            drawn = outputs + self.spread * torch.rand_like(outputs).logit()
        return toward_signs(outputs.tanh(), self.straight, of=drawn)
