"""Where the data sets come from: official addresses, sizes, checksums and terms."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from crosshash.data.download.archive import unpack
from crosshash.data.download.remote import Fetched, Progress, Remote, check_space, record, recorded
from crosshash.data.download.transfer import ATTEMPTS, download
from crosshash.registry import nearest

RECORD = "downloads.json"
_LIACS = "https://press.liacs.nl/mirflickr/mirflickr25k.v3b"
# Not https: the host answers there with the certificate of the store behind it. The checksums tell.
_COCO = "http://images.cocodataset.org"


@dataclass(frozen=True)
class Source:
    """The official source of a data set.

    Attributes:
        title: The data set's full name.
        page: Its authors' page.
        licence: Under which terms it is given.
        variants: The files of each version; the first is the one fetched by default. None, where
            there is no address that anyone may fetch from.
        otherwise: How to get it by hand.
    """

    title: str
    page: str
    licence: str
    variants: Mapping[str, tuple[Remote, ...]] = field(default_factory=dict)
    otherwise: str = ""

    def files(self, variant: str | None = None) -> tuple[Remote, ...]:
        """The files of a version.

        Raises:
            LookupError: There is no such version, or no file to fetch at all.
        """
        if not self.variants:
            raise LookupError(f"{self.title} has no official direct link. {self.otherwise}")
        name = next(iter(self.variants)) if variant is None else variant
        if name not in self.variants:
            raise LookupError(f"{self.title}: no version {name!r}; {nearest(name, self.variants)}")
        return self.variants[name]


def _coco(year: str, sizes: tuple[int, int, int], md5: tuple[str, str, str]) -> tuple[Remote, ...]:
    names = (
        (f"zips/train{year}.zip", f"train{year}", "training photographs"),
        (f"zips/val{year}.zip", f"val{year}", "validation photographs"),
        (f"annotations/annotations_trainval{year}.zip", "annotations", "captions and instances"),
    )
    return tuple(
        Remote(f"{_COCO}/{path}", size, f"md5:{digest}", f"{holds} ({folder}/)")
        for (path, folder, holds), size, digest in zip(names, sizes, md5, strict=True)
    )


SOURCES: dict[str, Source] = {
    "mirflickr": Source(
        title="MIRFLICKR-25K",
        page="https://press.liacs.nl/mirflickr/mirdownload.html",
        licence=(
            "25,000 Flickr photographs under Creative Commons attribution licences, some with "
            "further restrictions. They may be used for research as long as the photographers are "
            "credited; meta/license/ in the archive names each one and the exact licence."
        ),
        variants={
            "25k": (
                Remote(
                    f"{_LIACS}/mirflickr25k.zip",
                    3_069_184_257,
                    "md5:a23d0a8564ee84cda5622a6c2f947785",
                    "photographs, tags and licences (mirflickr/)",
                ),
                Remote(
                    f"{_LIACS}/mirflickr25k_annotations_v080.zip",
                    207_220,
                    "md5:aa0138c79892b1b670184d142380948f",
                    "annotations v080",
                    folder="mirflickr25k_annotations_v080",
                ),
            )
        },
    ),
    "coco": Source(
        title="MS COCO",
        page="https://cocodataset.org/#download",
        licence=(
            "The annotations are under the Creative Commons Attribution 4.0 licence. The COCO "
            "Consortium does not own the photographs: their use must abide by the Flickr Terms of "
            "Use, and their users take full responsibility. https://cocodataset.org/#termsofuse"
        ),
        variants={
            "2017": _coco(
                "2017",
                (19_336_861_798, 815_585_330, 252_907_541),
                (
                    "cced6f7f71b7629ddf16f17bbcfab6b2",
                    "442b8da7639aecaf257c1dceb8ba8c80",
                    "f4bbac642086de4f52a3fdda2de5fa2c",
                ),
            ),
            "2014": _coco(
                "2014",
                (13_510_573_713, 6_645_013_297, 252_872_794),
                (
                    "0da8c0bd3d6becc4dcb32757491aca88",
                    "a3d79f5ed8d289b7a7554ce06a5782b3",
                    "0a379cfc70b0e71301e0f377548639bd",
                ),
            ),
        },
    ),
    "nuswide": Source(
        title="NUS-WIDE",
        page="https://lms.comp.nus.edu.sg/wp-content/uploads/2019/research/nuswide/NUS-WIDE.html",
        licence="For research, by an agreement with the Lab for Media Search, NUS.",
        otherwise=(
            "Its page (https://lms.comp.nus.edu.sg/wp-content/uploads/2019/research/nuswide/"
            "NUS-WIDE.html) links to the tags, the ground truth and the image list; for the "
            "photographs, fill in the agreement there and send it to the authors."
        ),
    ),
    "flickr8k": Source(
        title="Flickr8k",
        page="http://nlp.cs.illinois.edu/HockenmaierGroup/8k-pictures.html",
        licence="Photographs of Flickr users, for non-commercial research and education.",
        otherwise=(
            "The University of Illinois hands it out by a request form "
            "(https://forms.illinois.edu/sec/1713398). Unpack its two archives into one folder: "
            "labels and split come with crosshash (docs/data/flickr8k.md)."
        ),
    ),
    "wiki": Source(
        title="Wikipedia (Rasiwasia et al. 2010)",
        page="http://www.svcl.ucsd.edu/projects/crossmodal/",
        licence="Texts and pictures of Wikipedia, under its terms; see the authors' page.",
        otherwise=(
            "Its page (http://www.svcl.ucsd.edu/projects/crossmodal/) has the features and the "
            "lists; docs/data/wiki.md says which matrices `wiki` reads."
        ),
    ),
    "shapes": Source(
        title="shapes",
        page="",
        licence="That of crosshash.",
        otherwise="It is drawn when it is read; nothing needs to be fetched.",
    ),
}


def find_source(name: str) -> Source:
    """The source of a data set.

    Raises:
        LookupError: No source is known under that name.
    """
    if name not in SOURCES:
        raise LookupError(f"no known source of a data set {name!r}; {nearest(name, SOURCES)}")
    return SOURCES[name]


def fetch(
    files: tuple[Remote, ...],
    root: str | Path,
    *,
    keep: bool = False,
    attempts: int = ATTEMPTS,
    pause: float = 1.0,
    progress: Progress | None = None,
) -> list[Fetched]:
    """Download and unpack files into a folder; a repeated call does only what is left to do.

    What was fetched is listed with its SHA-256 in ``downloads.json``, and found done there.

    Args:
        files: What to fetch.
        root: The data set's folder.
        keep: Keep the archives after they are unpacked.
        attempts: As :func:`crosshash.data.download.download` takes it.
        pause: Likewise.
        progress: Likewise.

    Raises:
        DownloadError: A file cannot be fetched, is not the one published, or has no room.
        ValueError: An archive cannot be unpacked.
    """
    root = Path(root)
    done = recorded(root / RECORD)
    left = [remote for remote in files if done.get(remote.name, {}).get("url") != remote.url]
    # Photographs hardly shrink in an archive: unpacked, they take its size once more.
    known = [_still(root, remote) + (remote.size or 0) for remote in left]
    check_space(root, sum(known), "the download with its unpacked files")
    fetched = []
    for remote in left:
        found = download(remote, root, attempts=attempts, pause=pause, progress=progress)
        if found.path.suffix == ".zip":
            unpack(found.path, root / remote.folder, progress=progress)
            if not keep:
                found.path.unlink()
        record(found, remote, root / RECORD)
        fetched.append(found)
    return fetched


def _still(root: Path, remote: Remote) -> int:
    """Bytes that are yet to come."""
    here = [root / remote.name, root / f"{remote.name}.part"]
    return max(0, (remote.size or 0) - sum(path.stat().st_size for path in here if path.exists()))
