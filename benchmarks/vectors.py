"""From your own vectors: what codes keep of EfficientNet-lite0 and MiniLM vectors of flickr8k.

CROSSHASH_DATA=… python benchmarks/vectors.py --image-weights FILE --text hf:FOLDER [key=value …]

Trains on the vectors of the 5,000 training photographs, each with five captions, and measures on
the 1,000 query photographs: R@k of a photograph's first caption and the photograph itself among
these 1,000, neighbours among them, and MAP by labels over the training photographs. ``--whole``
trains on all photographs to be searched, as who fits his own collection does, not on the 5,000 of
them that the split names. ``--holdout N`` measures on N training photographs instead, to compare
settings by.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np

from crosshash.backbones import create_image_backbone, create_text_encoder
from crosshash.config import override_config
from crosshash.data.dataset import PairedDataset
from crosshash.data.features.cache import FeatureCache
from crosshash.data.load import load_dataset
from crosshash.data.protocol import Protocol
from crosshash.experiment.comparison import HeldOut, baselines
from crosshash.experiment.fitting import fit_config
from crosshash.experiment.run import train
from crosshash.reports.tables import markdown_table

# As configs/parts/backbones/lite0.yaml; the scaling is that of timm's weights.
_PICTURES = {"mean": [0.5] * 3, "std": [0.5] * 3, "crop_pct": 1.0, "crop_mode": "squash"}


def vectors(options: argparse.Namespace) -> tuple[PairedDataset, Protocol]:
    """flickr8k as vectors: queries and training photographs with all captions, others with one."""
    pictures, protocol = load_dataset("flickr8k", options.root)
    trained = protocol.retrieval if options.whole else protocol.train
    rows = np.concatenate([protocol.query, trained])
    chosen = pictures.select(rows)
    cache = FeatureCache(options.cache)
    backbone = create_image_backbone(
        "tf_efficientnet_lite0",
        weights=options.image_weights,
        image_size=options.image_size,
        preprocess=_PICTURES,
    )
    images = cache.features(backbone, chosen.images).pooled.numpy()
    encoder = create_text_encoder(options.text)
    queries = len(protocol.query)
    # No more than the first caption of a query is read.
    captions = [group[: 1 if row < queries else None] for row, group in enumerate(chosen.texts)]
    flat = [caption for group in captions for caption in group]
    texts = cache.text_features(encoder, flat).pooled.numpy()
    dataset = PairedDataset(
        name="flickr8k vectors",
        ids=chosen.ids,
        images=images.astype(np.float16).astype(np.float32),
        texts=texts.astype(np.float16).astype(np.float32),
        text_counts=[len(group) for group in captions],
        labels=chosen.labels,
        label_names=chosen.label_names,
    )
    query, others = np.arange(queries), np.arange(queries, len(rows))
    return dataset, Protocol("flickr8k", query, others, others)


def fitted(
    dataset: PairedDataset, protocol: Protocol, bits: int, seed: int, overrides: list[str]
) -> Any:
    """The model that ``crosshash fit`` would make of the training rows, and its seconds."""
    rows = dataset.select(protocol.train)
    rows = PairedDataset(
        name=rows.name,
        ids=rows.ids,
        images=rows.images,
        texts=rows.every_text()[0],
        text_counts=rows.every_text()[1],
    )
    config = fit_config(rows, bits, shared=False, held_out=len(rows) // 10, seed=seed)
    config = override_config(config, overrides)
    every = np.arange(len(rows))
    everything = Protocol("vectors", every[:0], every, every)
    held = everything.with_validation(config.data.validation, config.seed)
    start = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        result = train(
            config,
            folder,
            validate=HeldOut(rows, held.query),
            data=(rows, everything),
            progress=False,
        )
    return result.model, time.monotonic() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("overrides", nargs="*", help="key=value over cph/vectors")
    parser.add_argument("--root", default="flickr8k")
    parser.add_argument("--image-weights", default="pretrained")
    parser.add_argument("--image-size", type=int, default=224, help="pixels")
    parser.add_argument("--text", default="hf:sentence-transformers/all-MiniLM-L6-v2")
    parser.add_argument("--cache", type=Path, help="default: the user's")
    parser.add_argument("--bits", type=int, nargs="+", default=[64, 128])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--whole", action="store_true")
    parser.add_argument("--holdout", type=int, default=0)
    parser.add_argument("--no-baselines", action="store_true")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    dataset, protocol = vectors(options)
    if options.holdout:
        protocol = protocol.with_validation(options.holdout, seed=1)
    measure = HeldOut(dataset, protocol.query, protocol.retrieval)
    rows = [measure.row("the vectors themselves", measure.vectors())]
    for bits in options.bits:
        if not options.no_baselines:
            for title, model in baselines(dataset, protocol.train, bits).items():
                rows.append(measure.row(f"{title}, {bits} bits", measure(model)))
        for seed in options.seeds:
            model, seconds = fitted(dataset, protocol, bits, seed, options.overrides)
            figures = measure(model)
            rows.append(measure.row(f"CPH, {bits} bits, seed {seed}", figures))
            rows.append(measure.real_row(f"… before the signs, seed {seed}", figures))
            told = {name: round(value, 3) for name, value in figures.items()}
            print(f"{bits} bits, seed {seed}: {seconds:.0f} s, {told}", file=sys.stderr, flush=True)
    print(markdown_table(rows))


if __name__ == "__main__":
    main()
