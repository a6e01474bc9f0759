"""What an index may ask for by itself: others may have made it, and it names a model and files."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from crosshash.search.index import Index


def named_model(opened: Index, place: str, *, trust: bool) -> str:
    """The model that an index says it was made by, if it may be loaded unasked: one of the zoo.

    Args:
        opened: The index.
        place: Where it is, for messages.
        trust: It is one's own, and may name any model.

    Raises:
        ValueError: It names none, or one that is not in the zoo.
    """
    from crosshash.hub.resolve import has_checkpoint, in_zoo

    made = opened.metadata.get("model")
    if not made:
        raise ValueError(f"{place} does not say its model; name it with --model")
    # A folder of the same name would be loaded in the zoo's place.
    if not trust and (not in_zoo(str(made)) or has_checkpoint(Path(str(made)))):
        raise ValueError(
            f"{place} was built with {made}, which is no model of the zoo and is not loaded on an "
            "index's word; name the model with --model, or pass --trust where the index is your own"
        )
    return str(made)


def check_below(root: Path, ids: Iterable[str]) -> None:
    """Refuse to copy pictures into a page from where an index says, but nobody else.

    Args:
        root: The folder in which they must be, wherever links lead.
        ids: Their paths.

    Raises:
        ValueError: One is elsewhere.
    """
    inside = root.resolve()
    for id_ in ids:
        if not Path(os.path.realpath(id_)).is_relative_to(inside):
            raise ValueError(
                f"{id_}: a gallery shows pictures of {inside} only; name their folder with --root, "
                "or pass --trust where the index is your own"
            )
