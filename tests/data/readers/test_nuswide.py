from __future__ import annotations

import warnings

import numpy as np
import pytest
from PIL import Image

from crosshash.backbones import create_text_encoder
from crosshash.data import DATASETS
from crosshash.data.readers.nuswide import CHOICES, PAIRS, tag_list

nuswide = DATASETS["nuswide"]
SMALL = {"classes": 2, "keep_tagless": True, "query": 2, "train": 3}
CONCEPTS = ["airport", "boats", "clouds", "sky"]
WORDS = ["nature", "sky", "d80", "café", "x"]
NAMES = [f"{'actor' if row < 5 else 'zoo'}\\{row:04d}_{1000 + row}.jpg" for row in range(9)]
# Rows are images, columns concepts; clouds and boats are most frequent, sky ties with airport.
TRUTH = np.array(
    [
        [0, 1, 0, 0],
        [0, 1, 1, 0],
        [1, 0, 0, 0],
        [0, 0, 1, 1],
        [0, 0, 0, 0],
        [0, 1, 1, 0],
        [0, 0, 1, 0],
        [0, 0, 0, 1],
        [1, 0, 1, 0],
    ]
)
TAGS = np.array(
    [
        [1, 0, 0, 1, 0],
        [0, 0, 0, 0, 0],
        [0, 0, 0, 0, 0],
        [0, 1, 1, 0, 0],
        [1, 1, 1, 1, 1],
        [0, 0, 0, 0, 1],
        [1, 1, 0, 0, 0],
        [0, 0, 0, 0, 0],
        [0, 0, 1, 0, 0],
    ]
)


def write(root, images="Flickr", nested=True, prefix="", flat_files=False):
    """A miniature of the official layout: CRLF, trailing spaces and tabs, Latin-1 tags."""

    def place(folder, name):
        path = root / name if flat_files else root / prefix / folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        return path

    place("ImageList", "Imagelist.txt").write_text(
        "".join(f"{name}\r\n" for name in NAMES), newline=""
    )
    place("ConceptsList", "Concepts81.txt").write_text("".join(f"{c}\r\n" for c in CONCEPTS))
    for concept, marks in zip(CONCEPTS, TRUTH.T, strict=True):
        path = place("Groundtruth/AllLabels", f"Labels_{concept}.txt")
        path.write_text("".join(f"{mark}\n" for mark in marks))
    train = place("Groundtruth/TrainTestLabels", "Labels_sky_Train.txt")
    train.write_text("-1130179\n")  # one line of the real files is this; they are not read
    place("NUS_WID_Tags", "TagList1k.txt").write_bytes("\r\n".join(WORDS).encode("latin-1"))
    place("NUS_WID_Tags", "AllTags1k.txt").write_text(
        "".join("\t".join(map(str, row)) + "\t\r\n" for row in TAGS), newline=""
    )
    for row, name in enumerate(NAMES):
        directory, file = name.split("\\")
        path = root / images / (directory if nested else "") / file
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (4, 4), (20 * row, 0, 0)).save(path, "PNG")
    return root


@pytest.fixture
def small(tmp_path):
    return write(tmp_path / "nuswide")


def read(root, **options):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # the counts of a miniature
        return nuswide(root, **{**SMALL, **options})


def ids(*rows):
    return tuple(NAMES[row].replace("\\", "/") for row in rows)


def test_pairs_have_one_of_the_most_frequent_concepts(small):
    dataset, protocol = read(small)
    assert dataset.name == "nuswide-tc2"
    assert dataset.ids == ids(0, 1, 3, 5, 6, 8)
    assert dataset.label_names == ("boats", "clouds")
    np.testing.assert_array_equal(dataset.labels, TRUTH[[0, 1, 3, 5, 6, 8]][:, [1, 2]])
    assert dataset.dropped == {"none of the 2 concepts": 3}
    assert dataset.summary()["blank"] == 1
    assert protocol.counts() == {"query": 2, "retrieval": 4, "train": 3}


