from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from crosshash.config import ConfigError
from crosshash.data.dataset import PairedDataset
from crosshash.data.load import load_dataset
from crosshash.data.protocol import Protocol
from crosshash.data.summary import describe, label_frequencies, text_lengths, unusable_pictures


@pytest.fixture
def paths(tmp_path: Path) -> list[Path]:
    made = [tmp_path / f"{number}.jpg" for number in range(4)]
    for path in made:
        Image.new("RGB", (64, 48), (10, 20, 30)).save(path)
    return made


def dataset(images: object, **options: object) -> PairedDataset:
    values = {
        "name": "small",
        "ids": ["a", "b", "c", "d"],
        "images": images,
        "texts": [["A red dog"], ["the Dog", "one two three four five"], ["cat"], ["a b"]],
        "labels": [[0, 1, 1], [0, 1, 0], [0, 1, 1], [0, 0, 0]],
        "label_names": ["none", "most", "some"],
        "skipped": ["x: broken"],
        "dropped": {"no tag": 3},
    }
    return PairedDataset(**{**values, **options})


PROTOCOL = Protocol("half", query=[3], retrieval=[0, 1, 2], train=[0, 1])


def test_counts_say_what_was_found_and_what_was_left_out(paths: list[Path]) -> None:
    data = dataset(paths)
    values = describe(data, PROTOCOL)
    assert (values["found"], values["pairs"], values["skipped"]) == (8, 4, 1)
    assert values["dropped"] == {"no tag": 3}
    assert (values["captions"], values["labels"], values["unlabelled"]) == (5, 3, 1)
    assert values["training_words"] == 4  # a red dog the
    assert values["sets"] == {"query": 1, "retrieval": 3, "train": 2}
    assert values["split_sha256"] == PROTOCOL.digest(data.ids)


def test_labels_come_by_frequency(paths: list[Path]) -> None:
    rows = label_frequencies(dataset(paths))
    assert [(row["label"], row["pairs"], row["share"]) for row in rows] == [
        ("most", 3, 0.75),
        ("some", 2, 0.5),
        ("none", 0, 0.0),
    ]
    assert label_frequencies(dataset(paths, labels=None, label_names=())) == []
    assert label_frequencies(dataset(paths, label_names=()))[0]["label"] == "1"


def test_lengths_are_in_words_or_in_values(paths: list[Path]) -> None:
    found = text_lengths(dataset(paths))
    assert found == {"least": 1, "median": 2.0, "mean": 2.6, "most": 5, "texts_per_pair": 1.25}
    tags = np.array([[0, 0], [1, 0], [1, 1], [1, 1]], dtype=np.float32)
    assert text_lengths(dataset(paths, texts=tags))["mean"] == 1.25


def test_missing_and_damaged_pictures_are_named(paths: list[Path]) -> None:
    data = dataset(paths)
    assert unusable_pictures(data, decode=True) == []
    paths[1].unlink()
    paths[2].write_bytes(paths[2].read_bytes()[:-60])
    assert [line.split(": ")[0] for line in unusable_pictures(data)] == [str(paths[1])]
    seen: list[int] = []

    def count(items, total):
        for item in items:
            seen.append(total)
            yield item

    lines = unusable_pictures(data, decode=True, progress=count)
    assert [str(path) in line for path, line in zip(paths[1:3], lines, strict=True)] == [True] * 2
    assert seen == [4] * 4
    assert len(unusable_pictures(data.select([0, 2, 1]), decode=False)) == 1
    assert unusable_pictures(dataset(np.ones((4, 3), dtype=np.float32)), decode=True) == []


def test_a_data_set_is_read_by_name_with_checked_options() -> None:
    data, protocol = load_dataset("shapes", n=20, query=4, train=10)
    assert (len(data), len(protocol.query)) == (20, 4)
    with pytest.raises(ConfigError, match="query"):
        load_dataset("shapes", querry=4)
    with pytest.raises(LookupError, match="shapes"):
        load_dataset("shape")
