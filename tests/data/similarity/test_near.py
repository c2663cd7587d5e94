"""Near copies: equal to a plain reference, whatever the script, length and order; no bucket costs a square."""

from __future__ import annotations

import csv
import random
import time
from pathlib import Path

import near_reference as reference
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tunewright.data.similarity import alarm, near_clusters
from tunewright.data.similarity.candidates import buckets, rounds
from tunewright.data.similarity.clusters import BATCH_CHARACTERS, batches
from tunewright.data.similarity.shingles import jaccard, shingled
from tunewright.data.similarity.signatures import band_keys, banding, signatures
from tunewright.data.similarity.unions import Unions

WORDS = [
    "the",
    "cat",
    "sat",
    "on",
    "a",
    "mat",
    "Käse",
    "don't",
    "12",
    "今天",
    "天气",
    "很好",
    "ラーメン",
    "좋아요",
    "😀",
    "𠮷",
    "!",
]
TEXTS = st.lists(st.sampled_from(WORDS), max_size=40).map(" ".join) | st.text(max_size=30)


def members(texts: list[str], threshold: float = 0.8) -> list[set[str]]:
    clusters = near_clusters(texts, threshold).tolist()
    groups: dict[int, set[str]] = {}
    for text, first in zip(texts, clusters, strict=True):
        groups.setdefault(first, set()).add(text)
    return sorted(groups.values(), key=sorted)


@given(st.lists(TEXTS, min_size=1, max_size=6), st.sampled_from([0.5, 0.8, 1.0]))
@settings(max_examples=60, deadline=None)
def test_shingle_sets_are_those_of_the_reference(texts: list[str], threshold: float) -> None:
    sets = shingled(texts, threshold)
    for e, owner in enumerate(sets.owner.tolist()):
        assert sets.sizes[e] == len(reference.sets(texts[owner], threshold)[bool(sets.long[e])])
    kinds = [(owner, bool(long)) for owner, long in zip(sets.owner.tolist(), sets.long, strict=True)]
    assert kinds == [
        (i, kind) for i, text in enumerate(texts) for kind in sorted(reference.sets(text, threshold), reverse=True)
    ]
    left, right = (np.array(side) for side in zip(*np.ndindex(len(kinds), len(kinds)), strict=True))
    for i, j, found in zip(left, right, jaccard(sets, left, right), strict=True):
        one, other = (reference.sets(texts[kinds[e][0]], threshold)[kinds[e][1]] for e in (i, j))
        assert kinds[i][1] != kinds[j][1] or found == pytest.approx(len(one & other) / len(one | other))


@given(st.lists(TEXTS, max_size=12), st.randoms(use_true_random=False))
@settings(max_examples=60, deadline=None)
def test_clusters_do_not_depend_on_the_order_of_rows(texts: list[str], chance: random.Random) -> None:
    shuffled = texts[:]
    chance.shuffle(shuffled)
    assert members(texts) == members(shuffled)


@given(st.lists(TEXTS, max_size=12))
@settings(max_examples=60, deadline=None)
def test_what_is_united_is_near_by_the_reference(texts: list[str]) -> None:
    found = near_clusters(texts, 0.8).tolist()
    told = reference.clusters(texts, 0.8)
    for i, first in enumerate(found):
        assert first <= i and told[i] == told[first]


@pytest.mark.parametrize(
    ("one", "other", "near"),
    [
        ("ok", "OK!", True),
        ("ok", "okay", False),
        ("好", "好。", True),
        ("好吃", "好吃吗", False),
        ("...", "...", True),
        ("...", "!!!", False),
        ("", "", True),
        ("😀", "😡", False),
        ("ＡＢＣ　１２３ 全角文字", "abc 123 全角文字", True),
        ("Cafe\u0301 au lait, please", "café au lait please", True),
        (
            "送餐速度快，味道也不错，就是有点小贵，下次还会再点的",
            "送餐速度快，味道也不错，就是有点小贵，下次还会来点的",
            True,
        ),
        ("送餐速度快，味道也不错", "送餐速度慢，味道也不行", False),
        ("送餐速度快", "the courier was fast", False),
        (
            "I will definitely order from this place again, thanks",
            "i will definitly order from this place again thanks",
            True,
        ),
        ("happy mothers day", "happy birthday to you", False),
    ],
)
def test_pairs_that_people_would_call_copies(one: str, other: str, near: bool) -> None:
    assert (near_clusters([one, "something else entirely", other], 0.8).tolist() == [0, 1, 0]) is near


