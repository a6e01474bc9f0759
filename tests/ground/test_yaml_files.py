"""YAML that was made to do harm, and keys that stand twice where one would not look."""

from __future__ import annotations

from pathlib import Path

import pytest

from crosshash.config import read_config
from crosshash.yaml_files import ConfigError, load_yaml, read_yaml

LAUGHS = "a0: &a0 [x]\n" + "".join(
    f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]\n" for n in range(1, 9)
)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (LAUGHS, r"line 6: aliases written out are more than 100,000 values"),
        ("[" * 100_000, "line 1: .* nested deeper than 64"),
        ("a:\n" + "".join(" " * n + "a:\n" for n in range(1, 100)), "nested deeper than 64"),
        ("- " * 100 + "x", "nested deeper than 64"),
        ("a: &a [*a]", "line 1: an alias stands inside of what it stands for"),
        ("a: &a {b: {c: *a}}", "an alias stands inside of what it stands for"),
        ("a: 1\nb: 2\na: 3", "line 3: the key 'a' stands twice"),
        ("x:\n- y: {a: 1, a: 2}", "line 2: the key 'a' stands twice"),
        ("x: !replace {a: 1, a: 2}", "the key 'a' stands twice"),
        ("nested: {16: {}, 0x10: {}}", "the key '16' stands twice"),
        ("nested: {16: {}, '16': {}}", "the key '16' stands twice"),
        ("a: &a {k: 1}\nb: &b {k: 2}\nc: {<<: [*a, *b]}", "line 2: the key 'k' stands twice"),
        ("a: &a {k: 1}\nc:\n  <<: *a\n  <<: *a", "line 4: the key '<<' stands twice"),
        ("a: &a {k: 1, k: 2}\nc: {<<: *a}", "line 1: the key 'k' stands twice"),
        ("a: " + "9" * 5000, "not valid YAML: .*limit"),
        ("a: 2001-99-99", "not valid YAML: month"),
        ("a: !!int x", "not valid YAML"),
        ("a: !!bool x", "not valid YAML"),
        ("a: !!timestamp x", "not valid YAML"),
        ("a: !!python/object/apply:os.system [ls]", "not valid YAML"),
        ("a: \0", "not valid YAML"),
    ],
)
def test_yaml_that_was_made_to_do_harm_is_refused(text: str, said: str) -> None:
    with pytest.raises(ConfigError, match=rf"(?s)^c\.yaml.*{said}"):
        load_yaml(text, "c.yaml")


def test_aliases_and_merged_mappings_in_measure_are_read() -> None:
    text = "a: &a {k: 1, l: 2}\nb: {<<: *a, k: 3}\nc: [*a, *a]\nd: &d {<<: *a}\ne: {<<: *d, m: 1}"
    base = {"k": 1, "l": 2}
    assert load_yaml(text, "c.yaml") == {
        "a": base,
        "b": {"k": 3, "l": 2},
        "c": [base, base],
        "d": base,
        "e": {**base, "m": 1},
    }


def test_a_file_that_is_too_large_or_no_text_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    path.write_bytes(b"a: \xff")
    with pytest.raises(ConfigError, match=r"a\.yaml: not valid YAML"):
        read_yaml(path)
    with path.open("wb") as file:
        file.truncate(1 << 33)  # a hole: takes no space
    with pytest.raises(ConfigError, match=r"a\.yaml: .* at most 1,048,576 are read"):
        read_config(path)


def test_bases_that_name_each_other_without_end_are_refused(tmp_path: Path) -> None:
    for n in range(30):
        (tmp_path / f"{n}.yaml").write_text(f"base: [{n + 1}.yaml, {n + 1}.yaml]\n")
    (tmp_path / "30.yaml").write_text("seed: 1\n")
    with pytest.raises(ConfigError, match="more than 1,000"):
        read_config(tmp_path / "0.yaml")
