"""Every public block in a plain loop of torch, with its defaults."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from crosshash import layers

BATCH, IMAGE, TEXT, BITS = 12, 20, 30, 16


def draw(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


# For each block what it is built from, and what goes through it.
BLOCKS: dict[str, tuple[Callable[[], nn.Module], tuple[Any, ...]]] = {
    "Discriminator": (lambda: layers.Discriminator(IMAGE), (draw(BATCH, IMAGE),)),
    "Encoder": (lambda: layers.Encoder(IMAGE), (draw(BATCH, IMAGE),)),
    "FeatureHash": (lambda: layers.FeatureHash(IMAGE, 8, BITS), (draw(BATCH, IMAGE),)),
    "GraphConv": (
        lambda: layers.GraphConv(IMAGE, 8),
        (draw(BATCH, IMAGE), layers.batch_graph(draw(BATCH, IMAGE), draw(BATCH, TEXT))),
    ),
    "GraphFusion": (
        lambda: layers.GraphFusion(IMAGE, TEXT, BITS),
        (draw(BATCH, IMAGE), draw(BATCH, TEXT)),
    ),
    "HashHead": (lambda: layers.HashHead(IMAGE, BITS), (draw(BATCH, IMAGE),)),
    "HybridAttention": (lambda: layers.HybridAttention(IMAGE), (draw(BATCH, IMAGE, 4, 4),)),
    "LabelNet": (lambda: layers.LabelNet(5, 32, 8, BITS), (draw(BATCH, 5).gt(0),)),
    "MultiScaleConv": (lambda: layers.MultiScaleConv(4), (draw(BATCH, 4, 10, 10),)),
    "MultiScaleEncoder": (lambda: layers.MultiScaleEncoder(TEXT), (draw(BATCH, TEXT).gt(0),)),
    "MultiScaleText": (lambda: layers.MultiScaleText(TEXT), (draw(BATCH, TEXT).abs(),)),
    "Reconstruction": (
        lambda: layers.Reconstruction(BITS, 8),
        ({"image": draw(BATCH, BITS), "text": draw(BATCH, BITS, seed=1)},),
    ),
    "SampleAttention": (lambda: layers.SampleAttention(IMAGE), (draw(BATCH, IMAGE),)),
    "TokenHead": (lambda: layers.TokenHead(IMAGE, BITS), (draw(BATCH, BITS, IMAGE),)),
}
# Parts that another call than forward() reaches.
ELSEWHERE = {"LabelNet": "classifier.", "Reconstruction": "discriminators."}


def tensors(output: Any) -> list[Tensor]:
    if isinstance(output, Tensor):
        return [output]
    return list(output.values() if isinstance(output, dict) else output)


def test_every_public_block_is_here() -> None:
    found = {name for name in layers.__all__ if isinstance(getattr(layers, name), type)}
    assert found == set(BLOCKS)


@pytest.mark.parametrize("name", BLOCKS)
def test_a_block_learns_in_a_plain_loop(name: str) -> None:
    torch.manual_seed(0)
    build, inputs = BLOCKS[name]
    inputs = tuple(x.float() if isinstance(x, Tensor) else x for x in inputs)
    block = build()
    optimizer = torch.optim.SGD(block.parameters(), lr=0.01)
    reached, losses = set(), []
    for _ in range(4):
        optimizer.zero_grad()
        loss = sum((x - 0.3).square().mean() for x in tensors(block(*inputs)))
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
        for part, parameter in block.named_parameters():
            if parameter.grad is not None and parameter.grad.abs().sum() > 0:
                reached.add(part)
    wanted = {part for part, _ in block.named_parameters()}
    other = ELSEWHERE.get(name)
    assert reached == {part for part in wanted if other is None or not part.startswith(other)}
    assert losses[-1] < losses[0]
