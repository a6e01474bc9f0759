"""YAML without Python objects, in which no key stands twice and nothing grows without measure."""

from __future__ import annotations

import copy
import itertools
from collections.abc import Callable, Iterable, Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

import yaml

from crosshash.untrusted import DEPTH, read_bytes

_FILE_BYTES = 1 << 20
_NODES = 100_000
_MERGE = "tag:yaml.org,2002:merge"


class ConfigError(ValueError):
    """A config that cannot be used; the message names the keys and what is expected of them."""


class Replace(dict[str, Any]):
    """A mapping that takes the place of the one below it, key for key; in YAML ``!replace``."""


class _Loader(yaml.SafeLoader):
    """Counts what it reads: an alias stands for all that its anchor holds, over and over."""

    where = "config"

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self._depth = 0
        self._sizes: dict[int, int] = {}

    def compose_node(self, parent: Any, index: Any) -> Any:
        alias = self.check_event(yaml.AliasEvent)
        line = self.peek_event().start_mark.line + 1
        self._depth += 1
        if self._depth > DEPTH:
            raise self._refused(line, f"mappings and lists are nested deeper than {DEPTH}")
        node: Any = super().compose_node(parent, index)
        self._depth -= 1
        if alias and id(node) not in self._sizes:
            raise self._refused(line, "an alias stands inside of what it stands for")
        if not alias:
            held = [self._sizes[id(inner)] for inner in _inner(node)]
            self._sizes[id(node)] = 1 + sum(held)
        if self._sizes[id(node)] > _NODES:
            raise self._refused(line, f"aliases written out are more than {_NODES:,} values")
        return node

    def compose_mapping_node(self, anchor: Any) -> yaml.MappingNode:
        node = super().compose_mapping_node(anchor)
        self._check_keys((key for key, _ in node.value), lambda key: key.value)
        return node

    def flatten_mapping(self, node: yaml.MappingNode) -> None:
        """Put merged mappings (``<<``) below the keys beside them; no two of them share a key."""
        merged: list[yaml.MappingNode] = []
        for key, value in node.value:
            if key.tag == _MERGE:
                sources = value.value if isinstance(value, yaml.SequenceNode) else [value]
                merged += [source for source in sources if isinstance(source, yaml.MappingNode)]
        for source in merged:
            self.flatten_mapping(source)
        self._check_keys((key for one in merged for key, _ in one.value), lambda key: key.value)
        super().flatten_mapping(node)

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
        stated = [key for key, _ in node.value] if isinstance(node, yaml.MappingNode) else []
        # As settings they are strings: 16, "16" and 0x10 are one key.
        self._check_keys(
            (key for key in stated if key.tag != _MERGE),
            lambda key: str(self.construct_object(key, deep=True)),
        )
        return super().construct_mapping(node, deep)

    def construct_replace(self, node: yaml.Node) -> Replace:
        if not isinstance(node, yaml.MappingNode):
            raise self._refused(
                node.start_mark.line + 1,
                "!replace stands before a mapping, such as {dim: 8}; other values take the place "
                "of what is below them anyway",
            )
        values = self.construct_mapping(node, deep=True)
        return Replace({str(key): value for key, value in values.items()})

    def _check_keys(self, keys: Iterable[yaml.Node], name: Callable[[Any], Any]) -> None:
        seen: set[Any] = set()
        for key in keys:
            if isinstance(key, yaml.ScalarNode):
                found = name(key)
                if found in seen:
                    raise self._refused(
                        key.start_mark.line + 1, f"the key {found!r} stands twice; leave one"
                    )
                seen.add(found)

    def _refused(self, line: int, reason: str) -> ConfigError:
        return ConfigError(f"{self.where}, line {line}: {reason}")


def _inner(node: yaml.Node) -> Iterator[yaml.Node]:
    if isinstance(node, yaml.SequenceNode):
        yield from node.value
    elif isinstance(node, yaml.MappingNode):
        yield from itertools.chain.from_iterable(node.value)


_Loader.add_constructor("!replace", _Loader.construct_replace)


def load_yaml(text: str, where: str) -> Any:
    """The value of a YAML document, without Python objects.

    Args:
        text: YAML.
        where: The file or key, for messages.

    Raises:
        ConfigError: It is no YAML, a mapping has a key twice, or it is nested, or full of aliases,
            without measure; names the line.
    """
    return copy.deepcopy(_loaded(text, where))  # whoever gets it may change it


@lru_cache(maxsize=1024)  # the same few base files stand below hundreds of configs
def _loaded(text: str, where: str) -> Any:
    try:
        loader = _Loader(text)
        loader.where = where
        return loader.get_single_data()
    except ConfigError:
        raise
    except (yaml.YAMLError, ValueError, TypeError, LookupError, AttributeError) as error:
        # What PyYAML does not check fails in Python: numbers of thousands of digits, no dates.
        raise ConfigError(f"{where}: not valid YAML: {error}") from None


def read_yaml(path: Path) -> Any:
    """The value of a YAML file, as :func:`load_yaml` gives it.

    Raises:
        FileNotFoundError: There is no such file.
        ConfigError: It is larger than 1 MiB, is no text, or no such YAML.
    """
    try:
        text = read_bytes(path, _FILE_BYTES).decode("utf-8")
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: not valid YAML: {error}") from None
    except ValueError as error:
        raise ConfigError(f"{error}; a config is a small text file") from None
    return load_yaml(text, str(path))
