"""Pairs of one image and its captions, or of their features, with labels."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from PIL import Image as PILImage

from crosshash.images import ImageSource, ImageSubset, as_image_source
from crosshash.untrusted import is_unicode

FeatureArray = npt.NDArray[np.float32]
Counts = npt.NDArray[np.int64]
Labels = npt.NDArray[np.uint8]


def starts_of(counts: Counts) -> Counts:
    """Where the texts of each pair begin, (n,), among those of all pairs in order."""
    starts: Counts = np.cumsum(counts) - counts
    return starts


class PairedDataset:
    """n pairs of an image and a text, in a fixed order.

    Args:
        name: Name of the data set, for records and messages.
        ids: n different strings that name the pairs.
        images: Pictures (a source of :mod:`crosshash.images`, paths, PIL images or ``uint8``
            arrays), or features, a floating array (n, d).
        texts: n lists of captions (a string stands for a list of one), or features, a floating
            array (n, d); or (t, d), where ``text_counts`` says how many of the rows each pair has.
        text_counts: n numbers of texts, at least 1 each, whose features stand in the pairs' order.
        labels: (n, c) in {0, 1}, or None.
        label_names: c names, or none at all.
        skipped: What the reader could not read and left out, one line for each pair.
        dropped: What the reader left out by the rule of the data set's protocol: for each reason
            the number of pairs, each counted under one reason.
        blank: ``"raise"``, or ``"allow"`` where the data set has pairs without a word; their text
            is the empty string.

    Raises:
        ValueError: Counts or widths differ, an id comes twice, a feature is NaN or infinite, a
            label is neither 0 nor 1, a name or caption is no valid Unicode, a number of dropped
            pairs is negative, or a pair has no caption or a blank one (where ``blank`` is not
            ``"allow"``).

    Attributes:
        texts: The captions; or the features (n, d) of each pair's first text.
    """

    def __init__(
        self,
        *,
        name: str,
        ids: Sequence[str],
        images: Any,
        texts: Any,
        text_counts: Any = None,
        labels: Any = None,
        label_names: Sequence[str] = (),
        skipped: Sequence[str] = (),
        dropped: Mapping[str, int] = MappingProxyType({}),
        blank: Literal["raise", "allow"] = "raise",
    ) -> None:
        if blank not in ("raise", "allow"):
            raise ValueError(f"blank={blank!r}: use 'raise' or 'allow'")
        self.name = name
        self._written(name, "its name")
        self.ids = tuple(str(item) for item in ids)
        if not self.ids:
            raise ValueError(f"data set {name!r} has no pairs")
        twice = [item for item, times in Counter(self.ids).items() if times > 1]
        if twice:
            raise ValueError(
                f"data set {name!r}: {len(twice)} ids come more than once "
                f"({', '.join(map(repr, twice[:3]))}); ids name one pair each"
            )
        self.blank = blank
        self.images: ImageSource | FeatureArray = self._images(images)
        self._every: tuple[FeatureArray, Counts] | None = None
        if text_counts is not None:
            self._every = self._counted(texts, text_counts)
            texts = self._every[0][starts_of(self._every[1])]
        self.texts: list[list[str]] | FeatureArray = self._texts(texts)
        self.label_names = tuple(
            self._written(str(label), f"the label name {str(label)!r}") for label in label_names
        )
        if len(set(self.label_names)) < len(self.label_names):
            raise ValueError(f"data set {name!r}: a label name comes twice: {self.label_names}")
        self.labels: Labels | None = self._labels(labels)
        self.skipped = tuple(skipped)
        self.dropped = {str(reason): int(count) for reason, count in dropped.items()}
        if any(count < 0 for count in self.dropped.values()):
            raise ValueError(
                f"data set {name!r}: dropped holds numbers of pairs, got {self.dropped}"
            )

    def __len__(self) -> int:
        return len(self.ids)

    def __repr__(self) -> str:
        sides = [
            f"{what}: {kind}" + (f" ({side.shape[1]})" if isinstance(side, np.ndarray) else "")
            for what, kind, side in (
                ("images", self.image_kind, self.images),
                ("texts", self.text_kind, self.texts),
            )
        ]
        labels = "no labels" if self.labels is None else f"{self.labels.shape[1]} labels"
        return f"PairedDataset({self.name!r}, {len(self)} pairs, {', '.join(sides)}, {labels})"

    @property
    def image_kind(self) -> Literal["pixels", "features"]:
        """What stands for an image."""
        return "features" if isinstance(self.images, np.ndarray) else "pixels"

    @property
    def text_kind(self) -> Literal["captions", "features"]:
        """What stands for a text."""
        return "features" if isinstance(self.texts, np.ndarray) else "captions"

    def select(self, indices: Any) -> PairedDataset:
        """The pairs of those row numbers, in their order.

        Raises:
            ValueError: The row numbers are not integers, or one comes twice.
            IndexError: A row number is outside 0…n-1.
        """
        rows = np.asarray(indices)
        if rows.ndim != 1 or rows.dtype.kind not in "iu":
            raise ValueError(
                f"select takes a list of row numbers, got {rows.dtype} of shape {rows.shape}"
            )
        outside = rows[(rows < 0) | (rows >= len(self))]
        if len(outside):
            raise IndexError(f"row {outside[0]} is outside 0…{len(self) - 1} of {self.name!r}")
        images, texts, counts = self.images, self.texts, None
        if self._every is not None:
            every, counts = self._every
            starts = starts_of(counts)
            counts = counts[rows]
            texts = every[
                np.repeat(starts[rows] - starts_of(counts), counts) + np.arange(counts.sum())
            ]
        elif isinstance(texts, np.ndarray):
            texts = texts[rows]
        return PairedDataset(
            name=self.name,
            ids=[self.ids[row] for row in rows],
            images=images[rows] if isinstance(images, np.ndarray) else ImageSubset(images, rows),
            texts=texts if isinstance(texts, np.ndarray) else [texts[row] for row in rows],
            text_counts=counts,
            labels=None if self.labels is None else self.labels[rows],
            label_names=self.label_names,
            skipped=self.skipped,
            dropped=self.dropped,
            blank=self.blank,
        )

    def captions(self, policy: str = "first") -> list[str]:
        """One text per pair.

        Args:
            policy: ``"first"`` caption of each pair; ``"join"``: all of them, one space between;
                ``"each"``, which draws among them in training: the first here.

        Raises:
            ValueError: The texts are features, or the policy is unknown.
        """
        if policy not in ("first", "join", "each"):
            raise ValueError(f"caption policy {policy!r} is unknown; use 'first', 'join' or 'each'")
        lists = self._caption_lists()
        return [" ".join(group) if policy == "join" else group[0] for group in lists]

    def all_captions(self) -> list[str]:
        """Every caption of every pair, flat, in order.

        Raises:
            ValueError: The texts are features.
        """
        return [caption for group in self._caption_lists() for caption in group]

    def every_text(self) -> tuple[list[str] | FeatureArray, Counts]:
        """All texts of all pairs in order, t strings or features (t, d), and each pair's number."""
        if self._every is not None:
            return self._every
        if isinstance(self.texts, np.ndarray):
            return self.texts, np.ones(len(self), dtype=np.int64)
        return self.all_captions(), np.array([len(group) for group in self.texts], dtype=np.int64)

    def summary(self) -> dict[str, int]:
        """Counts for the record: pairs, captions or widths of features, labels, pairs left out.

        ``"blank"`` (pairs whose texts have no word) is there where blank texts are allowed, and
        ``"dropped: <reason>"`` where the reader dropped pairs by a rule.
        """
        counts = {"pairs": len(self)}
        if isinstance(self.images, np.ndarray):
            counts["image_dim"] = self.images.shape[1]
        if isinstance(self.texts, np.ndarray):
            counts["text_dim"] = self.texts.shape[1]
        else:
            counts["captions"] = sum(len(group) for group in self.texts)
            if self.blank == "allow":
                counts["blank"] = sum(not any(group) for group in self.texts)
        if self.labels is not None:
            counts["labels"] = self.labels.shape[1]
            counts["unlabelled"] = int((self.labels.sum(axis=1) == 0).sum())
        counts["skipped"] = len(self.skipped)
        counts.update({f"dropped: {reason}": count for reason, count in self.dropped.items()})
        return counts

    def _caption_lists(self) -> list[list[str]]:
        if isinstance(self.texts, np.ndarray):
            raise ValueError(f"data set {self.name!r} has text features and no captions")
        return self.texts

    def _images(self, images: Any) -> ImageSource | FeatureArray:
        if hasattr(images, "__array__") and not isinstance(images, PILImage.Image):
            images = np.asarray(images)
            if images.ndim == 2:
                return self._features(images, "image")
            if images.dtype != np.uint8:
                raise ValueError(
                    f"data set {self.name!r}: images are uint8 arrays (n, height, width, 3) and "
                    f"features are floating (n, d), got {images.dtype} of shape {images.shape}"
                )
        source = as_image_source(images)
        self._same_count(len(source), "images")
        return source

    def _texts(self, texts: Any) -> list[list[str]] | FeatureArray:
        if hasattr(texts, "__array__"):
            texts = np.asarray(texts)
            if texts.dtype.kind not in "UO":
                return self._features(texts, "text")
        elif isinstance(texts, str):
            raise ValueError(f"data set {self.name!r}: texts are a list, got one string")
        groups = [[group] if isinstance(group, str) else list(group) for group in texts]
        self._same_count(len(groups), "texts")
        for item, group in zip(self.ids, groups, strict=True):
            if not group:
                if self.blank == "raise":
                    raise ValueError(f"data set {self.name!r}: pair {item!r} has no caption")
                group.append("")
            for caption in group:
                if not isinstance(caption, str) or (self.blank == "raise" and not caption.strip()):
                    raise ValueError(
                        f"data set {self.name!r}: pair {item!r} has the caption {caption!r}; a "
                        "caption is a string with at least one word: write it or leave it out"
                    )
                self._written(caption, f"pair {item!r}: the caption {caption!r}")
        return [[str(caption).strip() for caption in group] for group in groups]

    def _counted(self, texts: Any, text_counts: Any) -> tuple[FeatureArray, Counts]:
        counts = np.asarray(text_counts)
        if counts.shape != (len(self.ids),) or counts.dtype.kind not in "iu" or counts.min() < 1:
            raise ValueError(
                f"data set {self.name!r}: text_counts are {len(self.ids)} whole numbers of at "
                f"least 1, one for each pair; got {counts.dtype} of shape {counts.shape}"
            )
        values, total = np.asarray(texts), int(counts.sum())
        if len(values) != total:
            raise ValueError(
                f"data set {self.name!r}: {len(values)} text feature rows, but text_counts add up "
                f"to {total}"
            )
        return self._features(values, "text", total), counts.astype(np.int64)

    def _labels(self, labels: Any) -> Labels | None:
        if labels is None:
            if self.label_names:
                raise ValueError(f"data set {self.name!r} has label names but no labels")
            return None
        array = np.asarray(labels)
        if array.ndim != 2 or array.shape[1] == 0 or array.dtype.kind not in "biuf":
            raise ValueError(
                f"data set {self.name!r}: labels are an array of 0 and 1 with axes (pairs, "
                f"classes), got {array.dtype} of shape {array.shape}"
            )
        self._same_count(len(array), "label rows")
        if self.label_names and len(self.label_names) != array.shape[1]:
            raise ValueError(
                f"data set {self.name!r}: {array.shape[1]} label columns but "
                f"{len(self.label_names)} label names; give one name per column"
            )
        wrong = np.argwhere((array != 0) & (array != 1))
        if len(wrong):
            row, column = wrong[0]
            raise ValueError(
                f"data set {self.name!r}: labels are 0 or 1, but {len(wrong)} values are not, the "
                f"first is {array[row, column]} for pair {self.ids[row]!r} in column {column}"
            )
        return array.astype(np.uint8)

    def _features(
        self, values: npt.NDArray[Any], kind: str, count: int | None = None
    ) -> FeatureArray:
        if values.ndim != 2 or values.shape[1] == 0 or values.dtype.kind != "f":
            raise ValueError(
                f"data set {self.name!r}: {kind} features are a floating array (n, d), got "
                f"{values.dtype} of shape {values.shape}"
            )
        if count is None:
            self._same_count(len(values), f"{kind} feature rows")
        with np.errstate(over="ignore"):  # what overflows float32 is found by the next line
            array = values.astype(np.float32, copy=False)
        bad = np.flatnonzero(~np.isfinite(array).all(axis=1))
        if len(bad):
            pair = "" if count is not None else f"{self.ids[bad[0]]!r} "
            raise ValueError(
                f"data set {self.name!r}: {kind} features of {len(bad)} pairs are NaN or infinite, "
                f"the first is {pair}(row {bad[0]}); extract them again or leave those pairs out"
            )
        return array

    def _written(self, text: str, what: str) -> str:
        """The text, which can be written to a file: found here and not after a training."""
        if not is_unicode(text):
            raise ValueError(
                f"data set {self.name!r}: {what} has half of a character (a lone surrogate), "
                "which no file can hold as UTF-8; write it anew"
            )
        return text

    def _same_count(self, count: int, what: str) -> None:
        if count != len(self.ids):
            raise ValueError(
                f"data set {self.name!r}: {count} {what} for {len(self.ids)} ids; every pair has "
                "an id, an image, a text and, where there are labels, a label row"
            )
