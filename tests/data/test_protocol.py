from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from crosshash.data import Protocol


def make(query, retrieval, train, validation=None):
    return Protocol("p", query, retrieval, train, validation)


def test_a_random_protocol_searches_everything_but_the_queries():
    protocol = Protocol.random(50, query=7, train=20, seed=3)
    protocol.check(50)
    assert protocol.counts() == {"query": 7, "retrieval": 43, "train": 20}
    assert set(protocol.query) | set(protocol.retrieval) == set(range(50))
    assert protocol.overlaps() == {"query_retrieval": 0, "query_train": 0, "retrieval_train": 20}


def test_a_random_protocol_depends_on_the_seed_only():
    ids = [f"i{i}" for i in range(50)]
    digests = [Protocol.random(50, query=7, train=20, seed=s).digest(ids) for s in (0, 0, 1)]
    assert digests[0] == digests[1] != digests[2]


@pytest.mark.parametrize(("query", "train"), [(0, 5), (5, 0), (6, 5)])
def test_a_random_protocol_refuses_sizes_that_do_not_fit(query, train):
    with pytest.raises(ValueError, match=f"10 pairs cannot be split into {query} .* {train}"):
        Protocol.random(10, query=query, train=train)


def test_queries_in_the_retrieval_set_are_refused_with_count_and_names():
    ids = ["zero", "one", "two", "three"]
    with pytest.raises(ValueError, match=r"2 of 3 query .* retrieval set .*'one', 'two'"):
        make([0, 1, 2], [1, 2, 3], [3]).check(4, ids)


def test_queries_in_the_training_set_are_refused():
    with pytest.raises(ValueError, match=r"1 of 2 query pairs are in the train set too \(1\)"):
        make([0, 1], [2, 3], [1, 2]).check(4)


def test_a_validation_set_may_share_pairs_with_neither_queries_nor_training():
    make([0], [1, 2, 3], [1, 2], [3]).check(4)
    with pytest.raises(ValueError, match="query pairs are in the validation set"):
        make([0], [1, 2], [1, 2], [0]).check(4)
    with pytest.raises(ValueError, match="train pairs are in the validation set"):
        make([0], [1, 2], [1, 2], [2]).check(4)


@pytest.mark.parametrize("part", ["query", "retrieval", "train"])
def test_an_empty_set_is_refused(part):
    sets = {"query": [0], "retrieval": [1], "train": [1]}
    with pytest.raises(ValueError, match=f"the {part} set is empty"):
        make(**{**sets, part: []}).check(4)


def test_an_index_twice_in_a_set_is_refused():
    with pytest.raises(ValueError, match=r"1 pairs are in the retrieval set more than once \(2\)"):
        make([0], [1, 2, 2], [1]).check(4)


@pytest.mark.parametrize("index", [-1, 4])
def test_an_index_outside_the_data_set_is_refused(index):
    with pytest.raises(ValueError, match=r"1 indices of the train set are outside 0…3"):
        make([0], [1], [index]).check(4)


def test_masks_and_tables_are_no_index_sets():
    with pytest.raises(ValueError, match=r"bool.*np\.flatnonzero"):
        make(np.array([True, False]), [1], [1])
    with pytest.raises(ValueError, match=r"shape \(1, 2\)"):
        make([[0, 1]], [1], [1])


def test_the_sets_cannot_be_changed_from_outside():
    source = np.array([0, 1])
    protocol = make(source, [2], [2])
    source[0] = 2
    assert protocol.query.tolist() == [0, 1]
    with pytest.raises(ValueError, match="read-only"):
        protocol.query[0] = 2
    with pytest.raises(dataclasses.FrozenInstanceError):
        protocol.name = "other"


def test_the_digest_sees_ids_sets_and_order():
    ids = ["a", "b", "c", "d"]
    first = make([0], [1, 2, 3], [1])
    assert len(first.digest(ids)) == 64
    others = [
        make([0], [2, 1, 3], [1]).digest(ids),
        make([0], [1, 2, 3], [2]).digest(ids),
        make([0, 1], [2, 3], [1]).digest(ids),
        make([0], [1, 2, 3], [1], [2]).digest(ids),
        first.digest(["a", "b", "c", "e"]),
    ]
    assert len({first.digest(ids), *others}) == 6


def test_the_digest_is_of_names_not_of_row_numbers():
    assert make([0], [1], [1]).digest(["a", "b"]) == make([1], [0], [0]).digest(["b", "a"])


