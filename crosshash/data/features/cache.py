"""Features of frozen encoders, kept on disk and computed once."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import torch
from torch import Tensor

from crosshash.backbones.base import (
    Features,
    ImageBackbone,
    Inputs,
    TextEncoder,
    Texts,
    fingerprint,
)
from crosshash.backbones.decode import decode_size
from crosshash.backbones.extract import (
    check_keep,
    iterate_features,
    no_features,
    with_bar,
)
from crosshash.backbones.forward import evaluating
from crosshash.data.features.shards import DIGEST_BYTES, Chunks, Rows, Shards, cast
from crosshash.images import ImageSource
from crosshash.rgb import DECODING


class FeatureCache:
    """A folder of features, found by what they were computed from.

    Features belong to the fingerprint of the encoder (weights, architecture, preprocessing), to the
    rules and the size at which its pictures are decoded, and to the digest of each item's contents,
    so that a changed file, weight or crop is computed anew and a renamed or repeated file is not.
    Each encoder has a folder of append-only safetensors shards; a run that is interrupted keeps
    what it has computed. Nothing is deleted before :meth:`clear`.

    Args:
        folder: Default: ``features`` in ``$CROSSHASH_CACHE``, or in ``~/.cache/crosshash``.
        dtype: Type in which features are stored and returned. With ``float32`` a cached feature is
            bit for bit the one computed, and so are codes; ``float16`` halves the space, and a
            code's bit near 0 may flip.
        shard_items: Items after which a shard is written.
        shard_bytes: Bytes after which a shard is written, if that comes first.
    """

    def __init__(
        self,
        folder: str | Path | None = None,
        *,
        dtype: torch.dtype = torch.float32,
        shard_items: int = 512,
        shard_bytes: int = 1 << 27,
    ) -> None:
        if folder is None:
            base = os.environ.get("CROSSHASH_CACHE") or "~/.cache/crosshash"
            folder = Path(base) / "features"
        if not dtype.is_floating_point:
            raise ValueError(f"features are stored in a floating type, got {dtype}")
        self.folder = Path(folder).expanduser()
        self.dtype = dtype
        self.shard_items = shard_items
        self.shard_bytes = shard_bytes

    def features(
        self,
        backbone: ImageBackbone,
        source: ImageSource,
        *,
        keep: Sequence[str] = ("pooled",),
        batch_size: int = 64,
        workers: int = 0,
        device: torch.device | str | None = None,
        progress: bool = True,
        on_corrupt: str = "raise",
    ) -> Features:
        """Features of pictures, on the CPU and in order; only what is not stored is computed.

        Arguments and errors are those of :func:`crosshash.backbones.extract.iterate_features`.
        Rows of NaN, for pictures skipped, are returned but not stored.

        Returns:
            pooled (n, d) and, where kept, map (n, c, h, w).
        """
        names = check_keep(backbone, keep)
        if not len(source):
            return no_features(backbone, names)
        # Hashing and reading release the interpreter's lock, so threads serve as well as processes.
        with ThreadPoolExecutor(8) as pool:
            digests = list(pool.map(source.digest, range(len(source))))

        def compute(indices: list[int]) -> Chunks:
            for chunk in iterate_features(
                backbone,
                source,
                indices=indices,
                keep=names,
                batch_size=batch_size,
                workers=workers,
                device=device,
                progress=progress,
                on_corrupt=on_corrupt,
            ):
                yield {name: getattr(chunk, name) for name in names}

        return Features(**self.lookup(_key(backbone), digests, names, compute))

    def text_features(
        self,
        encoder: TextEncoder,
        texts: Texts,
        *,
        keep: Sequence[str] = ("pooled",),
        batch_size: int = 64,
        device: torch.device | str | None = None,
        progress: bool = True,
    ) -> Features:
        """Features of texts by a frozen encoder, on the CPU and in order.

        A text is known by its prepared row, so that a changed tokenizer or vocabulary counts. Texts
        in which nothing is known pass; ``encoder.unknown_rows`` counts them.

        Args:
            encoder: Runs in eval mode, without gradients.
            texts: What ``encoder.prepare`` takes.
            keep: ``("pooled",)`` or ``("pooled", "map")``.
            batch_size: Texts of a batch.
            device: Where to run; default: where the encoder is.
            progress: Show a bar on a terminal when it takes long.

        Returns:
            pooled (n, d) and, where kept, map (n, c, 1, l), zeros in padding; l is that of the
            longest text here, or of one that was stored with any of these.

        Raises:
            ValueError: ``keep`` is neither of these, or the encoder has no map.
        """
        names = check_keep(encoder, keep)
        inputs = encoder.prepare(texts, unknown="allow")
        digests = _row_digests(inputs)
        if not digests:
            return no_features(encoder, names)

        def compute(indices: list[int]) -> Chunks:
            def batches() -> Chunks:
                with evaluating(encoder, device) as target:
                    for start in range(0, len(indices), batch_size):
                        rows = torch.tensor(indices[start : start + batch_size])
                        batch = {name: value[rows].to(target) for name, value in inputs.items()}
                        with torch.inference_mode():
                            features = encoder(batch)
                        yield {name: getattr(features, name) for name in names}

            if not progress:
                return batches()
            description = f"{encoder.name} features"
            return with_bar(batches(), len(indices), lambda c: len(c["pooled"]), description)

        return Features(**self.lookup(_key(encoder), digests, names, compute))

    def files(self) -> list[Path]:
        """What the cache has written, of all encoders, with broken shards that were set aside."""
        kinds = (".safetensors", ".corrupt")
        return sorted(
            path
            for path in self.folder.glob("*/*float*/*")
            if any(suffix in kinds for suffix in path.suffixes) and path.is_file()
        )

    def clear(self) -> int:
        """Delete all features, of all encoders; not while a training computes some.

        Other files that may be in the folder stay.

        Returns:
            Bytes freed.
        """
        freed = 0
        for path in self.files():
            freed += path.stat().st_size
            path.unlink()
            for empty in path.parents[:2]:
                if not any(empty.iterdir()):
                    empty.rmdir()
        return freed

    def lookup(
        self,
        key: str,
        digests: Sequence[bytes],
        names: Sequence[str],
        compute: Callable[[list[int]], Chunks],
    ) -> dict[str, Tensor]:
        """Tensors of n items, from the store where it has them and from ``compute`` where not.

        Args:
            key: Folder name of whatever computes, different for all that compute differently.
            digests: n times 32 bytes that stand for the items' contents; equal ones are computed
                once.
            names: The tensors wanted.
            compute: Takes row numbers and yields, in their order, chunks of rows of all ``names``;
                not called where nothing is missing.

        Returns:
            For each name a tensor whose n rows are the items, on the CPU, of this cache's type.

        Raises:
            ValueError: There are no items, a digest has another length, or ``compute`` gives
                another number of rows than it was asked for.
        """
        if not digests or any(len(digest) != DIGEST_BYTES for digest in digests):
            raise ValueError(f"lookup needs digests of {DIGEST_BYTES} bytes, at least one")
        first: dict[bytes, int] = {}
        for item, digest in enumerate(digests):
            first.setdefault(digest, item)
        rows = {digest: row for row, digest in enumerate(first)}
        unique = list(first)
        gathered = Rows(len(unique))
        shards = Shards(self.folder / key / str(self.dtype).removeprefix("torch."), names)
        for found, tensors in shards.read(rows):
            gathered.put(found, tensors)
        missing = gathered.missing()
        if missing:
            done = 0
            with shards.writing(self.shard_items, self.shard_bytes) as write:
                for chunk in compute([first[unique[row]] for row in missing]):
                    tensors = {name: cast(chunk[name], self.dtype) for name in names}
                    places = missing[done : done + len(tensors[names[0]])]
                    done += len(tensors[names[0]])
                    if done > len(missing):
                        break
                    gathered.put(places, tensors)
                    write([unique[row] for row in places], tensors)
            if done != len(missing):
                raise ValueError(f"compute was asked for {len(missing)} rows and gave {done}")
        if len(unique) == len(digests):
            return gathered.tensors
        order = torch.tensor([rows[digest] for digest in digests])
        return {name: tensor[order] for name, tensor in gathered.tensors.items()}


def _key(module: ImageBackbone | TextEncoder) -> str:
    key = f"{re.sub(r'[^A-Za-z0-9.-]+', '_', module.name)}-{fingerprint(module)[:32]}"
    if isinstance(module, ImageBackbone):
        key += f"-rgb{DECODING}"  # else a picture that was read wrongly would stay so
    size = decode_size(getattr(module, "preprocess", None))
    # A JPEG file decoded at a fraction of its size has slightly other pixels.
    return key if size is None else f"{key}-from-{size[0]}x{size[1]}"


def _row_digests(inputs: Inputs) -> list[bytes]:
    """SHA-256 of each prepared text, without the padding, which depends on its neighbours."""
    arrays = {name: inputs[name].numpy() for name in sorted(inputs)}
    mask = arrays.get("attention_mask")
    digests = []
    for row in range(len(next(iter(arrays.values())))):
        digest = hashlib.sha256()
        for name, array in arrays.items():
            part = array[row] if mask is None else array[row][mask[row] != 0]
            digest.update(f"{name}\0{part.dtype}\0".encode() + part.tobytes())
        digests.append(digest.digest())
    return digests
