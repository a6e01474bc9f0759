"""Suites of experiments: expanded, run once, resumed, and told by their records."""

from __future__ import annotations

import itertools
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from filelock import FileLock

import crosshash
from crosshash.config import (
    ConfigError,
    ExperimentConfig,
    bundled,
    override_config,
    parse_config,
    read_config,
)
from crosshash.data.features import cache as cache_module
from crosshash.data.features.cache import FeatureCache
from crosshash.experiment.bench import bench, running
from crosshash.experiment.bench.bench import plan_suites, run_suites
from crosshash.experiment.bench.cases import Choice, expand
from crosshash.experiment.bench.identity import (
    DataDigests,
    code_digest,
    config_digest,
    method_files,
    run_key,
)
from crosshash.experiment.bench.measure import PeakMemory
from crosshash.experiment.bench.planning import left_words
from crosshash.experiment.bench.record import Record, Store
from crosshash.experiment.bench.running import Job
from crosshash.experiment.bench.suite import read_suite, suite_names
from crosshash.experiment.run_folder import has_state
from crosshash.retrieval.metrics import mean_over_queries
from crosshash.training.files import LOCK, RECORD

MakeSuite = Callable[..., Path]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data set of features and configs of three methods for it."""
    folder = tmp_path_factory.mktemp("bench")
    random = np.random.default_rng(0)
    classes = random.integers(0, 3, 80)
    for name, width in (("images", 24), ("texts", 20)):
        centres = random.normal(size=(3, width))
        noisy = centres[classes] + 0.7 * random.normal(size=(80, width))
        np.save(folder / f"{name}.npy", noisy.astype(np.float32))
    np.save(folder / "labels.npy", np.eye(3, dtype=np.uint8)[classes])
    common: dict[str, Any] = {
        "bits": 8,
        "backbones": "features",
        "text": "features",
        "data": {"name": "features", "root": str(folder), "options": {"query": 20, "train": 50}},
        "training": {"epochs": 1, "batch_size": 64, "device": "cpu"},
    }
    layers = {"image_hidden": [16], "text_hidden": [16]}
    trained = {"epochs": 3, "batch_size": 16, "device": "cpu"}
    values = {
        "sign": {"method": "sign", **common},
        "itq": {"method": "itq", **common},
        "dcmh": {"method": "dcmh", **common, "network": layers, "training": trained},
    }
    for name, config in values.items():
        (folder / f"{name}.yaml").write_text(yaml.safe_dump(config))
    return folder


@pytest.fixture
def suite(made: Path, tmp_path: Path) -> MakeSuite:
    """Write a suite of some of these configs; each block is a mapping over ``configs``."""

    def make(*blocks: dict[str, Any], **more: Any) -> Path:
        named = [
            {**block, "configs": [str(made / f"{name}.yaml") for name in block["configs"]]}
            for block in blocks
        ]
        path = tmp_path / "suite.yaml"
        path.write_text(yaml.safe_dump({"title": "a few", "runs": named, **more}))
        return path

    return make


def test_a_suite_is_every_combination_of_what_its_blocks_list(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(
        "title: mine\n"
        "runs:\n"
        "  - methods: [amgfh, dmsfh]\n"
        "    data: [wiki, {mirflickr: {options: {protocol: amgfh}}}]\n"
        "    bits: [16, 128]\n"
        "    seeds: [0, 1]\n"
        "    overrides: {training.epochs: 2}\n"
        "  - {methods: [dmsfh], data: [wiki], bits: [32], variants: [plain, s]}\n"
        "  - {methods: [dmsfh], data: [flickr8k], bits: [16], encoders: [plain, clip]}\n"
        "  - {configs: [dmsfh/wiki-64-s], label: named}\n"
    )
    cases = expand(path)
    assert len(cases) == 2 * 2 * 2 * 2 + 2 + 2 + 1
    assert [case.row for case in cases[-5:]] == [
        "dmsfh", "dmsfh-s", "dmsfh", "dmsfh, clip", "dmsfh, named",
    ]  # fmt: skip
    first, last = cases[0].config, cases[-1].config
    assert first == read_config("amgfh/wiki-16", ["training.epochs=2"])
    assert last == read_config("dmsfh/wiki-64-s")
    long = next(c for c in cases if c.config.bits == 128 and c.config.data.name == "mirflickr")
    assert long.config.data.options["protocol"] == "amgfh"
    assert long.config.paper == {}  # printed for 64 bits
    assert long.settings == {"training.epochs": 2, "data.options.protocol": "amgfh"}
    clip = read_config("dmsfh/flickr8k-clip-16")
    assert cases[-2].config == clip


def test_a_choice_stands_in_place_of_what_a_suite_lists() -> None:
    choice = Choice(["wiki"], [16], [3, 4], ["amgfh"], ["training.epochs=7"])
    cases = expand("amgfh-table-1", choice)
    assert [(c.name, c.config.seed, c.config.training.epochs) for c in cases] == [
        ("amgfh/wiki-16", 3, 7),
        ("amgfh/wiki-16", 4, 7),
    ]
    assert "protocol" not in cases[0].config.data.options  # that is mirflickr's
    few = expand("quick", Choice(["shapes"], overrides=["data.options={n: 30, query: 5}"]))
    assert few[0].config.data.options == {"n": 30, "query": 5, "train": 400}


def test_data_without_configs_borrows_those_of_other_data() -> None:
    shapes = [case for case in expand("quick") if case.config.data.name == "shapes"]
    assert {case.name for case in shapes} >= {"amgfh/shapes-32", "mdffh/shapes-32"}
    assert all(b.name == "resnet10t" for case in shapes for b in case.config.backbones.values())
    assert {c.config.data.name for c in expand("quick", Choice(data=["shapes"]))} == {"shapes"}
    wiki = expand("quick", Choice(data=["wiki"]))
    assert {case.config.data.name for case in wiki} == {"wiki"}
    assert {case.config.method for case in wiki} == {case.config.method for case in shapes}


def test_quick_has_every_method() -> None:
    from crosshash.methods.build import METHODS

    methods = {case.config.method for case in expand("quick", Choice(data=["wiki"]))}
    assert methods == set(filter(METHODS.is_built_in, METHODS.names()))


def test_nested_has_every_method_that_learns_by_gradient() -> None:
    from crosshash.methods.build import METHODS

    methods = filter(METHODS.is_built_in, METHODS.names())
    learn = {name for name in methods if METHODS[name].trains != "nothing"}
    for data in ("wiki", "flickr8k"):
        cases = expand("nested", Choice(data=[data], seeds=[0]))
        assert {(case.config.method, case.config.data.name) for case in cases} == {
            (name, data) for name in learn
        }
        assert all([*case.config.nested, case.config.bits] == [16, 32, 64] for case in cases)
    with pytest.raises(ConfigError, match="none of its experiments is of coco"):
        expand("nested", Choice(data=["coco"]))


def test_peers_has_every_method_on_every_data_set_at_every_length() -> None:
    from crosshash.methods.build import METHODS

    cases = expand("peers")
    found = {(c.config.method, c.config.data.name, c.config.bits, c.config.seed) for c in cases}
    methods = set(filter(METHODS.is_built_in, METHODS.names()))
    sets = ("wiki", "flickr8k", "mirflickr", "nuswide", "coco")
    assert found == set(itertools.product(methods, sets, (16, 32, 64), (0, 1, 2)))
    assert len(cases) == len(found)
    # What is compared has one split, whatever the split of a method's own configs.
    splits: dict[str, set[str]] = {}
    for case in cases:
        told = json.dumps(case.config.data.options, sort_keys=True)
        splits.setdefault(case.config.data.name, set()).add(told)
    assert {name: len(found) for name, found in splits.items()} == dict.fromkeys(sets, 1)


def test_the_blocks_of_peers_are_trained_with_labels_and_without() -> None:
    blocks = read_suite("peers").runs
    supervised: tuple[set[bool], set[bool]] = (set(), set())
    for number, block in enumerate(blocks):
        for method, data in itertools.product(block.methods, block.data):
            name = data if isinstance(data, str) else next(iter(data))
            config = read_config(f"{method}/{name}-16")
            supervised[number > 1].add(_supervised(config))
    assert supervised == ({True}, {False})


def _supervised(config: ExperimentConfig) -> bool:
    """As its algorithm says it, by the two that have an option for it and by their kind."""
    from crosshash.methods.build import METHODS

    kind, options = METHODS[config.method], config.algorithm
    if config.method == "amgfh":
        return bool(options["similarity"] == "labels" and options["sim"])
    return bool(options.get("label")) if config.method == "cph" else kind.supervised


@pytest.mark.parametrize("name", suite_names())
def test_every_suite_of_the_package_expands_on_its_data_and_on_what_is_at_hand(name: str) -> None:
    from crosshash.experiment.assembly import check_parts

    parts = {(c.row, c.config.data.name): c.config for c in expand(name, Choice(seeds=[0]))}
    for config in parts.values():
        check_parts(config)
    for data in ("wiki", "flickr8k"):
        assert expand(name, Choice(data=[data], bits=[64]))


def test_printed_figures_agree_with_those_of_the_configs() -> None:
    found = 0
    for name in suite_names():
        for printed in read_suite(name).printed:
            for method, data, bits, way, figure, value in printed.figures():
                config = bundled("configs") / printed.own.lower() / f"{data}-{bits}.yaml"
                if figure == "map" and method == printed.own and config.is_file():
                    # HFAH's second table has a digit more.
                    rounding = 6e-4 if "second" in printed.source else 0
                    paper = read_config(config).paper[f"map_{way}"]
                    assert value == pytest.approx(paper, abs=rounding, rel=0)
                    found += 1
    assert found == 84


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("runs: []\n", "title"),
        ("title: a\nruns: [{methods: [amgfh]}]\n", "data and bits"),
        ("title: a\nruns: [{bits: [16]}]\n", "configs"),
        ("title: a\nruns: [{configs: [a], metods: [b]}]\n", "metods"),
        ("title: a\nruns: [{methods: [a], bits: [8], data: [{a: {}, b: {}}]}]\n", "one name"),
        (
            "title: a\nruns: [{configs: [a]}]\n"
            "printed: [{source: x, data: [wiki], bits: [16, 32], map_i2t: {A: [[0.5]]}}]\n",
            "2 figures",
        ),
    ],
)
def test_a_wrong_suite_is_told_what_is_wrong(tmp_path: Path, text: str, told: str) -> None:
    path = tmp_path / "wrong.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=told):
        read_suite(path)


def test_an_unknown_suite_and_an_unknown_combination_name_the_nearest() -> None:
    with pytest.raises(FileNotFoundError, match="did you mean 'quick'"):
        expand("quik")
    with pytest.raises(FileNotFoundError, match="amgfh/wiki-64"):
        expand("amgfh-table-3", Choice(data=["wikki"]))
    with pytest.raises(ConfigError, match="none of its experiments is of nothing"):
        expand("quick", Choice(methods=["nothing"]))


def test_a_run_leaves_a_record_and_is_not_run_again(
    suite: MakeSuite, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = suite({"configs": ["sign", "dcmh"], "seeds": [0, 1]})
    told: list[str] = []
    planned = plan_suites([path], tmp_path / "store")
    assert [one.state for one in planned] == ["missing"] * 4
    assert left_words(planned, 1).endswith("the time is unknown")
    done = run_suites([path], tmp_path / "store", done=lambda record: told.append(record.row))
    assert [one.state for one in done] == ["finished"] * 4
    assert told == ["sign", "sign", "dcmh", "dcmh"]
    store = Store(tmp_path / "store")
    record = store.read(done[2].key)
    assert record is not None
    assert record.figures["record"]["counts"]["query"] == 20
    assert {"by_rank", "by_radius", "precision_at"} <= set(record.figures["i2t"])
    # 24 × 16 and 16 × 8 weights, a product and a sum each.
    assert record.flops == {"image": 2 * (24 * 16 + 16 * 8), "text": 2 * (20 * 16 + 16 * 8)}
    norms = 2 * 2 * 16
    weights = 24 * 16 + 16 + 20 * 16 + 16 + 2 * (16 * 8 + 8)
    assert record.parameters == {"all": weights + norms, "trained": weights + norms}
    assert record.memory["bytes"] > 1e6
    assert record.seconds["whole"] >= 0
    assert record.config["data"]["root"] is None
    assert record.settings == {}
    for way, values in store.precisions(record).items():
        mean = float(mean_over_queries(values, "skip"))
        assert mean == pytest.approx(record.figures[way]["map"], abs=1e-6)
    assert not store.work(record.key).exists()
    # Nothing is left to run, and a second length is all that is missing.
    monkeypatch.setattr(running, "train", lambda *a, **k: pytest.fail("it is there"))
    assert [one.record for one in run_suites([path], tmp_path / "store")][2] == record
    more = plan_suites([path], tmp_path / "store", choice=Choice(bits=[8, 16]))
    assert [one.state for one in more].count("missing") == 4
    assert all(one.seconds is not None for one in more if one.to_run)  # as of like runs


def test_a_failed_run_is_kept_as_failed_and_the_rest_goes_on(
    suite: MakeSuite, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wrong = {"configs": ["dcmh"], "overrides": {"training.learning_rate": 1e30}}
    path = suite(wrong, {"configs": ["itq"]})
    real = running.train

    def breaking(config: Any, *arguments: Any, **options: Any) -> Any:
        if config.method == "dcmh":
            raise ArithmeticError("the loss is not finite")
        return real(config, *arguments, **options)

    monkeypatch.setattr(running, "train", breaking)
    done = run_suites([path], tmp_path / "store")
    assert [one.state for one in done] == ["failed", "finished"]
    assert done[0].error == "ArithmeticError: the loss is not finite"
    record = Store(tmp_path / "store").read(done[0].key)
    assert record is not None
    assert "breaking" in record.traceback
    assert [one.to_run for one in plan_suites([path], tmp_path / "store")] == [False, False]
    again = plan_suites([path], tmp_path / "store", retry=True)
    assert [one.to_run for one in again] == [True, False]
    monkeypatch.setattr(running, "train", real)
    mended = suite({"configs": ["dcmh"]}, {"configs": ["itq"]})
    assert [one.state for one in plan_suites([mended], tmp_path / "store")] == [
        "missing", "finished",
    ]  # fmt: skip


def test_a_killed_run_goes_on_where_it_stopped(
    suite: MakeSuite, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = suite({"configs": ["dcmh"]})
    real = running.train

    def killed(config: Any, folder: Path, **options: Any) -> Any:
        def stop(figures: Any, net: Any) -> None:
            if figures["epoch"] == 2:
                raise KeyboardInterrupt

        return real(config, folder, callbacks=[stop], **options)

    monkeypatch.setattr(running, "train", killed)
    with pytest.raises(KeyboardInterrupt):
        run_suites([path], tmp_path / "store")
    (one,) = plan_suites([path], tmp_path / "store")
    assert one.state == "half done"
    work = Store(tmp_path / "store").work(one.key)
    assert has_state(work)
    told = json.loads((work / RECORD).read_text())
    (work / RECORD).write_text(json.dumps({**told, "seconds": 100.0}))  # as if it had been long
    resumed: list[bool] = []

    def seen(*arguments: Any, **options: Any) -> Any:
        resumed.append(options["resume"])
        return real(*arguments, **options)

    monkeypatch.setattr(running, "train", seen)
    (done,) = run_suites([path], tmp_path / "store")
    assert (done.state, resumed) == ("finished", [True])
    assert done.record is not None
    assert 100 < done.record.seconds["training"] <= done.record.seconds["whole"] < 200
    straight = tmp_path / "straight"
    (other,) = run_suites([path], straight)
    assert other.record is not None
    assert done.record.figures == other.record.figures


def test_several_processes_run_at_once_and_one_that_dies_costs_its_run_alone(
    suite: MakeSuite, made: Path, tmp_path: Path
) -> None:
    # A part of one's own that ends its process, as want of memory would.
    own = tmp_path / "own.py"
    own.write_text("import os\nif os.environ.get('OMP_NUM_THREADS') == '1':\n    os._exit(9)\n")
    path = suite(
        {"configs": ["sign"], "overrides": {"imports": [str(own)]}},
        {"configs": ["itq", "dcmh"]},
    )
    before = os.environ.get("OMP_NUM_THREADS")
    os.environ["OMP_NUM_THREADS"] = "2"  # of this process, which reads the file for its plan too
    try:
        done = run_suites([path], tmp_path / "store", jobs=2)
    finally:
        if before is None:
            del os.environ["OMP_NUM_THREADS"]
        else:
            os.environ["OMP_NUM_THREADS"] = before
    assert [one.state for one in done] == ["failed", "finished", "finished"]
    assert "exit code 9" in done[0].error
    assert done[1].record is not None
    assert done[1].record.machine["jobs"] == 2
    assert done[1].record.machine["threads"] == 1


def test_a_run_in_the_hands_of_another_process_is_no_failed_one(
    suite: MakeSuite, tmp_path: Path
) -> None:
    path, store = suite({"configs": ["sign"]}), Store(tmp_path / "store")
    (one,) = plan_suites([path], store.folder)
    store.work(one.key).mkdir(parents=True)
    told: list[str] = []
    with FileLock(store.work(one.key) / LOCK):
        (after,) = run_suites([path], store.folder, done=lambda record: told.append(record.error))
    assert "another process is training" in told[0]
    assert (after.state, after.to_run) == ("missing", True)


def test_gpus_are_shared_out_one_for_each_run_at_once(
    suite: MakeSuite, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = suite({"configs": ["sign", "itq", "dcmh"]})
    given: list[dict[str, Any]] = []
    monkeypatch.setattr(bench, "run_jobs", lambda folder, jobs, **options: given.append(options))
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3,5,7")
    anywhere = Choice(overrides=["training.device=auto"])
    with pytest.warns(UserWarning, match="3 runs at once for 2 GPUs"):
        run_suites([path], tmp_path / "store", choice=anywhere, jobs=3)
    run_suites([path], tmp_path / "store", jobs=3)  # on the CPU, as the configs say
    assert [(g["processes"], g["devices"]) for g in given] == [(2, ["3", "5"]), (3, [])]


def test_features_of_frozen_encoders_are_computed_once_for_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    small = ["data.options={n: 24, size: 32, query: 4, train: 16}"]
    cases = expand("quick", Choice(["shapes"], methods=["dcmh", "itq", "dsph"], overrides=small))
    counted: list[int] = []
    real = cache_module.iterate_features

    def counting(*arguments: Any, **options: Any) -> Any:
        counted.append(1)
        return real(*arguments, **options)

    monkeypatch.setattr(cache_module, "iterate_features", counting)
    jobs = [Job(case, "key", "data", 2) for case in cases]
    bench._warm(jobs, FeatureCache(tmp_path))
    assert len(jobs) == 3
    assert len(counted) == 1


def test_data_that_is_not_there_stops_nothing(suite: MakeSuite, tmp_path: Path) -> None:
    gone = {"configs": ["sign"], "overrides": {"data.root": str(tmp_path / "nowhere")}}
    path = suite(gone, {"configs": ["itq"]})
    done = run_suites([path], tmp_path / "store")
    assert [one.state for one in done] == ["no data", "finished"]
    assert "nowhere" in done[0].error


def test_a_store_is_run_in_by_one_process_at_a_time(suite: MakeSuite, tmp_path: Path) -> None:
    path = suite({"configs": ["sign"]})
    (tmp_path / "store").mkdir()
    with FileLock(tmp_path / "store" / ".lock"), pytest.raises(FileExistsError, match="--store"):
        run_suites([path], tmp_path / "store")
    with pytest.raises(ValueError, match="at least 1, got 0"):
        run_suites([path], tmp_path / "store", jobs=0)


def test_a_run_is_known_by_what_decides_its_figures(made: Path, tmp_path: Path) -> None:
    config = read_config(made / "dcmh.yaml")
    same = ["data.root=elsewhere", "training.workers=3", "training.save_every=2", "paper={a: 1}"]
    assert config_digest(override_config(config, same)) == config_digest(config)
    for change in ("seed=1", "bits=16", "training.epochs=4", "evaluation.ties=best"):
        other = override_config(config, [change.replace("best", "index")])
        assert config_digest(other) != config_digest(config)
    digests = DataDigests()
    key = run_key(config, digests(config))
    (tmp_path / "copy").mkdir()
    for name in ("images", "texts", "labels"):
        np.save(tmp_path / "copy" / f"{name}.npy", np.load(made / f"{name}.npy"))
    moved = override_config(config, [f"data.root={tmp_path / 'copy'}"])
    assert run_key(moved, DataDigests()(moved)) == key
    changed = np.load(made / "texts.npy")
    changed[3, 3] += 1
    np.save(tmp_path / "copy" / "texts.npy", changed)
    assert run_key(moved, DataDigests()(moved)) != key


def test_code_of_other_methods_is_no_part_of_what_a_run_is() -> None:
    def parts(module: str) -> set[str]:
        folder = Path(crosshash.__file__).parent / "methods"
        return {f.relative_to(folder).with_suffix("").parts[0] for f in method_files(module)}

    assert parts("crosshash.methods.amgfh.training") == {"amgfh", "build"}
    assert parts("crosshash.methods.itq") == {"build", "itq", "sign"}  # it imports of sign
    whole = parts("a_method_of_ones_own")  # which may import any
    assert {"amgfh", "dsph", "itq", "sign", "build"} < whole
    assert len({code_digest(method) for method in ("itq", "sign", "dsph")}) == 3


def test_runs_of_other_code_are_run_again_unless_any_code_will_do(
    suite: MakeSuite, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, store = suite({"configs": ["sign"], "seeds": [0, 1]}), tmp_path / "store"
    (first, _) = run_suites([path], store)
    monkeypatch.setattr("crosshash.experiment.bench.identity.code_digest", lambda _: "other")
    assert [one.state for one in plan_suites([path], store)] == ["missing"] * 2
    again = run_suites([path], store, any_code=True)
    assert [one.state for one in again] == ["finished"] * 2
    assert again[0].record == first.record
    assert len(Store(store).all()) == 2
    longer = plan_suites([path], store, choice=Choice(bits=[16]), any_code=True)
    assert [one.state for one in longer] == ["missing"] * 2


def test_the_file_of_a_part_of_ones_own_is_part_of_what_a_run_is(
    made: Path, tmp_path: Path
) -> None:
    own = tmp_path / "own.py"
    own.write_text("A = 1\n")
    values = yaml.safe_load((made / "sign.yaml").read_text())
    config = parse_config({**values, "imports": [str(own)]})
    before = config_digest(config)
    own.write_text("A = 2\n")
    assert config_digest(config) != before


def test_damaged_records_name_their_file(suite: MakeSuite, tmp_path: Path) -> None:
    path = suite({"configs": ["sign"]})
    (one,) = run_suites([path], tmp_path / "store")
    store = Store(tmp_path / "store")
    assert one.record is not None
    file = tmp_path / "store" / "records" / f"{one.key}.npz"
    file.write_bytes(file.read_bytes()[:40])
    with pytest.raises(ValueError, match=r"\.npz.*runs it again"):
        store.precisions(one.record)
    np.savez(file, i2t=np.array([{"a": 1}], dtype=object))
    with pytest.raises(ValueError, match=r"\.npz"):
        store.precisions(one.record)
    np.savez(file, i2t=np.zeros(3))
    with pytest.raises(ValueError, match="each of 20 queries"):
        store.precisions(one.record)
    record = file.with_suffix(".json")
    values = json.loads(record.read_text())
    record.write_text(json.dumps({**values, "bits": "many"}))
    with pytest.raises(ValueError, match=r"bits.*runs it again"):
        store.all()
    record.write_text(json.dumps({**values, "key": "../../elsewhere"}))
    with pytest.raises(ValueError, match=r"key: it says '\.\./"):
        store.all()
    with pytest.raises(FileNotFoundError, match="crosshash bench"):
        Store(tmp_path / "none").all()


def test_peak_memory_is_that_of_the_run() -> None:
    first = PeakMemory()
    held = np.ones(100_000_000, dtype=np.uint8)
    large = first.read()["bytes"]
    del held
    if Path("/proc/self/clear_refs").exists():
        later = PeakMemory()
        assert later.read()["bytes"] < large - 50_000_000


def test_records_are_read_back_as_they_were(suite: MakeSuite, tmp_path: Path) -> None:
    path = suite({"configs": ["sign"], "label": "x"})
    (one,) = run_suites([path], tmp_path / "store", keep=True)
    assert one.record is not None
    assert Record.model_validate_json(one.record.model_dump_json()) == one.record
    assert one.record.row == "sign, x"
    assert (Store(tmp_path / "store").model(one.key) / "config.json").is_file()
