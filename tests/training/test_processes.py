from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest
import torch

import crosshash
from crosshash.training.batches import ordered_rows, shuffled_rows


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def train_in_two_processes(script: str, folder: Path, *options: str) -> list[dict]:
    common = {
        **os.environ,
        "PYTHONPATH": str(Path(crosshash.__file__).parents[1]),
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(free_port()),
        "WORLD_SIZE": "2",
        "LOCAL_WORLD_SIZE": "2",
        "ACCELERATE_USE_CPU": "true",
        "OMP_NUM_THREADS": "1",
    }
    processes = [
        subprocess.Popen(
            [sys.executable, script, folder, *options],
            env={**common, "RANK": str(rank), "LOCAL_RANK": str(rank)},
        )
        for rank in range(2)
    ]
    try:
        codes = [process.wait(timeout=120) for process in processes]
    finally:
        for process in processes:
            process.kill()
    assert codes == [0, 0]
    return [torch.load(folder / f"result-{rank}.pt", weights_only=True) for rank in range(2)]


def test_two_processes_hold_the_same_weights_and_codes_and_train_as_one_of_twice_the_batch(
    toy: ModuleType, tmp_path: Path
) -> None:
    # 31 pairs: without care the processes would have 2 and 1 batches, and wait for ever.
    first, second = train_in_two_processes(
        toy.__file__, tmp_path, "--sgd", "--dropout=0", "--seed-of-weights-by-rank"
    )
    assert first["history"] == second["history"]
    assert first["best"] == second["best"]
    for name, value in first["state"].items():
        assert torch.equal(value, second["state"][name]), name

    alone, pairs = toy.make(dropout=0, kind=toy.EarlyToy)
    history = toy.trainer(
        alone,
        pairs,
        batch_size=16,
        validate=toy.agreement,
        optimizer="sgd",
    ).run()
    expected = {k: v for k, v in alone.state_dict().items() if k != "seen"}
    for name, value in expected.items():
        torch.testing.assert_close(first["state"][name], value, atol=1e-5, rtol=1e-4, msg=name)
    for line, expected in zip(first["history"], history, strict=True):
        assert line == pytest.approx(expected, abs=1e-4)
    lines = (tmp_path / "history.jsonl").read_text().splitlines()
    assert len(lines) == 5  # written by one of the processes


@pytest.mark.parametrize("processes", [1, 2, 3])
@pytest.mark.parametrize("count", [4, 23, 24, 25, 31])
def test_every_process_has_as_many_batches_of_the_same_sizes(count: int, processes: int) -> None:
    shares = [
        shuffled_rows(count, 4, seed=1, process=process, processes=processes)
        for process in range(processes)
    ]
    assert len({tuple(len(rows) for rows in share) for share in shares}) == 1
    dealt = [row for share in shares for rows in share for row in rows]
    assert len(dealt) == len(set(dealt))
    assert set(dealt) <= set(range(count))


def test_a_last_batch_of_fewer_is_left_out_unless_it_is_the_only_one() -> None:
    assert [len(rows) for rows in shuffled_rows(11, 4, seed=0)] == [4, 4]
    assert [len(rows) for rows in shuffled_rows(12, 4, seed=0)] == [4, 4, 4]
    assert [len(rows) for rows in shuffled_rows(3, 4, seed=0)] == [3]


def test_the_order_follows_the_seed() -> None:
    assert shuffled_rows(20, 4, seed=3) == shuffled_rows(20, 4, seed=3)
    assert shuffled_rows(20, 4, seed=3) != shuffled_rows(20, 4, seed=4)


def test_batches_in_order_have_every_row() -> None:
    assert ordered_rows(5, 2) == [[0, 1], [2, 3], [4]]
