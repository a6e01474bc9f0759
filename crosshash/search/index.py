"""Search over packed codes, exact: by Hamming distance, on FAISS, or by asymmetric distance."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np
import numpy.typing as npt

from crosshash.codes import Packed, as_packed, check_bits
from crosshash.retrieval.asymmetric import WeightedQueries, nearest
from crosshash.retrieval.histogram import check_choice
from crosshash.retrieval.metrics import check_rank
from crosshash.search.ids import Id, as_id, as_ids, told_twice
from crosshash.search.index_file import CorruptIndexError, Stored, read_folder, write_folder
from crosshash.search.lock import ReadWriteLock

if TYPE_CHECKING:
    from crosshash.model.hash_model import HashModel

__all__ = ["CorruptIndexError", "Index", "SearchResult"]

Rank = Literal["hamming", "asymmetric"]
# Where the metadata keep the digest of the model that makes the codes.
DIGEST = "model_digest"


@dataclass(frozen=True)
class SearchResult:
    """The nearest items of q queries, nearest first.

    Attributes:
        ids: q lists of ids.
        distances: ``int32`` (q, topk), Hamming distances in 0…k.
        positions: ``int64`` (q, topk), each item's place in the order of insertion, which is its
            row in ``Index.codes()`` and ``Index.ids``; removing an item moves later ones up.
        asymmetric: ``float32`` (q, topk), asymmetric distances in units of the query's values,
            where these ranked; else None.
    """

    ids: list[list[str]]
    distances: npt.NDArray[np.int32]
    positions: npt.NDArray[np.int64]
    asymmetric: npt.NDArray[np.float32] | None = None

    def __len__(self) -> int:
        return len(self.ids)


class Index:
    """Codes and their ids, searched exactly, by Hamming distance on FAISS (``IndexBinaryFlat``).

    Equal distances come in order of insertion, so that a result is the same on every run. Ids are
    strings, each once; an integer may be given for one and stands for its decimal digits: 7 and
    ``"7"`` are the same id, which results name ``"7"``. An index can be pickled and copied. Threads
    may share one: searches run side by side, and each sees all of an ``add`` or ``remove``, or none
    of it.

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
        self._lock = ReadWriteLock()

    @classmethod
    def for_model(
        cls,
        model: HashModel,
        metadata: Mapping[str, Any] | None = None,
        *,
        bits: int | None = None,
    ) -> Index:
        """An empty index for a model's codes, which knows that model again.

        Args:
            model: Its digest is kept in the metadata, so that :meth:`check_model` can refuse
                another model's codes.
            metadata: What else to remember.
            bits: Which of the model's ``lengths`` the codes have; None: all its bits.

        Raises:
            ValueError: The model has no codes of that length.
        """
        from crosshash.model.digest import model_digest

        length = model.check_length(bits)
        return cls(length, {**(metadata or {}), DIGEST: model_digest(model)})

    def check_model(self, model: HashModel) -> None:
        """Refuse a model whose codes do not belong to those in the index.

        An index that was not made by :meth:`for_model` knows no more than the code length.

        Raises:
            ValueError: The model's codes have another length, or it has another digest than the
                model that the index was made for.
        """
        from crosshash.model.digest import model_digest

        if self.bits not in model.lengths:
            raise ValueError(
                f"the index holds codes of {self.bits} bits, and this model's have "
                f"{', '.join(map(str, model.lengths))}; "
                "use the model that the index was built with, or build it anew"
            )
        made, asked = self.metadata.get(DIGEST), model_digest(model)
        if made is not None and made != asked:
            name = self.metadata.get("model")
            named = "" if name is None else f" named {name}"
            raise ValueError(
                f"the index was made by another model{named} (digest {made[:12]}; this one has "
                f"{asked[:12]}), so distances would mean nothing: search with that model or, if "
                "it was trained again, build the index anew with `crosshash index`"
            )

    def __len__(self) -> int:
        return len(self._ids)

    def __contains__(self, id_: object) -> bool:
        """Whether an item has this id, a string or an integer."""
        return as_id(id_) in self._known

    def __getstate__(self) -> dict[str, Any]:
        with self._lock.reading():
            return {
                "bits": self.bits,
                "metadata": self.metadata,
                "codes": self._codes(),
                "ids": list(self._ids),
            }

    def __setstate__(self, state: dict[str, Any]) -> None:
        Index.__init__(self, state["bits"], state["metadata"])
        self.add(state["codes"], state["ids"])

    def __repr__(self) -> str:
        return f"Index(bits={self.bits}, items={len(self)}, metadata={self.metadata!r})"

    @property
    def ids(self) -> Sequence[str]:
        """All ids in order of insertion; a view, not to be changed."""
        return self._ids

    def codes(self) -> Packed:
        """A copy of all codes in order of insertion, ``uint8`` (n, k/8)."""
        with self._lock.reading():
            return self._codes()

    def _codes(self) -> Packed:
        import faiss

        flat: Packed = faiss.vector_to_array(self._faiss.xb)
        return flat.reshape(len(self), self.bits // 8)

    def add(self, codes: Any, ids: Iterable[Id]) -> None:
        """Append items; on any error nothing is added.

        Args:
            codes: (n, k/8) packed ``uint8``, or (n, k) signed or real values.
            ids: n strings, any text, or integers, each new to the index.

        Raises:
            TypeError: An id is no string and no integer, or the codes' type has no sign.
            ValueError: The codes have another length, are not one per id, or an id comes twice.
        """
        packed = self._packed(codes)
        new = as_ids(ids)
        if len(new) != len(packed):
            raise ValueError(f"one id per code: got {len(new)} ids for {len(packed)} codes")
        fresh = set(new)
        with self._lock.writing():
            if len(fresh) != len(new) or not self._known.isdisjoint(fresh):
                raise ValueError(told_twice(new, self._known))
            self._faiss.add(packed)
            self._ids += new
            self._known |= fresh

    def remove(self, ids: Iterable[Id]) -> None:
        """Take items out; the others keep their order. On any error nothing is removed.

        Args:
            ids: Strings or integers, all in the index; one given twice is removed once.

        Raises:
            TypeError: An id is no string and no integer.
            LookupError: Ids are not in the index; names them.
        """
        gone = set(as_ids(ids))
        with self._lock.writing():
            if missing := sorted(gone - self._known):
                more = f" and {len(missing) - 5} more" if len(missing) > 5 else ""
                raise LookupError(
                    f"not in the index: {', '.join(map(repr, missing[:5]))}{more}; nothing was "
                    "removed (`id in index` tells what is there)"
                )
            positions = [place for place, id_ in enumerate(self._ids) if id_ in gone]
            self._faiss.remove_ids(np.array(positions, dtype=np.int64))
            self._ids = [id_ for id_ in self._ids if id_ not in gone]
            self._known -= gone

    def search(
        self,
        codes: Any,
        topk: int = 10,
        *,
        rank: Rank = "hamming",
        oversample: int | None = None,
    ) -> SearchResult:
        """Find the nearest items of each query code.

        The asymmetric distance is the sum of a query's values, without their signs, over the bits
        in which an item differs: bits of which the query is sure weigh more. Items store nothing
        for it. Equal ones come by Hamming distance (``crosshash.retrieval.asymmetric``).

        Args:
            codes: (q, k/8) packed ``uint8``, or (q, k) signed or real values.
            topk: How many items per query; no more than the index holds are returned.
            rank: ``hamming``; or ``asymmetric``, of real values, ``encode_text(…, output="real")``.
            oversample: Rank asymmetrically only the ``oversample * topk`` items that are nearest
                by Hamming distance, which is faster and may miss some; None: all items.

        Raises:
            TypeError: The codes' type has no sign, or no real values to rank asymmetrically.
            ValueError: The index is empty, ``topk`` is below 1, the codes have another length or,
                to rank asymmetrically, infinite values; there is no such ``rank``; ``oversample``
                is below 1, or without asymmetric ranking.
        """
        check_choice("rank", rank, get_args(Rank))
        check_rank("oversample", oversample)
        if oversample is not None and rank == "hamming":
            raise ValueError("oversample is of asymmetric ranking; add rank='asymmetric'")
        queries = WeightedQueries(codes) if rank == "asymmetric" else None
        packed = self._packed(codes)
        if topk < 1:
            raise ValueError(f"topk is at least 1, got {topk}")
        with self._lock.reading():
            if not len(self):
                raise ValueError("the index is empty; add codes before searching")
            topk = min(topk, len(self))
            asymmetric = None
            if queries is None:
                distances, positions = self._nearest(packed, topk)
            else:
                wanted = len(self) if oversample is None else oversample * topk
                near = None if wanted >= len(self) else self._nearest(packed, wanted)[1]
                positions, asymmetric, distances = nearest(queries, self._view(), topk, near)
            ids = [[self._ids[position] for position in row] for row in positions.tolist()]
        return SearchResult(ids, distances, positions, asymmetric)

    def _nearest(self, packed: Packed, count: int) -> tuple[Any, Any]:
        """Hamming distances and positions (q, count)."""
        # FAISS keeps a heap by (distance, position) and lets an equal distance in only if nothing
        # earlier has it, which is the order promised here; the counting search would not.
        self._faiss.use_heap = True
        distances, positions = self._faiss.search(packed, count)
        return distances, positions

    def _view(self) -> Packed:
        """All codes where FAISS has them, one or more, to be read under the lock."""
        import faiss

        size = len(self) * self.bits // 8
        flat: Packed = faiss.rev_swig_ptr(self._faiss.xb.data(), size)
        return flat.reshape(len(self), self.bits // 8)

    def save(self, folder: str | Path) -> None:
        """Write the index to a folder, all of it or nothing.

        Args:
            folder: A new or empty folder, or one that holds a saved index, which is replaced.

        Raises:
            FileExistsError: The folder holds other files, which replacing it would delete.
            TypeError: ``metadata`` cannot be written as JSON and read back the same.
        """
        with self._lock.reading():
            write_folder(folder, Stored(self._faiss, self._ids, self.metadata))

    @classmethod
    def load(cls, folder: str | Path) -> Index:
        """Read a saved index, checking that its files are whole and belong together.

        ``Index.open`` is the same.

        Raises:
            FileNotFoundError: The folder or one of its files is not there.
            CorruptIndexError: A file is damaged, or the files disagree.
            ValueError: The index was written by a later version of the format.
        """
        stored = read_folder(folder)
        index = cls(stored.codes.d, stored.metadata)
        index._faiss, index._ids, index._known = stored.codes, stored.ids, set(stored.ids)
        return index

    open = load

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
