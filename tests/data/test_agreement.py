"""Agreement: every coefficient against its definition computed slowly; intervals, refusals, and annotators who do not look."""

from __future__ import annotations

import csv
import random
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from labels_reference import Ratings, alpha, crowd, fleiss, gwet

from tunewright.core.errors import DataError
from tunewright.data.labels import LEVELS, Level, Vote, Votes, agree, gathered
from tunewright.data.labels.agreement import (
    Cohen,
    Fleiss,
    Gwet,
    Ordinal,
    Percent,
    closeness,
    krippendorff,
    pairwise,
    spammer_score,
    value,
)
from tunewright.data.labels.agreement.cohen import crossed


def votes_of(ratings: Ratings, level: Level = "interval") -> Votes:
    return gathered((Vote(item, by, f"{answer:g}") for item, by, answer in ratings), level=level)


def drawn(seed: int, items: int = 40, annotators: int = 6, answers: int = 4, missing: float = 0.4) -> Ratings:
    rng = random.Random(seed)
    out = []
    for i in range(items):
        usual = rng.randrange(answers)
        for j in range(annotators):
            if rng.random() > missing:
                said = usual if rng.random() < 0.6 else rng.randrange(answers)
                out.append((f"i{i}", f"a{j}", float(said * said)))
    return out


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("seed", range(5))
def test_alpha_is_that_of_the_coincidence_matrix(level: Level, seed: int) -> None:
    ratings = drawn(seed)
    votes = votes_of(ratings, level)
    found = value(krippendorff.alpha(level, votes.values), votes.counts())
    assert found == pytest.approx(alpha(ratings, level), abs=1e-9)


TABLE = """
1 2 3 3 2 1 4 1 2 . . .
1 2 3 3 2 2 4 1 2 5 . 3
. 3 3 3 2 3 4 2 2 5 1 .
1 2 3 3 2 4 4 1 2 5 1 .
"""


@pytest.mark.parametrize(("level", "published"), [("nominal", 0.743), ("ordinal", 0.815), ("interval", 0.849)])
def test_alpha_of_the_published_example(level: Level, published: float) -> None:
    """Krippendorff 2011, section C: four observers, twelve units, missing data."""
    ratings = [
        (f"u{u}", f"o{o}", float(said))
        for o, line in enumerate(TABLE.split("\n")[1:5])
        for u, said in enumerate(line.split())
        if said != "."
    ]
    assert agree(votes_of(ratings, level), draws=0).figures["alpha"].value == pytest.approx(published, abs=5e-4)


def test_large_numbers_keep_their_differences() -> None:
    ratings = drawn(3)
    moved = [(i, a, 1e9 + x) for i, a, x in ratings]
    votes = gathered([Vote(i, a, str(int(x))) for i, a, x in moved], level="interval")
    found = value(krippendorff.alpha("interval", votes.values), votes.counts())
    assert found == pytest.approx(alpha(ratings, "interval"), abs=1e-9)


def test_fleiss_and_gwet_are_those_of_the_papers() -> None:
    ratings = drawn(1, missing=-1.0)
    votes = votes_of(ratings, "nominal")
    assert value(Fleiss(), votes.counts()) == pytest.approx(fleiss(ratings), abs=1e-12)
    some = drawn(2)
    votes = votes_of(some)
    assert value(Gwet(), votes.counts()) == pytest.approx(gwet(some), abs=1e-12)
    spread = max(votes.values) - min(votes.values)
    for power in (1, 2):
        weights = closeness(votes.values, power)
        slow = gwet(some, lambda a, b, power=power: 1 - (abs(a - b) / spread) ** power)
        assert value(Gwet(weights), votes.counts()) == pytest.approx(slow, abs=1e-12)


