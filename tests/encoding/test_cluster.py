"""A Ray cluster writes what one process writes, whatever dies."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

import crosshash
from crosshash.encoding import encode_source
from crosshash.encoding.cluster import encode_on_cluster
from crosshash.model.hash_model import HashModel

ray = pytest.importorskip("ray", reason="needs the extra ray")
pytest.importorskip("ray.data", reason="needs the extra ray")
pytest.importorskip("pyarrow", reason="needs the extra parquet")


@pytest.fixture(scope="module")
def cluster() -> Iterator[None]:
    os.environ["RAY_worker_niceness"] = "0"  # noqa: SIM112  (Ray's own 15 waits for all others)
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False)
    ray.cloudpickle.register_pickle_by_value(sys.modules[__name__])
    yield
    ray.shutdown()


@pytest.fixture
def shard(make_tar: Callable[..., Path], picture: Callable[[int], bytes]) -> Path:
    members = [(f"{n:02}.png", picture(n)) for n in range(20)]
    members[4] = ("bad.png", b"no picture")
    members[11] = ("00.png", picture(11))  # an id that stands before
    return make_tar("a.tar", members)


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def load_once_dying(place: Path, deaths: Path, device: str = "cpu") -> HashModel:
    """A model, in a process that dies when it has written a part, unless one has died before."""
    from crosshash.encoding import cluster as module

    write = module.write_part

    def dying(folder: Path, *part: object) -> None:
        write(folder, *part)  # type: ignore[arg-type]
        try:
            deaths.touch(exist_ok=False)
        except FileExistsError:
            return
        os._exit(1)

    module.write_part = dying
    return crosshash.load(place, device=device)


def test_actors_write_what_one_process_writes(
    cluster: None, model: HashModel, shard: Path, tmp_path: Path
) -> None:
    place = tmp_path / "model"
    crosshash.save(model, place)
    alone = encode_source(model, shard, tmp_path / "one", name="it", items_per_part=3)
    deaths = tmp_path / "deaths"
    load = partial(load_once_dying, place, deaths)
    told: list[tuple[int, int]] = []
    done = encode_on_cluster(
        load,
        shard,
        tmp_path / "many",
        name="it",
        actors=2,
        items_per_part=3,
        progress=lambda *counts: told.append(counts),
    )
    assert deaths.exists()
    assert done == alone
    assert (done.items, done.rejected, done.parts) == (18, 2, 7)
    assert contents(tmp_path / "many") == contents(tmp_path / "one")
    assert (told[0], told[-1]) == ((0, 20), (20, 20))
    (tmp_path / "many" / "part-000002.parquet").unlink()
    again = partial(crosshash.load, place)
    more = encode_on_cluster(again, shard, tmp_path / "many", name="it", actors=2, items_per_part=3)
    assert more.written == 1
    assert contents(tmp_path / "many") == contents(tmp_path / "one")


def test_actors_are_at_least_one(model: HashModel, shard: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="got 0"):
        encode_on_cluster(lambda device: model, shard, tmp_path / "codes", actors=0)
    assert not (tmp_path / "codes").exists()
