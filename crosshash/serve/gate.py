"""How much is done at once: a few requests in threads, some that wait, and no more."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, TypeVar

from crosshash.serve.errors import Refused

Answer = TypeVar("Answer")


class Gate:
    """A bounded queue before a pool of threads.

    A request holds a place from its first byte to its answer. Its work holds a thread until it is
    done, also where nobody waits for it any more, so that what timed out does not pile up.

    Args:
        running: Threads.
        waiting: Places beside those of the threads.
    """

    def __init__(self, running: int, waiting: int) -> None:
        self.places = running + waiting
        self.held = 0
        self.working = 0
        self._free = asyncio.Semaphore(running)
        self._pool = ThreadPoolExecutor(running, thread_name_prefix="crosshash-serve")

    @contextmanager
    def place(self) -> Iterator[None]:
        """Hold a place; 503 where there is none."""
        if self.held >= self.places:
            raise Refused(503, "too many requests are waiting; ask again soon", Retry_After="1")
        self.held += 1
        try:
            yield
        finally:
            self.held -= 1

    async def work(self, do: Callable[..., Answer], *arguments: Any) -> Answer:
        """What a function gives, which is called in a thread when one is free."""
        await self._free.acquire()
        self.working += 1
        future = asyncio.get_running_loop().run_in_executor(self._pool, do, *arguments)
        future.add_done_callback(self._done)
        return await asyncio.shield(future)

    def _done(self, future: asyncio.Future[Any]) -> None:
        self.working -= 1
        self._free.release()
        if not future.cancelled():
            future.exception()  # taken note of, where nobody waits for it any more

    def close(self) -> None:
        """End the threads when their work is done."""
        self._pool.shutdown(wait=True)
