"""A model of vectors, from arrays to a checkpoint."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import crosshash
from crosshash.experiment.comparison import HeldOut, baselines
from crosshash.experiment.fitting import fit, fit_config, paired_vectors
from crosshash.hub.card import card, held_out_words

COUNT = 160
RNG = np.random.default_rng(0)
TOPICS = RNG.normal(size=(COUNT, 8))
IMAGES = TOPICS @ RNG.normal(size=(8, 24)) + 0.3 * RNG.normal(size=(COUNT, 24))
TEXTS = (TOPICS @ RNG.normal(size=(8, 20)))[:, None] + 0.3 * RNG.normal(size=(COUNT, 2, 20))
CLASSES = TOPICS[:, :4].argmax(axis=1)


def small(*arguments: Any, **options: Any) -> Any:
    settings = {"bits": 16, "epochs": 4, "progress": False, **options}
    return fit(*arguments, **settings)


@pytest.fixture(scope="module")
def fitted(tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Path]:
    folder = tmp_path_factory.mktemp("fit") / "model"
    model = small(
        IMAGES,
        TEXTS,
        epochs=30,
        output=folder,
        overrides=["training.batch_size=48", "network.dropout=0"],
    )
    return model, folder


def test_pairs_find_each_other_better_than_signs_do(fitted: tuple[Any, Path]) -> None:
    told = fitted[0].info.figures["fit"]
    assert (told["pairs"], told["held_out"]) == (160, 16)
    rows = {row["codes"]: row for row in told["rows"]}
    own, signs = rows["CPH, this model"], rows["signs"]
    assert set(rows) > {"centred signs", "ITQ", "CCA-ITQ", "the vectors themselves"}
    assert own["text → image R@1"] > 0.3 > signs["text → image R@1"]  # chance: 1/16
    assert own["text → image R@10"] > 0.9
    assert own["image → text R@10 asymmetric"] > 0.9
    assert {name.strip() for name in own} == set(own)
    assert rows["the vectors themselves"]["neighbours @10"] == 1.0
    assert "text → image R@1" not in rows["the vectors themselves"]  # of two widths
    assert fitted[0].info.figures["best_epoch"] % 5 == 0


def test_the_checkpoint_gives_the_codes_and_tells_the_figures(fitted: tuple[Any, Path]) -> None:
    model, folder = fitted
    loaded = crosshash.load(folder)
    assert (loaded.encode_image(IMAGES) == model.encode_image(IMAGES)).all()
    assert (loaded.encode_text(TEXTS[:, 1]) == model.encode_text(TEXTS[:, 1])).all()
    text = (folder / "README.md").read_text(encoding="utf-8")
    assert "held out of a first training" in text
    assert "| CCA-ITQ" in text
    assert "of images and of texts that find each other by Hamming distance" in text
    assert "R@k: the own partner" in text
    assert "MAP" not in text
    assert "The codes were learned from pairs alone, without labels. They say nothing" in text


def test_scale_does_not_count_and_half_precision_is_its_rounding(
    fitted: tuple[Any, Path],
) -> None:
    model = fitted[0]
    codes = model.encode_image(IMAGES, output="signs")
    scaled = model.encode_image(IMAGES * np.linspace(1e-3, 1e3, COUNT)[:, None], output="signs")
    assert (scaled == codes).mean() > 0.9999
    rounded = model.encode_image(IMAGES.astype(np.float16), output="signs")
    assert (rounded == codes).mean() > 0.995
    as_rounded = model.encode_image(IMAGES.astype(np.float16).astype(np.float32), output="signs")
    assert (rounded == as_rounded).all()
    tensor = torch.from_numpy(IMAGES).float()
    assert (model.encode_image(tensor, output="signs") == codes).all()


@pytest.mark.parametrize("side", ["image", "text"])
def test_rows_that_cannot_be_encoded_are_named(fitted: tuple[Any, Path], side: str) -> None:
    encode = getattr(fitted[0], f"encode_{side}")
    rows = np.array(IMAGES if side == "image" else TEXTS[:, 0])
    with pytest.raises(ValueError, match=f"{side} features: expected rows of width"):
        encode(rows[:, :-1])
    rows[7, 2] = np.nan
    with pytest.raises(ValueError, match="1 rows hold NaN or infinity, the first is row 7"):
        encode(rows)
    rows[7] = 0
    with pytest.raises(ValueError, match="all zero and have no direction, the first is row 7"):
        encode(rows)


def test_all_texts_of_an_image_train_however_they_are_given() -> None:
    flat = TEXTS.reshape(-1, 20)
    datasets = [
        paired_vectors(IMAGES, texts, per_image=per_image)[0]
        for texts, per_image in (
            (TEXTS, 1),
            (flat, 2),
            (flat, np.full(COUNT, 2)),
            (flat, [2] * COUNT),
        )
    ]
    for dataset in datasets:
        every, counts = dataset.every_text()
        np.testing.assert_array_equal(every, flat.astype(np.float32))
        assert set(counts.tolist()) == {2}
        np.testing.assert_array_equal(dataset.texts, TEXTS[:, 0].astype(np.float32))
    ragged = np.r_[3, 1, np.full(COUNT - 2, 2)]
    assert paired_vectors(IMAGES, flat, per_image=ragged)[0].every_text()[1][:2].tolist() == [3, 1]


@pytest.mark.parametrize("texts", [False, True])
def test_one_kind_of_vector_alone(texts: bool, tmp_path: Path) -> None:
    path = tmp_path / "alone"
    model = small(texts=IMAGES, output=path) if texts else small(IMAGES, output=path)
    assert (model.encode_image(IMAGES) == model.encode_text(IMAGES)).all()
    rows = {row["codes"]: row for row in model.info.figures["fit"]["rows"]}
    assert set(rows) == {
        "the vectors themselves",
        "signs",
        "centred signs",
        "ITQ, this model",
    }
    assert model.method == "itq"
    text = (path / "README.md").read_text(encoding="utf-8")
    assert held_out_words(model.info.figures["fit"]) in text
    assert "codes of one kind of vector, whose neighbours are found by Hamming distance" in text
    assert "The codes were learned from the vectors alone, without labels" in text
    for wrong in ("epoch they chose", "R@k", "Asymmetric", "MAP", "cross-modal", "labels above"):
        assert wrong not in text
    chance = 10 / 15
    assert rows["ITQ, this model"]["neighbours @10"] > chance


@pytest.mark.parametrize("kind", ["numbers", "multi-hot"])
def test_labels_train_by_what_they_say(kind: str) -> None:
    labels = CLASSES if kind == "numbers" else np.eye(4, dtype=int)[CLASSES]
    settings = ["training.batch_size=16", "training.learning_rate=0.01"]
    model = small(IMAGES, TEXTS[:, 0], labels, epochs=15, overrides=settings)
    assert model.method == "lpdh"
    rows = {row["codes"]: row for row in model.info.figures["fit"]["rows"]}
    assert rows["LPDH, this model"]["MAP"] > 0.4 > (CLASSES == 0).mean()
    assert "MAP: shared labels" in held_out_words(model.info.figures["fit"])
    named = "above" if kind == "numbers" else "that it was trained with"
    assert f"The codes rank items by the labels {named}. They say" in card(model, "labelled")
    assert model.info.label_names == (["0", "1", "2", "3"] if kind == "numbers" else [])


def test_labels_of_one_kind_say_more_than_the_vectors_largest_directions() -> None:
    rng = np.random.default_rng(5)
    classes = np.arange(400) % 4
    vectors = rng.normal(size=(400, 20))
    vectors[:, :4] = 0.4 * np.eye(4)[classes] + 0.1 * rng.normal(size=(400, 4))
    model = small(vectors, labels=classes, overrides=["training.batch_size=40"], epochs=30)
    rows = {row["codes"]: row for row in model.info.figures["fit"]["rows"]}
    assert rows["CPH, this model"]["MAP"] > rows["ITQ"]["MAP"] + 0.2


def test_the_same_seed_gives_the_same_model() -> None:
    codes = [small(IMAGES, TEXTS, seed=3).encode_image(IMAGES) for _ in range(2)]
    assert (codes[0] == codes[1]).all()


@pytest.mark.filterwarnings("error")
def test_files_of_vectors_are_read_without_a_warning(tmp_path: Path) -> None:
    torch.set_warn_always(True)  # PyTorch says once in a process that an array is read-only
    try:
        given = {"images": IMAGES, "texts": TEXTS[:, 0], "labels": CLASSES}
        for name, rows in given.items():
            kind = rows.dtype if name == "labels" else np.float32
            np.save(tmp_path / f"{name}.npy", rows.astype(kind))
        paths = [tmp_path / f"{name}.npy" for name in given]
        model = small(*paths)
        mapped = [np.load(path, mmap_mode="r") for path in paths]
        codes = model.encode_image(mapped[0]), model.encode_text(mapped[1])
    finally:
        torch.set_warn_always(False)
    arrays = [IMAGES.astype(np.float32), TEXTS[:, 0].astype(np.float32)]
    same = small(*arrays, CLASSES)
    np.testing.assert_array_equal(codes[0], same.encode_image(arrays[0]))
    np.testing.assert_array_equal(codes[1], same.encode_text(arrays[1]))


def wrong(change: Any) -> np.ndarray:
    rows = np.array(IMAGES)
    rows[5] = change
    return rows


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "nothing to fit"),
        ((IMAGES, TEXTS[:-1, 0]), "159 text vectors for 160 image vectors: give one text for"),
        ((IMAGES[:-1], TEXTS[:, 0]), "160 text vectors for 159 image vectors: give one text for"),
        ((np.ones((160, 8)), TEXTS), "images: all 160 vectors are the same"),
        ((IMAGES, np.ones((160, 2, 8))), "texts: all 320 vectors are the same"),
        ((IMAGES, TEXTS.reshape(-1, 20)), "320 text vectors .* set per_image=2"),
        ((IMAGES[:10], TEXTS[:10, 0]), "10 rows are too few"),
        ((wrong(np.nan), TEXTS), "images: 1 rows hold NaN or infinity, the first is row 5"),
        ((wrong(1e300), TEXTS), "images: 1 rows hold NaN or infinity, the first is row 5"),
        (
            (IMAGES, wrong(0)),
            "texts: 1 rows are all zero and have no direction, the first is row 5",
        ),
        ((IMAGES[0], TEXTS), r"images: vectors are rows \(n, d\)"),
        ((IMAGES[:, None], TEXTS), r"vectors are rows \(n, d\)"),
        ((IMAGES, TEXTS, CLASSES[:-1]), "159 label rows for 160 items"),
        ((IMAGES, TEXTS, CLASSES + 0.5), "class numbers, which are whole"),
        ((IMAGES, TEXTS, 2 * np.eye(COUNT)), "labels are 0 or 1"),
        ((IMAGES, TEXTS, None, 12), "bits must be a positive multiple of 8"),
    ],
)
def test_bad_input_is_refused_with_what_is_wrong(arguments: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        fit(*arguments, progress=False)


@pytest.mark.parametrize("held_out", [0, 1, 159, 160])
def test_held_out_pairs_leave_some_to_train_with(held_out: int) -> None:
    with pytest.raises(ValueError, match=f"held_out is from 2 to 158 of 160 .*got {held_out}"):
        small(IMAGES, TEXTS, held_out=held_out)


def test_a_folder_of_other_files_is_refused_before_training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "thesis.txt").write_text("mine")
    monkeypatch.setattr("crosshash.experiment.fitting.train", None)
    with pytest.raises(FileExistsError, match=r"holds other files \(thesis\.txt\)"):
        small(IMAGES, TEXTS, output=tmp_path, overwrite=True)


def test_a_folder_that_is_there_is_not_touched(fitted: tuple[Any, Path]) -> None:
    before = (fitted[1] / "model.safetensors").read_bytes()
    with pytest.raises(FileExistsError, match="is there: choose another folder, or replace it"):
        small(IMAGES, output=fitted[1])
    assert (fitted[1] / "model.safetensors").read_bytes() == before


def test_vectors_of_one_space_are_compared_as_they_are() -> None:
    dataset, _ = paired_vectors(IMAGES, IMAGES + 0.01 * RNG.normal(size=IMAGES.shape))
    measure = HeldOut(dataset, np.arange(40))
    found = measure.row("v", measure.vectors())
    assert found["text → image R@1"] > 0.9
    models = baselines(dataset, np.arange(40, COUNT), 16)
    assert measure(models["ITQ"])["t2i_r1"] > 0.5


def test_a_model_of_512_values_and_64_bits_is_below_a_megabyte(tmp_path: Path) -> None:
    rows = RNG.normal(size=(40, 512))
    fit(rows, rows, output=tmp_path / "m", epochs=1, progress=False)
    assert sum(file.stat().st_size for file in (tmp_path / "m").rglob("*")) < 1e6


def test_codes_of_pairs_may_be_nested(tmp_path: Path) -> None:
    model = small(IMAGES, TEXTS, epochs=1, output=tmp_path / "m", overrides=["nested=[8]"])
    loaded = crosshash.load(tmp_path / "m")
    assert model.lengths == loaded.lengths == (8, 16)
    assert (loaded.encode_text(TEXTS[:, 0], bits=8) == model.encode_text(TEXTS[:, 0])[:, :1]).all()


def test_settings_lie_over_the_configs() -> None:
    dataset, shared = paired_vectors(IMAGES, TEXTS)
    config = fit_config(dataset, 32, shared=shared, held_out=9, epochs=3, seed=5)
    assert (config.method, config.bits, config.seed) == ("cph", 32, 5)
    assert (config.training.epochs, config.data.validation) == (3, 9)
