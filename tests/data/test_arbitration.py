"""Arbitration: Dawid-Skene against the paper's sums done by loops, against truth, and what goes to people."""

from __future__ import annotations

import csv
import random
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from labels_reference import crowd
from labels_reference import dawid_skene as slow

from tunewright.core.errors import DataError
from tunewright.data.labels import Vote, Votes, arbitrate, gathered
from tunewright.data.labels.arbitration import dawid_skene, held


def votes_of(answers: dict[str, dict[str, str]], **options: object) -> Votes:
    return gathered([Vote(i, who, said) for i, given in answers.items() for who, said in given.items()], **options)  # type: ignore[arg-type]


def small(seed: int) -> dict[str, dict[str, str]]:
    rng = random.Random(seed)
    skill = {f"w{j}": rng.uniform(0.3, 0.95) for j in range(6)}
    out: dict[str, dict[str, str]] = {}
    for i in range(30):
        truth = rng.choice("abc")
        chosen = rng.sample(sorted(skill), 4)
        out[f"i{i:02d}"] = {w: truth if rng.random() < skill[w] else rng.choice("abc") for w in chosen}
    return out


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("smoothing", [0.1, 1.0])
def test_it_is_the_papers_algorithm(seed: int, smoothing: float) -> None:
    answers = small(seed)
    votes = votes_of(answers)
    ours = dawid_skene(votes, smoothing=smoothing, most=7, tolerance=0.0)
    theirs = slow(answers, votes.labels, smoothing, 7)
    for i, item in enumerate(votes.items):
        assert ours.posterior[i] == pytest.approx([theirs[item][c] for c in votes.labels], abs=1e-9)
    assert (ours.iterations, ours.converged) == (7, False)


def test_fifty_thousand_items_with_spammers_in_seconds() -> None:
    votes, truth = crowd()
    names = {item: votes.labels[c] for item, c in zip(votes.items, truth, strict=True)}
    began = time.perf_counter()
    model = dawid_skene(votes)
    assert time.perf_counter() - began < 5
    found = (model.posterior.argmax(1) == truth).mean()
    assert model.converged and found > (votes.counts().argmax(1) == truth).mean() + 0.04
    assert found == pytest.approx(bayes(votes, truth), abs=0.003), "as good as with the true skills"
    assert set(np.argsort(model.accuracy)[:10]) == set(range(10)), "the spammers are the ten least reliable"
    few = replace(votes, items=votes.items[:400], **{n: getattr(votes, n)[:2000] for n in ("item", "who", "label")})
    proof = held(arbitrate(few, "dawid_skene"), few, names)
    assert proof.items == 400 and (proof.right.value or 0) > (proof.majority.value or 1)


def bayes(votes: Votes, truth: np.ndarray) -> float:
    """How often somebody is right who knows each annotator's confusion matrix."""
    c = len(votes.labels)
    errs = np.full((len(votes.by), c, c), 1e-9)
    np.add.at(errs, (votes.who, truth[votes.item], votes.label), 1)
    errs /= errs.sum(2, keepdims=True)
    scores = np.zeros((len(votes.items), c))
    np.add.at(scores, votes.item, np.log(errs[votes.who, :, votes.label]))
    return float((scores.argmax(1) == truth).mean())


def test_the_models_opinion_is_one_vote_more_as_good_as_it_is() -> None:
    votes, truth = crowd(2000, annotators=20, spammers=8, each=3, seed=3)
    draws = np.random.default_rng(0)
    sharp = np.where(draws.random(2000) < 0.95, truth, (truth + 1) % 3)
    good = {
        item: {votes.labels[c]: 0.9, votes.labels[(c + 1) % 3]: 0.1} for item, c in zip(votes.items, sharp, strict=True)
    }
    blind = {item: {votes.labels[c]: 0.9, votes.labels[(c + 1) % 3]: 0.1}
             for item, c in zip(votes.items, draws.integers(0, 3, 2000), strict=True)}  # fmt: skip
    names = {item: votes.labels[c] for item, c in zip(votes.items, truth, strict=True)}

    def right(opinion: dict[str, dict[str, float]] | None) -> float:
        return held(arbitrate(votes, opinion=opinion), votes, names).right.value or 0.0

    alone, with_good, with_blind = right(None), right(good), right(blind)
    assert with_good > alone + 0.03 and abs(with_blind - alone) < 0.015
    seen = [
        next(a.accuracy for a in arbitrate(votes, opinion=said).annotators if a.name == "(the model)")
        for said in (good, blind)
    ]
    assert seen[0] > 0.7 and seen[1] < 0.4, "its vote is divided as its probabilities are, so 0.86 is the most"
    some = dict(list(good.items())[:50])
    assert sum(bool(d.opinion) for d in arbitrate(votes, opinion=some).decisions) == 50


def test_weighted_votes_beat_the_majority_where_answers_are_few() -> None:
    votes, truth = crowd(300, annotators=40, spammers=12, each=5, seed=1)
    names = {item: votes.labels[c] for item, c in zip(votes.items, truth, strict=True)}
    found = held(arbitrate(votes, "weighted"), votes, names)
    assert found.gained > 3 * found.lost and found.p < 0.05


