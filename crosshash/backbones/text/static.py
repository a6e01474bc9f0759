"""Tables of token vectors as text encoders: no transformer when a text is encoded."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from einops import rearrange
from torch import Tensor, nn
from torch.nn import functional

from crosshash.backbones.base import TEXT_ENCODERS, Features, Inputs, TextEncoder, Texts
from crosshash.backbones.sources import check_weights, model_source
from crosshash.backbones.text._strings import as_strings, check_unknown, raise_unknown
from crosshash.backbones.text._tokens import ASSETS, shortened

CONFIG, TOKENIZER, TABLE = "config.json", "tokenizer.json", "model.safetensors"
_KINDS = {"embeddings": 2, "scales": 1, "weights": 1, "mapping": 1}  # tensors and their axes


@TEXT_ENCODERS.register("static")
class StaticText(TextEncoder):
    """The mean of a text's token vectors from a table, in model2vec's form.

    A folder has ``tokenizer.json``, ``config.json`` with ``normalize``, and ``model.safetensors``
    with ``embeddings`` (rows, d), and where a table has them ``weights`` (tokens), by which a
    token's vector is multiplied, and ``mapping`` (tokens), the row of a token. Rows of ``int8`` are
    multiplied by ``scales`` (rows), which are ours; without them by 1. Marks such as [CLS], and
    unknown tokens, do not count. ``crosshash convert static`` makes such a folder.

    A table of floating numbers is trained where the encoder is not frozen; one of ``int8`` stays as
    it is.

    Args:
        name: ``static:`` and a name on the Hub or a folder.
        weights: ``"pretrained"``, or ``"random"`` vectors (the files are read all the same).
        max_length: Most tokens of a text; what comes after is cut off.
        dequantize: Take a table of ``int8`` as floating numbers, which can be trained;
            ``crosshash zoo build`` stores it as ``int8`` again.
        table: Name, type and shape of each of its tensors, as a checkpoint has them.
        assets: Folder where ``save_assets`` has written config and tokenizer.

    Raises:
        FileNotFoundError: A file is missing.
        ValueError: The files are no such table, or do not fit each other.
    """

    embeddings: Tensor
    scales: Tensor | None
    weights: Tensor | None
    mapping: Tensor | None

    def __init__(
        self,
        name: str,
        *,
        weights: str = "pretrained",
        max_length: int = 512,
        dequantize: bool = False,
        table: Sequence[tuple[str, str, list[int]]] | None = None,
        assets: str | Path | None = None,
    ) -> None:
        super().__init__()
        check_weights(name, weights)
        if max_length < 1:
            raise ValueError(f"{name}: max_length is at least 1, got {max_length}")
        self.name = name
        self.max_length = max_length
        source = str(Path(assets) / ASSETS) if assets is not None else model_source(name)
        self._config = _file(name, source, CONFIG).read_text(encoding="utf-8")
        self._words = _file(name, source, TOKENIZER).read_text(encoding="utf-8")
        self.normalize = bool(json.loads(self._config).get("normalize", False))
        self.tokenizer, self._unknown = _tokenizer(name, self._words)
        numbers: dict[str, int] = self.tokenizer.get_vocab()
        self.vocabulary = sorted(numbers, key=numbers.__getitem__)
        if table is not None:
            tensors = {
                n: torch.zeros(shape, dtype=getattr(torch, kind)) for n, kind, shape in table
            }
        else:
            tensors = _read_table(name, _file(name, source, TABLE), dequantize)
        _check_table(name, tensors, max(numbers.values()) + 1)
        if weights == "random" and tensors["embeddings"].is_floating_point():
            nn.init.normal_(tensors["embeddings"])
        for kind in _KINDS:
            value = tensors.get(kind)
            if kind == "embeddings" and value is not None and value.is_floating_point():
                self.embeddings = nn.Parameter(value)
            else:
                self.register_buffer(kind, value)

    @property
    def dim(self) -> int:
        """d, width of a token's vector."""
        return int(self.embeddings.shape[1])

    def prepare(self, texts: Texts, *, unknown: str = "raise") -> Inputs:
        """Token ids of strings, padded at the end to the longest, without marks.

        Returns:
            ``{"input_ids": int64 (n, l), "attention_mask": int64 (n, l)}``.

        Raises:
            ValueError: A text has no token that the table knows, and ``unknown="raise"``.
        """
        check_unknown(unknown)
        strings = as_strings(texts)
        found = [
            [number for number in encoding.ids if number != self._unknown][: self.max_length]
            for encoding in self.tokenizer.encode_batch(strings, add_special_tokens=False)
        ]
        longest = max((len(numbers) for numbers in found), default=1) or 1
        ids = torch.zeros(len(found), longest, dtype=torch.int64)
        mask = torch.zeros_like(ids)
        for row, numbers in enumerate(found):
            ids[row, : len(numbers)] = torch.tensor(numbers, dtype=torch.int64)
            mask[row, : len(numbers)] = 1
        inputs = {"input_ids": ids, "attention_mask": mask}
        if unknown == "raise":
            raise_unknown(strings, self.unknown_rows(inputs), "it has no known token")
        return inputs

    def unknown_rows(self, inputs: Inputs) -> Tensor:
        """Row numbers, ``int64`` (m,), of texts without a known token; their feature is 0."""
        return torch.nonzero(inputs["attention_mask"].sum(dim=1) == 0)[:, 0]

    def forward(self, inputs: Inputs) -> Features:
        """The mean of the tokens' vectors, of length 1 if the config says so: pooled (n, d)."""
        short = shortened(inputs)
        ids, mask = short["input_ids"], short["attention_mask"]
        rows = ids if self.mapping is None else self.mapping[ids]
        vectors = self.embeddings[rows]
        if self.scales is not None:
            vectors = vectors * rearrange(self.scales[rows], "n l -> n l 1")
        factor = mask.to(vectors.dtype)
        if self.weights is not None:
            factor = factor * self.weights[ids]
        total = (vectors * rearrange(factor, "n l -> n l 1")).sum(dim=1)
        mean = total / rearrange(mask.sum(dim=1).clamp(min=1), "n -> n 1")
        return Features(functional.normalize(mean, dim=-1) if self.normalize else mean)

    @torch.no_grad()
    def quantize(self) -> None:
        """Make the table one of ``int8`` with a scale for each row; one that is stays as it is."""
        if not self.embeddings.is_floating_point():
            return
        integers, scales = integer_rows(self.embeddings.detach())
        del self.embeddings
        self.register_buffer("embeddings", integers)
        self.register_buffer("scales", scales)

    def spec(self) -> dict[str, Any]:
        """Name, length, and the table's types and shapes; config and tokenizer are assets."""
        table = [
            [name, str(value.dtype).removeprefix("torch."), list(value.shape)]
            for name, value in self.state_dict().items()
        ]
        return {
            "name": self.name,
            "weights": "random",
            "max_length": self.max_length,
            "table": sorted(table),
        }

    def save_assets(self, folder: str | Path) -> list[Path]:
        """Write config and tokenizer into the folder's ``text_encoder``."""
        path = Path(folder) / ASSETS
        path.mkdir(parents=True, exist_ok=True)
        (path / CONFIG).write_text(self._config, encoding="utf-8")
        (path / TOKENIZER).write_text(self._words, encoding="utf-8")
        return [path / CONFIG, path / TOKENIZER]


