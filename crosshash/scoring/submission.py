"""A file of codes that anyone can write, whatever made them: a NumPy archive of named arrays."""

from __future__ import annotations

import io
import zipfile
import zlib
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt

from crosshash.auditing.codes import check_form, given_codes
from crosshash.codes import Packed, as_packed, check_bits, pack
from crosshash.data.dataset import PairedDataset
from crosshash.data.features.files import list_variables, read_variables
from crosshash.data.protocol import Protocol
from crosshash.files import atomic_file
from crosshash.untrusted import is_unicode

Database = Literal["encoded", "learned"]
CODES = ("query_images", "query_texts", "retrieval_images", "retrieval_texts")
_WORDS = ("split", "dataset", "name", "method", "link", "database")
_NUMBERS = ("bits", "seed")
_IDS = ("query_ids", "retrieval_ids")
_LONGEST = 200  # characters of a word
_TEXT_BYTES = 1 << 16
_ID_BYTES = 256 << 20
_HEADER = 10_000
_HEX = frozenset("0123456789abcdef")


@dataclass(frozen=True, eq=False)
class Submission:
    """Codes of the queries and of the searched pairs of a split, and what they are of.

    Attributes:
        query_images: Codes of the queries' images: packed ``uint8`` (q, k/8), signs in {-1, +1}
            (q, k), or reals (q, k), whose signs are the codes.
        query_texts: Of their texts.
        retrieval_images: Codes of the searched images, n rows, in any of these forms.
        retrieval_texts: Of the searched texts.
        split: Digest of the split, as ``crosshash data check`` prints it.
        dataset: Name of the data set.
        name: What a leaderboard calls them.
        method: What made them.
        bits: Code length.
        seed: Of the training.
        link: Address of a paper or of code.
        database: Which codes are searched: ``encoded`` by the hash functions; or ``learned``: rows
            that were trained on keep their label-learned codes.
        query_ids: (q,) ids of the queries, to be compared with the split's, if given.
        retrieval_ids: (n,) ids of the searched pairs.
    """

    query_images: npt.NDArray[Any]
    query_texts: npt.NDArray[Any]
    retrieval_images: npt.NDArray[Any]
    retrieval_texts: npt.NDArray[Any]
    split: str
    dataset: str = ""
    name: str = ""
    method: str = ""
    bits: int | None = None
    seed: int | None = None
    link: str = ""
    database: Database = "encoded"
    query_ids: npt.NDArray[np.str_] | None = None
    retrieval_ids: npt.NDArray[np.str_] | None = None

    def check(self) -> Submission:
        """Return it, if it can be scored; ``bits`` is filled in.

        Raises:
            ValueError: Codes are none, lengths or numbers of rows differ, image and text codes are
                the same, or a word is too long or no plain text; says how to mend it.
        """
        for field in (*_WORDS, *_NUMBERS):
            _check_word(field, getattr(self, field))
        if len(self.split) != 64 or not set(self.split) <= _HEX:
            raise ValueError(
                f"split is {self.split!r}; expected the SHA-256 of the split, 64 hexadecimal "
                "digits, which `crosshash data check DATASET` prints"
            )
        if self.database not in get_args(Database):
            raise ValueError(f"database is {self.database!r}; expected encoded or learned")
        lengths = set()
        for part in ("query", "retrieval"):
            sides = {side: getattr(self, f"{part}_{side}") for side in ("images", "texts")}
            shapes = {side: np.shape(codes) for side, codes in sides.items()}
            if any(len(shape) != 2 or not all(shape) for shape in shapes.values()):
                raise ValueError(
                    f"{part} codes have the shapes {shapes['images']} of images and "
                    f"{shapes['texts']} of texts; expected (items, bits), or (items, bits / 8) "
                    "where they are packed"
                )
            if shapes["images"][0] != shapes["texts"][0]:
                raise ValueError(
                    f"{shapes['images'][0]} {part} images and {shapes['texts'][0]} texts; a pair "
                    "has one of each"
                )
            images, texts = map(given_codes, sides.values())
            found = check_form(images, texts, self.bits)
            if found:
                told = "; ".join(f"{one.found} ({one.mend})" for one in found)
                raise ValueError(f"{part} codes: {told}")
            lengths.add(images.bits)
        if len(lengths) > 1:
            raise ValueError(
                f"query and retrieval codes of {sorted(lengths)} bits; give one length"
            )
        return Submission(**{**self.values(), "bits": check_bits(lengths.pop())})

    def values(self) -> dict[str, Any]:
        """All attributes by name."""
        return {field.name: getattr(self, field.name) for field in fields(self)}

    @property
    def retrieval(self) -> tuple[Packed, Packed]:
        """Packed codes of the searched images and texts."""
        return as_packed(self.retrieval_images), as_packed(self.retrieval_texts)

    @property
    def query(self) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
        """Codes of the queries' images and texts: reals as they are, all else packed."""
        both = self.query_images, self.query_texts
        return both if self.has_reals else (as_packed(both[0]), as_packed(both[1]))

    @property
    def has_reals(self) -> bool:
        """Whether both sides of the queries are reals, which asymmetric ranking can use."""
        return all(given_codes(x).form == "real" for x in (self.query_images, self.query_texts))


