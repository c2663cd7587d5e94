"""The loop: one report a step, one division a unit, nothing changed by a step that fails."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pytest
import torch
from torch import Tensor

from tunewright.core.errors import NotFinite
from tunewright.core.tensors import At, Batch, Forward, Gradient, Parameters, Pool, Report, Term, trainable
from tunewright.encoding import collate, pack
from tunewright.models.toy import Toy
from tunewright.objectives import CrossEntropy
from tunewright.samplers import Shuffle
from tunewright.training import Plan, Windows, train
from tunewright.training.loop import Once, count
from tunewright.updates import AdamW, Clip


class Plain:
    """Gradient descent, and how often the closure was asked; `calls` of them a step."""

    def __init__(self, parameters: Parameters, rate: float = 0.1, calls: int = 1) -> None:
        self.parameters, self.rate, self.calls = parameters, rate, calls

    def step(self, gradient: Gradient, at: At) -> Report:
        for _ in range(self.calls):
            report = gradient()
        with torch.no_grad():
            for p in self.parameters.values():
                if p.grad is not None:
                    p -= self.rate * p.grad
        return report

    def state(self) -> dict[str, Any]:
        return {}

    def load(self, state: Mapping[str, Any]) -> None:
        """Nothing."""


def windows(examples: Any, pieces: int = 1, unsupervised: Sequence[str] = ()) -> Iterator[list[Batch]]:
    """All of the examples at each step, in `pieces` micro-batches."""
    rows = [replace(e, target=None) if e.id in unsupervised else e for e in examples.values()]
    for step in itertools.count():
        yield [pack(rows[i::pieces], seed=0, step=step) for i in range(pieces)]


def weights(model: Toy) -> dict[str, Tensor]:
    return {n: p.detach().clone() for n, p in model.named_parameters()}


def run(examples: Any, steps: int, *, p: float = 0.0, objective: Any = None, **more: Any) -> tuple[list[Report], Toy]:
    model = Toy(3, seed=0, p=p).train()
    ps = trainable(model)
    reports = list(train(model, windows(examples(9)), objective or CrossEntropy(), Plain(ps), ps, steps=steps, **more))
    return reports, model


def test_a_report_a_step_says_what_was_done(examples: Any) -> None:
    reports, _ = run(examples, 5)
    assert [r.step for r in reports] == [0, 1, 2, 3, 4]
    for report in reports:
        assert report.totals == {"example": 9, "step": 1}
        assert report.loss == pytest.approx(sum(report.parts.values())) and list(report.parts) == ["cross_entropy"]
        assert set(report.rows) == set(examples(9))
        assert report.loss == pytest.approx(sum(report.rows.values()) / 9, rel=1e-5)
        assert report.gradient_norm > 0
        assert all(isinstance(v, float) for v in [report.loss, report.gradient_norm, *report.rows.values()])
    assert reports[-1].loss < reports[0].loss


def test_one_step_takes_one_window_and_nothing_is_done_ahead(examples: Any) -> None:
    taken: list[int] = []

    def counted() -> Iterator[list[Batch]]:
        for i, window in enumerate(windows(examples(6), pieces=3)):
            taken.append(i)
            yield window

    model = Toy(3)
    ps = trainable(model)
    loop = train(model, counted(), CrossEntropy(), Plain(ps), ps, steps=10)
    assert taken == []
    for i in range(3):
        next(loop)
        assert taken == list(range(i + 1))


def test_breaking_stops_where_it_is(examples: Any) -> None:
    model = Toy(3)
    ps = trainable(model)
    for report in train(model, windows(examples(6)), CrossEntropy(), Plain(ps), ps, steps=10):
        kept = weights(model)
        if report.step == 2:
            break
    whole, short = Toy(3), Toy(3)
    ps = trainable(whole)
    for _ in itertools.islice(train(whole, windows(examples(6)), CrossEntropy(), Plain(ps), ps, steps=10), 3):
        pass
    assert all(torch.equal(kept[n], p) for n, p in whole.named_parameters())
    assert not torch.equal(weights(short)["classifier.weight"], kept["classifier.weight"])


def test_it_ends_by_itself(examples: Any) -> None:
    assert len(run(examples, 4)[0]) == 4
    assert run(examples, 0)[0] == []
    assert [r.step for r in run(examples, 4, start=2)[0]] == [2, 3]
    assert run(examples, 4, start=4)[0] == []


@pytest.mark.parametrize("p", [0.0, 0.2])
@pytest.mark.parametrize("stop", [1, 4])
def test_going_on_from_a_step_is_never_having_stopped(examples: Any, stop: int, p: float) -> None:
    rows = examples(20)
    pool = Pool(list(rows), lengths=[len(e) for e in rows.values()])
    lengths = {i: len(e) for i, e in rows.items()}

    def parts(model: Toy) -> tuple[Windows, Any]:
        made = Windows(Shuffle().bind(pool, 1), collate(rows, 1), lengths, Plan(56, 7, 8), micro_tokens=20)
        return made, Clip(norm=0.5, inner=AdamW(rate=0.01)).bind(trainable(model))

    def go(model: Toy, made: Windows, update: Any, start: int, steps: int) -> list[Report]:
        loop = train(model, made, CrossEntropy(0.1), update, trainable(model), steps=7, start=start)
        return list(itertools.islice(loop, steps))

    kept = Toy(3, p=p).train()
    made, update = parts(kept)
    go(kept, made, update, 0, stop)
    state, at, tensors = weights(kept), made.state(), {k: v.clone() for k, v in update.state()["tensors"].items()}
    expected = go(kept, made, update, stop, 7)
    other = Toy(3, seed=5, p=p).train()
    other.load_state_dict(state)
    made, update = parts(other)
    made.load(at)
    update.load({"tensors": tensors})
    assert go(other, made, update, stop, 7) == expected and len(expected) == 7 - stop
    assert all(torch.equal(a, b) for a, b in zip(kept.parameters(), other.parameters(), strict=True))


def test_the_schedule_sees_every_step_of_all(examples: Any) -> None:
    seen: list[At] = []

    def objective(forward: Forward, batch: Batch, at: At) -> tuple[Term, ...]:
        seen.append(at)
        return CrossEntropy()(forward, batch, at)

    run(examples, 5, start=2, objective=objective)
    assert seen == [At(2, 5), At(3, 5), At(4, 5)]


def test_the_closure_may_be_called_twice(examples: Any) -> None:
    results = []
    for calls in (1, 2, 3):
        model = Toy(3, p=0.3).train()
        ps = trainable(model)
        update = Plain(ps, calls=calls)
        results.append(
            (list(train(model, windows(examples(9), 3), CrossEntropy(), update, ps, steps=3)), weights(model))
        )
    for reports, learnt in results[1:]:
        assert reports == results[0][0]
        assert all(torch.equal(learnt[n], w) for n, w in results[0][1].items())


def test_gradients_from_before_do_not_add_up(examples: Any) -> None:
    model = Toy(3)
    ps = trainable(model)
    for p in ps.values():
        p.grad = torch.full_like(p, 1e6)
    (report,) = train(model, windows(examples(4)), CrossEntropy(), Plain(ps, rate=0), ps, steps=1)
    assert report.gradient_norm < 1e3


# What is not finite


def poisoned(where: str, example: str) -> Any:
    """Cross-entropy that goes wrong for one example: in its loss, or in its gradient alone."""

    def objective(forward: Forward, batch: Batch, at: At) -> tuple[Term, ...]:
        (term,) = CrossEntropy()(forward, batch, at)
        if at.step < 2 or example not in batch.ids:
            return (term,)
        if where == "gradient":
            score = forward(batch).sum()
            return (replace(term, total=term.total + (score - score.detach()).abs().sqrt().nan_to_num()),)
        assert term.rows is not None
        bad = math.inf if where == "infinity" else math.nan
        rows = term.rows.clone()
        rows[batch.ids.index(example)] = bad
        return (replace(term, total=term.total + bad, rows=rows),)

    return objective


@pytest.mark.parametrize("where", ["nan", "infinity", "gradient"])
@pytest.mark.parametrize("inner", [AdamW(rate=0.01), Clip(norm=1.0, inner=AdamW(rate=0.01))])
def test_what_is_not_finite_names_the_examples_and_changes_nothing(examples: Any, where: str, inner: Any) -> None:
    model = Toy(3)
    ps = trainable(model)
    update = inner.bind(ps)
    loop = train(model, windows(examples(30), 2), poisoned(where, "e21"), update, ps, steps=9)
    next(loop), next(loop)
    before = weights(model)
    tensors = {n: t.clone() for n, t in update.state()["tensors"].items()}
    with pytest.raises(NotFinite) as error:
        next(loop)
    assert "step 3 of 9" in str(error.value)
    assert "e1" in str(error.value) if where == "gradient" else "examples e21\n" in str(error.value)
    assert all(torch.equal(p, before[n]) for n, p in model.named_parameters())
    assert all(torch.equal(t, tensors[n]) for n, t in update.state()["tensors"].items())


def test_a_loss_without_rows_names_its_micro_batch(examples: Any) -> None:
    def objective(forward: Forward, batch: Batch, at: At) -> tuple[Term, ...]:
        bad = math.nan if "e3" in batch.ids else 1.0
        return (Term("odd", forward(batch).sum() * bad, "example"),)

    model = Toy(3)
    ps = trainable(model)
    with pytest.raises(NotFinite, match=r"odd: nan on the examples e1, e3, e5") as error:
        next(train(model, windows(examples(6), 2), objective, Plain(ps), ps, steps=1))
    assert error.value.exit_code == 8


# Terms, units, penalties


@dataclass(frozen=True)
class Pull:
    """0.5 |p|^2 of every parameter, once a step."""

    name: str = "pull"
    strength: float = 0.5

    def __call__(self, parameters: Mapping[str, Tensor], at: At) -> Term:
        return Term(
            self.name, torch.stack([p.square().sum() for p in parameters.values()]).sum(), "step", self.strength
        )


@pytest.mark.parametrize("pieces", [1, 2, 5])
def test_a_penalty_counts_once_a_step_however_the_step_is_cut(examples: Any, pieces: int) -> None:
    model = Toy(3).double()
    ps = trainable(model)
    squares = sum(float(p.detach().square().sum()) for p in ps.values())

    def silent(forward: Forward, batch: Batch, at: At) -> tuple[Term, ...]:
        return (Term("silent", 0.0 * forward(batch).sum(), "example"),)

    update = Plain(ps, rate=0)
    (report,) = train(
        model, windows(examples(10), pieces), silent, update, ps, steps=1, penalties=[Pull(), Pull("b", 2)]
    )
    assert report.parts == pytest.approx({"silent": 0.0, "pull": 0.5 * squares, "b": 2 * squares})
    assert report.loss == pytest.approx(2.5 * squares)
    assert all(p.grad is not None and torch.allclose(p.grad, 5 * p.detach()) for p in ps.values())


def test_each_unit_has_its_own_total(examples: Any) -> None:
    """Three terms: a mean over examples, a mean over a window's tokens, and a constant a step."""

    def objective(forward: Forward, batch: Batch, at: At) -> tuple[Term, ...]:
        anchor = 0.0 * forward(batch).sum()
        n = len(batch.positions)
        return (
            Term("by example", anchor + 3.0 * len(set(batch.owners().tolist())), "example", scale=2.0),
            Term("by token", anchor + 5.0 * n, "token"),
        )

    rows = list(examples(8).values())
    made = pack(rows)
    tokens = replace(made, unit="token", positions=torch.arange(0, len(made.tokens), 2))
    tokens = replace(tokens, targets=torch.zeros(len(tokens.positions), dtype=torch.int64))
    model = Toy(3)
    ps = trainable(model)
    (report,) = train(model, iter([[tokens, tokens]]), objective, Plain(ps, rate=0), ps, steps=1)
    owners = len(set(tokens.owners().tolist()))
    assert report.totals == {"token": 2 * len(tokens.positions), "example": 2 * owners, "step": 1}
    assert report.parts == pytest.approx({"by example": 6.0, "by token": 5.0})


