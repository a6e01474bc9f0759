"""Statistics of standardized features: those of the training set, exactly, and fixed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import pytest
import torch
from torch import Tensor

from crosshash.backbones.base import Features
from crosshash.backbones.image.features import ImageFeatures
from crosshash.backbones.text.features import TextFeatures
from crosshash.model.batch import Batch
from crosshash.model.hash_model import HashModel


class Net(HashModel):
    """The first features are the codes."""

    def hash_image(self, features: Mapping[str, Features]) -> Tensor:
        return features["image"].pooled

    def hash_text(self, features: Features) -> Tensor:
        return features.pooled


def model(*parts: Any) -> Net:
    return Net({"image": ImageFeatures(dim=8)}, TextFeatures(dim=8), 8, standardize=parts)


def draw(count: int = 23) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    scales = 10.0 ** torch.arange(-4, 4)
    image = torch.randn(count, 8, generator=generator) * scales + 7 * scales
    text = torch.rand(count, 8, generator=generator)
    text[:, 3] = 0.25  # the same in all
    return image, text


def batches(size: int) -> Iterator[Batch]:
    image, text = draw()
    for rows in torch.arange(len(image)).split(size):
        yield Batch(rows, {"image": Features(image[rows])}, Features(text[rows]))


@pytest.mark.parametrize("size", [1, 7, 23])
def test_features_of_the_training_set_have_mean_0_and_variance_1_whatever_the_batches(
    size: int,
) -> None:
    net = model("image", "text")
    net.fit_norms(batches(size))
    image, text = draw()
    F, G = net({"image": Features(image)}, Features(text))
    torch.testing.assert_close(F.mean(dim=0), torch.zeros(8), atol=1e-5, rtol=0)
    large = slice(4, None)  # BatchNorm adds 1e-5 to a variance
    torch.testing.assert_close(
        F.var(dim=0, unbiased=False)[large], torch.ones(4), atol=1e-4, rtol=0
    )
    assert (G[:, 3] == 0).all()


def test_statistics_are_fixed_in_training_mode() -> None:
    net = model("image", "text")
    net.fit_norms(batches(5))
    before = {name: value.clone() for name, value in net.state_dict().items()}
    (batch,) = batches(23)
    part = Features(batch.texts.pooled[:3])
    evaluated = net.eval().text_features(part).pooled
    trained = net.train().text_features(part).pooled
    assert torch.equal(trained, evaluated)
    assert net.training
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())


def test_only_the_parts_that_are_asked_for_are_standardized() -> None:
    net = model("text")
    net.fit_norms(batches(5))
    image, text = draw()
    F, G = net({"image": Features(image)}, Features(text))
    assert torch.equal(F, image)
    assert not torch.equal(G, text)


def test_without_standardization_no_batch_is_read() -> None:
    def unread() -> Iterator[Batch]:
        raise AssertionError("read")
        yield

    model().fit_norms(unread())


def test_statistics_travel_with_the_state() -> None:
    net, other = model("image"), model("image")
    net.fit_norms(batches(5))
    other.load_state_dict(net.state_dict())
    image, _ = draw()
    pair = ({"image": Features(image)}, Features(image))
    assert torch.equal(net(*pair)[0], other(*pair)[0])
