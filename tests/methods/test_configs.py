"""What the bundled configs of the methods say, and that each variant builds."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from crosshash.backbones import create_text_encoder
from crosshash.config import ExperimentConfig, bundled, checked_arguments, read_config
from crosshash.methods.build import METHODS, build_model

VARIANTS = sorted(
    (path.parent.parent.name, path.stem) for path in bundled("configs").glob("*/variants/*.yaml")
)
DATASETS = ("wiki", "flickr8k", "mirflickr", "nuswide", "coco")


def network(config: ExperimentConfig) -> Any:
    """The config's network over features, without memory for its weights."""
    text = create_text_encoder("bow", vocabulary=[f"word{i}" for i in range(60)])
    with torch.device("meta"):
        return build_model(
            config.method,
            bits=config.bits,
            backbones={slot: {"name": "features", "dim": 36} for slot in config.backbones},
            text=text,
            network=config.network,
        )


def widths(part: nn.Module) -> list[int]:
    """Outputs of the linear layers of a part, in order."""
    return [layer.out_features for layer in part.modules() if isinstance(layer, nn.Linear)]


@pytest.mark.parametrize(("method", "variant"), VARIANTS)
@pytest.mark.parametrize("dataset", DATASETS)
def test_every_variant_builds_over_every_data_set(method: str, variant: str, dataset: str) -> None:
    config = read_config(f"{method}/{dataset}-16-{variant}")
    kind = METHODS[method]
    model = network(config)
    assert model.bits == 16
    algorithm = kind(model, 8, 4, **checked_arguments(kind, config.algorithm, "algorithm"))
    assert algorithm.phases()


@pytest.mark.parametrize("dataset", DATASETS)
def test_paper_widths_are_those_that_the_papers_print(dataset: str) -> None:
    mdffh = network(read_config(f"mdffh/{dataset}-64-paper"))
    assert widths(mdffh.image_net["codes"]) == [8192, 4096, 64]
    assert widths(mdffh.text_net) == [4096, 4096, 64]
    if "vit" in mdffh.slots:
        assert widths(mdffh.image_net["vit"]) == [4096]
    dmsfh = network(read_config(f"dmsfh/{dataset}-64-paper"))
    assert widths(dmsfh.text_net) == [4096, 512, 64]
    config = read_config(f"hfah/{dataset}-64-paper")
    hfah = network(config)
    assert widths(hfah.text_net) == [4096, 512, 64]
    labels = METHODS["hfah"](hfah, 8, 24, label_hidden=config.algorithm["label_hidden"]).labels
    assert widths(labels) == [4096, 512, 64, 24]
    assert len(read_config(f"amgfh/{dataset}-64-paper").network["hidden"]) == 2


@pytest.mark.parametrize("method", ["mdffh", "dmsfh"])
@pytest.mark.parametrize("dataset", ["wiki", "flickr8k", "mirflickr"])
def test_the_printed_recipe_lies_over_every_config(method: str, dataset: str) -> None:
    """Objective and optimisation are the paper's, whatever a config has of its own."""
    config = read_config(f"{method}/{dataset}-64-printed")
    training = config.training
    assert (training.optimizer, training.momentum, training.weight_decay) == ("sgd", 0, 0)
    assert (training.schedule, training.final_learning_rate) == ("linear", 1e-6)
    epochs, rate = {"mdffh": (300, 0.03), "dmsfh": (500, 10**-1.5)}[method]
    assert training.epochs == epochs
    assert training.learning_rate == pytest.approx(rate, rel=1e-3)
    assert training.batch_size == 128
    weights = {"mdffh": ["eta"], "dmsfh": ["intra", "label", "gamma", "beta"]}[method]
    assert [config.algorithm[name] for name in weights] == [1.0] * len(weights)
    assert (config.algorithm["scale"], config.algorithm["normalization"]) == (0.5, "sums")
    model = network(config)
    kinds = {
        type(module) for part in (model.image_net, model.text_net) for module in part.modules()
    }
    assert nn.Linear in kinds
    assert not kinds & {nn.BatchNorm1d, nn.Dropout}


@pytest.mark.parametrize("method", ["mdffh", "dmsfh", "hfah"])
def test_methods_that_learn_from_labels_leave_unlabelled_pairs_of_coco_out(method: str) -> None:
    assert read_config(f"{method}/coco-64").data.options["unlabelled"] == "drop"
    assert "unlabelled" not in read_config("amgfh/coco-64").data.options