def test_validation_comes_from_the_training_set_and_never_from_the_queries():
    protocol = Protocol.random(60, query=10, train=30, seed=1)
    chosen = protocol.with_validation(8, seed=5)
    chosen.check(60)
    assert chosen.counts() == {"query": 8, "retrieval": 22, "train": 22}
    assert set(chosen.query) | set(chosen.train) == set(protocol.train)
    assert not set(chosen.query) & set(protocol.query)
    assert chosen.train.tolist() == chosen.retrieval.tolist()


def test_validation_keeps_the_order_of_the_training_set():
    train = [9, 3, 7, 1, 5]
    chosen = make([0], train, train).with_validation(2, seed=0)
    assert chosen.train.tolist() == [i for i in train if i not in chosen.query]
    assert chosen.query.tolist() == [i for i in train if i in chosen.query]


def test_validation_depends_on_its_seed():
    protocol = Protocol.random(200, query=10, train=150)
    draws = [tuple(protocol.with_validation(40, seed=s).query) for s in (0, 0, 1)]
    assert draws[0] == draws[1] != draws[2]


@pytest.mark.parametrize("size", [0, 30, 31])
def test_validation_must_leave_training_pairs(size):
    protocol = Protocol.random(60, query=10, train=30)
    with pytest.raises(ValueError, match=f"hold out {size} of 30 training pairs.*1 to 29"):
        protocol.with_validation(size)


def test_the_authors_validation_set_is_used_where_there_is_one():
    protocol = make([0], [1, 2, 3], [1, 2, 3], [4, 5])
    chosen = protocol.with_validation(2)
    assert chosen.query.tolist() == [4, 5]
    assert chosen.train.tolist() == [1, 2, 3]
    with pytest.raises(ValueError, match="3 of 2 validation pairs"):
        protocol.with_validation(3)


def test_pairs_to_calibrate_on_train_nothing_and_are_still_searched():
    protocol = Protocol.random(200, query=10, train=150)
    left = protocol.with_calibration(40, seed=5)
    left.check(200)
    assert left.counts() == {"query": 10, "retrieval": 190, "train": 110, "calibration": 40}
    assert left.overlaps()["retrieval_calibration"] == 40
    assert sorted([*left.train, *left.calibration]) == protocol.train.tolist()
    assert left.digest(range(200)) != protocol.digest(range(200))
    chosen = left.with_validation(30)
    assert not np.isin(left.calibration, [*chosen.query, *chosen.train]).any()
    again = protocol.with_calibration(40, seed=5)
    assert again.calibration.tolist() == left.calibration.tolist()
    assert protocol.with_calibration(40).calibration.tolist() != left.calibration.tolist()
    with pytest.raises(ValueError, match=r"40 pairs are left out .* data\.calibration to 0"):
        left.with_calibration(2)
    with pytest.raises(ValueError, match="train pairs are in the calibration set"):
        dataclasses.replace(left, calibration=protocol.train).check(200)


@pytest.mark.parametrize("size", [0, 30, 31])
def test_calibration_must_leave_training_pairs(size):
    protocol = Protocol.random(60, query=10, train=30)
    with pytest.raises(ValueError, match=f"leave {size} of 30 training pairs out.*1 to 29"):
        protocol.with_calibration(size)


def test_a_rehearsal_lies_inside_the_training_set_and_is_like_the_real_search() -> None:
    whole = Protocol.random(1000, query=100, train=600, seed=3)
    rehearsal = whole.held_out(150)
    rehearsal.check(1000)
    everything = np.concatenate([rehearsal.query, rehearsal.retrieval])
    assert set(everything) == set(whole.train)
    assert len(rehearsal.train) == 450
    unseen = np.setdiff1d(rehearsal.retrieval, rehearsal.train)
    assert len(unseen) == 100  # two thirds; a third of 900 would be 225
    assert len(rehearsal.query) == 50
    assert np.array_equal(rehearsal.query, whole.held_out(150).query)
    assert not np.array_equal(rehearsal.query, whole.held_out(150, seed=1).query)


def test_a_rehearsal_searches_only_trained_pairs_where_the_protocol_does() -> None:
    train = np.arange(100)
    rehearsal = Protocol("wiki", np.arange(100, 130), train, train).held_out(30)
    assert len(rehearsal.query) == 30
    assert np.array_equal(rehearsal.retrieval, rehearsal.train)


@pytest.mark.parametrize("size", [0, 2, 100])
def test_a_rehearsal_that_cannot_be_held_is_refused(size: int) -> None:
    train = np.arange(100)
    with pytest.raises(ValueError, match="from 3 to 99"):
        Protocol("wiki", np.arange(100, 130), train, train).held_out(size)
