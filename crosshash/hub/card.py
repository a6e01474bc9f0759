"""The card of a checkpoint: what it is, how to use it, what was measured."""

from __future__ import annotations

from typing import Any

import yaml

from crosshash.methods.base import HashModel


def card(model: HashModel, name: str) -> str:
    """A model card in Markdown with the front matter that the Hugging Face Hub reads.

    Args:
        model: Its ``info`` has the figures.
        name: The checkpoint's name.
    """
    front = {
        "library_name": "crosshash",
        "license": "apache-2.0",
        "pipeline_tag": "feature-extraction",
        "tags": ["cross-modal-hashing", "image-text-retrieval", model.method],
    }
    backbones = ", ".join(f"{slot}: {backbone.name}" for slot, backbone in model.images.items())
    parts = [
        "---\n" + yaml.safe_dump(front, sort_keys=False) + "---",
        f"# {name}",
        f"{model.method.upper()} with {model.bits}-bit codes. Image backbone {backbones}; "
        f"text encoder {model.text.name}.",
        "```python\nimport crosshash\n\n"
        f'model = crosshash.load("{name}")\n'
        'codes = model.encode_image(["photo.jpg"])  # uint8 (1, '
        f"{model.bits // 8}), packed\n```",
    ]
    if model.info.label_names:
        parts.append(f"Labels it was evaluated with: {', '.join(model.info.label_names)}.")
    if "i2t" in model.info.figures:
        parts.append(_figures(model.info.figures))
    parts.append(
        "The codes rank items by the labels above. They say nothing about fairness, and a text "
        "whose words the vocabulary does not know has no meaningful code."
    )
    return "\n\n".join(parts) + "\n"


def _figures(figures: dict[str, Any]) -> str:
    lines = ["## Measured", "", "| | image → text | text → image |", "| --- | --- | --- |"]
    image, text = figures["i2t"], figures["t2i"]
    for key, label in (("map", "MAP"), ("map_best", "MAP, best tie order"), ("chance", "chance")):
        if key in image:
            lines.append(f"| {label} | {image[key]:.4f} | {text[key]:.4f} |")
    record = figures.get("record", {})
    lines += ["", "Record: " + ", ".join(f"{key} {value}" for key, value in record.items()) + "."]
    return "\n".join(lines)
