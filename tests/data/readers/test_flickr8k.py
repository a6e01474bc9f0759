from __future__ import annotations

import csv
import gzip

import numpy as np
import pytest
from PIL import Image

from crosshash.data import DATASETS

flickr8k = DATASETS["flickr8k"]
SPLIT = "4b8fa1cad8ea0c807797d25779c60b8b0560735d60ffc5c2194879aabf589c9b"
NAMES = ["a.jpg", "b.jpg", "c.jpg"]


@pytest.fixture(scope="module")
def real(shared_data):
    return flickr8k(shared_data / "flickr8k")


@pytest.fixture
def small(tmp_path):
    """The layout with three photographs."""
    (tmp_path / "images").mkdir()
    for name in NAMES:
        Image.new("RGB", (8, 8)).save(tmp_path / "images" / name)
    captions = [(name, f"caption {i} of {name}") for name in NAMES for i in range(2)]
    write(tmp_path / "captions.csv", ["image", "caption"], captions)
    write(tmp_path / "labels.csv", ["image", "dog", "cat"], [(n, 1, 0) for n in NAMES])
    splits = [("a.jpg", 1, 0, 0), ("b.jpg", 0, 1, 1), ("c.jpg", 0, 1, 0)]
    write(tmp_path / "splits.csv", ["image", "query", "retrieval", "train"], splits)
    np.save(tmp_path / "mobilenetv2_features.npy", np.ones((3, 4), dtype=np.float16))
    return tmp_path


@pytest.fixture(scope="module")
def photographs(tmp_path_factory):
    """A folder of empty files, and the numbers in their names."""
    from crosshash.data.readers.flickr8k import _SHIPPED

    with gzip.open(_SHIPPED, "rt") as file:
        numbers = [line.partition(",")[0] for line in file][1:]
    folder = tmp_path_factory.mktemp("photographs")
    for number in numbers:
        (folder / f"{number}_0a1b.jpg").touch()
    return folder, numbers


@pytest.fixture
def official(tmp_path, photographs):
    """The authors' layout under their photographs' numbers: empty files, captions made up."""
    folder, numbers = photographs
    (tmp_path / "Flicker8k_Dataset").symlink_to(folder)
    lines = [
        f"{number}_0a1b.jpg#{i}\tcaption {i} of {number} . \n"
        for number in reversed(numbers)
        for i in range(2)
    ]
    (tmp_path / "Flickr8k.token.txt").write_text("".join([*lines, "1_2.jpg.1#0\ta lost one\n"]))
    return tmp_path


def write(path, header, rows):
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([header, *rows])


def test_the_counts_are_those_of_the_data_set(real):
    dataset, protocol = real
    assert dataset.summary() == {
        "pairs": 8091,
        "captions": 40455,
        "labels": 24,
        "unlabelled": 73,
        "skipped": 0,
    }
    assert protocol.counts() == {"query": 1000, "retrieval": 7018, "train": 5000}
    assert protocol.overlaps() == {
        "query_retrieval": 0,
        "query_train": 0,
        "retrieval_train": 5000,
    }
    assert set(map(len, dataset.texts)) == {5}
    assert protocol.digest(dataset.ids) == SPLIT


def test_parts_of_a_pair_belong_together(real):
    dataset, _ = real
    row = dataset.ids.index("1001773457_577c3a7d70.jpg")
    assert dataset.captions()[row] == "A black dog and a spotted dog are fighting"
    assert {dataset.label_names[i] for i in np.flatnonzero(dataset.labels[row])} == {
        "dog",
        "street",
    }
    assert dataset.images.name(row).endswith(dataset.ids[row])
    assert dataset.images.open(row).size == (224, 224)


def test_queries_share_a_label_with_a_third_of_the_database(real):
    dataset, protocol = real
    query, retrieval = (dataset.labels[rows] for rows in (protocol.query, protocol.retrieval))
    relevant = query.astype(float) @ retrieval.T.astype(float) > 0
    assert relevant.mean() == pytest.approx(0.332, abs=0.005)  # chance MAP


