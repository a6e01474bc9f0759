"""What stands beside the package says the same as the package."""

from __future__ import annotations

import re
from pathlib import Path
from typing import get_args, get_type_hints

import yaml

from crosshash.config import bundled

ROOT = Path(__file__).parents[1]
PROJECT = (ROOT / "pyproject.toml").read_text(encoding="utf-8")


def test_the_paper_of_every_method_is_cited() -> None:
    cited = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))["references"]
    found = set()
    for path in (ROOT / "crosshash" / "methods").rglob("*.py"):
        docstring = path.read_text(encoding="utf-8").split('"""')[1]
        found |= set(re.findall(r"https://doi\.org/([^\s,)]+)", docstring))
    assert len(found) >= 4
    assert found <= {reference.get("doi") for reference in cited}


def test_the_workflow_runs_the_same_checks_as_everyone_on_the_oldest_python() -> None:
    jobs = yaml.safe_load((ROOT / ".github" / "workflows" / "ci.yml").read_text())["jobs"]
    assert ".ci/run" in [step.get("run") for step in jobs["check"]["steps"]]
    (oldest,) = re.findall(r'requires-python = ">=(.*)"', PROJECT)
    assert oldest in jobs["check"]["strategy"]["matrix"]["python"]
    assert oldest in [
        step.get("with", {}).get("python-version") for step in jobs["lowest"]["steps"]
    ]
    extras = {name for group in jobs["lowest"]["strategy"]["matrix"]["extras"]
              for name in re.findall(r"[\w-]+", group)}  # fmt: skip
    section = PROJECT.partition("[project.optional-dependencies]")[2].partition("\n[")[0]
    assert extras == set(re.findall(r"^([\w-]+) =", section, re.MULTILINE)) - {"dev"}


def test_every_folder_that_comes_with_the_package_is_in_wheel_and_archive() -> None:
    folders = set(get_args(get_type_hints(bundled)["kind"]))
    _, _, wheel = PROJECT.partition("[tool.hatch.build.targets.wheel.force-include]")
    wheel, _, archive = wheel.partition("[tool.hatch.build.targets.sdist]")
    assert set(re.findall(r'^(\w+) = "crosshash/\1"$', wheel, re.MULTILINE)) == folders
    assert folders <= set(re.findall(r'"([^"]+)"', archive.partition("\n[")[0]))
    assert all(bundled(name).is_dir() for name in folders)


def test_every_dependency_has_a_lowest_version() -> None:
    dependencies = PROJECT.partition("\ndependencies = [")[2].partition("\n]")[0]
    extras = PROJECT.partition("[project.optional-dependencies]")[2].partition("\n[")[0]
    found = re.findall(r'"(\w[\w-]*)([^"]*)"', dependencies + extras)
    assert len(found) > 25
    for name, lowest in found:
        assert lowest.startswith((">=", "[")), name


def test_the_version_stands_in_one_place() -> None:
    (version,) = re.findall(r'^version = "(.*)"', PROJECT, re.MULTILINE)
    told = [*(ROOT / "crosshash").rglob("*.py"), ROOT / "CITATION.cff"]
    assert [path for path in told if f'"{version}"' in path.read_text(encoding="utf-8")] == []


def test_type_checkers_of_users_read_the_types() -> None:
    assert (ROOT / "crosshash" / "py.typed").is_file()
