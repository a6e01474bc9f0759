"""Protocols as small JSON files, so that two people compare methods on the same split."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from crosshash.data.protocol import Indices, Protocol
from crosshash.files import atomic_file
from crosshash.untrusted import read_json

FORMAT = "crosshash-protocol"
VERSION = 1
_SETS = {"query", "retrieval", "train"}
_MAY = {"validation", "calibration"}
_RANGE = re.compile(r"(\d{1,15})(?:-(\d{1,15}))?")


def ids_digest(ids: Sequence[str]) -> str:
    """SHA-256 (hexadecimal) of the names of a data set's pairs, their order included."""
    text = json.dumps([str(item) for item in ids], ensure_ascii=True, separators=(",", ":"))
    return hashlib.sha256(text.encode("ascii")).hexdigest()


def write_protocol(
    path: str | Path,
    protocol: Protocol,
    ids: Sequence[str],
    *,
    dataset: str = "",
    seed: int | None = None,
) -> None:
    """Write a protocol as JSON: row numbers, counts, and hashes of the split and of the ids.

    Args:
        path: The file; the same protocol gives the same bytes.
        protocol: Row numbers into ``ids``.
        ids: (n,) names of the pairs of the whole data set.
        dataset: Its name; a reader of the file that expects another one is told.
        seed: What drew the sets, for people; reading does not use it.

    Raises:
        ValueError: The protocol does not pass :meth:`Protocol.check`.
    """
    protocol.check(len(ids), ids)
    content = {
        "format": FORMAT,
        "version": VERSION,
        "dataset": dataset,
        "protocol": protocol.name,
        "seed": seed,
        "pairs": len(ids),
        "ids_sha256": ids_digest(ids),
        "split_sha256": protocol.digest(ids),
        "counts": protocol.counts(),
        "rows": {part: _as_ranges(rows) for part, rows in protocol.sets().items()},
    }
    with atomic_file(path) as temporary:
        temporary.write_text(json.dumps(content, indent=1) + "\n", encoding="ascii")


def read_protocol(path: str | Path, ids: Sequence[str], *, dataset: str = "") -> Protocol:
    """Read a protocol that :func:`write_protocol` has written.

    Args:
        path: The file.
        ids: (n,) names of the pairs of the data set at hand.
        dataset: Its name; empty: any.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: The file is no protocol, is damaged, or is of another data set or of another
            version of this one.
    """
    path = Path(path)
    content = _content(path)
    made_for = content["dataset"]
    if dataset and made_for and dataset != made_for:
        raise ValueError(f"{path}: a protocol of data set {made_for!r}, not of {dataset!r}")
    if content["pairs"] != len(ids) or content["ids_sha256"] != ids_digest(ids):
        raise ValueError(
            f"{path}: made for {content['pairs']:,} pairs, and this data set has {len(ids):,}, "
            "with other names or in another order: it is another version of the data, or was read "
            "with other options; read it as the protocol's author did, or draw a new protocol"
        )
    rows = {
        part: _from_ranges(text, len(ids), f"{path}: {part}")
        for part, text in content["rows"].items()
    }
    protocol = Protocol(content["protocol"], **rows)
    protocol.check(len(ids), ids)
    if protocol.digest(ids) != content["split_sha256"]:
        raise ValueError(
            f"{path}: the row numbers do not have the hash that stands in the file; it was edited "
            "or damaged: get it again"
        )
    return protocol


def _content(path: Path) -> dict[str, Any]:
    try:
        content = read_json(path)
    except FileNotFoundError:
        raise FileNotFoundError(f"{path}: no such protocol file") from None
    except ValueError as error:
        raise ValueError(f"{error}; it cannot be read as a protocol file: get it again") from None
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise ValueError(f"{path}: not a protocol file; it has no 'format': '{FORMAT}'")
    if content.get("version") != VERSION:
        raise ValueError(
            f"{path}: version {content.get('version')!r} of the format, and this release reads "
            f"version {VERSION}; update crosshash"
        )
    kinds = {
        "dataset": str,
        "protocol": str,
        "pairs": int,
        "ids_sha256": str,
        "split_sha256": str,
        "rows": dict,
    }
    wrong = [key for key, kind in kinds.items() if type(content.get(key)) is not kind]
    if wrong:
        raise ValueError(f"{path}: {', '.join(wrong)}: missing or of the wrong type")
    parts = set(content["rows"])
    if not _SETS <= parts <= _SETS | _MAY:
        raise ValueError(
            f"{path}: the sets are query, retrieval, train and maybe validation and calibration, "
            f"got {', '.join(sorted(parts))}"
        )
    return content


def _as_ranges(rows: Indices) -> str:
    starts = np.flatnonzero(np.diff(rows, prepend=-2) != 1)
    ends = np.append(starts[1:], len(rows)) - 1
    return ",".join(
        str(first) if first == last else f"{first}-{last}"
        for first, last in zip(rows[starts].tolist(), rows[ends].tolist(), strict=True)
    )


def _from_ranges(text: Any, n: int, where: str) -> Indices:
    runs: list[Indices] = []
    count = 0
    for piece in text.split(",") if isinstance(text, str) else [f"<{text!r}>"]:
        match = _RANGE.fullmatch(piece)
        first, last = (int(match[1]), int(match[2] or match[1])) if match else (0, -1)
        count += last - first + 1
        # Before the numbers are made: a damaged file must not fill the memory.
        if not match or not first <= last < n or count > n:
            raise ValueError(
                f"{where}: {piece[:40]!r} is no row or range of rows below {n}; the file was "
                "edited or damaged: get it again"
            )
        runs.append(np.arange(first, last + 1, dtype=np.int64))
    return np.concatenate(runs)
