from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image

from crosshash.data import DATASETS
from crosshash.data.readers.coco import OFFICIAL, _needed

coco = DATASETS["coco"]
pytestmark = pytest.mark.filterwarnings("ignore:data set 'coco'. found:UserWarning")
SMALL = {"query": 1, "train": 1}
CATEGORIES = [
    {"id": 90, "name": "toothbrush"},
    {"id": 1, "name": "person"},
    {"id": 3, "name": "car"},
]
OUTLINE = {"segmentation": [[1.5, 2.0]], "bbox": [0, 0, 1, 1], "iscrowd": 0, "area": 2.5}
CROWD = {"segmentation": {"counts": [1, 2], "size": [4, 4]}, "iscrowd": 1}
PARTS = {
    "train": {
        "images": [30, 9],
        "captions": [
            (7, 30, "second of 30"),
            (5, 30, " first of 30\n"),
            (1, 9, "nine"),
            (2, 9, " "),
        ],
        "instances": [(30, 90, CROWD), (30, 1, OUTLINE), (30, 1, OUTLINE), (9, 3, OUTLINE)],
    },
    "val": {
        "images": [12, 4, 5],
        "captions": [(3, 12, "twelve"), (4, 4, "four"), (6, 5, "\t")],
        "instances": [(12, 1, OUTLINE)],
    },
}


def write_tree(root, year=2017):
    (root / "annotations").mkdir(parents=True)
    for part, content in PARTS.items():
        name = f"{part}{year}"
        prefix = f"COCO_{name}_" if year == 2014 else ""
        images = [{"id": i, "file_name": f"{prefix}{i:012d}.jpg"} for i in content["images"]]
        (root / name).mkdir()
        for image in images:
            Image.new("RGB", (8, 8), (image["id"], 0, 0)).save(root / name / image["file_name"])
        captions = [{"id": i, "image_id": im, "caption": c} for i, im, c in content["captions"]]
        instances = [
            {"id": i, "image_id": im, "category_id": c, **more}
            for i, (im, c, more) in enumerate(content["instances"])
        ]
        write(root, f"captions_{name}", images=images, annotations=captions)
        write(
            root,
            f"instances_{name}",
            images=images,
            annotations=instances,
            categories=CATEGORIES,
        )
    return root


def write(root, name, **content):
    (root / "annotations" / f"{name}.json").write_text(json.dumps({"info": {}, **content}))


def edit(root, name, change):
    path = root / "annotations" / f"{name}.json"
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


@pytest.fixture
def tree(tmp_path):
    return write_tree(tmp_path / "coco")


@pytest.mark.parametrize("year", [2014, 2017])
def test_the_official_layout_is_read_in_the_order_of_image_ids(tmp_path, year):
    dataset, protocol = coco(write_tree(tmp_path / "c", year), year=year, **SMALL)
    assert dataset.ids == tuple(f"{i:012d}" for i in (9, 30, 4, 12))
    assert dataset.texts == [["nine"], ["first of 30", "second of 30"], ["four"], ["twelve"]]
    assert dataset.label_names == ("person", "car", "toothbrush")
    assert dataset.labels.tolist() == [[0, 1, 0], [1, 0, 1], [0, 0, 0], [1, 0, 0]]
    assert dataset.images.open(1).getpixel((0, 0))[0] == pytest.approx(30, abs=3)
    assert f"train{year}" in dataset.images.name(0)
    assert f"val{year}" in dataset.images.name(3)
    assert dataset.dropped == {"no caption": 1}
    assert protocol.counts() == {"query": 1, "retrieval": 3, "train": 1}


@pytest.mark.parametrize("paper", ["dchmt", "mith"])
def test_protocols_of_todays_papers_are_known(tree, paper):
    _, protocol = coco(tree, protocol=paper, **SMALL)
    assert protocol.name.startswith(f"{paper} (")
    assert protocol.counts() == {"query": 1, "retrieval": 3, "train": 1}
    with pytest.raises(ValueError, match="4 pairs, too few for the 5,000 queries and 10,000 train"):
        coco(tree, protocol=paper)


def test_images_without_an_instance_can_be_dropped(tree):
    dataset, _ = coco(tree, unlabelled="drop", **SMALL)
    assert dataset.ids == tuple(f"{i:012d}" for i in (9, 30, 12))
    assert dataset.dropped == {"no caption": 1, "no label": 1}


def test_one_part_can_be_read_alone(tree):
    assert coco(tree, parts="val", **SMALL)[0].ids == ("000000000004", "000000000012")
    assert coco(tree, parts=["val", "train"], **SMALL)[0].ids[0] == "000000000009"


def test_images_may_lie_in_a_folder_images(tree):
    (tree / "images").mkdir()
    (tree / "train2017").rename(tree / "images" / "train2017")
    assert len(coco(tree, **SMALL)[0]) == 4


