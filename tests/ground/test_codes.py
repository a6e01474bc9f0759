from __future__ import annotations

import numpy as np
import pytest
import torch

from crosshash.codes import as_packed, as_words, check_bits, hamming, pack, sign, unpack

LENGTHS = (8, 16, 24, 32, 64, 128)


def random_signs(n: int, bits: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).choice([-1.0, 1.0], size=(n, bits))


def naive_hamming(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    distances = np.zeros((len(a), len(b)), dtype=int)
    for i, left in enumerate(a):
        for j, right in enumerate(b):
            distances[i, j] = sum((x >= 0) != (y >= 0) for x, y in zip(left, right, strict=True))
    return distances


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int8, np.int64])
def test_sign_of_an_array_keeps_its_type(dtype: type) -> None:
    values = np.array([[-3, 0, 5]], dtype=dtype)
    signs = sign(values)
    assert signs.dtype == dtype
    assert signs.tolist() == [[-1, 1, 1]]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16, torch.int64])
def test_sign_of_a_tensor_keeps_its_type(dtype: torch.dtype) -> None:
    signs = sign(torch.tensor([-2, 0, 7], dtype=dtype))
    assert signs.dtype == dtype
    assert signs.tolist() == [-1, 1, 1]


def test_both_zeros_have_the_sign_plus_one_everywhere() -> None:
    zeros = np.array([[0.0, -0.0] * 4])
    assert (sign(zeros) == 1).all()
    assert (sign(torch.from_numpy(zeros)) == 1).all()
    assert pack(zeros).tolist() == [[255]]


@pytest.mark.parametrize("bits", LENGTHS)
def test_unpack_undoes_pack(bits: int) -> None:
    signs = random_signs(11, bits)
    packed = pack(signs)
    assert packed.dtype == np.uint8
    assert packed.shape == (11, bits // 8)
    assert (unpack(packed) == signs).all()
    assert unpack(packed).dtype == np.int8


def test_bit_i_of_a_code_is_output_i_from_the_low_end_of_the_byte() -> None:
    codes = -np.ones((1, 16))
    codes[0, [0, 9]] = 1
    assert pack(codes).tolist() == [[1, 2]]


def test_tensors_and_arrays_pack_alike() -> None:
    values = np.random.default_rng(1).normal(size=(6, 24))
    expected = pack(values)
    for tensor in (torch.from_numpy(values), torch.from_numpy(values).float()):
        assert (pack(tensor) == expected).all()
        assert (pack(tensor.requires_grad_()) == expected).all()
    assert (pack(torch.from_numpy(values).bfloat16()) == expected).all()


def test_a_tiny_negative_double_keeps_its_sign() -> None:
    tiny = np.full((1, 8), -1e-60)  # -0 in float32
    assert pack(tiny).tolist() == pack(torch.from_numpy(tiny)).tolist() == [[0]]


@pytest.mark.parametrize("bits", LENGTHS)
def test_hamming_counts_differing_signs(bits: int) -> None:
    a, b = random_signs(7, bits, 1), random_signs(9, bits, 2)
    b[0], b[1] = a[0], -a[0]
    distances = hamming(a, b)
    assert distances.dtype == np.uint16
    assert (distances == naive_hamming(a, b)).all()
    assert distances[0, 0] == 0
    assert distances[0, 1] == bits


def test_hamming_takes_packed_and_signed_codes_together() -> None:
    a, b = random_signs(4, 32, 3), random_signs(5, 32, 4)
    expected = naive_hamming(a, b)
    assert (hamming(pack(a), b) == expected).all()
    assert (hamming(torch.from_numpy(a), pack(b)) == expected).all()


@pytest.mark.parametrize("bits", [16, 24, 64])
def test_flipping_one_bit_in_all_codes_changes_no_distance(bits: int) -> None:
    a, b = random_signs(5, bits, 5), random_signs(6, bits, 6)
    before = hamming(a, b)
    a[:, 3] *= -1
    b[:, 3] *= -1
    assert (hamming(a, b) == before).all()


def test_hamming_of_no_codes_is_empty() -> None:
    assert hamming(np.zeros((0, 16)), np.ones((3, 16))).shape == (0, 3)


@pytest.mark.parametrize(
    ("bits", "word"), [(64, np.uint64), (32, np.uint32), (16, np.uint16), (24, np.uint8)]
)
def test_words_are_the_same_bytes_at_the_greatest_width(bits: int, word: type) -> None:
    packed = pack(random_signs(3, bits))[:, :]
    words = as_words(packed)
    assert words.dtype == word
    assert (words.view(np.uint8) == packed).all()


def test_codes_that_are_packed_pass_as_they_are() -> None:
    packed = pack(random_signs(3, 16))
    assert (as_packed(packed) == packed).all()
    assert (as_packed(torch.from_numpy(packed)) == packed).all()


@pytest.mark.parametrize("bits", [0, -8, 12, 63])
def test_bits_that_cannot_be_packed_are_refused(bits: int) -> None:
    with pytest.raises(ValueError, match=f"multiple of 8.*got {bits}"):
        check_bits(bits)


def test_codes_of_an_odd_length_are_refused() -> None:
    with pytest.raises(ValueError, match=r"multiple of 8.*got 12"):
        pack(np.ones((2, 12)))


def test_nan_is_no_code() -> None:
    codes = np.ones((4, 8))
    codes[2, 1] = codes[3, 0] = np.nan
    with pytest.raises(ValueError, match="2 items are NaN, the first at row 2"):
        pack(codes)


def test_packing_twice_is_refused() -> None:
    with pytest.raises(ValueError, match="packed already"):
        pack(np.zeros((2, 8), dtype=np.uint8))


@pytest.mark.parametrize("codes", [np.ones((2, 8), dtype=bool), np.ones((2, 8), dtype=np.uint16)])
def test_numbers_without_a_sign_are_refused(codes: np.ndarray) -> None:
    with pytest.raises(ValueError, match=f"got {codes.dtype}"):
        pack(codes)


def test_one_code_without_its_axis_is_refused() -> None:
    with pytest.raises(ValueError, match=r"two axes.*\(16,\)"):
        pack(np.ones(16))


def test_unpack_takes_packed_codes_only() -> None:
    with pytest.raises(ValueError, match="packed codes are uint8"):
        unpack(np.ones((2, 8)))


def test_codes_of_different_lengths_cannot_be_compared() -> None:
    with pytest.raises(ValueError, match="16 bits cannot be compared with codes of 32 bits"):
        hamming(np.ones((1, 16)), np.ones((1, 32)))
