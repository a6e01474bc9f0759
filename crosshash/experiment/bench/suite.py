"""A suite: which experiments are compared, as a YAML file, and the papers' printed figures."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, NamedTuple

from pydantic import Field, ValidationError, field_validator, model_validator

from crosshash.config import ConfigError, bundled
from crosshash.registry import nearest
from crosshash.sections import Section
from crosshash.yaml_files import read_yaml

# Settings of `training` that leave the figures as they are.
ASIDE = ("workers", "save_every", "tensorboard", "device")
PLAIN = "plain"  # no variant; the config's own encoders
_LISTED = {"method": "methods", "bits": "bits", "seed": "seeds", "data.name": "data"}

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
        sweep: Keys of the config, each with the values that it has in turn while the others stay as
            configured: a list, or values by the names that they are shown by.
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
    sweep: dict[str, list[Any] | dict[str, Any]] = Field(default_factory=dict)

    @field_validator("data")
    @classmethod
    def _one_name_each(cls, data: list[Any]) -> list[Any]:
        if any(isinstance(entry, dict) and len(entry) != 1 for entry in data):
            raise ValueError("each entry is a name, or one name with its settings: {wiki: {…}}")
        return data

    @field_validator("sweep")
    @classmethod
    def _several_values(cls, sweep: dict[str, Any]) -> dict[str, Any]:
        for key, values in sweep.items():
            if key in _LISTED:
                raise ValueError(f"{key}: list these as {_LISTED[key]} of the block")
            listed = list(values.values()) if isinstance(values, dict) else values
            shown = set(map(str, listed))  # by which they are named where they have no names
            again = any(value in listed[:at] for at, value in enumerate(listed))
            if len(listed) < 2 or len(shown) < len(listed) or again:
                raise ValueError(
                    f"{key}: expected at least two values, all different, as a list or by names "
                    f"({{DIS 0.1: 10.0, …}}), got {values!r}"
                )
        return sweep

    @model_validator(mode="after")
    def _something(self) -> Block:
        if bool(self.configs) == bool(self.methods):
            raise ValueError("a block lists configs, or methods with data and bits; one of the two")
        if self.methods and not (self.data and self.bits):
            raise ValueError("methods need data and bits to be trained for")
        return self


class Efficiency(Section):
    """What a paper prints of a method's cost, some of it or all."""

    seconds: float | None = None
    gflops: float | None = None
    gigabytes: float | None = None


class Lookup(Section):
    """What a paper prints of look-ups within a Hamming radius, of one direction."""

    precision: Share
    recall: Share
    f1: Share


class Figure(NamedTuple):
    """One printed figure.

    Attributes:
        method: As the paper calls it.
        dataset: Name.
        bits: Length of the codes.
        direction: ``i2t`` or ``t2i``; empty of a cost.
        name: ``map``, or a field of :class:`Lookup` or :class:`Efficiency`.
        value: It.
    """

    method: str
    dataset: str
    bits: int
    direction: str
    name: str
    value: float


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
        efficiency: Method → cost, on one data set at one length.
        radii: Hamming radii over which ``lookup_i2t`` and ``lookup_t2i`` are means.
        lookup_i2t: Method → look-ups by image queries, of one data set at one length.
        lookup_t2i: The same of text queries.
    """

    source: str
    note: str = ""
    data: list[str] = Field(min_length=1)
    bits: list[int] = Field(min_length=1)
    own: str = ""
    map_i2t: dict[str, list[list[Share]]] = Field(default_factory=dict)
    map_t2i: dict[str, list[list[Share]]] = Field(default_factory=dict)
    efficiency: dict[str, Efficiency] = Field(default_factory=dict)
    radii: list[Annotated[int, Field(ge=0)]] = Field(default_factory=list)
    lookup_i2t: dict[str, Lookup] = Field(default_factory=dict)
    lookup_t2i: dict[str, Lookup] = Field(default_factory=dict)

    @property
    def looks_up(self) -> bool:
        """Whether it has figures of look-ups within a radius."""
        return bool(self.lookup_i2t or self.lookup_t2i)

    @model_validator(mode="after")
    def _of_radii(self) -> Printed:
        if self.looks_up != bool(self.radii):
            raise ValueError("lookup_i2t and lookup_t2i need radii, the Hamming radii they are of")
        single = "efficiency" if self.efficiency else "lookup_i2t and lookup_t2i"
        if (self.looks_up or self.efficiency) and (len(self.data), len(self.bits)) != (1, 1):
            raise ValueError(f"{single} are of one data set at one length of codes")
        if self.looks_up and (self.map_i2t or self.map_t2i or self.efficiency):
            raise ValueError("lookup_i2t and lookup_t2i stand alone: give MAP in another entry")
        if max(self.radii, default=0) > min(self.bits):
            raise ValueError(
                f"radii: those of {min(self.bits)}-bit codes are in 0…{min(self.bits)}"
            )
        return self

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

    def figures(self) -> Iterator[Figure]:
        """Each of its figures."""
        for way, rows in (("i2t", self.map_i2t), ("t2i", self.map_t2i)):
            for method, values in rows.items():
                for data, part in zip(self.data, values, strict=True):
                    for bits, value in zip(self.bits, part, strict=True):
                        yield Figure(method, data, bits, way, "map", value)
        alone: tuple[tuple[str, Mapping[str, Section]], ...] = (
            ("i2t", self.lookup_i2t),
            ("t2i", self.lookup_t2i),
            ("", self.efficiency),
        )
        for way, found in alone:
            for method, one in found.items():
                for name, value in one:
                    if value is not None:
                        yield Figure(method, self.data[0], self.bits[0], way, name, value)


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


def _folder() -> Path:
    return bundled("configs") / "parts" / "suites"
