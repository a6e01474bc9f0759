from __future__ import annotations

import copy
import csv
import json
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

from crosshash.backbones import (
    IMAGE_BACKBONES,
    ImageBackbone,
    create_image_backbone,
    fingerprint,
    list_backbones,
)
from crosshash.backbones.extract import iterate_features
from crosshash.backbones.image.timm_models import TimmBackbone
from crosshash.images import ImageFiles

# Name, options, image size, channels, dim, side of the map.
MODELS = [
    ("test_resnet", {}, 64, 96, 96, 2),
    ("test_efficientnet", {}, 64, 256, 256, 2),
    ("test_convnext", {}, 64, 64, 64, 2),
    ("mobilenetv3_small_050", {}, 64, 288, 1024, 2),
    ("test_vit", {}, 96, 64, 64, 6),
    ("test_vit3", {}, 96, None, None, 6),
    ("test_mambaout", {}, 64, 64, 256, 2),
    (
        "swin_tiny_patch4_window7_224",
        {"embed_dim": 16, "depths": (1, 1), "num_heads": (2, 2)},
        56,
        32,
        32,
        7,
    ),
    ("xcit_nano_12_p16_224", {"depth": 1, "cls_attn_layers": 1}, 64, 128, 128, 4),
]


@pytest.fixture(scope="module", params=MODELS, ids=[model[0] for model in MODELS])
def built(request: pytest.FixtureRequest) -> tuple[ImageBackbone, int, int, int, int]:
    name, options, size, channels, dim, side = request.param
    torch.manual_seed(0)
    backbone = create_image_backbone(name, weights="random", image_size=size, model_options=options)
    return backbone, size, channels or backbone.channels, dim or backbone.dim, side


def test_map_and_pooled_have_the_sizes_the_backbone_says(built) -> None:
    backbone, size, channels, dim, side = built
    backbone.eval()
    with torch.no_grad():
        features = backbone(torch.randn(2, 3, size, size))
    assert (backbone.channels, backbone.dim) == (channels, dim)
    assert features.pooled.shape == (2, dim)
    assert features.map.shape == (2, channels, side, side)


def test_one_picture_alone_has_the_features_it_has_in_a_batch(built) -> None:
    backbone, size = built[:2]
    torch.manual_seed(1)
    pixels = torch.randn(5, 3, size, size)
    backbone.eval()
    with torch.no_grad():
        batch = backbone(pixels)
        for row in range(5):
            alone = backbone(pixels[row : row + 1])
            torch.testing.assert_close(alone.pooled[0], batch.pooled[row], rtol=1e-4, atol=1e-5)
            torch.testing.assert_close(alone.map[0], batch.map[row], rtol=1e-4, atol=1e-4)


def test_gradients_reach_every_parameter(built) -> None:
    backbone = copy.deepcopy(built[0]).train()
    size = built[1]
    torch.manual_seed(2)
    for parameter in backbone.parameters():
        if not parameter.any():  # a branch that starts at zero would hide what is behind it
            torch.nn.init.normal_(parameter, std=0.1)
    features = backbone(torch.randn(4, 3, size, size))
    # Random weights, since a sum over a normalised axis has no gradient.
    loss = (features.pooled * torch.randn_like(features.pooled)).sum()
    loss = loss + (features.map * torch.randn_like(features.map)).sum()
    loss.backward()
    dead = [
        name
        for name, parameter in backbone.named_parameters()
        if parameter.grad is None or not parameter.grad.abs().sum() > 0
    ]
    assert dead == []


def test_spec_rebuilds_the_module(built) -> None:
    backbone = built[0]
    spec = json.loads(json.dumps(backbone.spec()))
    again = create_image_backbone(**spec)
    assert again.spec() == backbone.spec()
    again.load_state_dict(backbone.state_dict())
    assert fingerprint(again) == fingerprint(backbone)


def test_patch_tokens_lie_on_the_map_where_they_are_in_the_picture() -> None:
    backbone = create_image_backbone("test_vit", weights="random", image_size=(48, 96)).eval()
    tokens = backbone.model.forward_features(torch.randn(1, 3, 48, 96))
    grid = backbone._map(tokens, (48, 96))
    assert grid.shape == (1, 64, 3, 6)
    # One prefix token, then rows of six patches.
    torch.testing.assert_close(grid[0, :, 2, 1], tokens[0, 1 + 2 * 6 + 1])


def test_channels_last_models_give_channels_first_maps() -> None:
    backbone = create_image_backbone("test_mambaout", weights="random", image_size=64).eval()
    tokens = backbone.model.forward_features(torch.randn(1, 3, 64, 96))
    grid = backbone._map(tokens, (64, 96))
    assert grid.shape == (1, 64, 2, 3)
    torch.testing.assert_close(grid[0, :, 1, 2], tokens[0, 1, 2])


