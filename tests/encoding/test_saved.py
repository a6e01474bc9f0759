"""Data sets of Hugging Face's ``datasets`` as sources."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from crosshash.encoding.items import RejectedError
from crosshash.encoding.listing import list_items
from crosshash.encoding.sources import open_source
from crosshash.encoding.tables import Columns


@pytest.fixture
def saved(tmp_path: Path, picture: Callable[[int], bytes]) -> Path:
    datasets = pytest.importorskip("datasets", reason="needs datasets")
    rows = {
        "image": [{"bytes": picture(n), "path": None} for n in range(3)] + [None],
        "text": ["a red circle", "blue", None, "grass"],
        "id": ["x", "y", "z", ""],
    }
    features = {"image": datasets.Image(), "text": datasets.Value("string")}
    features["id"] = datasets.Value("string")
    table = datasets.Dataset.from_dict(rows, features=datasets.Features(features))
    table.save_to_disk(tmp_path / "saved")
    return tmp_path / "saved"


def test_a_saved_folder(saved: Path, picture: Callable[[int], bytes]) -> None:
    images, texts = open_source(saved), open_source(saved, text=True)
    items = list(images)
    assert [item.id for item in items] == ["x", "y", "z", "row 3"]
    assert "no string or whole number" in items[3].fault
    assert [images.read(item) for item in items[:3]] == [picture(n) for n in range(3)]
    with pytest.raises(RejectedError, match="the row has no picture"):
        images.read(items[3])
    assert texts.read(items[1]) == "blue"
    with pytest.raises(RejectedError, match="there is nothing in place of a text"):
        texts.read(items[2])
    digests = {list_items(open_source(saved), 2).digest(images.stamp()) for _ in range(2)}
    assert len(digests) == 1
    assert images.stamp()
    assert images.describe()["image"] == "image"
    with pytest.raises(ValueError, match="no column 'photo', but image, text, id"):
        open_source(saved, columns=Columns(image="photo"))


def test_paths_are_relative_to_the_folder_and_rows_are_ids(tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets", reason="needs datasets")
    table = datasets.Dataset.from_dict({"image": ["a.png", "http://example.org/a.png"]})
    table.save_to_disk(tmp_path / "saved")
    source = open_source(tmp_path / "saved")
    first, second = source
    assert (first.id, source.read(first)) == ("0", tmp_path / "saved" / "a.png")
    with pytest.raises(RejectedError, match="is an address"):
        source.read(second)


def test_a_saved_folder_of_several_parts_is_refused(tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets", reason="needs datasets")
    table = datasets.Dataset.from_dict({"text": ["a"]})
    datasets.DatasetDict({"train": table, "test": table}).save_to_disk(str(tmp_path / "saved"))
    with pytest.raises(ValueError, match="has the parts train, test; give the folder of one"):
        open_source(tmp_path / "saved", text=True)


class Table:
    """As much of a data set as is asked for."""

    column_names = ("text",)
    features: dict[str, Any] = {"text": "string"}  # noqa: RUF012

    def with_format(self, name: object) -> Table:
        return self

    def __len__(self) -> int:
        return 2

    def __getitem__(self, row: int) -> dict[str, str]:
        return {"text": f"row {row}"}


def test_a_data_set_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    fake = ModuleType("datasets")
    fake.__version__ = "4.0.0"  # type: ignore[attr-defined]
    parts: dict[str, Any] = {"train": Table(), "test": Table()}

    def load(name: str, *, split: str | None) -> Any:
        assert name == "someone/things"
        return parts if split is None else parts[split]

    fake.load_dataset = load  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "datasets", fake)
    with pytest.raises(ValueError, match="has the parts train, test; choose one with --split"):
        open_source("hf:someone/things", text=True)
    source = open_source("hf:someone/things", text=True, split="test")
    assert [(item.id, source.read(item)) for item in source] == [("0", "row 0"), ("1", "row 1")]
    assert source.describe()["split"] == "test"
    del parts["test"]
    assert len(list(open_source("hf:someone/things", text=True))) == 2
    fake.__version__ = "3.6.0"  # type: ignore[attr-defined]
    with pytest.raises(ImportError, match="may run code of a data set; version 4 does not"):
        open_source("hf:someone/things", text=True)
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(ImportError, match="pip install datasets"):
        open_source("hf:someone/things", text=True)
