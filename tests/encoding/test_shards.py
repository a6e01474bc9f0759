"""Tar shards, friendly and hostile."""

from __future__ import annotations

import io
import tarfile
from collections import deque
from collections.abc import Callable
from pathlib import Path

import pytest

from crosshash.encoding.items import Pictures, RejectedError
from crosshash.encoding.listing import TWICE, iterate_parts, list_items
from crosshash.encoding.shards import TarShards, tar_paths
from crosshash.encoding.sources import open_source
from crosshash.images import CorruptImageError

Make = Callable[..., Path]


def ids(source: TarShards) -> list[str]:
    return [item.id for item in source if not item.fault]


def faults(source: TarShards) -> dict[str, str]:
    return {item.id: item.fault for item in source if item.fault}


def test_members_are_items_by_their_suffix(make_tar: Make, picture: Callable[[int], bytes]) -> None:
    members = [
        ("x/1.png", picture(1)),
        ("x/1.txt", "a réd circle".encode()),
        ("x/1.json", b"{}"),
        ("x/2.seg.png", picture(2)),
        ("x/2.JPG", picture(3)),
        ("x/2.txt", b"\xff"),
        ("x", {"type": tarfile.DIRTYPE}),
    ]
    path = make_tar("a.tar", members)
    images, texts = open_source(path), open_source(path, text=True)
    assert isinstance(images, TarShards)
    assert isinstance(texts, TarShards)
    assert ids(images) == ids(texts) == ["x/1", "x/2"]
    assert [images.read(item) for item in images] == [picture(1), picture(3)]
    first, second = texts
    assert texts.read(first) == "a réd circle"
    with pytest.raises(RejectedError, match="no UTF-8"):
        texts.read(second)


def test_ids_of_several_shards_have_the_shard_before_the_key(
    make_tar: Make, tmp_path: Path, picture: Callable[[int], bytes]
) -> None:
    for number in (8, 9, 10):
        make_tar(f"in/s-{number:03}.tar", [("k.png", picture(number))])
    named = str(tmp_path / "in" / "s-{008..010}.tar")
    expected = ["s-008/k", "s-009/k", "s-010/k"]
    for given in (named, tmp_path / "in", sorted((tmp_path / "in").iterdir())):
        source = open_source(given)
        assert isinstance(source, TarShards)
        assert ids(source) == expected
        assert [source.read(item) for item in source] == [picture(n) for n in (8, 9, 10)]
    with pytest.raises(FileNotFoundError, match=r"s-011\.tar: there is no such shard"):
        open_source(named.replace("10}", "11}"))
    with pytest.raises(ValueError, match="write the smaller number first"):
        open_source(named.replace("008..010", "9..2"))
    make_tar("other/s-008.tar", [("k.png", picture(0))])
    with pytest.raises(ValueError, match=r"2 shards are named s-008\.tar"):
        open_source([tmp_path / "in", tmp_path / "other" / "s-008.tar"])
    (tmp_path / "in" / "z.png").write_bytes(picture(0))
    with pytest.raises(ValueError, match=r"has shards \(s-008.tar\) and pictures \(z.png\)"):
        open_source(tmp_path / "in")
    with pytest.raises(ValueError, match=r"z\.png is no tar shard"):
        open_source([tmp_path / "in" / "z.png", tmp_path / "in" / "s-008.tar"])


def test_braces_nest_and_keep_their_zeros() -> None:
    found = tar_paths("a{9..10}-{00..01}.tar", text=False)
    assert [str(path) for path in found or []] == [
        "a9-00.tar", "a9-01.tar", "a10-00.tar", "a10-01.tar",
    ]  # fmt: skip


def test_hostile_members_are_rejected_and_nothing_is_written(
    make_tar: Make, tmp_path: Path, picture: Callable[[int], bytes]
) -> None:
    members = [
        ("../../etc/passwd.png", picture(1)),
        ("/abs.png", picture(2)),
        ("link.png", {"type": tarfile.SYMTYPE, "linkname": "/etc/passwd"}),
        ("hard.png", {"type": tarfile.LNKTYPE, "linkname": "../../etc/passwd.png"}),
        ("null.png", {"type": tarfile.CHRTYPE, "devmajor": 1, "devminor": 3}),
        ("pipe.png", {"type": tarfile.FIFOTYPE}),
        ("last.png", picture(3)),
    ]
    path = make_tar("in/h.tar", members)
    before = sorted(tmp_path.rglob("*"))
    source = open_source(path)
    assert isinstance(source, TarShards)
    assert ids(source) == ["../../etc/passwd", "/abs", "last"]  # names, and no one's paths
    assert [source.read(item) for item in source if not item.fault] == [
        picture(1), picture(2), picture(3),
    ]  # fmt: skip
    told = faults(source)
    assert "a link to /etc/passwd" in told["link"]
    assert "a link to ../../etc/passwd.png" in told["hard"]
    assert "a device" in told["null"]
    assert "a pipe" in told["pipe"]
    assert sorted(tmp_path.rglob("*")) == before


