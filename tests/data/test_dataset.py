from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from crosshash.data import DATASETS, PairedDataset

IDS = ["a", "b", "c"]
TEXTS = [["a dog", "one dog"], ["a cat"], ["a bird", "some bird"]]
LABELS = [[1, 0], [0, 1], [0, 0]]


def pictures(n=3):
    return np.arange(n * 4 * 5 * 3, dtype=np.uint8).reshape(n, 4, 5, 3)


def features(n=3, d=4):
    return np.random.default_rng(0).normal(size=(n, d))


def make(**changed):
    parts = {"name": "t", "ids": IDS, "images": pictures(), "texts": TEXTS, "labels": LABELS}
    return PairedDataset(**{**parts, **changed})


def test_the_readers_are_registered():
    assert {"flickr8k", "imagefolder", "mirflickr", "nuswide", "shapes", "wiki"} <= set(
        DATASETS.names()
    )


def test_kinds_tell_pixels_and_captions_from_features():
    dataset = make()
    assert (len(dataset), dataset.image_kind, dataset.text_kind) == (3, "pixels", "captions")
    dataset = make(images=features(), texts=features(d=2))
    assert (dataset.image_kind, dataset.text_kind) == ("features", "features")
    assert dataset.images.dtype == dataset.texts.dtype == np.float32


def test_images_may_be_paths_or_pictures(tmp_path):
    paths = [tmp_path / f"{name}.png" for name in IDS]
    for path, picture in zip(paths, pictures(), strict=True):
        Image.fromarray(picture).save(path)
    for images in (paths, [Image.fromarray(picture) for picture in pictures()]):
        dataset = make(images=images)
        assert dataset.image_kind == "pixels"
        np.testing.assert_array_equal(np.asarray(dataset.images.open(1)), pictures()[1])


def test_summary_counts():
    assert make(skipped=["x.jpg: truncated"]).summary() == {
        "pairs": 3,
        "captions": 5,
        "labels": 2,
        "unlabelled": 1,
        "skipped": 1,
    }
    summary = make(images=features(d=4), texts=features(d=2), labels=None).summary()
    assert summary == {"pairs": 3, "image_dim": 4, "text_dim": 2, "skipped": 0}


def test_caption_policies():
    dataset = make(texts=[["a dog ", "one dog"], "a cat", ["a bird"]])
    assert dataset.captions() == ["a dog", "a cat", "a bird"]
    assert dataset.captions("join") == ["a dog one dog", "a cat", "a bird"]
    assert dataset.all_captions() == ["a dog", "one dog", "a cat", "a bird"]
    with pytest.raises(ValueError, match="'random' is unknown; use 'first', 'join' or 'each'"):
        dataset.captions("random")


def test_text_features_have_no_captions():
    dataset = make(texts=features())
    for ask in (dataset.captions, dataset.all_captions):
        with pytest.raises(ValueError, match="text features and no captions"):
            ask()


@pytest.mark.parametrize("kind", ["pixels", "features"])
def test_select_takes_every_part_in_the_order_asked(kind):
    images = pictures() if kind == "pixels" else features()
    dataset = make(images=images, label_names=["dog", "cat"], skipped=["x"])
    part = dataset.select([2, 0]).select(np.array([1, 0])).select([1])
    assert part.ids == ("c",)
    assert part.texts == [["a bird", "some bird"]]
    assert part.labels.tolist() == [[0, 0]]
    assert part.label_names == ("dog", "cat")
    assert part.skipped == ("x",)
    assert part.image_kind == kind
    if kind == "pixels":
        np.testing.assert_array_equal(np.asarray(part.images.open(0)), pictures()[2])
        assert part.images.digest(0) == dataset.images.digest(2)
        assert part.images.name(0) == dataset.images.name(2)
    else:
        np.testing.assert_array_equal(part.images, dataset.images[2:])


