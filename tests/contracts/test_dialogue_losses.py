"""Losses against repetition, blandness and untruth equal what their papers say, one unit at a time, in blocks or whole."""

from __future__ import annotations

import copy
import math
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from toy_batches import Drawn, batch, rows, toy

from tunewright.core.errors import RecipeError
from tunewright.core.registry import build
from tunewright.core.sampled import Candidate, Measure
from tunewright.core.tensors import IGNORED, At, Batch, Decoder, Facts, Term
from tunewright.models.toy import VOCABULARY, Toy
from tunewright.objectives import (
    ConfidencePenalty,
    CrossEntropy,
    Custom,
    Diversity,
    FactualConsistency,
    MinimumRisk,
    RDrop,
    Relevance,
    Unlikelihood,
    chunks,
    fingerprint,
    fitting,
)
from tunewright.objectives.minimum_risk import distinct, expected_risk, laid
from tunewright.training.once import Once

AT = At(0, 1)
CUSTOM = str(Path(__file__).parent / "custom_losses.py")


def term(terms: Sequence[Term], name: str) -> Term:
    (found,) = [t for t in terms if t.name == name]
    return found


def scored(model: Toy, given: Batch) -> Tensor:
    return model(given).log_softmax(-1)


def spoken(given: Batch, unit: int) -> tuple[list[int], list[int]]:
    """The tokens of a unit's sequence up to its place, and the targets of its sequence before it."""
    sequence = int(given.sequences()[unit])
    start = sum(given.lengths[:sequence])
    before = [int(t) for u, t in enumerate(given.targets) if u < unit and int(given.sequences()[u]) == sequence]
    return given.tokens[start : int(given.positions[unit]) + 1].tolist(), before


def unlikelihood(model: Toy, given: Batch, over: str) -> Tensor:
    log_p, out = scored(model, given), []
    for u, target in enumerate(given.targets.tolist()):
        read, said = spoken(given, u)
        candidates = set(read if over == "context" else said) - {target}
        out.append(-sum((torch.log(1 - log_p[u, c].exp()) for c in candidates), log_p.new_zeros(())))
    return torch.stack(out)


def relevance(model: Toy, given: Batch) -> Tensor:
    p, table, out = scored(model, given).exp(), model.embed.weight.detach(), []
    for i in range(len(given.ids)):
        mine = [u for u in range(len(given.targets)) if int(given.owners()[u]) == i]
        if not mine:
            continue
        read, _ = spoken(given, mine[0])
        reply = torch.stack([p[u] @ table for u in mine]).mean(0)
        around = torch.stack([table[t] for t in read]).mean(0)
        out.append(1 - reply @ around / reply.norm() / around.norm())
    return torch.stack(out)


REFERENCES: list[tuple[Any, str, Callable[[Toy, Batch], Tensor]]] = [
    (Unlikelihood(), "unlikelihood", lambda m, b: unlikelihood(m, b, "context")),
    (Unlikelihood(over="reply"), "unlikelihood", lambda m, b: unlikelihood(m, b, "reply")),
    (Relevance(), "relevance", relevance),
    (
        ConfidencePenalty(),
        "confidence_penalty",
        lambda m, b: math.log(VOCABULARY) + (scored(m, b).exp() * scored(m, b)).sum(-1),
    ),
]


def grads(model: Toy, loss: Tensor) -> list[Tensor | None]:
    return list(torch.autograd.grad(loss, list(model.parameters()), allow_unused=True))


def agree(ours: list[Tensor | None], theirs: list[Tensor | None]) -> None:
    assert any(g is not None and g.abs().max() > 1e-6 for g in theirs)
    for a, b in zip(ours, theirs, strict=True):
        if a is not None or b is not None:
            x, y = (torch.zeros_like(a if a is not None else b) if g is None else g for g in (a, b))
            torch.testing.assert_close(x, y, rtol=1e-8, atol=1e-11)


