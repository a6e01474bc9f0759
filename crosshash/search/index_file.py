"""How an index is written to a folder and read back, checked: the format on disk."""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from crosshash.files import atomic_folder, read_whole, sha256
from crosshash.files import check_replaceable as check_folder
from crosshash.untrusted import JSON_BYTES, parse_json, read_json

FORMAT = "crosshash-index"
VERSION = 1
CODES_FILE = "index.faiss"
IDS_FILE = "ids.safetensors"
HEADER_FILE = "index.json"
# Of FAISS's binary flat index: mark, bits, bytes of a code, codes, trained, metric, bytes of all.
_FLAT = struct.Struct("<4siiqBiQ")
FILES = (CODES_FILE, IDS_FILE, HEADER_FILE)
WHAT = "an index"
_REMEDY = "copy the whole folder again, or build the index anew with add and save"


class CorruptIndexError(ValueError):
    """A saved index whose files are damaged or do not belong together."""

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(f"{path}: {reason}; {_REMEDY}")


@dataclass(frozen=True)
class Stored:
    """What a folder holds: FAISS's flat index of n codes, their ids and what is remembered."""

    codes: Any
    ids: list[str]
    metadata: dict[str, Any]


def write_folder(folder: str | Path, stored: Stored) -> None:
    """Write an index, all of it or nothing.

    Raises:
        FileExistsError: The folder holds other files, which replacing it would delete.
        TypeError: ``metadata`` cannot be written as JSON and read back the same.
    """
    import faiss
    from safetensors.numpy import save_file

    target = Path(folder)
    _check_metadata(stored.metadata)
    with atomic_folder(target, holds=FILES, what=WHAT) as temporary:
        faiss.write_index_binary(stored.codes, str(temporary / CODES_FILE))
        save_file(_encode(stored.ids), str(temporary / IDS_FILE))
        header = {
            "format": FORMAT,
            "version": VERSION,
            "bits": stored.codes.d,
            "count": stored.codes.ntotal,
            "metadata": stored.metadata,
            "sha256": {name: sha256(temporary / name) for name in (CODES_FILE, IDS_FILE)},
        }
        text = json.dumps(header, indent=2, allow_nan=False) + "\n"
        (temporary / HEADER_FILE).write_text(text, encoding="utf-8")


def read_folder(folder: str | Path) -> Stored:
    """Read an index, checking that its files are whole and belong together.

    Raises:
        FileNotFoundError: The folder or one of its files is not there.
        CorruptIndexError: A file is damaged, or the files disagree.
        ValueError: The index was written by a later version of the format.
    """
    return read_whole(folder, _read)


def _read(source: Path) -> Stored:
    import faiss
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    header = _read_header(source)
    for name, digest in header["sha256"].items():
        if sha256(source / name) != digest:
            raise CorruptIndexError(source / name, f"its contents differ from {HEADER_FILE}'s")
    bits, count = header["bits"], header["count"]
    _check_flat(source / CODES_FILE, bits, count)
    try:
        codes = faiss.read_index_binary(str(source / CODES_FILE))
    except RuntimeError as error:
        raise CorruptIndexError(source / CODES_FILE, "FAISS cannot read it") from error
    try:
        ids = _decode(load_file(str(source / IDS_FILE)))
    except (SafetensorError, LookupError, ValueError) as error:
        raise CorruptIndexError(source / IDS_FILE, f"no list of ids ({error})") from error
    if not count == len(ids) == len(set(ids)):
        raise CorruptIndexError(
            source / IDS_FILE,
            f"{count} different ids expected, got {len(ids)}, {len(set(ids))} of them different",
        )
    return Stored(codes, ids, header["metadata"])


