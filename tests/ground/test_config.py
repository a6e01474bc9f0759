from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import pytest

from crosshash import config as config_module
from crosshash.config import (
    ConfigError,
    checked_arguments,
    explain_config,
    find_config,
    override_config,
    parse_config,
    read_config,
)

LEAST: dict[str, Any] = {
    "method": "amgfh",
    "bits": 32,
    "backbones": {"image": "resnet18"},
    "data": {"name": "shapes"},
}

YAML = """
method: amgfh
bits: 32
backbones: {image: {name: resnet18, options: {size: 224}}}
data: {name: shapes}
training: {epochs: 7, batch_size: 64}
"""


@pytest.fixture
def experiment(tmp_path: Path) -> Path:
    path = tmp_path / "experiment.yaml"
    path.write_text(YAML)
    return path


def test_defaults_fill_what_is_not_said() -> None:
    config = parse_config(LEAST)
    assert config.backbones["image"].name == "resnet18"
    assert config.backbones["image"].frozen
    assert config.text.name == "bow"
    assert config.training.optimizer == "adamw"


def test_a_misspelt_key_names_the_nearest() -> None:
    with pytest.raises(ConfigError, match=r"metod: unknown key, did you mean 'method'\?"):
        parse_config({**LEAST, "metod": "amgfh"})


@pytest.mark.parametrize(
    ("where", "key", "nearest"),
    [
        ({"training": {"learning_rat": 1}}, "training.learning_rat", "learning_rate"),
        ({"backbones": {"image": {"name": "a", "frozn": True}}}, "backbones.image.frozn", "frozen"),
        ({"data": {"name": "a", "capions": "first"}}, "data.capions", "captions"),
        ({"evaluation": {"tie": "index"}}, "evaluation.tie", "ties"),
    ],
)
def test_a_misspelt_nested_key_is_named_with_its_path_and_the_nearest(
    where: dict[str, Any], key: str, nearest: str
) -> None:
    with pytest.raises(ConfigError, match=rf"{key}: unknown key, did you mean '{nearest}'"):
        parse_config({**LEAST, **where})


def test_all_mistakes_are_told_at_once() -> None:
    values = {**LEAST, "bits": 12, "sead": 1, "training": {"epochs": "many"}}
    del values["method"]
    with pytest.raises(ConfigError) as error:
        parse_config(values, where="my.yaml")
    told = str(error.value)
    for part in ("my.yaml", "bits", "sead", "training.epochs", "got 'many'", "method: missing"):
        assert part in told


@pytest.mark.parametrize("bits", [12, 0, -8])
def test_bits_that_cannot_be_packed_are_refused(bits: int) -> None:
    with pytest.raises(ConfigError, match=f"bits: .*multiple of 8.*got {bits}"):
        parse_config({**LEAST, "bits": bits})


@pytest.mark.parametrize(
    "training",
    [
        {"epochs": 0},
        {"epochs": 1.5},
        {"learning_rate": -1},
        {"schedule": "step"},
        {"device": "gpu"},
        {"patience": 0},
    ],
)
def test_settings_out_of_range_are_named(training: dict[str, Any]) -> None:
    key = next(iter(training))
    with pytest.raises(ConfigError, match=rf"training\.{key}: .*got"):
        parse_config({**LEAST, "training": training})


def test_a_config_cannot_be_changed_by_accident() -> None:
    config = parse_config(LEAST)
    with pytest.raises(ValueError, match="frozen"):
        config.bits = 64


def test_a_config_comes_back_from_its_own_dump() -> None:
    config = parse_config({**LEAST, "network": {"hidden": [8, 8]}, "seed": 3})
    assert parse_config(config.model_dump(mode="json")) == config


def test_a_file_is_read(experiment: Path) -> None:
    config = read_config(experiment)
    assert (config.bits, config.training.epochs) == (32, 7)


def test_overrides_go_over_the_file_and_are_yaml(experiment: Path) -> None:
    config = read_config(
        experiment,
        [
            "bits=16",
            "training.learning_rate=1e-3",
            "evaluation.topk=[5, 50]",
            "training.patience=null",
            "backbones.image.options.size=96",
            "data.root=a=b",
        ],
    )
    assert config.bits == 16
    assert config.training.learning_rate == 1e-3
    assert config.training.batch_size == 64
    assert config.evaluation.topk == [5, 50]
    assert config.training.patience is None
    assert config.backbones["image"].options == {"size": 96}
    assert config.data.root == "a=b"


