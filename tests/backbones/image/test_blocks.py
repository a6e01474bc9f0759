"""Backbones of which the last blocks alone are trained."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import crosshash
from crosshash.backbones import ImageBackbone, create_image_backbone, fingerprint
from crosshash.backbones.forward import evaluating
from crosshash.config import parse_config
from crosshash.experiment import train

# Name, blocks to train, and how the names of what is trained begin.
MODELS = [
    ("test_efficientnet", 1, ("blocks.4.", "conv_head.", "bn2.")),
    ("test_resnet", 2, ("layer3.", "layer4.")),
    ("test_vit", 2, ("blocks.4.", "blocks.5.", "norm.")),
]


def build(name: str, blocks: int | None) -> ImageBackbone:
    torch.manual_seed(0)
    size = 96 if name == "test_vit" else 64
    return create_image_backbone(name, weights="random", image_size=size, trainable_blocks=blocks)


@pytest.mark.parametrize(("name", "blocks", "trained"), MODELS)
def test_only_the_last_blocks_learn(name: str, blocks: int, trained: tuple[str, ...]) -> None:
    backbone = build(name, blocks).train()
    before = copy.deepcopy(backbone.state_dict())
    learning = [p for p in backbone.parameters() if p.requires_grad]
    step = torch.optim.SGD(learning, lr=1.0)
    size = 96 if name == "test_vit" else 64
    pooled = backbone(torch.randn(8, 3, size, size)).pooled
    (pooled * torch.randn_like(pooled)).sum().backward()
    prefixes = tuple(f"model.{prefix}" for prefix in trained)
    for parameter_name, parameter in backbone.named_parameters():
        assert (parameter.grad is not None) == parameter_name.startswith(prefixes), parameter_name
    step.step()
    # Weights, and the statistics of BatchNorm.
    changed = {k for k, value in backbone.state_dict().items() if not torch.equal(value, before[k])}
    assert {key for key in changed if not key.startswith(prefixes)} == set()
    statistics = {key for key in before if key.endswith("running_mean")}
    assert {k for k in statistics if k.startswith(prefixes)} == statistics & changed
    assert bool(statistics) == (name != "test_vit")


def test_what_does_not_learn_stays_in_eval_mode() -> None:
    backbone = build("test_efficientnet", 2)
    norms = {n: m for n, m in backbone.named_modules() if isinstance(m, nn.BatchNorm2d)}

    def training() -> set[str]:
        return {
            name.split(".")[2] for name, norm in norms.items() if norm.training and "blocks" in name
        }

    assert training() == {"3", "4"}  # as it is built
    with evaluating(backbone):
        assert training() == set()
    assert training() == {"3", "4"}
    assert {"3", "4"} == {
        name.split(".")[2]
        for name, norm in copy.deepcopy(backbone).train().named_modules()
        if isinstance(norm, nn.BatchNorm2d) and norm.training and "blocks" in name
    }
    assert not norms["model.bn1"].training
    assert norms["model.bn2"].training


def test_the_number_of_blocks_is_kept_and_changes_no_feature() -> None:
    backbone, whole = build("test_resnet", 1).eval(), build("test_resnet", None).eval()
    assert "trainable_blocks" not in whole.spec()
    again = create_image_backbone(**json.loads(json.dumps(backbone.spec())))
    again.load_state_dict(backbone.state_dict())
    assert fingerprint(again) == fingerprint(backbone)
    assert [p.requires_grad for p in again.parameters()] == [
        p.requires_grad for p in backbone.parameters()
    ]
    pixels = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        torch.testing.assert_close(backbone(pixels).pooled, whole(pixels).pooled)


@pytest.mark.parametrize("blocks", [0, -1, 5])
def test_a_number_of_blocks_that_the_model_has_not_is_refused(blocks: int) -> None:
    with pytest.raises(ValueError, match=rf"from 1 to 4, got {blocks}; leave it out"):
        build("test_resnet", blocks)


def test_a_model_whose_blocks_are_unknown_is_refused() -> None:
    with pytest.raises(ValueError, match="timm does not say which blocks it has"):
        build("pit_ti_224", 1)


def test_a_fine_tuned_model_is_saved_and_loaded(tmp_path: Path) -> None:
    options: dict[str, Any] = {"weights": "random", "image_size": 32, "trainable_blocks": 1}
    config = parse_config(
        {
            "method": "dmsfh",
            "bits": 16,
            "backbones": {"name": "test_resnet", "frozen": False, "options": options},
            "text": {"name": "bow", "options": {"size": 32}},
            "network": {"image_hidden": [16], "text_hidden": [16]},
            "data": {"name": "shapes", "options": {"n": 60}},
            "training": {"epochs": 1, "batch_size": 16, "device": "cpu"},
        }
    )
    result = train(config, tmp_path / "run", progress=False)
    torch.manual_seed(config.seed)  # what the training draws its first weights from
    start = create_image_backbone("test_resnet", **options).state_dict()
    learnt = result.model.backbone("image").state_dict()
    moved = {key.split(".")[1] for key in start if not torch.equal(start[key], learnt[key])}
    assert moved == {"layer4"}
    loaded = crosshash.load(result.folder)
    dataset, _ = crosshash.load_dataset("shapes", n=4, seed=3)
    assert (loaded.encode_image(dataset.images) == result.model.encode_image(dataset.images)).all()
    trained = {
        n.split(".")[1] for n, p in loaded.backbone("image").named_parameters() if p.requires_grad
    }
    assert trained == {"layer4"}
