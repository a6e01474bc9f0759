"""Models for other runtimes: each encoder as a ``torch.export`` program and as an ONNX file."""

from __future__ import annotations

import copy
import importlib
import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image as PILImage
from torch import Tensor, nn

from crosshash.backbones.base import ASSETS, ImageBackbone, Inputs, TextEncoder
from crosshash.files import atomic_folder, check_replaceable
from crosshash.model.hash_model import HashModel
from crosshash.needs import needs

if TYPE_CHECKING:
    from torch.export import ExportedProgram

INTERFACE = "export.json"
INTERFACE_VERSION = 1
OUTPUTS = ("codes", "packed")
PARTS = ("image", "text")
Part = Literal["image", "text"]
_EXTRA = ("onnx", "onnxruntime", "onnxscript")
# Protobuf ends at 2 GiB; from here on, weights lie in a file of their own beside the graph.
_ONE_FILE = 3 << 29


class ExportError(ValueError):
    """An exported file that gives other codes than the model; the message says by how much."""


def export_program(model: HashModel, part: Part) -> ExportedProgram:
    """One encoder as a ``torch.export`` program, on the CPU in float32.

    ``program.module()`` takes a dictionary of tensors, one per image slot or per tensor of
    ``model.text.prepare``, of any batch size and, for tokens, any length; it returns the
    real-valued codes (n, k) and the packed ones, ``uint8`` (n, k/8).

    Args:
        model: Any method's model; it is not changed.
        part: ``"image"`` or ``"text"``.

    Raises:
        ValueError: There is no such part.

    Example:
        >>> import crosshash
        >>> program = export_program(crosshash.load("amgfh-wiki-16"), "image")
        >>> torch.export.save(program, "image.pt2")
    """
    if part not in PARTS:
        raise ValueError(f"there is no part {part!r} to export: use 'image' or 'text'")
    encoder = _Encoder(model, part)
    return _trace(encoder, _samples(encoder.model, part))


def export_onnx(model: HashModel, folder: str | Path) -> dict[str, Any]:
    """Write ``image.onnx``, ``text.onnx`` and what feeds them into a folder, all or nothing.

    Each graph takes batches of any size and returns ``codes``, ``float32`` (n, k), and
    ``packed``, ``uint8`` (n, k/8), as :mod:`crosshash.codes` packs them. ``export.json`` says what
    they take; the vocabulary or tokenizer lies beside it. Before the folder is put in its place,
    onnxruntime must give the model's own codes for batches of sizes that were not traced.

    Args:
        model: Any method's model, on any device; it is not changed.
        folder: Made, or replaced where an earlier export stands.

    Returns:
        The contents of ``export.json``.

    Raises:
        ModuleNotFoundError: The extra ``onnx`` is not installed.
        FileExistsError: The folder holds other things than an export.
        ExportError: A graph gives other codes than the model.
    """
    for name in _EXTRA:
        _need(name)
    target = Path(folder)
    assets = [pattern.partition("/")[0] for pattern in ASSETS]
    holds = (INTERFACE, *(f"{part}.onnx" for part in PARTS), *assets)
    check_replaceable(target, holds=holds, what="an export")
    interface: dict[str, Any] = {
        "format_version": INTERFACE_VERSION,
        "method": model.method,
        "bits": model.bits,
        **({"nested": list(model.nested)} if model.nested else {}),
        "codes": {
            "sign": "bit i is 1 where codes[i] >= 0, so zero is 1",
            "bit_order": "little",
            "bytes": "bit i is bit i % 8, from the lowest, of byte i // 8",
            "distance": "hamming",
        },
    }
    with atomic_folder(target, holds=holds, what="an export") as path:
        for part in PARTS:
            interface[part] = _write_part(model, cast(Part, part), path)
        (path / INTERFACE).write_text(
            json.dumps(interface, indent=2, ensure_ascii=False) + "\n", encoding="utf-8"
        )
    return interface


