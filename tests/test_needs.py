"""Packages that a task does not need may be missing; one that it needs is named."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import crosshash
from crosshash.needs import needs

ROOT = Path(crosshash.__file__).parents[1]
FEW = ("accelerate", "matplotlib", "sklearn", "torch_geometric")
# As if a package were not installed: nothing finds it, and who only looks is told no.
HIDE = """
import sys
HIDDEN = set(sys.argv[1].split(","))
class Without:
    def __init__(self, finder):
        self.finder = finder
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in HIDDEN:
            return None
        return self.finder.find_spec(name, path, target)
    def __getattr__(self, name):
        return getattr(self.finder, name)
sys.meta_path[:] = [Without(finder) for finder in sys.meta_path]
"""


def without(hidden: tuple[str, ...], code: str, folder: Path) -> str:
    """What a program prints that finds none of some packages."""
    launched = ("ACCELERATE_", "LOCAL_RANK", "WORLD_SIZE")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(launched)}
    result = subprocess.run(
        [sys.executable, "-c", HIDE + code, ",".join(hidden)],
        env={**kept, "PYTHONPATH": str(ROOT)},
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=280,
    )
    assert result.returncode == 0, result.stderr
    return result.stdout


def test_a_shipped_model_is_searched_and_every_module_imported(tmp_path: Path) -> None:
    code = """
import importlib, pkgutil
import numpy as np, crosshash
model = crosshash.load("amgfh-wiki-64")
rng = np.random.default_rng(0)
codes = model.encode_image(rng.random((9, 128), np.float32))
assert model.encode_text(rng.random((9, 10), np.float32)).shape == (9, 8)
with crosshash.Index.for_model(model, uri="index") as index:
    index.add(codes, range(9), [{"n": n} for n in range(9)])
values = model.encode_image(rng.random((1, 128), np.float32), output="real")
with crosshash.Index.open("index") as index:
    index.check_model(model)
    found = index.search(values, topk=3, rank="asymmetric", where={"n": {">": 3}})
    assert index.search(codes[4:5], topk=1).ids == [["4"]]
print(len(found.ids[0]), sorted(HIDDEN & {name.split(".")[0] for name in sys.modules}))
for module in pkgutil.walk_packages(crosshash.__path__, "crosshash."):
    if not module.name.endswith("__main__"):
        try:
            importlib.import_module(module.name)
        except ModuleNotFoundError as error:  # of an extra that is not here
            assert error.name.split(".")[0] not in HIDDEN, module.name
"""
    assert without(FEW, code, tmp_path) == "3 []\n"


def test_pictures_are_encoded_indexed_searched_and_served(tmp_path: Path) -> None:
    pytest.importorskip("fastapi", reason="needs crosshash[serve]")
    code = """
from crosshash.cli import app
import crosshash
dataset, _ = crosshash.load_dataset("shapes", n=10)
for id_, picture in zip(dataset.ids, dataset.images):
    picture.save(f"{id_}.png")
def run(*arguments):
    app(list(arguments), standalone_mode=False)
model = "amgfh-shapes-64"
run("encode", model, ".", "-o", "codes", "--quiet")
run("index", model, ".", "-o", "index", "--quiet")
run("search", "a red circle", "-i", "index", "-k", "3", "--gallery", "hits.html")
run("info")
from crosshash.serve import ServeSettings, create_app
from crosshash.serve.service import Service
opened = lambda: crosshash.Index.open("index")
service = Service(crosshash.load(model), opened, ServeSettings())
assert len(service.search("text", "a red circle", 3, None, "asymmetric")["hits"]) == 3
service.close()
create_app(crosshash.load(model), opened, ServeSettings())
print(sorted(HIDDEN & {name.split(".")[0] for name in sys.modules}))
"""
    assert without(FEW, code, tmp_path).splitlines()[-1] == "[]"
    assert (tmp_path / "hits.html").is_file()


def test_training_and_evaluation_need_neither_plots_nor_graphs(tmp_path: Path) -> None:
    code = """
import crosshash
small = {"training.epochs": 1, "data.options.n": 120, "data.validation": 20, "bits": 16}
result = crosshash.train("dmsfh/shapes-64", "run", overrides=small, progress=False)
print(0 < result.report.map_mean < 1)
"""
    assert without(("matplotlib", "torch_geometric"), code, tmp_path).splitlines()[-1] == "True"


def test_what_is_missing_is_named_with_how_to_install_it(tmp_path: Path) -> None:
    code = """
import os, crosshash
def told(what, *arguments, **options):
    try:
        what(*arguments, **options)
    except ModuleNotFoundError as error:
        print(error)
from crosshash.backbones.distill import convert_static
from crosshash.demo import run_demo
from crosshash.layers import GraphConv
from crosshash.reports import loss_plot, sample_sheet
from crosshash.reports.samples import Sample
from crosshash.training.devices import own_share
small = {"data.options.n": 120, "data.validation": 20}
told(crosshash.train, "dmsfh/shapes-64", "run", overrides=small)
assert own_share()[:2] == (0, 1)
os.environ.update(WORLD_SIZE="2", RANK="0")
told(own_share)
told(GraphConv, 4, 4)
told(loss_plot, [{"epoch": 1, "loss": 0.5}])
told(sample_sheet, [Sample("a", text="a dog")])
told(run_demo, "demo")
told(convert_static, "hf:nowhere", "table")
"""
    many = "training, or sharing work among processes, needs accelerate: pip install accelerate"
    sklearn = "needs sklearn: pip install scikit-learn"
    assert without(FEW, code, tmp_path).splitlines() == [
        f"learning a vocabulary {sklearn}",  # the first that a training needs
        many,
        "a graph convolution (GCNConv) needs torch_geometric: pip install torch-geometric",
        "a plot needs matplotlib: pip install matplotlib",
        "the font of a sheet of samples needs matplotlib: pip install matplotlib",
        "the demo's page needs matplotlib: pip install matplotlib",
        f"making a table of token vectors {sklearn}",
    ]


def test_what_a_package_itself_does_not_find_is_not_hidden() -> None:
    with pytest.raises(ModuleNotFoundError, match="No module named 'other'"), needs("one", "this"):
        raise ModuleNotFoundError("No module named 'other'", name="other")
    with (
        pytest.raises(ModuleNotFoundError, match="this needs one: pip install one"),
        needs("one", "this"),
    ):
        raise ModuleNotFoundError("No module named 'one.part'", name="one.part")
