"""The index: codes with ids and metadata, wherever they are kept, and searching them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from crosshash.codes import check_bits
from crosshash.files import atomic_folder
from crosshash.retrieval.calibration import KEY
from crosshash.search.engine import CorruptIndexError, Engine, Items
from crosshash.search.folder import FolderEngine
from crosshash.search.ids import Id, as_ids, told_twice
from crosshash.search.inputs import checked_metadata, packed_codes, stacked
from crosshash.search.manifest import FILES, WHAT, check_metadata
from crosshash.search.places import open_engine
from crosshash.search.reader import Reader
from crosshash.search.result import Item, SearchResult

if TYPE_CHECKING:
    from crosshash.model.hash_model import HashModel

__all__ = ["CorruptIndexError", "Index", "Item", "Items", "SearchResult"]

# Where the metadata keep the digest of the model that makes the codes.
DIGEST = "model_digest"


class Index(Reader):
    """Codes and their ids, searched by Hamming or asymmetric distance.

    ``Index(bits)`` is in memory, and :meth:`open` opens one that is kept in a folder or by a
    server, in the same form. Search is exact unless :meth:`compact` built an approximate structure.
    Equal distances come in order of insertion, so that a result is the same on every run and by
    every engine. Ids are strings, each once; an integer may be given for one and stands for its
    decimal digits: 7 and ``"7"`` are the same id, which results name ``"7"``. An index in memory
    can be pickled and copied. Threads may share one: searches run side by side, and each sees all
    of an ``add`` or ``remove``, or none of it.

    Args:
        bits: Code length k, a multiple of 8.
        metadata: What to remember of the codes' origin, such as
            ``{"model": "amgfh-shapes-64", "kind": "image"}``; saved as JSON.

    Attributes:
        bits: Code length k.
        metadata: What is remembered of the whole index. Changes are kept by :meth:`save`.
        uri: Where it is.

    Example:
        >>> import numpy as np
        >>> index = Index(16)
        >>> index.add(np.array([[0, 0], [255, 255]], dtype=np.uint8), ["none", "all"])
        >>> found = index.search(np.array([[1, 0]], dtype=np.uint8), topk=2)
        >>> found.ids, found.distances.tolist()
        ([['none', 'all']], [[1, 15]])
    """

    def __init__(self, bits: int, metadata: Mapping[str, Any] | None = None) -> None:
        super().__init__(FolderEngine(check_bits(bits)))
        self._kept = False
        self.metadata = dict(metadata or {})

    @classmethod
    def open(cls, uri: str | Path, bits: int | None = None, *, verify: bool = False) -> Index:
        """An index that is kept: what changes is written before the call returns.

        Args:
            uri: A folder (``photos.index`` or ``faiss:photos.index``), a folder of LanceDB
                (``lancedb:photos``), or a server:
                ``postgresql://user@host/database?table=photos``, ``milvus://host:19530/photos``.
            bits: Code length; what is not there is made. None: it has to be there.
            verify: Compare a folder's files with their digests, which reads all of them.

        Raises:
            FileNotFoundError: Nothing is there, and ``bits`` is None.
            FileExistsError: The folder holds other files.
            CorruptIndexError: Files are damaged, or do not belong together.
            ValueError: What is there has another code length or is of another version; or no
                engine goes by the URI's scheme.
            ImportError: The engine's package is missing.
        """
        length = bits if bits is None else check_bits(bits)
        return cls._of(open_engine(uri, length, verify=verify), kept=True)

    @classmethod
    def load(cls, folder: str | Path) -> Index:
        """A saved index in memory, all files compared with their digests; :meth:`save` keeps it.

        Raises:
            FileNotFoundError: The folder or one of its files is not there.
            CorruptIndexError: A file is damaged, or the files disagree.
            ValueError: The index was written by another version of the format.
        """
        return cls._of(FolderEngine.open(Path(folder), verify=True, detached=True), kept=False)

    @classmethod
    def _of(cls, engine: Engine, *, kept: bool) -> Index:
        index = cls.__new__(cls)
        Reader.__init__(index, engine)
        index._kept = kept
        return index

    @classmethod
    def for_model(
        cls,
        model: HashModel,
        metadata: Mapping[str, Any] | None = None,
        *,
        bits: int | None = None,
        uri: str | Path | None = None,
    ) -> Index:
        """An index for a model's codes, which knows that model again.

        Args:
            model: Its digest is kept in the metadata, so that :meth:`check_model` can refuse
                another model's codes; and its calibration, if it has one, for the probability of
                hits.
            metadata: What else to remember of a new one.
            bits: Which of the model's ``lengths`` the codes have; None: all its bits, or those of
                an index that is there.
            uri: Where it is kept, as for :meth:`open`; one that is there has to be of this model.
                None: in memory.

        Raises:
            ValueError: The model has no codes of that length, or the index is another model's.
        """
        from crosshash.model.digest import model_digest

        known = {**(metadata or {}), DIGEST: model_digest(model)}
        if KEY in model.info.figures:
            known[KEY] = model.info.figures[KEY]
        if uri is None:
            return cls(model.check_length(bits), known)
        try:
            index = cls.open(uri)
        except FileNotFoundError:
            index = cls.open(uri, model.check_length(bits))
        if bits not in (None, index.bits):
            raise ValueError(
                f"{index.uri} holds codes of {index.bits} bits, to which none of {bits} can be "
                "added; leave bits out, or build another index"
            )
        index.check_model(model)
        new = not len(index) and DIGEST not in index.metadata
        if new or (KEY in known and index.metadata.get(KEY) != known[KEY]):
            index.metadata.update(known if new else {KEY: known[KEY]})  # calibrated since
            index.save()
        return index

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

    @property
    def kept(self) -> bool:
        """Whether changes are kept where it is; False in memory."""
        return self._kept

    def __enter__(self) -> Index:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __getstate__(self) -> dict[str, Any]:
        if self._kept:
            raise TypeError(
                f"{self.uri} is kept where it is, and is not pickled or copied: have each process "
                "open it with Index.open"
            )
        blocks = list(self.scan())
        return {
            "bits": self.bits,
            "metadata": self.metadata,
            "codes": stacked(blocks, self.bits),
            "ids": [id_ for items in blocks for id_ in items.ids],
            "items": [one for items in blocks for one in items.metadata],
        }

    def __setstate__(self, state: dict[str, Any]) -> None:
        Index.__init__(self, state["bits"], state["metadata"])
        self.add(state["codes"], state["ids"], state["items"])

    def __repr__(self) -> str:
        where = f", uri={self.uri!r}" if self._kept else ""
        return f"Index(bits={self.bits}, items={len(self)}, metadata={self.metadata!r}{where})"

    def add(
        self,
        codes: Any,
        ids: Iterable[Id],
        metadata: Sequence[Mapping[str, Any] | None] | None = None,
    ) -> None:
        """Append items; on any error nothing is added.

        Args:
            codes: (n, k/8) packed ``uint8``, or (n, k) signed or real values.
            ids: n strings, any text, or integers, each new to the index.
            metadata: n mappings that JSON can hold, or None, of the items.

        Raises:
            TypeError: An id is no string and no integer, the codes' type has no sign, or metadata
                would not come back from JSON as they are.
            ValueError: The codes have another length, are not one per id, or an id comes twice.
        """
        self._insert(codes, ids, metadata, replace=False)

    def upsert(
        self,
        codes: Any,
        ids: Iterable[Id],
        metadata: Sequence[Mapping[str, Any] | None] | None = None,
    ) -> None:
        """As :meth:`add`, but an item that is there is replaced, and comes last then."""
        self._insert(codes, ids, metadata, replace=True)

    def _insert(self, codes: Any, ids: Iterable[Id], metadata: Any, *, replace: bool) -> None:
        packed = packed_codes(codes, self.bits)
        new = as_ids(ids)
        if len(new) != len(packed):
            raise ValueError(f"one id per code: got {len(new)} ids for {len(packed)} codes")
        kept = checked_metadata(metadata, len(new))
        if len(set(new)) != len(new):
            raise ValueError(told_twice(new, ()))
        if not new:
            return
        with self._lock.writing():
            self._engine.insert(packed, new, kept, replace=replace)

    def remove(self, ids: Iterable[Id]) -> None:
        """Take items out; the others keep their order. On any error nothing is removed.

        Args:
            ids: Strings or integers, all in the index; one given twice is removed once.

        Raises:
            TypeError: An id is no string and no integer.
            LookupError: Ids are not in the index; names them.
        """
        gone = list(dict.fromkeys(as_ids(ids)))
        if not gone:
            return
        with self._lock.writing():
            self._engine.delete(gone)

    def compact(self, kind: str | None = None, **options: Any) -> None:
        """Give back the room of removed items, and build a search structure if one is asked for.

        Args:
            kind: In a folder or in memory: ``flat`` (all codes are scanned), ``mih`` (multi-index
                hashing, exact), ``ivf`` or ``hnsw`` (approximate); PostgreSQL: ``flat`` or
                ``hnsw``; LanceDB and Milvus: ``flat`` or ``ivf``. None: as it is.
            options: Of the kind (docs/engines.md).
        """
        with self._lock.writing():
            if kind is None:
                self._engine.compact(**options)
            else:
                self._engine.compact(kind=kind, **options)

    def refresh(self) -> bool:
        """See what other processes wrote to an index that is kept; whether there was anything."""
        with self._lock.writing():
            changed = self._engine.refresh()
            if changed:
                self.metadata = self._engine.read_info()
            return changed

    def save(self, folder: str | Path | None = None) -> None:
        """Write the index to a folder, all of it or nothing.

        Args:
            folder: A new or empty folder, or one that holds a saved index, which is replaced.
                None: of an index that is kept, ``metadata``; its items are there already.

        Raises:
            FileExistsError: The folder holds other files, which replacing it would delete.
            TypeError: ``metadata`` cannot be written as JSON and read back the same.
            ValueError: An index in memory without a folder, or one that is kept with its own.
        """
        check_metadata(self.metadata)
        if folder is None:
            if not self._kept:
                raise ValueError("this index is in memory: save(folder) writes it to a folder")
            with self._lock.writing():
                self._engine.write_info(self.metadata)
            return
        engine = self._engine
        if isinstance(engine, FolderEngine) and engine.folder == Path(folder).resolve():
            raise ValueError(f"{folder} is where this index is kept; save() needs no folder")
        with (
            self._lock.reading(),
            atomic_folder(folder, holds=FILES, what=WHAT) as temporary,
        ):
            if isinstance(engine, FolderEngine):
                engine.export(temporary, self.metadata)
            else:
                copied = FolderEngine.open(temporary, self.bits)
                for items in engine.scan():
                    copied.insert(items.codes, items.ids, items.metadata)
                copied.compact()
                copied.write_info(self.metadata)
                copied.close()

    def close(self) -> None:
        """Give back files, connections and the right to write."""
        self._engine.close()
