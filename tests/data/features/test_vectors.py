"""Vectors from whatever holds them."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.numpy import save_file

from crosshash.data.features.vectors import is_vector_file, read_vectors

ROWS = np.arange(12, dtype=np.float32).reshape(4, 3)


@pytest.mark.parametrize(
    "source",
    [
        ROWS,
        ROWS.astype(np.float16),
        ROWS.tolist(),
        torch.from_numpy(ROWS),
        torch.from_numpy(ROWS).to(torch.bfloat16).requires_grad_(),
        list(ROWS),
        tuple(map(tuple, ROWS)),
    ],
)
def test_arrays_of_every_kind(source: Any) -> None:
    np.testing.assert_array_equal(read_vectors(source), ROWS)


def test_the_column_of_a_table() -> None:
    pandas = pytest.importorskip("pandas")
    table = pandas.DataFrame({"embedding": list(ROWS)})
    np.testing.assert_array_equal(read_vectors(table["embedding"]), ROWS)


def test_files(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", ROWS.astype(np.float16))
    np.savez(tmp_path / "one.npz", x=ROWS)
    np.savez(tmp_path / "two.npz", x=ROWS, y=2 * ROWS)
    save_file({"x": ROWS, "y": 2 * ROWS}, tmp_path / "b.safetensors")
    for name in ("a.npy", "one.npz", "two.npz:x", "b.safetensors:x"):
        np.testing.assert_array_equal(read_vectors(f"{tmp_path / name}"), ROWS)
        assert is_vector_file(tmp_path / name)
    np.testing.assert_array_equal(read_vectors(tmp_path / "a.npy"), ROWS)
    with pytest.raises(ValueError, match=r"texts: .*two.npz has x \(4 × 3\), y .*choose one, as"):
        read_vectors(tmp_path / "two.npz", "texts")
    with pytest.raises(ValueError, match="choose one"):
        read_vectors(f"{tmp_path / 'two.npz'}:z")
    with pytest.raises(FileNotFoundError, match=r"images: there is no file .*none.npy"):
        read_vectors(tmp_path / "none.npy", "images")
    assert not is_vector_file("a dog.jpg")
    assert not is_vector_file("at noon: a dog")


def test_nothing_is_unpickled(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.array([{"a": 1}]), allow_pickle=True)
    with pytest.raises(ValueError, match="pickled Python objects"):
        read_vectors(tmp_path / "a.npy")


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ([[1.0, 2.0], [3.0]], "not all of one length"),
        (np.array([np.zeros(2), np.zeros(3)], dtype=object), "not all of one length"),
        (["a dog"], "expected numbers, got <U5"),
        ({"a": ROWS}, "got a table of a; give one of its columns"),
    ],
)
def test_what_holds_no_vectors_is_refused(source: Any, message: str) -> None:
    with pytest.raises(ValueError, match=f"texts: .*{message}"):
        read_vectors(source, "texts")


def test_parquet(tmp_path: Path) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    table = pyarrow.table({"id": list("abcd"), "embedding": ROWS.tolist()})
    parquet.write_table(table, tmp_path / "a.parquet")
    np.testing.assert_array_equal(read_vectors(f"{tmp_path / 'a.parquet'}:embedding"), ROWS)
    with pytest.raises(ValueError, match="has the columns id, embedding; choose one, as in"):
        read_vectors(tmp_path / "a.parquet")


def test_a_missing_package_is_named_with_its_installation(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a.parquet").write_bytes(b"PAR1")
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(ImportError, match=r"pip install 'crosshash\[parquet\]'"):
        read_vectors(tmp_path / "a.parquet")
    with pytest.raises(ImportError, match="pip install datasets"):
        read_vectors(tmp_path)


class Table:
    """As much of a data set of Hugging Face's as is asked for."""

    column_names = ("id", "embedding")

    def with_format(self, name: str) -> Table:
        assert name == "numpy"
        return self

    def __getitem__(self, column: str) -> Any:
        return {"embedding": ROWS}[column]


def test_a_folder_that_datasets_wrote(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    datasets = ModuleType("datasets")
    datasets.load_from_disk = {str(tmp_path): Table()}.__getitem__
    monkeypatch.setitem(sys.modules, "datasets", datasets)
    np.testing.assert_array_equal(read_vectors(f"{tmp_path}:embedding"), ROWS)
    with pytest.raises(ValueError, match="has the columns id, embedding; choose one"):
        read_vectors(tmp_path)
    datasets.load_from_disk = {str(tmp_path): {"train": Table()}}.__getitem__
    with pytest.raises(ValueError, match="has the parts train; give the folder of one of them"):
        read_vectors(tmp_path)
