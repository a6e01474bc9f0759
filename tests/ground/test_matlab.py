"""MATLAB files that bring scipy's reader down, or would: this process lives on and says which."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest
import scipy.io
import scipy.sparse

from crosshash.data.features.files import list_variables
from crosshash.matlab import list_matlab, read_matlab


@pytest.mark.parametrize("index", [2**30, -(2**28)])
def test_indices_outside_of_a_sparse_matrix_are_refused(tmp_path: Path, index: int) -> None:
    matrix = scipy.sparse.csc_matrix(np.eye(5))
    matrix.indices = matrix.indices.copy()
    matrix.indices[2] = index
    scipy.io.savemat(tmp_path / "a.mat", {"T": matrix})
    (variable,) = list_variables(tmp_path / "a.mat")
    with pytest.raises(ValueError, match=r"a\.mat: cannot be read as a MATLAB file \(ind"):
        variable.read()


def test_a_reader_that_dies_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scipy.io.savemat(tmp_path / "a.mat", {"A": np.eye(3)})
    fake = tmp_path / "fake" / "scipy"
    (fake / "io").mkdir(parents=True)
    (fake / "__init__.py").write_text("")
    (fake / "io" / "__init__.py").write_text("import os; os.kill(os.getpid(), 11)")
    monkeypatch.syspath_prepend(fake.parent)
    with pytest.raises(ValueError, match=r"a\.mat: .*was ended by SIGSEGV.*as \.npy"):
        list_variables(tmp_path / "a.mat")
    (fake / "io" / "__init__.py").write_text("raise SystemExit('no more')")
    with pytest.raises(ValueError, match=r"a\.mat: .*ended with status 1: no more"):
        list_variables(tmp_path / "a.mat")


def test_a_reader_takes_nothing_from_the_folder_that_it_is_called_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scipy.io.savemat(tmp_path / "a.mat", {"A": np.eye(3)})
    (tmp_path / "scipy.py").write_text("raise SystemExit('taken')")
    monkeypatch.chdir(tmp_path)
    assert list_matlab(Path("a.mat")) == [("A", (3, 3), "double")]


def test_sizes_that_are_far_beyond_the_file_are_refused(tmp_path: Path) -> None:
    scipy.io.savemat(tmp_path / "a.mat", {"T": scipy.sparse.csc_matrix((2**30, 2**3))})
    with pytest.raises(ValueError, match=r"'T' would unpack to 34,359,738,368 bytes"):
        read_matlab(tmp_path / "a.mat", ["T"])
    cells = np.empty((3, 1), object)
    cells[:] = 1.0
    inner = np.empty((1, 1), object)
    inner[0, 0] = cells
    scipy.io.savemat(tmp_path / "b.mat", {"C": inner})
    content = bytearray((tmp_path / "b.mat").read_bytes())
    place = content.index(struct.pack("<ii", 3, 1))
    content[place : place + 8] = struct.pack("<ii", 2**30, 2**4)  # a cell inside of a cell
    (tmp_path / "b.mat").write_bytes(content)
    with pytest.raises(ValueError, match="far more memory"):
        read_matlab(tmp_path / "b.mat", ["C"])


def test_values_of_every_kind_come_back(tmp_path: Path) -> None:
    cells = np.empty((1, 2), object)
    cells[0, :] = ["one", np.arange(6.0).reshape(2, 3)]
    values = {
        "s": {"name": "conv1", "size": np.array([[1, 2]], np.uint8), "cells": cells},
        "empty": np.zeros((0, 3)),
        "flags": np.array([[True, False]]),
        "z": np.array([[1 + 2j]]),
        "tall": np.asfortranarray(np.arange(12, dtype=np.int16).reshape(4, 3)),
        "sparse": scipy.sparse.eye(3, format="csc"),
    }
    scipy.io.savemat(tmp_path / "a.mat", values, do_compression=True)
    found = read_matlab(tmp_path / "a.mat", [*values, "not there"])
    assert list(found) == list(values)
    (record,) = found["s"]
    assert record["name"] == "conv1"
    np.testing.assert_array_equal(record["size"], [[1, 2]])
    assert record["cells"][0] == "one"
    np.testing.assert_array_equal(record["cells"][1], cells[0, 1])
    assert found["empty"].shape == (0, 3)
    for name in ("flags", "z", "tall"):
        np.testing.assert_array_equal(found[name], values[name])
    assert found["tall"].dtype == np.int16
    assert found["sparse"].dtype == np.float32
    np.testing.assert_array_equal(found["sparse"], np.eye(3))


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="needs Linux's list of open files")
def test_no_pipe_to_the_reader_is_left_open(tmp_path: Path) -> None:
    scipy.io.savemat(tmp_path / "a.mat", {"A": np.eye(300)})
    before = len(list(Path("/proc/self/fd").iterdir()))
    read_matlab(tmp_path / "a.mat", ["A"])
    assert len(list(Path("/proc/self/fd").iterdir())) == before
