"""How long it takes from an empty process to a first code, against the imports it cannot avoid.

    python benchmarks/startup.py                          # 7 rounds of models that come along
    python benchmarks/startup.py amgfh-wiki-64 --rounds 15 --json

A model on features needs torch, one that reads pixels torch and timm: these imports are the
measure. Every run is a process of its own that loads the model and encodes one text. The runs take
turns, round by round, so that a busy machine slows all of them; ratios are of the least time of
each and of the medians. CPU time is told beside wall-clock time, which other processes change more.
A round before the first is not counted: it fills the file cache and writes bytecode.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass, field

FEATURES = ("amgfh-wiki-64", "mdffh-wiki-64", "dmsfh-wiki-64", "hfah-wiki-64")
PIXELS = ("amgfh-shapes-64", "mdffh-shapes-64", "dmsfh-shapes-64", "hfah-shapes-64")
IMPORTS = {"torch": "import torch", "torch, timm": "import torch, timm"}
ENCODE = """
import sys
import crosshash
import numpy as np

model = crosshash.load(sys.argv[1])
features = model.text.name == "features"
model.encode_text(np.ones((1, model.text.dim), np.float32) if features else "a red circle")
"""


@dataclass
class Times:
    """Seconds of the runs of one program, by the clock on the wall and of the CPU."""

    wall: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)

    def run(self, code: str, *arguments: str) -> None:
        """Run the program once in a process of its own."""
        start, before = time.perf_counter(), os.times()
        environment = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
        subprocess.run([sys.executable, "-c", code, *arguments], env=environment, check=True)
        after = os.times()
        self.wall.append(time.perf_counter() - start)
        self.cpu.append(
            after.children_user
            - before.children_user
            + after.children_system
            - before.children_system
        )


def measure(models: list[str], rounds: int) -> dict[str, Times]:
    """Times of the imports and of each model, the warming round left out."""
    found: dict[str, Times] = {}
    for number in range(rounds + 1):
        if number <= 1:
            found = {name: Times() for name in (*IMPORTS, *models)}
        for name, code in IMPORTS.items():
            found[name].run(code)
        for name in models:
            found[name].run(ENCODE, name)
    return found


def ratios(found: dict[str, Times], name: str, measure_by: str) -> dict[str, float | str]:
    """One row: a program's times, and their ratios to those of the imports that it needs."""
    own, base = found[name], found[measure_by]
    return {
        "run": name,
        "against": measure_by,
        "wall": min(own.wall),
        "cpu": min(own.cpu),
        "wall ratio": min(own.wall) / min(base.wall),
        "median wall ratio": statistics.median(own.wall) / statistics.median(base.wall),
        "cpu ratio": min(own.cpu) / min(base.cpu),
        "median cpu ratio": statistics.median(own.cpu) / statistics.median(base.cpu),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("models", nargs="*", default=[*FEATURES, *PIXELS], metavar="MODEL")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--json", action="store_true", help="print JSON")
    arguments = parser.parse_args()
    import crosshash

    found = measure(arguments.models, arguments.rounds)
    rows = [ratios(found, name, "torch") for name in IMPORTS]
    for name in arguments.models:
        slots = crosshash.load(name).describe()["backbones"].values()
        features = all(slot["name"] == "features" for slot in slots)
        rows.append(ratios(found, name, "torch" if features else "torch, timm"))
    if arguments.json:
        print(json.dumps(rows))
        return
    columns = list(rows[0])
    print("| " + " | ".join(columns) + " |")
    print("| " + " | ".join("---" for _ in columns) + " |")
    for row in rows:
        cells = [f"{row[c]:.2f}" if isinstance(row[c], float) else str(row[c]) for c in columns]
        print("| " + " | ".join(cells) + " |")


if __name__ == "__main__":
    main()
