"""An experiment from its config to a checkpoint with figures."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from crosshash.algorithms.phases import Algorithm
from crosshash.backbones import create_text_encoder
from crosshash.config import (
    ExperimentConfig,
    checked_arguments,
    merge,
    parse_config,
    parse_override,
    read_config,
)
from crosshash.data.dataset import PairedDataset
from crosshash.data.features.cache import FeatureCache
from crosshash.data.load import DATASETS, read_dataset
from crosshash.data.model_inputs import PairInputs, encode_pairs, prepare_inputs
from crosshash.data.protocol import Protocol
from crosshash.hub.load import load
from crosshash.hub.save import check_savable, save
from crosshash.methods.build import METHODS, build_model
from crosshash.model.hash_model import HashModel, ModelInfo
from crosshash.plugins import import_parts, missing_parts
from crosshash.retrieval.evaluate import Report, evaluate_both, make_record
from crosshash.retrieval.metrics import mean_average_precision
from crosshash.training.trainer import Trainer

CHECKPOINT = "checkpoint"


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
    """

    model: HashModel
    report: Report | None
    history: list[dict[str, float]]
    folder: Path
    dataset: PairedDataset
    protocol: Protocol
    captions: str


def read_data(config: ExperimentConfig) -> tuple[PairedDataset, Protocol]:
    """The data set and protocol that a config names.

    Raises:
        LookupError: The data set is unknown.
        ConfigError: Its options are wrong.
        FileNotFoundError: It is not where ``data.root`` says.
    """
    dataset, protocol = read_dataset(config.data.name, config.data.root, config.data.options)
    if config.data.holdout:
        protocol = protocol.held_out(config.data.holdout)
    if dataset.skipped:
        shown = "; ".join(dataset.skipped[:3])
        warnings.warn(
            f"data set {dataset.name!r}: {len(dataset.skipped)} pairs are left out ({shown} …)",
            stacklevel=2,
        )
    return dataset, protocol


def build(
    config: ExperimentConfig,
    dataset: PairedDataset,
    train: np.ndarray,
    start: HashModel | None = None,
) -> HashModel:
    """The network of a config before its training.

    Args:
        config: Says which.
        dataset: Gives the widths of features, and the words.
        train: (t,) rows of the training pairs, from which a vocabulary is learnt.
        start: A model whose vocabulary and weights are taken over. A tensor of another name or
            shape, such as a hash head of other bits, starts anew.
    """
    torch.manual_seed(config.seed)
    options = dict(config.text.options)
    if isinstance(dataset.texts, np.ndarray) and config.text.name == "features":
        options.setdefault("dim", dataset.texts.shape[1])
    if start is not None and start.text.name == config.text.name:
        text = copy.deepcopy(start.text)
    else:
        text = create_text_encoder(config.text.name, **options)
    if not text.fitted:
        captions = dataset.captions(config.data.captions)
        rows = train if config.text.vocabulary == "train" else range(len(dataset))
        text.fit([captions[row] for row in rows])
    backbones = {}
    for slot, backbone in config.backbones.items():
        backbones[slot] = {"name": backbone.name, **backbone.options}
        if isinstance(dataset.images, np.ndarray) and backbone.name == "features":
            backbones[slot].setdefault("dim", dataset.images.shape[1])
    frozen = [slot for slot, backbone in config.backbones.items() if backbone.frozen]
    if config.text.frozen:
        frozen.append("text")
    model = build_model(
        config.method,
        bits=config.bits,
        backbones=backbones,
        text=text,
        network=config.network,
        frozen=frozen,
    )
    check_savable(model, dataset.select(train[:4]))
    if start is not None:
        own, given = model.state_dict(), start.state_dict()
        fitting = {k: v for k, v in given.items() if k in own and own[k].shape == v.shape}
        if not fitting:
            raise ValueError("the model to start from shares no tensor with that of the config")
        model.load_state_dict(fitting, strict=False)
    return model


