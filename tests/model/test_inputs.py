"""What encode_image and encode_text take, and what they say of all else."""

from __future__ import annotations

from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from crosshash import HashModel
from crosshash.data import PairedDataset


class Column(Sequence):
    """The column of a Hugging Face data set: decodes what is asked for, and makes no array."""

    def __init__(self, items: Sequence[Any]) -> None:
        self.items = items
        self.asked: list[int] = []

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, index: int) -> Any:
        self.asked.append(index)
        return self.items[index]


class Series:
    """The column of a table whose rows are not numbered from 0, as pandas gives them."""

    def __init__(self, items: Sequence[Any]) -> None:
        self.items = items

    def __array__(self, dtype: Any = None, copy: Any = None) -> np.ndarray:
        return np.array(self.items, dtype=object)

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, index: int) -> Any:
        raise KeyError(index)


def png(picture: Any) -> bytes:
    file = BytesIO()
    picture.save(file, "png")
    return file.getvalue()


def arrays(data: PairedDataset) -> np.ndarray:
    return np.stack([np.asarray(picture) for picture in data.images])


IMAGES = {
    "a list of pictures": lambda data, _: list(data.images),
    "a slice of a data set": lambda data, _: data.images[:],
    "a column of pictures": lambda data, _: Column(list(data.images)),
    "a column of encoded pictures": lambda data, _: Column(
        [{"bytes": png(picture), "path": None} for picture in data.images]
    ),
    "a column of files": lambda data, paths: Column(
        [{"bytes": None, "path": str(path)} for path in paths]
    ),
    "a column of paths": lambda data, paths: Column([str(path) for path in paths]),
    "a table's column of paths": lambda data, paths: Series([str(path) for path in paths]),
    "paths and pictures mixed": lambda data, paths: [*paths[:2], *list(data.images)[2:]],
    "bytes as an array": lambda data, _: arrays(data),
    "bytes as a tensor": lambda data, _: torch.from_numpy(arrays(data)),
    "an array in [0, 1]": lambda data, _: arrays(data) / 255,
    "an array of float32 in [0, 1]": lambda data, _: arrays(data).astype(np.float32) / 255,
    "a tensor in [0, 1]": lambda data, _: torch.from_numpy(arrays(data)) / 255,
    "a list of arrays in [0, 1]": lambda data, _: list(arrays(data) / 255),
}


@pytest.mark.parametrize("kind", IMAGES)
def test_the_same_pictures_of_any_kind_give_the_same_codes(
    model: HashModel, pictures: PairedDataset, tmp_path: Path, kind: str
) -> None:
    paths = [tmp_path / f"{row}.png" for row in range(len(pictures))]
    for path, picture in zip(paths, pictures.images, strict=True):
        picture.save(path)
    expected = model.encode_image(pictures.images)
    assert len(np.unique(expected, axis=0)) > 1
    np.testing.assert_array_equal(model.encode_image(IMAGES[kind](pictures, paths)), expected)


def test_one_picture_alone_may_be_of_any_kind(model: HashModel, pictures: PairedDataset) -> None:
    picture = pictures.images[3]
    array = np.asarray(picture)
    expected = model.encode_image(picture)
    assert expected.shape == (1, 8)
    for given in (array, array / 255, torch.from_numpy(array / 255), {"bytes": png(picture)}):
        np.testing.assert_array_equal(model.encode_image(given), expected)


def test_a_column_is_decoded_picture_by_picture(model: HashModel, pictures: PairedDataset) -> None:
    column = Column(list(pictures.images))
    model.encode_image(column)
    assert sorted(column.asked) == sorted([0, *range(len(column))])  # one look at its kind


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (None, "images are paths, PIL images.* got NoneType"),
        (7, "got int"),
        (b"\xff\xd8", "got bytes"),
        ([b"\xff\xd8"], "image 0: arrays are uint8 .* got a bytes"),
        ([None], "image 0: .* got a NoneType"),
        ([{"image": 1, "caption": "a"}], "image 0: .* got a dict"),
        ("https://example.org/a.jpg", "is an address, and pictures are not fetched; download it"),
        (["http://example.org/a.jpg"], "is an address"),
        ({"bytes": None, "path": None}, "image 0: has neither bytes nor a path"),
        ({"bytes": b"no picture"}, r"image 0: cannot be read .*no known format"),
        ([], "nothing to encode"),
        (np.zeros((0, 3, 8, 8)), "nothing to encode"),
        (np.zeros((2, 4, 8, 8)), r"\(n, 3, height, width\).*\(n, height, width, 3\).*\(2, 4, 8, 8"),
        (torch.zeros(3, 8, 8), r"\(n, 3, height, width\).*\(n, height, width, 3\).*\(3, 8, 8\)"),
        ({"image": np.zeros((2, 8, 9, 3))}, r"\(n, 3, height, width\), got the shape \(2, 8, 9, 3"),
        (np.full((2, 8, 9, 3), 200.0), r"image 0: .*values in \[0, 1\], got 0 to 200; scale it"),
        (np.full((2, 8, 9, 3), -0.5), r"got -0\.5 to 0"),
        (np.full((8, 9, 3), np.nan), r"values in \[0, 1\], got nan"),
        (np.zeros((2, 3, 8, 9), dtype=np.uint8), r"image 0: arrays are uint8 with axes"),
    ],
)
def test_what_is_no_picture_is_refused_with_what_to_pass(
    model: HashModel, given: Any, message: str
) -> None:
    with pytest.raises(ValueError, match=f"(?s){message}"):
        model.encode_image(given)


