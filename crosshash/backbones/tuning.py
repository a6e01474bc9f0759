"""What of a transformer's tower is trained: its last blocks, or adapters beside its weights."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import nn

from crosshash.registry import nearest

_DEFAULTS: dict[str, Any] = {"rank": 8, "alpha": 16, "dropout": 0.0, "targets": None}
_BASE = "base_layer"  # what peft calls the layer below an adapter


def choose_trained(
    name: str, model: nn.Module, trainable_blocks: int | None, lora: Mapping[str, Any] | None
) -> list[nn.Module]:
    """Exclude from training what the options of an encoder leave out.

    Args:
        name: For messages.
        model: Its parameters get ``requires_grad``; with ``lora`` it gets adapters.
        trainable_blocks: As :func:`train_last_blocks` takes it; None: all blocks.
        lora: As :func:`add_lora` takes it; None: no adapters.

    Returns:
        The modules that stay in eval mode in training.

    Raises:
        ValueError: Both are given, or one is wrong.
        ImportError: peft is not installed.
    """
    if trainable_blocks is not None and lora is not None:
        raise ValueError(f"{name}: give trainable_blocks or lora, not both")
    if lora is not None:
        add_lora(name, model, lora)
    return [] if trainable_blocks is None else train_last_blocks(name, model, trainable_blocks)


def blocks_of(name: str, model: nn.Module) -> tuple[str, nn.ModuleList]:
    """Name and blocks of the transformer in a half.

    Raises:
        ValueError: It has no list of blocks.
    """
    for place, module in model.named_modules():
        if isinstance(module, nn.ModuleList) and len(module):
            return place, module
    raise ValueError(f"{name}: its tower has no list of blocks; train all of it, or freeze it")


def train_last_blocks(name: str, model: nn.Module, count: int) -> list[nn.Module]:
    """Exclude all of a half but its last blocks, and what comes behind them, from training.

    Behind the blocks are the last norm, the pooling and the projection.

    Args:
        name: For messages.
        model: Its parameters get ``requires_grad``.
        count: Blocks that are trained.

    Returns:
        The modules whose parameters are all frozen, which stay in eval mode in training.

    Raises:
        ValueError: There are not so many blocks.
    """
    place, blocks = blocks_of(name, model)
    if not 1 <= count <= len(blocks):
        raise ValueError(
            f"{name}: trainable_blocks is from 1 to {len(blocks)}, got {count}; leave it out to "
            "train all of the tower"
        )
    first = f"{place}.{len(blocks) - count}."
    reached = False
    for parameter_name, parameter in model.named_parameters():  # in the order of the network
        reached = reached or parameter_name.startswith(first)
        parameter.requires_grad_(reached)
    return untrained_modules(model)


def untrained_modules(model: nn.Module) -> list[nn.Module]:
    """Its modules that have parameters, none of which is trained."""
    frozen = []
    for module in model.modules():
        parameters = list(module.parameters())
        if parameters and not any(parameter.requires_grad for parameter in parameters):
            frozen.append(module)
    return frozen


def add_lora(name: str, model: nn.Module, settings: Mapping[str, Any]) -> None:
    """Put adapters on linear layers of a transformer's blocks; only they are trained.

    A layer's weight W becomes W + (alpha / rank) B A, with B zero at first, so that nothing changes
    before training (LoRA, https://arxiv.org/abs/2106.09685, section 4.1). The paper adapts the
    attention's projections alone; by default all linear layers of the blocks are adapted here.

    Args:
        name: For messages.
        model: Gets the adapters.
        settings: Some of ``rank`` (8), ``alpha`` (16), ``dropout`` (0, on the adapters' input) and
            ``targets``, ends of the names of layers, such as ``["q_proj", "v_proj"]``.

    Raises:
        ValueError: A setting is unknown or out of its range, or no layer has such a name.
        ImportError: peft is not installed.
    """
    for key in settings:
        if key not in _DEFAULTS:
            raise ValueError(f"{name}: unknown lora setting {key!r}: {nearest(key, _DEFAULTS)}")
    values = {**_DEFAULTS, **settings}
    rank, alpha, dropout = values["rank"], values["alpha"], values["dropout"]
    if not (isinstance(rank, int) and rank >= 1 and alpha > 0 and 0 <= dropout < 1):
        raise ValueError(
            f"{name}: lora has rank >= 1, alpha > 0 and dropout in [0, 1), got {values}"
        )
    place, blocks = blocks_of(name, model)
    linear = [n for n, module in blocks.named_modules() if isinstance(module, nn.Linear)]
    ends = values["targets"]
    chosen = [f"{place}.{n}" for n in linear if ends is None or n.rpartition(".")[2] in ends]
    if not chosen:
        found = sorted({n.rpartition(".")[2] for n in linear})
        raise ValueError(f"{name}: lora targets {ends}: no such layer; there are {found}")
    try:
        from peft import LoraConfig, inject_adapter_in_model
    except ImportError as error:
        raise ImportError(
            f'{name}: lora needs peft: pip install "crosshash[lora]" ({error})'
        ) from error
    model.requires_grad_(False)
    config = LoraConfig(r=rank, lora_alpha=alpha, lora_dropout=dropout, target_modules=chosen)
    inject_adapter_in_model(config, model)


def has_lora(model: nn.Module) -> bool:
    """Whether there are adapters that are not yet part of the weights."""
    return any(hasattr(module, "lora_A") for module in model.modules())


def merge_lora(model: nn.Module) -> None:
    """Make all adapters inside part of the weights; names of tensors are then as without any."""
    for parent in list(model.modules()):
        child: Any
        for child_name, child in list(parent.named_children()):
            if hasattr(child, "lora_A"):
                child.merge()
                setattr(parent, child_name, child.get_base_layer())


def adapted_name(name: str, known: Mapping[str, Any]) -> str:
    """The name that a tensor has below an adapter, if ``known`` has that and not the plain one."""
    head, _, last = name.rpartition(".")
    below = f"{head}.{_BASE}.{last}"
    return below if name not in known and below in known else name
