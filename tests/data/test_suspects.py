"""The probe, the confident joint, the neighbours' votes, stacking and the ranking of suspects."""

from __future__ import annotations

import random
import time
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import average_precision_score

from tunewright.core.errors import DataError
from tunewright.core.records import Source, content_id
from tunewright.data.journal import Draft
from tunewright.data.probe import Judged, cross_validated, folds_of, judged, text_features
from tunewright.data.suspects import confident_joint, estimated_errors, find, ranked
from tunewright.data.suspects.finding import aligned
from tunewright.data.suspects.neighbours import votes, words
from tunewright.data.suspects.ranking import SCORES
from tunewright.data.suspects.stacking import stacked

GOOD = ["good", "great", "lovely", "fine", "warm", "tasty"]
BAD = ["bad", "awful", "cold", "stale", "rude", "slow"]
GOOD_ZH = ["好吃", "满意", "很快", "新鲜", "热情"]
BAD_ZH = ["难吃", "失望", "太慢", "冰冷", "恶劣"]


def draft(text: str, label: str | None, line: int = 0, pair: str | None = None) -> Draft:
    return Draft(text, label, pair, Source("a.csv", line), None, id=content_id(text, pair))


def reviews(n: int = 200, wrong: int = 10, zh: bool = False) -> tuple[list[Draft], set[str]]:
    """`n` easy reviews, the first `wrong` of which bear the other label."""
    rng = random.Random(4)
    out, flipped = [], set()
    for i in range(n):
        good = i % 2 == 0
        pool = (GOOD_ZH if good else BAD_ZH) if zh else (GOOD if good else BAD)
        picked = rng.sample(pool, 3)
        text = ("，".join(picked) + f"，第{i}单") if zh else " ".join([*picked, f"order number{i}"])
        one = draft(text, "pos" if good != (i < wrong) else "neg", i)
        if i < wrong:
            flipped.add(one.id)
        out.append(one)
    return out, flipped


