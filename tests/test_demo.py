"""The demo leaves results that belong together."""

from __future__ import annotations

from pathlib import Path

import pytest

import crosshash
from crosshash.demo import run_demo

SMALL = [
    "data.options={n: 120, size: 32, query: 20, train: 60}",
    "data.validation=10",
    "backbones.image.name=test_resnet",
    "backbones.image.options={weights: random, image_size: 32}",
    "training.epochs=1",
    "network.dim=16",
]


def test_its_index_is_of_its_checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CROSSHASH_CACHE", str(tmp_path / "cache"))
    summary = run_demo(tmp_path / "demo", overrides=SMALL, progress=False)
    index = crosshash.Index.load(summary.index)
    model = crosshash.load(summary.checkpoint)
    index.check_model(model)
    assert index.metadata["model_digest"]
    assert len(index) == 100
    assert len(index.search(model.encode_text("a star at night", unknown="allow"), 3).ids[0]) == 3
    page = Path(summary.page).read_text(encoding="utf-8")
    assert len(page) > 10_000
    assert "saw 60 drawn scenes" in page
    assert [page.count(f"<h2>{name}") for name in ("Text →", "Image →", "Where it fails")] == [
        1
    ] * 3
    assert page.count('class="squares"') == (6 + 6 + 2) * (1 + 5)
    first = page.index("Mean average precision of pairs that were held out, after each epoch")
    assert first < page.index("Precision and recall by rank") < page.index("Losses by epoch")
