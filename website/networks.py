"""The network of a method as its base config makes it, and what its training has beside it."""

from __future__ import annotations

import functools
from dataclasses import dataclass, field
from typing import Any

import torch
from network_trace import Box, Trace
from page import ROOT
from torch import nn

from crosshash.algorithms import Algorithm, BatchPhase, SolvePhase
from crosshash.backbones import Features, create_text_encoder
from crosshash.config import ExperimentConfig, read_config
from crosshash.methods import METHODS, build_model
from crosshash.model import Batch, HashModel

# What the figures are of where a config leaves it to the data: MIRFLICKR's labels, and vectors.
CLASSES, VECTOR, PAIRS = 24, 512, 16


@dataclass
class Step:
    """An update, or a step in closed form, of the algorithm.

    Attributes:
        phase: Its phase, and the update's name where the phase has several.
        trains: Paths of the boxes whose parameters it may change.
        terms: Terms of its loss, and from which boxes each comes.
        solves: What it solves in closed form; then there are no terms.
        once: Whether it is run before the first epoch only.
    """

    phase: str
    trains: list[str] = field(default_factory=list)
    terms: dict[str, set[str]] = field(default_factory=dict)
    solves: str = ""
    once: bool = False


@dataclass
class Drawn:
    """All that is known of a method's network and training.

    Attributes:
        boxes: Of the two hash functions, by path, in order.
        sides: Which function each of them is in: ``"image"``, ``"text"``, or ``"both"``.
        ends: From which boxes the codes F and G come.
        bits: Of the codes.
        training: Boxes that only training has, and what it keeps: a code bank, proxies.
        steps: Of Algorithm 1.
        frozen: Paths of the encoders that are not trained.
        names: Names of the encoders by path.
    """

    boxes: dict[str, Box]
    sides: dict[str, str]
    ends: dict[str, set[str]]
    bits: int
    training: dict[str, Box]
    steps: list[Step]
    frozen: set[str]
    names: dict[str, str]


@functools.cache
def drawn(method: str) -> Drawn:
    """Makes the network of ``configs/<method>/base.yaml`` and sends a batch through it.

    The network of the figure is one without numbers (torch's "meta" device): shapes alone flow.
    Training takes steps on real numbers, over vectors in place of the image backbones.
    """
    config = read_config(ROOT / "configs" / method / "base.yaml", {"data": "mirflickr"})
    with torch.device("meta"):
        net = _network(config)
    boxes, sides, ends = _flow(net)
    widths = {slot: net.backbone(slot).dim for slot in net.slots}
    training, steps = _training(config, widths, set(boxes))
    frozen = {f"backbones.{slot}" for slot in net.slots if config.backbones[slot].frozen}
    names = {f"backbones.{slot}": config.backbones[slot].name for slot in net.slots}
    names["text"] = config.text.name
    return Drawn(boxes, sides, ends, net.bits, training, steps, frozen, names)


def _network(config: ExperimentConfig, widths: dict[str, int] | None = None) -> HashModel:
    """The network; with ``widths`` over vectors in place of pictures."""
    backbones: dict[str, dict[str, Any]] = {}
    for slot, part in config.backbones.items():
        if widths is not None:
            backbones[slot] = {"name": "features", "dim": widths[slot]}
        elif part.name == "features":
            backbones[slot] = {"name": "features", "dim": VECTOR}
        else:
            backbones[slot] = {"name": part.name, **part.options, "weights": "random"}
    if config.text.name == "bow":
        size = config.text.options.get("size", VECTOR)
        words = {"name": "bow", "vocabulary": [f"word{number}" for number in range(size)]}
    else:
        words = {"name": config.text.name, "dim": VECTOR, **config.text.options}
    return build_model(
        config.method,
        bits=config.bits,
        backbones=backbones,
        text=create_text_encoder(**words),
        network=config.network,
    )


def _flow(net: HashModel) -> tuple[dict[str, Box], dict[str, str], dict[str, set[str]]]:
    """Sends pictures and texts without numbers through a network."""
    pictures = {}
    for slot in net.slots:
        backbone = net.backbone(slot)
        size = backbone.spec().get("image_size", ())
        size = (size, size) if isinstance(size, int) else size
        shape = (3, *size) if backbone.reads_pixels else (backbone.dim,)
        pictures[slot] = torch.empty(2, *shape, device="meta")
    rows = {net.text.name: torch.empty(2, net.text.dim, device="meta")}
    net.eval()
    image, text = Trace(net), Trace(net)
    with torch.no_grad():
        with image:
            ends = {"F": image.reads(net.hash_image(net.image_features(pictures)))}
        with text:
            ends["G"] = text.reads(net.hash_text(net.text_features(rows)))
    sides = dict.fromkeys(image.boxes, "image")
    sides |= {path: "both" if path in sides else "text" for path in text.boxes}
    boxes = image.boxes
    for path, box in text.boxes.items():
        boxes.setdefault(path, box).reads.update(box.reads)
    needs = {f"backbones.{slot}": net.image_needs for slot in net.slots} | {"text": net.text_needs}
    for path, parts in needs.items():  # of a vector and a map the network may read one alone
        widths = boxes[path].widths
        made = dict(zip(("pooled", "map"), widths[-1].split(" + "), strict=False))
        widths[-1] = " + ".join(made[part] for part in parts if part in made)
    return boxes, sides, ends


