"""Published figures, and simulations where nothing is published."""

from __future__ import annotations

import numpy as np
import pytest

from tunewright.core.records import Predictions
from tunewright.evaluation.intervals import (
    bca,
    bootstrap,
    clopper_pearson,
    logit_normal,
    percentile,
    wilson,
)
from tunewright.evaluation.multiple import benjamini_hochberg, holm, holm_levels
from tunewright.evaluation.paired import (
    bootstrap_test,
    corrected_resampled_t,
    delong,
    difference_interval,
    mcnemar,
    permutation,
    wilcoxon,
)
from tunewright.evaluation.power import smallest_detectable, smallest_detectable_normal
from tunewright.evaluation.resampling import kinds, mean_draws
from tunewright.metrics import ECE, F1Macro, PrAuc, RocAuc, tally

LSAT = np.array([576, 635, 558, 578, 666, 580, 555, 661, 651, 605, 653, 575, 545, 572, 594], float)
GPA = np.array([3.39, 3.30, 2.81, 3.03, 3.44, 3.07, 3.00, 3.43, 3.36, 3.13, 3.12, 2.74, 2.76, 2.88, 2.96])
DARWIN = np.array([49, -67, 8, 16, 6, 23, 28, 41, 14, 29, 56, 24, 75, 60, -48], float)


@pytest.mark.parametrize(
    ("only_a", "only_b", "method", "statistic", "p"),
    [
        (25, 15, "corrected", 2.025, 0.154729),
        (25, 15, "chi2", 2.5, 0.113846),
        (25, 15, "exact", None, 0.15386),
        (25, 15, "mid-p", None, 0.117275),
        (11, 1, "corrected", 6.75, 0.00937),
        (11, 1, "exact", None, 0.00634766),
        (11, 1, "mid-p", None, 0.00341797),
        (121, 59, "corrected", 20.672222, 5.45009e-06),
        (121, 59, "exact", None, 4.43445e-06),
        (121, 59, "mid-p", None, 3.26665e-06),
        (7, 7, "mid-p", None, 1.0),
        (0, 0, "exact", 0.0, 1.0),
    ],
)
def test_mcnemar(only_a: int, only_b: int, method: str, statistic: float | None, p: float) -> None:
    for first, second in ((only_a, only_b), (only_b, only_a)):
        found = mcnemar(first, second, method)  # type: ignore[arg-type]
        assert found.p == pytest.approx(p, rel=1e-3 if p == 0.00937 else 5e-6)
        if statistic is not None:
            assert found.statistic == pytest.approx(statistic, rel=1e-6)


def test_mcnemar_is_exact_below_25_discordant_items() -> None:
    assert mcnemar(20, 4).name == "McNemar exact"
    assert mcnemar(20, 4).p == mcnemar(20, 4, "exact").p
    assert mcnemar(20, 5).name == "McNemar mid-p"
    assert mcnemar(20, 5).p == mcnemar(20, 5, "mid-p").p < mcnemar(20, 5, "exact").p


@pytest.mark.parametrize(
    ("hits", "items", "low", "high"),
    [(81, 263, 0.255289, 0.366210), (15, 148, 0.062386, 0.160487), (0, 10, 0, 0.277533), (10, 10, 0.722467, 1)],
)
def test_wilson(hits: int, items: int, low: float, high: float) -> None:
    found = wilson(hits, items)
    assert (found.low, found.high) == pytest.approx((low, high), abs=5e-7)


def test_clopper_pearson() -> None:
    found = clopper_pearson(0, 10)
    assert (found.low, found.high) == pytest.approx((0, 0.308497), abs=5e-7)
    mirrored = clopper_pearson(10, 10)
    assert (mirrored.low, mirrored.high) == pytest.approx((0.691503, 1), abs=5e-7)
    middle = clopper_pearson(81, 263)  # R: binom.test(81, 263)
    assert (middle.low, middle.high) == pytest.approx((0.2527, 0.3676), abs=5e-4)


def correlation(rows: np.ndarray) -> float:
    return float(np.corrcoef(rows[:, 0], rows[:, 1])[0, 1])


def test_bootstrap_of_the_law_schools() -> None:
    data = np.stack([LSAT, GPA], axis=1)
    assert correlation(data) == pytest.approx(0.776374, abs=5e-7)
    plain = bootstrap(correlation, data, confidence=0.9, method="percentile", resamples=4000)
    assert (plain.low, plain.high) == pytest.approx((0.528, 0.947), abs=0.012)
    better = bootstrap(correlation, data, confidence=0.9, resamples=4000)
    assert (better.low, better.high) == pytest.approx((0.424, 0.926), abs=0.025)
    assert better == bootstrap(correlation, data, confidence=0.9, resamples=4000)
    assert better != bootstrap(correlation, data, confidence=0.9, resamples=4000, seed=1)


