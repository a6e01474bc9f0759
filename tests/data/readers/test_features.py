from __future__ import annotations

import numpy as np
import pytest
import scipy.io
import scipy.sparse

from crosshash.data import DATASETS

pytestmark = pytest.mark.usefixtures("matlab_here")
features = DATASETS["features"]
N = 40
SMALL = {"query": 4, "train": 10}
RNG = np.random.default_rng(0)
IMAGES = RNG.random((N, 12))
TEXTS = (RNG.random((N, 9)) < 0.4).astype(np.uint8)
LABELS = (RNG.random((N, 5)) < 0.4).astype(np.uint8)


def save(folder, **arrays):
    scipy.io.savemat(folder / "data.mat", arrays)
    return folder / "data.mat"


def check(dataset, n=N):
    assert len(dataset) == n
    np.testing.assert_allclose(dataset.images, IMAGES[:n], rtol=1e-6)
    np.testing.assert_array_equal(dataset.texts, TEXTS[:n])
    np.testing.assert_array_equal(dataset.labels, LABELS[:n])
    assert dataset.images.dtype == dataset.texts.dtype == np.float32


@pytest.mark.parametrize(
    "names",
    [
        ("images", "tags", "labels"),
        ("IAll", "TAll", "LAll"),
        ("XAll", "YAll", "LAll"),
        ("image", "text", "label"),
    ],
)
def test_the_usual_names_are_recognised(tmp_path, names):
    arrays = dict(zip(names, (IMAGES, TEXTS, LABELS), strict=True))
    dataset, protocol = features(save(tmp_path, **arrays, param=1.0), **SMALL)
    check(dataset)
    assert protocol.counts() == {"query": 4, "retrieval": 36, "train": 10}
    assert protocol.name.startswith("amgfh")
    assert dataset.ids[1] == "row-000001"


def test_other_names_are_chosen_by_key(tmp_path):
    path = save(tmp_path, vgg=IMAGES, resnet=IMAGES * 2, w2v=TEXTS, gnd=LABELS)
    keys = {"image_key": "vgg", "text_key": "w2v", "label_key": "gnd"}
    check(features(path, **keys, **SMALL)[0])
    with pytest.raises(
        ValueError, match=r"no variable has a usual name of images .*vgg \(40 × 12\).*image_key="
    ):
        features(path, **SMALL)
    with pytest.raises(ValueError, match=r"no variable is named 'x' \(image_key=\); it has vgg"):
        features(path, image_key="x", **SMALL)


def test_two_candidates_are_listed(tmp_path):
    path = save(tmp_path, IAll=IMAGES, XAll=IMAGES * 2, YAll=TEXTS, LAll=LABELS)
    with pytest.raises(
        ValueError, match=r"several .* images: IAll \(40 × 12\) or XAll .*set image_key="
    ):
        features(path, **SMALL)
    check(features(path, image_key="IAll", **SMALL)[0])


def test_missing_labels_are_an_error_unless_that_is_meant(tmp_path):
    path = save(tmp_path, XAll=IMAGES, YAll=TEXTS)
    with pytest.raises(ValueError, match=r"usual name of labels .* or to 'none'"):
        features(path, **SMALL)
    dataset, _ = features(path, label_key="none", **SMALL)
    assert dataset.labels is None


def test_separate_files_are_read_by_name_or_by_convention(tmp_path):
    np.save(tmp_path / "a.npy", IMAGES.astype(np.float16))
    np.save(tmp_path / "tags.npy", TEXTS)
    scipy.io.savemat(tmp_path / "data-lall.mat", {"LAll": LABELS})
    dataset, _ = features(tmp_path, images="a.npy", **SMALL)
    np.testing.assert_allclose(dataset.images, IMAGES, rtol=1e-3)
    np.testing.assert_array_equal(dataset.labels, LABELS)
    np.save(tmp_path / "labels.npy", LABELS)
    with pytest.raises(ValueError, match=r"several variables .* labels: .* in 4 files; .*labels="):
        features(tmp_path, images="a.npy", **SMALL)
    features(tmp_path, images="a.npy", texts="tags.npy", labels="labels.npy", **SMALL)
    with pytest.raises(FileNotFoundError, match=r"b\.npy: no such file"):
        features(tmp_path, images="b.npy", **SMALL)
    with pytest.raises(ValueError, match=r"is a file; images='x' are files in a folder"):
        features(tmp_path / "a.npy", images="x", **SMALL)


def test_a_folder_without_feature_files_is_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no feature files in this folder"):
        features(tmp_path)


def split(db=True):
    parts = {"tr": slice(5, 15), "te": slice(30, N)} | ({"db": slice(0, 30)} if db else {})
    return {
        f"{kind}_{part}": array[rows].copy()
        for part, rows in parts.items()
        for kind, array in (("I", IMAGES), ("T", TEXTS), ("L", LABELS))
    }


