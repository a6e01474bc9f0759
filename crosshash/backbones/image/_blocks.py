"""Which blocks of a timm model are trained."""

from __future__ import annotations

from typing import Any

from torch import nn

from crosshash.backbones.tuning import untrained_modules


def freeze_all_but_last(name: str, model: nn.Module, count: int) -> list[nn.Module]:
    """Exclude all but the last blocks of a timm model from training.

    Blocks are the groups in which timm orders a model's layers: the stem, the stages of a CNN or
    the blocks of a transformer, and the layers behind them, which count with the last stage in some
    models and by themselves in others.

    Args:
        name: The model, for error messages.
        model: Its parameters get ``requires_grad``.
        count: Blocks that are trained.

    Returns:
        The modules whose parameters are all frozen, which stay in eval mode in training.

    Raises:
        ValueError: The model has no more blocks than that, or timm does not say which it has.
    """
    from timm.models import group_parameters

    matcher: Any = getattr(model, "group_matcher", None)
    if matcher is None:
        raise ValueError(
            f"{name}: timm does not say which blocks it has; leave trainable_blocks out to train "
            "all of it, or freeze it"
        )
    group_of = group_parameters(model, matcher(coarse=True), reverse=True)
    total = max(group_of.values()) + 1
    if not 1 <= count < total:
        raise ValueError(
            f"{name}: trainable_blocks is from 1 to {total - 1}, got {count}; leave it out to "
            "train all of the model"
        )
    for parameter_name, parameter in model.named_parameters():
        parameter.requires_grad_(group_of[parameter_name] >= total - count)
    return untrained_modules(model)
