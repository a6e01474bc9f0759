"""The newest codes of all training pairs."""

from __future__ import annotations

import torch
from torch import Tensor, distributed, nn

from crosshash.codes import sign


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
        seed: For the random start; codes start small and random, as DCMH's do.
    """

    F: Tensor
    G: Tensor
    B: Tensor
    labels: Tensor

    def __init__(self, count: int, bits: int, classes: int = 0, *, seed: int = 0) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(seed)
        for name in ("F", "G"):
            self.register_buffer(name, torch.randn(count, bits, generator=generator))
        self.register_buffer("B", sign(self.F + self.G))
        self.register_buffer("labels", torch.zeros(count, classes))

    @torch.no_grad()
    def store(
        self,
        index: Tensor,
        *,
        F: Tensor | None = None,
        G: Tensor | None = None,
        B: Tensor | None = None,
        labels: Tensor | None = None,
    ) -> None:
        """Replace the rows ``index`` of what is given.

        Where several processes train, each calls this with as many rows as the others, and all
        rows are stored in every process.

        Raises:
            IndexError: A row is outside the bank.
        """
        if len(index) and not 0 <= int(index.min()) <= int(index.max()) < len(self.F):
            raise IndexError(
                f"rows {int(index.min())}…{int(index.max())} are outside a bank of {len(self.F)}"
            )
        rows = _everywhere(index)
        for name, value in (("F", F), ("G", G), ("B", B), ("labels", labels)):
            if value is not None:
                buffer = getattr(self, name)
                buffer[rows] = _everywhere(value.detach().to(buffer.dtype))


def _everywhere(value: Tensor) -> Tensor:
    """The rows of all processes, one process after the other."""
    if not (distributed.is_available() and distributed.is_initialized()):
        return value
    parts = [torch.empty_like(value) for _ in range(distributed.get_world_size())]
    distributed.all_gather(parts, value.contiguous())
    return torch.cat(parts)