def test_examples_without_a_target_are_not_in_the_report(examples: Any) -> None:
    """A loss of 0 would make a sampler think them easy."""
    model = Toy(3)
    ps = trainable(model)
    rows = examples(9)
    without = list(rows)[:4]
    made = windows(rows, pieces=2, unsupervised=without)
    (report,) = train(model, made, CrossEntropy(), Plain(ps), ps, steps=1)
    assert set(report.rows) == set(rows) - set(without) and all(row > 0 for row in report.rows.values())
    assert report.loss == pytest.approx(sum(report.rows.values()) / 5, rel=1e-5)


def test_a_unit_that_nothing_counts_is_a_bug_and_said_so(examples: Any) -> None:
    class Pairs(CrossEntropy):
        def __call__(self, forward: Forward, batch: Batch, at: At) -> tuple[Term, ...]:
            return tuple(replace(term, unit="pair") for term in super().__call__(forward, batch, at))

    with pytest.raises(ValueError, match=r"'cross_entropy' is a sum over 'pair', but .* count example, step"):
        run(examples, 1, objective=Pairs())


def test_a_unit_that_is_counted_and_absent_is_nothing(examples: Any) -> None:
    model = Toy(3)
    ps = trainable(model)
    before = weights(model)
    made = windows(examples(4), unsupervised=list(examples(4)))
    (report,) = train(model, made, CrossEntropy(), Plain(ps), ps, steps=1)
    assert report.totals == {"example": 0, "step": 1} and report.loss == 0 and report.rows == {}
    assert all(torch.equal(before[n], p) for n, p in model.named_parameters())


