from __future__ import annotations

import warnings

import numpy as np
import pytest
from PIL import Image

from crosshash.backbones import create_text_encoder
from crosshash.data import DATASETS
from crosshash.data.readers.mirflickr import CONCEPTS, common_tags

mirflickr = DATASETS["mirflickr"]
SMALL = {"query": 2, "train": 3}
# Image numbers and the bytes of their files of tags; 5 is Latin-1, 11 is UTF-8 with a signature.
TAGS = {
    1: b"Sunset\r\nsky\r\nsky\r\n",
    2: b"",
    3: b"zanzibar\r\nrare",
    4: b"d80\nb&w\n",
    5: b"\r\nrare\r\ncaf\xe9\r\n\r\nsky",
    6: b"sky\x85line\nsky",
    7: b"rare\n",
    10: b"b&w\r\nd80\r\n",
    11: "\ufeffété\r\nd80".encode(),
    12: b"d80\n",
}
COMMON = "sky 845\r\nd80 30\r\nb&w 25\r\nété 21\r\ncafé 20\r\nrare 19\r\n"
LABELS = {
    "sky": [1, 2, 3, 5, 6],
    "plant_life": [5, 10, 11],
    "animals": [11, 12],
}


def write(root, base=None, tags=TAGS, labels=LABELS, annotations="mirflickr25k_annotations_v080"):
    """A miniature of the official layout with its oddities; ``base`` is the unpacked zip."""
    base = root if base is None else base
    (base / "meta" / "tags").mkdir(parents=True)
    (base / "meta" / "tags_raw").mkdir()
    (base / "doc").mkdir()
    (root / annotations).mkdir(parents=True)
    for number, content in tags.items():
        (base / "meta" / "tags" / f"tags{number}.txt").write_bytes(content)
        Image.new("RGB", (4, 4), (number, 0, 0)).save(base / f"im{number}.jpg", "PNG")
    (base / "doc" / "common_tags.txt").write_bytes(COMMON.encode())
    for concept in CONCEPTS:
        numbers = labels.get(concept, [])
        text = "".join(f"{number}\r\n" for number in numbers)
        (root / annotations / f"{concept}.txt").write_bytes(text.encode())
    # The clear cases, which the papers do not use; 4 has no other label.
    (root / annotations / "sky_r1.txt").write_text("1\n4\n")
    (root / annotations / "README.txt").write_text("MIRFLICKR-25000 annotations\n")
    return root


@pytest.fixture
def small(tmp_path):
    return write(tmp_path / "mirflickr")


def read(root, **options):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # the counts of a miniature
        return mirflickr(root, **{**SMALL, **options})


def test_pairs_have_a_common_tag_and_a_label_and_are_in_numeric_order(small):
    dataset, protocol = read(small)
    assert dataset.ids == tuple(f"im{number}.jpg" for number in (1, 5, 6, 10, 11, 12))
    assert dataset.dropped == {"no common tag": 3, "no label": 1}
    assert dataset.summary() == {
        "pairs": 6,
        "captions": 6,
        "labels": 24,
        "unlabelled": 0,
        "skipped": 0,
        "dropped: no common tag": 3,
        "dropped: no label": 1,
    }
    assert protocol.counts() == {"query": 2, "retrieval": 4, "train": 3}


def test_texts_are_the_common_tags_each_once_in_their_order(small):
    dataset, _ = read(small)
    assert dataset.captions() == ["sky", "café sky", "sky", "b&w d80", "été d80", "d80"]


def test_all_tags_can_be_the_text_of_the_same_pairs(small):
    dataset, _ = read(small, tags="all")
    assert dataset.ids == read(small)[0].ids
    assert dataset.captions()[:3] == ["Sunset sky", "rare café sky", "skyline sky"]


