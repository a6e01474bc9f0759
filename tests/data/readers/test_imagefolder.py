from __future__ import annotations

import csv
import json
import os
import threading

import numpy as np
import pytest
from PIL import Image

from crosshash.data import DATASETS
from crosshash.images import CorruptImageError

imagefolder = DATASETS["imagefolder"]


def picture(path, colour=0):
    path.parent.mkdir(parents=True, exist_ok=True)
    noise = np.random.default_rng(colour).integers(0, 256, (32, 32, 3), dtype=np.uint8)
    Image.fromarray(noise).save(path)


def truncate(path):
    path.write_bytes(path.read_bytes()[:-400])


def write_csv(path, rows, header=("file_name", "text")):
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([header, *rows])


def write_jsonl(path, rows):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


@pytest.fixture
def folder(tmp_path):
    """Four pictures, without metadata."""
    root = tmp_path / "holiday"
    for index in range(4):
        picture(root / f"{index}.jpg", index)
    return root


def plain(n=4):
    return [(f"{index}.jpg", f"picture {index}") for index in range(n)]


def test_a_csv_file_names_images_texts_and_labels(folder):
    rows = [
        ("0.jpg", 'a "red", large kite', "kite|sky"),
        ("1.jpg", "Straße über den Fluß", "street"),
        ("2.jpg", "a street", " sky | street "),
        ("3.jpg", "nothing", ""),
    ]
    write_csv(folder / "metadata.csv", rows, ("file_name", "text", "labels"))
    dataset, protocol = imagefolder(folder)
    assert dataset.name == "holiday"
    assert dataset.ids == ("0.jpg", "1.jpg", "2.jpg", "3.jpg")
    assert dataset.captions() == [row[1] for row in rows]
    assert dataset.label_names == ("kite", "sky", "street")
    assert dataset.labels.tolist() == [[1, 1, 0], [0, 0, 1], [0, 1, 1], [0, 0, 0]]
    assert dataset.images.open(2).size == (32, 32)
    assert dataset.summary()["unlabelled"] == 1
    protocol.check(len(dataset))


def test_json_lines_have_lists(folder):
    rows = [
        {"file_name": "0.jpg", "captions": ["one", "two"], "label": ["b", "a"]},
        {"file_name": "1.jpg", "captions": "three", "label": "a|b"},
        {"file_name": "2.jpg", "captions": ["four"], "label": None},
        {"file_name": "3.jpg", "captions": ["five"], "label": 7},
    ]
    write_jsonl(folder / "metadata.jsonl", rows)
    dataset, _ = imagefolder(folder)
    assert dataset.texts == [["one", "two"], ["three"], ["four"], ["five"]]
    assert dataset.label_names == ("7", "a", "a|b", "b")
    assert dataset.labels.tolist() == [[0, 1, 0, 1], [0, 0, 1, 0], [0, 0, 0, 0], [1, 0, 0, 0]]


def test_a_byte_order_mark_and_blank_lines_do_no_harm(folder):
    text = "file_name,text\r\n0.jpg,a\r\n\r\n1.jpg,b\r\n2.jpg,c\r\n"
    (folder / "metadata.csv").write_bytes(b"\xef\xbb\xbf" + text.encode())
    assert imagefolder(folder)[0].captions() == ["a", "b", "c"]


def test_repeated_rows_add_captions(folder):
    rows = [("0.jpg", "one", "a"), ("1.jpg", "x", "b"), ("./0.jpg", "two", ""), ("0.jpg", "3", "a")]
    write_csv(folder / "metadata.csv", rows, ("file_name", "caption", "labels"))
    dataset, _ = imagefolder(folder)
    assert dataset.texts == [["one", "two", "3"], ["x"]]
    assert dataset.labels.tolist() == [[1, 0], [0, 1]]


def test_repeated_rows_must_not_change_labels(folder):
    rows = [("0.jpg", "one", "a"), ("0.jpg", "two", "b")]
    write_csv(folder / "metadata.csv", rows, ("file_name", "text", "labels"))
    with pytest.raises(ValueError, match=r"line 3: 0.jpg has another split or other labels"):
        imagefolder(folder)


def test_columns_may_have_other_names(folder):
    rows = [(*row, "no", "x") for row in plain()]
    write_csv(folder / "metadata.csv", rows, ("file_name", "title", "text", "tags"))
    dataset, _ = imagefolder(folder, text_column="title", label_column="tags")
    assert dataset.captions()[0] == "picture 0"
    assert dataset.label_names == ("x",)
    with pytest.raises(ValueError, match=r"no column 'titel' \(option text_column\)"):
        imagefolder(folder, text_column="titel")


