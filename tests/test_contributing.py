"""What CONTRIBUTING says of the tree is so."""

from __future__ import annotations

import importlib
import re
from pathlib import Path

import crosshash
from crosshash.registry import Registry

ROOT = Path(__file__).parents[1]
PACKAGE = Path(crosshash.__file__).parent
TEXT = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")


def test_every_file_and_folder_it_names_is_there() -> None:
    names = re.findall(r"`([\w./-]+(?:\.py|\.yaml|\.md|/))`", TEXT)
    assert len(names) > 40
    lost = [n for n in names if not (ROOT / n).exists() and not (PACKAGE / n).exists()]
    assert set(lost) <= {"my_parts.py"}


def test_the_floors_are_those_that_are_enforced() -> None:
    rows = re.findall(r"^\| (\d) \| (.*?) \|", TEXT, re.MULTILINE)
    told = {
        int(floor): {Path(name).stem for name in re.findall(r"`([\w./]+)`", names)}
        for floor, names in rows
    }
    enforced = re.search(
        r"^FLOORS = (\[.*?^\])", (ROOT / "tests/test_layering.py").read_text(), re.M | re.S
    )
    assert enforced
    floors = eval(enforced[1], {})
    for number, names in enumerate(floors):
        shown = {name for name in names if not name.startswith("_") or name == "__init__"}
        assert told[number] == shown


def test_each_kind_of_part_has_the_registry_and_group_it_says() -> None:
    rows = re.findall(r"^\| [\w ]+ \| `crosshash\.(\w+)\.([A-Z_]+)` .*`(\w+)` \|$", TEXT, re.M)
    assert len(rows) == 4
    for room, name, group in rows:
        registry = getattr(importlib.import_module(f"crosshash.{room}"), name)
        assert isinstance(registry, Registry)
        assert registry.group == group
