from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from crosshash.backbones import Features, ImageBackbone, create_image_backbone, create_text_encoder
from crosshash.backbones.extract import iterate_features
from crosshash.data.features.cache import FeatureCache
from crosshash.images import ImageFiles


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    generator = np.random.default_rng(0)
    folder = tmp_path / "pictures"
    folder.mkdir()
    paths = [folder / f"{number}.png" for number in range(12)]
    for path in paths:
        coarse = generator.integers(0, 256, (6, 8, 3), dtype=np.uint8)
        Image.fromarray(coarse).resize((48, 40)).save(path)
    return paths


@pytest.fixture
def cache(tmp_path: Path) -> FeatureCache:
    return FeatureCache(tmp_path / "cache")


class Counted:
    """A backbone that counts the pictures it sees, and fails after as many as it is told."""

    def __init__(self, seed: int = 0, **options: object) -> None:
        torch.manual_seed(seed)
        self.backbone: ImageBackbone = create_image_backbone(
            "test_resnet", weights="random", image_size=32, **options
        )
        self.seen = 0
        self.most = 10**9
        self.backbone.register_forward_pre_hook(self._count)

    def _count(self, module: object, inputs: tuple[Tensor]) -> None:
        if self.seen + len(inputs[0]) > self.most:
            raise KeyboardInterrupt
        self.seen += len(inputs[0])

    def counts(self) -> int:
        seen, self.seen = self.seen, 0
        return seen


def test_a_second_run_computes_nothing_and_gives_the_same(
    cache: FeatureCache, files: list[Path]
) -> None:
    counted, source = Counted(), ImageFiles(files)
    keep = ("pooled", "map")
    first = cache.features(counted.backbone, source, keep=keep, batch_size=5)
    assert counted.counts() == 12
    again = Counted()
    second = cache.features(again.backbone, source, keep=keep, batch_size=5)
    assert again.counts() == 0
    direct = list(iterate_features(counted.backbone, source, keep=keep, batch_size=5))
    for name in keep:
        expected = torch.cat([getattr(chunk, name) for chunk in direct])
        assert torch.equal(getattr(first, name), expected)
        assert torch.equal(getattr(second, name), expected)


def test_pooled_features_are_found_in_shards_with_maps_but_not_the_other_way(
    cache: FeatureCache, files: list[Path]
) -> None:
    counted = Counted()
    cache.features(counted.backbone, ImageFiles(files[:6]), keep=("pooled", "map"))
    cache.features(counted.backbone, ImageFiles(files[6:]))
    assert counted.counts() == 12
    assert cache.features(counted.backbone, ImageFiles(files)).map is None
    assert counted.counts() == 0
    found = cache.features(counted.backbone, ImageFiles(files), keep=("pooled", "map"))
    assert counted.counts() == 6
    [direct] = iterate_features(counted.backbone, ImageFiles(files), keep=("pooled", "map"))
    torch.testing.assert_close(found.map, direct.map)


def test_changed_files_weights_and_preprocessing_are_computed_anew(
    cache: FeatureCache, files: list[Path]
) -> None:
    counted, source = Counted(), ImageFiles(files)
    before = cache.features(counted.backbone, source).pooled
    counted.counts()
    Image.new("RGB", (40, 40), (9, 200, 30)).save(files[3])
    after = cache.features(counted.backbone, source).pooled
    assert counted.counts() == 1
    changed = (before != after).any(dim=1)
    assert changed.nonzero().flatten().tolist() == [3]
    weights = Counted(seed=1)
    cache.features(weights.backbone, source)
    assert weights.counts() == 12
    crop = Counted(preprocess={"crop_pct": 0.5})
    cache.features(crop.backbone, source)
    assert crop.counts() == 12