def test_of_two_readings_of_an_array_the_networks_order_of_axes_is_taken(
    model: HashModel, pictures: PairedDataset
) -> None:
    backbone = model.backbone("image")
    pixels = torch.stack([backbone.preprocess(picture) for picture in pictures.images])
    expected = model.encode_image(pictures.images)
    np.testing.assert_array_equal(model.encode_image(pixels), expected)
    np.testing.assert_array_equal(model.encode_image(pixels.double().numpy()), expected)
    # Three channels, 64 rows and three columns: not pictures of three rows, whose values would be
    # refused for being outside of [0, 1].
    assert model.encode_image(pixels[:, :, :, :3]).shape == expected.shape


TEXTS = {
    "a tuple": tuple,
    "an iterator": iter,
    "an array": np.array,
    "an array of objects": lambda texts: np.array(texts, dtype=object),
    "a data set's column": Column,
    "a table's column": Series,
}


@pytest.mark.parametrize("kind", TEXTS)
def test_strings_of_any_collection_give_the_same_codes(
    model: HashModel, pictures: PairedDataset, kind: str
) -> None:
    captions = pictures.captions()
    expected = model.encode_text(captions)
    np.testing.assert_array_equal(model.encode_text(TEXTS[kind](captions)), expected)


def test_tables_of_pandas_are_read(model: HashModel, pictures: PairedDataset) -> None:
    pandas = pytest.importorskip("pandas", reason="needs pandas, of the extra dev")
    captions = pictures.captions()
    column = pandas.Series(captions, index=range(5, 5 + len(captions)))
    np.testing.assert_array_equal(model.encode_text(column), model.encode_text(captions))


def test_strings_of_any_collection_reach_a_language_model(language_model: Path) -> None:
    import crosshash

    model = crosshash.create(
        "amgfh",
        bits=16,
        backbones={"name": "features", "dim": 6},
        text={"name": f"hf:{language_model}"},
        dim=16,
        hidden=[16],
        width=1,
    ).eval()
    captions = ["a dog runs", "the red circle"]
    expected = model.encode_text(captions)
    for wrap in TEXTS.values():
        np.testing.assert_array_equal(model.encode_text(wrap(captions)), expected)
    with pytest.raises(ValueError, match="text 0 is no string but list"):
        model.encode_text([["a dog"]])


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (None, "texts are a string, or many .* got NoneType"),
        (5, "got int"),
        (np.float32(5), "got float"),
        (b"a dog", "got bytes"),
        ({"a": "dog"}, "got dict"),
        ([b"a dog"], "text 0 is no string but bytes"),
        (["a red circle", None], "text 1 is no string but NoneType"),
        (Series(["a red circle", float("nan")]), "text 1 is no string but float: nan"),
        ([["a red", "circle"], ["a"]], "text 0 is no string but list: .*one for each item"),
        ([1, 2], "text 0 is no string but int: 1; .*rows of numbers are one array"),
        ([], "nothing to encode"),
        (np.zeros((0, 143)), "nothing to encode"),
    ],
)
def test_what_is_no_text_is_refused_with_what_to_pass(
    model: HashModel, given: Any, message: str
) -> None:
    with pytest.raises(ValueError, match=f"(?s){message}"):
        model.encode_text(given)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (None, "got NoneType"),
        ("a dog", "reads text features of width 10, not strings"),
        ([None], "expected an array of numbers"),
        ([["a", "b"], ["c"]], "expected an array of numbers"),
        ([], "nothing to encode"),
        (np.ones((2, 9)), "expected rows of width 10"),
    ],
)
def test_a_model_on_features_says_which(feature_model: HashModel, given: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        feature_model.encode_text(given)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (None, "this model reads image features.* got NoneType"),
        ("a.jpg", "reads image features of width 128, not pictures"),
        ([Path("a.jpg"), Path("b.jpg")], "reads image features of width 128, not pictures"),
        ({"bytes": b"", "path": None}, "nothing to extract from pictures"),
        ([None], "expected an array of numbers"),
        ([[1.0], [1.0, 2.0]], "expected an array of numbers"),
        ([], "nothing to encode"),
        (np.ones((2, 9)), "expected rows of width 128"),
        (np.ones((8, 8, 3), dtype=np.uint8), "expected rows of width 128"),
    ],
)
def test_a_model_on_image_features_says_which(
    feature_model: HashModel, given: Any, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        feature_model.encode_image(given)


@pytest.mark.parametrize(("side", "width"), [("image", 128), ("text", 10)])
def test_rows_of_any_numbers_are_features(feature_model: HashModel, side: str, width: int) -> None:
    encode = getattr(feature_model, f"encode_{side}")
    rows = np.eye(10, width)
    expected = encode(rows)
    for given in (
        rows.astype(np.int8),
        rows.astype(bool),
        rows.tolist(),
        list(rows),
        (row for row in rows),
        Series(list(rows)),
        torch.from_numpy(rows),
        torch.from_numpy(rows).char(),
        list(torch.from_numpy(rows)),
    ):
        np.testing.assert_array_equal(encode(given), expected)
    np.testing.assert_array_equal(encode(rows[2]), expected[2:3])
    np.testing.assert_array_equal(encode(rows[2].tolist()), expected[2:3])
