"""From a model's name to a folder whose files are verified."""

from __future__ import annotations

from pathlib import Path

from crosshash.config import bundled
from crosshash.files import recover
from crosshash.hub.checkpoint import FILES, OPTIONAL, files_of
from crosshash.hub.contained import contained
from crosshash.hub.download import REPOSITORY, fetch_snapshot, verify_blob, verify_file
from crosshash.hub.errors import CheckpointError, HubError
from crosshash.hub.manifest import Manifest, find_manifest, resolve_alias
from crosshash.training.files import CHECKPOINT

PREFIX = "hf:"


def locate_model(name: str | Path, revision: str | None = None) -> Path:
    """The checkpoint folder of a model, downloaded where needed, its files verified.

    Args:
        name: A checkpoint folder, or the folder of a run that has one in it;
            ``hf:organisation/name``, with ``@revision`` if wanted; or a zoo name. A folder of
            something else does not hide the model of its name: ``photos`` may be one's pictures.
        revision: Commit, branch or tag, for what comes from the Hub; default: the manifest's
            commit, or the main branch.

    Raises:
        LookupError: There is no such name, or it is a recipe that must be trained.
        ValueError: A revision is given twice, or for what has none.
        HubError: It cannot be fetched.
        CheckpointError: The files are not the published ones.
        FileNotFoundError: The folder has no checkpoint.
    """
    text = str(name)
    if text.startswith(PREFIX):
        return _repository(text, revision)
    if _is_folder(name):
        if revision is not None:
            raise ValueError(f"{name} is a folder, which has no revision {revision!r}")
        return checkpoint_folder(Path(name))
    manifest = find_manifest(text)
    if manifest.status == "recipe":
        raise LookupError(
            f"{manifest.name} has no published weights yet; train it with "
            f"`crosshash train {manifest.config}`"
        )
    if manifest.status == "local":
        if revision is not None:
            raise ValueError(f"{name} comes with the package, which has no revision {revision!r}")
        return local_folder(manifest, bundled("zoo"))
    return _published(manifest, revision)


def named_length(name: str | Path) -> int | None:
    """The length that a model's short name says: 64 of ``photos-64``; None where it says none."""
    return None if _is_folder(name) else resolve_alias(str(name))[1]


def has_checkpoint(folder: Path) -> bool:
    """Whether a folder has a file of a checkpoint, or one of a run in it."""
    return _checkpoint_in(folder) is not None


def _is_folder(name: str | Path) -> bool:
    """Whether the name is a folder's, and no model's that a folder of something else has too."""
    return has_checkpoint(Path(name)) or (Path(name).is_dir() and not in_zoo(str(name)))


def in_zoo(name: str) -> bool:
    """Whether a model of the zoo, or a recipe, has the name."""
    try:
        find_manifest(name)
    except LookupError:
        return False
    return True


def checkpoint_folder(folder: Path) -> Path:
    """The folder, or the ``checkpoint`` in it, whichever has a checkpoint's files."""
    place = _checkpoint_in(folder)
    if place is None:
        raise FileNotFoundError(
            f"{folder} has no checkpoint: looked for {', '.join(FILES)} in it and in "
            f"{folder / CHECKPOINT}, where a training leaves them when it ends"
        )
    return place


def _checkpoint_in(folder: Path) -> Path | None:
    for place in (folder, folder / CHECKPOINT):
        recover(place)
        # One of them is enough: which others are missing is told when it is read.
        if any((place / name).is_file() for name in FILES):
            return place
    return None


def local_folder(manifest: Manifest, zoo: Path) -> Path:
    """The folder of a local model below the zoo's, its files verified.

    Raises:
        CheckpointError: A file is missing or another.
    """
    folder = zoo / str(manifest.folder)
    _verify(manifest, folder)
    return folder


def _published(manifest: Manifest, revision: str | None) -> Path:
    repository = str(manifest.repository)
    if revision not in (None, manifest.revision):
        return _snapshot(repository, revision)  # the manifest says nothing of other revisions
    sizes = {name: entry.size for name, entry in manifest.files.items()}
    folder = fetch_snapshot(repository, manifest.revision, sorted(sizes), sizes)
    _verify(manifest, folder)
    return folder


def _repository(text: str, revision: str | None) -> Path:
    repository, at, named = text.removeprefix(PREFIX).partition("@")
    if not REPOSITORY.fullmatch(repository) or (at and not named):
        raise LookupError(
            f"{text!r} names no repository: expected hf:organisation/name or "
            "hf:organisation/name@revision"
        )
    if named and revision not in (None, named):
        raise ValueError(f"{text!r} has a revision, and revision={revision!r} is another")
    return _snapshot(repository, named or revision)


def _snapshot(repository: str, revision: str | None) -> Path:
    folder = fetch_snapshot(repository, revision, [*FILES, *OPTIONAL])
    missing = [name for name in FILES if not (folder / name).is_file()]
    if missing:
        raise HubError(
            f"{repository} is no checkpoint of crosshash, or is not whole in the cache: "
            f"{', '.join(missing)} missing"
        )
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            contained(folder, path.relative_to(folder).as_posix())
            verify_blob(path, repository)
    return folder


def _verify(manifest: Manifest, folder: Path) -> None:
    unknown = [name for name in FILES if name not in manifest.files]
    if unknown:
        raise CheckpointError(
            f"the manifest of {manifest.name} has no SHA-256 of {', '.join(unknown)}, which would "
            "be loaded unverified; take the manifest that `crosshash publish` gives"
        )
    for name, entry in manifest.files.items():
        try:
            path = contained(folder, name)
        except FileNotFoundError:
            raise CheckpointError(
                f"{folder / name} of {manifest.name} is missing; install crosshash or fetch the "
                "model anew"
            ) from None
        verify_file(path, entry.sha256, entry.size, manifest.name)
    extra = [name for name in files_of(folder) if name not in manifest.files]
    if extra:
        raise CheckpointError(
            f"{folder} of {manifest.name} has {', '.join(extra)} as well, which would be loaded "
            "unverified; remove what is not the model's"
        )
