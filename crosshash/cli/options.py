"""Arguments and options that several commands have, written once."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, Optional

import typer

# How often --json is given, or stands for, by the form that it asks for.
JSON = {"short": 1, "full": 2}
Json = Annotated[
    int,
    typer.Option(
        "--json",
        count=True,
        metavar="[=full]",
        show_default=False,
        help="Print JSON, for scripts; with =full also what is long.",
    ),
]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Show no progress bars.")]
Model = Annotated[
    str, typer.Argument(help="A zoo name, hf:organisation/name or a checkpoint folder.")
]
Overrides = Annotated[
    Optional[list[str]],  # noqa: UP045  (typer reads the annotation)
    typer.Argument(metavar="KEY=VALUE", help="Settings over the config, with dotted keys."),
]
Imports = Annotated[
    Optional[list[str]],  # noqa: UP045
    typer.Option(
        "--import", help="A Python file or module with parts of one's own; may come several times."
    ),
]
Workers = Annotated[int, typer.Option(min=0, help="Processes that decode images.")]
Cache = Annotated[
    bool,
    typer.Option(
        "--cache", help="Keep features of images where trainings keep them, and take what is there."
    ),
]
SkipCorrupt = Annotated[
    bool, typer.Option("--skip-corrupt", help="Leave out files that are no pictures; list them.")
]
Bits = Annotated[
    Optional[int],  # noqa: UP045
    typer.Option(help="The first so many bits, of a model that was trained for them."),
]
AllowUnknown = Annotated[
    bool, typer.Option("--allow-unknown", help="Take a text without a known word for an empty one.")
]


def settings_of(pairs: list[str] | None) -> dict[str, Any]:
    """``key=value`` arguments as nested mappings."""
    from crosshash.config import merge, parse_override

    values: dict[str, Any] = {}
    for pair in pairs or []:
        values = merge(values, parse_override(pair))
    return values


@contextmanager
def hint_on_damage(option: str) -> Iterator[None]:
    """Say which option of the command leaves damaged pictures out, where one is met."""
    from crosshash.images import CorruptImageError

    try:
        yield
    except CorruptImageError as error:
        error.hint = f"replace or remove it, or add {option} to leave such pictures out"
        raise


def image_paths(items: list[str]) -> list[Path]:
    """Image files as given, and all below folders, sorted; each once."""
    from crosshash.images import SUFFIXES

    paths: list[Path] = []
    for item in map(Path, items):
        if item.is_dir():
            named = (path for path in item.rglob("*") if path.suffix.lower() in SUFFIXES)
            found = [path for path in named if not path.is_dir()]
            if not found:
                raise FileNotFoundError(f"no image below {item} (looked for {', '.join(SUFFIXES)})")
            paths += sorted(found)
        else:
            paths.append(item)
    return list(dict.fromkeys(paths))
