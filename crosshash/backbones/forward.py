"""Forward passes without gradients, spread over the cores of the CPU."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import chain
from threading import RLock

import torch
from torch import Tensor, nn

from crosshash.backbones.base import Features, ImageBackbone

# Pictures that go through the network together on the CPU: the activations of four stay in its
# cache, where those of 64 take up to twice the time.
_SLICE = 4
# Above this, threads wait for Python's lock more than they compute.
_MOST_THREADS = 16
_LOCK = RLock()
# Of each module in eval mode here: how many are inside, and the modes that its parts had before.
_EVALUATED: dict[nn.Module, tuple[int, list[tuple[nn.Module, bool]]]] = {}
Start = Callable[[Tensor], Callable[[], Features]]


def floating_type(module: nn.Module) -> torch.dtype:
    """The type of a module's floating numbers; torch's default for a module without any."""
    tensors = chain(module.parameters(), module.buffers())
    return next((t.dtype for t in tensors if t.is_floating_point()), torch.get_default_dtype())


@contextmanager
def evaluating(
    module: nn.Module, device: torch.device | str | None = None
) -> Iterator[torch.device]:
    """Eval mode, on the device if one is given; yields the device, restores each part's mode.

    Of several threads in here with one module the first sets the mode, and the last restores it.
    """
    if device is not None:
        module.to(device)
    with _LOCK:
        inside, modes = _EVALUATED.get(module, (0, []))
        if not inside:
            modes = [(part, part.training) for part in module.modules()]
            module.eval()
        _EVALUATED[module] = inside + 1, modes
    try:
        yield next((tensor.device for tensor in module.parameters()), torch.device(device or "cpu"))
    finally:
        with _LOCK:
            inside, modes = _EVALUATED[module]
            _EVALUATED[module] = inside - 1, modes
            if inside == 1:
                del _EVALUATED[module]
                # From the outside in, through train(), which some models override to drop caches.
                for part, training in modes:
                    if part.training != training:
                        part.train(training)


@contextmanager
def running(
    backbone: ImageBackbone, device: torch.device, *, keep_map: bool, most: int
) -> Iterator[Start]:
    """Yield a function that starts a batch and returns a function that waits for its features.

    On the CPU each core computes a slice of the batch by itself. Sharing every layer among the
    cores, as torch does on its own, is as fast on an idle machine, but many times slower where
    another process needs a core, since all wait for the last at every layer.

    Args:
        backbone: In eval mode, on the device.
        device: Where it is.
        keep_map: Whether the features have their map.
        most: Pictures that will come in all.
    """
    dtype = floating_type(backbone)
    kind = device.type
    # Each thread has an autocast of its own: the caller's is handed on.
    cast = torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else None

    def run(pixels: Tensor) -> Features:
        with torch.inference_mode(), torch.autocast(kind, cast, enabled=cast is not None):
            features = backbone(pixels.to(dtype))
        return Features(features.pooled, features.map if keep_map else None)

    def on_device(pixels: Tensor) -> Callable[[], Features]:
        part = run(pixels.to(device))  # returns at once; the device goes on by itself
        return lambda: _joined([part])

    def here(pixels: Tensor) -> Callable[[], Features]:
        return lambda: _joined([run(part) for part in _slices(pixels)])

    threads = torch.get_num_threads()
    workers = min(threads, _MOST_THREADS, -(-most // _SLICE))
    if device.type != "cpu" or workers <= 1:
        yield here if device.type == "cpu" else on_device
        return
    pool = ThreadPoolExecutor(
        workers, initializer=torch.set_num_threads, initargs=(threads // workers,)
    )

    def submit(pixels: Tensor) -> Callable[[], Features]:
        jobs = [pool.submit(run, part) for part in _slices(pixels)]
        return lambda: _joined([job.result() for job in jobs])

    try:
        yield submit
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
        # The number that the pool's threads set for themselves is also that of threads to come.
        torch.set_num_threads(threads)


def _slices(pixels: Tensor) -> list[Tensor]:
    # Depthwise convolutions run twice as fast with channels last; values move by 1e-6.
    return list(pixels.contiguous(memory_format=torch.channels_last).split(_SLICE))


def _joined(parts: list[Features]) -> Features:
    # Copies made here, outside of inference mode, are ordinary tensors, which a layer that is
    # trained on them may keep for its gradient.
    pooled = torch.cat([part.pooled for part in parts])
    maps = [part.map for part in parts if part.map is not None]
    return Features(
        pooled.clone(memory_format=torch.contiguous_format),
        torch.cat(maps).clone(memory_format=torch.contiguous_format) if maps else None,
    )