@pytest.mark.parametrize("largest", [None, 2 * VOCABULARY], ids=["whole", "two units at a time"])
@pytest.mark.parametrize(("objective", "name", "reference"), REFERENCES, ids=[f"{o}" for o, _, _ in REFERENCES])
def test_terms_and_gradients_are_the_papers(
    objective: Any, name: str, reference: Any, largest: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    if largest:
        monkeypatch.setattr(chunks, "LARGEST", largest)
    model, given = toy(kind="vocabulary"), batch(rows(12, "vocabulary", longest=14), "vocabulary")
    found, expected = term(objective(model, given, AT), name), reference(model, given)
    assert found.total.item() == pytest.approx(expected.sum().item(), rel=1e-9) and found.total.item() > 0.1
    agree(grads(model, found.total), grads(model, expected.sum()))


def test_a_repetition_costs_once_and_the_right_word_never() -> None:
    """Of "5 5 7 -> 5": 7 is a candidate, 5 is what should be said; of "5 5 7 -> 7": only 5, once."""
    model = toy(kind="vocabulary")
    for target, candidate in ((5, 7), (7, 5)):
        given = Batch(("a",), torch.tensor([5, 5, 7]), (3,), torch.tensor([target]), torch.tensor([2]), "token")
        p = scored(model, given).exp()[0, candidate]
        found = term(Unlikelihood()(model, given, AT), "unlikelihood")
        assert found.total.item() == pytest.approx(-math.log(1 - p.item()), rel=1e-9)


def test_what_another_example_said_is_no_repetition() -> None:
    """Three examples of the same one token: each has it as a candidate of its own."""
    model = toy(kind="vocabulary")
    given = Batch(
        ("a", "b", "c"), torch.tensor([5, 5, 5]), (1, 1, 1), torch.tensor([7, 5, 7]), torch.arange(3), "token"
    )
    found = term(Unlikelihood()(model, given, AT), "unlikelihood")
    p = scored(model, given).exp()[:, 5].tolist()
    assert found.rows is not None
    assert found.rows.tolist() == pytest.approx([-math.log(1 - p[0]), 0.0, -math.log(1 - p[2])], rel=1e-9)


def test_unlikelihood_at_certainty_is_finite() -> None:
    @dataclass
    class Sure:
        scores: Tensor

        def __call__(self, batch: Batch, nudge: Tensor | None = None) -> Tensor:
            return self.scores

        def losses(self, batch: Batch, nudge: Tensor | None = None, smoothing: float = 0.0) -> Tensor:
            return -self.scores.log_softmax(-1)[:, 0]

    given = Batch(("a",), torch.tensor([1, 1]), (2,), torch.tensor([0, 0]), torch.tensor([0, 1]), "token")
    for dtype in (torch.float32, torch.bfloat16):
        known = torch.tensor([[0.0, 1e4, 0.0], [0.0, 30.0, 0.0]], dtype=dtype, requires_grad=True)
        loss = term(Unlikelihood()(Sure(known), given, AT), "unlikelihood").total
        loss.backward()
        assert torch.isfinite(loss) and known.grad is not None and torch.isfinite(known.grad).all()


def test_an_encoder_decoders_context_is_its_source() -> None:
    """Relevance reads the source's tokens; unlikelihood the decoder's."""
    given = Batch(
        ("a", "b"), torch.tensor([3, 4, 9, 9]), (2, 2), torch.tensor([5, 6, 7]), torch.tensor([0, 1, 2]), "token",
        decoder=Decoder(torch.tensor([0, 5, 0]), (2, 1)),
    )  # fmt: skip
    table = torch.randn(VOCABULARY, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    known = torch.randn(3, VOCABULARY, dtype=torch.float64, generator=torch.Generator().manual_seed(1))

    class Decoding:
        def __call__(self, batch: Batch, nudge: Tensor | None = None) -> Tensor:
            return known

        def losses(self, batch: Batch, nudge: Tensor | None = None, smoothing: float = 0.0) -> Tensor:
            return known[:, 0]

        def embeddings(self) -> Tensor:
            return table

    p = known.softmax(-1)
    near = [
        torch.cosine_similarity((p[r] @ table).mean(0), table[c].mean(0), dim=0)
        for r, c in (([0, 1], [3, 4]), ([2], [9, 9]))
    ]
    found = term(Relevance()(Decoding(), given, AT), "relevance")
    assert found.total.item() == pytest.approx(sum(1 - n.item() for n in near), rel=1e-9)
    said = term(Unlikelihood()(Decoding(), given, AT), "unlikelihood")
    expected = [-math.log(1 - p[0, 0]), -math.log(1 - p[1, 0]) - math.log(1 - p[1, 5]), -math.log(1 - p[2, 0])]
    assert said.total.item() == pytest.approx(sum(expected), rel=1e-9)


def test_the_embeddings_themselves_do_not_move_for_relevance() -> None:
    model, given = toy(kind="vocabulary"), batch(rows(6, "vocabulary"), "vocabulary")
    fixed = Relevance()(model, given, AT)
    table = model.embed.weight.detach().clone()
    model.embeddings = lambda: table  # type: ignore[method-assign]
    agree(
        grads(model, term(fixed, "relevance").total),
        grads(model, term(Relevance()(model, given, AT), "relevance").total),
    )


# Diversity


def test_diversity_weighs_targets_by_their_frequency() -> None:
    counts = tuple(random.Random(0).choices([0, 1, 3, 50, 700], k=VOCABULARY))
    objective = Diversity(strength=0.7).prepare(Facts((), counts))
    raw = [max(n, 1) ** -0.7 for n in counts]
    mean = sum(n * w for n, w in zip(counts, raw, strict=True)) / sum(counts)
    model, given = toy(kind="vocabulary"), batch(rows(12, "vocabulary"), "vocabulary", weighted=True)
    assert given.weights is not None
    weights = torch.tensor([raw[t] / mean for t in given.targets.tolist()], dtype=torch.float64)
    expected = (model.losses(given) * weights * given.weights).sum()
    (found,) = objective(model, given, AT)
    assert found.name == "cross_entropy" and found.total.item() == pytest.approx(expected.item(), rel=1e-9)
    plain = Diversity(strength=0.0).prepare(Facts((), counts))(model, given, AT)
    assert plain[0].total.item() == pytest.approx((model.losses(given) * given.weights).sum().item(), rel=1e-9)


def test_diversity_without_counts_is_explained() -> None:
    with pytest.raises(RecipeError, match="no counts of training tokens"):
        Diversity().prepare(Facts((), ()))


# R-Drop


def kl(p: Tensor, q: Tensor) -> Tensor:
    return (p * (p.log() - q.log())).sum(-1)


@pytest.mark.parametrize("kind", ["example", "vocabulary"])
def test_r_drop_compares_two_draws(kind: Any) -> None:
    model, given = toy(p=0.3, kind=kind), batch(rows(10, kind), kind, seed=5)
    other = given.view(1)
    p, q = model(given).softmax(-1), model(other).softmax(-1)
    assert not torch.allclose(p, q), "the two draws are the same"
    expected = (model.losses(given) + model.losses(other)).sum() / 2 + 2.5 * (kl(p, q) + kl(q, p)).sum() / 2
    terms = RDrop(weight=2.5)(model, given, AT)
    found = torch.stack([t.scale * t.total for t in terms]).sum()
    assert found.item() == pytest.approx(expected.item(), rel=1e-9)
    agree(grads(model, found), grads(model, expected))


def test_r_drops_two_draws_are_two_passes_for_a_forward_that_remembers() -> None:
    given = batch(rows(10, "vocabulary"), "vocabulary", seed=5)
    terms = RDrop()(Once(toy(p=0.3, kind="vocabulary")), given, AT)
    assert term(terms, "r_drop").total.item() > 1e-3


# Memory and passes


class Largest(TorchDispatchMode):
    """The numbers in the largest tensor that is made."""

    seen = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        for tensor in out if isinstance(out, (tuple, list)) else (out,):
            if isinstance(tensor, Tensor):
                self.seen = max(self.seen, tensor.numel())
        return out


class Wide(nn.Module):
    """States (U, 4) and a last product with 3,000 pieces."""

    def __init__(self) -> None:
        super().__init__()
        self.table, self.last = nn.Embedding(3000, 4), nn.Linear(4, 3000)

    def states(self, batch: Batch, nudge: Tensor | None = None) -> Tensor:
        found: Tensor = self.table(batch.tokens)[batch.positions]
        return found

    def scores(self, states: Tensor) -> Tensor:
        found: Tensor = self.last(states)
        return found

    def cost(self, states: Tensor, targets: Tensor, smoothing: float = 0.0) -> Tensor:
        return states.square().sum(-1)  # of no interest here, and small

    def forward(self, batch: Batch, nudge: Tensor | None = None) -> Tensor:
        return self.scores(self.states(batch))

    def losses(self, batch: Batch, nudge: Tensor | None = None, smoothing: float = 0.0) -> Tensor:
        return self.cost(self.states(batch), batch.targets)

    def embeddings(self) -> Tensor:
        return self.table.weight


@pytest.mark.parametrize(
    "objective",
    [Unlikelihood(), ConfidencePenalty(), Relevance(), RDrop(), Custom("LOSSES", "focal")],
    ids=["unlikelihood", "confidence_penalty", "relevance", "r_drop", "custom"],
)
def test_all_scores_are_never_held_at_once(objective: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither is a tensor (U, V) made, nor do blocks of it wait together for the backward pass."""
    block, n, v = 64 * 3000, 1000, 3000
    monkeypatch.setattr(chunks, "LARGEST", block)
    if isinstance(objective, Custom):
        objective = replace(objective, file=CUSTOM).prepare(Facts((), ()))
    given = Batch(
        tuple(f"{i}" for i in range(10)), torch.arange(n), (100,) * 10, torch.arange(n), torch.arange(n), "token",
        keys=torch.arange(10),
    )  # fmt: skip
    model, kept = Wide(), [0]
    objective(model, given, AT)  # a loss of a user's own is tried on the first batch

    def keep(tensor: Tensor) -> Tensor:
        kept[0] += tensor.numel()
        return tensor

    with Largest() as largest, torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        loss = torch.stack([t.scale * t.total for t in objective(model, given, AT)]).sum()
        between = kept[0]
        loss.backward()
    assert largest.seen <= 2 * block < n * v / 5, f"{largest.seen} numbers in one tensor"
    assert between <= 2 * block, f"{between} numbers wait for the backward pass"


def test_a_long_sequence_counts_like_a_large_vocabulary(monkeypatch: pytest.MonkeyPatch) -> None:
    """Unlikelihood looks up as many scores a unit as its sequence is long: of few pieces and many tokens it is the most."""
    monkeypatch.setattr(chunks, "LARGEST", 3000)
    n = 400
    given = Batch(("a",), torch.arange(n) % 5, (n,), torch.arange(n) % 7, torch.arange(n), "token")
    scores = torch.randn(n, 8, generator=torch.Generator().manual_seed(0))

    class Few:
        def states(self, batch: Batch, nudge: Tensor | None = None) -> Tensor:
            return scores

        def scores(self, states: Tensor) -> Tensor:
            return states

        def losses(self, batch: Batch, nudge: Tensor | None = None, smoothing: float = 0.0) -> Tensor:
            return scores[:, 0]

    with Largest() as largest:
        Unlikelihood()(Few(), given, AT)
    assert largest.seen <= 2 * max(3000, n * 8)


def test_the_wrappers_of_a_batch_share_one_pass() -> None:
    class Counting(Toy):
        passes = 0

        def states(self, batch: Batch, nudge: Tensor | None = None) -> Tensor:
            self.passes += 1
            return super().states(batch, nudge)

    model, given = Counting(VOCABULARY).double(), batch(rows(6, "vocabulary"), "vocabulary")
    facts = Facts((), (1,) * VOCABULARY)
    around = build(
        "objective", ["unlikelihood", "relevance", "confidence_penalty", "diversity", "cross_entropy"]
    ).prepare(facts)
    terms = around(Once(model), given, AT)
    assert model.passes == 1 and {t.name for t in terms} == {
        "cross_entropy", "confidence_penalty", "relevance", "unlikelihood"
    }  # fmt: skip


# Minimum risk


def test_expected_risk_is_shens() -> None:
    sums = torch.tensor([-1.0, -3.0, -2.0, -8.0], dtype=torch.float64, requires_grad=True)
    scores = torch.tensor([0.2, 0.9, 0.5, 1.0], dtype=torch.float64)
    risks, means = expected_risk(sums, scores, [3, 0, 1], alpha=0.5)
    q = [math.exp(0.5 * s) for s in (-1.0, -3.0, -2.0)]
    expected = sum(w * (1 - s) for w, s in zip(q, (0.2, 0.9, 0.5), strict=True)) / sum(q)
    assert risks.tolist() == pytest.approx([expected, 0.0, 0.0]) and means.tolist() == pytest.approx([1.6 / 3, 0, 1])
    risks.sum().backward()
    assert sums.grad is not None and sums.grad[0] > 0 > sums.grad[1] and torch.isfinite(sums.grad).all()


def test_candidates_are_a_set_laid_end_to_end() -> None:
    def candidate(reply: list[int], prompt: int = 7) -> Candidate:
        return Candidate("", np.array([prompt, *reply]), np.array([*reply, IGNORED]))

    drawn = [distinct([candidate([1, 2]), candidate([1, 2]), candidate([3])]), distinct([candidate([4], 8)])]
    assert [len(c) for c in drawn] == [2, 1]
    given = laid(drawn, batch(rows(2, "vocabulary"), "vocabulary", seed=1))
    assert given.tokens.tolist() == [7, 1, 2, 7, 3, 8, 4] and given.lengths == (3, 2, 2)
    assert given.targets.tolist() == [1, 2, 3, 4] and given.positions.tolist() == [0, 1, 3, 5]
    assert given.ids == ("r0#0", "r0#1", "r1#0") and given.keys is not None and len(set(given.keys.tolist())) == 3
    assert given.sequences().tolist() == [0, 0, 1, 2]


def test_a_reply_that_was_drawn_twice_is_one_candidate() -> None:
    class Twice(Drawn):
        times = 1

        def draw(self, batch: Batch, at: At, count: int) -> list[list[Candidate]]:
            return [[*drawn, *drawn[:1] * (self.times - 1)] for drawn in super().draw(batch, at, count)]

    model, given, found = toy(kind="vocabulary"), batch(rows(5, "vocabulary"), "vocabulary"), []
    for times in (1, 3):
        own = Twice()
        own.times = times
        objective = MinimumRisk(inner=None, alpha=1.0).prepare(Facts((), (), sampled=own))
        found.append(term(objective(model, given, AT), "minimum_risk").total.item())
    assert found[0] == pytest.approx(found[1], rel=1e-12)


def test_minimum_risk_raises_what_scores_well() -> None:
    """Gradient descent on the risk alone makes the best candidate the likeliest, and asks for its own measure."""
    asked: list[Measure] = []

    class Known(Drawn):
        def draw(self, batch: Batch, at: At, count: int) -> list[list[Candidate]]:
            replies = ([1, 1], [2, 2], [3, 3])
            return [
                [Candidate(f"{r[0]}", np.array([0, *r]), np.array([*r, IGNORED])) for r in replies] for _ in batch.ids
            ]

        def score(self, measure: Measure, example: str, output: str) -> float:
            asked.append(measure)
            return {"1": 0.1, "2": 0.9, "3": 0.3}[output]

    model, given = toy(kind="vocabulary"), batch(rows(3, "vocabulary"), "vocabulary")
    objective = MinimumRisk(inner=None, alpha=1.0).prepare(Facts((), (), sampled=Known()))
    optimizer = torch.optim.Adam(model.parameters(), lr=0.02)
    for _ in range(60):
        optimizer.zero_grad()
        term(objective(model, given, AT), "minimum_risk").total.backward()
        optimizer.step()
    risks = term(objective(model, given, AT), "minimum_risk")
    assert risks.rows is not None and risks.rows[0] < 0.15 and set(asked) == {Measure("rougeL")}
    sampled = term(objective(model, given, AT), "minimum_risk_sampled")
    assert sampled.watched and sampled.rows is not None and sampled.rows[0] == pytest.approx(1.3 / 3)
    factual = FactualConsistency(model="nli", inner=None).prepare(Facts((), (), sampled=Known()))
    factual(model, given, AT)
    assert asked[-1] == Measure("entailment", "nli")


def test_risk_without_samples_is_explained() -> None:
    with pytest.raises(RecipeError, match="no replies of the model"):
        MinimumRisk().prepare(Facts((), ()))
    with pytest.raises(RecipeError, match="entailment model"):
        build("objective", "factual_consistency")


# A user's own


@pytest.mark.parametrize(
    ("function", "words"),
    [
        ("averaged", ["a tensor ()", "reduction='none'"]),
        ("with_neighbours", ["changes with the units beside it"]),
        ("by_chance", ["by chance"]),
        ("counted", ["without a gradient", ".argmax()"]),
        ("infinite", ["losses are not finite"]),
        ("kinked", ["a gradient that is not finite"]),
        ("listed", ["a list"]),
        ("failing", ["RuntimeError", "(line ", "scores (16, 3), targets (16,)"]),
    ],
)
def test_a_wrong_loss_of_a_users_own_is_explained(function: str, words: list[str]) -> None:
    objective = Custom(CUSTOM, function).prepare(Facts((), ()))
    given = replace(batch(rows(20)), targets=torch.arange(16) % 3)
    with pytest.raises(RecipeError) as error:
        objective(toy(), given, AT)
    assert all(word in str(error.value) for word in (*words, function)), str(error.value)


@pytest.mark.parametrize(
    ("content", "function", "options", "words"),
    [
        (None, "loss", {}, ["objective.custom.file", "a Python file"]),
        ("def loss(scores, targets:\n", "loss", {}, ["SyntaxError"]),
        ("x = 1\ny = 1 / 0\n", "loss", {}, ["ZeroDivisionError", "(line 2)"]),
        ("def losss(scores, targets): pass\n", "loss", {}, ["no function 'loss'", "did you mean 'losss'?"]),
        ("def loss(scores): pass\n", "loss", {}, ["cannot be called"]),
        ("def loss(scores, targets): pass\n", "loss", {"gamma": 1}, ["gamma"]),
    ],
)
def test_a_file_that_cannot_be_used_is_explained(
    tmp_path: Any, content: str | None, function: str, options: Any, words: list[str]
) -> None:
    file = tmp_path / "mine.py"
    if content is not None:
        file.write_text(content)
    with pytest.raises(RecipeError) as error:
        Custom(str(file), function, options).prepare(Facts((), ()))
    assert all(word in str(error.value) for word in words), str(error.value)


def test_the_loss_that_the_documentation_shows_works(tmp_path: Any) -> None:
    text = (Path(__file__).parents[2] / "docs" / "objectives.md").read_text(encoding="utf-8")
    (shown,) = [block for block in text.split("```python\n")[1:] if "my_loss" in block]
    file = tmp_path / "my_loss.py"
    file.write_text(shown.split("```")[0], encoding="utf-8")
    mine = Custom(str(file), "my_loss", {"gamma": 2.0}).prepare(Facts((), ()))
    given = batch(rows(9))
    (found,), (focal,) = mine(toy(), given, AT), build("objective", "focal")(toy(), given, AT)
    assert found.total.item() == pytest.approx(focal.total.item(), rel=1e-9)


def test_the_content_of_the_file_is_what_counts(tmp_path: Any) -> None:
    one, two = tmp_path / "one.py", tmp_path / "two.py"
    one.write_text("def loss(scores, targets): return scores[:, 0]\n")
    two.write_text(one.read_text())
    around = ConfidencePenalty(inner=Custom(str(one)))
    assert Custom(str(one)).fingerprint == Custom(str(two)).fingerprint
    assert fingerprint(around) == fingerprint(Custom(str(two))) and fingerprint(CrossEntropy()) is None
    before = fingerprint(around)
    one.write_text(one.read_text() + "# more\n")
    assert fingerprint(around) != before
    with pytest.raises(RecipeError, match="a Python file"):
        fingerprint(Custom(str(tmp_path / "none.py")))


def test_what_a_nesting_fits() -> None:
    assert fitting(RDrop()) == ("classes", "tokens") and fitting(Unlikelihood()) == ("tokens",)
    assert fitting(RDrop(inner=Unlikelihood())) == ("tokens",) and fitting(MinimumRisk(inner=None)) == ("tokens",)
    assert fitting(RDrop(inner=build("objective", "mse"))) == ()


def test_wrappers_pass_on_what_is_observed_and_saved() -> None:
    from tunewright.core.tensors import Report
    from tunewright.objectives import Kto

    around = RDrop(inner=Kto(memory=0.0)).prepare(Facts((), ()))
    around.observe(Report(0, 0.0, {}, {}, watched={"kl": 2.0}))
    assert around.state() == {"point": 2.0} and RDrop().state() == {}
    again = copy.copy(RDrop(inner=Kto()).prepare(Facts((), ())))
    again.load(around.state())
    assert again.state() == {"point": 2.0}
