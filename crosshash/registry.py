"""Names for the parts that configs choose between."""

from __future__ import annotations

import difflib
import importlib
import pkgutil
from collections.abc import Callable, Iterable
from fnmatch import fnmatchcase
from importlib.metadata import EntryPoint, entry_points
from typing import Generic, TypeVar

T = TypeVar("T")
Object = TypeVar("Object")
_MOST = 24  # names in a message


def nearest(name: str, choices: Iterable[str]) -> str:
    """Half a sentence that helps with an unknown name.

    Args:
        name: What was asked for.
        choices: What exists.

    Returns:
        ``"did you mean 'a' or 'b'?"`` when something is close, else the list of what exists, or its
        beginning where it is long.
    """
    known = sorted(set(choices))
    close = difflib.get_close_matches(name, known, n=3, cutoff=0.6)
    if close:
        return "did you mean " + " or ".join(repr(match) for match in close) + "?"
    more = f" and {len(known) - _MOST} more" if len(known) > _MOST else ""
    return "known: " + (", ".join(known[:_MOST]) + more if known else "none")


def matches(name: str, pattern: str) -> bool:
    """Whether a name has ``pattern`` in it, or fits it as a whole where it has ``*`` or ``?``."""
    return fnmatchcase(name, pattern) if {"*", "?"} & set(pattern) else pattern in name


def _definition(entry: object) -> object:
    """Module and name of a class or function; the object itself where it has none."""
    return getattr(entry, "__module__", entry), getattr(entry, "__qualname__", entry)


class PluginError(ImportError):
    """A part of another distribution, or of a user's file, that cannot be imported."""


class Registry(Generic[T]):
    """A lazy dictionary from names to classes or functions of one kind.

    The modules of ``package`` (those whose names do not begin with ``_``) are imported when a name
    is looked up for the first time, so that a new method or data set is a new file and no edit of
    an old one. Another distribution adds a part by an entry point of the group ``group`` whose
    name is the part's and whose object is the module that registers it, or the part itself; it is
    imported when that part is asked for, and cannot take the name of a part of ``package``.

    Args:
        kind: What the entries are, for error messages: ``"method"``, ``"data set"``.
        package: Dotted name of the folder whose modules register entries.
        group: Of the entry points, such as ``"crosshash_method"``.
    """

    def __init__(self, kind: str, package: str, group: str) -> None:
        self.kind = kind
        self.package = package
        self.group = group
        self._entries: dict[str, T] = {}
        self._scanned = False

    def register(self, name: str) -> Callable[[Object], Object]:
        """Decorator that stores the class or function under ``name``.

        What is defined anew (a notebook's cell that runs again, a file that failed and is imported
        again) replaces what the same definition stored before.

        Raises:
            ValueError: ``name`` is taken by another object.
        """

        def store(entry: Object) -> Object:
            if not self._is_own(entry):
                self._scan()  # so that the name of a part of ours is found taken
            taken = self._entries.get(name)
            if taken is not None and _definition(taken) != _definition(entry):
                raise ValueError(
                    f"{self.kind} {name!r} is registered already (as {taken!r}); "
                    "register the new one under another name"
                )
            self._entries[name] = entry  # type: ignore[assignment]
            return entry

        return store

    def _is_own(self, entry: object) -> bool:
        return getattr(entry, "__module__", "").startswith(f"{self.package}.")

    def is_built_in(self, name: str) -> bool:
        """Whether the entry of that name comes with the package."""
        self._scan()
        return name in self._entries and self._is_own(self._entries[name])

    def _scan(self) -> None:
        if self._scanned:
            return
        self._scanned = True
        package = importlib.import_module(self.package)
        try:
            for module in pkgutil.iter_modules(package.__path__):
                if not module.name.startswith("_"):
                    importlib.import_module(f"{self.package}.{module.name}")
        except BaseException:
            self._scanned = False
            raise

    def _plugins(self) -> dict[str, EntryPoint]:
        return {point.name: point for point in entry_points(group=self.group)}

    def _load(self, point: EntryPoint) -> None:
        where = f"entry point {point.name!r} of {point.dist.name if point.dist else point.value}"
        try:
            found = point.load()
        except Exception as error:
            raise PluginError(
                f"{self.kind} {point.name!r} cannot be imported: {where} fails with "
                f"{type(error).__name__}: {error}; update or uninstall that distribution"
            ) from error
        if point.name not in self._entries:
            if not callable(found):
                raise PluginError(
                    f"{where} registers no {self.kind} of that name; its module is to use "
                    f"@…register({point.name!r})"
                )
            self.register(point.name)(found)

    def names(self) -> list[str]:
        """All names, sorted: registered ones, and those of entry points, which are not imported."""
        self._scan()
        return sorted({*self._entries, *self._plugins()})

    def __contains__(self, name: object) -> bool:
        self._scan()
        return name in self._entries or name in self._plugins()

    def __getitem__(self, name: str) -> T:
        """The entry of that name.

        Raises:
            LookupError: Nothing is registered under ``name``; the message has the nearest names.
            PluginError: It is another distribution's, and cannot be imported; names it.
        """
        if name not in self._entries:
            self._scan()
        if name not in self._entries and name in self._plugins():
            self._load(self._plugins()[name])
        if name not in self._entries:
            raise LookupError(f"unknown {self.kind} {name!r}: {nearest(name, self.names())}")
        return self._entries[name]