def test_cohen_is_that_of_scikit_learn() -> None:
    from sklearn.metrics import cohen_kappa_score

    rng = np.random.default_rng(0)
    a = rng.integers(0, 4, 300)
    b = np.where(rng.random(300) < 0.6, a, rng.integers(0, 4, 300))
    for weights in ("none", "linear", "quadratic"):
        found = value(Cohen(np.arange(4.0), weights), crossed(a, b, 4))  # type: ignore[arg-type]
        theirs = cohen_kappa_score(a, b, weights=None if weights == "none" else weights)
        assert found == pytest.approx(theirs, abs=1e-12)
    three = np.where(rng.random(300) < 0.3, a, rng.integers(0, 4, 300))
    votes = gathered(
        [Vote(f"{i:03d}", by, str(x)) for by, row in (("a", a), ("b", b), ("c", three)) for i, x in enumerate(row)]
    )
    kappas, pairs = pairwise(votes, "none")
    assert pairs.tolist() == [[0, 1], [0, 2], [1, 2]]
    assert kappas == pytest.approx([cohen_kappa_score(x, y) for x, y in ((a, b), (a, three), (b, three))])


def test_perfect_agreement_is_one_and_chance_is_zero() -> None:
    rng = random.Random(0)
    same = [(f"i{i}", a, float(i % 3)) for i in range(60) for a in "xyz"]
    found = agree(votes_of(same, "ordinal"), draws=0)
    assert all(f.value == pytest.approx(1.0) for f in found.figures.values()), found.figures
    blind = [(f"i{i}", a, float(rng.randrange(3))) for i in range(4000) for a in "xyz"]
    found = agree(votes_of(blind, "nominal"), draws=200)
    for name in ("alpha", "fleiss", "gwet", "cohen"):
        figure = found.figures[name]
        assert (
            figure.low is not None and figure.high is not None and figure.low <= 0.01 and abs(figure.value or 1) < 0.03
        )


def test_the_interval_covers_what_is_true_as_often_as_it_says() -> None:
    """Alpha of many small samples of one crowd against that of a very large one."""
    big = value(krippendorff.Nominal(), crowd(20_000, annotators=8, spammers=2, seed=99)[0].counts())
    hits = 0
    for seed in range(60):
        votes, _ = crowd(100, annotators=8, spammers=2, seed=99)
        draws = np.random.default_rng(seed)
        votes = crowd_like(draws)
        figure = agree_alpha(votes)
        hits += bool(figure[0] <= big <= figure[1])
    assert hits >= 50, hits


def crowd_like(draws: np.random.Generator) -> Votes:
    """A hundred items of the crowd that `crowd` draws with seed 99."""
    votes, _ = crowd(20_000, annotators=8, spammers=2, seed=99)
    chosen = draws.choice(20_000, 100, replace=False)
    place = {int(i): k for k, i in enumerate(chosen)}
    kept = np.isin(votes.item, chosen)
    item = np.array([place[int(i)] for i in votes.item[kept]])
    return replace(
        votes, items=tuple(f"{k:03d}" for k in range(100)), item=item, who=votes.who[kept], label=votes.label[kept]
    )


def agree_alpha(votes: Votes) -> tuple[float, float]:
    from tunewright.data.labels.agreement import Nominal
    from tunewright.data.labels.agreement.protocol import figure

    found = figure(Nominal(), votes.counts(), 0, 300)
    assert found.low is not None and found.high is not None
    return found.low, found.high


@settings(deadline=None, max_examples=60)
@given(
    st.lists(st.tuples(st.integers(0, 5), st.integers(0, 3), st.integers(0, 3)), min_size=1, max_size=30),
    st.sampled_from(LEVELS),
)
def test_whatever_is_given_each_figure_is_finite_or_refused_with_a_reason(rows: list[Any], level: Level) -> None:
    found = agree(gathered([Vote(str(i), str(a), str(x)) for i, a, x in rows], level=level), draws=50)
    every = [*found.figures.values()]
    every += [f for one in found.labels for f in (one.alpha, one.again)]
    every += [f for one in found.annotators for f in (one.agreement, one.kappa, one.alone)]
    for figure in every:
        if figure.value is None:
            assert figure.refused
        else:
            assert np.isfinite(figure.value) and figure.value <= 1 + 1e-9
            assert figure.low is None or figure.high is None or figure.low <= figure.value <= figure.high


