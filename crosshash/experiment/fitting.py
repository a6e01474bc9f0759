"""From vectors of one's own to a model: held-out pairs measure it, then all of them train it."""

from __future__ import annotations

import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import numpy.typing as npt

from crosshash.backbones.base import check_directions, check_features
from crosshash.codes import check_bits
from crosshash.config import ExperimentConfig, Overrides, override_config, read_config
from crosshash.data.dataset import PairedDataset
from crosshash.data.features.arrays import as_labels
from crosshash.data.features.vectors import read_vectors
from crosshash.data.protocol import Protocol
from crosshash.experiment.comparison import HeldOut, baselines
from crosshash.experiment.run import train
from crosshash.files import check_replaceable
from crosshash.hub.card import FIGURES, held_out_words
from crosshash.hub.checkpoint import folder_names
from crosshash.hub.save import round_weights, save
from crosshash.model.hash_model import HashModel
from crosshash.reports.tables import markdown_table

NAME = "vectors"
_LEAST = 20
_MOST_HELD_OUT = 1000
# Draws of a text for each image, by which CPH's start sees nearly all of some five texts.
LOOKS = 15


def fit(
    images: Any = None,
    texts: Any = None,
    labels: Any = None,
    bits: int = 64,
    *,
    per_image: Any = 1,
    held_out: int | None = None,
    epochs: int | None = None,
    seed: int = 0,
    output: str | Path | None = None,
    overwrite: bool = False,
    overrides: Overrides = (),
    progress: bool = True,
    table: bool | None = None,
) -> HashModel:
    """A model of vectors that were computed elsewhere.

    A tenth of the pairs, at most 1,000, is held out. The others train a network, whose best epoch
    they choose and which they measure beside closed forms of the same bits; then all pairs train
    it anew for so many epochs. Pairs without labels train :class:`~crosshash.methods.CPH`, those
    with labels :class:`~crosshash.methods.LPDH`, and one kind of vector alone CPH with one network,
    for which ``encode_image`` and ``encode_text`` are the same function.

    The model brings each vector to unit length first: its scale does not count, and ``float16`` is
    as good as its rounding.

    Args:
        images: (n, d) vectors of images, as :func:`~crosshash.data.read_vectors` takes them.
        texts: (n, e) vectors of their texts; (n, m, e), or the same as n m rows with
            ``per_image=m``, where each has m; None, or ``images=None``: there is one kind alone.
        labels: (n, c) in {0, 1}, or (n,) class numbers.
        bits: K, a multiple of 8.
        per_image: Texts of each image, whose rows in ``texts`` stand together: a number, or n of
            them. In training one is drawn anew each time; the first is measured.
        held_out: Pairs to choose the epoch by and to measure on.
        epochs: At most so many; default: the config's.
        seed: Of the held-out pairs, weights and order.
        output: Gets the checkpoint folder.
        overwrite: Replace the checkpoint that ``output`` has.
        overrides: Settings over ``cph/vectors`` or ``lpdh/vectors``, as :func:`train` takes them.
        progress: Show bars.
        table: Print the figures to standard error; None: with ``progress``.

    Returns:
        The model. ``info.figures["fit"]`` has the table's rows.

    Raises:
        ValueError: Counts differ, there are fewer than 20 pairs, a vector is NaN, infinite or all
            zero (with its row), all are one, or labels are neither 0 and 1 nor class numbers.
        FileExistsError: ``output`` is there, and ``overwrite`` is False, or it is no checkpoint.

    Example:
        >>> import numpy as np
        >>> rng = np.random.default_rng(0)
        >>> topics = rng.normal(size=(200, 8))
        >>> images, texts = topics @ rng.normal(size=(8, 32)), topics @ rng.normal(size=(8, 24))
        >>> model = fit(images, texts, bits=16, epochs=2, progress=False)
        >>> model.encode_image(images).shape, model.encode_text(texts[:3]).shape
        ((200, 2), (3, 2))
    """
    check_bits(bits)
    if output is not None:
        if Path(output).exists() and not overwrite:
            raise FileExistsError(
                f"{output} is there: choose another folder, or replace it (--overwrite; "
                "overwrite=True in Python)"
            )
        check_replaceable(output, holds=folder_names(), what="a checkpoint")
    dataset, shared = paired_vectors(images, texts, labels, per_image=per_image)
    held = min(_MOST_HELD_OUT, len(dataset) // 10) if held_out is None else held_out
    if not 2 <= held <= len(dataset) - 2:
        raise ValueError(
            f"held_out is from 2 to {len(dataset) - 2} of {len(dataset)} pairs, so that there are "
            f"some to measure and some to train with; got {held}"
        )
    config = fit_config(dataset, bits, shared=shared, held_out=held, epochs=epochs, seed=seed)
    config = override_config(config, overrides)
    everything = np.arange(len(dataset))
    protocol = Protocol(NAME, everything[:0], everything, everything)
    selection = protocol.with_validation(held, config.seed)
    measure = HeldOut(dataset, selection.query, selection.train, shared=shared)
    with TemporaryDirectory() as folder:
        result = train(
            config,
            folder,
            validate=measure,
            data=(dataset, protocol),
            page=False,
            progress=progress,
        )
    best = result.history[result.training["best_epoch"] - 1]
    title = f"{config.method.upper()}, this model"
    rows = [measure.row("the vectors themselves", measure.vectors())]
    for name, model in baselines(dataset, selection.train, bits, shared=shared).items():
        if name != config.method.upper():
            rows.append(measure.row(name, measure(model)))
    rows.append(measure.row(title, best))
    if not shared:
        rows.append(measure.real_row(f"{title}, before the signs", best))
    model = result.model
    told = {"pairs": len(dataset), "held_out": held, "rows": rows, "one_kind": shared}
    told["supervised"] = result.training["supervised"]
    told["chosen"] = config.training.epochs > 1  # else there was no epoch to choose
    model.info.figures[FIGURES] = told
    dtype = round_weights(model)
    if output is not None:
        save(model, output, dtype=dtype)
    if progress if table is None else table:
        print(f"{held_out_words(told)}\n\n{markdown_table(rows)}", file=sys.stderr)
    return model


def paired_vectors(
    images: Any, texts: Any, labels: Any = None, *, per_image: Any = 1
) -> tuple[PairedDataset, bool]:
    """Vectors as a data set; arguments as in :func:`fit`.

    Returns:
        The pairs, named by their row numbers, and whether there is one kind of vector, which then
        stands for both.

    Raises:
        ValueError: There are none, or they do not fit together.
    """
    given = {"images": images, "texts": texts}
    found = {
        kind: _rows(read_vectors(source, kind), kind)
        for kind, source in given.items()
        if source is not None
    }
    if not found:
        raise ValueError("there is nothing to fit: give vectors of images, of texts, or of both")
    counts = None
    if len(found) == 2:
        found["texts"], counts = _grouped(found["texts"], len(found["images"]), per_image)
    first = next(iter(found.values()))
    if first.ndim != 2:
        raise ValueError(f"vectors are rows (n, d), got the shape {first.shape}")
    if len(first) < _LEAST:
        raise ValueError(f"{len(first)} rows are too few to learn from; give {_LEAST} or more")
    hot: npt.NDArray[Any] | None = None
    names: list[str] = []
    if labels is not None:
        array = read_vectors(labels, "labels")
        if len(array) != len(first):
            raise ValueError(f"{len(array)} label rows for {len(first)} items; give one for each")
        hots, names = as_labels({"": array[:, None] if array.ndim == 1 else array}, "labels")
        hot = hots[""]
    dataset = PairedDataset(
        name=NAME,
        ids=[str(row) for row in range(len(first))],
        images=first,
        texts=found.get("texts", first),
        text_counts=counts,
        labels=hot,
        label_names=names,
    )
    return dataset, len(found) == 1


def fit_config(
    dataset: PairedDataset,
    bits: int,
    *,
    shared: bool,
    held_out: int,
    epochs: int | None = None,
    seed: int = 0,
) -> ExperimentConfig:
    """The config by which vectors are trained.

    Pairs with labels by LPDH, without by CPH. Of one kind of vector alone ITQ keeps neighbours
    better than CPH does (benchmarks/RESULTS.md); CPH learns its labels, if there are any.

    Args:
        dataset: Of :func:`paired_vectors`.
        bits: K.
        shared: There is one kind of vector.
        held_out: Pairs to choose the epoch by.
        epochs: In place of the config's.
        seed: Of weights, order and held-out pairs.
    """
    labelled = dataset.labels is not None
    pairs, alone = ("lpdh", "cph/one-kind") if labelled else ("cph", "itq/vectors")
    name = alone if shared else f"{pairs}/vectors"
    values: dict[str, Any] = {"bits": bits, "seed": seed, "data.validation": held_out}
    if not labelled and dataset.every_text()[1].max() > 1:
        values["algorithm.looks"] = LOOKS
    if epochs is not None and name != "itq/vectors":  # which has nothing to learn in a second
        values["training.epochs"] = epochs
    return read_config(name, values)


def _rows(array: npt.NDArray[Any], kind: str) -> npt.NDArray[Any]:
    if array.ndim not in (2, 3) or not array.shape[-1]:
        raise ValueError(f"{kind}: vectors are rows (n, d), got the shape {array.shape}")
    with np.errstate(over="ignore"):  # what is infinite then is refused with its row
        rows = np.ascontiguousarray(array, dtype=np.float32)
    flat = rows.reshape(-1, rows.shape[-1])
    check_directions(check_features(flat, flat.shape[1], kind), kind)
    if len(flat) > 1 and (flat.min(axis=0) == flat.max(axis=0)).all():
        raise ValueError(
            f"{kind}: all {len(flat)} vectors are the same, which tells no item from another"
        )
    return rows


def _grouped(
    texts: npt.NDArray[Any], images: int, per_image: Any
) -> tuple[npt.NDArray[Any], npt.NDArray[np.int64]]:
    """Text rows (t, e) in the images' order, and how many each image has."""
    if texts.ndim == 3:
        per_image = texts.shape[1] if np.ndim(per_image) == 0 and per_image == 1 else per_image
        texts = texts.reshape(-1, texts.shape[2])
    counts = np.asarray(
        read_vectors(per_image, "per_image") if not isinstance(per_image, int) else per_image
    )
    if counts.ndim == 0:
        counts = np.full(images, int(counts))
    if counts.dtype.kind not in "iu" or counts.shape != (images,) or counts.min() < 1:
        raise ValueError(
            f"per_image is a whole number of at least 1, or {images} of them; got {counts.dtype} "
            f"of shape {counts.shape}"
        )
    if counts.sum() != len(texts):
        many, rest = divmod(len(texts), images)
        if many > 1 > rest:
            hint = f"with {many} texts of each image set per_image={many}"
        elif counts.max() == 1:
            hint = "give one text for each image, or say in per_image how many each has"
        else:
            hint = f"per_image says {int(counts.sum())}"
        raise ValueError(f"{len(texts)} text vectors for {images} image vectors: {hint}")
    return texts, counts.astype(np.int64)
