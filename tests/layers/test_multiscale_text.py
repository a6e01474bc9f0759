from __future__ import annotations

import pytest
import torch

from crosshash.layers.multiscale_text import MultiScaleEncoder, MultiScaleText


def draw(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def block(dim: int, **options) -> MultiScaleText:
    torch.manual_seed(0)
    made = MultiScaleText(dim, **options)
    for conv in made.convs:  # other than the neutral start, so that they are seen
        torch.nn.init.normal_(conv.weight)
        torch.nn.init.normal_(conv.bias)
    return made


def naive_view(row: list[float], scale: int, weight: float, bias: float) -> list[float]:
    """Pooling with a short last window, 1x1 convolution, ReLU, each value back to its window."""
    d = len(row)
    pooled = []
    for start in range(0, d, scale):
        window = row[start : min(start + scale, d)]
        pooled.append(max(0.0, weight * sum(window) / len(window) + bias))
    return [pooled[place // scale] for place in range(d)]


@pytest.mark.parametrize("dim", [60, 57, 50, 12])
@pytest.mark.parametrize("fuse", ["conv", "concat"])
def test_the_block_agrees_with_a_loop_over_windows(dim: int, fuse: str) -> None:
    pooling = block(dim, fuse=fuse)
    x = draw(3, dim)
    out = pooling(x)
    for row, found in zip(x.tolist(), out, strict=True):
        views = [row]
        for scale, conv in zip(pooling.scales, pooling.convs, strict=True):
            views.append(naive_view(row, scale, conv.weight.item(), conv.bias.item()))
        stacked = torch.tensor(views)
        if fuse == "concat":
            expected = stacked.flatten()
        else:
            expected = pooling.fuse.weight[0, :, 0] @ stacked + pooling.fuse.bias
        torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("scale", [5, 10, 15, 30, 50])
@pytest.mark.parametrize("dim", [1386, 1000, 143, 60, 50])
def test_what_is_constant_in_every_window_comes_back_as_it_was(dim: int, scale: int) -> None:
    pooling = MultiScaleText(dim, scales=(scale,), fuse="concat")
    x = draw(2, -(-dim // scale)).abs().repeat_interleave(scale, dim=1)[:, :dim]
    torch.testing.assert_close(pooling(x)[:, dim:], x)


@pytest.mark.parametrize("dim", [1386, 57])
def test_a_word_changes_its_own_window_and_no_other(dim: int) -> None:
    pooling = MultiScaleText(dim, scales=(50,), fuse="concat")
    for place in (0, 49, 50, dim - 1):
        words = torch.zeros(1, dim)
        words[0, place] = 1
        changed = pooling(words)[0, dim:].nonzero()[:, 0].tolist()
        start = place // 50 * 50
        assert changed == list(range(start, min(start + 50, dim)))


@pytest.mark.parametrize(("fuse", "width"), [("conv", 40), ("concat", 40 * 6)])
def test_out_dim_is_the_width_that_comes_out(fuse: str, width: int) -> None:
    pooling = block(40, fuse=fuse)
    assert pooling.out_dim == width
    assert pooling(draw(2, 40)).shape == (2, width)


def test_a_scale_wider_than_the_vector_is_clamped_and_gives_the_mean() -> None:
    pooling = MultiScaleText(10, scales=(5, 50), fuse="concat")
    assert pooling.scales == (5, 10)
    x = draw(4, 10).abs()
    last = pooling(x)[:, 20:]
    torch.testing.assert_close(last, x.mean(dim=1, keepdim=True).expand(4, 10))


def test_no_scale_is_switched_off_at_the_start() -> None:
    pooling = MultiScaleText(60, fuse="concat")
    words = (draw(8, 60) > 1).float()
    assert (pooling(words).reshape(8, 6, 60).sum(dim=2) > 0).all()


def test_rows_do_not_mix() -> None:
    pooling = block(30)
    x = draw(5, 30)
    alone = torch.cat([pooling(row[None]) for row in x])
    torch.testing.assert_close(alone, pooling(x))


def test_gradients_reach_every_parameter() -> None:
    torch.manual_seed(0)
    pooling = MultiScaleText(60)
    pooling(draw(6, 60).abs()).mul(draw(6, 60, seed=1)).sum().backward()
    for name, parameter in pooling.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().sum() > 0, name


@pytest.mark.parametrize("scales", [(), (0, 5), (-1,)])
def test_scales_that_are_no_widths_are_refused(scales: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="scales are positive"):
        MultiScaleText(10, scales=scales)


def test_an_unknown_fusion_is_named() -> None:
    with pytest.raises(ValueError, match="'conv' or 'concat', got 'add'"):
        MultiScaleText(10, fuse="add")


@pytest.mark.parametrize("dim", [60, 57, 12])
def test_a_layer_on_the_narrow_views_is_the_layer_on_the_wide_ones(dim: int) -> None:
    pooling, x = block(dim, fuse="concat"), draw(4, dim)
    layer = torch.nn.Linear(pooling.out_dim, 7)
    found = {}
    for name, output in (("wide", layer(pooling(x))), ("narrow", pooling.project(x, layer))):
        layer.zero_grad()
        pooling.zero_grad()
        output.mul(draw(4, 7, seed=1)).sum().backward()
        gradients = [p.grad.clone() for p in (*layer.parameters(), *pooling.parameters())]
        found[name] = [output, *gradients]
    torch.testing.assert_close(found["narrow"], found["wide"])


@pytest.mark.parametrize("hidden", [(), (16,), (16, 8)])
@pytest.mark.parametrize("fuse", ["concat", "conv"])
def test_an_encoder_is_its_pooling_and_then_its_layers(fuse: str, hidden: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    encoder = MultiScaleEncoder(30, hidden, fuse=fuse, norm=True)
    x = draw(4, 30)
    assert encoder.pooling is not None
    torch.testing.assert_close(encoder.eval()(x), encoder.encoder(encoder.pooling(x)))
