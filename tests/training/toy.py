"""A toy method: two batch phases, one of them adversarial, a phase in closed form, a code bank.

Run as a script it trains, in as many processes as the environment says, and saves what came out.
"""

from __future__ import annotations

import argparse
import os
import signal
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from crosshash.algorithms.code_bank import CodeBank
from crosshash.algorithms.phases import Algorithm, BatchPhase, Phase, SolvePhase, Terms, Update
from crosshash.backbones.base import Features, ImageBackbone
from crosshash.backbones.text.features import TextFeatures
from crosshash.codes import sign
from crosshash.losses.adversarial import discriminator_loss, generator_loss
from crosshash.losses.likelihood import pairwise_nll
from crosshash.losses.quantization_error import quantization
from crosshash.model.batch import Batch
from crosshash.model.hash_model import HashModel
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
            {"image": self.image[rows]},
            Features(self.text[rows]),
            self.labels[rows],
        )


class LinearBackbone(ImageBackbone):
    """One layer over vectors."""

    name = "linear"
    reads_pixels = False
    channels = 0

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.dim = dim
        self.linear = nn.Linear(dim, dim)

    def forward(self, x: Tensor) -> Features:
        return Features(self.linear(x))

    def spec(self) -> dict[str, Any]:
        return {"name": self.name, "dim": self.dim}


class ToyNet(HashModel):
    """A frozen backbone and two linear hash functions."""

    def __init__(
        self, dim: int = 6, bits: int = 8, dropout: float = 0.0, standardize: Sequence[str] = ()
    ) -> None:
        text = TextFeatures(dim=dim)
        super().__init__({"image": LinearBackbone(dim)}, text, bits, standardize=standardize)
        self.freeze("image")
        self.image_net = nn.Sequential(nn.Dropout(dropout), nn.Linear(dim, bits))
        self.text_net = nn.Sequential(nn.Dropout(dropout), nn.Linear(dim, bits))

    def hash_image(self, features: Mapping[str, Features]) -> Tensor:
        return self.image_net(features["image"].pooled).tanh()

    def hash_text(self, features: Features) -> Tensor:
        return self.text_net(features.pooled).tanh()


class Toy(Algorithm):
    """Alternates between the two hash functions, then sets B in closed form."""

    net: ToyNet

    def __init__(self, net: ToyNet, count: int, classes: int) -> None:
        super().__init__()
        self.net = net
        self.judge = nn.Linear(net.bits, 1)
        self.bank = CodeBank(count, net.bits, classes)
        self.seen: Tensor
        self.register_buffer("seen", torch.zeros(net.text.dim))  # as BatchNorm's mean
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
                "image",
                [
                    Update(
                        self.net.image_parameters(),
                        self.image_loss,
                        {"fit": 0.5},
                        after=self.bank.keep,
                    )
                ],
            ),
            BatchPhase(
                "text",
                [
                    Update(
                        self.net.text_parameters(),
                        self.text_loss,
                        name="text",
                        after=self.bank.keep,
                    ),
                    Update(self.judge.parameters(), self.judge_loss, name="judge"),
                ],
            ),
            SolvePhase("codes", self.solve),
        ]

    def image_loss(self, batch: Batch) -> Terms:
        self.modes.append(("image", self.training))
        F = self.net.hash_image(self.net.image_features(batch.images))
        batch.shared["F"] = F.detach()
        S = label_similarity(batch.labels, self.bank.labels)
        return {
            "nll": pairwise_nll(F, self.bank.G, S),
            "fit": quantization(self.bank.B[batch.index], F),
        }

    def text_loss(self, batch: Batch) -> Terms:
        self.seen.lerp_(batch.texts.pooled.mean(dim=0), 0.1)
        G = self.net.hash_text(self.net.text_features(batch.texts))
        batch.shared.update(G=G.detach(), generated=G.detach())
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


class EarlyToy(Toy):
    """Has three passes of the judge, then a solution for B, before the first epoch."""

    def __init__(self, net: ToyNet, count: int, classes: int) -> None:
        super().__init__(net, count, classes)
        self.order: list[str] = []

    def preliminary(self) -> list[Phase]:
        learn = Update(self.judge.parameters(), self.early_loss, learning_rate=0.1, optimizer="sgd")
        return [
            BatchPhase("judge", [learn], passes=3),
            SolvePhase("codes", self.early_solve, sees_data=True),
        ]

    def early_loss(self, batch: Batch) -> Terms:
        self.order.append("judge")
        with torch.no_grad():
            G = self.net.hash_text(self.net.text_features(batch.texts))
        real, generated = self.judge(self.bank.B[batch.index]), self.judge(G)
        return {"early": discriminator_loss(real[:, 0], generated[:, 0])}

    def early_solve(self, batches: Iterable[Batch]) -> Mapping[str, float]:
        self.order.append("codes")
        self.modes.append(("solve", self.training or torch.is_grad_enabled()))
        for batch in batches:
            self.bank.store(batch.index, **self.net.codes(batch))
        return self.solve()

    def image_loss(self, batch: Batch) -> Terms:
        self.order.append("image")
        return super().image_loss(batch)


class KilledToy(EarlyToy):
    """Kills its own process in the middle of a pass over the texts, or of the judge's first."""

    last = early_last = 0

    def early_loss(self, batch: Batch) -> Terms:
        self.early_last -= 1
        if not self.early_last:
            os.kill(os.getpid(), signal.SIGKILL)
        return super().early_loss(batch)

    def text_loss(self, batch: Batch) -> Terms:
        self.last -= 1
        if not self.last:
            os.kill(os.getpid(), signal.SIGKILL)
        return super().text_loss(batch)


def make(
    *,
    count: int = 31,
    bits: int = 8,
    dropout: float = 0.2,
    seed: int = 0,
    kind: type[Toy] = Toy,
    standardize: Sequence[str] = (),
) -> tuple[Toy, Pairs]:
    torch.manual_seed(seed)
    pairs = Pairs(count)
    net = ToyNet(bits=bits, dropout=dropout, standardize=standardize)
    return kind(net, count, 3), pairs


def agreement(net: ToyNet) -> dict[str, float]:
    """A figure for validation: how far the codes of the two modalities agree."""
    pairs = Pairs(12)
    F, G = net({"image": pairs.image}, Features(pairs.text))
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
    parser.add_argument("--kill-at-early-step", type=int, default=0)
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
    algorithm.early_last = arguments.kill_at_early_step
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
