"""What AMGFH's fused codes are worth: their MAP beside that of the hash functions.

python benchmarks/guide.py amgfh/flickr8k-64 data.holdout=1500 [key=value …]

Trains by a config and ranks, by each kind of code, the retrieval set for the queries, and training
pairs for training pairs. H are the fused codes, of random batches as in training; F and G those of
images and texts. The agreement is the share of bits that sign(H) has in common with the others.
"""

from __future__ import annotations

import argparse
import warnings

import numpy as np
import torch
from torch import Tensor

from crosshash.codes import sign
from crosshash.config import read_config
from crosshash.data.model_inputs import PairInputs, prepare_inputs
from crosshash.experiment.assembly import assemble
from crosshash.methods import AMGFH
from crosshash.reports.tables import markdown_table
from crosshash.retrieval.metrics import mean_average_precision
from crosshash.training.trainer import Trainer

_TRAINING_QUERIES = 500
_PAIRS = [("H", "H"), ("F", "F"), ("G", "G"), ("F + G", "F + G")]
_PAIRS += [("F", "G"), ("G", "F"), ("F", "H"), ("G", "H")]


@torch.no_grad()
def codes(algorithm: AMGFH, pairs: PairInputs, batch_size: int) -> dict[str, Tensor]:
    """Real-valued H, F and G of all pairs; H in batches that are drawn at random."""
    net, count = algorithm.net, len(pairs)
    found = {name: torch.zeros(count, net.bits) for name in "HFG"}
    order = np.random.default_rng(0).permutation(count)
    for start in range(0, count, batch_size):
        rows = order[start : start + batch_size].tolist()
        batch = pairs.__getitems__(rows)
        image = net.enhanced(net.image_features(batch.images))
        text = net.pooled_text(net.text_features(batch.texts))
        found["H"][rows] = algorithm.guide(image, text)
        found["F"][rows] = net.hash_enhanced(image)
        found["G"][rows] = net.hash_pooled(text)
    return {**found, "F + G": found["F"] + found["G"]}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("config")
    parser.add_argument("overrides", nargs="*", help="key=value")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    made = assemble(read_config(options.config, options.overrides))
    if made.dataset.labels is None:
        raise SystemExit("MAP needs labels")
    settings = made.config.training
    inputs = prepare_inputs(made.model, made.dataset, captions=made.config.data.captions)
    algorithm = made.algorithm()
    if not isinstance(algorithm, AMGFH):
        raise SystemExit("only amgfh has fused codes")
    history = Trainer(algorithm, inputs.select(made.rows), settings, seed=made.config.seed).run()
    algorithm.eval()
    sets = {"query": made.protocol.query, "retrieval": made.protocol.retrieval, "train": made.rows}
    found = {k: codes(algorithm, inputs.select(v), settings.batch_size) for k, v in sets.items()}
    labels = {name: made.dataset.labels[rows] for name, rows in sets.items()}
    rows = []
    for query, database in _PAIRS:
        cut = _TRAINING_QUERIES
        train = [sign(found["train"][name]) for name in (query, database)]
        pair = sign(found["query"][query]), sign(found["retrieval"][database])
        rows.append(
            {
                "codes": f"{query} → {database}",
                "MAP": mean_average_precision(*pair, labels["query"], labels["retrieval"]),
                "MAP on training pairs": mean_average_precision(
                    train[0][:cut], train[1][cut:], labels["train"][:cut], labels["train"][cut:]
                ),
            }
        )
    print(markdown_table(rows))
    for name, part in found.items():
        shares = [float((sign(part["H"]) == sign(part[k])).float().mean()) for k in "FG"]
        print(f"{name}: sign(H) agrees with sign(F) {shares[0]:.3f}, with sign(G) {shares[1]:.3f}")
    print({k: round(v, 3) for k, v in history[-1].items()})


if __name__ == "__main__":
    main()
