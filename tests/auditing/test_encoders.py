"""Encoders with one fault each: the audit names it, and nothing else."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from crosshash.auditing import audit
from crosshash.codes import pack
from crosshash.data.dataset import PairedDataset
from crosshash.data.protocol import Protocol

Setting = tuple[PairedDataset, Protocol]


@pytest.fixture
def setting(pairs: PairedDataset, split: Protocol) -> Setting:
    return pairs, split


def faults(encode: Any, setting: Setting, **options: Any) -> dict[str, str]:
    found = audit(encode, *setting, **options)
    return {one.check: one.found for one in found.faults}


def test_a_sound_encoder_passes_whatever_it_returns(sound: Any, setting: Setting) -> None:
    def signs(images: Any, texts: Any) -> Any:
        return tuple(np.where(side >= 0, 1, -1).astype(np.int8) for side in sound(images, texts))

    def packed(images: Any, texts: Any) -> Any:
        return tuple(pack(side) for side in sound(images, texts))

    def tensors(images: Any, texts: Any) -> Any:
        return tuple(torch.from_numpy(side).half() for side in sound(images, texts))

    for encode in (sound, signs, packed, tensors):
        found = audit(encode, *setting)
        assert not found.faults, found.faults
        assert found.figures["i2t"]["map"]["expected"] > 0.8
        assert set(found.skipped) == {"epochs", "database"}
    assert found.as_dict()["faults"] == 0
    assert "partner" in found.as_dict()["passed"]


def test_pairing_at_test_time_is_found(sound: Any, setting: Setting) -> None:
    def encode(images: Any, texts: Any) -> Any:
        image, text = sound(images, texts)
        return image + 0.01 * text, text

    told = faults(encode, setting)
    assert set(told) == {"partner"}
    assert "image codes of 48 of 48 items" in told["partner"]
    assert "text" not in told["partner"]


def test_pairing_of_texts_is_found_in_signs(sound: Any, setting: Setting) -> None:
    def encode(images: Any, texts: Any) -> Any:
        image, text = sound(images, texts)
        return np.sign(image), np.sign(text + image)

    assert set(faults(encode, setting)) == {"partner"}


def test_attention_over_the_batch_is_found(sound: Any, setting: Setting) -> None:
    def encode(images: Any, texts: Any) -> Any:
        image, text = map(torch.from_numpy, sound(images, texts))
        weights = torch.softmax(image @ image.T, dim=1)
        return (image + weights @ image).numpy(), text.numpy()

    told = faults(encode, setting)
    assert set(told) == {"alone", "batch size", "shuffled"}
    assert "text" not in told["alone"]


def test_batch_norm_in_train_mode_is_found(sound: Any, setting: Setting) -> None:
    norm = torch.nn.BatchNorm1d(16)

    def encode(images: Any, texts: Any) -> Any:
        image, text = sound(images, texts)
        with torch.no_grad():
            return norm(torch.from_numpy(image)), text

    told = faults(encode, setting)
    assert set(told) == {"alone", "batch size", "shuffled"}
    assert "more than 1 value per channel" in told["alone"]
    norm.eval()
    assert not faults(encode, setting)


def test_a_code_that_knows_its_place_in_the_batch_is_found(sound: Any, setting: Setting) -> None:
    def encode(images: Any, texts: Any) -> Any:
        image, text = sound(images, texts)
        return image + 0.01 * np.arange(len(image), dtype=np.float32)[:, None], text

    assert "shuffled" in faults(encode, setting)


def test_dropout_is_found_and_hides_nothing_behind_it(sound: Any, setting: Setting) -> None:
    drop = torch.nn.Dropout(0.1)

    def encode(images: Any, texts: Any) -> Any:
        image, text = sound(images, texts)
        return drop(torch.from_numpy(image)), text

    found = audit(encode, *setting)
    assert "repeatable" in {one.check for one in found.faults}
    assert found.skipped["partner"] == "the codes are not repeatable"
    assert "partner" not in found.passed


def test_a_buffer_that_is_filled_again_is_no_fault(sound: Any, setting: Setting) -> None:
    buffers = {n: (np.empty((n, 16), np.float32), np.empty((n, 16), np.float32)) for n in (1,)}

    def encode(images: Any, texts: Any) -> Any:
        n = len(images)
        kept = buffers.setdefault(n, (np.empty((n, 16), np.float32), np.empty((n, 16), np.float32)))
        for buffer, side in zip(kept, sound(images, texts), strict=True):
            buffer[:] = side
        return kept

    assert not faults(encode, setting)


def test_one_tensor_for_both_sides_is_found(sound: Any, setting: Setting) -> None:
    def encode(images: Any, texts: Any) -> Any:
        text = sound(images, texts)[1]
        return text, text

    told = faults(encode, setting)
    assert "two arrays" in told
    assert "240" in told["two arrays"]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda x: np.where(np.abs(x) < 0.3, 0, np.sign(x)), "a third value"),
        (lambda x: (x > 0).astype(np.int64), "are 0 and 1 (int64)"),
        (lambda x: x > 0, "are 0 and 1 (bool)"),
        (lambda x: 1 / (1 + np.exp(-x)), "in [0, 1]"),
        (lambda x: np.round(10 * x).astype(np.int64), "whole numbers"),
        (lambda x: np.maximum(x, 0), "exactly 0"),
        (lambda x: np.where(x > 1.5, np.nan, x), "NaN"),
    ],
)
def test_values_that_are_no_codes_are_found(
    sound: Any, setting: Setting, change: Any, said: str
) -> None:
    told = faults(lambda i, t: tuple(map(change, sound(i, t))), setting)
    assert said in told["values"]


def test_lengths_are_compared(sound: Any, setting: Setting) -> None:
    def short(images: Any, texts: Any) -> Any:
        image, text = sound(images, texts)
        return image[:, :8], text

    def odd(images: Any, texts: Any) -> Any:
        image, text = sound(images, texts)
        return image[:, :12], text[:, :12]

    found = audit(short, *setting)
    assert (
        "8 bits of images, 16 of texts" in {one.check: one.found for one in found.faults}["length"]
    )
    assert "ties" in found.skipped
    assert faults(odd, setting)["length"] == "12 bits"
    assert "where 32 are said" in faults(sound, setting, bits=32)["length"]


def test_constant_bits_are_a_note_until_they_are_most(sound: Any, setting: Setting) -> None:
    def constant(count: int) -> Any:
        def encode(images: Any, texts: Any) -> Any:
            image, text = sound(images, texts)
            image[:, :count] = 1.5
            return image, text

        return audit(encode, *setting)

    few = [one for one in constant(2).findings if one.check == "constant bits"]
    assert [one.level for one in few] == ["note"]
    assert "2 of 16 bits of image codes" in few[0].found
    assert "constant bits" in {one.check for one in constant(9).faults}


def test_sides_packed_in_different_orders_are_found(sound: Any, setting: Setting) -> None:
    def encode(images: Any, texts: Any) -> Any:
        image, text = sound(images, texts)
        return pack(image), np.packbits(text >= 0, axis=1, bitorder="big")

    assert "different orders" in faults(encode, setting)["bit order"]


def test_codes_that_say_nothing_are_at_chance(sound: Any, setting: Setting) -> None:
    mixing = np.random.default_rng(3).normal(size=(10, 16))

    def encode(images: Any, texts: Any) -> Any:
        return sound(images, texts)[0], np.sin(50 * np.asarray(texts) @ mixing)

    assert set(faults(encode, setting, tolerance=1e-3)) == {"chance"}


def test_without_labels_there_are_no_figures(sound: Any, pairs: PairedDataset, split: Any) -> None:
    plain = PairedDataset(name="bare", ids=pairs.ids, images=pairs.images, texts=pairs.texts)
    found = audit(sound, plain, split)
    assert not found.faults
    assert found.skipped["chance"] == "the data set has no labels"


def test_a_limit_encodes_fewer(sound: Any, setting: Setting) -> None:
    seen = []

    def encode(images: Any, texts: Any) -> Any:
        seen.append(len(images))
        return sound(images, texts)

    found = audit(encode, *setting, limit=20, items=8)
    assert max(seen) == 40
    assert (found.figures["queries"], found.figures["items"]) == (20, 20)


@pytest.mark.parametrize(
    ("encode", "said"),
    [
        (lambda i, t: i, "expected a tuple of two"),
        (lambda i, t: (i[:3], t), r"image codes of shape \(3, 12\) for 48 pairs"),
        (lambda i, t: {"a": 1}["codes"], "failed on 48 pairs: KeyError: 'codes'"),
    ],
)
def test_an_encoder_that_gives_no_codes_is_refused(
    setting: Setting, encode: Any, said: str
) -> None:
    with pytest.raises(ValueError, match=said):
        audit(encode, *setting)
