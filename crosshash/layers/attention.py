"""Self-attention over the items of a batch."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional


class SampleAttention(nn.Module):
    """Single-head scaled dot-product attention whose tokens are the items of a batch.

    AMGFH, section 3.3: Q = X W_Q, K = X W_K, V = X W_V, ``softmax(Q K^T / sqrt(d)) V``, weights
    of shape (n, n). We add the input (a residual; the paper is silent): without it all items of
    a batch receive nearly the same average at initialisation.

    Shapes: (n, dim) to (n, dim). Couples the rows, so it may guide training only.

    Args:
        dim: Width of the items, and of queries, keys and values.
    """

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.query = nn.Linear(dim, dim, bias=False)
        self.key = nn.Linear(dim, dim, bias=False)
        self.value = nn.Linear(dim, dim, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Items enhanced by the items they attend to."""
        attended = functional.scaled_dot_product_attention(
            self.query(x)[None], self.key(x)[None], self.value(x)[None]
        )
        return x + attended[0]
