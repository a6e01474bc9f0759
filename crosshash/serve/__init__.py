"""A model and an index over HTTP: searching, adding, and a page for people."""

from __future__ import annotations

from typing import TYPE_CHECKING

from crosshash._lazy import attach

if TYPE_CHECKING:
    from crosshash.serve.app import create_app as create_app
    from crosshash.serve.process import run as run
    from crosshash.serve.settings import ServeSettings as ServeSettings
else:
    __getattr__, __dir__, __all__ = attach(
        __name__,
        {
            "crosshash.serve.app": ["create_app"],
            "crosshash.serve.process": ["run"],
            "crosshash.serve.settings": ["ServeSettings"],
        },
    )
