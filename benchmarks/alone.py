"""Values of items alone beside those of the same items in a batch, for every shipped model."""

from __future__ import annotations

import argparse
from typing import Any

import numpy as np

import crosshash

PICTURES, ROWS = 70, 1500


def inputs(model: crosshash.HashModel, part: str, draw: np.random.Generator) -> Any:
    """Items that the model reads: pictures, texts of words that it knows, or features."""
    encoder = model.text if part == "text" else model.backbone(model.slots[0])
    if part == "image" and encoder.reads_pixels:
        return draw.integers(0, 256, size=(PICTURES, 64, 64, 3), dtype=np.uint8)
    if part == "text" and encoder.vocabulary is not None:
        return [" ".join(draw.choice(encoder.vocabulary, 6)) for _ in range(ROWS)]
    return draw.normal(size=(ROWS, encoder.dim)).astype(np.float32)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--items", type=int, default=150, help="Items that are encoded alone.")
    items = parser.parse_args().items
    print("| model | items | of | differ | at most |\n| --- | --- | --- | --- | --- |")
    for manifest in crosshash.list_models():
        if manifest.status != "local":
            continue
        model, draw = crosshash.load(manifest.name), np.random.default_rng(0)
        for part in ("image", "text"):
            rows = inputs(model, part, draw)
            encode = model.encode_image if part == "image" else model.encode_text
            whole = encode(rows, output="real")
            apart = [
                np.abs(encode(rows[place : place + 1], output="real")[0] - whole[place]).max()
                for place in np.linspace(0, len(rows) - 1, min(items, len(rows)), dtype=int)
            ]
            differ = sum(value > 0 for value in apart)
            kind = f"{len(apart)} {part}s"
            print(f"| {manifest.name} | {kind} | {len(rows)} | {differ} | {max(apart):.1g} |")


if __name__ == "__main__":
    main()
