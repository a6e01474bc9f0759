"""From a config to what is trained: data, network, algorithm."""

from __future__ import annotations

import copy
import warnings
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from crosshash.algorithms.nested import Nested
from crosshash.algorithms.phases import Algorithm
from crosshash.backbones import TEXT_ENCODERS, create_text_encoder, image_backbone_kind
from crosshash.backbones.base import TextEncoder
from crosshash.backbones.tuning import adapted_name
from crosshash.config import (
    ConfigError,
    ExperimentConfig,
    Replace,
    checked_arguments,
    override_config,
)
from crosshash.data.dataset import PairedDataset
from crosshash.data.load import DATASETS, load_dataset
from crosshash.data.protocol import Protocol
from crosshash.hub.load import load
from crosshash.hub.save import check_savable
from crosshash.methods.build import METHODS, build_model
from crosshash.model.digest import model_digest
from crosshash.model.hash_model import HashModel
from crosshash.plugins import import_parts
from crosshash.retrieval.curves import check_ranks


@dataclass
class Assembly:
    """All that a training starts from.

    Attributes:
        config: As it holds for this data set: what lies over it ``without_labels`` is applied.
        dataset: The pairs.
        protocol: Which of them are queries, searched, and trained on.
        selection: The same for model selection; None without.
        rows: (t,) the training pairs.
        model: The network, untrained or with the weights of ``start``.
        supervision: A sentence on the labels, where the config has settings for both cases.
        start: What is fine-tuned; None: nothing.
        start_digest: Its digest.
    """

    config: ExperimentConfig
    dataset: PairedDataset
    protocol: Protocol
    selection: Protocol | None
    rows: np.ndarray
    model: HashModel
    supervision: str | None
    start: HashModel | str | Path | None = None
    start_digest: str | None = None

    def with_all_rows(self) -> Assembly:
        """The same, built anew for the second training of ``data.refit``.

        It trains on all training pairs of the protocol, learns its vocabulary from all, and selects
        nothing.
        """
        rows = self.protocol.train
        model = build(self.config, self.dataset, rows, _loaded(self.start))
        return replace(self, selection=None, rows=rows, model=model)

    def algorithm(self) -> Algorithm:
        """The method's training algorithm around the network.

        Raises:
            ConfigError: ``evaluation.database`` asks for learned codes, but the method has none, or
                no training pair is searched.
        """
        labels = self.dataset.labels
        classes = 0 if labels is None else labels.shape[1]
        algorithm = build_algorithm(self.config, self.model, classes, len(self.rows))
        if self.config.evaluation.database == "both":
            if algorithm.learned_codes() is None:
                raise ConfigError(
                    f"evaluation.database=both: {self.config.method} learns no codes of its "
                    "training pairs; only evaluation.database=encoded can be measured"
                )
            if not np.isin(self.rows, self.protocol.retrieval).any():
                raise ConfigError(
                    "evaluation.database=both: no training pair of "
                    f"{self.protocol.name!r} is searched, so that no learned code would be; leave "
                    "it at encoded"
                )
        return algorithm


def assemble(
    config: ExperimentConfig,
    start: HashModel | str | Path | None = None,
    data: tuple[PairedDataset, Protocol] | None = None,
) -> Assembly:
    """Read the data of a config and build its network.

    Args:
        config: Says which.
        start: A model, zoo name or checkpoint folder to fine-tune, as :func:`build` says.
        data: Pairs in memory and their protocol, in place of those that the config names.

    Raises:
        ConfigError: The config is wrong; it is checked before data is read. Or ``data.refit`` has
            nothing to add, as the held-out pairs are no training pairs.
        FileNotFoundError: Data or weights are not there, or a file of ``imports`` is not.
        PluginError: A file of ``imports`` fails.
        ValueError: ``evaluation.ranks`` go beyond the retrieval set.
    """
    import_parts(config.imports)
    check_parts(config)
    dataset, protocol = read_data(config) if data is None else data
    config, supervision = with_labels_or_without(config, dataset)
    protocol = spared(config, protocol)
    selection = None
    if config.data.validation:
        selection = protocol.with_validation(config.data.validation, config.seed)
    rows = (selection or protocol).train
    if config.evaluation.ranks is not None:  # known before hours of training
        check_ranks(config.evaluation.ranks, len(protocol.retrieval))
    if config.data.refit and len(rows) == len(protocol.train):
        raise ConfigError(
            f"data.refit: {dataset.name!r} has a validation set of its own, so that all "
            f"{len(rows):,} training pairs train already; leave data.refit out"
        )
    loaded = _loaded(start)
    digest = None if loaded is None else model_digest(loaded)
    model = build(config, dataset, rows, loaded)
    return Assembly(config, dataset, protocol, selection, rows, model, supervision, start, digest)


def _loaded(start: HashModel | str | Path | None) -> HashModel | None:
    return start if start is None or isinstance(start, HashModel) else load(start)


