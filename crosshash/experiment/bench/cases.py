"""The experiments of a suite, each with its config: all combinations of what its blocks list."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

from crosshash.config import (
    ConfigError,
    ExperimentConfig,
    Overrides,
    bundled,
    config_values,
    parse_config,
)
from crosshash.experiment.bench.suite import ASIDE, PLAIN, Block, find_suite, read_suite
from crosshash.experiment.bench.sweeps import Swept, variations
from crosshash.overlays import leaves, overlay, override_layers

LONGEST = 64  # of the lengths that every data set has a config for


@dataclass(frozen=True)
class Case:
    """One experiment of a suite.

    Attributes:
        suite: Name.
        name: Of its config, ``dmsfh/wiki-64-s``.
        config: Resolved.
        variant: Name; ``plain`` without.
        encoder: Name; ``plain`` for the config's own.
        label: Of its block.
        settings: What is laid over the config of that name, by dotted keys, other than bits, seed,
            and what leaves the figures as they are.
        sweep: Which value of which key it is; None where it is none of a sweep, or has the
            config's own value.
    """

    suite: str
    name: str
    config: ExperimentConfig
    variant: str = PLAIN
    encoder: str = PLAIN
    label: str = ""
    settings: Mapping[str, Any] = field(default_factory=dict)
    sweep: Swept | None = None

    @property
    def row(self) -> str:
        """What it is called in a table: method, variant, encoder and label."""
        return row_name(self.config.method, self.variant, self.encoder, self.label)


def row_name(method: str, variant: str, encoder: str, label: str) -> str:
    """Method with its variant, encoder and label, as far as it has some.

    Example:
        >>> row_name("dmsfh", "s", "clip", "")
        'dmsfh-s, clip'
    """
    name = method if variant == PLAIN else f"{method}-{variant}"
    return ", ".join([name, *([] if encoder == PLAIN else [encoder]), *([label] if label else [])])


class _Combination(NamedTuple):
    method: str
    data: str | dict[str, dict[str, Any]]
    bits: int
    variant: str
    encoder: str


@dataclass(frozen=True)
class Choice:
    """What of suites is run, in place of what they list.

    Attributes:
        data: Data sets in place of theirs; of configs by name, those of such data.
        bits: Lengths.
        seeds: Seeds.
        methods: Only these.
        overrides: Settings over every config.
    """

    data: Sequence[str] = ()
    bits: Sequence[int] = ()
    seeds: Sequence[int] = ()
    methods: Sequence[str] = ()
    overrides: Overrides = field(default_factory=tuple)


def expand(name: str | Path, choice: Choice | None = None) -> list[Case]:
    """All experiments of a suite, each once.

    Args:
        name: As :func:`read_suite` takes it.
        choice: What is run in place of what it lists.

    Raises:
        FileNotFoundError: There is no such suite, or no config for one of its combinations.
        ConfigError: The suite or a config is wrong; or the choice leaves nothing of it.
    """
    choice = choice or Choice()
    path, suite = find_suite(name), read_suite(name)
    cases: list[Case] = []
    listed = {name for block in suite.runs for name in _names(block)}
    for block in suite.runs:
        for case in _expand_block(path, block, choice, listed):
            cases += _swept(case, block) if block.sweep else [case]
    if not cases:
        asked = ", ".join([*choice.data, *choice.methods])
        raise ConfigError(f"{path}: none of its experiments is of {asked}")
    kept: dict[str, Case] = {}
    for case in cases:
        kept.setdefault(f"{case.row}\0{case.config.model_dump_json()}", case)
    return list(kept.values())


def _expand_block(path: Path, block: Block, choice: Choice, listed: set[str]) -> Iterator[Case]:
    settings, last = override_layers(block.overrides), override_layers(choice.overrides)
    seeds = list(choice.seeds) or block.seeds
    for name in block.configs:
        beside = path.parent / name
        file = str(beside) if beside.is_file() else name
        lengths: list[dict[str, Any]] = [{"bits": bits} for bits in choice.bits] or [{}]
        for length, seed in itertools.product(lengths, seeds):
            config = _config(file, [*settings, {"seed": seed}, *last, length])
            wanted = not choice.data or config.data.name in choice.data
            if wanted and (not choice.methods or config.method in choice.methods):
                told = _told([*settings, *last])
                yield Case(path.stem, name, config, label=block.label, settings=told)
    combined = itertools.product(
        [m for m in block.methods if not choice.methods or m in choice.methods],
        _chosen(block, choice.data, listed),
        choice.bits or block.bits,
        block.variants,
        block.encoders,
    )
    for found, seed in itertools.product(itertools.starmap(_Combination, combined), seeds):
        own: Any = {} if isinstance(found.data, str) else next(iter(found.data.values()))
        data = found.data if isinstance(found.data, str) else next(iter(found.data))
        like = block.like or data
        name, extra = _name(found.method, like, found.bits, found.variant, found.encoder)
        if like != data:
            extra.append({"data": {"name": data}})
        layers = [*extra, *settings, {"data": own}, {"seed": seed}, *last]
        shown = name if like == data else f"{found.method}/{data}-{found.bits}"
        config = _config(name, layers)
        told = _told([*settings, {"data": own}, *last])
        yield Case(path.stem, shown, config, found.variant, found.encoder, block.label, told)


def _swept(case: Case, block: Block) -> Iterator[Case]:
    """A case with each value of its block's sweep; with the config's own it is the case itself."""
    for config, swept in variations(case.config, block.sweep, case.name):
        if swept is None:
            yield case
            continue
        label = ", ".join(filter(None, [case.label, swept.name]))
        settings = {**case.settings, swept.key: swept.value}
        yield replace(case, config=config, label=label, settings=settings, sweep=swept)


def _names(block: Block) -> dict[str, str | dict[str, dict[str, Any]]]:
    """The data sets of a block by their names."""
    return {next(iter(e)) if isinstance(e, dict) else e: e for e in block.data}


def _chosen(
    block: Block, wanted: Sequence[str], listed: set[str]
) -> list[str | dict[str, dict[str, Any]]]:
    """The data sets of a block, or those that are wanted instead.

    Those that the suite lists anywhere stay in the blocks that list them, with their settings.
    Others come into every block but those that borrow configs (``like``), whose overrides are of
    their own data.
    """
    if not wanted:
        return block.data
    own = _names(block)
    found = [own.get(name, name) for name in wanted if name in own or name not in listed]
    return [entry for entry in found if not block.like or entry in block.data]


def _name(
    method: str, data: str, bits: int, variant: str, encoder: str
) -> tuple[str, list[dict[str, Any]]]:
    """The config's name, and the bits over it where it is not one of that length."""
    middle = data if encoder == PLAIN else f"{data}-{encoder}"
    end = "" if variant == PLAIN else f"-{variant}"
    exact = f"{method}/{middle}-{bits}{end}"
    if bits == LONGEST or (bundled("configs") / method / f"{middle}-{bits}.yaml").is_file():
        return exact, []
    return f"{method}/{middle}-{LONGEST}{end}", [{"bits": bits}]


def _told(layers: list[dict[str, Any]]) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for layer in layers:
        values = overlay(values, layer)
    found = {".".join(place): value for place, value in leaves(values)}
    for name in ("bits", "seed", "data.root", *(f"training.{name}" for name in ASIDE)):
        found.pop(name, None)
    if isinstance(files := found.get("imports"), list):  # wherever they are
        found["imports"] = [Path(file).name for file in files]
    return found


def _config(name: str, layers: list[dict[str, Any]]) -> ExperimentConfig:
    values: Mapping[str, Any] = config_values(name)
    for layer in layers:
        values = overlay(values, layer)
    return parse_config(values, where=name)
