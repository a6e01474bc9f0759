"""The history of a training as a record keeps it, with the sums that were minimised."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from crosshash.algorithms.phases import Algorithm, BatchPhase, Phase
from crosshash.experiment.bench.kept import Epoch
from crosshash.experiment.evaluation import Validation

_DIGITS = 6  # that count, of each number


def kept_epochs(
    history: Sequence[Mapping[str, float]], algorithm: Algorithm, epochs: int
) -> list[Epoch]:
    """A training's history with the weighted sum of each phase.

    A history has unweighted terms; their weights are the algorithm's, at each epoch.

    Args:
        history: For each epoch ``epoch``, terms, and validation figures where they were measured.
        algorithm: That trained; its epochs are told to it anew.
        epochs: All of the training's settings.
    """
    phases, kept = algorithm.phases(), []
    for line in history:
        values = {name: float(f"{value:.{_DIGITS}g}") for name, value in line.items()}
        number = int(values.pop("epoch"))
        measured = {name: values.pop(name) for name in Validation.figures if name in values}
        algorithm.epoch_starts(number - 1, epochs)
        totals = {
            phase.name: float(f"{total:.{_DIGITS}g}")
            for phase in phases
            if (total := _total(phase, values, several=len(phases) > 1)) is not None
        }
        kept.append(Epoch(epoch=number, terms=values, totals=totals, validation=measured))
    return kept


def _total(phase: Phase, values: Mapping[str, float], *, several: bool) -> float | None:
    """The weighted sum of a phase's terms, all its updates together; None: it has none."""
    if not isinstance(phase, BatchPhase):
        return None
    start = f"{phase.name}/" if several else ""
    terms = {name.removeprefix(start): v for name, v in values.items() if name.startswith(start)}
    if not terms:  # a phase of no passes
        return None
    # Terms of a phase have each a name of their own, so that no two updates weigh the same one.
    weights = {name: weight for update in phase.updates for name, weight in update.weights.items()}
    return sum(weights.get(name, 1.0) * value for name, value in terms.items())
