"""The text half of CLIP, SigLIP and other dual encoders of transformers."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from crosshash.backbones.base import TEXT_ENCODERS, Features, Inputs, TextEncoder, Texts
from crosshash.backbones.dual import build_half, pooled_feature, read_architecture
from crosshash.backbones.sources import check_weights, model_source
from crosshash.backbones.text._strings import as_strings
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

# Models that read their feature at the last place, padding or not, and so were trained on texts of
# one length.
_PADDED = ("siglip", "siglip2")
# SigLIP's tokenizer brings texts to lower case itself. SigLIP 2 was trained on such, with Gemma's
# tokenizer, which its repositories name and which does not.
_LOWER = _PADDED


@TEXT_ENCODERS.register("clip")
class ClipText(TextEncoder):
    """A dual encoder's text tower with its projection: what ``get_text_features`` gives.

    Tokens, length and padding are the model's own: CLIP has up to 77 tokens and reads the state of
    the mark of the end; SigLIP has 64 always, padded, and reads the last. Texts of SigLIP and
    SigLIP 2 are in lower case.

    Args:
        name: ``clip:`` and a name on the Hub or a folder, in transformers' form.
        weights: ``"pretrained"``, or ``"random"`` (config and tokenizer are read all the same).
        max_length: Most tokens of a text; default: the model's own.
        normalize: Bring features to length 1, which the model's own are not.
        trainable_blocks: How many of the last blocks are trained where the encoder is not frozen,
            with the norm and projection behind them. Default: all of the tower.
        lora: Train low-rank adapters only: some of ``rank``, ``alpha``, ``dropout``, ``targets``,
            as :func:`crosshash.backbones.tuning.add_lora` says; needs peft. They become part of the
            weights when the model is saved.
        assets: Folder where ``save_assets`` has written config and tokenizer.

    Raises:
        FileNotFoundError: Config, tokenizer or safetensors weights cannot be found.
        ValueError: It is no dual encoder, or an option is wrong.
    """

    def __init__(
        self,
        name: str,
        *,
        weights: str = "pretrained",
        max_length: int | None = None,
        normalize: bool = False,
        trainable_blocks: int | None = None,
        lora: Mapping[str, Any] | None = None,
        assets: str | Path | None = None,
    ) -> None:
        super().__init__()
        check_weights(name, weights)
        self.name = name
        source = str(Path(assets) / ASSETS) if assets is not None else model_source(name)
        self.config = read_architecture(name, "text", source, offline=assets is not None)
        self.tokenizer: Any = read_tokenizer(name, source, offline=assets is not None)
        self.vocabulary = vocabulary_of(self.tokenizer)
        most = _longest(self.tokenizer, self.config.text_config)
        self.max_length = most if max_length is None else max_length
        self._padding = "max_length" if self.config.model_type in _PADDED else "longest"
        if not 1 <= self.max_length <= most:
            raise ValueError(f"{name}: max_length is from 1 to {most}, got {max_length}")
        self.normalize = normalize
        self.model: Any = build_half(
            name, "text", self.config, source if weights == "pretrained" else None
        )
        with torch.no_grad():
            features = self(self.prepare("a", unknown="allow"))
        self._dim = int(features.pooled.shape[1])
        self.channels = 0 if features.map is None else int(features.map.shape[1])
        self.trainable_blocks = trainable_blocks
        self.lora = None if lora is None else dict(lora)
        self._still = choose_trained(name, self.model, trainable_blocks, lora)
        self.train()

    def train(self, mode: bool = True) -> ClipText:
        """Set training mode; blocks that are not trained stay in eval mode."""
        super().train(mode)
        for module in self._still:
            module.eval()
        return self

    @property
    def dim(self) -> int:
        """d, width of the projection."""
        return self._dim

    def prepare(self, texts: Texts, *, unknown: str = "raise") -> Inputs:
        """Token ids of strings, padded as the model was trained.

        Returns:
            ``{"input_ids": int64 (n, l)}``, and ``"attention_mask"``, the same, where the model's
            tokenizer has one.

        Raises:
            ValueError: A text has no token, and ``unknown="raise"``.
        """
        if self.config.model_type in _LOWER:
            texts = [text.lower() for text in as_strings(texts)]
        return tokenized(
            self.tokenizer,
            texts,
            unknown=unknown,
            max_length=self.max_length,
            padding=self._padding,
            mask="attention_mask" in self.tokenizer.model_input_names,
        )

    def unknown_rows(self, inputs: Inputs) -> Tensor:
        """Row numbers, ``int64`` (m,), of texts of which only marks of begin and end remain."""
        return rows_without_words(self.tokenizer, inputs)

    def forward(self, inputs: Inputs) -> Features:
        """The model's text feature, pooled (n, d), and the tower's last hidden states as the map.

        Where the tokenizer tells no padding, as SigLIP's does not, all places are tokens.
        """
        given = shortened(inputs) if self._padding == "longest" else inputs
        found = self.model.get_text_features(**given)
        pooled, hidden = pooled_feature(found, self.normalize), found.last_hidden_state
        if hidden is None:
            return Features(pooled)
        return Features(pooled, token_map(hidden, given.get("attention_mask")))

    def spec(self) -> dict[str, Any]:
        """Name, length, and what else was given; config and tokenizer are assets."""
        spec = {"name": self.name, "weights": "random", "max_length": self.max_length}
        # Adapters that are part of the weights are no option any more.
        given = {
            "normalize": self.normalize,
            "trainable_blocks": self.trainable_blocks,
            "lora": self.lora if has_lora(self.model) else None,
        }
        return {**spec, **{key: value for key, value in given.items() if value}}

    def save_assets(self, folder: str | Path) -> list[Path]:
        """Write config and tokenizer into the folder's ``text_encoder``."""
        return save_tokenizer(folder, self.config, self.tokenizer)


def _longest(tokenizer: Any, config: Any) -> int:
    """Most tokens that a tower takes: what its tokenizer says, within its table of positions."""
    positions = int(getattr(config, "max_position_embeddings", tokenizer.model_max_length))
    return min(int(tokenizer.model_max_length), positions)
