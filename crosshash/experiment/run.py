"""An experiment from its config to a checkpoint with figures."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import nn

from crosshash.codes import Packed
from crosshash.config import (
    ExperimentConfig,
    Overrides,
    override_config,
    parse_config,
    read_config,
)
from crosshash.data.dataset import PairedDataset
from crosshash.data.features.cache import FeatureCache
from crosshash.data.model_inputs import PairInputs, encode_pairs, prepare_inputs
from crosshash.data.protocol import Protocol
from crosshash.experiment.assembly import assemble, check_parts, read_data
from crosshash.experiment.run_folder import check_folder, clear_folder
from crosshash.hub.load import load
from crosshash.hub.resolve import CHECKPOINT
from crosshash.hub.save import save
from crosshash.model.hash_model import HashModel, ModelInfo
from crosshash.plugins import import_parts, missing_parts
from crosshash.retrieval.evaluate import Report, evaluate_both, make_record
from crosshash.retrieval.metrics import mean_average_precision
from crosshash.training.callbacks import Callback
from crosshash.training.trainer import Trainer


@dataclass(frozen=True)
class Codes:
    """Packed codes of the n pairs of a set.

    Attributes:
        ids: n names of the pairs, in the order of the rows.
        images: ``uint8`` (n, K/8).
        texts: ``uint8`` (n, K/8).
    """

    ids: tuple[str, ...]
    images: Packed
    texts: Packed


@dataclass
class Result:
    """What a training leaves.

    Attributes:
        model: The best network, in eval mode.
        report: Figures in both directions on the queries; None for data without labels.
        history: Losses and validation figures of each epoch.
        folder: The checkpoint folder.
        dataset: What it was trained and evaluated on.
        protocol: Which of its pairs are queries, searched, and trained on.
        captions: Which caption is a pair's text.
        config: What it was trained by, overrides and all.
        inputs: The pairs of ``dataset`` as the model reads them.
    """

    model: HashModel
    report: Report | None
    history: list[dict[str, float]]
    folder: Path
    dataset: PairedDataset
    protocol: Protocol
    captions: str
    config: ExperimentConfig
    inputs: PairInputs

    def codes(self) -> dict[str, Codes]:
        """Codes of both modalities of the sets ``"query"`` and ``"retrieval"``."""
        found = {}
        for part in ("query", "retrieval"):
            rows = getattr(self.protocol, part)
            workers = self.config.training.workers
            images, texts = encode_pairs(self.model, self.inputs.select(rows), workers=workers)
            found[part] = Codes(tuple(self.dataset.ids[row] for row in rows), images, texts)
        return found


def train(
    config: ExperimentConfig | str | Path,
    folder: str | Path,
    *,
    overrides: Overrides = (),
    callbacks: Sequence[Callback] = (),
    validate: Callable[[nn.Module], Mapping[str, float]] | None = None,
    resume: bool = False,
    overwrite: bool = False,
    start: HashModel | str | Path | None = None,
    cache: FeatureCache | None = None,
    progress: bool = True,
) -> Result:
    """Train by a config, evaluate on the queries, and write a checkpoint.

    Args:
        config: A config, its file, or the name of a bundled one (``"amgfh/flickr8k-64"``).
        folder: For state, history and the ``checkpoint`` folder.
        overrides: Settings over the config: ``key=value`` with dotted keys, or a mapping, nested
            or with dotted keys.
        callbacks: Called after each epoch with its figures and the network; one that returns True
            ends the training, as :class:`~crosshash.training.callbacks.Callback` says.
        validate: From the network to named figures, in place of MAP on the pairs of
            ``data.validation``; ``training.monitor`` names the one by which the best network is
            kept.
        resume: Go on where a killed training of the same config stopped. A folder in which nothing
            was begun is trained in, with a warning; a finished one is refused.
        overwrite: Train anew over the run in ``folder``, finished or not, whose files are removed
            when the data is read and the training begins.
        start: A model, zoo name or checkpoint folder to fine-tune: its vocabulary and all weights
            that fit are taken over, as :func:`~crosshash.experiment.assembly.build` says.
        cache: Features of frozen backbones; default: the user's cache folder.
        progress: Show progress bars, and on standard error what is made of the labels.

    Raises:
        ConfigError: The config is wrong.
        FileNotFoundError: Data or weights are not there, or a file of ``imports`` is not.
        PluginError: A file of ``imports`` fails.
        FileExistsError: ``folder`` has a run, and neither ``resume`` nor ``overwrite`` says what
            to do with it; or that run is finished.
        ValueError: ``folder`` has the state of another training; or what would be trained could
            not be loaded again (:func:`~crosshash.hub.save.check_savable`).

    Example:
        >>> few = ["data.options.n=60", "data.validation=0", "training.epochs=1"]
        >>> result = train("amgfh/shapes-64", "my-run", overrides=few, progress=False)
        >>> 0 < result.report.i2t.map < 1, result.folder.name
        (True, 'checkpoint')
    """
    if not isinstance(config, ExperimentConfig):
        config = read_config(config, overrides)
    elif overrides:
        config = override_config(config, overrides)
    folder = Path(folder)
    check_folder(folder, resume=resume, overwrite=overwrite)
    made = assemble(config, start)
    config, dataset, model = made.config, made.dataset, made.model
    if made.supervision and progress:
        print(made.supervision, file=sys.stderr)
    algorithm = made.algorithm()  # refuses data without labels, before features are computed
    settings = config.training
    inputs = prepare_inputs(
        model,
        dataset,
        captions=config.data.captions,
        cache=cache,
        workers=settings.workers,
        progress=progress,
    )
    if validate is None and made.selection is not None:
        validate = _Validation(inputs, made.selection, settings.workers)
    trainer = Trainer(
        algorithm,
        inputs.select(made.rows, augment=config.data.augment),
        settings,
        validate=validate,
        callbacks=callbacks,
        folder=folder,
        seed=config.seed,
        progress=progress,
    )
    if overwrite:
        clear_folder(folder)
    folder.mkdir(parents=True, exist_ok=True)
    history = trainer.run(resume=resume, settings=_resumed_settings(config))
    report = None
    if dataset.labels is not None:
        report = evaluate_inputs(model, inputs, dataset, made.protocol, config)
    figures = {} if report is None else report.as_dict()
    model.info = ModelInfo(
        label_names=list(dataset.label_names),
        figures={**figures, "best_epoch": trainer.best_epoch},
        experiment=config.model_dump(mode="json"),
    )
    model.cpu()
    save(model, folder / CHECKPOINT)
    return Result(
        model,
        report,
        history,
        folder / CHECKPOINT,
        dataset,
        made.protocol,
        config.data.captions,
        config,
        inputs,
    )


def evaluate(
    model: HashModel | str | Path,
    *,
    overrides: Overrides = (),
    imports: Sequence[str | Path] = (),
    cache: FeatureCache | None = None,
    progress: bool = True,
) -> Report:
    """Evaluate a model on the queries of the data set it was trained for, or of another.

    Args:
        model: A model, a zoo name or a checkpoint folder.
        overrides: Settings over the experiment that the checkpoint carries, as
            :func:`train` takes them, such as ``data.root=…`` or ``evaluation.topk=[50,500]``.
        imports: Python files or modules with parts of one's own, as :func:`crosshash.load` takes
            them.
        cache: Features of frozen backbones; default: the user's cache folder.
        progress: Show progress bars.

    Raises:
        ValueError: The model carries no experiment, or the data set has no labels.

    Example:
        >>> report = evaluate("amgfh-shapes-64", overrides=["data.options.n=60"], progress=False)
        >>> report.i2t.map > report.i2t.chance
        True
    """
    import_parts(imports)
    if not isinstance(model, HashModel):
        model = load(model)
    if not model.info.experiment:
        raise ValueError("this model carries no experiment to evaluate it by; train it first")
    config = parse_config(model.info.experiment, where="the checkpoint's experiment")
    config = override_config(config, overrides)
    try:
        check_parts(config)
    except LookupError as error:
        raise LookupError(f"{error}; {missing_parts(model.info.experiment)}") from None
    dataset, protocol = read_data(config)
    inputs = prepare_inputs(
        model,
        dataset,
        captions=config.data.captions,
        cache=cache,
        workers=config.training.workers,
        progress=progress,
    )
    return evaluate_inputs(model, inputs, dataset, protocol, config)


def evaluate_inputs(
    model: HashModel,
    inputs: PairInputs,
    dataset: PairedDataset,
    protocol: Protocol,
    config: ExperimentConfig,
) -> Report:
    """Figures of a model on prepared inputs, both directions, with their record."""
    if dataset.labels is None:
        raise ValueError(
            f"data set {dataset.name!r} has no labels, so nothing says which hits are relevant; "
            "give labels, or use encode, index and search without evaluation"
        )
    workers = config.training.workers
    query = encode_pairs(model, inputs.select(protocol.query), workers=workers)
    retrieval = encode_pairs(model, inputs.select(protocol.retrieval), workers=workers)
    conventions = config.evaluation
    record = make_record(
        dataset=dataset.name,
        protocol=protocol.name,
        split=protocol.digest(dataset.ids),
        counts=protocol.counts(),
        overlaps=protocol.overlaps(),
        captions=config.data.captions,
        seed=config.seed,
        bits=model.bits,
    )
    return evaluate_both(
        query,
        retrieval,
        dataset.labels[protocol.query],
        dataset.labels[protocol.retrieval],
        record=record,
        **conventions.model_dump(),
    )


class _Validation:
    """MAP over the validation split, both directions and their mean."""

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
        query = encode_pairs(model, self.query, workers=self.workers)
        retrieval = encode_pairs(model, self.retrieval, workers=self.workers)
        labels = (self.query.labels, self.retrieval.labels)
        i2t = mean_average_precision(query[0], retrieval[1], *labels)
        t2i = mean_average_precision(query[1], retrieval[0], *labels)
        return {"map_i2t": i2t, "map_t2i": t2i, "map_mean": (i2t + t2i) / 2}


def _resumed_settings(config: ExperimentConfig) -> dict[str, Any]:
    """What a resumed training must share beside the trainer's own settings."""
    values = config.model_dump(mode="json", exclude={"training", "paper", "evaluation", "imports"})
    values["data"].pop("root")  # the same data, and one's own parts, may stand elsewhere
    return values
