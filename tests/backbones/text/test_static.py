"""Tables of token vectors: read, made of a transformer, trained, kept in a checkpoint."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from typer.testing import CliRunner

from crosshash.backbones import create_text_encoder, fingerprint
from crosshash.backbones.distill import convert_static, zipf_weights
from crosshash.cli.convert import app

TEXTS = ["a dog runs on the beach", "girl", "the unheard girl"]
TOKENS = 19  # of the tiny tokenizer: four marks, fifteen words


@pytest.fixture
def table(language_model: Path, tmp_path: Path) -> Path:
    """A folder in model2vec's form, with random vectors of width 6."""
    folder = tmp_path / "table"
    folder.mkdir()
    (folder / "tokenizer.json").write_text((language_model / "tokenizer.json").read_text())
    (folder / "config.json").write_text(json.dumps({"normalize": True}))
    torch.manual_seed(1)
    save_file({"embeddings": torch.randn(TOKENS, 6)}, folder / "model.safetensors")
    return folder


def change(folder: Path, **tensors: torch.Tensor | None) -> dict[str, torch.Tensor]:
    path = folder / "model.safetensors"
    state = {**load_file(path), **tensors}
    kept = {name: value for name, value in state.items() if value is not None}
    save_file(kept, path)
    return kept


def naive(folder: Path, text: str) -> np.ndarray:
    """The mean of the known tokens' vectors, token by token."""
    words = json.loads((folder / "tokenizer.json").read_text())["model"]["vocab"]
    state = {name: value.numpy() for name, value in load_file(folder / "model.safetensors").items()}
    known = [words[word] for word in text.split() if word in words]
    total = np.zeros(state["embeddings"].shape[1])
    for token in known:
        row = state["mapping"][token] if "mapping" in state else token
        scale = state["scales"][row] if "scales" in state else 1.0
        weight = state["weights"][token] if "weights" in state else 1.0
        total += weight * scale * state["embeddings"][row].astype(float)
    mean = total / len(known)
    normal = json.loads((folder / "config.json").read_text())["normalize"]
    return mean / np.linalg.norm(mean) if normal else mean


@pytest.mark.parametrize("form", ["plain", "weights", "mapping", "half", "int8", "unnormalized"])
def test_a_text_is_the_mean_of_its_tokens_vectors(table: Path, form: str) -> None:
    generator = torch.Generator().manual_seed(2)
    integers = torch.randint(-127, 128, (TOKENS, 6), generator=generator, dtype=torch.int8)
    rows = torch.randint(0, 5, (TOKENS,), generator=generator, dtype=torch.int32)
    weights = torch.rand(TOKENS, generator=generator, dtype=torch.float64)
    five = torch.randn(5, 6, generator=generator)
    {
        "plain": lambda: change(table),
        "weights": lambda: change(table, weights=weights),
        "mapping": lambda: change(table, embeddings=five, mapping=rows, weights=weights),
        "half": lambda: change(table, embeddings=five.half(), mapping=rows),
        "int8": lambda: change(table, embeddings=integers, scales=weights.float() / 100),
        "unnormalized": lambda: (table / "config.json").write_text('{"normalize": false}'),
    }[form]()
    encoder = create_text_encoder(f"static:{table}")
    pooled = encoder(encoder.prepare(TEXTS)).pooled
    assert encoder.dim == pooled.shape[1] == 6
    for row, text in enumerate(TEXTS):
        np.testing.assert_allclose(pooled[row].detach(), naive(table, text), rtol=1e-5, atol=1e-6)
        alone = encoder(encoder.prepare(text)).pooled[0]
        torch.testing.assert_close(alone, pooled[row])


def test_texts_without_a_known_token_are_told(table: Path) -> None:
    encoder = create_text_encoder(f"static:{table}", max_length=2)
    with pytest.raises(ValueError, match="text 1, 'unheard': it has no known token"):
        encoder.prepare(["dog", "unheard"])
    inputs = encoder.prepare(["a dog runs", "unheard", ""], unknown="allow")
    assert inputs["attention_mask"].sum(dim=1).tolist() == [2, 0, 0]
    assert encoder.unknown_rows(inputs).tolist() == [1, 2]
    assert not encoder(inputs).pooled[1:].any()
    assert encoder.prepare([])["input_ids"].shape == (0, 1)
    assert encoder.vocabulary is not None
    assert encoder.vocabulary[4] == "a"


