"""Checkpoints to the Hugging Face Hub: one commit, and a manifest that pins it."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any, Literal

import torch

from crosshash.hub.card import card
from crosshash.hub.checkpoint import CARD, FILES, OPTIONAL, files_of, read_checkpoint
from crosshash.hub.contained import read_object
from crosshash.hub.download import COMMIT, REPOSITORY, hub_errors
from crosshash.hub.errors import CheckpointError, HubError
from crosshash.hub.golden import check_golden, has_golden
from crosshash.hub.limits import check_info
from crosshash.hub.manifest import Manifest, file_entry, measured, model_name
from crosshash.hub.resolve import checkpoint_folder
from crosshash.hub.save import save
from crosshash.hub.seal import CONFIG, SEAL, sealed
from crosshash.model.hash_model import HashModel


@dataclass(frozen=True)
class Published:
    """What :func:`publish` did, or would do.

    Attributes:
        repository: Where.
        url: Of the repository.
        files: Names of the files that are uploaded, with the card.
        card: The card's text.
        manifest: To commit as ``zoo/<name>.yaml``; a dry run has none, since there is no commit.
        draft: The manifest's content as far as it is known before.
    """

    repository: str
    url: str
    files: list[str]
    card: str
    manifest: Manifest | None
    draft: Manifest


def publish(
    model: HashModel | str | Path,
    repository: str | None = None,
    *,
    private: bool = False,
    dry_run: bool = False,
    dtype: torch.dtype | None = None,
    backbones: Literal["full", "reference"] = "full",
    licence: str = "Apache-2.0",
) -> Published:
    """Check a checkpoint, write its card and upload it, all in one commit.

    Only a checkpoint's own files are uploaded, whatever else is in the folder; those that an
    earlier upload left in the repository and this one has not are removed from it. Absolute paths
    in its JSON, which say how this machine's folders are called, are shortened to their last part.

    Args:
        model: A checkpoint folder, or a run's, which is loaded first and its golden codes, if any,
            checked; or a model, which is saved first.
        repository: ``organisation/name``; default: the model's name under the token's account.
        private: Make a new repository private.
        dry_run: Upload nothing, and do not ask the Hub.
        dtype: Of a model's stored weights, as :func:`~crosshash.hub.save.save` takes it.
        backbones: Where a model's frozen weights are stored, likewise.
        licence: SPDX identifier of the weights' licence, for the card.

    Raises:
        CheckpointError: The folder is no checkpoint that loads.
        ValueError: The repository's name is none, or the model has no experiment to be named by.
        HubError: The Hub refuses, or cannot be reached.

    Example:
        >>> import crosshash
        >>> model = crosshash.load("amgfh-wiki-16")
        >>> done = publish(model, "my-name/amgfh-wiki-16", dry_run=True)
        >>> [name for name in done.files if name.endswith(".safetensors")]
        ['model.safetensors']
    """
    if isinstance(model, HashModel):
        with tempfile.TemporaryDirectory(prefix="crosshash-") as place:
            folder = Path(place) / "checkpoint"
            save(model, folder, dtype=dtype, backbones=backbones)
            return publish(folder, repository, private=private, dry_run=dry_run, licence=licence)
    if dtype is not None or backbones != "full":
        raise ValueError("dtype and backbones are for a model; a folder is published as it is")
    path = checkpoint_folder(Path(model))
    model = read_checkpoint(path)
    if has_golden(path):
        check_golden(model, path)
    with _telling(path):
        contents = _contents(path)
        local = _local_manifest(model, path, contents, licence)
    if repository is None:
        repository = f"{'<account>' if dry_run else _account()}/{local.name}"
    if not (dry_run and repository.startswith("<")) and not REPOSITORY.fullmatch(repository):
        raise ValueError(f"{repository!r} is no repository: expected organisation/name")
    with _telling(path):
        text = card(model, local.name, source=f"hf:{repository}", licence=licence)
        written = text.encode()
    names = sorted([*local.files, CARD])
    manifest = None
    if not dry_run:
        commit = _upload({**contents, CARD: written}, repository, private)
        changes = {"status": "published", "repository": repository, "revision": commit}
        kept = local.model_dump(exclude={"folder"})
        manifest = Manifest.model_validate({**kept, **changes})
    return Published(repository, _url(repository), names, text, manifest, local)


@contextmanager
def _telling(folder: Path) -> Iterator[None]:
    """Name the file whose figures are none, or are of no experiment that has a name."""
    try:
        yield
    except CheckpointError:
        raise
    except (LookupError, TypeError, AttributeError, ValueError, OverflowError) as error:
        raise CheckpointError(
            f"{folder / 'info.json'}: it does not say what the model is and measures "
            f"({type(error).__name__}: {error}); save it anew"
        ) from error


def _contents(folder: Path) -> dict[str, Path | bytes]:
    """What is uploaded: files as they are, or the bytes that take their place."""
    contents: dict[str, Path | bytes] = {name: folder / name for name in files_of(folder)}
    config, info = read_object(folder / "config.json"), read_object(folder / "info.json")
    check_info(info, folder / "info.json")
    told = {**info, "experiment": _shortened(info.get("experiment", {}))}
    if told != info:
        contents["info.json"] = _json(told)
    shorter = {**config, "text": _shortened(config["text"])}
    if (shorter, told) != (config, info):
        if config.get(SEAL) is not None:  # of the files as they are uploaded
            others = {name: content for name, content in contents.items() if name != CONFIG}
            shorter = sealed(shorter, {n: file_entry(c).sha256 for n, c in others.items()})
        contents[CONFIG] = _json(shorter)
    return contents


def _json(values: Mapping[str, Any]) -> bytes:
    return (json.dumps(values, indent=2, ensure_ascii=False) + "\n").encode()


def _shortened(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _shortened(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_shortened(inner) for inner in value]
    if not isinstance(value, str):
        return value
    kind, colon, path = value.rpartition(":") if value.startswith("hf:") else ("", "", value)
    for pure in (PurePosixPath(path), PureWindowsPath(path)):
        if pure.is_absolute():
            return kind + colon + pure.name
    return value


def _local_manifest(
    model: HashModel, folder: Path, contents: Mapping[str, Path | bytes], licence: str
) -> Manifest:
    experiment = model.info.experiment
    dataset = str(experiment.get("data", {}).get("name") or "custom")
    config = f"{model.method}/{dataset}-{model.bits}"
    plain = model_name(model.method, dataset, model.bits)
    # A config does not say its variant's name; a folder of `crosshash zoo build` does.
    variant = folder.name[len(plain) + 1 :] if folder.name.startswith(f"{plain}-") else None
    name = model_name(model.method, dataset, model.bits, variant)
    if variant:
        config += f"-{variant}"
    seed = int(experiment.get("seed", 0))
    return Manifest(
        name=name,
        method=model.method,
        dataset=dataset,
        bits=model.bits,
        variant=variant,
        status="local",
        config=config,
        folder=folder.name or "checkpoint",
        files={name: file_entry(content) for name, content in contents.items()},
        figures=measured(model.info.figures, seed, f"crosshash evaluate {name}"),
        paper=experiment.get("paper") or {},
        licence=licence,
    )


def _account() -> str:
    from huggingface_hub import HfApi
    from huggingface_hub.errors import LocalTokenNotFoundError

    try:
        with hub_errors("your account"):
            return str(HfApi(library_name="crosshash").whoami()["name"])
    except HubError as error:
        if isinstance(error.__cause__, LocalTokenNotFoundError):
            raise HubError(
                "publishing needs a token: log in with `hf auth login`, or set HF_TOKEN; or name "
                "the repository with --repo organisation/name for a dry run"
            ) from error
        raise


def _upload(contents: Mapping[str, Path | bytes], repository: str, private: bool) -> str:
    """Upload as one commit; returns its hash."""
    from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi

    api = HfApi(library_name="crosshash")
    with hub_errors(repository):
        api.create_repo(repository, private=private, exist_ok=True)
        known = api.list_repo_files(repository)
        stale = [name for name in known if _ours(name) and name not in contents]
        # One commit and not upload_folder, which may make several: a reader sees all or nothing.
        operations: list[Any] = [CommitOperationDelete(name) for name in stale]
        operations += [CommitOperationAdd(name, content) for name, content in contents.items()]
        commit = api.create_commit(repository, operations, commit_message="Publish with crosshash")
    if not COMMIT.fullmatch(str(commit.oid)):
        raise HubError(f"{repository}: the Hub names the new commit {commit.oid!r}, which is none")
    return str(commit.oid)


def _ours(name: str) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in (*FILES, *OPTIONAL))


def _url(repository: str) -> str:
    from huggingface_hub import constants

    return f"{constants.ENDPOINT}/{repository}"
