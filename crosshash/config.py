"""Experiment configs: YAML files checked by pydantic at the edge of the library."""

from __future__ import annotations

import inspect
import math
import typing
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any, Literal

from pydantic import (
    BaseModel,
    Field,
    ValidationError,
    ValidationInfo,
    create_model,
    field_validator,
)

from crosshash.codes import check_bits, check_nested
from crosshash.overlays import (
    ConfigError,
    Overrides,
    Replace,
    lay,
    leaves,
    merge,
    overlay,
    override_layers,
    parse_override,
    read_layers,
    short_forms,
)
from crosshash.registry import nearest
from crosshash.sections import (
    BackboneConfig,
    DataConfig,
    EvaluationConfig,
    Section,
    TextConfig,
)
from crosshash.settings import TrainerSettings
from crosshash.untrusted import is_unicode

__all__ = [
    "BackboneConfig",
    "ConfigError",
    "DataConfig",
    "EvaluationConfig",
    "ExperimentConfig",
    "Overrides",
    "Replace",
    "TextConfig",
    "bundled",
    "checked_arguments",
    "config_values",
    "explain_config",
    "find_config",
    "merge",
    "override_config",
    "parse_config",
    "parse_override",
    "read_config",
]


class ExperimentConfig(Section):
    """One experiment: model, data, training, and the paper's own figures for it.

    Attributes:
        method: A registered name.
        bits: K, a multiple of 8.
        nested: Shorter lengths at which the first bits are to be codes as well, each with what its
            ``algorithm`` has otherwise, and ``weight``, that of its losses beside those of all bits
            (1 by default); ``nested: [16, 32]`` is short for lengths without.
        backbones: One for each image slot; ``backbones: resnet50`` is that of the slot ``image``.
        text: The text encoder.
        network: Keyword arguments of the method's network.
        algorithm: Keyword arguments of the method's algorithm.
        data: The data set.
        training: Optimisation.
        evaluation: Conventions of the figures.
        imports: Modules, and files beside the config, that register parts of one's own.
        without_labels: Settings that lie over all others where the data set has no labels.
        seed: Of weights, order and dropout.
        paper: The paper's own figures.
        limits: What a model of this config has seen and what it cannot do, for its card.
    """

    method: str
    bits: int
    nested: dict[int, dict[str, Any]] = Field(default_factory=dict)
    backbones: dict[str, BackboneConfig]
    text: TextConfig = Field(default_factory=TextConfig)
    network: dict[str, Any] = Field(default_factory=dict)
    algorithm: dict[str, Any] = Field(default_factory=dict)
    data: DataConfig
    training: TrainerSettings = Field(default_factory=TrainerSettings)
    evaluation: EvaluationConfig = Field(default_factory=EvaluationConfig)
    imports: list[str] = Field(default_factory=list)
    without_labels: dict[str, Any] = Field(default_factory=dict)
    # Multiplied by a million for each epoch's own; NumPy takes none below 0.
    seed: int = Field(default=0, ge=0, lt=2**32)
    paper: dict[str, Any] = Field(default_factory=dict)
    limits: str = ""

    @field_validator("bits")
    @classmethod
    def _packable(cls, bits: int) -> int:
        return check_bits(bits)

    @field_validator("nested")
    @classmethod
    def _shorter(
        cls, nested: dict[int, dict[str, Any]], info: ValidationInfo
    ) -> dict[int, dict[str, Any]]:
        if "bits" in info.data:  # absent where they are wrong themselves
            check_nested(sorted(nested), info.data["bits"])
        for bits, options in nested.items():
            weight = options.get("weight", 1)
            number = isinstance(weight, (int, float)) and not isinstance(weight, bool)
            if not number or not 0 < weight < math.inf:
                raise ValueError(f"{bits}.weight is a number above 0")
        return dict(sorted(nested.items()))

    @field_validator("backbones", mode="before")
    @classmethod
    def _present(cls, slots: Any) -> Any:
        if not isinstance(slots, Mapping):
            return slots
        # null: an overlay leaves a slot of its base out.
        return {slot: value for slot, value in slots.items() if value is not None}

    @field_validator("evaluation")
    @classmethod
    def _radii_of_the_codes(
        cls, evaluation: EvaluationConfig, info: ValidationInfo
    ) -> EvaluationConfig:
        bits = info.data.get("bits", 0)  # absent where they are wrong themselves
        if bits and max(evaluation.radii, default=0) > bits:
            raise ValueError(f"radii: Hamming radii of {bits}-bit codes are in 0…{bits}")
        return evaluation