def test_split_variables_make_the_protocol(tmp_path):
    dataset, protocol = features(save(tmp_path, **split()), name="mine")
    check(dataset)  # the training pairs are those of the database, and come once
    assert protocol.query.tolist() == list(range(30, 40))
    assert protocol.retrieval.tolist() == list(range(30))
    assert protocol.train.tolist() == list(range(5, 15))
    assert protocol.name == "mine (split of the file)"
    assert (dataset.ids[0], dataset.ids[30]) == ("retrieval-000000", "query-000000")


def test_without_a_database_the_training_pairs_are_searched(tmp_path):
    dataset, protocol = features(save(tmp_path, **split(db=False)))
    assert protocol.counts() == {"query": 10, "retrieval": 10, "train": 10}
    np.testing.assert_allclose(dataset.images[protocol.train], IMAGES[5:15], rtol=1e-6)
    np.testing.assert_allclose(dataset.images[protocol.query], IMAGES[30:], rtol=1e-6)


def test_training_pairs_that_are_not_in_the_database_are_added(tmp_path):
    arrays = split()
    arrays["I_tr"][3] += 1
    dataset, protocol = features(save(tmp_path, **arrays))
    assert len(dataset) == N + 1
    assert protocol.train.tolist() == [5, 6, 7, 30, 9, 10, 11, 12, 13, 14]
    assert dataset.ids[30] == "train-000003"
    assert protocol.overlaps()["retrieval_train"] == 9


def test_labels_of_another_type_do_not_hide_equal_pairs(tmp_path):
    arrays = split()
    arrays["L_tr"] = arrays["L_tr"].astype(float)
    assert len(features(save(tmp_path, **arrays))[0]) == N


def test_queries_that_are_in_the_database_are_warned_of(tmp_path):
    arrays = split()
    for kind in "ITL":
        arrays[f"{kind}_te"][2] = arrays[f"{kind}_db"][7]
    with pytest.warns(UserWarning, match="1 of 10 queries equal a searched pair"):
        features(save(tmp_path, **arrays))


def test_a_paper_can_replace_the_split_of_a_file(tmp_path):
    path = save(tmp_path, **split())
    with pytest.raises(ValueError, match="are a split already; leave query= and train= out"):
        features(path, **SMALL)
    _, protocol = features(path, protocol="amgfh", **SMALL)
    assert protocol.counts() == {"query": 4, "retrieval": 36, "train": 10}


def test_keys_with_a_star_name_the_parts_of_a_split(tmp_path):
    arrays = {name.replace("I_", "vgg-"): array for name, array in split().items()}
    np.savez(tmp_path / "data.npz", **arrays)
    check(features(tmp_path / "data.npz", image_key="vgg-*")[0])


def test_splits_may_lie_in_several_files(tmp_path):
    for part in ("tr", "te", "db"):
        arrays = {name: array for name, array in split().items() if name.endswith(part)}
        scipy.io.savemat(tmp_path / f"mir_{part}.mat", arrays)
    check(features(tmp_path)[0])


@pytest.mark.parametrize("missing", ["L_te", "T_tr"])
def test_parts_that_do_not_match_are_refused(tmp_path, missing):
    arrays = split()
    del arrays[missing]
    with pytest.raises(ValueError, match=r"not of the same parts \(images: .*I_"):
        features(save(tmp_path, **arrays))


def test_a_split_needs_queries(tmp_path):
    arrays = {name: array for name, array in split().items() if not name.endswith("te")}
    with pytest.raises(ValueError, match=r"only the parts train, retrieval; it needs queries"):
        features(save(tmp_path, **arrays))


@pytest.mark.parametrize("kind", ["columns", "mixed"])
def test_pairs_in_columns_are_turned(tmp_path, kind):
    labels = LABELS.T if kind == "columns" else LABELS
    check(features(save(tmp_path, XAll=IMAGES.T, YAll=TEXTS.T, LAll=labels), **SMALL)[0])


def test_pairs_of_a_split_in_columns_are_turned(tmp_path):
    check(features(save(tmp_path, **{name: array.T for name, array in split().items()}))[0])


def test_an_orientation_that_is_not_plain_must_be_given(tmp_path):
    square = np.eye(6)
    path = save(tmp_path, XAll=np.arange(36.0).reshape(6, 6), YAll=square, LAll=square)
    with pytest.raises(ValueError, match=r"may be rows or columns .* set orientation='rows' or"):
        features(path, query=1, train=1)
    rows, columns = (
        features(path, orientation=way, query=1, train=1)[0].images for way in ("rows", "columns")
    )
    np.testing.assert_array_equal(rows, columns.T)
    np.testing.assert_array_equal(rows[0], np.arange(6))
    with pytest.raises(ValueError, match="orientation='up'"):
        features(path, orientation="up")


def test_counts_that_differ_are_refused_with_all_shapes(tmp_path):
    path = save(tmp_path, XAll=IMAGES[:-1], YAll=TEXTS, LAll=LABELS)
    with pytest.raises(
        ValueError, match=r"same number of pairs.*XAll \(39 × 12\).*YAll \(40 × 9\)"
    ):
        features(path, **SMALL)
    arrays = split()
    arrays["I_te"] = arrays["I_te"][:, :-1]
    with pytest.raises(ValueError, match=r"parts have different widths .*I_te \(10 × 11\)"):
        features(save(tmp_path, **arrays))


