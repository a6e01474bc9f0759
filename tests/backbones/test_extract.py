from __future__ import annotations

import pickle
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from crosshash.backbones import Features, ImageBackbone, create_image_backbone
from crosshash.backbones.base import tensor_of
from crosshash.backbones.decode import PictureReader
from crosshash.backbones.extract import iterate_features
from crosshash.images import CorruptImageError, ImageArrays, ImageFiles, ImageSource


def extract(backbone: ImageBackbone, source: ImageSource, **options: Any) -> Features:
    """All batches as one."""
    chunks = list(iterate_features(backbone, source, **options))
    maps = [chunk.map for chunk in chunks if chunk.map is not None]
    return Features(
        torch.cat([chunk.pooled for chunk in chunks]), torch.cat(maps) if maps else None
    )


@pytest.fixture(scope="module")
def backbone() -> ImageBackbone:
    torch.manual_seed(0)
    return create_image_backbone("test_resnet", weights="random", image_size=32)


@pytest.mark.parametrize("workers", [0, 2])
def test_features_are_those_of_each_picture_in_order(
    backbone: ImageBackbone, picture_files: list[Path], workers: int
) -> None:
    source = ImageFiles(picture_files)
    found = extract(backbone, source, keep=("pooled", "map"), batch_size=3, workers=workers)
    backbone.eval()
    with torch.no_grad():
        for row in range(len(source)):
            alone = backbone(PictureReader(source, backbone.preprocess)([row]))
            torch.testing.assert_close(found.pooled[row], alone.pooled[0], rtol=1e-5, atol=1e-5)
            torch.testing.assert_close(found.map[row], alone.map[0], rtol=1e-5, atol=1e-5)
    backbone.train()


def test_only_what_is_kept_comes_back(backbone: ImageBackbone, picture_files: list[Path]) -> None:
    source = ImageFiles(picture_files)
    assert extract(backbone, source).map is None
    chunks = list(iterate_features(backbone, source, indices=[7, 2, 2], batch_size=2))
    assert [len(chunk.pooled) for chunk in chunks] == [2, 1]
    torch.testing.assert_close(chunks[0].pooled[1], chunks[1].pooled[0])
    assert list(iterate_features(backbone, ImageFiles([]), keep=("map",))) == []


def test_extraction_leaves_modes_and_random_numbers_as_they_were(
    backbone: ImageBackbone, picture_files: list[Path]
) -> None:
    backbone.train()
    frozen = next(part for part in backbone.modules() if isinstance(part, nn.BatchNorm2d))
    frozen.eval()
    state = torch.get_rng_state()
    mean = frozen.running_mean.clone()
    extract(backbone, ImageFiles(picture_files))
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(frozen.running_mean, mean)
    assert backbone.training
    assert not frozen.training
    assert all(part.training for part in backbone.modules() if part is not frozen)
    frozen.train()


