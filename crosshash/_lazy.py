"""Names of a package whose modules are imported when a name is first used."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any


def attach(
    package: str, names: Mapping[str, Sequence[str]], *, rooms: Sequence[str] = ()
) -> tuple[Callable[[str], Any], Callable[[], list[str]], list[str]]:
    """A package's ``__getattr__``, ``__dir__`` and ``__all__``.

    Type checkers and editors read the same names from imports in the package's ``TYPE_CHECKING``
    block; a test compares the two.

    Args:
        package: The package's ``__name__``.
        names: For each module the names that the package shows of it. None may be that of a module
            of the package, which takes its place once it is imported.
        rooms: Modules of the package that can be reached without importing them first.
    """
    modules = {name: module for module, shown in names.items() for name in shown}

    def find(name: str) -> Any:
        if name in modules:
            return getattr(importlib.import_module(modules[name]), name)
        if name in rooms:
            return importlib.import_module(f"{package}.{name}")
        # With its name and object, Python adds "Did you mean" to the message.
        raise AttributeError(
            f"module {package!r} has no attribute {name!r}",
            name=name,
            obj=importlib.import_module(package),
        )

    def listing() -> list[str]:
        return sorted({*modules, *rooms})

    return find, listing, sorted(modules)
