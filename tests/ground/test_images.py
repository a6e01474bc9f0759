from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from crosshash.images import (
    CorruptImageError,
    ImageArrays,
    ImageFiles,
    ImageSource,
    ImageSubset,
    as_image_source,
)


def noise(height: int = 12, width: int = 9, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


@pytest.fixture
def png(tmp_path: Path) -> Path:
    Image.fromarray(noise()).save(tmp_path / "a.png")
    return tmp_path / "a.png"


def test_a_file_opens_in_rgb(png: Path) -> None:
    picture = ImageFiles([png]).open(0)
    assert picture.mode == "RGB"
    assert (np.asarray(picture) == noise()).all()


@pytest.mark.parametrize("mode", ["L", "P", "RGBA", "CMYK", "1"])
def test_every_mode_becomes_rgb(tmp_path: Path, mode: str) -> None:
    suffix = "tif" if mode == "CMYK" else "png"
    Image.fromarray(noise()).convert(mode).save(tmp_path / f"a.{suffix}")
    assert ImageFiles([tmp_path / f"a.{suffix}"]).open(0).mode == "RGB"


def test_an_open_file_is_a_copy_that_needs_no_file(png: Path) -> None:
    picture = ImageFiles([png]).open(0)
    png.unlink()
    assert (np.asarray(picture) == noise()).all()


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"gone\.png: no such image file"):
        ImageFiles([tmp_path / "gone.png"]).open(0)


@pytest.mark.parametrize("content", [b"", b"no picture at all", b"\xff\xd8\xff\xe0 cut"])
def test_a_file_that_is_no_picture_is_named(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "b.jpg").write_bytes(content)
    with pytest.raises(CorruptImageError, match=r"b\.jpg: cannot be read as an image") as error:
        ImageFiles([tmp_path / "b.jpg"]).open(0)
    assert error.value.name == str(tmp_path / "b.jpg")


