"""Where pyarrow, which reads and writes Parquet, is asked for."""

from __future__ import annotations

from typing import Any


def import_parquet(what: str) -> Any:
    """The module ``pyarrow.parquet``.

    Args:
        what: What needs it, for the error.

    Raises:
        ImportError: It is not installed; says how to.
    """
    try:
        from pyarrow import parquet
    except ImportError:
        raise ImportError(
            f"{what} is Parquet, which needs pyarrow: pip install 'crosshash[parquet]'"
        ) from None
    return parquet