# What is traced


class _Encoder(nn.Module):
    """One side of a copy of a model, in eval mode: inputs by name to real and packed codes."""

    def __init__(self, model: HashModel, part: Part) -> None:
        super().__init__()
        self.model: HashModel = copy.deepcopy(model).cpu().float()
        self.part = part
        self.places: Tensor
        self.register_buffer("places", 2 ** torch.arange(8, dtype=torch.int32), persistent=False)
        self.requires_grad_(False)
        self.eval()

    def forward(self, inputs: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
        """Codes (n, k) and packed codes (n, k/8)."""
        model = self.model
        if self.part == "image":
            codes = model.hash_image(model.image_features(inputs))
        else:
            codes = model.hash_text(model.text_features(inputs))
        bits = (codes >= 0).to(torch.int32).reshape(codes.shape[0], -1, 8)
        return codes, (bits * self.places).sum(dim=2).to(torch.uint8)


def _trace(encoder: _Encoder, samples: list[Inputs]) -> ExportedProgram:
    from torch.export import Dim, export

    batch = Dim("n")
    dynamic = {
        name: {axis: Dim.DYNAMIC if axis else batch for axis in axes}
        for name, axes in _open_axes(samples).items()
    }
    program = export(encoder, (samples[0],), dynamic_shapes=(dynamic,), strict=False)
    _forget_unused(program)
    return program


def _forget_unused(program: ExportedProgram) -> None:
    """Take the weights of the other side out of the program."""
    nodes = {node.name: node for node in program.graph.nodes if node.op == "placeholder"}
    signature = program.graph_signature
    for spec in list(signature.input_specs):
        name = spec.target
        if name in program.state_dict and not nodes[spec.arg.name].users:
            program.graph.erase_node(nodes[spec.arg.name])
            signature.input_specs.remove(spec)
            del program.state_dict[name]
    program.graph_module.recompile()


# Inputs to trace and to check with


def _samples(model: HashModel, part: Part) -> list[Inputs]:
    """Batches of two, one and three rows; an axis is open where their shapes differ."""
    generator = torch.Generator().manual_seed(0)
    if part == "image":
        shapes = {slot: _image_shape(model.backbone(slot)) for slot in model.slots}
        return [
            {slot: torch.randn(n, *shape, generator=generator) for slot, shape in shapes.items()}
            for n in (2, 1, 3)
        ]
    rows = (torch.rand(6, model.text.dim, generator=generator) < 0.5).float().numpy()
    try:
        return [model.text.prepare(some, unknown="allow") for some in np.split(rows, [2, 3])]
    except ValueError:  # an encoder that takes strings only
        words = _six_words(model.text)
        batches = [" ".join(words)] * 2, [" ".join(words[:3])], [" ".join(words[3:5]), words[5], ""]
        return [model.text.prepare(some, unknown="allow") for some in batches]


def _six_words(text: TextEncoder) -> list[str]:
    """Words of the encoder's own: one that leaves unknown ones out makes nothing of others."""
    words = [word for word in text.vocabulary or () if word.isalpha()][:6]
    return words if len(words) == 6 else ["one", "two", "three", "four", "five", "six"]


def _image_shape(backbone: ImageBackbone) -> tuple[int, ...]:
    if not backbone.reads_pixels or backbone.preprocess is None:
        return (backbone.dim,)
    return tuple(backbone.preprocess(PILImage.new("RGB", (64, 64))).shape)


def _open_axes(samples: list[Inputs]) -> dict[str, list[int]]:
    """For each input the axes that differ between batches: 0, and 1 where rows have a length."""
    return {
        name: [
            axis
            for axis in range(value.ndim)
            if len({sample[name].shape[axis] for sample in samples}) > 1
        ]
        for name, value in samples[0].items()
    }


# ONNX


def _write_part(model: HashModel, part: Part, folder: Path) -> dict[str, Any]:
    encoder = _Encoder(model, part)
    samples = _samples(encoder.model, part)
    program = _trace(encoder, samples)
    axes = {
        name: {axis: "length" if axis else "n" for axis in axes}
        for name, axes in _open_axes(samples).items()
    }
    exported = torch.onnx.export(
        program,
        input_names=list(samples[0]),
        output_names=list(OUTPUTS),
        dynamic_shapes=(_named_once(axes),),
        dynamo=True,
        verbose=False,
    )
    if exported is None:  # only without dynamo
        raise ExportError(f"torch made no ONNX graph of the {part} encoder")
    size = sum(value.nbytes for value in encoder.state_dict().values())
    file = folder / f"{part}.onnx"
    exported.save(file, external_data=size > _ONE_FILE)
    difference = _check(file, encoder, samples)
    about: dict[str, Any] = {
        "file": file.name,
        "inputs": {
            name: {
                "dtype": str(value.dtype).removeprefix("torch."),
                "shape": [axes[name].get(axis, size) for axis, size in enumerate(value.shape)],
                **({"preprocess": _preprocess(model.backbone(name))} if part == "image" else {}),
            }
            for name, value in samples[0].items()
        },
        "outputs": {
            "codes": {"dtype": "float32", "shape": ["n", model.bits]},
            "packed": {"dtype": "uint8", "shape": ["n", model.bits // 8]},
        },
        "largest_difference": difference,
    }
    if part == "text":
        spec = {key: value for key, value in model.text.spec().items() if key != "weights"}
        files = [file.relative_to(folder).as_posix() for file in model.text.save_assets(folder)]
        about |= {"encoder": spec, "files": files}
    return about


def _named_once(axes: dict[str, dict[int, str]]) -> dict[str, dict[int, Any]]:
    """Names for torch, which warns of one that several inputs share."""
    from torch.export import Dim

    seen: set[str] = set()
    named: dict[str, dict[int, Any]] = {}
    for name, own in axes.items():
        named[name] = {axis: Dim.DYNAMIC if word in seen else word for axis, word in own.items()}
        seen |= set(own.values())
    return named


def _preprocess(backbone: ImageBackbone) -> dict[str, Any] | None:
    """How a picture becomes a row; None where rows are features."""
    if not backbone.reads_pixels:
        return None
    height, width = _image_shape(backbone)[-2:]
    config: Mapping[str, Any] = backbone.spec().get("preprocess") or {}
    steps: dict[str, Any] = {"color": "RGB", "layout": "channels, rows, columns", **config}
    if "crop_pct" in config:
        steps["resize"] = [math.floor(side / config["crop_pct"]) for side in (height, width)]
    return {**steps, "size": [height, width], "range": [0.0, 1.0]}


def _check(file: Path, encoder: _Encoder, samples: list[Inputs]) -> float:
    """Run the file on every batch and return the largest difference of real-valued codes."""
    import onnxruntime

    session = onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"])
    largest = 0.0
    for sample in samples:
        with torch.no_grad():
            wanted: npt.NDArray[np.float32] = encoder(sample)[0].numpy()
        feeds = {name: value.numpy() for name, value in sample.items()}
        got = session.run(["codes"], feeds)[0]
        if got.shape != wanted.shape or not np.allclose(got, wanted, rtol=1e-3, atol=1e-4):
            raise ExportError(
                f"{file.name} gives other codes than the model for {len(wanted)} items: shape "
                f"{got.shape} for {wanted.shape}, {_difference(got, wanted):.2g} apart; "
                "try another version of onnxscript and onnxruntime, or use export_program"
            )
        largest = max(largest, _difference(got, wanted))
    return largest


def _difference(got: npt.NDArray[Any], wanted: npt.NDArray[Any]) -> float:
    return float(np.abs(got - wanted).max()) if got.shape == wanted.shape else math.inf


def _need(name: str) -> None:
    with needs(name, "ONNX export", "crosshash[onnx]"):
        importlib.import_module(name)
