"""Labels, or any vector, to a semantic feature and the code that is made from it.

HFAH (Li & Wang 2022), sections 3.2 and 4.3.
"""

from __future__ import annotations

from torch import Tensor, nn

from crosshash.layers.heads import Encoder, HashHead


class FeatureHash(nn.Module):
    """A semantic feature f, bounded by tanh, and the code H = tanh(W f) that is made from it.

    The end of all three networks of HFAH: f^l, H^l (section 3.2), f^x, H^x and f^y, H^y (section
    3.3). The paper gives tanh for H^l alone and is silent about f's activation. Inner products of
    rectified features cannot be negative, so that no two items could be told apart by the
    likelihood.

    Shapes: (n, dim) to (n, feature) and (n, bits), both in (-1, 1).

    Args:
        dim: Width of the input.
        feature: Width of f; the label network's is 512 (section 4.3), and Eq. 4 needs one for all.
        bits: K.
    """

    def __init__(self, dim: int, feature: int, bits: int) -> None:
        super().__init__()
        self.feature = nn.Linear(dim, feature)
        self.codes = HashHead(feature, bits)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """F (n, feature) and H (n, bits)."""
        f = self.feature(x).tanh()
        return f, self.codes(f)


class LabelNet(nn.Module):
    """Labels to a semantic feature f^l, a code H^l and the labels again (HFAH, section 3.2).

    Section 4.3: "the first three full connection parts are used to extract feature", of c, 4096 and
    512 neurons, then K with tanh. ``classifier`` gives L^ of Eq. 3, which the paper takes from
    nowhere, from f^l.

    Args:
        classes: c.
        hidden: Width of the hidden layer; the paper's 4096.
        feature: Width of f^l; the paper's 512.
        bits: K.
    """

    def __init__(self, classes: int, hidden: int, feature: int, bits: int) -> None:
        super().__init__()
        self.encoder = Encoder(classes, (hidden,), norm=False)
        self.hash = FeatureHash(hidden, feature, bits)
        self.classifier = nn.Linear(feature, classes)

    def forward(self, labels: Tensor) -> tuple[Tensor, Tensor]:
        """f^l (n, feature) and H^l (n, bits) of labels (n, c) in {0, 1}."""
        return self.hash(self.encoder(labels.float()))  # type: ignore[no-any-return]
