"""Fixtures of the whole suite."""

from __future__ import annotations

import functools
import io
import json
import os
import subprocess
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

if "PYTEST_XDIST_WORKER" in os.environ:
    # Read when torch is imported: workers that share the cores must not each use all of them.
    os.environ.setdefault("OMP_NUM_THREADS", "1")


# Trainings of tests draw no page unless they ask for one: it takes longer than most of them.
os.environ.setdefault("CROSSHASH_PAGE", "0")

# Their tests mostly wait, for servers, a cluster, and processes that are killed.
_WAITING = (
    "encoding/test_cluster.py",
    "search/test_milvus.py",
    "encoding/test_kill.py",
    "training/test_processes.py",
    "torture/test_kills.py",
)
_CACHE = pytest.StashKey[tempfile.TemporaryDirectory[str]]()


def pytest_configure(config: pytest.Config) -> None:
    """Keep features of tests out of the user's cache; worker processes inherit the folder."""
    if hasattr(config.option, "loadscopereorder"):  # of pytest-xdist: the order is made below
        config.option.loadscopereorder = False
    if "CROSSHASH_CACHE" not in os.environ:
        config.stash[_CACHE] = tempfile.TemporaryDirectory(prefix="crosshash-tests-")
        os.environ["CROSSHASH_CACHE"] = config.stash[_CACHE].name


def pytest_xdist_auto_num_workers() -> int:
    """One more than there are cores, as servers and killed processes are waited for."""
    return (os.cpu_count() or 1) + 1


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with files that mostly wait, then those of many tests, so that none is left at last."""
    counts = Counter(item.path for item in items)
    waits = {path: path.as_posix().endswith(_WAITING) for path in counts}
    items.sort(key=lambda item: (not waits[item.path], -counts[item.path]))


def pytest_unconfigure(config: pytest.Config) -> None:
    """Remove that folder at the end."""
    if _CACHE in config.stash:
        del os.environ["CROSSHASH_CACHE"]
        config.stash[_CACHE].cleanup()


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder with flickr8k, wiki, coco-mini and label-sets; skips where it is absent."""
    beside = Path(__file__).resolve().parents[2] / "shared" / "data"
    folder = Path(os.environ.get("CROSSHASH_DATA", beside))
    if not (folder / "flickr8k").is_dir():
        pytest.skip(f"needs the data folder: set CROSSHASH_DATA (looked at {folder})")
    return folder


class _MatlabReader:
    """What stands in for the process that reads a MATLAB file: it answers at once, here."""

    def __init__(self, command: list[str], **pipes: Any) -> None:
        self.stdin, self.stdout = self, io.BytesIO()

    def __enter__(self) -> None:
        """Its input is open. No ``io`` class, as those close themselves once more when they end."""

    def __exit__(self, *error: object) -> None:
        """Its input is closed."""

    def write(self, request: bytes) -> None:
        """Answer the request, which comes as one piece."""
        from crosshash import matlab

        matlab._respond(json.loads(request), self.stdout)
        self.stdout.seek(0)

    def kill(self) -> None:
        """It has answered."""

    def wait(self) -> int:
        """Its status."""
        return 0


@pytest.fixture
def matlab_here(monkeypatch: pytest.MonkeyPatch) -> None:
    """MATLAB files are read in this process: it takes a second to start one for each.

    ``tests/ground/test_matlab.py`` has what that process is for.
    """
    from crosshash import matlab

    reading = SimpleNamespace(Popen=_MatlabReader, PIPE=subprocess.PIPE)
    monkeypatch.setattr(matlab, "subprocess", reading)
    monkeypatch.setattr(matlab, "_limit_memory", lambda size: None)


@pytest.fixture(scope="session")
def onnxruntime() -> Iterator[Any]:
    """The module, with what exports to ONNX; torch lists its translations once, not per export."""
    for name in ("onnx", "onnxscript"):
        pytest.importorskip(name, reason="needs the extra onnx")
    runtime = pytest.importorskip("onnxruntime", reason="needs the extra onnx")
    with pytest.MonkeyPatch.context() as patch:
        # Some thousand functions are parsed for the list, which takes longer than a small export.
        from torch.onnx._internal.exporter._registration import ONNXRegistry

        listed = functools.cache(ONNXRegistry.from_torchlib)
        patch.setattr(ONNXRegistry, "from_torchlib", staticmethod(listed))
        yield runtime


MARKS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"]
WORDS = ["a", "dog", "runs", "on", "the", "beach", "girl"]  # after the marks
WORDS += ["red", "blue", "circle", "square", "large", "small", "and", "grass"]


