from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from crosshash.registry import Registry, nearest


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A package of two modules that register entries, outside of crosshash."""
    folder = tmp_path / "zoo_of_parts"
    folder.mkdir()
    (folder / "__init__.py").write_text(
        "from crosshash.registry import Registry\n"
        "PARTS = Registry('part', 'zoo_of_parts', 'parts_group')\n"
    )
    for name in ("wheel", "wing"):
        (folder / f"{name}_file.py").write_text(
            f"from zoo_of_parts import PARTS\n@PARTS.register('{name}')\nclass {name}: pass\n"
        )
    monkeypatch.syspath_prepend(str(tmp_path))
    yield folder.name
    for module in [m for m in sys.modules if m.split(".")[0] == folder.name]:
        del sys.modules[module]


def registry_of(package: str) -> Registry[type]:
    module = __import__(package)
    return module.PARTS


def test_modules_are_imported_only_when_a_name_is_looked_up(package: str) -> None:
    parts = registry_of(package)
    assert f"{package}.wheel_file" not in sys.modules
    assert parts["wheel"].__name__ == "wheel"
    assert f"{package}.wing_file" in sys.modules


def test_a_new_file_is_found_without_an_edit_of_another(package: str) -> None:
    parts = registry_of(package)
    assert parts.names() == ["wheel", "wing"]
    assert "wing" in parts
    assert "rudder" not in parts


def test_an_unknown_name_is_answered_with_the_nearest(package: str) -> None:
    parts = registry_of(package)
    with pytest.raises(LookupError, match=r"unknown part 'whel': did you mean 'wheel'\?"):
        parts["whel"]


def test_a_name_far_from_all_is_answered_with_all(package: str) -> None:
    with pytest.raises(LookupError, match=r"unknown part 'zzz': known: wheel, wing"):
        registry_of(package)["zzz"]


def test_a_second_object_of_one_name_is_refused(package: str) -> None:
    parts = registry_of(package)
    with pytest.raises(ValueError, match="part 'wheel' is registered already"):
        parts["wheel"] and parts.register("wheel")(object)
    assert parts["wheel"].__name__ == "wheel"


def test_registering_the_same_object_again_is_no_duplicate() -> None:
    registry: Registry[type] = Registry("thing", "crosshash.losses", "things")
    assert registry.register("x")(int) is int
    assert registry.register("x")(int) is int


def test_a_module_that_cannot_be_imported_is_not_passed_over(package: str, tmp_path: Path) -> None:
    (tmp_path / package / "broken.py").write_text("import no_such_module_at_all\n")
    parts = registry_of(package)
    for _ in range(2):  # the second look-up must not find a half-discovered registry
        with pytest.raises(ImportError, match="no_such_module_at_all"):
            parts.names()


@pytest.fixture
def distribution(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[[str, str], None]]:
    """Make a distribution with one module and one entry point, ``name = module``."""
    made: list[str] = []

    def make(name: str, source: str) -> None:
        module = f"{name}_elsewhere"
        made.append(module)
        (tmp_path / f"{module}.py").write_text(source)
        metadata = tmp_path / f"{module}-1.0.dist-info"
        metadata.mkdir()
        (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {module}\nVersion: 1.0\n")
        (metadata / "entry_points.txt").write_text(f"[parts_group]\n{name} = {module}\n")

    yield make
    for module in made:
        sys.modules.pop(module, None)


LETTERS = "abcdefghijklmnopqrstuvwxyz"
PART = "from zoo_of_parts import PARTS\n@PARTS.register('{name}')\nclass part: pass\n"


def test_other_distributions_add_entries_by_entry_point(package: str, distribution: Any) -> None:
    distribution("sail", PART.format(name="sail"))
    parts = registry_of(package)
    assert parts.names() == ["sail", "wheel", "wing"]
    assert "sail_elsewhere" not in sys.modules  # a name is known before its module is run
    assert parts["sail"].__name__ == "part"
    assert parts.is_built_in("wheel")
    assert not parts.is_built_in("sail")


def test_a_plugin_cannot_shadow_a_part_that_comes_with_the_package(
    package: str, distribution: Any
) -> None:
    distribution("wheel", PART.format(name="wheel"))
    parts = registry_of(package)
    assert parts["wheel"].__name__ == "wheel"
    with pytest.raises(ValueError, match="part 'wheel' is registered already"):
        __import__("wheel_elsewhere")
    assert parts["wheel"].__name__ == "wheel"


def test_a_broken_plugin_is_named_and_stops_nothing_else(package: str, distribution: Any) -> None:
    distribution("sail", "import no_such_module_at_all")
    distribution("keel", "")
    parts = registry_of(package)
    assert parts["wheel"].__name__ == "wheel"
    assert parts.names() == ["keel", "sail", "wheel", "wing"]
    with pytest.raises(ImportError, match=r"'sail' of sail_elsewhere fails with ModuleNotFound"):
        parts["sail"]
    with pytest.raises(ImportError, match="'keel' of keel_elsewhere registers no part"):
        parts["keel"]
    with pytest.raises(LookupError, match="did you mean 'wheel'"):
        parts["whel"]


@pytest.mark.parametrize(
    ("name", "choices", "expected"),
    [
        ("resnet5", ["resnet50", "alexnet"], "did you mean 'resnet50'?"),
        ("resnet5", ["resnet50", "resnet50"], "did you mean 'resnet50'?"),
        ("qqq", [*LETTERS], f"known: {', '.join(LETTERS[:24])} and 2 more"),
        ("qqq", [], "known: none"),
        ("qqq", ["b", "a"], "known: a, b"),
    ],
)
def test_nearest(name: str, choices: list[str], expected: str) -> None:
    assert nearest(name, choices) == expected
