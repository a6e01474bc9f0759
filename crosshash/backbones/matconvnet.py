"""Weights published as MatConvNet files, read as plain arrays and written as safetensors."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from crosshash.backbones.image.cnnf import CNNF, GRID, PUBLISHED, SIDE
from crosshash.files import atomic_file, sha256
from crosshash.matlab import MatlabVersionError, read_matlab

Array = npt.NDArray[Any]
# Every kind of layer, as MatConvNet calls it.
_KINDS: dict[type[nn.Module], tuple[str, ...]] = {
    nn.Conv2d: ("conv",),
    nn.Linear: ("conv",),
    nn.ReLU: ("relu",),
    nn.LocalResponseNorm: ("normalize", "lrn"),
    nn.MaxPool2d: ("pool",),
}


@dataclass(frozen=True)
class MatLayer:
    """A layer of a MatConvNet network.

    Attributes:
        name: Such as ``"conv1"``.
        kind: MatConvNet's type: ``"conv"``, ``"relu"``, ``"normalize"``, ``"pool"`` and so on.
        filters: (h, w, channels in, channels out), or None.
        biases: (channels out,), or None.
        options: Numbers of ``stride``, ``pad``, ``pool`` and ``param``, where the file has them.
        method: How a pooling layer pools; ``"max"`` where the file does not say.
    """

    name: str
    kind: str
    filters: Array | None
    biases: Array | None
    options: Mapping[str, tuple[float, ...]]
    method: str = "max"


@dataclass(frozen=True)
class MatNetwork:
    """A MatConvNet network of consecutive layers (SimpleNN).

    Attributes:
        layers: In order.
        average_image: ``normalization.averageImage``, as the file has it, or None.
        image_size: ``normalization.imageSize``, or nothing.
    """

    layers: list[MatLayer]
    average_image: Array | None
    image_size: tuple[float, ...]


def read_matconvnet(path: str | Path) -> MatNetwork:
    """Read a SimpleNN network of any age: ``weights`` or ``filters``, with or without ``meta``.

    The file is data only; nothing in it is run.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: It is no whole MATLAB file up to version 7, or holds no such network.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file; imagenet-vgg-f.mat is at {PUBLISHED}")
    wanted = ("layers", "meta", "normalization")
    try:
        found = read_matlab(path, wanted)
    except MatlabVersionError as error:
        raise ValueError(
            f"{path}: a MATLAB file of version 7.3, which is HDF5; save it in MATLAB with "
            "save(..., '-v7')"
        ) from error
    except ValueError as error:
        raise ValueError(
            f"{path}: not a whole MATLAB file ({error}); fetch it again from {PUBLISHED}"
        ) from error
    if "layers" not in found:
        raise ValueError(
            f"{path}: expected a variable 'layers', as in MatConvNet's SimpleNN networks; got "
            "none. A DagNN network or another program's file cannot be read"
        )
    meta = next(_records(found.get("meta")), {})
    normalization = next(_records(found.get("normalization", meta.get("normalization"))), {})
    average = _array(normalization.get("averageImage"))
    return MatNetwork(
        [_layer(record) for record in _records(found["layers"])],
        average if average is not None and average.size else None,
        _numbers(normalization.get("imageSize")),
    )


