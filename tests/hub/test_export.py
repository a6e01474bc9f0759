"""Exported encoders give the model's own codes, for batches of any size."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

import crosshash
from crosshash.codes import hamming, pack
from crosshash.hub.export import ExportError, export_onnx, export_program
from crosshash.methods.build import METHODS
from crosshash.model.hash_model import HashModel

TEXTS = ["a red circle", "a blue square on grass", "two red squares", "grass"]
SMALL = {"name": "test_resnet", "weights": "random", "image_size": 32}
VIT = {**SMALL, "name": "test_vit", "model_options": {"depth": 1}}
# An export takes as long as there are nodes, and of layers that are alike one is as good as many.
NARROW: dict[str, dict[str, Any]] = {"amgfh": {"kernels": [1, 3]}, "mith": {"layers": 1, "dim": 64}}
# One method of each network: what is exported knows nothing of how it was trained.
NETWORKS = sorted({METHODS[name].Network: name for name in METHODS.names()}.values())
DOCS = Path(__file__).parents[2] / "docs" / "export.md"


def make(method: str, backbones: Any = None, **options: Any) -> HashModel:
    """A model whose codes are spread out and whose BatchNorm statistics are not the first ones."""
    torch.manual_seed(0)
    backbones = backbones or {"name": "features", "dim": 20}
    model = crosshash.create(method, bits=16, backbones=backbones, texts=TEXTS, **options)
    for part in model.modules():
        if isinstance(part, (torch.nn.BatchNorm1d, torch.nn.BatchNorm2d)):
            part.running_mean.normal_(0, 0.1)  # type: ignore[union-attr]
            part.running_var.uniform_(0.5, 1.5)  # type: ignore[union-attr]
    return model.eval()


def image_rows(model: HashModel, count: int) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(count)
    return {
        slot: rng.normal(
            size=(count, 3, 32, 32)
            if model.backbone(slot).reads_pixels
            else (count, model.backbone(slot).dim)
        ).astype(np.float32)
        for slot in model.slots
    }


def assert_same(
    model: HashModel, run: Callable[[str, dict[str, np.ndarray]], Any], parts: Sequence[str]
) -> None:
    for part in parts:
        for count in (1, 3, 4):
            texts = TEXTS[:count]
            if part == "image":
                rows = image_rows(model, count)
                real = model.encode_image(rows, output="real", progress=False)
            else:
                rows = {name: value.numpy() for name, value in model.text.prepare(texts).items()}
                real = model.encode_text(texts, output="real")
            codes, packed = run(part, rows)
            assert codes.shape == real.shape == (count, 16)
            np.testing.assert_allclose(codes, real, atol=1e-4, rtol=1e-4)
            np.testing.assert_array_equal(packed, pack(codes))
        assert np.ptp(real, axis=0).max() > 1e-3  # else any constant would do


def runner(onnxruntime: Any, folder: Path) -> Callable[[str, dict[str, np.ndarray]], Any]:
    sessions = {
        part: onnxruntime.InferenceSession(str(folder / f"{part}.onnx"))
        for part in ("image", "text")
    }
    return lambda part, rows: sessions[part].run(["codes", "packed"], rows)


@pytest.mark.parametrize("method", ["lpdh", "mdffh"])
def test_programs_give_the_codes(method: str) -> None:  # ONNX of every network is made of them
    model = make(method)
    programs = {part: export_program(model, part).module() for part in ("image", "text")}

    def run(part: str, rows: dict[str, np.ndarray]) -> Any:
        outputs = programs[part]({name: torch.from_numpy(value) for name, value in rows.items()})
        return [output.numpy() for output in outputs]

    assert_same(model, run, ("image", "text"))


@pytest.mark.parametrize("method", NETWORKS)
def test_onnx_of_every_network(method: str, onnxruntime: Any, tmp_path: Path) -> None:
    model = make(method, standardize=["image", "text"], **NARROW.get(method, {}))
    interface = export_onnx(model, tmp_path / "out")
    assert json.loads((tmp_path / "out" / "export.json").read_text()) == interface
    assert (interface["method"], interface["bits"]) == (method, 16)
    for slot in model.slots:
        about = interface["image"]["inputs"][slot]
        assert about == {"dtype": "float32", "shape": ["n", 20], "preprocess": None}
    width = model.text.dim
    assert interface["text"]["inputs"] == {"bow": {"dtype": "uint8", "shape": ["n", width]}}
    assert interface["text"]["files"] == ["vocabulary.json"]
    assert_same(model, runner(onnxruntime, tmp_path / "out"), ("image", "text"))


def test_onnx_of_a_cnn_and_a_transformer_from_pixels(onnxruntime: Any, tmp_path: Path) -> None:
    model = make("mdffh", {"cnn": SMALL, "vit": VIT})
    export_onnx(model, tmp_path / "out")
    assert_same(model, runner(onnxruntime, tmp_path / "out"), ["image"])


def test_attention_on_the_map_and_the_documented_way_to_run_it(
    onnxruntime: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = make("hfah", SMALL)
    assert model.on_map
    export_onnx(model, tmp_path / "exported")
    assert_same(model, runner(onnxruntime, tmp_path / "exported"), ["image"])
    noise = np.random.default_rng(0).integers(0, 256, (50, 70, 3), dtype=np.uint8)
    Image.fromarray(noise).save(tmp_path / "photo.png")
    code = re.findall(r"```python\n(.*?)```", DOCS.read_text(encoding="utf-8"), re.DOTALL)[0]
    found: dict[str, Any] = {}
    monkeypatch.chdir(tmp_path)
    exec(code.replace("photo.jpg", "photo.png"), found)
    own = model.backbone("image").preprocess(Image.open("photo.png").convert("RGB"))  # type: ignore[misc]
    np.testing.assert_allclose(found["pixels"][0], own.numpy(), atol=1e-5)
    image = model.encode_image("photo.png", progress=False)
    np.testing.assert_array_equal(found["image_packed"], image)
    text = model.encode_text("a red circle")
    np.testing.assert_array_equal(found["text_packed"], text)
    assert found["distance"] == hamming(image, text)[0, 0]


@pytest.mark.parametrize("kind", ["clip", pytest.param("siglip", marks=pytest.mark.torture)])
def test_onnx_of_both_halves_of_a_dual_encoder(
    kind: str, dual_encoder: Callable[..., Path], onnxruntime: Any, tmp_path: Path
) -> None:
    name = f"clip:{dual_encoder(kind, layers=1)}"
    model = make("lpdh", name, text=name)
    interface = export_onnx(model, tmp_path / "out")
    inputs = interface["text"]["inputs"]
    assert list(inputs) == ["input_ids"] + ["attention_mask"] * (kind == "clip")
    assert (tmp_path / "out" / "text_encoder" / "tokenizer.json").is_file()
    assert_same(model, runner(onnxruntime, tmp_path / "out"), ["image", "text"])


def test_onnx_of_a_table_of_token_vectors(
    language_model: Path, onnxruntime: Any, tmp_path: Path
) -> None:
    folder = tmp_path / "table"
    folder.mkdir()
    (folder / "tokenizer.json").write_text((language_model / "tokenizer.json").read_text())
    (folder / "config.json").write_text(json.dumps({"normalize": True}))
    save_file({"embeddings": torch.randn(19, 6)}, folder / "model.safetensors")
    model = make("dsph", text=f"static:{folder}")
    export_onnx(model, tmp_path / "out")
    assert_same(model, runner(onnxruntime, tmp_path / "out"), ["text"])


@pytest.mark.parametrize("language_model", [1], indirect=True)
def test_onnx_of_tokens_takes_any_length(
    language_model: Path, onnxruntime: Any, tmp_path: Path
) -> None:
    text = f"hf:{language_model}"
    # Codes that tokens have a part in.
    model = make("mith", VIT, text=text, mix=0.5, **NARROW["mith"])
    interface = export_onnx(model, tmp_path / "out")
    shape = {"dtype": "int64", "shape": ["n", "length"]}
    assert interface["text"]["inputs"] == {"input_ids": shape, "attention_mask": shape}
    assert "text_encoder/tokenizer.json" in interface["text"]["files"]
    assert (tmp_path / "out" / "text_encoder" / "tokenizer.json").is_file()
    run = runner(onnxruntime, tmp_path / "out")
    assert_same(model, run, ["image", "text"])
    together = model.encode_text(TEXTS, output="real")
    for places in ([0], [3], [1, 3], [0, 1, 2, 3]):
        prepared = model.text.prepare([TEXTS[place] for place in places])
        codes, _ = run("text", {name: value.numpy() for name, value in prepared.items()})
        np.testing.assert_allclose(codes, together[places], atol=1e-4)


def test_the_model_stays_as_it_is_and_a_program_holds_its_own_side_only(tmp_path: Path) -> None:
    model = make("amgfh", hidden=[400, 400], dim=40).half().train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    program = export_program(model, "image")
    assert model.training
    for name, value in model.state_dict().items():
        assert value.dtype == before[name].dtype
        assert torch.equal(value, before[name])
    codes, packed = program.module()({"image": torch.randn(5, 20)})
    assert (codes.dtype, packed.dtype) == (torch.float32, torch.uint8)
    torch.export.save(program, tmp_path / "image.pt2")
    own = sum(p.numel() for p in model.image_encoder.parameters())
    assert (tmp_path / "image.pt2").stat().st_size < 1.5 * 4 * own
    again = torch.export.load(tmp_path / "image.pt2").module()
    rows = torch.randn(3, 20)
    assert torch.equal(again({"image": rows})[0], program.module()({"image": rows})[0])


def test_a_wrong_part_is_refused(model: HashModel) -> None:
    with pytest.raises(ValueError, match="no part 'sound' to export: use 'image' or 'text'"):
        export_program(model, "sound")  # type: ignore[arg-type]


def test_a_missing_extra_names_its_install_line(
    model: HashModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("onnx", "onnxruntime", "onnxscript"):
        with monkeypatch.context() as patch:
            for other in ("onnx", "onnxruntime", "onnxscript"):
                patch.setitem(sys.modules, other, None if other == name else pytest)
            with pytest.raises(ModuleNotFoundError, match=rf"{name}: pip install 'crosshash\[onnx"):
                export_onnx(model, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_folder_of_other_things_is_kept(
    model: HashModel, onnxruntime: Any, tmp_path: Path
) -> None:
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "cat.txt").write_text("cat")
    with pytest.raises(
        FileExistsError, match=r"holds other files .*choose a new folder for an export"
    ):
        export_onnx(model, tmp_path / "photos")
    assert [file.name for file in (tmp_path / "photos").iterdir()] == ["cat.txt"]


def test_other_codes_of_the_runtime_stop_the_export_and_an_earlier_one_stays(
    onnxruntime: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = make("dmsfh")

    class Wrong:
        def __init__(self, path: str, providers: list[str]) -> None:
            self.session = session(path, providers=providers)

        def run(self, names: list[str], feeds: dict[str, np.ndarray]) -> list[np.ndarray]:
            return [value + 0.01 * (len(value) == 3) for value in self.session.run(names, feeds)]

    session = onnxruntime.InferenceSession
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "export.json").write_text("earlier")
    monkeypatch.setattr(onnxruntime, "InferenceSession", Wrong)
    with pytest.raises(ExportError, match=r"image.onnx gives other codes .* 3 items.*0\.01 apart"):
        export_onnx(model, tmp_path / "out")
    assert [file.name for file in tmp_path.iterdir()] == ["out"]
    assert (tmp_path / "out" / "export.json").read_text() == "earlier"
