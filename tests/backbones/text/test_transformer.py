from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from crosshash.backbones import create_text_encoder, fingerprint
from crosshash.backbones.tuning import merge_lora

WORDS = [
    "[PAD]",
    "[UNK]",
    "[CLS]",
    "[SEP]",
    "a",
    "dog",
    "runs",
    "on",
    "the",
    "beach",
    "girl",
]  # first
TEXTS = ["a dog runs on the beach", "girl", "the girl runs"]


@pytest.fixture
def folder(language_model: Path) -> Path:
    return language_model


def test_pooled_is_the_mean_over_a_texts_own_tokens(folder: Path) -> None:
    from transformers import BertModel

    encoder = create_text_encoder(f"hf:{folder}").eval()
    inputs = encoder.prepare(TEXTS)
    assert inputs["input_ids"].shape == inputs["attention_mask"].shape == (3, 8)
    with torch.no_grad():
        pooled = encoder(inputs).pooled
        oracle = BertModel.from_pretrained(folder).eval()
        for row, text in enumerate(TEXTS):
            ids = torch.tensor([[2, *(WORDS.index(word) for word in text.split()), 3]])
            expected = oracle(input_ids=ids).last_hidden_state[0].mean(dim=0)
            torch.testing.assert_close(pooled[row], expected, rtol=1e-4, atol=1e-5)
    assert encoder.dim == pooled.shape[1] == 16


def test_the_map_is_the_last_hidden_states_with_zeros_in_padding(folder: Path) -> None:
    from transformers import BertModel

    encoder = create_text_encoder(f"hf:{folder}").eval()
    inputs = encoder.prepare(TEXTS)
    with torch.no_grad():
        found = encoder(inputs).map
        oracle = BertModel.from_pretrained(folder).eval()
        assert found.shape == (3, encoder.channels, 1, 8) == (3, 16, 1, 8)
        for row, text in enumerate(TEXTS):
            ids = torch.tensor([[2, *(WORDS.index(word) for word in text.split()), 3]])
            states = oracle(input_ids=ids).last_hidden_state[0]
            own = found[row, :, 0, : len(states)].T
            torch.testing.assert_close(own, states, rtol=1e-4, atol=1e-5)
            assert not found[row, :, :, len(states) :].any()
        # Shorter rows of a longer data set are as long as they need to be.
        short = encoder({name: value[1:] for name, value in inputs.items()}).map
        assert short.shape == (2, 16, 1, 5)


def test_one_text_alone_has_the_features_it_has_in_a_batch(folder: Path) -> None:
    encoder = create_text_encoder(f"hf:{folder}").eval()
    with torch.no_grad():
        batch = encoder(encoder.prepare(TEXTS)).pooled
        for row, text in enumerate(TEXTS):
            alone = encoder(encoder.prepare(text)).pooled[0]
            torch.testing.assert_close(alone, batch[row], rtol=1e-4, atol=1e-5)


def test_gradients_reach_every_parameter(folder: Path) -> None:
    encoder = create_text_encoder(f"hf:{folder}").train()
    pooled = encoder(encoder.prepare(TEXTS)).pooled
    (pooled * torch.randn_like(pooled)).sum().backward()
    dead = [
        name
        for name, parameter in encoder.named_parameters()
        if parameter.grad is None or not parameter.grad.abs().sum() > 0
    ]
    # Keys' biases shift all attention scores of a query alike, which softmax cannot see.
    assert [name for name in dead if "key.bias" not in name] == []


def test_the_last_blocks_alone_are_trained(folder: Path) -> None:
    encoder = create_text_encoder(f"hf:{folder}", trainable_blocks=1).train()
    trained = {name for name, value in encoder.named_parameters() if value.requires_grad}
    model: Any = encoder.model
    blocks = model.encoder.layer
    last = f"model.encoder.layer.{len(blocks) - 1}."
    assert trained == {name for name, _ in encoder.named_parameters() if name.startswith(last)}
    assert [block.training for block in blocks] == [False] * (len(blocks) - 1) + [True]
    assert not model.embeddings.training
    assert encoder.spec()["trainable_blocks"] == 1
    with pytest.raises(ValueError, match=f"from 1 to {len(blocks)}, got 9"):
        create_text_encoder(f"hf:{folder}", trainable_blocks=9)
    with pytest.raises(ValueError, match="trainable_blocks or lora, not both"):
        create_text_encoder(f"hf:{folder}", trainable_blocks=1, lora={})


def test_adapters_change_nothing_at_first_and_become_weights(folder: Path) -> None:
    pytest.importorskip("peft")
    plain = create_text_encoder(f"hf:{folder}").eval()
    encoder = create_text_encoder(f"hf:{folder}", lora={"rank": 2, "targets": ["query"]}).eval()
    inputs = plain.prepare(TEXTS)
    assert torch.equal(encoder(inputs).pooled, plain(inputs).pooled)
    trained = [name for name, value in encoder.named_parameters() if value.requires_grad]
    assert trained
    assert all("query.lora_" in name for name in trained)
    assert encoder.spec()["lora"] == {"rank": 2, "targets": ["query"]}
    with torch.no_grad():
        for name in trained:
            encoder.get_parameter(name).normal_()
    before = encoder(inputs).pooled
    merge_lora(encoder)
    torch.testing.assert_close(encoder(inputs).pooled, before, rtol=1e-4, atol=1e-5)
    assert not torch.allclose(plain(inputs).pooled, before, atol=1e-3)
    assert set(encoder.state_dict()) == set(plain.state_dict())
    assert "lora" not in encoder.spec()


