"""A tower of layers for each modality: the plainest network that keeps to the contract."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from torch import Tensor, nn

from crosshash.backbones.base import Features, ImageBackbone, TextEncoder
from crosshash.layers.heads import Encoder, HashHead
from crosshash.model.hash_model import HashModel, Standardize


class TwoTowers(HashModel):
    """For each modality fully connected layers over its encoder, then a linear hash layer.

    Codes are unbounded. A method whose paper has a tanh applies it in its loss: signs, which are
    all that is stored, are the same before and after it.

    Args:
        backbones: ``{"image": backbone}``.
        text: The text encoder.
        bits: K.
        image_hidden: Widths of the layers between backbone and codes; none where the paper trains
            the backbone itself.
        text_hidden: Widths of the layers between text encoder and codes.
        dropout: In the layers.
        norm: BatchNorm in the layers.
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
        image_hidden: Sequence[int] = (1024,),
        text_hidden: Sequence[int] = (1024,),
        dropout: float = 0.0,
        norm: bool = True,
        standardize: Sequence[Standardize] = (),
        image_dropout: float = 0.0,
    ) -> None:
        super().__init__(
            backbones, text, bits, standardize=standardize, image_dropout=image_dropout
        )
        image = Encoder(backbones["image"].dim, image_hidden, dropout=dropout, norm=norm)
        words = Encoder(text.dim, text_hidden, dropout=dropout, norm=norm)
        self.dims = {"image": image.out_dim, "text": words.out_dim}
        self.image_net = _tower(image, bits)
        self.text_net = _tower(words, bits)

    def image_vector(self, features: Mapping[str, Features]) -> Tensor:
        """What the image side's hash layer reads, (n, dims["image"])."""
        return _through(self.image_net["encoder"], features["image"].pooled)

    def text_vector(self, features: Features) -> Tensor:
        """What the text side's hash layer reads, (n, dims["text"])."""
        return _through(self.text_net["encoder"], features.pooled)

    def hash_image(self, features: Mapping[str, Features]) -> Tensor:
        """F (n, k), unbounded."""
        return _through(self.image_net["codes"], self.image_vector(features))

    def hash_text(self, features: Features) -> Tensor:
        """G (n, k), unbounded."""
        return _through(self.text_net["codes"], self.text_vector(features))


def _through(layer: nn.Module, x: Tensor) -> Tensor:
    found: Tensor = layer(x)
    return found


def _tower(encoder: Encoder, bits: int) -> nn.ModuleDict:
    return nn.ModuleDict({"encoder": encoder, "codes": HashHead(encoder.out_dim, bits, tanh=False)})
