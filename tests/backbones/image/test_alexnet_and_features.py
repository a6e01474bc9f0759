from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from crosshash.backbones import create_image_backbone, create_text_encoder, fingerprint


def test_alexnet_gives_fc7_and_the_last_convolutions(monkeypatch: pytest.MonkeyPatch) -> None:
    from torchvision.models import AlexNet_Weights, alexnet

    torch.manual_seed(0)
    with torch.device("meta"):
        whole = alexnet(weights=None)
    whole.to_empty(device="cpu").eval()
    for parameter in whole.parameters():
        parameter.data.uniform_(-0.03, 0.03)
    # What torchvision would download: all eight layers.
    monkeypatch.setattr(AlexNet_Weights, "get_state_dict", lambda *a, **k: whole.state_dict())
    backbone = create_image_backbone("alexnet", image_size=63).eval()
    pixels = torch.randn(2, 3, 63, 63)
    with torch.no_grad():
        features = backbone(pixels)
        pooled = torch.flatten(whole.avgpool(whole.features(pixels)), 1)
        expected = whole.classifier[:-1](pooled)
    torch.testing.assert_close(features.pooled, expected)
    assert (features.pooled > 0).any()
    assert features.pooled.shape == (2, backbone.dim) == (2, 4096)
    assert features.map.shape[1] == backbone.channels == 256


def test_alexnet_loads_files_without_fc8_and_comes_back_from_its_spec(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from crosshash.backbones.image import alexnet

    asked: list[object] = []
    monkeypatch.setattr(alexnet, "load_weight_file", lambda *a, drop: asked.append((a[1], drop)))
    monkeypatch.setattr(alexnet.AlexNet, "to_empty", lambda self, device: self)
    backbone = create_image_backbone("alexnet", weights="a.safetensors", image_size=96)
    assert asked == [("a.safetensors", ("classifier.6",))]
    spec = json.loads(json.dumps(backbone.spec()))
    with torch.device("meta"):
        again = create_image_backbone(**spec)
    assert again.spec() == backbone.spec()
    assert list(again.state_dict()) == list(backbone.state_dict())


def test_alexnet_refuses_too_small_pictures() -> None:
    with pytest.raises(ValueError, match="at least 63"):
        create_image_backbone("alexnet", weights="random", image_size=32)


def test_features_pass_as_they_are() -> None:
    backbone = create_image_backbone("features", dim=5)
    assert not backbone.reads_pixels
    assert backbone.preprocess is None
    assert (backbone.dim, backbone.channels) == (5, 0)
    rows = np.arange(10, dtype=np.float16).reshape(2, 5)
    prepared = backbone.prepare(rows)
    assert prepared.dtype == torch.float32
    features = backbone(prepared)
    assert features.map is None
    np.testing.assert_array_equal(features.pooled.numpy(), rows)
    assert create_image_backbone(**backbone.spec()).spec() == backbone.spec()


def test_wrong_features_are_refused() -> None:
    backbone = create_image_backbone("features", dim=5)
    with pytest.raises(ValueError, match=r"width 5.*\(2, 4\)"):
        backbone.prepare(np.zeros((2, 4)))
    with pytest.raises(ValueError, match=r"\(n, 5\).*\(2, 4\)"):
        backbone(torch.zeros(2, 4))
    rows = np.zeros((3, 5))
    rows[1, 2] = np.nan
    with pytest.raises(ValueError, match="first is row 1"):
        backbone.prepare(rows)
    with pytest.raises(ValueError, match="array of numbers"):
        backbone.prepare([None])
    with pytest.raises(ValueError, match="image features of width 5, not pictures"):
        backbone.prepare(["a.jpg"])


def test_fingerprint_tells_weights_and_options_apart() -> None:
    def build(seed: int, **options: object) -> str:
        torch.manual_seed(seed)
        backbone = create_image_backbone("test_resnet", weights="random", image_size=32, **options)
        return fingerprint(backbone)

    same = build(0)
    assert build(0) == same
    assert len(same) == 64
    assert build(1) != same
    assert build(0, preprocess={"crop_pct": 0.5}) != same


def test_vectors_are_brought_to_unit_length_where_it_is_asked() -> None:
    rows = torch.tensor([[3.0, 4.0], [3e30, 4e30], [-3e-30, 4e-30]])
    unit = torch.tensor([[0.6, 0.8], [0.6, 0.8], [-0.6, 0.8]])
    backbone = create_image_backbone("features", dim=2, normalize=True)
    encoder = create_text_encoder("features", dim=2, normalize=True)
    torch.testing.assert_close(backbone.prepare(rows), unit)
    torch.testing.assert_close(backbone(rows).pooled, unit)
    torch.testing.assert_close(encoder(encoder.prepare(rows)).pooled, unit)
    assert torch.equal(create_image_backbone("features", dim=2).prepare(rows), rows)
    zero = torch.tensor([[1.0, 0.0], [0.0, 0.0]])
    for part, what in ((backbone, "image"), (encoder, "text")):
        with pytest.raises(ValueError, match=f"{what} features: 1 rows .* the first is row 1"):
            part.prepare(zero)


def test_whether_vectors_are_normalized_is_in_the_spec() -> None:
    for create in (create_image_backbone, create_text_encoder):
        part = create("features", dim=2, normalize=True)
        again = create(**part.spec())
        assert again.normalize
        assert "normalize" not in create("features", dim=2).spec()
        assert fingerprint(again) != fingerprint(create("features", dim=2))
