"""The SHA-256 of each file of a checkpoint, kept in its config: damage and mixed files are found.

A seal is against accidents, not against forgers: who changes files on purpose can seal them anew.
What was published is told by the digests of a manifest.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from crosshash.files import sha256
from crosshash.hub.errors import CheckpointError

SEAL = "sha256"
CONFIG = "config.json"


def sealed(config: Mapping[str, Any], digests: Mapping[str, str]) -> dict[str, Any]:
    """A config with the digests of the checkpoint's other files and of itself.

    Args:
        config: With a seal or without.
        digests: Hexadecimal SHA-256 of each file beside it.
    """
    plain = {key: value for key, value in config.items() if key != SEAL}
    return {**plain, SEAL: {CONFIG: _own(plain), **dict(sorted(digests.items()))}}


def check_seal(folder: Path, config: Mapping[str, Any], names: list[str]) -> None:
    """Compare a checkpoint's files with the digests in its config.

    Args:
        folder: Of the checkpoint.
        config: Its config.json; one without a seal, of an older format, passes.
        names: All of its files.

    Raises:
        CheckpointError: A file differs, is missing or has come in addition; names it.
    """
    seal = config.get(SEAL)
    if seal is None:
        return
    if not isinstance(seal, Mapping) or not all(isinstance(v, str) for v in seal.values()):
        raise CheckpointError(f"{folder / CONFIG}: {SEAL!r} is to name a digest for each file")
    plain = {key: value for key, value in config.items() if key != SEAL}
    found = {name: sha256(folder / name) for name in names if name != CONFIG}
    found[CONFIG] = _own(plain)
    wrong = sorted(name for name in {*seal, *found} if seal.get(name) != found.get(name))
    if wrong:
        raise CheckpointError(
            f"{folder}: {', '.join(wrong)} {'is' if len(wrong) == 1 else 'are'} not as saved with "
            "this checkpoint (SHA-256 differs, or the file was added or taken away); fetch or save "
            "it anew, or load it with verify=False if you changed it yourself"
        )


def _own(plain: Mapping[str, Any]) -> str:
    """The digest of a config's values, however the file is laid out."""
    text = json.dumps(plain, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()
