"""A hash head on a dual encoder, over one's own pictures and captions: train, search, save.

python examples/clip_head.py --root photos --model openai/clip-vit-base-patch32

``photos`` holds pictures and a metadata.csv (file_name, text, labels). The encoder is frozen and
runs once over all pictures and captions; only the head learns. --blocks trains its last blocks too.
Without labels CPH learns from the pairs alone, with them LPDH.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path
from typing import Any

import crosshash
from crosshash.config import parse_config


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--root", required=True, help="a folder of pictures with metadata.csv")
    parser.add_argument("--model", default="openai/clip-vit-base-patch32", help="name or folder")
    parser.add_argument("--bits", type=int, default=64)
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--blocks", type=int, help="last blocks of both towers that are trained")
    parser.add_argument("--output", type=Path, help="folder for the run")
    options = parser.parse_args()

    encoder: dict[str, Any] = {"name": f"clip:{options.model}"}
    if options.blocks:
        encoder |= {"frozen": False, "options": {"trainable_blocks": options.blocks}}
    layers = {"image_hidden": [1024], "text_hidden": [1024]}
    labels = crosshash.load_dataset("imagefolder", options.root)[0].labels
    config = parse_config(
        {
            "method": "cph" if labels is None else "lpdh",
            "bits": options.bits,
            "backbones": encoder,
            "text": encoder,
            "network": {} if labels is None else layers,
            "data": {"name": "imagefolder", "root": options.root},
            "training": {
                "epochs": options.epochs,
                "batch_size": 64,
                "backbone_learning_rate": 1e-5,
            },
        }
    )
    with tempfile.TemporaryDirectory() as folder:
        result = crosshash.train(config, options.output or Path(folder) / "run", progress=False)
        model = crosshash.load(result.folder)  # needs neither the encoder's folder nor the Hub
    if result.report is not None:
        print(f"MAP {result.report.map_mean:.3f}, by chance {result.report.i2t.chance:.3f}")
    pictures = result.dataset.images
    index = crosshash.Index.for_model(model)
    index.add(model.encode_image(pictures), result.dataset.ids)
    words = result.dataset.captions()[0]
    values = model.encode_text(words, output="real")
    print(f"{words!r}: {index.search(values, topk=3, rank='asymmetric').ids[0]}")


if __name__ == "__main__":
    main()
