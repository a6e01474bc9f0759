import io

import numpy as np
import pytest
from rich.console import Console

from crosshash.reports.tables import (
    format_value,
    map_rows,
    map_table,
    markdown_table,
    rich_table,
    visible,
)


def printed(table, width=100):
    console = Console(file=io.StringIO(), width=width, color_system=None)
    console.print(table)
    return console.file.getvalue()


def test_map_rows_hold_both_directions_their_mean_and_chance():
    rows = map_rows(0.7, 0.8, (0.2, 0.4))
    assert [row["direction"] for row in rows] == ["image → text", "text → image", "mean"]
    assert [row["MAP"] for row in rows] == pytest.approx([0.7, 0.8, 0.75])
    assert [row["chance"] for row in rows] == pytest.approx([0.2, 0.4, 0.3])
    assert [row["× chance"] for row in rows] == ["3.5", "2.0", "2.5"]


def test_map_rows_without_chance_leave_its_columns_out():
    assert all(set(row) == {"direction", "MAP"} for row in map_rows(0.7, 0.8))


def test_maps_with_learned_codes_have_the_name_of_their_database() -> None:
    rows = map_rows(0.7, 0.8, 0.2, learned=(0.75, 0.85))
    assert [row["database"] for row in rows] == ["encoded"] * 3 + ["learned"] * 3
    assert [row["MAP"] for row in rows] == pytest.approx([0.7, 0.8, 0.75, 0.75, 0.85, 0.8])
    assert rows[3]["× chance"] == "3.8"


def test_maps_within_a_modality_stand_below_the_mean_and_have_no_part_in_it() -> None:
    rows = map_rows(0.7, 0.8, (0.2, 0.4), within=(0.6, 0.9))
    assert [row["direction"] for row in rows[3:]] == ["image → image", "text → text"]
    assert [row["MAP"] for row in rows] == pytest.approx([0.7, 0.8, 0.75, 0.6, 0.9])
    assert [row["chance"] for row in rows] == pytest.approx([0.2, 0.4, 0.3, 0.2, 0.4])
    both = map_rows(0.7, 0.8, learned=(0.75, 0.85), within=(0.6, 0.9))
    assert [row["database"] for row in both] == ["encoded"] * 5 + ["learned"] * 3


def test_a_map_of_no_chance_has_no_ratio() -> None:
    assert [row["× chance"] for row in map_rows(0.7, 0.8, 0.0)] == ["", "", ""]


def test_map_table_prints_the_figures():
    text = printed(map_table(0.71234, 0.789, chance=0.332, title="MAP on [flickr8k]"))
    assert "MAP on [flickr8k]" in text
    assert "image → text   0.712    0.332        2.1" in text
    assert "mean           0.751" in text


def test_text_that_looks_like_markup_is_shown_as_it_is():
    rows = [{"caption [red]": "a [bold]dog[/bold] [/x]", "n": 1}]
    text = printed(rich_table(rows, title="[b]T[/b]"))
    assert "a [bold]dog[/bold] [/x]" in text
    assert "caption [red]" in text
    assert "[b]T[/b]" in text


def test_columns_are_the_union_of_keys_and_missing_cells_are_empty():
    rows = [{"a": 1}, {"b": None, "a": 2.5}, {"c": True}]
    assert markdown_table(rows).splitlines() == [
        "|     a | b   | c   |",
        "| ----: | --- | --- |",
        "|     1 |     |     |",
        "| 2.500 |     |     |",
        "|       |     | yes |",
    ]


def test_chosen_columns_come_in_the_order_given():
    rows = [{"name": "x", "MAP": 0.51239, "seed": 3}]
    assert markdown_table(rows, columns=["MAP", "name"], digits=4).splitlines() == [
        "|    MAP | name |",
        "| -----: | ---- |",
        "| 0.5124 | x    |",
    ]
    with pytest.raises(ValueError, match="no row has maps; the rows have name, MAP, seed"):
        markdown_table(rows, columns=["maps"])


def test_markdown_cells_cannot_break_the_table():
    lines = markdown_table([{"a|b": "x | y\nz \\| w"}]).splitlines()
    assert len(lines) == 3
    assert lines[2] == r"| x \| y z \\\| w |"


def test_a_table_without_rows_needs_columns():
    assert markdown_table([], columns=["a"]).splitlines() == ["| a   |", "| --- |"]
    with pytest.raises(ValueError, match="at least one column"):
        markdown_table([])
    printed(rich_table([]))


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, ""),
        (False, "no"),
        (18015, "18,015"),
        (np.int64(1234), "1,234"),
        (0.12345, "0.123"),
        (np.float32(0.5), "0.500"),
        (float("nan"), "nan"),
        ("18015", "18015"),
    ],
)
def test_values_are_written_for_people(value, text):
    assert format_value(value) == text


def test_what_would_steer_a_terminal_is_spelt_out() -> None:
    evil = "a\x1b[2Jb\x07\r\x9b\x85\u202e\u2066\udcff\n\tc"
    spelt = "a\\x1b[2Jb\\x07\\x0d\\x9b\\x85\\u202e\\u2066\\udcff\\x0a\\x09c"
    assert visible(evil) == spelt
    assert visible(evil, keep="\n\t") == spelt.replace("\\x0a\\x09", "\n\t")
    assert visible("Straße 猫 עברית \u200f👩\u200d🚀") == "Straße 猫 עברית \u200f👩\u200d🚀"
    shown = printed(rich_table([{"id": evil, evil: 1.0}, {"id": "plain"}], title=evil), width=300)
    assert shown.count(spelt) == 3
    assert not set(evil) & set(shown) - set("a[2Jbc\n")
    assert len([line for line in shown.splitlines() if line.strip()]) == 5
