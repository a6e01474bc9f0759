"""Transformers from the Hugging Face Hub, or from a folder, as text encoders."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

import torch
from einops import rearrange
from torch import Tensor, nn

from crosshash.backbones.base import TEXT_ENCODERS, Features, Inputs, TextEncoder, Texts
from crosshash.backbones.text._strings import as_strings, check_unknown, raise_unknown
from crosshash.files import locate

# A folder of its own in a checkpoint, whose config.json must not be the checkpoint's.
ASSETS = "text_encoder"


@TEXT_ENCODERS.register("hf")
class TransformerText(TextEncoder):
    """A transformer whose last hidden states are averaged over the tokens of a text.

    Only safetensors weights are read, and no code from the Hub is run. Of an encoder-decoder
    model the encoder is taken; a pooler head is left out.

    Args:
        name: ``hf:`` and a name on the Hub or a folder.
        weights: ``"pretrained"``, or ``"random"`` (config and tokenizer are read all the same).
        max_length: Most tokens of a text; what comes after is cut off.
        assets: Folder where ``save_assets`` has written config and tokenizer.

    Raises:
        FileNotFoundError: The model, or its safetensors weights, cannot be found.
        ValueError: It is no text model, or its weights are incomplete.
    """

    def __init__(
        self,
        name: str,
        *,
        weights: str = "pretrained",
        max_length: int = 64,
        assets: str | Path | None = None,
    ) -> None:
        super().__init__()
        if weights not in ("pretrained", "random"):
            raise ValueError(
                f"{name}: weights are 'pretrained' or 'random', got {weights!r}; for a file of "
                "your own, give its folder as hf:<folder>"
            )
        self.name = name
        self.max_length = max_length
        source = str(Path(assets) / ASSETS) if assets is not None else _source(name)
        self.tokenizer: Any
        self.model: Any
        self.tokenizer, self.model = _build(name, source, weights, assets is not None)
        numbers: dict[str, int] = self.tokenizer.get_vocab()
        self.vocabulary = sorted(numbers, key=numbers.__getitem__)

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
        check_unknown(unknown)
        strings = as_strings(texts)
        if not strings:
            empty = torch.zeros(0, 1, dtype=torch.int64)
            return {"input_ids": empty, "attention_mask": empty.clone()}
        tokens = self.tokenizer(
            strings,
            padding=True,
            truncation=True,
            max_length=self.max_length,
            return_tensors="pt",
        )
        inputs = {key: tokens[key].to(torch.int64) for key in ("input_ids", "attention_mask")}
        if unknown == "raise":
            raise_unknown(strings, self.unknown_rows(inputs), "it has no token")
        return inputs

    def unknown_rows(self, inputs: Inputs) -> Tensor:
        """Row numbers, ``int64`` (m,), of texts of which only marks such as [CLS] remain."""
        marks = set(self.tokenizer.all_special_ids) - {self.tokenizer.unk_token_id}
        real = ~torch.isin(inputs["input_ids"], torch.tensor(sorted(marks), dtype=torch.int64))
        return torch.nonzero(~(real & inputs["attention_mask"].bool()).any(dim=1))[:, 0]

    def forward(self, inputs: Inputs) -> Features:
        """Mean over the attended tokens of the last hidden states: pooled (n, d)."""
        ids, mask = inputs["input_ids"], inputs["attention_mask"]
        # Rows are padded to the longest text of the data set; a batch needs its own longest only.
        # An exported graph reads them whole: it cannot ask values for a length.
        if not torch.compiler.is_compiling():
            length = max(int(mask.sum(dim=1).max()), 1) if len(mask) else 1
            ids, mask = ids[:, :length], mask[:, :length]
        hidden = self.model(input_ids=ids, attention_mask=mask).last_hidden_state
        weight = rearrange(mask, "n l -> n l 1").to(hidden.dtype)
        return Features((hidden * weight).sum(dim=1) / weight.sum(dim=1).clamp(min=1))

    def spec(self) -> dict[str, Any]:
        """Name and length; config and tokenizer are assets."""
        return {"name": self.name, "weights": "random", "max_length": self.max_length}

    def save_assets(self, folder: str | Path) -> list[Path]:
        """Write config and tokenizer into the folder's ``text_encoder``."""
        path = Path(folder) / ASSETS
        self.model.config.save_pretrained(path)
        self.tokenizer.save_pretrained(path)
        return sorted(file for file in path.rglob("*") if file.is_file())


def _source(name: str) -> str:
    source = name.partition(":")[2]
    if not source:
        raise ValueError("hf: needs a model: hf:<name on the Hub or folder>")
    try:
        return str(locate(source))
    except FileNotFoundError:
        return source


def _build(name: str, source: str, weights: str, offline: bool) -> tuple[Any, nn.Module]:
    from transformers import AutoConfig, AutoModel, AutoTokenizer

    options: dict[str, Any] = {"trust_remote_code": False, "local_files_only": offline}
    try:
        config = AutoConfig.from_pretrained(source, **options)
        if hasattr(config, "text_config") or not hasattr(config, "hidden_size"):
            raise ValueError(
                f"{name}: {config.model_type!r} is no model of text alone; give a text encoder "
                "such as hf:sentence-transformers/all-MiniLM-L6-v2"
            )
        tokenizer = AutoTokenizer.from_pretrained(source, **options)
        if weights == "pretrained":
            model, report = AutoModel.from_pretrained(
                source, config=config, use_safetensors=True, output_loading_info=True, **options
            )
            _check_complete(name, report)
        else:
            model = AutoModel.from_config(config, trust_remote_code=False)
    except OSError as error:
        raise FileNotFoundError(
            f"{name}: config, tokenizer and safetensors weights were not found together ({error}); "
            "check the name, the connection, and that the weights are in model.safetensors"
        ) from error
    if config.is_encoder_decoder:
        model = model.get_encoder()
    if "add_pooling_layer" in inspect.signature(type(model).__init__).parameters:
        model.pooler = None
    tokenizer.padding_side = "right"
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    # A checkpoint may be in half precision; types are the trainer's choice, not the file's.
    return tokenizer, model.float()


def _check_complete(name: str, report: dict[str, Any]) -> None:
    missing = [key for key in report["missing_keys"] if "pooler." not in key]
    mismatched = [str(key[0]) for key in report["mismatched_keys"]]
    if missing or mismatched:
        raise ValueError(
            f"{name}: its weights do not fill the model: missing {sorted(missing)[:5]}, of another "
            f"shape {sorted(mismatched)[:5]}; give the folder of a whole model"
        )
