"""Mixup over several steps: partners come from the step before, so that cutting, order, a second gradient and a resumed run
change nothing; and it is what the formula says."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from toy_batches import Row, Still, batch, cut, rows, toy

from tunewright.core.seeds import key
from tunewright.core.tensors import At, Batch, Gradient, Report, total, trainable
from tunewright.objectives import CrossEntropy, Focal, Mixup, RDrop
from tunewright.training.loop import train

STEPS = 3
OBJECTIVES = [Mixup(), Mixup(alpha=2.0, inner=Focal()), Mixup(inner=RDrop()), Mixup(inner=CrossEntropy(smoothing=0.1))]
every = pytest.mark.parametrize("objective", OBJECTIVES, ids=["plain", "focal", "r_drop", "smooth"])


def steps(kind: Any, n: int = 9) -> list[list[Row]]:
    """Other rows in each step."""
    return [[replace(row, id=f"s{step} {row.id}") for row in rows(n, kind, seed=step)] for step in range(STEPS)]


def windows(chosen: list[list[Row]], pieces: int, kind: Any, **more: Any) -> Iterator[Sequence[Batch]]:
    for step, part in enumerate(chosen):
        mixed = part if pieces == 1 else part[::-1]
        yield [batch(micro, kind, seed=step + 7, **more) for micro in (cut(mixed, pieces) if pieces > 1 else [mixed])]


def trained(
    objective: Mixup, chosen: list[list[Row]], pieces: int, kind: Any, update: Any = None, **more: Any
) -> list[Any]:
    model = toy(p=0.3, kind=kind)
    parameters = trainable(model)
    loop = train(model, windows(chosen, pieces, kind, **more), objective, update or Still(), parameters, steps=STEPS)
    return [(report, {n: p.grad.clone() for n, p in parameters.items() if p.grad is not None}) for report in loop]


def same(ours: list[Any], theirs: list[Any]) -> None:
    assert len(ours) == len(theirs)
    for (a, ga), (b, gb) in zip(ours, theirs, strict=True):
        assert a.loss == pytest.approx(b.loss, rel=1e-9) and dict(a.rows) == pytest.approx(dict(b.rows), rel=1e-9)
        for name, g in gb.items():
            assert torch.allclose(ga[name], g, rtol=1e-8, atol=1e-12), name


@pytest.mark.parametrize("kind", ["example", "token"])
@every
def test_no_step_depends_on_how_it_is_cut_or_ordered(objective: Mixup, kind: Any) -> None:
    whole = trained(replace(objective), steps(kind), 1, kind, weighted=True)
    for pieces in (2, 4):
        same(trained(replace(objective), steps(kind), pieces, kind, weighted=True), whole)
    plain = trained(replace(objective), steps(kind), 1, kind)
    assert plain[1][0].loss != pytest.approx(whole[1][0].loss)


def test_it_mixes_from_the_second_step_on() -> None:
    chosen = steps("example")
    ours, inner = trained(Mixup(), chosen, 1, "example"), trained(CrossEntropy(), chosen, 1, "example")  # type: ignore[arg-type]
    assert ours[0][0].loss == inner[0][0].loss
    assert all(a.loss != pytest.approx(b.loss, rel=1e-3) for (a, _), (b, _) in zip(ours[1:], inner[1:], strict=True))


def test_it_is_what_the_formula_says() -> None:
    chosen = [[row for row in part if row.targets[0] is not None] for part in steps("example")]
    model, objective = toy(), Mixup(alpha=0.7)
    first, second = (batch(part, "example", seed=step) for step, part in enumerate(chosen[:2]))
    objective(model, first, At(0, 3))
    terms = objective(model, second, At(1, 3))
    names = sorted(first.ids)
    assert second.keys is not None
    expected = 0.0
    for i, k in enumerate(second.keys.tolist()):
        j = first.ids.index(names[key(k, "mixup partner") % len(names)])
        b = float(np.random.default_rng(key(k, "mixup share")).beta(0.7, 0.7))
        m = max(b, 1 - b)
        z = m * model(second)[i] + (1 - m) * model(first)[j].detach()
        log = -torch.log_softmax(z, -1)
        expected += float((m * log[second.targets[i]] + (1 - m) * log[first.targets[j]]).detach())
    assert float(total(terms).detach()) == pytest.approx(expected, rel=1e-9)


class Twice:
    """An update that asks for the gradient twice, as sharpness-aware ones do; the second time at other weights."""

    def __init__(self, parameters: Any) -> None:
        self.parameters = parameters

    def step(self, gradient: Gradient, at: At) -> Report:
        gradient()
        with torch.no_grad():
            for p in self.parameters.values():
                p += 0.1
        gradient()
        with torch.no_grad():
            for p in self.parameters.values():
                p -= 0.1
        return gradient()


def test_a_second_gradient_of_a_step_remembers_the_first_s_scores() -> None:
    chosen = steps("example")
    model = toy(p=0.3)
    parameters, objective = trainable(model), Mixup()
    found = [
        (report, {n: p.grad.clone() for n, p in parameters.items() if p.grad is not None})
        for report in train(model, windows(chosen, 2, "example"), objective, Twice(parameters), parameters, steps=STEPS)  # type: ignore[arg-type]
    ]
    whole = trained(Mixup(), chosen, 1, "example")
    assert [a.loss for a, _ in found] == pytest.approx([b.loss for b, _ in whole], rel=1e-6)


def test_an_example_that_is_drawn_twice_is_remembered_by_the_lesser_key() -> None:
    row = rows(1)[0]
    found = []
    for order in ((1, 2), (2, 1)):
        objective, model = Mixup(), toy(p=0.5)
        for seed in order:
            objective(model, batch([row], seed=seed), At(0, 2))
        found.append(objective.state()["now"])
    assert found[0] == found[1] and len(found[0]) == 1


@pytest.mark.parametrize("at", [1, 2])
def test_a_resumed_run_goes_on_exactly(at: int) -> None:
    chosen = steps("token")
    whole, parts = trained(Mixup(), chosen, 1, "token"), []
    objective = Mixup()
    model = toy(p=0.3, kind="token")
    parameters = trainable(model)
    loop = train(model, windows(chosen, 1, "token"), objective, Still(), parameters, steps=STEPS)
    parts = [next(loop) for _ in range(at)]
    state = json.loads(json.dumps(objective.state()))
    again = Mixup()
    again.load(state)
    later = iter(list(windows(chosen, 2, "token"))[at:])
    parts += list(train(model, later, again, Still(), parameters, steps=STEPS, start=at))
    assert [report.loss for report in parts] == pytest.approx([report.loss for report, _ in whole], rel=1e-12)


def test_targets_that_are_not_sure_are_mixed_as_well() -> None:
    def unsure(step: int) -> Batch:
        return batch([replace(r, soft=(0.2, 0.5, 0.3)) for r in rows(4)[:4]], "unsure", seed=step)

    objective, model = Mixup(), toy()
    losses = [float(total(objective(model, unsure(step), At(step, 2))).detach()) for step in range(2)]
    assert np.isfinite(losses).all()


def test_without_keys_and_without_targets_it_is_the_inner_objective() -> None:
    objective, model = Mixup(), toy()
    objective(model, batch(rows(), seed=1), At(0, 2))
    plain = batch(rows())
    mine, inner = (float(total(o(model, plain, At(1, 2))).detach()) for o in (objective, CrossEntropy()))
    assert mine == inner
    assert len(objective(model, batch([r.masked() for r in rows()], seed=1), At(1, 2))) == 1
