"""What every registered objective must do. Registering one without a row in `TABLE` fails.

The law: a loss is a sum with a unit, only the loop divides, and what is random or normalised is keyed per example.
So a window's gradient cannot depend on how it is cut, ordered or laid out. Three mutants prove that this suite can fail.
"""

from __future__ import annotations

import json
import math
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from toy_batches import CLASSED, CLASSES, Drawn, Given, Kind, Row, Still, batch, cut, endless, rows, toy

import tunewright.objectives
from tunewright.core.errors import RecipeError
from tunewright.core.registry import build, dump, members
from tunewright.core.tensors import At, Batch, Facts, Forward, Objective, Parameters, Report, Term, total, trainable
from tunewright.models.toy import VOCABULARY
from tunewright.objectives import (
    BinaryCrossEntropy,
    BradleyTerry,
    ConfidencePenalty,
    CrossEntropy,
    Custom,
    Diversity,
    Dpo,
    FactualConsistency,
    Focal,
    Huber,
    Ipo,
    Kto,
    Mae,
    MinimumRisk,
    Mixup,
    Mse,
    Orpo,
    RDrop,
    Relevance,
    SimPo,
    Unlikelihood,
    fitting,
    takes_soft,
)  # fmt: skip
from tunewright.training.loop import train

assert tunewright.objectives.__all__
FACTS = Facts(("a", "b", "c"), (10, 4, 2), (0.5, -1.0, 2.0), (0.5, 1.0, 4.0))
TOKENS = Facts((), tuple(i % 7 for i in range(VOCABULARY)), sampled=Drawn())
CUSTOM = str(Path(__file__).parent / "custom_losses.py")
WEIGHTS = (0.5, 1.0, 3.0)
Loop = Callable[..., Iterator[Report]]
Reference = Callable[[Tensor, Tensor], Tensor]


def cross_entropy(smoothing: float = 0.0, weights: Sequence[float] | None = None) -> Reference:
    """PyTorch's own module, unreduced."""

    def losses(scores: Tensor, targets: Tensor) -> Tensor:
        weight = None if weights is None else torch.tensor(weights, dtype=scores.dtype)
        return torch.nn.CrossEntropyLoss(weight=weight, label_smoothing=smoothing, reduction="none")(scores, targets)

    return losses


def focal(gamma: float, weights: Sequence[float] = (1.0, 1.0, 1.0)) -> Reference:
    """Lin et al. 2017, equation 5, one unit at a time."""

    def losses(scores: Tensor, targets: Tensor) -> Tensor:
        out = []
        for z, y in zip(scores, targets.tolist(), strict=True):
            p = z.exp()[y] / z.exp().sum()
            out.append(-weights[y] * (1 - p) ** gamma * p.log())
        return torch.stack(out)

    return losses


def binary(smoothing: float = 0.0, weights: Sequence[float] | None = None) -> Reference:
    """PyTorch's own module on smoothed targets, unreduced, then the mean over labels."""

    def losses(scores: Tensor, targets: Tensor) -> Tensor:
        weight = None if weights is None else torch.tensor(weights, dtype=scores.dtype)
        soft = targets.to(scores.dtype) * (1 - smoothing) + smoothing / 2
        return torch.nn.BCEWithLogitsLoss(weight=weight, reduction="none")(scores, soft).mean(-1)

    return losses


def numbers(kind: type[torch.nn.Module], scale: Sequence[float], **options: float) -> Reference:
    """PyTorch's own module on scores and targets that were divided beforehand, then the mean over targets."""

    def losses(scores: Tensor, targets: Tensor) -> Tensor:
        unit = torch.tensor(scale, dtype=scores.dtype)
        found: Tensor = kind(reduction="none", **options)(scores / unit, targets.to(scores.dtype) / unit).mean(-1)
        return found

    return losses


def penalised(inner: Reference, weight: float) -> Reference:
    """Pereyra et al. 2017 with the constant log C, one unit at a time."""

    def losses(scores: Tensor, targets: Tensor) -> Tensor:
        apart = [math.log(len(z)) + sum(q * q.log() for q in z.softmax(0)) for z in scores]
        return inner(scores, targets) + weight * torch.stack(apart)

    return losses


