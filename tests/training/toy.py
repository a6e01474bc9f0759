"""A toy method: two batch phases, one of them adversarial, a phase in closed form, a code bank.

Run as a script it trains, in as many processes as the environment says, and saves what came out.
"""

from __future__ import annotations

import argparse
import os
import signal
from collections.abc import Iterable, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from crosshash.algorithms.code_bank import CodeBank
from crosshash.algorithms.phases import Algorithm, BatchPhase, Phase, SolvePhase, Terms, Update
from crosshash.backbones.base import Features
from crosshash.codes import sign
from crosshash.losses.adversarial import discriminator_loss, generator_loss
from crosshash.losses.likelihood import pairwise_nll
from crosshash.losses.quantization_error import quantization
from crosshash.model.batch import Batch
from crosshash.settings import TrainerSettings
from crosshash.similarity import label_similarity
from crosshash.training.trainer import Trainer


class Pairs:
    """n random pairs; remembers which rows were asked for."""

    def __init__(self, count: int = 31, dim: int = 6) -> None:
        draw = torch.Generator().manual_seed(5)
        self.image = torch.randn(count, dim, generator=draw)
        self.text = self.image + 0.1 * torch.randn(count, dim, generator=draw)
        self.labels = (self.image[:, :3] > 0.3).float()
        self.asked: list[list[int]] = []

    def __len__(self) -> int:
        return len(self.image)

    def __getitems__(self, rows: list[int]) -> Batch:
        self.asked.append(list(rows))
        return Batch(
            torch.tensor(rows),
            {"image": Features(self.image[rows])},
            Features(self.text[rows]),
            self.labels[rows],
        )


class ToyNet(nn.Module):
    """A frozen backbone and two linear hash functions."""

    def __init__(self, dim: int = 6, bits: int = 8, dropout: float = 0.0) -> None:
        super().__init__()
        self.backbones = nn.ModuleDict({"image": nn.Linear(dim, dim).requires_grad_(False)})
        self.frozen_prefixes = {"backbones.image."}
        self.image = nn.Sequential(nn.Dropout(dropout), nn.Linear(dim, bits))
        self.text = nn.Sequential(nn.Dropout(dropout), nn.Linear(dim, bits))

    def hash_image(self, features: Features) -> Tensor:
        return self.image(self.backbones["image"](features.pooled)).tanh()

    def hash_text(self, features: Features) -> Tensor:
        return self.text(features.pooled).tanh()


class Toy(Algorithm):
    """Alternates between the two hash functions, then sets B in closed form."""

    def __init__(self, net: ToyNet, count: int, classes: int) -> None:
        super().__init__()
        self.net = net
        bits = net.text[1].out_features
        self.judge = nn.Linear(bits, 1)
        self.bank = CodeBank(count, bits, classes)
        self.seen: Tensor
        self.register_buffer("seen", torch.zeros(net.text[1].in_features))  # as BatchNorm's mean
        self.modes: list[tuple[str, bool]] = []

    def begin(self, batches: Iterable[Batch]) -> None:
        self.modes.append(("begin", self.training))
        for batch in batches:
            self.bank.store(batch.index, labels=batch.labels)
        # What a process learns here may differ in its last digits; so that a test sees it, in more.
        with torch.no_grad():
            self.judge.bias.add_(float(os.environ.get("RANK", 0)))

    def phases(self) -> list[Phase]:
        return [
            BatchPhase(
                "image", [Update(self.net.image.parameters(), self.image_loss, {"fit": 0.5})]
            ),
            BatchPhase(
                "text",
                [
                    Update(self.net.text.parameters(), self.text_loss, name="text"),
                    Update(self.judge.parameters(), self.judge_loss, name="judge"),
                ],
            ),
            SolvePhase("codes", self.solve),
        ]

    def image_loss(self, batch: Batch) -> Terms:
        self.modes.append(("image", self.training))
        F = self.net.hash_image(batch.images["image"])
        self.bank.store(batch.index, F=F)
        S = label_similarity(batch.labels, self.bank.labels)
        return {
            "nll": pairwise_nll(F, self.bank.G, S),
            "fit": quantization(self.bank.B[batch.index], F),
        }

    def text_loss(self, batch: Batch) -> Terms:
        self.seen.lerp_(batch.texts.pooled.mean(dim=0), 0.1)
        G = self.net.hash_text(batch.texts)
        self.bank.store(batch.index, G=G)
        batch.shared["generated"] = G.detach()
        S = label_similarity(batch.labels, self.bank.labels)
        return {
            "nll": pairwise_nll(G, self.bank.F, S),
            "fooled": generator_loss(self.judge(G)[:, 0]),
        }

    def judge_loss(self, batch: Batch) -> Terms:
        real = self.judge(self.bank.B[batch.index])[:, 0]
        generated = self.judge(batch.shared["generated"])[:, 0]
        return {"judged": discriminator_loss(real, generated)}

    def solve(self) -> Mapping[str, float]:
        B = sign(self.bank.F + self.bank.G)
        self.bank.store(torch.arange(len(B)), B=B)
        return {"balance": float(B.mean())}


class KilledToy(Toy):
    """Kills its own process in the middle of a pass over the texts."""

    last = 0

    def text_loss(self, batch: Batch) -> Terms:
        self.last -= 1
        if not self.last:
            os.kill(os.getpid(), signal.SIGKILL)
        return super().text_loss(batch)


def make(
    *, count: int = 31, bits: int = 8, dropout: float = 0.2, seed: int = 0, kind: type[Toy] = Toy
) -> tuple[Toy, Pairs]:
    torch.manual_seed(seed)
    pairs = Pairs(count)
    return kind(ToyNet(bits=bits, dropout=dropout), count, 3), pairs


def agreement(net: ToyNet) -> dict[str, float]:
    """A figure for validation: how far the codes of the two modalities agree."""
    pairs = Pairs(12)
    F, G = net.hash_image(Features(pairs.image)), net.hash_text(Features(pairs.text))
    return {"map_mean": -float((F - G).square().mean())}


def trainer(algorithm: Algorithm, pairs: Any, **options: Any) -> Trainer:
    given = {"epochs": 5, "batch_size": 8, "device": "cpu", "learning_rate": 0.02, **options}
    names = {field.name for field in fields(TrainerSettings)}
    settings = TrainerSettings(**{name: given.pop(name) for name in names & set(given)})
    return Trainer(algorithm, pairs, settings, **{"progress": False, **given})


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--kill-at-text-step", type=int, default=0)
    parser.add_argument("--dropout", type=float, default=0.2)
    parser.add_argument("--seed-of-weights-by-rank", action="store_true")
    parser.add_argument("--sgd", action="store_true")
    arguments = parser.parse_args()
    rank = int(os.environ.get("RANK", 0))
    algorithm, pairs = make(
        kind=KilledToy,
        dropout=arguments.dropout,
        seed=rank if arguments.seed_of_weights_by_rank else 0,
    )
    algorithm.last = arguments.kill_at_text_step
    optimizer = "sgd" if arguments.sgd else "adamw"
    run = trainer(
        algorithm, pairs, folder=arguments.folder, validate=agreement, optimizer=optimizer
    )
    history = run.run()
    if run.accelerator.num_processes > 1:  # a second training in the same processes
        second, pairs = make(seed=7)
        trainer(second, pairs, epochs=1, precision="bf16").run()
        torch.distributed.destroy_process_group()
    result = {"state": algorithm.state_dict(), "history": history, "best": run.best_epoch}
    torch.save(result, arguments.folder / f"result-{rank}.pt")


if __name__ == "__main__":
    main()
