"""Figures of a model: on the queries of its data set, and on held-out pairs while it trains."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
from torch import Tensor

from crosshash.codes import Packed, pack
from crosshash.config import ExperimentConfig, Overrides, override_config, parse_config
from crosshash.data.dataset import Labels, PairedDataset
from crosshash.data.features.cache import FeatureCache
from crosshash.data.model_inputs import PairInputs, encode_pairs, prepare_inputs
from crosshash.data.protocol import Protocol
from crosshash.experiment.assembly import check_parts, read_data, spared
from crosshash.hub.load import load
from crosshash.hub.resolve import in_zoo
from crosshash.model.hash_model import HashModel
from crosshash.plugins import import_parts, missing_parts
from crosshash.retrieval.calibration import Calibration, calibration_of
from crosshash.retrieval.evaluate import evaluate_both, make_record
from crosshash.retrieval.metrics import mean_average_precision
from crosshash.retrieval.neighbours import partner_recall
from crosshash.retrieval.reliability import query_errors
from crosshash.retrieval.report import Report
from crosshash.scoring.submission import Submission, write_submission


@dataclass(frozen=True, eq=False)
class Encoded:
    """What a model makes of the queries and of the pairs that are searched.

    Attributes:
        query: Real-valued outputs ``float32`` (q, k) of the queries' images and texts.
        retrieval: Packed codes (n, k/8) of the searched images and texts.
    """

    query: tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]
    retrieval: tuple[Packed, Packed]


def encode_sets(
    model: HashModel, inputs: PairInputs, protocol: Protocol, workers: int = 0
) -> Encoded:
    """Run the queries and the searched pairs through a model.

    Args:
        model: The network.
        inputs: All pairs of the data set, as the model reads them.
        protocol: Which pairs are queries and which are searched.
        workers: Processes that read.
    """
    query = encode_pairs(model, inputs.select(protocol.query), output="real", workers=workers)
    found = encode_pairs(model, inputs.select(protocol.retrieval), workers=workers)
    return Encoded(query, found)


def evaluate(
    model: HashModel | str | Path,
    *,
    overrides: Overrides = (),
    imports: Sequence[str | Path] = (),
    cache: FeatureCache | None = None,
    codes: str | Path | None = None,
    progress: bool = True,
) -> Report:
    """Evaluate a model on the queries of the data set it was trained for, or of another.

    Args:
        model: A model, a zoo name or a checkpoint folder.
        overrides: Settings over the experiment that the checkpoint carries, as
            :func:`train` takes them, such as ``data.root=…`` or ``evaluation.topk=[50,500]``. A
            model has only the codes that it gives: ``evaluation.database`` is ``encoded``, whatever
            was measured after its training.
        imports: Python files or modules with parts of one's own, as :func:`crosshash.load` takes
            them.
        cache: Features of frozen backbones; default: the user's cache folder.
        codes: A ``.npz`` file for the codes that are measured, as :func:`crosshash.scoring.score`
            takes them: real values of the queries, packed codes of what is searched.
        progress: Show progress bars.

    Raises:
        ValueError: The model carries no experiment, or the data set has no labels; or learned codes
            are asked for; or ``codes`` of a rehearsal by ``data.holdout``, whose split nobody else
            has.

    Example:
        >>> report = evaluate("amgfh-shapes-64", overrides=["data.options.n=60"], progress=False)
        >>> report.i2t.map > report.i2t.chance
        True
    """
    import_parts(imports)
    asked = model
    if not isinstance(model, HashModel):
        model = load(model)
    if not model.info.experiment:
        raise ValueError("this model carries no experiment to evaluate it by; train it first")
    config = parse_config(model.info.experiment, where="the checkpoint's experiment")
    config = override_config(config, {"evaluation.database": "encoded"})
    config = override_config(config, overrides)
    if config.evaluation.database != "encoded":
        raise ValueError(
            f"evaluation.database={config.evaluation.database}: a model does not carry the codes "
            "that were learned for its training pairs; they are measured at the end of a training "
            "(crosshash train … evaluation.database=both), whose figures are in info.json"
        )
    try:
        check_parts(config)
    except LookupError as error:
        raise LookupError(f"{error}; {missing_parts(model.info.experiment)}") from None
    dataset, protocol = read_data(config)
    _labels(dataset)  # before all of it is encoded
    if codes is not None and config.data.holdout:
        raise ValueError(
            "codes are written for the data set's split, and data.holdout rehearses another; set "
            "it to 0"
        )
    split = protocol.digest(dataset.ids)  # without what a training spares: others do not know it
    protocol = spared(config, protocol)
    inputs = prepare_inputs(
        model,
        dataset,
        captions=config.data.captions,
        cache=cache,
        workers=config.training.workers,
        progress=progress,
    )
    training = model.info.figures.get("record", {}).get("training", {})
    known = calibration_of(model)
    encoded = encode_sets(model, inputs, protocol, config.training.workers)
    if codes is not None:
        made = Submission(
            *encoded.query,
            *encoded.retrieval,
            split=split,
            dataset=dataset.name,
            name=str(asked)
            if isinstance(asked, str) and in_zoo(asked)
            else f"{config.method}-{config.data.name}-{model.bits}",
            method=config.method,
            bits=model.bits,
            seed=config.seed,
        )
        write_submission(codes, made)
    return evaluate_encoded(
        encoded,
        model.nested,
        dataset,
        protocol,
        config,
        training,
        calibration=known,
    )


def evaluate_encoded(
    encoded: Encoded,
    lengths: Sequence[int],
    dataset: PairedDataset,
    protocol: Protocol,
    config: ExperimentConfig,
    training: Mapping[str, Any],
    learned: tuple[npt.NDArray[np.int64], Tensor] | None = None,
    calibration: Calibration | None = None,
) -> Report:
    """Figures of a model by its codes, all directions, at every length, with their record.

    Args:
        encoded: Of the queries and the searched pairs.
        lengths: Shorter ones at which the first bits are codes as well.
        dataset: Has the labels.
        protocol: Which pairs are queries and which are searched.
        config: Has the conventions.
        training: What the record says of the training.
        learned: Rows (t,) of the pairs that were trained on, and the codes (t, k) in {-1, +1} that
            were learned for them, at the full length; the figures with these are measured too.
        calibration: Of the model, whose error is measured where it is of labels.

    Raises:
        ValueError: The data set has no labels, or there is not one learned code for each row.
    """
    known = _labels(dataset)
    query, retrieval = encoded.query, encoded.retrieval
    full = query[0].shape[1]
    conventions = config.evaluation.model_dump(exclude={"database", "partners"})
    labels = known[protocol.query], known[protocol.retrieval]
    record = make_record(
        dataset=dataset.name,
        protocol=protocol.name,
        split=protocol.digest(dataset.ids),
        counts=protocol.counts(),
        overlaps=protocol.overlaps(),
        captions=config.data.captions,
        seed=config.seed,
        training=training,
        bits=full,
    )
    report = evaluate_both(query, retrieval, *labels, record=record, **conventions)
    if config.evaluation.partners:
        report = replace(report, partners=partner_recall(*query))
    nested = {}
    for bits in lengths:
        asked = query[0][:, :bits], query[1][:, :bits]
        found = retrieval[0][:, : bits // 8], retrieval[1][:, : bits // 8]
        # A radius beyond the code's length would be refused.
        radii = [radius for radius in conventions["radii"] if radius <= bits]
        own = {**conventions, "radii": radii, "record": replace(record, bits=bits)}
        shorter = evaluate_both(asked, found, *labels, **own)
        if config.evaluation.partners:
            shorter = replace(shorter, partners=partner_recall(*asked))
        nested[bits] = _with_errors(shorter, calibration, asked, found, labels)
    report = _with_errors(replace(report, nested=nested), calibration, query, retrieval, labels)
    if learned is None:
        return report
    rows, codes = learned
    if codes.shape != (len(rows), full):
        raise ValueError(
            f"{config.method} trained on {len(rows)} pairs for {full} bits, but its learned "
            f"codes are {tuple(codes.shape)}; learned_codes() gives one for each pair, in order"
        )
    _, trained, places = np.intersect1d(rows, protocol.retrieval, return_indices=True)
    images, texts = (part.copy() for part in retrieval)
    images[places] = texts[places] = pack(codes)[trained]
    counts = {**record.counts, "learned": len(places)}
    record = replace(record, database="learned", counts=counts)
    other = evaluate_both(query, (images, texts), *labels, record=record, **conventions)
    return replace(report, learned=other)


def _labels(dataset: PairedDataset) -> Labels:
    if dataset.labels is None:
        raise ValueError(
            f"data set {dataset.name!r} has no labels, so nothing says which hits are relevant; "
            "give labels, or use encode, index and search without evaluation"
        )
    return dataset.labels


def _with_errors(
    report: Report,
    calibration: Calibration | None,
    query: tuple[Any, Any],
    retrieval: tuple[Any, Any],
    labels: tuple[Any, Any],
) -> Report:
    """The report with the error of a calibration by labels, which are what it was measured by."""
    if calibration is None or calibration.relevance != "labels":
        return report
    tables = calibration.tables.get(str(report.record.bits), {})
    return replace(report, calibration_error=query_errors(tables, query, retrieval, labels))


class Validation:
    """MAP over the validation split, both directions and their mean.

    Attributes:
        figures: Names of what it measures.

    Args:
        inputs: All pairs of the data set, as the model reads them.
        selection: Whose queries are the held-out pairs.
        workers: Processes that read.

    Raises:
        ValueError: The data set has no labels.
    """

    figures: ClassVar[tuple[str, ...]] = ("map_i2t", "map_t2i", "map_mean")

    def __init__(self, inputs: PairInputs, selection: Protocol, workers: int) -> None:
        self.query = inputs.select(selection.query)
        self.retrieval = inputs.select(selection.retrieval)
        self.workers = workers
        if inputs.labels is None:
            raise ValueError(
                "data.validation needs labels to select a model by; set it to 0 to train for a "
                "fixed number of epochs"
            )

    def __call__(self, model: Any) -> dict[str, float]:
        """Figures of the network as it is."""
        query = encode_pairs(model, self.query, workers=self.workers)
        retrieval = encode_pairs(model, self.retrieval, workers=self.workers)
        labels = (self.query.labels, self.retrieval.labels)
        i2t = mean_average_precision(query[0], retrieval[1], *labels)
        t2i = mean_average_precision(query[1], retrieval[0], *labels)
        return dict(zip(self.figures, (i2t, t2i, (i2t + t2i) / 2), strict=True))
