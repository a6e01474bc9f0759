"""Packages that few tasks need, imported where they are used and named where they are missing."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def needs(module: str, what: str, install: str | None = None) -> Iterator[None]:
    """Say what needs a package that an import inside of it does not find, and how to install it.

    Args:
        module: The top module that is imported: ``sklearn``.
        what: Who needs it, the beginning of a sentence.
        install: What pip is to install: ``scikit-learn``; None: the module's own name.

    Raises:
        ModuleNotFoundError: It is not there. Of another module that is not found, as of one that
            the package itself needs, the error stays as it is.

    Example:
        >>> with needs("nowhere", "finding it", "crosshash[nowhere]"):
        ...     import nowhere
        Traceback (most recent call last):
        ...
        ModuleNotFoundError: finding it needs nowhere: pip install 'crosshash[nowhere]'
    """
    try:
        yield
    except ModuleNotFoundError as error:
        if (error.name or "").split(".")[0] != module:
            raise
        wanted = module if install is None else install
        quoted = f"'{wanted}'" if "[" in wanted else wanted
        raise ModuleNotFoundError(
            f"{what} needs {module}: pip install {quoted}", name=module
        ) from None
