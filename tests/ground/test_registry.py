from __future__ import annotations

import sys
from pathlib import Path

import pytest

from crosshash.registry import Registry, nearest


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A package of two modules that register entries, outside of crosshash."""
    folder = tmp_path / "zoo_of_parts"
    folder.mkdir()
    (folder / "__init__.py").write_text(
        "from crosshash.registry import Registry\nPARTS = Registry('part', 'zoo_of_parts')\n"
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
    registry: Registry[type] = Registry("thing", "crosshash")
    assert registry.register("x")(int) is int
    assert registry.register("x")(int) is int


def test_a_module_that_cannot_be_imported_is_not_passed_over(package: str, tmp_path: Path) -> None:
    (tmp_path / package / "broken.py").write_text("import no_such_module_at_all\n")
    parts = registry_of(package)
    for _ in range(2):  # the second look-up must not find a half-discovered registry
        with pytest.raises(ImportError, match="no_such_module_at_all"):
            parts.names()


def test_other_distributions_add_entries_by_entry_point(
    package: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "elsewhere.py").write_text(
        "from zoo_of_parts import PARTS\n@PARTS.register('sail')\nclass sail: pass\n"
    )
    metadata = tmp_path / "elsewhere-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: elsewhere\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text(f"[{package}]\nsail = elsewhere\n")
    try:
        assert registry_of(package).names() == ["sail", "wheel", "wing"]
    finally:
        sys.modules.pop("elsewhere", None)


@pytest.mark.parametrize(
    ("name", "choices", "expected"),
    [
        ("resnet5", ["resnet50", "alexnet"], "did you mean 'resnet50'?"),
        ("qqq", [], "known: none"),
        ("qqq", ["b", "a"], "known: a, b"),
    ],
)
def test_nearest(name: str, choices: list[str], expected: str) -> None:
    assert nearest(name, choices) == expected
