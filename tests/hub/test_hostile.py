"""Checkpoints that were made to do harm: refused before they are built, with what is wrong."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

import crosshash
from crosshash.hub.checkpoint import read_checkpoint
from crosshash.hub.contained import contained, safe_name
from crosshash.hub.errors import CheckpointError
from crosshash.hub.limits import AllocationLimit, read_header
from crosshash.hub.publish import publish
from crosshash.model.hash_model import HashModel
from crosshash.retrieval.calibrating import learn
from crosshash.retrieval.calibration import calibration_of
from crosshash.untrusted import JSON_BYTES

WEIGHTS = "model.safetensors"


def edit(folder: Path, change: Callable[[dict[str, Any]], None]) -> None:
    config = json.loads((folder / "config.json").read_text())
    change(config)
    (folder / "config.json").write_text(json.dumps(config))


def with_header(path: Path, header: bytes, length: int | None = None, data: bytes = b"") -> None:
    path.write_bytes(struct.pack("<Q", len(header) if length is None else length) + header + data)


@pytest.mark.parametrize(
    "name",
    ["../secret", "a/../../secret", "/etc/passwd", "C:\\secret", "..\\secret", "a//b", "./a", "",
     "a\0b", "\\\\server\\share", "C:secret"],
)  # fmt: skip
def test_a_name_that_leaves_the_folder_is_refused(name: str) -> None:
    with pytest.raises(CheckpointError, match="no name of a file"):
        safe_name(name)


@pytest.mark.parametrize("name", ["config.json", "text_encoder/vocab.txt", "..data", "a.b-c_d"])
def test_an_ordinary_name_is_allowed(name: str) -> None:
    assert safe_name(name) == name


@pytest.mark.parametrize("name", ["config.json", "vocabulary.json", WEIGHTS])
def test_a_link_out_of_the_folder_is_refused(folder: Path, tmp_path: Path, name: str) -> None:
    outside = tmp_path / "outside"
    (folder / name).rename(outside)
    (folder / name).symlink_to(outside)
    with pytest.raises(CheckpointError, match="outside of the checkpoint"):
        read_checkpoint(folder)


def test_a_link_is_not_published(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("{}")
    (folder / "golden.json").symlink_to(tmp_path / "secret")
    with pytest.raises(CheckpointError, match="outside of the checkpoint"):
        publish(folder, "org/name", dry_run=True)


def test_a_folder_that_is_a_link_out_is_refused(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "tokenizer.json").write_text("{}")
    (folder / "text_encoder").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(CheckpointError, match="outside of the checkpoint"):
        read_checkpoint(folder)


def test_links_inside_the_folder_are_followed(folder: Path) -> None:
    (folder / "config.json").rename(folder / "real.json")
    (folder / "config.json").symlink_to("real.json")
    assert read_checkpoint(folder).bits == 16
    (folder.parent / "link").symlink_to(folder)
    assert read_checkpoint(folder.parent / "link").bits == 16


def test_links_of_the_hubs_cache_are_followed_and_no_others(folder: Path, tmp_path: Path) -> None:
    repository = tmp_path / "models--org--name"
    (repository / "blobs").mkdir(parents=True)
    snapshot = repository / "snapshots" / ("0" * 40)
    snapshot.mkdir(parents=True)
    for path in folder.iterdir():
        (repository / "blobs" / f"{path.name}-blob").write_bytes(path.read_bytes())
        (snapshot / path.name).symlink_to(f"../../blobs/{path.name}-blob")
    assert read_checkpoint(snapshot).bits == 16
    (tmp_path / "secret").write_text("{}")
    (snapshot / "golden.json").symlink_to("../../../secret")
    with pytest.raises(CheckpointError, match="outside of the checkpoint"):
        contained(snapshot, "golden.json")


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("vocabulary", "/etc/passwd"),
        ("assets", "/etc"),
        ("weights", "pretrained"),
        ("trust_remote_code", True),
    ],
)
def test_a_text_encoder_reads_no_other_files(folder: Path, key: str, value: Any) -> None:
    edit(folder, lambda config: config["text"].update({key: value}))
    with pytest.raises(CheckpointError, match=rf"text\.{key} is not allowed"):
        read_checkpoint(folder)


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ({"model_options": {"checkpoint_path": "x.pth"}}, "checkpoint_path is not allowed"),
        ({"model_options": {"pretrained_cfg": {"file": "x.pth"}}}, "pretrained_cfg is not allowed"),
        ({"model_options": {"deep": [{"cache_dir": "x"}]}}, "cache_dir is not allowed"),
        ({"weights": "pretrained"}, "weights is not allowed"),
        ({"weights": "../stolen.safetensors"}, "weights is not allowed"),
        ({"name": "hf-hub:evil/model"}, "may not be a path or address"),
        ({"name": "local-dir:/tmp/evil"}, "may not be a path or address"),
        ({"model_options": {"norm_layer": "../x"}}, "may not be a path or address"),
    ],
)
def test_a_backbone_reads_no_other_files(folder: Path, spec: dict[str, Any], said: str) -> None:
    edit(folder, lambda config: config["backbones"].update(image={"name": "resnet18", **spec}))
    with pytest.raises(CheckpointError, match=said):
        read_checkpoint(folder)


@pytest.mark.parametrize(
    "change",
    [
        {"backbones": {"image": {"name": "features", "dim": 10**12}}},
        {"network": {"dim": 10**6, "hidden": [10**6], "width": 1}},
        {"network": {"dim": 16, "hidden": [4096] * 500, "width": 1}},
        {"bits": 8 * 10**9},
    ],
)
def test_a_config_that_asks_for_more_than_its_files_hold_takes_no_memory(
    folder: Path, change: dict[str, Any]
) -> None:
    edit(folder, lambda config: config.update(change))
    with pytest.raises(CheckpointError, match="more elements than its files hold"):
        read_checkpoint(folder)


@pytest.mark.parametrize(
    "make",
    [
        lambda: torch.zeros(40, 40),
        lambda: torch.empty((40, 40)),
        lambda: torch.full((40, 40), 1.0),
        lambda: torch.arange(1001),
        lambda: torch.nn.Linear(40, 40),
        lambda: torch.ones(2).repeat(40, 20),
        lambda: [torch.zeros(400) for _ in range(3)],
    ],
)
def test_the_limit_counts_what_is_made(make: Callable[[], object]) -> None:
    with pytest.raises(CheckpointError, match="more elements"), AllocationLimit(1000):
        make()
    with AllocationLimit(2000):
        make()


@pytest.mark.parametrize(
    "change",
    [
        {"bits": 7},
        {"bits": "16"},
        {"nested": [16]},
        {"nested": ["8"]},
        {"nested": {"8": {}}},
        {"nested": 8},
        {"method": "nothing"},
        {"backbones": []},
        {"backbones": {"image": {"name": "nothing-at-all"}}},
        {"network": {"dim": "wide"}},
        {"network": {"unknown": 1}},
        {"frozen": ["nothing"]},
        {"frozen": 3},
        {"text": {"name": "bow", "size": -1}},
        {"text": None},
        {"references": {"image": {"repository": "../x"}}},
        {"references": []},
    ],
)
def test_a_config_of_nonsense_is_refused(folder: Path, change: dict[str, Any]) -> None:
    edit(folder, lambda config: config.update(change))
    with pytest.raises(ValueError):  # noqa: PT011  (CheckpointError, or ConfigError with the keys)
        read_checkpoint(folder)


def test_json_of_any_depth_or_size_is_refused(folder: Path) -> None:
    config = folder / "config.json"
    config.write_text("[" * 200_000)
    with pytest.raises(CheckpointError, match="not valid JSON"):
        read_checkpoint(folder)
    config.write_text('{"bits": ' + "9" * 10_000 + "}")
    with pytest.raises(CheckpointError, match="not valid JSON"):
        read_checkpoint(folder)
    with config.open("wb") as file:
        file.truncate(JSON_BYTES + 1)  # a hole: takes no space
    with pytest.raises(CheckpointError, match="at most"):
        read_checkpoint(folder)


def test_a_vocabulary_that_is_too_large_is_refused(folder: Path) -> None:
    with (folder / "vocabulary.json").open("wb") as file:
        file.truncate(JSON_BYTES + 1)
    with pytest.raises(CheckpointError, match=r"vocabulary\.json.*at most"):
        read_checkpoint(folder)


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        ({"dtype": "F32", "shape": [10**9, 10**9], "data_offsets": [0, 4]}, "header"),
        ({"dtype": "F32", "shape": [-1], "data_offsets": [0, 4]}, "header"),
        ({"dtype": "F32", "shape": [1.0], "data_offsets": [0, 4]}, "header"),
        ({"dtype": "F32", "shape": [True], "data_offsets": [0, 4]}, "header"),
        ({"dtype": "F4", "shape": [1], "data_offsets": [0, 4]}, "header"),
        (
            {"dtype": "F32", "shape": [1], "data_offsets": [4, 8]},
            "header|cannot be read|unexpected",
        ),
        ({"dtype": "F32", "shape": [1]}, "header"),
        ([1, 2], "header"),
        ({"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}, "declares 8 bytes"),
    ],
)
def test_a_header_that_lies_is_refused(folder: Path, entry: Any, said: str) -> None:
    with_header(folder / WEIGHTS, json.dumps({"w": entry}).encode(), data=b"\0\0\0\0")
    with pytest.raises(CheckpointError, match=said):
        read_checkpoint(folder)


@pytest.mark.parametrize("length", [0, 1, 10**6, 2**63, 2**64 - 1])
def test_a_header_of_impossible_length_is_refused(folder: Path, length: int) -> None:
    with_header(folder / WEIGHTS, b"{}" * 50, length)
    with pytest.raises(CheckpointError, match="header"):
        read_checkpoint(folder)


@pytest.mark.parametrize("size", [0, 7, 8, 9, 100, -1])
def test_a_file_cut_anywhere_is_refused(folder: Path, size: int) -> None:
    path = folder / WEIGHTS
    path.write_bytes(path.read_bytes()[:size])
    with pytest.raises(CheckpointError, match=r"model\.safetensors"):
        read_checkpoint(folder)


def test_bytes_after_the_tensors_are_refused(folder: Path) -> None:
    with (folder / WEIGHTS).open("ab") as file:
        file.write(b"PK\x03\x04")
    with pytest.raises(CheckpointError, match="declares"):
        read_checkpoint(folder)


def test_a_pickle_in_its_place_is_refused(folder: Path) -> None:
    torch.save({"w": torch.zeros(3)}, folder / WEIGHTS)
    with pytest.raises(CheckpointError, match="header"):
        read_checkpoint(folder)


def test_whole_numbers_in_place_of_weights_are_refused(folder: Path) -> None:
    state = load_file(folder / WEIGHTS)
    state["text_head.linear.bias"] = state["text_head.linear.bias"].to(torch.int64)
    save_file(state, folder / WEIGHTS)
    with pytest.raises(CheckpointError, match=r"of another type: text_head\.linear\.bias"):
        read_checkpoint(folder)


def test_a_header_has_what_was_written(folder: Path) -> None:
    state = load_file(folder / WEIGHTS)
    header = read_header(folder / WEIGHTS)
    assert {name: (entry.dtype, entry.shape) for name, entry in header.items()} == {
        name: (value.dtype, tuple(value.shape)) for name, value in state.items()
    }


def test_a_config_with_a_key_twice_or_a_number_that_is_none_is_refused(folder: Path) -> None:
    config = folder / "config.json"
    whole = config.read_text()
    config.write_text(whole.replace("{", '{"bits": 32,', 1))
    with pytest.raises(CheckpointError, match=r"config\.json: .*the key 'bits' stands twice"):
        read_checkpoint(folder)
    config.write_text(whole)
    edit(folder, lambda config: config["network"].update(width=float("nan")))
    with pytest.raises(CheckpointError, match=r"network\.width is a finite number, got nan"):
        read_checkpoint(folder)
    config.write_text(whole)
    edit(folder, lambda config: config.update(network=nested(70)))
    with pytest.raises(CheckpointError, match=r"config\.json: .*nested deeper than 64"):
        read_checkpoint(folder)


def nested(depth: int) -> dict[str, Any]:
    value: dict[str, Any] = {}
    for _ in range(depth):
        value = {"a": value}
    return value


@pytest.mark.parametrize(
    "change",
    [
        {"experiment": []},
        {"experiment": {"data": "toy"}},
        {"experiment": {"data": {"name": "a b\ud800"}}},
        {"experiment": {"data": {"name": "toy", "root": "/caf\udce9"}}},
        {"experiment": {"seed": "three"}},
        {"experiment": {"paper": 5}},
        {"figures": [1]},
        {"figures": {"map_i2t": "high", "map_t2i": 1}},
        {"figures": {"map_i2t": 0.5}},
        {"figures": {"map_i2t": 2.0, "map_t2i": 2.0, "i2t": {"chance": 0}}},
        {"figures": {"map_i2t": 0.5, "map_t2i": 0.5, "i2t": {"chance": 0}, "record": 3}},
        {"figures": {"i2t": {}, "t2i": {}}},
        {"figures": {"i2t": 5}},
        {"figures": {"fit": {"rows": 3}}},
        {"label_names": "abc"},
        {"label_names": [1, 2]},
        {"label_names": ["a\ud800"]},
    ],
    ids=str,
)
def test_an_odd_info_is_told_before_anything_is_published(
    folder: Path, change: dict[str, Any]
) -> None:
    info = json.loads((folder / "info.json").read_text())
    (folder / "info.json").write_text(json.dumps({**info, **change}))
    with pytest.raises(CheckpointError, match=r"info\.json"):
        publish(folder, "org/name", dry_run=True)


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda found: found["tables"]["16"]["t2i"]["hamming"].pop(), "17|16 probabilities"),
        (lambda found: found["tables"]["16"]["t2i"]["hamming"].reverse(), "never rise"),
        (lambda found: found["tables"]["16"]["t2i"]["asymmetric"].update(starts=[]), "starts"),
        (lambda found: found["tables"].update({"16": 3}), "valid dictionary"),
        (lambda found: found.update(tables="\x80\x04."), "valid dictionary"),
        (lambda found: found.pop("relevance"), "Field required"),
    ],
)
def test_a_damaged_calibration_is_refused(
    model: HashModel, tmp_path: Path, damage: Callable[[dict[str, Any]], object], said: str
) -> None:
    values = np.random.default_rng(0).normal(size=(2, 30, 16))
    calibration = learn(*values)
    assert calibration is not None
    model.info.figures["calibration"] = calibration.as_dict()
    crosshash.save(model, tmp_path / "model")
    path = tmp_path / "model" / "info.json"
    info = json.loads(path.read_text())
    assert calibration_of(read_checkpoint(tmp_path / "model")) == calibration
    damage(info["figures"]["calibration"])
    path.write_text(json.dumps(info))
    with pytest.raises(CheckpointError, match=rf"info\.json: figures\.calibration\..*({said})"):
        read_checkpoint(tmp_path / "model", verify=False)
    with pytest.raises(CheckpointError, match=r"figures\.calibration\..*; save it anew"):
        read_checkpoint(tmp_path / "model")


def test_figures_that_are_nan_are_still_read(folder: Path) -> None:
    info = json.loads((folder / "info.json").read_text())
    info["figures"]["i2t"]["map"] = float("nan")  # no query has anything relevant
    (folder / "info.json").write_text(json.dumps(info))
    assert read_checkpoint(folder, verify=False).info.figures["map_t2i"] == 0.5
