"""MITH's two hash functions: a global code, and a local one from concepts that tokens vote for."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import torch
from einops import rearrange
from torch import Tensor, nn

from crosshash.backbones.base import Features, ImageBackbone, TextEncoder
from crosshash.layers.heads import TokenHead
from crosshash.model.hash_model import HashModel, Standardize

_HEAD_WIDTH = 64  # of an attention head, as CLIP's


class ResidualLayer(nn.Module):
    """x + W2 GELU(W1 LN(x)), four times as wide inside. Shapes: (…, dim) to (…, dim).

    Args:
        dim: d.
    """

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.LayerNorm(dim), nn.Linear(dim, 4 * dim), nn.GELU(), nn.Linear(4 * dim, dim)
        )

    def forward(self, x: Tensor) -> Tensor:
        """The input and what the layers add to it."""
        return x + self.layers(x)  # type: ignore[no-any-return]


class Concepts(nn.Module):
    """K directions that both modalities share, and how much of each is in a vector or a token.

    Shapes: (…, dim) to r (…, dim) and tanh(C r) (…, bits).

    Args:
        dim: d.
        bits: K.
        layers: Residual layers R before the directions C; r = R(x).
    """

    def __init__(self, dim: int, bits: int, layers: int) -> None:
        super().__init__()
        self.residual = nn.Sequential(*(ResidualLayer(dim) for _ in range(layers)))
        self.directions = nn.Linear(dim, bits, bias=False)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """The vector r and its scores in (-1, 1)."""
        r = self.residual(x)
        return r, self.directions(r).tanh()


def concept_tokens(scores: Tensor, tokens: Tensor, present: Tensor, topk: int) -> Tensor:
    """A token for each concept: a weighted mean of the tokens that vote for it.

    A token votes for the ``topk`` concepts of its highest scores, as far as these are above 0. Its
    weight is the softmax of its score for the concept over the tokens that vote for it. The token
    of a concept for which none votes is zero.

    Args:
        scores: (n, l, k) of each token for each concept, in (-1, 1).
        tokens: (n, l, d).
        present: (n, l), False where an item has no token.
        topk: Votes of a token, at most.

    Returns:
        (n, k, d).
    """
    best = scores.topk(min(topk, scores.shape[2]), dim=2)
    votes = torch.zeros_like(scores).scatter(2, best.indices, (best.values > 0).to(scores.dtype))
    votes = votes * rearrange(present, "n l -> n l 1")
    shares = votes * scores.exp()
    # e to a vote's score is above 1, so that the sum is below 1 where nothing votes alone.
    shares = shares / shares.sum(dim=1, keepdim=True).clamp_min(1)
    return shares.mT.to(tokens.dtype) @ tokens


def positions(count: int, dim: int) -> Tensor:
    """Sines and cosines of the numbers from 0 to ``count``, (count, dim), divided by sqrt(dim)."""
    rates = torch.exp(torch.arange(0, dim, 2) * (-math.log(10000.0) / dim))
    angles = torch.arange(count)[:, None] * rates
    return rearrange([angles.sin(), angles.cos()], "s k d -> k (d s)") / math.sqrt(dim)


class LocalCode(nn.Module):
    """Concept tokens that attend to each other, and a bit from each.

    Args:
        dim: d, a multiple of 64, the width of a head.
        bits: K.
        layers: Of the transformer (pre-norm).
        topk: See :func:`concept_tokens`.
        dropout: In the transformer.
    """

    positions: Tensor

    def __init__(self, dim: int, bits: int, *, layers: int, topk: int, dropout: float) -> None:
        super().__init__()
        self.topk = topk
        self.register_buffer("positions", positions(bits, dim), persistent=False)
        self.transformer = nn.Sequential(
            *(
                nn.TransformerEncoderLayer(
                    dim,
                    dim // _HEAD_WIDTH,
                    4 * dim,
                    dropout,
                    activation="gelu",
                    batch_first=True,
                    norm_first=True,
                )
                for _ in range(layers)
            )
        )
        self.codes = TokenHead(dim, bits)

    def forward(self, scores: Tensor, tokens: Tensor, present: Tensor) -> tuple[Tensor, Tensor]:
        """The transformed concept tokens (n, K, dim) and t (n, bits); arguments as there."""
        concepts = concept_tokens(scores, tokens, present, self.topk)
        attended = self.transformer(concepts + self.positions)
        return attended, self.codes(attended)


class Parts(NamedTuple):
    """What a side computes of n items.

    Attributes:
        vector: r (n, d), the global vector before its scores.
        code: c (n, k), the global code, in (-1, 1).
        concepts: (n, k, d), the transformed concept tokens.
        local: t (n, k), the local code, in (-1, 1).
    """

    vector: Tensor
    code: Tensor
    concepts: Tensor
    local: Tensor


class MITHNet(HashModel):
    """Codes lambda c + (1 - lambda) t of a global code c and a local code t.

    Both modalities have a vector and tokens of width d: a linear layer each brings them there,
    which is ours, since encoders differ in width; the paper's CLIP has 512 for all. Tokens are the
    places of an image's feature map and the last hidden states of a text's tokens. An encoder
    without a map gives its vector as the only token.

    - r = R(vector) and c = tanh(C r), of :class:`Concepts`, one for both modalities.
    - t of :class:`LocalCode`, one for each modality, from the scores tanh(C R(token)), through
      which no gradient flows.

    Args:
        backbones: ``{"image": backbone}``.
        text: The text encoder.
        bits: K.
        dim: d, a multiple of 64. The authors' is 512; 128 is for frozen encoders on a CPU.
        res_layers: Layers of R.
        layers: Of each modality's transformer.
        topk: Concepts for which a token votes, at most.
        mix: lambda, in [0, 1].
        dropout: In the transformers.
        norm: BatchNorm behind the layers that bring vectors to width d. Ours, as these layers are:
            without it, over features that do not learn, all codes become one.
        standardize: See :class:`~crosshash.model.hash_model.HashModel`; it leaves maps as they are.
        image_dropout: See :class:`~crosshash.model.hash_model.HashModel`; the same.

    Raises:
        ValueError: ``dim`` is no multiple of 64, ``topk`` is below 1, or ``mix`` is not in [0, 1].
    """

    image_net: nn.ModuleDict
    text_net: nn.ModuleDict

    def __init__(
        self,
        backbones: Mapping[str, ImageBackbone],
        text: TextEncoder,
        bits: int,
        *,
        dim: int = 128,
        res_layers: int = 2,
        layers: int = 2,
        topk: int = 8,
        mix: float = 0.99,
        dropout: float = 0.0,
        norm: bool = True,
        standardize: Sequence[Standardize] = (),
        image_dropout: float = 0.0,
    ) -> None:
        super().__init__(
            backbones, text, bits, standardize=standardize, image_dropout=image_dropout
        )
        if dim < 1 or dim % _HEAD_WIDTH:
            raise ValueError(
                f"network.dim is a multiple of {_HEAD_WIDTH}, the width of an attention head, got "
                f"{dim}"
            )
        if topk < 1:
            raise ValueError(f"network.topk is at least 1, got {topk}")
        if not 0 <= mix <= 1:
            raise ValueError(f"network.mix is in [0, 1], got {mix}")
        self.dim, self.mix = dim, mix
        image = backbones["image"]
        if image.channels:
            self.image_needs = ("pooled", "map")
        if text.channels:
            self.text_needs = ("pooled", "map")
        self.concepts = Concepts(dim, bits, res_layers)

        def side(encoder: ImageBackbone | TextEncoder) -> nn.ModuleDict:
            entry = nn.Sequential(nn.Linear(encoder.dim, dim))
            if norm:
                entry.append(nn.BatchNorm1d(dim))
            net = nn.ModuleDict({"vector": entry})
            if encoder.channels:
                net["token"] = nn.Linear(encoder.channels, dim)
            net["local"] = LocalCode(dim, bits, layers=layers, topk=topk, dropout=dropout)
            return net

        self.image_net, self.text_net = side(image), side(text)

    def image_parts(self, features: Mapping[str, Features]) -> Parts:
        """All that is computed of images, from the features of each slot."""
        return self._parts(self.image_net, features["image"])

    def text_parts(self, features: Features) -> Parts:
        """The same of texts."""
        return self._parts(self.text_net, features)

    def _parts(self, net: nn.ModuleDict, features: Features) -> Parts:
        x = net["vector"](features.pooled)
        r, c = self.concepts(x)
        if "token" not in net:
            tokens, scores = x[:, None], c.detach()[:, None]
            present = torch.ones(tokens.shape[:2], dtype=torch.bool, device=x.device)
        elif features.map is None:
            raise ValueError(
                "these features have no map, whose places are this model's tokens; give pictures "
                "and strings, or Features(pooled, map)"
            )
        else:
            states = rearrange(features.map, "n c h w -> n (h w) c")
            present = (states != 0).any(dim=2)
            tokens = net["token"](states)
            with torch.no_grad():
                _, scores = self.concepts(tokens)
        z, t = net["local"](scores, tokens, present)
        # A view of fewer bits (crosshash.model.prefix) has all concepts, as they attend to each
        # other, and the first of the codes.
        return Parts(r, c[:, : self.bits], z[:, : self.bits], t)

    def mixed(self, parts: Parts) -> Tensor:
        """The codes lambda c + (1 - lambda) t, (n, k) in (-1, 1)."""
        return self.mix * parts.code + (1 - self.mix) * parts.local

    def hash_image(self, features: Mapping[str, Features]) -> Tensor:
        """F (n, k) in (-1, 1)."""
        return self.mixed(self.image_parts(features))

    def hash_text(self, features: Features) -> Tensor:
        """G (n, k) in (-1, 1)."""
        return self.mixed(self.text_parts(features))
