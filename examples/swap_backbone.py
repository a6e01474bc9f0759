"""The same method on a CNN, a vision transformer and a transformers text encoder: one table.

python examples/swap_backbone.py --data imagefolder --root photos --epochs 10 \
    --cnn resnet18 --vit vit_small_patch16_224 --text hf:sentence-transformers/all-MiniLM-L6-v2

Without arguments: small networks from scratch on drawn scenes, two epochs.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path
from typing import Any

import crosshash
from crosshash.config import merge, parse_config
from crosshash.reports.tables import markdown_table

SMALL = {"weights": "random", "image_size": 64}
SCRATCH = {
    "resnet10t": {**SMALL, "model_options": {"channels": [8, 16, 32, 64], "stem_width": 8}},
    "vit_tiny_patch16_224": {
        **SMALL,
        "model_options": {"patch_size": 8, "embed_dim": 64, "depth": 2, "num_heads": 4},
    },
}


def backbone(name: str) -> dict[str, Any]:
    """Small and trained from scratch where we have such; else pretrained and frozen."""
    if name in SCRATCH:
        return {"name": name, "frozen": False, "options": SCRATCH[name]}
    return {"name": name, "frozen": True, "options": {"weights": "pretrained"}}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--method", default="amgfh")
    parser.add_argument("--data", default="shapes")
    parser.add_argument("--root")
    parser.add_argument("--size", type=int, default=600, help="scenes to draw")
    parser.add_argument("--cnn", default="resnet10t")
    parser.add_argument("--vit", default="vit_tiny_patch16_224")
    parser.add_argument("--text", help="a transformers encoder: hf:<name or folder>")
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--output", type=Path, help="folder for the runs")
    options = parser.parse_args()

    # %% What all trials have in common, and what each has of its own.
    drawn = {"n": options.size} if options.data == "shapes" else {}
    base: dict[str, Any] = {
        "method": options.method,
        "bits": 32,
        "data": {"name": options.data, "root": options.root, "options": drawn},
        "training": {"epochs": options.epochs, "batch_size": 64, "learning_rate": 0.002},
    }
    trials = {
        f"{options.cnn} + bow": {"backbones": {"image": backbone(options.cnn)}},
        f"{options.vit} + bow": {"backbones": {"image": backbone(options.vit)}},
    }
    if options.text:
        trials[f"{options.cnn} + {options.text}"] = {
            "backbones": {"image": backbone(options.cnn)},
            "text": {"name": options.text, "frozen": True},
        }
    # %% A training for each.
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for number, (name, parts) in enumerate(trials.items()):
            place = (options.output or Path(folder)) / f"trial-{number}"
            result = crosshash.train(parse_config(merge(base, parts)), place, progress=False)
            if result.report is None:
                raise SystemExit("a table of MAP needs labels; see --data and --root")
            maps = {"MAP i→t": result.report.i2t.map, "MAP t→i": result.report.t2i.map}
            rows.append({"encoders": name, **maps, "chance": result.report.i2t.chance})
    # %% MAP is the mean average precision in both directions; `chance` is what random codes get.
    print(markdown_table(rows))


if __name__ == "__main__":
    main()
