"""The zoo's models trained from their recipes: folders, golden codes, figures and manifests."""

from __future__ import annotations

import shutil
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from crosshash.backbones.text.static import StaticText
from crosshash.config import read_config
from crosshash.data.dataset import PairedDataset
from crosshash.data.load import load_dataset
from crosshash.experiment.assembly import read_data
from crosshash.experiment.evaluation import evaluate
from crosshash.experiment.run import Result, train
from crosshash.experiment.run_folder import drop_states, has_state
from crosshash.files import atomic_file
from crosshash.hub.checkpoint import files_of
from crosshash.hub.errors import CheckpointError
from crosshash.hub.load import load
from crosshash.hub.manifest import (
    Manifest,
    file_entries,
    find_manifest,
    list_models,
    measured,
    read_manifest,
    recipe,
)
from crosshash.hub.resolve import local_folder
from crosshash.hub.save import round_weights, save
from crosshash.retrieval.calibration import KEY
from crosshash.training.files import CHECKPOINT

CHECKPOINTS = "checkpoints"
_GOLDEN = 4
_DRAWN = "shapes"  # a data set that comes with the package


@dataclass(frozen=True)
class Outcome:
    """What became of one recipe.

    Attributes:
        name: Of the model.
        state: ``"built"``; ``"present"``: was there already, whole; ``"no data"``: its data set is
            not at hand; ``"failed"``.
        seconds: It took.
        manifest: Of a model that is there.
        error: Why it is not.
    """

    name: str
    state: Literal["built", "present", "no data", "failed"]
    seconds: float = 0.0
    manifest: Manifest | None = None
    error: str = ""

    def row(self) -> dict[str, Any]:
        """A row of the table of all outcomes."""
        figures = self.manifest.figures if self.manifest else None
        return {
            "name": self.name,
            "state": self.state,
            "MAP i→t": figures and figures.map_i2t,
            "MAP t→i": figures and figures.map_t2i,
            "seconds": round(self.seconds),
            "error": self.error,
        }


def build_zoo(
    names: Sequence[str] = (),
    output: str | Path = "zoo",
    *,
    runs: str | Path = "runs/zoo",
    overrides: list[str] | None = None,
    again: bool = False,
    progress: bool = True,
    done: Callable[[Outcome], None] | None = None,
) -> list[Outcome]:
    """Train recipes and write each model's folder and manifest.

    What is built is left as it is, and what was killed goes on where it stopped. A recipe that
    fails does not stop the others; its traceback is in ``error.txt`` of its run.

    Args:
        names: Models (``amgfh-wiki-64``), configs (``amgfh/wiki-64``), each also with a variant,
            or patterns with ``*``; default: all recipes.
        output: Gets ``<name>.yaml`` and ``checkpoints/<name>``.
        runs: For the state of trainings.
        overrides: ``key=value`` over every config, such as ``training.device=cuda``.
        again: Build also what is there.
        progress: Show progress bars.
        done: Called after each recipe.

    Raises:
        LookupError: A name is no recipe; nothing is built then.
    """
    outcomes = []
    for config, name in _chosen(names):
        start = time.monotonic()
        outcome = _build_one(config, name, Path(output), Path(runs), overrides, again, progress)
        outcome = Outcome(
            name, outcome.state, time.monotonic() - start, outcome.manifest, outcome.error
        )
        outcomes.append(outcome)
        if done is not None:
            done(outcome)
    return outcomes


def copy_figures(source: str | Path, zoo: str | Path = "zoo") -> list[Manifest]:
    """Manifests of built models whose folders are too large to keep: recipes with their figures.

    Args:
        source: Where :func:`build_zoo` has written.
        zoo: Gets ``<name>.yaml``; models that are local or published there stay so.

    Raises:
        FileNotFoundError: Nothing is built in ``source``.
    """
    paths = sorted(Path(source).glob("*.yaml"))
    if not paths:
        raise FileNotFoundError(f"no manifest in {source}; `crosshash zoo build -o` writes there")
    copied = []
    for path in paths:
        built, target = read_manifest(path), Path(zoo) / path.name
        if target.is_file() and read_manifest(target).status != "recipe":
            continue
        values = built.model_dump(exclude={"folder", "files", "repository", "revision"})
        if built.figures is not None:
            # There is nothing to evaluate until it is built again, which evaluates it.
            values["figures"]["command"] = f"crosshash zoo build {built.name}"
        manifest = Manifest.model_validate({**values, "status": "recipe"})
        with atomic_file(target) as file:
            file.write_text(manifest.dump(), encoding="utf-8")
        copied.append(manifest)
    return copied