def test_select_refuses_what_is_no_list_of_rows():
    with pytest.raises(IndexError, match="row -1 is outside 0…2"):
        make().select([0, -1])
    with pytest.raises(IndexError, match="row 3 is outside"):
        make().select([3])
    with pytest.raises(ValueError, match="row numbers, got bool"):
        make().select([True, False, True])
    with pytest.raises(ValueError, match="more than once"):
        make().select([0, 0])


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"images": pictures(2)}, "2 images for 3 ids"),
        ({"images": features(4)}, "4 image feature rows for 3 ids"),
        ({"texts": TEXTS[:2]}, "2 texts for 3 ids"),
        ({"texts": features(2)}, "2 text feature rows for 3 ids"),
        ({"labels": LABELS[:2]}, "2 label rows for 3 ids"),
        ({"ids": [], "images": pictures(0), "texts": [], "labels": None}, "has no pairs"),
    ],
)
def test_counts_must_agree(changed, message):
    with pytest.raises(ValueError, match=message):
        make(**changed)


def test_an_id_twice_is_refused_by_name():
    with pytest.raises(ValueError, match=r"1 ids come more than once \('a'\)"):
        make(ids=["a", "b", "a"])


@pytest.mark.parametrize("value", [np.nan, np.inf, 1e300])
@pytest.mark.parametrize("part", ["images", "texts"])
def test_features_that_are_not_finite_are_refused_with_count_and_name(part, value):
    bad = features()
    bad[1:, 2] = value  # 1e300 is infinite as a 32-bit number
    kind = part.removesuffix("s")
    with pytest.raises(ValueError, match=f"{kind} features of 2 pairs are NaN .* 'b' \\(row 1\\)"):
        make(**{part: bad})


@pytest.mark.parametrize("bad", [np.zeros((3, 0)), np.zeros((3, 4), dtype=int)])
def test_features_are_floating_and_not_empty(bad):
    with pytest.raises(ValueError, match="image features are a floating array"):
        make(images=bad)


def test_pixels_that_are_no_bytes_are_refused():
    with pytest.raises(ValueError, match=r"uint8 arrays .* got float64 of shape \(3, 4, 5, 3\)"):
        make(images=pictures() / 255)


@pytest.mark.parametrize("value", [2, -1, 0.5, np.nan])
def test_labels_other_than_0_and_1_are_refused_by_place(value):
    labels = np.array(LABELS, dtype=float)
    labels[2, 1] = value
    with pytest.raises(ValueError, match=r"1 values are not, .* for pair 'c' in column 1"):
        make(labels=labels)


@pytest.mark.parametrize("kind", [bool, int, float])
def test_labels_become_bytes(kind):
    dataset = make(labels=np.array(LABELS, dtype=kind))
    assert dataset.labels.dtype == np.uint8
    assert dataset.labels.tolist() == LABELS


def test_labels_of_the_wrong_width_or_shape_are_refused():
    with pytest.raises(ValueError, match="2 label columns but 3 label names"):
        make(label_names=["dog", "cat", "bird"])
    with pytest.raises(ValueError, match=r"axes \(pairs, classes\), got int64 of shape \(3,\)"):
        make(labels=[0, 1, 1])
    with pytest.raises(ValueError, match="label names but no labels"):
        make(labels=None, label_names=["dog"])
    with pytest.raises(ValueError, match="a label name comes twice"):
        make(label_names=["dog", "dog"])


def test_a_pair_without_words_is_refused_by_name():
    with pytest.raises(ValueError, match="pair 'b' has no caption"):
        make(texts=[["a dog"], [], ["a bird"]])
    with pytest.raises(ValueError, match="pair 'c' has the caption '  '"):
        make(texts=[["a dog"], ["a cat"], ["a bird", "  "]])
    with pytest.raises(ValueError, match="pair 'a' has the caption 7"):
        make(texts=[[7], ["a cat"], ["a bird"]])
    with pytest.raises(ValueError, match="texts are a list, got one string"):
        make(texts="abc")


