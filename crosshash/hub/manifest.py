"""The zoo: one manifest for each model that exists, one recipe for each config that could."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from crosshash.codes import check_bits
from crosshash.config import bundled, find_config, read_config
from crosshash.files import sha256
from crosshash.hub.contained import safe_name
from crosshash.hub.download import COMMIT, REPOSITORY
from crosshash.registry import matches, nearest
from crosshash.yaml_files import read_yaml

Status = Literal["published", "local", "recipe"]
_CONFIG = re.compile(r"(?P<dataset>.+)-(?P<bits>\d+)")
_ALIAS = re.compile(r"(?P<short>[a-z][a-z0-9]*)(-(?P<bits>\d{1,4}))?")
_FILE = re.compile(r"[\w./-]+")  # no character that a pattern of names would read


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class FileEntry(_Strict):
    """A file of a model: its SHA-256 and its size in bytes."""

    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    size: int = Field(ge=0)


class Measured(_Strict):
    """Figures of the stored weights, and how to get them again.

    Attributes:
        map_i2t: MAP of image queries over texts.
        map_t2i: MAP of text queries over images.
        nested: Mean MAP of both directions at each shorter length of a nested model.
        chance: Of a random order.
        protocol: Name of the split.
        split: SHA-256 of its pairs.
        seed: Of the training.
        command: Measures them.
        versions: Of the libraries.
    """

    map_i2t: float = Field(ge=0, le=1)
    map_t2i: float = Field(ge=0, le=1)
    nested: dict[int, float] = {}
    chance: float | None = None
    protocol: str
    split: str | None = None
    seed: int
    command: str
    versions: dict[str, str] = {}


class Manifest(_Strict):
    """One model: ``zoo/<name>.yaml``, named ``<method>-<dataset>-<bits>[-<variant>]``.

    Attributes:
        status: ``"published"``: on the Hub; ``"local"``: its folder is beside the manifest;
            ``"recipe"``: there is only its config, perhaps with figures, and it must be trained.
        alias: A short name, ``photos``, under which it is known too; ``photos-64`` are then its
            first 64 bits, where they are codes.
        config: Name of the config that trains it.
        repository: On the Hugging Face Hub, of a published model.
        revision: The commit of the repository.
        folder: Of a local model, relative to the manifest.
        files: What loading reads.
        figures: As measured.
        paper: The paper's own figures for this experiment.
    """

    name: str
    method: str
    dataset: str
    bits: int
    variant: str | None = None
    status: Status
    alias: str | None = Field(default=None, pattern=r"^[a-z][a-z0-9]*$")
    config: str
    repository: str | None = Field(default=None, pattern=f"^{REPOSITORY.pattern}$")
    revision: str | None = Field(default=None, pattern=f"^{COMMIT.pattern}$")
    folder: str | None = None
    files: dict[str, FileEntry] = {}
    figures: Measured | None = None
    paper: dict[str, Any] = {}
    licence: str = "Apache-2.0"

    @field_validator("bits")
    @classmethod
    def _packable(cls, bits: int) -> int:
        return check_bits(bits)

    @field_validator("files")
    @classmethod
    def _inside(cls, files: dict[str, FileEntry]) -> dict[str, FileEntry]:
        for name in files:
            if not _FILE.fullmatch(safe_name(name)):
                raise ValueError(f"{name!r}: letters, digits and ./-_ only")
        return files

    @model_validator(mode="after")
    def _whole(self) -> Manifest:
        expected = model_name(self.method, self.dataset, self.bits, self.variant)
        if self.name != expected:
            raise ValueError(f"name: expected {expected!r}, got {self.name!r}")
        needed = {"published": ("repository", "revision", "files"), "local": ("folder", "files")}
        missing = [key for key in needed.get(self.status, ()) if not getattr(self, key)]
        if missing:
            raise ValueError(f"a {self.status} model needs {', '.join(missing)}")
        if self.folder is not None:
            safe_name(self.folder)
        return self

    def dump(self) -> str:
        """The manifest as YAML, without what is empty."""
        values = self.model_dump(mode="json", exclude_none=True)
        kept = {key: value for key, value in values.items() if value != {}}
        return yaml.safe_dump(kept, sort_keys=False, allow_unicode=True, width=100)


def model_name(method: str, dataset: str, bits: int, variant: str | None = None) -> str:
    """``<method>-<dataset>-<bits>[-<variant>]``."""
    return "-".join([method, dataset, str(bits), *([variant] if variant else [])])


def read_manifest(path: Path) -> Manifest:
    """Read one manifest.

    Raises:
        ValueError: It does not keep to the schema; names the file and the keys.
    """
    try:
        return Manifest.model_validate(read_yaml(path))
    except ValidationError as error:
        raise ValueError(f"{path}: {error}") from None


def recipe(config: str) -> Manifest:
    """The manifest of a model that is only a bundled config, such as ``amgfh/flickr8k-64``.

    Raises:
        FileNotFoundError: There is no such config.
    """
    return _recipe(find_config(config))


def _recipe(files: list[Path]) -> Manifest:
    method = files[0].parent.name
    parts = _CONFIG.fullmatch(files[0].stem)
    if parts is None:
        raise FileNotFoundError(f"{files[0]} is no config of one data set and one length")
    dataset, bits = parts["dataset"], int(parts["bits"])
    variant = files[1].stem if len(files) > 1 else None
    return Manifest(
        name=model_name(method, dataset, bits, variant),
        method=method,
        dataset=dataset,
        bits=bits,
        variant=variant,
        status="recipe",
        config="-".join([f"{method}/{files[0].stem}", *([variant] if variant else [])]),
        # The paper's figures are of the method as it is.
        paper={} if variant else read_config(files[0]).paper,
    )


def find_manifest(name: str) -> Manifest:
    """The model of that name: by its manifest, else the recipe of its config.

    Raises:
        LookupError: There is neither; the message has the nearest names.
    """
    name, _ = resolve_alias(name)
    path = bundled("zoo") / f"{name}.yaml"
    if "/" not in name and "\\" not in name and path.is_file():
        return read_manifest(path)
    for method in sorted(p for p in bundled("configs").iterdir() if p.is_dir()):
        if name.startswith(f"{method.name}-"):
            try:
                return recipe(f"{method.name}/{name[len(method.name) + 1 :]}")
            except FileNotFoundError:
                continue
    known = [*_manifest_names(), *(_recipe_name(path) for path in _recipe_files())]
    raise LookupError(
        f"no model {name!r}: it is no folder and not in the zoo, {nearest(name, known)} "
        "(`crosshash models` lists them; hf:organisation/name is any repository)"
    )


def resolve_alias(name: str) -> tuple[str, int | None]:
    """The name of the model that a short name means, and the length that it says.

    ``photos`` is ``cph-photos-128``, and ``photos-64`` the same at 64 bits. Other names are given
    back as they are.
    """
    said = _ALIAS.fullmatch(name)
    for manifest in _aliased() if said else ():
        if said and manifest.alias == said["short"]:
            return manifest.name, int(said["bits"]) if said["bits"] else None
    return name, None


def _aliased() -> list[Manifest]:
    """Models that have a short name; few manifests are read."""
    found = bundled("zoo").glob("*.yaml")
    marked = (path for path in sorted(found) if "\nalias:" in path.read_text(encoding="utf-8"))
    return [read_manifest(path) for path in marked]


def list_models(
    pattern: str = "",
    *,
    method: str | None = None,
    dataset: str | None = None,
    status: Status | None = None,
) -> list[Manifest]:
    """The zoo's models, what exists and what can be trained, sorted.

    Args:
        pattern: Part of the name, or a pattern with ``*`` and ``?`` for all of it.
        method: Only of this method.
        dataset: Only of this data set.
        status: Only ``"published"``, ``"local"`` or ``"recipe"``.

    Raises:
        ValueError: A manifest does not keep to the schema.

    Example:
        >>> [model.name for model in list_models("amgfh-wiki-*", status="local")]
        ['amgfh-wiki-16', 'amgfh-wiki-32', 'amgfh-wiki-64']
    """
    found = {name: read_manifest(bundled("zoo") / f"{name}.yaml") for name in _manifest_names()}
    for path in _recipe_files():
        name = _recipe_name(path)
        wanted = matches(name, pattern) and method in (None, path.parent.name)
        wanted = wanted and dataset in (None, path.stem.rpartition("-")[0])
        if name not in found and wanted and status in (None, "recipe"):
            found[name] = _recipe([path])
    return sorted(
        (
            manifest
            for name, manifest in found.items()
            if matches(name, pattern)
            and method in (None, manifest.method)
            and dataset in (None, manifest.dataset)
            and status in (None, manifest.status)
        ),
        key=lambda m: (m.method, m.dataset, m.bits, m.variant or ""),
    )


def model_rows(manifests: list[Manifest]) -> list[dict[str, Any]]:
    """Rows of the table that ``crosshash models`` shows: names, status, measured, printed MAP."""
    return [
        {
            "name": manifest.name,
            "alias": manifest.alias,
            "status": manifest.status,
            "bits": manifest.bits,
            "MAP i→t": manifest.figures and manifest.figures.map_i2t,
            "MAP t→i": manifest.figures and manifest.figures.map_t2i,
            "paper i→t": manifest.paper.get("map_i2t"),
            "paper t→i": manifest.paper.get("map_t2i"),
        }
        for manifest in manifests
    ]


def file_entry(content: Path | bytes) -> FileEntry:
    """SHA-256 and size of a file, or of bytes that are to be one."""
    if isinstance(content, bytes):
        return FileEntry(sha256=hashlib.sha256(content).hexdigest(), size=len(content))
    return FileEntry(sha256=sha256(content), size=content.stat().st_size)


def file_entries(folder: Path, names: list[str]) -> dict[str, FileEntry]:
    """SHA-256 and size of files in a folder."""
    return {name: file_entry(folder / name) for name in names}


def measured(figures: Mapping[str, Any], seed: int, command: str) -> Measured | None:
    """What a manifest keeps of a report's figures; None where nothing was measured."""
    if "map_i2t" not in figures:
        return None
    record = figures.get("record", {})
    return Measured(
        map_i2t=round(figures["map_i2t"], 4),
        map_t2i=round(figures["map_t2i"], 4),
        nested={
            int(bits): round(found["map_mean"], 4)
            for bits, found in figures.get("nested", {}).items()
        },
        chance=round(figures["i2t"]["chance"], 4),
        protocol=record.get("protocol", "unknown"),
        split=record.get("split"),
        seed=seed,
        command=command,
        versions=record.get("versions", {}),
    )


def _manifest_names() -> list[str]:
    return sorted(path.stem for path in bundled("zoo").glob("*.yaml"))


def _recipe_files() -> list[Path]:
    files = bundled("configs").glob("*/*.yaml")
    return sorted(path for path in files if _CONFIG.fullmatch(path.stem))


def _recipe_name(path: Path) -> str:
    return f"{path.parent.name}-{path.stem}"
