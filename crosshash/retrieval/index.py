"""Exact search by Hamming distance over packed codes, on FAISS."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from crosshash.codes import Packed, as_packed, check_bits
from crosshash.files import atomic_folder, sha256

FORMAT = "crosshash-index"
VERSION = 1
CODES_FILE = "index.faiss"
IDS_FILE = "ids.safetensors"
HEADER_FILE = "index.json"
_FILES = (CODES_FILE, IDS_FILE, HEADER_FILE)
_REMEDY = "copy the whole folder again, or build the index anew with add and save"


class CorruptIndexError(ValueError):
    """A saved index whose files are damaged or do not belong together."""

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(f"{path}: {reason}; {_REMEDY}")


@dataclass(frozen=True)
class SearchResult:
    """The nearest items of q queries, nearest first.

    Attributes:
        ids: q lists of ids.
        distances: ``int32`` (q, topk), Hamming distances in 0…k.
        positions: ``int64`` (q, topk), each item's place in the order of insertion.
    """

    ids: list[list[str]]
    distances: npt.NDArray[np.int32]
    positions: npt.NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.ids)


class Index:
    """Codes and their ids, searched exactly by Hamming distance (FAISS ``IndexBinaryFlat``).

    Equal distances come in order of insertion, so that a result is the same on every run.

    Args:
        bits: Code length k, a multiple of 8.
        metadata: What to remember of the codes' origin, such as
            ``{"model": "amgfh-shapes-64", "kind": "image"}``; saved as JSON.

    Example:
        >>> import numpy as np
        >>> index = Index(16)
        >>> index.add(np.array([[0, 0], [255, 255]], dtype=np.uint8), ["none", "all"])
        >>> found = index.search(np.array([[1, 0]], dtype=np.uint8), topk=2)
        >>> found.ids, found.distances.tolist()
        ([['none', 'all']], [[1, 15]])
    """

    def __init__(self, bits: int, metadata: Mapping[str, Any] | None = None) -> None:
        import faiss

        self.bits = check_bits(bits)
        self.metadata: dict[str, Any] = dict(metadata or {})
        self._faiss: Any = faiss.IndexBinaryFlat(bits)
        self._ids: list[str] = []
        self._known: set[str] = set()

    def __len__(self) -> int:
        return len(self._ids)

    def __repr__(self) -> str:
        return f"Index(bits={self.bits}, items={len(self)}, metadata={self.metadata!r})"

    @property
    def ids(self) -> Sequence[str]:
        """All ids in order of insertion; a view, not to be changed."""
        return self._ids

    def codes(self) -> Packed:
        """A copy of all codes in order of insertion, ``uint8`` (n, k/8)."""
        import faiss

        flat: Packed = faiss.vector_to_array(self._faiss.xb)
        return flat.reshape(len(self), self.bits // 8)

    def add(self, codes: Any, ids: Iterable[str]) -> None:
        """Append items; on any error nothing is added.

        Args:
            codes: (n, k/8) packed ``uint8``, or (n, k) signed or real values.
            ids: n strings, any text, each new to the index.

        Raises:
            TypeError: An id is not a string, or the codes' type has no sign.
            ValueError: The codes have another length, are not one per id, or an id comes twice.
        """
        packed = self._packed(codes)
        if isinstance(ids, (str, bytes)):
            raise TypeError("ids is a list of strings, one per code, got a single string")
        new = list(ids)
        if len(new) != len(packed):
            raise ValueError(f"one id per code: got {len(new)} ids for {len(packed)} codes")
        if not all(isinstance(id_, str) for id_ in new):
            row, odd = next((i, x) for i, x in enumerate(new) if not isinstance(x, str))
            raise TypeError(
                f"ids are strings, got {type(odd).__name__} {odd!r} at row {row}; pass str(id)"
            )
        new = [str(id_) for id_ in new]  # NumPy's strings become plain ones.
        fresh = set(new)
        if len(fresh) != len(new) or not self._known.isdisjoint(fresh):
            raise ValueError(self._duplicate(new))
        self._faiss.add(packed)
        self._ids += new
        self._known |= fresh

    def search(self, codes: Any, topk: int = 10) -> SearchResult:
        """Find the nearest items of each query code.

        Args:
            codes: (q, k/8) packed ``uint8``, or (q, k) signed or real values.
            topk: How many items per query; no more than the index holds are returned.

        Raises:
            TypeError: The codes' type has no sign.
            ValueError: The index is empty, ``topk`` is below 1, or the codes have another length.
        """
        packed = self._packed(codes)
        if topk < 1:
            raise ValueError(f"topk is at least 1, got {topk}")
        if not len(self):
            raise ValueError("the index is empty; add codes before searching")
        # FAISS keeps a heap by (distance, position) and lets an equal distance in only if nothing
        # earlier has it, which is the order promised here; the counting search would not.
        self._faiss.use_heap = True
        distances, positions = self._faiss.search(packed, min(topk, len(self)))
        ids = [[self._ids[position] for position in row] for row in positions.tolist()]
        return SearchResult(ids, distances, positions)

    def save(self, folder: str | Path) -> None:
        """Write the index to a folder, all of it or nothing.

        Args:
            folder: A new or empty folder, or one that holds a saved index, which is replaced.

        Raises:
            FileExistsError: The folder holds other files, which replacing it would delete.
            TypeError: ``metadata`` cannot be written as JSON and read back the same.
        """
        import faiss
        from safetensors.numpy import save_file

        target = Path(folder)
        _check_replaceable(target)
        _check_metadata(self.metadata)
        with atomic_folder(target) as temporary:
            faiss.write_index_binary(self._faiss, str(temporary / CODES_FILE))
            save_file(_encode(self._ids), str(temporary / IDS_FILE))
            (temporary / IDS_FILE).chmod(0o644)  # safetensors lets only the owner read.
            header = {
                "format": FORMAT,
                "version": VERSION,
                "bits": self.bits,
                "count": len(self),
                "metadata": self.metadata,
                "sha256": {name: sha256(temporary / name) for name in (CODES_FILE, IDS_FILE)},
            }
            text = json.dumps(header, indent=2, allow_nan=False) + "\n"
            (temporary / HEADER_FILE).write_text(text, encoding="utf-8")

    @classmethod
    def open(cls, folder: str | Path) -> Index:
        """Read a saved index, checking that its files are whole and belong together.

        Raises:
            FileNotFoundError: The folder or one of its files is not there.
            CorruptIndexError: A file is damaged, or the files disagree.
            ValueError: The index was written by a later version of the format.
        """
        import faiss
        from safetensors import SafetensorError
        from safetensors.numpy import load_file

        source = Path(folder)
        header = _read_header(source)
        for name, digest in header["sha256"].items():
            if sha256(source / name) != digest:
                raise CorruptIndexError(source / name, f"its contents differ from {HEADER_FILE}'s")
        try:
            codes = faiss.read_index_binary(str(source / CODES_FILE))
        except RuntimeError as error:
            raise CorruptIndexError(source / CODES_FILE, "FAISS cannot read it") from error
        bits, count = header["bits"], header["count"]
        if not isinstance(codes, faiss.IndexBinaryFlat) or (codes.d, codes.ntotal) != (bits, count):
            raise CorruptIndexError(
                source / CODES_FILE,
                f"{HEADER_FILE} names {count} flat codes of {bits} bits, this is "
                f"{type(codes).__name__} with {codes.ntotal} of {codes.d}",
            )
        try:
            ids = _decode(load_file(str(source / IDS_FILE)))
        except (SafetensorError, LookupError, ValueError) as error:
            raise CorruptIndexError(source / IDS_FILE, f"no list of ids ({error})") from error
        known = set(ids)
        if not count == len(ids) == len(known):
            raise CorruptIndexError(
                source / IDS_FILE,
                f"{count} different ids expected, got {len(ids)}, {len(known)} of them different",
            )
        index = cls(bits, header["metadata"])
        index._faiss, index._ids, index._known = codes, ids, known
        return index

    def _packed(self, codes: Any) -> Packed:
        """Packed codes of this index's length; types without negative values have no sign."""
        array = codes if hasattr(codes, "dtype") else np.asarray(codes)
        name = str(array.dtype).removeprefix("torch.")
        if name != "uint8" and not name.startswith(("int", "float", "bfloat")):
            raise TypeError(
                f"codes are packed uint8, or signed or real values, got {name}; "
                "for 0/1 values pass 2.0 * codes - 1"
            )
        packed = as_packed(array)
        if packed.shape[1] * 8 != self.bits:
            form = "packed uint8 " if name == "uint8" else ""
            raise ValueError(
                f"this index holds codes of {self.bits} bits, (n, {self.bits // 8}) packed or "
                f"(n, {self.bits}) signed; got {form}codes of shape {tuple(array.shape)}"
            )
        return packed

    def _duplicate(self, new: Sequence[str]) -> str:
        """The sentence for the first id that is taken or given twice."""
        seen: set[str] = set()
        for row, id_ in enumerate(new):
            if id_ in self._known:
                return f"id {id_!r} (row {row}) is in the index already; ids are unique"
            if id_ in seen:
                return f"id {id_!r} is given twice, again at row {row}; ids are unique"
            seen.add(id_)
        raise RuntimeError("no id is duplicate")


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
    utf8, offsets = tensors["utf8"].tobytes(), tensors["offsets"]
    if offsets[0] != 0 or offsets[-1] != len(utf8) or (np.diff(offsets) < 0).any():
        raise ValueError("offsets do not fit the bytes")
    return [utf8[a:b].decode("utf-8", "surrogatepass") for a, b in pairwise(offsets.tolist())]


