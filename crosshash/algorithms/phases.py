"""Phases: the lines of a paper's Algorithm 1.

An algorithm is a list of phases that are run in order, once per epoch, and maybe some that are run
before the first. Batch phases that belong together in every iteration are one phase with several
updates, as in adversarial training.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar, Literal

from torch import Tensor, nn

from crosshash.model.batch import Batch
from crosshash.model.hash_model import HashModel
from crosshash.settings import OptimizerName

Terms = dict[str, Tensor]


@dataclass
class Update:
    """One optimiser step on a batch.

    A loss changes nothing. What is to be kept of a batch, such as its newest codes, a loss leaves
    in ``batch.shared``, detached, and ``after`` puts it away. So the losses of a batch meet the
    codes that a bank had before it, and codes are those of the weights before the step.

    Args:
        parameters: What the step may change, and nothing else.
        loss: From a batch to named, unweighted scalars.
        weights: Weight of each term; a term that is not named weighs 1. Read at every step, so that
            :meth:`Algorithm.epoch_starts` may change them.
        name: Distinguishes the updates of a phase; each keeps its own optimiser.
        after: Called with the batch after the step, without gradients.
        learning_rate: Its first rate; None: that of the training's settings.
        optimizer: ``"adamw"``, ``"adam"`` or ``"sgd"``; None: that of the training's settings.

    Raises:
        ValueError: There is no parameter that requires a gradient.
    """

    parameters: Iterable[nn.Parameter]
    loss: Callable[[Batch], Terms]
    weights: Mapping[str, float] = field(default_factory=dict)
    name: str = "update"
    after: Callable[[Batch], object] | None = None
    learning_rate: float | None = None
    optimizer: OptimizerName | None = None

    def __post_init__(self) -> None:
        self.parameters = [p for p in self.parameters if p.requires_grad]
        if not self.parameters:
            raise ValueError(f"update {self.name!r} has no parameter that requires a gradient")

    def total(self, terms: Terms) -> Tensor:
        """The weighted sum that is minimised."""
        values = [self.weights.get(name, 1.0) * value for name, value in terms.items()]
        return sum(values[1:], start=values[0])


@dataclass
class BatchPhase:
    """Passes over the training set in mini-batches, each met by every update in turn.

    Args:
        name: For logs.
        updates: At least one.
        passes: Over the training set, in random order, each time the phase is run.
        sees_data: False: batches have row numbers alone and nothing is read, for losses over what
            a code bank keeps.

    Raises:
        ValueError: There is no update, or two have the same name; ``passes`` is negative.
    """

    name: str
    updates: Sequence[Update]
    passes: int = 1
    sees_data: bool = True

    def __post_init__(self) -> None:
        names = [update.name for update in self.updates]
        if not names or len(set(names)) < len(names):
            raise ValueError(
                f"phase {self.name!r} needs one or more updates, each of its own name (they have "
                f"optimisers of their own), got {names}"
            )
        if self.passes < 0:
            raise ValueError(f"phase {self.name!r}: passes are at least 0, got {self.passes}")


@dataclass
class SolvePhase:
    """A step in closed form over the whole training set, such as an update of B.

    It is run in eval mode, without gradients.

    Args:
        name: For logs.
        solve: Does the step and returns figures to log.
        sees_data: ``solve`` takes the training set: an iterable of batches, every row once and in
            order, over which it may go more than once.
    """

    name: str
    solve: Callable[..., Mapping[str, float]]
    sees_data: bool = False


Phase = BatchPhase | SolvePhase


class Algorithm(nn.Module):
    """A method in training: the network that will be kept, and all that only guides it.

    Subclasses take ``(net, count, classes)`` and the objective's settings as keywords, and
    keep guiding modules and code banks as attributes, so that ``state_dict`` holds the whole
    state of training. What phases leave behind is parameters and buffers, for the same reason.

    Attributes:
        Network: The network's class.
        trains: How far gradients reach: ``"backbones"``, if they are not frozen; ``"heads"``, where
            the backbones' features enter as constants; ``"nothing"``, where all is solved in closed
            form. But for the first, backbones and text encoder must be frozen. An instance may say
            otherwise than its class.
        net: The network.
        paired: Whether it learns which images and texts belong together; a method that does not
            gives codes by which they find each other only where their vectors are of one space.
        supervised: Whether labels say what is similar; an instance may say otherwise.
    """

    supervised: bool = True
    paired: ClassVar[bool] = True
    Network: ClassVar[type[HashModel]]
    trains: Literal["backbones", "heads", "nothing"] = "backbones"
    net: HashModel

    def begin(self, batches: Iterable[Batch]) -> None:
        """See the training set before all else, for example to centre features.

        A resumed training begins again, from the network as it is before training.

        Args:
            batches: The training set in order, every row once, without gradients.
        """

    def preliminary(self) -> Sequence[Phase]:
        """Phases that are run once, in order, before the first epoch; their rates are constant."""
        return []

    def phases(self) -> Sequence[Phase]:
        """The lines of Algorithm 1, in order."""
        raise NotImplementedError

    def learned_codes(self) -> Tensor | None:
        """The discrete codes B that the method has learned for its training rows.

        Returns:
            (n, k) in {-1, +1}, in the order of the training set; None where the method learns none,
            or only codes of a batch.
        """
        return None

    def epoch_starts(self, epoch: int, epochs: int) -> None:
        """Learn what epoch comes, for schedules of one's own, such as a weight that grows.

        What it sets may depend on its arguments alone; then a resumed training goes on as it was.

        Args:
            epoch: 0 for the first.
            epochs: All of them.
        """
