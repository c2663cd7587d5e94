"""Losses of preferences equal TRL's (1.16) on the same scores, gradients included.

The references are TRL's own steps, written out: sums of token log-probabilities with a mask in a padded layout, all chosen
replies first and then all rejected ones, and means over the batch.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence
from toy_batches import Kind, batch, endless, rows, toy

from tunewright.core.errors import RecipeError
from tunewright.core.registry import build
from tunewright.core.tensors import At, Batch, Facts, Report, trainable
from tunewright.objectives import BradleyTerry, Dpo, Ipo, Kto, Orpo, SimPo
from tunewright.objectives.orpo import log_odds
from tunewright.objectives.preferences import one_side
from tunewright.training.loop import train
from tunewright.updates import AdamW

AT = At(0, 1)


@dataclass(frozen=True)
class Costs:
    """A forward that gives costs of tokens (U,), or rewards (S, 1), that are known."""

    known: Tensor

    def __call__(self, batch: Batch, nudge: Tensor | None = None) -> Tensor:
        return self.known

    def losses(self, batch: Batch, nudge: Tensor | None = None, smoothing: float = 0.0) -> Tensor:
        return self.known


def pairs(n: int = 9, seed: int = 0) -> tuple[Batch, Tensor]:
    """Pairs with every token's cost, from likely to hopeless."""
    given = batch(
        [row for row in rows(n, "pairs", seed=seed, longest=12) if any(t is not None for t in row.targets)], "pairs"
    )
    draw = torch.Generator().manual_seed(seed)
    return given, torch.rand(len(given.positions), generator=draw, dtype=torch.float64) ** 2 * 5


def padded(costs: Tensor, given: Batch) -> tuple[Tensor, Tensor]:
    """Log-probabilities (2B, L) and mask, all chosen replies first, as TRL holds them."""
    parts = [-costs[given.sequences() == i] for i in range(len(given.lengths))]
    ordered = parts[0::2] + parts[1::2]
    mask = pad_sequence([torch.ones(len(p)) for p in ordered], batch_first=True)
    return pad_sequence(ordered, batch_first=True), mask


def ratios(logps: Tensor, mask: Tensor, given: Batch) -> tuple[Tensor, Tensor]:
    known = given.given["reference"]
    chosen, rejected = (logps * mask).sum(1).chunk(2)
    return chosen - known[0::2], rejected - known[1::2]


def dpo(beta: float, kind: str = "sigmoid", smoothing: float = 0.0) -> Callable[..., Tensor]:
    def loss(logps: Tensor, mask: Tensor, given: Batch) -> Tensor:
        chosen, rejected = ratios(logps, mask, given)
        delta = chosen - rejected
        if kind == "hinge":
            return torch.relu(1 - beta * delta).mean()
        return (-F.logsigmoid(beta * delta) * (1 - smoothing) - F.logsigmoid(-beta * delta) * smoothing).mean()

    return loss


def ipo(beta: float, per_token: bool = True) -> Callable[..., Tensor]:
    def loss(logps: Tensor, mask: Tensor, given: Batch) -> Tensor:
        chosen, rejected = ratios(logps, mask, given)
        if per_token:
            a, b = mask.chunk(2, dim=0)
            chosen, rejected = chosen / a.sum(dim=1).clamp(min=1.0), rejected / b.sum(dim=1).clamp(min=1.0)
        return ((chosen - rejected - 1 / (2 * beta)) ** 2).mean()

    return loss


def simpo(beta: float, gamma: float) -> Callable[..., Tensor]:
    def loss(logps: Tensor, mask: Tensor, given: Batch) -> Tensor:
        chosen, rejected = ((logps * mask).sum(-1) / mask.sum(-1)).chunk(2)
        return -F.logsigmoid(beta * (chosen - rejected - gamma / beta)).mean()

    return loss


def log1mexp(x: Tensor) -> Tensor:
    return torch.where(x < -0.6931471805599453, torch.log1p(-torch.exp(x)), torch.log(-torch.expm1(x)))


def orpo(beta: float) -> Callable[..., Tensor]:
    def loss(logps: Tensor, mask: Tensor, given: Batch) -> Tensor:
        chosen, rejected = ((logps * mask).sum(-1) / mask.sum(-1)).chunk(2)
        odds = (chosen - rejected) - (log1mexp(chosen) - log1mexp(rejected))
        tokens, kept = logps.chunk(2)[0], mask.chunk(2)[0]
        return -(tokens * kept).sum() / kept.sum() - (beta * F.logsigmoid(odds)).mean()

    return loss