SPREAD, ONES = FACTS.spread, (1.0, 1.0, 1.0)
TARGETS = {
    "classes": torch.arange(CLASSES),
    "labels": torch.tensor([[1.0, 0.0, 1.0], [0.0, 0.0, 0.0], [0.0, 1.0, 1.0]], dtype=torch.float32),
    "numbers": torch.tensor([[0.3, -2.0, 7.0], [-0.4, 1.0, 0.0], [0.9, 0.5, -3.0]], dtype=torch.float64),
}


def shaped(given: Batch, objective: Any) -> Batch:
    """The batch with targets of the objective's kind in place of classes: class c becomes row c of `TARGETS`."""
    while not hasattr(objective, "fits"):
        objective = getattr(objective, "inner", CrossEntropy())
    if given.targets.is_floating_point():
        return given
    return replace(given, targets=TARGETS.get(objective.fits[0], TARGETS["classes"])[given.targets])


BALANCED = tuple(16 / (3 * n) for n in FACTS.counts)

TABLE: dict[str, list[tuple[Any, Reference]]] = {
    "cross_entropy": [
        (CrossEntropy(), cross_entropy()),
        (CrossEntropy(smoothing=0.2), cross_entropy(0.2)),
        (CrossEntropy(class_weights=WEIGHTS), cross_entropy(0.0, WEIGHTS)),
        (CrossEntropy(smoothing=0.1, class_weights={"a": 0.5, "b": 1.0, "c": 3.0}), cross_entropy(0.1, WEIGHTS)),
        (CrossEntropy(class_weights="balanced"), cross_entropy(0.0, BALANCED)),
    ],
    "focal": [
        (Focal(), focal(2.0)),
        (Focal(gamma=0.0), cross_entropy()),
        (Focal(gamma=0.5, class_weights=WEIGHTS), focal(0.5, WEIGHTS)),
        (Focal(gamma=3.0, class_weights="balanced"), focal(3.0, BALANCED)),
    ],
    "binary_cross_entropy": [
        (BinaryCrossEntropy(), binary()),
        (BinaryCrossEntropy(smoothing=0.2), binary(0.2)),
        (BinaryCrossEntropy(smoothing=0.1, label_weights=WEIGHTS), binary(0.1, WEIGHTS)),
        (BinaryCrossEntropy(label_weights="balanced"), binary(0.0, BALANCED)),
    ],
    "mse": [
        (Mse(), numbers(torch.nn.MSELoss, SPREAD)),
        (Mse(scale="none"), numbers(torch.nn.MSELoss, ONES)),
        (Mse(scale=(1.0, 2.0, 0.1)), numbers(torch.nn.MSELoss, (1.0, 2.0, 0.1))),
    ],
    "mae": [(Mae(), numbers(torch.nn.L1Loss, SPREAD)), (Mae(scale="none"), numbers(torch.nn.L1Loss, ONES))],
    "huber": [
        (Huber(), numbers(torch.nn.HuberLoss, SPREAD)),
        (Huber(scale="none", delta=0.3), numbers(torch.nn.HuberLoss, ONES, delta=0.3)),
    ],
}
TABLE["confidence_penalty"] = [
    (ConfidencePenalty(), penalised(cross_entropy(), 0.1)),
    (ConfidencePenalty(inner=Focal(gamma=1.0), weight=0.5), penalised(focal(1.0), 0.5)),
]
TABLE["r_drop"] = [(RDrop(), cross_entropy()), (RDrop(inner=Focal(), weight=3.0), focal(2.0))]  # without keys: one view
TABLE["mixup"] = [
    (Mixup(), cross_entropy()),
    (Mixup(inner=Focal(), alpha=1.0), focal(2.0)),
]  # test_mixup.py has later steps
TABLE["custom"] = [
    (Custom(CUSTOM, "focal"), focal(2.0)),
    (Custom(CUSTOM, "focal", {"gamma": 0.5}), focal(0.5)),
]
BY_TOKENS: dict[str, list[Any]] = {
    "unlikelihood": [Unlikelihood(), Unlikelihood(weight=0.3, over="reply"), Unlikelihood(inner=Focal())],
    "diversity": [Diversity(), Diversity(inner=Unlikelihood(), strength=1.0)],
    "relevance": [Relevance(weight=2.0), Relevance(inner=RDrop())],
    "minimum_risk": [MinimumRisk(alpha=0.5), MinimumRisk(inner=None, samples=3)],
    "factual_consistency": [FactualConsistency(model="nli", alpha=1.0)],
}
BY_PREFERENCE: dict[str, list[Any]] = {
    "dpo": [Dpo(), Dpo(beta=0.5, smoothing=0.2), Dpo(loss="hinge")],
    "ipo": [Ipo(), Ipo(beta=1.0, per_token=False)],
    "orpo": [Orpo(), Orpo(weight=2.0)],
    "simpo": [SimPo(), SimPo(beta=1.0, gamma=0.0)],
    "kto": [Kto(), Kto(beta=0.5, good=2.0, bad=0.5)],
    "bradley_terry": [BradleyTerry(), BradleyTerry(margin=0.5, center=0.1)],
}
KINDS: dict[str, tuple[Kind, ...]] = {
    "classes": ("example", "token"), "labels": ("example", "token"), "numbers": ("example", "token"),
    "tokens": ("vocabulary",), "pairs": ("pairs",), "thumbs": ("thumbs", "mismatched"), "rewards": ("rewards",),
}  # fmt: skip


