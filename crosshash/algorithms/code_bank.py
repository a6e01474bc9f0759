"""The newest codes of all training pairs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, distributed, nn

from crosshash.codes import sign
from crosshash.losses.likelihood import bank_nll
from crosshash.model.batch import Batch


class CodeBank(nn.Module):
    """Keeps F, G, B and L of all n training rows, so that a batch of b rows meets all n.

    The bank is part of an algorithm's ``state_dict``, so training resumes with it.

    Attributes:
        F: (n, k) real-valued image codes, detached.
        G: (n, k) real-valued text codes, detached.
        B: (n, k) binary codes in {-1, +1}.
        labels: (n, c) in {0, 1}.

    Args:
        count: n.
        bits: k.
        classes: c, 0 without labels.
        more: Names of further real-valued codes to keep, such as ``"H"`` of a label network.
        beside: Names and widths of other rows to keep, which are no codes, such as probabilities.
        seed: For the random start, before :meth:`fill`.
    """

    F: Tensor
    G: Tensor
    B: Tensor
    labels: Tensor

    def __init__(
        self,
        count: int,
        bits: int,
        classes: int = 0,
        *,
        more: Sequence[str] = (),
        beside: Mapping[str, int] | None = None,
        seed: int = 0,
    ) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(seed)
        self.codes = ("F", "G", *more)
        for name in self.codes:
            self.register_buffer(name, torch.randn(count, bits, generator=generator))
        self.beside = tuple(beside or ())
        for name, width in (beside or {}).items():
            self.register_buffer(name, torch.zeros(count, width))
        self.register_buffer("B", self.signs())
        self.register_buffer("labels", torch.zeros(count, classes))

    @torch.no_grad()
    def store(self, index: Tensor, **rows: Tensor) -> None:
        """Replace the rows ``index`` of what is given by name: ``F=…``, ``labels=…``.

        Where several processes train, each calls this with as many rows as the others, and all
        rows are stored in every process.

        Raises:
            IndexError: A row is outside the bank.
        """
        if len(index) and not 0 <= int(index.min()) <= int(index.max()) < len(self.F):
            raise IndexError(
                f"rows {int(index.min())}…{int(index.max())} are outside a bank of {len(self.F)}"
            )
        places = _everywhere(index)
        for name, values in rows.items():
            buffer = self.get_buffer(name)
            buffer[places] = _everywhere(values.detach().to(buffer.dtype))

    def fill(
        self, batches: Iterable[Batch], encode: Callable[[Batch], Mapping[str, Tensor]]
    ) -> None:
        """Keep first codes of the training set, its labels, and B = sign of the codes' sum.

        DCMH's code starts with random codes; then a first epoch learns noise, in part.

        Args:
            batches: The training set.
            encode: From a batch to its codes by name.

        Raises:
            ValueError: The bank keeps labels, and a batch has none.
        """
        for batch in batches:
            rows = dict(encode(batch))
            if self.labels.shape[1]:
                if batch.labels is None:
                    raise ValueError(
                        f"the bank keeps labels of {self.labels.shape[1]} classes, but a batch has "
                        "none; make the bank with classes=0, or give labels"
                    )
                rows["labels"] = batch.labels
            self.store(batch.index, **rows)
        self.B.copy_(self.signs())

    def keep(self, batch: Batch) -> None:
        """Store the codes that a loss has left in ``batch.shared``, and take them out of it.

        This is what an update with a bank does after its step, see
        :class:`~crosshash.algorithms.phases.Update`.

        Raises:
            LookupError: The loss has left no codes under a name of the bank's.
        """
        kept = (*self.codes, *self.beside)
        left = {name: batch.shared.pop(name) for name in kept if name in batch.shared}
        if not left:
            raise LookupError(
                f"a loss leaves its codes in batch.shared under one of {list(self.codes)}, found "
                f"{sorted(batch.shared)}"
            )
        self.store(batch.index, **left)

    def signs(self, **weights: float) -> Tensor:
        """Sign of the sum of all codes, (n, k) in {-1, +1}: B = sign(F + G) and its like.

        Args:
            weights: Of codes by name; 1 for those not named.
        """
        parts = [weights.get(name, 1.0) * self.get_buffer(name) for name in self.codes]
        return sign(torch.stack(parts).sum(dim=0))

    def nll(self, batch: Batch, codes: Tensor, against: str, *, scale: float = 0.5) -> Tensor:
        """:func:`~crosshash.losses.likelihood.bank_nll` of a batch against codes of all n rows.

        Args:
            batch: Has labels.
            codes: (b, k) of the batch.
            against: Name of the bank's codes, ``"F"`` or ``"G"``.
            scale: Factor of the inner products.
        """
        labels = self.labels[batch.index]
        return bank_nll(codes, self.get_buffer(against), labels, self.labels, scale=scale)

    def figures(self) -> dict[str, float]:
        """Whether B uses its bits: share of different codes, mean absolute balance of the bits."""
        return {
            "unique": len(torch.unique(self.B, dim=0)) / len(self.B),
            "balance": float(self.B.mean(dim=0).abs().mean()),
        }


def bank_codes(algorithm: Any) -> Tensor:
    """B of an algorithm's ``bank``, (n, k): what ``learned_codes`` is in a class with a bank."""
    codes: Tensor = algorithm.bank.B
    return codes


def require_labels(classes: int) -> None:
    """Refuse a data set without labels, in a method that learns from them.

    Args:
        classes: c, 0 for a data set without labels.

    Raises:
        ValueError: There are none; names what does without.
    """
    if not classes:
        raise ValueError(
            "this method learns from labels, but the data set has none; use one with labels, or a "
            "method that needs none: cph, ucch, djsrh, or amgfh with algorithm.similarity=features"
        )


def batch_labels(batch: Batch) -> Tensor:
    """A batch's labels, (b, c) floating in {0, 1}, for a loss that has no bank of them.

    Raises:
        ValueError: The batch has none.
    """
    if batch.labels is None:
        raise ValueError("this method learns from labels, but the batch has none")
    return batch.labels.float()


def _everywhere(value: Tensor) -> Tensor:
    """The rows of all processes, one process after the other."""
    if not (distributed.is_available() and distributed.is_initialized()):
        return value
    parts = [torch.empty_like(value) for _ in range(distributed.get_world_size())]
    distributed.all_gather(parts, value.contiguous())
    return torch.cat(parts)
