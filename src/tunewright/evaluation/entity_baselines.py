"""What a model that finds entities must beat; `baselines` for the task token_classification.

    majority   no entity anywhere
    lexicon    the names that training knows, longest match first, each with the type that it most often has there
    tfidf      a logistic regression of each word's tag by the words around it, and the likeliest valid tags
    linear     the same by the vectors that the base model, left as it is, gives its tokens

Axes: N training items, M predicted items, n words or tokens of an item, D features, G tags.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from time import perf_counter
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from tunewright.core.errors import DataError, Problem, listed
from tunewright.core.outcomes import Entities, Floats, Ints, Span
from tunewright.core.records import Record
from tunewright.core.seeds import key
from tunewright.core.spans import IGNORED, Spans, best_spans, parsed, tagged, tags_of
from tunewright.evaluation.features import all_finite, one_thread
from tunewright.evaluation.predictions import Contender

STRENGTHS = (1.0, 10.0)
FROZEN_STRENGTHS = (0.01, 0.1)
MOST_TOKENS = 60_000
"""Training tokens that the frozen model's head is fitted on at most: whole items, chosen by their ids."""

_CJK = r"\u2e80-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
_WORD = re.compile(rf"[{_CJK}]|[^\W_{_CJK}]+|[^\s]")


class TokenFeatures(NamedTuple):
    """One text's tokens as a model sees them: `vectors` (n, D) and `offsets` (n, 2), each token's characters.

    Special tokens are (0, 0) and are not looked at; tokens beyond the model's limit are not there.
    """

    vectors: NDArray[np.floating[Any]]
    offsets: Ints


def majority(
    train: Sequence[Record],
    items: Sequence[Record],
    *,
    validation: Sequence[Record] | None = None,
    labels: Sequence[str] | None = None,
    split: str = "test",
) -> Contender:
    """No entity in any item.

    Raises:
        DataError: no training item is labelled, or a type is not among `labels`.
    """
    types = _types(train, items, labels)
    return _contender(("majority", "No entities", split), [()] * len(items), items, types, 0.0)


def lexicon(
    train: Sequence[Record],
    items: Sequence[Record],
    *,
    validation: Sequence[Record] | None = None,
    labels: Sequence[str] | None = None,
    split: str = "test",
) -> Contender:
    """The spans of training, found again: from left to right the longest, with its most frequent type.

    A name that stands in training more often without being an entity than as one is left out. Names of letters or
    digits begin and end where words do.

    Raises:
        DataError: as `majority`.
    """
    types = _types(train, items, labels)
    known = _names(train)
    longest = defaultdict[str, int](int)
    for name in known:
        longest[name[0]] = max(longest[name[0]], len(name))
    started = perf_counter()
    found = [_matched(r.text, known, longest) for r in items]
    spent = perf_counter() - started
    return _contender(("lexicon", "Names seen in training", split), found, items, types, spent)


def _names(train: Sequence[Record]) -> dict[str, str]:
    """Every name of training with its most frequent type."""
    votes = defaultdict[str, Counter[str]](Counter)
    for record in train:
        for start, end, kind in parsed(record.label or "[]"):
            votes[record.text[start:end]][kind] += 1
    longest = defaultdict[str, int](int)
    for name in votes:
        longest[name[0]] = max(longest[name[0]], len(name))
    seen = Counter[str]()
    everything = dict.fromkeys(votes, "")
    for record in train:
        if record.label is not None:
            seen.update(record.text[start:end] for start, end, _ in _matched(record.text, everything, longest))
    return {
        name: max(sorted(kinds), key=lambda kind: kinds[kind])
        for name, kinds in votes.items()
        if 2 * kinds.total() >= seen[name]
    }


def _matched(text: str, known: Mapping[str, str], longest: Mapping[str, int]) -> Spans:
    """The longest known names from left to right."""
    found: list[Span] = []
    at = 0
    while at < len(text):
        for end in range(min(len(text), at + longest.get(text[at], 0)), at, -1):
            if text[at:end] in known and _whole(text, at, end):
                found.append((at, end, known[text[at:end]]))
                at = end - 1
                break
        at += 1
    return tuple(found)


def _whole(text: str, start: int, end: int) -> bool:
    """Whether a stretch begins and ends where words do."""
    return not (_within(text, start) or _within(text, end))


def _within(text: str, at: int) -> bool:
    return 0 < at < len(text) and bool(_LETTERS.fullmatch(text[at - 1 : at + 1]))


_LETTERS = re.compile(rf"[^\W_{_CJK}]{{2}}")