def test_order_names_and_repeats_do_not_matter(cache: FeatureCache, files: list[Path]) -> None:
    counted = Counted()
    copy = files[0].with_name("copy.png")
    copy.write_bytes(files[2].read_bytes())
    order = [files[2], files[0], copy, files[2], files[5]]
    found = cache.features(counted.backbone, ImageFiles(order)).pooled
    assert counted.counts() == 3
    assert torch.equal(found[0], found[2])
    assert torch.equal(found[0], found[3])
    [direct] = iterate_features(counted.backbone, ImageFiles([files[5], files[0]]))
    torch.testing.assert_close(found[[4, 1]], direct.pooled)
    counted.counts()
    files[0].rename(files[0].with_name("renamed.png"))
    cache.features(counted.backbone, ImageFiles([files[0].with_name("renamed.png"), copy]))
    assert counted.counts() == 0


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("shard_items", [4, 512])
def test_an_interrupted_run_is_resumed(
    tmp_path: Path, files: list[Path], shard_items: int, threads: int
) -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    cache = FeatureCache(tmp_path / "cache", shard_items=shard_items)
    counted, source = Counted(), ImageFiles(files)
    counted.most = 7
    with pytest.raises(KeyboardInterrupt):
        cache.features(counted.backbone, source, batch_size=2)
    assert counted.counts() == 6
    counted.most = 10**9
    found = cache.features(counted.backbone, source, batch_size=2).pooled
    assert counted.counts() == 6
    direct = [c.pooled for c in iterate_features(counted.backbone, source, batch_size=2)]
    torch.testing.assert_close(found, torch.cat(direct))
    torch.set_num_threads(before)


def test_a_killed_run_loses_at_most_one_shard(tmp_path: Path, files: list[Path]) -> None:
    cache = FeatureCache(tmp_path / "cache", shard_items=4)
    counted, source = Counted(), ImageFiles(files)
    cache.features(counted.backbone, source, batch_size=4)
    shards = sorted(cache.folder.rglob("*.safetensors"))
    assert len(shards) == 3
    # What a kill leaves: the shards written so far, and the unfinished one beside them.
    shards[0].replace(shards[0].with_name(f".{shards[0].name}.k3j2"))
    counted.counts()
    cache.features(counted.backbone, source, batch_size=4)
    assert counted.counts() == 4


@pytest.mark.parametrize("harm", ["cut", "flip", "empty", "text"])
def test_a_broken_shard_is_set_aside_and_computed_again(
    tmp_path: Path, files: list[Path], harm: str
) -> None:
    cache = FeatureCache(tmp_path / "cache", shard_items=6)
    counted, source = Counted(), ImageFiles(files)
    first = cache.features(counted.backbone, source, batch_size=6).pooled
    counted.counts()
    shard = sorted(cache.folder.rglob("*.safetensors"))[0]
    content = bytearray(shard.read_bytes())
    if harm == "flip":
        content[-9] ^= 1
    shard.write_bytes(
        {"cut": content[:-100], "flip": content, "empty": b"", "text": b"nothing"}[harm]
    )
    with pytest.warns(RuntimeWarning, match=r"broken.*\.corrupt"):
        second = cache.features(counted.backbone, source, batch_size=6).pooled
    assert counted.counts() == 6
    torch.testing.assert_close(second, first)
    assert shard.with_suffix(".corrupt").exists()
    cache.features(counted.backbone, source)
    assert counted.counts() == 0


def test_half_precision_is_kept_apart(tmp_path: Path, files: list[Path]) -> None:
    counted, source = Counted(), ImageFiles(files)
    single = FeatureCache(tmp_path / "cache").features(counted.backbone, source).pooled
    half = FeatureCache(tmp_path / "cache", dtype=torch.float16)
    found = half.features(counted.backbone, source).pooled
    assert counted.counts() == 24
    assert found.dtype == torch.float16
    torch.testing.assert_close(found.float(), single, rtol=1e-3, atol=1e-3)


def test_pictures_that_are_skipped_are_not_stored(cache: FeatureCache, files: list[Path]) -> None:
    counted, source = Counted(), ImageFiles(files)
    whole = files[4].read_bytes()
    files[4].write_bytes(whole[:60])
    found = cache.features(counted.backbone, source, on_corrupt="skip").pooled
    assert torch.isnan(found).any(dim=1).nonzero().flatten().tolist() == [4]
    with pytest.raises(ValueError, match=r"4\.png"):
        cache.features(counted.backbone, source)
    files[4].write_bytes(whole)
    counted.counts()
    assert torch.isfinite(cache.features(counted.backbone, source).pooled).all()
    assert counted.counts() == 1


def test_no_pictures_give_no_rows(cache: FeatureCache) -> None:
    features = cache.features(Counted().backbone, ImageFiles([]))
    assert features.pooled.shape == (0, 96)


def test_the_folder_comes_from_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CROSSHASH_CACHE", str(tmp_path / "there"))
    assert FeatureCache().folder == tmp_path / "there" / "features"
    monkeypatch.delenv("CROSSHASH_CACHE")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert FeatureCache().folder == tmp_path / ".cache" / "crosshash" / "features"


