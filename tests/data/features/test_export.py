from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors import safe_open
from safetensors.numpy import load_file

from crosshash.backbones import ImageBackbone, create_image_backbone, fingerprint
from crosshash.backbones.extract import iterate_features
from crosshash.data.dataset import PairedDataset
from crosshash.data.features.cache import FeatureCache
from crosshash.data.features.export import export_features
from crosshash.images import CorruptImageError


@pytest.fixture(scope="module")
def backbone() -> ImageBackbone:
    torch.manual_seed(0)
    return create_image_backbone("test_resnet", weights="random", image_size=32)


@pytest.fixture
def cache(tmp_path: Path) -> FeatureCache:
    return FeatureCache(tmp_path / "cache")


def dataset(folder: Path, **options: object) -> PairedDataset:
    noise = np.random.default_rng(0).integers(0, 256, (5, 6, 8, 3), dtype=np.uint8)
    paths = [folder / f"{row}.png" for row in range(5)]
    for path, pixels in zip(paths, noise, strict=True):
        Image.fromarray(pixels).resize((40, 30)).save(path)
    values = {
        "name": "tiny",
        "ids": [path.name for path in paths],
        "images": paths,
        "texts": [f"word {row}" for row in range(5)],
        "labels": np.eye(5, 2),
        "label_names": ["one", "two"],
    }
    return PairedDataset(**{**values, **options})


def about(path: Path) -> dict[str, str]:
    with safe_open(path, "np") as file:
        return file.metadata()


@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_the_file_has_features_labels_and_what_they_are_of(
    tmp_path: Path, backbone: ImageBackbone, cache: FeatureCache, dtype: str
) -> None:
    data = dataset(tmp_path)
    path = tmp_path / "f.safetensors"
    values = export_features(path, data, backbone, dtype=dtype, cache=cache, progress=False)
    arrays = load_file(path)
    assert set(arrays) == {"images", "labels"}
    assert arrays["images"].dtype == np.dtype(dtype)
    [expected] = iterate_features(backbone, data.images)
    np.testing.assert_allclose(arrays["images"], expected.pooled.numpy(), rtol=1e-3, atol=1e-3)
    assert (arrays["labels"] == data.labels).all()
    assert values["dim"] == 96
    told = about(path)
    listed = json.dumps(list(data.ids), separators=(",", ":")).encode()
    assert told["ids_sha256"] == hashlib.sha256(listed).hexdigest()
    assert told["fingerprint"] == fingerprint(backbone)
    assert json.loads(told["backbone"])["name"] == "test_resnet"
    assert json.loads(told["label_names"]) == ["one", "two"]
    assert told["decoded_from"] == "33x33"
    assert (told["dataset"], told["pairs"], told["left_out"]) == ("tiny", "5", "[]")


def test_text_features_go_along_and_labels_may_lack(
    tmp_path: Path, backbone: ImageBackbone, cache: FeatureCache
) -> None:
    tags = np.eye(5, 7, dtype=np.float32)
    data = dataset(tmp_path, texts=tags, labels=None, label_names=())
    path = tmp_path / "f.safetensors"
    export_features(path, data, backbone, cache=cache, progress=False)
    arrays = load_file(path)
    assert set(arrays) == {"images", "texts"}
    assert (arrays["texts"] == tags).all()


def test_damaged_pictures_are_left_out_only_when_asked(
    tmp_path: Path, backbone: ImageBackbone, cache: FeatureCache
) -> None:
    data = dataset(tmp_path)
    (tmp_path / "2.png").write_bytes(b"no picture")
    path = tmp_path / "f.safetensors"
    with pytest.raises(CorruptImageError, match=r"2\.png"):
        export_features(path, data, backbone, cache=cache, progress=False)
    assert not path.exists()
    values = export_features(path, data, backbone, cache=cache, progress=False, on_corrupt="skip")
    assert values["left_out"] == ["2.png"]
    arrays = load_file(path)
    assert len(arrays["images"]) == len(arrays["labels"]) == 4
    assert (arrays["labels"] == data.labels[[0, 1, 3, 4]]).all()
    for row in range(5):
        (tmp_path / f"{row}.png").write_bytes(b"none")
    with pytest.raises(ValueError, match="none of 5 pictures"):
        export_features(path, data, backbone, cache=cache, progress=False, on_corrupt="skip")


def test_wrong_requests_are_refused(
    tmp_path: Path, backbone: ImageBackbone, cache: FeatureCache
) -> None:
    data = dataset(tmp_path)
    with pytest.raises(ValueError, match="float64"):
        export_features(tmp_path / "f", data, backbone, dtype="float64", cache=cache)
    features = dataset(tmp_path, images=np.ones((5, 3), dtype=np.float32))
    with pytest.raises(ValueError, match="image features already"):
        export_features(tmp_path / "f", features, backbone, cache=cache)


def test_features_too_large_for_half_precision_are_refused(
    tmp_path: Path, cache: FeatureCache
) -> None:
    class Huge(type(create_image_backbone("test_resnet", weights="random", image_size=32))):
        def forward(self, x):
            return super().forward(x)._replace(pooled=torch.full((len(x), 96), 1e5))

    huge = Huge("test_resnet", weights="random", image_size=32)
    data = dataset(tmp_path)
    with pytest.raises(ValueError, match="too large for float16"):
        export_features(tmp_path / "f", data, huge, dtype="float16", cache=cache, progress=False)


def test_features_of_whole_and_of_small_pictures_are_kept_apart(
    tmp_path: Path, cache: FeatureCache
) -> None:
    path = tmp_path / "large.jpg"
    noise = np.random.default_rng(0).integers(0, 256, (12, 16, 3), dtype=np.uint8)
    Image.fromarray(noise).resize((800, 600)).save(path)
    backbone = create_image_backbone("test_resnet", weights="random", image_size=32)
    from crosshash.images import ImageFiles

    source = ImageFiles([path])
    small = cache.features(backbone, source, progress=False).pooled
    steps = backbone.preprocess
    backbone.preprocess = lambda picture: steps(picture)  # asks for the whole picture
    whole = cache.features(backbone, source, progress=False).pooled
    assert not torch.equal(small, whole)
    assert len(list(cache.folder.iterdir())) == 2
