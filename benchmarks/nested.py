"""MAP of nested models at each of their lengths, beside models of that length alone, as Markdown.

crosshash bench nested --method dcmh --store store
crosshash bench results --method dcmh --bits 16 --bits 32 --bits 64 --store store
python benchmarks/nested.py store

Mean of both directions, mean over the seeds that nested and single models both have. Lengths are
compared at which all these single models are there.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from pathlib import Path

import numpy as np

from crosshash.experiment.bench.record import PLAIN, Record, Store
from crosshash.reports.tables import markdown_table


def single_models(records: list[Record]) -> dict[tuple[str, str, int, int], float]:
    """MAP of the plain runs by method, data, bits and seed."""
    return {
        (record.method, record.dataset, record.bits, record.seed): record.figures["map_mean"]
        for record in records
        if not record.config["nested"]
        and (record.variant, record.encoder, record.label) == (PLAIN, PLAIN, "")
    }


def rows(records: list[Record]) -> list[dict[str, object]]:
    """A row for each nested config and length."""
    alone = single_models(records)
    found: dict[tuple[str, str, int], list[tuple[float, float]]] = defaultdict(list)
    for record in records:
        if not record.config["nested"]:
            continue
        lengths = {int(k): f["map_mean"] for k, f in record.figures["nested"].items()}
        for bits, nested in {**lengths, record.bits: record.figures["map_mean"]}.items():
            key = (record.method, record.dataset, bits, record.seed)
            if key in alone:
                found[record.dataset, record.method, bits].append((nested, alone[key]))
    table: list[dict[str, object]] = []
    for (data, method, bits), pairs in sorted(found.items()):
        nested, single = np.array(pairs).T
        table.append(
            {
                "data": data,
                "method": method,
                "bits": bits,
                "seeds": len(pairs),
                "nested": nested.mean(),
                "alone": single.mean(),
                "difference": f"{(nested - single).mean():+.3f}",
            }
        )
    return table


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("store", type=Path, nargs="+")
    stores = parser.parse_args().store
    records = [r for store in stores for r in Store(store).all() if r.state == "finished"]
    print(markdown_table(rows(records)))


if __name__ == "__main__":
    main()
