"""A method over both halves of a dual encoder: trained, saved, loaded again without its folder."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

import crosshash
from crosshash.backbones import create_image_backbone, create_text_encoder
from crosshash.backbones.tuning import merge_lora
from crosshash.config import parse_config
from crosshash.hub.errors import CheckpointError
from crosshash.hub.limits import AllocationLimit, check_config
from crosshash.model.digest import model_digest
from crosshash.model.hash_model import HashModel

Make = Callable[[str], Path]
PICTURES = np.random.default_rng(0).integers(0, 256, (3, 40, 50, 3), dtype=np.uint8)
TEXTS = ["a red circle", "a blue square", "grass"]
NETWORK = {"dim": 16, "hidden": [16], "width": 1}


def create(folder: Path, *, frozen: bool = True, **options: Any) -> HashModel:
    torch.manual_seed(0)
    encoder = {"name": f"clip:{folder}", **options}
    model = crosshash.create(
        "amgfh", bits=16, backbones=encoder, text=encoder, frozen=frozen, **NETWORK
    )
    if frozen:
        model.freeze("text")
    return model.eval()


def real(model: HashModel) -> list[np.ndarray]:
    images = model.encode_image(PICTURES, output="real")
    return [images, model.encode_text(TEXTS, output="real")]


@pytest.mark.parametrize("kind", ["clip", "siglip", "vision-text-dual-encoder"])
def test_a_checkpoint_gives_the_same_codes_without_the_folder(
    dual_encoder: Make, kind: str, tmp_path: Path
) -> None:
    folder = dual_encoder(kind)
    model = create(folder, normalize=True)
    crosshash.save(model, tmp_path / "saved")
    folder.rename(tmp_path / "gone")
    loaded = crosshash.load(tmp_path / "saved")
    for found, expected in zip(real(loaded), real(model), strict=True):
        np.testing.assert_array_equal(found, expected)
    assert model_digest(loaded) == model_digest(model)
    alone = loaded.encode_image(PICTURES[1], output="real")
    np.testing.assert_allclose(alone[0], real(model)[0][1], rtol=1e-4, atol=1e-5)
    # No tensor twice: each half has its own.
    names = load_file(tmp_path / "saved" / "model.safetensors")
    assert not any("text_model" in name for name in names if name.startswith("backbones."))
    assert not any("vision_model" in name for name in names if name.startswith("text."))


def test_a_frozen_dual_encoder_is_kept_by_reference(
    hub: Any, dual_encoder: Make, tmp_path: Path
) -> None:
    folder = dual_encoder("clip")
    model = create(folder)
    model.text.name = model.backbone("image").name = "clip:org/tiny"
    hub.add("org/tiny", {"model.safetensors": (folder / "model.safetensors").read_bytes()})
    crosshash.save(model, tmp_path / "saved", backbones="reference")
    stored = load_file(tmp_path / "saved" / "model.safetensors")
    assert not any(name.startswith(("backbones.", "text.")) for name in stored)
    loaded = crosshash.load(tmp_path / "saved")
    for found, expected in zip(real(loaded), real(model), strict=True):
        np.testing.assert_array_equal(found, expected)


def train(folder: Path, output: Path, **options: Any) -> Any:
    encoder = {"name": f"clip:{folder}", "frozen": False, "options": options}
    config = parse_config(
        {
            "method": "amgfh",
            "bits": 16,
            "backbones": {"image": encoder},
            "text": encoder,
            "network": NETWORK,
            "algorithm": {"guide_dim": 16, "similarity": "labels"},
            "data": {"name": "shapes", "options": {"n": 60, "seed": 1}},
            "training": {"epochs": 1, "batch_size": 16, "backbone_learning_rate": 1e-3},
        }
    )
    return crosshash.train(config, output, progress=False)


def changed(folder: Path, model: HashModel) -> set[str]:
    """Names of the dual encoder's tensors that the model has with other values."""
    before = load_file(folder / "model.safetensors")
    found = set()
    for name, value in model.state_dict().items():
        plain = name.removeprefix("backbones.image.model.").removeprefix("text.model.")
        if plain in before and not torch.equal(before[plain], value):
            found.add(plain)
    return found


def test_the_last_blocks_of_both_sides_learn_from_pixels(
    dual_encoder: Make, tmp_path: Path
) -> None:
    folder = dual_encoder("clip")
    result = train(folder, tmp_path / "run", trainable_blocks=1)
    moved = changed(folder, result.model)
    assert {"visual_projection.weight", "text_projection.weight"} <= moved
    assert {"vision_model.post_layernorm.weight", "text_model.final_layer_norm.weight"} <= moved
    assert {name.split(".")[3] for name in moved if ".layers." in name} == {"2"}
    assert not any("embed" in name or "pre_layrnorm" in name for name in moved)
    loaded = crosshash.load(tmp_path / "run")
    for found, expected in zip(real(loaded), real(result.model), strict=True):
        np.testing.assert_array_equal(found, expected)


