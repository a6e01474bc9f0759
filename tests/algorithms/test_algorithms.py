from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from torch import nn

from crosshash.algorithms.code_bank import CodeBank, require_labels
from crosshash.algorithms.phases import Algorithm, BatchPhase, Update
from crosshash.backbones.base import Features
from crosshash.model.batch import Batch


def draw(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


# Batch


def tensors(batch: Batch) -> Iterator[torch.Tensor]:
    yield batch.index
    for part in (*batch.images.values(), batch.texts):
        values = part.values() if isinstance(part, dict) else part
        yield from [values] if isinstance(values, torch.Tensor) else values
    yield batch.labels


def test_a_batch_moves_whole() -> None:
    batch = Batch(
        torch.arange(3),
        {"cnn": draw(3, 3, 4, 4), "vit": Features(draw(3, 5), draw(3, 5, 2, 2))},
        {"ids": torch.ones(3, 7, dtype=torch.int64), "mask": torch.ones(3, 7)},
        torch.ones(3, 2),
    )
    moved = batch.to(torch.device("meta"))
    found = list(tensors(moved))
    assert len(moved) == 3
    assert len(found) == 7
    assert all(tensor.is_meta for tensor in found)
    assert [t.shape for t in found] == [t.shape for t in tensors(batch)]


def test_a_batch_of_features_without_maps_or_labels_moves_whole() -> None:
    batch = Batch(torch.arange(2), {"image": Features(draw(2, 5))}, Features(draw(2, 4)))
    moved = batch.to(torch.device("meta"))
    assert moved.labels is None
    assert moved.images["image"].map is None
    assert moved.images["image"].pooled.is_meta
    assert moved.texts.pooled.is_meta


def test_what_one_batch_shares_is_not_seen_by_another() -> None:
    first, second = (Batch(torch.arange(2), {}, {}) for _ in range(2))
    first.shared["x"] = torch.ones(1)
    assert second.shared == {}


# Updates and phases


def test_the_total_is_the_weighted_sum_with_weight_one_for_terms_not_named() -> None:
    update = Update([nn.Parameter(torch.ones(1))], lambda batch: {}, {"a": 0.5, "absent": 9.0})
    terms = {"a": torch.tensor(4.0), "b": torch.tensor(3.0)}
    assert update.total(terms).item() == 5.0


def test_frozen_parameters_are_left_out_of_an_update() -> None:
    free, frozen = nn.Parameter(torch.ones(1)), nn.Parameter(torch.ones(1), requires_grad=False)
    update = Update(iter([free, frozen]), lambda batch: {})
    assert [id(p) for p in update.parameters] == [id(free)]


def test_an_update_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="update 'image' has no parameter"):
        Update([nn.Parameter(torch.ones(1), requires_grad=False)], lambda batch: {}, name="image")


def test_updates_of_one_name_in_a_phase_are_refused() -> None:
    updates = [Update([nn.Parameter(torch.ones(1))], lambda batch: {}) for _ in range(2)]
    with pytest.raises(ValueError, match="phase 'both' needs one or more updates, each of its own"):
        BatchPhase("both", updates)
    with pytest.raises(ValueError, match="phase 'none' needs one or more"):
        BatchPhase("none", [])


def test_passes_are_not_negative() -> None:
    update = Update([nn.Parameter(torch.ones(1))], lambda batch: {})
    with pytest.raises(ValueError, match="phase 'back': passes are at least 0, got -1"):
        BatchPhase("back", [update], passes=-1)


def test_an_algorithm_must_say_its_phases() -> None:
    with pytest.raises(NotImplementedError):
        Algorithm().phases()


# Code bank


def test_a_bank_starts_random_with_binary_codes_that_fit() -> None:
    bank = CodeBank(50, 16, 3, seed=1)
    assert bank.F.shape == bank.G.shape == bank.B.shape == (50, 16)
    assert bank.labels.shape == (50, 3)
    assert torch.equal(bank.B, torch.where(bank.F + bank.G >= 0, 1.0, -1.0))
    assert torch.equal(bank.F, CodeBank(50, 16, 3, seed=1).F)
    assert not torch.equal(bank.F, CodeBank(50, 16, 3, seed=2).F)
    assert not torch.equal(bank.F, bank.G)


def test_stored_rows_replace_theirs_and_no_others() -> None:
    bank = CodeBank(6, 8, 2)
    before = {name: value.clone() for name, value in bank.state_dict().items()}
    index = torch.tensor([4, 1])
    F = draw(2, 8)
    labels = torch.tensor([[1, 0], [0, 1]])
    bank.store(index, F=F, labels=labels)
    assert torch.equal(bank.F[index], F)
    assert torch.equal(bank.labels[index], labels.float())
    rest = [0, 2, 3, 5]
    assert torch.equal(bank.F[rest], before["F"][rest])
    assert torch.equal(bank.G, before["G"])
    assert torch.equal(bank.B, before["B"])


