"""Speed and memory of the pairwise likelihood over a code bank, and of DMSFH's B step.

    python benchmarks/bank_speed.py            # likelihood, n = 10,000, batch 128, K = 64
    CROSSHASH_DATA=… python benchmarks/bank_speed.py --b-step   # n = 190,000, NUS-WIDE labels

The naive forms are those of the DCMH family: S as an n x n matrix made once, its rows taken for
each batch, log(1 + exp(theta)) over the whole row block and autograd. Memory is the growth of the
process's peak during the call.
"""

from __future__ import annotations

import argparse
import resource
import statistics
import time
from collections.abc import Callable

import numpy as np
import torch

from crosshash.algorithms.laplacian import LabelLaplacian
from crosshash.codes import sign
from crosshash.files import locate
from crosshash.losses.likelihood import bank_nll
from crosshash.similarity import label_similarity

BITS, BATCH = 64, 128


def seconds(work: Callable[[], object], rounds: int) -> float:
    times = []
    for _ in range(rounds):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def peak() -> float:
    """MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def likelihood(count: int) -> None:
    torch.manual_seed(0)
    labels = (torch.rand(count, 24) < 0.1).float()
    bank = torch.randn(count, BITS)
    index = torch.randperm(count)[:BATCH]
    U = torch.randn(BATCH, BITS, requires_grad=True)
    start, before = time.perf_counter(), peak()
    S = label_similarity(labels, labels)
    built, matrix = time.perf_counter() - start, peak() - before

    def naive() -> torch.Tensor:
        theta = 0.5 * U @ bank.T
        loss = -(S[index] * theta - torch.log(1 + torch.exp(theta))).mean()
        return torch.autograd.grad(loss, U)[0]

    def blocks(dtype: torch.dtype) -> Callable[[], torch.Tensor]:
        codes = bank.to(dtype)

        def run() -> torch.Tensor:
            return torch.autograd.grad(bank_nll(U, codes, labels[index], labels), U)[0]

        return run

    ours = blocks(torch.float32)
    difference = (naive() - ours()).abs().max() / naive().abs().max()
    print(
        f"\nn = {count:,}, batch {BATCH}, {BITS} bits; largest difference of gradients, relative:"
    )
    print(f"{difference:.1e}; S as a matrix takes {built:.2f} s and {matrix:.0f} MiB, once\n")
    times = {"rows of a stored S, log(1 + exp)": seconds(naive, 50)}
    times["blocks, float32"] = seconds(ours, 50)
    times["blocks, bfloat16"] = seconds(blocks(torch.bfloat16), 50)
    first = next(iter(times.values()))
    print("| form | an iteration | faster by |")
    print("| --- | --- | --- |")
    for name, taken in times.items():
        print(f"| {name} | {1000 * taken:.1f} ms | {first / taken:.1f} × |")


def b_step(count: int) -> None:
    """Labels of the NUS-WIDE sample, drawn with replacement up to ``count`` rows."""
    sample = np.load(locate("label-sets/nuswide-sample.npz"), allow_pickle=False)
    every = torch.from_numpy(sample["labels"])
    generator = torch.Generator().manual_seed(0)
    most = every.sum(dim=0).argsort(descending=True)
    print(
        "| labels | different rows | Laplacian | time | peak grows by | unique B | "
        "agrees with sign(F + G) |"
    )
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for classes in (21, 81):
        labels = every[:, most[:classes]]
        labels = labels[torch.randint(len(labels), (count,), generator=generator)]
        total = torch.randn(count, BITS, generator=generator) + 0.3
        for normalized in (True, False):
            before, start = peak(), time.perf_counter()
            laplacian = LabelLaplacian(labels, normalized=normalized)
            B = sign(laplacian.solve(total, shift=2.0, weight=1.0))
            taken, grown = time.perf_counter() - start, peak() - before
            kind = "normalised" if normalized else "unnormalised"
            unique = len(torch.unique(B, dim=0))
            agrees = float((sign(total) == B).double().mean())
            print(
                f"| {classes} | {len(laplacian.patterns):,} | {kind} | {taken:.1f} s | "
                f"{grown:.0f} MiB | {unique:,} | {agrees:.1%} |",
                flush=True,
            )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--b-step", action="store_true")
    parser.add_argument("--count", type=int, help="n; default 10,000, or 190,000 with --b-step")
    options = parser.parse_args()
    if options.b_step:
        b_step(options.count or 190_000)
    else:
        likelihood(options.count or 10_000)


if __name__ == "__main__":
    main()
