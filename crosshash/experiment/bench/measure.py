"""What a run costs: memory, parameters, and the operations of encoding one item."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from crosshash.backbones.base import Features
from crosshash.backbones.forward import evaluating
from crosshash.data.dataset import PairedDataset
from crosshash.model.hash_model import HashModel

_STATUS, _CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")


class PeakMemory:
    """The largest memory from now on: of the GPU where one is used, else of the process.

    On Linux the mark is set back when it is made; elsewhere it is the highest since the process
    began, which further runs in it share.
    """

    def __init__(self) -> None:
        if torch.cuda.is_available():
            torch.cuda.reset_peak_memory_stats()
        try:
            _CLEAR.write_text("5", encoding="ascii")
        except OSError:  # another system, or not allowed: the mark of the whole process
            return

    def read(self) -> dict[str, Any]:
        """``bytes``, and what they are ``of``: ``cuda`` or ``resident``."""
        if torch.cuda.is_available() and (used := torch.cuda.max_memory_allocated()):
            return {"of": "cuda", "bytes": int(used)}
        try:
            lines = _STATUS.read_text(encoding="utf-8").splitlines()
            marks = [line.split() for line in lines if line.startswith("VmHWM:")]
        except OSError:
            marks = []
        if marks:
            return {"of": "resident", "bytes": 1024 * int(marks[0][1])}
        import resource  # Windows has none

        used = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return {"of": "resident", "bytes": int(used if sys.platform == "darwin" else 1024 * used)}


def parameter_counts(model: HashModel) -> dict[str, int]:
    """``all`` weights of a model, and those that are ``trained``."""
    counts = [(weight.numel(), weight.requires_grad) for weight in model.parameters()]
    return {
        "all": sum(count for count, _ in counts),
        "trained": sum(count for count, trained in counts if trained),
    }


def encoding_flops(model: HashModel, dataset: PairedDataset, row: int) -> dict[str, int]:
    """Floating-point operations of one ``image`` and of one ``text``, from pixels and words.

    Products, convolutions and attention are counted, as ``torch.utils.flop_counter`` does, a
    multiplication and an addition as two; not what is done element by element, nor resizing. They
    are of an item among many: alone it goes through the hash layers with copies of itself.

    Args:
        model: The network, on the CPU.
        dataset: Has the pair.
        row: Of the pair.
    """
    network: Any = model
    one = dataset.select(np.array([row]))
    words = one.texts if isinstance(one.texts, np.ndarray) else one.captions("first")
    texts = model.text.prepare(words, unknown="allow")
    images: dict[str, Tensor | Features] = {}
    for slot, backbone in network.backbones.items():
        if isinstance(one.images, np.ndarray):
            images[slot] = Features(backbone.prepare(one.images))
        else:
            images[slot] = backbone.preprocess(one.images.open(0))[None]
    # Not by encode_image, whose backbones run in threads, which are not counted.
    with torch.no_grad(), evaluating(model):
        with FlopCounterMode(display=False) as of_image:
            network.hash_image(network.image_features(images))
        with FlopCounterMode(display=False) as of_text:
            network.hash_text(network.text_features(texts))
    return {"image": of_image.get_total_flops(), "text": of_text.get_total_flops()}
