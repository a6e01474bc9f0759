"""Files as MatConvNet writes them, with few channels, against a forward pass by the formulas."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from safetensors import safe_open
from scipy.io import savemat

from crosshash.backbones import create_image_backbone
from crosshash.backbones.image.cnnf import CNNF
from crosshash.backbones.matconvnet import convert_cnnf, read_matconvnet

pytestmark = pytest.mark.usefixtures("matlab_here")
Array = npt.NDArray[Any]
Layer = dict[str, Any]
WIDTHS = (4, 6, 5, 7, 6)
DIM = 8
LRN = [5.0, 2.0, 1e-4, 0.75]


@pytest.fixture(autouse=True)
def _narrow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(CNNF, "widths", WIDTHS)
    monkeypatch.setattr(CNNF, "dim", DIM)


def network() -> tuple[list[Layer], Array]:
    """The published layers with random weights, and a mean image."""
    generator = np.random.default_rng(0)

    def weights(shape: tuple[int, ...], std: float) -> Layer:
        filters = generator.normal(0, std, shape).astype(np.float32)
        biases = generator.normal(0, 1, (shape[3], 1)).astype(np.float32)
        return {"type": "conv", "filters": filters, "biases": biases}

    def relu(name: str) -> Layer:
        return {"name": name, "type": "relu"}

    def norm(name: str) -> Layer:
        return {"name": name, "type": "normalize", "param": np.array([LRN])}

    def pool(name: str) -> Layer:
        return {
            "name": name,
            "type": "pool",
            "pool": np.array([[3.0, 3.0]]),
            "stride": np.array([[2.0, 2.0]]),
            "pad": np.array([[0.0, 1.0, 0.0, 1.0]]),
            "method": "max",
        }

    def conv(name: str, shape: tuple[int, ...], stride: int = 1, pad: int = 0) -> Layer:
        std = 0.03 if name == "conv1" else (2 / np.prod(shape[:3])) ** 0.5
        sides = {"stride": np.full((1, 2), float(stride)), "pad": np.full((1, 4), float(pad))}
        return {"name": name, **weights(shape, std), **sides}

    a, b, c, d, e = WIDTHS
    layers = [
        *(conv("conv1", (11, 11, 3, a), stride=4), relu("relu1"), norm("norm1"), pool("pool1")),
        *(conv("conv2", (5, 5, a, b), pad=2), relu("relu2"), norm("norm2"), pool("pool2")),
        *(conv("conv3", (3, 3, b, c), pad=1), relu("relu3")),
        *(conv("conv4", (3, 3, c, d), pad=1), relu("relu4")),
        *(conv("conv5", (3, 3, d, e), pad=1), relu("relu5"), pool("pool5")),
        *(conv("fc6", (6, 6, e, DIM)), relu("relu6"), conv("fc7", (1, 1, DIM, DIM)), relu("relu7")),
        *(conv("fc8", (1, 1, DIM, 10)), {"name": "prob", "type": "softmax"}),
    ]
    return layers, generator.uniform(80, 140, (224, 224, 3)).astype(np.float32)


def cells(entries: list[Any]) -> Array:
    row = np.empty((1, len(entries)), object)
    row[0, :] = entries
    return row


def save(path: Path, layers: list[Layer], mean: Array | None, *, old: bool = False) -> Path:
    """Write a network: weights in fields of their own, or in a cell with ``meta`` beside."""
    if not old:
        layers = [
            {
                **{key: value for key, value in layer.items() if key not in ("filters", "biases")},
                "weights": cells([layer["filters"], layer["biases"]]),
            }
            if "filters" in layer
            else layer
            for layer in layers
        ]
    normalization: dict[str, Any] = {"imageSize": np.array([[224.0, 224.0, 3.0]])}
    if mean is not None:
        normalization["averageImage"] = mean
    beside = {"normalization": normalization}
    variables = {"layers": cells(layers), **(beside if old else {"meta": beside})}
    savemat(path, variables, do_compression=not old)
    return path


def convolved(x: Array, filters: Array, biases: Array, stride: int, pad: int) -> Array:
    """(h, w, c) with filters (h, w, in, out), as MatConvNet's vl_nnconv."""
    x = np.pad(x, ((pad, pad), (pad, pad), (0, 0)))
    windows = np.lib.stride_tricks.sliding_window_view(x, filters.shape[:2], axis=(0, 1))
    y = np.einsum("yxcij,ijco->yxo", windows[::stride, ::stride], filters, optimize=True)
    return y + biases.ravel()


def normalized(x: Array) -> Array:
    """x / (kappa + alpha * sum of squares of the channels around) ** beta."""
    size, kappa, alpha, beta = LRN
    reach = int(size) // 2
    y = np.empty_like(x)
    for channel in range(x.shape[2]):
        around = x[:, :, max(0, channel - reach) : channel + reach + 1]
        y[:, :, channel] = x[:, :, channel] / (kappa + alpha * (around**2).sum(2)) ** beta
    return y