def integer_rows(rows: Tensor) -> tuple[Tensor, Tensor]:
    """Rows (n, d) as ``int8`` in -127…127, and their scales (n,), exact in half precision."""
    scales = (rows.abs().amax(dim=1) / 127).half().float()
    # A scale that half precision rounds down would put the largest value beyond 127.
    integers = (rows / scales.clamp(min=1e-12)[:, None]).round().clamp(-127, 127)
    return integers.to(torch.int8), scales


def _file(name: str, source: str, file: str) -> Path:
    told = f"{name}: {file} was not found; a table's folder has {CONFIG}, {TOKENIZER} and {TABLE}"
    if Path(source).is_dir():
        path = Path(source) / file
        if not path.is_file():
            raise FileNotFoundError(told)
        return path
    from huggingface_hub import hf_hub_download

    try:
        return Path(hf_hub_download(source, file))
    except (OSError, ValueError) as error:
        raise FileNotFoundError(f"{told} ({error})") from error


def _tokenizer(name: str, words: str) -> tuple[Any, int | None]:
    """The tokenizer, and the number of its unknown token."""
    from tokenizers import Tokenizer

    try:
        tokenizer = Tokenizer.from_str(words)
    except Exception as error:  # tokenizers has no exception of its own
        raise ValueError(f"{name}: {TOKENIZER} is no tokenizer ({error})") from error
    tokenizer.no_padding()
    tokenizer.no_truncation()
    model = json.loads(words)["model"]
    unknown = model.get("unk_token")
    return tokenizer, model.get("unk_id") if unknown is None else tokenizer.token_to_id(unknown)


def _read_table(name: str, path: Path, dequantize: bool) -> dict[str, Tensor]:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        found = load_file(path)
    except (SafetensorError, OSError) as error:
        raise ValueError(f"{name}: {path}: not a safetensors file ({error})") from error
    if set(found) - set(_KINDS) or "embeddings" not in found:
        raise ValueError(
            f"{name}: {path} holds {sorted(found)[:5]}; a table of token vectors holds "
            f"'embeddings' and nothing beside {', '.join(list(_KINDS)[1:])}. A transformer is "
            f"given as hf:, or made one by `crosshash convert static`"
        )
    rows = found["embeddings"]
    tensors = {n: v.long() if n == "mapping" else v.float() for n, v in found.items()}
    if rows.dtype == torch.int8:
        scales = tensors.setdefault("scales", torch.ones(len(rows)))
        tensors["embeddings"] = rows
        if dequantize:
            tensors["embeddings"] = rows * rearrange(scales, "n -> n 1")
            del tensors["scales"]
    return tensors


def _check_table(name: str, tensors: dict[str, Tensor], tokens: int) -> None:
    """Refuse tensors that do not fit each other or the tokenizer."""
    rows = len(tensors["embeddings"])
    lengths = {"embeddings": rows, "scales": rows, "weights": tokens, "mapping": tokens}
    if "mapping" not in tensors:
        lengths["embeddings"] = tokens
    for kind, value in tensors.items():
        if value.ndim != _KINDS[kind] or len(value) != lengths[kind]:
            raise ValueError(
                f"{name}: {kind} has the shape {tuple(value.shape)}; its tokenizer has {tokens} "
                f"tokens and its table {rows} rows"
            )
    mapping = tensors.get("mapping")
    if (
        mapping is not None
        and len(mapping)
        and not 0 <= int(mapping.min()) <= int(mapping.max()) < rows
    ):
        raise ValueError(f"{name}: mapping leads to rows that are not among the {rows}")
