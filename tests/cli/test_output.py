"""Results on a terminal, in a file, and as JSON."""

from __future__ import annotations

import json
import re
import sys
import warnings

import pytest

from crosshash.cli import main
from crosshash.cli.output import print_result
from crosshash.reports.tables import rich_table

LONG = "photos/" + "a-very-long-folder/" * 12 + "image.jpg"
TABLE = [{"rank": 1, "id": LONG, "MAP": 0.125}]


def test_a_long_id_stands_whole_on_one_line_in_a_file(capsys: pytest.CaptureFixture[str]) -> None:
    print_result(None, 0, rich_table(TABLE, title="Hits"), f"written: {LONG}")
    lines = capsys.readouterr().out.splitlines()
    (row,) = [line for line in lines if "0.125" in line]
    assert row.split() == ["1", LONG, "0.125"]
    assert f"written: {LONG}" in lines


def test_a_terminal_folds_a_long_id_and_cuts_nothing(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "50")
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    print_result(None, 0, rich_table(TABLE))
    out = re.sub("\x1b\\[[0-9]*m", "", capsys.readouterr().out)  # without bold type
    assert "…" not in out
    assert all(len(line) <= 50 for line in out.splitlines())
    body = out.split("─")[-1]
    assert "".join(body.replace("0.125", "").split()).removeprefix("1") == LONG
    assert "0.125" in out


def test_values_are_printed_as_they_are_where_there_is_no_short_form(
    capsys: pytest.CaptureFixture[str],
) -> None:
    for form in (True, 1, 2):
        print_result({"ä": 1}, form, "plain")
        assert capsys.readouterr().out == '{"ä": 1}\n'


EVIL = "a\x1b[31m\x07\x9b\x85\u202e\udcff.jpg"
SPELT = r"a\x1b[31m\x07\x9b\x85\u202e\udcff.jpg"


def test_names_cannot_steer_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    print_result(None, 0, rich_table([{"id": EVIL}]), f"written:\n  {EVIL}")
    shown = capsys.readouterr().out
    assert shown.count(SPELT) == 2
    assert "written:\n  a" in shown
    print_result({"id": EVIL, EVIL: "ä\n"}, 1)
    shown = capsys.readouterr().out
    assert json.loads(shown) == {"id": EVIL, EVIL: "ä\n"}
    assert shown.isascii() is False  # what can be read stays as it is
    assert not set(shown) & set("\x1b\x07\x9b\x85\u202e\udcff")


def test_an_error_shows_control_characters_and_indents_further_lines(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    name = f"{EVIL}\ncrosshash: all is well"
    monkeypatch.setattr(warnings, "showwarning", warnings.showwarning)  # which main replaces
    monkeypatch.setattr(sys, "argv", ["crosshash", "search", "a", "-i", name])
    with pytest.raises(SystemExit):
        main()
    told = capsys.readouterr().err
    assert SPELT in told
    assert "\n  crosshash: all is well" in told
    assert not set(told) & set("\x1b\x07\x9b\x85\u202e\udcff\r")
    warnings.showwarning(UserWarning(EVIL), UserWarning, "", 0)
    assert capsys.readouterr().err == f"crosshash: {SPELT}\n"
