from __future__ import annotations

import pytest
import torch

from crosshash.layers.hybrid_attention import HybridAttention


def draw(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("shape", [(3, 40, 5, 4), (2, 7, 1, 1), (2, 24, 9, 9), (2, 520, 2, 2)])
@pytest.mark.parametrize("training", [True, False])
def test_cbam_gives_what_timm_gives_from_the_same_weights(
    shape: tuple[int, ...], training: bool
) -> None:
    from timm.layers import create_attn

    torch.manual_seed(3)
    ours = HybridAttention(shape[1], "cbam").attention
    torch.manual_seed(3)
    theirs = create_attn("cbam", shape[1])
    state, expected = ours.state_dict(), theirs.state_dict()
    assert list(state) == list(expected)
    assert all(torch.equal(state[name], expected[name]) for name in state)
    x = draw(*shape)
    torch.testing.assert_close(ours.train(training)(x), theirs.train(training)(x))


def test_cbam_weighs_channels_and_places_by_hand() -> None:
    attention = HybridAttention(4, "cbam").eval()
    channel, spatial = attention.attention
    x = draw(2, 4, 3, 3)
    with torch.no_grad():
        found = attention(x)
        for item in range(2):
            vectors = [x[item].mean(dim=(1, 2)), x[item].amax(dim=(1, 2))]
            first, second = channel.fc1.weight[:, :, 0, 0], channel.fc2.weight[:, :, 0, 0]
            score = sum(second @ (first @ vector).clamp(min=0) for vector in vectors)
            weighted = x[item] * score.sigmoid()[:, None, None]
            places = torch.stack([weighted.mean(dim=0), weighted.amax(dim=0)])[None]
            map_ = torch.nn.functional.conv2d(places, spatial.conv.conv.weight, padding=3)
            map_ = map_ / (1 + spatial.conv.bn.eps) ** 0.5
            torch.testing.assert_close(found[item], weighted * map_[0].sigmoid())
