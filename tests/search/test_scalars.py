"""What servers compare is equal and ordered as Python has it."""

from __future__ import annotations

import json
from decimal import Decimal
from itertools import product

import pytest

from crosshash.search.filters import Condition, as_filter, meets
from crosshash.search.milvus_filters import NONE, as_expression
from crosshash.search.postgres_filters import as_sql
from crosshash.search.scalars import (
    as_document,
    as_filterable,
    as_number,
    as_text,
    from_document,
    id_bytes,
    id_key,
    id_text,
)
from crosshash.search.tokens import as_tokens

TEXTS = ["", "\x00", "\x00\x00", "\x00\x01", "\x01", "\x01\x00", "\x02", "a", "a\x00", "a\x01", "é"]
TEXTS += ["\ud7fe", "\ud7ff", "\ud7ff\x00", "\ud7ffa", "\ud800", "\ud800a", "\udcff", "\udfff"]
TEXTS += ["\ue000", "\uffff", "😀"]
NUMBERS = [0, -0.0, 1, 1.0, 0.1, -0.1, 2**53, 2**53 + 1, float(2**53), 1e23, 10**23, 1e308, 2**1100]
NUMBERS += [5e-324, 1e-320, 0.5, 9007199254740991.0, 4503599627370495.5, 4503599627370496, -(2**70)]


def test_texts_keep_their_order_and_none_that_a_server_refuses() -> None:
    for one, other in product(TEXTS, TEXTS):
        assert (as_text(one) < as_text(other)) == (one < other), (one, other)
        assert (as_text(one) == as_text(other)) == (one == other)
    for text in TEXTS:
        assert b"\x00" not in as_text(text).encode("utf-8")
        assert id_text(id_bytes(text)) == text
    assert as_text("Ångström \n'\"\\") == "Ångström \n'\"\\"
    assert len({id_key(text) for text in TEXTS}) == len(TEXTS)


def test_numbers_keep_their_order() -> None:
    for one, other in product(NUMBERS, NUMBERS):
        left, right = Decimal(as_number(one)), Decimal(as_number(other))
        assert (left < right) == (one < other), (one, other)
        assert (left == right) == (one == other), (one, other)
    assert as_number(float("-inf")) == "-Infinity"


def test_documents_come_back_as_they_were() -> None:
    held = {"b": 1.0, "a": [2**70, None, {"\x00": "\udcff"}], "": True}
    text = as_document(held)
    assert text.isascii()
    assert json.dumps(from_document(text, "here")) == json.dumps(held)
    with pytest.raises(ValueError, match="JSON"):
        as_document({"n": float("inf")})
    with pytest.raises(ValueError, match="here: metadata are JSON objects, found list"):
        from_document("[]", "here")


def test_objects_stand_as_names_only_and_lists_as_what_can_be_compared() -> None:
    held = {"a": [1, [2], {"b": 3}, "\x00"], "b": {"c": 1}, "\x00": 1.0, "t": True, "n": None}
    found = json.loads(as_filterable(held))
    assert found == {"a": [1, "\x01\x01"], "b": {}, "\x01\x01": 1, "t": True, "n": None}


def test_digests_are_equal_where_values_are() -> None:
    values = [*TEXTS, *NUMBERS, True, False, None, "1", "true", "null"]
    for one, other in product(values, values):
        same = meets((Condition("a", "==", one),), {"a": other})
        assert (as_tokens({"a": one}) == as_tokens({"a": other})) == same, (one, other)
    assert as_tokens({"a": 1})[0] == as_tokens({"a": 2})[0] != as_tokens({"b": 1})[0]
    assert as_tokens({"a": ["x", 1, "x", ["y"]]}) == [
        *as_tokens({"a": "x"}), as_tokens({"a": 1})[1]
    ]  # fmt: skip
    assert as_tokens({"a": []}) == as_tokens({"a": {}}) == as_tokens({"a": 1})[:1]
    assert as_tokens(None) == as_tokens({}) == []


def test_values_and_names_are_never_part_of_a_statement() -> None:
    hostile = "'; DROP TABLE items; --\") {codes} %s"
    for sign in ("==", "!=", "<", "in"):
        value = [hostile] if sign == "in" else hostile
        where = as_filter({hostile: {sign: value}})
        text, values = as_sql(where)
        assert "DROP" not in text
        assert text.count("%s") == len(values)
        assert "DROP" not in as_expression(where)[0]
    assert as_sql(None) == ("true", [])
    assert as_expression(None) == ("", ())
    assert as_expression(as_filter({"a": []})) == (f"({NONE})", ())
    assert as_sql(as_filter({"a": float("inf")})) == ("(false)", [])
