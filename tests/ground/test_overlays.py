"""Settings laid over one another."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from crosshash.overlays import (
    ConfigError,
    Replace,
    lay,
    load_yaml,
    merge,
    overlay,
    parse_override,
    read_layers,
)


def resolved(path: Path) -> dict[str, Any]:
    values, _ = lay((file.name, layer) for file, layer in read_layers(path))
    return values


def write(folder: Path, **files: str) -> None:
    for name, text in files.items():
        (folder / f"{name}.yaml").write_text(text)


def test_merging_leaves_both_sides_as_they_are() -> None:
    base, over = {"a": {"b": 1, "c": 2}, "d": 3}, {"a": {"b": 5}, "d": {"e": 1}}
    assert merge(base, over) == {"a": {"b": 5, "c": 2}, "d": {"e": 1}}
    assert base == {"a": {"b": 1, "c": 2}, "d": 3}
    assert over == {"a": {"b": 5}, "d": {"e": 1}}


def test_a_replacing_mapping_takes_the_place_of_the_one_below() -> None:
    base = {"network": {"dim": 8, "hidden": [4]}, "bits": 8}
    merged = merge(base, {"network": Replace(dim=16)})
    assert merged == {"network": {"dim": 16}, "bits": 8}
    assert type(merged["network"]) is dict  # done with: what lies over it is merged again


def test_a_file_and_an_override_can_clear_a_mapping_of_the_base(tmp_path: Path) -> None:
    write(
        tmp_path,
        low="network: {dim: 8, hidden: [4]}\nalgorithm: {eta: 1}\n",
        mid="base: low.yaml\nnetwork: !replace {width: 2}\n",
        top="base: mid.yaml\nnetwork: {dim: 4}\n",
    )
    assert resolved(tmp_path / "mid.yaml")["network"] == {"width": 2}
    assert resolved(tmp_path / "top.yaml")["network"] == {"width": 2, "dim": 4}
    values = overlay(resolved(tmp_path / "low.yaml"), parse_override("algorithm=!replace {}"))
    assert values == {"network": {"dim": 8, "hidden": [4]}, "algorithm": {}}


def test_what_is_no_mapping_needs_no_replacing() -> None:
    with pytest.raises(ConfigError, match=r"a\.yaml, line 2: !replace stands before a mapping"):
        load_yaml("bits: 8\nhidden: !replace [1, 2]\n", "a.yaml")


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("bits: 8\nseed: 1\nbits: 16\n", 3),
        ("training:\n  epochs: 1\n  epochs: 2\n", 3),
        ("network: {dim: 1, dim: 2}\n", 1),
    ],
)
def test_a_key_that_stands_twice_is_refused_with_its_line(text: str, line: int) -> None:
    with pytest.raises(ConfigError, match=rf"a\.yaml, line {line}: the key .* stands twice"):
        load_yaml(text, "a.yaml")
    with pytest.raises(ConfigError, match="'dim' stands twice"):
        parse_override("network={dim: 1, dim: 2}")


def test_yaml_of_one_file_may_share_by_anchors() -> None:
    text = "a: &a {x: 1, y: 2}\nb: {<<: *a, y: 3}\n"
    assert load_yaml(text, "a.yaml")["b"] == {"x": 1, "y": 3}


def test_an_override_that_is_no_yaml_is_named() -> None:
    with pytest.raises(ConfigError, match=r"topk=\[5, .*not valid YAML"):
        parse_override("evaluation.topk=[5, ")


def test_later_bases_lie_over_earlier_ones_and_the_file_over_all(tmp_path: Path) -> None:
    write(
        tmp_path,
        one="bits: 8\nseed: 1\nnetwork: {a: 1, b: 1}\n",
        two="bits: 16\nnetwork: {b: 2, c: 2}\n",
        top="base: [one.yaml, two.yaml]\nnetwork: {c: 3}\n",
    )
    assert resolved(tmp_path / "top.yaml") == {
        "bits": 16, "seed": 1, "network": {"a": 1, "b": 2, "c": 3},
    }  # fmt: skip


def test_a_base_in_a_mapping_is_about_that_mapping(tmp_path: Path) -> None:
    write(
        tmp_path,
        net="name: resnet18\nfrozen: true\noptions: {size: 32, weights: random}\n",
        low="backbones: {cnn: {name: alexnet, options: {layer: fc6}}}\n",
        top="base: low.yaml\nbackbones:\n  cnn: {base: net.yaml}\n"
        "  vit: {base: net.yaml, options: {size: 48}}\n",
        lone="backbones: {base: net.yaml, frozen: false}\n",
    )
    net = {"name": "resnet18", "frozen": True, "options": {"size": 32, "weights": "random"}}
    assert resolved(tmp_path / "top.yaml")["backbones"] == {
        "cnn": net,
        "vit": {**net, "options": {"size": 48, "weights": "random"}},
    }
    assert resolved(tmp_path / "lone.yaml")["backbones"] == {"image": {**net, "frozen": False}}
    _, sources = lay((file.name, layer) for file, layer in read_layers(tmp_path / "top.yaml"))
    assert sources["backbones", "vit", "options", "weights"] == "net.yaml"
    assert sources["backbones", "vit", "options", "size"] == "top.yaml"


def test_a_mapping_is_not_cleared_and_based_at_once(tmp_path: Path) -> None:
    write(tmp_path, net="dim: 8\n", top="network: !replace {base: net.yaml}\n")
    with pytest.raises(ConfigError, match=r"top\.yaml: network: !replace leaves out all"):
        read_layers(tmp_path / "top.yaml")


def test_a_missing_base_is_named_with_its_place(tmp_path: Path) -> None:
    write(tmp_path, top="backbones: {cnn: {base: gone.yaml}}\n")
    with pytest.raises(ConfigError, match=r"backbones\.cnn\.base: expected a file .*gone\.yaml"):
        read_layers(tmp_path / "top.yaml")