def check_parts(config: ExperimentConfig) -> None:
    """Refuse a config whose parts do not exist or do not take its settings; reads no data.

    Raises:
        LookupError: A method, data set or text encoder is unknown.
        ConfigError: An image slot is not the method's, or a part has no such option; or codes of
            several lengths are asked of a method that does not learn by gradient.
    """
    kind = METHODS[config.method]
    slots, optional = kind.Network.slots, kind.Network.optional
    given = list(config.backbones)
    if not set(slots) - set(optional) <= set(given) <= set(slots):
        named = [f"{slot} (may be null)" if slot in optional else slot for slot in slots]
        raise ConfigError(
            f"backbones: {config.method} has the image slots {', '.join(named)}, got "
            f"{', '.join(given) or 'none'}; name them, as in backbones.{slots[0]}=resnet50"
        )
    checked_arguments(kind, config.algorithm, "algorithm")
    if config.nested and kind.trains == "nothing":
        raise ConfigError(
            f"nested: {config.method} solves all in closed form, and only what learns by gradient "
            "can learn several lengths at once; leave nested out, or train a model for each length"
        )
    for bits in config.nested:
        checked_arguments(kind, _options_at(config, bits), f"nested.{bits}")
    checked_arguments(kind.Network, config.network, "network")
    checked_arguments(DATASETS[config.data.name], config.data.options, "data.options")
    # A width is taken from the data set's features where it is not given.
    for slot, backbone in config.backbones.items():
        part = image_backbone_kind(backbone.name)
        width = {"dim": 1} if backbone.name == "features" else {}
        checked_arguments(part, {**width, **backbone.options}, f"backbones.{slot}.options")
    encoder = TEXT_ENCODERS[config.text.name.partition(":")[0]]
    width = {"dim": 1} if config.text.name == "features" else {}
    checked_arguments(encoder, {**width, **config.text.options}, "text.options")


def read_data(config: ExperimentConfig) -> tuple[PairedDataset, Protocol]:
    """The data set and protocol that a config names.

    Raises:
        LookupError: The data set is unknown.
        ConfigError: Its options are wrong.
        FileNotFoundError: It is not where ``data.root`` says.
    """
    dataset, protocol = load_dataset(config.data.name, config.data.root, **config.data.options)
    if config.data.holdout:
        protocol = protocol.held_out(config.data.holdout)
    if dataset.skipped:
        shown = "; ".join(dataset.skipped[:3])
        warnings.warn(
            f"data set {dataset.name!r}: {len(dataset.skipped)} pairs are left out ({shown} …)",
            stacklevel=2,
        )
    return dataset, protocol


def spared(config: ExperimentConfig, protocol: Protocol) -> Protocol:
    """The protocol as it trains: without the pairs of ``data.calibration``."""
    size = config.data.calibration
    return protocol.with_calibration(size, config.seed) if size else protocol


def with_labels_or_without(
    config: ExperimentConfig, dataset: PairedDataset
) -> tuple[ExperimentConfig, str | None]:
    """A config as it holds for a data set that has labels, or has none.

    Returns:
        The config, with ``without_labels`` applied or left out; and a sentence that says which, or
        None where the config is the same for both.
    """
    if not config.without_labels:
        return config, None
    plain = override_config(config, {"without_labels": Replace()})
    if dataset.labels is not None:
        classes = dataset.labels.shape[1]
        return plain, f"{dataset.name!r} has labels of {classes} classes: training uses them"
    return (
        override_config(plain, config.without_labels),
        f"{dataset.name!r} has no labels: training goes by the features, and nothing is evaluated",
    )


def build(
    config: ExperimentConfig,
    dataset: PairedDataset,
    train: np.ndarray,
    start: HashModel | None = None,
) -> HashModel:
    """The network of a config before its training.

    Warns where there are fewer training pairs than words in the vocabulary learnt from them.

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
        known = dataset.select(train) if config.text.vocabulary == "train" else dataset
        each = config.data.captions == "each"
        text.fit(known.all_captions() if each else known.captions(config.data.captions))
        _warn_of_few_pairs(text, len(train))
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
        nested=config.nested,
    )
    check_savable(model, dataset.select(train[:4]))
    if start is not None:
        own = model.state_dict()
        given = {adapted_name(name, own): value for name, value in start.state_dict().items()}
        fitting = {k: v for k, v in given.items() if k in own and own[k].shape == v.shape}
        if not fitting:
            raise ValueError("the model to start from shares no tensor with that of the config")
        model.load_state_dict(fitting, strict=False)
    return model


def _warn_of_few_pairs(text: TextEncoder, pairs: int) -> None:
    # Each word is an input of the text network: with fewer examples than inputs most words are in
    # one or two texts only, and say no more than which texts these were.
    words = len(text.vocabulary or ())
    if pairs < words:
        warnings.warn(
            f"{pairs} training pairs for a vocabulary of {words} words; expect codes that know few "
            "of them. More pairs help, or a smaller text.options.size",
            stacklevel=3,
        )


def build_algorithm(
    config: ExperimentConfig, model: HashModel, classes: int, count: int
) -> Algorithm:
    """The method's training algorithm around its network; of all lengths where some are nested.

    Args:
        config: Says which.
        model: The network.
        classes: Label classes of the data set, 0 without labels.
        count: Training pairs.

    Raises:
        ConfigError: A part has no such option.
        ValueError: The options do not go together, or the network cannot be nested.
    """
    kind = METHODS[config.method]

    def make(net: HashModel, bits: int) -> Algorithm:
        options = {**config.algorithm, **_options_at(config, bits)}
        return kind(net, count, classes, **checked_arguments(kind, options, "algorithm"))

    if not model.nested:
        return make(model, model.bits)
    weights = {bits: own["weight"] for bits, own in config.nested.items() if "weight" in own}
    return Nested(model, make, weights=weights)


def _options_at(config: ExperimentConfig, bits: int) -> dict[str, Any]:
    """What the algorithm has otherwise at a nested length."""
    own = config.nested.get(bits, {})
    return {key: value for key, value in own.items() if key != "weight"}