def train(
    config: ExperimentConfig | str | Path,
    folder: str | Path,
    *,
    overrides: list[str] | None = None,
    resume: bool = False,
    start: HashModel | str | Path | None = None,
    cache: FeatureCache | None = None,
    progress: bool = True,
) -> Result:
    """Train by a config, evaluate on the queries, and write a checkpoint.

    Args:
        config: A config, its file, or the name of a bundled one (``"amgfh/flickr8k-64"``).
        folder: For state, history and the ``checkpoint`` folder.
        overrides: ``key=value`` with dotted keys, over the config.
        resume: Go on where a killed training of the same config stopped.
        start: A model, zoo name or checkpoint folder to fine-tune: its vocabulary and all weights
            that fit are taken over, as :func:`build` says.
        cache: Features of frozen backbones; default: the user's cache folder.
        progress: Show progress bars.

    Raises:
        ConfigError: The config is wrong.
        FileNotFoundError: Data or weights are not there, or a file of ``imports`` is not.
        PluginError: A file of ``imports`` fails.
        ValueError: ``folder`` has the state of another training; or what would be trained could
            not be loaded again (:func:`~crosshash.hub.save.check_savable`).

    Example:
        >>> few = ["data.options.n=60", "data.validation=0", "training.epochs=1"]
        >>> result = train("amgfh/shapes-64", "my-run", overrides=few, progress=False)
        >>> 0 < result.report.i2t.map < 1, result.folder.name
        (True, 'checkpoint')
    """
    if not isinstance(config, ExperimentConfig):
        config = read_config(config, overrides or [])
    import_parts(config.imports)
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    dataset, protocol = read_data(config)
    selection = None
    if config.data.validation:
        selection = protocol.with_validation(config.data.validation, config.seed)
    rows = (selection or protocol).train
    if start is not None and not isinstance(start, HashModel):
        start = load(start)
    model = build(config, dataset, rows, start)
    settings = config.training
    inputs = prepare_inputs(
        model,
        dataset,
        captions=config.data.captions,
        cache=cache,
        workers=settings.workers,
        progress=progress,
    )
    algorithm = build_algorithm(config, model, inputs, len(rows))
    trainer = Trainer(
        algorithm,
        inputs.select(rows, augment=config.data.augment),
        settings,
        validate=None if selection is None else _Validation(inputs, selection, settings.workers),
        folder=folder,
        seed=config.seed,
        progress=progress,
    )
    history = trainer.run(resume=resume, settings=_resumed_settings(config))
    report = None
    if dataset.labels is not None:
        report = evaluate_inputs(model, inputs, dataset, protocol, config)
    figures = {} if report is None else report.as_dict()
    model.info = ModelInfo(
        label_names=list(dataset.label_names),
        figures={**figures, "best_epoch": trainer.best_epoch},
        experiment=config.model_dump(mode="json"),
    )
    model.cpu()
    save(model, folder / CHECKPOINT)
    return Result(
        model, report, history, folder / CHECKPOINT, dataset, protocol, config.data.captions
    )


def build_algorithm(
    config: ExperimentConfig, model: HashModel, inputs: PairInputs, count: int
) -> Algorithm:
    """The method's training algorithm around its network."""
    kind = METHODS[config.method]
    objective = checked_arguments(kind, config.algorithm, "algorithm")
    classes = 0 if inputs.labels is None else inputs.labels.shape[1]
    return kind(model, count, classes, **objective)


def evaluate(
    model: HashModel | str | Path,
    *,
    overrides: list[str] | None = None,
    imports: Sequence[str | Path] = (),
    cache: FeatureCache | None = None,
    progress: bool = True,
) -> Report:
    """Evaluate a model on the queries of the data set it was trained for, or of another.

    Args:
        model: A model, a zoo name or a checkpoint folder.
        overrides: ``key=value`` over the experiment that the checkpoint carries, such as
            ``data.root=…`` or ``evaluation.topk=[50,500]``.
        imports: Python files or modules with parts of one's own, as :func:`crosshash.load` takes
            them.
        cache: Features of frozen backbones; default: the user's cache folder.
        progress: Show progress bars.

    Raises:
        LookupError: The data set is unknown.
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
    values: Mapping[str, Any] = model.info.experiment
    for override in overrides or []:
        values = merge(values, parse_override(override))
    config = parse_config(values, where="the checkpoint's experiment")
    try:
        DATASETS[config.data.name]
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
    values["data"].pop("root")  # the same data may stand elsewhere
    return values
