"""Docstrings of the package in the words that the site's reader of docstrings knows."""

from __future__ import annotations

import re
from typing import Any

from griffe import Extension, Object

_EXAMPLE = re.compile(r"^Example:$", re.MULTILINE)


class Examples(Extension):  # type: ignore[misc]
    """Lines of the interpreter below ``Example:`` are shown as code, not as quotations."""

    def on_object(self, *, obj: Object, **_: Any) -> None:
        """Names the section as Griffe does."""
        if obj.docstring is not None:
            obj.docstring.value = _EXAMPLE.sub("Examples:", obj.docstring.value)