def test_given_label_names_fix_the_columns_and_find_misspelt_labels(folder):
    rows = [{"file_name": f"{i}.jpg", "text": "t", "labels": ["dog"]} for i in range(4)]
    write_jsonl(folder / "metadata.jsonl", rows)
    dataset, _ = imagefolder(folder, label_names=["cat", "dog", "bird"])
    assert dataset.labels.tolist() == [[0, 1, 0]] * 4
    assert dataset.label_names == ("cat", "dog", "bird")
    with pytest.raises(ValueError, match=r"line 1: label 'dog' is not in label_names.*'dogs'"):
        imagefolder(folder, label_names=["cat", "dogs"])


def test_labels_may_be_vectors_of_one_width(folder):
    vectors = [[1, 0, 0], [0, 1, 1], [0, 0, 0], [1, 1, 1]]
    rows = [{"file_name": f"{i}.jpg", "text": "t", "labels": v} for i, v in enumerate(vectors)]
    write_jsonl(folder / "metadata.jsonl", rows)
    dataset, _ = imagefolder(folder, label_names=["a", "b", "c"])
    assert dataset.labels.tolist() == vectors
    assert imagefolder(folder)[0].label_names == ()
    with pytest.raises(ValueError, match="expected a vector of 2"):
        imagefolder(folder, label_names=["a", "b"])


@pytest.mark.parametrize("labels", [[1, 0], [1, 0, 0, 0], ["a", "b", "c"], []])
def test_a_label_vector_of_the_wrong_width_is_refused_by_line(folder, labels):
    rows = [{"file_name": f"{i}.jpg", "text": "t", "labels": [0, 1, 0]} for i in range(3)]
    rows.append({"file_name": "3.jpg", "text": "t", "labels": labels})
    write_jsonl(folder / "metadata.jsonl", rows)
    with pytest.raises(ValueError, match=r"line 4: the labels are .* a vector of 3 values"):
        imagefolder(folder)


@pytest.mark.parametrize("labels", [[0, 2], ["a", 1], [""], {"a": 1}, True, 0.5])
def test_labels_that_are_neither_names_nor_vectors_are_refused(folder, labels):
    rows = [{"file_name": "0.jpg", "text": "t", "labels": labels}]
    write_jsonl(folder / "metadata.jsonl", rows)
    with pytest.raises(ValueError, match=r"line 1: the labels are .* list of names or a vector"):
        imagefolder(folder)


def test_without_splits_a_tenth_are_queries_and_the_others_train(folder):
    for index in range(4, 30):
        picture(folder / f"{index}.jpg", index)
    write_csv(folder / "metadata.csv", plain(30))
    dataset, protocol = imagefolder(folder)
    assert protocol.name == "holiday/random-0"
    assert protocol.counts() == {"query": 3, "retrieval": 27, "train": 27}
    assert imagefolder(folder)[1].digest(dataset.ids) == protocol.digest(dataset.ids)
    assert imagefolder(folder, seed=1)[1].digest(dataset.ids) != protocol.digest(dataset.ids)
    sized = imagefolder(folder, query=5, train=0.4)[1]
    assert sized.counts() == {"query": 5, "retrieval": 25, "train": 10}
    with pytest.raises(ValueError, match=r"the option train is .* a fraction .*, got 1\.5"):
        imagefolder(folder, train=1.5)


def test_a_column_may_hold_the_splits(folder):
    for index in range(4, 6):
        picture(folder / f"{index}.jpg", index)
    splits = ["train", "test", "Train", "retrieval", "val", "test"]
    rows = [(*row, split) for row, split in zip(plain(6), splits, strict=True)]
    write_csv(folder / "metadata.csv", rows, ("file_name", "text", "split"))
    _, protocol = imagefolder(folder)
    assert protocol.name == "holiday"
    sets = {name: values.tolist() for name, values in protocol.sets().items()}
    assert sets == {
        "query": [1, 5],
        "retrieval": [0, 2, 3],
        "train": [0, 2],
        "validation": [4],
    }
    with pytest.raises(
        ValueError, match="has its own splits; leave out the options query and train"
    ):
        imagefolder(folder, query=2)