def test_the_last_override_counts(experiment: Path) -> None:
    assert read_config(experiment, ["bits=16", "bits=64"]).bits == 64


@pytest.mark.parametrize("override", ["bits", "=16", ""])
def test_an_override_is_key_and_value(experiment: Path, override: str) -> None:
    with pytest.raises(ConfigError, match="overrides are key=value, for example"):
        read_config(experiment, [override])


def test_a_misspelt_override_names_the_nearest(experiment: Path) -> None:
    with pytest.raises(ConfigError, match=r"training\.epoch: unknown key, did you mean 'epochs'"):
        read_config(experiment, ["training.epoch=5"])


def test_a_base_is_overlaid_key_by_key(experiment: Path) -> None:
    child = experiment.parent / "sub" / "child.yaml"
    child.parent.mkdir()
    child.write_text("base: ../experiment.yaml\nbits: 64\ntraining: {epochs: 9}\n")
    grandchild = child.parent / "grandchild.yaml"
    grandchild.write_text("base: child.yaml\nseed: 4\n")
    config = read_config(grandchild)
    assert (config.bits, config.seed) == (64, 4)
    assert (config.training.epochs, config.training.batch_size) == (9, 64)


def test_a_part_of_another_name_does_not_inherit_the_old_ones_options(experiment: Path) -> None:
    child = experiment.parent / "child.yaml"
    child.write_text("base: experiment.yaml\nbackbones: {image: {name: alexnet}}\n")
    assert read_config(child).backbones["image"].options == {}
    child.write_text("base: experiment.yaml\nbackbones: {image: {frozen: false}}\n")
    assert read_config(child).backbones["image"].options == {"size": 224}


def test_bases_that_go_in_a_circle_are_refused(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("base: b.yaml\n")
    (tmp_path / "b.yaml").write_text("base: a.yaml\n")
    with pytest.raises(ConfigError, match=r"a\.yaml: its chain of 'base' files comes back"):
        read_config(tmp_path / "a.yaml")


@pytest.mark.parametrize("base", ["gone.yaml", "[gone.yaml]", "5"])
def test_a_base_that_is_no_file_is_named_with_the_file_that_asks_for_it(
    tmp_path: Path, base: str
) -> None:
    (tmp_path / "a.yaml").write_text(f"base: {base}\n")
    with pytest.raises(ConfigError, match=r"a\.yaml: base: expected a file"):
        read_config(tmp_path / "a.yaml")


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"a: [1,", "not valid YAML"),
        (b"\xff\xfe\x00", "not valid YAML"),
        (b"- 1\n- 2\n", "expected a mapping of settings, got list"),
        (b"", "expected a mapping of settings, got NoneType"),
    ],
)
def test_a_file_that_is_no_config_is_named(tmp_path: Path, content: bytes, told: str) -> None:
    (tmp_path / "a.yaml").write_bytes(content)
    with pytest.raises(ConfigError, match=rf"a\.yaml: {told}"):
        read_config(tmp_path / "a.yaml")


