from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from crosshash.backbones import create_text_encoder

TEXTS = [
    "A brown dog runs on the beach",
    "Two dogs run, the brown dog jumps",
    "A girl on the beach",
    "the the the",
]


def test_bow_marks_which_words_occur() -> None:
    encoder = create_text_encoder("bow", size=100).fit(TEXTS)
    rows = encoder.prepare(["the DOG, the dog", "girl xylophone"])["bow"]
    assert rows.dtype == torch.uint8
    words = [[encoder.vocabulary[i] for i in np.flatnonzero(row)] for row in rows.numpy()]
    assert [set(found) for found in words] == [{"the", "dog"}, {"girl"}]
    pooled = encoder({"bow": rows}).pooled
    assert pooled.dtype == torch.float32
    assert pooled.shape == (2, encoder.dim)


STRANGE = [
    "L'été à Zürich: 42 DOGS, dogs & dog's d'og_s!",
    "ΑΘΗΝΑ αθηνα Straße STRASSE İstanbul ﬁsh",
    "日本語 の 文 x y zz",
    "well-known e-mail: me@example.org, 3.14 and 3,14 the of",
    "the\u00a0dog\tran\nhome 🐕🐕 dog",
]


@pytest.mark.parametrize("lowercase", [True, False])
@pytest.mark.parametrize("stop_words", [None, "english", ["dog", "été"]])
@pytest.mark.parametrize("min_df", [1, 2])
def test_bow_agrees_with_count_vectorizer(
    lowercase: bool, stop_words: str | list[str] | None, min_df: int
) -> None:
    oracles = pytest.importorskip("sklearn.feature_extraction.text", reason="needs scikit-learn")
    texts = [*TEXTS, *STRANGE]
    options = {"lowercase": lowercase, "stop_words": stop_words, "min_df": min_df}
    encoder = create_text_encoder("bow", size=1000, **options).fit(texts)
    oracle = oracles.CountVectorizer(binary=True, **options)
    expected = oracle.fit_transform(texts).toarray()
    assert set(encoder.vocabulary) == set(oracle.vocabulary_)
    order = [oracle.vocabulary_[word] for word in encoder.vocabulary]
    found = encoder.prepare(texts, unknown="allow")["bow"]
    np.testing.assert_array_equal(found, expected[:, order])


def test_bow_refuses_options_that_leave_it_no_words() -> None:
    with pytest.raises(ValueError, match="min_df is a number of texts, at least 1, got 0"):
        create_text_encoder("bow", min_df=0)
    with pytest.raises(ValueError, match="stop_words are 'english' or a list, got 'german'"):
        create_text_encoder("bow", stop_words="german")
    with pytest.raises(ValueError, match=r"no word can be learnt .*; check min_df"):
        create_text_encoder("bow", min_df=5).fit(TEXTS)


def test_vocabulary_is_the_words_of_most_texts_with_ties_by_alphabet() -> None:
    encoder = create_text_encoder("bow", size=5).fit(TEXTS)
    # "the" is in 4 texts; beach, brown, dog, on in 2 each; repeats in one text count once.
    assert encoder.vocabulary == ["the", "beach", "brown", "dog", "on"]
    assert encoder.dim == 5
    pytest.importorskip("sklearn", reason="needs scikit-learn's list of stop words")
    without = create_text_encoder("bow", size=3, stop_words="english", min_df=2).fit(TEXTS)
    assert without.vocabulary == ["beach", "brown", "dog"]


def test_unfitted_bow_says_so() -> None:
    encoder = create_text_encoder("bow")
    assert not encoder.fitted
    with pytest.raises(RuntimeError, match="fit"):
        encoder.prepare(["a dog"])
    with pytest.raises(RuntimeError, match="fit"):
        _ = encoder.dim
    with pytest.raises(ValueError, match="no word can be learnt"):
        encoder.fit(["a", "!"])


def test_texts_of_unknown_words_are_refused_or_counted() -> None:
    encoder = create_text_encoder("bow", size=100).fit(TEXTS)
    queries = ["a dog", "xylophone quartet", "", "beach"]
    with pytest.raises(ValueError, match=r"text 1 \(and 1 more texts\), 'xylophone quartet'"):
        encoder.prepare(queries)
    inputs = encoder.prepare(queries, unknown="allow")
    assert encoder.unknown_rows(inputs).tolist() == [1, 2]
    assert not inputs["bow"][1].any()
    with pytest.raises(ValueError, match="'raise' or 'allow'"):
        encoder.prepare(queries, unknown="skip")