def test_stored_codes_are_detached_and_of_the_banks_type() -> None:
    bank = CodeBank(4, 8)
    codes = draw(2, 8).requires_grad_()
    bank.store(torch.tensor([0, 1]), F=codes * 2, G=codes.bfloat16())
    assert not bank.F.requires_grad
    assert not bank.G.requires_grad
    assert bank.G.dtype == torch.float32
    (bank.F.sum() + codes.sum()).backward()  # no graph is kept from step to step
    assert torch.equal(codes.grad, torch.ones(2, 8))


@pytest.mark.parametrize("row", [-1, 4])
def test_rows_outside_the_bank_are_refused(row: int) -> None:
    bank = CodeBank(4, 8)
    with pytest.raises(IndexError, match="outside a bank of 4"):
        bank.store(torch.tensor([0, row]), F=draw(2, 8))


def test_storing_no_rows_changes_nothing() -> None:
    bank = CodeBank(4, 8)
    before = bank.F.clone()
    bank.store(torch.tensor([], dtype=torch.int64), F=draw(0, 8))
    assert torch.equal(bank.F, before)


def test_a_bank_comes_back_from_an_algorithms_state() -> None:
    class Method(Algorithm):
        def __init__(self, seed: int) -> None:
            super().__init__()
            self.bank = CodeBank(4, 8, 2, seed=seed)

    first, second = Method(0), Method(1)
    first.bank.store(torch.arange(4), B=torch.ones(4, 8), labels=torch.ones(4, 2))
    second.load_state_dict(first.state_dict())
    for name in ("F", "G", "B", "labels"):
        assert torch.equal(getattr(first.bank, name), getattr(second.bank, name))
    assert set(first.state_dict()) == {"bank.F", "bank.G", "bank.B", "bank.labels"}


def test_a_filled_bank_has_the_labels_and_the_sign_of_the_sum_of_all_codes() -> None:
    bank = CodeBank(4, 8, 2, more=("H",))
    labels = torch.tensor([[1, 0], [0, 1], [1, 1], [0, 0]])
    codes = {name: draw(4, 8, seed=place) for place, name in enumerate("FGH")}
    batches = [Batch(torch.tensor(rows), {}, {}, labels[rows]) for rows in ([0, 1], [2, 3])]
    bank.fill(batches, lambda batch: {name: value[batch.index] for name, value in codes.items()})
    assert torch.equal(bank.labels, labels.float())
    assert torch.equal(bank.get_buffer("H"), codes["H"])
    total = codes["F"] + codes["G"] + codes["H"]
    assert torch.equal(bank.B, torch.where(total >= 0, 1.0, -1.0))


def test_a_bank_without_labels_is_filled_from_batches_with_or_without_them() -> None:
    codes = {"F": draw(4, 8), "G": draw(4, 8, seed=1)}
    for labels in (None, torch.ones(4, 3)):
        bank = CodeBank(4, 8)
        bank.fill([Batch(torch.arange(4), {}, {}, labels)], lambda batch: codes)
        assert torch.equal(bank.F, codes["F"])
        assert torch.equal(bank.B, torch.where(codes["F"] + codes["G"] >= 0, 1.0, -1.0))
        assert bank.labels.shape == (4, 0)


def test_a_bank_of_labels_is_not_filled_without_them() -> None:
    bank = CodeBank(2, 8, 2)
    with pytest.raises(ValueError, match="keeps labels of 2 classes, but a batch has none"):
        bank.fill([Batch(torch.arange(2), {}, {})], lambda batch: {})


def test_a_method_that_needs_labels_says_so() -> None:
    require_labels(1)
    with pytest.raises(ValueError, match="learns from labels, but the data set has none"):
        require_labels(0)


def test_codes_that_a_loss_left_are_kept_once() -> None:
    bank = CodeBank(4, 8, more=("H",))
    before = {name: value.clone() for name, value in bank.state_dict().items()}
    batch = Batch(torch.tensor([3, 1]), {}, {})
    batch.shared.update(G=draw(2, 8), H=draw(2, 8, seed=1), other=torch.ones(1))
    G, H = batch.shared["G"], batch.shared["H"]
    bank.keep(batch)
    assert torch.equal(bank.G[[3, 1]], G)
    assert torch.equal(bank.get_buffer("H")[[3, 1]], H)
    assert torch.equal(bank.G[[0, 2]], before["G"][[0, 2]])
    assert torch.equal(bank.F, before["F"])
    assert list(batch.shared) == ["other"]
    with pytest.raises(LookupError, match=r"under one of \['F', 'G', 'H'\], found \['other'\]"):
        bank.keep(batch)


def test_a_banks_figures_say_when_all_codes_are_one() -> None:
    bank = CodeBank(10, 8)
    bank.B.fill_(1.0)
    assert bank.figures() == {"unique": 0.1, "balance": 1.0}
    bank.B[::2] = -1
    assert bank.figures() == {"unique": 0.2, "balance": 0.0}
