"""What there is to say of a stored model without using it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from crosshash.files import sha256
from crosshash.hub.checkpoint import CARD, files_of, read_checkpoint
from crosshash.hub.golden import has_golden
from crosshash.hub.manifest import find_manifest
from crosshash.hub.resolve import PREFIX, has_checkpoint, locate_model, named_length
from crosshash.model.prefix import shortened
from crosshash.plugins import import_parts

_LICENCE = re.compile(r"^license: *(\S+)", re.MULTILINE)


def about(name: str | Path, *, imports: Sequence[str | Path] = ()) -> dict[str, Any]:
    """A model's facts, JSON-able.

    Args:
        name: As :func:`crosshash.load` takes it. What is not there is downloaded.
        imports: Likewise.

    Returns:
        ``name``; ``folder`` and its ``bytes``; ``method``, ``bits`` and the ``nested`` lengths
        below; ``backbones``, a name for each slot; ``text``, the encoder's name, and
        ``vocabulary``, its number of words (None where it has no list of words); ``parameters``
        and, of these, ``trained``; ``dataset``, ``map_i2t``, ``map_t2i`` and ``chance`` as measured
        after its training (None where nothing was); ``licence`` of the weights; ``golden``, whether
        codes are stored to check it by; and ``sha256`` of ``model.safetensors``.

    Raises:
        LookupError, HubError, CheckpointError, FileNotFoundError: As of :func:`crosshash.load`.
    """
    import_parts(imports)
    folder = locate_model(name)
    model = read_checkpoint(folder)
    if (length := named_length(name)) is not None:
        model = shortened(model, length)
    figures = model.info.figures
    record = figures.get("record", {})
    words = model.text.vocabulary
    counts = [(weight.numel(), weight.requires_grad) for weight in model.parameters()]
    return {
        "name": str(name),
        "folder": str(folder),
        "bytes": sum((folder / file).stat().st_size for file in files_of(folder)),
        "method": model.method,
        "bits": model.bits,
        "nested": list(model.nested),
        "backbones": {slot: backbone.name for slot, backbone in model.backbones.items()},
        "text": model.text.name,
        "vocabulary": None if words is None else len(words),
        "parameters": sum(count for count, _ in counts),
        "trained": sum(count for count, trained in counts if trained),
        "dataset": record.get("dataset") or model.info.experiment.get("data", {}).get("name"),
        "map_i2t": figures.get("map_i2t"),
        "map_t2i": figures.get("map_t2i"),
        "chance": figures.get("i2t", {}).get("chance"),
        "licence": _licence(name, folder),
        "golden": has_golden(folder),
        "sha256": sha256(folder / "model.safetensors"),
    }


def _licence(name: str | Path, folder: Path) -> str | None:
    """From the manifest of a zoo model, else from the card's front matter."""
    if not str(name).startswith(PREFIX) and not has_checkpoint(Path(name)):
        return find_manifest(str(name)).licence
    if not (folder / CARD).is_file():
        return None
    text = (folder / CARD).read_text(encoding="utf-8", errors="replace")
    found = _LICENCE.search(text.partition("---\n")[2].partition("\n---")[0])
    return None if found is None else found[1]
