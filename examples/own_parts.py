"""Parts of one's own in one file: a data set, an image backbone, a text encoder and a method.

python examples/own_parts.py --epochs 5

Each is registered under a name, by which a config calls it like those that come with the package.
The config names this file under ``imports``; whoever loads the model names it again, as the second
half of ``main`` does in a process that knows nothing of it.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import zlib
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

import crosshash
from crosshash.algorithms import Algorithm, BatchPhase, Phase, Terms, Update
from crosshash.backbones import (
    IMAGE_BACKBONES,
    TEXT_ENCODERS,
    Features,
    ImageBackbone,
    TextEncoder,
)
from crosshash.codes import sign
from crosshash.config import parse_config
from crosshash.data import DATASETS, PairedDataset, Protocol
from crosshash.layers import Encoder, HashHead
from crosshash.losses import pairwise_nll, quantization
from crosshash.methods import METHODS
from crosshash.model import Batch, HashModel
from crosshash.reports import markdown_table
from crosshash.similarity import label_similarity

COLOURS = {"red": (220, 40, 40), "green": (40, 180, 60), "blue": (50, 80, 220)}
PLACES = ("left", "right")
# What another program does with the model; `crosshash encode … --import own_parts.py` does so too.
ELSEWHERE = """
import sys
import numpy as np
import crosshash

checkpoint, parts, output = sys.argv[1:]
model = crosshash.load(checkpoint, imports=[parts])
dataset, _ = crosshash.load_dataset("dots", n=20, seed=1)
images, texts = dataset.images, dataset.captions()
np.savez(output, image=model.encode_image(images), text=model.encode_text(texts))
"""


@DATASETS.register("dots")
def dots(
    root: str | Path | None = None, *, n: int = 300, seed: int = 0
) -> tuple[PairedDataset, Protocol]:
    """Pictures of a coloured dot on the left or right, each with a sentence."""
    rng = np.random.default_rng(seed)
    names = (*COLOURS, *PLACES)
    pictures = rng.integers(200, 256, (n, 32, 32, 3), dtype=np.uint8)
    labels = np.zeros((n, len(names)), dtype=np.uint8)
    texts = []
    for picture, label in zip(pictures, labels, strict=True):
        colour, place = str(rng.choice(list(COLOURS))), str(rng.choice(PLACES))
        top, left = rng.integers(0, 24), rng.integers(0, 8) + 16 * PLACES.index(place)
        picture[top : top + 8, left : left + 8] = COLOURS[colour]
        label[[names.index(colour), names.index(place)]] = 1
        texts.append(f"a {colour} dot on the {place}")
    ids = [f"dot-{row}" for row in range(n)]
    dataset = PairedDataset(
        name="dots", ids=ids, images=pictures, texts=texts, labels=labels, label_names=names
    )
    return dataset, Protocol.random(n, query=n // 5, train=n // 2, seed=seed, name="dots/random")


def small_pixels(picture: Image.Image, side: int) -> Tensor:
    """(3, side, side) in [-1, 1]; a function of a module, so that other processes find it."""
    pixels = np.asarray(picture.resize((side, side)), dtype=np.float32)
    return torch.from_numpy(pixels / 127.5 - 1).permute(2, 0, 1)


@IMAGE_BACKBONES.register("two_convs")
class TwoConvs(ImageBackbone):
    """Two convolutions and an average."""

    name = "two_convs"
    reads_pixels = True

    def __init__(self, *, side: int = 32, channels: int = 32) -> None:
        super().__init__()
        self.side, self.channels, self.dim = side, channels, 4 * channels
        self.preprocess = partial(small_pixels, side=side)
        self.layers = nn.Sequential(
            *(nn.Conv2d(3, channels, 5, stride=2, padding=2), nn.BatchNorm2d(channels), nn.ReLU()),
            *(nn.Conv2d(channels, channels, 3, padding=1), nn.BatchNorm2d(channels), nn.ReLU()),
        )

    def forward(self, x: Tensor) -> Features:
        """The map, and its means over four quarters."""
        features = self.layers(x)
        return Features(nn.functional.adaptive_avg_pool2d(features, 2).flatten(1), features)

    def spec(self) -> dict[str, Any]:
        """What builds it again."""
        return {"name": self.name, "side": self.side, "channels": self.channels}


@TEXT_ENCODERS.register("ngrams")
class NGrams(TextEncoder):
    """Which runs of n characters are in a text, each known by a hash of so many values."""

    name = "ngrams"

    def __init__(self, *, n: int = 3, size: int = 256) -> None:
        super().__init__()
        self.n, self.size = n, size

    @property
    def dim(self) -> int:
        """One for each value of the hash."""
        return self.size

    def prepare(self, texts: Any, *, unknown: str = "raise") -> dict[str, Tensor]:
        """Rows of 0 and 1; there is no text of which nothing is known."""
        rows = torch.zeros(len(texts), self.size, dtype=torch.uint8)
        for row, text in zip(rows, texts, strict=True):
            padded = f" {text.lower()} ".encode()
            for start in range(max(len(padded) - self.n + 1, 1)):
                row[zlib.crc32(padded[start : start + self.n]) % self.size] = 1
        return {"ngrams": rows}

    def forward(self, inputs: dict[str, Tensor]) -> Features:
        """The rows as floating numbers."""
        return Features(inputs["ngrams"].float())

    def spec(self) -> dict[str, Any]:
        """What builds it again."""
        return {"name": self.name, "n": self.n, "size": self.size}


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
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--size", type=int, default=300, help="pictures to draw")
    options = parser.parse_args()
    config = parse_config(
        {
            "imports": [__file__],
            "method": "plain",
            "bits": 32,
            "backbones": {"image": {"name": "two_convs", "frozen": False}},
            "text": "ngrams",
            "data": {"name": "dots", "options": {"n": options.size}},
            "training": {"epochs": options.epochs, "batch_size": 32, "learning_rate": 0.003},
        }
    )
    with tempfile.TemporaryDirectory() as folder:
        result = crosshash.train(config, folder, progress=False)
        assert result.report is not None
        maps = {"MAP i→t": result.report.i2t.map, "MAP t→i": result.report.t2i.map}
        chance = {"chance": result.report.i2t.chance}
        print(markdown_table([{"method": result.model.method, **maps, **chance}]))

        output = Path(folder) / "codes.npz"
        command = [sys.executable, "-c", ELSEWHERE, str(result.folder), __file__, str(output)]
        subprocess.run(command, check=True)
        codes, (dataset, _) = np.load(output), dots(n=20, seed=1)
        images = np.array_equal(codes["image"], result.model.encode_image(dataset.images))
        texts = np.array_equal(codes["text"], result.model.encode_text(dataset.captions()))
    print("loaded by another program, its codes are", "equal" if images and texts else "others")


if __name__ == "__main__":
    main()
