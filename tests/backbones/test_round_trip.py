"""Encoders of one's own that a checkpoint could not bring back are refused before training."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from crosshash.backbones import (
    IMAGE_BACKBONES,
    TEXT_ENCODERS,
    Features,
    ImageBackbone,
    TextEncoder,
    create_image_backbone,
)
from crosshash.backbones.round_trip import RoundTripError, check_round_trip
from crosshash.config import parse_config
from crosshash.data import load_dataset
from crosshash.experiment.assembly import build
from crosshash.experiment.run import train
from crosshash.images import ImageArrays

PICTURES = ImageArrays(np.random.default_rng(0).integers(0, 256, (3, 16, 16, 3), dtype=np.uint8))
TEXTS = ["a red dot", "a blue dot", "none"]


class Pixels(ImageBackbone):
    """A faithful backbone, from which the unfaithful ones below differ in one thing."""

    name = "own_pixels"
    reads_pixels = True

    def __init__(self, *, width: int = 8, gain: float = 1.0) -> None:
        super().__init__()
        self.width, self.gain = width, gain
        self.dim, self.channels = width, width
        self.layer = nn.Conv2d(3, width, 4, stride=4)
        self.norm = nn.BatchNorm2d(width)

    def preprocess(self, picture: Any) -> Tensor:  # type: ignore[override]
        return torch.from_numpy(np.array(picture, dtype=np.float32) / 255).permute(2, 0, 1)

    def forward(self, x: Tensor) -> Features:
        features = self.norm(self.layer(self.gain * x))
        return Features(features.mean(dim=(2, 3)), features)

    def spec(self) -> dict[str, Any]:
        return {"name": self.name, "width": self.width, "gain": self.gain}


class Words(TextEncoder):
    """A faithful encoder that keeps what it learns in a file."""

    name = "own_words"

    def __init__(self, *, lower: bool = True, assets: str | Path | None = None) -> None:
        super().__init__()
        self.lower = lower
        self.words: list[str] = []
        if assets is not None:
            self.words = json.loads((Path(assets) / "vocabulary.json").read_text())

    @property
    def dim(self) -> int:
        return len(self.words)

    @property
    def fitted(self) -> bool:
        return bool(self.words)

    def fit(self, texts: Any) -> Words:
        self.words = sorted({word for text in texts for word in text.split()})
        return self

    def prepare(self, texts: Any, *, unknown: str = "raise") -> dict[str, Tensor]:
        split = [text.lower().split() if self.lower else text.split() for text in texts]
        return {"words": torch.tensor([[word in row for word in self.words] for row in split])}

    def forward(self, inputs: dict[str, Tensor]) -> Features:
        return Features(inputs["words"].float())

    def spec(self) -> dict[str, Any]:
        return {"name": self.name, "lower": self.lower}

    def save_assets(self, folder: str | Path) -> list[Path]:
        path = Path(folder) / "vocabulary.json"
        path.write_text(json.dumps(self.words))
        return [path]


@pytest.fixture
def registered() -> Iterator[Callable[[type], Any]]:
    """Register a class under its name for the length of a test."""
    taken = []

    def register(kind: type) -> Any:
        registry: Any = IMAGE_BACKBONES if issubclass(kind, ImageBackbone) else TEXT_ENCODERS
        registry.register(kind.name)(kind)  # type: ignore[attr-defined]
        taken.append((registry, kind.name))  # type: ignore[attr-defined]
        return kind

    yield register
    for registry, name in taken:
        del registry._entries[name]


def test_faithful_encoders_pass_and_draw_no_random_number(registered: Any) -> None:
    registered(Pixels)
    registered(Words)
    state = torch.get_rng_state()
    backbone = Pixels(width=4, gain=2.0).train()
    torch.set_rng_state(state)
    check_round_trip(backbone, PICTURES)
    check_round_trip(Words(lower=False).fit(TEXTS), TEXTS)
    assert torch.equal(torch.get_rng_state(), state)
    assert backbone.training
    assert int(backbone.norm.num_batches_tracked) == 0


class ForgetsAnOption(Pixels):
    def spec(self) -> dict[str, Any]:
        return {"name": self.name}


class ForgetsHowToRead(Pixels):
    def __init__(self, *, size: int = 16) -> None:
        super().__init__()
        self.size = size

    def preprocess(self, picture: Any) -> Tensor:  # type: ignore[override]
        return super().preprocess(picture.resize((self.size, self.size)))

    def spec(self) -> dict[str, Any]:
        return {"name": self.name}


class IsNoJson(Pixels):
    def spec(self) -> dict[str, Any]:
        return {"name": self.name, "width": torch.tensor(8)}


class HasNoName(Pixels):
    def spec(self) -> dict[str, Any]:
        return {"width": self.width}


class IsAnother(Pixels):
    def spec(self) -> dict[str, Any]:
        return {"name": "own_other"}


class SaysAnotherOption(Pixels):
    def spec(self) -> dict[str, Any]:
        return {"name": self.name, "breadth": self.width}


class IsNarrowerThanItSays(Pixels):
    def forward(self, x: Tensor) -> Features:
        features = super().forward(x)
        return Features(features.pooled[:, :5], features.map)


class HasNotTheMapItSays(Pixels):
    def forward(self, x: Tensor) -> Features:
        return Features(super().forward(x).pooled)


@pytest.mark.parametrize(
    ("kind", "options", "message"),
    [
        (ForgetsAnOption, {"gain": 3.0}, r"another features \(pooled: up to .* every option"),
        (ForgetsAnOption, {"width": 4}, r"(?s)other weights.*layer\.weight"),
        (ForgetsHowToRead, {"size": 8}, r"another prepared input \(pixels: of another shape"),
        (IsNoJson, {}, "kept as JSON, which cannot hold"),
        (HasNoName, {}, "the name under which it is registered"),
        (IsAnother, {}, "does not build it again: unknown image backbone 'own_other'"),
        (SaysAnotherOption, {}, "does not build it again: (?s:.*)breadth: unknown key"),
        (IsNarrowerThanItSays, {}, r"expected pooled features of shape \(3, 8\).*got \(3, 5\)"),
        (HasNotTheMapItSays, {}, "expected a map of channels=8 channels .*got 0"),
    ],
)
def test_a_backbone_that_comes_back_as_another_is_refused(
    registered: Any, kind: type[Pixels], options: dict[str, Any], message: str
) -> None:
    registered(kind)
    with pytest.raises(RoundTripError, match=message) as caught:
        check_round_trip(kind(**options), PICTURES)
    assert kind.__name__ in str(caught.value)


class KeepsNothing(Words):
    def save_assets(self, folder: str | Path) -> list[Path]:
        return []

    def __init__(self, *, lower: bool = True) -> None:
        super().__init__(lower=lower)


class KeepsWhatIsLost(Words):
    def save_assets(self, folder: str | Path) -> list[Path]:
        path = Path(folder) / "words.pkl"
        path.write_bytes(b"")
        return [path]


class HasNotTheTokensItSays(Words):
    channels = 3


class ForgetsItsCase(Words):
    def spec(self) -> dict[str, Any]:
        return {"name": self.name}


@pytest.mark.parametrize(
    ("kind", "options", "message"),
    [
        (KeepsNothing, {}, "not fitted; write what"),
        (KeepsWhatIsLost, {}, r"\['words\.pkl'\], which a checkpoint does not keep"),
        (ForgetsItsCase, {"lower": False}, r"another prepared input \(words: up to 1 apart"),
        (HasNotTheTokensItSays, {}, "expected a map of channels=3 channels .*got 0"),
    ],
)
def test_a_text_encoder_that_comes_back_as_another_is_refused(
    registered: Any, kind: type[Words], options: dict[str, Any], message: str
) -> None:
    registered(kind)
    texts = ["a Red dot", "a blue dot"]
    with pytest.raises(RoundTripError, match=message):
        check_round_trip(kind(**options).fit(["a red dot", "a Red dot", "blue"]), texts)


def test_what_comes_with_the_package_passes_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    backbone = create_image_backbone("test_resnet", weights="random", image_size=32)
    monkeypatch.setattr(type(backbone), "spec", lambda self: pytest.fail("it was built again"))
    check_round_trip(backbone, PICTURES)


CONFIG = {
    "method": "amgfh",
    "bits": 16,
    "backbones": {"image": {"name": "own_pixels", "frozen": False, "options": {"gain": 3.0}}},
    "data": {"name": "shapes", "options": {"n": 20}},
}


def test_training_refuses_it_before_the_first_epoch(registered: Any, tmp_path: Path) -> None:
    registered(ForgetsAnOption)
    with pytest.raises(RoundTripError, match="ForgetsAnOption"):
        train(parse_config(CONFIG), tmp_path / "run", progress=False)
    assert not list((tmp_path / "run").glob("*"))


def test_training_refuses_options_that_a_checkpoint_may_not_have(registered: Any) -> None:
    class ReadsAFile(Pixels):
        def __init__(self, *, gain: float = 1.0, table: str = "/tmp/table.txt") -> None:
            super().__init__(gain=gain)

        def spec(self) -> dict[str, Any]:
            return {"name": self.name, "gain": self.gain, "table": "/tmp/table.txt"}

    registered(ReadsAFile)
    dataset, protocol = load_dataset("shapes", n=20)
    with pytest.raises(ValueError, match=r"backbones\.image\.table may not be a path"):
        build(parse_config(CONFIG), dataset, protocol.train)