def random_judged(n: int = 300, classes: int = 4, seed: int = 0, most: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    return rng.integers(0, classes, n), rng.dirichlet(np.linspace(1, most, classes), n)


def slow_joint(given: np.ndarray, p: np.ndarray) -> np.ndarray:
    """Row by row, as the paper has it."""
    classes = p.shape[1]
    t = [p[given == k, k].mean() if (given == k).any() else np.inf for k in range(classes)]
    joint = np.zeros((classes, classes), int)
    for row, label in zip(p, given, strict=True):
        sure = [k for k in range(classes) if row[k] >= t[k]]
        if sure:
            joint[label, max(sure, key=lambda k: row[k])] += 1
    return joint


@pytest.mark.parametrize("seed", range(4))
def test_the_joint_is_the_papers(seed: int) -> None:
    given, p = random_judged(seed=seed, most=6)  # thresholds that lie far apart
    assert (confident_joint(given, p) == slow_joint(given, p)).all()


def test_the_joint_beside_cleanlab() -> None:
    """Theirs takes the likeliest of all classes where several are confident; here that is one of these."""
    count = pytest.importorskip("cleanlab.count")
    given, p = random_judged(seed=9)
    assert (confident_joint(given, p) == count.compute_confident_joint(given, p, calibrate=False)).all()
    scaled = count.compute_confident_joint(given, p, calibrate=True)
    assert abs(estimated_errors(given, p) - (scaled.sum() - np.trace(scaled))) < 4  # theirs are rounded to whole rows


def test_a_million_rows_take_a_moment() -> None:
    given, p = random_judged(1_000_000, 10)
    began = time.perf_counter()
    confident_joint(given, p)
    assert time.perf_counter() - began < 3  # 0.08 s on an idle core


def test_scores_that_cleanlab_has_too() -> None:
    rank = pytest.importorskip("cleanlab.rank")
    given, p = random_judged()
    loss = np.exp(-SCORES["loss"](given, p))
    assert np.allclose(loss, rank.get_label_quality_scores(given, p, method="self_confidence"))
    margin = (1 - SCORES["margin"](given, p)) / 2
    assert np.allclose(margin, rank.get_label_quality_scores(given, p, method="normalized_margin"))


def test_folds_go_by_content_and_never_part_copies() -> None:
    rows, _ = reviews()
    rows += [draft(r.text.upper() + "  ", "pos") for r in rows[:50]]
    for i in range(100, 120):
        rows[i].cluster = "c"
    folds = folds_of(rows, 0)
    assert (folds[:50] == folds[200:]).all()
    assert len(set(folds[100:120])) == 1
    assert set(folds) == {0, 1, 2, 3, 4}
    order = np.random.default_rng(0).permutation(len(rows))
    assert (folds_of([rows[i] for i in order], 0) == folds[order]).all()
    assert (folds_of(rows, 1) != folds).any()


def test_probabilities_are_out_of_sample() -> None:
    """Labels that no text tells are foretold no better than by chance; learnt and asked on the same rows they would be."""
    rng = random.Random(0)
    rows = [
        draft(f"word{rng.randrange(10**6)} other{rng.randrange(10**6)} text{i}", rng.choice("ab"), i)
        for i in range(400)
    ]
    copies = [draft(r.text, r.label) for r in rows]
    both = [*rows, *copies]
    seen = judged(both, text_features([r.text for r in both], 2), 0)
    assert abs((seen.probabilities.argmax(axis=1) == seen.given).mean() - 0.5) < 0.1


def test_a_fold_without_a_class_still_answers() -> None:
    given = np.array([0, 0, 0, 0, 1, 1])
    p = cross_validated(np.eye(6), given, 2, np.array([0, 0, 1, 1, 0, 0]))
    assert np.isfinite(p).all()
    assert np.allclose(p.sum(axis=1), 1)


@pytest.mark.parametrize("zh", [False, True])
@pytest.mark.parametrize("method", ["stacked", "loss", "margin", "ratio", "confident"])
def test_flipped_rows_come_first(method: str, zh: bool) -> None:
    rows, flipped = reviews(zh=zh)
    found = find(rows, method=method, rounds=1)  # type: ignore[arg-type]
    first = found.first(10)
    assert {s.id for s in first} == flipped
    assert all(s.given != s.suggested and s.given in s.why and s.suggested in s.why for s in first)
    assert [s.rank for s in first] == list(range(1, 11))
    assert 5 <= found.errors <= 20


@pytest.mark.parametrize("rounds", [1, 2])
def test_the_order_of_the_file_changes_nothing(rounds: int) -> None:
    rows, _ = reviews()
    expected = [s.id for s in find(rows, rounds=rounds).first(30)]
    random.Random(1).shuffle(rows)
    assert [s.id for s in find(rows, rounds=rounds).first(30)] == expected


def test_small_classes_are_not_judged() -> None:
    rows, _ = reviews(100, 0)
    rows += [draft(f"neither {i}", "rare", i) for i in range(4)]
    found = find(rows, rounds=1)
    assert [r.label for r, known in zip(found.drafts, found.ranked.judged, strict=True) if not known] == ["rare"] * 4
    assert all(s.given != "rare" for s in found.first(104))
    assert len(found.first(104)) == 100


def test_votes_are_of_other_folds_and_weigh_the_squared_cosine() -> None:
    texts = ["a b", "a b", "a c", "d e"]
    given, folds = np.array([0, 1, 1, 0]), np.array([0, 1, 1, 1])
    features = words(texts).toarray()
    cosine = features @ features.T
    p = votes(words(texts), given, 2, folds)
    weights = cosine[0, 1:] ** 2
    expected = (weights[0] + weights[1] + 0.25) / (weights.sum() + 0.5)
    assert p[0, 1] == pytest.approx(expected, abs=1e-6)
    assert np.allclose(votes(features, given, 2, folds), p, atol=1e-6)
    assert p[1, 0] == pytest.approx((cosine[1, 0] ** 2 + 0.25) / (cosine[1, 0] ** 2 + 0.5), abs=1e-6)


def test_stacking_undoes_a_wrong_temperature_and_ignores_noise() -> None:
    rng = np.random.default_rng(3)
    truth = rng.dirichlet(np.full(3, 0.4), 4000)
    given = np.array([rng.choice(3, p=row) for row in truth])
    cold = truth**3 / (truth**3).sum(axis=1, keepdims=True)
    noise = rng.dirichlet(np.ones(3), 4000)
    log_p, weights = stacked([cold, noise], given)
    assert weights[0] == pytest.approx(1 / 3, rel=0.15)
    assert weights[1] == pytest.approx(0.05, abs=0.05)
    assert np.allclose(np.exp(log_p).sum(axis=1), 1)


def test_probabilities_from_elsewhere() -> None:
    rows, flipped = reviews(100, 5)
    p = np.array([[0.9, 0.1] if (r.label == "pos") == (r.id in flipped) else [0.1, 0.9] for r in rows])
    found = find(rows, given_probabilities=(("neg", "pos"), p), method="loss")
    assert {s.id for s in found.first(5)} == flipped
    swapped = find(rows, given_probabilities=(("pos", "neg"), p[:, ::-1]), method="loss")
    assert [s.id for s in swapped.first(9)] == [s.id for s in found.first(9)]
    with pytest.raises(DataError) as caught:
        aligned(["a", "b", "c"], ["a"], np.array([[-1.0]]))
    assert len(caught.value.problems) == 3


@pytest.mark.parametrize("labels", [["a", "a"], ["a", None]])
def test_what_cannot_be_judged_is_refused(labels: list[str | None]) -> None:
    with pytest.raises(DataError):
        find([draft(f"text {i}", label, i) for i, label in enumerate(labels)])
    with pytest.raises(DataError, match="encoder"):
        find(reviews(20)[0], probe="encoder")


def test_texts_without_letters_are_refused() -> None:
    with pytest.raises(DataError, match="letter"):
        find([draft("!" * (i + 1), "ab"[i % 2], i) for i in range(10)])


def test_an_encoder_is_a_probe_too() -> None:
    rows, flipped = reviews()

    def encode(texts: list[str]) -> np.ndarray:
        x = np.array([[sum(w in t for w in GOOD), sum(w in t for w in BAD)] for t in texts], np.float32)
        return x / np.linalg.norm(x, axis=1, keepdims=True)

    for probe in ("encoder", "both"):
        found = find(rows, probe=probe, encode=encode, rounds=1)  # type: ignore[arg-type]
        assert {s.id for s in found.first(10)} == flipped


def test_real_phrases_with_flipped_labels(shared: Path) -> None:
    """With the same out-of-sample probabilities our order has a higher average precision than cleanlab's default."""
    rank = pytest.importorskip("cleanlab.rank")
    lines = (shared / "data/sst2/dev.tsv").read_text(encoding="utf-8").split("\n")[1:4001]
    pairs = [line.rsplit("\t", 1) for line in lines if line]
    gains = []
    for seed in range(2):
        rng = np.random.default_rng(seed)
        wrong = np.zeros(len(pairs), bool)
        wrong[rng.choice(len(pairs), len(pairs) // 20, replace=False)] = True
        rows = [
            draft(text.strip(), str(int(label) ^ int(bad)), i)
            for i, ((text, label), bad) in enumerate(zip(pairs, wrong, strict=True))
        ]
        found = find(rows, seed, rounds=1)
        wrong = np.isin(
            [r.id + (r.label or "") for r in found.drafts],
            [r.id + (r.label or "") for r, bad in zip(rows, wrong, strict=True) if bad],
        )
        quality = rank.get_label_quality_scores(found.seen.given, found.seen.probabilities)
        gains.append(average_precision_score(wrong, found.ranked.score) - average_precision_score(wrong, -quality))
    assert min(gains) > 0.01


def test_ranking_is_a_function_of_probabilities_alone_where_no_texts_are_given() -> None:
    given, p = random_judged()
    seen = Judged(("a", "b", "c", "d"), given, p, np.zeros(len(given), np.int64))
    assert (ranked(seen).order == ranked(seen, method="loss").order).mean() < 1
    assert ranked(seen).near is None