def test_split_folders_have_a_metadata_file_each(tmp_path):
    for split in ("train", "test"):
        for index in range(2):
            picture(tmp_path / split / "deep" / f"{index}.png", index)
        rows = [{"file_name": f"deep/{i}.png", "text": f"{split} {i}"} for i in range(2)]
        write_jsonl(tmp_path / split / "metadata.jsonl", rows)
    dataset, protocol = imagefolder(tmp_path)
    assert dataset.ids == (
        *("test/deep/0.png", "test/deep/1.png"),
        *("train/deep/0.png", "train/deep/1.png"),
    )
    assert protocol.query.tolist() == [0, 1]
    assert protocol.train.tolist() == protocol.retrieval.tolist() == [2, 3]


def test_split_folders_may_share_a_metadata_file_above_them(tmp_path):
    names = ["train/0.png", "train/1.png", "test/0.png"]
    for index, name in enumerate(names):
        picture(tmp_path / name, index)
    write_csv(tmp_path / "metadata.csv", [(name, name) for name in names])
    _, protocol = imagefolder(tmp_path)
    assert protocol.query.tolist() == [2]
    assert protocol.train.tolist() == [0, 1]


def test_training_pairs_only_are_split_at_random(tmp_path):
    for index in range(3):
        picture(tmp_path / "train" / f"{index}.jpg", index)
    write_csv(tmp_path / "train" / "metadata.csv", plain(3))
    assert imagefolder(tmp_path)[1].counts() == {"query": 1, "retrieval": 2, "train": 2}


@pytest.mark.parametrize(
    ("splits", "message"),
    [
        (["train", "train", "test", "tset"], r"line 5: split 'tset' is no split; known: .*test"),
        (["train", "train", "test", ""], r"line 5: split '' is no split"),
        (["train", "train", "val", "val"], "no pair in 'test'; mark the query pairs"),
        (["test", "test", "test", "test"], "no pair in 'train'"),
    ],
)
def test_wrong_splits_are_refused(folder, splits, message):
    rows = [(*row, split) for row, split in zip(plain(), splits, strict=True)]
    write_csv(folder / "metadata.csv", rows, ("file_name", "text", "split"))
    with pytest.raises(ValueError, match=message):
        imagefolder(folder)


def test_an_unknown_split_folder_is_refused(folder):
    picture(folder / "trial" / "0.jpg")
    write_csv(folder / "trial" / "metadata.csv", plain(1))
    with pytest.raises(ValueError, match=r"trial: the folder's name 'trial' is no split"):
        imagefolder(folder)


def test_images_in_no_split_are_refused(folder):
    picture(folder / "train" / "0.jpg")
    write_csv(folder / "metadata.csv", [("train/0.jpg", "a"), ("1.jpg", "b")])
    with pytest.raises(ValueError, match=r"line 3: 1\.jpg is in no split, others are"):
        imagefolder(folder)


def test_an_empty_folder_is_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"the folder is empty; expected .*metadata\.csv"):
        imagefolder(tmp_path)


def test_a_folder_without_metadata_is_refused(folder):
    with pytest.raises(FileNotFoundError, match=r"it holds 0\.jpg, 1\.jpg, 2\.jpg, …; expected"):
        imagefolder(folder)


def test_a_missing_folder_and_a_file_are_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match="not found"):
        imagefolder(tmp_path / "absent")
    (tmp_path / "file").write_text("")
    with pytest.raises(FileNotFoundError, match="not a folder"):
        imagefolder(tmp_path / "file")


def test_two_metadata_files_for_the_same_images_are_refused(folder):
    write_csv(folder / "metadata.csv", plain())
    write_jsonl(folder / "metadata.jsonl", [{"file_name": "0.jpg", "text": "t"}])
    with pytest.raises(ValueError, match=r"2 metadata files \(metadata\.csv, metadata\.jsonl\)"):
        imagefolder(folder)


@pytest.mark.parametrize(
    ("header", "message"),
    [
        (("image", "text"), "no column file_name; it has image, text"),
        (("file_name", "title"), "no column text, caption or captions; it has file_name, title"),
    ],
)
def test_missing_columns_are_refused(folder, header, message):
    write_csv(folder / "metadata.csv", plain(), header)
    with pytest.raises(ValueError, match=message):
        imagefolder(folder)


def test_two_text_columns_are_refused(folder):
    write_csv(folder / "metadata.csv", [("0.jpg", "a", "b")], ("file_name", "text", "caption"))
    with pytest.raises(
        ValueError, match="columns text and caption: choose one by the option text_column"
    ):
        imagefolder(folder)