def test_features_are_in_the_order_of_the_pairs(real, shared_data):
    dataset, protocol = flickr8k(shared_data / "flickr8k", images="features")
    assert dataset.images.shape == (8091, 1280)
    assert dataset.images.dtype == np.float32
    assert dataset.ids == real[0].ids
    assert protocol.digest(dataset.ids) == real[1].digest(real[0].ids)
    # The first query's nearest picture by features shares its labels far above chance.
    part = dataset.select(protocol.query[:300])
    unit = part.images / np.linalg.norm(part.images, axis=1, keepdims=True)
    similarity = unit @ unit.T - 2 * np.eye(300)
    nearest = part.labels[similarity.argmax(1)]
    assert ((nearest * part.labels).sum(1) > 0).mean() > 0.7


def test_the_layout_is_read_at_any_size(small):
    dataset, protocol = flickr8k(small)
    assert dataset.ids == tuple(NAMES)
    assert dataset.texts[1] == ["caption 0 of b.jpg", "caption 1 of b.jpg"]
    assert (protocol.query.tolist(), protocol.train.tolist()) == ([0], [1])
    assert flickr8k(small, images="features")[0].images.shape == (3, 4)


def test_an_unknown_kind_of_images_is_refused(small):
    with pytest.raises(ValueError, match="images='raw' is unknown; use 'pixels' or 'features'"):
        flickr8k(small, images="raw")


def test_missing_photographs_are_counted_and_named(small):
    (small / "images" / "b.jpg").unlink()
    with pytest.raises(FileNotFoundError, match=r"1 of 3 photographs are missing.*b\.jpg"):
        flickr8k(small)
    assert len(flickr8k(small, images="features")[0]) == 3


@pytest.mark.parametrize(
    ("pictures", "captions"),
    [
        ("Flicker8k_Dataset", "Flickr8k.token.txt"),
        ("Flickr8k_Dataset", "Flickr8k_text/Flickr8k.token.txt"),
        ("Flickr8k_Dataset/Flicker8k_Dataset", "Flickr8k_text/Flickr8k.token.txt"),
    ],
)
def test_the_official_archives_give_what_the_tables_give(
    real, shared_data, tmp_path, pictures, captions
):
    dataset, protocol = real
    (tmp_path / pictures).parent.mkdir(exist_ok=True)
    (tmp_path / pictures).symlink_to(shared_data / "flickr8k" / "images")
    (tmp_path / captions).parent.mkdir(exist_ok=True)
    lines = [
        f"{name}#{i}\t{caption}"
        for name, texts in zip(dataset.ids, dataset.texts, strict=True)
        for i, caption in enumerate(texts)
    ]
    (tmp_path / captions).write_text("\n".join(lines))
    ours, split = flickr8k(tmp_path)
    assert ours.ids == dataset.ids
    assert ours.texts == dataset.texts
    assert ours.label_names == dataset.label_names
    assert np.array_equal(ours.labels, dataset.labels)
    assert split.digest(ours.ids) == protocol.digest(dataset.ids) == SPLIT
    assert [ours.images.digest(row) for row in (0, 8090)] == [
        dataset.images.digest(row) for row in (0, 8090)
    ]


def test_labels_and_split_come_with_the_package(official):
    dataset, protocol = flickr8k(official)
    assert (len(dataset), dataset.summary()["unlabelled"]) == (8091, 73)
    assert protocol.counts() == {"query": 1000, "retrieval": 7018, "train": 5000}
    # In the order of the package's table, whatever the order of the captions' lines.
    assert dataset.ids[0] == "1000268201_0a1b.jpg"
    assert dataset.texts[0] == ["caption 0 of 1000268201 .", "caption 1 of 1000268201 ."]
    assert [dataset.label_names[i] for i in np.flatnonzero(dataset.labels[1])] == ["dog", "street"]
    assert dataset.images.name(1).endswith("1001773457_0a1b.jpg")


def test_what_comes_with_the_package_is_small_and_has_no_caption():
    from crosshash.data.readers.flickr8k import _SHIPPED

    assert _SHIPPED.stat().st_size < 100_000
    with gzip.open(_SHIPPED, "rt") as file:
        concepts, *rows = [line.strip().split(",") for line in file]
    assert {name for *_, named in rows for name in named.split("|")} <= {
        "",
        *concepts[2].split("|"),
    }


