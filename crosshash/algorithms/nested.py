"""One network trained for codes of several lengths at once, each the first bits of the next."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial

from torch import Tensor, nn

from crosshash.algorithms.phases import Algorithm, BatchPhase, Phase, SolvePhase, Terms, Update
from crosshash.model.batch import Batch
from crosshash.model.hash_model import HashModel
from crosshash.model.prefix import prefix_view


class Nested(Algorithm):
    """A method trained for every length of a network's codes together.

    The idea is that of Matryoshka Representation Learning (Kusupati et al. 2022): the loss is the
    sum of the losses of all lengths, those of the shorter ones over the first bits of the same
    codes. Here each length has an ordinary algorithm of the method, with a code bank and guiding
    modules of its own, over a view of the one network
    (:func:`~crosshash.model.prefix.prefix_view`); so no method knows of it. Phases of one name are
    run as one, in which every length takes part: a batch is met by one update, over the parameters
    of all, whose loss is the sum of their weighted losses. Terms and figures carry their length,
    as ``32/inter``.

    It is a weighted sum and no mean, so that with weights of 1 what belongs to one length, such as
    a discriminator or the last bits, learns by the gradients that it would have alone.

    Args:
        net: The network; ``net.nested`` are the shorter lengths.
        make: The method's algorithm around a network, for so many bits.
        weights: By length, of its losses in the sum; 1 where none is given. Steps of Adam do not
            depend on their scale, but the lengths share them in this proportion.

    Attributes:
        parts: By length the ordinary algorithms, the shortest first.

    Raises:
        ValueError: There are no shorter lengths; the method solves all in closed form; or the
            network has no hash head.
    """

    def __init__(
        self,
        net: HashModel,
        make: Callable[[HashModel, int], Algorithm],
        *,
        weights: Mapping[int, float] | None = None,
    ) -> None:
        super().__init__()
        if not net.nested:
            raise ValueError("nothing is nested: the network has codes of one length")
        self.net = net
        self.parts = {bits: make(prefix_view(net, bits), bits) for bits in net.nested}
        self.parts[net.bits] = whole = make(net, net.bits)
        if whole.trains == "nothing":
            raise ValueError(
                f"{type(whole).__name__} cannot be nested: it solves all in closed form, and only "
                "what learns by gradient can learn several lengths at once"
            )
        self.weights = dict.fromkeys(self.parts, 1.0) | dict(weights or {})
        self.supervised, self.trains = whole.supervised, whole.trains
        self.guides = nn.ModuleDict({str(k): _Guide(part) for k, part in self.parts.items()})

    def train(self, mode: bool = True) -> Nested:
        """Set the mode of the network, its views, and all that guides them."""
        super().train(mode)
        for part in self.parts.values():
            part.train(mode)
        return self

    def begin(self, batches: Iterable[Batch]) -> None:
        """Every length sees the training set.

        Args:
            batches: As of :meth:`Algorithm.begin`; gone over once for each length.
        """
        for part in self.parts.values():
            part.begin(batches)

    def preliminary(self) -> list[Phase]:
        """The lengths' preliminary phases, together."""
        phases = {bits: part.preliminary() for bits, part in self.parts.items()}
        return _together(phases, self.weights)

    def phases(self) -> list[Phase]:
        """The lengths' phases, together."""
        return _together({k: part.phases() for k, part in self.parts.items()}, self.weights)

    def learned_codes(self) -> Tensor | None:
        """Those of the full length."""
        return self.parts[self.net.bits].learned_codes()

    def epoch_starts(self, epoch: int, epochs: int) -> None:
        """Every length hears of it."""
        for part in self.parts.values():
            part.epoch_starts(epoch, epochs)


class _Guide(nn.Module):
    """All of an algorithm but its network, as the same objects: a state has the network once."""

    def __init__(self, algorithm: Algorithm) -> None:
        super().__init__()
        self._parameters, self._buffers = algorithm._parameters, algorithm._buffers
        self._non_persistent_buffers_set = algorithm._non_persistent_buffers_set
        for name, module in algorithm.named_children():
            if module is not algorithm.net:
                self.add_module(name, module)


