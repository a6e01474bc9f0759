"""Queries become codes in one thread, those that come together in one batch."""

from __future__ import annotations

import threading
from concurrent.futures import Future
from dataclasses import dataclass, field
from queue import Empty, SimpleQueue
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from crosshash.model.hash_model import HashModel

MOST = 32
"""Queries of one batch."""

Kind = Literal["text", "image"]
Values = npt.NDArray[np.float32]


class UnknownWordsError(ValueError):
    """A text of which the model knows no word."""


@dataclass(frozen=True)
class _Asked:
    kind: Kind
    what: Any
    future: Future[Values] = field(default_factory=Future)


class Encoder:
    """A thread that runs the model's forward passes.

    A batch is what came while the last one was computed, so that nothing waits for company. Where
    one of a batch cannot be encoded the others still are.

    Args:
        model: Reads texts or pictures; in any mode.
        bits: Length of the codes.
    """

    def __init__(self, model: HashModel, bits: int) -> None:
        self.model, self.bits = model, bits
        self._queue: SimpleQueue[_Asked | None] = SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="crosshash-encoder", daemon=True)
        self._thread.start()

    def encode(self, kind: Kind, what: Any) -> Values:
        """Real values (k,) of a text, or of a picture ``{"bytes": …}``; waits for them.

        Raises:
            UnknownWordsError: The model knows no word of the text.
            CorruptImageError: The bytes are no picture.
            ValueError: The model cannot read texts or pictures.
        """
        return self.begin(kind, what).result()

    def begin(self, kind: Kind, what: Any) -> Future[Values]:
        """As :meth:`encode`, of which the result is asked for later."""
        asked = _Asked(kind, what)
        self._queue.put(asked)
        return asked.future

    def close(self) -> None:
        """End the thread when what was asked for is done."""
        self._queue.put(None)
        self._thread.join()

    def _run(self) -> None:
        while (first := self._queue.get()) is not None:
            batch, ended = [first], False
            while len(batch) < MOST and not ended:
                try:
                    more = self._queue.get_nowait()
                except Empty:
                    break
                ended = more is None
                if more is not None:
                    batch.append(more)
            for kind in ("text", "image"):
                self._answer(kind, [asked for asked in batch if asked.kind == kind])
            if ended:
                return

    def _answer(self, kind: Kind, batch: list[_Asked]) -> None:
        if not batch:
            return
        try:
            rows = self._values(kind, [asked.what for asked in batch])
        except Exception as error:  # noqa: BLE001  (it is raised where the code was asked for)
            if len(batch) == 1:
                batch[0].future.set_exception(error)
            else:
                for asked in batch:
                    self._answer(kind, [asked])
            return
        for asked, row in zip(batch, rows, strict=True):
            asked.future.set_result(row)

    def _values(self, kind: Kind, items: list[Any]) -> Any:
        if kind == "image":
            return self.model.encode_image(items, bits=self.bits, output="real", progress=False)
        encoder = self.model.text
        if len(encoder.unknown_rows(encoder.prepare(items, unknown="allow"))):
            raise UnknownWordsError(
                "the model knows none of the words of this text; write it in other words"
            )
        return self.model.encode_text(items, bits=self.bits, output="real", unknown="allow")
