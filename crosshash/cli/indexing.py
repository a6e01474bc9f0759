"""Pictures, vectors or codes made an index, or added to one that is there."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from crosshash.cli.options import image_paths

if TYPE_CHECKING:
    from crosshash.model.hash_model import HashModel
    from crosshash.search.index import Index


def index_items(
    model: str,
    items: list[str],
    output: str,
    *,
    add: bool = False,
    bits: int | None = None,
    metadata: bool = True,
    skip_corrupt: bool = False,
    workers: int = 0,
    cache: bool = False,
    imports: Sequence[str] = (),
    progress: bool = True,
) -> dict[str, Any]:
    """Build the index, or add to it what it has not yet, as ``crosshash index`` says.

    Returns:
        ``index``, its place; ``kind`` of items; ``items``, of which ``added``; ``bits``;
        ``described``, whether there is a file of metadata; ``with_metadata``, how many have some;
        ``rows_without_picture`` and ``skipped``, paths.
    """
    from crosshash.cli.described import described
    from crosshash.cli.encoding import (
        codes_folder,
        encode_pictures,
        encode_vectors,
        feature_cache,
        vector_file,
    )
    from crosshash.encoding.folder import read_codes
    from crosshash.hub.load import load

    codes = codes_folder(items)
    vectors = None if codes else vector_file(items)
    paths = [] if codes or vectors else image_paths(items)
    said = described(items if metadata and paths else (), paths)
    check_place(output, add=add)
    network = load(model, imports=imports)
    kind = "image"
    if codes is not None:
        codes.check(network, bits)
        bits, kind = codes.header.bits, codes.header.kind
    remembered = {"model": str(model), "kind": kind}
    skipped: list[str] = []
    with_metadata = 0
    with _opened(output, network, remembered, bits, add=add) as built:
        before = len(built)
        there = built.known(map(str, paths)) if paths else []
        new = [path for path, known in zip(paths, there, strict=True) if not known]
        if codes is not None:
            for ids, packed in read_codes(codes.folder):
                _add(built, packed, ids)
        elif vectors:
            done = encode_vectors(network, vectors, bits=built.bits)
            _add(built, done.codes, done.ids)
        elif new:
            done = encode_pictures(
                network,
                new,
                bits=built.bits,
                skip_corrupt=skip_corrupt,
                workers=workers,
                progress=progress,
                cache=feature_cache(cache),
            )
            _add(built, done.codes, done.ids, said.metadata(done.ids))
            skipped, with_metadata = done.skipped, sum(id_ in said.of for id_ in done.ids)
        _remember(built)
        return {
            "index": output,
            "kind": kind,
            "described": said.files,
            "items": len(built),
            "added": len(built) - before,
            "bits": built.bits,
            "with_metadata": with_metadata,
            "rows_without_picture": said.lost,
            "skipped": skipped,
        }


def check_place(place: str, *, add: bool) -> None:
    """Refuse, before the work, a folder of other things, or a server's index that has items."""
    from crosshash.files import check_replaceable
    from crosshash.search.index import Index
    from crosshash.search.manifest import FILES, WHAT
    from crosshash.search.places import split

    scheme, folder = split(place)
    if scheme == "faiss":
        check_replaceable(folder, holds=FILES, what=WHAT)
        if add:
            Index.open(place).close()
    elif not add:
        try:
            with Index.open(place) as index:
                count = len(index)
        except FileNotFoundError:
            return
        if count:
            raise ValueError(f"{place} has {count} items; --add adds to them, or remove it first")


@contextmanager
def _opened(
    place: str, model: HashModel, remembered: dict[str, Any], bits: int | None, *, add: bool
) -> Iterator[Index]:
    """The index to add to; a folder's is built beside, and replaces what is there at the end."""
    from crosshash.files import atomic_folder
    from crosshash.search.index import Index
    from crosshash.search.manifest import FILES, WHAT
    from crosshash.search.places import split

    scheme, folder = split(place)
    if add or scheme != "faiss":
        with Index.for_model(model, remembered, bits=bits, uri=place) as index:
            yield index
        return
    with (
        atomic_folder(folder, holds=FILES, what=WHAT) as temporary,
        Index.for_model(model, remembered, bits=bits, uri=temporary) as index,
    ):
        yield index


def _add(index: Index, codes: Any, ids: list[str], metadata: Any = None) -> None:
    """Add what is not there yet."""
    new = [row for row, known in enumerate(index.known(ids)) if not known]
    if new:
        kept = None if metadata is None else [metadata[row] for row in new]
        index.add(codes[new], [ids[row] for row in new], kept)


def _remember(index: Index) -> None:
    """Remember what a new index's codes are like."""
    from crosshash.search.doctor import FEWEST, REFERENCE, set_reference

    if REFERENCE not in index.metadata and len(index) >= FEWEST:
        set_reference(index)
