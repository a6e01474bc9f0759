"""What a caller's own code may do after each epoch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from crosshash.model.hash_model import HashModel


class Callback(Protocol):
    """Called after each epoch: to report, to save, to stop the training early.

    A function of two arguments is one. It comes after the epoch's validation and before its state
    is written: a training that it stops is finished, and stays so when it is resumed; one that it
    breaks off by an exception goes on, resumed, with that same epoch. It is not called for
    preliminary phases, nor again for epochs that were done before a resume. Where several processes
    train, it is called in the first alone, and so may write files but not wait for the others. With
    ``data.refit`` it sees the training in which the number of epochs is chosen, not the second.

    Example:
        >>> def stop_when_good(figures, net):
        ...     return figures.get("map_mean", 0.0) > 0.9
    """

    def __call__(self, figures: Mapping[str, float], net: HashModel, /) -> bool | None:
        """See an epoch.

        Args:
            figures: A copy of the epoch's line of the history: ``"epoch"`` (1 for the first), the
                mean of each loss term, and what validation gave, where it came.
            net: The network, in eval mode and without gradients; to be read, not changed.

        Returns:
            True stops the training after this epoch; all callbacks are asked all the same.
        """
        ...
