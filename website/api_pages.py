"""The reference: the public names, grouped by what one wants to do."""

from __future__ import annotations

import importlib
import inspect
from dataclasses import dataclass
from functools import partial

from page import Made, table

import crosshash
from crosshash.algorithms import Algorithm
from crosshash.model import HashModel


@dataclass(frozen=True)
class Group:
    """Names of ``crosshash``, and rooms whose names are all shown, on one page."""

    uri: str
    title: str
    names: tuple[str, ...] = ()
    rooms: tuple[str, ...] = ()


GROUPS = [
    Group(
        "models",
        "Load, make and save models",
        (
            *("load", "save", "publish", "create", "HashModel"),
            *("list_models", "list_methods", "list_backbones"),
        ),
        ("hub", "model"),
    ),
    Group("data", "Read data", ("load_dataset", "list_datasets"), ("data",)),
    Group(
        "training",
        "Train, fit and evaluate",
        ("train", "fit", "evaluate"),
        ("config", "experiment", "training"),
    ),
    Group("search", "Encode, search and serve", ("Index",), ("search", "encoding", "serve")),
    Group("measure", "Measure and report", (), ("retrieval", "reports", "auditing", "scoring")),
    Group(
        "parts",
        "Build methods of one's own",
        (),
        ("layers", "losses", "backbones", "algorithms", "methods"),
    ),
]


def pages() -> list[Made]:
    """The overview, and a page for each group."""
    made = []
    for group in GROUPS:
        rooms = tuple(f"crosshash/{room}" for room in group.rooms if room != "methods")
        made.append(Made(f"api/{group.uri}.md", partial(_page, group), rooms))
    return [Made("api/index.md", _index, ("crosshash/__init__.py", "crosshash")), *made]


def shown(room: str) -> list[str]:
    """Names of a room that its page shows: not those that ``crosshash`` itself has.

    Methods and their networks have pages of their own.
    """
    module = importlib.import_module(f"crosshash.{room}")
    names = [name for name in module.__all__ if name not in crosshash.__all__]
    if room == "methods":
        names = [name for name in names if not _of_method(getattr(module, name))]
    return names


def _of_method(entry: object) -> bool:
    return inspect.isclass(entry) and issubclass(entry, (Algorithm, HashModel))


def _index() -> str:
    parts = [
        "# API",
        "What `crosshash` itself has is all that most programs need; nothing is imported before a "
        "name is used. [What is stable](CONTRIBUTING.md#what-is-stable) before version 1.0.",
    ]
    for group in GROUPS:
        parts.append(f"## [{group.title}](docs/api/{group.uri}.md)")
        if group.names:
            rows = [[f"[`crosshash.{n}`][crosshash.{n}]", _summary(n)] for n in group.names]
            parts.append(table(["name", "what it does"], rows))
        for room in group.rooms:
            names = ", ".join(f"[`{n}`][crosshash.{room}.{n}]" for n in shown(room))
            parts.append(f"`crosshash.{room}`: {names}")
    return "\n\n".join(parts)


def _summary(name: str) -> str:
    return (getattr(crosshash, name).__doc__ or "").strip().partition("\n")[0].replace("``", "`")


def _page(group: Group) -> str:
    parts = [f"# {group.title}"]
    if group.names:
        parts.append("## crosshash")
        parts += [f"::: crosshash.{name}" for name in group.names]
    for room in group.rooms:
        about = (importlib.import_module(f"crosshash.{room}").__doc__ or "").strip()
        parts += [f"## crosshash.{room}", about]
        if room == "methods":
            parts.append("The methods themselves have [pages of their own](crosshash/methods).")
        parts += [f"::: crosshash.{room}.{name}" for name in shown(room)]
    return "\n\n".join(parts)