def test_labels_are_those_of_the_24_lists_without_r1(small):
    dataset, _ = read(small)
    assert dataset.label_names == CONCEPTS == tuple(sorted(CONCEPTS))
    found = {
        concept: [dataset.ids[row] for row in np.flatnonzero(dataset.labels[:, column])]
        for column, concept in enumerate(CONCEPTS)
        if dataset.labels[:, column].any()
    }
    assert found == {
        "animals": ["im11.jpg", "im12.jpg"],
        "plant_life": ["im5.jpg", "im10.jpg", "im11.jpg"],
        "sky": ["im1.jpg", "im5.jpg", "im6.jpg"],
    }


def test_images_belong_to_their_pairs(small):
    dataset, _ = read(small)
    reds = [np.asarray(dataset.images.open(row))[0, 0, 0] for row in range(len(dataset))]
    assert reds == [1, 5, 6, 10, 11, 12]


def test_the_protocol_is_the_papers_for_any_number_of_readings(small):
    (one, first), (_, again) = read(small), read(small)
    assert first.digest(one.ids) == again.digest(one.ids)
    assert first.digest(one.ids) != read(small, seed=1)[1].digest(one.ids)
    with pytest.raises(ValueError, match="6 pairs, too few for the 2,000 queries and 10,000 train"):
        read(small, protocol="mdffh", query=None, train=None)
    with pytest.raises(ValueError, match="5,000 queries and 10,000 training pairs of protocol 'dc"):
        read(small, protocol="dchmt", query=None, train=None)


@pytest.mark.parametrize("paper", ["dcmh", "djsrh", "dchmt", "mith"])
def test_protocols_of_todays_papers_split_the_same_pairs(small, paper):
    dataset, protocol = read(small, protocol=paper)
    assert dataset.ids == read(small)[0].ids
    assert protocol.name.startswith(f"{paper} (")
    protocol.check(len(dataset))


def test_counts_other_than_the_papers_are_told_with_both_numbers(small):
    expected = (
        r"found 10 images \(the papers have 25,000\), 5 common tags \(the papers have 1,386\), "
        r"6 pairs \(the papers have 20,015\)"
    )
    with pytest.warns(UserWarning, match=expected):
        mirflickr(small, **SMALL)


@pytest.mark.parametrize("annotations", ["annotations", "../mirflickr25k_annotations_v080"])
def test_the_zip_may_be_unpacked_below_the_root_and_annotations_beside_it(tmp_path, annotations):
    root = tmp_path / "data"
    write(root, root / "mirflickr", annotations=annotations)
    assert len(read(root)[0]) == 6
    assert common_tags(root) == ("sky", "d80", "b&w", "été", "café")


def test_annotations_may_be_anywhere(small, tmp_path):
    (small / "mirflickr25k_annotations_v080").rename(tmp_path / "elsewhere")
    with pytest.raises(FileNotFoundError, match=r"annotations_v080\.zip there, or give its folder"):
        read(small)
    assert len(read(small, annotations=tmp_path / "elsewhere")[0]) == 6


def test_images_may_be_in_a_folder_of_their_own(small):
    (small / "images").mkdir()
    for path in small.glob("im*.jpg"):
        path.rename(small / "images" / path.name)
    assert read(small)[0].images.name(0).endswith("images/im1.jpg")


def test_missing_images_are_counted_and_named_or_skipped(small):
    for number in (2, 6, 12):  # 2 is no pair anyway
        (small / f"im{number}.jpg").unlink()
    with pytest.raises(
        FileNotFoundError, match=r"2 of 6 images are missing, the first is im6\.jpg"
    ):
        read(small)
    dataset, _ = read(small, on_missing="skip", query=1, train=2)
    assert dataset.ids == ("im1.jpg", "im5.jpg", "im10.jpg", "im11.jpg")
    assert dataset.skipped == ("im6.jpg: no such image", "im12.jpg: no such image")
    assert dataset.captions() == ["sky", "café sky", "b&w d80", "été d80"]