class _Weights(Mapping[str, float]):
    """Weights by ``length/term``, read from the updates at every step, as theirs may change."""

    def __init__(self, updates: Mapping[int, Update], lengths: Mapping[int, float]) -> None:
        self.updates, self.lengths = updates, lengths

    def __getitem__(self, name: str) -> float:
        length, _, term = name.partition("/")
        return self.lengths[int(length)] * self.updates[int(length)].weights.get(term, 1.0)

    def __iter__(self) -> Iterator[str]:
        return (
            f"{bits}/{term}" for bits, update in self.updates.items() for term in update.weights
        )

    def __len__(self) -> int:
        return sum(len(update.weights) for update in self.updates.values())


def _together(phases: Mapping[int, Sequence[Phase]], weights: Mapping[int, float]) -> list[Phase]:
    """The phases of all lengths, those of one place as one.

    Raises:
        ValueError: The lengths differ in more than losses and weights.
    """
    forms = {bits: [_form(phase) for phase in own] for bits, own in phases.items()}
    longest = max(forms)
    for bits, form in forms.items():
        if form != forms[longest]:
            raise ValueError(
                f"codes of {bits} and {longest} bits cannot be trained together, as their phases "
                f"are {form} and {forms[longest]}; what nested sets for a length may change "
                "weights, but not which phases and updates there are"
            )
    rows = zip(*phases.values(), strict=True)
    return [_joint(dict(zip(phases, row, strict=True)), weights) for row in rows]


def _form(phase: Phase) -> tuple[object, ...]:
    if isinstance(phase, SolvePhase):
        return phase.name, phase.sees_data
    updates = [(update.name, update.learning_rate, update.optimizer) for update in phase.updates]
    return phase.name, phase.sees_data, phase.passes, updates


def _joint(phases: Mapping[int, Phase], weights: Mapping[int, float]) -> Phase:
    solved = {k: phase for k, phase in phases.items() if isinstance(phase, SolvePhase)}
    if solved:
        first = solved[max(solved)]
        return SolvePhase(first.name, partial(_solve, solved), first.sees_data)
    batched = {k: phase for k, phase in phases.items() if isinstance(phase, BatchPhase)}
    last = batched[max(batched)]
    rows = zip(*(phase.updates for phase in batched.values()), strict=True)
    updates = [_update(dict(zip(batched, row, strict=True)), weights) for row in rows]
    return replace(last, updates=updates)


def _solve(phases: Mapping[int, SolvePhase], *data: Iterable[Batch]) -> dict[str, float]:
    return {
        f"{bits}/{name}": value
        for bits, phase in phases.items()
        for name, value in phase.solve(*data).items()
    }


def _update(updates: Mapping[int, Update], weights: Mapping[int, float]) -> Update:
    """One step on the sum of the updates' weighted losses."""

    def loss(batch: Batch) -> Terms:
        terms: Terms = {}
        for bits, update in updates.items():
            with _own(batch, bits) as own:
                terms |= {f"{bits}/{name}": value for name, value in update.loss(own).items()}
        return terms

    def after(batch: Batch) -> None:
        for bits, update in updates.items():
            if update.after is not None:
                with _own(batch, bits) as own:
                    update.after(own)

    parameters = dict.fromkeys(p for update in updates.values() for p in update.parameters)
    last = updates[max(updates)]
    joint = _Weights(updates, weights)
    return replace(last, parameters=parameters, loss=loss, weights=joint, after=after)


@contextmanager
def _own(batch: Batch, bits: int) -> Iterator[Batch]:
    """The batch as one length sees it: of what is shared, only what that length has left."""
    mark = f"{bits}/"
    names = [name for name in batch.shared if name.startswith(mark)]
    own = replace(batch, shared={n.removeprefix(mark): batch.shared.pop(n) for n in names})
    yield own
    batch.shared.update({mark + name: value for name, value in own.shared.items()})
