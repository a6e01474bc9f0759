"""The card: what the Hub reads of it, and what people do."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import crosshash
from crosshash.hub.card import card
from crosshash.model.hash_model import HashModel


def test_the_card_of_a_folder_names_the_model_and_its_figures(
    model: HashModel, folder: Path, tmp_path: Path
) -> None:
    crosshash.save(model, tmp_path / "named")
    text = (tmp_path / "named" / "README.md").read_text()
    assert text.startswith("---\nlibrary_name: crosshash\n")
    for part in (
        "# named", "| MAP | 0.5000 | 0.5000 |", "- dataset: toy", "- protocol: toy/0",
        "- map_i2t: 0.7", "circle, square", "## Limits", "Apache-2.0",
    ):  # fmt: skip
        assert part in text


@pytest.mark.parametrize(
    ("chosen", "said"),
    [
        ({}, "8 epochs on 1,873 pairs"),
        (
            {"held_out": 300, "refit": False},
            "epoch 8 chosen on 300 held-out pairs, trained on 1,873 others",
        ),
        (
            {"held_out": 300, "refit": True},
            "epoch 8 chosen on 300 held-out pairs, then trained on all 1,873 pairs",
        ),
        (
            {"held_out": 0, "refit": False},
            "epoch 8 chosen by a validation of one's own, trained on 1,873 others",
        ),
    ],
)
def test_the_card_says_on_what_the_epoch_was_chosen_and_what_was_trained_on(
    model: HashModel, folder: Path, chosen: dict[str, int], said: str
) -> None:
    assert "- training" not in card(model, "named")
    for supervised, kind in ((True, "supervised"), (False, "unsupervised")):
        told = {"supervised": supervised, "pairs": 1873, "best_epoch": 8, **chosen}
        model.info.figures["record"]["training"] = told
        text = card(model, "named")
        assert f"- training: {kind}, {said}\n" in text
        assert ("rank items by the labels above, measured on toy only" in text) is supervised
        assert ("learned from pairs alone, without labels, measured on" in text) is not supervised


def test_the_card_shows_nested_lengths_and_figures_within_each_modality(
    model: HashModel, folder: Path
) -> None:
    plain = card(model, "named")
    assert "first bits" not in plain
    assert "image → image" not in plain
    model.nested = (8,)
    model.info.figures |= {"map_i2i": 0.61, "map_t2t": 0.72}
    model.info.figures["nested"] = {"8": {"map_i2t": 0.41, "map_t2i": 0.42, "map_mean": 0.415}}
    text = card(model, "named")
    for part in ("The first 8 bits are codes", "bits=8", "modality | 0.6100 | 0.7200 |"):
        assert part in text
    assert "| 8 | 0.4100 | 0.4200 |" in text


def test_huggingface_hub_reads_its_figures(model: HashModel, folder: Path) -> None:
    from huggingface_hub import ModelCard

    data = ModelCard(card(model, "named", source="hf:org/x", licence="MIT")).data
    assert (data.library_name, data.license, data.pipeline_tag) == (
        "crosshash", "mit", "feature-extraction",
    )  # fmt: skip
    assert "amgfh" in data.tags
    assert data.datasets == ["toy"]
    assert data.metrics == ["mean_average_precision"]
    assert data.model_name == "named"
    results = {result.task_name: result for result in data.eval_results}
    assert set(results) == {"Retrieval, image → text", "Retrieval, text → image"}
    for result in results.values():
        assert result.metric_type == "mean_average_precision"
        assert result.metric_value == 0.5
        assert result.dataset_type == "toy"


def test_the_usage_runs(model: HashModel, folder: Path) -> None:
    import numpy as np

    text = card(crosshash.load(folder), "named", source=str(folder))
    code = text.split("```python\n")[1].split("```")[0]
    names = {"features": np.ones((2, 6), np.float32)}
    exec(code, names)
    assert [len(row) for row in names["hits"].ids] == [1]


@pytest.mark.parametrize("figures", [{}, {"best_epoch": 3}])
def test_a_model_that_was_not_measured_claims_nothing(
    model: HashModel, figures: dict[str, int]
) -> None:
    model.info.figures = figures
    text = card(model, "named")
    assert "model-index" not in text
    assert "Measured" not in text
    assert "\n\nThe codes rank items by what they were trained with. They say nothing" in text


def test_names_of_others_are_shown_and_not_read_as_markdown_or_html(
    model: HashModel, folder: Path
) -> None:
    from markdown_it import MarkdownIt

    evil = "x</p><script>alert(1)</script> ![a](https://evil.example/p.png)\n\n# Evil\n\n```\nb"
    plain = " ".join(evil.split())
    model.info.label_names = [evil, "red_ball", "_a_", "`c`", "https://evil.example", "R&amp;D|x"]
    model.info.figures["record"] |= {"dataset": evil, "protocol": evil}
    model.info.experiment["paper"] = {evil: {evil: evil}}
    text = card(model, evil, licence=evil, source=evil)
    assert text.count("red_ball,") == 1  # a name without anything to read is as it was
    body = text.split("\n---\n", 1)[1]
    tokens = MarkdownIt("gfm-like", {"linkify": False}).parse(body)
    headings = [t for t in tokens if t.type == "heading_open" and t.tag == "h1"]
    assert len(headings) == 1
    assert [t.type for t in tokens if t.type in ("html_block", "fence")] == ["fence"]
    inline = [child for t in tokens if t.type == "inline" for child in t.children or []]
    assert {child.type for child in inline} <= {"text", "text_special", "softbreak", "code_inline"}
    shown = ["".join(c.content for c in t.children) for t in tokens if t.type == "inline"]
    assert shown[0] == plain
    labels = f"{plain}, red_ball, _a_, `c`, https://evil.example, R&amp;D|x."
    assert f"Labels it was evaluated with: {labels}" in shown
    assert f"measured on {plain} only" in "".join(shown)
    assert "https://evil" not in body.split("```")[2]
    code = body.split("```python\n")[1].split("\n```")[0]
    assert f"crosshash.load({json.dumps(evil)})" in code
    compile(code, "card", "exec")
