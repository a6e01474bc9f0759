from __future__ import annotations

import pytest
import torch
from torch.nn import functional

from crosshash.layers.multiscale_conv import (
    MultiScaleConv,
    ScaleBranch,
    map_to_vector,
    vector_to_map,
)


def draw(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def trained(channels: int = 3, *, seed: int = 0, **options) -> MultiScaleConv:
    """A block after one step, whose last convolution is no longer zero."""
    torch.manual_seed(seed)
    block = MultiScaleConv(channels, **options).train()
    optimizer = torch.optim.SGD(block.parameters(), lr=1.0)
    block(draw(4, channels, 7, 7)).mul(draw(4, channels, 7, 7, seed=1)).sum().backward()
    optimizer.step()
    optimizer.zero_grad()
    return block


@pytest.mark.parametrize("shape", [(2, 1, 8, 8), (3, 5, 7, 4), (2, 3, 1, 1)])
def test_the_shape_stays(shape: tuple[int, ...]) -> None:
    assert trained(shape[1])(draw(*shape)).shape == shape


@pytest.mark.parametrize("training", [True, False])
def test_training_starts_from_the_features_as_they_are(training: bool) -> None:
    x = draw(4, 3, 6, 6)
    assert torch.equal(MultiScaleConv(3).train(training)(x), x)
    assert not torch.allclose(trained()(x), x)


@pytest.mark.parametrize("seed", range(5))  # which scales start dead would depend on the seed
def test_gradients_reach_every_parameter_once_the_last_layer_has_moved(seed: int) -> None:
    block = trained(seed=seed)
    block(draw(4, 3, 7, 7)).mul(draw(4, 3, 7, 7, seed=2)).sum().backward()
    for name, parameter in block.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().sum() > 0, name


@pytest.mark.parametrize("kernel", [1, 3, 5])
def test_a_branch_agrees_with_convolution_norm_and_weight_by_loops(kernel: int) -> None:
    torch.manual_seed(0)
    branch = ScaleBranch(2, 3, kernel).eval()
    branch.norm.running_mean.normal_()
    branch.norm.running_var.uniform_(0.5, 2)
    x = draw(2, 2, 5, 4)
    kernels = next(branch.conv.parameters()).reshape(3, 2, kernel, kernel)
    padded = functional.pad(x, (kernel // 2,) * 4)
    scale = torch.zeros(2, 3, 5, 4)
    for n in range(2):
        for o in range(3):
            for i in range(5):
                for j in range(4):
                    window = padded[n, :, i : i + kernel, j : j + kernel]
                    scale[n, o, i, j] = (kernels[o] * window).sum()
    mean, var = branch.norm.running_mean, branch.norm.running_var
    scale = (scale - mean[:, None, None]) / (var[:, None, None] + 1e-5).sqrt()
    scale = scale.clamp(min=0)
    for n in range(2):
        pooled = torch.stack([scale[n, o].sum() / 20 for o in range(3)])
        hidden = branch.weight[0](pooled)
        weight = torch.sigmoid(branch.weight[2](torch.where(hidden > 0, hidden, 0.1 * hidden)))
        torch.testing.assert_close(branch(x)[n], scale[n] * weight)


def test_the_block_adds_the_fused_scales_to_its_input() -> None:
    block = trained(kernels=(1, 3), width=2).eval()
    x = draw(2, 3, 5, 5)
    scales = torch.cat([branch(x) for branch in block.branches], dim=1)
    weight, bias = list(block.fuse.parameters())
    fused = torch.einsum("oc,nchw->nohw", weight.reshape(3, 4), scales)
    torch.testing.assert_close(block(x), fused + bias[:, None, None] + x)


def test_in_eval_mode_an_item_alone_is_the_item_in_a_batch() -> None:
    block = trained().eval()
    x = draw(5, 3, 6, 6)
    alone = torch.cat([block(row[None]) for row in x])
    torch.testing.assert_close(alone, block(x))


@pytest.mark.parametrize("kernels", [(1, 4), (2,), ()])
def test_kernels_that_would_shift_the_map_are_refused(kernels: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="kernel sizes must be odd"):
        MultiScaleConv(3, kernels=kernels)


@pytest.mark.parametrize(("dim", "side"), [(1, 1), (2, 2), (9, 3), (10, 4), (1280, 36), (4096, 64)])
def test_a_vector_comes_back_from_its_map(dim: int, side: int) -> None:
    x = draw(3, dim)
    laid_out = vector_to_map(x)
    assert laid_out.shape == (3, 1, side, side)
    assert laid_out.flatten(1)[:, dim:].abs().sum() == 0
    assert laid_out[0, 0, 0, 0] == x[0, 0]
    assert torch.equal(map_to_vector(laid_out, dim), x)


def test_a_map_is_laid_out_row_by_row() -> None:
    assert vector_to_map(torch.arange(1.0, 6.0)[None]).tolist() == [
        [[[1, 2, 3], [4, 5, 0], [0, 0, 0]]]
    ]


def test_a_vector_weighs_each_channel_of_a_scale_by_itself() -> None:
    torch.manual_seed(0)
    branch = ScaleBranch(2, 3, 3, vector=True).eval()
    x = torch.randn(4, 2, 5, 5)
    plain = branch.norm(branch.conv(x)).relu()
    weight = branch.weight(plain.mean(dim=(2, 3)))
    assert weight.shape == (4, 3)
    torch.testing.assert_close(branch(x), plain * weight[:, :, None, None])
    assert ScaleBranch(2, 3, 3).weight(torch.zeros(4, 3)).shape == (4, 1)
