"""Headers of safetensors files against the bytes behind them."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file

from crosshash.tensor_header import Entry, read_entries


def write(path: Path, header: Any, data: bytes = b"\0" * 4) -> Path:
    content = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(content)) + content + data)
    return path


def test_a_header_is_read_as_it_was_written(tmp_path: Path) -> None:
    arrays = {"a": np.zeros((2, 3), np.float32), "b": np.zeros(5, np.uint16), "c": np.array(True)}
    save_file(arrays, tmp_path / "a.safetensors", metadata={"x": "y"})
    assert read_entries(tmp_path / "a.safetensors") == {
        "a": Entry("F32", (2, 3)),
        "b": Entry("U16", (5,)),
        "c": Entry("BOOL", ()),
    }


@pytest.mark.parametrize(
    ("header", "said"),
    [
        (b"[" * 10_000, "nested deeper"),
        (b'{"a": 1, "a": 2}', "stands twice"),
        ([1], "is no object, but list"),
        ({"w": [1]}, "cannot be read at 'w'"),
        ({"w": {"dtype": "F4", "shape": [1], "data_offsets": [0, 4]}}, "'F4'"),
        ({"w": {"dtype": ["F32"], "shape": [1], "data_offsets": [0, 4]}}, "at 'w'"),
        ({"w": {"dtype": "F32", "shape": [1] * 40, "data_offsets": [0, 4]}}, "at 'w'"),
        ({"w": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}}, "declares 8 bytes"),
    ],
)
def test_a_header_that_lies_is_refused(tmp_path: Path, header: Any, said: str) -> None:
    path = write(tmp_path / "a.safetensors", header)
    with pytest.raises(ValueError, match=rf"a\.safetensors: its header.*{said}"):
        read_entries(path)
