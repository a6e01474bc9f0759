"""The records of a store as one zip file that is the same each time, to be kept beside a report.

python benchmarks/pack_records.py STORE docs/results/records.zip

Numbers of the JSON files are rounded to six digits, which is more than a thousand queries tell and
half of the bytes; failed runs stay out. Unpacked it is a store: `crosshash report` reads it, and
`crosshash bench` goes on with it.
"""

from __future__ import annotations

import argparse
import json
import zipfile
from pathlib import Path
from typing import Any

from crosshash.experiment.bench.record import RECORDS, Store
from crosshash.files import atomic_file

DATE = (2026, 1, 1, 0, 0, 0)
DIGITS = 6


def rounded(value: Any) -> Any:
    """The same JSON value with shorter numbers."""
    if isinstance(value, float):
        return float(f"{value:.{DIGITS}g}")
    if isinstance(value, dict):
        return {key: rounded(entry) for key, entry in value.items()}
    return [rounded(entry) for entry in value] if isinstance(value, list) else value


def contents(store: Path) -> dict[str, bytes]:
    """Name in the archive → bytes, of all finished runs."""
    found = {}
    for record in Store(store).all():
        if record.state != "finished":
            continue
        path = store / RECORDS / f"{record.key}.json"
        values = rounded(json.loads(path.read_text(encoding="utf-8")))
        # The config is what a run is known by.
        values["config"] = record.config
        found[f"{RECORDS}/{path.name}"] = json.dumps(values, separators=(",", ":")).encode()
        found[f"{RECORDS}/{record.key}.npz"] = path.with_suffix(".npz").read_bytes()
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("store", type=Path)
    parser.add_argument("output", type=Path)
    options = parser.parse_args()
    with (
        atomic_file(options.output) as path,
        zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive,
    ):
        for name, content in sorted(contents(options.store).items()):
            info = zipfile.ZipInfo(name, DATE)
            info.compress_type = zipfile.ZIP_DEFLATED
            info.external_attr = 0o644 << 16
            archive.writestr(info, content, compresslevel=9)
    print(f"{options.output}: {options.output.stat().st_size / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