def test_a_table_of_numbers_is_trained_and_one_of_integers_is_not(table: Path) -> None:
    encoder = create_text_encoder(f"static:{table}")
    encoder(encoder.prepare("dog girl")).pooled.sum().backward()
    (parameter,) = encoder.parameters()
    assert torch.nonzero(parameter.grad.abs().sum(dim=1))[:, 0].tolist() == [5, 10]
    rows = torch.randint(-127, 128, (TOKENS, 6), dtype=torch.int8)
    change(table, embeddings=rows, scales=torch.full((TOKENS,), 0.5))
    assert not list(create_text_encoder(f"static:{table}").parameters())
    again = create_text_encoder(f"static:{table}", dequantize=True)
    torch.testing.assert_close(next(again.parameters()).detach(), rows * 0.5)


@pytest.mark.parametrize("form", ["plain", "mapping", "int8"])
def test_checkpoint_assets_are_complete_without_the_source(
    table: Path, tmp_path: Path, form: str
) -> None:
    if form == "mapping":
        change(table, mapping=torch.arange(TOKENS).flip(0), weights=torch.rand(TOKENS))
    if form == "int8":
        change(table, embeddings=torch.ones(TOKENS, 6, dtype=torch.int8))
    encoder = create_text_encoder(f"static:{table}", max_length=7)
    encoder.save_assets(tmp_path / "checkpoint")
    state, spec = encoder.state_dict(), json.loads(json.dumps(encoder.spec()))
    table.rename(tmp_path / "gone")
    again = create_text_encoder(**spec, assets=tmp_path / "checkpoint")
    again.load_state_dict(state)
    assert fingerprint(again) == fingerprint(encoder)
    inputs = encoder.prepare(TEXTS)
    assert torch.equal(again(again.prepare(TEXTS)).pooled, encoder(inputs).pooled)


def test_what_is_no_table_is_told(table: Path, language_model: Path) -> None:
    with pytest.raises(ValueError, match=r"'embeddings' and nothing beside.*given as hf:"):
        create_text_encoder(f"static:{language_model}")
    change(table, embeddings=torch.zeros(TOKENS - 1, 6))
    with pytest.raises(ValueError, match="its tokenizer has 19 tokens and its table 18 rows"):
        create_text_encoder(f"static:{table}")
    change(table, mapping=torch.arange(1, TOKENS + 1))
    with pytest.raises(ValueError, match="mapping leads to rows"):
        create_text_encoder(f"static:{table}")
    (table / "tokenizer.json").write_text("{}")
    with pytest.raises(ValueError, match=r"tokenizer\.json is no tokenizer"):
        create_text_encoder(f"static:{table}")
    (table / "tokenizer.json").unlink()
    with pytest.raises(FileNotFoundError, match=r"tokenizer\.json was not found"):
        create_text_encoder(f"static:{table}")
    with pytest.raises(LookupError, match="text encoder 'static' needs a model"):
        create_text_encoder("static")


def test_a_table_is_made_of_a_transformer(language_model: Path, tmp_path: Path) -> None:
    made = convert_static(f"hf:{language_model}", tmp_path / "made", dim=16, batch_size=7, sif=None)
    assert (made["tokens"], made["dim"]) == (TOKENS, 16)
    assert made["variance"] == pytest.approx(1)
    encoder = create_text_encoder(f"hf:{language_model}").eval()
    with torch.no_grad():
        alone = encoder(encoder.prepare(["dog", "girl", "grass"])).pooled.double()
    rows = load_file(tmp_path / "made" / "model.safetensors")["embeddings"][[5, 10, 18]].double()
    # PCA to the full width turns and shifts: distances stay.
    torch.testing.assert_close(
        torch.cdist(rows, rows), torch.cdist(alone, alone), rtol=1e-4, atol=1e-4
    )
    weighted = convert_static(f"hf:{language_model}", tmp_path / "weighted", dim=16, sif=1e-2)
    found = load_file(tmp_path / "weighted" / "model.safetensors")["embeddings"][[5, 10, 18]]
    factor = zipf_weights(TOKENS - 4, 1e-2)[[1, 6, 14], None]  # four marks have no rank
    torch.testing.assert_close(found.double(), factor * rows, rtol=1e-4, atol=1e-5)
    assert weighted["bytes"] == made["bytes"]
    static = create_text_encoder(f"static:{tmp_path / 'weighted'}")
    assert static(static.prepare("dog")).pooled.norm().item() == pytest.approx(1)