def test_a_header_without_rows_is_refused(folder):
    write_csv(folder / "metadata.csv", [])
    with pytest.raises(ValueError, match=r"metadata\.csv: no rows"):
        imagefolder(folder)


def test_a_row_without_its_file_is_refused_by_line_and_name(folder):
    write_csv(folder / "metadata.csv", [*plain(), ("lost.jpg", "a lost picture")])
    with pytest.raises(FileNotFoundError, match=r"metadata\.csv, line 6: no image 'lost\.jpg' in"):
        imagefolder(folder)


@pytest.mark.parametrize("name", ["../0.jpg", "a/../../0.jpg", "..\\0.jpg", "C:\\0.jpg", "/0.jpg"])
def test_paths_out_of_the_folder_are_refused(folder, name):
    picture(folder.parent / "0.jpg")
    write_csv(folder / "metadata.csv", [(name, "a")])
    with pytest.raises(ValueError, match=r"line 2: file_name .* leads out of the folder"):
        imagefolder(folder)


@pytest.mark.parametrize("name", ["", None, 3])
def test_a_file_name_that_is_none_is_refused(folder, name):
    write_jsonl(folder / "metadata.jsonl", [{"file_name": name, "text": "a"}])
    with pytest.raises(ValueError, match=r"line 1: file_name is .*; it is the path of an image"):
        imagefolder(folder)


@pytest.mark.parametrize("text", ["", "   ", None, [], ["a", ""], 5])
def test_an_empty_caption_is_refused_by_line(folder, text):
    rows = [{"file_name": "0.jpg", "text": "fine"}, {"file_name": "1.jpg", "text": text}]
    write_jsonl(folder / "metadata.jsonl", rows)
    with pytest.raises(ValueError, match=r"line 2 \(1\.jpg\): text is .* at least one word"):
        imagefolder(folder)


def test_damaged_rows_are_refused_by_line(folder):
    file = folder / "metadata.csv"
    file.write_text("file_name,text\n0.jpg,a\n1.jpg,two, commas\n")
    with pytest.raises(ValueError, match=r"line 3: .* the header's 2 columns; put text"):
        imagefolder(folder)
    file.write_text("file_name,text\n0.jpg\n")
    with pytest.raises(ValueError, match=r"line 2: .* the header's 2 columns"):
        imagefolder(folder)
    file.write_bytes("file_name,text\n0.jpg,Straße\n".encode("latin-1"))
    with pytest.raises(ValueError, match="not UTF-8 text"):
        imagefolder(folder)
    file.unlink()
    file = folder / "metadata.jsonl"
    file.write_text('{"file_name": "0.jpg", "text": "a"}\n{"file_name": "1.jpg", "te\n')
    with pytest.raises(ValueError, match="line 2: not valid JSON"):
        imagefolder(folder)
    file.write_text('["0.jpg", "a"]\n')
    with pytest.raises(ValueError, match="line 1: expected a JSON object"):
        imagefolder(folder)
    file.write_text('{"file_name": "0.jpg", "text": "a"}\n{"file_name": "1.jpg"}\n')
    with pytest.raises(ValueError, match="line 2: no text; every row has"):
        imagefolder(folder)


def test_a_truncated_photograph_is_refused_by_name(folder):
    write_csv(folder / "metadata.csv", plain())
    truncate(folder / "2.jpg")
    with pytest.raises(CorruptImageError, match=r"2\.jpg: cannot be read .*truncated"):
        imagefolder(folder)


def test_a_truncated_photograph_is_skipped_and_reported_where_asked(folder):
    rows = [(*row, "ab"[index % 2]) for index, row in enumerate(plain())]
    write_csv(folder / "metadata.csv", rows, ("file_name", "text", "labels"))
    truncate(folder / "2.jpg")
    (folder / "1.jpg").write_text("no picture")
    dataset, protocol = imagefolder(folder, on_corrupt="skip")
    assert dataset.ids == ("0.jpg", "3.jpg")
    assert dataset.captions() == ["picture 0", "picture 3"]
    assert dataset.labels.tolist() == [[1, 0], [0, 1]]
    assert [line.split(":")[0] for line in dataset.skipped] == ["1.jpg", "2.jpg"]
    assert "truncated" in dataset.skipped[1]
    assert dataset.summary()["skipped"] == 2
    protocol.check(len(dataset))


def test_skipping_everything_is_an_error(folder):
    write_csv(folder / "metadata.csv", plain(1))
    truncate(folder / "0.jpg")
    with pytest.raises(ValueError, match="none of 1 images can be decoded"):
        imagefolder(folder, on_corrupt="skip")


