"""An experiment from its config to a checkpoint with figures."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from torch import nn

from crosshash.backbones.tuning import merge_lora
from crosshash.codes import Packed
from crosshash.config import ExperimentConfig, Overrides, override_config, read_config
from crosshash.data.dataset import PairedDataset
from crosshash.data.features.cache import FeatureCache
from crosshash.data.model_inputs import PairInputs, encode_pairs
from crosshash.data.protocol import Protocol
from crosshash.experiment.assembly import Assembly, assemble
from crosshash.experiment.calibration import calibrate_rows
from crosshash.experiment.evaluation import encode_sets, evaluate_encoded
from crosshash.experiment.identity import data_identity, training_identity
from crosshash.experiment.preparation import Preparation, resumed_settings
from crosshash.experiment.run_folder import check_folder, clear_folder, has_state, running_in
from crosshash.experiment.run_record import RunRecord, kept_record
from crosshash.experiment.training_page import draw_page, page_wanted
from crosshash.hub.save import save
from crosshash.model.hash_model import HashModel, ModelInfo
from crosshash.reports.tables import visible
from crosshash.retrieval.calibration import KEY
from crosshash.retrieval.record import training_words
from crosshash.retrieval.report import Report
from crosshash.training.callbacks import Callback
from crosshash.training.files import CHECKPOINT, REFIT


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
        model: The best network, or with ``data.refit`` that of the second training, in eval mode.
        report: Figures in both directions on the queries; None for data without labels or queries.
        history: Losses and validation figures of each epoch.
        folder: The checkpoint folder.
        dataset: What it was trained and evaluated on.
        protocol: Which of its pairs are queries, searched, and trained on.
        captions: Which caption is a pair's text.
        config: What it was trained by, overrides and all.
        inputs: The pairs of ``dataset`` as the model reads them.
        training: What came before the figures, as the record has it.
        refit: Losses of each epoch of the second training; empty without ``data.refit``.
        page: ``report.html`` beside the checkpoint, where it was drawn.
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
    training: dict[str, Any]
    refit: list[dict[str, float]] = field(default_factory=list)
    page: Path | None = None

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
    data: tuple[PairedDataset, Protocol] | None = None,
    cache: FeatureCache | None = None,
    page: bool | None = None,
    progress: bool = True,
) -> Result:
    """Train by a config, evaluate on the queries, and write a checkpoint and a page.

    With ``data.refit`` the held-out pairs only choose the number of epochs: the method is then
    built anew from the same seed, a vocabulary is learnt from all training pairs, and all of them
    train it for so many epochs, each at the learning rate that it had before.

    Args:
        config: A config, its file, or the name of a bundled one (``"amgfh/flickr8k-64"``).
        folder: For state, history, the run's record and page, and the ``checkpoint`` folder; state
            and history of a second training are in ``refit`` below it.
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
        data: Pairs in memory and their protocol, in place of those that the config names. Without
            queries nothing is evaluated at the end.
        cache: Features of frozen backbones; default: the user's cache folder.
        page: Write ``report.html``: figures, curves, the health of the codes and what they find. It
            costs some seconds. None: unless the environment variable ``CROSSHASH_PAGE`` is 0.
        progress: Show progress bars, and on standard error what is made of the labels.

    Raises:
        ConfigError: The config is wrong.
        FileNotFoundError: Data or weights are not there, or a file of ``imports`` is not.
        PluginError: A file of ``imports`` fails.
        FileExistsError: ``folder`` has a run, and neither ``resume`` nor ``overwrite`` says what
            to do with it; or that run is finished, or running; or what is named ``checkpoint``
            there is none.
        ValueError: ``folder`` has the state of another training, or of one with other data or
            another model to start from; or what would be trained could not be loaded again
            (:func:`~crosshash.hub.save.check_savable`); or ``CROSSHASH_PAGE`` is neither 0 nor 1.

    Example:
        >>> few = ["data.options.n=60", "data.validation=0", "training.epochs=1"]
        >>> result = train("amgfh/shapes-64", "my-run", overrides=few, progress=False)
        >>> 0 < result.report.i2t.map < 1, result.folder.name
        (True, 'checkpoint')
    """
    drawn = page_wanted(page)
    name = None if isinstance(config, ExperimentConfig) else str(config)
    if not isinstance(config, ExperimentConfig):
        config = read_config(config, overrides)
    elif overrides:
        config = override_config(config, overrides)
    folder = Path(folder)
    check_folder(folder, resume=resume, overwrite=overwrite)
    if resume and not has_state(folder):
        warnings.warn(f"{folder} has nothing to resume: training begins", stacklevel=2)
    made = assemble(config, start, data)
    config, dataset = made.config, made.dataset
    if made.supervision and progress:
        print(made.supervision, file=sys.stderr)
    training, shared = Preparation(folder, cache, progress), resumed_settings(config)
    trainer, inputs = training.prepare(made, validate=validate, callbacks=callbacks)
    shared |= data_identity(dataset)
    with running_in(folder), kept_record(folder) as keeper:
        check_folder(folder, resume=resume, overwrite=overwrite)  # as it is by now
        if not (resume and has_state(folder)):
            clear_folder(folder)
        keeper.begin(_record(made, name, overrides, trainer.validate))
        history = trainer.run(resume=resume, settings={**shared, **training_identity(made)})
        told: dict[str, Any] = {
            "supervised": trainer.algorithm.supervised,
            "pairs": len(made.rows),
            "best_epoch": trainer.best_epoch,
        }
        # An epoch is chosen where several are compared.
        several = config.training.evaluate_every < config.training.epochs
        if several and (validate is not None or made.selection is not None):
            held = len(made.selection.query) if validate is None and made.selection else 0
            told.update(held_out=held, refit=config.data.refit)
        calibration, spare = None, made.protocol.calibration
        if spare is None and made.selection is not None:
            # Before a second training sees these pairs.
            calibration = calibrate_rows(
                made.model,
                inputs,
                made.selection.query,
                workers=config.training.workers,
                refit=config.data.refit,
            )
        again: list[dict[str, float]] = []
        if config.data.refit:
            del trainer, inputs  # one network in memory is enough
            made = made.with_all_rows()
            told["pairs"] = len(made.rows)
            if progress:
                print(f"training anew: {training_words(told)}", file=sys.stderr)
            keeper.note(stage="refit", best_epoch=told["best_epoch"])
            training = replace(training, folder=folder / REFIT)
            trainer, inputs = training.prepare(made, until=told["best_epoch"])
            again = trainer.run(
                resume=resume and has_state(training.folder),
                settings={**shared, **training_identity(made)},
            )
        keeper.note(stage="evaluation", best_epoch=told["best_epoch"])
        model, report, encoded = made.model, None, None
        merge_lora(model)  # what is measured is what will be saved
        workers = config.training.workers
        if spare is not None:
            calibration = calibrate_rows(model, inputs, spare, workers=workers)
        if len(made.protocol.query) and (drawn or dataset.labels is not None):
            encoded = encode_sets(model, inputs, made.protocol, workers)
        if dataset.labels is not None and encoded is not None:
            learned = None
            if config.evaluation.database == "both" and trainer.learned_codes is not None:
                learned = made.rows, trainer.learned_codes
            report = evaluate_encoded(
                encoded, model.nested, dataset, made.protocol, config, told, learned, calibration
            )
        figures = {} if report is None else report.as_dict()
        if calibration is not None:
            figures[KEY] = calibration.as_dict()
        model.info = ModelInfo(
            label_names=list(dataset.label_names),
            figures={**figures, "best_epoch": told["best_epoch"]},
            experiment=config.model_dump(mode="json"),
        )
        model.cpu()
        if trainer.accelerator.is_main_process:
            save(model, folder / CHECKPOINT)
        trainer.accelerator.wait_for_everyone()
        result = Result(
            model,
            report,
            history,
            folder / CHECKPOINT,
            dataset,
            made.protocol,
            config.data.captions,
            config,
            inputs,
            told,
            again,
        )
        if drawn and trainer.accelerator.is_main_process:
            result.page = draw_page(result, encoded, keeper.note())
        return result


def _record(
    made: Assembly, name: str | None, overrides: Overrides, validate: Callable[..., Any] | None
) -> RunRecord:
    """What a run is, when it begins."""
    config = made.config
    if isinstance(overrides, Mapping):
        overrides = [f"{key}={value}" for key, value in overrides.items()]
    return RunRecord(
        # Half a character, as in an undecodable file name, has no place in JSON.
        config=None if name is None else visible(name),
        overrides=[visible(str(setting)) for setting in overrides],
        method=config.method,
        dataset=made.dataset.name,
        bits=config.bits,
        seed=config.seed,
        epochs=config.training.epochs,
        refit=config.data.refit,
        monitor=None if validate is None else config.training.monitor,
        figures=list(getattr(validate, "figures", ())),
    )
