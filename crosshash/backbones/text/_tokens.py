"""Texts as the token ids of a transformers tokenizer."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from einops import rearrange
from torch import Tensor

from crosshash.backbones.base import Inputs, Texts
from crosshash.backbones.text._strings import as_strings, check_unknown, raise_unknown

# A folder of its own in a checkpoint, whose config.json must not be the checkpoint's.
ASSETS = "text_encoder"


def read_tokenizer(name: str, source: str, *, offline: bool) -> Any:
    """The tokenizer, as transformers has it, of a model.

    Args:
        name: For messages.
        source: A folder or a name on the Hub.
        offline: Read the folder only.

    Raises:
        FileNotFoundError: It is not beside the model.
    """
    from transformers import AutoTokenizer

    told = (
        f"{name}: its tokenizer was not found; beside the weights a folder has tokenizer.json, or "
        "the tokenizer's own files, such as vocab.txt, or vocab.json and merges.txt"
    )
    try:
        tokenizer = AutoTokenizer.from_pretrained(
            source, trust_remote_code=False, local_files_only=offline
        )
    except (OSError, TypeError, ValueError) as error:
        raise FileNotFoundError(f"{told} ({error})") from error
    # Where files are missing transformers makes a tokenizer of nothing but its marks; T5's has the
    # mark of a word's begin too.
    if set(tokenizer.get_vocab()) <= {*tokenizer.all_special_tokens, "\u2581"}:
        raise FileNotFoundError(told)
    return tokenizer


def vocabulary_of(tokenizer: Any) -> list[str]:
    """The tokens in the order of their ids."""
    numbers: dict[str, int] = tokenizer.get_vocab()
    return sorted(numbers, key=numbers.__getitem__)


def tokenized(
    tokenizer: Any,
    texts: Texts,
    *,
    unknown: str,
    max_length: int,
    padding: str = "longest",
    mask: bool = True,
) -> Inputs:
    """Token ids of strings.

    Args:
        tokenizer: Of transformers.
        texts: Strings.
        unknown: As ``TextEncoder.prepare`` takes it.
        max_length: Most tokens of a text; what comes after is cut off.
        padding: ``"longest"`` text of these, or ``"max_length"``.
        mask: Whether the model is told which tokens are padding.

    Returns:
        ``{"input_ids": int64 (n, l)}``, and ``"attention_mask"``, the same, with ``mask``.

    Raises:
        ValueError: A text has no token, and ``unknown="raise"``.
    """
    check_unknown(unknown)
    strings = as_strings(texts)
    keys = ["input_ids", "attention_mask"] if mask else ["input_ids"]
    if not strings:
        return {key: torch.zeros(0, 1, dtype=torch.int64) for key in keys}
    tokens = tokenizer(
        strings,
        padding=padding,
        truncation=True,
        max_length=max_length,
        return_attention_mask=mask,
        return_tensors="pt",
    )
    inputs = {key: tokens[key].to(torch.int64) for key in keys}
    if unknown == "raise":
        raise_unknown(strings, rows_without_words(tokenizer, inputs), "it has no token")
    return inputs


def rows_without_words(tokenizer: Any, inputs: Inputs) -> Tensor:
    """Row numbers, ``int64`` (m,), of texts of which only marks such as [CLS] remain."""
    others = {
        tokenizer.bos_token_id,
        tokenizer.cls_token_id,
        tokenizer.eos_token_id,
        tokenizer.pad_token_id,
        tokenizer.sep_token_id,
    }
    marks = set(tokenizer.all_special_ids)
    if tokenizer.unk_token_id not in others:  # in CLIP it is the mark of the end as well
        marks -= {tokenizer.unk_token_id}
    ids = inputs["input_ids"]
    real = ~torch.isin(ids, torch.tensor(sorted(marks), dtype=torch.int64))
    if "attention_mask" in inputs:
        real &= inputs["attention_mask"].bool()
    return torch.nonzero(~real.any(dim=1))[:, 0]


def shortened(inputs: Inputs) -> Inputs:
    """Rows cut to the longest of them, where they are padded at the end to a longer one elsewhere.

    Rows are padded to the longest text of a data set; a batch needs its own longest only. An
    exported graph reads them whole: it cannot ask values for a length.
    """
    mask = inputs.get("attention_mask")
    if mask is None or torch.compiler.is_compiling():
        return inputs
    length = max(int(mask.sum(dim=1).max()), 1) if len(mask) else 1
    return {key: value[:, :length] for key, value in inputs.items()}


def token_map(hidden: Tensor, mask: Tensor | None) -> Tensor:
    """Hidden states (n, l, c) as a map (n, c, 1, l), exact zeros where a text has no token.

    Args:
        hidden: Of all places.
        mask: (n, l), 0 where a place is padding; None where the model itself sees all places alike.
    """
    if mask is not None:
        hidden = hidden.masked_fill(rearrange(mask == 0, "n l -> n l 1"), 0)
    return rearrange(hidden, "n l c -> n c 1 l")


def save_tokenizer(folder: str | Path, config: Any, tokenizer: Any) -> list[Path]:
    """Write a model's config and tokenizer where a checkpoint keeps them; the files written."""
    path = Path(folder) / ASSETS
    config.save_pretrained(path)
    tokenizer.save_pretrained(path)
    return sorted(file for file in path.rglob("*") if file.is_file())
