"""Which modules a tensor goes through, and which of them read what others made.

A module is a box, or it is looked into: containers, networks and the classes that a method has of
its own. What is no module, such as joining two vectors, has no box, and passes on where its inputs
came from.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor, nn
from torch.nn.modules.module import register_module_forward_hook, register_module_forward_pre_hook
from torch.overrides import TorchFunctionMode

from crosshash.backbones import ImageBackbone, TextEncoder
from crosshash.model import HashModel

_OWN = "crosshash.methods."


@dataclass
class Box:
    """A module that was called, or a tensor of a network that was reckoned with.

    Attributes:
        path: Its name in the network, or in the algorithm.
        kind: Its class, or the classes in it.
        widths: Shapes of an item on the way through it: ``["4,096", "512", "64"]``.
        reads: Paths of the boxes, or names of the sources, from which its inputs came.
    """

    path: str
    kind: str
    widths: list[str]
    reads: set[str] = field(default_factory=set)


class Trace(TorchFunctionMode):
    """While it is entered, it sees what goes through the modules of ``root``.

    Args:
        root: A network or an algorithm.
        prefix: Taken off the paths: ``"net."``.

    Attributes:
        boxes: By path, in the order in which they were first called.
    """

    def __init__(self, root: nn.Module, prefix: str = "") -> None:
        super().__init__()
        self.boxes: dict[str, Box] = {}
        self._paths = {m: name.removeprefix(prefix) for name, m in root.named_modules()}
        opened = set(_opened(root))
        self._closed = set(self._paths) - opened
        self._own = {
            id(tensor): (f"{path}.{name}".removeprefix(prefix).lstrip("."), tensor)
            for path, module in root.named_modules()
            if module in opened and path.startswith(prefix.rstrip("."))
            for name, tensor in _tensors(module)
        }
        # The tensors are kept with what is known of them, so that no id is given twice.
        self._known: dict[int, tuple[Tensor, frozenset[str]]] = {}
        self._sources: set[int] = set()
        self._inside: nn.Module | None = None
        self._chain: list[tuple[nn.Linear, set[int]]] = []
        self._behind: dict[int, tuple[Tensor, set[int]]] = {}
        self._hooks: list[Any] = []

    def source(self, name: str, value: Any) -> None:
        """Say what tensors are called that come from nowhere."""
        for tensor in tensors_in(value):
            self._known[id(tensor)] = (tensor, frozenset([name]))
            self._sources.add(id(tensor))

    def reads(self, value: Any) -> set[str]:
        """Where tensors come from."""
        nothing: frozenset[str] = frozenset()
        known = (self._known.get(id(tensor), (tensor, nothing)) for tensor in tensors_in(value))
        return set().union(*(names for _, names in known))

    def __enter__(self) -> Trace:
        """Begin."""
        self._hooks = [
            register_module_forward_pre_hook(self._enters),
            register_module_forward_hook(self._leaves),
        ]
        super().__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        """End; what was seen stays."""
        super().__exit__(*error)
        for hook in self._hooks:
            hook.remove()

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        """What is made of tensors comes from where they come from."""
        made = func(*args, **(kwargs or {}))
        inputs = [*tensors_in(args), *tensors_in(kwargs)]
        if self._inside is not None:
            self._pass_on(made, self._layers(inputs))
            return made
        if not any(True for _ in tensors_in(made)):
            return made
        names = self.reads(inputs)
        for tensor in inputs:
            if names and id(tensor) in self._own:
                path, _ = self._own[id(tensor)]
                kind = "parameter" if isinstance(tensor, nn.Parameter) else "buffer"
                others = [value for value in inputs if value is not tensor]
                self._saw(path, kind, [*shapes(others)[:1], *shapes(made)], names)
                names = {path}
        self._mark(made, names)
        return made

    def _enters(self, module: nn.Module, args: Any) -> None:
        if self._inside is None and module in self._closed:
            self._inside, self._chain, self._behind = module, [], {}
        if isinstance(module, nn.Linear) and self._inside is not None:
            self._chain.append((module, self._layers(args)))

    def _leaves(self, module: nn.Module, args: Any, made: Any) -> None:
        if isinstance(module, nn.Linear) and self._inside is not None:
            self._pass_on(made, {len(self._chain) - 1})
        if module is not self._inside:
            return
        path = self._paths[module]
        self._saw(path, kind_of(module), self._widths(args, made), self.reads(args))
        self._inside = None
        for tensor in tensors_in(made):  # which may be what came in
            self._known[id(tensor)] = (tensor, frozenset([path]))

    def _widths(self, args: Any, made: Any) -> list[str]:
        """Shapes into and out of the module, and between its linear layers if these are a chain."""
        first, last = [" + ".join(shapes(args))], shapes(made)
        layers = [layer for layer, _ in self._chain]
        ordered = all(behind == {n - 1} - {-1} for n, (_, behind) in enumerate(self._chain))
        ours = not isinstance(self._inside, ImageBackbone | TextEncoder)
        if layers and ordered and ours and first[0].replace(",", "").isdigit():
            inner = [f"{n:,}" for n in (layers[0].in_features, *(m.out_features for m in layers))]
            inner = inner[1:] if inner[:1] == first else inner  # a layer in front may be no call
            return [*first, *inner] if inner[-1] in last else [*first, *inner, last[-1]]
        return [*first, " + ".join(dict.fromkeys(last))]

    def _layers(self, value: Any) -> set[int]:
        """Numbers of the last linear layers in the box through which tensors came."""
        nothing: set[int] = set()
        known = (self._behind.get(id(tensor), (tensor, nothing)) for tensor in tensors_in(value))
        return set().union(*(numbers for _, numbers in known))

    def _pass_on(self, value: Any, numbers: set[int]) -> None:
        self._behind.update({id(t): (t, numbers) for t in tensors_in(value)})

    def _saw(self, path: str, kind: str, widths: list[str], reads: set[str]) -> None:
        self.boxes.setdefault(path, Box(path, kind, widths)).reads.update(reads - {path})

    def _mark(self, value: Any, names: Iterable[str]) -> None:
        for tensor in tensors_in(value):
            if id(tensor) not in self._sources and id(tensor) not in self._own:
                self._known[id(tensor)] = (tensor, frozenset(names))


def _opened(root: nn.Module) -> Iterator[nn.Module]:
    """The modules that are looked into."""

    def walk(module: nn.Module, depth: int) -> Iterator[nn.Module]:
        yield module
        for child in module.children():
            net = isinstance(child, HashModel)
            own = type(child).__module__.startswith(_OWN) and depth < 1 and not net
            if isinstance(child, ImageBackbone | TextEncoder):
                yield from (m for m in child.modules() if m is not child and not m.state_dict())
                continue
            if net or own or _is_container(child):
                yield from walk(child, depth + own)
            elif not child.state_dict():  # an activation
                yield from child.modules()

    yield from walk(root, 0)


def _is_container(module: nn.Module) -> bool:
    """Whether it only keeps modules, or calls blocks of ours one after the other."""
    if isinstance(module, nn.ModuleDict | nn.ModuleList):
        return True
    kinds = {type(child) for child in module.children()}
    ours = {kind for kind in kinds if kind.__module__.startswith("crosshash.")}
    return isinstance(module, nn.Sequential) and bool(ours) and len(kinds) > 1


def _tensors(module: nn.Module) -> list[tuple[str, Tensor]]:
    """What a module itself keeps in a checkpoint."""
    kept = module.state_dict()
    own = [*module.named_parameters(recurse=False), *module.named_buffers(recurse=False)]
    return [(name, tensor) for name, tensor in own if name in kept]


def kind_of(module: nn.Module) -> str:
    """The class of a module; of a sequence the classes in it."""
    if not isinstance(module, nn.Sequential):
        return type(module).__name__
    names = [type(child).__name__ for child in module]
    if len(names) > 1 and len(set(names)) == 1:
        return f"{names[0]} × {len(names)}"
    return ", ".join(dict.fromkeys(names))


def shapes(value: Any) -> list[str]:
    """Shapes of an item in tensors, whose first axis is the batch: ``"3×224×224"``."""
    return ["×".join(f"{n:,}" for n in t.shape[1:]) or "1" for t in tensors_in(value)]


def tensors_in(value: Any) -> Iterator[Tensor]:
    """All tensors in nested tuples, lists and mappings."""
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, Mapping):
        for part in value.values():
            yield from tensors_in(part)
    elif isinstance(value, tuple | list):
        for part in value:
            yield from tensors_in(part)
