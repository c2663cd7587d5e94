"""Spans, tags of tokens and back; the likeliest valid sequence of tags."""

from __future__ import annotations

from itertools import pairwise, product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tunewright.core import spans, tensors
from tunewright.core.spans import IGNORED, Span, best_spans, best_tags, tagged, tags_of, untagged

TYPES = ("LOC", "PER")


def places(*pairs: tuple[int, int]) -> np.ndarray:
    return np.array(pairs, np.int64).reshape(-1, 2)


def test_what_says_nothing_is_the_same_number_everywhere() -> None:
    assert spans.IGNORED == tensors.IGNORED


def test_tags_are_iob2_in_the_order_of_types() -> None:
    assert tags_of(TYPES) == ("O", "B-LOC", "I-LOC", "B-PER", "I-PER")


def test_pieces_of_words_are_inside_and_special_tokens_say_nothing() -> None:
    at = places((0, 0), (0, 4), (4, 8), (9, 12), (12, 13), (0, 0))
    found = tagged([(0, 8, "PER"), (9, 12, "LOC")], at, TYPES)
    assert found.tolist() == [IGNORED, 3, 4, 1, 0, IGNORED]
    assert untagged(found, at, "Washington DC.", TYPES) == ((0, 8, "PER"), (9, 12, "LOC"))


def test_a_border_within_a_token_belongs_to_the_larger_part() -> None:
    assert tagged([(0, 2, "PER"), (2, 6, "LOC")], places((0, 5), (5, 6)), TYPES).tolist() == [1, 2]
    assert tagged([(1, 2, "PER")], places((0, 3)), TYPES).tolist() == [3]
    assert untagged(np.array([3]), places((0, 3)), "abc", TYPES) == ((0, 3, "PER"),)


def test_white_space_of_tokens_is_no_part_of_a_span() -> None:
    text = "in Rome ,"
    at = places((0, 2), (2, 7), (7, 9))
    assert untagged(np.array([0, 1, 0]), at, text, TYPES) == ((3, 7, "LOC"),)
    assert untagged(np.array([0, 0, 1]), places((0, 2), (2, 7), (7, 8)), text, TYPES) == ()


def test_bytes_of_one_character_make_one_span_and_never_two() -> None:
    at = places((0, 1), (0, 1), (0, 1), (1, 2))
    assert untagged(np.array([3, 4, 4, 0]), at, "😀x", TYPES) == ((0, 1, "PER"),)
    assert untagged(np.array([3, 3, 1, 0]), at, "😀x", TYPES) == ((0, 1, "PER"),)


def test_an_inside_without_a_beginning_begins() -> None:
    at = places((0, 1), (1, 2), (2, 3))
    assert untagged(np.array([4, 2, 2]), at, "abc", TYPES) == ((0, 1, "PER"), (1, 3, "LOC"))


def test_special_tokens_break_no_span() -> None:
    at = places((0, 1), (0, 0), (1, 2))
    assert untagged(np.array([3, IGNORED, 4]), at, "ab", TYPES) == ((0, 2, "PER"),)


@st.composite
def spans_on(draw: st.DrawFn, length: int) -> list[Span]:
    """Sorted spans that do not overlap on borders from 0 to `length`."""
    borders = sorted(draw(st.sets(st.integers(0, length), max_size=8)))
    pairs = list(zip(borders[::2], borders[1::2], strict=False))
    return [(a, b, draw(st.sampled_from(TYPES))) for a, b in pairs]


@given(spans_on(12), st.sets(st.integers(1, 11)))
def test_round_trip_where_borders_are_those_of_tokens(gold: list[Span], cuts: set[int]) -> None:
    text = "abcdefghijkl"
    borders = sorted({0, 12} | cuts | {x for start, end, _ in gold for x in (start, end)})
    at = places((0, 0), *pairwise(borders), (0, 0))
    assert untagged(tagged(gold, at, TYPES), at, text, TYPES) == tuple(gold)


@given(spans_on(12), st.sets(st.integers(1, 11)))
def test_what_comes_back_is_always_valid(gold: list[Span], cuts: set[int]) -> None:
    borders = sorted({0, 12} | cuts)
    at = places(*pairwise(borders))
    found = untagged(tagged(gold, at, TYPES), at, "ab defg ijkl", TYPES)
    assert spans.fault(found, 12) is None and list(found) == sorted(found)


def valid(tags: tuple[int, ...]) -> bool:
    return all(t == 0 or t % 2 or (i > 0 and tags[i - 1] in (t, t - 1)) for i, t in enumerate(tags))


@settings(max_examples=40)
@given(st.integers(0, 4), st.integers(0, 2**32 - 1))
def test_viterbi_is_the_best_of_all_valid_sequences(n: int, seed: int) -> None:
    scores = np.random.default_rng(seed).normal(size=(n, 5))
    every = [tags for tags in product(range(5), repeat=n) if valid(tags)]
    best = max(every, key=lambda tags: sum(scores[i, t] for i, t in enumerate(tags)))
    assert tuple(best_tags(scores)) == best


def test_a_likely_inside_needs_a_beginning() -> None:
    scores = np.log(np.array([[0.6, 0.3, 0.1], [0.1, 0.2, 0.7]]))
    assert best_tags(scores).tolist() == [1, 2]
    assert best_tags(scores[1:]).tolist() == [1]


def test_spans_from_scores_skip_special_tokens() -> None:
    at = places((0, 0), (0, 3), (3, 6), (0, 0))
    scores = np.array([[0.0, 2, 0], [0.0, 0, 2]])
    assert best_spans(scores, at, "abcdef", ("X",)) == ((0, 6, "X"),)
    with pytest.raises(ValueError):
        best_spans(np.zeros((4, 3)), at, "abcdef", ("X",))