def _known_keys(model: type[BaseModel], location: Sequence[Any]) -> list[str]:
    """The keys of the (nested) model in which an unknown key was met."""
    for part in location:
        field = model.model_fields.get(str(part))
        if field is None:
            continue
        options = [field.annotation, *typing.get_args(field.annotation)]
        # Python 3.10 takes dict[str, Any] for a type, which issubclass then refuses.
        types = [o for o in options if isinstance(o, type) and typing.get_origin(o) is None]
        inner = [o for o in types if issubclass(o, BaseModel)]
        if inner:
            model = inner[0]
        elif field.annotation is TrainerSettings:
            return [setting.name for setting in fields(TrainerSettings)]
    return list(model.model_fields)


def _explain(error: ValidationError, model: type[BaseModel], where: str) -> ConfigError:
    lines = []
    for problem in error.errors():
        location = problem["loc"]
        key = ".".join(str(part) for part in location)
        if problem["type"] in ("extra_forbidden", "unexpected_keyword_argument"):
            known = nearest(str(location[-1]), _known_keys(model, location[:-1]))
            lines.append(f"{key}: unknown key, {known}")
        elif problem["type"] == "missing":
            lines.append(f"{key}: missing")
        else:
            lines.append(f"{key}: {problem['msg']}, got {problem['input']!r}")
    return ConfigError(f"{where}:\n  " + "\n  ".join(lines))


def parse_config(values: Mapping[str, Any], where: str = "config") -> ExperimentConfig:
    """Check a mapping against the schema.

    Raises:
        ConfigError: Keys are unknown or missing, or values have the wrong type; names them all. Or
            a string cannot be written to a file.
    """
    for place, value in leaves(values):
        for text in (*place, *(value if isinstance(value, list) else [value])):
            if isinstance(text, str) and not is_unicode(text):
                raise ConfigError(
                    f"{where}:\n  {'.'.join(place)!r}: half of a character (a lone surrogate) in "
                    f"{text!r}, which no checkpoint could hold as UTF-8; rename it"
                )
    try:
        config = ExperimentConfig.model_validate(short_forms(values))
    except ValidationError as error:
        raise _explain(error, ExperimentConfig, where) from None
    if config.without_labels:
        rest = {key: value for key, value in values.items() if key != "without_labels"}
        parse_config(overlay(rest, config.without_labels), where=f"{where}, without_labels")
    return config


def bundled(kind: Literal["configs", "zoo"]) -> Path:
    """A folder that comes with the package: inside it where installed, beside it in a checkout."""
    package = Path(__file__).resolve().parent
    inside = package / kind
    return inside if inside.is_dir() else package.parent / kind


def find_config(name: str | Path) -> list[Path]:
    """A config file by path, or by its name among those that come with the package.

    ``amgfh/wiki-64-concat`` is ``amgfh/wiki-64.yaml`` with ``amgfh/variants/concat.yaml`` over it:
    every variant of a method goes with all of its configs.

    Returns:
        The file, and that of the variant if one is named.

    Raises:
        FileNotFoundError: There is none; the message has the nearest names.
    """
    path = Path(name)
    if path.is_file():
        return [path]
    folder = bundled("configs")
    inner = str(name).removeprefix("configs/").removesuffix(".yaml")
    method, _, rest = inner.partition("/")
    if method not in ("", ".", "..") and rest and "/" not in rest:
        plain = folder / method / f"{rest}.yaml"
        if plain.is_file():
            return [plain]
        for variant in sorted((folder / method / "variants").glob("*.yaml")):
            below = folder / method / f"{rest.removesuffix(f'-{variant.stem}')}.yaml"
            if rest.endswith(f"-{variant.stem}") and "-" in below.stem and below.is_file():
                return [below, variant]
    known = [f"{config.parent.name}/{config.stem}" for config in folder.glob("*/*.yaml")]
    for variant in folder.glob("*/variants/*.yaml"):
        configs = variant.parent.parent.glob("*-*.yaml")
        known += [f"{config.parent.name}/{config.stem}-{variant.stem}" for config in configs]
    raise FileNotFoundError(
        f"no config {str(name)!r}: {nearest(inner, known)} (`crosshash models` lists them)"
    )