def pooled(x: Array) -> Array:
    x = np.pad(x, ((0, 1), (0, 1), (0, 0)), constant_values=-np.inf)
    windows = np.lib.stride_tricks.sliding_window_view(x, (3, 3), axis=(0, 1))
    return windows[::2, ::2].max(axis=(3, 4))


def forward(layers: list[Layer], picture: Array) -> dict[str, Array]:
    """Every layer's output for an image (224, 224, 3) without its mean, in double precision."""
    x, outputs = picture.astype(np.float64), {}
    for layer in layers[:-2]:
        if layer["type"] == "conv":
            stride, pad = int(layer["stride"][0, 0]), int(layer["pad"][0, 0])
            x = convolved(x, layer["filters"].astype(np.float64), layer["biases"], stride, pad)
        elif layer["type"] == "relu":
            x = np.maximum(x, 0)
        elif layer["type"] == "normalize":
            x = normalized(x)
        else:
            x = pooled(x)
        outputs[layer["name"]] = x
    return outputs


@pytest.mark.parametrize("old", [False, True], ids=["weights", "filters"])
def test_the_converted_network_computes_what_matconvnet_does(old: bool, tmp_path: Path) -> None:
    layers, mean = network()
    source = save(tmp_path / "vgg-f.mat", layers, mean, old=old)
    shapes = convert_cnnf(source, tmp_path / "cnnf.safetensors")
    picture = np.random.default_rng(1).integers(0, 256, (224, 224, 3)).astype(np.float32)
    expected = forward(layers, picture - mean)
    # Where the formula's constant and its sum weigh alike, a wrong alpha would show.
    assert 0.3 < 1e-4 * 5 * (expected["relu1"] ** 2).mean() < 30
    assert expected["pool5"].shape == (6, 6, WIDTHS[-1])
    pixels = torch.from_numpy(picture).permute(2, 0, 1)[None]
    for layer in ("fc6", "fc7"):
        backbone = create_image_backbone(
            "cnnf", weights=tmp_path / "cnnf.safetensors", layer=layer
        ).eval()
        with torch.no_grad():
            features = backbone(pixels)
        wanted = expected[f"relu{layer[2]}"].ravel()
        assert (wanted > 0).any()
        np.testing.assert_allclose(features.pooled[0].numpy(), wanted, rtol=1e-3, atol=1e-3)
        feature_map = features.map[0].permute(1, 2, 0).numpy()
        np.testing.assert_allclose(feature_map, expected["pool5"], rtol=1e-3, atol=1e-3)
    assert shapes["classifier.fc6.weight"] == (DIM, 36 * WIDTHS[-1])
    assert not any("fc8" in name for name in shapes)


def test_the_file_says_where_it_comes_from(tmp_path: Path) -> None:
    source = save(tmp_path / "vgg-f.mat", *network())
    convert_cnnf(source, tmp_path / "cnnf.safetensors")
    with safe_open(tmp_path / "cnnf.safetensors", "np") as file:
        metadata = file.metadata()
    assert metadata["network"] == "cnnf"
    assert metadata["source"] == "vgg-f.mat"
    assert len(metadata["source_sha256"]) == 64


def test_three_means_make_an_even_mean_image(tmp_path: Path) -> None:
    layers, _ = network()
    source = save(tmp_path / "a.mat", layers, np.array([[[120.0, 110.0, 100.0]]]))
    convert_cnnf(source, tmp_path / "a.safetensors")
    backbone = create_image_backbone("cnnf", weights=tmp_path / "a.safetensors")
    assert torch.equal(backbone.mean_image[:, 7, 200], torch.tensor([120.0, 110.0, 100.0]))
    assert backbone.mean_image.shape == (3, 224, 224)


def test_dropout_and_unpadded_odd_maps_are_the_same_network(tmp_path: Path) -> None:
    layers, mean = network()
    named = {layer["name"]: layer for layer in layers}
    for name in ("pool2", "pool5"):  # 27 and 13 rows: the padding is never read
        named[name]["pad"] = np.zeros((1, 1))
    named["norm1"]["type"] = "lrn"
    layers.insert(17, {"name": "dropout6", "type": "dropout", "rate": 0.5})
    changed = save(tmp_path / "a.mat", layers, mean)
    plain = save(tmp_path / "b.mat", *network())
    for path in (changed, plain):
        convert_cnnf(path, path.with_suffix(".safetensors"))
    backbones = [
        create_image_backbone("cnnf", weights=path.with_suffix(".safetensors"))
        for path in (changed, plain)
    ]
    for name, value in backbones[0].state_dict().items():
        assert torch.equal(value, backbones[1].state_dict()[name])


def without(name: str) -> Callable[[list[Layer]], None]:
    return lambda layers: layers.remove(next(x for x in layers if x["name"] == name))


