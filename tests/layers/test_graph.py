from __future__ import annotations

import subprocess
import sys

import pytest
import torch

from crosshash.layers.graph import GraphConv, batch_graph


def draw(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def cosine(x: torch.Tensor, y: torch.Tensor) -> float:
    return float(x @ y / (x.norm() * y.norm()))


@pytest.mark.parametrize("centred", [False, True])
@pytest.mark.parametrize("alpha", [0.0, 0.3, 1.0])
def test_the_graph_agrees_with_a_loop_over_pairs(alpha: float, centred: bool) -> None:
    image, text = draw(6, 4), draw(6, 3, seed=1)
    graph = batch_graph(image, text, alpha=alpha, centred=centred)
    if centred:
        image, text = image - image.mean(dim=0), text - text.mean(dim=0)
    cut = 0
    for i in range(6):
        for j in range(6):
            s = alpha * cosine(image[i], image[j]) + (1 - alpha) * cosine(text[i], text[j])
            assert graph[i, j].item() == pytest.approx(max(s, 0.0), abs=1e-6)
            cut += s < 0
    assert cut
    torch.testing.assert_close(graph.diagonal(), torch.ones(6))


@pytest.mark.parametrize("neighbours", [None, 1, 3, 50])
def test_the_graph_is_symmetric_and_within_its_range(neighbours: int | None) -> None:
    graph = batch_graph(draw(20, 8), draw(20, 8, seed=1), neighbours=neighbours)
    assert torch.equal(graph, graph.T)
    assert graph.min() >= 0
    assert graph.max() <= 1 + 1e-6


def test_only_nearest_neighbours_are_kept_with_those_who_keep_the_item() -> None:
    image, text = draw(12, 5), draw(12, 5, seed=1)
    whole = batch_graph(image, text)
    graph = batch_graph(image, text, neighbours=2)
    nearest = [set(whole[i].topk(3).indices.tolist()) for i in range(12)]
    for i in range(12):
        for j in range(12):
            kept = j in nearest[i] or i in nearest[j]
            assert graph[i, j] == (whole[i, j] if kept else 0)
    assert (graph == 0).sum() > (whole == 0).sum()


def test_features_that_are_never_negative_are_not_all_neighbours() -> None:
    image, text = draw(40, 8).exp(), draw(40, 8, seed=1).exp()
    others = ~torch.eye(40, dtype=torch.bool)
    assert (batch_graph(image, text, centred=False)[others] > 0.1).all()
    assert (batch_graph(image, text)[others] > 0.1).float().mean() < 0.5


def test_the_graph_is_a_constant_of_the_step() -> None:
    assert not batch_graph(draw(3, 2).requires_grad_(), draw(3, 2)).requires_grad


@pytest.mark.parametrize("activation", ["relu", "softmax"])
def test_convolution_is_the_normalised_product_of_the_docstring(activation: str) -> None:
    x, S = draw(7, 5), batch_graph(draw(7, 4, seed=1), draw(7, 3, seed=2))
    torch.manual_seed(0)
    layer = GraphConv(5, 3, activation=activation)
    torch.nn.init.normal_(layer.conv.bias)
    weighted = S + torch.eye(7)
    root = weighted.sum(dim=1).rsqrt().diag()
    dense = root @ weighted @ root @ x @ layer.conv.lin.weight.T + layer.conv.bias
    expected = dense.relu() if activation == "relu" else dense.softmax(dim=1)
    torch.testing.assert_close(layer(x, S), expected)


def test_convolution_follows_a_permutation_of_the_items() -> None:
    x, S = draw(7, 5), batch_graph(draw(7, 4, seed=1), draw(7, 3, seed=2))
    layer = GraphConv(5, 3)
    order = torch.randperm(7, generator=torch.Generator().manual_seed(0))
    permuted = layer(x[order], S[order][:, order])
    torch.testing.assert_close(permuted, layer(x, S)[order])


def test_an_item_without_neighbours_keeps_its_own_features() -> None:
    x = draw(3, 4)
    layer = GraphConv(4, 2, activation="softmax")
    expected = (x @ layer.conv.lin.weight.T).softmax(dim=1)
    torch.testing.assert_close(layer(x, torch.zeros(3, 3)), expected)


def test_gradients_reach_input_and_parameters() -> None:
    torch.manual_seed(0)
    x, S = draw(7, 5).requires_grad_(), batch_graph(draw(7, 4, seed=1), draw(7, 3, seed=2))
    layer = GraphConv(5, 3)
    layer(x, S).square().sum().backward()
    for tensor in (x, *layer.parameters()):
        assert tensor.grad is not None
        assert tensor.grad.abs().sum() > 0


def test_convolution_runs_in_mixed_precision() -> None:
    x, S = draw(7, 5), batch_graph(draw(7, 4, seed=1), draw(7, 3, seed=2))
    layer = GraphConv(5, 3)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        mixed = layer(x.bfloat16(), S.bfloat16())
    torch.testing.assert_close(mixed.float(), layer(x, S), atol=0.05, rtol=0.05)


def test_an_unknown_activation_is_named() -> None:
    with pytest.raises(ValueError, match="'relu' or 'softmax', got 'tanh'"):
        GraphConv(2, 2, activation="tanh")


def test_warnings_of_the_graph_library_reach_nobody() -> None:
    code = (
        "import torch, warnings; before = list(warnings.filters)\n"
        "from crosshash.layers.graph import GraphConv; GraphConv(3, 4)\n"
        "assert warnings.filters == before"
    )
    subprocess.run([sys.executable, "-W", "error::FutureWarning", "-c", code], check=True)
