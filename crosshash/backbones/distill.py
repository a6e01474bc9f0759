"""A transformer's vocabulary as a table of token vectors, for the text encoder ``static:``."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from crosshash.backbones.forward import evaluating
from crosshash.backbones.text.static import CONFIG, TABLE, TOKENIZER, integer_rows
from crosshash.backbones.text.transformer import TransformerText
from crosshash.files import atomic_folder
from crosshash.needs import needs

_MARK = re.compile(r"\[.+\]$|<.+>$")  # [CLS], [unused1], <s>


def convert_static(
    name: str,
    output: str | Path,
    *,
    dim: int = 256,
    sif: float | None = 1e-4,
    int8: bool = False,
    most_tokens: int | None = None,
    batch_size: int = 512,
) -> dict[str, Any]:
    """Make a table of token vectors of a sentence encoder, as model2vec does.

    Each token goes through the transformer alone, between the marks of begin and end; the features
    are reduced by PCA; and a token's vector is multiplied by a / (a + p), the weight of smooth
    inverse frequency (Arora et al. 2017, https://openreview.net/forum?id=SyK00v5xx, section 3),
    with p from Zipf's law over the order of the vocabulary, p_r proportional to 1 / r for the token
    of rank r, as in model2vec (https://github.com/MinishLab/model2vec). Ours: tokens are pooled as
    the encoder pools texts; marks such as [CLS] and [unused1] have no rank, but keep rows that no
    text reads, so that the tokenizer stays as it is; and ``int8`` has a scale for each row.

    Args:
        name: ``hf:`` and a name on the Hub or a folder.
        output: The folder to make or replace.
        dim: d, width of the vectors, at most the encoder's.
        sif: a; None leaves all weights at 1.
        int8: Store a row as integers in -127…127 with its scale, in a quarter of the space. Such a
            table is read here; model2vec knows no scales of rows.
        most_tokens: Keep so many tokens at most, the first of the vocabulary, which in BERT's are
            the most frequent; and none with other characters than ASCII's, nor marks such as
            [unused1], of which 27,628 are left in BERT's English vocabulary. A rarer word is read
            in pieces then; one of other characters is unknown, but for accents that the tokenizer
            strips. Default: all tokens.
        batch_size: Tokens that go through the transformer together.

    Returns:
        ``tokens``, ``dim``, ``variance`` (the share that PCA keeps) and ``bytes`` of the table.

    Raises:
        ValueError: The name is no ``hf:``, ``dim`` is too large, or the tokenizer is not one of the
            library tokenizers, or, for ``most_tokens``, not one of words or WordPiece.
        ModuleNotFoundError: scikit-learn is not installed.
    """
    from safetensors.torch import save_file

    if not name.startswith("hf:"):
        raise ValueError(f"{name!r}: a table is made of a transformer: hf:<name or folder>")
    with needs("sklearn", "making a table of token vectors", "scikit-learn"):
        from sklearn.decomposition import PCA
    encoder = TransformerText(name)
    words = getattr(encoder.tokenizer, "backend_tokenizer", None)
    if words is None:
        raise ValueError(f"{name}: its tokenizer has no tokenizer.json, which a table needs")
    tokens = len(words.get_vocab())
    vocabulary, tokenizer = list(encoder.vocabulary or []), words.to_str()
    kept = list(range(tokens))
    if most_tokens is not None:
        tokenizer, kept = _fewer_tokens(name, tokenizer, most_tokens)
        vocabulary = [vocabulary[number] for number in kept]
    if not 1 <= dim <= min(encoder.dim, len(kept)):
        raise ValueError(
            f"{name}: dim is from 1 to {min(encoder.dim, len(kept))}, its width or its number of "
            f"tokens, got {dim}"
        )
    features = token_features(encoder, kept, batch_size)
    pca = PCA(dim, svd_solver="full")
    rows = torch.from_numpy(pca.fit_transform(features.numpy())).float()
    if sif is not None:
        weights = torch.ones(len(kept))
        used = [number for number, token in enumerate(vocabulary) if not _MARK.match(token)]
        weights[used] = zipf_weights(len(used), sif)
        rows = rows * weights[:, None]
    tensors = {"embeddings": rows.contiguous()}
    if int8:
        integers, scales = integer_rows(rows)
        tensors = {"embeddings": integers.contiguous(), "scales": scales}
    config = {
        "model_type": "model2vec",
        "normalize": True,
        "hidden_dim": dim,
        "sif_coefficient": sif,
    }
    holds = (TABLE, TOKENIZER, CONFIG)
    with atomic_folder(output, holds=holds, what="a word table") as folder:
        save_file(tensors, str(folder / TABLE))
        (folder / TOKENIZER).write_text(tokenizer, encoding="utf-8")
        (folder / CONFIG).write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
        size = (folder / TABLE).stat().st_size
    variance = float(pca.explained_variance_ratio_.sum())
    return {"tokens": len(kept), "dim": dim, "variance": variance, "bytes": size}


def _fewer_tokens(name: str, words: str, most: int) -> tuple[str, list[int]]:
    """A tokenizer of the first tokens that an English text may have, and their ids."""
    tokenizer = json.loads(words)
    vocabulary = tokenizer["model"].get("vocab")
    if tokenizer["model"].get("type") not in ("WordPiece", "WordLevel"):
        raise ValueError(
            f"{name}: most_tokens shortens a vocabulary of words or WordPiece, and this is one of "
            f"{tokenizer['model'].get('type')}; leave it out"
        )
    # Added tokens, such as [CLS], are known by content and number.
    added = {entry["content"] for entry in tokenizer["added_tokens"]}
    stays = [
        (token, number)
        for token, number in sorted(vocabulary.items(), key=lambda item: item[1])
        if token in added or (token.isascii() and not _MARK.match(token))
    ]
    always = {token for token, _ in stays if len(token.removeprefix("##")) == 1} | added
    if most < len(always):
        raise ValueError(
            f"{name}: most_tokens is at least {len(always)}, the marks and single characters of "
            f"its vocabulary, got {most}"
        )
    # Any word can be read in single characters, so that these stay wherever they stand.
    others = [token for token, _ in stays if token not in always][: most - len(always)]
    chosen = always.union(others)
    stays = [entry for entry in stays if entry[0] in chosen]
    places = {token: place for place, (token, _) in enumerate(stays)}
    tokenizer["model"]["vocab"] = places
    for entry in tokenizer["added_tokens"]:
        entry["id"] = places[entry["content"]]
    # It adds marks by their old numbers; no text of a table has any.
    tokenizer["post_processor"] = tokenizer["truncation"] = tokenizer["padding"] = None
    text = json.dumps(tokenizer, ensure_ascii=False, separators=(",", ":"))
    return text, [number for _, number in stays]


@torch.inference_mode()
def token_features(encoder: TransformerText, tokens: list[int], batch_size: int) -> Tensor:
    """Features (len(tokens), h) of each token alone, by their ids."""
    plain = encoder.tokenizer("a", add_special_tokens=False)["input_ids"]
    marked = encoder.tokenizer("a")["input_ids"]
    place = next(i for i in range(len(marked)) if marked[i : i + len(plain)] == plain)
    before = torch.tensor(marked[:place], dtype=torch.int64)
    after = torch.tensor(marked[place + len(plain) :], dtype=torch.int64)
    parts = []
    with evaluating(encoder):
        for ids in torch.tensor(tokens).split(batch_size):
            n = len(ids)
            rows = torch.cat([before.expand(n, -1), ids[:, None], after.expand(n, -1)], dim=1)
            inputs = {"input_ids": rows, "attention_mask": torch.ones_like(rows)}
            parts.append(encoder(inputs).pooled)
    return torch.cat(parts)


def zipf_weights(tokens: int, sif: float) -> Tensor:
    """Weights (tokens,) in (0, 1) of tokens in the order of their frequency: a / (a + p)."""
    share = 1 / torch.arange(1, tokens + 1, dtype=torch.float64)
    share /= share.sum()
    return (sif / (sif + share)).float()