def _chosen(names: Sequence[str]) -> list[tuple[str, str]]:
    """Config and name of each model that is asked for, once."""
    found: dict[str, str] = {}
    for name in names or ["*"]:
        if {"*", "?"} & set(name):
            models = list_models(name.replace("/", "-"))
            if not models:
                raise LookupError(f"no model of the zoo fits {name!r}; `crosshash models` has all")
        else:
            models = [recipe(name) if "/" in name else find_manifest(name)]
        found.update({model.name: model.config for model in models})
    return [(config, name) for name, config in found.items()]


def _build_one(
    config_name: str,
    name: str,
    output: Path,
    runs: Path,
    overrides: list[str] | None,
    again: bool,
    progress: bool,
) -> Outcome:
    present = None if again else _present(output, name)
    if present is not None:
        return Outcome(name, "present", manifest=present)
    run = runs / name
    try:
        config = read_config(config_name, overrides or [])
        try:
            read_data(config)
        except (FileNotFoundError, ImportError) as error:
            return Outcome(name, "no data", error=_first_line(error))
        # A checkpoint that is still here was not stored; its training need not be repeated.
        shutil.rmtree(run / CHECKPOINT, ignore_errors=True)
        result = train(config, run, resume=has_state(run), progress=progress)
        manifest = _store(result, config_name, name, output, config.seed, config.paper, progress)
    except Exception as error:  # noqa: BLE001  (the others are to be built whatever this one does)
        run.mkdir(parents=True, exist_ok=True)
        (run / "error.txt").write_text(traceback.format_exc(), encoding="utf-8")
        return Outcome(name, "failed", error=f"{type(error).__name__}: {_first_line(error)}")
    drop_states(run)
    (run / "error.txt").unlink(missing_ok=True)
    shutil.rmtree(result.folder, ignore_errors=True)  # its rounded copy is in the zoo
    return Outcome(name, "built", manifest=manifest)


def _present(output: Path, name: str) -> Manifest | None:
    path = output / f"{name}.yaml"
    if not path.is_file():
        return None
    try:
        manifest = read_manifest(path)
        if manifest.status == "local":
            local_folder(manifest, output)
    except (CheckpointError, ValueError):
        return None
    return None if manifest.status == "recipe" else manifest


def _store(
    result: Result,
    config: str,
    name: str,
    output: Path,
    seed: int,
    paper: dict[str, Any],
    progress: bool,
) -> Manifest:
    """The trained model as a folder in half precision, with figures of the rounded weights."""
    model = result.model
    # A table that came as integers, or is to go as such, was floating only to be trained.
    if isinstance(model.text, StaticText) and result.config.text.options.get("dequantize"):
        model.text.quantize()
    dtype = round_weights(model)
    if result.report is not None:
        report = evaluate(model, progress=progress)
        kept = {key: model.info.figures.get(key) for key in ("best_epoch", KEY)}
        kept = {key: value for key, value in kept.items() if value is not None}
        model.info.figures = {**report.as_dict(), **kept}
    folder = output / CHECKPOINTS / name
    inputs = _golden_inputs(result.dataset, result.protocol.query, result.captions)
    alias = find_manifest(name).alias
    save(model, folder, dtype=dtype, golden=inputs)
    load(folder)  # checks its golden codes
    known = recipe(config)
    manifest = Manifest(
        name=name,
        method=known.method,
        dataset=known.dataset,
        bits=known.bits,
        variant=known.variant,
        status="local",
        alias=alias,
        config=known.config,
        folder=f"{CHECKPOINTS}/{name}",
        files=file_entries(folder, files_of(folder)),
        figures=measured(model.info.figures, seed, f"crosshash evaluate {name}"),
        paper=paper,
    )
    with atomic_file(output / f"{name}.yaml") as path:
        path.write_text(manifest.dump(), encoding="utf-8")
    return manifest


def _golden_inputs(dataset: PairedDataset, query: Any, captions: str) -> tuple[Any, Any]:
    """A few queries; where these are pictures of others, which stay with them, drawn scenes."""
    if not isinstance(dataset.images, np.ndarray) and dataset.name != _DRAWN:
        dataset, protocol = load_dataset(_DRAWN, n=3 * _GOLDEN, query=_GOLDEN, train=_GOLDEN)
        query = protocol.query
    few = dataset.select(np.asarray(query)[:_GOLDEN])
    images: Any = few.images
    if not isinstance(images, np.ndarray):
        images = [images.open(row) for row in range(len(few))]
    texts: Any = few.texts if isinstance(few.texts, np.ndarray) else few.captions(captions)
    return images, texts


def _first_line(error: BaseException) -> str:
    lines = [line for line in str(error).splitlines() if line.strip()]
    return lines[0].strip() if lines else type(error).__name__
