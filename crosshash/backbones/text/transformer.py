"""Transformers from the Hugging Face Hub, or from a folder, as text encoders."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import torch
from einops import rearrange
from torch import Tensor, nn

from crosshash.backbones.base import TEXT_ENCODERS, Features, Inputs, TextEncoder, Texts
from crosshash.backbones.sources import check_weights, model_source, read_model, read_model_config
from crosshash.backbones.text._tokens import (
    ASSETS,
    read_tokenizer,
    rows_without_words,
    save_tokenizer,
    shortened,
    token_map,
    tokenized,
    vocabulary_of,
)
from crosshash.backbones.tuning import choose_trained, has_lora

Pooling = Literal["mean", "cls", "eos", "last"]


@TEXT_ENCODERS.register("hf")
class TransformerText(TextEncoder):
    """A transformer whose last hidden states are pooled over the tokens of a text.

    Only safetensors weights are read, and no code from the Hub is run. Of an encoder-decoder
    model the encoder is taken; a pooler head is left out.

    Args:
        name: ``hf:`` and a name on the Hub or a folder.
        weights: ``"pretrained"``, or ``"random"`` (config and tokenizer are read all the same).
        max_length: Most tokens of a text; what comes after is cut off.
        pooling: ``"mean"`` over the text's tokens, as most sentence encoders have it; the state of
            its first token (``"cls"``), of its first mark of the end (``"eos"``, which is [SEP]
            where a tokenizer has no other), or of its ``"last"`` token.
        trainable_blocks: How many of the last blocks are trained where the encoder is not frozen.
            Default: all of the transformer.
        lora: Train low-rank adapters only, as :class:`~crosshash.backbones.text.clip.ClipText`.
        assets: Folder where ``save_assets`` has written config and tokenizer.

    Raises:
        FileNotFoundError: The model, its tokenizer or its safetensors weights cannot be found.
        ValueError: It is no text model, its weights are incomplete, its tokenizer puts no mark of
            the end where ``pooling="eos"`` needs one, or an option is wrong.
    """

    def __init__(
        self,
        name: str,
        *,
        weights: str = "pretrained",
        max_length: int = 64,
        pooling: Pooling = "mean",
        trainable_blocks: int | None = None,
        lora: Mapping[str, Any] | None = None,
        assets: str | Path | None = None,
    ) -> None:
        super().__init__()
        check_weights(name, weights)
        self.name = name
        self.max_length = max_length
        self.pooling = pooling
        source = str(Path(assets) / ASSETS) if assets is not None else model_source(name)
        self.tokenizer: Any
        self.model: Any
        self.tokenizer, self.model = _build(name, source, weights, assets is not None)
        self.channels = self.dim
        self.vocabulary = vocabulary_of(self.tokenizer)
        self._end = _end_mark(name, self.tokenizer) if pooling == "eos" else -1
        self.trainable_blocks = trainable_blocks
        self.lora = None if lora is None else dict(lora)
        self._still = choose_trained(name, self.model, trainable_blocks, lora)
        self.train()

    def train(self, mode: bool = True) -> TransformerText:
        """Set training mode; blocks that are not trained stay in eval mode."""
        super().train(mode)
        for module in self._still:
            module.eval()
        return self

    @property
    def dim(self) -> int:
        """d, width of the hidden states."""
        return int(self.model.config.hidden_size)

    def prepare(self, texts: Texts, *, unknown: str = "raise") -> Inputs:
        """Token ids of strings, padded at the end to the longest.

        Returns:
            ``{"input_ids": int64 (n, l), "attention_mask": int64 (n, l)}``.

        Raises:
            ValueError: A text has no token, and ``unknown="raise"``.
        """
        return tokenized(self.tokenizer, texts, unknown=unknown, max_length=self.max_length)

    def unknown_rows(self, inputs: Inputs) -> Tensor:
        """Row numbers, ``int64`` (m,), of texts of which only marks such as [CLS] remain."""
        return rows_without_words(self.tokenizer, inputs)

    def forward(self, inputs: Inputs) -> Features:
        """The last hidden states, pooled (n, d), and as they are, (n, d, 1, l).

        The map has the marks of begin and end too, and is as long as the longest text.
        """
        short = shortened(inputs)
        ids, mask = short["input_ids"], short["attention_mask"]
        hidden = self.model(input_ids=ids, attention_mask=mask).last_hidden_state
        return Features(self._pooled(hidden, ids, mask), token_map(hidden, mask))

    def _pooled(self, hidden: Tensor, ids: Tensor, mask: Tensor) -> Tensor:
        if self.pooling == "mean":
            weight = rearrange(mask, "n l -> n l 1").to(hidden.dtype)
            return (hidden * weight).sum(dim=1) / weight.sum(dim=1).clamp(min=1)
        if self.pooling == "cls":
            return hidden[:, 0]
        if self.pooling == "eos":
            place = (ids == self._end).to(torch.uint8).argmax(dim=1)  # the first
        else:
            place = mask.sum(dim=1).clamp(min=1) - 1
        return hidden[torch.arange(len(ids), device=ids.device), place]

    def spec(self) -> dict[str, Any]:
        """Name, length, and what else was given; config and tokenizer are assets."""
        spec = {"name": self.name, "weights": "random", "max_length": self.max_length}
        # Adapters that are part of the weights are no option any more.
        given = {
            "pooling": None if self.pooling == "mean" else self.pooling,
            "trainable_blocks": self.trainable_blocks,
            "lora": self.lora if has_lora(self.model) else None,
        }
        return {**spec, **{key: value for key, value in given.items() if value}}

    def save_assets(self, folder: str | Path) -> list[Path]:
        """Write config and tokenizer into the folder's ``text_encoder``."""
        return save_tokenizer(folder, self.model.config, self.tokenizer)


def _end_mark(name: str, tokenizer: Any) -> int:
    end = tokenizer.eos_token_id
    end = tokenizer.sep_token_id if end is None else end
    if end is None or end not in tokenizer("a")["input_ids"]:
        raise ValueError(
            f"{name}: pooling 'eos' needs a tokenizer that ends a text with a mark, which this one "
            "does not; use 'mean' or 'last'"
        )
    return int(end)


def _check_text(name: str, config: Any) -> None:
    instead = "give a text encoder such as hf:sentence-transformers/all-MiniLM-L6-v2"
    if hasattr(config, "num_channels") and not hasattr(config, "vocab_size"):
        raise ValueError(f"{name}: {config.model_type!r} is a model of pictures alone; {instead}")
    if hasattr(config, "text_config") or not hasattr(config, "hidden_size"):
        raise ValueError(f"{name}: {config.model_type!r} is no model of text alone; {instead}")


def _build(name: str, source: str, weights: str, offline: bool) -> tuple[Any, nn.Module]:
    from transformers import AutoModel

    config = read_model_config(name, source, offline=offline)
    _check_text(name, config)
    tokenizer = read_tokenizer(name, source, offline=offline)
    if weights == "pretrained":
        model: Any = read_model(name, source, config, spare="pooler.")
    else:
        model = AutoModel.from_config(config, trust_remote_code=False)
    if config.is_encoder_decoder:
        model = model.get_encoder()
    if "add_pooling_layer" in inspect.signature(type(model).__init__).parameters:
        model.pooler = None
    tokenizer.padding_side = "right"
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    # A checkpoint may be in half precision; types are the trainer's choice, not the file's.
    return tokenizer, model.float()
