"""What a service does, without HTTP: search, show, add, remove, and look for another index."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from typing import Any

import numpy as np

from crosshash.codes import pack
from crosshash.images import CorruptImageError
from crosshash.model.hash_model import HashModel
from crosshash.retrieval.asymmetric import expect
from crosshash.search.filters import as_filter
from crosshash.search.index import Index
from crosshash.search.result import Item, SearchResult
from crosshash.serve.encoder import Encoder, Kind, UnknownWordsError, Values
from crosshash.serve.errors import Refused, quoted
from crosshash.serve.ids import LONGEST
from crosshash.serve.pictures import Pictures
from crosshash.serve.settings import ServeSettings
from crosshash.serve.shelf import Shelf
from crosshash.serve.uploads import check_picture, not_a_picture

log = logging.getLogger("crosshash.serve")
_SEARCHES = 1000  # that a service is started for, at least


class Service:
    """A model and its index; all methods may be called by any number of threads.

    Args:
        model: Encodes what is searched for and added.
        opened: Opens the index.
        settings: Limits and rights.

    Raises:
        ValueError: The index is of another model.
    """

    def __init__(
        self, model: HashModel, opened: Callable[[], Index], settings: ServeSettings
    ) -> None:
        self.model, self.settings = model, settings

        def checked() -> Index:
            index = opened()
            try:
                index.check_model(model)
            except ValueError:
                index.close()
                raise
            return index

        self.shelf = Shelf(checked)
        with self.shelf.use() as index:
            self.bits = index.bits
            if len(index):  # else the first who asks waits for what is compiled and read then
                expect(_SEARCHES * len(index))
                index.search(np.ones((1, self.bits), np.float32), 1, rank="asymmetric")
        self.encoder = Encoder(model, self.bits)
        self.pictures = Pictures(settings.root, settings.max_pixels)
        self.problem = ""  # why searches would give nonsense

    @property
    def reads(self) -> dict[Kind, bool]:
        """Whether the model can be given pictures and texts, and not their features alone."""
        slots = [self.model.backbone(slot).reads_pixels for slot in self.model.slots]
        return {"image": all(slots), "text": self.model.text.name != "features"}

    def about(self) -> dict[str, Any]:
        """What is served."""
        with self.shelf.use() as index:
            return {
                "items": len(index),
                "bits": index.bits,
                "model": index.metadata.get("model") or self.model.method,
                "reads": self.reads,
                "writable": self.settings.writable,
                "shows_pictures": self.settings.root is not None,
                "max_topk": self.settings.max_topk,
                "max_text": self.settings.max_text,
            }

    def items(self) -> int:
        """How many items there are."""
        with self.shelf.use() as index:
            return len(index)

    def close(self) -> None:
        """End the encoder's thread, and close the index."""
        self.encoder.close()
        self.shelf.close()

    # Reading

    def search(self, kind: Kind, what: Any, topk: int, where: Any, rank: Any) -> dict[str, Any]:
        """Hits of a text, or of a picture's bytes."""
        self._check(topk, where)
        values = self.encode(kind, what)[None]
        with self.shelf.use() as index:
            return self._found(index, values, topk, where, rank, kind)

    def search_item(self, id_: str, topk: int, where: Any) -> dict[str, Any]:
        """Hits of an item's code, by Hamming distance; the item itself is the first, as a rule."""
        self._check(topk, where)
        with self.shelf.use() as index:
            code = item_of(index, id_).code[None]
            return self._found(index, code, topk, where, "hamming", index.metadata.get("kind"))

    def item(self, id_: str) -> dict[str, Any]:
        """An item's metadata and code."""
        with self.shelf.use() as index:
            item = item_of(index, id_)
        return {"id": item.id, "metadata": item.metadata, "code": item.code.tobytes().hex()}

    def picture(self, id_: str, size: int) -> bytes:
        """An item's picture, scaled down."""
        with self.shelf.use() as index:
            item_of(index, id_)  # of no other file is it told whether it is there
        return self.pictures.read(id_, size)

    def encode(self, kind: Kind, what: Any) -> Any:
        """Real values (k,) of a text, or of a picture's bytes."""
        return self._encoded(self._begin(kind, what))

    # Writing

    def add(self, items: Sequence[Mapping[str, Any]], *, replace: bool) -> dict[str, Any]:
        """Add items, ``{"id", "text" or "image", "metadata"}``: all of them, or none."""
        self._check_writable()
        if not 1 <= len(items) <= self.settings.max_items:
            raise Refused(422, f"1 to {self.settings.max_items} items are added at once")
        for item in items:
            if not 1 <= len(item["id"]) <= LONGEST:
                raise Refused(422, f"an id has 1 to {LONGEST:,} characters")
        ids = [item["id"] for item in items]
        if len(set(ids)) != len(ids):
            raise Refused(422, "an id is given twice; ids are unique")
        kinds: list[Kind] = ["image" if item.get("image") is not None else "text" for item in items]
        begun = [self._begin(kind, item[kind]) for kind, item in zip(kinds, items, strict=True)]
        values = [self._encoded(future) for future in begun]
        metadata = [item.get("metadata") for item in items]
        with self.shelf.change() as index, _writing():
            there = [] if replace else index.known(ids)
            if any(there):
                known = quoted(ids[there.index(True)])
                raise Refused(409, f"the id {known} is in the index; send `replace` to replace it")
            index.upsert(pack(np.stack(values)), ids, metadata)
            return {"added": ids, "items": len(index)}

    def remove(self, id_: str) -> dict[str, Any]:
        """Take an item out."""
        self._check_writable()
        with self.shelf.change() as index, _writing():
            item_of(index, id_)
            index.remove([id_])
            return {"removed": id_, "items": len(index)}

    # Another index

    def reload(self) -> int:
        """Open the index again, in the old one's place; how many items it has."""
        try:
            items = self.shelf.reload()
        except (OSError, ValueError, LookupError) as error:
            log.error("the index was not opened anew, and the old one is served on: %s", error)
            raise Refused(
                409, "the new index cannot be served, and the old one still is; see the log"
            ) from None
        self.problem = ""
        log.info("the index was opened anew: %d items", items)
        return items

    def refresh(self) -> bool:
        """See what others wrote; whether there was anything."""
        with self.shelf.use() as index:
            try:
                changed = index.refresh()
                if changed:
                    index.check_model(self.model)
                    self.problem = ""
            except (OSError, ValueError) as error:
                log.error("what others wrote to the index cannot be served: %s", error)
                self.problem = "the index was replaced by one that cannot be served; see the log"
                return False
        return changed

    # How

    def _begin(self, kind: Kind, what: Any) -> Future[Values]:
        """Have a text, or a picture's bytes, encoded."""
        if not self.reads[kind]:
            raise Refused(422, f"this model is given features, and no {kind}s")
        if kind == "image":
            check_picture(what, self.settings.max_pixels)
            return self.encoder.begin(kind, {"bytes": what})
        self._check_text(what)
        return self.encoder.begin(kind, what)

    def _encoded(self, future: Future[Values]) -> Values:
        try:
            return future.result()
        except UnknownWordsError as error:
            raise Refused(422, str(error)) from None
        except CorruptImageError:
            raise not_a_picture() from None

    def _found(
        self, index: Index, codes: Any, topk: int, where: Any, rank: Any, kind: Any
    ) -> dict[str, Any]:
        packed = codes if codes.dtype == np.uint8 else pack(codes)
        hits = []
        if len(index):
            query = kind if kind in ("image", "text") else None
            found = index.search(codes, topk, rank=rank, where=where, metadata=True, query=query)
            hits = hits_of(found)
        return {"bits": index.bits, "code": packed[0].tobytes().hex(), "rank": rank, "hits": hits}

    def _check(self, topk: int, where: Any) -> None:
        if self.problem:
            raise Refused(503, self.problem, Retry_After="60")
        if not 1 <= topk <= self.settings.max_topk:
            raise Refused(422, f"topk is 1 to {self.settings.max_topk}, got {quoted(topk)}")
        try:
            as_filter(where)
        except (TypeError, ValueError) as error:
            raise Refused(422, f"where: {str(error)[:300]}") from None

    def _check_text(self, text: str) -> None:
        if len(text) > self.settings.max_text:
            raise Refused(
                422, f"a text has at most {self.settings.max_text:,} characters, got {len(text):,}"
            )
        if not text.strip():
            raise Refused(422, "the text is empty; write what you look for")

    def _check_writable(self) -> None:
        if not self.settings.writable:
            raise Refused(403, "this service only reads; start it with --writable to add items")


@contextmanager
def _writing() -> Iterator[None]:
    """Say that another process writes, where that is so."""
    try:
        yield
    except BlockingIOError:
        raise Refused(
            503, "another process writes to this index; ask again later", Retry_After="5"
        ) from None


def item_of(index: Index, id_: str) -> Item:
    """An item; 404 where there is none."""
    try:
        return index.get(id_)
    except LookupError:
        raise Refused(404, f"no item has the id {quoted(id_)}") from None


def hits_of(found: SearchResult) -> list[dict[str, Any]]:
    """The hits of one query as they are told, nearest first."""
    hits = []
    for place, id_ in enumerate(found.ids[0]):
        hit: dict[str, Any] = {
            "rank": place + 1,
            "id": id_,
            "distance": int(found.distances[0, place]),
        }
        if found.asymmetric is not None:
            hit["asymmetric"] = float(found.asymmetric[0, place])
        if found.probability is not None:
            hit["probability"] = float(found.probability[0, place])
        hit["metadata"] = None if found.metadata is None else found.metadata[0][place]
        hits.append(hit)
    return hits