def kinds(objective: Any) -> list[Kind]:
    """What an objective is tried on: all that it fits; the classes' own weights are for classes alone."""
    own = [fit for fit in fitting(objective) if fit != "tokens" or getattr(objective, "class_weights", None) is None]
    found = dict.fromkeys(kind for fit in own for kind in KINDS[fit])
    if takes_soft(objective):
        found["unsure"] = None
    return [
        kind for kind in found if not (isinstance(objective, Custom) and kind == "vocabulary" and objective.options)
    ]


CASES = [pytest.param(o, r, id=f"{name}-{i}") for name, cases in TABLE.items() for i, (o, r) in enumerate(cases)]
every = pytest.mark.parametrize(("objective", "reference"), CASES)
ALL = {name: [o for o, _ in cases] for name, cases in TABLE.items()} | BY_TOKENS | BY_PREFERENCE
SPREAD_OUT = [
    (f"{name}-{i}-{kind}", o, kind) for name, os in ALL.items() for i, o in enumerate(os) for kind in kinds(o)
]
everywhere = pytest.mark.parametrize(("objective", "kind"), [pytest.param(o, k, id=i) for i, o, k in SPREAD_OUT])
masking = pytest.mark.parametrize(
    ("objective", "kind"), [pytest.param(o, k, id=i) for i, o, k in SPREAD_OUT if k != "rewards"]
)
units = pytest.mark.parametrize("kind", ["example", "token"])


def prepared(objective: Any, kind: Kind = "example") -> Objective:
    facts = FACTS if kind in CLASSED else TOKENS
    return objective.prepare(facts) if hasattr(objective, "prepare") else objective


def test_every_registered_objective_is_here() -> None:
    assert set(ALL) == set(members("objective"))
    assert all(type(o) is members("objective")[name] for name, cases in ALL.items() for o in cases)
    assert all(kinds(o) for cases in ALL.values() for o in cases)


# The checking functions: the mutants below must make them raise AssertionError.


def gradients(
    objective: Objective, window: Sequence[Batch], *, kind: Kind = "example", layout: Any = "packed", p: float = 0.0,
    loop: Loop = train,
) -> tuple[Report, dict[str, Tensor]]:  # fmt: skip
    model = toy(layout, p, kind)
    parameters = trainable(model)
    if kind in CLASSED:
        window = [shaped(part, objective) for part in window]
    report = next(loop(model, endless(window), objective, Still(), parameters, steps=3))
    return report, {n: torch.zeros_like(q) if q.grad is None else q.grad.clone() for n, q in parameters.items()}


def same(ours: tuple[Report, dict[str, Tensor]], theirs: tuple[Report, dict[str, Tensor]]) -> None:
    (a, ga), (b, gb) = ours, theirs
    assert a.loss == pytest.approx(b.loss, rel=1e-7)
    assert dict(a.parts) == pytest.approx(dict(b.parts), rel=1e-7, abs=1e-12)
    assert dict(a.watched) == pytest.approx(dict(b.watched), rel=1e-7, abs=1e-12)
    assert dict(a.totals) == dict(b.totals)
    assert dict(a.rows) == pytest.approx(dict(b.rows), rel=1e-7, abs=1e-12)
    assert a.gradient_norm == pytest.approx(b.gradient_norm, rel=1e-7)
    largest = max(float(g.abs().max()) for g in gb.values())
    assert largest > 1e-6, "a gradient of zero proves nothing"
    for name, g in gb.items():
        assert torch.allclose(ga[name], g, rtol=1e-7, atol=1e-7 * largest), f"gradient of {name} differs"


