"""JSON and sizes of files that were made to do harm."""

from __future__ import annotations

import json
import re
import tracemalloc
from pathlib import Path

import pytest

from crosshash.untrusted import (
    DEPTH,
    UNPACKED_BYTES,
    check_unpacked,
    is_unicode,
    parse_json,
    read_json,
)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[" * 200_000, f"nested deeper than {DEPTH}"),
        ("[" * (DEPTH + 1) + "]" * (DEPTH + 1), f"nested deeper than {DEPTH}"),
        ('{"a":' * (DEPTH + 1) + "1" + "}" * (DEPTH + 1), f"nested deeper than {DEPTH}"),
        ('{"a": ' + "9" * 5000 + "}", "limit"),
        ('{"a": NaN}', "NaN is no finite number"),
        ('{"a": -Infinity}', "-Infinity is no finite number"),
        ('{"a": 1e999}', "1e999 is no finite number"),
        ('{"a": 1, "b": {"c": 1, "c": 2}}', "the key 'c' stands twice"),
        ('{"a": 1', "Expecting"),
        (b'"\xff"', "utf-8"),
        ("", "Expecting"),
    ],
)
def test_json_that_is_none_or_was_made_to_do_harm_is_refused(text: str | bytes, said: str) -> None:
    with pytest.raises(ValueError, match=rf"^a\.json, line 3: not valid JSON \(.*{said}"):
        parse_json(text, "a.json, line 3")


def test_ordinary_json_is_read_as_it_is() -> None:
    value = {"a": [1, 2.5, None, True, "é"], "b": {"c": [[]] * 3}}
    assert parse_json(json.dumps(value), "a.json") == value
    assert parse_json("[" * DEPTH + "]" * DEPTH, "a.json")
    assert parse_json("3", "a.json") == 3
    unlimited = parse_json('{"a": NaN, "b": 1e999}', "a.json", finite=False)
    assert unlimited["a"] != unlimited["a"]
    assert unlimited["b"] == float("inf")


def test_a_file_that_is_too_large_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text("[1, 2]")
    assert read_json(path, limit=6) == [1, 2]
    with path.open("r+b") as file:
        file.truncate(1 << 33)  # a hole: takes no space
    tracemalloc.start()
    with pytest.raises(ValueError, match=rf"^{re.escape(str(path))}: .* at most 1,000 are read"):
        read_json(path, limit=1000)
    assert tracemalloc.get_traced_memory()[1] < 1 << 20
    tracemalloc.stop()


def test_what_unpacks_to_far_more_than_it_is_is_refused() -> None:
    check_unpacked(UNPACKED_BYTES, 10, "it")
    check_unpacked(UNPACKED_BYTES * 2, UNPACKED_BYTES // 10, "it")
    with pytest.raises(ValueError, match=r"^it would unpack to .* without compression"):
        check_unpacked(UNPACKED_BYTES + 1, 10, "it")


@pytest.mark.parametrize(("text", "fine"), [("", True), ("日本", True), ("a\ud800b", False)])
def test_halves_of_characters_are_found(text: str, fine: bool) -> None:
    assert is_unicode(text) is fine
