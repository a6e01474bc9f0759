"""Which pairs are queries, which are searched and which train a model."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from typing import Any

import numpy as np
import numpy.typing as npt

Indices = npt.NDArray[np.int64]

# A pair in both sets of a line here makes a result meaningless. Training pairs may be searched:
# in most published protocols the training set is a part of the retrieval set.
DISJOINT = (
    ("query", "retrieval"),
    ("query", "train"),
    ("query", "validation"),
    ("train", "validation"),
    ("query", "calibration"),
    ("train", "calibration"),
    ("validation", "calibration"),
)


@dataclass(frozen=True, eq=False)
class Protocol:
    """Index sets into a data set; the arrays are read-only copies.

    Args:
        name: What the record of a result calls the split.
        query: (q,) indices of the pairs that are looked for.
        retrieval: (r,) indices of the pairs that are searched; their order is the database order.
        train: (t,) indices of the pairs that train a model; they may be in ``retrieval``.
        validation: (v,) pairs that the data set's authors hold out for model selection, if any.
        calibration: (h,) pairs that nothing learns or selects by, from which a trained model's
            distances are turned into probabilities, if any; they may be in ``retrieval``.

    Raises:
        ValueError: A set is not a one-dimensional array of integers.
    """

    name: str
    query: Indices
    retrieval: Indices
    train: Indices
    validation: Indices | None = None
    calibration: Indices | None = None

    def __post_init__(self) -> None:
        for part in ("query", "retrieval", "train", "validation", "calibration"):
            values = getattr(self, part)
            if values is not None:
                object.__setattr__(self, part, _indices(values, part))

    def sets(self) -> dict[str, Indices]:
        """The index sets that are given, by name."""
        named = {"query": self.query, "retrieval": self.retrieval, "train": self.train}
        given = {"validation": self.validation, "calibration": self.calibration}
        return {**named, **{part: rows for part, rows in given.items() if rows is not None}}

    def counts(self) -> dict[str, int]:
        """Pairs in each set, for the record of a result."""
        return {part: len(values) for part, values in self.sets().items()}

    def overlaps(self) -> dict[str, int]:
        """Pairs that two sets share, for the record: ``{"query_retrieval": 0, …}``."""
        return {
            f"{one}_{other}": len(np.intersect1d(a, b))
            for (one, a), (other, b) in combinations(self.sets().items(), 2)
        }

    def check(self, n: int, ids: Sequence[str] | None = None) -> None:
        """Refuse sets that would give a meaningless figure.

        Args:
            n: Pairs in the data set.
            ids: (n,) names of the pairs, to be used in the messages.

        Raises:
            ValueError: A set is empty, has an index outside 0…n-1 or one twice, or the queries
                share pairs with another set, or the training with the validation set.
        """
        sets = self.sets()
        for part, values in sets.items():
            if not len(values):
                raise ValueError(f"protocol {self.name!r}: the {part} set is empty")
            outside = values[(values < 0) | (values >= n)]
            if len(outside):
                raise ValueError(
                    f"protocol {self.name!r}: {len(outside)} indices of the {part} set are outside "
                    f"0…{n - 1} ({_examples(outside)}); it belongs to another data set"
                )
            unique, times = np.unique(values, return_counts=True)
            if len(unique) < len(values):
                raise ValueError(
                    f"protocol {self.name!r}: {(times > 1).sum()} pairs are in the {part} set more "
                    f"than once ({_examples(unique[times > 1], ids)}); list each one once"
                )
        for one, other in DISJOINT:
            shared = np.intersect1d(sets.get(one, _EMPTY), sets.get(other, _EMPTY))
            if len(shared):
                raise ValueError(
                    f"protocol {self.name!r}: {len(shared)} of {len(sets[one])} {one} pairs are "
                    f"in the {other} set too ({_examples(shared, ids)}); the two must be disjoint"
                )

    def digest(self, ids: Sequence[str]) -> str:
        """SHA-256 (hexadecimal) over the ids in each set, their order included.

        Args:
            ids: (n,) ids of the whole data set.
        """
        listed = {
            part: [str(ids[index]) for index in values] for part, values in self.sets().items()
        }
        text = json.dumps(listed, ensure_ascii=True, separators=(",", ":"))
        return hashlib.sha256(text.encode("ascii")).hexdigest()

    @classmethod
    def random(
        cls, n: int, *, query: int, train: int, seed: int = 0, name: str = "random"
    ) -> Protocol:
        """Draw a protocol: random queries, everything else searched, a random part of it trains.

        Args:
            n: Pairs in the data set.
            query: Pairs in the query set.
            train: Pairs in the training set, at most ``n - query``.
            seed: The same seed gives the same sets; each set is in ascending order.
            name: Name of the protocol.

        Raises:
            ValueError: A size is below 1, or ``query + train`` is above ``n``.
        """
        if query < 1 or train < 1 or query + train > n:
            raise ValueError(
                f"{n} pairs cannot be split into {query} queries and {train} training pairs; "
                f"both must be at least 1 and together at most {n}"
            )
        order = _shuffled(n, seed)
        return cls(
            name=name,
            query=np.sort(order[:query]),
            retrieval=np.sort(order[query:]),
            train=np.sort(order[query : query + train]),
        )

    def with_validation(self, size: int, seed: int = 0) -> Protocol:
        """The protocol for model selection; no pair of it is one of this protocol's queries.

        ``size`` pairs are held out as its queries: of the authors' validation set where there is
        one, else of the training set. The other training pairs are searched and train the model.

        Args:
            size: Pairs to hold out.
            seed: The same seed holds out the same pairs; the others keep their order.

        Raises:
            ValueError: ``size`` is below 1, or leaves no training pair, or is larger than the
                authors' validation set.
        """
        pool = self.train if self.validation is None else self.validation
        most = len(pool) - (self.validation is None)
        if not 1 <= size <= most:
            source = "training pairs" if self.validation is None else "validation pairs"
            raise ValueError(
                f"protocol {self.name!r}: cannot hold out {size} of {len(pool)} {source}; "
                f"choose a validation size from 1 to {most}"
            )
        held = np.zeros(len(pool), dtype=bool)
        held[_shuffled(len(pool), seed)[:size]] = True
        rest = pool[~held] if self.validation is None else self.train
        return Protocol(
            name=f"{self.name}/validation", query=pool[held], retrieval=rest, train=rest
        )

    def with_calibration(self, size: int, seed: int = 0) -> Protocol:
        """The same protocol, with training pairs left out of all training to calibrate on.

        Args:
            size: Pairs to leave out.
            seed: The same seed leaves out the same pairs; the others keep their order.

        Raises:
            ValueError: ``size`` is below 1 or leaves no training pair, or pairs are left out
                already.
        """
        if self.calibration is not None:
            raise ValueError(
                f"protocol {self.name!r}: {len(self.calibration):,} pairs are left out to "
                "calibrate on already; set data.calibration to 0"
            )
        if not 1 <= size < len(self.train):
            raise ValueError(
                f"protocol {self.name!r}: cannot leave {size} of {len(self.train)} training pairs "
                f"out to calibrate on; choose a size from 1 to {len(self.train) - 1}"
            )
        left = np.zeros(len(self.train), dtype=bool)
        left[_shuffled(len(self.train), seed)[:size]] = True
        return replace(self, train=self.train[~left], calibration=self.train[left])

    def held_out(self, size: int, seed: int = 0) -> Protocol:
        """A rehearsal of this protocol inside its training set, to compare settings by.

        None of the real queries is in it. Of ``size`` held-out training pairs some are queries;
        others are searched without having trained the model, as in the real retrieval set, up to
        its share of such pairs but at most two thirds of ``size``.

        Args:
            size: Training pairs to hold out.
            seed: The same seed holds out the same pairs.

        Raises:
            ValueError: ``size`` is below 3, or leaves no training pair.
        """
        if not 3 <= size < len(self.train):
            raise ValueError(
                f"protocol {self.name!r}: cannot hold out {size} of {len(self.train)} training "
                f"pairs; choose a size from 3 to {len(self.train) - 1}"
            )
        order = self.train[_shuffled(len(self.train), seed)]
        train = np.sort(order[size:])
        unseen = len(np.setdiff1d(self.retrieval, self.train)) / len(self.retrieval)
        alike = round(unseen / (1 - unseen) * len(train)) if unseen < 1 else size
        searched = min(alike, 2 * size // 3)
        seen = train if unseen < 1 else _EMPTY
        return Protocol(
            name=f"{self.name}/held-out",
            query=np.sort(order[searched:size]),
            retrieval=np.sort(np.concatenate([order[:searched], seen])),
            train=train,
        )


_EMPTY: Indices = np.zeros(0, dtype=np.int64)


def _indices(values: Any, part: str) -> Indices:
    array = np.asarray(values)
    if array.size == 0:
        array = _EMPTY
    if array.ndim != 1 or array.dtype.kind not in "iu":
        raise ValueError(
            f"the {part} set is a list of row numbers, got {array.dtype} of shape {array.shape}"
            + ("; turn a mask into them with np.flatnonzero" if array.dtype.kind == "b" else "")
        )
    copy = array.astype(np.int64)
    copy.setflags(write=False)
    return copy


def _shuffled(n: int, seed: int) -> Indices:
    # Not permutation(), whose stream NumPy may change: a split must outlive its release.
    return np.argsort(np.random.default_rng(seed).random(n), kind="stable")


def _examples(values: Indices, ids: Sequence[str] | None = None) -> str:
    shown = [repr(ids[index]) if ids is not None else str(index) for index in values[:3]]
    return ", ".join(shown) + (", …" if len(values) > 3 else "")