def tfidf(
    train: Sequence[Record],
    items: Sequence[Record],
    seed: int = 0,
    *,
    validation: Sequence[Record] | None = None,
    labels: Sequence[str] | None = None,
    split: str = "test",
) -> Contender:
    """Each word's tag by the words around it: a logistic regression, then the likeliest valid tags.

    Words are runs of letters and digits; a Chinese or Japanese character is one by itself, and so is every sign.

    Raises:
        DataError: as `majority`.
    """
    from sklearn.feature_extraction.text import CountVectorizer

    types = _types(train, items, labels)
    given = ("tfidf", "Window features + logistic regression", split)
    known = [r for r in train if r.label is not None]
    offsets = [word_places(r.text) for r in known]
    tags = [tagged(parsed(r.label or "[]"), at, types) for r, at in zip(known, offsets, strict=True)]
    if not sum(map(len, offsets)):
        return _contender(given, [()] * len(items), items, types, 0.0)
    counted = CountVectorizer(analyzer=list, binary=True, dtype=np.float64, min_df=2 if len(known) >= 200 else 1)
    x = counted.fit_transform(f for r, at in zip(known, offsets, strict=True) for f in windows(r.text, at))

    def features(records: Sequence[Record], places: Sequence[Ints]) -> Any:
        return counted.transform([f for r, at in zip(records, places, strict=True) for f in windows(r.text, at)])

    held = None
    if (usable := _usable(validation, types)) and sum(len(word_places(r.text)) for r in usable):
        at = [word_places(r.text) for r in usable]
        gold = [tagged(parsed(r.label or "[]"), places, types) for r, places in zip(usable, at, strict=True)]
        held = features(usable, at), np.concatenate(gold)
    score = _head(x, np.concatenate(tags), held, STRENGTHS, len(tags_of(types)))
    started = perf_counter()
    places = [word_places(r.text) for r in items]
    scores = score(features(items, places)) if sum(map(len, places)) else np.zeros((0, 1))
    found = _decoded(scores, places, items, types)
    return _contender(given, found, items, types, perf_counter() - started)


def linear(
    train_features: Sequence[TokenFeatures],
    train: Sequence[Record],
    features: Sequence[TokenFeatures],
    items: Sequence[Record],
    seed: int = 0,
    *,
    validation_features: Sequence[TokenFeatures] | None = None,
    validation: Sequence[Record] | None = None,
    labels: Sequence[str] | None = None,
    split: str = "test",
    seconds: float = 0.0,
) -> Contender:
    """The frozen base model with a linear head on every token: standardised vectors, a logistic regression of the tag.

    Args:
        train_features: one for each of `train`, in order.
        features: one for each of `items`, in order.
        validation_features: one for each of `validation`; both or neither.
        seconds: what an item's features cost to compute; added to the prediction's own time.

    Raises:
        DataError: as `majority`, or features that are not finite.
    """
    types = _types(train, items, labels)
    pairs = [(f, r) for f, r in zip(train_features, train, strict=True) if r.label is not None]
    x, y = _tokens(_some(pairs, seed), types)
    held = None
    if validation_features is not None and validation:
        usable = [(f, r) for f, r in zip(validation_features, validation, strict=True) if _usable([r], types)]
        held = _tokens(_some(usable, seed), types) if usable else None
    readable = [f.vectors[f.offsets[:, 1] > f.offsets[:, 0]] for f in features]
    told = np.concatenate(readable) if readable else x[:0]
    all_finite({"train": x, "items": told, "validation": None if held is None else held[0]})
    centre, spread = x.mean(axis=0), x.std(axis=0)
    spread = np.where(spread > 1e-6 * max(float(spread.max(initial=0.0)), 1e-12), spread, np.inf)
    scaled = None if held is None or not len(held[1]) else ((held[0] - centre) / spread, held[1])
    score = _head((x - centre) / spread, y, scaled, FROZEN_STRENGTHS, len(tags_of(types)))
    started = perf_counter()
    scores = score((told - centre) / spread) if len(told) else np.zeros((0, 1))
    found = _decoded(scores, [f.offsets for f in features], items, types)
    spent = perf_counter() - started + seconds * len(items)
    return _contender(("linear", "Frozen base model + linear head", split), found, items, types, spent)


def enough(records: Sequence[Record], tokens: Sequence[int], seed: int) -> list[int]:
    """The places of as many records as `linear` is fitted on, in their order; `tokens` says how many each has."""
    order = sorted(range(len(records)), key=lambda i: key(seed, "baselines", records[i].id))
    ends = np.cumsum([tokens[i] for i in order])
    return sorted(order[: max(1, int((ends <= MOST_TOKENS).sum()))])


def _some(pairs: Sequence[tuple[TokenFeatures, Record]], seed: int) -> list[tuple[TokenFeatures, Record]]:
    """As many items as hold `MOST_TOKENS` tokens, the same ones whatever their order."""
    return [pairs[i] for i in enough([r for _, r in pairs], [len(f.offsets) for f, _ in pairs], seed)]


def _tokens(pairs: Sequence[tuple[TokenFeatures, Record]], types: Sequence[str]) -> tuple[Floats, Ints]:
    """(tokens, D) vectors and (tokens,) tags of all tokens that have a character."""
    tags = [tagged(parsed(r.label or "[]"), f.offsets, types) for f, r in pairs]
    vectors = [f.vectors[at != IGNORED] for (f, _), at in zip(pairs, tags, strict=True)]
    flat = np.concatenate(tags)
    return np.asarray(np.concatenate(vectors), np.float64), flat[flat != IGNORED]