def test_concepts_that_tie_are_taken_in_the_order_of_their_list(small):
    dataset, _ = read(small, classes=3)
    assert dataset.label_names == ("airport", "boats", "clouds")
    assert read(small, classes=4)[0].label_names == tuple(CONCEPTS)


def test_texts_are_the_official_tags_and_may_be_blank(small):
    dataset, _ = read(small)
    assert dataset.captions() == ["nature café", "", "sky d80", "x", "nature sky", "d80"]


def test_tagless_pairs_can_be_left_out_and_are_counted(small):
    dataset, _ = read(small, keep_tagless=False)
    assert dataset.name == "nuswide-tc2-tagged"
    assert dataset.ids == ids(0, 3, 5, 6, 8)
    assert dataset.captions() == ["nature café", "sky d80", "x", "nature sky", "d80"]
    assert dataset.dropped == {"none of the 2 concepts": 3, "no tag": 1}
    assert "blank" not in dataset.summary()


@pytest.mark.parametrize(
    "layout",
    [
        {"images": "images"},
        {"images": "images", "nested": False},
        {"images": "Flickr", "nested": False},
        {"prefix": "NUS-WIDE"},
        {"flat_files": True},
    ],
)
def test_images_belong_to_their_pairs_in_any_layout(tmp_path, layout):
    dataset, _ = read(write(tmp_path, **layout))
    reds = [int(np.asarray(dataset.images.open(row))[0, 0, 0]) for row in range(len(dataset))]
    assert reds == [0, 20, 60, 100, 120, 160]


def test_the_paper_of_the_protocol_says_which_pairs(small, monkeypatch):
    assert {paper: PAIRS[choice] for paper, choice in CHOICES.items()} == {
        "amgfh": 186_577,
        "mdffh": 195_834,
        "dmsfh": 190_421,
        "hfah": 195_834,
        "dcmh": 195_834,
        "djsrh": 186_577,
        "dchmt": 195_834,
        "mith": 190_421,
    }
    monkeypatch.setitem(CHOICES, "dmsfh", (3, False))
    monkeypatch.setitem(CHOICES, "amgfh", (1, True))
    sizes = {"classes": None, "keep_tagless": None}
    assert read(small, protocol="dmsfh", **sizes)[0].name == "nuswide-tc3-tagged"
    assert read(small, **sizes)[0].name == "nuswide-tc1"
    assert read(small, protocol="dmsfh", classes=4, keep_tagless=None)[0].name.endswith("4-tagged")
    monkeypatch.setitem(CHOICES, "mith", (2, False))
    dataset, protocol = read(small, protocol="mith", **sizes)
    assert dataset.name == "nuswide-tc2-tagged"
    assert protocol.name.startswith("mith (")
    with pytest.raises(
        ValueError, match=r"'split\.json' does not say which pairs .* give classes="
    ):
        read(small, protocol="split.json", classes=None)


def test_counts_other_than_the_papers_are_told_with_both_numbers(small, monkeypatch):
    monkeypatch.setitem(PAIRS, (2, True), 7)
    expected = (
        r"found 9 images \(the papers have 269,648\), 4 concepts \(the papers have 81\), "
        r"5 tags \(the papers have 1,000\), 6 pairs \(the papers have 7\)"
    )
    with pytest.warns(UserWarning, match=expected):
        nuswide(small, **SMALL)


def test_missing_images_are_counted_and_named_or_skipped(small):
    for row in (1, 4, 8):  # 4 is no pair anyway
        (small / "Flickr" / ids(row)[0]).unlink()
    with pytest.raises(
        FileNotFoundError, match=r"2 of 6 images are missing, the first is actor/0001_1001\.jpg"
    ):
        read(small)
    dataset, _ = read(small, on_missing="skip", query=1, train=2)
    assert dataset.ids == ids(0, 3, 5, 6)
    assert dataset.captions() == ["nature café", "sky d80", "x", "nature sky"]
    assert dataset.skipped[1] == "zoo/0008_1008.jpg: no such image"
    assert dataset.images.name(3).endswith("zoo/0006_1006.jpg")