def kto(beta: float, good: float, bad: float, kl: float) -> Callable[..., Tensor]:
    def loss(logps: Tensor, mask: Tensor, given: Batch) -> Tensor:
        chosen, rejected = ratios(logps, mask, given)
        z = torch.tensor(kl, dtype=logps.dtype).clamp(min=0)
        losses = good * (1 - F.sigmoid(beta * (chosen - z))), bad * (1 - F.sigmoid(beta * (z - rejected)))
        return torch.cat(losses, 0).nanmean()

    return loss


def at_point(objective: Kto, point: float) -> Kto:
    objective.load({"point": point})
    return objective


CASES = [
    (Dpo(), dpo(0.1)), (Dpo(beta=0.5, smoothing=0.2), dpo(0.5, smoothing=0.2)), (Dpo(loss="hinge"), dpo(0.1, "hinge")),
    (Ipo(), ipo(0.1)), (Ipo(beta=0.7, per_token=False), ipo(0.7, False)),
    (SimPo(), simpo(2.0, 1.0)), (SimPo(beta=10.0, gamma=3.0), simpo(10.0, 3.0)),
    (Orpo(), orpo(0.1)), (Orpo(weight=1.5), orpo(1.5)),
    (Kto(), kto(0.1, 1.0, 1.0, 0.0)), (at_point(Kto(beta=0.5, good=1.3, bad=0.4), 1.7), kto(0.5, 1.3, 0.4, 1.7)),
    (at_point(Kto(), -2.0), kto(0.1, 1.0, 1.0, -2.0)),
]  # fmt: skip


def divided(terms: Any, given: Batch) -> Tensor:
    """What the loop makes of terms over one batch."""
    return torch.stack([t.scale * t.total / given.counts()[t.unit] for t in terms if not t.watched]).sum()


@pytest.mark.parametrize(("objective", "reference"), CASES, ids=[f"{o}" for o, _ in CASES])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_loss_and_gradient_are_trls(objective: Any, reference: Callable[..., Tensor], seed: int) -> None:
    given, costs = pairs(seed=seed)
    ours, theirs = costs.clone().requires_grad_(), costs.clone().requires_grad_()
    loss = divided(objective(Costs(ours), given, AT), given)
    expected = reference(*padded(theirs, given), given)
    loss.backward()
    expected.backward()
    assert loss.item() == pytest.approx(expected.item(), rel=1e-9)
    assert ours.grad is not None and theirs.grad is not None and theirs.grad.abs().max() > 1e-3
    torch.testing.assert_close(ours.grad, theirs.grad, rtol=1e-9, atol=1e-12)


