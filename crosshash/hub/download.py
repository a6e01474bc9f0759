"""Files from the Hugging Face Hub by huggingface_hub: its cache, token, endpoint, offline mode."""

from __future__ import annotations

import importlib
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from crosshash.files import sha256
from crosshash.hub.errors import CheckpointError, HubError
from crosshash.hub.session import COMMIT, watched

__all__ = [
    "COMMIT",
    "REPOSITORY",
    "fetch_file",
    "fetch_snapshot",
    "hub_errors",
    "verify_blob",
    "verify_file",
]

REPOSITORY = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")
_DIGEST = re.compile(r"[0-9a-f]{64}")
_LOG_IN = "log in with `hf auth login`, or set HF_TOKEN"


def fetch_snapshot(
    repository: str,
    revision: str | None,
    names: Sequence[str],
    sizes: Mapping[str, int] | None = None,
) -> Path:
    """A repository's files of those names or patterns, all of one commit, in the cache.

    Args:
        repository: ``organisation/name``.
        revision: Commit, branch or tag; default: the main branch.
        names: Which files; those that the repository lacks are not missed here.
        sizes: Bytes of some of them, where they are known; larger ones are not fetched.

    Returns:
        The snapshot's folder, named as the commit.

    Raises:
        HubError: There is no such repository or revision, it is gated, the Hub cannot be reached
            and the cache lacks the files, or it sends others than it announced.
    """
    from huggingface_hub import snapshot_download

    with hub_errors(repository, revision, sizes):
        return Path(
            snapshot_download(
                repository,
                revision=revision,
                allow_patterns=list(names),
                library_name="crosshash",
            )
        )


def fetch_file(repository: str, name: str, revision: str | None = None) -> Path:
    """One file of a repository, in the cache; raises as :func:`fetch_snapshot`."""
    from huggingface_hub import hf_hub_download

    with hub_errors(repository, revision):
        return Path(hf_hub_download(repository, name, revision=revision, library_name="crosshash"))


def verify_file(path: Path, digest: str, size: int, source: str) -> None:
    """Compare a file with what a manifest says of it.

    Raises:
        CheckpointError: Size or SHA-256 differ; says what to do.
    """
    found = path.stat().st_size
    # Reading it is left out where the size tells already.
    actual = sha256(path) if found == size else ""
    if actual != digest:
        told = f"SHA-256 {actual}" if actual else f"{found} bytes"
        wanted = f"SHA-256 {digest}" if actual else f"{size} bytes"
        raise CheckpointError(
            f"{path} is not the published file of {source}: it has {told}, expected {wanted}. "
            f"Nothing was loaded and nothing removed. {_remedy(path)}"
        )


def verify_blob(path: Path, source: str) -> None:
    """Check a large file of the cache against the SHA-256 under which the cache keeps it.

    For a repository without a manifest this finds a damaged download, not a changed repository.

    Raises:
        CheckpointError: They differ.
    """
    name = path.resolve().name
    # Shared blobs have a name of another hash, below a folder of its first two digits.
    if _DIGEST.fullmatch(name) and path.resolve().parent.name == "blobs" and sha256(path) != name:
        raise CheckpointError(
            f"{path} of {source} is damaged: it is not the file that the Hub announced. "
            f"{_remedy(path)}"
        )


def _remedy(path: Path) -> str:
    real = path.resolve()
    if real == path.absolute():
        return "Install crosshash or copy the folder anew"
    return (
        f"Remove {real} and load again; if the new download differs too, the repository was "
        "changed: tell its owner"
    )


@contextmanager
def hub_errors(
    repository: str, revision: str | None = None, sizes: Mapping[str, int] | None = None
) -> Iterator[None]:
    """Turn huggingface_hub's exceptions into a :class:`HubError` that says what to do.

    Its requests are :func:`~crosshash.hub.session.watched` meanwhile, by the ``sizes`` of files.
    """
    from huggingface_hub import constants, errors

    at = f"{repository}@{revision}" if revision else repository
    try:
        with watched(sizes):
            yield
    except errors.GatedRepoError as error:
        raise HubError(
            f"{repository} is gated: ask for access at {constants.ENDPOINT}/{repository}, then "
            f"{_LOG_IN}"
        ) from error
    except errors.RepositoryNotFoundError as error:
        raise HubError(
            f"{constants.ENDPOINT} has no repository {repository}, or it is private; check the "
            f"name, or {_LOG_IN} with access to it"
        ) from error
    except errors.RevisionNotFoundError as error:
        raise HubError(
            f"{repository} has no revision {revision!r}; name a commit, branch or tag of it"
        ) from error
    except (errors.LocalEntryNotFoundError, errors.OfflineModeIsEnabled) as error:
        if constants.HF_HUB_OFFLINE:
            raise HubError(
                f"{at} is not whole in the cache {constants.HF_HUB_CACHE}, and HF_HUB_OFFLINE "
                "forbids to fetch it; load it once without"
            ) from error
        raise HubError(_unreachable(at, error)) from error
    except errors.EntryNotFoundError as error:
        raise HubError(f"{at} lacks a file: {_first_line(error)}") from error
    except errors.HfHubHTTPError as error:
        status = error.response.status_code
        if status in (401, 403):
            raise HubError(
                f"{constants.ENDPOINT} refuses {at} ({status}): the token is wrong or may not do "
                f"this; {_LOG_IN} with access to it"
            ) from error
        raise HubError(
            f"{constants.ENDPOINT} answered {status} for {at} ({_first_line(error)}); try later"
        ) from error
    except _failures() as error:
        if isinstance(error, HubError):
            raise
        raise HubError(_unreachable(at, error)) from error
    except (ImportError, MemoryError):
        raise
    except Exception as error:
        # It takes a server's answers at their word, and fails with whatever that leads to.
        raise HubError(
            f"{constants.ENDPOINT} gave an answer for {at} that cannot be understood "
            f"({type(error).__name__}: {_first_line(error)}); check HF_ENDPOINT, or try later"
        ) from error


def _unreachable(at: str, error: BaseException) -> str:
    from huggingface_hub import constants

    return (
        f"{at} could not be fetched from {constants.ENDPOINT} ({_first_line(error)}); check the "
        "connection and try again: what has come is kept"
    )


def _first_line(error: BaseException) -> str:
    lines = [line for line in str(error).splitlines() if line.strip()]
    return lines[0].strip() if lines else type(error).__name__


def _failures() -> tuple[type[Exception], ...]:
    """Base classes of what else can fail, whichever HTTP client huggingface_hub uses."""
    kinds = (("httpx2", "HTTPError"), ("httpx", "HTTPError"), ("requests", "RequestException"))
    found: list[type[Exception]] = []
    for module, name in kinds:
        with suppress(ImportError):
            found.append(getattr(importlib.import_module(module), name))
    return (OSError, *found)