def test_what_a_rule_dropped_is_counted_and_kept():
    dataset = make(dropped={"no tag": 4, "no label": 0})
    assert dataset.summary()["dropped: no tag"] == 4
    assert list(dataset.summary())[-2:] == ["dropped: no tag", "dropped: no label"]
    assert dataset.select([2, 0]).dropped == {"no tag": 4, "no label": 0}
    assert make().dropped == {}
    with pytest.raises(ValueError, match=r"numbers of pairs, got \{'no tag': -1\}"):
        make(dropped={"no tag": -1})


def test_blank_texts_are_allowed_where_asked():
    dataset = make(texts=[["a dog"], [], " "], blank="allow")
    assert dataset.captions() == ["a dog", "", ""]
    assert dataset.summary()["blank"] == 2
    assert dataset.select([1]).captions("join") == [""]
    with pytest.raises(ValueError, match="pair 'b' has the caption 7"):
        make(texts=[["a dog"], [7], ["a"]], blank="allow")
    with pytest.raises(ValueError, match="blank='skip': use 'raise' or 'allow'"):
        make(blank="skip")


def test_pictures_are_indexed_and_looped_over():
    dataset = make()
    assert (np.asarray(dataset.images[-1]) == pictures()[2]).all()
    assert [np.asarray(picture).tolist() for picture in dataset.images] == pictures().tolist()
    part = dataset.select([2, 0])
    assert (np.asarray(part.images[0]) == pictures()[2]).all()
    assert len(part.images[:1]) == 1


def test_a_dataset_says_what_it_is_in_a_line():
    assert repr(make()) == "PairedDataset('t', 3 pairs, images: pixels, texts: captions, 2 labels)"
    bare = make(images=features(), texts=features(d=2), labels=None)
    assert repr(bare) == (
        "PairedDataset('t', 3 pairs, images: features (4), texts: features (2), no labels)"
    )


def test_a_pair_may_have_several_texts_as_features():
    rows = features(n=6, d=2)
    dataset = make(texts=rows, text_counts=[1, 3, 2])
    np.testing.assert_allclose(dataset.texts, rows[[0, 1, 4]], rtol=1e-6)
    chosen = dataset.select([2, 0])
    every, counts = chosen.every_text()
    assert counts.tolist() == [2, 1]
    np.testing.assert_allclose(every, rows[[4, 5, 0]], rtol=1e-6)
    assert make().every_text()[0] == ["a dog", "one dog", "a cat", "a bird", "some bird"]
    assert make().every_text()[1].tolist() == [2, 1, 2]
    assert make(texts=features(d=2)).every_text()[1].tolist() == [1, 1, 1]


@pytest.mark.parametrize(
    ("counts", "message"),
    [
        ([1, 2, 2], "6 text feature rows, but text_counts add up to 5"),
        ([1, 5], "3 whole numbers of at least 1"),
        ([0, 3, 3], "3 whole numbers of at least 1"),
        ([1.0, 3.0, 2.0], "3 whole numbers of at least 1"),
    ],
)
def test_numbers_of_texts_fit_their_rows(counts, message):
    with pytest.raises(ValueError, match=message):
        make(texts=features(n=6, d=2), text_counts=counts)


def test_each_caption_policy_has_the_first_where_nothing_is_drawn():
    assert make().captions("each") == make().captions("first")


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"name": "caf\udce9"}, "its name has half of a character"),
        ({"label_names": ["a", "b\ud800"]}, r"the label name 'b\\ud800' has half of a character"),
        ({"texts": ["fine", ["fine", "a\udfff dog"]]}, r"pair 'q': the caption .* has half of a"),
    ],
)
def test_text_that_no_file_can_hold_is_refused_when_it_is_read(changes, said):
    values = {
        "name": "toy",
        "ids": ["p", "q"],
        "images": np.ones((2, 3), np.float32),
        "texts": ["a", "b"],
        "labels": np.eye(2),
        "label_names": ["a", "b"],
    }
    PairedDataset(**{**values, "ids": ["p\udcff.jpg", "q"]})  # as the file is called
    with pytest.raises(ValueError, match=said):
        PairedDataset(**{**values, **changes})