def test_the_threshold_itself_is_near_and_what_is_just_below_is_not() -> None:
    words = [f"w{i}" for i in range(21)]
    changed = [*words[:20], "other"]  # 19 of 20 pairs remain: 19 / 21
    one, other = " ".join(words), " ".join(changed)
    assert near_clusters([one, other], 19 / 21).tolist() == [0, 0]
    assert near_clusters([one, other], 19 / 21 + 1e-6).tolist() == [0, 1]


def test_pairs_across_the_limit_of_short_texts_are_found() -> None:
    words = [f"word{i}" for i in range(19)]
    texts = [" ".join([*words, *more]) for more in ([], ["a"], ["a", "b"], ["a", "b", "c"])]
    assert near_clusters(texts, 0.8).tolist() == [0, 0, 0, 0]


@pytest.mark.parametrize("threshold", [0.0, -1.0, 1.5])
def test_thresholds_that_mean_nothing_are_refused(threshold: float) -> None:
    with pytest.raises(ValueError, match="threshold"):
        near_clusters(["a"], threshold)


def test_no_texts_and_lone_surrogates() -> None:
    assert near_clusters([], 0.8).tolist() == []
    assert near_clusters(["\ud800 a", "\ud800 a", "b"], 0.8).tolist() == [0, 0, 2]


@pytest.mark.parametrize("threshold", [0.5, 0.7, 0.8, 0.9, 1.0])
def test_bands_find_pairs_at_the_threshold_itself(threshold: float) -> None:
    shape = banding(threshold)
    assert shape.recall(threshold) >= 0.995
    assert shape.bands * shape.rows <= 128


def test_equal_shares_of_equal_least_hashes_estimate_jaccard() -> None:
    words = [f"w{i}" for i in range(200)]
    texts = [" ".join(words[i : i + 60]) for i in range(0, 61, 10)] + [" ".join(words)]
    sets = shingled(texts, 0.8)
    least = signatures(sets, 2000)
    for e in range(len(texts)):
        true = jaccard(sets, np.array([0]), np.array([e]))[0]
        assert (least[0] == least[e]).mean() == pytest.approx(true, abs=0.05)


def test_long_texts_have_the_signatures_that_short_ones_would_have() -> None:
    words = " ".join(f"w{i}" for i in range(3000))
    both = shingled([words, words + " end", "short one here"], 0.8)
    least = signatures(both, 70)
    assert (least[0] == least[1]).mean() > 0.95
    values = (both.values[both.starts[0] : both.starts[1]] >> np.uint64(12)).astype(np.uint32)
    assert least[0].max() <= values.max() or least[0].min() >= 0
    alone = signatures(shingled([words], 0.8), 70)
    assert (alone[0] == least[0]).all()


def test_batches_hold_every_text_once() -> None:
    texts = ["x" * (i % 7 * 10_000) for i in range(100)]
    assert [text for batch in batches(texts) for text in batch] == texts
    assert max(sum(map(len, batch)) for batch in batches(texts)) < BATCH_CHARACTERS + 60_000


def test_clusters_reach_over_batches() -> None:
    filler = [f"filler number {i} " + " ".join(f"{i}x{j}" for j in range(30)) for i in range(1500)]
    copy = "one and the same sentence, written at both ends of a long file, of more than twenty words in all so that pairs count"
    clusters = near_clusters([copy, *filler, copy + " here"], 0.8)
    assert clusters[-1] == 0 and len(set(clusters.tolist())) == 1501