def test_bca_agrees_with_scipy() -> None:
    from scipy.stats import bootstrap as reference

    data = np.random.default_rng(0).exponential(size=40)
    theirs = reference((data,), np.mean, n_resamples=20_000, rng=np.random.default_rng(1)).confidence_interval
    ours = bootstrap(lambda x: float(np.mean(x)), data, resamples=20_000)
    assert (ours.low, ours.high) == pytest.approx((theirs.low, theirs.high), abs=0.012)


def test_bca_falls_back_where_it_has_no_answer() -> None:
    samples = np.array([0.2, 0.3, np.nan])
    assert bca(samples, 0.9, np.array([0.1, 0.2])).method == "percentile bootstrap"
    assert percentile(np.array([np.nan])).low is None


def test_wilcoxon_on_darwins_maize() -> None:
    found = wilcoxon(DARWIN)
    assert found.statistic == 24
    assert found.p == pytest.approx(0.0412598, abs=5e-8)
    assert wilcoxon(np.zeros(5)).p == 1.0


def test_permutation() -> None:
    a, b = np.array([1, 2, 3, 4, 5.0]), np.array([0, 0, 1, 2, 6.0])
    exact = permutation(a, b)
    assert exact.statistic == pytest.approx(1.2)
    assert exact.p == 0.1875
    assert exact.name == "exact paired permutation"
    drawn = permutation(a, b, exact_up_to=0, resamples=20_000)
    assert drawn.p == pytest.approx(0.1875, abs=0.01)
    assert drawn.name == "paired permutation"
    assert permutation(a, a).p == 1.0


def test_holm_and_benjamini_hochberg() -> None:
    ps = [0.01, 0.04, 0.03, 0.005]
    assert holm(ps) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert benjamini_hochberg(ps) == pytest.approx([0.02, 0.04, 0.04, 0.02])
    assert holm([]) == [] and holm([0.9, 0.8]) == [1.0, 1.0]


@pytest.mark.parametrize(
    ("ps", "shares"),
    [
        ([0.03], [1]),
        ([0.03, 0.035], [2, 2]),
        ([0.04, 0.001, 0.02], [1, 3, 2]),
        ([0.04, 0.03, 0.001], [2, 2, 3]),
        ([0.5, 0.2, 0.04], [3, 3, 3]),
        ([], []),
    ],
)
def test_the_level_of_each_interval_is_that_of_holms_step(ps: list[float], shares: list[int]) -> None:
    levels = holm_levels(ps, 0.05)
    assert levels == pytest.approx([0.05 / share for share in shares])
    assert [p <= level for p, level in zip(ps, levels, strict=True)] == [p <= 0.05 for p in holm(ps)]


def test_corrected_resampled_t_of_scikit_learns_example() -> None:
    from sklearn.datasets import make_moons
    from sklearn.model_selection import RepeatedStratifiedKFold, cross_val_score
    from sklearn.svm import SVC

    x, y = make_moons(noise=0.352, random_state=1, n_samples=100)
    cut = RepeatedStratifiedKFold(n_splits=10, n_repeats=10, random_state=0)
    rbf, linear = (
        cross_val_score(SVC(kernel=kernel, random_state=0), x, y, cv=cut, scoring="roc_auc")
        for kernel in ("rbf", "linear")
    )
    found = corrected_resampled_t(rbf - linear, train_items=90, test_items=10, alternative="greater")
    assert found.statistic == pytest.approx(0.750, abs=5e-4)
    assert found.p == pytest.approx(0.227, abs=6e-4)
    d = rbf - linear
    assert d.mean() / (d.std(ddof=1) / 10) == pytest.approx(2.611, abs=5e-4)
    both = corrected_resampled_t(d, train_items=90, test_items=10)
    assert both.p == pytest.approx(2 * found.p)


def binary(gold: list[int], scores: list[float]) -> Predictions:
    s = np.array(scores)
    both = np.stack([1 - s, s], axis=1)
    ids = tuple(map(str, range(len(gold))))
    return Predictions("t", "test", ("no", "yes"), ids, np.array(gold), both.argmax(axis=1), both)


def test_auc_vector() -> None:
    assert RocAuc().value(binary([0, 0, 1, 1], [0.1, 0.4, 0.35, 0.8])) == 0.75


