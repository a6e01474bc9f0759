"""Files of codes: written, read, refused, and scored as our own."""

from __future__ import annotations

import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import crosshash
from crosshash.codes import pack
from crosshash.data.dataset import PairedDataset
from crosshash.data.protocol import Protocol
from crosshash.experiment.evaluation import evaluate
from crosshash.scoring import read_submission, score, template, write_submission
from crosshash.scoring.submission import CODES, Submission


def figures(report: Any) -> dict[str, Any]:
    """All that was measured, without how."""
    values: dict[str, Any] = report.as_dict()
    for only_ours in ("record", "calibration_error", "nested", "partners"):
        values.pop(only_ours, None)
    return values


def test_codes_of_a_model_come_back_with_the_same_figures(tmp_path: Path) -> None:
    file = tmp_path / "codes.npz"
    overrides = ["data.options.n=150", "data.options.seed=7", "evaluation.asymmetric=true"]
    measured = evaluate("amgfh-shapes-64", overrides=overrides, codes=file, progress=False)
    found = read_submission(file)
    told = (found.name, found.method, found.bits, found.seed, found.dataset, found.database)
    assert told == ("amgfh-shapes-64", "amgfh", 64, 0, "shapes", "encoded")
    again = score(found, *crosshash.load_dataset("shapes", n=150, seed=7))
    assert figures(again) == figures(measured)
    assert again.i2t.map_asymmetric is not None
    assert again.record.split == measured.record.split


def test_a_split_that_a_training_spares_pairs_of_is_the_data_sets(tmp_path: Path) -> None:
    file = tmp_path / "codes.npz"
    overrides = ["data.options.n=150", "data.options.seed=7", "data.calibration=10"]
    evaluate("amgfh-shapes-64", overrides=overrides, codes=file, progress=False)
    assert score(read_submission(file), *crosshash.load_dataset("shapes", n=150, seed=7))
    rehearsed = ["data.options.n=150", "data.holdout=40"]
    with pytest.raises(ValueError, match=r"data\.holdout rehearses another"):
        evaluate("amgfh-shapes-64", overrides=rehearsed, codes=file, progress=False)


@pytest.mark.parametrize(
    "form",
    [
        lambda x: x,
        pack,
        lambda x: np.where(x >= 0, 1, -1).astype(np.int8),
        lambda x: np.where(x >= 0, 1.0, -1.0).astype(np.float16),
    ],
    ids=["reals", "packed", "signs", "half"],
)
def test_every_form_of_codes_has_one_figure(
    submission: Submission, pairs: PairedDataset, split: Protocol, tmp_path: Path, form: Any
) -> None:
    plain = score(submission, pairs, split)
    other = replace(submission, **{name: form(getattr(submission, name)) for name in CODES})
    write_submission(tmp_path / "codes.npz", other)
    found = score(read_submission(tmp_path / "codes.npz"), pairs, split)
    assert found.i2t.map == plain.i2t.map
    assert found.t2i.by_radius.recall.tolist() == plain.t2i.by_radius.recall.tolist()
    assert (found.i2t.map_asymmetric is None) == (other.query_images.dtype != np.float64)
    assert plain.i2t.map > plain.i2t.chance + 0.1


def test_the_shortest_file_has_codes_and_a_split(
    submission: Submission, pairs: PairedDataset, split: Protocol, tmp_path: Path
) -> None:
    file = tmp_path / "codes.npz"
    np.savez(file, split=submission.split, **{name: getattr(submission, name) for name in CODES})
    found = read_submission(file)
    assert (found.bits, found.seed, found.name, found.database) == (16, None, "", "encoded")
    assert score(found, pairs, split).i2t.map == score(submission, pairs, split).i2t.map


def test_a_template_is_at_chance_and_says_the_order(
    pairs: PairedDataset, split: Protocol, tmp_path: Path
) -> None:
    write_submission(tmp_path / "codes.npz", template(pairs, split, bits=64))
    found = read_submission(tmp_path / "codes.npz")
    assert found.query_ids is not None
    assert found.query_ids.tolist() == list(pairs.ids[:30])
    report = score(found, pairs, split)
    assert report.i2t.map == pytest.approx(report.i2t.chance, abs=0.05)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"split": "0" * 64}, "these codes are of the split 000000000000…, and 'toy' under 'toy'"),
        ({"dataset": "wiki"}, "of the data set 'wiki', and 'toy' is at hand"),
        ({"query_ids": np.array([f"pair-{row}" for row in range(1, 31)])}, "row 0 is 'pair-1'"),
        ({"query_ids": np.array(["pair-0"])}, "1 query_ids for 30 query codes"),
    ],
)
def test_codes_of_other_pairs_are_refused(
    submission: Submission, pairs: PairedDataset, split: Protocol, changes: Any, said: str
) -> None:
    with pytest.raises(ValueError, match=said.replace("(", r"\(")):
        score(replace(submission, **changes), pairs, split)


def test_another_number_of_rows_is_refused(
    submission: Submission, pairs: PairedDataset, split: Protocol
) -> None:
    fewer = {name: getattr(submission, name)[:89] for name in CODES[2:]}
    with pytest.raises(ValueError, match="89 retrieval codes, and the split has 90"):
        score(replace(submission, **fewer), pairs, split)