@pytest.mark.parametrize("suffix", ["jpg", "png", "gif", "bmp", "tif", "webp"])
def test_a_truncated_picture_is_corrupt_in_every_format(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"cut.{suffix}"
    Image.fromarray(noise(64, 64)).save(path)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(CorruptImageError, match="cut"):
        ImageFiles([path]).open(0)


@pytest.mark.filterwarnings("ignore")
def test_scrambled_bytes_raise_no_other_error(tmp_path: Path) -> None:
    corrupt = 0
    rng = np.random.default_rng(0)
    for suffix in ("jpg", "png", "gif", "tif"):
        path = tmp_path / f"s.{suffix}"
        Image.fromarray(noise(32, 32)).save(path)
        whole = np.frombuffer(path.read_bytes(), dtype=np.uint8)
        for _ in range(40):
            data = whole.copy()
            data[rng.integers(0, min(len(data), 300), 4)] = rng.integers(0, 256, 4)
            path.write_bytes(data.tobytes())
            try:
                ImageFiles([path]).open(0)
            except CorruptImageError:
                corrupt += 1
    assert corrupt > 20


def test_the_error_survives_the_way_out_of_a_worker_process() -> None:
    import copy

    error = copy.copy(CorruptImageError("a.jpg", "cut", "pass --skip-corrupt"))
    assert (error.name, error.reason, error.hint) == ("a.jpg", "cut", "pass --skip-corrupt")


def test_what_to_do_about_a_corrupt_picture_is_the_callers_word() -> None:
    plain = "a.jpg: cannot be read as an image (cut); "
    error = CorruptImageError("a.jpg", "cut")
    assert str(error) == plain + "replace or remove it, or leave such pictures out"
    error.hint = "pass --skip-corrupt"
    assert str(error) == plain + "pass --skip-corrupt"


@pytest.mark.parametrize("shape", [(5, 6), (5, 6, 3)])
def test_arrays_open_in_rgb(shape: tuple[int, ...]) -> None:
    array = np.zeros(shape, dtype=np.uint8)
    array[0, 0] = 200
    picture = ImageArrays([array]).open(0)
    assert picture.mode == "RGB"
    assert picture.size == (6, 5)
    assert picture.getpixel((0, 0)) == (200, 200, 200)


@pytest.mark.parametrize(
    "array",
    [
        np.zeros((5, 6)),
        np.zeros((5, 6, 4)),
        np.zeros((5, 6, 3), np.int64),
        np.zeros((3, 5, 6), np.uint8),
        np.zeros(5, np.uint8),
    ],
)
def test_arrays_of_another_kind_are_refused(array: np.ndarray) -> None:
    with pytest.raises(ValueError, match="image 0: arrays are uint8 with axes"):
        ImageArrays([array]).open(0)


def test_digests_are_of_the_contents(tmp_path: Path, png: Path) -> None:
    same = tmp_path / "same.png"
    same.write_bytes(png.read_bytes())
    files = ImageFiles([png, same])
    assert files.digest(0) == files.digest(1) == hashlib.sha256(png.read_bytes()).digest()
    arrays = ImageArrays([noise(), Image.fromarray(noise()), noise(seed=1)])
    assert arrays.digest(0) == arrays.digest(1) != arrays.digest(2)


def test_pictures_of_the_same_bytes_and_another_shape_differ() -> None:
    flat = np.zeros((4, 9, 3), dtype=np.uint8)
    assert ImageArrays([flat]).digest(0) != ImageArrays([flat.reshape(9, 4, 3)]).digest(0)


def test_sources_name_their_pictures(png: Path) -> None:
    assert ImageFiles([png]).name(0) == str(png)
    assert ImageArrays([noise()]).name(0) == "image 0"


@pytest.mark.parametrize(
    ("wrap", "count"),
    [
        (lambda path: path, 1),
        (lambda path: str(path), 1),
        (lambda path: [path, str(path)], 2),
        (lambda path: np.array([str(path)] * 2), 2),
        (lambda path: Image.open(path), 1),
        (lambda path: [Image.open(path)] * 3, 3),
        (lambda path: noise(), 1),
        (lambda path: noise()[:, :, 0], 1),
        (lambda path: np.stack([noise()] * 4), 4),
        (lambda path: [noise(), noise(5, 5)], 2),
        (lambda path: (noise() for _ in range(2)), 2),
        (lambda path: ImageFiles([path]), 1),
    ],
)
def test_one_or_many_of_any_kind_become_a_source(png: Path, wrap, count: int) -> None:
    source = as_image_source(wrap(png))
    assert len(source) == count
    assert all(source.open(row).mode == "RGB" for row in range(count))


def test_a_source_of_ones_own_passes() -> None:
    class Own:
        def __len__(self) -> int:
            return 0

        def open(self, index: int): ...

        def digest(self, index: int): ...

    own = Own()
    assert as_image_source(own) is own


@pytest.fixture
def jpeg(tmp_path: Path) -> Path:
    path = tmp_path / "large.jpg"
    Image.fromarray(noise(24, 36)).resize((900, 600), Image.Resampling.BICUBIC).save(path)
    return path


@pytest.mark.parametrize(
    ("size", "opened"),
    [
        (None, (900, 600)),
        ((900, 600), (900, 600)),
        ((301, 301), (900, 600)),  # more than half of the height
        ((300, 300), (450, 300)),
        ((226, 150), (450, 300)),  # more than a quarter of the width
        ((150, 150), (225, 150)),
        ((1, 1), (113, 75)),  # an eighth is the least
    ],
)
def test_a_jpeg_is_decoded_no_smaller_than_asked(
    jpeg: Path, size: tuple[int, int] | None, opened: tuple[int, int]
) -> None:
    assert ImageFiles([jpeg]).open(0, size=size).size == opened


def test_a_picture_decoded_small_shows_the_same(jpeg: Path) -> None:
    files = ImageFiles([jpeg])
    whole = files.open(0).resize((225, 150), Image.Resampling.BILINEAR)
    small = files.open(0, size=(225, 150))
    difference = np.abs(np.asarray(whole, dtype=int) - np.asarray(small, dtype=int))
    assert 0 < difference.max() <= 10
    assert difference.mean() < 2


@pytest.mark.parametrize("mode", ["L", "CMYK"])
def test_other_jpegs_decoded_small_are_rgb(tmp_path: Path, mode: str) -> None:
    path = tmp_path / "other.jpg"
    Image.fromarray(noise()).resize((90, 120)).convert(mode).save(path)
    picture = ImageFiles([path]).open(0, size=(20, 20))
    assert (picture.mode, picture.size) == ("RGB", (23, 30))


def test_other_formats_and_arrays_come_whole(png: Path) -> None:
    assert ImageFiles([png]).open(0, size=(2, 2)).size == Image.open(png).size
    assert ImageArrays([noise()]).open(0, size=(2, 2)).size == (9, 12)


def test_a_truncated_jpeg_is_found_at_any_size(jpeg: Path) -> None:
    jpeg.write_bytes(jpeg.read_bytes()[:-2000])
    with pytest.raises(CorruptImageError, match=r"large\.jpg"):
        ImageFiles([jpeg]).open(0, size=(32, 32))


def test_the_digest_is_of_the_file_whatever_the_size(jpeg: Path) -> None:
    assert ImageFiles([jpeg]).digest(0) == hashlib.sha256(jpeg.read_bytes()).digest()


def sources(folder: Path) -> dict[str, ImageSource]:
    """Six different pictures, as files, in memory and as a part of more."""
    arrays = [noise(seed=seed) for seed in range(6)]
    paths = [folder / f"{seed}.png" for seed in range(6)]
    for path, array in zip(paths, arrays, strict=True):
        Image.fromarray(array).save(path)
    more = ImageArrays([noise(seed=9), *arrays, noise(seed=8)])
    return {
        "files": ImageFiles(paths),
        "arrays": ImageArrays(arrays),
        "subset": ImageSubset(more, np.arange(1, 7)),
    }


@pytest.mark.parametrize("kind", ["files", "arrays", "subset"])
def test_a_source_is_indexed_as_a_list_is(tmp_path: Path, kind: str) -> None:
    source = sources(tmp_path)[kind]
    listed = [noise(seed=seed) for seed in range(6)]
    for index in (0, 5, -1, -6, np.int64(2)):
        assert (np.asarray(source[index]) == listed[index]).all()
    for part in (slice(1, 4), slice(None, None, -2), slice(-2, None), slice(4, 2)):
        found = source[part]
        assert len(found) == len(listed[part])
        assert all((np.asarray(f) == e).all() for f, e in zip(found, listed[part], strict=True))
        assert [found.digest(row) for row in range(len(found))] == [
            source.digest(row) for row in range(6)[part]
        ]
    assert (np.asarray(source[1:][1:][0]) == listed[2]).all()
    assert all((np.asarray(f) == e).all() for f, e in zip(source, listed, strict=True))


@pytest.mark.parametrize("kind", ["files", "arrays", "subset"])
def test_an_index_outside_of_a_source_is_refused(tmp_path: Path, kind: str) -> None:
    source = sources(tmp_path)[kind]
    for index in (6, -7):
        with pytest.raises(IndexError, match=f"picture {index} is outside of a source of 6"):
            source[index]
    with pytest.raises(TypeError):
        source[1.5]


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_floating_pictures_come_from_bytes_unchanged(dtype: type) -> None:
    every = np.arange(256, dtype=np.uint8).repeat(3).reshape(16, 16, 3)
    picture = ImageArrays([every.astype(dtype) / dtype(255)]).open(0)
    assert (np.asarray(picture) == every).all()


def test_floating_pictures_are_rounded_to_the_nearest_of_255_steps() -> None:
    values = np.array([0, 0.4, 0.6, 100.49, 100.51, 255]) / 255
    picture = ImageArrays([values.reshape(2, 1, 3)]).open(0)
    assert np.asarray(picture).ravel().tolist() == [0, 0, 1, 100, 101, 255]


@pytest.mark.parametrize(
    ("value", "told"), [(1.01, "0 to 1.01"), (-0.01, "-0.01 to 0"), (np.nan, "nan"), (255, "255")]
)
def test_floating_pictures_of_another_range_are_refused(value: float, told: str) -> None:
    array = np.zeros((4, 5, 3))
    array[1, 2, 0] = value
    with pytest.raises(ValueError, match=rf"image 1: .*values in \[0, 1\], got .*{told}"):
        ImageArrays([np.zeros((4, 5, 3)), array]).open(1)


def test_encoded_pictures_are_opened_from_bytes_or_a_path(png: Path, jpeg: Path) -> None:
    encoded = [
        {"bytes": png.read_bytes(), "path": None},
        {"bytes": png.read_bytes(), "path": "gone.png"},
        {"bytes": None, "path": str(png)},
        {"path": str(png)},
        {"bytes": bytearray(png.read_bytes())},
    ]
    for given in (encoded, iter(encoded), tuple(encoded)):
        source = as_image_source(given)
        assert len(source) == 5
        assert all((np.asarray(picture) == noise()).all() for picture in source)
    assert {source.digest(row) for row in range(5)} == {ImageFiles([png]).digest(0)}
    small = as_image_source({"bytes": jpeg.read_bytes()})
    assert small.open(0, size=(150, 150)).size == (225, 150)


def test_a_corrupt_encoded_picture_is_named_by_its_place_or_file(tmp_path: Path) -> None:
    (tmp_path / "b.jpg").write_bytes(b"no picture")
    source = ImageArrays([{"bytes": b"no picture"}, {"path": str(tmp_path / "b.jpg")}])
    with pytest.raises(CorruptImageError, match=r"image 0: .*\(it is in no known format\)"):
        source.open(0)
    with pytest.raises(CorruptImageError, match=r"b\.jpg: .*\(it is in no known format\)"):
        source.open(1)
    with pytest.raises(FileNotFoundError, match=r"gone\.png: no such image file"):
        ImageArrays([{"path": "gone.png"}]).open(0)


@pytest.mark.parametrize(
    "address",
    ["https://example.org/a.jpg", "HTTP://example.org/a.jpg", Path("https://a.org/b"), "s3://b/a"],
)
def test_an_address_is_refused_with_what_to_do(address: object) -> None:
    for given in (address, [address], [noise(), address]):
        with pytest.raises(ValueError, match=r"is an address, .*download it and pass the file"):
            list(as_image_source(given))


def test_names_that_look_a_little_like_addresses_are_files(tmp_path: Path) -> None:
    for name in ("http.png", "https:.png", "a:b.png"):
        Image.fromarray(noise()).save(tmp_path / name)
        assert as_image_source(str(tmp_path / name))[0].size == (9, 12)
