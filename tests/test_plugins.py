"""Parts of users' own: imported by name, trained, saved, and loaded again."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

import crosshash
from crosshash.backbones import IMAGE_BACKBONES, TEXT_ENCODERS, create_image_backbone
from crosshash.cli import app
from crosshash.config import parse_config
from crosshash.data import DATASETS
from crosshash.methods import METHODS
from crosshash.plugins import import_parts
from crosshash.registry import PluginError, Registry

ROOT = Path(crosshash.__file__).parents[1]
GROUPS = {
    "crosshash_method": METHODS,
    "crosshash_image_backbone": IMAGE_BACKBONES,
    "crosshash_text_encoder": TEXT_ENCODERS,
    "crosshash_dataset": DATASETS,
}
# One small part of each kind, over features, so that an epoch takes no time.
PARTS = """
from pathlib import Path
import numpy as np
import torch
from torch import nn
from crosshash.algorithms import Algorithm, BatchPhase, Update
from crosshash.backbones import IMAGE_BACKBONES, TEXT_ENCODERS, Features, ImageBackbone, TextEncoder
from crosshash.data import DATASETS, PairedDataset, Protocol
from crosshash.layers import HashHead
from crosshash.methods import METHODS
from crosshash.model import HashModel

with Path(__file__).with_suffix(".runs").open("a") as file:
    file.write("run ")

@DATASETS.register("own_data")
def own_data(root=None, *, n: int = 40):
    labels = np.eye(4, dtype=np.uint8)[np.arange(n) % 4]
    noise = np.random.default_rng(0).normal(size=(n, 6))
    images = np.concatenate([labels, np.zeros((n, 2))], axis=1) + 0.1 * noise
    texts = ["abcd"[row % 4] * 3 for row in range(n)]
    ids = [str(row) for row in range(n)]
    dataset = PairedDataset(name="own_data", ids=ids, images=images, texts=texts, labels=labels)
    return dataset, Protocol.random(n, query=8, train=20, seed=0, name="own")

@IMAGE_BACKBONES.register("own_backbone")
class OwnBackbone(ImageBackbone):
    name, reads_pixels, preprocess, channels = "own_backbone", False, None, 0
    def __init__(self, *, dim: int = 6, factor: float = 2.0) -> None:
        super().__init__()
        self.dim, self.factor = dim, factor
    def prepare(self, rows):
        return torch.as_tensor(rows, dtype=torch.float32)
    def forward(self, x):
        return Features(self.factor * x)
    def spec(self):
        return {"name": self.name, "dim": self.dim, "factor": self.factor}

@TEXT_ENCODERS.register("own_text")
class OwnText(TextEncoder):
    name, dim = "own_text", 4
    def prepare(self, texts, *, unknown="raise"):
        return {"letters": torch.tensor([[text.count(c) for c in "abcd"] for text in texts])}
    def forward(self, inputs):
        return Features(inputs["letters"].float())
    def spec(self):
        return {"name": self.name}

class OwnNet(HashModel):
    def __init__(self, backbones, text, bits, *, scale: float = 1.0) -> None:
        super().__init__(backbones, text, bits)
        self.image_net = HashHead(backbones["image"].dim, bits)
        self.text_net = HashHead(text.dim, bits)
    def hash_image(self, features):
        return self.image_net(features["image"].pooled)
    def hash_text(self, features):
        return self.text_net(features.pooled)

@METHODS.register("own_method")
class OwnMethod(Algorithm):
    Network = OwnNet
    def __init__(self, net, count, classes, *, power: float = 2.0) -> None:
        super().__init__()
        self.net = net
    def phases(self):
        return [BatchPhase("both", [Update(self.net.parameters(), self.loss)])]
    def loss(self, batch):
        F, G = self.net(batch.images, batch.texts)
        return {"fit": (F - G).square().mean()}
