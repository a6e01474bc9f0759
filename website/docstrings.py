"""Docstrings of the package in the words that the site's reader of docstrings knows."""

from __future__ import annotations

import re
from typing import Any

from griffe import Extension, Module, Object

_EXAMPLE = re.compile(r"^Example:$", re.MULTILINE)
_ROLE = re.compile(r"(?P<role>:(?:class|func|meth):)`(?P<name>\w[\w.]*)`")


class Docstrings(Extension):  # type: ignore[misc]
    """Names of the docstring's own class or module become whole, and examples are seen as such.

    Lines of the interpreter below ``Example:`` are shown as code then, not as quotations.
    """

    def on_package(self, *, pkg: Module, **_: Any) -> None:
        """Goes through all that was found in a package."""
        self._rewrite(pkg)

    def _rewrite(self, entry: Object) -> None:
        if entry.docstring is not None:
            text = _EXAMPLE.sub("Examples:", entry.docstring.value)
            entry.docstring.value = _ROLE.sub(lambda role: _whole(role, entry), text)
        for member in entry.members.values():
            if not member.is_alias:
                self._rewrite(member)


def _whole(role: re.Match[str], entry: Object) -> str:
    """A role with the whole path of what it names, where the docstring's scopes have it."""
    scope: Object | None = entry
    while scope is not None:
        if role["name"].partition(".")[0] in scope.members:
            return f"{role['role']}`~{scope.path}.{role['name']}`"
        scope = scope.parent
    return role[0]
