"""One network trained for several lengths: the joint loss, and what each length sees."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest
import torch
from torch import nn

from crosshash.algorithms.nested import Nested
from crosshash.algorithms.phases import Algorithm, BatchPhase, Phase, SolvePhase, Terms, Update
from crosshash.backbones.base import Features
from crosshash.methods.build import create
from crosshash.model.batch import Batch
from crosshash.model.hash_model import HashModel


def network(nested: tuple[int, ...] = (8, 16)) -> HashModel:
    torch.manual_seed(0)
    return create(
        "dmsfh",
        bits=24,
        nested=nested,
        backbones={"name": "features", "dim": 6},
        text={"name": "features", "dim": 5},
        multiscale=False,
        image_hidden=[7],
        text_hidden=[7],
    )


def batch() -> Batch:
    draw = torch.Generator().manual_seed(1)
    image = Features(torch.randn(9, 6, generator=draw))
    text = Features(torch.randn(9, 5, generator=draw))
    return Batch(torch.arange(9), {"image": image}, text, torch.ones(9, 2))


class Tiny(Algorithm):
    """A loss with a weight, a module of its own, something kept from the loss to what follows."""

    def __init__(self, net: HashModel, *, weight: float = 1.0, **other: Any) -> None:
        super().__init__()
        self.net = net
        self.own = nn.Linear(net.bits, 1)
        self.register_buffer("kept", torch.zeros(9, net.bits))
        self.weights = {"square": weight}
        self.other = other
        self.heard: list[object] = []

    def begin(self, batches: Iterable[Batch]) -> None:
        self.heard += [len(batch) for batch in batches]

    def epoch_starts(self, epoch: int, epochs: int) -> None:
        self.weights["square"] *= epoch + 1

    def preliminary(self) -> list[Phase]:
        return [SolvePhase("first", lambda data: {"rows": sum(map(len, data))}, sees_data=True)]

    def phases(self) -> list[Phase]:
        both = [*self.net.parameters(), *self.own.parameters()]
        hashing = Update(both, self.loss, self.weights, "hash", self.keep)
        judging = Update(self.own.parameters(), self.judge, name=self.other.get("name", "judge"))
        passes = self.other.get("passes", 1)
        phases: list[Phase] = [BatchPhase("steps", [hashing, judging], passes)]
        return [*phases, SolvePhase("codes", lambda: {"mean": self.kept.mean()})]

    def loss(self, batch: Batch) -> Terms:
        F, G = self.net(batch.images, batch.texts)
        batch.shared["F"] = F.detach()
        return {"square": (F - G).square().mean(), "own": self.own(F).square().mean()}

    def judge(self, batch: Batch) -> Terms:
        return {"judged": self.own(batch.shared["F"]).mean()}

    def keep(self, batch: Batch) -> None:
        assert set(batch.shared) == {"F"}
        self.kept[batch.index] = batch.shared["F"]

    def learned_codes(self) -> torch.Tensor:
        return self.kept


def nested(**options: Any) -> Nested:
    return Nested(network(), lambda net, bits: Tiny(net, weight=bits / 8, **options)).eval()


def test_the_loss_is_the_sum_of_every_lengths_weighted_loss_over_the_first_bits() -> None:
    algorithm = nested()
    (steps, _) = algorithm.phases()
    given = batch()
    terms = steps.updates[0].loss(given)
    F, G = (x.detach() for x in algorithm.net(given.images, given.texts))
    total = torch.zeros(())
    for bits in (8, 16, 24):
        square = torch.stack(
            [(F[i, j] - G[i, j]) ** 2 for i in range(9) for j in range(bits)]
        ).mean()
        own = algorithm.parts[bits].own(F[:, :bits]).square().mean()
        torch.testing.assert_close(terms[f"{bits}/square"], square)
        torch.testing.assert_close(terms[f"{bits}/own"], own)
        total = total + bits / 8 * square + own
    assert len(terms) == 6
    torch.testing.assert_close(steps.updates[0].total(terms), total)


def test_a_length_weighs_in_the_sum_what_it_is_given() -> None:
    algorithm = Nested(network(), lambda net, bits: Tiny(net), weights={8: 3.0}).eval()
    (steps, _) = algorithm.phases()
    terms = steps.updates[0].loss(batch())
    wanted = sum((3.0 if name.startswith("8/") else 1.0) * terms[name] for name in terms)
    torch.testing.assert_close(steps.updates[0].total(terms), wanted)
    assert dict(steps.updates[0].weights) == {"8/square": 3.0, "16/square": 1.0, "24/square": 1.0}


def test_weights_that_change_are_read_at_every_step() -> None:
    algorithm = nested()
    (steps, _) = algorithm.phases()
    terms = steps.updates[0].loss(batch())
    before = steps.updates[0].total(terms)
    algorithm.epoch_starts(1, 4)
    squares = sum(bits / 8 * terms[f"{bits}/square"] for bits in (8, 16, 24))
    torch.testing.assert_close(steps.updates[0].total(terms), before + squares)


def test_parameters_stand_once_and_gradients_reach_them_all() -> None:
    algorithm = nested()
    (steps, _) = algorithm.phases()
    parameters = list(steps.updates[0].parameters)
    assert len({id(p) for p in parameters}) == len(parameters)
    own = [p for part in algorithm.parts.values() for p in part.own.parameters()]
    assert {*parameters} == {*algorithm.net.parameters(), *own} == {*algorithm.parameters()}
    update = steps.updates[0]
    gradients = torch.autograd.grad(update.total(update.loss(batch())), parameters)
    assert all(gradient.abs().sum() > 0 for gradient in gradients)
    assert {*steps.updates[1].parameters} == {*own}


def test_each_length_keeps_and_passes_on_what_it_left_itself() -> None:
    algorithm = nested()
    (steps, codes) = algorithm.phases()
    given = batch()
    F = algorithm.net(given.images, given.texts)[0].detach()
    for update in steps.updates:
        terms = update.loss(given)
        update.after(given)
    for bits, part in algorithm.parts.items():
        torch.testing.assert_close(part.kept, F[:, :bits])
        torch.testing.assert_close(terms[f"{bits}/judged"], part.own(F[:, :bits]).mean())
    assert codes.solve() == {f"{k}/mean": part.kept.mean() for k, part in algorithm.parts.items()}
    assert algorithm.learned_codes() is algorithm.parts[24].kept


def test_every_length_sees_the_training_set_before_the_first_epoch() -> None:
    algorithm = nested()
    algorithm.begin([batch(), batch()])
    assert all(part.heard == [9, 9] for part in algorithm.parts.values())
    (first,) = algorithm.preliminary()
    assert first.sees_data
    assert first.solve([batch()]) == {"8/rows": 9, "16/rows": 9, "24/rows": 9}


def test_the_state_has_the_network_once_and_comes_back() -> None:
    algorithm = nested()
    state = algorithm.state_dict()
    names = {f"net.{name}" for name in algorithm.net.state_dict()}
    guides = {f"guides.{k}.{n}" for k in (8, 16, 24) for n in ("own.weight", "own.bias", "kept")}
    assert set(state) == names | guides
    algorithm.parts[8].kept += 1
    other = nested()
    other.load_state_dict(algorithm.state_dict())
    assert other.parts[8].kept.mean() == 1


def test_modes_and_types_reach_every_part() -> None:
    algorithm = nested().train()
    assert all(part.training and part.net.training for part in algorithm.parts.values())
    algorithm.eval()
    assert not any(module.training for p in algorithm.parts.values() for module in p.modules())
    algorithm.double()
    for part in algorithm.parts.values():
        assert part.kept.dtype == part.own.weight.dtype == part.net.dtype == torch.float64


@pytest.mark.parametrize(("key", "values"), [("passes", (1, 2)), ("name", ("judge", "other"))])
def test_lengths_whose_phases_differ_are_refused(key: str, values: tuple[Any, Any]) -> None:
    algorithm = Nested(network((8,)), lambda net, bits: Tiny(net, **{key: values[bits > 8]}))
    with pytest.raises(ValueError, match=r"codes of 8 and 24 bits cannot be trained together"):
        algorithm.phases()


def test_what_cannot_be_nested_is_refused() -> None:
    with pytest.raises(ValueError, match="nothing is nested"):
        Nested(network(()), lambda net, bits: Tiny(net))

    class Solved(Tiny):
        trains = "nothing"

    with pytest.raises(ValueError, match="Solved cannot be nested: it solves all in closed form"):
        Nested(network(), lambda net, bits: Solved(net))