def test_building_leaves_training_mode_and_preprocesses_as_told() -> None:
    backbone = create_image_backbone(
        "test_resnet",
        weights="random",
        image_size=32,
        preprocess={"mean": [0.5, 0.5, 0.5], "std": [0.5, 0.5, 0.5], "crop_pct": 1.0},
    )
    assert backbone.training
    assert backbone.reads_pixels
    pixels = backbone.preprocess(Image.new("RGB", (50, 40), (255, 0, 127)))
    assert pixels.shape == (3, 32, 32)
    expected = torch.tensor([1.0, -1.0, 127 / 127.5 - 1])
    torch.testing.assert_close(pixels.mean(dim=(1, 2)), expected)


def test_unknown_names_are_refused_with_the_nearest_of_timm_and_ours() -> None:
    with pytest.raises(LookupError, match=r"did you mean .*'resnet50'"):
        create_image_backbone("resnt50")
    with pytest.raises(LookupError, match="alexnet"):
        create_image_backbone("alexnt")
    with pytest.raises(LookupError, match=r"tag.*mobilenetv2_100\.ra_in1k"):
        create_image_backbone("mobilenetv2_100.ra_in2k", weights="random")


@pytest.mark.parametrize("name", ["alexnt", "feature", "cnn_f", "nothing-like-it"])
def test_an_answer_to_an_unknown_name_says_no_name_twice(name: str) -> None:
    with pytest.raises(LookupError, match=r"list_backbones\(\) has all") as caught:
        create_image_backbone(name)
    said = re.findall(r"\w+", str(caught.value).partition(":")[2])
    for known in ("alexnet", "cnnf", "features"):
        assert said.count(known) <= 1


