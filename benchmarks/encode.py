"""Pictures per second into a folder of codes with 0, 1 and 2 workers, as ratios, in one run.

    python benchmarks/encode.py                     # 200 pictures, 3 rounds
    python benchmarks/encode.py --side 1000         # of that side, so that decoding takes its time

The pictures are drawn, saved as JPEG and put into one tar shard. Each round encodes them once with
each number of workers, in turns, so that a busy machine slows all alike; the ratios are those of
the medians to 0 workers. ``bare`` is ``encode_image`` of the same pictures in memory, encoded,
without workers: what parts, files and the passes over the source take is the difference. ``bf16``
is 0 workers under autocast, whose last line says how many bits are others.
"""

from __future__ import annotations

import argparse
import io
import statistics
import tarfile
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

import crosshash
from crosshash.encoding import encode_source, read_codes

MODEL = "amgfh-shapes-64"


def clock(run: Callable[[], object]) -> float:
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def drawn(count: int, side: int) -> list[bytes]:
    dataset, _ = crosshash.load_dataset("shapes", n=count, seed=7)
    found = []
    for image in dataset.images:
        file = io.BytesIO()
        image.resize((side, side), Image.Resampling.BICUBIC).save(file, "JPEG", quality=90)
        found.append(file.getvalue())
    return found


def packed(pictures: list[bytes], path: Path) -> Path:
    with tarfile.open(path, "w") as tar:
        for number, content in enumerate(pictures):
            info = tarfile.TarInfo(f"{number:06}.jpg")
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return path


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--count", type=int, default=200)
    parser.add_argument("--side", type=int, default=300)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    model = crosshash.load(MODEL)
    pictures = drawn(options.count, options.side)
    encoded = [{"bytes": content, "path": None} for content in pictures]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        shard = packed(pictures, folder / "pictures.tar")
        runs: dict[str, Callable[[int], object]] = {
            "bare": lambda _: model.encode_image(encoded, progress=False)
        }
        for workers in (0, 1, 2):
            runs[f"{workers} workers"] = lambda turn, workers=workers: encode_source(
                model, shard, folder / f"{workers}-{turn}", workers=workers
            )
        runs["bf16"] = lambda turn: encode_source(
            model, shard, folder / f"bf16-{turn}", dtype="bf16"
        )
        for run in (runs["bare"], runs["0 workers"]):
            run(-1)  # what is imported and allocated once is no one's time
        times: dict[str, list[float]] = {name: [] for name in runs}
        for turn in range(options.rounds):
            for name, run in runs.items():
                times[name].append(clock(lambda run=run, turn=turn: run(turn)))
        full, half = (
            np.concatenate([codes for _, codes in read_codes(folder / name)])
            for name in ("0-0", "bf16-0")
        )
    medians = {name: statistics.median(values) for name, values in times.items()}
    for name, median in medians.items():
        ratio = medians["0 workers"] / median
        print(f"{name:10} {options.count / median:8.1f} a second   {ratio:.2f} of 0 workers")
    share = np.unpackbits(full ^ half).mean()
    print(f"bits of bf16 that differ: {share:.2%}")


if __name__ == "__main__":
    main()
