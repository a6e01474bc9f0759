"""Terms of a generative adversarial game over logits."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional


def discriminator_loss(real: Tensor, generated: Tensor) -> Tensor:
    """-E log D(real) - E log(1 - D(generated)), from (n,) and (m,) logits; mean."""
    return functional.softplus(-real).mean() + functional.softplus(generated).mean()


def generator_loss(generated: Tensor) -> Tensor:
    """Non-saturating form -E log D(generated), from (m,) logits; mean.

    AMGFH, Eq. 11 prints the min-max form, whose gradient vanishes once the discriminator wins.
    """
    return functional.softplus(-generated).mean()


def random_codes(like: Tensor, generator: torch.Generator | None = None) -> Tensor:
    """Uniform random codes in {-1, +1} of the shape and type of ``like``."""
    bits = torch.randint(0, 2, like.shape, generator=generator, device=like.device)
    return (2 * bits - 1).to(like.dtype)
