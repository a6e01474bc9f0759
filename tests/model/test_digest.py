"""The digest tells models apart by what decides their codes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

import crosshash
from crosshash.model.digest import model_digest
from crosshash.model.hash_model import HashModel

TEXTS = ["a red circle", "a blue square"]


def build(method: str = "amgfh", seed: int = 0, **changes: Any) -> HashModel:
    torch.manual_seed(seed)
    options: dict[str, Any] = {
        "bits": 16,
        "backbones": {"name": "test_resnet", "weights": "random", "image_size": 32},
        "texts": TEXTS,
        **changes,
    }
    return crosshash.create(method, **options)


@pytest.mark.parametrize("method", ["amgfh", "dmsfh", "hfah", "mdffh"])
def test_a_checkpoint_has_the_digest_of_the_model_that_was_saved(
    method: str, tmp_path: Path
) -> None:
    model = build(method)
    crosshash.save(model, tmp_path / "checkpoint")
    loaded = crosshash.load(tmp_path / "checkpoint")
    assert model_digest(loaded) == model_digest(model)
    assert len(model_digest(model)) == 64


def test_a_transformer_in_a_checkpoint_has_its_digest_too(
    language_model: Path, tmp_path: Path
) -> None:
    model = build(text=f"hf:{language_model}")
    model.encode_text("a red dog")  # a tokenizer remembers how it was called last
    crosshash.save(model, tmp_path / "checkpoint")
    loaded = crosshash.load(tmp_path / "checkpoint")
    assert model_digest(loaded) == model_digest(model)
    assert loaded.text.vocabulary is not None
    loaded.text.vocabulary[-1] = "cat"
    assert model_digest(loaded) != model_digest(model)


def test_half_precision_has_the_digest_of_the_same_numbers(tmp_path: Path) -> None:
    half = build().half()
    crosshash.save(half, tmp_path / "checkpoint")
    loaded = crosshash.load(tmp_path / "checkpoint")
    assert next(loaded.parameters()).dtype == torch.float32
    assert model_digest(loaded) == model_digest(half)
    assert model_digest(build()) != model_digest(half)  # rounding made other numbers


def test_what_a_model_only_carries_along_does_not_count() -> None:
    model = build()
    before = model_digest(model)
    model.info.label_names = ["circle"]
    model.freeze("text")
    model.train()
    assert model_digest(model) == before


def _nudge(model: HashModel) -> HashModel:
    with torch.no_grad():
        next(model.parameters()).view(-1)[0] += 1e-3
    return model


def _other_statistics(model: HashModel) -> HashModel:
    next(model.buffers()).view(-1)[0] += 1e-3
    return model


@pytest.mark.parametrize(
    "other",
    [
        lambda: build(seed=1),
        lambda: build(bits=32),
        lambda: build("dmsfh"),
        lambda: build(texts=["a red circle", "a blue triangle"]),
        lambda: build(
            backbones={
                "name": "test_resnet",
                "weights": "random",
                "image_size": 32,
                "preprocess": {"crop_pct": 0.5},
            }
        ),
        lambda: _nudge(build()),
        lambda: _other_statistics(build()),
    ],
    ids=["seed", "bits", "method", "words", "preprocessing", "one weight", "one buffer"],
)
def test_another_model_has_another_digest(other: Callable[[], HashModel]) -> None:
    assert model_digest(other()) != model_digest(build())


def test_layout_in_memory_does_not_count() -> None:
    model = build()
    before = model_digest(model)
    assert model_digest(model.to(memory_format=torch.channels_last)) == before  # type: ignore[call-overload]