def test_adapters_alone_learn_and_the_saved_model_needs_none(
    dual_encoder: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("peft")
    folder = dual_encoder("clip")
    lora = {"rank": 2, "targets": ["q_proj", "v_proj"]}
    fresh = create_image_backbone(f"clip:{folder}", lora=lora)
    trained = {name for name, value in fresh.named_parameters() if value.requires_grad}
    assert len(trained) == 3 * 2 * 2  # blocks, layers, A and B
    assert all("lora_" in name for name in trained)
    plain = create_image_backbone(f"clip:{folder}").eval()
    pixels = torch.randn(2, 3, 32, 32)
    assert torch.equal(fresh.eval()(pixels).pooled, plain(pixels).pooled)  # B is 0 at first
    result = train(folder, tmp_path / "run", lora=lora)
    moved = changed(folder, result.model)
    assert moved
    assert all(name.endswith(("q_proj.weight", "v_proj.weight")) for name in moved)
    monkeypatch.setitem(sys.modules, "peft", None)  # as if it were not installed
    loaded = crosshash.load(tmp_path / "run")
    assert not any("lora" in name or "base_layer" in name for name in loaded.state_dict())
    config = json.loads((tmp_path / "run" / "checkpoint" / "config.json").read_text())
    assert "lora" not in config["backbones"]["image"]
    assert "lora" not in config["text"]
    for found, expected in zip(real(loaded), real(result.model), strict=True):
        np.testing.assert_array_equal(found, expected)
    assert model_digest(loaded) == model_digest(result.model)
    with pytest.raises(ImportError, match=r'pip install "crosshash\[lora\]"'):
        create_image_backbone(f"clip:{folder}", lora=lora)


def test_merged_adapters_give_the_features_they_gave(dual_encoder: Make) -> None:
    pytest.importorskip("peft")
    folder = dual_encoder("siglip")
    encoder = create_text_encoder(f"clip:{folder}", lora={"rank": 3, "alpha": 6}).eval()
    with torch.no_grad():
        for name, parameter in encoder.named_parameters():
            if "lora_" in name:
                parameter.normal_(std=0.2)
        inputs = encoder.prepare(TEXTS)
        before = encoder(inputs).pooled
        names = {name.replace(".base_layer", "") for name in encoder.state_dict()}
        merge_lora(encoder)
        torch.testing.assert_close(encoder(inputs).pooled, before, rtol=1e-4, atol=1e-5)
        plain = create_text_encoder(f"clip:{folder}").eval()
        assert not torch.allclose(plain(inputs).pooled, before, atol=1e-3)
    assert set(encoder.state_dict()) == {name for name in names if "lora_" not in name}
    assert set(encoder.state_dict()) == set(plain.state_dict())


def test_a_start_goes_into_the_weights_below_adapters(dual_encoder: Make, tmp_path: Path) -> None:
    pytest.importorskip("peft")
    from crosshash.experiment.assembly import assemble

    folder = dual_encoder("clip")
    first = train(folder, tmp_path / "first", trainable_blocks=3)
    values = first.config.model_dump(mode="json")
    values["backbones"]["image"]["options"] = {"lora": {"rank": 2}}
    made = assemble(parse_config(values), start=first.model)
    own = made.model.state_dict()
    plain = "backbones.image.model.vision_model.encoder.layers.2.self_attn.q_proj"
    assert torch.equal(
        own[f"{plain}.base_layer.weight"], first.model.state_dict()[f"{plain}.weight"]
    )


@pytest.mark.parametrize(
    ("lora", "told"),
    [
        ({"ranks": 2}, "unknown lora setting 'ranks': did you mean 'rank'"),
        ({"rank": 0}, "lora has rank >= 1"),
        ({"targets": ["query"]}, r"no such layer; there are \['fc1', 'fc2', 'k_proj'"),
    ],
)
def test_wrong_settings_of_adapters_are_told(dual_encoder: Make, lora: Any, told: str) -> None:
    with pytest.raises(ValueError, match=told):
        create_text_encoder(f"clip:{dual_encoder('clip')}", lora=lora)


def test_a_checkpoint_may_say_where_a_tower_came_from_but_not_read_there() -> None:
    config: dict[str, Any] = {
        "backbones": {"image": {"name": "clip:org/x"}},
        "text": {},
        "network": {},
    }
    with pytest.raises(CheckpointError, match=r"backbones\.image\.name may not be a path"):
        check_config(config, Path("config.json"))
    config["backbones"]["image"]["architecture"] = {"model_type": "clip"}
    check_config(config, Path("config.json"))
    config["backbones"]["image"]["architecture"] = {"model_type": "a/b"}
    with pytest.raises(CheckpointError, match=r"architecture\.model_type may not be a path"):
        check_config(config, Path("config.json"))
    for architecture in ({}, {"model_type": "bert"}, {"model_type": "unheard"}):
        with pytest.raises(ValueError, match="clip:x: "):
            create_image_backbone("clip:x", weights="random", architecture=architecture)


def test_the_other_half_takes_no_memory(dual_encoder: Make) -> None:
    """What a checkpoint's network may take is counted without the half that it lacks."""
    backbone = create_image_backbone(f"clip:{dual_encoder('clip')}")
    spec = backbone.spec()
    spec["architecture"]["text_config"]["vocab_size"] = 10**9
    elements = sum(value.numel() for value in backbone.state_dict().values())
    with AllocationLimit(4 * elements):
        assert create_image_backbone(**spec).dim == 12
    spec["architecture"]["vision_config"]["intermediate_size"] = 10**6
    with pytest.raises(CheckpointError, match="more elements"), AllocationLimit(4 * elements):
        create_image_backbone(**spec)
