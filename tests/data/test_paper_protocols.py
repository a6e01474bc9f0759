from __future__ import annotations

import pytest

from crosshash.data.paper_protocols import PAPERS, choose_protocol, paper_sizes
from crosshash.data.protocol_file import write_protocol

IDS = [f"im{i}" for i in range(25_000)]


@pytest.mark.parametrize(
    ("paper", "dataset", "query", "train"),
    [
        ("amgfh", "mirflickr25k", 2000, 5000),
        ("amgfh", "nuswide", 2000, 5000),
        ("amgfh", "coco", 2000, 5000),
        ("amgfh", "my own", 2000, 5000),
        ("mdffh", "MIRFLICKR-25K", 2000, 10000),
        ("mdffh", "nuswide", 2000, 10000),
        ("dmsfh", "mirflickr", 2000, 10000),
        ("dmsfh", "nus-wide-tc21", 2100, 10500),
        ("hfah", "mirflickr25k", 2000, 10000),
        ("hfah", "nuswide-21", 2100, 10500),
        ("dcmh", "mirflickr25k", 2000, 10000),
        ("dcmh", "nuswide-tc21", 2100, 10500),
        ("djsrh", "mirflickr25k", 2000, 5000),
        ("djsrh", "nuswide-tc10", 2000, 5000),
        ("dchmt", "mirflickr25k", 5000, 10000),
        ("dchmt", "nuswide-tc21", 5000, 10000),
        ("dchmt", "coco", 5000, 10000),
        ("mith", "mirflickr25k", 2000, 10000),
        ("mith", "nuswide-tc21-tagged", 2100, 10500),
        ("mith", "coco", 5000, 10000),
    ],
)
def test_sizes_are_those_of_the_papers(paper, dataset, query, train):
    protocol = choose_protocol(IDS, dataset=dataset, protocol=paper)
    protocol.check(len(IDS))
    assert protocol.counts() == {"query": query, "retrieval": len(IDS) - query, "train": train}
    assert protocol.overlaps()["retrieval_train"] == train
    assert protocol.name == f"{paper} (query {query}, train {train}, seed 0)"


def test_sizes_can_be_replaced_one_by_one():
    protocol = choose_protocol(IDS, dataset="coco", query=7)
    assert protocol.counts() == {"query": 7, "retrieval": 24_993, "train": 5000}
    protocol = choose_protocol(IDS, dataset="coco", train=9)
    assert protocol.counts() == {"query": 2000, "retrieval": 23_000, "train": 9}


def test_the_seed_draws_the_sets():
    digests = [choose_protocol(IDS, dataset="coco", seed=s).digest(IDS) for s in (0, 0, 1)]
    assert digests[0] == digests[1] != digests[2]


def test_a_seeded_split_stays_the_same_across_releases():
    protocol = choose_protocol(IDS[:20], dataset="coco", query=4, train=6, seed=1)
    assert protocol.query.tolist() == [2, 9, 16, 18]


def test_a_small_copy_is_told_which_sizes_to_give():
    with pytest.raises(ValueError, match=r"'coco' has 159 pairs, too few .* query=31, train=64"):
        choose_protocol(IDS[:159], dataset="coco")
    assert choose_protocol(IDS[:159], dataset="coco", query=31, train=64).counts()["query"] == 31


def test_sizes_below_one_are_refused():
    with pytest.raises(ValueError, match="must be at least 1"):
        choose_protocol(IDS, dataset="coco", query=0)


@pytest.mark.parametrize("paper", ["mdffh", "dmsfh", "hfah", "dcmh", "djsrh"])
def test_a_paper_that_is_silent_on_a_data_set_says_so(paper):
    with pytest.raises(ValueError, match=rf"'{paper}' has no split of .*'coco', only of mirflickr"):
        choose_protocol(IDS, dataset="coco", protocol=paper)
    protocol = choose_protocol(IDS, dataset="coco", protocol=paper, query=10, train=20)
    assert protocol.counts()["train"] == 20


def test_an_unknown_protocol_is_refused_with_the_nearest_name():
    with pytest.raises(LookupError, match=r"'dmsf' is neither a paper .*'dmsfh'.* nor a protocol"):
        choose_protocol(IDS, dataset="coco", protocol="dmsf")
    with pytest.raises(LookupError, match="unknown protocol 'x'"):
        paper_sizes("x", "coco")
    assert set(PAPERS) == {
        "amgfh", "mdffh", "dmsfh", "hfah", "dcmh", "djsrh", "dchmt", "mith",
    }  # fmt: skip


def test_a_protocol_file_takes_the_place_of_a_paper(tmp_path):
    path = tmp_path / "split.json"
    drawn = choose_protocol(IDS[:50], dataset="coco", query=5, train=6, seed=3)
    write_protocol(path, drawn, IDS[:50], dataset="coco", seed=3)
    for given in (path, str(path)):
        read = choose_protocol(IDS[:50], dataset="coco", protocol=given)
        assert read.digest(IDS) == drawn.digest(IDS)
    with pytest.raises(ValueError, match="leave query= and train= out"):
        choose_protocol(IDS[:50], dataset="coco", protocol=path, query=5)
    with pytest.raises(ValueError, match="of data set 'coco', not of 'nuswide'"):
        choose_protocol(IDS[:50], dataset="nuswide", protocol=path)
