"""Notebooks are what their scripts make of them, and run from the first cell to the last."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import constants

pytestmark = pytest.mark.filterwarnings("ignore")
ROOT = Path(__file__).parents[1]
NOTEBOOKS = sorted((ROOT / "examples" / "notebooks").glob("*.ipynb"))
SMALL: dict[str, dict[str, Any]] = {
    "search": {},
    "finetune": {"size": 150, "epochs": 1},
    "swap_backbone": {"size": 120, "epochs": 1},
    "hash_your_embeddings": {"size": 300, "epochs": 2, "bits": 16},
}
PRINTED = {
    "search": r"300 pictures, 64 bits each; nearest to 'a star at night':\n.*\nwithout scene-",
    "finetune": r"\| fine-tuned, 32 bits +\| +0\.\d+ .*\| from scratch, 32 bits +\| +0\.\d+ ",
    "swap_backbone": r"\| resnet10t \+ bow +\| +0\.\d+ .*\| vit_tiny_patch16_224 \+ bow +\| +0\.",
    "hash_your_embeddings": r"300 vectors as 16 bits each by a model of 0\.\d\d MB",
}


def cells(path: Path, kind: str) -> list[str]:
    found = json.loads(path.read_text(encoding="utf-8"))["cells"]
    return ["".join(cell["source"]) for cell in found if cell["cell_type"] == kind]


@pytest.fixture(scope="module")
def generator() -> Any:
    pytest.importorskip("nbformat", reason="needs nbformat, of the extra dev")
    sys.path.insert(0, str(ROOT / "website"))
    try:
        import notebooks
    finally:
        sys.path.remove(str(ROOT / "website"))
    return notebooks


def test_notebooks_are_what_the_scripts_make_of_them(generator: Any) -> None:
    assert [path.stem for path in generator.sources()] == [path.stem for path in NOTEBOOKS]
    for script, path in zip(generator.sources(), NOTEBOOKS, strict=True):
        made = generator.notebook(script)
        assert made == generator.notebook(script)
        # Not the text: each version of nbformat has its own blanks.
        same = json.loads(made) == json.loads(path.read_text(encoding="utf-8"))
        assert same, f"{path.name} is old: python website/notebooks.py"


def test_every_line_of_a_script_is_in_its_notebook_but_the_parser(generator: Any) -> None:
    for script, path in zip(generator.sources(), NOTEBOOKS, strict=True):
        words = " ".join(cells(path, "markdown"))
        lines = {line.strip() for line in "\n".join(cells(path, "code")).splitlines()}
        code = script.read_text(encoding="utf-8").partition('"""\n\n')[2]
        lost = [line.strip() for line in code.splitlines() if line.strip() not in lines]
        lost = [line for line in lost if line and line.removeprefix("# ").strip("% ") not in words]
        lost = [line for line in lost if line.removeprefix("# %show ") not in lines]
        allowed = (r"from __future__ .*|import argparse|def main\(\).*|main\(\)|if __name__ .*"
                   r"|parser\..*|.*parser\.parse_args\(\)|parser = .*")  # fmt: skip
        assert [line for line in lost if not re.fullmatch(allowed, line)] == []


def test_a_script_that_no_notebook_can_be_made_of_is_refused(
    generator: Any, tmp_path: Path
) -> None:
    script = tmp_path / "example.py"
    lines = ['"""A: b."""', "import argparse", "def main() -> None:"]
    lines += ["    parser = argparse.ArgumentParser()", "    options = parser.parse_args()"]
    script.write_text("\n".join([*lines, "    x = 1", "    # %% y", "    y = 2", ""]))
    with pytest.raises(ValueError, match=r"example\.py: a cell begins by `# %%` right below"):
        generator.notebook(script)
    script.write_text("\n".join([*lines[:3], "    # %% y", "    y = 2", ""]))
    with pytest.raises(ValueError, match=r"example\.py: main\(\) is to begin with a parser"):
        generator.notebook(script)


def test_options_have_the_defaults_and_the_help_of_the_parser() -> None:
    by_name = {path.stem: path for path in NOTEBOOKS}
    names: dict[str, Any] = {}
    code = next(c for c in cells(by_name["finetune"], "code") if "SimpleNamespace(" in c)
    exec(code, names)
    assert (names["options"].model, names["options"].bits) == ("amgfh-shapes-64", 32)
    assert names["options"].root is None
    assert "    size=600,  # scenes to draw without root\n" in code
    assert "    output=None,  # folder for the run; a Path\n" in code


def test_files_keep_no_outputs_and_no_places_of_a_machine() -> None:
    for path in NOTEBOOKS:
        text = path.read_text(encoding="utf-8")
        notebook = json.loads(text)
        for cell in notebook["cells"]:
            assert cell.get("outputs", []) == []
            assert cell.get("execution_count") is None
        assert not re.search(r"/(?:home|root|Users|tmp|work)\b", text)
        assert len({cell["id"] for cell in notebook["cells"]}) == len(notebook["cells"])


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_runs(
    path: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    names: dict[str, Any] = {"__name__": "__main__"}
    for number, code in enumerate(cells(path, "code")):
        exec(compile(code, f"{path.name}, cell {number}", "exec"), names)
        if "options = SimpleNamespace(" in code:
            assert set(SMALL[path.stem]) <= set(vars(names["options"]))
            vars(names["options"]).update(SMALL[path.stem])
    assert re.search(PRINTED[path.stem], capsys.readouterr().out, re.DOTALL)
    if path.stem == "search":
        assert names["sheet"].size == (16 + 5 * (160 + 16), names["sheet"].height)
    assert list(tmp_path.iterdir()) == []
