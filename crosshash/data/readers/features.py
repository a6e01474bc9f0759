"""Pairs of published features: arrays of images, texts and labels, with or without a split."""

from __future__ import annotations

import hashlib
import itertools
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from crosshash.data.dataset import PairedDataset
from crosshash.data.features.arrays import (
    Array,
    Orientation,
    as_features,
    as_labels,
    listed,
    pairs_in_columns,
    read_rows,
)
from crosshash.data.features.files import NUMBERS, SUFFIXES, Variable, list_variables
from crosshash.data.load import DATASETS
from crosshash.data.paper_protocols import choose_protocol
from crosshash.data.protocol import Protocol
from crosshash.files import locate

# Names that the field's files have; the star stands for a part of the split. Case does not matter.
NAMES: dict[str, tuple[str, ...]] = {
    "image": ("images", "image", "IAll", "XAll", "I_*", "images_*", "image_*"),
    "text": ("texts", "text", "tags", "tag", "TAll", "YAll", "T_*", "texts_*", "text_*", "tags_*"),
    "label": ("labels", "label", "LAll", "L_*", "labels_*", "label_*"),
}
PARTS = {
    **dict.fromkeys(("tr", "train"), "train"),
    **dict.fromkeys(("db", "database", "retrieval"), "retrieval"),
    **dict.fromkeys(("te", "test", "query"), "query"),
}
NO_LABELS = "none"
_WHOLE = "whole"


@DATASETS.register("features")
def features(
    root: str | Path,
    *,
    images: str | None = None,
    texts: str | None = None,
    labels: str | None = None,
    image_key: str | None = None,
    text_key: str | None = None,
    label_key: str | None = None,
    name: str = "features",
    orientation: Orientation = "auto",
    protocol: str | None = None,
    query: int | None = None,
    train: int | None = None,
    seed: int = 0,
) -> tuple[PairedDataset, Protocol]:
    """Read features from MATLAB (also 7.3), HDF5, ``.npy``, ``.npz`` or ``.safetensors`` files.

    Arrays are found by the usual names (:data:`NAMES`), or by ``…_key``. Variables such as
    ``I_tr``, ``T_tr``, ``L_tr``, ``I_db``, …, ``I_te``, … make the protocol: queries are ``te``,
    searched is ``db`` (without it ``tr``), ``tr`` trains. A training pair that equals one of ``db``
    in all its values is taken to be that pair.

    Features of any real type become ``float32``; ``uint8`` arrays with four axes are pictures.
    Labels are a 0/1 matrix, or one column of class numbers.

    Args:
        root: A file, or a folder whose files are taken together, as given or below
            ``CROSSHASH_DATA``.
        images: File of the images, in the folder; default: any file there.
        texts: File of the texts.
        labels: File of the labels.
        image_key: Name of the images' variable; with a star for the part of a split, as ``"I_*"``.
        text_key: Name of the texts' variable.
        label_key: Name of the labels' variable; ``"none"``: read without labels.
        name: The data set's name, by which a paper's protocol is chosen: ``"mirflickr25k"``.
        orientation: Whether pairs are ``"rows"`` or ``"columns"``; ``"auto"``: what alone fits.
        protocol: A paper's name or a protocol file; default: the file's own split, else AMGFH's.
        query: Queries, in place of the paper's number.
        train: Training pairs, in place of the paper's number.
        seed: Draws the protocol.

    Raises:
        FileNotFoundError: The file or folder is missing.
        ImportError: A file is HDF5, and h5py is not installed.
        LookupError: The protocol is unknown.
        ValueError: A file is damaged, the arrays cannot be told apart or do not fit together, a
            value is NaN or infinite, or the pairs are too few for the protocol.
    """
    if orientation not in ("auto", "rows", "columns"):
        raise ValueError(f"orientation={orientation!r}: use 'auto', 'rows' or 'columns'")
    place = locate(root)
    files = {"image": images, "text": texts, "label": labels}
    keys = {"image": image_key, "text": text_key, "label": label_key}
    roles = [role for role in NAMES if not (role == "label" and label_key == NO_LABELS)]
    pool = _pool(place, files, roles)
    found = {role: _find(role, keys[role], files[role], pool, place) for role in roles}
    parts = set(found["image"])
    if any(set(group) != parts for group in found.values()):
        shown = "; ".join(f"{role}s: {listed(group.values())}" for role, group in found.items())
        raise ValueError(
            f"{place}: images, texts and labels are not of the same parts ({shown}); choose "
            "variables that belong together with image_key=, text_key= and label_key="
        )
    values, label_names = _read(found, orientation, place)
    split = None
    if parts == {_WHOLE}:
        joined = {role: group[_WHOLE] for role, group in values.items()}
        ids = [f"row-{row:06d}" for row in range(len(joined["image"]))]
    else:
        joined, ids, split = _join(values, name, place)
    dataset = PairedDataset(
        name=name,
        ids=ids,
        images=joined["image"],
        texts=joined["text"],
        labels=joined.get("label"),
        label_names=label_names,
    )
    if split is None or protocol is not None:
        split = choose_protocol(
            dataset.ids,
            dataset=name,
            protocol=protocol or "amgfh",
            query=query,
            train=train,
            seed=seed,
        )
    elif query is not None or train is not None:
        raise ValueError(
            f"{place}: {listed(found['image'].values())} are a split already; leave query= and "
            "train= out, or name a paper with protocol= to draw another one"
        )
    split.check(len(dataset), dataset.ids)
    return dataset, split


