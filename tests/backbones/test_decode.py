"""Pictures become the rows that a backbone's own preprocessing would make."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from crosshash.backbones import create_image_backbone
from crosshash.backbones.decode import PictureReader, decode_size
from crosshash.backbones.extract import iterate_features
from crosshash.backbones.image.pixels import pixel_config, pixel_transform
from crosshash.images import CorruptImageError, ImageArrays, ImageFiles, ImageSubset


def transform(size: tuple[int, int] = (64, 64), **changes: Any) -> Any:
    return pixel_transform(pixel_config("test", {"input_size": (3, *size)}, changes), size)


@pytest.mark.parametrize(
    "changes",
    [
        {"crop_pct": 1.0},
        {"crop_pct": 1.0, "interpolation": "bilinear"},
        {"crop_mode": "squash"},
        {"crop_mode": "border"},
        {"crop_pct": 1.0, "mean": (0.1, 0.2, 0.3), "std": (0.9, 0.7, 0.3)},
    ],
)
@pytest.mark.parametrize("size", [(64, 64), (48, 72)])
def test_batches_are_those_of_the_preprocessing(
    picture_files: list[Path], changes: dict[str, Any], size: tuple[int, int]
) -> None:
    preprocess = transform(size, **changes)
    source = ImageFiles(picture_files)
    rows = [3, 0, 1, 1]
    batch = PictureReader(source, preprocess)(rows)
    expected = torch.stack([preprocess(source.open(row)) for row in rows])
    torch.testing.assert_close(batch, expected, rtol=0, atol=2.5 / 255 / 0.224)
    assert (batch - expected).abs().mean() < 0.002
    assert batch.is_contiguous(memory_format=torch.channels_last)


def test_where_the_crop_falls_on_whole_pixels_every_bit_is_the_same() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (2, 224, 224, 3), dtype=np.uint8)
    for interpolation in ("bilinear", "bicubic"):
        preprocess = transform((224, 224), interpolation=interpolation)
        expected = torch.stack([preprocess(Image.fromarray(pixels)) for pixels in noise])
        assert torch.equal(PictureReader(ImageArrays(noise), preprocess)([0, 1]), expected)


@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
def test_resizing_the_crop_alone_is_cropping_the_resized(interpolation: str) -> None:
    generator = np.random.default_rng(0)
    preprocess = transform(interpolation=interpolation, mean=(0, 0, 0), std=(1, 1, 1))
    for height, width in generator.integers(30, 300, (40, 2)).tolist():
        coarse = Image.fromarray(generator.integers(0, 256, (5, 7, 3), dtype=np.uint8))
        source = ImageArrays([coarse.resize((width, height), Image.Resampling.BICUBIC)])
        ours = PictureReader(source, preprocess)([0])[0]
        off = ((ours - preprocess(source.open(0))) * 255).abs().round()
        assert off.max() <= 2
        assert off.mean() < 0.3


def test_any_other_preprocessing_is_called(picture_files: list[Path]) -> None:
    def own(picture: Image.Image) -> Tensor:
        return torch.tensor(picture.size)

    reader = PictureReader(ImageFiles(picture_files), own)
    assert reader([0, 1]).tolist() == [[80, 60], [80, 60]]
    assert reader.size is None


def test_the_decoded_size_is_where_scaling_begins() -> None:
    assert decode_size(transform((64, 64), crop_pct=0.5)) == (128, 128)
    assert decode_size(transform((48, 72), crop_mode="squash", crop_pct=1.0)) == (72, 48)
    assert decode_size(transform((48, 72), crop_mode="border", crop_pct=1.0)) == (72, 48)
    assert decode_size(lambda picture: picture) is None
    assert decode_size(None) is None


def test_large_photographs_are_decoded_small_and_give_nearly_the_same(tmp_path: Path) -> None:
    coarse = np.random.default_rng(0).integers(0, 256, (9, 12, 3), dtype=np.uint8)
    path = tmp_path / "large.jpg"
    Image.fromarray(coarse).resize((1200, 896), Image.Resampling.BICUBIC).save(path)
    preprocess = transform((64, 64))
    source = ImageFiles([path])
    reader = PictureReader(source, preprocess)
    whole, small = preprocess(source.open(0)), reader([0])[0]
    assert source.open(0, size=reader.size).size == (150, 112)
    assert 0 < (whole - small).abs().mean() < 0.05


def test_the_features_of_files_and_of_their_subset_are_one(picture_files: list[Path]) -> None:
    paths = []
    for path in picture_files[::2]:
        Image.open(path).resize((640, 480)).save(path)
        paths.append(path)
    backbone = create_image_backbone("test_resnet", weights="random", image_size=32)
    source = ImageFiles(paths)
    [whole] = iterate_features(backbone, source)
    subset = ImageSubset(ImageSubset(source, np.array([4, 3, 1])), np.array([1, 2]))
    [part] = iterate_features(backbone, subset)
    assert torch.equal(part.pooled, whole.pooled[[3, 1]])


def test_an_error_is_raised_or_stands_beside_a_black_picture(picture_files: list[Path]) -> None:
    picture_files[1].write_bytes(b"no picture")
    reader = PictureReader(ImageFiles(picture_files), transform())
    pixels, errors = reader.read([0, 1, 2])
    assert [type(error) for error in errors] == [type(None), CorruptImageError, type(None)]
    assert torch.equal(pixels[0], reader([0])[0])
    assert (pixels[1].amin(dim=(1, 2)) == pixels[1].amax(dim=(1, 2))).all()
    with pytest.raises(CorruptImageError, match=r"1\.png"):
        reader([0, 1, 2])


def test_grey_arrays_are_read_too() -> None:
    preprocess = transform()
    source = ImageArrays([np.arange(100, dtype=np.uint8).reshape(10, 10)])
    assert torch.equal(PictureReader(source, preprocess)([0])[0], preprocess(source.open(0)))


@pytest.mark.parametrize("size", [(1, 40_000), (40_000, 1), (1, 1)])
@pytest.mark.parametrize(
    ("shape", "changes"),
    [((64, 64), {}), ((64, 64), {"crop_mode": "squash"}), ((48, 72), {"crop_mode": "squash"})],
)
def test_a_picture_of_one_row_is_cropped_without_the_whole_of_it(
    size: tuple[int, int], shape: tuple[int, int], changes: dict[str, Any]
) -> None:
    source = ImageArrays([Image.new("RGB", size, (9, 9, 9))])
    assert PictureReader(source, transform(shape, **changes))([0]).shape == (1, 3, *shape)


@pytest.mark.parametrize(
    ("size", "told"), [((1, 40_000), "64 x 2560000"), ((40_000, 1), "2560000 x 64")]
)
def test_a_picture_that_scaling_would_blow_up_is_refused_before(
    size: tuple[int, int], told: str
) -> None:
    from torchvision.transforms import CenterCrop, Compose, Resize, ToTensor

    source = ImageArrays([Image.new("RGB", (8, 8)), Image.new("RGB", size)])
    reader = PictureReader(source, Compose([Resize(64), CenterCrop(64), ToTensor()]))
    _, errors = reader.read([0, 1])
    assert errors[0] is None
    with pytest.raises(CorruptImageError, match=f"image 1: .*would scale to {told}"):
        raise errors[1]


def test_a_picture_that_scaling_would_leave_without_a_row_is_refused() -> None:
    source = ImageArrays([Image.new("RGB", (40_000, 1))])
    with pytest.raises(CorruptImageError, match=r"image 0: .*would scale to 64 x 0"):
        PictureReader(source, transform((64, 64), crop_mode="border", crop_pct=1.0))([0])