def test_tables_go_before_the_official_archives(official, small):
    assert official == small
    assert len(flickr8k(official)[0]) == 3


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda text: text.partition("\n")[2].partition("\n")[2],
            "8,090 photographs, of which 8,090",
        ),
        (lambda text: "9_9.jpg#0\tanother\n" + text, "8,092 photographs, of which 8,091"),
        (lambda text: "a line without a tab\n" + text, r"line 1 is 'a line.*expected name\.jpg#0"),
    ],
)
def test_a_damaged_official_file_is_refused(official, change, message):
    path = official / "Flickr8k.token.txt"
    path.write_text(change(path.read_text()))
    with pytest.raises(ValueError, match=message):
        flickr8k(official)


def test_what_is_missing_of_the_official_archives_is_named(official):
    picture = official / "Flicker8k_Dataset" / "1000268201_0a1b.jpg"
    picture.unlink()
    try:
        with pytest.raises(FileNotFoundError, match=r"1 of 8091 photographs.*1000268201_0a1b\.jpg"):
            flickr8k(official)
    finally:
        picture.touch()
    (official / "Flicker8k_Dataset").rename(official / "pictures")
    with pytest.raises(FileNotFoundError, match="unpack the archive of the photographs"):
        flickr8k(official)
    (official / "Flickr8k.token.txt").unlink()
    with pytest.raises(FileNotFoundError, match=r"neither labels\.csv nor .*Flickr8k\.token\.txt"):
        flickr8k(official)


@pytest.mark.parametrize("name", ["captions.csv", "labels.csv", "splits.csv"])
def test_a_missing_table_is_named(small, name):
    (small / name).unlink()
    with pytest.raises(FileNotFoundError, match=name):
        flickr8k(small)


def test_missing_or_misfit_features_are_refused(small):
    path = small / "mobilenetv2_features.npy"
    np.save(path, np.ones((2, 4), dtype=np.float16))
    with pytest.raises(ValueError, match="2 image feature rows for 3 ids"):
        flickr8k(small, images="features")
    path.unlink()
    with pytest.raises(FileNotFoundError, match="use images='pixels'"):
        flickr8k(small, images="features")


@pytest.mark.parametrize(
    ("table", "old", "new", "message"),
    [
        ("splits.csv", "a.jpg,1", "x.jpg,1", r"splits\.csv: 'x\.jpg' is not in labels\.csv"),
        ("captions.csv", "a.jpg", "x.jpg", r"captions\.csv: 'x\.jpg' is not in labels\.csv"),
        ("splits.csv", "a.jpg,1,0", "a.jpg,1,1", "1 of 1 query pairs are in the retrieval set"),
        ("splits.csv", "a.jpg,1", "a.jpg,yes", "query of 'a.jpg' is 'yes'; it is 0 or 1"),
        ("splits.csv", "query,", "test,", "the columns are image, query, retrieval, train"),
        ("labels.csv", "a.jpg,1,0", "a.jpg,1", "row 2 has 2 columns, not 3"),
        ("labels.csv", "a.jpg,1", f"a.jpg,{'9' * 30}", r"labels\.csv: labels are 0 or 1"),
        (
            "captions.csv",
            "a.jpg,",
            f"a.jpg,{'x' * 200_000}",
            r"captions\.csv: cannot be read as CSV",
        ),
        ("labels.csv", "a.jpg,1", "a.jpg,dog", r"labels\.csv: labels are 0 or 1"),
        ("labels.csv", "a.jpg,1", "a.jpg,3", "labels are 0 or 1, but 1 values are not"),
        (
            "labels.csv",
            "c.jpg,1,0",
            "c.jpg,1,0\nb.jpg,1,0",
            r"1 ids come more than once \('b\.jpg'\)",
        ),
    ],
)
def test_tables_that_disagree_are_refused(small, table, old, new, message):
    path = small / table
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))
    with pytest.raises(ValueError, match=message):
        flickr8k(small)


def test_a_table_that_is_no_text_and_features_that_lie_are_refused(small):
    header = b"{'descr': '<f4', 'fortran_order': False, 'shape': (9000000000, 1280)}\n"
    start = b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little")
    (small / "mobilenetv2_features.npy").write_bytes(start + header + bytes(8))
    with pytest.raises(ValueError, match=r"mobilenetv2_features\.npy: .* bytes, and has"):
        flickr8k(small, images="features")
    (small / "captions.csv").write_bytes(b"image,caption\n\xff,\xfe\n")
    with pytest.raises(ValueError, match=r"captions\.csv: cannot be read as CSV in UTF-8"):
        flickr8k(small)