def test_the_order_of_rows_changes_nothing() -> None:
    ratings = drawn(4)
    mixed = random.Random(0).sample(ratings, len(ratings))
    assert agree(votes_of(ratings, "ordinal")).as_json() == agree(votes_of(mixed, "ordinal")).as_json()


@pytest.mark.parametrize(
    ("ratings", "why"),
    [
        ([("a", "x", 1.0), ("b", "x", 2.0)], "one annotator"),
        ([("a", "x", 1.0), ("b", "y", 2.0)], "no item has answers of two"),
        ([("a", "x", 1.0), ("a", "y", 1.0)], "the same label"),
    ],
)
def test_what_cannot_be_said_is_refused(ratings: Ratings, why: str) -> None:
    figure = agree(votes_of(ratings, "nominal")).figures["alpha"]
    assert figure.value is None and why in figure.refused


def test_a_label_of_few_answers_is_refused_alone() -> None:
    ratings = [*drawn(1, answers=2), ("i1", "extra", 9.0)]
    rare = next(one for one in agree(votes_of(ratings, "nominal")).labels if one.label == "9")
    assert rare.alpha.value is None and "1 answer of this label; 5 are needed" in rare.alpha.refused
    assert all(
        one.alpha.value is not None
        for one in agree(votes_of(ratings, "nominal")).labels
        if one is not rare and one.label != "9"
    )


def test_a_second_answer_takes_the_place_of_the_first() -> None:
    votes = gathered(
        [Vote("i", "x", "a", "2"), Vote("i", "x", "b", "10"), Vote("i", "x", "c", "9"), Vote("i", "y", "a")]
    )
    assert (len(votes), votes.replaced, votes.labels) == (2, 2, ("a", "b")), "the latest in time is not the last read"


def test_scales_that_are_none_are_explained() -> None:
    with pytest.raises(DataError, match="are no numbers: 'high', 'low'"):
        gathered([Vote("i", "x", "low"), Vote("i", "y", "high")], level="ordinal")
    votes = gathered([Vote("i", "x", "low"), Vote("i", "y", "high")], level="ordinal", order=["low", "middle", "high"])
    assert votes.labels == ("low", "middle", "high") and votes.values.tolist() == [0, 1, 2]
    with pytest.raises(DataError, match="hihg"):
        gathered([Vote("i", "x", "hihg")], level="ordinal", order=["low", "high"])
    with pytest.raises(DataError, match="several spellings"):
        gathered([Vote("i", "x", "1"), Vote("i", "y", "1.0")], level="interval")
    with pytest.raises(DataError, match="no votes"):
        gathered([])


def test_annotators_who_do_not_look_are_found_and_honest_ones_are_not() -> None:
    votes, _ = crowd(600, annotators=20, spammers=4)
    constant = replace(votes, label=np.where(votes.who == 5, 1, votes.label))
    found = {a.name: a for a in agree(constant, draws=200).annotators}
    suspected = {name for name, a in found.items() if a.suspected}
    assert suspected == {"spam00", "spam01", "spam02", "spam03", "work05"}
    assert "constant_answers" in found["work05"].suspected and "no_better_than_chance" in found["spam00"].suspected
    base = agree(constant, draws=0).figures["alpha"].value
    assert all((found[name].alone.value or 0) > (base or 0) for name in suspected), "without them alpha is higher"
    honest = [a.score for name, a in found.items() if name not in suspected and a.score is not None]
    assert max(a.score or 0 for name, a in found.items() if name in suspected) < min(honest)


def test_alpha_without_an_annotator_is_that_of_the_other_rows() -> None:
    ratings = drawn(6)
    found = {a.name: a.alone.value for a in agree(votes_of(ratings, "ordinal"), draws=0).annotators}
    for name in ("a0", "a3"):
        assert found[name] == pytest.approx(alpha([r for r in ratings if r[1] != name], "ordinal"), abs=1e-9)


