from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

import crosshash
from crosshash import files
from crosshash.files import atomic_file, check_replaceable, locate, read_whole, sha256

HOLDS = ("sub", "weights")


class CrashError(Exception):
    pass


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def atomic_folder(path: Path) -> AbstractContextManager[Path]:
    return files.atomic_folder(path, holds=HOLDS, what="a model")


@pytest.fixture(params=["exchange", "aside"], autouse=True)
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Folders are exchanged in one step, or, where the system cannot, put aside."""
    if request.param == "aside":
        monkeypatch.setattr(files, "_exchanged", lambda one, other: False)
    elif not files._exchanged(*_two_folders()):
        pytest.skip("this system cannot exchange two names")
    return str(request.param)


def _two_folders() -> tuple[Path, Path]:
    return Path(tempfile.mkdtemp()), Path(tempfile.mkdtemp())


def crash_while(writing: AbstractContextManager[Path], content: Callable[[Path], object]) -> None:
    with writing as path:
        content(path)
        raise CrashError


def killed_while(code: str, folder: Path) -> None:
    """Run code in a process that ends by SIGKILL inside it."""
    root = str(Path(crosshash.__file__).parents[1])
    head = (
        "import os, signal, sys\nfrom functools import partial\nfrom crosshash import files\n"
        "from crosshash.files import atomic_file\n"
        f"atomic_folder = partial(files.atomic_folder, holds={HOLDS!r}, what='a model')\n"
    )
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
    monkeypatch.setattr(files, "_exchanged", lambda one, other: False)
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
    monkeypatch.setattr(files, "_exchanged", lambda one, other: False)
    rename = Path.rename

    def refuse_target(self: Path, to: Path) -> Path:
        if Path(to) == target:
            raise OSError("read-only now")
        return rename(self, to)

    monkeypatch.setattr(Path, "rename", refuse_target)
    with pytest.raises(OSError, match="read-only"), atomic_folder(target) as folder:
        (folder / "weights").write_text("new")
    assert [p.read_text() for p in tmp_path.rglob("weights")] == ["old"]


KILLED = """
import shutil
remove = shutil.rmtree
def kill(*_, **__):
    os.kill(os.getpid(), signal.SIGKILL)
%s
with atomic_folder('model') as folder:
    (folder / 'weights').write_text('new')
"""


def test_a_kill_between_two_renames_leaves_the_old_folder_to_be_read(tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "weights").write_text("old")
    rename = (
        "files._exchanged = lambda one, other: False\nfrom pathlib import Path\n"
        "rename = Path.rename\n"
        "def once(self, to):\n    rename(self, to)\n    kill()\nPath.rename = once"
    )
    killed_while(KILLED % rename, tmp_path)
    assert not (tmp_path / "model").exists()
    assert read_whole(tmp_path / "model", lambda f: (f / "weights").read_text()) == "old"
    with atomic_folder(tmp_path / "model") as folder:
        (folder / "weights").write_text("newer")
    assert names(tmp_path) == ["model"]


def test_what_killed_writers_left_is_removed_by_the_next_one(tmp_path: Path) -> None:
    half = "with %s as path:\n    os.kill(os.getpid(), signal.SIGKILL)\n"
    killed_while(half % "atomic_folder('model')", tmp_path)
    killed_while(half % "atomic_file('a.txt')", tmp_path)
    assert [name.startswith(".a.txt.") for name in names(tmp_path)] == [True]
    (tmp_path / ".mine.crosshash").write_text("not ours")
    with atomic_file(tmp_path / "b.txt") as path:
        path.write_text("b")
    assert names(tmp_path) == [".mine.crosshash", "b.txt"]


def test_what_a_living_writer_has_begun_is_left_to_it(tmp_path: Path) -> None:
    with atomic_folder(tmp_path / "model") as folder, atomic_file(tmp_path / "a") as file:
        with atomic_file(tmp_path / "b") as other:
            other.write_text("b")
        (folder / "weights").write_text("whole")
        file.write_text("whole")
    assert names(tmp_path) == ["a", "b", "model"]
    assert (tmp_path / "model" / "weights").read_text() == "whole"


def test_a_symbolic_link_stays_one(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "real.txt").write_text("old")
    (tmp_path / "model").symlink_to("real")
    (tmp_path / "a.txt").symlink_to("real.txt")
    with atomic_folder(tmp_path / "model") as folder:
        (folder / "weights").write_text("new")
    with atomic_file(tmp_path / "a.txt") as path:
        path.write_text("new")
    assert (tmp_path / "model").is_symlink()
    assert (tmp_path / "a.txt").is_symlink()
    assert (tmp_path / "real" / "weights").read_text() == "new"
    assert (tmp_path / "real.txt").read_text() == "new"


def test_a_folder_with_other_files_is_not_replaced(tmp_path: Path) -> None:
    target = tmp_path / "model"
    target.mkdir()
    (target / "thesis.tex").write_text("years of work")
    with pytest.raises(FileExistsError, match=r"thesis\.tex.*choose a new folder for a model"):
        check_replaceable(target, holds=HOLDS, what="a model")
    with pytest.raises(FileExistsError), atomic_folder(target):
        raise CrashError
    (target / "thesis.tex").rename(tmp_path / "thesis.tex")
    with pytest.raises(FileExistsError), atomic_folder(target):
        (tmp_path / "thesis.tex").rename(target / "thesis.tex")  # while it is being written
    assert (target / "thesis.tex").read_text() == "years of work"
    with pytest.raises(FileExistsError, match="is a file"):
        check_replaceable(target / "thesis.tex", holds=HOLDS, what="a model")


def test_two_writers_and_a_reader_see_whole_folders_and_no_gap(tmp_path: Path) -> None:
    target, wrong, stop = tmp_path / "model", [], threading.Event()

    def write(who: str) -> int:
        for number in range(30):
            with atomic_folder(target) as folder:
                (folder / "sub").write_text(f"{who} {number}")
                (folder / "weights").write_text(f"{who} {number}")
        return 30

    def read(folder: Path) -> tuple[str, str]:
        return (folder / "sub").read_text(), (folder / "weights").read_text()

    def watch() -> None:
        while not stop.is_set():
            first, second = read_whole(target, read)
            if first != second:
                wrong.append((first, second))

    write("first")
    with ThreadPoolExecutor() as pool:
        reader = pool.submit(watch)
        try:
            assert list(pool.map(write, ["a", "b"])) == [30, 30]
        finally:
            stop.set()
        reader.result()
    assert wrong == []
    assert len(set(read(target))) == 1
    assert names(tmp_path) == ["model"]


def test_a_file_that_is_gone_while_the_folder_looks_the_same_is_read_again(tmp_path: Path) -> None:
    tries = []

    def read(folder: Path) -> int:
        tries.append(folder)
        if len(tries) < 3:  # a new folder may have the number and the time of the old one
            raise FileNotFoundError(folder / "weights")
        return 7

    assert read_whole(tmp_path, read) == 7


def test_what_cannot_be_read_is_said_and_not_tried_for_ever(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        read_whole(tmp_path / "none", lambda folder: (folder / "weights").read_text())


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
