"""What a run of a suite leaves: a JSON file of all figures, and its queries' precisions beside."""

from __future__ import annotations

import hashlib
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, ValidationError

from crosshash.experiment.bench.cases import row_name
from crosshash.experiment.bench.kept import Epoch, TextQuery
from crosshash.experiment.bench.suite import PLAIN, Printed
from crosshash.experiment.bench.sweeps import Swept
from crosshash.files import atomic_file
from crosshash.untrusted import read_json

RECORDS, WORK, MODELS, PRINTED = "records", "work", "models", "printed"
PICTURES = "pictures"
_DIGITS = 32  # of the digest by which a picture is called
WAYS = ("i2t", "t2i", "i2i", "t2t")


class Record(BaseModel):
    """One run.

    Attributes:
        format: Of this file.
        key: From :func:`~crosshash.experiment.bench.identity.run_key`.
        state: ``finished``, or ``failed`` with ``error``.
        name: Of the config.
        suite: That first asked for it.
        variant: Name, or ``plain``.
        encoder: Name, or ``plain``.
        label: Of the suite's block.
        settings: What was laid over the config of that name, by dotted keys.
        sweep: Which value of which key it is, in a run of a sweep.
        method: Name.
        dataset: Name in the config.
        bits: Length of the codes.
        seed: Of the run.
        config: Resolved.
        identity: Digests of ``config``, ``data`` and ``code``; ``compared`` of the queries and the
            searched pairs.
        started: When, ISO 8601 in UTC.
        seconds: Of all attempts: ``training``, with validation and evaluation; ``whole``, with what
            the last one read and computed besides, data and features that were not there.
        memory: Peak ``bytes`` and what they are of: ``resident`` of the process, or ``cuda``.
        parameters: ``all`` and ``trained``.
        flops: Floating-point operations of encoding one ``image`` and one ``text``, backbones and
            all: two for each multiplication and addition of products, convolutions and attention.
        machine: ``device``, ``threads``, and how many runs went on at once (``jobs``).
        figures: As a training writes them, curves and the record of the protocol among them.
        ceiling: MAP by cosine of the outputs before the sign, ``i2t`` and ``t2i``, on the same
            queries and pairs and by the same conventions: what codes lose is below it.
        history: Of the training that gave the model, epoch by epoch.
        selection: The same of the training that chose the number of epochs, with ``data.refit``.
        hits: What a few texts found, the same for all runs with the same ``compared``; empty where
            there are no pictures or no words.
        versions: Of what is installed.
        error: Why it failed.
        traceback: Where.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    format: Literal[1] = 1
    key: str
    state: Literal["finished", "failed"]
    name: str
    suite: str
    variant: str = PLAIN
    encoder: str = PLAIN
    label: str = ""
    settings: dict[str, Any] = {}
    sweep: Swept | None = None
    method: str
    dataset: str
    bits: int
    seed: int
    config: dict[str, Any]
    identity: dict[str, str]
    started: str
    seconds: dict[str, float] = {}
    memory: dict[str, Any] = {}
    parameters: dict[str, int] = {}
    flops: dict[str, int] = {}
    machine: dict[str, Any] = {}
    figures: dict[str, Any] = {}
    ceiling: dict[str, float] = {}
    history: list[Epoch] = []
    selection: list[Epoch] = []
    hits: list[TextQuery] = []
    versions: dict[str, str] = {}
    error: str = ""
    traceback: str = ""

    @property
    def row(self) -> str:
        """What it is called in a table."""
        return row_name(self.method, self.variant, self.encoder, self.label)


class Store:
    """The folder of a benchmark.

    Args:
        folder: Has ``records``; ``work`` of runs that go on; ``models``, if they are kept;
            ``pictures`` of what was found; and the suites' ``printed`` figures.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)

    def work(self, key: str) -> Path:
        """The folder in which a run trains."""
        return self.folder / WORK / key

    def model(self, key: str) -> Path:
        """Where its checkpoint is kept, if at all."""
        return self.folder / MODELS / key

    def read(self, key: str) -> Record | None:
        """The record of a run; None: it has not ended.

        Raises:
            ValueError: It is damaged; names the file.
        """
        path = self.folder / RECORDS / f"{key}.json"
        try:
            values = read_json(path)
        except FileNotFoundError:
            return None
        try:
            record = Record.model_validate(values)
        except ValidationError as error:
            found = error.errors()[0]
            reason = f"{'.'.join(map(str, found['loc'])) or 'the whole'}: {found['msg']}"
        else:
            if record.key == key:
                return record
            reason = f"key: it says {record.key!r}"
        raise ValueError(
            f"{path}: this is no record of a run ({reason}); remove it, and `crosshash bench` runs "
            "it again"
        )

    def all(self) -> list[Record]:
        """All records, in an order that depends on nothing but them.

        Raises:
            FileNotFoundError: There is no store.
            ValueError: One is damaged.
        """
        folder = self.folder / RECORDS
        if not folder.is_dir():
            raise FileNotFoundError(
                f"{self.folder} has no records of runs; `crosshash bench SUITE --store "
                f"{self.folder}` makes some"
            )
        keys = sorted(path.stem for path in folder.glob("*.json"))
        found = [record for key in keys if (record := self.read(key)) is not None]
        return sorted(found, key=lambda r: (r.dataset, r.bits, r.row, r.seed, r.key))

    def write(self, record: Record, precisions: Mapping[str, npt.NDArray[Any]]) -> None:
        """Keep a run's record; the JSON file, which makes it one, comes last."""
        folder = self.folder / RECORDS
        folder.mkdir(parents=True, exist_ok=True)
        if precisions:
            with atomic_file(folder / f"{record.key}.npz") as path, path.open("wb") as file:
                kept = {k: np.asarray(v, dtype=np.float32) for k, v in precisions.items()}
                np.savez_compressed(file, **kept)  # type: ignore[arg-type]
        else:
            (folder / f"{record.key}.npz").unlink(missing_ok=True)
        with atomic_file(folder / f"{record.key}.json") as path:
            path.write_text(record.model_dump_json(indent=1) + "\n", encoding="utf-8")

    def precisions(self, record: Record) -> dict[str, npt.NDArray[np.float64]]:
        """Average precision of each query, by direction; empty where there is none.

        Raises:
            ValueError: The file is damaged; names it.
        """
        path = self.folder / RECORDS / f"{record.key}.npz"
        if not path.is_file():
            return {}
        try:
            with np.load(path, allow_pickle=False) as stored:
                found = {way: stored[way].astype(np.float64) for way in WAYS if way in stored.files}
        except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
            raise ValueError(
                f"{path}: these are no average precisions ({error}); remove the file and "
                f"{record.key}.json, and `crosshash bench` runs it again"
            ) from None
        asked = record.figures.get("record", {}).get("counts", {}).get("query")
        if any(values.shape != (asked,) for values in found.values()):
            raise ValueError(f"{path}: expected one average precision for each of {asked} queries")
        return found

    def keep_picture(self, content: bytes) -> str:
        """Keep a thumbnail, a JPEG file's bytes, once; gives its name, by which it is found."""
        name = _picture_name(content)
        folder = self.folder / PICTURES
        if not (folder / name).is_file():
            folder.mkdir(parents=True, exist_ok=True)
            with atomic_file(folder / name) as path:
                path.write_bytes(content)
        return name

    def picture(self, name: str) -> bytes | None:
        """A kept thumbnail; None: it is not there, or its bytes are not those of that name."""
        path = self.folder / PICTURES / name
        if not name or not path.is_file():
            return None
        content = path.read_bytes()
        return content if _picture_name(content) == name else None

    def keep_printed(self, suite: str, printed: list[Printed]) -> None:
        """Keep the figures of papers that a suite has, for the report."""
        if not printed:
            return
        (self.folder / PRINTED).mkdir(parents=True, exist_ok=True)
        text = _PrintedFile(suite=suite, printed=printed).model_dump_json(indent=1)
        with atomic_file(self.folder / PRINTED / f"{suite}.json") as path:
            path.write_text(text + "\n", encoding="utf-8")

    def printed(self) -> list[tuple[str, Printed]]:
        """The figures of papers of all suites that were run, each with the first that has it.

        Raises:
            ValueError: A file is damaged; names it.
        """
        found: list[tuple[str, Printed]] = []
        for path in sorted((self.folder / PRINTED).glob("*.json")):
            try:
                known = _PrintedFile.model_validate(read_json(path))
            except ValidationError as error:
                reason = error.errors()[0]["msg"]
                raise ValueError(f"{path}: no printed figures ({reason}); remove it") from None
            seen = [entry for _, entry in found]
            found += [(known.suite, entry) for entry in known.printed if entry not in seen]
        return found


def _picture_name(content: bytes) -> str:
    return f"{hashlib.sha256(content).hexdigest()[:_DIGITS]}.jpg"


class _PrintedFile(BaseModel):
    suite: str
    printed: list[Printed]
