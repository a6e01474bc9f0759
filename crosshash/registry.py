"""Names for the parts that configs choose between."""

from __future__ import annotations

import difflib
import importlib
import pkgutil
from collections.abc import Callable, Iterable
from importlib.metadata import entry_points
from typing import Generic, TypeVar

T = TypeVar("T")
Object = TypeVar("Object")


def nearest(name: str, choices: Iterable[str]) -> str:
    """Half a sentence that helps with an unknown name.

    Args:
        name: What was asked for.
        choices: What exists.

    Returns:
        ``"did you mean 'a' or 'b'?"`` when something is close, else the list of what exists.
    """
    known = sorted(choices)
    close = difflib.get_close_matches(name, known, n=3, cutoff=0.6)
    if close:
        return "did you mean " + " or ".join(repr(match) for match in close) + "?"
    return "known: " + (", ".join(known) if known else "none")


class Registry(Generic[T]):
    """A lazy dictionary from names to classes or functions of one kind.

    The modules of ``package`` are imported only when a name is looked up for the first time, so
    that a new method or data set is a new file and no edit of an old one. Other distributions add
    theirs under the entry-point group of the package's name (``crosshash.methods`` and so on).

    Args:
        kind: What the entries are, for error messages: ``"method"``, ``"data set"``.
        package: Dotted name of the package whose modules register entries.
    """

    def __init__(self, kind: str, package: str) -> None:
        self.kind = kind
        self.package = package
        self._entries: dict[str, T] = {}
        self._discovered = False

    def register(self, name: str) -> Callable[[Object], Object]:
        """Decorator that stores the class or function under ``name``.

        Raises:
            ValueError: ``name`` is taken by another object.
        """

        def store(entry: Object) -> Object:
            taken = self._entries.get(name)
            if taken is not None and taken is not entry:
                raise ValueError(
                    f"{self.kind} {name!r} is registered already (as {taken!r}); "
                    "register the new one under another name"
                )
            self._entries[name] = entry  # type: ignore[assignment]
            return entry

        return store

    def _discover(self) -> None:
        if self._discovered:
            return
        package = importlib.import_module(self.package)
        for module in pkgutil.iter_modules(package.__path__):
            importlib.import_module(f"{self.package}.{module.name}")
        for entry_point in entry_points(group=self.package):
            entry_point.load()
        self._discovered = True

    def names(self) -> list[str]:
        """All registered names, sorted."""
        self._discover()
        return sorted(self._entries)

    def __contains__(self, name: object) -> bool:
        return name in self.names()

    def __getitem__(self, name: str) -> T:
        """The entry of that name.

        Raises:
            LookupError: Nothing is registered under ``name``; the message has the nearest names.
        """
        if name not in self._entries:
            self._discover()
        if name not in self._entries:
            raise LookupError(f"unknown {self.kind} {name!r}: {nearest(name, self._entries)}")
        return self._entries[name]
