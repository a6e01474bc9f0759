"""What is no file, or too large, is refused before it is opened or allocated."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor, wait
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from crosshash import stored_picture
from crosshash.images import CorruptImageError, ImageArrays, ImageFiles
from crosshash.rgb import to_rgb
from crosshash.stored_picture import decode


def make_special(path: Path, kind: str) -> None:
    if kind == "a folder":
        path.mkdir()
    elif kind == "a pipe":
        os.mkfifo(path)
    elif kind == "a device":
        path.symlink_to("/dev/zero")
    else:
        with socket.socket(socket.AF_UNIX) as bound:
            bound.bind(str(path))


@pytest.mark.parametrize("kind", ["a folder", "a pipe", "a socket", "a device"])
def test_what_is_no_file_is_refused_unopened(
    tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)  # a socket's path is short
    make_special(Path("x.jpg"), kind)
    for source in (ImageFiles(["x.jpg"]), ImageArrays([{"path": "x.jpg"}])):
        for read in (source.open, source.digest):
            with pytest.raises(CorruptImageError, match=f"it is {kind}, not a file"):
                read(0)


def test_links_to_nothing_and_in_a_circle_are_told_from_what_is_not_there(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").symlink_to(tmp_path / "gone.jpg")
    (tmp_path / "b.jpg").symlink_to("b.jpg")
    source = ImageFiles([tmp_path / name for name in ("a.jpg", "b.jpg", "c.jpg")])
    with pytest.raises(CorruptImageError, match=r"a link to .*gone\.jpg, which is not there"):
        source.open(0)
    with pytest.raises(CorruptImageError, match=r"b\.jpg"):
        source.open(1)
    with pytest.raises(FileNotFoundError, match=r"c\.jpg: no such image file"):
        source.digest(2)


def test_a_program_that_draws_a_picture_is_not_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from PIL import EpsImagePlugin

    def ran(*_: object) -> None:
        raise AssertionError("Ghostscript would have been started")

    monkeypatch.setattr(EpsImagePlugin, "Ghostscript", ran)
    (tmp_path / "a.jpg").write_bytes(
        b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 8\n%%EndComments\n%%EOF\n"
    )
    with pytest.raises(CorruptImageError, match="EPS is drawn by other programs"):
        ImageFiles([tmp_path / "a.jpg"]).open(0)


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
def test_a_picture_of_too_many_pixels_is_refused_before_it_is_decoded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (60, 80, 3), dtype=np.uint8)
    for suffix in ("png", "jpg"):
        Image.fromarray(noise).save(tmp_path / f"a.{suffix}")
    files = ImageFiles([tmp_path / "a.png", tmp_path / "a.jpg"])
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 4800)
    assert files.open(0).size == files.open(1).size == (80, 60)

    def load(*_: object) -> None:
        raise AssertionError("decoded")

    for limit, told in ((4799, "80 x 60 pixels are more than 4,799"), (2399, "more than 4,798")):
        monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", limit)
        with monkeypatch.context() as patched:
            patched.setattr("PIL.ImageFile.ImageFile.load", load)
            for row in (0, 1):
                with pytest.raises(
                    CorruptImageError, match=rf"{told}.*PIL\.Image\.MAX_IMAGE_PIXELS"
                ):
                    files.open(row)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 4799)
    assert files.open(1, size=(20, 20)).size == (40, 30)  # of a JPEG, what is decoded counts
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", None)
    assert files.open(0).size == (80, 60)


def png(side: int) -> bytes:
    file = BytesIO()
    Image.fromarray(np.arange(side * side, dtype=np.uint8).reshape(side, side)).save(file, "PNG")
    return file.getvalue()


def test_large_pictures_are_decoded_one_at_a_time_and_leave_no_more_than_is_needed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    inside, most = [0], []

    def counting(image: Image.Image) -> Image.Image:
        inside[0] += 1
        most.append(inside[0])
        time.sleep(0.02)
        inside[0] -= 1
        return to_rgb(image)

    monkeypatch.setattr(stored_picture, "to_rgb", counting)
    monkeypatch.setattr(stored_picture, "LARGE", 1000)
    with ThreadPoolExecutor(4) as pool:
        pictures = list(pool.map(lambda _: decode(png(64), "x", (15, 10)), range(6)))
    assert max(most) == 1
    assert {picture.size for picture in pictures} == {(16, 16)}
    most.clear()
    with ThreadPoolExecutor(4) as pool:
        small = list(pool.map(lambda _: decode(png(30), "x", (8, 8)), range(12)))
    assert max(most) > 1
    assert {picture.size for picture in small} == {(30, 30)}


def test_a_large_picture_waits_for_that_of_another_process(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(stored_picture, "LARGE", 1000)
    hold = (
        "import sys, time\nfrom crosshash.stored_picture import _turn\n"
        "with _turn(10**9):\n    print('held', flush=True)\n    sys.stdin.read()\n"
    )
    root = str(Path(stored_picture.__file__).parents[1])
    other = subprocess.Popen(
        [sys.executable, "-c", hold],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": root},
    )
    assert other.stdout is not None
    assert other.stdout.readline() == b"held\n"
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(decode, png(64), "x", None)
        try:
            assert wait([waiting], timeout=0.3).not_done
        finally:
            other.communicate()
        assert waiting.result().size == (64, 64)