def test_who_always_says_the_common_label_on_common_items_is_not_constant() -> None:
    rows = [Vote(f"{i:03d}", a, "yes" if i % 10 else "no") for i in range(200) for a in "xyz"]
    rows += [Vote(f"{i:03d}", "lucky", "yes") for i in range(200) if i % 10][:30]
    found = {a.name: a for a in agree(gathered(rows), draws=100).annotators}
    assert found["lucky"].suspected == ()


@pytest.mark.parametrize("form", ["iso", "epoch", "duration"])
def test_who_is_too_fast_is_found(form: str) -> None:
    rng, rows = random.Random(0), []
    for a, pace in (("slow", 30), ("steady", 25), ("usual", 28), ("hasty", 3)):
        clock = 1.7e9
        for i in range(30):
            took = pace + rng.random()
            clock += took + (7200 if i == 15 else 0)
            said = {
                "iso": time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(clock)),
                "epoch": str(clock),
                "duration": str(took),
            }
            rows.append(Vote(f"{i:02d}", a, str(i % 3), said[form]))
    found = {a.name: a for a in agree(gathered(rows), draws=50).annotators}
    assert {name for name, a in found.items() if "too_fast" in a.suspected} == {"hasty"}
    assert found["slow"].seconds == pytest.approx(30.5, abs=0.6)


def test_the_spammer_score_is_that_of_the_paper() -> None:
    a, b = 0.8, 0.7
    assert spammer_score(np.array([[a, 1 - a], [1 - b, b]])) == pytest.approx((a + b - 1) ** 2)
    assert spammer_score(np.eye(4)) == pytest.approx(1.0)
    assert spammer_score(np.tile([0.1, 0.2, 0.7], (3, 1))) == pytest.approx(0.0)


def test_weights_are_one_on_the_diagonal() -> None:
    weights = closeness(np.array([0.0, 1.0, 4.0]), 1)
    assert weights.tolist() == [[1, 0.75, 0], [0.75, 1, 0.25], [0, 0.25, 1]]
    counts = np.array([[2.0, 0, 1], [0, 0, 3]])
    assert value(Percent(), counts) == pytest.approx((1 / 3 + 1) / 2)
    assert value(Percent(weights), counts) == pytest.approx((1 / 3 + 1) / 2), "labels at both ends are not near at all"


def offensiveness(shared: Path) -> list[tuple[str, str, float]]:
    with (shared / "data/crowd_offensiveness/ratings.csv").open(encoding="utf-8", newline="") as file:
        return [(r["instance_id"], r["user_id"], float(r["offensiveness"])) for r in csv.DictReader(file)]


@pytest.mark.parametrize("level", LEVELS)
def test_real_ratings_to_six_decimals(shared: Path, level: Level) -> None:
    ratings = offensiveness(shared)
    assert len(ratings) == 6501
    votes = votes_of(ratings, level)
    assert round(value(krippendorff.alpha(level, votes.values), votes.counts()), 6) == round(alpha(ratings, level), 6)
    assert round(value(Gwet(), votes.counts()), 6) == round(gwet(ratings), 6)


def test_real_ratings_in_a_hundredth_of_a_second(shared: Path) -> None:
    votes = votes_of(offensiveness(shared), "ordinal")
    best = min(timed(lambda: value(Ordinal(), votes.counts())) for _ in range(5))
    assert best < 0.01, best


def timed(what: Any) -> float:
    began = time.perf_counter()
    what()
    return time.perf_counter() - began


def test_real_annotators_are_listed_with_their_reasons(shared: Path) -> None:
    found = agree(votes_of(offensiveness(shared), "ordinal"), draws=200)
    assert found.items == 750 and len(found.annotators) == 262
    assert found.figures["alpha"].value == pytest.approx(0.296581, abs=1e-6)
    assert 10 < len(found.suspected) < 60 and all(
        a.kappa.low is None or a.kappa.low <= a.kappa.high for a in found.suspected
    )  # type: ignore[operator]
    with_them = found.figures["alpha"].value or 0.0
    gone = {a.name for a in found.suspected}
    left = [r for r in offensiveness(shared) if r[1] not in gone]
    assert alpha(left, "ordinal") > with_them + 0.02
