"""Images per second of the loader in one process, against bare PIL in the same run.

    CROSSHASH_DATA=… python benchmarks/loader_speed.py                 # flickr8k's photographs
    CROSSHASH_DATA=… python benchmarks/loader_speed.py --large 1024    # scaled up to large files

The bare loop opens a file, decodes it to RGB and resizes it to what the network's preprocessing
resizes to: nothing is cropped, made a tensor, normalised or put into a batch. The loader does all
that, by the very objects that feature extraction and training use. Both take the same files in
turns, block by block, and the ratio is that of the medians, so that a busy machine slows both.
With ``--large`` the files are scaled up first: the loader then decodes them at a fraction of their
size.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch
from PIL import Image
from torch.utils.data import DataLoader

from crosshash.backbones.decode import decode_size
from crosshash.backbones.extract import _Pictures, _whole
from crosshash.backbones.image.pixels import pixel_config, pixel_transform
from crosshash.data.model_inputs import Pixels
from crosshash.files import locate
from crosshash.images import ImageFiles

BATCH = 50


def bare(paths: list[Path], size: tuple[int, int], interpolation: str) -> None:
    for path in paths:
        with Image.open(path) as image:
            picture = image.convert("RGB")
        scale = max(size[0] / picture.width, size[1] / picture.height)
        new = (round(picture.width * scale), round(picture.height * scale))
        picture.resize(new, Image.Resampling[interpolation.upper()])


def clock(run: Callable[..., object], *arguments: object) -> float:
    start = time.perf_counter()
    run(*arguments)
    return time.perf_counter() - start


def enlarged(paths: list[Path], side: int, folder: Path) -> list[Path]:
    made = []
    for path in paths:
        made.append(folder / path.name)
        with Image.open(path) as image:
            image.resize((side, side), Image.Resampling.BICUBIC).save(made[-1], quality=90)
    return made


def measure(paths: list[Path], repeat: int, interpolation: str) -> None:
    config = pixel_config("loader", {"input_size": (3, 224, 224)}, {"interpolation": interpolation})
    preprocess = pixel_transform(config, (224, 224))
    size = decode_size(preprocess)
    blocks = [paths[start : start + BATCH] for start in range(0, len(paths), BATCH)]
    times: dict[str, list[float]] = {"bare PIL": [], "extraction": [], "training": []}
    for _ in range(repeat):
        for block in blocks:
            source = ImageFiles(block)
            pictures = _Pictures(source, preprocess, list(range(len(block))))
            loader = DataLoader(pictures, batch_size=BATCH, collate_fn=_whole)
            pixels = Pixels(source, preprocess)
            rows = list(range(len(block)))
            times["bare PIL"].append(clock(bare, block, size, interpolation) / len(block))
            times["extraction"].append(clock(list, loader) / len(block))
            times["training"].append(clock(pixels.__getitem__, rows) / len(block))
    median = {name: statistics.median(values) for name, values in times.items()}
    print(f"{len(paths)} photographs, {repeat} times, {interpolation}, one process, one thread")
    for name, seconds in median.items():
        ratio = median["bare PIL"] / seconds
        print(f"  {name:<10}  {1 / seconds:7.0f} images a second   {ratio:.2f} × bare PIL")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--images", type=int, default=400)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--large", type=int, help="side in pixels to which files are scaled up")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    paths = sorted((locate("flickr8k") / "images").glob("*.jpg"))[: arguments.images]
    with tempfile.TemporaryDirectory() as folder:
        if arguments.large:
            paths = enlarged(paths, arguments.large, Path(folder))
        bare(paths, (256, 256), "bilinear")  # the files come from memory in what is measured
        for interpolation in ("bilinear", "bicubic"):
            measure(paths, arguments.repeat, interpolation)


if __name__ == "__main__":
    main()
