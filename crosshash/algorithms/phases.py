"""Phases: the lines of a paper's Algorithm 1.

An algorithm is a list of phases that are run in order, once per epoch. Batch phases that belong
together in every iteration are one phase with several updates, as in adversarial training.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

from torch import Tensor, nn

from crosshash.model.batch import Batch

Terms = dict[str, Tensor]


@dataclass
class Update:
    """One optimiser step on a batch.

    Args:
        parameters: What the step may change, and nothing else.
        loss: From a batch to named, unweighted scalars.
        weights: Weight of each term; a term that is not named weighs 1.
        name: Distinguishes the updates of a phase; each keeps its own optimiser.
    """

    parameters: Iterable[nn.Parameter]
    loss: Callable[[Batch], Terms]
    weights: Mapping[str, float] = field(default_factory=dict)
    name: str = "update"

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
    """One pass over the training set in mini-batches, each met by every update in turn.

    Raises:
        ValueError: There is no update, or two have the same name.
    """

    name: str
    updates: list[Update]

    def __post_init__(self) -> None:
        names = [update.name for update in self.updates]
        if not names or len(set(names)) < len(names):
            raise ValueError(
                f"phase {self.name!r} needs one or more updates, each of its own name (they have "
                f"optimisers of their own), got {names}"
            )


@dataclass
class SolvePhase:
    """A step in closed form over the whole training set, such as an update of B.

    Args:
        name: For logs.
        solve: Does the step and returns figures to log.
    """

    name: str
    solve: Callable[[], Mapping[str, float]]


Phase = BatchPhase | SolvePhase


class Algorithm(nn.Module):
    """A method in training: the network that will be kept, and all that only guides it.

    Subclasses take ``(net, *, count, classes)`` and the objective's settings as keywords, and
    keep guiding modules and code banks as attributes, so that ``state_dict`` holds the whole
    state of training.
    """

    Network: ClassVar[Any]
    net: Any

    def begin(self, batches: Iterable[Batch]) -> None:
        """See the training set once before the first epoch, for example to centre features.

        Args:
            batches: The training set in order, every row once, without gradients.
        """

    def phases(self) -> list[Phase]:
        """The lines of Algorithm 1, in order."""
        raise NotImplementedError