def word_places(text: str) -> Ints:
    """(n, 2) start and end of each word."""
    return np.array([m.span() for m in _WORD.finditer(text)], np.int64).reshape(-1, 2)


def windows(text: str, places: Ints) -> Iterator[list[str]]:
    """The features of each word: itself, its shape and ends, and two words to either side, alone and in pairs."""
    words = [text[start:end].lower() for start, end in places]
    shapes = [_shape(text[start:end]) for start, end in places]
    w, s = ["<<", "<", *words, ">", ">>"], ["<", "<", *shapes, ">", ">"]
    for i in range(2, len(w) - 2):
        yield [
            "bias", f"0={w[i]}", f"-1={w[i - 1]}", f"+1={w[i + 1]}", f"-2={w[i - 2]}", f"+2={w[i + 2]}",
            f"-1,0={w[i - 1]} {w[i]}", f"0,1={w[i]} {w[i + 1]}", f"-2,-1={w[i - 2]} {w[i - 1]}",
            f"1,2={w[i + 1]} {w[i + 2]}", f"-1,1={w[i - 1]} {w[i + 1]}",
            f"s={s[i]}", f"s-1,0,1={s[i - 1]} {s[i]} {s[i + 1]}", f"pre={w[i][:3]}", f"end={w[i][-3:]}",
        ]  # fmt: skip


def _shape(word: str) -> str:
    """`Xx` for Ann, `X` for NATO, `d` for 1966; other words and signs as one letter for their kind."""
    marks = "".join("X" if c.isupper() else "d" if c.isdigit() else "x" if c.isalpha() else c for c in word[:12])
    return re.sub(r"(.)\1+", r"\1", marks)


def _head(
    x: Any, tags: Ints, held: tuple[Any, Ints] | None, strengths: Sequence[float], count: int
) -> Callable[[Any], Floats]:
    """(tokens, D) features to (tokens, G) log-probabilities, of the strength with the least log-loss on `held`."""
    if (tags == tags[0]).all():
        sure = np.full(count, -30.0)
        sure[tags[0]] = 0.0
        return lambda features: np.tile(sure, (features.shape[0], 1))
    with one_thread():
        heads = [_fitted(x, tags, strength, count) for strength in (strengths if held is not None else strengths[-1:])]
        if held is None:
            return heads[0]
        gold = held[1]
        losses = [-float(head(held[0])[np.arange(len(gold)), gold].mean()) for head in heads]
        return heads[int(np.argmin(losses))]


def _fitted(x: Any, tags: Ints, strength: float, count: int) -> Callable[[Any], Floats]:
    from sklearn.linear_model import LogisticRegression

    fitted = LogisticRegression(C=strength, max_iter=2000, tol=1e-3).fit(x, tags)

    def head(features: Any) -> Floats:
        scores = np.full((features.shape[0], count), -30.0)
        scores[:, fitted.classes_] = np.maximum(fitted.predict_log_proba(features), -30.0)
        return scores

    return head


def _decoded(scores: Floats, places: Sequence[Ints], items: Sequence[Record], types: Sequence[str]) -> list[Spans]:
    """The spans of each item from the scores of all items' tokens end to end."""
    counts = [int((at[:, 1] > at[:, 0]).sum()) for at in places]
    each = np.split(scores, np.cumsum(counts)[:-1]) if counts else []
    return [best_spans(s, at, r.text, types) if len(s) else () for s, at, r in zip(each, places, items, strict=True)]


def _usable(records: Sequence[Record] | None, types: Sequence[str]) -> list[Record]:
    """The labelled items whose types are all known."""
    known = set(types)
    return [r for r in records or () if r.label is not None and {kind for _, _, kind in parsed(r.label)} <= known]


def _types(train: Sequence[Record], items: Sequence[Record], labels: Sequence[str] | None) -> tuple[str, ...]:
    if all(r.label is None for r in train):
        raise DataError(Problem(where="baselines", found="no training item has a label", allowed="at least one"))
    seen = {kind for r in [*train, *items] for _, _, kind in parsed(r.label or "[]")}
    given = tuple(sorted(seen)) if labels is None else tuple(labels)
    strangers = sorted(seen - set(given))
    if strangers:
        raise DataError(Problem(where="baselines", found=f"types {listed(strangers)}", allowed=listed(given)))
    return given


def _contender(
    given: tuple[str, str, str], found: Sequence[Spans], items: Sequence[Record], types: tuple[str, ...], spent: float
) -> Contender:
    name, title, split = given
    gold = tuple(None if r.label is None else parsed(r.label) for r in items)
    seconds = np.full(len(items), spent / max(len(items), 1))
    ids = tuple(r.id for r in items)
    return Contender(Entities(name, split, types, ids, gold, tuple(found), seconds), title)