def test_random_weights_need_no_weight_file(folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    torch.manual_seed(1)
    first = create_text_encoder(f"hf:{folder}", weights="random")
    torch.manual_seed(2)
    second = create_text_encoder(f"hf:{folder}", weights="random")
    assert fingerprint(first) != fingerprint(second)
    with pytest.raises(FileNotFoundError, match="safetensors"):
        create_text_encoder(f"hf:{folder}")


def test_pickled_weights_are_not_read(folder: Path) -> None:
    state = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    torch.save(state, folder / "pytorch_model.bin")
    with pytest.raises(FileNotFoundError, match="safetensors"):
        create_text_encoder(f"hf:{folder}")


def test_incomplete_weights_are_refused(folder: Path) -> None:
    state = load_file(folder / "model.safetensors")
    lost = next(name for name in state if "attention.self.query.weight" in name)
    del state[lost]
    save_file(state, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ValueError, match=r"attention\.self\.query\.weight"):
        create_text_encoder(f"hf:{folder}")


def test_checkpoint_assets_are_complete_without_the_source(folder: Path, tmp_path: Path) -> None:
    encoder = create_text_encoder(f"hf:{folder}", max_length=7).eval()
    written = encoder.save_assets(tmp_path / "checkpoint")
    assert {path.name for path in written} >= {"config.json", "tokenizer.json"}
    assert not (tmp_path / "checkpoint" / "config.json").exists()
    state, spec = encoder.state_dict(), json.loads(json.dumps(encoder.spec()))
    folder.rename(tmp_path / "gone")
    again = create_text_encoder(**spec, assets=tmp_path / "checkpoint").eval()
    again.load_state_dict(state)
    assert fingerprint(again) == fingerprint(encoder)
    with torch.no_grad():
        assert torch.equal(
            again(again.prepare(TEXTS)).pooled, encoder(encoder.prepare(TEXTS)).pooled
        )


def test_long_texts_are_cut_and_empty_ones_refused(folder: Path) -> None:
    encoder = create_text_encoder(f"hf:{folder}", max_length=5)
    assert encoder.prepare(TEXTS)["input_ids"].shape == (3, 5)
    with pytest.raises(ValueError, match="text 1, '': it has no token"):
        encoder.prepare(["dog", ""])
    inputs = encoder.prepare(["dog", "", "unheard"], unknown="allow")
    assert encoder.unknown_rows(inputs).tolist() == [1]


@pytest.mark.parametrize("kind", ["bert", "xlm-roberta", "gpt2", "mpnet", "t5", "modernbert"])
def test_a_model_without_its_tokenizer_is_refused(kind: str, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"model_type": kind}))
    with pytest.raises(FileNotFoundError, match=r"its tokenizer was not found.*tokenizer\.json"):
        create_text_encoder(f"hf:{tmp_path}", weights="random")


@pytest.mark.parametrize("kind", ["vit", "dinov2", "clip_vision_model", "resnet"])
def test_models_of_pictures_are_refused(kind: str, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"model_type": kind}))
    with pytest.raises(ValueError, match=f"'{kind}' is a model of pictures alone; give a text enc"):
        create_text_encoder(f"hf:{tmp_path}")


@pytest.mark.parametrize("family", ["hf", "clip"])
def test_a_folder_of_timms_is_refused(family: str, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"architecture": "resnet50"}))
    with pytest.raises(ValueError, match=r"^(hf|clip):.* no model that transformers has .*timm's"):
        create_text_encoder(f"{family}:{tmp_path}")


def test_models_of_more_than_text_are_refused(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "clip"}))
    with pytest.raises(ValueError, match="no model of text alone"):
        create_text_encoder(f"hf:{tmp_path}")


@pytest.mark.parametrize("pooling", ["mean", "cls", "eos", "last"])
def test_pooled_is_what_the_pooling_says(folder: Path, pooling: str, tmp_path: Path) -> None:
    encoder = create_text_encoder(f"hf:{folder}", pooling=pooling).eval()
    inputs = encoder.prepare(TEXTS)
    with torch.no_grad():
        pooled = encoder(inputs).pooled
        hidden = encoder.model(**inputs).last_hidden_state
        for row in range(len(TEXTS)):
            places = [p for p in range(8) if inputs["attention_mask"][row, p]]
            ends = [p for p in places if inputs["input_ids"][row, p] == 3]  # [SEP]
            chosen = {"mean": places, "cls": [0], "eos": ends[:1], "last": places[-1:]}[pooling]
            expected = sum(hidden[row, p] for p in chosen) / len(chosen)
            torch.testing.assert_close(pooled[row], expected, rtol=1e-4, atol=1e-5)
    encoder.save_assets(tmp_path / "checkpoint")
    again = create_text_encoder(**encoder.spec(), assets=tmp_path / "checkpoint").eval()
    again.load_state_dict(encoder.state_dict())
    with torch.no_grad():
        assert torch.equal(again(again.prepare(TEXTS)).pooled, pooled)


def test_the_first_mark_of_the_end_counts_and_not_a_later_one(folder: Path) -> None:
    encoder = create_text_encoder(f"hf:{folder}", pooling="eos").eval()
    ids = torch.tensor([[2, 5, 3, 6, 3]])
    inputs = {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
    with torch.no_grad():
        hidden = encoder.model(**inputs).last_hidden_state
        assert torch.equal(encoder(inputs).pooled, hidden[:, 2])


def test_a_tokenizer_without_a_mark_of_the_end_cannot_be_pooled_there(folder: Path) -> None:
    path = folder / "tokenizer.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "post_processor": None}))
    assert create_text_encoder(f"hf:{folder}", pooling="last").dim == 16
    with pytest.raises(ValueError, match=r"pooling 'eos' needs .* use 'mean' or 'last'"):
        create_text_encoder(f"hf:{folder}", pooling="eos")