def zeros(x: Any) -> Any:
    return np.where(np.abs(x) < 0.2, 0, np.sign(x))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (lambda s: {"query_texts": zeros(s.query_texts)}, "a third value beside -1 and"),
        (lambda s: {"query_texts": (s.query_texts > 0).astype(int)}, "text codes are 0 and 1"),
        (lambda s: {"query_texts": s.query_images}, "image and text codes of all 30 pairs are eq"),
        (lambda s: {"query_texts": s.query_texts[:, :8]}, "16 bits of images, 8 of texts"),
        (lambda s: {"query_texts": s.query_texts[:9]}, "30 query images and 9 texts"),
        (lambda s: {"query_texts": s.query_texts[0]}, "expected .items, bits."),
        (lambda s: {name: getattr(s, name)[:, :8] for name in CODES[:2]}, "8 bits of images, 8"),
        (lambda s: {"bits": 32}, "where 32 are said"),
        (lambda s: {"split": "abc"}, "64 hexadecimal digits"),
        (lambda s: {"database": "mixed"}, "expected encoded or learned"),
        (lambda s: {"name": "=HYPERLINK()"}, "begins and ends with a letter"),
        (lambda s: {"name": "two\nlines"}, "one line of at most 200"),
        (lambda s: {"method": "x" * 201}, "one line of at most 200"),
        (lambda s: {"link": "javascript:alert(1)"}, "link is an address"),
    ],
)
def test_what_cannot_be_scored_is_neither_written_nor_read(
    submission: Submission, tmp_path: Path, changes: Any, said: str
) -> None:
    bad, file = replace(submission, **changes(submission)), tmp_path / "codes.npz"
    with pytest.raises(ValueError, match=said):
        write_submission(file, bad)
    assert not file.exists()
    np.savez(file, **{key: value for key, value in bad.values().items() if value is not None})
    with pytest.raises(ValueError, match=f"codes.npz: .*{said}"):
        read_submission(file)


class Hostile:
    def __reduce__(self) -> Any:
        raise AssertionError("it was unpickled")


def test_files_of_strangers_are_read_without_pickle_and_bounded(
    submission: Submission, tmp_path: Path
) -> None:
    file = tmp_path / "codes.npz"
    good = {key: value for key, value in submission.values().items() if value is not None}

    def refused(said: str, **changes: Any) -> None:
        np.savez(file, **{**good, **changes}, allow_pickle=True)
        with pytest.raises(ValueError, match=said):
            read_submission(file)

    pickled = np.empty(1, dtype=object)
    pickled[0] = [1]
    refused("query_images", query_images=pickled)
    refused("split is not a string", split=pickled)
    refused("name is not a string", name=np.array(["a", "b"]))
    refused("name has more than 65,536 bytes", name="x" * 20_000)
    refused("seed is one whole number", seed=np.array([1, 2]))
    refused("seed is one whole number", seed=1.5)
    refused("it has extra, which no submission has", extra=np.ones(3))
    np.savez(file, **{key: good[key] for key in CODES[:3]})
    with pytest.raises(ValueError, match="retrieval_texts, split missing; it has query_images"):
        read_submission(file)
    with pytest.raises(ValueError, match=r"a \.npz file"):
        read_submission(tmp_path / "codes.npy")
    with pytest.raises(FileNotFoundError):
        read_submission(tmp_path / "none.npz")
    file.write_bytes(b"no archive")
    with pytest.raises(ValueError, match=r"codes\.npz: cannot be read as a NumPy archive"):
        read_submission(file)


def test_a_string_that_declares_more_than_it_has_is_refused(
    submission: Submission, tmp_path: Path
) -> None:
    file, bad = tmp_path / "good.npz", tmp_path / "bad.npz"
    write_submission(file, submission)
    with zipfile.ZipFile(file) as good, zipfile.ZipFile(bad, "w") as archive:
        for member in good.namelist():
            content = good.read(member)
            if member == "name.npy":
                content = content.replace(b"'<U4'", b"'<U9'")
            archive.writestr(member, content)
    with pytest.raises(ValueError, match="name is not a string"):
        read_submission(bad)


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_damaged_files_are_refused_by_their_name(
    submission: Submission, tmp_path: Path, save: Any
) -> None:
    file, draw = tmp_path / "codes.npz", np.random.default_rng(0)
    save(file, **{key: value for key, value in submission.values().items() if value is not None})
    content = file.read_bytes()
    refused = 0
    for number in range(150):
        damaged = bytearray(content)
        if number % 3 == 0:
            damaged = damaged[: draw.integers(len(content))]
        for place in draw.integers(0, max(1, len(damaged)), 4) if damaged else []:
            damaged[place] ^= 1 << int(draw.integers(8))
        file.write_bytes(damaged)
        told = ""
        try:
            read_submission(file)
        except ValueError as error:  # and nothing else
            told = str(error)
        assert told.startswith(str(file)) or not told
        refused += bool(told)
    assert refused > 100