def convert_cnnf(source: str | Path, target: str | Path) -> dict[str, tuple[int, ...]]:
    """Write the weights of MatConvNet's CNN-F as a safetensors file for the backbone ``cnnf``.

    The file's layers must be the published ones in number, order, shape, stride, padding and
    normalisation, since another network of the same shapes computes something else.

    Args:
        source: ``imagenet-vgg-f.mat``.
        target: The file to write; a file there is replaced, all at once.

    Returns:
        Names and shapes of the tensors written.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: It is damaged or another network; the message names the layer.
    """
    read = read_matconvnet(source)
    with torch.device("meta"):
        network = CNNF(weights="random")
    modules = {
        f"{part}.{name}": module
        for part in ("features", "classifier")
        for name, module in network.get_submodule(part).named_children()
    }
    try:
        layers = _in_order(read.layers, [name.partition(".")[2] for name in modules])
        tensors = {"mean_image": _mean_image(read)}
        side = SIDE
        for (name, module), layer in zip(modules.items(), layers, strict=True):
            side = _check_layer(layer, module, side)
            if isinstance(module, (nn.Conv2d, nn.Linear)):
                tensors[f"{name}.weight"], tensors[f"{name}.bias"] = _weights(layer, module)
    except ValueError as error:
        raise ValueError(f"{source}: {error}; it is not imagenet-vgg-f.mat as published") from None
    from safetensors.numpy import save_file

    metadata = {
        "format": "pt",
        "network": network.name,
        "source": Path(source).name,
        "source_sha256": sha256(source),
    }
    with atomic_file(target) as path:
        save_file(tensors, path, metadata=metadata)
    return {name: tensor.shape for name, tensor in tensors.items()}


# The network in the file against ours


def _in_order(layers: list[MatLayer], names: list[str]) -> list[MatLayer]:
    """The layers of those names, which must be the first ones; dropout does nothing in use."""
    found = [layer for layer in layers if layer.kind != "dropout"]
    have = [layer.name for layer in found]
    for name in names:
        if name not in have:
            raise ValueError(f"layer {name!r} is missing, the layers are {', '.join(have)}")
    if have[: len(names)] != names:
        raise ValueError(f"expected the layers {', '.join(names)}, got {', '.join(have)}")
    return found[: len(names)]


def _check_layer(layer: MatLayer, module: nn.Module, side: int) -> int:
    """Compare what is no weight, given the side of the input; returns the output's side."""
    kinds = _KINDS[type(module)]
    if layer.kind not in kinds:
        raise ValueError(f"layer {layer.name!r}: expected type {kinds[0]!r}, got {layer.kind!r}")
    if isinstance(module, nn.LocalResponseNorm):
        # torch divides alpha by the window's size, MatConvNet does not.
        param = (module.size, module.k, module.alpha / module.size, module.beta)
        got = layer.options.get("param", ())
        if len(got) != 4 or not np.allclose(got, param, rtol=1e-4, atol=0):
            raise _differs(f"layer {layer.name!r}", "param", param, got)
    elif isinstance(module, nn.Conv2d):
        stride, pad = int(module.stride[0]), int(module.padding[0])
        _compare(layer, "stride", (stride,) * 2, 1)
        _compare(layer, "pad", (pad,) * 4, 0)
        side = (side + 2 * pad - int(module.kernel_size[0])) // stride + 1
    elif isinstance(module, nn.Linear):
        _compare(layer, "stride", (1, 1), 1)
        _compare(layer, "pad", (0, 0, 0, 0), 0)
    elif isinstance(module, nn.MaxPool2d):
        if layer.method != "max":
            raise ValueError(f"layer {layer.name!r}: expected method 'max', got {layer.method!r}")
        _compare(layer, "pool", (3, 3), 0)
        _compare(layer, "stride", (2, 2), 1)
        # With an odd side nothing is left over, and a file may pad or not.
        if side % 2 == 0 or any(_expanded(layer, "pad", 4, 0)):
            _compare(layer, "pad", (0, 1, 0, 1), 0)
        side //= 2
    return side


