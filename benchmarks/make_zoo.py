"""Train a bundled config and put it into the zoo: a float16 checkpoint and its manifest.

python benchmarks/make_zoo.py amgfh/shapes-64

The figures are those of the stored, rounded weights.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import torch
import yaml

from crosshash.config import bundled, read_config
from crosshash.experiment import evaluate, train
from crosshash.files import atomic_file, sha256
from crosshash.hub.checkpoint import write_checkpoint
from crosshash.hub.load import load


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("config")
    name_of_config = parser.parse_args().config
    config = read_config(name_of_config)
    name = f"{config.method}-{config.data.name}-{config.bits}"
    with tempfile.TemporaryDirectory() as folder:
        model = train(config, folder).model
    for value in model.state_dict().values():
        if value.is_floating_point():
            value.copy_(value.half().float())
    report = evaluate(model)
    model.info.figures = report.as_dict()
    target = bundled("zoo") / "checkpoints" / name
    write_checkpoint(model, target, dtype=torch.float16)
    again = evaluate(load(target))
    if again.as_dict() != report.as_dict():
        raise RuntimeError("the stored checkpoint does not give the figures of the model in memory")
    manifest = {
        "name": name,
        "method": config.method,
        "dataset": config.data.name,
        "bits": config.bits,
        "status": "local",
        "folder": f"checkpoints/{name}",
        "config": name_of_config,
        "licence": "Apache-2.0",
        "figures": {
            "map_i2t": round(report.i2t.map, 4),
            "map_t2i": round(report.t2i.map, 4),
            "chance": round(report.i2t.chance, 4),
            "command": f"crosshash evaluate {name}",
        },
        "files": {path.name: sha256(path) for path in sorted(Path(target).iterdir())},
    }
    with atomic_file(bundled("zoo") / f"{name}.yaml") as path:
        path.write_text(yaml.safe_dump(manifest, sort_keys=False))
    size = sum(path.stat().st_size for path in target.iterdir())
    print(f"{name}: {report.i2t.map:.4f} / {report.t2i.map:.4f}, {size / 1e6:.2f} MB")


if __name__ == "__main__":
    main()