"""


def forget(path: Path) -> None:
    """As if this process had never imported that file."""
    sys.modules.pop(path.stem, None)
    if str(path.parent) in sys.path:
        sys.path.remove(str(path.parent))
    for registry in GROUPS.values():
        entries = registry._entries
        for name in [n for n, entry in entries.items() if entry.__module__ == path.stem]:
            del entries[name]


@pytest.fixture
def parts(tmp_path: Path) -> Iterator[Path]:
    """A file with parts of each kind, which is forgotten afterwards."""
    path = tmp_path / f"parts_of_{os.getpid()}_{tmp_path.name}.py"
    path.write_text(PARTS)
    yield path
    forget(path)


def runs(path: Path) -> int:
    file = path.with_suffix(".runs")
    return len(file.read_text().split()) if file.exists() else 0


def trained(parts: Path, folder: Path, **options: Any) -> crosshash.HashModel:
    config = parse_config(
        {
            "imports": [str(parts)],
            "method": "own_method",
            "bits": 16,
            "backbones": {"image": "own_backbone"},
            "text": "own_text",
            "data": {"name": "own_data"},
            "training": {"epochs": 1, "batch_size": 10, "device": "cpu"},
        }
    )
    return crosshash.train(config, folder, progress=False, **options).model


def test_a_file_is_run_once_however_it_is_named(
    parts: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(parts.parent)
    import_parts([parts.name])
    import_parts([parts, parts.stem])
    import_parts([f"../{parts.parent.name}/{parts.name}"], base=parts.parent)
    assert runs(parts) == 1
    assert "own_method" in crosshash.list_methods()
    assert not METHODS.is_built_in("own_method")


def test_parts_of_each_kind_are_trained_saved_and_loaded_again(parts: Path, tmp_path: Path) -> None:
    model = trained(parts, tmp_path / "run")
    features, texts = np.random.default_rng(0).normal(size=(5, 6)), ["aab", "d"]
    forget(parts)
    loaded = crosshash.load(tmp_path / "run" / "checkpoint", imports=[parts])
    assert type(loaded) is not type(model)
    np.testing.assert_array_equal(loaded.encode_image(features), model.encode_image(features))
    np.testing.assert_array_equal(loaded.encode_text(texts), model.encode_text(texts))


def test_a_training_is_resumed_with_its_parts_in_another_place(parts: Path, tmp_path: Path) -> None:
    trained(parts, tmp_path / "run")
    forget(parts)
    moved = tmp_path / "elsewhere" / parts.name
    moved.parent.mkdir()
    parts.rename(moved)
    shutil.rmtree(tmp_path / "run" / "checkpoint")  # as if it was killed after its last epoch
    trained(moved, tmp_path / "run", resume=True)
    lines = (tmp_path / "run" / "history.jsonl").read_text().splitlines()
    forget(moved)
    assert len(lines) == 1  # no epoch was left to train


def test_a_checkpoint_tells_what_it_needs_and_imports_nothing_itself(
    parts: Path, tmp_path: Path
) -> None:
    trained(parts, tmp_path / "run")
    forget(parts)
    before = runs(parts)
    with pytest.raises(ValueError, match="unknown text encoder 'own_text'") as caught:
        crosshash.load(tmp_path / "run" / "checkpoint")
    assert f"trained with imports ['{parts}']: pass imports=[…]" in str(caught.value)
    assert "--import" in str(caught.value)
    assert runs(parts) == before


@pytest.mark.parametrize(
    ("registry", "name"),
    [
        (METHODS, "own_method"),
        (IMAGE_BACKBONES, "own_backbone"),
        (TEXT_ENCODERS, "own_text"),
        (DATASETS, "own_data"),
    ],
)
def test_each_kind_that_is_missing_is_named(
    parts: Path, tmp_path: Path, registry: Registry[Any], name: str
) -> None:
    trained(parts, tmp_path / "run")
    del registry._entries[name]
    missing = f"unknown {registry.kind} '{name}'.*trained with imports"
    with pytest.raises((ValueError, LookupError), match=missing):
        crosshash.evaluate(tmp_path / "run" / "checkpoint", progress=False)


def test_commands_take_the_file_that_a_model_needs(parts: Path, tmp_path: Path) -> None:
    model = trained(parts, tmp_path / "run")
    checkpoint = str(tmp_path / "run" / "checkpoint")
    index = crosshash.Index(16, metadata={"model": checkpoint, "kind": "image"})
    index.add(model.encode_image(np.eye(6)[:4]), ["p", "q", "r", "s"])
    index.save(tmp_path / "index")
    commands = {
        "evaluate": ["evaluate", checkpoint, "--json"],
        "encode": ["encode", checkpoint, "aab", "--text", "-o", str(tmp_path / "codes.npz")],
        "publish": ["publish", checkpoint, "--repo", "me/own", "--dry-run"],
        "search": ["search", "aab", "-i", str(tmp_path / "index"), "-m", checkpoint],
    }
    for name, command in commands.items():
        forget(parts)
        failed = CliRunner().invoke(app, command)
        assert "own_" in str(failed.exception), name
        done = CliRunner().invoke(app, [*command, "--import", str(parts)])
        assert done.exit_code == 0, (name, done.output, done.exception)
    np.testing.assert_array_equal(
        np.load(tmp_path / "codes.npz")["codes"], model.encode_text(["aab"])
    )


@pytest.mark.parametrize(
    "command", ["evaluate", "encode", "index build", "search", "export", "publish", "serve"]
)
def test_every_command_that_loads_a_model_has_the_option(command: str) -> None:
    shown = CliRunner().invoke(app, [*command.split(), "--help"], env={"COLUMNS": "200"}).output
    assert "--import" in shown


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("\n\nraise RuntimeError('no luck')", r"RuntimeError: no luck \(.*broken_parts.py, line 3"),
        ("def f():\n    return 1 / 0\nf()", r"ZeroDivisionError: .*broken_parts.py, line 2"),
        ("a = 1\nb = = 2", r"SyntaxError: .*broken_parts.py, line 2"),
        ("import no_such_module", r"ModuleNotFoundError: .*broken_parts.py, line 1"),
        (
            "from crosshash.methods import METHODS\n@METHODS.register('amgfh')\nclass A: pass",
            "'amgfh' is registered already.*broken_parts.py, line 2",
        ),
    ],
)
def test_a_file_that_fails_is_named_with_the_line(
    tmp_path: Path, source: str, message: str
) -> None:
    path = tmp_path / "broken_parts.py"
    path.write_text(source)
    with pytest.raises(PluginError, match=message) as caught:
        import_parts([path])
    forget(path)
    assert str(path) in str(caught.value)


def test_what_failed_can_be_mended_and_imported_again(parts: Path) -> None:
    parts.write_text(f"{PARTS}\nraise RuntimeError")
    with pytest.raises(PluginError):
        import_parts([parts])
    parts.write_text(f"{PARTS}\n# mended, and of another length than before")
    import_parts([parts])
    assert METHODS["own_method"].__module__ == parts.stem


def test_what_is_no_part_is_told(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"no Python file .*nowhere\.py"):
        import_parts(["nowhere.py"], base=tmp_path)
    with pytest.raises(PluginError, match="no_such_module_at_all cannot be imported"):
        import_parts(["no_such_module_at_all"])
    (tmp_path / "json.py").write_text("")
    with pytest.raises(PluginError, match=r"json.py has the name of .*rename the file"):
        import_parts(["json.py"], base=tmp_path)
    assert str(tmp_path) not in sys.path
    with pytest.raises(TypeError, match="a list of files"):
        import_parts("json.py")


def test_processes_and_pickles_find_what_a_file_defines(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "worker_parts.py").write_text("def double(x):\n    return 2 * x\n")
    script = tmp_path / "script.py"
    script.write_text(
        "import multiprocessing, pathlib, sys\n"
        "from crosshash.plugins import import_parts\n"
        "print('script', flush=True)\n"  # the pool may kill its process before that writes
        "if __name__ == '__main__':\n"
        "    folder = pathlib.Path(__file__).parent / 'elsewhere'\n"
        "    import_parts([__file__, folder / 'worker_parts.py'])\n"
        "    from worker_parts import double\n"
        "    for way in ('fork', 'spawn'):\n"
        "        with multiprocessing.get_context(way).Pool(1) as pool:\n"
        "            print(way, pool.map(double, [1, 2]))\n"
    )
    done = python([str(script)])
    lines = done.stdout.split("\n")
    assert {"fork [2, 4]", "spawn [2, 4]"} <= set(lines), done.stderr
    assert lines.count("script") == 2  # itself and as a spawned process, but not as a part


def python(arguments: list[str], *folders: Path) -> subprocess.CompletedProcess[str]:
    paths = [str(ROOT), *map(str, folders)]
    return subprocess.run(
        [sys.executable, *arguments],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
        check=False,
    )


def distribution(folder: Path, name: str, points: dict[str, dict[str, str]]) -> None:
    """Metadata of an installed distribution: for each group its entry points."""
    metadata = folder / f"{name}-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    lines = []
    for group, entries in points.items():
        lines += [f"[{group}]", *(f"{part} = {module}" for part, module in entries.items())]
    (metadata / "entry_points.txt").write_text("\n".join(lines))


def test_a_broken_distribution_stops_only_who_asks_for_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "broken_plugin.py").write_text("import no_such_module_at_all\n")
    distribution(tmp_path, "broken", {group: {"cracked": "broken_plugin"} for group in GROUPS})
    monkeypatch.syspath_prepend(str(tmp_path))
    assert "cracked" in crosshash.list_methods()
    assert "cracked" in crosshash.list_datasets()
    assert "cracked" in crosshash.list_backbones()
    assert len(crosshash.load_dataset("shapes", n=4)[0]) == 4
    assert crosshash.load("amgfh-wiki-16").bits == 16
    assert create_image_backbone("test_resnet", weights="random", image_size=32).dim
    listed = CliRunner().invoke(app, ["models", "--json"])
    assert listed.exit_code == 0
    assert json.loads(listed.stdout)
    for registry in GROUPS.values():
        with pytest.raises(PluginError, match="'cracked' of broken fails with ModuleNotFound"):
            registry["cracked"]


@pytest.mark.torture
def test_the_suite_meets_a_plugin_without_asking_for_configs(tmp_path: Path) -> None:
    distribution(tmp_path, "own_parts", {"crosshash_method": {"plain": "own_parts"}})
    tests = ["tests/methods/test_contract.py", "tests/experiment/test_run.py"]
    chosen = "(plain and (saved or every_way)) or every_bundled_config"
    options = ["-m", "pytest", "-q", "-n", "0", "-p", "no:cacheprovider", "-k", chosen, *tests]
    done = python(options, tmp_path, ROOT / "examples")
    assert "3 passed" in done.stdout, done.stdout
