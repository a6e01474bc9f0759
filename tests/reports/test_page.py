"""Pieces of pages: tables, facts, sections."""

from __future__ import annotations

import re
from pathlib import Path

from crosshash.reports.page import facts, folded, section, table, write_page


def test_a_table_names_its_rows_and_aligns_its_numbers() -> None:
    text = table([{"bits": "a<b", "MAP": 0.25, "note": "x"}, {"bits": "c", "MAP": None}])
    assert '<th scope="col" class="number">MAP</th>' in text
    assert '<th scope="col">note</th>' in text
    assert '<th scope="row">a&lt;b</th><td class="number">0.250</td><td>x</td>' in text
    assert '<th scope="row">c</th><td class="number"></td><td></td>' in text
    assert 'tabindex="0"' in text  # what is wider than a phone can be moved by keys
    assert table([]) == ""


def test_parts_of_a_table_have_headings_over_all_columns() -> None:
    rows = [{"method": name, "MAP": 0.5} for name in "abc"]
    text = table(rows, parts={0: "with <x>", 2: "without"})
    heading = '<tr class="part"><th scope="rowgroup" colspan="2">'
    assert text.count("<tbody>") == 2
    first, second = text.split("<tbody>")[1:]
    assert first.startswith(f"{heading}with &lt;x&gt;</th></tr>")
    assert second.startswith(f"{heading}without</th></tr>")
    assert [first.count('scope="row"'), second.count('scope="row"')] == [2, 1]


def test_facts_stand_in_order_as_they_are() -> None:
    text = facts([("Seed", 7), ("Config", "<b>")])
    assert re.findall(r"<dt>(.*?)</dt><dd>(.*?)</dd>", text) == [
        ("Seed", "7"),
        ("Config", "&lt;b&gt;"),
    ]
    assert facts([]) == ""


def test_a_section_has_what_was_not_empty() -> None:
    text = section("A & B", ["<p>x</p>", ""], ["note", ""])
    assert text == (
        '<section><header><h2>A &amp; B</h2><p class="note">note</p></header>\n<p>x</p>\n</section>'
    )
    assert section("", ["y"]) == "<section>\ny\n</section>"


def test_what_is_folded_has_its_heading_in_sight() -> None:
    shown = folded("r < 2", "<p>a</p>", "<p>b</p>")
    assert shown == "<details><summary>r &lt; 2</summary><p>a</p><p>b</p></details>"


def test_no_card_or_table_of_the_style_is_left_without_a_dark_colour(tmp_path: Path) -> None:
    page = write_page(tmp_path / "p.html", "t", []).read_text(encoding="utf-8")
    light, dark = re.findall(r":root \{(.*?)\}", page, re.DOTALL)
    names = set(re.findall(r"(--[\w-]+):", light))
    assert names == set(re.findall(r"(--[\w-]+):", dark))
    assert set(re.findall(r"var\((--[\w-]+)\)", page)) <= names
