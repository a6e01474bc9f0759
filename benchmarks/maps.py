"""MAP, and MAP@50 over min(50, relevant), of configs over seeds: mean and spread, as Markdown.

python benchmarks/maps.py amgfh/flickr8k-64 amgfh/wiki-16 --seeds 0 1 2 --jobs 2 [key=value …]

Runs that stand below --output already are not trained again. With evaluation.database=both there
are columns for learned codes too, and those of the hash functions are then named encoded.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from crosshash.reports.tables import markdown_table

MAPS = ("i2t", "t2i", "mean")


def run_name(config: str, seed: int, overrides: list[str]) -> str:
    """The folder of a run: config, what lies over it, and seed."""
    tag = "".join(f"+{item.replace('/', '_')}" for item in overrides)
    if len(tag) > 120:  # file systems have names of up to 255 bytes
        tag = f"+{hashlib.sha256(tag.encode()).hexdigest()[:16]}"
    return f"{Path(config).parent.name}-{Path(config).stem}{tag}-seed{seed}"


def trained(config: str, seed: int, overrides: list[str], folder: Path) -> dict[str, Any]:
    """Figures of a run, which is trained if it does not stand there."""
    info = folder / "checkpoint" / "info.json"
    if not info.exists():
        command = [sys.executable, "-W", "ignore", "-m", "crosshash", "train", config]
        command += [f"seed={seed}", *overrides, "-o", str(folder), "--overwrite", "--quiet"]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, env={**os.environ})
    figures: dict[str, Any] = json.loads(info.read_text())["figures"]
    return figures


def limit_threads(jobs: int) -> None:
    """Deal the cores out to trainings that run side by side."""
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // jobs)))


def run(config: str, seed: int, overrides: list[str], folder: Path) -> dict[str, float]:
    figures = trained(config, seed, overrides, folder)
    history = [json.loads(line) for line in (folder / "history.jsonl").read_text().splitlines()]
    learned = figures.get("learned")
    databases = {"": figures} if learned is None else {" encoded": figures, " learned": learned}
    first = next(iter(databases))
    return {
        **{
            f"{column}{name}": found[f"map_{column}"]
            for name, found in databases.items()
            for column in MAPS
        },
        "validation": max(
            (line["map_mean"] for line in history if "map_mean" in line), default=float("nan")
        ),
        f"@50 i2t{first}": figures["i2t"]["map_at"]["50"]["min"],
        f"@50 t2i{first}": figures["t2i"]["map_at"]["50"]["min"],
        "unique": figures["health"]["image"]["unique"],
    }


def arguments(description: str | None) -> tuple[argparse.Namespace, list[str], list[str]]:
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("settings", nargs="+", help="configs, and key=value for all of them")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--jobs", type=int, default=1, help="trainings side by side")
    parser.add_argument("--output", type=Path, default=Path("runs/maps"))
    options = parser.parse_args()
    configs = [item for item in options.settings if "=" not in item]
    overrides = [item for item in options.settings if "=" in item]
    limit_threads(options.jobs)
    return options, configs, overrides


def main() -> None:
    options, configs, overrides = arguments(__doc__)

    def job(task: tuple[str, int]) -> dict[str, float]:
        config, seed = task
        folder = options.output / run_name(config, seed, overrides)
        return run(config, seed, overrides, folder)

    tasks = [(config, seed) for config in configs for seed in options.seeds]
    with ThreadPoolExecutor(options.jobs) as pool:
        results = dict(zip(tasks, pool.map(job, tasks), strict=True))
    rows = []
    for config in configs:
        of_config = [results[config, seed] for seed in options.seeds]
        row: dict[str, object] = {"config": config}
        for key in [key for key in of_config[0] if key != "unique"]:
            values = np.array([result[key] for result in of_config])
            spread = f" ± {values.std(ddof=1):.3f}" if len(values) > 1 else ""
            row[key] = "" if np.isnan(values).any() else f"{values.mean():.3f}{spread}"
        row["unique image codes"] = int(np.mean([result["unique"] for result in of_config]))
        rows.append(row)
    print(markdown_table(rows))


if __name__ == "__main__":
    main()
