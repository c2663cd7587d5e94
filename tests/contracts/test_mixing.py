"""Several tasks in one loss: what every weighting and every mixture must do, and written-out references of the papers'.

Registering a weighting or a mixture without a row in `WEIGHTINGS` or `MIXTURES` fails.
"""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from toy_batches import Row, batch, rows

from tunewright.core.registry import build, dump, members
from tunewright.core.tensors import At, Batch, Forward, Gradient, Pool, Report, Term, trainable
from tunewright.mixing import Equal, Fixed, GradNorm, Mixed, Mixture, Part, Proportional, Size, Tempered, Uncertainty
from tunewright.models.toy import Toy
from tunewright.objectives import CrossEntropy, Mse
from tunewright.samplers import Shuffle
from tunewright.training.loop import train

WEIGHTINGS: dict[str, Any] = {
    "fixed": Fixed(), "size": Size(), "uncertainty": Uncertainty(0.1), "gradnorm": GradNorm(1.0, 0.1),
}  # fmt: skip
MIXTURES: dict[str, Any] = {"proportional": Proportional(), "equal": Equal(), "tempered": Tempered(3.0)}
PARTS = (Part("kind", 30, 1.0, "classes"), Part("much", 10, 2.0, "numbers"), Part("tags", 20, 0.5, "tokens"))
every = pytest.mark.parametrize("name", list(WEIGHTINGS))


class Bodies(nn.Module):
    """Toys that read with one body; the head of "much" has one score."""

    def __init__(self) -> None:
        super().__init__()
        self.toys = nn.ModuleDict({"kind": Toy(3, 0, 0.3), "much": Toy(1, 0, 0.3), "tags": Toy(3, 0, 0.3)})
        first = self.toys["kind"]
        for toy in list(self.toys.values())[1:]:
            toy.embed, toy.where, toy.layers, toy.norm = first.embed, first.where, first.layers, first.norm
            toy.draws = first.draws
        self.double()

    def of(self, task: str) -> Forward:
        found: Any = self.toys[task]
        return found

    def __call__(self, batch: Batch, nudge: Tensor | None = None) -> Tensor:
        return self.of(batch.task)(batch, nudge)

    def losses(self, batch: Batch, nudge: Tensor | None = None, smoothing: float = 0.0) -> Tensor:
        return self.of(batch.task).losses(batch, nudge, smoothing)

    def nudge_like(self, batch: Batch) -> Tensor:
        return self.of(batch.task).nudge_like(batch)

    def last(self) -> nn.Parameter:
        """The last matrix that all share."""
        weight: Any = self.toys["kind"].layers[-1].down.weight
        return weight


def of_task(task: str, chosen: Sequence[Row], seed: int) -> Batch:
    made = batch(chosen, "token" if task == "tags" else "example", seed=seed)
    made = replace(made, ids=tuple(f"{task}:{i}" for i in made.ids), task=task)
    if task == "much":
        made = replace(made, targets=made.targets[:, None].double() * 3 - 1)
    return made


def drawn() -> dict[str, list[Row]]:
    return {"kind": rows(9, seed=1), "much": rows(4, seed=2), "tags": rows(6, "token", seed=3)}


