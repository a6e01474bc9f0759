"""One config with the values that a suite's ``sweep`` lists, one key at a time."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pydantic import BaseModel, ConfigDict

from crosshash.config import ExperimentConfig, parse_config
from crosshash.methods.build import METHODS
from crosshash.overlays import overlay, override_layers
from crosshash.plugins import import_parts

_MISSING: Any = object()


class Swept(BaseModel):
    """Which value of a sweep a run has.

    Attributes:
        key: Of the setting, dotted.
        value: Of it.
        name: That the value is shown by.
        own: The config's own value.
        own_name: That this is shown by; empty: the config has none.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    key: str
    value: Any
    name: str
    own: Any = None
    own_name: str = ""


def variations(
    config: ExperimentConfig, sweep: Mapping[str, Sequence[Any] | Mapping[str, Any]], where: str
) -> Iterator[tuple[ExperimentConfig, Swept | None]]:
    """A config with each value of each key, the other keys as they are.

    Args:
        config: Resolved.
        sweep: As a suite's block has it.
        where: What the config is called, for messages.

    Yields:
        The config, and which value it has; None: its own, so that it is the config as it was.

    Raises:
        ConfigError: A key is none of a config, or a value of the wrong type.
        PluginError, FileNotFoundError: The config's ``imports`` fail.
    """
    import_parts(config.imports)  # a part of one's own may say what a key is without being set
    for key, values in sweep.items():
        own = _value(config, key)
        named = values if isinstance(values, Mapping) else {value_name(key, v): v for v in values}
        made: list[tuple[str, Any, ExperimentConfig]] = []
        for name, value in named.items():
            laid: Mapping[str, Any] = config.model_dump(mode="json")
            for layer in override_layers({key: value}):
                laid = overlay(laid, layer)
            other = parse_config(laid, where=f"{where}, sweep of {key}")
            made.append((name, _value(other, key), other))
        known: dict[str, Any] = {}
        if own is not _MISSING:
            names = [name for name, value, _ in made if value == own]
            known = {"own": own, "own_name": names[0] if names else value_name(key, own)}
        for name, value, other in made:
            if value == own:
                yield config, None
            else:
                yield other, Swept(key=key, value=value, name=name, **known)


def value_name(key: str, value: Any) -> str:
    """What a value is shown by where it has no name: ``dis=10.0``."""
    return f"{key.rpartition('.')[2]}={value}"


def _value(config: ExperimentConfig, key: str) -> Any:
    """What a config has under a dotted key, where it says nothing the part's default."""
    section, _, rest = key.partition(".")
    found: Any = config.model_dump(mode="json")
    for part in key.split("."):
        found = found.get(part, _MISSING) if isinstance(found, Mapping) else _MISSING
    if found is not _MISSING or section not in ("algorithm", "network"):
        return found
    method = METHODS[config.method]
    known = inspect.signature(method if section == "algorithm" else method.Network).parameters
    if rest not in known or known[rest].default is inspect.Parameter.empty:
        return _MISSING
    default = known[rest].default
    return list(default) if isinstance(default, tuple) else default
