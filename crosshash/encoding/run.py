"""From a source to a folder of codes: the parts that are not there yet, one after the other."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from crosshash.data.features.parquet import import_parquet
from crosshash.encoding.folder import (
    Header,
    count_part,
    open_folder,
    part_path,
    write_part,
)
from crosshash.encoding.items import Source
from crosshash.encoding.listing import Listing, iterate_parts, list_items
from crosshash.encoding.part import Dtype, Settings, encode_part
from crosshash.encoding.sources import open_source
from crosshash.model.digest import model_digest
from crosshash.model.encoding import FeatureStore
from crosshash.model.hash_model import HashModel

PER_PART = 10_000
Progress = Callable[[int, int], None]


class Summary(NamedTuple):
    """What is in a folder of codes when :func:`encode_source` comes to its end.

    Attributes:
        items: Codes.
        rejected: Items that cannot be encoded.
        parts: Of all the source.
        missing: Parts that are not finished; others' shares.
        written: Parts that this call wrote.
        bits: Length of the codes.
    """

    items: int
    rejected: int
    parts: int
    missing: int
    written: int
    bits: int


def encode_source(
    model: HashModel,
    source: Source | str | Path | Sequence[str | Path],
    folder: str | Path,
    *,
    name: str = "",
    bits: int | None = None,
    items_per_part: int = PER_PART,
    batch_size: int | None = None,
    workers: int = 0,
    dtype: Dtype = "fp32",
    allow_unknown: bool = False,
    cache: FeatureStore | None = None,
    share: tuple[int, int] = (0, 1),
    progress: Progress | None = None,
) -> Summary:
    """Write the codes of a source of any size, in parts; called again, it goes on.

    A part is one file, which appears when it is whole. What was stopped at any point is gone on
    with by the same call: finished parts stay, and every item is in one part, or among its rejects,
    once.

    Args:
        model: Makes the codes.
        source: A source, or what :func:`~crosshash.encoding.open_source` takes.
        folder: New, empty, or begun by the same call.
        name: What the model is called, for ``codes.json``.
        bits: One of the model's lengths; None: all its bits.
        items_per_part: Of each part but the last; so many are in memory.
        batch_size: Items that go through the network together; None: 64 pictures, 1024 others.
        workers: Processes that decode pictures.
        dtype: ``"bf16"`` runs the network under autocast; a few bits of the codes differ then.
        allow_unknown: A text of which the model knows no word has the code of an empty one.
        cache: Keeps the features of pictures: a ``FeatureCache``, as a training has it.
        share: r and n: parts r, r + n, r + 2n, … are this call's, where n processes share them.
        progress: Told how many of this call's items are done, and how many there are.

    Raises:
        FileExistsError: The folder holds other files.
        ImportError: pyarrow is not installed.
        OSError: The disk failed; what is written stays.
        ValueError: The source is empty, or changed; the folder was begun with another model, source
            or setting; the model takes no such items.
    """
    _check_share(share)
    length = model.check_length(bits)
    settings = Settings(length, batch_size, workers, dtype, allow_unknown, cache)
    begun = begin(model, source, folder, settings, name=name, items_per_part=items_per_part)
    place, header = begun.folder, begun.header
    todo = set(begun.missing()) & set(range(share[0], header.parts, share[1]))
    total, done = sum(map(header.size, todo)), 0

    def more(count: int) -> None:
        nonlocal done
        done += count
        if progress is not None:
            progress(done, total)

    more(0)
    if todo:
        for number, items in iterate_parts(begun.source, begun.listing):
            if number in todo:
                part = encode_part(model, begun.source, items, settings, more)
                write_part(place, number, *part)
    return begun.summary(len(todo))


class Begun(NamedTuple):
    """A folder of codes that is begun or gone on with.

    Attributes:
        folder: It is there, with ``codes.json``.
        source: Listed, and the one that the folder was begun with.
        listing: Of the source.
        header: What ``codes.json`` says.
    """

    folder: Path
    source: Source
    listing: Listing
    header: Header

    def missing(self) -> list[int]:
        """The parts that are not finished."""
        parts = range(self.header.parts)
        return [number for number in parts if not part_path(self.folder, number).exists()]

    def summary(self, written: int) -> Summary:
        """What is there; ``written`` is the number of parts that the call wrote."""
        missing = set(self.missing())
        there = [number for number in range(self.header.parts) if number not in missing]
        counts = [count_part(self.folder, self.header, number) for number in there]
        return Summary(
            items=sum(codes for codes, _ in counts),
            rejected=sum(rejects for _, rejects in counts),
            parts=self.header.parts,
            missing=len(missing),
            written=written,
            bits=self.header.bits,
        )


def begin(
    model: HashModel,
    source: Source | str | Path | Sequence[str | Path],
    folder: str | Path,
    settings: Settings,
    *,
    name: str,
    items_per_part: int,
) -> Begun:
    """List a source, and begin its folder of codes or go on with it, as :func:`encode_source`."""
    import_parquet(f"{folder}: a folder of codes")
    settings.check()
    if not isinstance(source, Source):
        source = open_source(source)
    listing = list_items(source, items_per_part)
    header = Header(
        bits=settings.bits,
        kind=source.kind,
        model=name,
        model_digest=model_digest(model),
        dtype=settings.dtype,
        allow_unknown=settings.allow_unknown,
        items=listing.items,
        items_per_part=items_per_part,
        source_digest=listing.digest(source.stamp()),
        source=source.describe(),
    )
    open_folder(Path(folder), header)
    return Begun(Path(folder), source, listing, header)


def _check_share(share: tuple[int, int]) -> None:
    if not 0 <= share[0] < share[1]:
        raise ValueError(f"share is (r, n), part r of n from 0 on, got {share}")
