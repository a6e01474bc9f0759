"""Settings laid over one another: YAML files and their bases, short forms, overrides."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from crosshash.yaml_files import ConfigError, Replace, load_yaml, read_yaml

__all__ = [
    "ConfigError",
    "Layer",
    "Overrides",
    "Replace",
    "lay",
    "leaves",
    "load_yaml",
    "merge",
    "nested",
    "overlay",
    "override_layers",
    "parse_override",
    "read_layers",
    "short_forms",
    "with_absolute_imports",
]

Overrides = Sequence[str] | Mapping[str, Any]
Layer = tuple[Path, dict[str, Any]]

# A mapping of image slots with one of these keys is the backbone of the slot ``image``.
_BACKBONE_KEYS = {"name", "frozen", "options"}
# The paper's figures are of these; where the data lies is no part of them.
_EXPERIMENT_KEYS = ("method", "bits", "nested", "data", "network", "algorithm")
_FILES = 1000  # of which each may name two others, and these two others


def merge(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """``base`` with the keys of ``over`` put over it, mappings merged key by key.

    A :class:`Replace`, and a mapping that names another part (``name``), take the old one's place:
    the options of the old part do not fit the new.
    """
    other = base.get("name", over.get("name")) != over.get("name", base.get("name"))
    merged = {} if other or isinstance(over, Replace) else dict(base)
    for key, value in over.items():
        old = merged.get(key)
        if isinstance(value, Mapping):
            merged[key] = merge(old if isinstance(old, Mapping) else {}, value)
        else:
            merged[key] = value
    return merged


def short_forms(values: Mapping[str, Any]) -> dict[str, Any]:
    """A config's values with every short form written out.

    ``text: bow`` and ``data: wiki`` are the name; a backbone alone, by its name or its keys
    ``name``, ``frozen`` and ``options``, is that of the slot ``image``. ``nested: [16, 32]`` are
    these lengths alone, each without settings of its own.
    """
    long = dict(values)
    for part in ("text", "data"):
        if isinstance(long.get(part), str):
            long[part] = {"name": long[part]}
    if isinstance(long.get("imports"), str):
        long["imports"] = [long["imports"]]
    lengths = long.get("nested")
    if isinstance(lengths, Mapping):
        kind = Replace if isinstance(lengths, Replace) else dict
        long["nested"] = kind({str(bits): options for bits, options in lengths.items()})
    elif isinstance(lengths, list):
        long["nested"] = Replace({str(bits): {} for bits in lengths})
    slots = long.get("backbones")
    if isinstance(slots, (str, Mapping)):
        kind = Replace if isinstance(slots, Replace) else dict
        if isinstance(slots, str) or _BACKBONE_KEYS & set(slots):
            slots = {"image": slots}
        long["backbones"] = kind(
            {slot: {"name": v} if isinstance(v, str) else v for slot, v in slots.items()}
        )
    return long


def overlay(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """A config's values with another layer over them: :func:`merge` of the written-out forms.

    ``imports`` of both are kept, and of the base's ``without_labels`` what the layer does not set
    for all data. The paper's figures (``paper``) go where the layer changes what
    they were measured on (method, bits, data, network or algorithm) and gives none of its own.
    """
    base, over = short_forms(base), short_forms(over)
    if isinstance(base.get("without_labels"), Mapping):
        base["without_labels"] = _unset(short_forms(base["without_labels"]), over)
    values = merge(base, over)
    if isinstance(base.get("imports"), list) and isinstance(over.get("imports"), list):
        values["imports"] = list(dict.fromkeys([*base["imports"], *over["imports"]]))
    if "paper" not in over and _experiment(base) != _experiment(values):
        values.pop("paper", None)
    return values


def _unset(values: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """What of ``values`` a layer over them does not set."""
    rest: dict[str, Any] = {}
    for key, value in values.items():
        if key not in over:
            rest[key] = value
        elif isinstance(value, Mapping) and isinstance(over[key], Mapping):
            inner = _unset(value, over[key])
            if inner:
                rest[key] = inner
    return rest


def _experiment(values: Mapping[str, Any]) -> dict[str, Any]:
    parts = {key: values.get(key) for key in _EXPERIMENT_KEYS}
    if isinstance(parts["data"], Mapping):
        parts["data"] = {key: value for key, value in parts["data"].items() if key != "root"}
    return parts


def read_layers(path: Path, seen: tuple[Path, ...] = ()) -> list[Layer]:
    """The values of a YAML file and of its bases, the lowest layer first, each with its file.

    A key ``base`` names a file, or a list of files of which later ones lie over earlier ones,
    relative to the file it stands in. It may stand in any mapping, and is about that mapping then:
    ``backbones: {cnn: {base: resnet.yaml, frozen: false}}``.

    Raises:
        ConfigError: A file is no mapping or no YAML, a base does not exist, or bases go in a
            circle or are a thousand.
    """
    here = path.resolve()
    if here in seen:
        raise ConfigError(f"{path}: its chain of 'base' files comes back to itself")
    values = read_yaml(path)
    if not isinstance(values, dict):
        raise ConfigError(f"{path}: expected a mapping of settings, got {type(values).__name__}")
    layers: list[Layer] = []
    for place, bases in _take_bases(values, path):
        for base in bases if isinstance(bases, list) else [bases]:
            if not isinstance(base, str) or not (path.parent / base).is_file():
                raise ConfigError(
                    f"{path}: {'.'.join([*place, 'base'])}: expected a file relative to "
                    f"{path.parent}, or a list of such, got {base!r}, which is none"
                )
            inner = read_layers(path.parent / base, (*seen, here))
            layers += [(file, nested(place, layer)) for file, layer in inner]
            if len(layers) > _FILES:
                raise ConfigError(f"{path}: its chain of 'base' files has more than {_FILES:,}")
    return [*layers, (path, with_absolute_imports(values, here.parent))]


def _take_bases(
    values: dict[str, Any], path: Path, place: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Take the keys ``base`` out of a file's mappings, from the outside in."""
    base = values.pop("base", None)
    if base is not None:
        if isinstance(values, Replace):
            raise ConfigError(
                f"{path}: {'.'.join(place)}: !replace leaves out all that is below, a base as "
                "well; use one of the two"
            )
        yield place, base
    for key, value in values.items():
        if isinstance(value, dict):
            yield from _take_bases(value, path, (*place, str(key)))


