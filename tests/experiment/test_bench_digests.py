"""The digest of pictures, kept for the next plan, and never beyond a change of theirs."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from PIL import Image

from crosshash.data.dataset import PairedDataset
from crosshash.experiment.bench import kept_digests
from crosshash.experiment.bench.bench import plan_suites
from crosshash.experiment.bench.kept_digests import identity_of_data
from crosshash.experiment.identity import data_identity
from crosshash.images import ImageFiles


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Collects the pictures that are read."""
    counted: list[int] = []
    real = ImageFiles.digest

    def counting(self: ImageFiles, index: int) -> bytes:
        counted.append(index)
        return real(self, index)

    monkeypatch.setattr(ImageFiles, "digest", counting)
    return counted


@pytest.fixture
def pictures(tmp_path: Path) -> list[Path]:
    paths = [tmp_path / f"{number}.bmp" for number in range(3)]
    for number, path in enumerate(paths):
        Image.new("RGB", (4, 4), (number, 0, 0)).save(path)
    return paths


def pairs(paths: list[Path], first: str = "a") -> PairedDataset:
    return PairedDataset(
        name="few", ids=["x", "y", "z"], images=ImageFiles(paths), texts=[first, "b", "c"]
    )


def test_pictures_are_read_once(
    pictures: list[Path], read: list[int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kept_digests, "_SETTLED", 0)
    kept = tmp_path / "store" / "digests.json"
    whole = data_identity(pairs(pictures))
    read.clear()
    assert identity_of_data(pairs(pictures), kept) == whole
    assert sorted(read) == [0, 1, 2]
    assert identity_of_data(pairs(pictures), kept) == whole
    assert len(read) == 3
    # Texts are no part of what is kept, and some of the pictures are others.
    other = identity_of_data(pairs(pictures, first="other"), kept)
    assert (other["images"], len(read)) == (whole["images"], 3)
    assert other["texts"] != whole["texts"]
    part = pairs(pictures).select([0, 2])
    assert identity_of_data(part, kept) == data_identity(part)
    read.clear()
    assert identity_of_data(part, kept) == data_identity(part)
    assert len(read) == 2  # by the second call alone
    assert identity_of_data(pairs(pictures), None) == whole


@pytest.mark.skipif(os.name == "nt", reason="Windows keeps no time of a file's change")
def test_a_picture_that_changed_is_read_again_whatever_its_times(
    pictures: list[Path], read: list[int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kept_digests, "_SETTLED", 0)
    kept = tmp_path / "digests.json"
    before = identity_of_data(pairs(pictures), kept)
    stat = pictures[1].stat()
    content = bytearray(pictures[1].read_bytes())
    content[-1] ^= 1
    pictures[1].write_bytes(content)
    os.utime(pictures[1], ns=(stat.st_atime_ns, stat.st_mtime_ns))  # as if it were untouched
    assert (pictures[1].stat().st_size, pictures[1].stat().st_mtime_ns) == (
        stat.st_size, stat.st_mtime_ns,
    )  # fmt: skip
    read.clear()
    after = identity_of_data(pairs(pictures), kept)
    assert len(read) == 3
    assert after["images"] != before["images"]
    assert after == data_identity(pairs(pictures))


def test_pictures_of_this_moment_are_not_kept(
    pictures: list[Path], read: list[int], tmp_path: Path
) -> None:
    for _ in range(2):
        identity_of_data(pairs(pictures), tmp_path / "digests.json")
    assert len(read) == 6
    assert not (tmp_path / "digests.json").exists()


def test_a_damaged_file_is_told_and_written_anew(
    pictures: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kept_digests, "_SETTLED", 0)
    kept = tmp_path / "digests.json"
    kept.write_text('{"a": 3}')
    with pytest.warns(UserWarning, match=r"digests\.json: no digests"):
        found = identity_of_data(pairs(pictures), kept)
    assert found == data_identity(pairs(pictures))
    assert identity_of_data(pairs(pictures), kept) == found  # no warning


def test_a_plan_keeps_them_in_the_store(
    read: list[int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kept_digests, "_SETTLED", 0)
    folder = tmp_path / "data"
    folder.mkdir()
    lines = ["file_name,text", *(f"{number}.png,word {number}" for number in range(8))]
    (folder / "metadata.csv").write_text("\n".join(lines) + "\n")
    for number in range(8):
        Image.new("RGB", (4, 4), (number, 0, 0)).save(folder / f"{number}.png")
    (tmp_path / "mine.yaml").write_text(
        "method: sign\nbits: 8\nbackbones: resnet10t\n"
        f"data: {{name: imagefolder, root: {folder}, options: {{query: 2, train: 4}}}}\n"
    )
    suite = tmp_path / "suite.yaml"
    suite.write_text("title: a\nruns: [{configs: [mine.yaml]}]\n")
    (first,) = plan_suites([suite], tmp_path / "store")
    assert (first.error, first.state) == ("", "missing")
    count = len(read)
    assert count > 0
    (again,) = plan_suites([suite], tmp_path / "store")
    assert again.key == first.key
    assert len(read) == count
    assert (tmp_path / "store" / "digests.json").is_file()
