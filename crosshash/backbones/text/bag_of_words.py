"""Texts as bags of words."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from crosshash.backbones.base import (
    TEXT_ENCODERS,
    Features,
    Inputs,
    TextEncoder,
    Texts,
    check_features,
)
from crosshash.backbones.text._strings import as_strings, check_unknown, raise_unknown
from crosshash.files import locate
from crosshash.needs import needs

VOCABULARY_FILE = "vocabulary.json"
_PATTERNS = {
    # scikit-learn's default, fixed here so that a vocabulary keeps its meaning: two letters and up.
    "words": r"(?u)\b\w\w+\b",
    "tags": r"(?u)\S+",
}


@TEXT_ENCODERS.register("bow")
class BagOfWords(TextEncoder):
    """Which words of a vocabulary occur in a text: (n, d) in {0, 1}.

    The vocabulary is learnt once by ``fit`` (the words that occur in most texts, ties by alphabet,
    most frequent first) and kept with the checkpoint.

    Args:
        size: Most words in the vocabulary; 1386 is how many tags of MIRFLICKR-25K papers use.
        tokens: ``"words"``: runs of two or more letters and digits; ``"tags"``: whatever stands
            between spaces, so that the tags "b&w" and "x" survive whole.
        lowercase: Whether "Dog" is "dog".
        stop_words: ``"english"`` for scikit-learn's list, or words to leave out.
        min_df: Fewest texts in which a word of the vocabulary occurs.
        vocabulary: The words in their order, where they are known already, or a text file of them,
            as given or below ``CROSSHASH_DATA``: one on each line, what follows after a space is
            not read, and a word that comes again counts once (so ``common_tags.txt`` of MIRFLICKR
            and ``TagList1k.txt`` of NUS-WIDE are such files, with ``tokens="tags"``). ``fit`` is
            then not needed, and ``size`` is not used.
        assets: Folder where ``save_assets`` has written the vocabulary.
    """

    name = "bow"
    takes_rows = True

    def __init__(
        self,
        *,
        size: int = 1386,
        tokens: Literal["words", "tags"] = "words",
        lowercase: bool = True,
        stop_words: str | Sequence[str] | None = None,
        min_df: int = 1,
        vocabulary: Sequence[str] | str | Path | None = None,
        assets: str | Path | None = None,
    ) -> None:
        super().__init__()
        if size <= 0:
            raise ValueError(f"bow: size is the number of words, got {size}")
        if tokens not in _PATTERNS:
            raise ValueError(f"bow: tokens={tokens!r} is unknown; use 'words' or 'tags'")
        self.size = size
        self.tokens = tokens
        self._pattern = re.compile(_PATTERNS[tokens])
        self.lowercase = lowercase
        self.stop_words = (
            stop_words if isinstance(stop_words, (str, type(None))) else list(stop_words)
        )
        if isinstance(self.stop_words, str) and self.stop_words != "english":
            raise ValueError(f"bow: stop_words are 'english' or a list, got {stop_words!r}")
        if min_df < 1:
            raise ValueError(f"bow: min_df is a number of texts, at least 1, got {min_df}")
        self.min_df = min_df
        self.vocabulary = None
        if assets is not None:
            vocabulary = json.loads((Path(assets) / VOCABULARY_FILE).read_text(encoding="utf-8"))
        elif isinstance(vocabulary, (str, Path)):
            vocabulary = _word_file(vocabulary)
        if vocabulary is not None:
            self._set_vocabulary(vocabulary)

    def _set_vocabulary(self, words: Any) -> None:
        whole = isinstance(words, (list, tuple)) and all(isinstance(word, str) for word in words)
        if not whole or not words or len(set(words)) < len(words):
            raise ValueError("bow: a vocabulary is a list of different words, at least one")
        self.vocabulary = list(words)
        self._columns = {word: column for column, word in enumerate(words)}

    def _split(self, text: str) -> set[str]:
        """The different words of a text, as scikit-learn finds them, whose import takes longer."""
        return set(self._pattern.findall(text.lower() if self.lowercase else text))

    @property
    def fitted(self) -> bool:
        """Whether there is a vocabulary."""
        return self.vocabulary is not None

    @property
    def dim(self) -> int:
        """d, the number of words; at most ``size``."""
        return len(self._words())

    def _words(self) -> list[str]:
        if self.vocabulary is None:
            raise RuntimeError("bow has no vocabulary yet: call fit(texts of the training set)")
        return self.vocabulary

    def fit(self, texts: Sequence[str]) -> BagOfWords:
        """Learn the vocabulary from the texts of the training set; returns itself.

        Raises:
            ModuleNotFoundError: scikit-learn is not installed.
            ValueError: No text has a word that may be in the vocabulary.
        """
        with needs("sklearn", "learning a vocabulary", "scikit-learn"):
            from sklearn.feature_extraction.text import CountVectorizer

        counter = CountVectorizer(
            binary=True,
            lowercase=self.lowercase,
            token_pattern=_PATTERNS[self.tokens],
            stop_words=self.stop_words,
            min_df=self.min_df,
        )
        try:
            rows = counter.fit_transform(as_strings(texts))
        except ValueError as error:
            raise ValueError(
                f"bow: no word can be learnt from these {len(texts)} texts ({error}); check "
                "min_df and stop_words"
            ) from error
        frequencies = np.asarray(rows.sum(axis=0, dtype=np.int64)).ravel()
        words = counter.get_feature_names_out()
        # max_features of CountVectorizer leaves ties to the sort at hand; ours hold everywhere.
        order = np.lexsort((words, -frequencies))[: self.size]
        self._set_vocabulary([str(words[i]) for i in order])
        return self

    def prepare(self, texts: Texts, *, unknown: str = "raise") -> Inputs:
        """Rows of words: strings, or an array (n, d) of counts or of 0 and 1.

        Args:
            texts: Strings or rows; of a count, only whether it is 0 remains.
            unknown: ``"raise"``, or ``"allow"`` to give a text of unknown words a row of zeros.

        Returns:
            ``{"bow": uint8 (n, d)}`` in {0, 1}.

        Raises:
            ValueError: A text has only unknown words, or rows are not d wide or negative.
            RuntimeError: There is no vocabulary yet.
        """
        check_unknown(unknown)
        width = self.dim
        if isinstance(texts, Tensor) or (
            isinstance(texts, np.ndarray) and texts.dtype.kind in "fiub"
        ):
            counts = check_features(texts, width, "bag-of-words rows")
            if bool((counts < 0).any()):
                raise ValueError("bag-of-words rows are counts or 0 and 1, got negative values")
            return {"bow": (counts > 0).to(torch.uint8)}
        strings = as_strings(texts)
        dense = np.zeros((len(strings), width), dtype=np.uint8)
        for row, text in zip(dense, strings, strict=True):
            row[[self._columns[word] for word in self._split(text) if word in self._columns]] = 1
        inputs = {"bow": torch.from_numpy(dense)}
        if unknown == "raise":
            raise_unknown(
                strings,
                self.unknown_rows(inputs),
                f"none of its words is among the {width} words of the vocabulary",
            )
        return inputs

    def unknown_rows(self, inputs: Inputs) -> Tensor:
        """Row numbers, ``int64`` (m,), of texts without a known word."""
        return torch.nonzero(inputs["bow"].sum(dim=1) == 0)[:, 0]

    def forward(self, inputs: Inputs) -> Features:
        """The rows as floating numbers (n, d) in {0, 1}."""
        return Features(inputs["bow"].to(torch.get_default_dtype()))

    def spec(self) -> dict[str, Any]:
        """Name and options of ``fit``; the vocabulary is an asset."""
        return {
            "name": self.name,
            "size": self.size,
            "tokens": self.tokens,
            "lowercase": self.lowercase,
            "stop_words": self.stop_words,
            "min_df": self.min_df,
        }

    def save_assets(self, folder: str | Path) -> list[Path]:
        """Write ``vocabulary.json``, the list of words in their order."""
        path = Path(folder) / VOCABULARY_FILE
        path.write_text(json.dumps(self._words(), ensure_ascii=False, indent=0), encoding="utf-8")
        return [path]


def _word_file(path: str | Path) -> list[str]:
    """First words of the lines of a text file, each once, in UTF-8 or else Latin-1."""
    file = locate(path)
    content = file.read_bytes()
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = content.decode("latin-1")
    words = dict.fromkeys(line.split()[0] for line in text.split("\n") if line.strip())
    if not words:
        raise ValueError(f"bow: {file} has no words; expected one on each line")
    return list(words)
