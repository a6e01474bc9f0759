"""A model's calibration, from pairs of a data set or of one's own that it was not trained on."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from crosshash.data.model_inputs import PairInputs, encode_pairs
from crosshash.model.hash_model import HashModel
from crosshash.retrieval.calibrating import LEAST, MOST, learn
from crosshash.retrieval.calibration import KEY, Calibration
from crosshash.retrieval.reliability import evenly


def calibrate(
    model: HashModel, images: Any, texts: Any, labels: Any = None, *, workers: int = 0
) -> Calibration:
    """Calibrate a model on pairs that it was not trained on; it keeps the result, and saves it.

    Pairs that trained it must not be among them: on these it is better than it is on others, so
    that all its probabilities would be too high. It cannot know them again.

    Args:
        model: Its codes stay as they are.
        images: v pictures or features, as ``encode_image`` takes them.
        texts: v texts, or features, of the same pairs.
        labels: (v, c) in {0, 1}; relevant is then what shares a label, else the own partner alone.
        workers: Processes that decode pictures.

    Raises:
        ValueError: There are fewer than 10 pairs, or images and texts are the same vectors without
            labels, which have no partner to be found; or what is given does not fit together.

    Example:
        >>> import crosshash
        >>> model = crosshash.load("amgfh-shapes-64")
        >>> pairs, _ = crosshash.load_dataset("shapes", n=60, seed=9)
        >>> found = calibrate(model, pairs.images, pairs.captions(), pairs.labels)
        >>> near, far = found.probability([[5, 40]], query="text", items="image", bits=64)[0]
        >>> bool(near > far)
        True
    """
    values = (
        model.encode_image(images, output="real", workers=workers),
        model.encode_text(texts, output="real", unknown="allow"),
    )
    found = learn(*values, labels, lengths=model.lengths)
    if found is None:
        raise ValueError(
            f"{len(values[0])} pairs{' without labels' if labels is None else ''} tell nothing of "
            f"probabilities: give {LEAST} or more, with labels where images and texts are the same"
        )
    model.info.figures[KEY] = found.as_dict()
    return found


def calibrate_rows(
    model: HashModel,
    inputs: PairInputs,
    rows: npt.NDArray[np.int64],
    *,
    workers: int = 0,
    refit: bool = False,
) -> Calibration | None:
    """The calibration that held-out rows of a data set give; None where they are too few.

    Args:
        model: The network that did not train on them.
        inputs: All pairs, as the model reads them, with their labels if there are any.
        rows: (v,) the pairs.
        workers: Processes that read.
        refit: Another network, trained on these rows too, is to keep it.
    """
    held = inputs.select(rows[evenly(len(rows), MOST)])
    values = encode_pairs(model, held, output="real", workers=workers)
    return learn(*values, held.labels, lengths=model.lengths, refit=refit)
