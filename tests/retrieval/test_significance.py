"""A difference between models that is sure, and one that is not."""

from __future__ import annotations

import numpy as np
import pytest

from crosshash.retrieval.significance import compare_with_best, holm


def test_holm_is_the_textbooks_step_down() -> None:
    # 4 × 0.005, 3 × 0.01, then 2 × 0.03 and 1 × 0.04, which may not be below it.
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.5, 0.9]) == [1.0, 1.0]
    assert holm([]) == []


def test_p_is_twice_the_share_of_draws_that_go_the_other_way() -> None:
    random = np.random.default_rng(1)
    a = random.random(40)
    b = a - random.normal(0.02, 0.1, 40)
    found = compare_with_best({"a": a, "b": b}, resamples=4000, seed=3)
    better = (a, b) if found.best == "a" else (b, a)
    gap = better[0] - better[1]
    draws = np.random.default_rng(9).integers(0, 40, (20_000, 40))
    share = (gap[draws].mean(axis=1) <= 0).mean()
    (value,) = found.values.values()
    assert value == pytest.approx(min(1, 2 * share), abs=0.02)
    again = compare_with_best({"a": a, "b": b}, resamples=4000, seed=3)
    assert again.values == found.values
    assert compare_with_best({"a": a, "b": b}, resamples=4000, seed=4).values != found.values


def test_under_no_difference_few_are_called_sure() -> None:
    random = np.random.default_rng(2)
    wrong = 0
    for trial in range(100):
        rows = {name: random.normal(0.5, 0.1, 60) for name in "abcde"}
        found = compare_with_best(rows, resamples=400, seed=trial)
        wrong += not found.tied
    assert wrong <= 10


def test_pairing_tells_small_differences_of_uneven_queries() -> None:
    random = np.random.default_rng(4)
    hard = random.random(300)  # from query to query
    better = hard + 0.01 + random.normal(0, 0.02, 300)
    found = compare_with_best({"plain": hard, "better": better})
    assert (found.best, found.tied) == ("better", ())


def test_as_many_are_drawn_as_the_correction_needs() -> None:
    rows = {f"bad {number}": np.full(30, 0.1) for number in range(60)}
    found = compare_with_best({"good": np.linspace(0.5, 0.9, 30), **rows})
    assert found.resamples >= 60 * 2 / 0.05
    assert found.tied == ()


def test_what_cannot_be_compared_is_refused() -> None:
    with pytest.raises(ValueError, match="same queries"):
        compare_with_best({"a": [0.1, 0.2], "b": [0.1]})
    with pytest.raises(ValueError, match="of none"):
        compare_with_best({})
    with pytest.raises(ValueError, match="leave them out"):
        compare_with_best({"a": [0.1, float("nan")], "b": [0.1, 0.2]})
    alone = compare_with_best({"a": [0.1, 0.2]})
    assert (alone.best, alone.values, alone.tied) == ("a", {}, ())
