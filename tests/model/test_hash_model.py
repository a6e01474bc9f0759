from __future__ import annotations

from typing import Any

import pytest
import torch

import crosshash
from crosshash import HashModel


def test_a_model_says_what_it_is_in_a_line_or_two(model: HashModel) -> None:
    assert repr(model) == (
        "AMGFHNet(amgfh, 64 bits, image: resnet10t (frozen), text: bow of 143 words "
        "(frozen), float32 on cpu)"
    )
    other = crosshash.load("mdffh-wiki-64", dtype=torch.bfloat16)
    assert str(other) == (
        "MDFFHNet(mdffh, 64 bits, cnn: features (frozen), text: features (frozen), bfloat16 on cpu)"
    )


def test_a_model_with_two_backbones_names_the_frozen_one() -> None:
    tiny = {"name": "test_resnet", "weights": "random", "image_size": 32}
    slots = {"cnn": tiny, "vit": {"name": "test_vit", "weights": "random"}}
    made = crosshash.create(
        "mdffh",
        backbones=slots,
        texts=["a red circle"],
        branch=8,
        image_hidden=[8],
        text_hidden=[8],
        frozen=False,
    )
    made.freeze("vit")
    assert "cnn: test_resnet, vit: test_vit (frozen), text: bow of 2 words," in repr(made)


def test_the_tree_of_modules_is_still_to_be_had(model: HashModel) -> None:
    tree = model.tree()
    assert tree.startswith("AMGFHNet(\n")
    assert "(backbones): ModuleDict(" in tree


def test_a_network_without_both_hash_functions_cannot_be_made() -> None:
    class Half(HashModel):
        def hash_image(self, features: Any) -> Any:
            return features["image"].pooled

    backbone = crosshash.create("dmsfh", backbones={"name": "features", "dim": 8}, texts=["a dog"])
    with pytest.raises(TypeError, match=r"abstract.*hash_text"):
        Half({"image": backbone.backbone("image")}, backbone.text, 8)