def test_unchecked_images_fail_when_opened(folder):
    write_csv(folder / "metadata.csv", plain())
    truncate(folder / "2.jpg")
    dataset, _ = imagefolder(folder, check_images=False)
    assert dataset.images.open(1).size == (32, 32)
    with pytest.raises(CorruptImageError, match=r"2\.jpg"):
        dataset.images.open(2)
    with pytest.raises(ValueError, match="needs check_images, which finds"):
        imagefolder(folder, check_images=False, on_corrupt="skip")
    with pytest.raises(
        ValueError, match="the option on_corrupt is 'raise' or 'skip', got 'ignore'"
    ):
        imagefolder(folder, on_corrupt="ignore")


def test_the_folder_is_looked_for_below_the_data_folder(folder, monkeypatch):
    write_csv(folder / "metadata.csv", plain())
    monkeypatch.setenv("CROSSHASH_DATA", str(folder.parent))
    assert len(imagefolder("holiday")[0]) == 4


def test_no_threads_are_left_behind(folder):
    write_csv(folder / "metadata.csv", plain())
    before = threading.active_count()
    imagefolder(folder)
    assert threading.active_count() == before


@pytest.mark.parametrize("kind", ["file", "folder", "metadata"])
def test_links_out_of_the_folder_are_followed_only_where_asked(folder, kind):
    other = folder.parent / "other"
    picture(other / "secret.jpg", 9)
    rows = plain()
    if kind == "file":
        (folder / "4.jpg").symlink_to(other / "secret.jpg")
        rows.append(("4.jpg", "linked"))
    elif kind == "folder":
        (folder / "more").symlink_to(other)
        rows.append(("more/secret.jpg", "linked"))
    if kind == "metadata":
        write_csv(other / "any.csv", rows)
        (folder / "metadata.csv").symlink_to(other / "any.csv")
    else:
        write_csv(folder / "metadata.csv", rows)
    with pytest.raises(
        ValueError, match=r"by a link to .*other.*, outside of the folder.*follow_links"
    ):
        imagefolder(folder)
    dataset, _ = imagefolder(folder, follow_links=True)
    assert len(dataset) == len(rows)


def test_links_inside_of_the_folder_and_to_it_are_followed(folder):
    (folder / "deep").mkdir()
    (folder / "deep" / "4.jpg").symlink_to(folder / "0.jpg")
    write_csv(folder / "metadata.csv", [*plain(), ("deep/4.jpg", "linked")])
    link = folder.parent / "link"
    link.symlink_to(folder)
    assert len(imagefolder(link)[0]) == 5


def test_what_is_named_as_a_picture_and_is_no_file_is_refused_unopened(folder):
    os.mkfifo(folder / "pipe.jpg")
    (folder / "round.jpg").symlink_to("round.jpg")
    for name in ("pipe.jpg", "round.jpg"):
        write_csv(folder / "metadata.csv", [*plain(), (name, "text")])
        with pytest.raises(FileNotFoundError, match=f"line 6: no image '{name}'"):
            imagefolder(folder)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ('{"file_name": "1.jpg", "text": ' + "[" * 100_000, "nested deeper than 64"),
        ('{"file_name": "1.jpg", "text": "a", "text": "b"}', "the key 'text' stands twice"),
        ('{"file_name": "1.jpg", "text": "a", "labels": [NaN]}', "NaN is no finite number"),
        ('{"file_name": "1.jpg", "text": "a", "labels": ' + "9" * 5000 + "}", "limit"),
        ('{"file_name": "1.jpg", "text": "' + "a" * (1 << 20), "longer than 1,048,576"),
    ],
    ids=["deep", "twice", "nan", "digits", "long"],
)
def test_lines_that_were_made_to_do_harm_are_refused(folder, line, said):
    (folder / "metadata.jsonl").write_text('{"file_name": "0.jpg", "text": "a"}\n' + line + "\n")
    with pytest.raises(ValueError, match=rf"metadata\.jsonl, line 2: .*{said}"):
        imagefolder(folder)


def test_a_caption_that_no_file_can_hold_is_refused(folder):
    (folder / "metadata.jsonl").write_text('{"file_name": "0.jpg", "text": "a \\ud800 dog"}\n')
    with pytest.raises(ValueError, match=r"pair '0\.jpg': the caption .* half of a character"):
        imagefolder(folder)
