"""The order of a training set in an epoch, and its batches."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Protocol, cast

import torch
from torch.utils.data import DataLoader, Dataset

from crosshash.model.batch import Batch


class BatchSource(Protocol):
    """A training set that hands out whole batches."""

    def __len__(self) -> int: ...

    def __getitems__(self, rows: list[int]) -> Batch:
        """The pairs of those rows."""
        ...


class RowNumbers:
    """A training set of which a phase sees the row numbers alone.

    Args:
        count: n.
    """

    def __init__(self, count: int) -> None:
        self.count = count

    def __len__(self) -> int:
        return self.count

    def __getitems__(self, rows: list[int]) -> Batch:
        """A batch of nothing but its rows."""
        return Batch(torch.tensor(rows, dtype=torch.int64), {}, {})


class Batches:
    """Batches of given rows, read by worker processes, on the device.

    Args:
        data: The training set.
        rows: The rows of each batch.
        workers: Processes that read.
        device: Where the batches go.
    """

    def __init__(
        self, data: BatchSource, rows: list[list[int]], workers: int, device: torch.device
    ) -> None:
        self.rows = rows
        self.device = device
        self.loader: DataLoader[Any] = DataLoader(
            cast("Dataset[Any]", data),  # of which it calls __len__ and __getitems__ alone
            batch_sampler=rows,
            num_workers=workers,
            collate_fn=_whole,
        )

    def __len__(self) -> int:
        return len(self.rows)

    def __iter__(self) -> Iterator[Batch]:
        for batch in self.loader:
            yield batch.to(self.device)


def shuffled_rows(
    count: int, batch_size: int, *, seed: int, process: int = 0, processes: int = 1
) -> list[list[int]]:
    """Random batches of an epoch: equally many, of equal sizes, in every process.

    Args:
        count: n; the remainder of n by ``processes`` is left out.
        batch_size: Rows of a batch; a last batch of fewer is left out, unless it is the only one.
        seed: Of the order, which is the same in every process.
        process: Whose share of the order is returned.
        processes: Among how many processes the order is dealt out.
    """
    order = torch.randperm(count, generator=torch.Generator().manual_seed(seed))
    order = order[: count - count % processes][process::processes]
    rows: list[list[int]] = [part.tolist() for part in order.split(batch_size)]
    if len(rows) > 1 and len(rows[-1]) < batch_size:
        rows.pop()
    return rows


def ordered_rows(count: int, batch_size: int) -> list[list[int]]:
    """Batches of all rows, in order."""
    return [part.tolist() for part in torch.arange(count).split(batch_size)]


def _whole(batch: Any) -> Any:
    return batch