def test_gold_beats_all_and_teaches_who_errs() -> None:
    answers = {f"i{i:02d}": {"liar": "no", "lies": "no", "honest": "yes"} for i in range(20)}
    answers |= {f"j{i:02d}": {"liar": "yes", "lies": "yes", "honest": "no"} for i in range(20)}
    votes = votes_of(answers)
    assert {d.label for d in arbitrate(votes).decisions[:20]} == {"no"}, "two against one"
    gold = {f"i{i:02d}": "yes" for i in range(8)} | {f"j{i:02d}": "no" for i in range(8)}
    found = {d.item: d for d in arbitrate(votes, gold=gold).decisions}
    assert (found["i00"].how, found["i00"].probability, found["i00"].soft) == ("gold", 1.0, (("yes", 1.0),))
    assert found["i19"].label == "yes" and found["j19"].label == "no", "the rest is judged by who was right there"
    assert arbitrate(votes, "majority", gold={"i00": "maybe"}).decisions[0].label == "maybe", "gold may be a new label"


def test_ties_and_doubts_go_to_the_queue() -> None:
    votes = votes_of({"a": {"x": "1", "y": "2"}, "b": {"x": "1", "y": "1"}, "c": {"x": "2", "y": "1", "z": "2"}})
    found = {d.item: d for d in arbitrate(votes, "majority", below=0.7).decisions}
    assert (found["a"].label, found["a"].queue) == (None, "tie")
    assert (found["b"].label, found["b"].queue, found["b"].probability) == ("1", "", 1.0)
    assert (found["c"].label, found["c"].queue) == ("2", "unsure")
    assert dict(found["c"].soft) == pytest.approx({"2": 2 / 3, "1": 1 / 3}, abs=1e-6) and dict(found["c"].votes) == {
        "1": 1,
        "2": 2,
    }
    opinion = {"a": {"2": 0.8, "1": 0.2}}
    assert arbitrate(votes, "majority", opinion=opinion).decisions[0].label == "2", "a model's opinion breaks a tie"


def test_the_middle_on_a_scale() -> None:
    answers = {
        "even": {"w": "1", "x": "2", "y": "4", "z": "4"},
        "odd": {"w": "1", "x": "4", "y": "4"},
        "torn": {"w": "1", "x": "4"},
    }
    ordinal = votes_of(answers, level="ordinal")
    found = {d.item: d for d in arbitrate(ordinal, "median", spread_above=1.2).decisions}
    # ranks of 1, 2, 4 are 0, 1, 2: the mean rank of `even` is 1.25, nearer to 2 than to 4
    assert [found[i].label for i in ("even", "odd", "torn")] == ["2", "4", None]
    assert found["torn"].queue == "tie" and found["odd"].spread == pytest.approx(1.154701)
    numbers = votes_of(answers, level="interval")
    assert [d.label for d in arbitrate(numbers, "median").decisions] == ["3", "4", "2.5"]
    means = arbitrate(numbers, "mean", spread_above=1.6).decisions
    assert [d.label for d in means] == ["2.75", "3", "2.5"] and [d.queue for d in means] == ["", "spread", "spread"]
    for method, votes in (("median", votes_of(answers)), ("mean", ordinal)):
        with pytest.raises(DataError, match="level"):
            arbitrate(votes, method)  # type: ignore[arg-type]


def test_two_annotators_are_warned_of_and_order_changes_nothing() -> None:
    answers = small(1)
    one = arbitrate(votes_of(answers))
    mixed = dict(random.Random(0).sample(sorted(answers.items()), len(answers)))
    assert arbitrate(votes_of(mixed)) == one
    two = votes_of({i: {w: s for w, s in g.items() if w in ("w0", "w1")} for i, g in answers.items()})
    assert any("2 annotators" in note for note in arbitrate(two).notes)


def test_a_truth_of_other_items_is_refused() -> None:
    votes = votes_of(small(0))
    with pytest.raises(DataError, match="no item of the votes"):
        held(arbitrate(votes), votes, {"elsewhere": "a"})


def test_on_real_answers_dawid_skene_beats_the_majority(shared: Path) -> None:
    def rows(name: str) -> list[dict[str, str]]:
        with (shared / "data/crowd_duck" / name).open(encoding="utf-8", newline="") as file:
            return list(csv.DictReader(file))

    votes = gathered([Vote(r["question"], r["worker"], r["answer"]) for r in rows("answer.csv")])
    truth = {r["question"]: r["truth"] for r in rows("truth.csv")}
    assert (len(votes), len(votes.items), len(votes.by)) == (4212, 108, 39)
    found = held(arbitrate(votes, "dawid_skene"), votes, truth)
    assert (found.majority.value, found.right.value) == (pytest.approx(82 / 108), pytest.approx(97 / 108))
    assert (found.gained - found.lost, found.p) == (15, pytest.approx(found.p)) and found.p < 0.01
    weighted = held(arbitrate(votes, "weighted"), votes, truth)
    assert (weighted.right.value or 1) < (found.majority.value or 0), "errors that most share cannot be weighed away"
