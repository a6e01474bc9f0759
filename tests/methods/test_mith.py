"""What only MITH has: concept tokens that tokens vote for, two codes, and seven terms."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

import crosshash
from crosshash.backbones.base import Features
from crosshash.codes import pack
from crosshash.data.dataset import PairedDataset
from crosshash.data.features.cache import FeatureCache
from crosshash.data.model_inputs import encode_pairs, prepare_inputs
from crosshash.methods.mith.network import MITHNet, concept_tokens, positions
from crosshash.methods.mith.training import MITH, distillation, token_contrast

TEXTS = ["a red circle", "a dog runs on the large beach", "girl", "two small blue squares"]
SMALL = {"name": "test_resnet", "weights": "random", "image_size": 32}


def voted(scores: Tensor, tokens: Tensor, present: Tensor, topk: int) -> Tensor:
    """Concept tokens by loops."""
    n, count, k = scores.shape
    found = torch.zeros(n, k, tokens.shape[2])
    for item in range(n):
        votes: dict[int, list[int]] = {concept: [] for concept in range(k)}
        for token in range(count):
            own = scores[item, token].tolist()
            best = sorted(range(k), key=own.__getitem__, reverse=True)[:topk]
            for concept in best:
                if own[concept] > 0 and present[item, token]:
                    votes[concept].append(token)
        for concept, voters in votes.items():
            total = sum(math.exp(scores[item, token, concept]) for token in voters)
            for token in voters:
                share = math.exp(scores[item, token, concept]) / total
                found[item, concept] += share * tokens[item, token]
    return found


@pytest.mark.parametrize("topk", [1, 3, 9])
def test_a_concepts_token_is_the_mean_of_those_that_vote_for_it(topk: int) -> None:
    torch.manual_seed(0)
    scores, tokens = torch.randn(4, 6, 7).tanh(), torch.randn(4, 6, 5)
    scores[:, :, 2] = -scores[:, :, 2].abs()  # no token votes for it, whatever topk is
    present = torch.ones(4, 6, dtype=torch.bool)
    present[1, 4:], present[2, 1:], present[3] = False, False, False
    found = concept_tokens(scores, tokens, present, topk)
    torch.testing.assert_close(found, voted(scores, tokens, present, topk))
    assert not found[:, 2].any()
    assert not found[3].any()
    assert found[0].any()


def test_positions_are_sines_and_cosines() -> None:
    found = positions(5, 8)
    assert found.shape == (5, 8)
    for k in range(5):
        for place in range(0, 8, 2):
            angle = k / 10000 ** (place / 8)
            expected = [math.sin(angle) / 8**0.5, math.cos(angle) / 8**0.5]
            assert found[k, place : place + 2].tolist() == pytest.approx(expected, abs=1e-6)


def test_tokens_are_contrasted_within_their_own_pair() -> None:
    torch.manual_seed(0)
    p, q = torch.randn(3, 4, 6), torch.randn(3, 4, 6)
    total = 0.0
    for item in range(3):
        for a, b in ((p[item], q[item]), (q[item], p[item])):
            for i in range(4):
                logits = [5.0 * float(a[i] @ b[j] / (a[i].norm() * b[j].norm())) for j in range(4)]
                total += math.log(sum(map(math.exp, logits))) - logits[i]
    assert float(token_contrast(p, q, 5.0)) == pytest.approx(total / (3 * 4 * 2), rel=1e-5)


def test_distillation_moves_the_student_alone() -> None:
    torch.manual_seed(0)
    student, teacher = (torch.randn(3, 4, requires_grad=True) for _ in range(2))
    loss = distillation(student, teacher)
    a, b = student.tolist(), teacher.tolist()
    expected = sum((b[i][k] - a[i][k]) ** 2 for i in range(3) for k in range(4)) / 3
    assert loss.item() == pytest.approx(expected, rel=1e-5)
    loss.backward()
    assert student.grad is not None
    assert teacher.grad is None


def test_every_term_is_what_its_line_says(model_of: Any, batch_of: Any, begin: Any) -> None:
    model = model_of("mith")
    batch = batch_of(model.slots, count=10)
    algorithm = MITH(model, len(batch), 4)
    begin(algorithm, batch)
    bank = algorithm.bank
    for name in ("F", "G", "F_local", "G_local"):  # as of other weights
        bank.get_buffer(name).copy_(torch.randn(10, 16).tanh())
    image = model.image_parts(model.image_features(batch.images))
    text = model.text_parts(model.text_features(batch.texts))
    S = (batch.labels.float() @ batch.labels.float().T > 0).float()

    def nll(U: Tensor, V: Tensor) -> Tensor:
        theta = U @ V.T / 2
        return (torch.log1p(theta.exp()) - S * theta).mean()

    def pair(a: Tensor, b: Tensor) -> Tensor:
        a, b = a / a.norm(dim=-1, keepdim=True), b / b.norm(dim=-1, keepdim=True)
        logits = a @ b.T / 0.07
        both = logits.log_softmax(dim=1).diagonal() + logits.log_softmax(dim=0).diagonal()
        return -both.mean() / 2

    total = 0.99 * (image.code + text.code) + 0.01 * (image.local + text.local)
    B = torch.where(total >= 0, 1.0, -1.0)
    p, q = (algorithm.projections[m](s.concepts) for m, s in (("image", image), ("text", text)))
    sides = (image, text)
    gaps = sum((s.code - s.local).square().sum() / 10 for s in sides)
    expected = {
        "intra": nll(image.local, bank.F_local) + nll(text.local, bank.G_local),
        "inter": nll(image.code, bank.G) + nll(text.code, bank.F),
        "quantization": sum(((s.code + s.local) / 2 - B).square().mean() for s in sides),
        "contrast": pair(image.vector, text.vector),
        "tokens": torch.stack([pair(p[i], q[i]) for i in range(10)]).mean(),
        "distill": gaps,
        "follow": gaps,
    }
    (update,) = algorithm.phases()[0].updates
    terms = update.loss(batch)
    assert set(terms) == set(expected)
    for name, value in expected.items():
        torch.testing.assert_close(terms[name], value, rtol=1e-4, atol=1e-5, msg=name)
    weights = {"intra": 1, "inter": 10, "quantization": 8, "contrast": 50, "tokens": 0.5}
    weights |= {"distill": 1, "follow": 0.1}
    torch.testing.assert_close(
        update.total(terms), sum(weights[name] * value for name, value in expected.items())
    )
    update.after(batch)
    assert torch.equal(bank.F_local, image.local.detach())
    assert torch.equal(bank.G, text.code.detach())


def test_terms_of_weight_zero_are_left_out(model_of: Any, batch_of: Any) -> None:
    model = model_of("mith")
    batch = batch_of(model.slots)
    names = ("intra", "quantization", "contrast", "tokens", "distill", "follow")
    algorithm = MITH(model, len(batch), 4, **dict.fromkeys(names, 0.0))
    assert set(algorithm.loss(batch)) == {"inter"}
    assert not list(algorithm.projections.parameters())


def test_codes_are_the_global_ones_with_a_little_of_the_local(model_of: Any, batch_of: Any) -> None:
    for mix in (0.99, 0.3):
        model = model_of("mith", mix=mix).eval()
        features = model.text_features(batch_of(model.slots).texts)
        parts = model.text_parts(features)
        expected = mix * parts.code + (1 - mix) * parts.local
        torch.testing.assert_close(model.hash_text(features), expected)
        assert parts.code.abs().max() < 1
        assert not torch.allclose(parts.code, parts.local, atol=0.1)


def test_votes_pass_no_gradient_on(model_of: Any, batch_of: Any) -> None:
    model = model_of("mith")
    model.text_parts(model.text_features(batch_of(model.slots).texts)).local.sum().backward()
    assert all(p.grad is None for p in model.concepts.parameters())
    assert model.text_net["vector"][0].weight.grad.abs().sum() > 0


def over_tokens(folder: Path) -> MITHNet:
    torch.manual_seed(0)
    model = crosshash.create("mith", bits=16, backbones=SMALL, text=f"hf:{folder}", dim=64, mix=0.5)
    assert isinstance(model, MITHNet)
    model.freeze("text")
    return model.eval()


def test_a_text_is_its_tokens_and_padding_is_none(language_model: Path) -> None:
    model = over_tokens(language_model)
    assert model.text_needs == model.image_needs == ("pooled", "map")
    features = model.text_features(model.text.prepare(TEXTS))
    pooled, states = features
    assert states is not None
    parts = model.text_parts(features)
    longer = Features(pooled, torch.cat([states, torch.zeros(4, 16, 1, 5)], dim=3))
    torch.testing.assert_close(model.text_parts(longer).local, parts.local)
    other = Features(pooled, torch.cat([states, torch.randn(4, 16, 1, 5)], dim=3))
    assert (model.text_parts(other).local - parts.local).abs().max() > 1e-4
    # Other tokens of the same vector change the local code alone.
    moved = model.text_parts(Features(pooled, states.flip(1)))
    assert torch.equal(moved.code, parts.code)
    assert not torch.allclose(moved.local, parts.local)


def test_an_item_over_tokens_has_one_code_alone_in_a_batch_and_from_the_cache(
    language_model: Path, tmp_path: Path
) -> None:
    model = over_tokens(language_model)
    pictures = list(np.random.default_rng(0).integers(0, 256, (4, 32, 32, 3), dtype=np.uint8))
    images = model.encode_image(pictures, output="real")
    texts = model.encode_text(TEXTS, output="real")
    assert np.ptp(texts, axis=0).max() > 1e-3
    for row in range(4):
        alone = model.encode_text(TEXTS[row], output="real")
        np.testing.assert_allclose(alone[0], texts[row], atol=1e-5)
        alone = model.encode_image(pictures[row], output="real")
        np.testing.assert_allclose(alone[0], images[row], atol=1e-5)
    crosshash.save(model, tmp_path / "model")
    loaded = crosshash.load(tmp_path / "model")
    np.testing.assert_array_equal(loaded.encode_text(TEXTS, output="real"), texts)
    np.testing.assert_array_equal(loaded.encode_image(pictures, output="real"), images)
    pairs = PairedDataset(name="four", ids=list("abcd"), images=pictures, texts=TEXTS)
    inputs = prepare_inputs(model, pairs, cache=FeatureCache(tmp_path / "cache"), progress=False)
    assert inputs.texts.map.shape == (4, 16, 1, 9)
    for found, real in zip(encode_pairs(model, inputs), (images, texts), strict=True):
        np.testing.assert_array_equal(found, pack(real))


def test_gradients_reach_a_transformer_and_its_tokens(language_model: Path, batch_of: Any) -> None:
    model = crosshash.create("mith", bits=16, text=f"hf:{language_model}", dim=64,
                             backbones={"name": "features", "dim": 36})  # fmt: skip
    batch = batch_of(model.slots, count=4)
    batch.texts = model.text.prepare(TEXTS)
    algorithm = MITH(model, 4, 4)
    terms = algorithm.loss(batch)
    assert all(value.isfinite() for value in terms.values())
    terms["intra"].backward()  # of the local codes, so that only tokens lead to it
    assert model.text_net["token"].weight.grad.abs().sum() > 0
    assert model.text_net["vector"][0].weight.grad is None
    assert any(p.grad is not None and p.grad.abs().sum() > 0 for p in model.text.parameters())


def test_a_network_that_does_not_ask_for_tokens_is_given_none(language_model: Path) -> None:
    model = crosshash.create("dcmh", bits=16, text=f"hf:{language_model}",
                             backbones={"name": "features", "dim": 36})  # fmt: skip
    inputs = model.text.prepare(TEXTS)
    assert model.text(inputs).map is not None
    assert model.text_features(inputs).map is None


def test_features_without_tokens_are_refused_where_the_model_has_them(language_model: Path) -> None:
    model = over_tokens(language_model)
    with pytest.raises(ValueError, match=r"no map.*Features\(pooled, map\)"):
        model.encode_text(np.zeros((2, 16), dtype=np.float32))
    with pytest.raises(ValueError, match="no map"):
        model.encode_image(np.zeros((2, model.backbone("image").dim), dtype=np.float32))


def test_settings_that_cannot_be_are_refused(model_of: Any) -> None:
    for options, told in (
        ({"dim": 100}, "a multiple of 64"),
        ({"topk": 0}, "at least 1"),
        ({"mix": 1.5}, r"in \[0, 1\]"),
    ):
        with pytest.raises(ValueError, match=f"network.{next(iter(options))} is {told}"):
            model_of("mith", **options)
    with pytest.raises(ValueError, match="temperature is above 0"):
        MITH(model_of("mith"), 8, 4, temperature=0.0)
    with pytest.raises(ValueError, match="learns from labels"):
        MITH(model_of("mith"), 8, 0)
