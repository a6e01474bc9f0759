"""A suite: which experiments are compared, as a YAML file, and the papers' printed figures."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, NamedTuple

from pydantic import Field, ValidationError, field_validator, model_validator

from crosshash.config import (
    ConfigError,
    ExperimentConfig,
    Overrides,
    bundled,
    config_values,
    parse_config,
)
from crosshash.overlays import overlay, override_layers
from crosshash.registry import nearest
from crosshash.sections import Section
from crosshash.yaml_files import read_yaml

PLAIN = "plain"  # no variant; the config's own encoders
_LONGEST = 64  # of the lengths that every data set has a config for

_Seed = Annotated[int, Field(ge=0, lt=2**32)]
Share = Annotated[float, Field(ge=0, le=1)]


class Block(Section):
    """Experiments by all combinations of what is listed, or by the names of their configs.

    Attributes:
        methods: Names.
        data: Names of data sets, or one name each with the settings of ``data`` for it.
        bits: Lengths of the codes.
        variants: Overlays of the methods (``concat``); ``plain``: none.
        encoders: As they stand in configs' names (``clip`` in ``flickr8k-clip-64``); ``plain``:
            those of the config without such a name.
        configs: Configs by name or file, in place of methods and data; a file is relative to the
            suite's.
        like: The data set whose configs are taken, with ``overrides``, for data that a method has
            no config for; default: the same.
        seeds: Of weights, order and dropout.
        overrides: Settings over each config.
        label: What the rows of this block are called beside method and variant.
    """

    methods: list[str] = Field(default_factory=list)
    data: list[str | dict[str, dict[str, Any]]] = Field(default_factory=list)
    bits: list[int] = Field(default_factory=list)
    variants: list[str] = Field(default_factory=lambda: [PLAIN])
    encoders: list[str] = Field(default_factory=lambda: [PLAIN])
    configs: list[str] = Field(default_factory=list)
    like: str | None = None
    seeds: list[_Seed] = Field(default_factory=lambda: [0])
    overrides: dict[str, Any] = Field(default_factory=dict)
    label: str = ""

    @field_validator("data")
    @classmethod
    def _one_name_each(cls, data: list[Any]) -> list[Any]:
        if any(isinstance(entry, dict) and len(entry) != 1 for entry in data):
            raise ValueError("each entry is a name, or one name with its settings: {wiki: {…}}")
        return data

    @model_validator(mode="after")
    def _something(self) -> Block:
        if bool(self.configs) == bool(self.methods):
            raise ValueError("a block lists configs, or methods with data and bits; one of the two")
        if self.methods and not (self.data and self.bits):
            raise ValueError("methods need data and bits to be trained for")
        return self


class Efficiency(Section):
    """What a paper prints of a method's cost."""

    seconds: float
    gflops: float
    gigabytes: float


class Printed(Section):
    """Figures as a paper prints them, its own and those of its baselines.

    Attributes:
        source: Paper and table.
        note: What is not known of them, or not comparable.
        data: Data sets, by our names.
        bits: Lengths.
        own: The row that is the paper's method, of ``map_i2t`` and ``map_t2i``.
        map_i2t: Method → for each data set a list of MAP, one for each length.
        map_t2i: The same of text queries.
        efficiency: Method → cost.
    """

    source: str
    note: str = ""
    data: list[str] = Field(min_length=1)
    bits: list[int] = Field(min_length=1)
    own: str = ""
    map_i2t: dict[str, list[list[Share]]] = Field(default_factory=dict)
    map_t2i: dict[str, list[list[Share]]] = Field(default_factory=dict)
    efficiency: dict[str, Efficiency] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _whole(self) -> Printed:
        for rows in (self.map_i2t, self.map_t2i):
            for name, values in rows.items():
                if [len(part) for part in values] != [len(self.bits)] * len(self.data):
                    raise ValueError(
                        f"{name}: expected {len(self.data)} lists, one for each of data, of "
                        f"{len(self.bits)} figures, one for each of bits"
                    )
        return self

    def figures(self) -> Iterator[tuple[str, str, str, int, float]]:
        """Method, data set, direction (``i2t`` or ``t2i``), bits and figure of each."""
        for way, rows in (("i2t", self.map_i2t), ("t2i", self.map_t2i)):
            for name, values in rows.items():
                for data, part in zip(self.data, values, strict=True):
                    for bits, value in zip(self.bits, part, strict=True):
                        yield name, data, way, bits, value


class Suite(Section):
    """A suite of experiments.

    Attributes:
        title: A line.
        about: What it is for, and what one must know of its figures.
        runs: Blocks of experiments.
        printed: Figures of papers to stand beside them.
    """

    title: str
    about: str = ""
    runs: list[Block] = Field(min_length=1)
    printed: list[Printed] = Field(default_factory=list)


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
    """

    suite: str
    name: str
    config: ExperimentConfig
    variant: str = PLAIN
    encoder: str = PLAIN
    label: str = ""

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
        data: Data sets in place of theirs.
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


def suite_names() -> list[str]:
    """Names of the suites that come with the package.

    Example:
        >>> "quick" in suite_names()
        True
    """
    return sorted(path.stem for path in _folder().glob("*.yaml"))


def find_suite(name: str | Path) -> Path:
    """A suite's file, by its path or its name among those that come with the package.

    Raises:
        FileNotFoundError: There is none; the message has the nearest names.
    """
    path = Path(name)
    if path.is_file():
        return path
    inner = _folder() / f"{str(name).removesuffix('.yaml')}.yaml"
    if inner.parent == _folder() and inner.is_file():
        return inner
    raise FileNotFoundError(f"no suite {str(name)!r}: {nearest(str(name), suite_names())}")


def read_suite(name: str | Path) -> Suite:
    """Read a suite.

    Args:
        name: A YAML file, or the name of a bundled suite.

    Raises:
        FileNotFoundError: There is none.
        ConfigError: It is no suite; names all keys that are wrong.
    """
    path = find_suite(name)
    values = read_yaml(path)
    try:
        return Suite.model_validate(values)
    except ValidationError as error:
        told = [
            f"{'.'.join(map(str, found['loc'])) or 'the whole'}: {found['msg']}"
            for found in error.errors()
        ]
        raise ConfigError(f"{path}: this is no suite:\n  " + "\n  ".join(told)) from None


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
        cases += _expand_block(path, block, choice, listed)
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
            if not choice.methods or config.method in choice.methods:
                yield Case(path.stem, name, config, label=block.label)
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
        yield Case(path.stem, shown, config, found.variant, found.encoder, block.label)


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
    if bits == _LONGEST or (bundled("configs") / method / f"{middle}-{bits}.yaml").is_file():
        return exact, []
    return f"{method}/{middle}-{_LONGEST}{end}", [{"bits": bits}]


def _config(name: str, layers: list[dict[str, Any]]) -> ExperimentConfig:
    values: Mapping[str, Any] = config_values(name)
    for layer in layers:
        values = overlay(values, layer)
    return parse_config(values, where=name)


def _folder() -> Path:
    return bundled("configs") / "parts" / "suites"