def test_a_name_of_timm_and_of_ours_is_listed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(IMAGE_BACKBONES._entries, "resnet18", TimmBackbone)
    listed = list_backbones("resnet18*")
    assert listed.count("resnet18") == 1
    assert listed[0] == "resnet18"
    assert "resnet18d" in listed
    assert len(set(list_backbones())) == len(list_backbones())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"preprocess": {"maen": [0, 0, 0]}}, r"'maen'.*did you mean 'mean'"),
        ({"preprocess": {"mean": 0.5}}, "three channels"),
        ({"model_options": {"num_classes": 10}}, "num_classes"),
        ({"model_options": {"no_such_option": 10}}, "no_such_option"),
        ({"model_options": {"global_pool": ""}}, "global_pool"),
        ({"model_options": {"act_layer": torch.nn.ReLU}}, "JSON"),
        ({"image_size": (32, 32, 3)}, "image_size"),
        ({"image_size": 0}, "image_size"),
        ({"image_size": 1.5}, "image_size"),
        ({"model_options": 5}, "model_options"),
        ({"model_options": {"layers": [1, 1]}}, "test_resnet: timm.*layer3"),
        ({"model_options": {"output_stride": 7}}, "test_resnet: timm cannot build it.*Assertion"),
        ({"model_options": {"block": "x"}}, "test_resnet: timm cannot build it.*expansion"),
        ({"model_options": {"act_layer": "x"}}, "test_resnet: timm cannot build it.*KeyError"),
        ({"strides": 5}, "strides"),
        ({"strides": {"conv1.0": 10**30}}, "stride of conv1.0 is .* up to 64"),
        ({"trainable_blocks": "a"}, "trainable_blocks"),
        *(
            ({"preprocess": {"crop_pct": value}}, "'crop_pct' has numbers from 0.1 to 10")
            for value in (0, -1, 1e-9, 1e9, float("nan"), "a", [1], True)
        ),
        *(
            ({"preprocess": {"std": value}}, "'std' has")
            for value in (
                [0] * 3,
                [-1, 1, 1],
                [float("nan")] * 3,
                ["a"] * 3,
                [[1]] * 3,
                None,
                "abc",
            )
        ),
        ({"preprocess": {"mean": [float("inf")] * 3}}, "'mean' has numbers"),
        ({"preprocess": {"interpolation": "x"}}, "'interpolation' is one of nearest"),
        ({"preprocess": {"interpolation": "random"}}, "'interpolation' is one of nearest"),
        ({"preprocess": {"interpolation": 3}}, "'interpolation' is one of nearest"),
        ({"preprocess": {"crop_mode": "x"}}, "'crop_mode' is one of center"),
    ],
)
def test_wrong_options_are_refused(options: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        create_image_backbone("test_resnet", **{"weights": "random", "image_size": 32, **options})


def test_strides_of_weights_trained_otherwise_are_kept_and_built_again() -> None:
    place = "stages.3.downsample.conv2.conv"
    options: dict[str, object] = {"weights": "random", "image_size": 64, "strides": {place: 1}}
    backbone = create_image_backbone("tiny_vit_5m_224", **options).eval()
    plain = create_image_backbone("tiny_vit_5m_224", weights="random", image_size=64)
    assert "strides" not in plain.spec()
    again = create_image_backbone(**json.loads(json.dumps(backbone.spec())))
    again.load_state_dict(backbone.state_dict())
    pixels = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        features = backbone(pixels)
        assert features.map.shape[2:] == (4, 4)
        assert plain.eval()(pixels).map.shape[2:] == (2, 2)
        torch.testing.assert_close(again.eval()(pixels).pooled, features.pooled)
    assert fingerprint(again) == fingerprint(backbone)


@pytest.mark.parametrize(
    ("strides", "message"),
    [({"conv2": 1}, r"no convolution 'conv2': .*conv1\.0"), ({"conv1.0": 0}, "positive number")],
)
def test_strides_of_nothing_are_refused(strides: dict[str, int], message: str) -> None:
    with pytest.raises((LookupError, ValueError), match=message):
        create_image_backbone("test_resnet", weights="random", strides=strides)


def test_an_image_size_the_model_cannot_take_is_refused() -> None:
    with pytest.raises(ValueError, match=r"efficientformer_l1.*\(64, 64\)"):
        create_image_backbone("efficientformer_l1", weights="random", image_size=64)


def test_models_of_class_tokens_alone_have_no_map() -> None:
    backbone = create_image_backbone("pit_ti_224", weights="random", image_size=64).eval()
    assert backbone.channels == 0
    assert backbone(torch.randn(2, 3, 64, 64)).map is None


def test_weights_that_cannot_be_fetched_name_the_alternative(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    import timm

    def offline(*arguments: object, **options: object) -> None:
        raise ConnectionError("no route")

    monkeypatch.setattr(timm, "create_model", offline)
    with pytest.raises(OSError, match=r"no route.*weights=<path"):
        create_image_backbone("test_resnet")


def test_weight_file_is_loaded_without_its_classifier(tmp_path: Path) -> None:
    import timm

    torch.manual_seed(3)
    whole = timm.create_model("test_resnet", num_classes=10).eval()
    save_file({k: v.half() for k, v in whole.state_dict().items()}, tmp_path / "w.safetensors")
    backbone = create_image_backbone(
        "test_resnet", weights=tmp_path / "w.safetensors", image_size=64
    ).eval()
    pixels = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        expected = whole.forward_head(whole.forward_features(pixels), pre_logits=True)
        torch.testing.assert_close(backbone(pixels).pooled, expected, rtol=1e-2, atol=1e-2)
    assert next(backbone.parameters()).dtype == torch.float32


def test_weight_files_that_do_not_fit_name_the_tensors(tmp_path: Path) -> None:
    import timm

    state = timm.create_model("test_resnet").state_dict()
    lost = {k: v for k, v in state.items() if k != "conv1.0.weight"}
    wrong = {**state, "conv1.0.weight": torch.zeros(1)}
    more = {**state, "extra.weight": torch.zeros(1)}
    path = tmp_path / "w.safetensors"
    for tensors, message in (
        (lost, r"missing: conv1\.0\.weight"),
        (wrong, r"of another shape: conv1\.0\.weight \(1,\)"),
        (more, r"unexpected: extra\.weight"),
    ):
        save_file(tensors, path)
        with pytest.raises(ValueError, match=message):
            create_image_backbone("test_resnet", weights=path, image_size=32)
    path.write_bytes(b"no weights")
    with pytest.raises(ValueError, match="not a safetensors file"):
        create_image_backbone("test_resnet", weights=path, image_size=32)
    with pytest.raises(FileNotFoundError, match="'pretrained' or 'random'"):
        create_image_backbone("test_resnet", weights="pretraind", image_size=32)


def test_given_weights_give_the_given_features_of_photographs(shared_data: Path) -> None:
    weights = shared_data.parent / "weights" / "mobilenetv2_100.imagenet.safetensors"
    if not weights.exists():
        pytest.skip(f"needs {weights}")
    folder = shared_data / "flickr8k"
    with (folder / "labels.csv").open(newline="") as file:
        names = [row["image"] for _, row in zip(range(64), csv.DictReader(file), strict=False)]
    backbone = create_image_backbone(
        "mobilenetv2_100",
        weights=weights,
        preprocess={"mean": [0.5] * 3, "std": [0.5] * 3, "crop_pct": 1.0},
        model_options={"pad_type": "same"},
    )
    source = ImageFiles([folder / "images" / name for name in names])
    [found] = iterate_features(backbone, source)
    expected = np.load(folder / "mobilenetv2_features.npy", mmap_mode="r")[:64]
    cosine = torch.cosine_similarity(
        found.pooled, torch.from_numpy(np.asarray(expected, dtype=np.float32))
    )
    assert cosine.min() > 0.999


def test_weights_keep_their_names_in_the_state_dict(tmp_path: Path) -> None:
    backbone = create_image_backbone("test_vit", weights="random", image_size=96)
    save_file(dict(backbone.state_dict()), tmp_path / "b.safetensors")
    assert set(load_file(tmp_path / "b.safetensors")) == set(backbone.state_dict())
    assert all(name.startswith("model.") for name in backbone.state_dict())


def test_an_unknown_name_is_told_before_its_options() -> None:
    with pytest.raises(LookupError, match="unknown image backbone 'my_own_net'"):
        create_image_backbone("my_own_net", dim=6)