@pytest.mark.filterwarnings("default")
def test_other_counts_than_the_papers_are_warned_of_with_both(tree):
    with pytest.warns(UserWarning, match=r"found 4 pairs in train \+ val 2017 .* have 123,287\)"):
        coco(tree, **SMALL)
    with pytest.warns(UserWarning, match=r"found 3 pairs .* have 122,218\)"):
        coco(tree, unlabelled="drop", **SMALL)


def test_both_years_have_the_same_photographs():
    for year in (2014, 2017):
        parts = [OFFICIAL[year, part] for part in ("train", "val")]
        assert [sum(counts) for counts in zip(*parts, strict=True)] == [123_287, 122_218]


def test_missing_images_are_counted_and_named_or_skipped(tree):
    (tree / "val2017" / "000000000012.jpg").unlink()
    with pytest.raises(FileNotFoundError, match=r"1 of 2 images are missing, .*000000000012\.jpg"):
        coco(tree, **SMALL)
    dataset, _ = coco(tree, on_missing="skip", **SMALL)
    assert len(dataset) == 3
    assert len(dataset.skipped) == 1
    assert "000000000012.jpg" in dataset.skipped[0]


def test_a_file_name_cannot_lead_out_of_the_folder(tree):
    Image.new("RGB", (8, 8)).save(tree / "outside.jpg")
    for kind in ("captions", "instances"):
        edit(
            tree,
            f"{kind}_train2017",
            lambda content: content["images"][0].update(file_name="../outside.jpg"),
        )
    with pytest.raises(ValueError, match=r"'\.\./outside\.jpg' leads into another folder"):
        coco(tree, **SMALL)


def test_outlines_are_not_kept_in_memory():
    assert _needed({"id": 1, **OUTLINE}) == {"id": 1}


@pytest.mark.parametrize(
    ("option", "value"),
    [("year", 2015), ("parts", ()), ("parts", "test"), ("unlabelled", "x"), ("on_missing", "x")],
)
def test_unknown_options_are_refused(tree, option, value):
    with pytest.raises(ValueError, match=rf"{option}=.* (is|are) unknown; use"):
        coco(tree, **{option: value}, **SMALL)


def test_a_missing_annotation_file_is_named(tree):
    (tree / "annotations" / "instances_val2017.json").unlink()
    with pytest.raises(FileNotFoundError, match=r"instances_val2017\.json: this annotation file"):
        coco(tree, **SMALL)
    assert len(coco(tree, parts="train", **SMALL)[0]) == 2


@pytest.mark.parametrize(
    "damage",
    [
        b"",
        b'{"images": [',
        b"\xff\xfe\x00",
        b"[1]",
        b"{}",
        b"[" * 10**5,
        b'{"images": ' + b"9" * 5000,
    ],
)
def test_damaged_annotations_are_refused(tree, damage):
    (tree / "annotations" / "captions_val2017.json").write_bytes(damage)
    with pytest.raises(ValueError, match=r"captions_val2017\.json: (not valid JSON|no COCO)"):
        coco(tree, **SMALL)


def test_annotations_that_are_far_too_large_are_not_read(tree):
    with (tree / "annotations" / "captions_val2017.json").open("wb") as file:
        file.truncate(5 << 30)  # a hole: takes no space
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("crosshash.data.readers.coco._FILE_BYTES", 1 << 20)
        with pytest.raises(ValueError, match=r"captions_val2017\.json: .* at most 1,048,576 are"):
            coco(tree, **SMALL)


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("captions_val2017", {"annotations": {"image_id": 999}}, "image 999, not listed"),
        ("captions_val2017", {"annotations": {"caption": 5}}, r"expected id \(int\), .* caption"),
        ("captions_val2017", {"images": {"id": "4"}}, r"entry 0 of 'images'"),
        (
            "instances_val2017",
            {"annotations": {"category_id": 2}},
            "category 2, which is not listed",
        ),
        ("instances_val2017", {"annotations": {"image_id": 30}}, "image 30, not listed"),
        ("instances_val2017", {"images": {"id": 13}}, "1 images are not in captions_val2017"),
        ("instances_val2017", {"categories": {"name": "x"}}, "the parts have different categories"),
    ],
)
def test_files_that_disagree_are_refused(tree, name, change, message):
    def apply(content):
        for kind, fields in change.items():
            content[kind][0].update(fields)

    edit(tree, name, apply)
    with pytest.raises(ValueError, match=message):
        coco(tree, **SMALL)


def test_too_few_pairs_for_a_paper_say_what_to_give(tree):
    with pytest.raises(ValueError, match=r"4 pairs, too few .* query="):
        coco(tree)


def test_the_real_copy_runs_as_a_coco_tree(shared_data):
    dataset, protocol = coco(shared_data / "coco-mini", query=20, train=100)
    assert dataset.summary()["pairs"] == 159
    assert dataset.labels.shape == (159, 80)
    assert dataset.label_names[:3] == ("person", "bicycle", "car")
    assert dataset.ids[0] == "000000000790"
    assert dataset.images.open(158).mode == "RGB"
    assert np.bincount([len(group) for group in dataset.texts]).argmax() == 5
    assert protocol.counts() == {"query": 20, "retrieval": 139, "train": 100}
