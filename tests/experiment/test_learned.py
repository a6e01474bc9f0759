"""Figures with the codes B that training learned for its pairs, beside those of hash functions."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import crosshash
from crosshash.algorithms.phases import Algorithm
from crosshash.cli.output import headline
from crosshash.codes import pack
from crosshash.config import ConfigError, ExperimentConfig, read_config
from crosshash.experiment import assembly
from crosshash.experiment.assembly import assemble, read_data
from crosshash.experiment.dry_run import plan
from crosshash.experiment.run import train
from crosshash.methods.dmsfh import DMSFH
from crosshash.retrieval.metrics import mean_average_precision

FROZEN = {"name": "test_resnet", "options": {"weights": "random", "image_size": 32}}


def small(method: str = "dmsfh", **overrides: object) -> ExperimentConfig:
    slots = ("cnn", "vit") if method == "mdffh" else ("image",)
    return read_config(
        f"{method}/shapes-64",
        {
            "bits": 16,
            "backbones": dict.fromkeys(slots, FROZEN),
            "data": {
                "validation": 10,
                "options": {"n": 90, "size": 32, "query": 20, "train": 40},
            },
            "training": {"epochs": 1, "batch_size": 8, "device": "cpu"},
            "evaluation.database": "both",
            **overrides,
        },
    )


@pytest.mark.parametrize("refit", [False, True])
def test_searched_pairs_that_were_trained_on_have_their_learned_codes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, refit: bool
) -> None:
    def some(algorithm: DMSFH) -> torch.Tensor:
        draw = torch.Generator().manual_seed(3)
        return torch.randint(0, 2, algorithm.bank.B.shape, generator=draw) * 2.0 - 1

    monkeypatch.setattr(DMSFH, "learned_codes", some)
    result = train(small(**{"data.refit": refit}), tmp_path, progress=False)
    protocol, labels = result.protocol, result.dataset.labels
    rows = protocol.train if refit else protocol.with_validation(10).train
    draw = torch.Generator().manual_seed(3)
    learned = pack(torch.randint(0, 2, (len(rows), 16), generator=draw) * 2.0 - 1)
    codes = result.codes()
    places = {row: place for place, row in enumerate(protocol.retrieval)}
    images, texts = codes["retrieval"].images.copy(), codes["retrieval"].texts.copy()
    for row, code in zip(rows, learned, strict=True):
        images[places[row]] = texts[places[row]] = code
    both = labels[protocol.query], labels[protocol.retrieval]
    report, other = result.report, result.report.learned
    assert other.i2t.map == mean_average_precision(codes["query"].images, texts, *both)
    assert other.t2i.map == mean_average_precision(codes["query"].texts, images, *both)
    assert report.i2t.map != other.i2t.map
    assert (report.record.database, other.record.database) == ("encoded", "learned")
    assert "learned" not in report.record.counts
    assert other.record.counts == {**report.record.counts, "learned": 40 if refit else 30}


def test_learned_figures_stay_apart_by_name_wherever_they_stand(tmp_path: Path) -> None:
    plain = train(small(**{"evaluation.database": "encoded"}), tmp_path / "plain", progress=False)
    result = train(small(), tmp_path / "both", progress=False)
    assert plain.report.learned is None
    assert "learned" not in plain.report.as_dict()
    stored = json.loads((result.folder / "info.json").read_text())["figures"]
    other = stored.pop("learned")
    assert (stored["record"]["database"], other["record"]["database"]) == ("encoded", "learned")
    assert stored["map_i2t"] == plain.report.i2t.map  # the model's own figures stay what they were
    assert other["map_i2t"] == result.report.learned.i2t.map
    card = (result.folder / "README.md").read_text()
    assert f"| MAP, database encoded | {stored['map_i2t']:.4f} |" in card
    assert f"| MAP, database learned | {other['map_i2t']:.4f} |" in card
    assert "| MAP |" not in card
    front = card.split("---\n")[1]
    short = headline(result.report)
    assert (short["database"], short["learned"]["database"]) == ("encoded", "learned")
    assert short["learned"]["map_t2i"] == other["map_t2i"]
    assert f"value: {round(stored['map_i2t'], 4)}" in front


def test_a_checkpoint_is_evaluated_by_the_codes_that_it_gives(tmp_path: Path) -> None:
    result = train(small(), tmp_path, progress=False)
    again = crosshash.evaluate(result.folder, progress=False)
    assert again.learned is None
    assert again.i2t.map == result.report.i2t.map
    with pytest.raises(ValueError, match="does not carry the codes that were learned"):
        crosshash.evaluate(result.folder, overrides=["evaluation.database=both"], progress=False)


def test_a_method_without_learned_codes_is_refused_before_it_is_trained(tmp_path: Path) -> None:
    config = small("amgfh")
    with pytest.raises(ConfigError, match="amgfh learns no codes of its training pairs"):
        train(config, tmp_path, progress=False)
    assert not list(tmp_path.iterdir())
    with pytest.raises(ConfigError, match="amgfh learns no codes"):
        plan(config, tmp_path)


def test_learned_codes_that_nobody_searches_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def read(config: ExperimentConfig) -> Any:
        dataset, protocol = read_data(config)
        rest = np.setdiff1d(protocol.retrieval, protocol.train)
        return dataset, replace(protocol, retrieval=rest)

    monkeypatch.setattr(assembly, "read_data", read)
    with pytest.raises(ConfigError, match=r"no training pair of .* is searched"):
        train(small(), tmp_path, progress=False)


def test_codes_that_are_not_one_for_each_pair_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(DMSFH, "learned_codes", lambda algorithm: algorithm.bank.B[1:])
    with pytest.raises(ValueError, match=r"trained on 30 pairs .* its learned codes are \(29, 16"):
        train(small(), tmp_path, progress=False)


@pytest.mark.parametrize("method", ["mdffh", "dmsfh", "hfah"])
def test_methods_with_a_code_bank_give_its_codes(method: str) -> None:
    algorithm: Any = assemble(small(method)).algorithm()
    assert algorithm.learned_codes() is algorithm.bank.B
    assert Algorithm.learned_codes(algorithm) is None