class _Pool(NamedTuple):
    variables: list[Variable]
    by_role: Mapping[str, list[Variable]]


def _pool(place: Path, files: Mapping[str, str | None], roles: Sequence[str]) -> _Pool:
    """All variables that may be meant, and those of the file that is named for a role."""
    if place.is_file():
        given = [f"{role}s={file!r}" for role, file in files.items() if file is not None]
        if given:
            raise ValueError(f"{place} is a file; {', '.join(given)} are files in a folder")
        return _Pool(list_variables(place), {})
    by_role = {
        role: list_variables(place / file) for role, file in files.items() if file is not None
    }
    if by_role.keys() >= set(roles):
        return _Pool([], by_role)
    paths = sorted(path for path in place.iterdir() if path.suffix.lower() in SUFFIXES)
    if not paths:
        raise FileNotFoundError(
            f"{place}: no feature files in this folder; known are {', '.join(sorted(SUFFIXES))}"
        )
    return _Pool([item for path in paths for item in list_variables(path)], by_role)


def _find(
    role: str, key: str | None, file: str | None, pool: _Pool, place: Path
) -> dict[str, Variable]:
    """The variables of one role by part; a set that is not split has the one part ``whole``."""
    variables = pool.by_role.get(role, pool.variables)
    patterns = NAMES[role] if key is None else (key,)
    matches = [found for pattern in patterns for found in _matching(pattern, variables)]
    if not matches and key is None and file is not None:
        numeric = [item for item in variables if item.kind == NUMBERS]
        matches = [{_WHOLE: item} for item in numeric] if len(numeric) == 1 else []
    if len(matches) == 1:
        return matches[0]
    files = {item.path.name for item in variables}
    there = f"it has {listed(variables)}" + (f" in {len(files)} files" if len(files) > 1 else "")
    remedy = f"set {role}_key= to the name of the {role}s' variable"
    if role == "label":
        remedy += f", or to {NO_LABELS!r} to read without labels"
    if matches:
        what = f"several variables may be the {role}s: "
        what += " or ".join(listed(match.values()) for match in matches)
        remedy += f", or {role}s= to its file" if len(files) > 1 else ""
    elif key is None:
        what = f"no variable has a usual name of {role}s ({', '.join(NAMES[role])})"
    else:
        what = f"no variable is named {key!r} ({role}_key=)"
    raise ValueError(f"{place}: {what}; {there}; {remedy}")


