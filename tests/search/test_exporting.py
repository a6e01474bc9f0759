"""What an index writes for other stores."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from crosshash.codes import hamming, unpack
from crosshash.search.index import Index

parquet = pytest.importorskip("pyarrow.parquet", reason="needs the extra parquet")


@pytest.fixture
def index() -> Index:
    codes = np.random.default_rng(0).integers(0, 256, (200, 2), dtype=np.uint8)
    made = Index(16)
    made.add(codes, range(200), [{"even": n % 2 == 0} if n else None for n in range(200)])
    return made


def test_packed_codes_are_the_indexs(index: Index, tmp_path: Path) -> None:
    assert index.export(tmp_path / "all.parquet") == 200
    table = parquet.read_table(tmp_path / "all.parquet")
    assert list(map(str, table.schema.types)) == ["string", "fixed_size_binary[2]", "string"]
    assert table["id"].to_pylist() == index.ids
    codes = np.frombuffer(b"".join(table["code"].to_pylist()), np.uint8).reshape(-1, 2)
    np.testing.assert_array_equal(codes, index.codes())
    held = [None if one is None else json.loads(one) for one in table["metadata"].to_pylist()]
    assert held == [item.metadata for item in index]


def test_inner_products_of_signs_rank_as_the_index_does(index: Index, tmp_path: Path) -> None:
    assert index.export(tmp_path / "even.parquet", "signs", where={"even": True}) == 99
    table = parquet.read_table(tmp_path / "even.parquet")
    signs = np.array(table["code"].to_pylist())
    assert str(table.schema.field("code").type) == "fixed_size_list<element: float>[16]"
    codes = np.stack([index.get(id_).code for id_ in table["id"].to_pylist()])
    np.testing.assert_array_equal(signs, unpack(codes))
    query = np.random.default_rng(1).normal(size=(1, 16)).astype(np.float32)
    distances = (16 - signs @ np.sign(query[0])) / 2
    np.testing.assert_array_equal(distances, hamming(query, codes)[0])
    found = index.search(query, 99, rank="asymmetric", where={"even": True})
    by_product = np.argsort(-(signs @ query[0]), kind="stable")
    assert found.ids[0] == [table["id"][int(row)].as_py() for row in by_product]


def test_an_export_is_whole_or_not_there(index: Index, tmp_path: Path) -> None:
    index.add(np.zeros((1, 2), np.uint8), ["\udcff.jpg"])
    path = tmp_path / "all.parquet"
    path.write_bytes(b"before")
    with pytest.raises(ValueError, match=r"udcff\.jpg.*no valid Unicode"):
        index.export(path)
    with pytest.raises(ValueError, match="form"):
        index.export(path, "floats")  # type: ignore[arg-type]
    assert path.read_bytes() == b"before"
    assert list(tmp_path.iterdir()) == [path]