def test_text_features_are_stored_by_what_the_encoder_reads(cache: FeatureCache) -> None:
    encoder = create_text_encoder("bow", size=10).fit(["a dog runs", "the girl runs", "a beach"])
    seen: list[int] = []
    encoder.register_forward_pre_hook(lambda module, inputs: seen.append(len(inputs[0]["bow"])))
    texts = ["dog", "girl runs", "Dog!", "unheard"]
    found = cache.text_features(encoder, texts, batch_size=2)
    assert found.pooled.tolist() == encoder.prepare(texts, unknown="allow")["bow"].tolist()
    assert seen == [2, 1]
    cache.text_features(encoder, ["runs girl", "dog"])
    assert seen == [2, 1]


def test_maps_of_texts_get_the_length_of_the_longest(
    cache: FeatureCache, language_model: Path
) -> None:
    encoder = create_text_encoder(f"hf:{language_model}").eval()
    texts = ["dog", "a dog", "girl", "a dog runs on the beach", "the girl runs"]
    keep = ("pooled", "map")
    found = cache.text_features(encoder, texts, keep=keep, batch_size=2)
    with torch.no_grad():
        expected = encoder(encoder.prepare(texts)).map
    assert found.map is not None
    torch.testing.assert_close(found.map, expected, rtol=1e-4, atol=1e-5)
    assert torch.equal(found.map == 0, expected == 0)
    # Stored with a longer text, beside one that is longer still and was not.
    more = [texts[4], "a large dog and a small girl and a dog", texts[0]]
    again = cache.text_features(encoder, more, keep=keep)
    assert again.map is not None
    assert again.map.shape == (3, 16, 1, 12)
    for row, before in ((0, 4), (2, 0)):
        assert torch.equal(again.map[row, :, :, :8], found.map[before])
        assert not again.map[row, :, :, 8:].any()
    assert cache.text_features(encoder, texts).map is None


def test_a_map_of_an_encoder_without_one_is_refused(cache: FeatureCache) -> None:
    encoder = create_text_encoder("bow", vocabulary=["dog"])
    with pytest.raises(ValueError, match="text encoder 'bow' has no feature map"):
        cache.text_features(encoder, ["dog"], keep=("pooled", "map"))
    assert cache.text_features(encoder, []).pooled.shape == (0, 1)


def test_padding_does_not_make_another_text(cache: FeatureCache) -> None:
    from crosshash.data.features.cache import _row_digests

    def row(ids: list[int], mask: list[int]) -> bytes:
        inputs = {"input_ids": torch.tensor([ids]), "attention_mask": torch.tensor([mask])}
        return _row_digests(inputs)[0]

    assert row([5, 6, 0, 0], [1, 1, 0, 0]) == row([5, 6], [1, 1])
    assert row([5, 6, 0, 0], [1, 1, 1, 0]) != row([5, 6], [1, 1])


def test_lookup_checks_its_arguments(cache: FeatureCache) -> None:
    def nothing(indices: list[int]) -> Iterator[dict[str, Tensor]]:
        return iter(())

    def infinite(indices: list[int]) -> Iterator[dict[str, Tensor]]:
        yield {"x": torch.full((1, 2), torch.inf)}

    with pytest.raises(ValueError, match="32 bytes"):
        cache.lookup("k", [b"short"], ("x",), nothing)
    with pytest.raises(ValueError, match="1 rows and gave 0"):
        cache.lookup("k", [bytes(32)], ("x",), nothing)
    with pytest.raises(ValueError, match="overflow"):
        cache.lookup("k", [bytes(32)], ("x",), infinite)
    with pytest.raises(ValueError, match="floating type"):
        FeatureCache(dtype=torch.int8)


def test_a_cached_run_draws_no_random_number(cache: FeatureCache, files: list[Path]) -> None:
    counted, source = Counted(), ImageFiles(files)
    state = torch.get_rng_state()
    for _ in range(2):
        features: Features = cache.features(counted.backbone, source)
        assert torch.equal(torch.get_rng_state(), state)
    assert not features.pooled.is_inference()


def test_features_of_pictures_that_were_read_by_other_rules_are_not_reused(
    cache: FeatureCache, files: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    counted, source = Counted(), ImageFiles(files)
    cache.features(counted.backbone, source)
    assert counted.counts() == 12
    monkeypatch.setattr("crosshash.data.features.cache.DECODING", 99)
    cache.features(counted.backbone, source)
    assert counted.counts() == 12