def altered(name: str, **fields: Any) -> Callable[[list[Layer]], None]:
    return lambda layers: next(x for x in layers if x["name"] == name).update(fields)


def swapped(layers: list[Layer]) -> None:
    layers[1], layers[2] = layers[2], layers[1]


NAN = np.full((3, 3, WIDTHS[1], WIDTHS[2]), np.nan, np.float32)
WRONG = [
    (without("conv3"), r"layer 'conv3' is missing"),
    (swapped, r"expected the layers conv1, relu1, norm1"),
    (
        lambda layers: layers.insert(1, {"name": "bn1", "type": "bnorm"}),
        r"got conv1, bn1, relu1",
    ),
    (altered("conv2", filters=np.zeros((3, 3, 4, 6))), r"'conv2'.*shape 5 5 4 6, got 3 3 4 6"),
    (altered("fc6", filters=np.zeros((36 * 6, 8))), r"'fc6'.*shape 6 6 6 8, got 216 8 1 1"),
    (altered("conv4", biases=np.zeros((3, 1))), r"'conv4'.*biases of shape 7, got 3"),
    (altered("conv4", biases="none"), r"'conv4'.*expected filters and biases"),
    (altered("conv3", filters=NAN), r"'conv3'.*NaN"),
    (altered("relu2", type="sigmoid"), r"'relu2'.*expected type 'relu', got 'sigmoid'"),
    (altered("conv1", stride=np.array([[2.0]])), r"'conv1'.*stride 4 4, got 2 2"),
    (altered("conv5", pad=np.zeros((1, 4))), r"'conv5'.*pad 1 1 1 1, got 0 0 0 0"),
    (altered("pool1", pad=np.zeros((1, 4))), r"'pool1'.*pad 0 1 0 1, got 0 0 0 0"),
    (altered("pool5", pad=np.ones((1, 4))), r"'pool5'.*pad 0 1 0 1, got 1 1 1 1"),
    (altered("pool2", method="avg"), r"'pool2'.*'max', got 'avg'"),
    # The network that MatConvNet's authors trained themselves has the same shapes.
    (altered("norm1", param=np.array([[5, 1, 2e-5, 0.75]])), r"'norm1'.*0\.0001.*5 1 2e-05 0\.75"),
]


@pytest.mark.parametrize(("change", "message"), WRONG, ids=[message for _, message in WRONG])
def test_another_network_is_refused_by_the_layer_that_differs(
    change: Callable[[list[Layer]], None], message: str, tmp_path: Path
) -> None:
    layers, mean = network()
    change(layers)
    source = save(tmp_path / "a.mat", layers, mean)
    with pytest.raises(ValueError, match=rf"a\.mat: .*{message}"):
        convert_cnnf(source, tmp_path / "a.safetensors")
    assert [path.name for path in tmp_path.iterdir()] == ["a.mat"]


@pytest.mark.parametrize(
    ("mean", "message"),
    [
        (None, "expected averageImage"),
        (np.zeros((256, 256, 3)), "224 224 3, got 256 256 3"),
        (np.full((224, 224, 3), np.nan), "NaN"),
    ],
)
def test_a_wrong_mean_image_is_refused(mean: Array | None, message: str, tmp_path: Path) -> None:
    source = save(tmp_path / "a.mat", network()[0], mean)
    with pytest.raises(ValueError, match=message):
        convert_cnnf(source, tmp_path / "a.safetensors")


def test_files_that_are_no_network_are_refused(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"none\.mat: no such file.*vlfeat"):
        read_matconvnet(tmp_path / "none.mat")
    whole = save(tmp_path / "a.mat", *network()).read_bytes()
    for name, content in (
        ("half", whole[: len(whole) // 2]),
        ("head", whole[:100]),
        ("text", b"<html>404 Not Found</html>" * 20),
        ("empty", b""),
    ):
        path = tmp_path / f"{name}.mat"
        path.write_bytes(content)
        with pytest.raises(ValueError, match=rf"{name}\.mat: not a whole MATLAB file"):
            read_matconvnet(path)
    savemat(tmp_path / "other.mat", {"params": np.zeros(3)})
    with pytest.raises(ValueError, match="expected a variable 'layers'"):
        read_matconvnet(tmp_path / "other.mat")
    hdf = tmp_path / "hdf.mat"
    hdf.write_bytes(b"MATLAB 7.3 MAT-file".ljust(124) + b"\x00\x02IM" + b"\0" * 400)
    with pytest.raises(ValueError, match=r"version 7\.3.*-v7"):
        read_matconvnet(hdf)


def test_layers_without_structs_are_no_layers(tmp_path: Path) -> None:
    savemat(tmp_path / "a.mat", {"layers": np.zeros((1, 3))})
    with pytest.raises(ValueError, match="'conv1' is missing"):
        convert_cnnf(tmp_path / "a.mat", tmp_path / "a.safetensors")
