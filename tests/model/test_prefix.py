"""Views of a network that give the first bits of its codes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import crosshash
from crosshash.codes import check_nested, pack
from crosshash.model.hash_model import HashModel
from crosshash.model.prefix import prefix_view, shortened

WORDS = ["a red circle", "a blue square"]


def network(method: str = "hfah", nested: Any = (8, 16)) -> HashModel:
    torch.manual_seed(0)
    slots = {"cnn": "", "vit": ""} if method == "mdffh" else {"image": ""}
    backbones = {slot: {"name": "features", "dim": 6} for slot in slots}
    return crosshash.create(method, bits=32, nested=nested, backbones=backbones, texts=WORDS).eval()


def real(net: HashModel) -> torch.Tensor:
    return net.hash_text(net.text_features(net.text.prepare(WORDS)))


def test_a_view_shares_all_parameters_and_a_step_on_it_is_one_on_the_network() -> None:
    net = network()
    view = prefix_view(net, 8)
    assert {*view.parameters()} == {*net.parameters()}
    before = real(net).detach()
    rates = torch.optim.SGD(view.parameters(), lr=1.0)
    real(view).square().sum().backward()
    rates.step()
    after = real(net)
    assert not torch.equal(after[:, :8], before[:, :8])
    assert torch.equal(after[:, :8], real(view))
    assert (view.bits, net.bits) == (8, 32)


def test_rows_of_the_head_beyond_a_view_have_no_gradient() -> None:
    net = network()
    real(prefix_view(net, 8)).sum().backward()
    gradient = net.get_submodule("text_net.hash.codes.linear").weight.grad
    assert gradient[:8].abs().sum() > 0
    assert gradient[8:].abs().sum() == 0


def test_a_view_follows_its_network_to_another_type() -> None:
    net = network()
    view = prefix_view(net, 16)
    net.double()
    assert view.dtype == torch.float64
    assert torch.equal(real(view), real(net)[:, :16])


def test_the_network_stays_whole() -> None:
    net = network()
    names = list(net.state_dict())
    prefix_view(net, 8)
    assert list(net.state_dict()) == names
    assert real(net).shape == (2, 32)


def test_a_network_without_hash_heads_is_refused() -> None:
    net = network()
    net.text_net = net.image_net = nn.Linear(3, 32)
    with pytest.raises(ValueError, match=r"HFAHNet cannot be nested: it has no .*HashHead of 32"):
        prefix_view(net, 8)


@pytest.mark.parametrize(
    "lengths", [[12], [32], [40], [16, 8], [8, 8], [0], [-8], ["16"], "16", [8.0]]
)
def test_lengths_that_cannot_be_nested_are_refused(lengths: Any) -> None:
    with pytest.raises(ValueError, match=r"multiples of 8 below 32, ascending"):
        check_nested(lengths, 32)
    with pytest.raises(ValueError, match=r"multiples of 8 below 32, ascending"):
        network(nested=lengths)


@pytest.mark.parametrize("method", ["amgfh", "mdffh"])
def test_shorter_codes_are_the_first_bytes_of_the_whole(method: str) -> None:
    net = network(method)
    rows = np.random.default_rng(0).normal(size=(5, 6)).astype(np.float32)
    for encode, items in ((net.encode_image, rows), (net.encode_text, WORDS)):
        whole, values = encode(items), encode(items, output="real")
        for bits in net.lengths:
            packed = encode(items, bits=bits)
            np.testing.assert_array_equal(packed, whole[:, : bits // 8])
            np.testing.assert_array_equal(packed, pack(values[:, :bits]))
            assert encode(items, bits=bits, output="signs").shape == (len(items), bits)


def test_a_length_that_was_not_trained_is_refused_with_those_that_were() -> None:
    for net, said in ((network(), "8, 16 and 32"), (network(nested=()), "32")):
        with pytest.raises(ValueError, match=rf"codes of {said} bits, not of 24"):
            net.encode_text(WORDS, bits=24)
        with pytest.raises(ValueError, match=rf"codes of {said} bits, not of 24"):
            net.encode_image(np.zeros((1, 6), np.float32), bits=24)
    assert "32 bits, nested 8, 16, " in repr(network())


@pytest.mark.parametrize("method", ["hfah", "dmsfh", "mdffh", "amgfh"])
def test_a_shortened_model_has_the_first_bits_and_is_saved_and_loaded(
    method: str, tmp_path: Any
) -> None:
    net = network(method)
    short = shortened(net, 16)
    assert (short.bits, short.nested, short.lengths) == (16, (8,), (8, 16))
    expected = net.encode_text(WORDS, bits=16)
    assert np.array_equal(short.encode_text(WORDS), expected)
    assert np.array_equal(short.encode_text(WORDS, bits=8), net.encode_text(WORDS, bits=8))
    crosshash.save(short, tmp_path / "short")
    again = crosshash.load(tmp_path / "short")
    assert again.lengths == (8, 16)
    assert np.array_equal(again.encode_text(WORDS), expected)
    assert (net.bits, net.nested) == (32, (8, 16))
    crosshash.save(net, tmp_path / "whole")
    loaded = crosshash.load(tmp_path / "whole", bits=16)
    assert np.array_equal(loaded.encode_text(WORDS), expected)
    with pytest.raises(ValueError, match="24"):
        crosshash.load(tmp_path / "whole", bits=24)


def test_a_shortened_model_is_one_of_its_own() -> None:
    net = network()
    short = shortened(net, 8)
    assert not {*short.parameters()} & {*net.parameters()}
    assert shortened(net, 32) is net


def test_bits_of_tokens_cannot_be_taken_off() -> None:
    backbones = {"image": {"name": "features", "dim": 6}}
    net = crosshash.create("mith", bits=16, nested=[8], backbones=backbones, texts=WORDS)
    with pytest.raises(ValueError, match=r"each bit of a token of its own.*bits=8"):
        shortened(net, 8)