def test_a_member_too_large_is_rejected_unread(
    make_tar: Make, picture: Callable[[int], bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("crosshash.encoding.shards.PICTURE_BYTES", 1000)
    source = open_source(make_tar("a.tar", [("big.png", bytes(1001)), ("k.png", picture(0)[:900])]))
    assert isinstance(source, TarShards)
    assert faults(source) == {"big": "1,001 bytes, and at most 1,000 are read"}
    assert ids(source) == ["k"]


@pytest.mark.parametrize(
    ("damage", "kept"),
    [
        ("cut in a member", ["0", "1", "2"]),
        ("cut in a header", ["0", "1"]),
        ("a header of noise", ["0", "1"]),
        ("a header that goes backwards", ["0", "1"]),
    ],
)
def test_of_a_damaged_shard_the_rest_is_one_reject(
    make_tar: Make, damage: str, kept: list[str]
) -> None:
    path = make_tar("a.tar", [(f"{n}.png", bytes([n + 1]) * 600) for n in range(4)])
    third = 2 * (512 + 1024)
    content = bytearray(path.read_bytes())
    if damage == "cut in a member":
        content = content[: third + 512 + 100]
    elif damage == "cut in a header":
        content = content[: third + 100]
    elif damage == "a header of noise":
        content[third : third + 512] = b"noise..." * 64
    else:
        info = tarfile.TarInfo("2.png")
        header = bytearray(info.tobuf(tarfile.GNU_FORMAT))
        header[124:136] = b"\xff" * 8 + (-4096 & 0xFFFFFFFF).to_bytes(4, "big")
        header[148:156] = b" " * 8
        header[148:156] = f"{sum(header[:512]):06o}\0 ".encode()
        content[third : third + 512] = header[:512]
    path.write_bytes(content)
    source = open_source(path)
    assert isinstance(source, TarShards)
    assert ids(source) == kept
    (name,) = faults(source)
    assert name == "a.tar"
    assert "cannot be read on from here" in faults(source)[name]


def test_a_header_that_says_it_is_endless_is_not_read(
    make_tar: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("crosshash.encoding.shards._HEADER_BYTES", 4096)
    long = "d/" * 4000 + "k.png"
    path = make_tar("a.tar", [("a.png", b"1"), (long, b"2")], format=tarfile.PAX_FORMAT)
    source = open_source(path)
    assert isinstance(source, TarShards)
    assert ids(source) == ["a"]
    assert "a header of" in faults(source)["a.tar"]


def test_what_is_no_tar_file_is_a_reject_and_a_compressed_one_is_refused(
    tmp_path: Path, make_tar: Make
) -> None:
    (tmp_path / "a.tar").write_bytes(b"no tar file" * 100)
    source = open_source(tmp_path / "a.tar")
    assert isinstance(source, TarShards)
    assert list(faults(source)) == ["a.tar"]
    with pytest.raises(ValueError, match=r"a\.tar\.gz: a compressed tar file"):
        open_source(tmp_path / "a.tar.gz")


def test_a_key_that_stands_twice_in_a_shard_is_rejected_the_second_time(
    make_tar: Make, picture: Callable[[int], bytes]
) -> None:
    members = [("k.png", picture(0)), ("k.jpg", picture(1)), ("j.png", picture(2))]
    source = open_source(make_tar("a.tar", members * 2))
    listing = list_items(source, 2)
    found = [item for _, items in iterate_parts(source, listing) for item in items]
    assert [(item.id, item.fault) for item in found] == [
        ("k", ""), ("k", TWICE), ("j", ""), ("k", TWICE), ("k", TWICE), ("j", TWICE),
    ]  # fmt: skip


def test_a_shard_cut_after_it_was_listed_is_a_corrupt_picture(
    make_tar: Make, picture: Callable[[int], bytes]
) -> None:
    path = make_tar("a.tar", [("k.png", picture(0))])
    source = open_source(path)
    items = list(source)
    path.write_bytes(path.read_bytes()[:600])
    with pytest.raises(CorruptImageError, match="the shard ends after 88 of its"):
        Pictures(source, items).open(0)


def test_memory_does_not_grow_with_the_members(tmp_path: Path) -> None:
    import tracemalloc

    info = tarfile.TarInfo("0.png")
    with tarfile.open(tmp_path / "a.tar", "w") as tar:
        for number in range(3000):
            info.name = f"{number:06}.png"
            tar.addfile(info, io.BytesIO())
            tar.members.clear()
    source = open_source(tmp_path / "a.tar")
    tracemalloc.start()
    last = deque(source, maxlen=1)[0]
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert last.id == "002999"
    assert peak < 200_000  # each member takes some 1,000 bytes
