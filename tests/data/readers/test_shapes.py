from __future__ import annotations

import hashlib
import re

import numpy as np
import pytest

from crosshash.data import DATASETS
from crosshash.data.shapes.drawing import OUTLINES
from crosshash.data.shapes.scene import BACKGROUNDS, COLOURS, KINDS, SETTINGS
from crosshash.data.shapes.words import COLOUR_WORDS, GROUND_WORDS, KIND_WORDS

shapes = DATASETS["shapes"]


# Of the first 200 pairs with seed 0. They change only together with the published checkpoints.
WORDS = "1db853b92b09127301f7c55e174bf0c7e84121cc0ce8f63aad20e16e26566c5d"
SPLIT = "2eede13a76986519974ea3b68a4b2ee064451b5a2891ed4157109aeea9d7574a"


def pixels(dataset):
    return np.stack([np.asarray(dataset.images.open(i)) for i in range(len(dataset))])


@pytest.fixture(scope="module")
def drawn():
    return shapes(n=600)


def test_the_default_sizes():
    sizes = {"n": 3000, "query": None, "train": None}
    assert {name: shapes.__kwdefaults__[name] for name in sizes} == sizes
    _, protocol = shapes(n=300)  # a tenth of it
    assert protocol.counts() == {"query": 40, "retrieval": 260, "train": 200}


def test_pairs_have_a_picture_two_captions_and_labels(drawn):
    dataset, protocol = drawn
    assert dataset.summary() == {
        "pairs": 600,
        "captions": 1200,
        "labels": 16,
        "unlabelled": 0,
        "skipped": 0,
    }
    assert dataset.label_names == (*KINDS, *SETTINGS)
    assert dataset.images.open(0).size == (64, 64)
    assert (dataset.labels[:, :12].sum(axis=1) >= 1).all()
    assert (dataset.labels[:, :12].sum(axis=1) <= 4).all()
    assert (dataset.labels[:, 12:].sum(axis=1) <= 1).all()
    protocol.check(600)


def test_the_same_seed_draws_the_same_and_another_seed_does_not():
    (one, split), (same, same_split), (other, _) = (shapes(n=20, seed=s) for s in (7, 7, 8))
    np.testing.assert_array_equal(pixels(one), pixels(same))
    assert one.texts == same.texts
    assert split.digest(one.ids) == same_split.digest(same.ids)
    assert (pixels(one) != pixels(other)).any()
    assert one.texts != other.texts


def test_words_and_labels_are_the_same_on_every_platform():
    dataset, protocol = shapes(n=200)
    said = repr(dataset.texts).encode() + dataset.labels.tobytes()
    assert hashlib.sha256(said).hexdigest() == WORDS
    assert protocol.digest(dataset.ids) == SPLIT


def test_the_first_pairs_are_the_same_for_any_number_and_size():
    small, large, wide = shapes(n=10)[0], shapes(n=30)[0], shapes(n=10, size=96)[0]
    np.testing.assert_array_equal(pixels(small), pixels(large)[:10])
    assert small.texts == large.texts[:10] == wide.texts
    np.testing.assert_array_equal(small.labels, wide.labels)
    assert pixels(wide).shape == (10, 96, 96, 3)


def test_every_kind_colour_and_background_has_an_outline_and_words():
    assert set(OUTLINES) == set(KIND_WORDS) == set(KINDS)
    assert set(COLOUR_WORDS) == set(COLOURS)
    assert set(GROUND_WORDS) == {*SETTINGS, *BACKGROUNDS}
    corners = np.concatenate([np.array(points) for points in OUTLINES.values()])
    assert np.hypot(*corners.T).max() < 1.3


def test_chance_is_a_third():
    # What a search that knows nothing reaches: the share of pairs with a common label.
    labels = shapes(n=1000, size=32)[0].labels.astype(float)
    assert (labels @ labels.T > 0).mean() == pytest.approx(0.32, abs=0.02)


def test_words_tell_the_labels_and_colours_do_not(drawn):
    pytest.importorskip("sklearn", reason="needs scikit-learn")
    from sklearn.feature_extraction.text import CountVectorizer
    from sklearn.linear_model import RidgeClassifier
    from sklearn.metrics import average_precision_score

    dataset, protocol = drawn
    histogram = np.stack(
        [np.bincount((p // 64 @ [16, 4, 1]).ravel(), minlength=64) for p in pixels(dataset)]
    )
    words = CountVectorizer(binary=True).fit_transform(dataset.captions()).toarray()
    held, kinds = protocol.query, dataset.labels[:, :12].astype(int)

    def precision(inputs):
        model = RidgeClassifier(alpha=3.0).fit(inputs[protocol.train], kinds[protocol.train])
        return average_precision_score(kinds[held], model.decision_function(inputs[held]))

    chance = kinds.mean()
    assert precision(histogram / 500) < chance + 0.12
    assert 0.7 < precision(words) < 0.98


def test_captions_are_plain_sentences_that_vary(drawn):
    captions = drawn[0].all_captions()
    assert len(set(captions)) > 0.95 * len(captions)
    for text in captions:
        assert re.fullmatch(r"[a-z]+(,? [a-z]+)*", text), text
        assert not re.search(r"\ba [aeiou]|\ban [^aeiou]", text), text


def test_some_captions_leave_things_out_and_some_name_what_is_absent(drawn):
    dataset, _ = drawn
    named = np.array(
        [
            [any(re.search(rf"\b{word}\b", text) for word in KIND_WORDS[kind]) for kind in KINDS]
            for text in dataset.captions()
        ]
    )
    there = dataset.labels[:, :12].astype(bool)
    assert 0.05 < (there & ~named).sum() / there.sum() < 0.3
    assert 0.03 < (named & ~there).any(axis=1).mean() < 0.15


def test_a_shape_stands_out_from_its_ground():
    from crosshash.data.shapes.drawing import render
    from crosshash.data.shapes.scene import Item, Scene

    for kind in KINDS:
        for colour in COLOURS:
            item = Item(kind, colour, 0.5, 0.5, 0.25, 0.0, mirrored=False, outline=False)
            with_it, without = (
                render(Scene("plain", items), 64, np.random.default_rng(0)).astype(int)
                for items in ((item,), ())
            )
            # The random draws after the shape differ, so compare with a margin above the grain.
            changed = np.abs(with_it - without)[16:48, 16:48].max(axis=2) > 60
            assert changed.sum() > 60, (kind, colour)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"n": 1}, "n >= 2 and size >= 32"),
        ({"size": 16}, "n >= 2 and size >= 32"),
        ({"n": 100, "query": 50, "train": 60}, "100 pairs cannot be split into 50 queries"),
    ],
)
def test_sizes_that_do_not_fit_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        shapes(**{"n": 10, **options})
