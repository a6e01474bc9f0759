"""Fine-tune a model: on a folder of one's own, with longer or shorter codes.

python examples/finetune.py --root photos --bits 32 --epochs 5

``photos`` holds pictures and a metadata.csv (file_name, text, labels). Without --root it draws new
scenes of another seed. Vocabulary and weights come from --model; a hash head of other bits is new.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path
from typing import Any

import crosshash
from crosshash.config import merge, parse_config
from crosshash.reports.tables import markdown_table


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="amgfh-shapes-64", help="zoo name or checkpoint folder")
    parser.add_argument("--root", help="a folder of pictures with metadata.csv")
    parser.add_argument("--bits", type=int, default=32)
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--size", type=int, default=600, help="scenes to draw without --root")
    parser.add_argument("--output", type=Path, help="folder for the run")
    options = parser.parse_args()

    # %% The model to start from, and what is to change in the config by which it was trained.
    start = crosshash.load(options.model)
    drawn = {"name": "shapes", "options": {"n": options.size, "seed": 1}, "validation": 0}
    own = {"name": "imagefolder", "root": options.root, "validation": 0}
    changes: dict[str, Any] = {
        "bits": options.bits,
        "data": own if options.root else drawn,
        "training": {"epochs": options.epochs, "learning_rate": 0.001, "warmup_epochs": 0},
    }
    # The model carries the config it was trained by; here is what differs.
    config = parse_config(merge(start.info.experiment, changes))

    # %% The same training twice: from the model's weights, and from random ones.
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for name, model in {"fine-tuned": start, "from scratch": None}.items():
            place = (options.output or Path(folder)) / name.replace(" ", "-")
            result = crosshash.train(config, place, start=model, progress=False)
            row: dict[str, Any] = {"model": f"{name}, {options.bits} bits"}
            if result.report is not None:  # data without labels has no figures
                row |= {"MAP i→t": result.report.i2t.map, "MAP t→i": result.report.t2i.map}
                row["chance"] = result.report.i2t.chance
            rows.append(row)
    # %% MAP is the mean average precision in both directions; `chance` is what random codes get.
    print(markdown_table(rows))


if __name__ == "__main__":
    main()