def test_rows_of_several_terms_add_up_with_their_factors(examples: Any) -> None:
    def objective(forward: Forward, batch: Batch, at: At) -> tuple[Term, ...]:
        (term,) = CrossEntropy()(forward, batch, at)
        return (term, replace(term, name="half", scale=0.5))

    (once,), _ = run(examples, 1)
    (both,), _ = run(examples, 1, objective=objective)
    assert both.rows == pytest.approx({i: 1.5 * v for i, v in once.rows.items()})
    assert both.loss == pytest.approx(1.5 * once.loss)


def test_a_window_with_nothing_to_learn_from_takes_a_step_of_nothing(examples: Any) -> None:
    model = Toy(3)
    ps, before = trainable(model), weights(model)
    (report,) = train(model, windows(examples(4), 2, list(examples(4))), CrossEntropy(), Plain(ps), ps, steps=1)
    assert report.loss == 0.0 and report.gradient_norm == 0.0 and report.totals == {"example": 0, "step": 1}
    assert all(torch.equal(p, before[n]) for n, p in model.named_parameters())


def test_totals_of_other_processes_divide_as_well(examples: Any) -> None:
    """Two processes with half of the rows each leave gradients whose sum is that of one process with all."""
    rows = examples(10)
    halves = [dict(list(rows.items())[:3]), dict(list(rows.items())[3:])]
    gradients, all_of_it = [], {"example": 10, "step": 1}
    for part in (rows, *halves):
        model = Toy(3).double()
        ps = trainable(model)
        next(train(model, windows(part), CrossEntropy(), Plain(ps, 0), ps, steps=1, reduce=lambda totals: all_of_it))
        gradients.append({n: p.grad for n, p in ps.items()})
    whole, a, b = gradients
    for n, g in whole.items():
        assert g is not None and torch.allclose(g, a[n] + b[n], rtol=1e-9, atol=1e-12)