def test_bow_takes_rows_and_single_strings() -> None:
    encoder = create_text_encoder("bow", size=5).fit(TEXTS)
    rows = encoder.prepare(np.array([[0, 3, 1, 0, 0]]))["bow"]
    assert rows.tolist() == [[0, 1, 1, 0, 0]]
    assert encoder.prepare("a brown dog")["bow"].shape == (1, 5)
    assert encoder.prepare([])["bow"].shape == (0, 5)
    with pytest.raises(ValueError, match="width 5"):
        encoder.prepare(np.zeros((2, 4)))
    with pytest.raises(ValueError, match="negative"):
        encoder.prepare(-np.ones((2, 5)))
    with pytest.raises(ValueError, match="text 1 is no string but int"):
        encoder.prepare(["dog", 3])


def test_bow_comes_back_from_spec_and_assets(tmp_path: Path) -> None:
    encoder = create_text_encoder("bow", size=7, lowercase=False, stop_words=["on"]).fit(TEXTS)
    assert encoder.save_assets(tmp_path) == [tmp_path / "vocabulary.json"]
    spec = json.loads(json.dumps(encoder.spec()))
    again = create_text_encoder(**spec, assets=tmp_path)
    assert again.vocabulary == encoder.vocabulary
    assert again.spec() == encoder.spec()
    assert torch.equal(again.prepare(TEXTS)["bow"], encoder.prepare(TEXTS)["bow"])


def test_tags_are_whatever_stands_between_spaces(tmp_path: Path) -> None:
    texts = ["d80 b&w x", "naturesfinest  B&W", "été b&w"]
    encoder = create_text_encoder("bow", tokens="tags").fit(texts)
    assert encoder.vocabulary == ["b&w", "d80", "naturesfinest", "x", "été"]
    assert encoder.prepare("x B&W")["bow"].tolist() == [[1, 0, 0, 1, 0]]
    encoder.save_assets(tmp_path)
    again = create_text_encoder(**encoder.spec(), assets=tmp_path)
    assert torch.equal(again.prepare(texts)["bow"], encoder.prepare(texts)["bow"])
    kept = create_text_encoder("bow", tokens="tags", lowercase=False).fit(texts)
    assert "B&W" in kept.vocabulary
    assert create_text_encoder("bow").fit(texts).vocabulary == ["d80", "naturesfinest", "été"]
    with pytest.raises(ValueError, match="tokens"):
        create_text_encoder("bow", tokens="letters")


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "latin-1"])
def test_a_vocabulary_may_be_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, encoding: str
) -> None:
    lines = "sky 845\r\nété 30\n\nb&w 20\nsky 20"
    (tmp_path / "common_tags.txt").write_text(lines, encoding=encoding)
    monkeypatch.setenv("CROSSHASH_DATA", str(tmp_path))
    encoder = create_text_encoder("bow", tokens="tags", vocabulary="common_tags.txt")
    assert encoder.fitted
    assert encoder.vocabulary == ["sky", "été", "b&w"]
    encoder.save_assets(tmp_path)
    assert create_text_encoder(**encoder.spec(), assets=tmp_path).vocabulary == encoder.vocabulary
    with pytest.raises(FileNotFoundError, match="nowhere"):
        create_text_encoder("bow", vocabulary="nowhere.txt")
    (tmp_path / "empty.txt").write_text("\n")
    with pytest.raises(ValueError, match=r"empty\.txt has no words"):
        create_text_encoder("bow", vocabulary="empty.txt")


@pytest.mark.parametrize("words", [[], ["dog", "dog"], ["dog", 3], {"dog": 0}, "dog"])
def test_what_is_no_vocabulary_is_refused(tmp_path: Path, words: object) -> None:
    (tmp_path / "vocabulary.json").write_text(json.dumps(words))
    with pytest.raises(ValueError, match="list of different words"):
        create_text_encoder("bow", assets=tmp_path)


def test_text_features_pass_as_they_are() -> None:
    encoder = create_text_encoder("features", dim=3)
    inputs = encoder.prepare(np.ones((2, 3), dtype=np.float64))
    assert encoder(inputs).pooled.dtype == torch.float32
    assert create_text_encoder(**encoder.spec(), assets="anywhere").dim == 3
    with pytest.raises(ValueError, match="features of width 3, not strings"):
        encoder.prepare(["a dog"])
    with pytest.raises(ValueError, match="width 3"):
        encoder.prepare(np.ones((2, 4)))


def test_unknown_text_encoders_are_refused() -> None:
    with pytest.raises(LookupError, match="did you mean 'bow'"):
        create_text_encoder("bows")
    with pytest.raises(LookupError, match="hf:<name"):
        create_text_encoder("hf")
    with pytest.raises(LookupError, match="'hg'"):
        create_text_encoder("hg:bert-base-uncased")