def test_a_shorter_table_has_the_first_tokens_and_reads_texts_by_their_new_numbers(
    language_model: Path, tmp_path: Path
) -> None:
    whole, short = tmp_path / "whole", tmp_path / "short"
    options = {"dim": 8, "sif": None}
    convert_static(f"hf:{language_model}", whole, **options)
    made = convert_static(f"hf:{language_model}", short, most_tokens=12, **options)
    assert made["tokens"] == 12
    known = json.loads((whole / "tokenizer.json").read_text())["model"]["vocab"]
    kept = json.loads((short / "tokenizer.json").read_text())["model"]["vocab"]
    assert list(kept) == sorted(known, key=known.get)[:12]
    assert sorted(kept.values()) == list(range(12))
    encoder = create_text_encoder(f"static:{short}")
    lost = set(known) - set(kept)
    text = "a dog runs on the beach and grass"
    assert lost & set(text.split())
    ids = encoder.prepare(text)["input_ids"][0].tolist()
    assert ids == [kept[word] for word in text.split() if word in kept]


def test_a_shorter_table_has_every_character_and_neither_marks_nor_other_scripts(
    language_model: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "model"
    shutil.copytree(language_model, folder)
    words = json.loads((folder / "tokenizer.json").read_text())
    vocabulary = words["model"]["vocab"]
    last = max(vocabulary, key=vocabulary.get)
    for new in ("é", "##z", "[unused0]"):  # in the place of others, as the model has no more rows
        old = next(w for w in ("grass", "beach", "girl") if w in vocabulary)
        vocabulary[new] = vocabulary.pop(old)
    (folder / "tokenizer.json").write_text(json.dumps(words))
    made = convert_static(f"hf:{folder}", tmp_path / "made", dim=4, most_tokens=7)
    kept = json.loads((tmp_path / "made" / "tokenizer.json").read_text())["model"]["vocab"]
    assert made["tokens"] == len(kept) == 7
    assert "##z" in kept
    assert not {"é", "[unused0]", last} & set(kept)
    with pytest.raises(ValueError, match=r"most_tokens is at least .*, got 2"):
        convert_static(f"hf:{folder}", tmp_path / "none", dim=8, most_tokens=2)
    words["model"] = {"type": "BPE", "vocab": vocabulary, "merges": [], "unk_token": "[UNK]"}
    (folder / "tokenizer.json").write_text(json.dumps(words))
    with pytest.raises(ValueError, match="words or WordPiece, and this is one of BPE"):
        convert_static(f"hf:{folder}", tmp_path / "none", dim=8, most_tokens=9)


def test_a_trained_table_becomes_one_of_integers(table: Path, tmp_path: Path) -> None:
    encoder = create_text_encoder(f"static:{table}", dequantize=True)
    inputs = encoder.prepare(TEXTS)
    before = encoder(inputs).pooled.detach()
    encoder.quantize()
    after = encoder(inputs).pooled
    assert encoder.embeddings.dtype == torch.int8
    assert encoder.scales is not None
    assert torch.equal(encoder.scales, encoder.scales.half().float())
    assert not list(encoder.parameters())
    torch.testing.assert_close(after, before, rtol=0, atol=0.02)
    state = {name: value.clone() for name, value in encoder.state_dict().items()}
    encoder.quantize()
    assert all(torch.equal(value, state[name]) for name, value in encoder.state_dict().items())
    encoder.save_assets(tmp_path)
    again = create_text_encoder(**encoder.spec(), assets=tmp_path)
    again.load_state_dict(state)
    assert torch.equal(again(inputs).pooled, after)


def test_weights_of_tokens_follow_zipf() -> None:
    share = [1 / rank for rank in range(1, 6)]
    expected = [0.1 / (0.1 + p / sum(share)) for p in share]
    assert zipf_weights(5, 0.1).tolist() == pytest.approx(expected)


def test_the_command_writes_a_table_of_integers(language_model: Path, tmp_path: Path) -> None:
    output = tmp_path / "made"
    arguments = ["static", f"hf:{language_model}", "-o", str(output), "--dim", "8", "--json"]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0, result.output
    whole = load_file(output / "model.safetensors")["embeddings"]
    result = CliRunner().invoke(app, [*arguments, "--int8"])
    assert result.exit_code == 0, result.output
    told = json.loads(result.stdout[result.stdout.index("{") :])
    assert (told["dim"], told["tokens"], told["output"]) == (8, TOKENS, str(output))
    state = load_file(output / "model.safetensors")
    assert state["embeddings"].dtype == torch.int8
    again = state["embeddings"] * state["scales"][:, None]
    torch.testing.assert_close(again, whole, rtol=0, atol=float(whole.abs().max()) / 250)


def test_what_cannot_be_made_a_table_is_told(language_model: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="made of a transformer: hf:"):
        convert_static("bow", tmp_path / "made")
    with pytest.raises(ValueError, match="dim is from 1 to 16"):
        convert_static(f"hf:{language_model}", tmp_path / "made", dim=17)
    assert not (tmp_path / "made").exists()
