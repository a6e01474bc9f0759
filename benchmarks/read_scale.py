"""Reading NUS-WIDE at its real size: seconds and peak memory, on a tree made for it.

    python benchmarks/read_scale.py                 # 269,648 rows, of which 195,834 are pairs
    python benchmarks/read_scale.py --rows 20000    # smaller
    python benchmarks/read_scale.py --train         # and an epoch of training from pixels on it

The tree has the official layout and sizes: 704 directories, 81 files of labels, 540 MB of tags with
about six ones in each row. Images are names of one file (hard links), since reading lists them and
opens none. The reader runs in a process of its own, whose peak memory is the one reported; making
the tree is not counted. Bag-of-words rows of all pairs, as a training needs them, are timed beside.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
import warnings
from pathlib import Path

import numpy as np

ROWS, PAIRS, CONCEPTS, TAGS, DIRECTORIES = 269_648, 195_834, 81, 1_000, 704
TOP, ONES = 21, 5.8


def make(root: Path, rows: int) -> None:
    """Write the tree."""
    rng = np.random.default_rng(0)
    for folder in ("ImageList", "NUS_WID_Tags", "ConceptsList", "Groundtruth/AllLabels"):
        (root / folder).mkdir(parents=True)
    directories = [f"d{number:03d}" for number in range(DIRECTORIES)]
    names = [f"{directories[row * DIRECTORIES // rows]}/{row:06d}.jpg" for row in range(rows)]
    (root / "ImageList" / "Imagelist.txt").write_text(
        "".join(name.replace("/", "\\") + "\r\n" for name in names), newline=""
    )
    for directory in directories:
        (root / "Flickr" / directory).mkdir(parents=True)
    source = root / "one.jpg"
    _picture(source)
    for place, name in enumerate(names):
        if place % 50_000 == 49_999:  # file systems limit the links to one file
            source = root / f"{place}.jpg"
            _picture(source)
        os.link(source, root / "Flickr" / name)

    concepts = [f"concept{number:02d}" for number in range(CONCEPTS)]
    (root / "ConceptsList" / "Concepts81.txt").write_text("\n".join(concepts) + "\n")
    truth = np.zeros((rows, CONCEPTS), dtype=np.uint8)
    pairs = rng.permutation(rows)[: rows * PAIRS // ROWS]
    truth[pairs, rng.integers(0, TOP, len(pairs))] = 1
    truth[:, TOP:] = rng.random((rows, CONCEPTS - TOP)) < 0.005
    for concept, marks in zip(concepts, truth.T, strict=True):
        path = root / "Groundtruth" / "AllLabels" / f"Labels_{concept}.txt"
        path.write_bytes(b"".join((b"0\n", b"1\n")[mark] for mark in marks))

    words = "".join(f"tag{number}\r\n" for number in range(TAGS))
    (root / "NUS_WID_Tags" / "TagList1k.txt").write_text(words, newline="")
    with (root / "NUS_WID_Tags" / "AllTags1k.txt").open("wb") as file:
        for start in range(0, rows, 10_000):
            count = min(10_000, rows - start)
            text = np.full((count, 2 * TAGS + 1), ord(" "), dtype=np.uint8)
            ones = rng.random((count, TAGS), dtype=np.float32) < ONES / TAGS
            text[:, : 2 * TAGS : 2] = ord("0") + ones
            text[:, -1] = ord("\n")
            file.write(text.tobytes())


def _picture(path: Path) -> None:
    from PIL import Image

    Image.new("RGB", (64, 48), (90, 120, 30)).save(path, quality=80)


def read(root: Path) -> None:
    """Read the tree and print what it took as JSON."""
    from crosshash.backbones import create_text_encoder
    from crosshash.data import DATASETS

    reader = DATASETS["nuswide"]
    before = _peak()
    start = time.perf_counter()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        dataset, protocol = reader(root, protocol="mdffh", query=200, train=1000)
    seconds = time.perf_counter() - start
    after = _peak()
    start = time.perf_counter()
    encoder = create_text_encoder("bow", tokens="tags", size=TAGS).fit(
        dataset.select(protocol.train).captions()
    )
    encoder.prepare(dataset.captions(), unknown="allow")
    dataset.images.open(len(dataset) - 1)
    result = {
        "pairs": len(dataset),
        "dropped": dataset.dropped,
        "read_s": round(seconds, 2),
        "imports_MiB": round(before),
        "peak_MiB": round(after),
        "bow_s": round(time.perf_counter() - start, 2),
        "bow_peak_MiB": round(_peak()),
    }
    print(json.dumps(result))


def train(root: Path) -> None:
    """Train a small network from pixels for an epoch on 1,000 of the pairs, print as JSON."""
    from crosshash.config import parse_config
    from crosshash.data.model_inputs import prepare_inputs
    from crosshash.experiment.assembly import build, build_algorithm, read_data
    from crosshash.settings import TrainerSettings
    from crosshash.training.trainer import Trainer

    start = time.perf_counter()
    options = {"weights": "random", "image_size": 32}
    config = parse_config(
        {
            "method": "dmsfh",
            "bits": 32,
            "backbones": {"image": {"name": "test_resnet", "frozen": False, "options": options}},
            "text": {"name": "bow", "options": {"tokens": "tags", "size": TAGS}},
            "data": {
                "name": "nuswide",
                "root": str(root),
                "options": {"protocol": "mdffh", "query": 200, "train": 1000},
            },
        }
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        dataset, protocol = read_data(config)
        model = build(config, dataset, protocol.train)
        inputs = prepare_inputs(model, dataset, progress=False)
    algorithm = build_algorithm(config, model, dataset.labels.shape[1], len(protocol.train))
    ready = time.perf_counter() - start
    Trainer(
        algorithm, inputs.select(protocol.train), TrainerSettings(epochs=1), progress=False
    ).run()
    print(
        json.dumps(
            {
                "pairs": len(dataset),
                "ready_s": round(ready, 1),
                "epoch_s": round(time.perf_counter() - start - ready, 1),
                "peak_MiB": round(_peak()),
            }
        )
    )


def _peak() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=ROWS, help="images in the tree")
    parser.add_argument("--folder", type=Path, help="where to make the tree; default: temporary")
    parser.add_argument("--read", type=Path, help="only read a tree made before")
    parser.add_argument("--train", action="store_true", help="train on it as well")
    arguments = parser.parse_args()
    if arguments.read is not None:
        train(arguments.read) if arguments.train else read(arguments.read)
        return
    with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
        start = time.perf_counter()
        root = Path(folder)
        make(root, arguments.rows)
        size = (root / "NUS_WID_Tags" / "AllTags1k.txt").stat().st_size / 1e6
        print(
            f"made {arguments.rows:,} rows, {size:.0f} MB of tags, in "
            f"{time.perf_counter() - start:.0f} s",
            flush=True,
        )
        subprocess.run([sys.executable, __file__, "--read", folder], check=True)
        if arguments.train:
            subprocess.run([sys.executable, __file__, "--read", folder, "--train"], check=True)


if __name__ == "__main__":
    main()
