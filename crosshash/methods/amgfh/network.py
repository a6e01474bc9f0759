"""AMGFH's two hash functions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

from torch import Tensor, nn

from crosshash.backbones.base import Features, ImageBackbone, TextEncoder
from crosshash.layers.heads import Encoder, HashHead
from crosshash.layers.multiscale_conv import MultiScaleConv, map_to_vector, vector_to_map
from crosshash.layers.multiscale_text import MultiScaleText
from crosshash.model.hash_model import HashModel, Standardize


class AMGFHNet(HashModel):
    """The two hash functions f_I and f_T, with the image feature enhancement network (IFN).

    Args:
        backbones: ``{"image": backbone}``; the paper's is ``alexnet`` (4,096 features).
        text: The text encoder; the paper's is ``bow``.
        bits: K.
        enhance: Use the IFN (Eqs. 1-3); False is the ablation AMGFH-IFN.
        features: What the IFN enhances: the backbone's ``"pooled"`` vector, laid out as a square
            one-channel map, or its ``"map"``, average-pooled afterwards.
        kernels: Sizes of the IFN's convolutions.
        width: Channels of each scale; the paper is silent.
        scale_weights: A_i of Eq. 2: ``"scalar"``, one for a scale, or ``"vector"`` as printed, one
            for each of its channels.
        dim: d, to which the enhanced features are projected; the paper is silent.
        hidden: Widths of the encoders' two hidden layers; the paper is silent.
        dropout: In the encoders; the paper names none, small training sets need it.
        text_pooling: ``"multiscale"`` puts the multi-scale block before the text encoder.
        standardize: See :class:`~crosshash.model.hash_model.HashModel`.
        image_dropout: See :class:`~crosshash.model.hash_model.HashModel`.
    """

    def __init__(
        self,
        backbones: Mapping[str, ImageBackbone],
        text: TextEncoder,
        bits: int,
        *,
        enhance: bool = True,
        features: Literal["pooled", "map"] = "pooled",
        kernels: Sequence[int] = (1, 3, 5, 7, 9),
        width: int = 4,
        scale_weights: Literal["scalar", "vector"] = "scalar",
        dim: int = 512,
        hidden: Sequence[int] = (1024, 1024),
        dropout: float = 0.0,
        text_pooling: Literal["none", "multiscale"] = "none",
        standardize: Sequence[Standardize] = (),
        image_dropout: float = 0.0,
    ) -> None:
        super().__init__(
            backbones, text, bits, standardize=standardize, image_dropout=image_dropout
        )
        backbone = backbones["image"]
        if features == "map" and "image" in standardize:
            raise ValueError("network.standardize brings vectors to one scale, not maps")
        if features == "map" and not backbone.channels:
            raise ValueError(
                f"network.features is 'map', but the backbone {type(backbone).__name__} gives "
                "none; use 'pooled'"
            )
        self.features = features
        self.image_needs = (features,)
        inputs = backbone.dim if features == "pooled" else backbone.channels
        channels = 1 if features == "pooled" else backbone.channels
        self.enhancement = None
        if enhance:
            self.enhancement = MultiScaleConv(
                channels, width, kernels, vector=scale_weights == "vector"
            )
        self.projection = nn.Linear(inputs, dim)
        self.pooling = MultiScaleText(text.dim, fuse="conv") if text_pooling != "none" else None
        self.image_encoder = Encoder(dim, hidden, dropout=dropout)
        self.text_encoder = Encoder(text.dim, hidden, dropout=dropout)
        self.image_head = HashHead(self.image_encoder.out_dim, bits)
        self.text_head = HashHead(self.text_encoder.out_dim, bits)
        self.dim = dim

    def enhanced(self, features: Mapping[str, Features]) -> Tensor:
        """X_I (Eq. 3): (n, dim)."""
        x = features["image"]
        if self.features == "map":
            if x.map is None:
                raise ValueError("these features have no map, which network.features='map' needs")
            enhanced = x.map if self.enhancement is None else self.enhancement(x.map)
            return self.projection(enhanced.mean(dim=(2, 3)))  # type: ignore[no-any-return]
        pooled = x.pooled
        if self.enhancement is not None:
            pooled = map_to_vector(self.enhancement(vector_to_map(pooled)), pooled.shape[1])
        return self.projection(pooled)  # type: ignore[no-any-return]

    def pooled_text(self, features: Features) -> Tensor:
        """X_T: (n, text.dim)."""
        return features.pooled if self.pooling is None else self.pooling(features.pooled)

    def hash_enhanced(self, x: Tensor) -> Tensor:
        """f_I(X_I) (Eq. 8): (n, bits) in (-1, 1)."""
        return self.image_head(self.image_encoder(x))  # type: ignore[no-any-return]

    def hash_pooled(self, x: Tensor) -> Tensor:
        """f_T(X_T) (Eq. 8): (n, bits) in (-1, 1)."""
        return self.text_head(self.text_encoder(x))  # type: ignore[no-any-return]

    def hash_image(self, features: Mapping[str, Features]) -> Tensor:
        """Real-valued image codes F."""
        return self.hash_enhanced(self.enhanced(features))

    def hash_text(self, features: Features) -> Tensor:
        """Real-valued text codes G."""
        return self.hash_pooled(self.pooled_text(features))