def write_submission(path: str | Path, submission: Submission) -> None:
    """Write codes as a NumPy archive.

    Args:
        path: The file, ``….npz``; it is replaced as a whole.
        submission: The codes.

    Raises:
        ValueError: They cannot be scored, or the file has another ending.
    """
    if Path(path).suffix.lower() != ".npz":
        raise ValueError(f"{path}: codes are written to a NumPy archive; name it {path}.npz")
    given = {key: value for key, value in submission.check().values().items() if value is not None}
    with atomic_file(path) as place, place.open("wb") as file:
        np.savez_compressed(file, **given)


def read_submission(path: str | Path) -> Submission:
    """Read a file of codes that others wrote; no pickle is read, nothing of it is run.

    Args:
        path: A ``.npz`` file with the names of :class:`Submission`'s attributes; the codes and
            ``split`` must be there.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: It is no such archive, would unpack to far more than it is, or its codes cannot
            be scored; names the file.
    """
    path = Path(path)
    if path.suffix.lower() != ".npz":
        raise ValueError(f"{path}: codes are in a NumPy archive, a .npz file")
    there = {variable.name: variable for variable in list_variables(path)}
    missing = [name for name in (*CODES, "split") if name not in there]
    if missing:
        raise ValueError(
            f"{path}: {', '.join(missing)} missing; it has {', '.join(there) or 'nothing'}. "
            "`crosshash score --template DATASET -o codes.npz` writes one to fill in"
        )
    strange = [name for name in there if name not in {field.name for field in fields(Submission)}]
    if strange:
        raise ValueError(f"{path}: it has {', '.join(strange)}, which no submission has")
    numbers = [name for name in (*CODES, *_NUMBERS) if name in there]
    arrays = read_variables([there[name] for name in numbers])
    values: dict[str, Any] = dict(zip(numbers, arrays, strict=True))
    with zipfile.ZipFile(path) as archive:
        for name in (*_WORDS, *_IDS):
            if name in there:
                values[name] = _strings(archive, name, path)
    try:
        for name in (*_WORDS, *_NUMBERS):
            if name in values:
                values[name] = _one(name, values[name])
        return Submission(**values).check()
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None


def template(
    dataset: PairedDataset, protocol: Protocol, *, bits: int = 64, seed: int = 0
) -> Submission:
    """A submission of random codes, at chance, to be filled in: its ids say the order of the rows.

    Args:
        dataset: The pairs.
        protocol: Their split.
        bits: Code length.
        seed: Of the codes.
    """
    check_bits(bits)
    draw = np.random.default_rng(seed)
    codes: dict[str, Any] = {}
    for name in CODES:
        rows = protocol.query if name.startswith("query") else protocol.retrieval
        codes[name] = pack(draw.normal(size=(len(rows), bits)))
    ids = np.array(dataset.ids)
    return Submission(
        **codes,
        split=protocol.digest(dataset.ids),
        dataset=dataset.name,
        name="template",
        method="random",
        bits=bits,
        seed=seed,
        query_ids=ids[protocol.query],
        retrieval_ids=ids[protocol.retrieval],
    )


def _strings(archive: zipfile.ZipFile, name: str, path: Path) -> npt.NDArray[np.str_]:
    """A string or a list of strings, whose bytes are counted before they are unpacked."""
    limit = _ID_BYTES if name in _IDS else _TEXT_BYTES
    try:
        with archive.open(f"{name}.npy") as file:
            content = file.read(limit + 1)
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
        raise ValueError(f"{path}: {name} cannot be read from the archive ({error})") from error
    if len(content) > limit:
        raise ValueError(f"{path}: {name} has more than {limit:,} bytes, which are read at most")
    start = io.BytesIO(content[:_HEADER])
    formats: Any = np.lib.format
    try:
        old = formats.read_magic(start) == (1, 0)
        read = formats.read_array_header_1_0 if old else formats.read_array_header_2_0
        shape, _, dtype = read(start)
        axes = 1 if name in _IDS else 0
        if dtype.kind != "U" or len(shape) != axes:
            raise ValueError(f"it is an array of {dtype} with {len(shape)} axes")
        whole = np.frombuffer(content[start.tell() :], dtype=dtype)
        strings: npt.NDArray[np.str_] = whole.reshape(shape).astype(str)
        if not all(is_unicode(text) for text in strings.ravel().tolist()):
            raise ValueError("it is no valid Unicode")
        return strings
    except Exception as error:
        # NumPy has Python parse the header, and lets through whatever that fails with.
        kind = "a list of strings" if name in _IDS else "a string"
        raise ValueError(f"{path}: {name} is not {kind} ({error})") from error


def _one(name: str, value: npt.NDArray[Any]) -> Any:
    if value.size != 1 or (name in _NUMBERS and value.dtype.kind not in "iu"):
        kind = "whole number" if name in _NUMBERS else "string"
        raise ValueError(f"{name} is one {kind}, got {value.dtype} of shape {value.shape}")
    return value.item()


def _check_word(field: str, value: Any) -> None:
    """Refuse what could not stand in a line of a table, or would be run there."""
    if value is None or isinstance(value, int):
        return
    if len(value) > _LONGEST or not value.isprintable():
        raise ValueError(
            f"{field} is one line of at most {_LONGEST} characters, got {len(value)}: "
            f"{value[:40]!r}"
        )
    if field == "link":
        if value and not value.startswith(("https://", "http://")):
            raise ValueError(f"link is an address, https://…, got {value[:40]!r}")
    elif value.strip() != value or value.startswith(("=", "+", "-", "@")):
        # A spreadsheet that opens the leaderboard would take these for formulas.
        raise ValueError(f"{field} begins and ends with a letter or digit, got {value[:40]!r}")