def test_yaml_builds_no_objects(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("bits: !!python/object/apply:os.getpid []\n")
    with pytest.raises(ConfigError, match="not valid YAML"):
        read_config(tmp_path / "a.yaml")


def test_a_bundled_config_is_found_by_its_name(
    experiment: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = experiment.parent / "configs" / "amgfh"
    folder.mkdir(parents=True)
    (folder / "flickr8k-64.yaml").write_text(YAML)
    monkeypatch.setattr(config_module, "bundled", lambda kind: experiment.parent / kind)
    monkeypatch.chdir(folder)
    for name in ("amgfh/flickr8k-64", "configs/amgfh/flickr8k-64.yaml"):
        assert find_config(name)[0].samefile(folder / "flickr8k-64.yaml")
    with pytest.raises(FileNotFoundError, match="did you mean 'amgfh/flickr8k-64'"):
        find_config("amgfh/flickr8k-65")
    with pytest.raises(FileNotFoundError, match=r"no config '\.\./experiment'"):
        find_config("../experiment")


def test_shared_fragments_are_no_configs_of_their_own() -> None:
    with pytest.raises(FileNotFoundError):
        find_config("parts/data/wiki")
    assert read_config("amgfh/wiki-64").data.name == "wiki"


def lite0_configs() -> list[tuple[str, int]]:
    files = sorted(config_module.bundled("configs").glob("*/flickr8k-lite0-??.yaml"))
    return [(file.parent.name, int(file.stem[-2:])) for file in files]


@pytest.mark.parametrize(("method", "bits"), lite0_configs())
def test_recipes_of_fetchable_encoders_name_no_file(method: str, bits: int) -> None:
    plain, lite0 = (
        read_config(f"{method}/{data}-{bits}") for data in ("flickr8k", "flickr8k-lite0")
    )
    slots = {"cnn": "tf_efficientnet_lite0", "vit": "tiny_vit_5m_224"}
    if method != "mdffh":
        slots = {"image": "tf_efficientnet_lite0"}
    assert {slot: backbone.name for slot, backbone in lite0.backbones.items()} == slots
    for backbone in lite0.backbones.values():
        assert backbone.options["weights"] == "pretrained"
        # Photographs of any shape are seen whole, as the squares of a prepared folder are.
        assert backbone.options["preprocess"] == {"crop_pct": 1.0, "crop_mode": "squash"}
    assert lite0.text.name == "hf:sentence-transformers/all-MiniLM-L6-v2"
    assert lite0.text.options == {}
    assert lite0.model_copy(update={"backbones": plain.backbones, "text": plain.text}) == plain


@pytest.mark.parametrize("bits", [16, 32, 64])
@pytest.mark.parametrize("data", ["mirflickr", "nuswide", "coco", "flickr8k"])
@pytest.mark.parametrize("method", ["amgfh", "mdffh", "dmsfh", "hfah", "lpdh"])
def test_recipes_of_clip_have_both_its_halves_frozen(method: str, data: str, bits: int) -> None:
    clip = "clip:openai/clip-vit-base-patch32"
    plain, config = (read_config(f"{method}/{name}-{bits}") for name in (data, f"{data}-clip"))
    slots = {"cnn": "tf_efficientnet_lite0", "vit": clip} if method == "mdffh" else {"image": clip}
    assert {slot: backbone.name for slot, backbone in config.backbones.items()} == slots
    assert all(backbone.frozen for backbone in config.backbones.values())
    assert (config.text.name, config.text.frozen, config.text.options) == (clip, True, {})
    assert (config.data, config.bits, config.paper) == (plain.data, bits, {})
    # What learns over a frozen network is the same on every data set.
    assert config.training.optimizer == "adamw"
    if method != "amgfh":
        assert config.network["image_hidden"]


def test_the_fine_tuned_recipe_differs_in_what_learns_alone() -> None:
    frozen, tuned = (read_config(f"dmsfh/flickr8k-lite0-{name}64") for name in ("", "finetuned-"))
    before, image = frozen.backbones["image"], tuned.backbones["image"]
    assert (before.frozen, image.frozen) == (True, False)
    assert image.options == {**before.options, "image_size": 128, "trainable_blocks": 2}
    assert (tuned.network, tuned.algorithm) == (frozen.network, frozen.algorithm)
    assert tuned.training.learning_rate == frozen.training.learning_rate
    assert tuned.training.backbone_learning_rate == 1e-4
    assert tuned.data.augment


@pytest.mark.parametrize(
    "path",
    sorted(config_module.bundled("configs").glob("*/base.yaml")),
    ids=lambda p: p.parent.name,
)
def test_every_number_of_a_base_has_its_source_beside_it(path: Path) -> None:
    lines = [line for line in path.read_text().splitlines() if not line.startswith("#")]
    numbers = [line for line in lines if re.search(r"[:\[] *-?\d", line)]
    assert numbers
    assert [line for line in numbers if "  # " not in line] == []


def test_nested_lengths_are_a_list_or_have_settings_of_their_own() -> None:
    config = parse_config({**LEAST, "nested": [16, 8]})
    assert config.nested == {8: {}, 16: {}}
    assert list(config.nested) == [8, 16]
    assert parse_config(config.model_dump(mode="json")) == config
    over = override_config(config, ["nested.16.scale=0.5", "nested.24={scale: 2}"])
    assert over.nested == {8: {}, 16: {"scale": 0.5}, 24: {"scale": 2}}
    assert override_config(over, ["nested=[24]"]).nested == {24: {}}  # these and no others
    assert override_config(over, {"nested": []}).nested == {}


@pytest.mark.parametrize(
    "nested",
    [
        *([32], [12], [0], [40, 16], ["a"], {16: 3}, 16),
        *({16: {"weight": weight}} for weight in (0, float("nan"), float("inf"), True)),
    ],
)
def test_lengths_that_cannot_be_nested_are_refused(nested: Any) -> None:
    with pytest.raises(ConfigError, match="nested"):
        parse_config({**LEAST, "nested": nested})


def test_a_variant_lies_over_any_config_of_its_method(
    experiment: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = experiment.parent / "configs" / "amgfh"
    (folder / "variants").mkdir(parents=True)
    (folder / "flickr8k-64.yaml").write_text(YAML + "paper: {map_i2t: 0.9}\n")
    (folder / "variants" / "adv.yaml").write_text("algorithm: {adv: 0.0}\n")
    (folder / "variants" / "slow.yaml").write_text("training: {epochs: 9}\n")
    (folder / "variants" / "own.yaml").write_text("base: slow.yaml\npaper: {map_t2i: 0.5}\n")
    monkeypatch.setattr(config_module, "bundled", lambda kind: experiment.parent / kind)
    plain = read_config("amgfh/flickr8k-64")
    varied = read_config("amgfh/flickr8k-64-adv")
    assert varied.algorithm == {**plain.algorithm, "adv": 0.0}
    assert varied.training == plain.training
    assert plain.paper == {"map_i2t": 0.9}  # of the method as it is
    assert read_config("amgfh/flickr8k-64-slow").paper == varied.paper == {}
    assert read_config("amgfh/flickr8k-64-own").paper == {"map_t2i": 0.5}
    with pytest.raises(FileNotFoundError, match="did you mean 'amgfh/flickr8k-64-adv'"):
        read_config("amgfh/flickr8k-64-avd")


def test_an_overlay_leaves_out_an_image_slot_of_its_base(experiment: Path) -> None:
    config = read_config(experiment, ["backbones.vit=vit_tiny_patch16_224"])
    assert set(config.backbones) == {"image", "vit"}
    assert set(read_config(experiment, ["backbones.vit=null"]).backbones) == {"image"}


@pytest.mark.parametrize(
    "short",
    [
        "backbones: resnet50",
        "backbones: {name: resnet50}",
        "backbones: {image: resnet50}",
        "backbones: {image: {name: resnet50}}",
    ],
)
def test_one_backbone_is_that_of_the_slot_image_also_over_a_base(
    experiment: Path, short: str
) -> None:
    child = experiment.parent / "child.yaml"
    child.write_text(f"base: experiment.yaml\n{short}\n")
    slots = read_config(child).backbones
    assert {slot: backbone.name for slot, backbone in slots.items()} == {"image": "resnet50"}
    assert slots["image"].options == {}  # those of the base's resnet18


def test_short_forms_are_taken_on_the_command_line(experiment: Path) -> None:
    for override in ("backbones=resnet50", "backbones.image=resnet50", "backbones.name=resnet50"):
        assert read_config(experiment, [override]).backbones["image"].name == "resnet50"
    kept = read_config(experiment, ["backbones.frozen=false", "text=features", "data=wiki"])
    assert kept.backbones["image"].options == {"size": 224}
    assert not kept.backbones["image"].frozen
    assert (kept.text.name, kept.data.name) == ("features", "wiki")


def test_a_misspelt_key_of_a_lone_backbone_is_named(experiment: Path) -> None:
    with pytest.raises(ConfigError, match=r"backbones\.image\.frozn: .*did you mean 'frozen'"):
        read_config(experiment, ["backbones={name: resnet50, frozn: true}"])


def test_overrides_are_a_list_or_a_mapping_nested_or_dotted(experiment: Path) -> None:
    config = read_config(experiment, {"training.epochs": 5, "data": {"root": "x"}, "bits": 64})
    assert (config.training.epochs, config.training.batch_size) == (5, 64)
    assert (config.data.name, config.data.root, config.bits) == ("shapes", "x", 64)
    with pytest.raises(ConfigError, match="a list of key=value, or a mapping"):
        read_config(experiment, "bits=64")


def test_a_config_object_takes_overrides_too(experiment: Path) -> None:
    config = read_config(experiment)
    changed = override_config(config, {"training.epochs": 5})
    assert (config.training.epochs, changed.training.epochs) == (7, 5)
    assert override_config(config, ["backbones=alexnet"]).backbones["image"].options == {}
    with pytest.raises(ConfigError, match="did you mean 'epochs'"):
        override_config(config, ["training.epoch=5"])


PAPER = YAML + "algorithm: {eta: 1.0, beta: 0.5}\npaper: {map_i2t: 0.9}\n"


@pytest.mark.parametrize(
    ("override", "kept"),
    [
        ("bits=64", False),
        ("bits=32", True),  # as it is
        ("algorithm.eta=2.0", False),
        ("network.dim=8", False),
        ("data.options.split=2", False),
        ("data=wiki", False),
        ("data.root=elsewhere", True),
        ("seed=3", True),
        ("training.device=cpu", True),
    ],
)
def test_the_papers_figures_stay_with_the_experiment_they_are_of(
    experiment: Path, override: str, kept: bool
) -> None:
    experiment.write_text(PAPER)
    assert read_config(experiment, [override]).paper == ({"map_i2t": 0.9} if kept else {})
    assert override_config(read_config(experiment), [override]).paper == (
        {"map_i2t": 0.9} if kept else {}
    )


def test_every_value_is_explained_by_the_file_that_set_it(
    experiment: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = experiment.parent / "configs" / "amgfh"
    folder.mkdir(parents=True)
    (folder / "base.yaml").write_text(YAML)
    (folder / "toy-32.yaml").write_text("base: base.yaml\ntraining: {epochs: 9}\n")
    monkeypatch.setattr(config_module, "bundled", lambda kind: experiment.parent / kind)
    found = {
        key: (value, source)
        for key, value, source in explain_config("amgfh/toy-32", ["seed=3", "backbones=vgg16"])
    }
    assert found["bits"] == (32, "amgfh/base.yaml")
    assert found["training.epochs"] == (9, "amgfh/toy-32.yaml")
    assert found["training.batch_size"] == (64, "amgfh/base.yaml")
    assert found["seed"] == (3, "override")
    assert found["backbones.image.name"] == ("vgg16", "override")
    assert found["backbones.image.frozen"] == (True, "default")
    assert found["backbones.image.options"] == ({}, "default")
    assert found["evaluation.ties"] == ("expected", "default")


def test_imports_hold_wherever_the_config_is_read(
    experiment: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = experiment.parent / "sub"
    folder.mkdir()
    child = folder / "child.yaml"
    experiment.write_text(YAML + "imports: my_backbone.py\n")
    child.write_text("base: ../experiment.yaml\nimports: [my_method.py, package.parts]\n")
    monkeypatch.chdir(folder)
    assert read_config(child, ["imports=more.py"]).imports == [
        str(experiment.parent / "my_backbone.py"),
        str(folder / "my_method.py"),
        "package.parts",
        str(folder / "more.py"),
    ]
    assert read_config(experiment).imports == [str(experiment.parent / "my_backbone.py")]


def test_settings_for_data_without_labels_give_way_to_what_lies_over_them(
    experiment: Path,
) -> None:
    experiment.write_text(
        YAML + "algorithm: {sim: 10}\n"
        "without_labels: {algorithm: {sim: 1, intra: 1}, training: {epochs: 3}}\n"
    )
    config = read_config(experiment)
    assert config.algorithm == {"sim": 10}
    assert config.without_labels == {
        "algorithm": {"sim": 1, "intra": 1}, "training": {"epochs": 3},
    }  # fmt: skip
    said = read_config(experiment, ["algorithm.sim=5", "training.epochs=4"])
    assert said.without_labels == {"algorithm": {"intra": 1}}
    again = override_config(config, {"algorithm.sim": 5, "training.epochs": 4})
    assert again.without_labels == {"algorithm": {"intra": 1}}


def test_a_bad_key_for_data_without_labels_is_named(experiment: Path) -> None:
    experiment.write_text(YAML + "without_labels: {training: {epoch: 3}}\n")
    with pytest.raises(ConfigError, match=r"without_labels:\n  training\.epoch: unknown key"):
        read_config(experiment)


class Network:
    def __init__(
        self,
        dim: int,
        *,
        hidden: Sequence[int] = (8, 8),
        dropout: float = 0.0,
        fuse: Literal["conv", "concat"] = "conv",
        heads: int,
    ) -> None: ...


def read_set(root: str, *, split: int = 0) -> None: ...


def test_free_settings_are_converted_to_the_annotated_types() -> None:
    found = checked_arguments(Network, {"dropout": "1e-1", "heads": "3"}, "network")
    assert found == {"dropout": 0.1, "heads": 3}
    assert checked_arguments(read_set, {"split": 2}, "data.options") == {"split": 2}


def test_only_given_settings_come_back() -> None:
    assert checked_arguments(Network, {"heads": 1}, "network") == {"heads": 1}


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ({"heads": 1, "hiden": [1]}, r"hiden: unknown key, did you mean 'hidden'\?"),
        ({"heads": 1, "dim": 3}, "dim: unknown key"),  # positional: not the config's to set
        ({}, "heads: missing"),
        ({"heads": 1, "dropout": "much"}, "dropout: .*got 'much'"),
        ({"heads": 1, "fuse": "add"}, "fuse: .*'conv' or 'concat'.*got 'add'"),
        ({"heads": 1, "hidden": [4, "x"]}, r"hidden\.1: .*got 'x'"),
    ],
)
def test_wrong_free_settings_are_named(values: dict[str, Any], told: str) -> None:
    with pytest.raises(ConfigError, match=told) as error:
        checked_arguments(Network, values, "network")
    assert str(error.value).startswith("network:")


def test_the_conventions_of_curves_are_set_and_checked() -> None:
    wanted = {"ranks": [1, 20], "radii": [0, 32], "f1_average": "curve", "topk": [5]}
    evaluation = parse_config({**LEAST, "evaluation": wanted}).evaluation
    assert {key: getattr(evaluation, key) for key in wanted} == wanted


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"radii": [0, 33]}, r"evaluation: .*radii of 32-bit codes are in 0…32"),
        ({"radii": [-1]}, r"evaluation.radii.0: .*greater than or equal to 0"),
        ({"ranks": [0]}, r"evaluation.ranks.0: .*greater than or equal to 1"),
        ({"ranks": []}, r"evaluation.ranks: .*at least 1 item"),
        ({"topk": [0]}, r"evaluation.topk.0: .*greater than or equal to 1"),
        ({"f1_average": "curves"}, r"evaluation.f1_average: .*'query' or 'curve'"),
        ({"database": "learned"}, r"evaluation.database: .*'encoded' or 'both'"),
    ],
)
def test_a_wrong_convention_is_refused(wrong: dict[str, Any], told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        parse_config({**LEAST, "evaluation": wrong})


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"seed": -1}, "seed: .*greater than or equal to 0"),
        ({"seed": 2**32}, "seed: .*less than 4294967296"),
        ({"training": {"learning_rate": float("inf")}}, "training.learning_rate: .*finite"),
        ({"training": {"warmup_epochs": float("inf")}}, "training.warmup_epochs: .*finite"),
        ({"training": {"clip_norm": float("inf")}}, "training.clip_norm: .*finite"),
        ({"training": {"weight_decay": float("inf")}}, "training.weight_decay: .*finite"),
        ({"training": {"epochs": 10**30}}, "training.epochs: .*less than or equal to 1000000"),
    ],
)
def test_numbers_that_would_fail_in_training_are_refused(wrong: dict[str, Any], told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        parse_config({**LEAST, **wrong})


def test_strings_that_no_checkpoint_could_hold_are_refused(tmp_path: Path) -> None:
    odd = "caf\udce9"  # as Python reads a folder's name that is no UTF-8
    for wrong in ({"data": {"name": "shapes", "root": odd}}, {"imports": [odd]}):
        with pytest.raises(ConfigError, match=r"(data\.root|imports)'?: half of a character"):
            parse_config({**LEAST, **wrong})
    (tmp_path / "a.yaml").write_text(YAML + 'paper: {"a\\udce9": 1}\n')
    with pytest.raises(ConfigError, match=r"paper\..*half of a character"):
        read_config(tmp_path / "a.yaml")


def test_refit_needs_a_split_to_train_on_again() -> None:
    data = {"name": "shapes", "validation": 9, "refit": True}
    assert parse_config({**LEAST, "data": data}).data.refit
    with pytest.raises(ConfigError, match=r"data.refit: .*set data.validation, or leave"):
        parse_config({**LEAST, "data": {"name": "shapes", "refit": True}})
