"""Codes of the embeddings that you have: fit, look at the figures, search.

python examples/hash_your_embeddings.py --images images.npy --texts texts.npy -o model

Without files it makes vectors up: topics that two encoders see, each in its own way.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import numpy as np

import crosshash
from crosshash.data import read_vectors
from crosshash.reports import markdown_table


def made_up(count: int) -> tuple[np.ndarray, np.ndarray]:
    """Image and text vectors of the same topics, which differ in noise and in width."""
    rng = np.random.default_rng(0)
    topics = rng.normal(size=(count, 24))
    images = topics @ rng.normal(size=(24, 96)) + rng.normal(size=(count, 96))
    texts = topics @ rng.normal(size=(24, 64)) + rng.normal(size=(count, 64))
    return images.astype(np.float16), texts.astype(np.float16)  # their scale does not count


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", help="a file of vectors: .npy, .npz:name, .safetensors:name …")
    parser.add_argument("--texts", help="a file of vectors, one for each image")
    parser.add_argument("--bits", type=int, default=64)
    parser.add_argument("--size", type=int, default=2000, help="vectors to make up")
    parser.add_argument("--epochs", type=int)
    parser.add_argument("-o", "--output", type=Path)
    options = parser.parse_args()

    # %% Row i of both files is a pair.
    if options.images and options.texts:
        images, texts = read_vectors(options.images), read_vectors(options.texts)
    elif options.images or options.texts:
        raise SystemExit("give files of both, images and texts; without any, vectors are made up")
    else:
        images, texts = made_up(options.size)

    # %% Some pairs are held out; the table says how well their codes find each other, beside codes
    # that are made without training.
    with tempfile.TemporaryDirectory() as folder:
        place = options.output or Path(folder) / "model"
        crosshash.fit(
            images, texts, bits=options.bits, epochs=options.epochs, output=place, progress=False
        )
        model = crosshash.load(place)
        size = sum(file.stat().st_size for file in place.iterdir())
    print(markdown_table(model.info.figures["fit"]["rows"]))

    # %% Codes of all images are searched by one text.
    index = crosshash.Index.for_model(model)
    index.add(model.encode_image(images), range(len(images)))
    values = model.encode_text(texts[:1], output="real")  # the signs alone find less
    found = index.search(values, topk=5, rank="asymmetric")
    print(f"{len(index)} vectors as {model.bits} bits each by a model of {size / 1e6:.2f} MB")
    print(f"nearest to the first text: {found.ids[0]}, distances {found.distances[0]}")


if __name__ == "__main__":
    main()
