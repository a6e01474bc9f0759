"""The model of photographs that comes with the package: its size, its names, what it finds.

``photos_codes.npy`` has its codes of the 1,000 query photographs of flickr8k, so that no test has
to send all of them through the network:
``np.save(file, crosshash.load("photos").encode_image(dataset.select(protocol.query).images))``.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import numpy as np
import numpy.typing as npt
import pytest

import crosshash
from crosshash.codes import hamming, unpack
from crosshash.config import bundled
from crosshash.data.dataset import PairedDataset
from crosshash.hub.manifest import resolve_alias
from crosshash.hub.resolve import locate_model
from crosshash.retrieval.neighbours import asymmetric_scores, pair_recall, symmetric_scores

ROOT = Path(__file__).parents[2]
FOLDER = bundled("zoo") / "checkpoints" / "cph-photos-128"
CODES: npt.NDArray[np.uint8] = np.load(Path(__file__).with_name("photos_codes.npy"))


@pytest.fixture(scope="module")
def asked(shared_data: Path) -> PairedDataset:
    dataset, protocol = crosshash.load_dataset("flickr8k", root=shared_data / "flickr8k")
    return dataset.select(protocol.query)


@pytest.fixture(scope="module")
def photos() -> crosshash.HashModel:
    return crosshash.load("photos")


@pytest.fixture(scope="module")
def benchmark() -> ModuleType:
    spec = importlib.util.spec_from_file_location("photos", ROOT / "benchmarks" / "photos.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_it_is_small(photos: crosshash.HashModel) -> None:
    files = [path for path in FOLDER.rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) < 18_000_000
    stored = sum(t.numel() * (1 if t.dtype.itemsize == 1 else 2) for t in photos.text.buffers())
    words = sum(path.stat().st_size for path in (FOLDER / "text_encoder").iterdir())
    assert not list(photos.text.parameters())
    assert stored + words < 6_000_000


@pytest.mark.parametrize("bits", [32, 64, 128])
def test_it_is_one_model_at_three_lengths(photos: crosshash.HashModel, bits: int) -> None:
    short = crosshash.load(f"photos-{bits}")
    assert short.lengths == tuple(k for k in (32, 64, 128) if k <= bits)
    text = "a dog in the snow"
    assert np.array_equal(short.encode_text(text), photos.encode_text(text, bits=bits))
    whole, own = photos.info.figures, short.info.figures
    assert own["calibration"] == whole["calibration"]
    assert own["map_i2t"] == (whole if bits == 128 else whole["nested"][str(bits)])["map_i2t"]
    assert own["record"]["bits"] == bits
    assert set(own.get("nested", {})) == {str(k) for k in short.nested}


def test_short_names_are_of_that_model_alone() -> None:
    assert resolve_alias("photos") == ("cph-photos-128", None)
    assert resolve_alias("photos-64") == ("cph-photos-128", 64)
    for other in ("cph-photos-128", "photo", "photos-x", "amgfh-wiki-64", "hf:some/photos"):
        assert resolve_alias(other) == (other, None)
    with pytest.raises(ValueError, match="32, 64 and 128 bits, not of 48"):
        crosshash.load("photos-48")
    with pytest.raises(LookupError, match="no model 'photo'"):
        crosshash.load("photo")


def test_a_folder_of_pictures_does_not_hide_it_and_one_of_a_model_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "a.jpg").write_bytes(b"")
    assert locate_model("photos") == FOLDER
    crosshash.save(crosshash.load("amgfh-wiki-16"), tmp_path / "photos-64")
    assert crosshash.load("photos-64").method == "amgfh"
    crosshash.save(crosshash.load("amgfh-wiki-16"), tmp_path / "photos" / "checkpoint")
    assert crosshash.load("photos").method == "amgfh"


def test_its_codes_of_photographs_are_those_that_are_kept(
    photos: crosshash.HashModel, asked: PairedDataset
) -> None:
    few = np.arange(0, 1000, 50)
    codes = photos.encode_image(asked.select(few).images, progress=False)
    # A value within 1e-6 of 0 may have either sign on another machine.
    assert hamming(codes, CODES[few]).diagonal().max() <= 1


@pytest.mark.parametrize(("bits", "symmetric", "asymmetric"), [(64, 0.43, 0.49), (128, 0.48, 0.53)])
def test_captions_find_their_photographs(
    photos: crosshash.HashModel,
    asked: PairedDataset,
    bits: int,
    symmetric: float,
    asymmetric: float,
) -> None:
    texts = photos.encode_text(asked.captions("first"), output="real", bits=bits)
    signs = unpack(CODES[:, : bits // 8])
    partners = np.arange(len(signs))
    assert pair_recall(symmetric_scores(texts, signs), partners, [10])[10] > symmetric
    assert pair_recall(asymmetric_scores(texts, signs), partners, [10])[10] > asymmetric


def test_words_that_no_caption_had_find_what_they_mean(
    photos: crosshash.HashModel, asked: PairedDataset, benchmark: ModuleType, shared_data: Path
) -> None:
    dataset, _ = crosshash.load_dataset("flickr8k", root=shared_data / "flickr8k")
    known = set(asked.ids)
    groups = zip(dataset.ids, dataset.texts, strict=True)
    benchmark.check_unseen([c for id_, group in groups if id_ not in known for c in group])
    meant = benchmark.unseen_words()
    assert len(meant) == 40
    said = [set().union(*map(benchmark.words_of, group)) for group in asked.texts]
    scores = asymmetric_scores(
        photos.encode_text(list(meant), output="real", bits=64), unpack(CODES[:, :8])
    )
    first = np.argsort(-scores, axis=1, kind="stable")[:, :10]
    hits = {
        query: sum(bool(words & said[row]) for row in rows)
        for (query, words), rows in zip(meant.items(), first, strict=True)
    }
    assert np.mean(list(hits.values())) > 6
    assert sum(count >= 3 for count in hits.values()) >= 37
    for query in ("canine", "pups", "mountaineering", "blizzard", "kiddies", "motorway"):
        assert hits[query] >= 8, query


def test_chance_would_find_few(asked: PairedDataset, benchmark: ModuleType) -> None:
    said = [set().union(*map(benchmark.words_of, group)) for group in asked.texts]
    meant = benchmark.unseen_words().values()
    assert np.mean([bool(words & has) for words in meant for has in said]) < 0.15
