"""What only LPDH has: its soft targets, its signs, and codes of the labels."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from crosshash.algorithms.phases import BatchPhase, SolvePhase
from crosshash.config import checked_arguments, read_config
from crosshash.methods.lpdh import LPDH


def build(model_of: Any, batch_of: Any, **objective: Any) -> tuple[LPDH, Any]:
    model = model_of("lpdh", image_hidden=[32], text_hidden=[32])
    batch = batch_of(model.slots)
    algorithm = LPDH(model, len(batch), 4, **objective)
    algorithm.eval()
    with torch.no_grad():
        algorithm.begin([batch])
        for phase in algorithm.preliminary():
            assert isinstance(phase, SolvePhase)
            phase.solve()
    return algorithm, batch


def naive_nll(U: Any, V: Any, target: Any, scale: float, straight: float) -> torch.Tensor:
    def signed(row: Any) -> Any:
        return (1 - straight) * row + straight * torch.where(row >= 0, 1.0, -1.0)

    total = torch.zeros(())
    for i in range(len(U)):
        for j in range(len(V)):
            theta = scale * signed(U[i]) @ signed(V[j])
            total = total + torch.log(1 + theta.exp()) - target(i, j) * theta
    return total / (len(U) * len(V))


def test_the_terms_are_those_of_the_docstring(model_of: Any, batch_of: Any) -> None:
    """Computed here pair by pair; with fewer pairs than anchors a batch meets the whole bank."""
    algorithm, batch = build(model_of, batch_of, scale=0.3, straight=0.4)
    net, labels = algorithm.net, batch.labels.float()
    F, G = net(batch.images, batch.texts)
    p = algorithm.heads["image"](net.image_vector(net.image_features(batch.images))).sigmoid()
    q = algorithm.heads["text"](net.text_vector(net.text_features(batch.texts))).sigmoid()
    terms = algorithm.loss(batch)

    def alike(i: int, j: int) -> float:
        return float(bool((labels[i] * labels[j]).sum() > 0))

    def share(a: Any, b: Any) -> Any:
        return lambda i, j: 1 - float(torch.prod(1 - a[i] * b[j]).detach())

    hard = naive_nll(F, G, alike, 0.3, 0.4) + naive_nll(G, F, alike, 0.3, 0.4)
    torch.testing.assert_close(terms["hard"], hard, rtol=1e-4, atol=1e-5)
    soft = naive_nll(F, G, share(p, q), 0.3, 0.4) + naive_nll(G, F, share(q, p), 0.3, 0.4)
    torch.testing.assert_close(terms["distill"], soft, rtol=1e-4, atol=1e-5)
    B = algorithm.bank.B
    target = (B - F).square().mean() + (B - G).square().mean()
    torch.testing.assert_close(terms["target"], target)
    firm = (F.abs() - 1).square().mean() + (G.abs() - 1).square().mean()
    torch.testing.assert_close(terms["quantization"], firm)
    entropy = -sum((labels * v.log() + (1 - labels) * (1 - v).log()).mean() for v in (p, q))
    torch.testing.assert_close(terms["label"], entropy, rtol=1e-4, atol=1e-5)


def test_no_gradient_flows_through_the_soft_target(model_of: Any, batch_of: Any) -> None:
    algorithm, batch = build(model_of, batch_of)
    algorithm.loss(batch)["distill"].backward()
    assert all(p.grad is None for p in algorithm.heads.parameters())
    assert algorithm.net.image_net["codes"].linear.weight.grad.abs().sum() > 0


def test_b_is_made_of_labels_alone_and_stays(model_of: Any, batch_of: Any, steps: Any) -> None:
    algorithm, batch = build(model_of, batch_of)
    B = algorithm.bank.B.clone()
    alike = (batch.labels[:, None] == batch.labels[None]).all(2)
    assert torch.equal(alike, (B[:, None] == B[None]).all(2))
    algorithm.train()
    steps(algorithm, batch, 2)
    assert torch.equal(algorithm.bank.B, B)
    assert algorithm.learned_codes() is algorithm.bank.B


def test_a_batch_leaves_codes_and_probabilities_in_the_bank(model_of: Any, batch_of: Any) -> None:
    algorithm, batch = build(model_of, batch_of)
    before = {name: algorithm.bank.get_buffer(name).clone() for name in "FGpq"}
    with torch.no_grad():
        for parameter in algorithm.parameters():
            parameter.mul_(1.5)
    [phase] = algorithm.phases()
    assert isinstance(phase, BatchPhase)
    update = phase.updates[0]
    update.loss(batch)
    assert all(torch.equal(algorithm.bank.get_buffer(n), v) for n, v in before.items())
    assert update.after is not None
    update.after(batch)
    assert not any(torch.equal(algorithm.bank.get_buffer(n), v) for n, v in before.items())


def test_a_batch_meets_at_most_so_many_rows(model_of: Any, batch_of: Any) -> None:
    algorithm, _ = build(model_of, batch_of, anchors=10)
    drawn = algorithm._drawn(torch.device("cpu"))
    assert drawn.shape == (10,)
    assert not torch.equal(drawn, algorithm._drawn(torch.device("cpu")))


@pytest.mark.parametrize("weight", ["distill", "target", "quantization"])
def test_a_term_of_weight_zero_is_not_computed(model_of: Any, batch_of: Any, weight: str) -> None:
    algorithm, batch = build(model_of, batch_of, **{weight: 0.0})
    assert weight not in algorithm.loss(batch)
    assert {"hard", "label"} <= set(algorithm.loss(batch))


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"straight": 1.5}, r"straight is in \[0, 1\], got 1.5"),
        ({"straight": (0.3, 1.5)}, r"straight is in \[0, 1\], got \(0.3, 1.5\)"),
        ({"anchors": 0}, "anchors is at least 1, got 0"),
        ({"label": 0.0}, "distill needs the heads"),
    ],
)
def test_settings_that_cannot_work_are_refused(
    model_of: Any, batch_of: Any, wrong: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        build(model_of, batch_of, **wrong)


@pytest.mark.parametrize(
    ("straight", "shares"), [(0.3, [0.3, 0.3, 0.3]), ((0.2, 1.0), [0.2, 0.6, 1.0])]
)
def test_the_share_of_signs_grows_by_equal_steps(
    model_of: Any, batch_of: Any, straight: Any, shares: list[float]
) -> None:
    algorithm, batch = build(model_of, batch_of, straight=straight)
    losses = []
    for epoch, share in enumerate(shares):
        algorithm.epoch_starts(epoch, len(shares))
        assert algorithm.straight == pytest.approx(share)
        losses.append(algorithm.loss(batch)["hard"].item())
    assert (losses[0] == losses[-1]) == (shares[0] == shares[-1])


def test_a_config_may_give_two_shares() -> None:
    config = read_config("lpdh/wiki-16", ["algorithm.straight=[0.3, 1]"])
    assert checked_arguments(LPDH, config.algorithm, "algorithm")["straight"] == (0.3, 1.0)