def check_splitting(objective: Objective, *, kind: Kind = "example", p: float = 0.0, loop: Loop = train) -> None:
    """1, 3 or 8 micro-batches, in any order, packed or padded: the same step."""
    chosen = rows(12, kind)
    whole = gradients(objective, [batch(chosen, kind, seed=7)], kind=kind, p=p, loop=loop)
    for pieces in (1, 3, 8):
        mixed = random.Random(pieces).sample(chosen, len(chosen))
        window = [batch(part, kind, seed=7) for part in cut(mixed, pieces)]
        assert len(window) == pieces
        same(gradients(objective, window, kind=kind, p=p, loop=loop), whole)
        if pieces == 3:
            same(gradients(objective, window, kind=kind, layout="padded", p=p, loop=loop), whole)


@pytest.mark.parametrize("p", [0.0, 0.3], ids=["plain", "dropout"])
@everywhere
def test_a_step_does_not_depend_on_how_it_is_cut(objective: Any, kind: Kind, p: float) -> None:
    check_splitting(prepared(objective, kind), kind=kind, p=p)


def test_the_dropout_of_these_tests_is_on() -> None:
    window = [batch(rows(), seed=7)]
    assert gradients(CrossEntropy(), window)[0].loss != gradients(CrossEntropy(), window, p=0.3)[0].loss


@everywhere
def test_weights_of_units_split_as_well(objective: Any, kind: Kind) -> None:
    chosen, ours = rows(9, kind), prepared(objective, kind)
    whole = gradients(ours, [batch(chosen, kind, weighted=True)], kind=kind)
    same(gradients(ours, [batch(part, kind, weighted=True) for part in cut(chosen, 3)], kind=kind), whole)
    assert whole[0].loss != pytest.approx(gradients(ours, [batch(chosen, kind)], kind=kind)[0].loss)


@masking
def test_nothing_supervised_gives_nothing(objective: Any, kind: Kind) -> None:
    masked = [row.masked() for row in rows(5, kind)]
    report, grads = gradients(prepared(objective, kind), [batch(masked, kind)], kind=kind)
    assert report.loss == 0.0 and report.gradient_norm == 0.0
    assert all(not g.any() for g in grads.values())
    given = batch(masked, kind)
    terms = prepared(objective, kind)(toy(kind=kind), shaped(given, objective) if kind in CLASSED else given, At(0, 1))
    assert all(t.total.requires_grad for t in terms if not t.watched), "a zero without a gradient breaks a wrapper"


@masking
def test_a_masked_micro_batch_changes_nothing(objective: Any, kind: Kind) -> None:
    chosen = rows(8, kind)
    masked = [replace(row, id=f"m{i}").masked() for i, row in enumerate(rows(4, kind, seed=3))]
    ours, ga = gradients(prepared(objective, kind), [batch(masked, kind), batch(chosen, kind)], kind=kind)
    theirs, gb = gradients(prepared(objective, kind), [batch(chosen, kind)], kind=kind)
    same((replace(ours, rows={i: v for i, v in ours.rows.items() if i in theirs.rows}), ga), (theirs, gb))


@everywhere
def test_an_example_alone_has_the_same_loss(objective: Any, kind: Kind) -> None:
    def of(part: Sequence[Row]) -> Batch:
        given = batch(part, kind, seed=7)
        return shaped(given, objective) if kind in CLASSED else given

    chosen, model, ours = rows(8, kind), toy(p=0.3, kind=kind), prepared(objective, kind)
    together: dict[str, float] = {}
    for n, term in enumerate(ours(model, of(chosen), At(0, 1))):
        assert term.rows is not None and term.rows.shape == (len(chosen),) and not term.rows.requires_grad
        together |= {f"{n} {row.id}": float(v) for row, v in zip(chosen, term.rows, strict=True)}
    for row in chosen:
        for n, term in enumerate(ours(model, of([row]), At(0, 1))):
            mine = float(term.total.detach()) / max(of([row]).counts()[term.unit], 1)
            assert together[f"{n} {row.id}"] == pytest.approx(mine, rel=1e-7, abs=1e-12)


