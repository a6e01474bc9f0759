"""R@k of the queries' own other sides in an evaluation, where it is asked for."""

from __future__ import annotations

import crosshash
from crosshash.experiment import evaluate
from crosshash.hub.card import card

FEW = "data.options.n=200"


def test_partners_are_measured_where_they_are_asked_for() -> None:
    plain = evaluate("amgfh-shapes-64", overrides=[FEW], progress=False)
    assert plain.partners == {}
    assert "partners" not in plain.as_dict()
    asked = [FEW, "evaluation.partners=true"]
    report = evaluate("amgfh-shapes-64", overrides=asked, progress=False)
    assert report.map_mean == plain.map_mean
    model = crosshash.load("amgfh-shapes-64")
    found = report.as_dict()["partners"]
    assert found["t2i_r10"] >= found["t2i_r5"] >= found["t2i_r1"] > 0
    assert 0 < found["i2t_r10_asymmetric"] <= 1
    model.info.figures = report.as_dict()
    told = card(model, "mine")
    queries = report.t2i.queries
    assert f"among the k nearest of all {queries:,} queries" in told
    assert f"| 64 | text → image | {found['t2i_r1']:.3f} |" in told
