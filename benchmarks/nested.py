"""MAP of nested models at each of their lengths, beside models of that length alone, as Markdown.

python benchmarks/nested.py dmsfh/wiki-nested lpdh/wiki-nested --seeds 0 1 2 [key=value …]

`dmsfh/wiki-nested` is compared with `dmsfh/wiki-16`, `-32` and `-64`: mean of both directions, mean
over the seeds. Runs that stand below --output already, those of maps.py too, are not trained again.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
from maps import arguments, run_name, trained

from crosshash.config import read_config
from crosshash.reports.tables import markdown_table


def main() -> None:
    options, configs, overrides = arguments(__doc__)
    lengths = {}
    for config in configs:
        found = read_config(config, overrides)
        lengths[config] = [*found.nested, found.bits]

    def single(config: str, bits: int) -> str:
        return f"{config.removesuffix('-nested')}-{bits}"

    tasks = [
        (name, seed)
        for config in configs
        for name in (config, *(single(config, bits) for bits in lengths[config]))
        for seed in options.seeds
    ]
    plain = [item for item in overrides if not item.startswith("nested")]

    def job(task: tuple[str, int]) -> dict[str, float]:
        config, seed = task
        over = overrides if config in configs else plain
        figures = trained(config, seed, over, options.output / run_name(config, seed, over))
        maps = {"whole": figures["map_mean"]}
        return maps | {k: found["map_mean"] for k, found in figures.get("nested", {}).items()}

    with ThreadPoolExecutor(options.jobs) as pool:
        results = dict(zip(tasks, pool.map(job, tasks), strict=True))
    rows = []
    for config in configs:
        for bits in lengths[config]:
            key = "whole" if bits == lengths[config][-1] else str(bits)
            nested = np.array([results[config, seed][key] for seed in options.seeds])
            alone = single(config, bits)
            singles = np.array([results[alone, seed]["whole"] for seed in options.seeds])
            rows.append(
                {
                    "config": config,
                    "bits": bits,
                    "nested": nested.mean(),
                    "alone": singles.mean(),
                    "difference": f"{(nested - singles).mean():+.3f}",
                }
            )
    print(markdown_table(rows))


if __name__ == "__main__":
    main()
