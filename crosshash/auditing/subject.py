"""What is audited: a model of ours, or a function of one's own, as one function over pairs."""

from __future__ import annotations

import importlib
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from crosshash.data.dataset import PairedDataset
from crosshash.model.hash_model import HashModel
from crosshash.plugins import import_parts
from crosshash.registry import PluginError

Encode = Callable[[Any, Any], tuple[Any, Any]]
# file.py:function or package.module:function; a zoo name has no colon, and hf:organisation/name
# has a stroke.
_FUNCTION = re.compile(r"(?!hf:)(.+\.py|[A-Za-z_][\w.]*):([A-Za-z_]\w*)")


@dataclass(frozen=True, eq=False)
class Subject:
    """An encoder of pairs.

    Attributes:
        name: What the audit calls it.
        encode: ``encode(images, texts)`` gives image codes and text codes, one for each: signs
            (n, k), reals (n, k), whose signs are the codes, or packed ``uint8`` (n, k/8), bit i
            of a code being bit ``i % 8`` of byte ``i // 8``.
        bits: Length that its codes are to have, where it is known.
        captions: Which caption of a pair is its text: ``first`` or ``join``.
        model: The model behind it, if it is one of ours.
    """

    name: str
    encode: Encode
    bits: int | None = None
    captions: str = "first"
    model: HashModel | None = None

    def inputs(self, dataset: PairedDataset, rows: Sequence[int] | Any) -> tuple[Any, Any]:
        """Images and texts of those rows, as :attr:`encode` takes them.

        Images are features (n, d) or, of pictures, a list of PIL images in RGB; texts are features
        (n, e) or a list of strings.
        """
        some = dataset.select(np.asarray(rows, dtype=np.int64))
        images = some.images if isinstance(some.images, np.ndarray) else list(some.images)
        features = isinstance(some.texts, np.ndarray)
        return images, some.texts if features else some.captions(self.captions)

    def __call__(self, images: Any, texts: Any) -> tuple[Any, Any]:
        """The codes of a batch.

        Raises:
            ValueError: The function fails, or gives anything but two batches of codes.
        """
        count = len(images)
        try:
            given = self.encode(images, texts)
        except Exception as error:  # of others' code, which may fail with whatever it likes
            raise ValueError(
                f"{self.name} failed on {count} pairs: {type(error).__name__}: {error}"
            ) from error
        if not isinstance(given, (tuple, list)) or len(given) != 2:
            raise ValueError(
                f"{self.name} gave {type(given).__name__}; expected a tuple of two, image "
                "codes and text codes"
            )
        for side, codes in zip(("image", "text"), given, strict=True):
            shape = tuple(getattr(codes, "shape", np.shape(codes)))
            if len(shape) != 2 or shape[0] != count or not shape[1]:
                raise ValueError(
                    f"{self.name} gave {side} codes of shape {shape} for {count} pairs; expected "
                    f"({count}, bits), or ({count}, bits / 8) where they are packed"
                )
        return given[0], given[1]


def subject_of(target: str | HashModel | Encode, captions: str = "first") -> Subject:
    """What is to be audited, by its name.

    Args:
        target: A zoo name, a checkpoint folder or that of a run; ``module:function`` or
            ``file.py:function``, which is imported and so run; a model, or a function.
        captions: Which caption of a pair is its text, for a function; a model's experiment says it.

    Raises:
        FileNotFoundError: There is no such file.
        PluginError: It cannot be imported, or has no such function; or a file has none named.
        LookupError: There is no such model.
    """
    if isinstance(target, HashModel):
        return model_subject(target, target.method or type(target).__name__)
    if not isinstance(target, str):
        return Subject(getattr(target, "__name__", "encode"), target, captions=captions)
    named = _FUNCTION.fullmatch(target)
    if target.endswith(".py"):
        raise PluginError(f"which function of {target}? name it too, as in {target}:encode")
    if named is None:
        from crosshash.hub.load import load

        return model_subject(load(target), target)
    where, name = named.groups()
    file = Path(f"{where}.py")
    try:
        import_parts([where])
    except PluginError as error:
        if not file.is_file():
            raise
        raise PluginError(f"{error}; name a file with its ending, {file}:{name}") from error
    module = importlib.import_module(Path(where).stem if where.endswith(".py") else where)
    function = getattr(module, name, None)
    if not callable(function):
        raise PluginError(
            f"{where} has no function {name!r}; expected def {name}(images, texts), which gives "
            "image codes and text codes"
        )
    return Subject(target, function, captions=captions)


def model_subject(model: HashModel, name: str) -> Subject:
    """A model of ours; its codes are taken as real values, whose signs they are."""

    def encode(images: Any, texts: Any) -> tuple[Any, Any]:
        return (
            model.encode_image(images, output="real", progress=False),
            model.encode_text(texts, output="real", unknown="allow"),
        )

    captions = str((model.info.experiment or {}).get("data", {}).get("captions", "first"))
    return Subject(name, encode, model.bits, "join" if captions == "join" else "first", model)
