"""Find pictures by words: encode, index, keep the index and load it again, search, take one out.

python examples/search.py --pictures photos --model runs/photos "a dog in the snow"

Without --pictures it searches drawn scenes with the model that comes with the package.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import crosshash
from crosshash.data.readers.shapes import shapes
from crosshash.images import SUFFIXES, as_image_source
from crosshash.reports.samples import Sample, sample_sheet


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("query", nargs="?", default="a star at night")
    parser.add_argument("--model", default="amgfh-shapes-64")
    parser.add_argument("--pictures", type=Path)
    parser.add_argument("--index", type=Path, help="where to keep the index")
    parser.add_argument("--sheet", type=Path, help="a picture file, to show what is found")
    options = parser.parse_args()

    # %% A model has two hash functions. It reads pictures from files or from arrays.
    model = crosshash.load(options.model)
    if options.pictures:
        pictures = sorted(p for p in options.pictures.rglob("*") if p.suffix.lower() in SUFFIXES)
        ids = [str(path) for path in pictures]
    else:
        dataset, _ = shapes(n=300, seed=7)
        pictures, ids = dataset.images, list(dataset.ids)

    # %% Pictures become codes, and the index keeps them with their names. It is a folder, and knows
    # by which model its codes were made.
    index = crosshash.Index.for_model(model, {"model": options.model})
    index.add(model.encode_image(pictures), ids)
    with tempfile.TemporaryDirectory() as folder:
        place = options.index or Path(folder) / "index"
        index.save(place)
        loaded = crosshash.Index.load(place)

    # %% A question is a sentence. Its code is left as real numbers, by which items at one distance
    # are told apart.
    loaded.check_model(model)  # a model trained again has other codes, and is refused
    values = model.encode_text(options.query, output="real")
    found = loaded.search(values, topk=5, rank="asymmetric")
    print(f"{len(loaded)} pictures, {loaded.bits} bits each; nearest to {options.query!r}:")
    # Ranked by the query's real values; beside it the number of bits that differ.
    for item, real, bits in zip(found.ids[0], found.asymmetric[0], found.distances[0], strict=True):
        print(f"{real:6.2f} {bits:3d}  {item}")

    # %% What it found, side by side.
    source = as_image_source(pictures)
    shown = [Sample(item, source[ids.index(item)]) for item in found.ids[0]]
    sheet = sample_sheet(shown, columns=5, width=160, lines=1, title=options.query)
    if options.sheet:
        sheet.save(options.sheet)
    # %show sheet

    # %% An item is taken out by its name.
    nearest = found.ids[0][0]
    loaded.remove([nearest])
    print(f"without {nearest}: {loaded.search(values, topk=1, rank='asymmetric').ids[0][0]}")


if __name__ == "__main__":
    main()
