"""Networks that give the first bits of another's codes: by its very layers, or on their own."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from crosshash.codes import check_nested
from crosshash.layers.heads import HashHead, TokenHead
from crosshash.model.hash_model import HashModel


class PrefixHead(nn.Module):
    """The first outputs of a hash head.

    Shapes: what the head takes to (n, bits).

    Args:
        head: Gives more of them, and keeps its parameters.
        bits: How many.
    """

    def __init__(self, head: HashHead | TokenHead, bits: int) -> None:
        super().__init__()
        self.head = head
        self.bits = bits

    @property
    def weight(self) -> Tensor:
        """(bits, dim), the first rows of the head's."""
        return self.head.weight[: self.bits]

    def forward(self, x: Tensor) -> Tensor:
        """Real-valued codes."""
        codes: Tensor = self.head(x)
        return codes[:, : self.bits]


def prefix_view(net: HashModel, bits: int) -> HashModel:
    """The network as one of shorter codes, which are the first bits of its own.

    It shares every layer, so that a step on one is a step on the other; only its hash heads
    (:class:`~crosshash.layers.heads.HashHead` or :class:`~crosshash.layers.heads.TokenHead` of
    ``net.bits`` outputs) are cut, and what holds them is a copy. Its training mode is its own.

    Args:
        net: Any method's network.
        bits: k', a multiple of 8, fewer than ``net.bits``.

    Raises:
        ValueError: ``bits`` is none of these, or the network has no such hash head.

    Example:
        >>> from crosshash.methods import create
        >>> net = create("dmsfh", bits=64, texts=["a red ball"],
        ...              backbones={"name": "resnet18", "weights": "random"}).eval()
        >>> view, words = prefix_view(net, 16), net.text.prepare(["a ball"])
        >>> long, short = (x.hash_text(x.text_features(words)) for x in (net, view.eval()))
        >>> bool((long[:, :16] == short).all())
        True
    """
    check_nested([bits], net.bits)
    view = _cut(net, net.bits, bits)
    if not isinstance(view, HashModel) or view is net:
        raise ValueError(
            f"{type(net).__name__} cannot be nested: it has no crosshash.layers.HashHead of "
            f"{net.bits} outputs whose first would be shorter codes; end its hash functions in one"
        )
    view.bits = bits
    view.nested = ()
    return view


def shortened(net: HashModel, bits: int) -> HashModel:
    """A network of its own whose codes are the first bits of another's, to be kept and saved.

    Args:
        net: A nested network; it stays as it is.
        bits: One of its ``lengths``.

    Returns:
        A copy without the other outputs; the network itself at its full length.

    Raises:
        ValueError: It has no codes of that length, or its bits come from tokens of their own (MITH)
            and cannot be taken off.
    """
    if net.check_length(bits) == net.bits:
        return net
    short = copy.deepcopy(net)
    if any(isinstance(module, TokenHead) for module in short.modules()):
        raise ValueError(
            f"{net.method.upper()} makes each bit of a token of its own, and cannot be cut: load "
            f"the whole model, and ask it for shorter codes (encode_image(…, bits={bits}))"
        )
    for module in short.modules():
        if isinstance(module, HashHead) and len(module.weight) == net.bits:
            module.cut(bits)
    short.bits = bits
    short.nested = tuple(length for length in net.nested if length < bits)
    short.info.figures = _figures(short.info.figures, bits)
    return short


def _figures(figures: Mapping[str, Any], bits: int) -> dict[str, Any]:
    """Those of a shorter length, and what is known of all lengths, as their calibration."""
    nested = figures.get("nested", {})
    measured = {"learned", "nested"}.union(*nested.values())
    shorter = {k: found for k, found in nested.items() if int(k) < bits}
    return {
        **{name: value for name, value in figures.items() if name not in measured},
        **nested.get(str(bits), {}),
        **({"nested": shorter} if shorter else {}),
    }


def _cut(module: nn.Module, whole: int, bits: int) -> nn.Module:
    """The module itself where there is no head in it, else a shallow copy with heads cut."""
    if isinstance(module, (HashHead, TokenHead)) and len(module.weight) == whole:
        return PrefixHead(module, bits)
    children = {
        name: None if child is None else _cut(child, whole, bits)
        for name, child in module._modules.items()
    }
    if all(children[name] is child for name, child in module._modules.items()):
        return module
    # Its tables of parameters and buffers stay the same objects, which moving to a device writes.
    copied = copy.copy(module)
    copied._modules = children
    return copied
