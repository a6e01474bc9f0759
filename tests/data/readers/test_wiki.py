from __future__ import annotations

import numpy as np
import pytest
import scipy.io

from crosshash.data import DATASETS

wiki = DATASETS["wiki"]


@pytest.fixture
def matrices():
    rng = np.random.default_rng(0)
    parts = {}
    for part, n in (("tr", 12), ("te", 5)):
        parts[f"I_{part}"] = rng.random((n, 128))
        parts[f"T_{part}"] = rng.random((n, 10))
        parts[f"L_{part}"] = np.eye(10, dtype=np.uint8)[rng.integers(0, 10, n)]
    return parts


def test_the_counts_are_those_of_the_benchmark(shared_data):
    dataset, protocol = wiki(shared_data / "wiki")
    assert dataset.summary() == {
        "pairs": 2866,
        "image_dim": 128,
        "text_dim": 10,
        "labels": 10,
        "unlabelled": 0,
        "skipped": 0,
    }
    assert protocol.counts() == {"query": 693, "retrieval": 2173, "train": 2173}
    assert protocol.overlaps()["query_retrieval"] == 0
    assert (dataset.labels.sum(axis=1) == 1).all()
    # The published number of training documents in each category, in this order.
    counts = dict(zip(dataset.label_names, dataset.labels[protocol.train].sum(axis=0), strict=True))
    assert counts == {
        "art": 138,
        "biology": 272,
        "geography": 244,
        "history": 248,
        "literature": 202,
        "media": 178,
        "music": 186,
        "royalty": 144,
        "sport": 214,
        "warfare": 347,
    }


def test_the_file_itself_may_be_the_root(tmp_path, matrices):
    path = tmp_path / "other.mat"
    scipy.io.savemat(path, matrices)
    dataset, protocol = wiki(path)
    np.testing.assert_allclose(dataset.images[12:], matrices["I_te"], rtol=1e-6)
    np.testing.assert_allclose(dataset.texts[:12], matrices["T_tr"], rtol=1e-6)
    assert dataset.ids[11:13] == ("train-0011", "test-0000")
    assert protocol.query.tolist() == [12, 13, 14, 15, 16]


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"wikiData\.mat"):
        wiki(tmp_path)


def test_a_damaged_file_is_refused(tmp_path, matrices):
    path = tmp_path / "wikiData.mat"
    scipy.io.savemat(path, matrices)
    whole = path.read_bytes()
    for damaged in (whole[: len(whole) // 2], b"no matrices"):
        path.write_bytes(damaged)
        with pytest.raises(ValueError, match=r"wikiData\.mat: cannot be read as a MATLAB file"):
            wiki(tmp_path)


def test_missing_matrices_are_named(tmp_path, matrices):
    del matrices["T_te"], matrices["L_tr"]
    scipy.io.savemat(tmp_path / "wikiData.mat", matrices)
    with pytest.raises(ValueError, match="the matrices T_te, L_tr are missing"):
        wiki(tmp_path)


@pytest.mark.parametrize(
    ("name", "shape"), [("L_te", (5, 9)), ("T_tr", (11, 10)), ("I_tr", (12, 100))]
)
def test_matrices_of_the_wrong_shape_are_refused(tmp_path, matrices, name, shape):
    matrices[name] = np.zeros(shape)
    scipy.io.savemat(tmp_path / "wikiData.mat", matrices)
    with pytest.raises(ValueError, match=rf"{name} has the shape \({shape[0]}, {shape[1]}\)"):
        wiki(tmp_path)


def test_features_that_are_not_finite_are_refused(tmp_path, matrices):
    matrices["T_te"][2, 3] = np.nan
    scipy.io.savemat(tmp_path / "wikiData.mat", matrices)
    with pytest.raises(ValueError, match=r"text features of 1 pairs are NaN .* 'test-0002'"):
        wiki(tmp_path)