@every
def test_it_equals_the_slow_reference(objective: Any, reference: Reference) -> None:
    scores = torch.randn(40, CLASSES, dtype=torch.float64, generator=torch.Generator().manual_seed(0)) * 3
    chosen = shaped(batch([Row(f"{i}", (0,), (i % CLASSES,)) for i in range(40)]), objective)
    ours, theirs = scores.clone().requires_grad_(), scores.clone().requires_grad_()
    terms = prepared(objective)(Given(ours), chosen, At(0, 1))
    expected = reference(theirs, chosen.targets)
    total(terms).backward()
    expected.sum().backward()
    assert float(total(terms).detach()) == pytest.approx(float(expected.sum().detach()), rel=1e-9)
    rows_of_all = sum(term.scale * term.rows for term in terms if term.rows is not None)
    assert isinstance(rows_of_all, Tensor) and torch.allclose(rows_of_all, expected.detach(), rtol=1e-9)
    assert ours.grad is not None and theirs.grad is not None
    assert torch.allclose(ours.grad, theirs.grad, rtol=1e-7, atol=1e-10)


SOFT = [case for case in CASES if takes_soft(case.values[0])]


def mixtures(n: int = 40) -> Tensor:
    """(n, C) what is believed of n classes; every fourth is sure."""
    q = torch.rand(n, CLASSES, dtype=torch.float64, generator=torch.Generator().manual_seed(4)) ** 3
    q[::4] = torch.eye(CLASSES, dtype=torch.float64)[torch.arange(len(q[::4])) % CLASSES]
    return q / q.sum(-1, keepdim=True)


@pytest.mark.parametrize(("objective", "reference"), SOFT)
def test_an_unsure_target_costs_what_its_classes_do_on_average(objective: Any, reference: Reference) -> None:
    scores = torch.randn(40, CLASSES, dtype=torch.float64, generator=torch.Generator().manual_seed(0)) * 3
    q, ours, theirs = mixtures(), scores.clone().requires_grad_(), scores.clone().requires_grad_()
    chosen = batch([Row(f"{i}", (0,), (0,), soft=tuple(p)) for i, p in enumerate(q.tolist())], "unsure")
    assert chosen.targets.shape == (40, CLASSES)
    terms = prepared(objective)(Given(ours), chosen, At(0, 1))
    expected = sum(q[:, c] * reference(theirs, torch.full((40,), c)) for c in range(CLASSES))
    assert isinstance(expected, Tensor)
    total(terms).backward()
    expected.sum().backward()
    assert float(total(terms).detach()) == pytest.approx(float(expected.sum().detach()), rel=1e-9)
    assert ours.grad is not None and theirs.grad is not None
    assert torch.allclose(ours.grad, theirs.grad, rtol=1e-7, atol=1e-10)


def test_the_gradient_of_cross_entropy_to_what_is_believed_is_that_of_the_divergence() -> None:
    scores = torch.randn(40, CLASSES, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    q, ours, theirs = mixtures(), scores.clone().requires_grad_(), scores.clone().requires_grad_()
    chosen = batch([Row(f"{i}", (0,), (0,), soft=tuple(p)) for i, p in enumerate(q.tolist())], "unsure")
    total(CrossEntropy()(Given(ours), chosen, At(0, 1))).backward()
    torch.nn.functional.kl_div(theirs.log_softmax(-1), q, reduction="sum").backward()
    assert ours.grad is not None and theirs.grad is not None
    assert torch.allclose(ours.grad, theirs.grad, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize(("objective", "reference"), SOFT)
def test_a_target_that_is_sure_in_words_of_probability_is_the_same(objective: Any, reference: Reference) -> None:
    chosen = rows(12)
    plain = gradients(prepared(objective), [batch(chosen)])
    told = [
        replace(row, soft=None if row.targets[0] is None else tuple(float(c == row.targets[0]) for c in range(CLASSES)))
        for row in chosen
    ]
    same(gradients(prepared(objective), [batch(told, "unsure")], kind="unsure"), plain)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64])