def test_threads_change_neither_features_nor_settings(
    backbone: ImageBackbone, picture_files: list[Path]
) -> None:
    source, threads = ImageFiles(picture_files), torch.get_num_threads()
    fresh: list[int] = []
    try:
        torch.set_num_threads(1)
        one = extract(backbone, source, keep=("pooled", "map"), batch_size=9)
        torch.set_num_threads(3)
        three = extract(backbone, source, keep=("pooled", "map"), batch_size=9)
        assert torch.get_num_threads() == 3
        thread = threading.Thread(target=lambda: fresh.append(torch.get_num_threads()))
        thread.start()
        thread.join()
        assert fresh == [3]
    finally:
        torch.set_num_threads(threads)
    torch.testing.assert_close(one.pooled, three.pooled, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(one.map, three.map, rtol=1e-5, atol=1e-6)


def test_an_error_in_a_thread_is_raised_and_ends_the_run(picture_files: list[Path]) -> None:
    backbone = create_image_backbone("test_resnet", weights="random", image_size=32)
    backbone.register_forward_pre_hook(lambda module, inputs: 1 / 0)
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(2)
        with pytest.raises(ZeroDivisionError):
            extract(backbone, ImageFiles(picture_files), batch_size=4)
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(threads)
    assert backbone.training


def test_features_can_be_trained_on(backbone: ImageBackbone, picture_files: list[Path]) -> None:
    pooled = extract(backbone, ImageFiles(picture_files)).pooled
    head = nn.Linear(96, 8)
    head(pooled).sum().backward()
    assert head.weight.grad.abs().sum() > 0


@pytest.mark.parametrize("workers", [0, 1])
def test_a_truncated_file_is_named(
    backbone: ImageBackbone, picture_files: list[Path], workers: int
) -> None:
    broken = picture_files[4]
    broken.write_bytes(broken.read_bytes()[:200])
    source = ImageFiles(picture_files)
    with pytest.raises(CorruptImageError, match=r"4\.jpg") as caught:
        extract(backbone, source, batch_size=2, workers=workers)
    assert caught.value.name == str(broken)
    assert backbone.training
    found = extract(backbone, source, on_corrupt="skip", batch_size=2, workers=workers)
    assert torch.isnan(found.pooled).all(dim=1).nonzero().flatten().tolist() == [4]


@pytest.mark.parametrize("workers", [0, 1])
def test_a_function_is_told_which_pictures_are_corrupt_and_no_feature_is_nan(
    backbone: ImageBackbone, picture_files: list[Path], workers: int
) -> None:
    whole = extract(backbone, ImageFiles(picture_files), indices=[7, 4, 5])
    picture_files[4].write_bytes(b"no picture")
    told: list[tuple[int, str]] = []
    found = extract(
        backbone,
        ImageFiles(picture_files),
        indices=[7, 4, 5],
        on_corrupt=lambda row, error: told.append((row, error.reason)),
        batch_size=2,
        workers=workers,
    )
    assert told == [(4, "it is in no known format")]
    assert torch.isfinite(found.pooled).all()
    torch.testing.assert_close(found.pooled[[0, 2]], whole.pooled[[0, 2]])


def test_autocast_holds_in_the_threads_that_compute(
    backbone: ImageBackbone, picture_files: list[Path]
) -> None:
    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        with torch.autocast("cpu", torch.bfloat16):
            found = extract(backbone, ImageFiles(picture_files))
    finally:
        torch.set_num_threads(threads)
    plain = extract(backbone, ImageFiles(picture_files)).pooled
    assert found.pooled.dtype == torch.bfloat16
    torch.testing.assert_close(found.pooled.float(), plain, rtol=0.1, atol=0.1)


@pytest.mark.parametrize("workers", [0, 1])
def test_a_missing_file_is_named_even_where_corrupt_ones_are_skipped(
    backbone: ImageBackbone, picture_files: list[Path], workers: int
) -> None:
    picture_files[3].unlink()
    with pytest.raises(FileNotFoundError, match=r"3\.png: no such image file"):
        extract(backbone, ImageFiles(picture_files), workers=workers, on_corrupt="skip")


def test_corrupt_image_errors_survive_pickling() -> None:
    error = pickle.loads(pickle.dumps(CorruptImageError("a.jpg", "broken")))  # noqa: S301
    assert (error.name, error.reason) == ("a.jpg", "broken")


def test_features_that_are_not_finite_name_the_picture(picture_files: list[Path]) -> None:
    backbone = create_image_backbone("test_resnet", weights="random", image_size=32)
    with torch.no_grad():
        next(backbone.parameters()).fill_(torch.nan)
    with pytest.raises(ValueError, match=r"0\.jpg: its features are NaN"):
        extract(backbone, ImageFiles(picture_files))


def test_wrong_requests_are_refused(backbone: ImageBackbone) -> None:
    source = ImageArrays([np.zeros((40, 40, 3), dtype=np.uint8)])
    with pytest.raises(ValueError, match="keep is"):
        extract(backbone, source, keep=("pool",))
    with pytest.raises(ValueError, match="keep is"):
        extract(backbone, source, keep="map")
    with pytest.raises(ValueError, match="computed already"):
        extract(create_image_backbone("features", dim=3), source)
    with pytest.raises(ValueError, match="'raise' or 'skip'"):
        iterate_features(backbone, source, on_corrupt="drop")
    with pytest.raises(ValueError, match="batch_size"):
        iterate_features(backbone, source, batch_size=0)


def test_the_bar_appears_on_a_terminal_when_it_takes_long(monkeypatch: pytest.MonkeyPatch) -> None:
    from rich.console import Console

    from crosshash.backbones import extract as module

    shown: list[str] = []
    original = module._bar

    def bar(total: int, description: str) -> object:
        shown.append(f"{description} {total}")
        return original(total, description)

    monkeypatch.setattr(module, "_bar", bar)
    assert list(module.with_bar([1, 2, 3], 6, int, "quick")) == [1, 2, 3]
    assert shown == []
    monkeypatch.setattr(module, "_BAR_AFTER", 0.0)
    monkeypatch.setattr(Console, "is_terminal", True)
    assert list(module.with_bar([1, 2, 3], 6, int, "slow")) == [1, 2, 3]
    assert shown == ["slow 6"]


@pytest.mark.filterwarnings("error")
def test_pages_of_a_file_are_not_copied(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.set_warn_always(True)  # PyTorch says once in a process that an array is read-only
    try:
        array = np.arange(12, dtype=np.float32).reshape(3, 4)
        array.flags.writeable = False
        shared = tensor_of(array)
        assert shared.data_ptr() == array.ctypes.data
        assert torch.equal(shared, torch.arange(12.0).view(3, 4))

        def refuse(array: np.ndarray) -> torch.Tensor:
            raise BufferError("readonly")

        monkeypatch.setattr("crosshash.backbones.base.from_dlpack", refuse)  # as older releases do
        assert torch.equal(tensor_of(array), shared)
    finally:
        torch.set_warn_always(False)
