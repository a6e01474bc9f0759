from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import numpy as np
import pytest

import crosshash
from crosshash.retrieval import (
    check_disjoint,
    evaluate_both,
    evaluate_codes,
    f1_at_radius,
    make_record,
    mean_average_precision,
    precision_at,
    precision_recall_by_radius,
    precision_recall_by_rank,
)


def pairs(seed: int = 0, q: int = 12, n: int = 100, bits: int = 16) -> dict[str, Any]:
    """Codes of both modalities, the texts' with less noise; the last query is empty."""
    rng = np.random.default_rng(seed)
    labels = rng.random((q + n, 4)) < 0.3
    labels[np.arange(q), np.arange(q) % 4] = True
    labels[q - 1] = False
    centres = rng.normal(size=(4, bits))
    images = labels @ centres + 1.5 * rng.normal(size=(q + n, bits))
    texts = labels @ centres + 0.7 * rng.normal(size=(q + n, bits))
    return {
        "query": (images[:q], texts[:q]),
        "retrieval": (images[q:], texts[q:]),
        "query_labels": labels[:q],
        "retrieval_labels": labels[q:],
    }


def one_way(seed: int = 0) -> tuple[Any, ...]:
    data = pairs(seed)
    return (
        data["query"][0],
        data["retrieval"][1],
        data["query_labels"],
        data["retrieval_labels"],
    )


@pytest.mark.parametrize("ties", ["expected", "best", "worst", "index"])
@pytest.mark.parametrize("empty", ["skip", "zero"])
def test_figures_are_those_of_the_single_functions(ties: str, empty: str) -> None:
    arguments = one_way()
    figures = evaluate_codes(
        *arguments, topk=[5, 30], ranks=[1, 7, 60], radii=[0, 3], ties=ties, empty=empty
    )
    same: dict[str, Any] = {"ties": ties, "empty": empty}
    assert figures.map == mean_average_precision(*arguments, **same)
    for other in ("best", "worst"):
        value = mean_average_precision(*arguments, ties=other, empty=empty)
        assert getattr(figures, f"map_{other}") == value
    assert list(figures.map_at) == [5, 30]
    for k, values in figures.map_at.items():
        assert values == {
            name: mean_average_precision(*arguments, topk=k, denominator=name, **same)
            for name in ("total", "min", "retrieved", "first")
        }
    assert figures.precision_at == pytest.approx(precision_at(*arguments, [1, 7, 60], **same))
    assert figures.f1_at_radius == f1_at_radius(*arguments, [0, 3], empty=empty)
    radius = precision_recall_by_radius(*arguments, empty=empty)
    assert figures.by_radius.as_dict() == radius.as_dict()
    rank = precision_recall_by_rank(*arguments, **same)
    np.testing.assert_array_equal(figures.by_rank.at, rank.at)
    np.testing.assert_allclose(figures.by_rank.precision, rank.precision, atol=1e-12)
    np.testing.assert_allclose(figures.by_rank.recall, rank.recall, atol=1e-12)
    assert (figures.queries, figures.items, figures.bits) == (12, 100, 16)
    assert figures.empty_queries == 1


def test_chance_is_what_equal_and_random_codes_reach() -> None:
    query, items, query_labels, item_labels = one_way()
    chance = evaluate_codes(query, items, query_labels, item_labels).chance
    flat = np.ones_like(items)
    assert chance == pytest.approx(
        mean_average_precision(query, flat, query_labels, item_labels), abs=1e-12
    )
    rng = np.random.default_rng(0)
    values = [
        mean_average_precision(
            rng.normal(size=query.shape), rng.normal(size=items.shape), query_labels, item_labels
        )
        for _ in range(60)
    ]
    assert abs(np.mean(values) - chance) < 4 * np.std(values) / np.sqrt(60)


def test_figures_are_json_ready() -> None:
    figures = evaluate_codes(*one_way(), nothing="skip")
    values = json.loads(json.dumps(figures.as_dict(), allow_nan=False))
    assert values == figures.as_dict()
    assert values["map_at"]["50"]["first"] == figures.map_at[50]["first"]
    assert len(values["by_radius"]["precision"]) == 17


def test_default_ranks_stop_at_the_size_of_the_retrieval_set() -> None:
    assert list(evaluate_codes(*one_way()).precision_at) == [1, 5, 10, 50, 100]


def test_both_directions_are_measured_each_on_its_own_codes() -> None:
    data = pairs()
    report = evaluate_both(**data, topk=[10])
    labels = data["query_labels"], data["retrieval_labels"]
    i2t = mean_average_precision(data["query"][0], data["retrieval"][1], *labels)
    t2i = mean_average_precision(data["query"][1], data["retrieval"][0], *labels)
    assert (report.i2t.map, report.t2i.map) == (i2t, t2i)
    assert i2t != t2i
    assert report.map_mean == (i2t + t2i) / 2
    assert report.image_health.items == report.text_health.items == 100
    values = report.as_dict()
    assert (values["map_i2t"], values["map_t2i"]) == (i2t, t2i)
    assert json.loads(json.dumps(values, allow_nan=False)) == values


def brute_force_map(query: Any, found: Any, query_labels: Any, labels: Any) -> float:
    """Mean precision at relevant items, in order of Hamming distance, ties in database order."""
    values = []
    for code, wanted in zip(query, query_labels, strict=True):
        distances = [int(((code >= 0) != (other >= 0)).sum()) for other in found]
        order = sorted(range(len(found)), key=lambda row: (distances[row], row))
        hits, precisions = 0, []
        for place, row in enumerate(order, 1):
            if (wanted & labels[row]).any():
                hits += 1
                precisions.append(hits / place)
        if precisions:
            values.append(sum(precisions) / len(precisions))
    return sum(values) / len(values)