@every
def test_extreme_scores_stay_finite(objective: Any, reference: Reference, dtype: torch.dtype) -> None:
    corners = [[1e6, -1e6, 0.0], [-1e6, 1e6, 0.0], [1e4, 1e4, 1e4], [0.0, 0.0, 0.0], [1e-30, -1e-30, 50.0]]
    scores = torch.tensor([c for c in corners for _ in range(CLASSES)], dtype=dtype).requires_grad_()
    chosen = shaped(batch([Row(f"{i}", (0,), (i % CLASSES,)) for i in range(len(scores))]), objective)
    loss = total(prepared(objective)(Given(scores), chosen, At(0, 1)))
    loss.backward()
    assert torch.isfinite(loss) and float(loss.detach()) >= 0
    assert scores.grad is not None and torch.isfinite(scores.grad).all()


@everywhere
def test_it_is_a_value_that_can_be_written_and_read(objective: Any, kind: Kind) -> None:
    written = json.loads(json.dumps(dump(objective)))
    again = build("objective", written)
    assert again == objective and dump(again) == dump(objective)
    once = prepared(again, kind)
    assert dump(once) == dump(prepared(once, kind)), "preparing twice must change nothing"


@pytest.mark.parametrize("kind", ["cross_entropy", "focal"])
@pytest.mark.parametrize(
    ("weights", "words"),
    [
        ({"a": 1.0, "b": 1.0, "d": 1.0}, ["class_weights.d", "no weight for class 'c'"]),
        ({"a": -1.0, "b": 1.0, "c": 1.0}, ["class_weights.a", "0 or more"]),
        ([1.0, 2.0], ["[1.0, 2.0]", "3 numbers"]),
        ([1.0, 2.0, -3.0], ["0 or more"]),
    ],
)
def test_wrong_class_weights_are_explained(kind: str, weights: Any, words: list[str]) -> None:
    with pytest.raises(RecipeError) as error:
        build("objective", {kind: {"class_weights": weights}}).prepare(FACTS)
    assert all(word in str(error.value) for word in words)


@pytest.mark.parametrize(("scale", "words"), [([1.0], "3 numbers"), ([1.0, 0.0, 2.0], "above 0")])
@pytest.mark.parametrize("kind", ["mse", "mae", "huber"])
def test_a_wrong_scale_is_explained(kind: str, scale: Any, words: str) -> None:
    with pytest.raises(RecipeError, match=words):
        build("objective", {kind: {"scale": scale}}).prepare(FACTS)


# The three mutations, and the correct form of each.


def mean_of_means(
    forward: Forward, windows: Iterator[Sequence[Batch]], objective: Objective, update: Still, parameters: Parameters,
    *, steps: int,
) -> Iterator[Report]:  # fmt: skip
    """The bug that every mainstream trainer has shipped: each micro-batch is averaged, then the averages."""
    for step in range(steps):
        window, at = next(windows), At(step, steps)
        for parameter in parameters.values():
            parameter.grad = None
        loss, totals = 0.0, {"step": 1}
        for part in window:
            for name, n in part.counts().items():
                totals[name] = totals.get(name, 0) + n if name != "step" else 1
            terms = objective(forward, part, at)
            live = [t for t in terms if not t.watched]
            share = torch.stack([t.scale * t.total / max(part.counts()[t.unit], 1) for t in live]).sum() / len(window)
            share.backward()
            loss += float(share.detach())
        norm = torch.nn.utils.get_total_norm([p.grad for p in parameters.values() if p.grad is not None])
        yield Report(step, loss, {}, totals, {}, float(norm))


@dataclass(frozen=True)
class Nudged:
    forward: Forward
    nudge: Tensor

    def __call__(self, batch: Batch, nudge: Tensor | None = None) -> Tensor:
        return self.forward(batch, self.nudge)

    def losses(self, batch: Batch, nudge: Tensor | None = None, smoothing: float = 0.0) -> Tensor:
        return self.forward.losses(batch, self.nudge, smoothing)

    def nudge_like(self, batch: Batch) -> Tensor:
        return self.forward.nudge_like(batch)