def _matching(pattern: str, variables: Sequence[Variable]) -> list[dict[str, Variable]]:
    before, star, after = pattern.lower().partition("*")
    if not star:
        return [{_WHOLE: item} for item in variables if item.name.lower() == before]
    split: dict[str, list[Variable]] = {}
    for item in variables:
        lower = item.name.lower()
        if lower.startswith(before) and lower.endswith(after):
            part = PARTS.get(lower[len(before) : len(lower) - len(after)])
            if part:
                split.setdefault(part, []).append(item)
    # A few are enough to say that there are several.
    chosen = itertools.islice(itertools.product(*split.values()), 4) if split else ()
    return [dict(zip(split, items, strict=True)) for items in chosen]


def _read(
    found: Mapping[str, Mapping[str, Variable]], orientation: Orientation, place: Path
) -> tuple[dict[str, dict[str, Array]], list[str]]:
    """The arrays by role and part, pairs first, in the types of a data set; and label names."""
    columns = pairs_in_columns(found, orientation, place)
    values: dict[str, dict[str, Array]] = {}
    label_names: list[str] = []
    for role, group in found.items():
        arrays = read_rows(group, columns[role])
        if role == "label":
            arrays, label_names = as_labels(arrays, f"{place}: {listed(group.values())}")
        else:
            arrays = {
                part: as_features(array, group[part], pixels=role == "image")
                for part, array in arrays.items()
            }
        values[role] = arrays
    return values, label_names


def _join(
    values: Mapping[str, Mapping[str, Array]], name: str, place: Path
) -> tuple[dict[str, Array], list[str], Protocol]:
    """The parts of a split as one set: searched pairs, training pairs not among them, queries."""
    counts = {part: len(array) for part, array in values["image"].items()}
    base = "retrieval" if "retrieval" in counts else "train"
    if "query" not in counts or base not in counts:
        raise ValueError(
            f"{place}: the split has only the parts {', '.join(counts)}; it needs queries (te, "
            "test or query) and pairs to search (db, database, retrieval; or tr, train)"
        )
    searched = _digests(values, base)
    train = np.arange(counts[base])
    extra: list[int] = []
    if "train" in counts and base != "train":
        places: dict[bytes, list[int]] = {}
        for row in reversed(range(counts[base])):
            places.setdefault(searched[row], []).append(row)
        known = []
        for row, digest in enumerate(_digests(values, "train")):
            if places.get(digest):
                known.append(places[digest].pop())
            else:
                known.append(counts[base] + len(extra))
                extra.append(row)
        train = np.array(known, dtype=np.int64)
    seen = set(searched)
    leaked = sum(digest in seen for digest in _digests(values, "query"))
    if leaked:
        warnings.warn(
            f"{place}: {leaked} of {counts['query']} queries equal a searched pair in all values; "
            "they find themselves, so figures come out too high",
            stacklevel=3,
        )
    joined = {
        role: np.concatenate(
            [group[base], *([group["train"][extra]] if extra else []), group["query"]]
        )
        for role, group in values.items()
    }
    ids = [f"{base}-{row:06d}" for row in range(counts[base])]
    ids += [f"train-{row:06d}" for row in extra]
    query = np.arange(len(ids), len(ids) + counts["query"])
    ids += [f"query-{row:06d}" for row in range(counts["query"])]
    split = Protocol(f"{name} (split of the file)", query, np.arange(counts[base]), train)
    return joined, ids, split


def _digests(values: Mapping[str, Mapping[str, Array]], part: str) -> list[bytes]:
    groups = [group[part] for group in values.values()]
    digests = []
    for row in range(len(groups[0])):
        digest = hashlib.blake2b(digest_size=16)
        for array in groups:
            digest.update(array[row].tobytes())
        digests.append(digest.digest())
    return digests
