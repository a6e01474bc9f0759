"""Train the image backbone that the recipes of ``shapes`` stand on, from other scenes.

python examples/shapes_backbone.py -o zoo/weights/shapes-resnet10t.safetensors

The scenes are those of a seed that no recipe names, and each is seen once. The network learns what
is in a picture (the labels of ``shapes``), and which kind and colour the shape at a place has: told
the places, it learns from far fewer scenes than by labels alone. At the end the average precision
is printed with which a linear layer tells the labels of scenes that it has not seen.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file
from sklearn.metrics import average_precision_score
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy

from crosshash.backbones import create_image_backbone
from crosshash.config import read_config
from crosshash.data.shapes.drawing import render
from crosshash.data.shapes.scene import COLOURS, KINDS, SETTINGS, Scene, sample_scene

RECIPE = "amgfh/shapes-64"
SEED = 2**40
BATCH = 128
LEARNING_RATE = 0.004
NAMES = (*KINDS, *SETTINGS)
HUES = tuple(COLOURS)


class Taught(nn.Module):
    """A backbone under linear layers: labels of all of a picture, kind and colour of a place."""

    def __init__(self) -> None:
        super().__init__()
        backbone = read_config(RECIPE).backbones["image"]
        options = {**backbone.options, "weights": "random"}
        self.backbone = create_image_backbone(backbone.name, **options)
        self.label = nn.Linear(self.backbone.dim, len(NAMES))
        self.kind = nn.Linear(self.backbone.channels, len(KINDS))
        self.colour = nn.Linear(self.backbone.channels, len(HUES))

    def loss(self, pictures: Tensor, scenes: list[Scene]) -> Tensor:
        """Of pictures (n, 3, size, size)."""
        features = self.backbone(pictures)
        cells = features.map.shape[-1]
        places = torch.tensor(
            [
                (
                    *(row, int(item.y * cells), int(item.x * cells)),
                    *(KINDS.index(item.kind), HUES.index(item.colour)),
                )
                for row, scene in enumerate(scenes)
                for item in scene.items
            ]
        )
        row, y, x, kind, colour = places.T
        at = features.map[row, :, y, x]
        return (
            4 * binary_cross_entropy_with_logits(self.label(features.pooled), labels(scenes))
            + cross_entropy(self.kind(at), kind)
            + 0.5 * cross_entropy(self.colour(at), colour)
        )


def draw(first: int, count: int, size: int, seed: int = SEED) -> tuple[Tensor, list[Scene]]:
    """Pictures (count, 3, size, size) in [-1, 1], as the recipe's preprocessing has them."""
    pictures, scenes = np.empty((count, size, size, 3), dtype=np.uint8), []
    for row in range(count):
        rng = np.random.default_rng([seed, first + row])
        scenes.append(sample_scene(rng))
        pictures[row] = render(scenes[-1], size, rng)
    pixels = torch.from_numpy(pictures).permute(0, 3, 1, 2).float() / 127.5 - 1
    return pixels.contiguous(memory_format=torch.channels_last), scenes


def labels(scenes: list[Scene]) -> Tensor:
    """(n, 16) of 0 and 1, as ``shapes`` has them."""
    there = [{scene.background, *(item.kind for item in scene.items)} for scene in scenes]
    return torch.tensor([[float(name in found) for name in NAMES] for found in there])


def precision(net: Taught, size: int, count: int) -> float:
    """Mean over the labels of the average precision on scenes of another seed."""
    net.eval()
    with torch.no_grad():
        scores, truth = [], []
        for first in range(0, count, BATCH):
            pictures, scenes = draw(first, min(BATCH, count - first), size, SEED + 1)
            scores.append(net.label(net.backbone(pictures).pooled))
            truth.append(labels(scenes))
    net.train()
    return float(average_precision_score(torch.cat(truth), torch.cat(scores)))


def main() -> None:
    parser = argparse.ArgumentParser(description="Train the backbone of the recipes of shapes.")
    parser.add_argument("-o", "--output", type=Path, default=Path("shapes-resnet10t.safetensors"))
    parser.add_argument("--scenes", type=int, default=200_000)
    options = parser.parse_args()

    torch.manual_seed(0)
    net = Taught().to(memory_format=torch.channels_last)  # twice as fast on a CPU
    size = net.backbone.image_size[0]
    steps = max(4, options.scenes // BATCH)
    optimizer = torch.optim.AdamW(net.parameters(), lr=LEARNING_RATE, weight_decay=0.01)
    rates = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, LEARNING_RATE, total_steps=steps, pct_start=0.15
    )
    began = time.process_time()
    for step in range(steps):
        loss = net.loss(*draw(step * BATCH, BATCH, size))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        rates.step()
        if step % 100 == 99:
            seconds = time.process_time() - began
            print(
                f"{(step + 1) * BATCH:,} scenes, loss {loss.item():.3f}, {seconds:.0f} s",
                flush=True,
            )
    # Half precision: half the size, and the same labels.
    weights = {
        name: value.half().contiguous() if value.is_floating_point() else value
        for name, value in net.backbone.model.state_dict().items()
    }
    save_file(weights, options.output)
    print(f"average precision of labels {precision(net, size, 1000):.3f}; {options.output}")


if __name__ == "__main__":
    main()