@pytest.mark.parametrize(
    "name",
    [
        "ImageList/Imagelist.txt",
        "ConceptsList/Concepts81.txt",
        "Groundtruth/AllLabels/Labels_boats.txt",
        "NUS_WID_Tags/TagList1k.txt",
        "NUS_WID_Tags/AllTags1k.txt",
    ],
)
def test_a_missing_file_is_named(small, name):
    (small / name).unlink()
    with pytest.raises(FileNotFoundError, match=name):
        read(small)


def test_a_missing_folder_of_images_is_named(small):
    (small / "Flickr").rename(small / "pictures")
    with pytest.raises(FileNotFoundError, match="NUS-WIDE's images belong there"):
        read(small)


@pytest.mark.parametrize("name", ["Groundtruth/AllLabels/Labels_sky", "NUS_WID_Tags/AllTags1k"])
def test_files_that_are_cut_short_are_refused(small, name):
    path = small / f"{name}.txt"
    path.write_text("".join(path.read_text().splitlines(keepends=True)[:-1]))
    with pytest.raises(ValueError, match=r"8 lines for the 9 images of Imagelist\.txt"):
        read(small)


def test_a_table_of_another_width_is_refused(small):
    (small / "NUS_WID_Tags" / "TagList1k.txt").write_text("a\nb\n")
    with pytest.raises(ValueError, match=r"AllTags1k\.txt, line 1: 5 values, expected 2"):
        read(small)


def test_images_of_one_name_need_their_directories(tmp_path):
    write(tmp_path, nested=False)
    path = tmp_path / "ImageList" / "Imagelist.txt"
    path.write_text(path.read_text().replace("zoo\\0005_1005", "zoo\\0000_1000"))
    with pytest.raises(ValueError, match="1 images have the same name in two directories"):
        read(tmp_path)


@pytest.mark.parametrize("classes", [0, -1])
def test_classes_are_a_number_of_concepts(small, classes):
    with pytest.raises(ValueError, match="classes is a number of concepts"):
        read(small, classes=classes)


def test_more_classes_than_concepts_are_refused(small):
    with pytest.raises(ValueError, match=r"Concepts81\.txt: has 4 concepts, .* classes=5"):
        read(small, classes=5)


def test_unknown_ways_with_missing_images_are_refused(small):
    with pytest.raises(ValueError, match="on_missing='no' is unknown; use 'raise' or 'skip'"):
        read(small, on_missing="no")


def test_the_official_tags_are_in_the_order_of_the_columns(small):
    assert tag_list(small) == WORDS


def test_the_official_tags_are_a_vocabulary(small):
    dataset, _ = read(small)
    path = small / "NUS_WID_Tags" / "TagList1k.txt"
    encoder = create_text_encoder("bow", tokens="tags", vocabulary=str(path))
    assert encoder.vocabulary == WORDS
    texts = [text for text in dataset.captions() if text]
    rows = encoder.prepare(texts)["bow"]
    assert [[WORDS[i] for i in np.flatnonzero(row)] for row in rows.numpy()] == [
        text.split() for text in texts
    ]


@pytest.mark.parametrize("name", ["..\\..\\stolen.jpg", "actor/../../x.jpg", "/etc/x.jpg"])
def test_names_that_lead_out_of_the_data_set_are_refused(small, name):
    path = small / "ImageList" / "Imagelist.txt"
    path.write_text(path.read_text().replace(NAMES[0], name))
    with pytest.raises(ValueError, match=r"Imagelist\.txt: the image .* outside of the data set"):
        read(small)
    path.write_text(path.read_text().replace(name, NAMES[0]))
    path = small / "ConceptsList" / "Concepts81.txt"
    path.write_text(path.read_text().replace("sky", "../../secret"))
    with pytest.raises(ValueError, match=r"Concepts81\.txt: '\.\./\.\./secret' is no concept"):
        read(small)
