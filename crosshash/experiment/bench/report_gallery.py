"""What methods find for the same texts, as a section of a report's page."""

from __future__ import annotations

from crosshash.experiment.bench.entries import LABELS, Entry, best_of
from crosshash.experiment.bench.kept import TextQuery
from crosshash.experiment.bench.record import Record, Store
from crosshash.experiment.bench.summary import Table
from crosshash.reports import page
from crosshash.reports.strips import Strip, Thumb, strips_block

_METHODS = {True: 3, False: 3}  # with labels and without


def gallery_section(table: Table, store: Store, *, pictures: bool = True) -> str:
    """A block for each text that runs kept: the first images by each of the best methods.

    The best with labels and the best without share the places. Of a method the run of the lowest
    seed at the longest codes is shown; one that kept nothing is passed over.

    Args:
        table: Whose entries are shown.
        store: Has the pictures.
        pictures: Show them; without, names, marks and distances remain.

    Returns:
        HTML; empty where no run kept anything.
    """
    bits = table.bits[-1]
    shown = best_of(
        [entry for entry in table.entries if _record(entry, bits) is not None], _METHODS
    )
    found = [(entry, record) for entry in shown if (record := _record(entry, bits)) is not None]
    asked: dict[str, str] = {}  # the same in all records of a table
    for _, record in found:
        asked |= {query.id: query.text for query in record.hits if query.id not in asked}
    if not asked:
        return ""
    blocks = []
    for id_, text in asked.items():
        columns = [
            [
                Strip(f"{entry.name}, {LABELS[kind]}", _thumbs(query, store, pictures))
                for entry, record in found
                for query in record.hits
                if entry.part.supervised is kind and query.id == id_
            ]
            for kind in LABELS
        ]
        blocks.append(strips_block(text, columns))
    told = (
        f"{len(asked)} texts, drawn among the queries before anything was trained, and the first "
        "images that each method's codes find, at its lowest seed, with the bits in which their "
        "codes differ from the text's. ✓, in a green frame: shares a label with the text's own "
        "image; ✗, in a dashed red one: shares none."
    )
    return page.section(f"What texts find: {table.name}, {bits} bits", blocks, [told])


def _record(entry: Entry, bits: int) -> Record | None:
    """The run that is shown."""
    kept = [record for record in entry.runs.get(bits, ()) if record.hits]
    return min(kept, key=lambda record: record.seed) if kept else None


def _thumbs(query: TextQuery, store: Store, pictures: bool) -> list[Thumb]:
    return [
        Thumb(hit.id, hit.distance, hit.relevant, store.picture(hit.picture) if pictures else None)
        for hit in query.found
    ]
