"""``crosshash convert`` as a user calls it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from scipy.io import savemat
from typer.testing import CliRunner

from crosshash.backbones.image.cnnf import CNNF
from crosshash.cli.convert import app


@pytest.fixture
def network(monkeypatch: pytest.MonkeyPatch) -> CNNF:
    monkeypatch.setattr(CNNF, "widths", (2, 3, 3, 3, 2))
    monkeypatch.setattr(CNNF, "dim", 4)
    torch.manual_seed(0)
    return CNNF(weights="random")


@pytest.fixture
def published(network: CNNF, tmp_path: Path) -> Path:
    """The network's weights as MatConvNet stores them."""
    cell = np.empty((1, 0), object)
    for name, module in [*network.features.named_children(), *network.classifier.named_children()]:
        layer: dict[str, object] = {"name": name}
        if name.startswith(("conv", "fc")):
            side = {"fc6": 6, "fc7": 1}.get(name)
            weight = module.weight.detach()
            if side:
                weight = weight.reshape(len(weight), -1, side, side)
            weights = np.empty((1, 2), object)
            weights[0, :] = [weight.permute(2, 3, 1, 0).numpy(), module.bias.detach().numpy()]
            layer |= {"type": "conv", "weights": weights}
            layer |= {
                "stride": 4.0 if name == "conv1" else 1.0,
                "pad": 0.0 if side else float(module.padding[0]),
            }
        elif name.startswith("pool"):
            layer |= {"type": "pool", "pool": 3.0, "stride": 2.0, "pad": [0.0, 1.0, 0.0, 1.0]}
        elif name.startswith("norm"):
            layer |= {"type": "lrn", "param": [5.0, 2.0, 1e-4, 0.75]}
        else:
            layer |= {"type": "relu"}
        entry = np.empty((1, 1), object)
        entry[0, 0] = layer
        cell = np.hstack([cell, entry])
    mean = network.mean_image.permute(1, 2, 0).numpy()
    savemat(
        tmp_path / "vgg-f.mat",
        {"layers": cell, "meta": {"normalization": {"averageImage": mean}}},
    )
    return tmp_path / "vgg-f.mat"


def test_weights_go_there_and_back(network: CNNF, published: Path, tmp_path: Path) -> None:
    output = tmp_path / "folder" / "cnnf.safetensors"
    result = CliRunner().invoke(app, ["cnnf", str(published), "-o", str(output), "--json"])
    assert result.exit_code == 0, result.output
    told = json.loads(result.stdout)
    assert (told["output"], told["backbone"]) == (str(output), "cnnf")
    found = load_file(output)
    assert told["tensors"] == {name: list(value.shape) for name, value in found.items()}
    for name, value in network.state_dict().items():
        torch.testing.assert_close(found[name], value)
    plain = CliRunner().invoke(app, ["cnnf", str(published), "-o", str(output)])
    assert str(output) in plain.stdout


def test_a_file_that_cannot_be_converted_is_told_and_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "text.mat").write_text("not found " * 50)
    for name, kind in (("none.mat", FileNotFoundError), ("text.mat", ValueError)):
        arguments = ["cnnf", str(tmp_path / name), "-o", str(tmp_path / "out.safetensors")]
        result = CliRunner().invoke(app, arguments)
        assert result.exit_code != 0
        assert isinstance(result.exception, kind)
        assert name in str(result.exception)
    assert not (tmp_path / "out.safetensors").exists()
