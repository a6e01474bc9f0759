"""What holds for every command: ``--json=full``, Ctrl-C, warnings, help."""

from __future__ import annotations

import subprocess
import sys
import warnings
from typing import Any

import pytest
import typer
from typer.main import get_command
from typer.testing import CliRunner

from crosshash.cli import app, main
from crosshash.cli.options import Json
from crosshash.cli.output import print_result
from crosshash.cli.shell import Shell, spell_json


def paths(command: Any, name: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    """Names of all commands below one."""
    below = getattr(command, "commands", None)
    if below is None:
        return [name]
    return [path for key, inner in below.items() for path in paths(inner, (*name, key))]


def small(action: Any = None) -> typer.Typer:
    made = typer.Typer(cls=Shell)

    @made.command()
    def show(item: str = "x", json_: Json = False) -> None:
        """Show."""
        if action is not None:
            action()
        print_result({"item": item, "curve": [1, 2]}, json_, "plain", short={"item": item})

    made.command("other")(lambda: None)
    return made


@pytest.mark.parametrize(
    ("arguments", "shown"),
    [
        ([], "plain"),
        (["--json"], '{"item": "x"}'),
        (["--json=short"], '{"item": "x"}'),
        (["--json=full"], '{"item": "x", "curve": [1, 2]}'),
        (["--json", "--item", "full"], '{"item": "full"}'),
    ],
)
def test_json_is_short_and_whole_where_asked(arguments: list[str], shown: str) -> None:
    done = CliRunner().invoke(small(), ["show", *arguments])
    assert done.exit_code == 0, done.output
    assert done.stdout.strip() == shown


def test_another_form_of_json_is_refused_and_what_follows_two_dashes_is_left_alone() -> None:
    done = CliRunner().invoke(small(), ["show", "--json=all"])
    assert done.exit_code == 2
    assert "--json=full" in done.stderr
    assert spell_json(["a", "--json=full", "--", "--json=full"]) == [
        *("a", "--json", "--json"),
        *("--", "--json=full"),
    ]


def test_an_interrupted_command_ends_with_one_line_that_fits_every_command() -> None:
    def interrupt() -> None:
        raise KeyboardInterrupt

    done = CliRunner().invoke(small(interrupt), ["show"])
    assert done.exit_code == 130
    assert done.stderr == "crosshash: interrupted\n"


def test_warnings_of_dependencies_stay_with_developers(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def warn() -> None:
        warnings.simplefilter("always")  # as libraries do while they are imported
        warnings.warn("old", DeprecationWarning, stacklevel=1)
        warnings.warn("soon", FutureWarning, stacklevel=1)
        warnings.warn("3 pairs are left out", UserWarning, stacklevel=1)

    monkeypatch.setattr("crosshash.cli.app", small(warn))
    monkeypatch.setattr(sys, "argv", ["crosshash", "show"])
    with warnings.catch_warnings(), pytest.raises(SystemExit) as end:
        main()
    assert end.value.code == 0
    assert capsys.readouterr().err == "crosshash: 3 pairs are left out\n"


def test_help_begins_with_demo_and_train_and_has_panels() -> None:
    shown = CliRunner().invoke(app, ["--help"]).stdout
    order = ["─ Start here", "│ demo", "│ train", "─ Search", "│ index", "─ Zoo", "─ Data and"]
    places = [shown.index(word) for word in order]
    assert places == sorted(places)
    assert next(iter(get_command(app).commands)) == "demo"  # type: ignore[attr-defined]


@pytest.mark.parametrize("path", paths(get_command(app)), ids=" ".join)
def test_every_command_has_help_with_an_example(path: tuple[str, ...]) -> None:
    done = CliRunner().invoke(app, [*path, "--help"])
    assert done.exit_code == 0
    told = " ".join(done.stdout.replace("│", " ").split())
    assert f"Example: crosshash {' '.join(path)}" in told


def commands(command: Any) -> list[Any]:
    below = getattr(command, "commands", {}).values()
    return [command, *(inner for one in below for inner in commands(one))]


def test_no_word_of_the_help_is_lost_as_a_tag() -> None:
    # Markdown takes `<name>` for a tag of HTML, which a terminal does not show.
    for command in commands(get_command(app)):
        for text in (command.help, *(getattr(param, "help", "") for param in command.params)):
            assert "<" not in (text or ""), text


def test_a_reader_that_goes_away_ends_a_command_quietly() -> None:
    # The pipe's reader ends before anything is written: the case of `crosshash models | true`.
    script = "from crosshash.cli import main; import sys; sys.stdin.read(); main()"
    for arguments in (["models"], ["models", "--json"], ["models", "nothing"]):
        process = subprocess.Popen(
            [sys.executable, "-c", script, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        assert process.stdin
        assert process.stdout
        assert process.stderr
        process.stdout.close()
        process.stdin.close()
        assert process.stderr.read() == b""
        process.stderr.close()
        assert process.wait(60) == 141
