"""The device and the processes of a training, by accelerate."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Any, Literal

import torch
from torch import Tensor, distributed

from crosshash.needs import needs

Device = Literal["auto", "cpu", "cuda"]
# What the launchers of several processes set, as accelerate reads it.
_LAUNCHED = ("ACCELERATE_", "LOCAL_RANK", "WORLD_SIZE", "PMI_", "OMPI_", "MV2_")


def check_device(device: str) -> None:
    """Refuse a device that is unknown or not there.

    Raises:
        ValueError: It is none of ``auto``, ``cpu`` and ``cuda``, or torch sees no CUDA device.
    """
    if device not in ("auto", "cpu", "cuda"):
        raise ValueError(f"device is 'auto', 'cpu' or 'cuda', got {device!r}")
    if device == "cuda" and not torch.cuda.is_available():
        raise ValueError("device is 'cuda', but torch sees no such device; use 'auto' or 'cpu'")


def start_accelerator(device: Device, precision: str) -> Any:
    """An ``Accelerator`` for one training.

    accelerate keeps one state for the whole Python process: without the reset, the device of an
    earlier training would stay in use, and another precision would be refused.

    Raises:
        ModuleNotFoundError: accelerate is not installed.
    """
    with needs("accelerate", "training, or sharing work among processes,"):
        from accelerate import Accelerator
        from accelerate.state import AcceleratorState

    AcceleratorState._reset_state(reset_partial_state=True)
    return Accelerator(cpu=device == "cpu", mixed_precision=precision)


def own_share() -> tuple[int, int, torch.device]:
    """This process's number, how many there are, and its device, as its launcher set them.

    Launchers are ``accelerate launch``, and ``torchrun``, which starts several on the CPU as well.
    For work in which processes need nothing of each other: the group that they formed is left, so
    that none waits for another or ends with it. Without a launcher accelerate is not asked.

    Raises:
        ModuleNotFoundError: There is a launcher, and accelerate is not installed.
    """
    if not any(name.startswith(_LAUNCHED) for name in os.environ):
        mps = "mps" if torch.backends.mps.is_available() else "cpu"
        return 0, 1, torch.device("cuda" if torch.cuda.is_available() else mps)
    # accelerate takes several processes without CUDA for one each, if it is not told.
    on_cpu = "LOCAL_RANK" in os.environ and not torch.cuda.is_available()
    accelerator = start_accelerator("cpu" if on_cpu else "auto", "no")
    found = accelerator.process_index, accelerator.num_processes, accelerator.device
    if distributed.is_available() and distributed.is_initialized():
        distributed.destroy_process_group()
    from accelerate.state import AcceleratorState

    AcceleratorState._reset_state(reset_partial_state=True)
    return found


def share(accelerator: Any, tensors: Iterable[Tensor]) -> None:
    """Give every process the values of the first, in place."""
    if accelerator.num_processes > 1:
        for tensor in tensors:
            distributed.broadcast(tensor.detach(), 0)


def average_gradients(accelerator: Any, parameters: Iterable[Tensor]) -> None:
    """Mean of the gradients over all processes.

    The losses call parts of the network, so a wrapper around its ``forward`` would not see them.
    """
    if accelerator.num_processes > 1:
        for parameter in parameters:
            if parameter.grad is not None:
                parameter.grad = accelerator.reduce(parameter.grad, "mean")
