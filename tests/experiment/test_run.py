"""From a config to a checkpoint with figures."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

import crosshash
from crosshash.backbones import create_text_encoder
from crosshash.config import ConfigError, ExperimentConfig, bundled, parse_config, read_config
from crosshash.data.features.cache import FeatureCache
from crosshash.experiment import assembly, preparation
from crosshash.experiment.assembly import build, read_data
from crosshash.experiment.run import train
from crosshash.retrieval.metrics import mean_average_precision

TINY = {
    "method": "amgfh",
    "bits": 16,
    "backbones": {
        "image": {
            "name": "test_resnet",
            "frozen": False,
            "options": {"weights": "random", "image_size": 32},
        }
    },
    "text": {"name": "bow", "options": {"size": 60}},
    "network": {"dim": 32, "hidden": [32], "width": 1},
    "algorithm": {"similarity": "labels", "guide_dim": 32, "reg": 0.0},
    "data": {
        "name": "shapes",
        "validation": 10,
        "options": {"n": 120, "size": 32, "query": 20, "train": 60},
    },
    "training": {"epochs": 3, "batch_size": 16, "device": "cpu"},
}


def tiny(**training: object) -> ExperimentConfig:
    return parse_config({**TINY, "training": {**TINY["training"], **training}})  # type: ignore[dict-item]


def test_training_from_pixels_leaves_a_checkpoint_with_figures(tmp_path: Path) -> None:
    result = train(tiny(), tmp_path, progress=False)
    model = crosshash.load(tmp_path / "checkpoint")
    figures = json.loads((tmp_path / "checkpoint" / "info.json").read_text())["figures"]
    assert figures["i2t"]["map"] == result.report.i2t.map
    assert figures["record"]["counts"]["query"] == 20
    assert figures["record"]["overlaps"]["query_retrieval"] == 0
    assert len(result.history) == 3
    assert {"sim", "fit", "map_mean"} <= set(result.history[0])
    pictures = result.dataset.select(result.protocol.query).images
    np.testing.assert_array_equal(model.encode_image(pictures), result.model.encode_image(pictures))


def test_evaluating_the_checkpoint_gives_the_figures_of_the_training(tmp_path: Path) -> None:
    result = train(tiny(epochs=1), tmp_path, progress=False)
    again = crosshash.evaluate(tmp_path / "checkpoint", progress=False)
    assert again.i2t.map == result.report.i2t.map
    assert again.t2i.map == result.report.t2i.map
    other = crosshash.evaluate(
        tmp_path / "checkpoint", overrides=["evaluation.ties=index"], progress=False
    )
    assert other.i2t.map != again.i2t.map


def test_curves_are_measured_by_the_conventions_of_the_config(tmp_path: Path) -> None:
    wanted = {"radii": [4, 8], "ranks": [3, 70], "f1_average": "curve"}
    config = parse_config({**TINY, "evaluation": wanted})
    report = train(config, tmp_path, overrides=["training.epochs=1"], progress=False).report
    assert report.record.f1_average == "curve"
    assert list(report.i2t.precision_at) == [3, 70]
    curve = report.t2i.by_radius
    p, r = curve.precision[[4, 8]], curve.recall[[4, 8]]
    f1 = [2 * a * b / (a + b) if a + b else 0 for a, b in zip(p, r, strict=True)]
    assert report.t2i.f1_at_radius == pytest.approx(dict(zip([4, 8], f1, strict=True)))


def test_ranks_beyond_the_retrieval_set_are_refused_before_training(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="whole numbers in 1…100, the size of the retrieval set"):
        train(tiny(), tmp_path, overrides={"evaluation.ranks": [1, 101]}, progress=False)
    assert not list(tmp_path.iterdir())


def test_a_training_of_another_config_is_not_resumed(tmp_path: Path) -> None:
    train(tiny(epochs=1), tmp_path, progress=False)
    shutil.rmtree(tmp_path / "checkpoint")  # as if it had been killed before the end
    with pytest.raises(ValueError, match="epochs"):
        train(tiny(epochs=2), tmp_path, resume=True, progress=False)


def test_a_finished_run_is_trained_over_only_where_asked(tmp_path: Path) -> None:
    train(tiny(epochs=1), tmp_path, progress=False)
    (tmp_path / "notes.txt").write_text("mine")
    weights = (tmp_path / "checkpoint" / "model.safetensors").read_bytes()
    for resume in (False, True):
        with pytest.raises(FileExistsError, match=r"finished training.*overwrite=True.*resume"):
            train(tiny(epochs=1), tmp_path, resume=resume, progress=False)
    with pytest.raises(ConfigError):
        train(tiny(epochs=0), tmp_path, overwrite=True, progress=False)
    with pytest.raises(FileNotFoundError):  # what is refused takes nothing away
        train(tiny(), tmp_path, overrides=["data=wiki", "data.root=absent"], overwrite=True)
    assert (tmp_path / "checkpoint" / "model.safetensors").read_bytes() == weights
    again = train(tiny(epochs=2), tmp_path, overwrite=True, progress=False)
    assert len(again.history) == len((tmp_path / "history.jsonl").read_text().splitlines()) == 2
    assert (tmp_path / "checkpoint" / "model.safetensors").read_bytes() != weights
    assert (tmp_path / "notes.txt").read_text() == "mine"


def test_a_half_done_run_is_neither_trained_over_nor_resumed_unasked(tmp_path: Path) -> None:
    whole = train(tiny(epochs=2), tmp_path, progress=False)
    shutil.rmtree(tmp_path / "checkpoint")
    with pytest.raises(FileExistsError, match=r"half-done training.*resume=True.*overwrite=True"):
        train(tiny(epochs=2), tmp_path, progress=False)
    with pytest.raises(ValueError, match="not both"):
        train(tiny(epochs=2), tmp_path, resume=True, overwrite=True, progress=False)
    resumed = train(tiny(epochs=2), tmp_path, resume=True, progress=False)
    assert resumed.history == whole.history


def test_resuming_where_nothing_was_begun_is_said(tmp_path: Path) -> None:
    with pytest.warns(UserWarning, match="nothing to resume: training begins"):
        train(tiny(epochs=1), tmp_path, resume=True, progress=False)


def test_overrides_hold_for_a_config_object_and_in_evaluating(tmp_path: Path) -> None:
    config = parse_config({**TINY, "paper": {"map_i2t": 0.9}})
    overrides = {"training.epochs": 1, "bits": 32}
    result = train(config, tmp_path, overrides=overrides, progress=False)
    assert (result.model.bits, len(result.history), result.config.bits) == (32, 1, 32)
    assert result.model.info.experiment["paper"] == {}  # the paper's was of another length
    assert "paper" not in (result.folder / "README.md").read_text()
    few = crosshash.evaluate(
        result.model, overrides={"data": {"options": {"query": 10}}}, progress=False
    )
    assert few.record.counts["query"] == 10
    with pytest.raises(ConfigError, match="did you mean 'ties'"):
        crosshash.evaluate(result.model, overrides={"evaluation.tie": "index"}, progress=False)


@pytest.mark.parametrize(
    ("override", "told"),
    [
        ("training.epoch=1", "epochs"),
        ("network.dimm=8", r"dimm: .*'dim'"),
        ("algorithm.simlarity=labels", "similarity"),
        ("data.options.nn=8", "data.options: *\n  nn"),
        ("text.options.sise=8", r"text.options:\n  sise: .*'size'"),
        ("backbones.image.options.weigths=random", "weights"),
        ("backbones.cnn=resnet18", "amgfh has the image slots image, got image, cnn"),
    ],
)
def test_a_bad_key_is_refused_before_data_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, override: str, told: str
) -> None:
    monkeypatch.setattr(assembly, "load_dataset", None)
    with pytest.raises(ConfigError, match=told):
        train(tiny(), tmp_path, overrides=[override], progress=False)
    assert not list(tmp_path.iterdir())


def test_a_lone_backbone_names_the_slots_of_a_method_that_has_none_called_image() -> None:
    config = read_config("mdffh/shapes-64", ["backbones=resnet18"])
    with pytest.raises(ConfigError, match=r"mdffh has the image slots cnn, vit \(may be null\)"):
        assembly.check_parts(config)


def test_a_validation_of_ones_own_chooses_the_network(tmp_path: Path) -> None:
    seen = []

    def validate(net: torch.nn.Module) -> dict[str, float]:
        assert isinstance(net, crosshash.HashModel)
        seen.append(net)
        return {"mine": -float(len(seen))}  # the first is the best

    result = train(
        tiny(monitor="mine"),
        tmp_path,
        overrides=["data.validation=0"],
        validate=validate,
        progress=False,
    )
    assert [line["mine"] for line in result.history] == [-1.0, -2.0, -3.0]
    assert result.model.info.figures["best_epoch"] == 1
    assert "map_mean" not in result.history[0]


def test_callbacks_are_handed_to_the_trainer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def trainer(*_: object, callbacks: object, **__: object) -> None:
        raise RuntimeError(callbacks)

    monkeypatch.setattr(preparation, "Trainer", trainer)
    with pytest.raises(RuntimeError) as stopped:
        train(tiny(), tmp_path, callbacks=["mine"], progress=False)
    assert stopped.value.args == (["mine"],)


def test_a_result_gives_the_codes_of_queries_and_of_what_is_searched(tmp_path: Path) -> None:
    result = train(tiny(epochs=1), tmp_path, progress=False)
    codes = result.codes()
    assert {part: len(found.ids) for part, found in codes.items()} == {
        "query": 20,
        "retrieval": 100,
    }
    rows = result.protocol.query
    pairs = result.dataset.select(rows)
    assert codes["query"].ids == pairs.ids
    np.testing.assert_array_equal(
        codes["query"].images, result.model.encode_image(pairs.images, progress=False)
    )
    np.testing.assert_array_equal(
        codes["query"].texts, result.model.encode_text(pairs.captions(), unknown="allow")
    )
    labels = [result.dataset.labels[getattr(result.protocol, part)] for part in codes]
    i2t = mean_average_precision(codes["query"].images, codes["retrieval"].texts, *labels)
    assert i2t == result.report.i2t.map


def test_a_frozen_backbone_runs_once(tmp_path: Path) -> None:
    values = {**TINY, "backbones": {"image": {**TINY["backbones"]["image"], "frozen": True}}}  # type: ignore[index]
    config = parse_config(values)
    cache = FeatureCache(tmp_path / "cache")
    first = train(config, tmp_path / "first", cache=cache, progress=False)
    assert list((tmp_path / "cache").rglob("*.safetensors"))
    second = train(config, tmp_path / "second", cache=cache, progress=False)
    assert first.report.i2t.map == second.report.i2t.map


def test_the_vocabulary_comes_from_the_training_pairs_alone() -> None:
    config = tiny()
    dataset, protocol = read_data(config)
    model = build(config, dataset, protocol.train[:1])
    words = dataset.captions()[protocol.train[0]].lower().replace(",", " ").split()
    assert set(model.text.vocabulary) <= {word.strip(".") for word in words}  # type: ignore[attr-defined]


def test_a_data_set_without_labels_trains_but_is_not_evaluated_silently(tmp_path: Path) -> None:
    from PIL import Image

    lines = ["file_name,text"]
    for number in range(12):
        Image.new("RGB", (32, 32), (number * 20, 0, 0)).save(tmp_path / f"{number}.png")
        lines.append(f"{number}.png,a picture of number {number}")
    (tmp_path / "metadata.csv").write_text("\n".join(lines))
    values = {
        **TINY,
        "data": {"name": "imagefolder", "root": str(tmp_path)},
        "algorithm": {"guide_dim": 16},
        "training": {"epochs": 1, "batch_size": 4, "device": "cpu"},
    }
    result = train(parse_config(values), tmp_path / "run", progress=False)
    assert result.report is None
    assert crosshash.load(result.folder).encode_text("a picture").shape == (1, 2)
    with pytest.raises(ValueError, match="no labels"):
        crosshash.evaluate(result.folder, progress=False)


def test_every_bundled_config_is_valid_and_its_parts_exist() -> None:
    from crosshash.config import checked_arguments
    from crosshash.methods.build import METHODS

    names = [
        p.relative_to(bundled("configs")).with_suffix("").as_posix()
        for p in bundled("configs").glob("*/*-*.yaml")
    ]
    for variant in bundled("configs").glob("*/variants/*.yaml"):
        for plain in ("flickr8k-64", "folder-64"):
            names.append(f"{variant.parent.parent.name}/{plain}-{variant.stem}")
    for method in filter(METHODS.is_built_in, METHODS.names()):
        for dataset in ("flickr8k", "wiki", "mirflickr", "nuswide", "coco"):
            names += [f"{method}/{dataset}-{bits}" for bits in (16, 32, 64)]
        names.append(f"{method}/folder-64")
    for name in names:
        config = read_config(name)
        kind = METHODS[config.method]
        checked_arguments(kind, config.algorithm, "algorithm")
        checked_arguments(kind.Network, config.network, "network")


def test_a_misspelt_objective_names_the_right_key(tmp_path: Path) -> None:
    config = parse_config({**TINY, "algorithm": {"simlarity": "labels"}})
    with pytest.raises(ConfigError, match="similarity"):
        train(config, tmp_path, progress=False)


def test_fine_tuning_takes_over_what_fits(tmp_path: Path) -> None:
    first = train(parse_config(TINY), tmp_path / "first", progress=False)
    values = {**TINY, "bits": 32, "training": {**TINY["training"], "epochs": 1}}
    values["data"] = {**TINY["data"], "options": {**TINY["data"]["options"], "seed": 5}}
    second = train(parse_config(values), tmp_path / "second", start=first.folder, progress=False)
    assert second.model.bits == 32
    assert second.model.text.vocabulary == first.model.text.vocabulary

    config = parse_config(values)
    dataset, protocol = read_data(config)
    model = build(config, dataset, protocol.train, first.model)
    ours, theirs = model.state_dict(), first.model.state_dict()
    new = {n for n in ours if ours[n].shape != theirs[n].shape}
    assert new
    assert all("head" in name for name in new)
    assert all(torch.equal(ours[n], theirs[n]) for n in ours if n not in new)


def test_fine_tuning_a_stranger_is_refused() -> None:
    config = parse_config(TINY)
    dataset, protocol = read_data(config)
    stranger = crosshash.create(
        "mdffh",
        backbones={slot: {"name": "features", "dim": 7} for slot in ("cnn", "vit")},
        texts=["a dog"],
    )
    with pytest.raises(ValueError, match="shares no tensor"):
        build(config, dataset, protocol.train, stranger)


def test_a_vocabulary_is_learnt_from_the_training_pairs_or_from_all() -> None:
    config = parse_config({**TINY, "text": {"name": "bow", "options": {"size": 10_000}}})
    dataset, protocol = read_data(config)
    rows = protocol.train[:5]
    few = build(config, dataset, rows).text.vocabulary
    every = {**TINY, "text": {"name": "bow", "vocabulary": "all", "options": {"size": 10_000}}}
    whole = build(parse_config(every), dataset, rows).text.vocabulary
    assert set(few) < set(whole)
    captions = dataset.captions()
    assert set(few) == set(
        create_text_encoder("bow", size=10_000).fit([captions[row] for row in rows]).vocabulary
    )
