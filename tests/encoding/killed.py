"""Encodes in processes of its own that die at chosen points; run by ``test_kill.py``.

    python killed.py MODEL SOURCE FOLDER POINT...

A point is ``batch:n``, before the n-th batch is done; ``sync:n``, when the n-th file has its
contents and not yet its name; or ``name:n``, when it has just got its name. After each death what
is there must be whole.
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from typing import Any

import crosshash
from crosshash.encoding import encode_source, read_header
from crosshash.encoding.folder import count_part

PER_PART = 3


def main(model_name: str, source: str, folder: Path, points: list[str]) -> None:
    model = crosshash.load(model_name)
    for point in points:
        child = os.fork()  # no thread has been started yet
        if child == 0:
            encode(model, source, folder, point)
            os._exit(0)
        _, status = os.waitpid(child, 0)
        assert os.WIFSIGNALED(status), f"{point}: it came to its end ({status})"
        assert os.WTERMSIG(status) == signal.SIGKILL
        if (folder / "codes.json").exists():
            header = read_header(folder)
            whole = [n for n in range(header.parts) if (folder / f"part-{n:06}.parquet").exists()]
            counts = [count_part(folder, header, number) for number in whole]
            print(point, len(counts))


def encode(model: Any, source: str, folder: Path, point: str) -> None:
    what, _, number = point.partition(":")
    left = int(number)

    def pass_by(here: str) -> None:
        nonlocal left
        left -= here == what
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    sync, replace = os.fsync, Path.replace

    def synced(handle: int) -> None:
        sync(handle)
        pass_by("sync")

    def replaced(self: Path, target: Any) -> Any:
        found = replace(self, target)
        pass_by("name")
        return found

    os.fsync = synced
    Path.replace = replaced  # type: ignore[method-assign]
    encode_source(
        model,
        source,
        folder,
        items_per_part=PER_PART,
        batch_size=2,
        progress=lambda *_: pass_by("batch"),
    )


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], Path(sys.argv[3]), sys.argv[4:])