@dataclass(frozen=True)
class Fgm:
    """Miyato et al. 2017: the loss at a step of length epsilon along the embeddings' gradient, of each example."""

    inner: Objective = CrossEntropy()
    epsilon: float = 0.3
    per_example: bool = True

    def __call__(self, forward: Forward, batch: Batch, at: At) -> tuple[Term, ...]:
        clean = self.inner(forward, batch, at)
        nudge = forward.nudge_like(batch).requires_grad_()
        (gradient,) = torch.autograd.grad(total(self.inner(Nudged(forward, nudge), batch, at)), nudge)
        sizes = torch.tensor(batch.lengths)
        squares = gradient.square().sum(-1)
        if self.per_example:
            owners = torch.arange(len(sizes)).repeat_interleave(sizes)
            norms = squares.new_zeros(len(sizes)).index_add(0, owners, squares).sqrt()[owners]
        else:
            norms = squares.sum().sqrt().expand(len(squares))
        step = self.epsilon * gradient / norms.clamp(min=1e-30)[:, None]
        attacked = self.inner(Nudged(forward, step.detach()), batch, at)
        return (*clean, *(replace(term, name=f"{term.name} attacked", scale=0.5) for term in attacked))


@dataclass(frozen=True)
class Noisy:
    """Noise on the embeddings, keyed by the example or (the mutant) drawn for the whole batch."""

    inner: Objective = CrossEntropy()
    keyed: bool = True

    def __call__(self, forward: Forward, batch: Batch, at: At) -> tuple[Term, ...]:
        like = forward.nudge_like(batch)
        if self.keyed:
            assert batch.keys is not None
            parts = [
                torch.randn(n, like.shape[1], dtype=like.dtype, generator=torch.Generator().manual_seed(int(k)))
                for n, k in zip(batch.lengths, batch.keys, strict=True)
            ]
            noise = torch.cat(parts)
        else:
            noise = torch.randn(like.shape, dtype=like.dtype, generator=torch.Generator().manual_seed(at.step))
        return self.inner(Nudged(forward, 0.1 * noise), batch, at)


@units
@pytest.mark.parametrize("p", [0.0, 0.3], ids=["plain", "dropout"])
def test_a_right_adversarial_step_passes(kind: Kind, p: float) -> None:
    check_splitting(Fgm(), kind=kind, p=p)


def test_noise_keyed_by_example_passes() -> None:
    check_splitting(Noisy())


@everywhere
def test_mutant_averaging_micro_batches_is_caught(objective: Any, kind: Kind) -> None:
    ours, one = prepared(objective, kind), [batch(rows(16, kind), kind, seed=7)]
    a, b = (gradients(ours, one, kind=kind, loop=loop)[1] for loop in (train, mean_of_means))
    assert all(torch.allclose(a[name], b[name]) for name in a), "with one micro-batch the mutant is no mutant"
    with pytest.raises(AssertionError):
        check_splitting(ours, kind=kind, loop=mean_of_means)


def test_mutant_normalising_over_the_batch_is_caught() -> None:
    with pytest.raises(AssertionError):
        check_splitting(Fgm(per_example=False))


def test_mutant_noise_without_keys_is_caught() -> None:
    with pytest.raises(AssertionError):
        check_splitting(Noisy(keyed=False))


def test_the_adversarial_step_is_the_maximiser_on_the_ball() -> None:
    """On a linear loss the best step of length epsilon is epsilon g / |g|; random ones of that length do no better."""
    weight = torch.randn(5, dtype=torch.float64, generator=torch.Generator().manual_seed(3))

    class Linear:
        def __call__(self, batch: Batch, nudge: Tensor | None = None) -> Tensor:
            assert nudge is not None
            return (nudge @ weight).sum().reshape(1, 1)

        def losses(self, batch: Batch, nudge: Tensor | None = None, smoothing: float = 0.0) -> Tensor:
            return self(batch, nudge)[:, 0]

        def nudge_like(self, batch: Batch) -> Tensor:
            return torch.zeros(len(batch.tokens), 5, dtype=torch.float64)

    def rise(forward: Forward, batch: Batch, at: At) -> tuple[Term, ...]:
        nudge = None if isinstance(forward, Nudged) else forward.nudge_like(batch)
        return (Term("rise", forward(batch, nudge).sum(), "example"),)

    one = batch([Row("r", (1, 2), (0,))])
    reached = float(Fgm(inner=rise, epsilon=0.3)(Linear(), one, At(0, 1))[-1].total)
    assert reached == pytest.approx(0.3 * float(weight.norm()) * 2**0.5)
    for seed in range(50):
        d = torch.randn(2, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
        assert float((0.3 * d / d.norm() @ weight).sum()) <= reached + 1e-12
