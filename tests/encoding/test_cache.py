"""Features that a training keeps are taken when its items are encoded, and kept by that."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import crosshash
from crosshash.data.features.cache import FeatureCache
from crosshash.data.model_inputs import prepare_inputs
from crosshash.encoding import encode_source
from crosshash.model import encoding
from crosshash.model.hash_model import HashModel

pytest.importorskip("pyarrow", reason="needs the extra parquet")


@pytest.fixture
def cache(tmp_path: Path) -> FeatureCache:
    return FeatureCache(tmp_path / "features")


@pytest.fixture
def no_network(model: HashModel, monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """From then on the backbone may not run."""

    def forward(pixels: Any) -> Any:
        raise AssertionError("the backbone ran")

    return lambda: monkeypatch.setattr(model.backbone("image"), "forward", forward)


def test_codes_are_the_same_and_computed_once(
    model: HashModel,
    photos: Path,
    cache: FeatureCache,
    no_network: Callable[[], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(encoding, "_CACHED", 4)  # so that there are several blocks
    paths = sorted(photos.rglob("*.png"))
    assert len(paths) > 8
    plain = model.encode_image(paths, output="real")
    kept = model.encode_image(paths, output="real", cache=cache, batch_size=3)
    np.testing.assert_array_equal(kept, plain)
    no_network()
    again = model.encode_image(paths[::-1], output="real", cache=cache)
    np.testing.assert_array_equal(again, plain[::-1])
    with pytest.raises(AssertionError, match="ran"):
        model.encode_image(paths)


def test_what_a_training_keeps_is_taken(
    model: HashModel, cache: FeatureCache, no_network: Callable[[], None]
) -> None:
    dataset, _ = crosshash.load_dataset("shapes", n=12, size=32, query=3, train=6)
    model.frozen = frozenset({"image"})
    prepare_inputs(model, dataset, cache=cache, progress=False)
    no_network()
    assert model.encode_image(dataset.images, cache=cache).shape == (12, 4)


def test_a_folder_of_codes_is_the_same(
    model: HashModel,
    picture: Callable[[int], bytes],
    cache: FeatureCache,
    tmp_path: Path,
) -> None:
    names = [f"{n}.png" for n in range(10)]
    for number, name in enumerate(names):
        (tmp_path / name).write_bytes(picture(number))
    (tmp_path / "2.png").write_bytes(b"no picture")
    (tmp_path / "5.png").unlink()
    listed = tmp_path / "list.csv"
    listed.write_text("\n".join(["image", *names]))
    settings: dict[str, Any] = {"items_per_part": 4, "batch_size": 3}
    plain = encode_source(model, listed, tmp_path / "plain", **settings)
    assert (plain.items, plain.rejected) == (8, 2)
    assert encode_source(model, listed, tmp_path / "kept", **settings, cache=cache) == plain
    assert encode_source(model, listed, tmp_path / "again", **settings, cache=cache) == plain
    for name in ("kept", "again"):
        for path in (tmp_path / "plain").iterdir():
            assert (tmp_path / name / path.name).read_bytes() == path.read_bytes()


def test_features_of_another_precision_are_not_kept(
    model: HashModel, photos: Path, cache: FeatureCache, tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match="bf16 are not kept"):
        encode_source(model, photos, tmp_path / "codes", dtype="bf16", cache=cache)
    assert not (tmp_path / "codes").exists()
