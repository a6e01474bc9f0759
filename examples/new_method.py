"""A method of one's own in one file: a network, a loss and an algorithm; the rest is there.

python examples/new_method.py --epochs 10

It learns the codes of DCMH's likelihood within a batch, with a margin of one's own invention. A
registered method is trained by the same configs, resumed, evaluated and saved like the others.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Mapping

from torch import Tensor, nn

import crosshash
from crosshash.algorithms.phases import Algorithm, BatchPhase, Phase, Terms, Update
from crosshash.backbones.base import Features, ImageBackbone, TextEncoder
from crosshash.codes import sign
from crosshash.config import parse_config
from crosshash.layers.heads import Encoder, HashHead
from crosshash.losses.likelihood import pairwise_nll
from crosshash.losses.quantization_error import quantization
from crosshash.methods.build import METHODS
from crosshash.model.batch import Batch
from crosshash.model.hash_model import HashModel
from crosshash.reports.tables import markdown_table
from crosshash.similarity import label_similarity


class PlainNet(HashModel):
    """One hidden layer for each modality."""

    def __init__(
        self,
        backbones: Mapping[str, ImageBackbone],
        text: TextEncoder,
        bits: int,
        *,
        hidden: int = 256,
    ) -> None:
        super().__init__(backbones, text, bits)
        self.image_net = nn.Sequential(
            Encoder(backbones["image"].dim, [hidden]), HashHead(hidden, bits)
        )
        self.text_net = nn.Sequential(Encoder(text.dim, [hidden]), HashHead(hidden, bits))

    def hash_image(self, features: Mapping[str, Features]) -> Tensor:
        """F (n, k)."""
        return self.image_net(features["image"].pooled)

    def hash_text(self, features: Features) -> Tensor:
        """G (n, k)."""
        return self.text_net(features.pooled)


@METHODS.register("plain")
class Plain(Algorithm):
    """Likelihood of (F, G) and distance from binary codes, in one pass."""

    Network = PlainNet

    def __init__(self, net: PlainNet, count: int, classes: int, *, quantize: float = 0.01) -> None:
        super().__init__()
        self.net = net
        self.weights = {"quantization": quantize}

    def phases(self) -> list[Phase]:
        """One update of everything."""
        return [BatchPhase("both", [Update(self.net.parameters(), self.loss, self.weights)])]

    def loss(self, batch: Batch) -> Terms:
        """Named, unweighted terms; the trainer weighs, logs and minimises them."""
        F, G = self.net(batch.images, batch.texts)
        if batch.labels is None:
            raise ValueError("this method learns from labels")
        S = label_similarity(batch.labels, batch.labels)
        B = sign((F + G).detach())
        return {
            "likelihood": pairwise_nll(F, G, S, scale=0.25),
            "quantization": quantization(B, F) + quantization(B, G),
        }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--size", type=int, default=900, help="scenes to draw")
    options = parser.parse_args()
    config = parse_config(
        {
            "method": "plain",
            "bits": 32,
            "backbones": {
                "image": {
                    "name": "resnet10t",
                    "frozen": False,
                    "options": {
                        "weights": "random",
                        "image_size": 64,
                        "model_options": {"channels": [8, 16, 32, 64], "stem_width": 8},
                    },
                }
            },
            "data": {"name": "shapes", "options": {"n": options.size}},
            "training": {
                "epochs": options.epochs,
                "batch_size": 64,
                "learning_rate": 0.003,
            },
        }
    )
    with tempfile.TemporaryDirectory() as folder:
        result = crosshash.train(config, folder, progress=False)
        again = crosshash.load(result.folder)
    assert result.report is not None
    maps = {"MAP i→t": result.report.i2t.map, "MAP t→i": result.report.t2i.map}
    print(markdown_table([{"method": again.method, **maps, "chance": result.report.i2t.chance}]))


if __name__ == "__main__":
    main()
