"""Pictures and texts as commands encode them, with errors that name the command line's options."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from crosshash.backbones.forward import evaluating
from crosshash.cli.options import hint_on_damage
from crosshash.data.features.cache import FeatureCache
from crosshash.data.features.vectors import is_vector_file, read_vectors
from crosshash.encoding.folder import Header, is_codes_folder, read_header
from crosshash.images import ImageFiles
from crosshash.model.digest import model_digest
from crosshash.model.encoding import Output, collect, image_chunks, image_codes
from crosshash.model.hash_model import HashModel


class Encoded(NamedTuple):
    """Packed codes ``uint8`` (n, k/8), their n ids, and the pictures that were left out."""

    codes: Any
    ids: list[str]
    skipped: list[str]


def encode_pictures(
    model: HashModel,
    paths: Sequence[Path],
    *,
    bits: int | None = None,
    skip_corrupt: bool = False,
    workers: int = 0,
    progress: bool = True,
    cache: FeatureCache | None = None,
) -> Encoded:
    """Codes of picture files, with their paths for ids.

    Args:
        model: Has backbones that read pictures.
        paths: One or more files.
        bits: One of the model's lengths; None: all its bits.
        skip_corrupt: Leave files that are no pictures out, instead of an error.
        workers: Processes that decode.
        progress: Show a bar when it takes long.
        cache: Keeps their features.

    Raises:
        FileNotFoundError: A file is not there.
        CorruptImageError: A file is no picture, and ``skip_corrupt`` is False.
        ValueError: None is one.
    """
    ids = [str(path) for path in paths]
    if not skip_corrupt:
        with hint_on_damage("--skip-corrupt"):
            codes = model.encode_image(
                ids, bits=bits, workers=workers, progress=progress, cache=cache
            )
        return Encoded(codes, ids, [])
    lost: set[int] = set()
    chunks = image_chunks(
        {slot: model.backbone(slot) for slot in model.slots},
        ImageFiles(paths),
        needs=model.image_needs,
        device=model.device,
        batch_size=64,
        workers=workers,
        progress=progress,
        on_corrupt=lambda row, _: lost.add(row),
        cache=cache,
    )
    length = model.check_length(bits)
    with evaluating(model), torch.inference_mode():
        codes = collect((image_codes(model, chunk)[:, :length] for chunk in chunks), "packed")
    if len(lost) == len(ids):
        raise ValueError(f"none of {len(ids)} pictures can be read, the first is {ids[0]}")
    kept = [row for row in range(len(ids)) if row not in lost]
    return Encoded(codes[kept], [ids[row] for row in kept], [ids[row] for row in sorted(lost)])


def feature_cache(asked: bool) -> FeatureCache | None:
    """The cache of the user, where trainings keep features, if it is asked for."""
    return FeatureCache() if asked else None


def vector_file(items: Sequence[str]) -> str | None:
    """The file of vectors that items are, with or without ``:name``; None where they are others.

    Raises:
        ValueError: There is one among other items, whose rows would have the same numbers.
    """
    files = [item for item in items if is_vector_file(item)]
    if files and len(items) > 1:
        raise ValueError(f"{files[0]} is a file of vectors; give it alone")
    return files[0] if files else None


class CodesFolder(NamedTuple):
    """A folder of codes and what it says of itself."""

    folder: str
    header: Header

    def check(self, model: HashModel, bits: int | None) -> None:
        """Refuse a model, or a length, of other codes.

        Raises:
            ValueError: The folder is another model's, or has codes of another length.
        """
        made, asked = self.header.model_digest, model_digest(model)
        if made != asked:
            raise ValueError(
                f"{self.folder} was made by another model, {self.header.model} (digest "
                f"{made[:12]}; this one has {asked[:12]}), so distances would mean nothing: index "
                "it with that model, or encode the source again"
            )
        if bits not in (None, self.header.bits):
            raise ValueError(
                f"{self.folder} holds codes of {self.header.bits} bits, not of {bits}; leave "
                "--bits out, or encode the source again"
            )


def codes_folder(items: Sequence[str]) -> CodesFolder | None:
    """The folder of codes that items are; None where they are others.

    Raises:
        ValueError: There is one among other items; or it is damaged.
    """
    found = [item for item in items if is_codes_folder(item)]
    if found and len(items) > 1:
        raise ValueError(f"{found[0]} is a folder of codes; give it alone")
    return CodesFolder(found[0], read_header(found[0])) if found else None


def encode_vectors(
    model: HashModel, source: str, *, bits: int | None = None, text: bool = False
) -> Encoded:
    """Codes of the vectors of a file, with their row numbers for ids.

    Args:
        model: Reads vectors.
        source: As :func:`~crosshash.data.read_vectors` takes it.
        bits: Length of the codes; None: the model's own.
        text: They are of texts.

    Raises:
        ValueError: They are of another width than the model's, or NaN or zero, with the row.
    """
    rows = read_vectors(source, source)
    if rows.dtype.kind != "f":
        rows = rows.astype(np.float32)
    if text:
        codes = model.encode_text(rows, bits=bits)
    else:
        codes = model.encode_image(rows, bits=bits, batch_size=1024)
    return Encoded(codes, [str(row) for row in range(len(codes))], [])


def encode_texts(
    model: HashModel,
    texts: Sequence[str],
    *,
    bits: int | None = None,
    allow_unknown: bool = False,
    output: Output = "packed",
) -> Any:
    """Codes of texts, ``uint8`` (n, k/8) or as ``output`` says, of ``bits`` or all the model's.

    Raises:
        ValueError: The model knows no word of a text, and ``allow_unknown`` is False.
    """
    if not allow_unknown:
        unknown = model.text.unknown_rows(model.text.prepare(texts, unknown="allow")).tolist()
        if unknown:
            more = f" (and {len(unknown) - 1} more texts)" if len(unknown) > 1 else ""
            raise ValueError(
                f"{texts[unknown[0]]!r}{more}: the model knows none of its words; write it in "
                "other words, or encode it as an empty text with --allow-unknown"
            )
    return model.encode_text(texts, bits=bits, output=output, unknown="allow")
