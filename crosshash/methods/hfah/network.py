"""HFAH's two hash functions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from torch import Tensor, nn

from crosshash.backbones.base import Features, ImageBackbone, TextEncoder
from crosshash.layers.heads import Encoder
from crosshash.layers.hybrid_attention import HybridAttention
from crosshash.layers.label_net import FeatureHash
from crosshash.layers.multiscale_text import MultiScaleEncoder
from crosshash.model.hash_model import HashModel, Standardize


class HFAHNet(HashModel):
    """Image: hybrid attention between a backbone's map and its head; text: concatenated scales.

    Sections 3.3 and 4.3. Where a backbone does not go on from its map (features, transformers with
    a class token), attention is over its vector, as a map of one place.

    Args:
        backbones: ``{"image": backbone}``; the paper's is ``cnnf``.
        text: The text encoder; the paper's is ``bow``.
        bits: K.
        attention: A kind of :class:`~crosshash.layers.hybrid_attention.HybridAttention`; None is
            the ablation HFAH-2.
        multiscale: False, without attention, is the ablation HFAH-1.
        feature: Width of the semantic features; the label network's 512 (section 4.3), since Eq. 4
            needs one width for all.
        image_hidden: Widths of layers between backbone and feature; CNN-F's own are kept in the
            paper, no other is named.
        text_hidden: Widths of layers between text and feature; the paper gives none, 4096 is the
            label network's.
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
        attention: str | None = "cbam",
        multiscale: bool = True,
        feature: int = 512,
        image_hidden: Sequence[int] = (),
        text_hidden: Sequence[int] = (1024,),
        dropout: float = 0.0,
        norm: bool = True,
        standardize: Sequence[Standardize] = (),
        image_dropout: float = 0.0,
    ) -> None:
        super().__init__(
            backbones, text, bits, standardize=standardize, image_dropout=image_dropout
        )
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
            vector = self.image_dropout(vector)
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