def test_ece_vector() -> None:
    given = np.array([0.95, 0.85, 0.75, 0.65, 0.55])
    scores = np.stack([given, 1 - given], axis=1)
    gold = 1 - np.array([1, 1, 0, 1, 0])
    p = Predictions("t", "test", ("a", "b"), tuple("12345"), gold, np.zeros(5, np.int64), scores)
    assert ECE().value(p) == pytest.approx(0.37)


def slow_delong(gold: np.ndarray, scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Structural components by comparing every pair; scores (contenders, N). Areas and their covariance."""
    positive, negative = scores[:, gold == 1], scores[:, gold == 0]
    wins = (positive[:, :, None] > negative[:, None, :]) + 0.5 * (positive[:, :, None] == negative[:, None, :])
    v10, v01 = wins.mean(axis=2), wins.mean(axis=1)
    return wins.mean(axis=(1, 2)), np.cov(v10) / v10.shape[1] + np.cov(v01) / v01.shape[1]


def test_delong_equals_the_slow_reference() -> None:
    rng = np.random.default_rng(2)
    gold = rng.integers(0, 2, 70)
    scores = np.round(np.clip(rng.normal(0.4 + 0.2 * gold, 0.2, (2, 70)), 0, 1), 2)
    areas, covariance = slow_delong(gold, scores)
    (a, of_a), (b, of_b) = (RocAuc().influence(binary(gold.tolist(), s.tolist())) for s in scores)
    assert (a, b) == pytest.approx(tuple(areas))
    assert (of_a**2).sum() == pytest.approx(covariance[0, 0])
    assert (of_a * of_b).sum() == pytest.approx(covariance[0, 1])
    error = np.sqrt(covariance[0, 0] + covariance[1, 1] - 2 * covariance[0, 1])
    assert delong(of_a, of_b, a - b).statistic == pytest.approx((a - b) / error)
    assert delong(of_a, of_a, 0.0).p == 1.0


@pytest.mark.parametrize("metric", [RocAuc(), PrAuc()])
def test_influences_give_the_bootstraps_error(metric: RocAuc | PrAuc) -> None:
    rng = np.random.default_rng(3)
    gold = rng.integers(0, 2, 300)
    p = binary(gold.tolist(), (1 / (1 + np.exp(-rng.normal(gold * 1.0, 1.0)))).tolist())
    samples = []
    for _ in range(300):
        rows = rng.integers(0, 300, 300)
        samples.append(metric.of_class(p.scores[rows, 1], p.gold[rows] == 1)[0])
    _, influence = metric.influence(p)
    assert np.sqrt((influence**2).sum()) == pytest.approx(np.std(samples), rel=0.12)


def test_cells_resample_as_items_do() -> None:
    rng = np.random.default_rng(4)
    gold = rng.integers(0, 3, 120)
    output = np.where(rng.random(120) < 0.6, gold, rng.integers(0, 3, 120))
    p = Predictions("t", "test", ("a", "b", "c"), tuple(map(str, range(120))), gold, output, np.full((120, 3), 1 / 3))
    found = kinds(p)
    fast = F1Macro().of_tally(found.tally(found.draws(4000, 0), 0))
    slow = []
    for _ in range(1000):
        rows = rng.integers(0, 120, 120)
        again = Predictions("t", "test", p.labels, p.ids, gold[rows], output[rows], p.scores)
        slow.append(float(F1Macro().of_tally(tally(again))))
    assert fast.mean() == pytest.approx(np.mean(slow), abs=0.005)
    assert fast.std() == pytest.approx(np.std(slow), rel=0.1)


def test_kinds_hold_every_contenders_own_tally() -> None:
    rng = np.random.default_rng(9)
    gold = rng.integers(0, 3, 90)
    both = [
        Predictions(
            name, "s", ("a", "b", "c"), tuple(map(str, range(90))), gold, rng.integers(0, 3, 90), np.ones((90, 3))
        )
        for name in "xy"
    ]
    found = kinds(*both)
    assert found.counts.sum() == 90 and set(found.draws(20, 0).sum(axis=1)) == {90.0}
    for place, p in enumerate(both):
        ours, true = found.tally(found.counts.astype(float), place), tally(p)
        for name in ("right", "gold", "output"):
            assert np.array_equal(getattr(ours, name), getattr(true, name))
    assert not np.array_equal(found.draws(20, 0), found.draws(20, 1))


def test_mean_draws_are_the_same_items_for_every_column() -> None:
    x = np.random.default_rng(5).normal(size=(500, 1))
    drawn = mean_draws(np.concatenate([x, 2 * x], axis=1), 3000, 0)
    assert drawn[:, 1] == pytest.approx(2 * drawn[:, 0])
    assert drawn[:, 0].std() == pytest.approx(x.std() / np.sqrt(500), rel=0.06)
    assert not np.array_equal(mean_draws(x, 10, 0), mean_draws(x, 10, 1))
    assert mean_draws(x, 3000, 0)[:, 0] == pytest.approx(drawn[:, 0])


def test_difference_interval_turns_with_the_contenders_and_agrees_with_mcnemar() -> None:
    # Tango 1998, table of Fagerland et al. 2013: 1 and 7 discordant of 21 items.
    found = difference_interval(1, 7, 21)
    assert (found.low, found.high) == pytest.approx((-0.517, -0.026), abs=1.5e-3)
    turned = difference_interval(7, 1, 21)
    assert (turned.low, turned.high) == pytest.approx((0.026, 0.517), abs=1.5e-3)
    for a, b in ((30, 14), (30, 16), (30, 18), (30, 20)):
        clear = mcnemar(a, b, "chi2").p < 0.05
        low = difference_interval(a, b, 500).low
        assert low is not None and clear == (low > 0)
    same = difference_interval(0, 0, 100)
    assert same.low is not None and same.high is not None
    assert same.low < 0 < same.high and same.high < 0.06
    whole = difference_interval(10, 0, 10)
    # 10 (1 - d) / (1 + d) = z^2 solved for d.
    assert (whole.low, whole.high) == pytest.approx((0.444934, 1.0), abs=1e-6)


def test_intervals_cover() -> None:
    rng = np.random.default_rng(6)
    inside = {"wilson": 0, "tango": 0, "logit": 0, "mean": 0}
    rounds, level = 400, 0.9
    for seed in range(rounds):
        k = rng.binomial(60, 0.85)
        w = wilson(int(k), 60, level)
        inside["wilson"] += w.low <= 0.85 <= w.high  # type: ignore[operator]
        a, b, _ = rng.multinomial(200, [0.15, 0.07, 0.78])
        t = difference_interval(int(a), int(b), 200, level)
        inside["tango"] += t.low <= 0.08 <= t.high  # type: ignore[operator]
        gold = (np.arange(80) < 30).astype(int)
        x = rng.normal(gold * 1.0, 1.0)
        area, influence = RocAuc().of_class(x, gold == 1)
        i = logit_normal(area, float(np.sqrt((influence**2).sum())), level)
        inside["logit"] += i.low <= 0.76025 <= i.high  # type: ignore[operator]  # normal cdf of 1 / sqrt(2)
        e = rng.exponential(size=(60, 1))
        left = (e.sum() - e[:, 0]) / 59
        m = bca(mean_draws(e, 300, seed)[:, 0], float(e.mean()), left, level)
        inside["mean"] += m.low <= 1.0 <= m.high  # type: ignore[operator]
    for name, hits in inside.items():
        assert 0.85 < hits / rounds < 0.945, (name, hits / rounds)


def test_smallest_detectable_difference_has_the_power_it_names() -> None:
    rng = np.random.default_rng(7)
    d = smallest_detectable(800, 0.2 * 800)
    assert 0.03 < d < 0.06
    found = 0
    for _ in range(600):
        a, b, _ = rng.multinomial(800, [(0.2 + d) / 2, (0.2 - d) / 2, 0.8])
        found += mcnemar(int(a), int(b)).p <= 0.05
    assert 0.75 < found / 600 < 0.85
    small = smallest_detectable(50, 20)
    assert np.sqrt(50) * small == pytest.approx(1.959964 * np.sqrt(0.4) + 0.841621 * np.sqrt(0.4 - small**2), abs=1e-5)
    assert smallest_detectable(3200, 640) == pytest.approx(d / 2, rel=0.02)
    assert 0 < smallest_detectable(800, 0) < 0.02
    assert smallest_detectable(800, 160, alpha=0.05 / 3) > d
    assert smallest_detectable_normal(0.01) == pytest.approx(0.028016, abs=1e-5)


def test_bootstrap_test() -> None:
    assert bootstrap_test(np.full(999, 0.1)).p == pytest.approx(0.002)
    assert bootstrap_test(np.zeros(999)).p == 1.0
    rng = np.random.default_rng(8)
    assert bootstrap_test(rng.normal(1.96, 1, 20_000)).p == pytest.approx(0.05, abs=0.01)