def windows(steps: int, pieces: int, shuffle: int | None = None) -> Iterator[list[Batch]]:
    """The same examples each step, each task's cut into `pieces`; the second step lacks "much"."""
    for step in range(steps):
        out = []
        for task, chosen in drawn().items():
            if step == 1 and task == "much":
                continue
            chosen = list(chosen)
            if shuffle is not None:
                random.Random(shuffle).shuffle(chosen)
            size = -(-len(chosen) // pieces)
            out += [of_task(task, chosen[k : k + size], seed=step) for k in range(0, len(chosen), size)]
        if shuffle is not None:
            random.Random(shuffle + step).shuffle(out)
        yield out


def mixed(name: str, model: Bodies) -> Mixed:
    inner = {"kind": CrossEntropy(), "much": Mse(), "tags": CrossEntropy(0.1)}
    return Mixed(inner, WEIGHTINGS[name].bind(PARTS), model.last())


class Descent:
    """Plain gradient descent; `keep` holds each step's gradients."""

    def __init__(self, model: nn.Module, twice: bool = False) -> None:
        self.model, self.twice, self.keep = model, twice, list[dict[str, Tensor]]()

    def step(self, gradient: Gradient, at: At) -> Report:
        if self.twice:
            gradient()
        report = gradient()
        named = trainable(self.model)
        self.keep.append({n: p.grad.clone() for n, p in named.items() if p.grad is not None})
        with torch.no_grad():
            for p in named.values():
                if p.grad is not None:
                    p -= 0.05 * p.grad
        return report

    def state(self) -> dict[str, Any]:
        return {}

    def load(self, state: Any) -> None: ...


def learn(name: str, pieces: int = 1, shuffle: int | None = None, steps: int = 4, twice: bool = False) -> Any:
    """Gradients of each step, the reports, and the weights after each step."""
    model = Bodies().train()
    objective, update = mixed(name, model), Descent(model, twice)
    reports, weights = [], []
    loop = train(model, windows(steps, pieces, shuffle), objective, update, trainable(model), steps=steps)
    for report in loop:
        objective.observe(report)
        reports.append(report)
        weights.append(objective.weights())
    return update.keep, reports, weights


def alike(found: Any, wanted: Any, tolerance: float = 1e-9) -> None:
    for mine, theirs in zip(found[0], wanted[0], strict=True):
        assert mine.keys() == theirs.keys()
        for name, gradient in theirs.items():
            torch.testing.assert_close(mine[name], gradient, rtol=tolerance, atol=tolerance)
    for mine, theirs in zip(found[2], wanted[2], strict=True):
        assert mine == pytest.approx(theirs, rel=tolerance)


def test_every_registered_member_is_here() -> None:
    assert set(WEIGHTINGS) == set(members("weighting")) and set(MIXTURES) == set(members("mixture"))


@pytest.mark.parametrize("family, table", [("weighting", WEIGHTINGS), ("mixture", MIXTURES)])
def test_a_member_is_a_value_that_can_be_written_and_read(family: str, table: dict[str, Any]) -> None:
    for member in table.values():
        assert build(family, json.loads(json.dumps(dump(member)))) == member


@every
def test_neither_cutting_nor_order_changes_gradients_or_weights(name: str) -> None:
    whole = learn(name)
    alike(learn(name, pieces=3), whole)
    alike(learn(name, pieces=9, shuffle=5), whole)
    assert (len({json.dumps(w) for w in whole[2]}) > 1) == (name in ("uncertainty", "gradnorm"))


def test_means_of_micro_batches_would_be_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    plain = Mixed.__call__

    def averaged(self: Mixed, forward: Forward, batch: Batch, at: At) -> tuple[Term, ...]:
        return tuple(
            replace(t, total=t.total / max(len(batch.positions), 1), unit="step")
            for t in plain(self, forward, batch, at)
        )

    monkeypatch.setattr(Mixed, "__call__", averaged)
    with pytest.raises(AssertionError):
        alike(learn("fixed", pieces=3), learn("fixed"))


@every
def test_an_update_may_ask_for_the_gradient_twice(name: str) -> None:
    alike(learn(name, twice=True), learn(name))


@every
def test_each_task_is_divided_by_its_own_units_and_weighed(name: str) -> None:
    model = Bodies().train()
    objective, update = mixed(name, model), Descent(model)
    (report,) = train(model, windows(1, 2), objective, update, trainable(model), steps=1)
    with torch.no_grad():
        model = Bodies().train()
        own = {"kind": CrossEntropy(), "much": Mse(), "tags": CrossEntropy(0.1)}
        for task, chosen in drawn().items():
            made = of_task(task, chosen, seed=0)
            (term,) = own[task](model.of(task), made, At(0, 1))
            loss = float(term.total) / made.counts()[term.unit]
            weight = report.watched[f"{task}/weight"]
            assert weight == pytest.approx(objective.weights()[task])
            parts = report.of(task).parts
            assert next(iter(parts.values())) == pytest.approx(weight * loss)
            assert report.totals[f"{term.unit}:{task}"] == made.counts()[term.unit]
    assert report.loss == pytest.approx(sum(report.parts.values()))


def test_weights_fixed_and_by_size_are_what_they_say() -> None:
    fixed, size = Fixed().bind(PARTS), Size().bind(PARTS)
    assert [fixed.factor(p.name) for p in PARTS] == [1.0, 2.0, 0.5]
    assert [size.factor(p.name) for p in PARTS] == pytest.approx([1.5, 1.0, 0.5])


def test_uncertainty_is_kendalls_with_adam() -> None:
    """PyTorch's own gradient and optimizer, equations 7 and 10 written out."""
    found = Uncertainty(0.03).bind(PARTS)
    s = torch.zeros(3, dtype=torch.float64, requires_grad=True)
    adam = torch.optim.Adam([s], lr=0.03)
    generator = torch.Generator().manual_seed(0)
    for _ in range(60):
        losses = torch.rand(3, generator=generator, dtype=torch.float64) * torch.tensor([3.0, 40.0, 0.1])
        half = torch.tensor([1.0, 0.5, 1.0])
        weight = torch.tensor([1.0, 2.0, 0.5])
        loss = (weight * (half * torch.exp(-s) * losses + s / 2)).sum()
        mine = sum(found.factor(p.name) * float(x) + found.cost(p.name) for p, x in zip(PARTS, losses, strict=True))
        assert mine == pytest.approx(float(loss.detach()), rel=1e-12)
        adam.zero_grad()
        loss.backward()
        adam.step()
        found.observe({p.name: float(x) for p, x in zip(PARTS, losses, strict=True)}, {})
        assert [found.variances[p.name] for p in PARTS] == pytest.approx(s.tolist(), rel=1e-9)
    before = dict(found.variances)
    found.observe({"kind": 1.0}, {})
    assert found.variances["much"] == before["much"] and found.variances["kind"] != before["kind"]


def test_uncertainty_comes_to_rest_where_every_task_costs_the_same() -> None:
    found = Uncertainty(0.05).bind(PARTS)
    for _ in range(3000):
        found.observe({"kind": 0.2, "much": 300.0, "tags": 5.0}, {})
    shares = [
        found.factor(n) * x / p.weight
        for p, n, x in zip(PARTS, ("kind", "much", "tags"), (0.2, 300.0, 5.0), strict=True)
    ]
    assert shares == pytest.approx([0.5] * 3, rel=0.03)


def test_gradnorm_is_chens_on_the_gradients_of_whole_steps() -> None:
    """Algorithm 1 with a backward pass of its own for every task, and PyTorch's gradient of the weights' loss and Adam."""
    steps, rate, alpha = 5, 0.1, 1.0
    model = Bodies().train()
    weights = torch.tensor([p.weight for p in PARTS], dtype=torch.float64, requires_grad=True)
    adam, first, wanted = torch.optim.Adam([weights], lr=rate), None, []
    own = {"kind": CrossEntropy(), "much": Mse(), "tags": CrossEntropy(0.1)}
    for step in range(steps):
        losses = []
        for task, chosen in drawn().items():
            made = of_task(task, chosen, seed=step)
            (term,) = own[task](model.of(task), made, At(step, steps))
            losses.append(term.total / made.counts()[term.unit])
        first = first or [float(x.detach()) for x in losses]
        shared = model.last()
        norms = torch.stack(
            [
                w * torch.autograd.grad(x, shared, retain_graph=True)[0].norm()
                for w, x in zip(weights, losses, strict=True)
            ]
        )
        pace = torch.tensor([float(x.detach()) / f for x, f in zip(losses, first, strict=True)])
        goals = (norms.mean() * (pace / pace.mean()) ** alpha).detach()
        whole = sum(float(w) * x for w, x in zip(weights.detach(), losses, strict=True))
        gradients = torch.autograd.grad(whole, list(trainable(model).values()), retain_graph=True, allow_unused=True)
        adam.zero_grad()
        (norms - goals).abs().sum().backward(inputs=[weights])
        adam.step()
        with torch.no_grad():
            for p, g in zip(trainable(model).values(), gradients, strict=True):
                if g is not None:
                    p -= 0.05 * g
            weights *= sum(p.weight for p in PARTS) / weights.sum()
        wanted.append(dict(zip((p.name for p in PARTS), weights.tolist(), strict=True)))

    def all_tasks() -> Iterator[list[Batch]]:
        for step in range(steps):
            yield [
                of_task(t, chosen[k : k + 3], step) for t, chosen in drawn().items() for k in range(0, len(chosen), 3)
            ]

    model = Bodies().train()
    objective = mixed("gradnorm", model)
    for report in train(model, all_tasks(), objective, Descent(model), trainable(model), steps=steps):
        objective.observe(report)
        assert objective.weights() == pytest.approx(wanted[report.step], rel=1e-6)


def test_gradnorm_without_a_shared_matrix_is_refused() -> None:
    with pytest.raises(ValueError, match="none"):
        Mixed({}, GradNorm().bind(PARTS), None)


@every
def test_a_weighting_goes_on_where_it_was(name: str) -> None:
    kept, fresh = (WEIGHTINGS[name].bind(PARTS) for _ in range(2))
    steps = [({"kind": 1.0 + k, "much": 9.0 / (k + 1)}, {"kind": 0.3, "much": 2.0 + k}) for k in range(6)]
    for step in steps[:3]:
        kept.observe(*step)
    fresh.observe(*steps[5])
    fresh.load(json.loads(json.dumps(kept.state())))
    for step in steps[3:]:
        kept.observe(*step)
        fresh.observe(*step)
    assert fresh.state() == kept.state()
    assert [fresh.factor(p.name) for p in PARTS] == [kept.factor(p.name) for p in PARTS]


POOLS = {"big": 60, "mid": 30, "few": 10}


def bound(name: str, seed: int = 3) -> Mixture:
    pools = {task: Pool([f"r{i}" for i in range(n)]) for task, n in POOLS.items()}
    return Mixture({t: Shuffle().bind(pool, seed) for t, pool in pools.items()}, MIXTURES[name].of(POOLS))


@pytest.mark.parametrize("name", list(MIXTURES))
def test_every_stretch_holds_the_tasks_in_their_shares(name: str) -> None:
    shares = MIXTURES[name].of(POOLS)
    assert sum(shares.values()) == pytest.approx(1)
    sampler, seen = bound(name), Counter[str]()
    for n in range(1, 400):
        seen[sampler.draw(1)[0].split(":")[0]] += 1
        assert all(abs(seen[task] - share * n) < 2 for task, share in shares.items())


def test_shares_lie_between_proportional_and_equal() -> None:
    found = [MIXTURES[name].of(POOLS)["few"] for name in ("proportional", "tempered", "equal")]
    assert found[0] == pytest.approx(0.1) and found[2] == pytest.approx(1 / 3) and found == sorted(found)
    assert Tempered(1).of(POOLS) == pytest.approx(Proportional().of(POOLS))


def test_in_proportion_every_row_comes_once_an_epoch() -> None:
    sampler, every_row = bound("proportional"), {f"{t}:r{i}" for t, n in POOLS.items() for i in range(n)}
    for _ in range(3):
        assert Counter(sampler.draw(100)) == Counter(every_row)


def test_a_task_draws_as_it_would_alone() -> None:
    own = [i.removeprefix("few:") for i in bound("equal").draw(90) if i.startswith("few:")]
    assert own == Shuffle().bind(Pool([f"r{i}" for i in range(10)]), 3).draw(len(own))


@pytest.mark.parametrize("name", list(MIXTURES))
def test_a_mixture_goes_on_where_it_was_however_many_are_drawn_at_a_time(name: str) -> None:
    kept, fresh, single = bound(name), bound(name), bound(name)
    assert kept.draw(70) == [single.draw(1)[0] for _ in range(70)]
    fresh.draw(11)
    fresh.load(json.loads(json.dumps(kept.state())))
    assert fresh.draw(80) == kept.draw(80) and fresh.state() == kept.state()
    assert bound(name, 4).draw(50) != bound(name).draw(50)


def test_samplers_and_objectives_see_their_own_part_of_a_report() -> None:
    report = Report(
        3, 4.0, {"a/loss": 1.5, "a/uncertainty": 0.5, "b/loss": 2.0}, {"example": 5, "example:a": 2, "example:b": 3, "step": 1},
        {"a:x": 1.0, "b:x": 2.0}, 1.0, 0.1, {"a/weight": 1.0, "b/weight": 1.0},
    )  # fmt: skip
    own = report.of("a")
    assert own.parts == {"loss": 1.5, "uncertainty": 0.5} and own.loss == 2.0 and own.rows == {"x": 1.0}
    assert own.totals == {"example": 2} and own.watched == {"weight": 1.0} and own.step == 3