def read_config(path: str | Path, overrides: Overrides = ()) -> ExperimentConfig:
    """Read an experiment config.

    A key ``base`` names files, relative to the one it stands in, over which its values lie;
    :func:`~crosshash.overlays.read_layers` has the rules. ``key: !replace {…}`` takes the place of
    a base's mapping, which otherwise is merged key by key; ``null`` leaves a base's slot out.

    Args:
        path: A YAML file, or the name of a bundled config such as ``amgfh/flickr8k-64``.
        overrides: ``key=value`` pairs with dotted keys, as on the command line, whose values are
            YAML; or a mapping, nested or with dotted keys.

    Raises:
        FileNotFoundError: The file does not exist.
        ConfigError: It is no mapping, has unknown keys or values of the wrong type; or its base
            does not exist.
    """
    return parse_config(config_values(path, overrides), where=str(path))


def config_values(path: str | Path, overrides: Overrides = ()) -> dict[str, Any]:
    """What :func:`read_config` checks: the values that are given, without defaults."""
    return lay(_config_layers(path, overrides))[0]


def explain_config(path: str | Path, overrides: Overrides = ()) -> list[tuple[str, Any, str]]:
    """Every value of a config with where it comes from.

    Args:
        path: As :func:`read_config` takes it.
        overrides: As :func:`read_config` takes them.

    Returns:
        Dotted key, value and source: a file (of a bundled config its name below ``configs``),
        ``"override"`` or ``"default"``.

    Raises:
        FileNotFoundError: The file does not exist.
        ConfigError: As :func:`read_config` raises it.
    """
    values, sources = lay(_config_layers(path, overrides))
    resolved = parse_config(values, where=str(path)).model_dump(mode="json")
    return [
        (".".join(place), value, sources.get(place, "default")) for place, value in leaves(resolved)
    ]


def override_config(config: ExperimentConfig, overrides: Overrides) -> ExperimentConfig:
    """A config with overrides over it, as :func:`read_config` takes them.

    Raises:
        ConfigError: They have unknown keys or values of the wrong type.
    """
    values = config.model_dump(mode="json")
    for layer in override_layers(overrides):
        values = overlay(values, layer)
    return parse_config(values, where="config with overrides")


def _config_layers(path: str | Path, overrides: Overrides) -> list[tuple[str, dict[str, Any]]]:
    config, *variants = find_config(path)
    layers = read_layers(config)
    for variant in variants:
        (file, lowest), *rest = read_layers(variant)
        # The paper's figures are of the method as it is.
        lowest["paper"] = Replace(lowest.get("paper", {}))
        layers += [(file, lowest), *rest]
    named = [(_short_name(file), values) for file, values in layers]
    return [*named, *(("override", values) for values in override_layers(overrides))]


def _short_name(file: Path) -> str:
    folder, file = bundled("configs").resolve(), file.resolve()
    return file.relative_to(folder).as_posix() if file.is_relative_to(folder) else str(file)


def checked_arguments(
    function: Callable[..., Any], values: Mapping[str, Any], where: str
) -> dict[str, Any]:
    """Check the free part of a config against the keyword arguments of the function it is for.

    Args:
        function: A constructor or reader; its keyword-only arguments are what may be set.
        values: What the config gives.
        where: The config's key, for messages.

    Returns:
        The values, converted to the annotated types.

    Raises:
        ConfigError: An argument is unknown, missing or of the wrong type.
    """
    target = function.__init__ if inspect.isclass(function) else function
    hints = typing.get_type_hints(target)
    arguments: dict[str, Any] = {
        name: (hints[name], ... if parameter.default is parameter.empty else parameter.default)
        for name, parameter in inspect.signature(target).parameters.items()
        if parameter.kind is parameter.KEYWORD_ONLY
    }
    model = create_model(where, __base__=Section, **arguments)
    try:
        checked = model.model_validate(dict(values))
    except ValidationError as error:
        raise _explain(error, model, where) from None
    return {name: getattr(checked, name) for name in values}