def test_pictures_among_pictures_and_texts_among_texts_are_measured_by_brute_force() -> None:
    data = pairs()
    report = evaluate_both(**data, ties="index")
    labels = data["query_labels"], data["retrieval_labels"]
    images, texts = zip(data["query"], data["retrieval"], strict=True)
    assert report.i2i.map == pytest.approx(brute_force_map(*images, *labels))
    assert report.t2t.map == pytest.approx(brute_force_map(*texts, *labels))
    assert len({report.i2i.map, report.t2t.map, report.i2t.map, report.t2i.map}) == 4
    assert report.map_mean == (report.i2t.map + report.t2i.map) / 2
    values = report.as_dict()
    assert (values["map_i2i"], values["map_t2t"]) == (report.i2i.map, report.t2t.map)
    assert values["i2i"] == report.i2i.as_dict()
    assert "nested" not in values


def test_the_record_holds_what_was_given_and_how_it_was_measured() -> None:
    record = make_record(
        dataset="toys",
        protocol="random",
        split="ab12",
        counts={"query": 12, "retrieval": 100, "train": 80},
        overlaps={"query_retrieval": 0, "retrieval_train": 80},
        captions="first",
        seed=3,
        bits=16,
    )
    report = evaluate_both(
        **pairs(), record=record, ties="index", denominator="first", empty="zero", topk=[5]
    )
    values = report.record_dict()
    assert values == report.as_dict()["record"]
    assert values["dataset"] == "toys"
    assert values["counts"]["train"] == 80
    assert (values["ties"], values["denominator"], values["empty"]) == ("index", "first", "zero")
    assert values["empty_queries"] == {"i2t": 1, "t2i": 1}
    assert values["versions"]["crosshash"] == crosshash.__version__
    assert values["versions"]["numpy"] == np.__version__


def test_without_a_record_versions_and_bits_are_recorded() -> None:
    values = evaluate_both(**pairs()).record_dict()
    assert values["bits"] == 16
    assert "crosshash" in values["versions"]


@pytest.mark.parametrize(
    ("known", "message"),
    [
        ({"bits": 32}, "the record says bits 32, but the codes have 16"),
        ({"counts": {"query": 13}}, "says query 13, but the codes have 12"),
        ({"counts": {"retrieval": 99}}, "says retrieval 99, but the codes have 100"),
        ({"overlaps": {"query_retrieval": 4}}, "4 queries are in the retrieval set"),
    ],
)
def test_a_record_that_contradicts_the_codes_is_refused(
    known: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        evaluate_both(**pairs(), record=make_record(**known))


def test_one_array_for_both_modalities_is_refused() -> None:
    data = pairs()
    buffer = data["query"][0]
    for texts in (buffer, buffer[:], buffer.view()):
        with pytest.raises(ValueError, match="query pairs are one and the same array"):
            evaluate_both(**{**data, "query": (buffer, texts)})
    lists = tuple(codes.tolist() for codes in data["query"])
    assert evaluate_both(**{**data, "query": lists}).map_mean > 0
    evaluate_both(**{**data, "query": (buffer, buffer.copy())})


def test_a_query_in_the_retrieval_set_is_refused() -> None:
    check_disjoint(["a", "b"], ["c"])
    with pytest.raises(ValueError, match=r"2 queries are in the retrieval set too \('b', 'a'\)"):
        check_disjoint(["b", "x", "a"], iter(["a", "b"]))
    ids = [f"photo-{i}" for i in range(112)]
    evaluate_codes(*one_way(), query_ids=ids[:12], retrieval_ids=ids[12:])
    with pytest.raises(ValueError, match="1 queries are in the retrieval set too"):
        evaluate_codes(*one_way(), query_ids=ids[1:13], retrieval_ids=ids[12:])
    with pytest.raises(ValueError, match="both query_ids and retrieval_ids"):
        evaluate_codes(*one_way(), query_ids=ids[:12])


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ({"topk": [0]}, "each entry of topk is a whole number of at least 1"),
        ({"topk": [None]}, "topk lists whole numbers"),
        ({"ranks": [101]}, "1…100"),
        ({"radii": [17]}, "0…16"),
        ({"nothing": "one"}, "unknown nothing"),
        ({"ties": "first"}, "unknown ties"),
        ({"denominator": "all"}, "unknown denominator"),
    ],
)
def test_wrong_options_are_refused(option: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        evaluate_both(**pairs(), **option)


def test_importing_the_package_is_cheap() -> None:
    code = (
        "import sys, crosshash.retrieval as r; assert 'numpy' not in sys.modules; "
        "r.mean_average_precision; r.evaluate_both; "
        "assert not {'torch', 'numba', 'faiss', 'scipy'} & set(sys.modules); dir(r); "
        "\ntry: r.nothing\nexcept AttributeError: print('fine')"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout.strip() == "fine", done.stderr


def test_f1_is_averaged_as_its_convention_says_and_the_record_names_it() -> None:
    data = pairs()
    for average in ("query", "curve"):
        report = evaluate_both(**data, radii=[0, 2, 5], f1_average=average)
        assert report.record.f1_average == average
        assert report.i2t.f1_at_radius == f1_at_radius(
            *one_way(), [0, 2, 5], average=average, empty="skip"
        )
    curve = precision_recall_by_radius(*one_way())
    p, r = curve.precision[5], curve.recall[5]
    assert evaluate_codes(*one_way(), radii=[5], f1_average="curve").f1_at_radius == pytest.approx(
        {5: 2 * p * r / (p + r)}
    )
    with pytest.raises(ValueError, match="f1_average"):
        evaluate_codes(*one_way(), f1_average="curves")