def save_tokenizer(path: Path, **options: Any) -> None:
    """A tokenizer of a few words, [CLS] before and [SEP] behind, as it would lie in a folder."""
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    numbers = {word: number for number, word in enumerate([*MARKS, *WORDS])}
    tokenizer = Tokenizer(models.WordLevel(numbers, "[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    marks = {"pad": "[PAD]", "unk": "[UNK]", "cls": "[CLS]", "sep": "[SEP]"}
    given = {f"{key}_token": mark for key, mark in marks.items()}
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, **{**given, **options}).save_pretrained(
        path
    )


@pytest.fixture
def language_model(tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    """A tiny BERT as it would lie in a folder: config, tokenizer, safetensors.

    Of two layers, or as many as a test says by ``indirect=True``.
    """
    import torch
    from transformers import BertConfig, BertModel

    path = tmp_path / "tiny"
    save_tokenizer(path)
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=len(MARKS) + len(WORDS),
        hidden_size=16,
        num_hidden_layers=getattr(request, "param", 2),
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=32,
    )
    BertModel(config).save_pretrained(path)
    return path


SMALL = {
    "hidden_size": 16,
    "num_hidden_layers": 3,
    "num_attention_heads": 2,
    "intermediate_size": 32,
}
PICTURE = {**SMALL, "image_size": 32, "patch_size": 8}
TEXT = {
    **SMALL,
    "vocab_size": len(MARKS) + len(WORDS),
    "max_position_embeddings": 16,
    "pad_token_id": 0,
}


def _dual_model(kind: str, layers: int) -> tuple[Any, Any, dict[str, Any]]:
    """A tiny model, its image processor, and options of its tokenizer."""
    import transformers as t

    picture = {**PICTURE, "num_hidden_layers": layers}
    text = {**TEXT, "num_hidden_layers": layers}
    ends = {"bos_token": "[CLS]", "eos_token": "[SEP]", "model_max_length": 16}
    crop = {"size": {"shortest_edge": 32}, "crop_size": {"height": 32, "width": 32}}
    square = {"size": {"height": 32, "width": 32}}
    clip_text = {**text, "bos_token_id": 2, "eos_token_id": 3}
    if kind == "clip":
        config: Any = t.CLIPConfig(text_config=clip_text, vision_config=picture, projection_dim=12)
        return t.CLIPModel(config), t.CLIPImageProcessor(**crop), {**ends, "pad_token": "[SEP]"}
    if kind == "siglip":
        config = t.SiglipConfig(text_config={**text, "projection_size": 16}, vision_config=picture)
        # As google/siglip-base-patch16-224 has it: no mask.
        options = {**ends, "pad_token": "[SEP]", "model_input_names": ["input_ids"]}
        return t.SiglipModel(config), t.SiglipImageProcessor(**square), options
    if kind == "vision-text-dual-encoder":
        config = t.VisionTextDualEncoderConfig.from_vision_text_configs(
            t.ViTConfig(**picture), t.BertConfig(**text), projection_dim=12
        )
        return t.VisionTextDualEncoderModel(config), t.ViTImageProcessor(**square), {}
    if kind == "chinese_clip":
        config = t.ChineseCLIPConfig(text_config={**text}, vision_config=picture, projection_dim=12)
        return (
            t.ChineseCLIPModel(config),
            t.ChineseCLIPImageProcessor(**square, do_center_crop=False),
            {},
        )
    assert kind == "altclip"
    config = t.AltCLIPConfig(
        text_config={**text, "project_dim": 16, "max_position_embeddings": 20},
        vision_config=picture,
        projection_dim=12,
    )
    return t.AltCLIPModel(config), t.CLIPImageProcessor(**crop), {"model_max_length": 16}


@pytest.fixture
def dual_encoder(tmp_path: Path) -> Callable[..., Path]:
    """Makes a tiny dual encoder of a kind as it would lie in a folder.

    Kinds are "clip", "siglip", "vision-text-dual-encoder", "chinese_clip" and "altclip".
    """

    def make(kind: str = "clip", layers: int = 3) -> Path:
        import torch

        path = tmp_path / f"tiny-{kind}"
        torch.manual_seed(0)
        model, processor, options = _dual_model(kind, layers)
        with torch.no_grad():
            for parameter in model.parameters():  # so that no bias or scale is an idle one
                parameter.add_(0.05 * torch.randn_like(parameter))
        model.save_pretrained(path)
        processor.save_pretrained(path)
        save_tokenizer(path, **options)
        return path

    return make
