"""Dual encoders of transformers as a pair of encoders: features as the models themselves give."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from crosshash.backbones import (
    create_image_backbone,
    create_text_encoder,
    fingerprint,
    list_backbones,
)
from crosshash.backbones.decode import PictureReader
from crosshash.images import as_image_source

Make = Callable[[str], Path]
KINDS = ["clip", "siglip", "vision-text-dual-encoder", "chinese_clip", "altclip"]
TEXTS = ["a dog runs on the beach", "girl", "the girl runs"]


def pictures() -> list[Image.Image]:
    """Of several shapes, some with an odd number of pixels left beside the middle."""
    generator = np.random.default_rng(0)
    shapes = [(40, 40), (35, 60), (67, 41), (32, 39), (33, 32)]
    coarse = [generator.integers(0, 256, (6, 8, 3), dtype=np.uint8) for _ in shapes]
    return [Image.fromarray(c).resize(size) for c, size in zip(coarse, shapes, strict=True)]


def whole(folder: Path) -> Any:
    from transformers import AutoModel

    return AutoModel.from_pretrained(folder).eval()


def own_pixels(folder: Path, backend: str) -> torch.Tensor:
    from transformers import AutoImageProcessor

    processor = AutoImageProcessor.from_pretrained(folder, backend=backend)
    return processor(images=pictures(), return_tensors="pt")["pixel_values"]


@pytest.mark.parametrize("kind", KINDS)
def test_pictures_have_the_models_own_features(dual_encoder: Make, kind: str) -> None:
    folder = dual_encoder(kind)
    backbone = create_image_backbone(f"clip:{folder}").eval()
    pixels = torch.stack([backbone.preprocess(picture) for picture in pictures()])
    own = own_pixels(folder, "pil")
    torch.testing.assert_close(pixels, own, rtol=0, atol=1e-6)
    # Transformers' other way of resizing rounds some pixels by one of 255 grey levels.
    levels = (pixels - own_pixels(folder, "torchvision")).abs() * 255 * max(backbone.steps["std"])
    assert float(levels.max()) < 1.6
    model = whole(folder)
    with torch.no_grad():
        features = backbone(own)
        expected = model.get_image_features(pixel_values=own)
    assert torch.equal(features.pooled, expected.pooler_output)
    assert backbone.dim == features.pooled.shape[1]
    hidden = expected.last_hidden_state
    patches = hidden[:, hidden.shape[1] - 16 :]
    assert features.map is not None
    assert backbone.channels == features.map.shape[1] == 16
    assert torch.equal(features.map[:, :, 1, 2], patches[:, 1 * 4 + 2])
    read = PictureReader(as_image_source(pictures()), backbone.preprocess)(range(5))
    torch.testing.assert_close(read, pixels, rtol=0, atol=1e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_texts_have_the_models_own_features(dual_encoder: Make, kind: str) -> None:
    from transformers import AutoTokenizer

    folder = dual_encoder(kind)
    encoder = create_text_encoder(f"clip:{folder}").eval()
    tokenizer = AutoTokenizer.from_pretrained(folder)
    padding = "max_length" if kind == "siglip" else True
    given = tokenizer(TEXTS, padding=padding, truncation=True, max_length=16, return_tensors="pt")
    inputs = encoder.prepare(TEXTS)
    assert set(inputs) == set(given) - {"token_type_ids"}
    assert all(torch.equal(inputs[name], given[name]) for name in inputs)
    with torch.no_grad():
        pooled = encoder(inputs).pooled
        assert torch.equal(pooled, whole(folder).get_text_features(**inputs).pooler_output)
        for row, text in enumerate(TEXTS):
            alone = encoder(encoder.prepare(text)).pooled[0]
            torch.testing.assert_close(alone, pooled[row], rtol=1e-4, atol=1e-5)
            # Padding of a longer neighbour, which is cut off where it may be, changes nothing.
            torch.testing.assert_close(
                encoder({n: v[row : row + 1] for n, v in inputs.items()}).pooled[0], pooled[row]
            )
    assert encoder.dim == pooled.shape[1]
    assert encoder.unknown_rows(encoder.prepare(["dog", ""], unknown="allow")).tolist() == [1]
    with pytest.raises(ValueError, match="text 1, '': it has no token"):
        encoder.prepare(["dog", ""])


def test_texts_of_siglip_2_are_in_lower_case(dual_encoder: Make) -> None:
    from transformers import GemmaTokenizer, Siglip2Tokenizer

    folder = dual_encoder("siglip")
    marks = ["<pad>", "<eos>", "<bos>", "<unk>", "<mask>"]
    vocab = {token: number for number, token in enumerate([*marks, *"▁adgoADGO"])}
    options = {"vocab": vocab, "merges": [], "model_max_length": 16}
    # As its repositories name it, without the lower case of its training.
    GemmaTokenizer(**options).save_pretrained(folder)
    encoder = create_text_encoder(f"clip:{folder}").eval()
    texts = ["A Dog", "GO dog"]
    given = Siglip2Tokenizer(**options)(
        texts, padding="max_length", max_length=16, return_tensors="pt"
    )
    inputs = encoder.prepare(texts)
    assert all(torch.equal(inputs[name], given[name]) for name in inputs)
    with torch.no_grad():
        expected = whole(folder).get_text_features(**given).pooler_output
        assert torch.equal(encoder(inputs).pooled, expected)


@pytest.mark.parametrize("kind", KINDS)
def test_a_texts_map_is_the_towers_last_hidden_states(dual_encoder: Make, kind: str) -> None:
    folder = dual_encoder(kind)
    encoder = create_text_encoder(f"clip:{folder}").eval()
    inputs = encoder.prepare(TEXTS)
    with torch.no_grad():
        found = encoder(inputs).map
        hidden = whole(folder).get_text_features(**inputs).last_hidden_state
    assert found.shape == (3, encoder.channels, 1, inputs["input_ids"].shape[1])
    mask = inputs.get("attention_mask", torch.ones_like(inputs["input_ids"]))
    assert bool((mask == 0).any()) == (kind != "siglip")
    expected = torch.where(mask[:, :, None] == 1, hidden, torch.zeros(()))
    assert torch.equal(found[:, :, 0].mT, expected)


@pytest.mark.parametrize("kind", KINDS)
def test_a_half_has_no_weights_of_the_other_side(dual_encoder: Make, kind: str) -> None:
    folder = dual_encoder(kind)
    image = create_image_backbone(f"clip:{folder}")
    text = create_text_encoder(f"clip:{folder}")
    names = set(whole(folder).state_dict()) - {"logit_scale", "logit_bias"}
    halves = [{n.removeprefix("model.") for n in half.state_dict()} for half in (image, text)]
    assert halves[0] | halves[1] == names
    assert not halves[0] & halves[1]


@pytest.mark.parametrize("kind", KINDS)
def test_spec_and_assets_build_it_again_without_the_folder(
    dual_encoder: Make, kind: str, tmp_path: Path
) -> None:
    folder = dual_encoder(kind)
    image = create_image_backbone(f"clip:{folder}", normalize=True).eval()
    text = create_text_encoder(f"clip:{folder}", max_length=7).eval()
    text.save_assets(tmp_path / "checkpoint")
    specs = [json.loads(json.dumps(part.spec())) for part in (image, text)]
    pixels, inputs = own_pixels(folder, "pil"), text.prepare(TEXTS)
    folder.rename(tmp_path / "gone")
    again = create_image_backbone(**specs[0]).eval()
    words = create_text_encoder(**specs[1], assets=tmp_path / "checkpoint").eval()
    for part, other in ((image, again), (text, words)):
        drawn = dict(other.named_parameters())
        assert all(value.isfinite().all() for value in drawn.values())
        assert any(value.std() > 0 for value in drawn.values() if value.ndim > 1)
        other.load_state_dict(part.state_dict())
        assert fingerprint(part) == fingerprint(other)
    with torch.no_grad():
        assert torch.equal(again(pixels).pooled, image(pixels).pooled)
        assert torch.equal(words(words.prepare(TEXTS)).pooled, text(inputs).pooled)
    assert torch.equal(again.preprocess(pictures()[1]), image.preprocess(pictures()[1]))
    torch.testing.assert_close(image(pixels).pooled.norm(dim=1), torch.ones(5))


@pytest.mark.parametrize("count", [1, 2])
def test_the_last_blocks_and_what_is_behind_them_are_trained(
    dual_encoder: Make, count: int
) -> None:
    folder = dual_encoder("clip")
    image = create_image_backbone(f"clip:{folder}", trainable_blocks=count).train()
    text = create_text_encoder(f"clip:{folder}", trainable_blocks=count).train()
    behind = {
        image: ("vision_model.post_layernorm", "visual_projection"),
        text: ("text_model.final_layer_norm", "text_projection"),
    }
    tower = {image: "vision_model", text: "text_model"}
    for part, last in behind.items():
        blocks = [f"{tower[part]}.encoder.layers.{3 - i}." for i in range(1, count + 1)]
        expected = {
            name
            for name, _ in part.named_parameters()
            if name.removeprefix("model.").startswith((*last, *blocks))
        }
        trained = {name for name, value in part.named_parameters() if value.requires_grad}
        assert trained == expected
        model: Any = part.model
        layers = getattr(model, tower[part]).encoder.layers
        assert [layer.training for layer in layers] == [i >= 3 - count for i in range(3)]
        assert part.spec()["trainable_blocks"] == count
    with pytest.raises(ValueError, match="trainable_blocks is from 1 to 3, got 4"):
        create_image_backbone(f"clip:{folder}", trainable_blocks=4)


def test_gradients_reach_every_parameter(dual_encoder: Make) -> None:
    folder = dual_encoder("clip")
    image = create_image_backbone(f"clip:{folder}").train()
    text = create_text_encoder(f"clip:{folder}").train()
    pooled = image(own_pixels(folder, "pil")).pooled
    words = text(text.prepare(TEXTS)).pooled
    ((pooled * torch.randn_like(pooled)).sum() + (words * torch.randn_like(words)).sum()).backward()
    for part in (image, text):
        dead = [n for n, p in part.named_parameters() if p.grad is None or not p.grad.abs().sum()]
        # Keys' biases shift all attention scores of a query alike, which softmax cannot see.
        assert [name for name in dead if "k_proj.bias" not in name] == []


def test_preprocessing_can_be_replaced(dual_encoder: Make) -> None:
    name = f"clip:{dual_encoder('clip')}"
    squashed = create_image_backbone(name, preprocess={"size": [32, 32], "crop": None})
    expected = pictures()[1].resize((32, 32), Image.Resampling.BICUBIC)
    assert torch.equal(squashed.preprocess(pictures()[1]), squashed.preprocess(expected))
    for changes, told in [
        ({"sizes": 3}, "did you mean 'size'"),
        ({"crop": None}, "pictures of several sizes"),
        ({"mean": [0.5]}, "three channels"),
        ({"interpolation": "cubic"}, "interpolation is one of"),
        ({"size": 64, "crop": [64, 64]}, r"does not take pictures of \(64, 64\)"),
    ]:
        with pytest.raises(ValueError, match=told):
            create_image_backbone(name, preprocess=changes)


def test_an_image_processor_may_scale_by_another_factor(dual_encoder: Make) -> None:
    folder = dual_encoder("clip")
    path = folder / "preprocessor_config.json"
    for changes in ({"rescale_factor": 1 / 127.5}, {"do_rescale": False}, {"do_normalize": False}):
        values = json.loads(path.read_text())
        path.write_text(json.dumps({**values, **changes}))
        backbone = create_image_backbone(f"clip:{folder}")
        pixels = torch.stack([backbone.preprocess(picture) for picture in pictures()])
        torch.testing.assert_close(pixels, own_pixels(folder, "pil"), rtol=1e-5, atol=1e-4)
        path.write_text(json.dumps(values))


def test_what_is_no_whole_dual_encoder_is_told(dual_encoder: Make, language_model: Path) -> None:
    from transformers import ViTConfig, ViTModel

    folder = dual_encoder("clip")
    (folder / "tokenizer.json").rename(folder / "away")
    with pytest.raises(FileNotFoundError, match="its tokenizer was not found"):
        create_text_encoder(f"clip:{folder}")
    (folder / "preprocessor_config.json").unlink()
    with pytest.raises(FileNotFoundError, match="its image processor was not found"):
        create_image_backbone(f"clip:{folder}")
    (folder / "model.safetensors").unlink()
    (folder / "away").rename(folder / "tokenizer.json")
    with pytest.raises(FileNotFoundError, match=r"model\.safetensors"):
        create_text_encoder(f"clip:{folder}")
    with pytest.raises(ValueError, match=r"'bert' is a model of texts alone.*hf:.* as text"):
        create_image_backbone(f"clip:{language_model}")
    seen = folder.parent / "vit"
    small = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 1}
    ViTModel(ViTConfig(**small, image_size=16, patch_size=8)).save_pretrained(seen)
    with pytest.raises(ValueError, match=r"'vit' is a model of pictures alone.*a timm model"):
        create_text_encoder(f"clip:{seen}")
    (folder / "config.json").unlink()
    with pytest.raises(FileNotFoundError, match=r"no config\.json"):
        create_text_encoder(f"clip:{folder}", weights="random")


def test_incomplete_weights_are_refused_by_the_half_that_lacks_them(dual_encoder: Make) -> None:
    from safetensors.torch import load_file, save_file

    folder = dual_encoder("clip")
    state = load_file(folder / "model.safetensors")
    del state["text_projection.weight"]
    save_file(state, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ValueError, match=r"missing \['text_projection\.weight'\]"):
        create_text_encoder(f"clip:{folder}")
    assert create_image_backbone(f"clip:{folder}").dim == 12


def test_names_of_open_clip_are_told_in_transformers_form(tmp_path: Path) -> None:
    for name in ("ViT-B-32", "ViT-B-32/openai", "ViT-B-32-quickgelu"):
        with pytest.raises(ValueError, match=r"clip:openai/clip-vit-base-patch32 \(openai\)"):
            create_image_backbone(f"clip:{name}")
    with pytest.raises(ValueError, match="write clip:laion/CLIP-x"):
        create_text_encoder("clip:hf-hub:laion/CLIP-x")
    (tmp_path / "open_clip_config.json").write_text("{}")
    with pytest.raises(ValueError, match=r"a folder of open_clip"):
        create_text_encoder(f"clip:{tmp_path}")


def test_pictures_of_any_shape_are_refused() -> None:
    from transformers import Siglip2Config

    config = Siglip2Config().to_dict()
    with pytest.raises(ValueError, match=r"NaFlex.*siglip2-base-patch16-224"):
        create_image_backbone("clip:x", weights="random", architecture=config)


def test_a_family_needs_a_model_and_options_that_it_has(dual_encoder: Make) -> None:
    with pytest.raises(LookupError, match="image backbone 'clip' needs a model: clip:<name"):
        create_image_backbone("clip")
    with pytest.raises(LookupError, match="text encoder 'clip' needs a model"):
        create_text_encoder("clip")
    with pytest.raises(ValueError, match="'pretrained' or 'random'"):
        create_image_backbone("clip:x", weights="file.safetensors")
    with pytest.raises(ValueError, match="trainable_blocks or lora, not both"):
        create_text_encoder(f"clip:{dual_encoder('clip')}", trainable_blocks=1, lora={})
    with pytest.raises(ValueError, match="max_length is from 1 to 16"):
        create_text_encoder(f"clip:{dual_encoder('clip')}", max_length=17)
    assert "clip:<name on the Hub or folder>" in list_backbones("clip")