def test_a_template_sent_ten_thousand_times_costs_no_square() -> None:
    texts = [f"your parcel number {i:05d} waits for you at the post office in the main street" for i in range(10_000)]
    start = time.process_time()
    clusters = near_clusters(texts, 0.7)
    assert time.process_time() - start < 6
    (swallowed,) = alarm(clusters)
    assert swallowed.rows > 9900 and swallowed.share > 0.99


def test_a_bucket_of_strangers_costs_32_comparisons_each_at_most() -> None:
    items, bounds = buckets(np.zeros(5000, np.uint32))
    unions = Unions(5000)
    asked = sum(len(left) for left, _ in rounds(items, bounds, lambda: unions.roots))
    assert asked <= 33 * 5000


def test_all_pairs_of_a_small_bucket_are_looked_at() -> None:
    items, bounds = buckets(np.array([7, 1, 7, 7, 2, 7], np.uint32))
    unions = Unions(6)
    seen = {
        tuple(sorted(pair))
        for left, right in rounds(items, bounds, lambda: unions.roots)
        for pair in zip(left, right, strict=True)
    }
    assert seen == {(0, 2), (0, 3), (0, 5), (2, 3), (2, 5), (3, 5)}


@given(st.lists(st.tuples(st.integers(0, 19), st.integers(0, 19)), max_size=30), st.integers(1, 5))
@settings(max_examples=60, deadline=None)
def test_unions_are_those_of_one_pair_after_the_other(pairs: list[tuple[int, int]], step: int) -> None:
    root = list(range(20))
    for i, j in pairs:
        low, high = sorted((root[i], root[j]))
        root = [low if r == high else r for r in root]
    unions = Unions(20)
    for start in range(0, len(pairs), step):
        left, right = np.array(pairs[start : start + step]).T
        unions.unite(left, right)
    assert unions.roots.tolist() == root


def test_small_sets_raise_no_alarm() -> None:
    assert alarm(np.zeros(20, np.int64)) == []
    assert [found.rows for found in alarm(np.zeros(21, np.int64))] == [21]
    assert alarm(np.concatenate((np.zeros(30, np.int64), np.arange(30, 4000)))) == []


def _near_and_found(texts: list[str]) -> tuple[int, int, int]:
    clusters = near_clusters(texts, 0.8)
    sets = shingled(texts, 0.8)
    keys = band_keys(sets, banding(0.8))
    assert len(keys) == len(sets.owner)
    sizes = np.bincount(clusters, minlength=len(texts))
    return int((sizes[clusters] > 1).sum()), int((sizes > 1).sum()), int(sizes.max())


def test_counts_on_real_rows(shared: Path) -> None:
    data = shared / "data"
    raw = (data / "sms_spam/SMSSpamCollection").read_text(encoding="utf-8").split("\n")
    with (data / "tweets/tweets.csv").open(encoding="utf-8") as file:
        tweets = [row["text"] for row in csv.DictReader(file)]
    with (data / "waimai/waimai_10k.csv").open(encoding="utf-8-sig") as file:
        waimai = [row["review"] for row in csv.DictReader(file)]
    assert _near_and_found([line.split("\t", 1)[1] for line in raw if line]) == (878, 349, 30)
    assert _near_and_found(tweets) == (72, 27, 9)
    assert _near_and_found(waimai) == (186, 83, 5)


def test_recall_on_real_messages_is_whole(shared: Path) -> None:
    raw = (shared / "data/sms_spam/SMSSpamCollection").read_text(encoding="utf-8").split("\n")
    texts = sorted({line.split("\t", 1)[1] for line in raw if line.startswith("spam")})
    clusters = near_clusters(texts, 0.8)
    pairs = reference.near_pairs(texts[:300], 0.8)
    assert len(pairs) > 20
    assert all(clusters[i] == clusters[j] for i, j in pairs)