@pytest.mark.parametrize("shape", [(N, 1), (1, N), (N,)])
@pytest.mark.parametrize("dtype", [np.uint8, np.float64])
def test_class_numbers_become_one_hot(tmp_path, shape, dtype):
    numbers = (np.arange(N) % 3 + 1).astype(dtype)
    np.savez(tmp_path / "a.npz", images=IMAGES, tags=TEXTS, labels=numbers.reshape(shape))
    dataset, _ = features(tmp_path / "a.npz", **SMALL)
    assert dataset.label_names == ("1", "2", "3")
    np.testing.assert_array_equal(dataset.labels.argmax(1) + 1, numbers)
    assert (dataset.labels.sum(1) == 1).all()


def test_class_numbers_of_a_split_are_counted_together(tmp_path):
    arrays = split(db=False)
    arrays["L_tr"] = np.full((10, 1), 44, dtype=np.uint8)
    arrays["L_te"] = np.full((10, 1), 300.0)
    dataset, protocol = features(save(tmp_path, **arrays))
    assert dataset.label_names == ("44", "300")
    assert dataset.labels[protocol.query].tolist() == [[0, 1]] * 10


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (np.full((N, 1), 0.5), "class numbers, which are whole"),
        (np.full((N, 1), np.nan), "class numbers, which are whole"),
        (LABELS * 2, "labels are 0 or 1"),
        (LABELS * np.nan, "labels are 0 or 1"),
    ],
)
def test_labels_that_are_neither_are_refused(tmp_path, labels, message):
    with pytest.raises(ValueError, match=message):
        features(save(tmp_path, XAll=IMAGES, YAll=TEXTS, LAll=labels), **SMALL)


def test_names_of_pairs_are_not_taken_for_classes(tmp_path):
    np.savez(
        tmp_path / "a.npz",
        images=np.ones((20_000, 2)),
        tags=np.ones((20_000, 3)),
        labels=np.arange(20_000),
    )
    with pytest.raises(ValueError, match=r"20,000 different class numbers .* label_key="):
        features(tmp_path / "a.npz", **SMALL)


@pytest.mark.parametrize("value", [np.nan, np.inf, 1e300])
def test_values_that_are_not_finite_are_refused_with_the_pair(tmp_path, value):
    images = IMAGES.copy()
    images[7, 3] = value
    with pytest.raises(ValueError, match=r"image features of 1 pairs .* 'row-000007'"):
        features(save(tmp_path, XAll=images, YAll=TEXTS, LAll=LABELS), **SMALL)


@pytest.mark.parametrize("axes", [(0, 1, 2, 3), (0, 3, 1, 2), (1, 2, 3, 0)])
def test_pictures_are_read_from_any_usual_order_of_axes(tmp_path, axes):
    pictures = RNG.integers(0, 256, (N, 6, 8, 3), dtype=np.uint8)
    path = save(tmp_path, IAll=pictures.transpose(axes), YAll=TEXTS, LAll=LABELS)
    dataset, _ = features(path, **SMALL)
    assert dataset.image_kind == "pixels"
    np.testing.assert_array_equal(np.asarray(dataset.images.open(7)), pictures[7])


def test_other_axes_are_refused(tmp_path):
    for images, message in (
        (np.ones((N, 2, 3)), "has 3 axes"),
        (np.ones((N, 6, 8, 3)), "pictures are uint8 with three channels"),
        (np.ones((N, 6, 8, 4), dtype=np.uint8), "pictures are uint8 with three channels"),
    ):
        with pytest.raises(ValueError, match=message):
            features(save(tmp_path, IAll=images, YAll=TEXTS, LAll=LABELS), **SMALL)
    path = save(tmp_path, IAll=IMAGES, YAll=np.ones((N, 6, 8, 3), np.uint8), LAll=LABELS)
    with pytest.raises(ValueError, match="texts are features"):
        features(path, **SMALL)


def test_sparse_tags_are_read(tmp_path):
    path = save(tmp_path, XAll=IMAGES, YAll=scipy.sparse.csc_matrix(TEXTS), LAll=LABELS)
    check(features(path, **SMALL)[0])


def test_a_paper_is_chosen_by_the_name_of_the_data_set(tmp_path):
    path = save(tmp_path, XAll=IMAGES, YAll=TEXTS, LAll=LABELS)
    with pytest.raises(ValueError, match=r"2,100 queries and 10,500 training pairs of .*'dmsfh'"):
        features(path, name="nuswide", protocol="dmsfh")


def test_the_wiki_benchmark_reads_as_its_own_reader_does(shared_data):
    dataset, protocol = features(shared_data / "wiki" / "wikiData.mat")
    expected, official = DATASETS["wiki"](shared_data / "wiki")
    np.testing.assert_array_equal(dataset.images, expected.images)
    np.testing.assert_array_equal(dataset.labels, expected.labels)
    assert protocol.counts() == official.counts()