def _training(
    config: ExperimentConfig, widths: dict[str, int], known: set[str]
) -> tuple[dict[str, Box], list[Step]]:
    """Sees an algorithm take the steps of an epoch."""
    net = _network(config, widths)
    for slot in net.slots:  # stands for the weights that an update may change
        net.backbone(slot).register_parameter("weights", nn.Parameter(torch.zeros(1)))
        if config.backbones[slot].frozen:
            net.freeze(slot)
    algorithm = METHODS[config.method](net, PAIRS, CLASSES, **config.algorithm)
    trace = Trace(algorithm, "net.")
    batch = _batch(net, widths)
    for slot, features in batch.images.items():
        trace.source(f"backbones.{slot}", features)
    if batch.labels is not None:
        trace.source("labels", batch.labels)
    kept = _kept(algorithm, trace)
    steps: list[Step] = []
    with trace:
        with torch.no_grad():
            net.fit_norms([batch])
            algorithm.begin([batch])
        for once, phases in ((True, algorithm.preliminary()), (False, algorithm.phases())):
            for phase in phases:
                steps += _steps(algorithm, phase, batch, trace, once)
    training = {path: box for path, box in trace.boxes.items() if path not in known}
    boxes = known | set(training)
    for step in steps:
        step.trains = list(dict.fromkeys(_box_of(path, boxes) for path in step.trains))
    return kept | training, steps


def _box_of(path: str, boxes: set[str]) -> str:
    """The innermost box in which a parameter is, or else the parameter."""
    around = [box for box in boxes if f"{path}.".startswith(f"{box}.")]
    return max(around, key=len, default=path)


def _batch(net: HashModel, widths: dict[str, int]) -> Batch:
    """Pairs of random numbers, each with two labels."""
    draw = torch.Generator().manual_seed(0)
    images = {s: Features(torch.rand(PAIRS, d, generator=draw)) for s, d in widths.items()}
    texts = {net.text.name: torch.rand(PAIRS, net.text.dim, generator=draw).round()}
    if net.text.name == "features":
        texts = {net.text.name: torch.rand(PAIRS, net.text.dim, generator=draw)}
    rows = torch.arange(PAIRS)
    labels = torch.zeros(PAIRS, CLASSES, dtype=torch.uint8)
    labels[rows, rows % 4] = labels[rows, 4 + rows % 3] = 1
    return Batch(rows, images, texts, labels)


def _kept(algorithm: Algorithm, trace: Trace) -> dict[str, Box]:
    """What the algorithm keeps itself or in a bank; the trace learns the tensors' names."""
    kept: dict[str, Box] = {}
    for owner, module in algorithm.named_modules():
        called = type(module).forward is not nn.Module.forward
        if owner.startswith("net") or (called and module is not algorithm):
            continue
        own = [*module.named_parameters(recurse=False), *module.named_buffers(recurse=False)]
        for name, tensor in own:
            trace.source(f"{owner}.{name}".lstrip("."), tensor)
            if owner:
                box = kept.setdefault(owner, Box(owner, type(module).__name__, []))
                box.widths = [", ".join(filter(None, [*box.widths, name]))]
            else:
                shape = "×".join(f"{n:,}" for n in tensor.shape) or "1"
                kept[name] = Box(name, "parameter", [shape])
    return kept


def _steps(algorithm: Algorithm, phase: Any, batch: Batch, trace: Trace, once: bool) -> list[Step]:
    if isinstance(phase, SolvePhase):
        with torch.no_grad():
            phase.solve([batch]) if phase.sees_data else phase.solve()
        return [Step(phase.name, solves=_sentence(phase.solve), once=once)]
    assert isinstance(phase, BatchPhase)
    found = []
    for update in phase.updates:
        losses = update.loss(batch).items()
        terms = {n: trace.reads(value) for n, value in losses if update.weights.get(n, 1.0)}
        if update.after is not None:
            with torch.no_grad():
                update.after(batch)
        one = len(phase.updates) == 1 or update.name == phase.name
        name = phase.name if one else f"{phase.name}: {update.name}"
        wanted = set(map(id, update.parameters))
        trained = [
            path.removeprefix("net.")
            for path, parameter in algorithm.named_parameters()
            if id(parameter) in wanted
        ]
        found.append(Step(name, trained, terms, once=once))
    return found


def _sentence(function: Any) -> str:
    return (function.__doc__ or "").strip().partition("\n")[0]
