"""The index that is served: exchanged for a new one while searches go on."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from crosshash.search.index import Index


class _Lent:
    """An index and how many use it."""

    def __init__(self, index: Index) -> None:
        self.index, self.users, self.retired = index, 0, False


class Shelf:
    """Lends an index to threads; one that was exchanged is closed when its last user is done.

    Args:
        opened: Opens the index and checks that it is of the model that is served; called again by
            :meth:`reload`.
    """

    def __init__(self, opened: Callable[[], Index]) -> None:
        self._open = opened
        self._lock = threading.Lock()
        self._changing = threading.Lock()
        self._lent = _Lent(opened())

    @contextmanager
    def use(self) -> Iterator[Index]:
        """Hold the index of now, which stays open until it is given back."""
        with self._lock:
            lent = self._lent
            lent.users += 1
        try:
            yield lent.index
        finally:
            with self._lock:
                lent.users -= 1
                last = lent.retired and not lent.users
            if last:
                lent.index.close()

    @contextmanager
    def change(self) -> Iterator[Index]:
        """Hold the index to write to it: alone among writers, and not while it is exchanged."""
        with self._changing, self.use() as index:
            yield index

    def reload(self) -> int:
        """Open the index again, in the old one's place; how many items it has.

        Raises:
            Exception: Whatever opening raises; the old one stays then.
        """
        with self._changing:
            new = _Lent(self._open())
            with self._lock:
                old, self._lent = self._lent, new
                old.retired = True
                idle = not old.users
            if idle:
                old.index.close()
            return len(new.index)

    def close(self) -> None:
        """Close the index when its last user is done."""
        with self._lock:
            self._lent.retired = True
            idle = not self._lent.users
        if idle:
            self._lent.index.close()