def with_absolute_imports(values: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """Values whose ``imports`` of files (``*.py``) hold wherever they are read from."""
    values = short_forms(values)
    if isinstance(values.get("imports"), list):
        values["imports"] = [
            str(folder / Path(entry).expanduser()) if str(entry).endswith(".py") else entry
            for entry in values["imports"]
        ]
    return values


def parse_override(override: str) -> dict[str, Any]:
    """``"training.epochs=5"`` as nested mappings; the value is YAML.

    Raises:
        ConfigError: It is no ``key=value``, or the value is no YAML.
    """
    key, equals, text = override.partition("=")
    if not equals or not key:
        raise ConfigError(f"{override!r}: overrides are key=value, for example training.epochs=5")
    return nested(key.split("."), load_yaml(text, f"{override!r}: the value"))


def override_layers(overrides: Overrides) -> list[dict[str, Any]]:
    """Overrides as layers: ``key=value`` strings, or a mapping, nested or with dotted keys.

    Raises:
        ConfigError: A string is no ``key=value``.
    """
    if isinstance(overrides, Mapping):
        layers = [nested(str(key).split("."), value) for key, value in overrides.items()]
    elif isinstance(overrides, str):
        raise ConfigError(f"{overrides!r}: overrides are a list of key=value, or a mapping")
    else:
        layers = [parse_override(override) for override in overrides]
    return [with_absolute_imports(layer, Path.cwd()) for layer in layers]


def nested(place: Sequence[str], value: Any) -> dict[str, Any]:
    """``{"a": {"b": value}}`` for the place ``("a", "b")``."""
    for part in reversed(place):
        value = {part: value}
    return value  # type: ignore[no-any-return]


def leaves(
    values: Mapping[str, Any], place: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Each value that is no mapping, or an empty one, with the keys that lead to it."""
    for key, value in values.items():
        if isinstance(value, Mapping) and value:
            yield from leaves(value, (*place, str(key)))
        else:
            yield (*place, str(key)), value


def lay(layers: Iterable[tuple[str, Mapping[str, Any]]]) -> tuple[dict[str, Any], dict[Any, str]]:
    """Layers over one another, the lowest first.

    Args:
        layers: Each with the name of its source.

    Returns:
        The values; and for the keys that lead to each of :func:`leaves`, the source that set it.
    """
    values: dict[str, Any] = {}
    sources: dict[Any, str] = {}
    for source, layer in layers:
        values = overlay(values, layer)
        own = {place for place, _ in leaves(short_forms(layer))}
        sources = {
            place: source if place in own else sources.get(place, source)
            for place, _ in leaves(values)
        }
    return values, sources