def _weights(layer: MatLayer, module: nn.Conv2d | nn.Linear) -> tuple[Array, Array]:
    """Filters (h, w, in, out) and biases as torch's weight and bias."""
    if isinstance(module, nn.Conv2d):
        shape = (*module.kernel_size, module.in_channels, module.out_channels)
    else:
        # A fully connected layer is a convolution as large as its input.
        side = GRID if layer.name == "fc6" else 1
        shape = (side, side, module.in_features // side**2, module.out_features)
    where, filters, biases = f"layer {layer.name!r}", layer.filters, layer.biases
    if filters is None or biases is None:
        raise ValueError(
            f"{where}: expected filters and biases, in 'weights' or in fields of their own"
        )
    came = (*filters.shape, *[1] * (4 - filters.ndim))  # MATLAB drops last axes of length 1
    if came != shape:
        raise _differs(where, "filters of shape", shape, came)
    if biases.shape != shape[3:]:
        raise _differs(where, "biases of shape", shape[3:], biases.shape)
    weight = filters.reshape(shape).transpose(3, 2, 0, 1)
    if isinstance(module, nn.Linear):
        # Channels before rows and columns, as a flattened map (n, c, h, w) has them.
        weight = weight.reshape(module.out_features, module.in_features)
    return _float32(f"{where}: filters", weight), _float32(f"{where}: biases", biases)


def _mean_image(read: MatNetwork) -> Array:
    """(3, 224, 224), from an image (224, 224, 3) or three numbers."""
    mean, size = read.average_image, read.image_size
    if size and size[:3] != (SIDE, SIDE, 3):
        raise _differs("normalization", "imageSize", (SIDE, SIDE, 3), size)
    if mean is None:
        raise ValueError("normalization: expected averageImage, an image or three numbers")
    if mean.size == 3:
        mean = np.broadcast_to(mean.ravel(), (SIDE, SIDE, 3))
    if mean.shape != (SIDE, SIDE, 3):
        raise _differs("normalization", "averageImage of shape", (SIDE, SIDE, 3), mean.shape)
    return _float32("normalization: averageImage", mean.transpose(2, 0, 1))


def _compare(layer: MatLayer, option: str, expected: tuple[int, ...], default: int) -> None:
    got = _expanded(layer, option, len(expected), default)
    if got != expected:
        raise _differs(f"layer {layer.name!r}", option, expected, got)


def _expanded(layer: MatLayer, option: str, length: int, default: int) -> tuple[float, ...]:
    """An option with one number for all sides written out."""
    got = layer.options.get(option, (default,))
    return got * length if len(got) == 1 else got


def _differs(where: str, what: str, expected: Sequence[float], got: Sequence[float]) -> ValueError:
    wanted, came = (" ".join(f"{number:g}" for number in side) for side in (expected, got))
    return ValueError(f"{where}: expected {what} {wanted}, got {came or 'none'}")


def _float32(what: str, values: Array) -> Array:
    if not np.isfinite(values).all():
        raise ValueError(f"{what}: holds NaN or infinity")
    return np.ascontiguousarray(values, dtype=np.float32)


# MATLAB's values as `crosshash.matlab` gives them; numbers are arrays of at least two axes


def _layer(record: Mapping[str, Any]) -> MatLayer:
    options = {key: _numbers(record.get(key)) for key in ("stride", "pad", "pool", "param")}
    filters, biases = record.get("filters"), record.get("biases")
    weights = record.get("weights")
    if isinstance(weights, list) and len(weights) >= 2:
        filters, biases = weights[:2]
    filters, biases = _array(filters), _array(biases)
    return MatLayer(
        _text(record.get("name")),
        _text(record.get("type")),
        filters,
        None if biases is None else biases.ravel(),
        {key: value for key, value in options.items() if value},
        _text(record.get("method")) or "max",
    )


def _records(value: Any) -> Iterator[dict[str, Any]]:
    """Structs in a struct array, or in a cell array of structs, as dictionaries."""
    if isinstance(value, dict):
        yield value
    elif isinstance(value, list):
        for entry in value:
            yield from _records(entry)


def _array(value: Any) -> Array | None:
    is_numeric = isinstance(value, np.ndarray) and value.dtype.kind in "fiu"
    return value if is_numeric else None


def _numbers(value: Any) -> tuple[float, ...]:
    array = _array(value)
    return () if array is None else tuple(float(number) for number in array.ravel())


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""
