"""A picture is the same pixels in every mode, and stands and looks as it is meant to be seen."""

from __future__ import annotations

import io
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from crosshash.images import CorruptImageError, ImageArrays, ImageFiles, as_image_source
from crosshash.rgb import is_sideways, to_rgb

COLOURS = np.random.default_rng(0).integers(0, 256, (12, 9, 3), dtype=np.uint8)
GREY = COLOURS[:, :, 0]
ORIENTATION = 0x0112


def wide(dtype: str) -> Image.Image:
    """Grey of 16 bits in a mode that `fromarray` does not give."""
    mode = {"<u2": "I;16", ">u2": "I;16B"}[dtype]
    data = (GREY.astype(np.uint16) * 257).astype(dtype).tobytes()
    return Image.frombytes(mode, (9, 12), data)


def palette(mode: str) -> Image.Image:
    """Grey through a palette, whose index is not the grey."""
    picture = Image.fromarray(255 - GREY).convert("P")
    picture.putpalette([255 - value // 3 for value in range(768)])
    return picture if mode == "P" else picture.convert("PA")


# Each shows GREY or COLOURS; the tolerance is the mode's own precision.
MODES: dict[str, tuple[Callable[[], Image.Image], int]] = {
    "1": (lambda: Image.fromarray(GREY).point(lambda v: 255 * (v > 127)).convert("1"), 0),
    "L": (lambda: Image.fromarray(GREY), 0),
    "LA": (lambda: Image.fromarray(GREY).convert("LA"), 0),
    "La": (lambda: Image.fromarray(GREY).convert("LA").convert("La"), 0),
    "P": (lambda: palette("P"), 0),
    "PA": (lambda: palette("PA"), 0),
    "I": (lambda: Image.fromarray(GREY.astype(np.int32) * 257), 0),
    "I;16": (lambda: wide("<u2"), 0),
    "I;16B": (lambda: wide(">u2"), 0),
    "F": (lambda: Image.fromarray(GREY.astype(np.float32) / 255), 0),
    "RGB": (lambda: Image.fromarray(COLOURS), 0),
    "RGBA": (lambda: Image.fromarray(COLOURS).convert("RGBA"), 0),
    "RGBa": (lambda: Image.fromarray(COLOURS).convert("RGBA").convert("RGBa"), 0),
    "RGBX": (lambda: Image.fromarray(COLOURS).convert("RGBX"), 0),
    "CMYK": (lambda: Image.fromarray(COLOURS).convert("CMYK"), 0),
    "YCbCr": (lambda: Image.fromarray(COLOURS).convert("YCbCr"), 3),
    "HSV": (lambda: Image.fromarray(COLOURS).convert("HSV"), 6),
    "LAB": (lambda: Image.fromarray(COLOURS).convert("LAB"), 18),
}


def expected(mode: str) -> np.ndarray:
    grey = np.where(GREY > 127, 255, 0) if mode == "1" else GREY
    return COLOURS if mode[0] in "RCYH" or mode == "LAB" else np.stack([grey] * 3, axis=2)


@pytest.mark.parametrize("mode", MODES)
def test_a_picture_is_the_same_in_every_mode(mode: str) -> None:
    make, tolerance = MODES[mode]
    picture = make()
    assert picture.mode == mode
    before = picture.tobytes()
    seen = to_rgb(picture)
    assert seen.mode == "RGB"
    off = np.abs(np.asarray(seen).astype(int) - expected(mode))
    assert off.max() <= tolerance
    assert off.mean() <= 1.5
    assert (picture.mode, picture.tobytes()) == (mode, before)
    np.testing.assert_array_equal(np.asarray(ImageArrays([picture])[0]), np.asarray(seen))


@pytest.mark.parametrize(
    ("mode", "suffix"),
    [
        *(("I;16", suffix) for suffix in ("png", "tif")),
        *(("F", "tif"), ("I", "tif"), ("CMYK", "tif"), ("LAB", "tif"), ("1", "tif")),
        *((mode, "png") for mode in ("1", "L", "LA", "P", "RGBA")),
    ],
)
def test_files_bytes_and_pictures_are_seen_alike(tmp_path: Path, mode: str, suffix: str) -> None:
    path = tmp_path / f"a.{suffix}"
    MODES[mode][0]().save(path)
    seen = np.asarray(ImageFiles([path])[0])
    assert np.abs(seen.astype(int) - expected(mode)).max() <= MODES[mode][1]
    for given in (Image.open(path), {"bytes": path.read_bytes()}, {"path": str(path)}):
        np.testing.assert_array_equal(np.asarray(as_image_source(given)[0]), seen)


def test_a_tiff_of_12_bits_and_one_whose_white_is_zero(tmp_path: Path) -> None:
    def tiff(bits: int, photometric: int, data: bytes) -> Image.Image:
        tags = [(256, 2), (257, 1), (258, bits), (259, 1), (262, photometric), (273, 8)]
        tags += [(277, 1), (278, 1), (279, len(data))]
        entries = b"".join(struct.pack("<HHIHH", tag, 3, 1, value, 0) for tag, value in tags)
        start = 8 + len(data)
        body = struct.pack("<2sHI", b"II", 42, start) + data
        return Image.open(io.BytesIO(body + struct.pack("<H", len(tags)) + entries + b"\0\0\0\0"))

    twelve = to_rgb(tiff(12, 1, bytes([0xFF, 0xF8, 0x00, 0x00])))  # 4095 and 2048, packed
    assert [twelve.getpixel((x, 0)) for x in (0, 1)] == [(255,) * 3, (128,) * 3]
    inverse = to_rgb(tiff(16, 0, struct.pack("<2H", 0, 65535)))
    assert [inverse.getpixel((x, 0)) for x in (0, 1)] == [(255,) * 3, (0,) * 3]


def test_16_bits_are_rounded_to_the_nearest_of_255_steps() -> None:
    picture = Image.frombytes("I;16", (5, 1), struct.pack("<5H", 0, 128, 129, 65406, 65407))
    assert np.asarray(to_rgb(picture))[0, :, 0].tolist() == [0, 0, 1, 254, 255]


@pytest.mark.parametrize(
    ("values", "told"),
    [
        (np.array([[0, 65536]], np.int32), "mode I are 0 to 65535, it has 0 to 65536"),
        (np.array([[-1, 5]], np.int32), "mode I are 0 to 65535, it has -1 to 5"),
        (np.array([[0, 1.5]], np.float32), "mode F are 0 to 1, it has 0 to 1.5"),
        (np.array([[-0.5, 1]], np.float32), "mode F are 0 to 1, it has -0.5 to 1"),
        (np.array([[np.nan, 1]], np.float32), "mode F are 0 to 1, it has nan"),
    ],
)
def test_grey_values_outside_of_the_range_are_refused_by_name(
    tmp_path: Path, values: np.ndarray, told: str
) -> None:
    picture = Image.fromarray(values)
    with pytest.raises(CorruptImageError, match=rf"image 0: .*{told}.*scale them"):
        ImageArrays([picture]).open(0)
    picture.save(tmp_path / "a.tif")
    with pytest.raises(CorruptImageError, match=rf"a\.tif: .*{told}"):
        ImageFiles([tmp_path / "a.tif"]).open(0)


def clear_pictures() -> dict[str, tuple[Image.Image, dict[str, object]]]:
    """Pictures of two pixels, the first wholly clear, the second dark and opaque."""
    two = Image.new("P", (2, 1))
    two.putpalette([200, 0, 0, 30, 30, 30])
    two.putdata([0, 1])
    grey = Image.fromarray(np.array([[200, 30]], np.uint8))
    wider = Image.frombytes("I;16", (2, 1), struct.pack("<2H", 200 * 257, 30 * 257))
    colours = Image.merge("RGB", [grey] * 3)
    alpha = Image.fromarray(np.array([[0, 255]], np.uint8))
    return {
        "P with one clear colour": (two, {"transparency": 0}),
        "P with alphas": (two, {"transparency": bytes([0, 255])}),
        "L": (grey, {"transparency": 200}),
        "I;16": (wider, {"transparency": 200 * 257}),
        "RGB": (colours, {"transparency": (200, 200, 200)}),
        "LA": (Image.merge("LA", [grey, alpha]), {}),
        "RGBA": (Image.merge("RGBA", [*colours.split(), alpha]), {}),
    }


@pytest.mark.parametrize("kind", clear_pictures())
def test_what_is_transparent_is_white(tmp_path: Path, kind: str) -> None:
    picture, options = clear_pictures()[kind]
    picture.save(tmp_path / "a.png", **options)
    for given in (tmp_path / "a.png", Image.open(tmp_path / "a.png")):
        source = as_image_source(given)
        for _ in range(2):  # the first time leaves no trace in the picture
            seen = source[0]
            assert [seen.getpixel((x, 0)) for x in (0, 1)] == [(255,) * 3, (30,) * 3]


def test_what_is_half_transparent_is_half_white() -> None:
    for mode, tolerance in (("RGBA", 0), ("RGBa", 2), ("LA", 0), ("La", 2)):
        base = "LA" if mode in ("LA", "La") else "RGBA"
        colour = (100, 128) if base == "LA" else (100, 100, 100, 128)
        seen = to_rgb(Image.new(base, (1, 1), colour).convert(mode)).getpixel((0, 0))
        assert isinstance(seen, tuple)
        assert max(abs(value - 177) for value in seen) <= tolerance


def test_a_clear_colour_of_a_16_bit_file_is_found_in_8_bits() -> None:
    picture = Image.fromarray(np.array([[[200, 10, 7], [30, 30, 30]]], np.uint8))
    picture.info["transparency"] = (200 * 257, 10 * 257, 7 * 257)
    assert to_rgb(picture).getpixel((0, 0)) == (255, 255, 255)
    assert to_rgb(picture).getpixel((1, 0)) == (30, 30, 30)
    assert picture.info["transparency"] == (200 * 257, 10 * 257, 7 * 257)


def photograph(orientation: int) -> Image.Image:
    """Stored so that, turned as its EXIF says, it shows COLOURS."""
    back = {
        1: lambda a: a,
        2: lambda a: a[:, ::-1],
        3: lambda a: a[::-1, ::-1],
        4: lambda a: a[::-1],
        5: lambda a: a.transpose(1, 0, 2),
        6: lambda a: np.rot90(a),
        7: lambda a: a[::-1, ::-1].transpose(1, 0, 2),
        8: lambda a: np.rot90(a, -1),
    }
    return Image.fromarray(np.ascontiguousarray(back[orientation](COLOURS)))


@pytest.mark.parametrize("suffix", ["png", "tif", "webp"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_photograph_stands_as_its_camera_says(
    tmp_path: Path, orientation: int, suffix: str
) -> None:
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    path = tmp_path / f"a.{suffix}"
    options = {"lossless": True} if suffix == "webp" else {}
    photograph(orientation).save(path, exif=exif, **options)
    seen = ImageFiles([path])[0]
    np.testing.assert_array_equal(np.asarray(seen), COLOURS)
    np.testing.assert_array_equal(np.asarray(to_rgb(seen)), COLOURS)  # turned once only
    for given in (Image.open(path), {"bytes": path.read_bytes()}):
        np.testing.assert_array_equal(np.asarray(as_image_source(given)[0]), COLOURS)


def test_the_digest_of_a_picture_in_memory_is_of_what_is_seen(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[ORIENTATION] = 6
    photograph(6).save(tmp_path / "turned.png", exif=exif)
    photograph(6).save(tmp_path / "plain.png")
    given = [Image.open(tmp_path / name) for name in ("turned.png", "plain.png")]
    turned, plain, whole = (ImageArrays([*given, COLOURS]).digest(row) for row in range(3))
    assert turned == whole != plain


@pytest.mark.parametrize(
    ("size", "opened"),
    [
        ((600, 900), (600, 900)),
        ((300, 450), (300, 450)),
        ((450, 300), (600, 900)),  # as it is stored, a half would do
        ((150, 226), (300, 450)),
    ],
)
def test_a_sideways_jpeg_is_decoded_no_smaller_than_asked(
    tmp_path: Path, size: tuple[int, int], opened: tuple[int, int]
) -> None:
    exif = Image.Exif()
    exif[ORIENTATION] = 6
    Image.fromarray(COLOURS).resize((900, 600)).save(tmp_path / "a.jpg", exif=exif)
    assert is_sideways(Image.open(tmp_path / "a.jpg"))
    assert ImageFiles([tmp_path / "a.jpg"]).open(0, size=size).size == opened


@pytest.mark.filterwarnings("ignore:Corrupt EXIF")
@pytest.mark.parametrize(
    "exif",
    [
        b"II*\0",
        b"",
        b"no TIFF",
        b"MM\0*\0\0\0\x08\0",
        b"MM\0*\0\0\0\x08\0\1\x01\x12\0\2\0\0\0\2" + b"6\0\0\0" * 2,
    ],
)
def test_a_damaged_exif_block_does_not_stop_a_picture(tmp_path: Path, exif: bytes) -> None:
    Image.fromarray(COLOURS).save(tmp_path / "a.png", exif=b"Exif\0\0" + exif)
    np.testing.assert_array_equal(np.asarray(ImageFiles([tmp_path / "a.png"])[0]), COLOURS)


def test_an_orientation_of_no_known_number_says_nothing(tmp_path: Path) -> None:
    for value in (0, 9):
        exif = Image.Exif()
        exif[ORIENTATION] = value
        Image.fromarray(COLOURS).save(tmp_path / "a.png", exif=exif)
        np.testing.assert_array_equal(np.asarray(ImageFiles([tmp_path / "a.png"])[0]), COLOURS)


@pytest.mark.parametrize("suffix", ["gif", "tif", "webp", "png"])
def test_of_several_frames_the_first_is_seen(tmp_path: Path, suffix: str) -> None:
    frames = [Image.new("RGB", (4, 3), (shade,) * 3) for shade in (0, 255)]
    frames[0].save(tmp_path / f"a.{suffix}", save_all=True, append_images=frames[1:])
    assert ImageFiles([tmp_path / f"a.{suffix}"])[0].getpixel((0, 0)) == (0, 0, 0)


@pytest.mark.parametrize("size", [(0, 5), (5, 0), (0, 0)])
def test_a_picture_without_pixels_is_refused(size: tuple[int, int]) -> None:
    for given in (Image.new("RGB", size), np.zeros((*size, 3), np.uint8)):
        with pytest.raises(CorruptImageError, match=r"image 0: .*it has no pixels"):
            ImageArrays([given]).open(0)


def test_what_is_upright_and_in_rgb_is_not_copied() -> None:
    picture = Image.fromarray(COLOURS)
    assert to_rgb(picture) is picture
