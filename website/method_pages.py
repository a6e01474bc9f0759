"""A page for each method: its docstrings, its configs, and what was measured of it."""

from __future__ import annotations

import inspect
import re
import sys
from functools import partial
from types import ModuleType

from network_figure import figure
from networks import CLASSES, VECTOR, Drawn, Step, drawn
from page import ROOT, Made, fenced, section, table, text
from result_rows import rows_of

from crosshash import list_models
from crosshash.algorithms import Algorithm
from crosshash.methods import METHODS

_GRADIENTS = {
    "backbones": "Gradients reach the backbones, where these are not frozen.",
    "heads": "Gradients reach the layers over the backbones, which stay as they are.",
    "nothing": "A closed form: nothing is learnt by gradients, and one epoch solves it.",
}


def names() -> list[str]:
    """The methods that come with the package."""
    return [name for name in METHODS.names() if METHODS[name].__module__.startswith("crosshash.")]


def pages() -> list[Made]:
    """The list of methods, and a page for each."""
    found = [Made("methods/index.md", _index, ("crosshash/methods", "configs"))]
    for name in names():
        code = f"crosshash/methods/{name}"
        files = (f"{code}.py", code, f"configs/{name}", f"configs/{name}/base.yaml")
        found.append(Made(f"methods/{name}.md", partial(_page, name), files))
    return found


def room(name: str) -> ModuleType:
    """The module that is all of a method: its file, or its folder."""
    module = METHODS[name].__module__
    return sys.modules[".".join(module.split(".")[:3])]


def title(name: str) -> str:
    """A method's name as papers write it: what its docstring begins with, before a colon."""
    word, colon, _ = _first_line(name).partition(": ")
    return word if colon and " " not in word else METHODS[name].__name__


def _first_line(name: str) -> str:
    return _docstring(name).partition("\n")[0]


def _docstring(name: str) -> str:
    """The docstring of a method's module, in which addresses are links."""
    return re.sub(r"https?://[^\s,)]+", r"<\g<0>>", inspect.getdoc(room(name)) or "")


def _index() -> str:
    readme = text("README.md")
    rows = [[f"[`{name}`](configs/{name})", _first_line(name)] for name in names()]
    return "\n\n".join(
        [
            "# Methods",
            table(["name", "what it is"], rows),
            "## What they learn from",
            section(readme, "Methods"),
            "## Measured",
            section(readme, "Measured"),
        ]
    )


def _page(name: str) -> str:
    method = METHODS[name]
    parts = [
        f"# {title(name)}",
        _docstring(name),
        _GRADIENTS[method.trains],
        "## Use",
        fenced(f"crosshash train {name}/wiki-64    # or any config below", "bash"),
        *_shipped(name),
        "## Figure",
        *_figure(name),
        *_code(name, method),
        "## Configs",
        *_configs(name),
    ]
    if found := rows_of(name):
        parts += [
            "## Measured",
            "Rows of [the measured results](benchmarks/RESULTS.md) that are about this method. The "
            "headings lead to the tables, where commands and conventions stand.",
            found,
        ]
    return "\n\n".join(part for part in parts if part)


def _shipped(name: str) -> list[str]:
    models = list_models(method=name, status="local")
    if not models:
        return ["No checkpoint comes with the package: the command trains one."]
    links = ", ".join(f"[{model.name}](zoo/{model.name}.yaml)" for model in models)
    return [f"Trained already: {links}."]


def _figure(name: str) -> list[str]:
    """The network as a figure, and what its training does in a table."""
    found = drawn(name)
    caption = (
        f"The network that <code>configs/{name}/base.yaml</code> makes, with the modules' names in "
        "a checkpoint, their classes, and the shapes of one item."
    )
    if "features" in found.names.values():
        caption += f" The vectors' {VECTOR} values are an example."
    if found.training:
        caption += " Dashed boxes are not kept"
        caption += f"; labels are {CLASSES}, as MIRFLICKR-25K's." if _labels(found) else "."
    drawing = figure(title(name), found)
    rows = [_step(number, step) for number, step in enumerate(found.steps, 1)]
    steps = table(
        ["step of training", "what it changes", "its terms, and what they come from"], rows
    )
    return [
        f'<figure class="network">\n{drawing}\n<figcaption>{caption}</figcaption>\n</figure>',
        f'<div class="steps" markdown>\n\n{steps}\n\n</div>',
    ]


def _labels(found: Drawn) -> bool:
    """Whether a figure shows the number of labels."""
    return any(str(CLASSES) in " ".join(box.widths) for box in found.training.values())


def _step(number: int, step: Step) -> list[str]:
    when = "<br>before the first epoch" if step.once else ""
    changed = ", ".join(f"`{path}`" for path in step.trains)
    terms = [
        f"`{term}`: " + ", ".join(f"`{path}`" for path in sorted(reads))
        for term, reads in step.terms.items()
    ]
    solved = step.solves.replace("|", "\\|")
    return [
        f"{number}. {step.phase}{when}",
        changed or "in closed form",
        "<br>".join(terms) or solved,
    ]


def _code(name: str, method: type[Algorithm]) -> list[str]:
    """Where mkdocstrings is to show the method's classes and functions."""
    network = method.Network
    parts = ["## Network and algorithm"]
    if not network.__module__.startswith(room(name).__name__):
        path = f"{network.__module__}.{network.__qualname__}"
        parts.append(f"The network is [{network.__name__}][{path}], which other methods have too:")
        parts.append(f"::: {path}\n    options: {{members: false, skip_local_inventory: true}}")
    return [*parts, *(f"::: {path}" for path in _defined(room(name).__name__))]


def _defined(module: str) -> list[str]:
    """Public classes and functions that a module, or those of a folder, define, in their order."""
    files = [found for found in sorted(sys.modules) if f"{found}.".startswith(f"{module}.")]
    return [
        f"{file}.{name}"
        for file in files
        for name, entry in vars(sys.modules[file]).items()
        if (inspect.isclass(entry) or inspect.isfunction(entry))
        and entry.__module__ == file
        and not name.startswith("_")
    ]


def _configs(name: str) -> list[str]:
    folder = ROOT / "configs" / name
    listed = [path.stem for path in sorted(folder.glob("*-*.yaml"))]
    parts = [
        f"`configs/{name}/base.yaml`, over which the others lie (`crosshash config NAME` prints "
        "one with all its bases):",
        fenced(text(f"configs/{name}/base.yaml"), "yaml"),
        "By data set and length: " + ", ".join(f"`{name}/{stem}`" for stem in listed) + ".",
    ]
    variants = sorted((folder / "variants").glob("*.yaml"))
    if variants:
        parts.append(f"Variants, of each of them: `crosshash train {name}/wiki-64-VARIANT`.")
    for path in variants:
        parts.append(f'??? note "`-{path.stem}`"\n\n' + _indented(fenced(path.read_text(), "yaml")))
    return parts


def _indented(block: str) -> str:
    return "\n".join(f"    {line}" if line else "" for line in block.splitlines())
