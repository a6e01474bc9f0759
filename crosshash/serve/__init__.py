"""A model and an index over HTTP: searching, adding, and a page for people."""

from __future__ import annotations

from typing import TYPE_CHECKING

from crosshash._lazy import attach

if TYPE_CHECKING:
    from crosshash.serve.app import create_app as create_app
    from crosshash.serve.run import run as run
    from crosshash.serve.settings import ServeSettings as ServeSettings
else:
    __getattr__, __dir__, __all__ = attach(
        __name__,
        {
            "crosshash.serve.app": ["create_app"],
            "crosshash.serve.run": ["run"],
            "crosshash.serve.settings": ["ServeSettings"],
        },
    )
