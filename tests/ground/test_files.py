from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

import crosshash
from crosshash.files import atomic_file, atomic_folder, locate, sha256


class CrashError(Exception):
    pass


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def crash_while(writing: AbstractContextManager[Path], content: Callable[[Path], object]) -> None:
    with writing as path:
        content(path)
        raise CrashError


def killed_while(code: str, folder: Path) -> None:
    """Run code in a process that ends by SIGKILL inside it."""
    root = str(Path(crosshash.__file__).parents[1])
    head = "import os, signal\nfrom crosshash.files import atomic_file, atomic_folder\n"
    process = subprocess.run(
        [sys.executable, "-c", head + code],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": root},
        timeout=60,
        check=False,
    )
    assert process.returncode == -signal.SIGKILL


def test_a_file_appears_whole_when_the_block_ends(tmp_path: Path) -> None:
    target = tmp_path / "new" / "a.txt"
    with atomic_file(target) as path:
        path.write_text("half")
        assert not target.exists()
        path.write_text("whole")
    assert target.read_text() == "whole"
    assert names(target.parent) == ["a.txt"]


def test_a_crash_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    target = tmp_path / "a.txt"
    target.write_text("old")
    with pytest.raises(CrashError):
        crash_while(atomic_file(target), lambda path: path.write_text("half of the n"))
    assert target.read_text() == "old"
    assert names(tmp_path) == ["a.txt"]


def test_a_kill_leaves_the_old_file(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("old")
    killed_while(
        "with atomic_file('a.txt') as path:\n"
        "    path.write_text('half')\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n",
        tmp_path,
    )
    assert (tmp_path / "a.txt").read_text() == "old"


def test_who_reads_the_old_file_goes_on_reading_it(tmp_path: Path) -> None:
    target = tmp_path / "a.txt"
    target.write_text("old")
    with target.open() as reader:
        with atomic_file(target) as path:
            path.write_text("new")
        assert reader.read() == "old"
    assert target.read_text() == "new"


def test_a_written_file_can_be_read_by_others(tmp_path: Path) -> None:
    with atomic_file(tmp_path / "a") as path:
        path.write_text("x")
    assert (tmp_path / "a").stat().st_mode & 0o777 == 0o644


def test_a_folder_replaces_the_old_one_whole(tmp_path: Path) -> None:
    target = tmp_path / "model"
    for round_ in ("first", "second"):
        with atomic_folder(target) as folder:
            (folder / "sub").mkdir()
            (folder / "sub" / round_).write_text(round_)
    assert names(target / "sub") == ["second"]
    assert names(tmp_path) == ["model"]


def test_a_written_folder_can_be_read_by_others(tmp_path: Path) -> None:
    with atomic_folder(tmp_path / "model") as folder:
        (folder / "sub").mkdir(mode=0o700)
        (folder / "sub" / "x").touch(mode=0o600)
    modes = [p.stat().st_mode & 0o777 for p in sorted((tmp_path / "model").rglob("*"))]
    assert [(tmp_path / "model").stat().st_mode & 0o777, *modes] == [0o755, 0o755, 0o644]


def test_a_crash_leaves_the_old_folder_and_nothing_else(tmp_path: Path) -> None:
    target = tmp_path / "model"
    target.mkdir()
    (target / "weights").write_text("old")
    with pytest.raises(CrashError):
        crash_while(atomic_folder(target), lambda path: (path / "weights").write_text("new"))
    assert (target / "weights").read_text() == "old"
    assert names(tmp_path) == ["model"]


def test_a_kill_leaves_the_old_folder(tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "weights").write_text("old")
    killed_while(
        "with atomic_folder('model') as folder:\n"
        "    (folder / 'weights').write_text('new')\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n",
        tmp_path,
    )
    assert (tmp_path / "model" / "weights").read_text() == "old"


@pytest.mark.parametrize("error", [OSError("full"), KeyboardInterrupt()])
def test_the_old_folder_comes_back_when_the_new_one_cannot_take_its_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    target = tmp_path / "model"
    target.mkdir()
    (target / "weights").write_text("old")
    rename = Path.rename

    def refuse_new(self: Path, to: Path) -> Path:
        if Path(to) == target and (self / "weights").read_text() == "new":
            raise error
        return rename(self, to)

    monkeypatch.setattr(Path, "rename", refuse_new)
    with pytest.raises(type(error)), atomic_folder(target) as folder:
        (folder / "weights").write_text("new")
    assert (target / "weights").read_text() == "old"
    assert names(tmp_path) == ["model"]


def test_the_old_folder_is_never_deleted_while_it_is_the_only_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "model"
    target.mkdir()
    (target / "weights").write_text("old")
    rename = Path.rename

    def refuse_target(self: Path, to: Path) -> Path:
        if Path(to) == target:
            raise OSError("read-only now")
        return rename(self, to)

    monkeypatch.setattr(Path, "rename", refuse_target)
    with pytest.raises(OSError, match="read-only"), atomic_folder(target) as folder:
        (folder / "weights").write_text("new")
    assert [p.read_text() for p in tmp_path.rglob("weights")] == ["old"]


def test_sha256_is_that_of_the_bytes(tmp_path: Path) -> None:
    data = bytes(range(256)) * 5000  # more than one block
    (tmp_path / "x").write_bytes(data)
    assert sha256(tmp_path / "x") == hashlib.sha256(data).hexdigest()


def test_a_path_that_exists_is_taken_as_given(tmp_path: Path) -> None:
    assert locate(tmp_path) == tmp_path


def test_a_data_path_is_sought_below_the_data_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "photos").mkdir()
    monkeypatch.setenv("CROSSHASH_DATA", str(tmp_path))
    assert locate("photos") == tmp_path / "photos"


def test_a_missing_path_is_named_with_all_places(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CROSSHASH_DATA", str(tmp_path))
    with pytest.raises(FileNotFoundError) as error:
        locate("no-such-photos")
    assert str(tmp_path / "no-such-photos") in str(error.value)
    assert str(Path("no-such-photos").absolute()) in str(error.value)


def test_a_missing_path_names_the_variable_that_would_help(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("CROSSHASH_DATA", raising=False)
    with pytest.raises(FileNotFoundError, match="set CROSSHASH_DATA"):
        locate("no-such-photos")
