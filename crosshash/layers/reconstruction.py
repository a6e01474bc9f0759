"""Features of both modalities made again from the codes of either.

HFAH (Li & Wang 2022), sections 3.4 and 3.5.
"""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor, nn

from crosshash.layers.discriminator import Discriminator

MODALITIES = ("text", "image")


class Reconstruction(nn.Module):
    """Features of both modalities from the code of either, and what tells real from generated.

    HFAH, section 3.4: a decoder for each source and target; section 3.5: a discriminator for each
    target, D1 of text and D2 of image. The paper gives neither their layers nor widths; ours:
    decoders of two layers as wide as the features, which end in tanh, as the real ones do.

    Args:
        bits: K.
        feature: Width of the features.
    """

    def __init__(self, bits: int, feature: int) -> None:
        super().__init__()
        pairs = [f"{source}_{target}" for source in MODALITIES for target in MODALITIES]
        self.decoders = nn.ModuleDict(
            {
                pair: nn.Sequential(
                    nn.Linear(bits, feature), nn.ReLU(), nn.Linear(feature, feature), nn.Tanh()
                )
                for pair in pairs
            }
        )
        self.discriminators = nn.ModuleDict({t: Discriminator(feature) for t in MODALITIES})

    def forward(self, codes: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Generated features (n, feature) in (-1, 1) by ``"source_target"``.

        Args:
            codes: (n, bits) by modality.
        """
        return {
            pair: decoder(codes[pair.partition("_")[0]]) for pair, decoder in self.decoders.items()
        }