def _check_flat(path: Path, bits: int, count: int) -> None:
    """Compare what an index says of itself with its bytes: FAISS makes room for what it says."""
    with path.open("rb") as file:
        start = file.read(_FLAT.size)
    if len(start) < _FLAT.size or start[:4] != b"IBxF":
        raise CorruptIndexError(path, "this is no flat index of FAISS")
    _, d, _, total, _, _, held = _FLAT.unpack(start)
    there = path.stat().st_size - _FLAT.size
    if (d, total, held, there) != (bits, count, count * bits // 8, count * bits // 8):
        raise CorruptIndexError(
            path,
            f"{HEADER_FILE} names {count} flat codes of {bits} bits, this says that it has {total} "
            f"of {d}, and has {there} bytes",
        )


def check_replaceable(folder: str | Path) -> None:
    """Refuse a place where saving an index would delete what is no index.

    Raises:
        FileExistsError: It is a file, or a folder with other files than an index's.
    """
    check_folder(folder, holds=FILES, what=WHAT)


def _encode(ids: Sequence[str]) -> dict[str, npt.NDArray[Any]]:
    """Ids as one run of UTF-8 bytes and n + 1 offsets, so that any character may stand in them.

    File names that are not valid Unicode reach Python as lone surrogates; they pass too.
    """
    parts = [id_.encode("utf-8", "surrogatepass") for id_ in ids]
    offsets = np.zeros(len(parts) + 1, dtype=np.int64)
    np.cumsum([len(part) for part in parts], out=offsets[1:])
    return {"utf8": np.frombuffer(b"".join(parts), dtype=np.uint8), "offsets": offsets}


def _decode(tensors: Mapping[str, npt.NDArray[Any]]) -> list[str]:
    """The ids of ``_encode``."""
    for name, kind in (("utf8", np.uint8), ("offsets", np.int64)):
        if tensors[name].dtype != kind or tensors[name].ndim != 1:
            came = f"{tensors[name].dtype} of shape {tensors[name].shape}"
            raise ValueError(f"{name} is one row of {np.dtype(kind)}, got {came}")
    utf8, offsets = tensors["utf8"].tobytes(), tensors["offsets"]
    if offsets[0] != 0 or offsets[-1] != len(utf8) or (np.diff(offsets) < 0).any():
        raise ValueError("offsets do not fit the bytes")
    return [utf8[a:b].decode("utf-8", "surrogatepass") for a, b in pairwise(offsets.tolist())]


def _check_metadata(metadata: Mapping[str, Any]) -> None:
    try:
        text = json.dumps(metadata, allow_nan=False)
        # With the header around it, which reading takes for one mapping more.
        same = parse_json(f'{{"metadata": {text}}}', "metadata")["metadata"] == metadata
        if len(text) > JSON_BYTES // 2:  # written with indents, it must still be read
            raise ValueError(f"{len(text):,} characters, and at most {JSON_BYTES // 2:,} are kept")
    except (TypeError, ValueError, RecursionError) as error:
        raise TypeError(f"index.metadata cannot be saved as JSON: {error}") from error
    if not same:
        raise TypeError(
            "index.metadata would not come back from JSON as it is: "
            f"use lists for tuples and strings for keys, got {metadata!r}"
        )


def _read_header(folder: Path) -> dict[str, Any]:
    """``index.json``, checked; the other two files are there."""
    path = folder / HEADER_FILE
    if not path.is_file():
        raise FileNotFoundError(f"{folder}: no saved index here ({HEADER_FILE} is missing)")
    try:
        header = read_json(path)
    except ValueError as error:
        raise CorruptIndexError(path, str(error).removeprefix(f"{path}: ")) from error
    if not isinstance(header, dict) or header.get("format") != FORMAT:
        raise CorruptIndexError(path, f"not the header of a crosshash index (format {FORMAT!r})")
    if header.get("version") != VERSION:
        raise ValueError(
            f"{path}: format version {header.get('version')!r}, this crosshash reads {VERSION}; "
            "upgrade crosshash, or build the index anew"
        )
    fields = {"bits": int, "count": int, "metadata": dict, "sha256": dict}
    for name, kind in fields.items():
        # A bool is an int too, and no number of bits.
        if not isinstance(header.get(name), kind) or isinstance(header[name], bool):
            raise CorruptIndexError(path, f"{name!r} is missing or no {kind.__name__}")
    if set(header["sha256"]) != {CODES_FILE, IDS_FILE}:
        raise CorruptIndexError(path, f"sha256 is to name {CODES_FILE} and {IDS_FILE}")
    for name in header["sha256"]:
        if not (folder / name).is_file():
            raise FileNotFoundError(f"{folder / name} is missing from the index; {_REMEDY}")
    return header