def test_frozen_parameters_have_no_part_in_it(examples: Any) -> None:
    model = Toy(3)
    model.embed.requires_grad_(False)
    ps, before = trainable(model), weights(model)
    list(train(model, windows(examples(6)), CrossEntropy(), Plain(ps), ps, steps=2))
    assert torch.equal(model.embed.weight, before["embed.weight"]) and model.embed.weight.grad is None
    assert not torch.equal(model.classifier.weight, before["classifier.weight"])


def test_count_counts_what_is_supervised(examples: Any) -> None:
    rows = list(examples(6).values())
    part = pack([rows[0], replace(rows[1], target=None), rows[2]])
    assert count([part, part]) == {"example": 4, "step": 1}
    tokens = replace(part, unit="token", positions=torch.tensor([0]), targets=torch.tensor([1]))
    assert count([tokens, part]) == {"token": 1, "example": 3, "step": 1}
    assert count([]) == {"step": 1}


class Counting:
    """A forward that counts its passes."""

    def __init__(self, model: Toy) -> None:
        self.model, self.calls = model, 0

    def __call__(self, batch: Batch, nudge: Tensor | None = None) -> Tensor:
        self.calls += 1
        return self.model(batch, nudge)  # type: ignore[no-any-return]

    def nudge_like(self, batch: Batch) -> Tensor:
        return self.model.nudge_like(batch)


def test_once_remembers_a_batch_as_it_is(examples: Any) -> None:
    rows = list(examples(6).values())
    one, two = pack(rows[:3], seed=0), pack(rows[3:], seed=0)
    forward = Counting(Toy(3, p=0.5).train())
    once = Once(forward)
    assert once(one) is once(one) and forward.calls == 1
    once(two)
    assert forward.calls == 2
    other = one.view(1)
    assert not torch.equal(once(other), once(one)) and forward.calls == 3, "another view is another pass"
    nudge = once.nudge_like(one)
    assert nudge.shape == (len(one.tokens), 16) and not nudge.any()
    once(one, nudge)
    once(one, nudge)
    assert forward.calls == 5, "a nudged pass is never remembered"


def test_two_objectives_share_a_pass_and_passes_are_not_kept_over_steps(examples: Any) -> None:
    forward = Counting(Toy(3))
    ps = trainable(forward.model)

    def both(f: Forward, batch: Batch, at: At) -> tuple[Term, ...]:
        return (*CrossEntropy()(f, batch, at), *CrossEntropy(0.1)(f, batch, at))

    kept = next(windows(examples(6), 2))
    list(train(forward, iter([kept, kept, kept]), both, Plain(ps, calls=2), ps, steps=3))
    assert forward.calls == 3 * 2 * 2
