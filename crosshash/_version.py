"""The version of what is installed; it is written in one place, ``pyproject.toml``."""

from importlib.metadata import version

__version__ = version("crosshash")