@pytest.mark.parametrize("name", ["meta/tags/tags5.txt", "doc/common_tags.txt"])
def test_a_missing_file_is_named(small, name):
    (small / name).unlink()
    with pytest.raises(FileNotFoundError, match=name.rpartition("/")[2]):
        read(small)


def test_a_missing_concept_is_named(small):
    (small / "mirflickr25k_annotations_v080" / "sea.txt").unlink()
    with pytest.raises(FileNotFoundError, match=r"sea\.txt: the list of the concept 'sea'"):
        read(small)


def test_a_folder_that_is_something_else_is_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"unpack mirflickr25k\.zip there"):
        read(tmp_path)


def test_damaged_lists_are_refused(small):
    path = small / "mirflickr25k_annotations_v080" / "sea.txt"
    path.write_text("1\nim2\n")
    with pytest.raises(ValueError, match=r"sea\.txt: a line is the number of an image .*'im2'"):
        read(small)
    path.write_text("99\n")
    with pytest.raises(FileNotFoundError, match=r"1 files of tags are missing, .* tags99\.txt"):
        read(small)
    path.write_text("")
    (small / "doc" / "common_tags.txt").write_text(f"sky {'9' * 5000}\n")
    with pytest.raises(ValueError, match=r"common_tags\.txt: a line is a tag and how often"):
        read(small)
    (small / "doc" / "common_tags.txt").write_text("sky 845\nblue sky 30\n")
    with pytest.raises(ValueError, match="a line is a tag and how often it occurs, got 'blue sky"):
        read(small)


@pytest.mark.parametrize("option", ["tags", "on_missing"])
def test_unknown_options_are_refused(small, option):
    with pytest.raises(ValueError, match=f"{option}='some' is unknown"):
        read(small, **{option: "some"})


def test_the_official_list_is_a_vocabulary(small):
    dataset, _ = read(small)
    path = small / "doc" / "common_tags.txt"
    path.write_bytes(path.read_bytes().replace(b"rare 19\r\n", b""))  # the real one ends at 20
    encoder = create_text_encoder("bow", tokens="tags", vocabulary=str(path))
    assert tuple(encoder.vocabulary) == common_tags(small)
    rows = encoder.prepare(dataset.captions())["bow"].tolist()
    assert rows[1] == [1, 0, 0, 0, 1]
    assert rows[3] == [0, 1, 1, 0, 0]


def test_the_whole_collection_with_its_real_labels(shared_data, tmp_path):
    """25,000 photographs, so many of them without a common tag that 20,015 pairs remain."""
    with np.load(shared_data / "label-sets" / "mirflickr25k.npz") as stored:
        names, labels, numbers = stored["names"], stored["labels"], stored["image"]
    assert tuple(names) == CONCEPTS
    labelled = labels.any(axis=1)
    tagless = np.zeros(len(labels), dtype=bool)
    tagless[np.flatnonzero(labelled)[: labelled.sum() - 20_015]] = True
    for folder in ("meta/tags", "doc", "annotations"):
        (tmp_path / folder).mkdir(parents=True)
    for row, number in enumerate(numbers):
        tags = "" if tagless[row] else f"tag{row % 1386}\r\nrare{row}\r\n"
        (tmp_path / "meta" / "tags" / f"tags{number}.txt").write_text(tags, newline="")
        (tmp_path / f"im{number}.jpg").touch()
    common = "".join(f"tag{tag} 20\n" for tag in range(1386))
    (tmp_path / "doc" / "common_tags.txt").write_text(common)
    for column, name in enumerate(names):
        listed = numbers[labels[:, column] == 1]
        (tmp_path / "annotations" / f"{name}.txt").write_text("\n".join(map(str, listed)))

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        dataset, protocol = mirflickr(tmp_path)
    assert dataset.dropped == {"no common tag": 4_566, "no label": 419}
    np.testing.assert_array_equal(dataset.labels, labels[labelled & ~tagless])
    assert protocol.counts() == {"query": 2_000, "retrieval": 18_015, "train": 5_000}
