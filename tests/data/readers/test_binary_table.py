from __future__ import annotations

import numpy as np
import pytest

from crosshash.data.readers import _binary_table as binary_table
from crosshash.data.readers._binary_table import read_ones


def dense(ones, width):
    rows = np.repeat(np.arange(len(ones)), ones.counts)
    table = np.zeros((len(ones), width), dtype=np.uint8)
    table[rows, ones.columns] = 1
    return table


@pytest.mark.parametrize("separator", [" ", "\t"])
@pytest.mark.parametrize("end", ["\n", " \n", "\t\r\n", "\r\n"])
@pytest.mark.parametrize("block", [20, 64, 1 << 20])
def test_tables_of_any_spacing_are_read_in_blocks(tmp_path, monkeypatch, separator, end, block):
    monkeypatch.setattr(binary_table, "_BLOCK", block)
    table = (np.random.default_rng(0).random((50, 7)) < 0.3).astype(np.uint8)
    table[[0, 17, 49]] = 0
    lines = [separator.join(map(str, row)) for row in table]
    path = tmp_path / "t.txt"
    for text in (end.join(lines) + end, end.join(lines), end.join(lines) + end + "\n\n"):
        path.write_bytes(text.encode())
        ones = read_ones(path, 7, "a table")
        np.testing.assert_array_equal(dense(ones, 7), table)
        np.testing.assert_array_equal(ones.counts, table.sum(axis=1))


def test_rows_become_words(tmp_path):
    path = tmp_path / "t.txt"
    path.write_text("1 0 1\n0 0 0\n0 1 0\n1 1 1\n")
    ones = read_ones(path, 3, "a table")
    assert ones.join(["a", "b", "c"], np.array([3, 1, 0])) == ["a b c", "", "a c"]


def test_an_empty_file_has_no_rows(tmp_path):
    path = tmp_path / "t.txt"
    path.write_text("")
    assert len(read_ones(path, 3, "a table")) == 0


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("0 1\n1 1\n0 2\n", "line 3: values are 0 or 1 .* got '0 2'"),
        ("0 1\n\n01\n", "line 3: values are 0 or 1 .* got '01'"),
        ("0 1\n1 10\n", "line 2: values are 0 or 1 .* got '1 10'"),
        ("0 1\n-1 1\n", "line 2: values are 0 or 1"),
        ("0 1\n1 1\n1\n", "line 3: 1 values, expected 2: '1'"),
        ("0 1\n1 1 0", "line 2: 3 values, expected 2"),
    ],
)
@pytest.mark.parametrize("block", [5, 1 << 20])
def test_damaged_lines_are_named(tmp_path, monkeypatch, text, message, block):
    monkeypatch.setattr(binary_table, "_BLOCK", block)
    path = tmp_path / "t.txt"
    path.write_text(text)
    with pytest.raises(ValueError, match=message):
        read_ones(path, 2, "a table")


def test_a_file_without_lines_is_refused_before_it_is_read_whole(tmp_path, monkeypatch):
    monkeypatch.setattr(binary_table, "_BLOCK", 8)
    path = tmp_path / "t.txt"
    path.write_text("0 " * 100)
    with pytest.raises(ValueError, match="no end of line in 16 characters"):
        read_ones(path, 2, "a table")


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"t\.txt: the table of tags is missing"):
        read_ones(tmp_path / "t.txt", 2, "the table of tags")
