from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from crosshash.search.filters import as_filter, meets
from crosshash.search.folder import FolderEngine
from crosshash.search.index import Index

ITEM = {"label": "dog", "year": 2024, "seen": True, "none": None, "score": 0.5, "tags": ["a", 1]}


@pytest.mark.parametrize(
    ("where", "met"),
    [
        (None, True),
        ({}, True),
        ({"label": "dog"}, True),
        ({"label": "Dog"}, False),
        ({"label": ["cat", "dog"]}, True),
        ({"label": []}, False),
        ({"label": {"in": ("cat", "dog")}}, True),
        ({"label": {"!=": "cat"}}, True),
        ({"missing": {"!=": "cat"}}, False),
        ({"year": 2024.0}, True),
        ({"year": "2024"}, False),
        ({"year": {"!=": "2024"}}, True),
        ({"year": {">=": 2020, "<": 2025}}, True),
        ({"year": {">": 2024}}, False),
        ({"year": {"<": "3"}}, False),
        ({"label": {">": "cat", "<=": "dog"}}, True),
        ({"seen": True}, True),
        ({"seen": 1}, False),
        ({"year": [True, 2024]}, True),
        ({"none": None}, True),
        ({"missing": None}, False),
        ({"tags": "a"}, True),
        ({"tags": "1"}, False),
        ({"tags": True}, False),
        ({"tags": ["b", 1.0]}, True),
        ({"tags": {"!=": "a"}}, False),
        ({"tags": {"!=": "b"}}, True),
        ({"tags": {">=": "a"}}, False),
        ({"label": "dog", "year": 1999}, False),
    ],
)
def test_conditions(where: dict[str, Any] | None, met: bool) -> None:
    conditions = as_filter(where)
    assert meets(conditions or (), ITEM) == met
    if conditions:
        assert not meets(conditions, None)


@pytest.mark.parametrize(
    ("where", "error", "message"),
    [
        ("label", TypeError, "a filter is a mapping of names .* got str 'label'"),
        ({1: "x"}, TypeError, "got the name 1"),
        ({"x": {"=>": 1}}, ValueError, "got '=>' of 'x'"),
        ({"x": {"<": None}}, TypeError, "'<' of 'x' compares with a number or a text, got None"),
        ({"x": {"in": "abc"}}, TypeError, "'in' of 'x' takes a list"),
        ({"x": [["a"]]}, TypeError, "'x' is compared with list"),
        ({"x": float("nan")}, TypeError, "'x' is compared with float nan"),
        ({"x": object()}, TypeError, "'x' is compared with object"),
    ],
)
def test_filters_that_mean_nothing_are_refused(
    where: Any, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        as_filter(where)


@pytest.mark.parametrize(
    ("radius", "message"),
    [(-1, r"in 0…16"), (17, r"in 0…16"), (1.0, "whole number"), (True, "whole number")],
)
def test_a_radius_is_a_number_of_bits(radius: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Index(16).radius(np.zeros((1, 2), dtype=np.uint8), radius)


def test_an_empty_index_has_nothing_within_a_radius() -> None:
    found = Index(16).radius(np.zeros((2, 2), dtype=np.uint8), 16)
    assert found.ids == [[], []]
    assert found.distances.shape == (2, 0)


@pytest.mark.parametrize(
    ("metadata", "error", "message"),
    [
        ([{}], ValueError, "one mapping of metadata per item: got 1 for 2"),
        ([{}, "x"], TypeError, "metadata of row 1 are no mapping, but str"),
        ([{"x": float("inf")}, None], TypeError, "metadata of row 0 cannot be saved as JSON"),
        ([None, {1: 2}], TypeError, "metadata of row 1 would not come back"),
    ],
)
def test_metadata_that_would_not_come_back_are_refused(
    metadata: Any, error: type[Exception], message: str
) -> None:
    index = Index(16)
    with pytest.raises(error, match=message):
        index.add(np.zeros((2, 2), dtype=np.uint8), ["a", "b"], metadata)
    assert len(index) == 0


def test_metadata_come_with_hits_where_they_are_asked_for() -> None:
    index = Index(16)
    codes = np.array([[0, 0], [1, 0], [3, 0]], dtype=np.uint8)
    index.add(codes, ["a", "b", "c"], [{"x": 1}, None, {"x": 2}])
    assert index.search(codes[:1]).metadata is None
    assert index.search(codes[:1], metadata=True).metadata == [[{"x": 1}, None, {"x": 2}]]
    found = index.search(codes[:2], 3, where={"x": {">=": 1}}, metadata=True)
    assert found.ids == [["a", "c"], ["a", "c"]]
    assert found.distances.tolist() == [[0, 2], [1, 1]]
    some = index.radius(np.array([[0, 0], [7, 255]], dtype=np.uint8), 1)
    assert some.ids == [["a", "b"], []]
    assert some.distances.tolist() == [[0, 1], [-1, -1]]
    assert some.positions.tolist() == [[0, 1], [-1, -1]]


def test_where_codes_are_on_a_server_ten_for_each_wanted_one_are_ranked(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rng = np.random.default_rng(0)
    index, values = Index(32), rng.normal(size=(3, 32)).astype(np.float32)
    index.add(rng.integers(0, 256, (500, 4), dtype=np.uint8), range(500))
    wanted = index.search(values, 4, rank="asymmetric", oversample=10)
    exact = index.search(values, 4, rank="asymmetric")
    monkeypatch.setattr(FolderEngine, "ranked", lambda *_: None)
    found = index.search(values, 4, rank="asymmetric")
    assert found.ids == wanted.ids
    np.testing.assert_array_equal(found.asymmetric, wanted.asymmetric)
    assert index.search(values, 4, rank="asymmetric", oversample=500).ids == exact.ids


def test_filters_that_are_equal_to_python_are_not_taken_for_each_other(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("crosshash.search.folder.RECENT", 2)
    index = Index(16)
    index.add(np.zeros((3, 2), dtype=np.uint8), ["a", "b", "c"], [{"x": 1}, {"x": True}, {}])
    asked = np.zeros((1, 2), dtype=np.uint8)
    for value, wanted in ((True, ["b"]), (1, ["a"]), (1.0, ["a"]), (True, ["b"])):
        assert index.search(asked, where={"x": value}).ids == [wanted]
