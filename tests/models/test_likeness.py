"""Two models side by side: figures against the slow, obvious computation with whole score matrices."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from tunewright.encoding import Example
from tunewright.models import likeness
from tunewright.models.forward import ModelForward
from tunewright.models.likeness import Side
from tunewright.models.toy import toy_bert, toy_llama


def examples(n: int, unit: Any = "example") -> list[Example]:
    rng = np.random.default_rng(3)
    out = []
    for i in range(n):
        tokens = rng.integers(4, 20, size=3 + i % 5)
        target = np.roll(tokens, -1) if unit == "token" else 0
        out.append(Example(f"e{i}", tokens, target, len(tokens), unit=unit))
    return out


def pair(build: Any, **how: Any) -> tuple[Side, Side]:
    sides = [Side(ModelForward(build(seed), fixed=True, **how)) for seed in (1, 2)]
    return sides[0], sides[1]


def scores(side: Side, rows: list[Example]) -> Tensor:
    with torch.no_grad():
        return torch.cat([side.forward(next(iter(likeness.laid([row])))[1]) for row in rows]).double()


def test_classes() -> None:
    first, second = pair(lambda seed: toy_bert(4, seed)[0])
    rows = examples(23)
    p, q = (torch.log_softmax(scores(side, rows), -1) for side in (first, second))
    found = likeness.classes(first, second, rows)
    assert found.unit == "example" and found.units == 23 == found.decided
    assert found.kl == pytest.approx(float((p.exp() * (p - q)).sum(-1).mean()), rel=1e-4)
    assert found.largest == pytest.approx(float((p - q).abs().max()), rel=1e-4)
    assert found.agreeing == int((p.argmax(-1) == q.argmax(-1)).sum()) and 0 < found.agreeing < 23
    same = likeness.classes(first, first, rows)
    assert (same.kl, same.largest, same.agreement) == (0.0, 0.0, 1.0)


def test_label_sets() -> None:
    first, second = pair(lambda seed: toy_bert(3, seed)[0])
    rows, least = examples(17), [0.5, 0.45, 0.55]
    p, q = (torch.sigmoid(scores(side, rows)) for side in (first, second))
    kl = (p * (p / q).log() + (1 - p) * ((1 - p) / (1 - q)).log()).sum(-1).mean()
    found = likeness.label_sets(first, second, rows, least)
    assert found.kl == pytest.approx(float(kl), rel=1e-4)
    cut = torch.tensor(least)
    assert found.agreeing == int(((p >= cut) == (q >= cut)).all(-1).sum()) < 17


def test_numbers_count_in_spreads() -> None:
    first, second = pair(lambda seed: toy_bert(2, seed)[0], scale=((1.0, 5.0), (2.0, 10.0)))
    rows = examples(9)
    a, b = (scores(side, rows) for side in (first, second))
    found = likeness.numbers(first, second, rows, (2.0, 10.0))
    assert found.largest == pytest.approx(float(((a - b).abs() / torch.tensor([2.0, 10.0])).max()), rel=1e-4)
    assert found.kl is None and found.agreement is None and found.units == 18


@pytest.mark.parametrize("block", [2**24, 300])
def test_pieces_in_blocks(block: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(likeness, "_BLOCK", block)
    first, second = pair(lambda seed: toy_llama(seed)[0])
    rows = examples(11, "token")
    p, q = (torch.log_softmax(scores(side, rows), -1) for side in (first, second))
    found = likeness.pieces(first, second, rows, budget=16)
    assert found.units == len(p) == sum(len(row.tokens) for row in rows)
    assert found.kl == pytest.approx(float((p.exp() * (p - q)).sum(-1).mean()), rel=1e-4)
    assert found.largest == pytest.approx(float((p - q).abs().max()), rel=1e-4)
    assert found.agreeing == int((p.argmax(-1) == q.argmax(-1)).sum())


def test_what_is_not_finite_is_no_likeness() -> None:
    first, second = pair(lambda seed: toy_bert(4, seed)[0])
    with torch.no_grad():
        second.forward.inner.classifier.weight[0, 0] = float("inf")
    found = likeness.classes(first, second, examples(5))
    assert np.isnan(found.largest) and np.isnan(found.kl or 0.0)


def test_a_side_is_asked_within_what_is_around_it() -> None:
    first, second = pair(lambda seed: toy_bert(4, seed)[0])
    entered = []

    @contextmanager
    def within() -> Iterator[None]:
        entered.append(1)
        yield

    likeness.classes(first, Side(second.forward, within), examples(5))
    assert entered == [1]
