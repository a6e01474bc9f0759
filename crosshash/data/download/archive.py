"""Zip files, unpacked without leaving the folder they are meant for."""

from __future__ import annotations

import os
import shutil
import stat
import zipfile
import zlib
from pathlib import Path, PurePosixPath, PureWindowsPath

from crosshash.data.download.remote import Progress, check_space
from crosshash.files import atomic_file
from crosshash.untrusted import check_unpacked


def unpack(archive: str | Path, folder: str | Path, *, progress: Progress | None = None) -> int:
    """Unpack a zip file; what is there already, in its full size, is left as it is.

    Nothing is written before all names are checked. Each file appears whole or not at all, so that
    an interrupted unpacking goes on where it was.

    Args:
        archive: The zip file.
        folder: Where to.
        progress: Called with a description, the bytes that are unpacked and all bytes.

    Returns:
        The number of files in the archive.

    Raises:
        ValueError: It is no whole zip file, is encrypted, or a member would be a link or a device,
            or would lie outside of the folder, or they would be far larger than the archive.
        DownloadError: The disk has no room.
    """
    archive, folder = Path(archive), Path(folder)
    try:
        with zipfile.ZipFile(archive) as opened:
            members = [info for info in opened.infolist() if not info.is_dir()]
            paths = [folder / _inside(archive, info) for info in members]
            missing = [
                (info, path)
                for info, path in zip(members, paths, strict=True)
                if not (path.is_file() and path.stat().st_size == info.file_size)
            ]
            total = sum(info.file_size for info in members)
            needed = sum(info.file_size for info, _ in missing)
            check_unpacked(total, archive.stat().st_size, f"{archive}: it")
            check_space(folder, needed, f"unpacking {archive.name}")
            done = total - needed
            for info, path in missing:
                with opened.open(info) as packed, atomic_file(path) as temporary:
                    with temporary.open("wb") as file:
                        shutil.copyfileobj(packed, file, 1 << 20)
                    if temporary.stat().st_size != info.file_size:
                        raise zipfile.BadZipFile(f"{info.filename} is cut short")
                done += info.file_size
                if progress is not None:
                    progress(f"unpacking {archive.name}", done, total)
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError) as error:
        raise ValueError(
            f"{archive}: not a whole zip file ({error}); remove it and download it again"
        ) from error
    return len(members)


def _inside(archive: Path, info: zipfile.ZipInfo) -> Path:
    name = info.filename
    windows, posix = PureWindowsPath(name), PurePosixPath(name)
    kind = stat.S_IFMT(info.external_attr >> 16)
    reason = ""
    if posix.is_absolute() or windows.anchor or ".." in windows.parts or ".." in posix.parts:
        reason = "it would lie outside of the folder"
    elif kind not in (0, stat.S_IFREG):
        reason = "it is a link or a device, not a file"
    elif info.flag_bits & 0x1:
        reason = "it is encrypted"
    elif not posix.parts or "\0" in name or (os.sep != "/" and os.sep in name):
        reason = "it has no usable name"
    if reason:
        raise ValueError(
            f"{archive}: refused because of the member {name!r}: {reason}; nothing was unpacked"
        )
    return Path(*posix.parts)