def _check_replaceable(folder: Path) -> None:
    if not folder.exists():
        return
    if not folder.is_dir():
        raise FileExistsError(f"{folder} is a file; an index is saved to a folder")
    others = sorted(entry.name for entry in folder.iterdir() if entry.name not in _FILES)
    if others:
        raise FileExistsError(
            f"{folder} holds other files ({', '.join(others[:3])}{', …' * (len(others) > 3)}), "
            "and saving replaces the folder; choose a new folder for the index"
        )


def _check_metadata(metadata: Mapping[str, Any]) -> None:
    try:
        same = json.loads(json.dumps(metadata, allow_nan=False)) == metadata
    except (TypeError, ValueError) as error:
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
        header = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise CorruptIndexError(path, f"not readable as JSON ({error})") from error
    if not isinstance(header, dict) or header.get("format") != FORMAT:
        raise CorruptIndexError(path, f"not the header of a crosshash index (format {FORMAT!r})")
    if header.get("version") != VERSION:
        raise ValueError(
            f"{path}: format version {header.get('version')!r}, this crosshash reads {VERSION}; "
            "upgrade crosshash, or build the index anew"
        )
    fields = {"bits": int, "count": int, "metadata": dict, "sha256": dict}
    for name, kind in fields.items():
        if not isinstance(header.get(name), kind):
            raise CorruptIndexError(path, f"{name!r} is missing or no {kind.__name__}")
    if set(header["sha256"]) != {CODES_FILE, IDS_FILE}:
        raise CorruptIndexError(path, f"sha256 is to name {CODES_FILE} and {IDS_FILE}")
    for name in header["sha256"]:
        if not (folder / name).is_file():
            raise FileNotFoundError(f"{folder / name} is missing from the index; {_REMEDY}")
    return header
