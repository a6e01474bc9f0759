"""Pairs with several texts: one is drawn in training, the first is measured."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from crosshash.backbones.base import Features
from crosshash.backbones.image.features import ImageFeatures
from crosshash.backbones.text.bag_of_words import BagOfWords
from crosshash.backbones.text.features import TextFeatures
from crosshash.data.dataset import PairedDataset
from crosshash.data.model_inputs import PairInputs, prepare_inputs

COUNTS = [2, 1, 3]


class Model:
    """As much of a model as the preparation asks for."""

    frozen: frozenset[str] = frozenset()
    image_needs = ("pooled",)
    text_needs = ("pooled",)
    device = torch.device("cpu")

    def __init__(self, text: Any) -> None:
        self.backbones = {"image": ImageFeatures(dim=1)}
        self.text = text


def pairs() -> PairInputs:
    images = {"image": Features(torch.arange(3.0)[:, None])}
    texts = {"features": torch.arange(6.0)[:, None]}
    return PairInputs(images, texts, torch.eye(3), torch.tensor(COUNTS))


def texts_of(inputs: PairInputs, rows: list[int]) -> list[float]:
    return inputs.__getitems__(rows).texts["features"][:, 0].tolist()


def test_the_first_text_of_each_pair_is_read() -> None:
    inputs = pairs()
    assert len(inputs) == 3
    assert texts_of(inputs, [0, 1, 2]) == [0, 2, 3]
    assert texts_of(inputs.select([2, 0]), [0, 1]) == [3, 0]
    assert texts_of(inputs.select([2, 0]).select([1]), [0]) == [0]


def test_each_text_is_drawn_as_often_as_the_others() -> None:
    torch.manual_seed(0)
    drawn = pairs().select([1, 2, 0], draw=True)
    rows = [place for _ in range(600) for place in (0, 1, 2)]
    found = torch.tensor(texts_of(drawn, rows)).reshape(600, 3)
    assert set(found[:, 0].tolist()) == {2}
    for column, own in ((1, (3, 4, 5)), (2, (0, 1))):
        shares = [float((found[:, column] == text).float().mean()) for text in own]
        assert sum(shares) == pytest.approx(1)
        assert all(abs(share - 1 / len(own)) < 0.06 for share in shares)
    torch.manual_seed(0)
    again = pairs().select([1, 2, 0], draw=True)
    assert texts_of(again, rows) == found.flatten().tolist()


def test_every_text_makes_a_pair_with_its_image() -> None:
    inputs = pairs().select([2, 0]).every_text()
    batch = inputs.__getitems__(list(range(5)))
    assert batch.texts["features"][:, 0].tolist() == [3, 4, 5, 0, 1]
    assert batch.images["image"].pooled[:, 0].tolist() == [2, 2, 2, 0, 0]
    assert batch.labels.argmax(dim=1).tolist() == [2, 2, 2, 0, 0]


def test_captions_and_vectors_are_prepared_alike() -> None:
    captions = [["red", "blue"], ["red"], ["blue", "red", "blue"]]
    common = {"name": "t", "ids": "abc", "images": np.arange(3.0)[:, None]}
    words = PairedDataset(**common, texts=captions)
    bag = BagOfWords(vocabulary=["blue", "red"])
    inputs = prepare_inputs(Model(bag), words, captions="each").every_text()
    found = inputs.__getitems__(list(range(6))).texts["bow"].argmax(dim=1).tolist()
    assert found == [1, 0, 1, 0, 1, 0]
    assert len(prepare_inputs(Model(bag), words)) == 3
    rows = np.array(found, dtype=np.float32)[:, None]
    vectors = PairedDataset(**common, texts=rows, text_counts=COUNTS)
    inputs = prepare_inputs(Model(TextFeatures(dim=1)), vectors, captions="each")
    assert texts_of(inputs, [0, 1, 2]) == [1, 1, 0]
    assert texts_of(inputs.every_text(), list(range(6))) == found