def test_thumbs_are_trls_unpaired_loss() -> None:
    given = batch([row for i, row in enumerate(rows(20, "thumbs", longest=12)) if i % 5 != 4], "thumbs")
    costs = torch.rand(len(given.positions), dtype=torch.float64, generator=torch.Generator().manual_seed(3)) * 3
    ours, theirs = costs.clone().requires_grad_(), costs.clone().requires_grad_()
    divided(at_point(Kto(good=1.5, bad=0.5), 0.6)(Costs(ours), given, AT), given).backward()
    total = torch.zeros((), dtype=torch.float64)
    for i, good in enumerate(given.given["good"].tolist()):
        ratio = -theirs[given.owners() == i].sum() - given.given["reference"][i]
        total = total + (
            1.5 * (1 - torch.sigmoid(0.1 * (ratio - 0.6))) if good else 0.5 * (1 - torch.sigmoid(0.1 * (0.6 - ratio)))
        )
    (total / len(given.ids)).backward()
    assert {0.0, 1.0} == set(given.given["good"].tolist())
    assert ours.grad is not None and theirs.grad is not None
    torch.testing.assert_close(ours.grad, theirs.grad, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize(("margin", "center", "own"), [(0.0, 0.0, False), (0.7, 0.0, False), (0.2, 0.3, True)])
def test_the_reward_model_is_trls(margin: float, center: float, own: bool) -> None:
    given = batch(rows(7, "rewards"), "rewards")
    if not own:
        given = replace(given, given={})
    ours = torch.randn(14, 1, dtype=torch.float64, generator=torch.Generator().manual_seed(0)).requires_grad_()
    theirs = ours.detach().clone().requires_grad_()
    loss = divided(BradleyTerry(margin=margin, center=center)(Costs(ours), given, AT), given)
    chosen, rejected = theirs[0::2, 0], theirs[1::2, 0]
    asked = margin + (given.given["margin"] if own else 0.0)
    expected = -F.logsigmoid(chosen - rejected - asked).mean() + center * torch.mean((chosen + rejected) ** 2)
    loss.backward()
    expected.backward()
    assert loss.item() == pytest.approx(expected.item(), rel=1e-12)
    assert ours.grad is not None and theirs.grad is not None
    torch.testing.assert_close(ours.grad, theirs.grad, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("objective", [Dpo(), Ipo(), SimPo(), Orpo(), Kto(), Dpo(loss="hinge")], ids=str)
@pytest.mark.parametrize("cost", [0.0, 1e-30, 1e-9, 40.0, 1e4])
def test_extreme_log_probabilities_stay_finite(objective: Any, cost: float) -> None:
    given, costs = pairs()
    for mine in (torch.full_like(costs, cost), torch.where(given.sequences() % 2 == 0, cost, 1.0).to(costs)):
        known = mine.float().requires_grad_()
        loss = divided(objective(Costs(known), given, AT), given)
        loss.backward()
        assert torch.isfinite(loss) and known.grad is not None and torch.isfinite(known.grad).all()


def test_log_odds_are_exact_near_both_ends() -> None:
    p = torch.tensor([1e-12, 1e-3, 0.3, 0.5, 0.7, 0.999], dtype=torch.float64)
    torch.testing.assert_close(log_odds(p.log()), p.log() - torch.log1p(-p), rtol=1e-9, atol=0)


@pytest.mark.parametrize("objective", [Dpo(), Ipo(), SimPo(), Orpo(), Kto()], ids=str)
def test_what_is_watched_is_no_part_of_the_loss(objective: Any) -> None:
    given, costs = pairs()
    known = costs.clone().requires_grad_()
    terms = {term.name: term for term in objective(Costs(known), given, AT)}
    seen = {name: term for name, term in terms.items() if term.watched}
    assert {"reward_accuracy", "margin"} <= set(seen) and not any(t.total.requires_grad for t in seen.values())
    rows_of = {name: term.rows for name, term in seen.items()}
    margins, right = rows_of["margin"], rows_of["reward_accuracy"]
    assert margins is not None and right is not None
    assert right.tolist() == [1.0 if m > 0 else 0.0 for m in margins] and 0 < right.sum() < len(right)


def test_a_tie_is_half_right_and_rewards_have_their_sign() -> None:
    given = batch(rows(2, "pairs"), "pairs")
    equal = replace(given, given={"reference": torch.zeros(4, dtype=torch.float64)})
    terms = {t.name: t for t in SimPo()(Costs(torch.ones(len(given.positions), dtype=torch.float64)), equal, AT)}
    assert terms["reward_accuracy"].rows is not None and terms["reward_accuracy"].rows.tolist() == [0.5, 0.5]
    thumbs = replace(
        batch(rows(2, "thumbs"), "thumbs"),
        given={"reference": torch.zeros(2, dtype=torch.float64), "good": torch.tensor([1.0, 0.0])},
    )
    found = {t.name: t for t in Kto()(Costs(torch.ones(len(thumbs.positions), dtype=torch.float64)), thumbs, AT)}
    assert found["reward_accuracy"].rows is not None and found["reward_accuracy"].rows.tolist() == [0.0, 1.0]


# KTO's point


def test_ktos_point_is_the_moving_mean_of_the_steps_before() -> None:
    objective = Kto(memory=0.75).prepare(Facts((), ()))
    assert objective.state() == {"point": 0.0}
    for kl in (2.0, -1.0):
        objective.observe(Report(0, 0.0, {}, {}, watched={"kl": kl}))
    assert objective.state()["point"] == pytest.approx(0.75 * 0.5 - 0.25)
    objective.observe(Report(2, 0.0, {}, {}))
    assert objective.state()["point"] == pytest.approx(0.125)
    again = Kto(memory=0.75).prepare(Facts((), ()))
    again.load(objective.state())
    assert again.state() == objective.state() and objective.prepare(Facts((), ())).state() == {"point": 0.0}


def test_kl_is_over_the_other_replies_where_there_are_some_and_has_no_gradient() -> None:
    given = batch(rows(6, "mismatched"), "mismatched")
    model = toy(kind="mismatched")
    terms = {t.name: t for t in Kto()(model, given, AT)}
    sums = torch.zeros(12, dtype=torch.float64).index_add(0, given.sequences(), -model.losses(given).detach())
    held = torch.bincount(given.owners(), minlength=6) > 0
    expected = (sums - given.given["reference"])[1::2] * held
    assert terms["kl"].rows is not None and not terms["kl"].total.requires_grad
    torch.testing.assert_close(terms["kl"].rows, expected)
    alone = one_side(given, 0)
    ours, theirs = (copy.deepcopy(model) for _ in range(2))
    for used, part in ((ours, given), (theirs, alone)):
        divided(Kto()(used, part, AT), part).backward()
    for a, b in zip(ours.parameters(), theirs.parameters(), strict=True):
        torch.testing.assert_close(a.grad, b.grad)


def test_one_side_is_a_batch_of_its_own() -> None:
    chosen = rows(5, "pairs")
    given = batch(chosen, "pairs", seed=1, weighted=True)
    for side in (0, 1):
        part = one_side(given, side)
        alone = [replace(row if side == 0 else row.other, other=None, weight=row.weight) for row in chosen if row.other]
        expected = batch(alone, "thumbs", seed=1, weighted=True)
        assert part.lengths == expected.lengths and part.sides == 1 and part.ids == given.ids
        for name in ("tokens", "targets", "positions", "keys", "weights"):
            assert torch.equal(getattr(part, name), getattr(expected, name)), name
        assert torch.equal(part.given["reference"], expected.given["reference"])


@pytest.mark.parametrize("kind", ["thumbs", "mismatched", "pairs"])
def test_ktos_steps_do_not_depend_on_the_cut_when_the_point_moves(kind: Kind) -> None:
    """Several steps with the point observed between them: the same weights, however each step is cut."""

    def trained(pieces: int) -> tuple[dict[str, Tensor], float]:
        model, objective = toy(kind=kind), Kto(memory=0.5).prepare(Facts((), ()))
        parameters = trainable(model)
        chosen = rows(12, kind)
        window = [batch(chosen[i::pieces], kind) for i in range(pieces)]
        update = AdamW(rate=0.01).bind(parameters)
        for report in train(model, endless(window), objective, update, parameters, steps=4):
            objective.observe(report)
        return {n: p.detach().clone() for n, p in parameters.items()}, objective.state()["point"]

    (whole, point), (cut, same) = trained(1), trained(3)
    assert abs(point) > 1e-3 and point == pytest.approx(same, rel=1e-6)
    for name, parameter in whole.items():
        torch.testing.assert_close(parameter, cut[name], rtol=1e-5, atol=1e-7)


def test_wrong_options_are_explained() -> None:
    with pytest.raises(RecipeError, match="smoothing with loss hinge"):
        build("objective", {"dpo": {"loss": "hinge", "smoothing": 0.1}})
    for spec in ({"dpo": {"beta": 0}}, {"kto": {"memory": 1}}, {"simpo": {"gamma": -1}}, {"orpo": {"weight": -0.1}}):
        with pytest.raises(RecipeError):
            build("objective", spec)


def test_a_batch_that_does_not_fit_is_refused() -> None:
    given, costs = pairs()
    with pytest.raises(ValueError, match="reference"):
        Dpo()(Costs(costs), replace(given, given={}), AT)
    with pytest.raises(RecipeError, match="bradley_terry"):
        BradleyTerry()(Costs(costs), given, AT)
    thumbs = batch(rows(3, "thumbs"), "thumbs")
    for objective in (Dpo(), Ipo(), Orpo(), SimPo()):
        with pytest.raises(RecipeError, match="set objective: kto"):
            objective(Costs(torch.ones(len(thumbs.positions))), thumbs, AT)
    with pytest.raises(ValueError, match="good"):
        Kto()(Costs(costs), replace(thumbs, given={"reference": thumbs.given["reference"]}), AT)
    with pytest.raises(RecipeError, match="gives rewards"):
        Dpo()(Costs(costs), batch(rows(3, "rewards"), "rewards"), AT)
