"""Spans through real tokenizers and back."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from tunewright.core.records import Record, Source
from tunewright.core.spans import IGNORED, Span, canonical, parsed, tags_of
from tunewright.encoding import Aligned, decode_spans, encode_spans

TYPES = ("LOC", "ORG", "PER")
NAMES = ("bert_base_chinese", "bert_base_uncased", "gpt2")


def record(text: str, spans: Sequence[Span] | None, name: str = "a") -> Record:
    return Record(name, text, None if spans is None else canonical(spans), Source("", 1))


def tokenizer(folder: Path) -> Any:
    """The tokenizer of one of the shared models."""
    from tokenizers import BertWordPieceTokenizer, ByteLevelBPETokenizer

    if (folder / "merges.txt").exists():
        return ByteLevelBPETokenizer(str(folder / "vocab.json"), str(folder / "merges.txt"))
    return BertWordPieceTokenizer(str(folder / "vocab.txt"), lowercase="uncased" in folder.name)


def aligned_by(found: Any) -> Aligned:
    def aligned(texts: Sequence[str], limit: int) -> Any:
        whole = [found.encode(text) for text in texts]
        full = [len(one.ids) for one in whole]
        for one in whole:
            one.truncate(limit)
        return [one.ids for one in whole], [one.offsets for one in whole], full

    return aligned


@pytest.fixture(scope="module", params=NAMES)
def aligned(request: pytest.FixtureRequest, shared: Path) -> Aligned:
    folder = shared / "models" / "tokenizers" / request.param
    if not folder.is_dir():
        pytest.skip(f"no tokenizer {request.param}")
    return aligned_by(tokenizer(folder))


def one_hot(target: Any) -> np.ndarray:
    tags = np.asarray(target)
    return np.eye(len(tags_of(TYPES)))[tags[tags != IGNORED]] * 9


def back(encoded: Any, texts: Sequence[str]) -> list[tuple[Span, ...]]:
    return decode_spans([one_hot(e.target) for e in encoded.examples], encoded.offsets, texts, TYPES)


def by_characters(texts: Sequence[str], limit: int) -> Any:
    """A tokenizer of single characters between two special tokens."""
    ids = [[1, *range(10, 10 + len(text)), 2][:limit] for text in texts]
    places = [[(0, 0), *((i, i + 1) for i in range(len(text))), (0, 0)][:limit] for text in texts]
    return ids, places, [len(text) + 2 for text in texts]


def test_targets_stand_beside_the_tokens() -> None:
    found = encode_spans([record("ab c", [(0, 2, "PER")]), record("x", None, "b")], by_characters, TYPES, 10)
    first, second = found.examples
    assert first.unit == "token" and first.tokens.tolist() == [1, 10, 11, 12, 13, 2]
    assert np.asarray(first.target).tolist() == [IGNORED, 5, 6, 0, 0, IGNORED]
    assert second.target is None and (found.lost.spans, found.lost.cut, found.lost.blurred) == (1, 0, 0)
    assert [np.asarray(e.target).tolist() for e in found.asked()] == [
        [IGNORED, 0, 0, 0, 0, IGNORED],
        [IGNORED, 0, IGNORED],
    ]
    assert encode_spans([], by_characters, TYPES, 10).examples == []


def test_a_record_with_an_unknown_type_is_not_learnt() -> None:
    assert encode_spans([record("ab", [(0, 1, "MISC")])], by_characters, TYPES, 10).examples[0].target is None


def test_what_the_limit_cuts_off_is_counted() -> None:
    text = "abcdefgh"
    gold = [(0, 2, "PER"), (3, 6, "LOC"), (7, 8, "ORG")]
    found = encode_spans([record(text, gold)], by_characters, TYPES, 6)
    assert (found.lost.spans, found.lost.cut, found.lost.blurred) == (3, 2, 0)
    assert back(found, [text]) == [((0, 2, "PER"), (3, 5, "LOC"))]
    assert found.examples[0].full == 10


def test_borders_within_tokens_are_counted() -> None:
    def by_two(texts: Sequence[str], limit: int) -> Any:
        places = [[(i, min(i + 2, len(text))) for i in range(0, len(text), 2)] for text in texts]
        return [list(range(len(at))) for at in places], places, [len(at) for at in places]

    found = encode_spans([record("abcdef", [(0, 2, "PER"), (3, 6, "LOC")])], by_two, TYPES, 9)
    assert (found.lost.spans, found.lost.cut, found.lost.blurred) == (2, 0, 1)


TEXTS = [
    "Angela Merkel met executives of Volkswagen AG in São Paulo.",
    "高勇：男，中国国籍，无境外居留权，曾任PMI项目经理。",
    "The U.S.-based firm (Acme-Corp™) isn't   in Zürich\tanymore…",
    "🙂 emoji 👩‍👩‍👧 families, naïve café; ﬁne ½ ①",
    "２０１９年，东京Tokyo・パリ。",
]


@st.composite
def cases(draw: st.DrawFn) -> tuple[str, list[Span]]:
    text = draw(
        st.sampled_from(TEXTS) | st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=40)
    )
    borders = sorted(draw(st.sets(st.integers(0, len(text)), max_size=8)))
    pairs = list(zip(borders[::2], borders[1::2], strict=False))
    return text, [(a, b, draw(st.sampled_from(TYPES))) for a, b in pairs]


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(case=cases())
def test_spans_on_borders_of_tokens_come_back(aligned: Aligned, case: tuple[str, list[Span]]) -> None:
    """Spans are widened to whole tokens, and must then be given back exactly; the count of blurred ones agrees."""
    text, wanted = case
    _, places, _ = aligned([text], 10_000)
    at = [(start, end) for start, end in places[0] if end > start]
    gold: list[Span] = []
    for start, end, kind in wanted:
        inside = [place for place in at if place[0] < end and place[1] > start]
        if not inside:
            continue
        a, b = min(place[0] for place in inside), max(place[1] for place in inside)
        while a < b and text[a].isspace():
            a += 1
        while b > a and text[b - 1].isspace():
            b -= 1
        if a < b and (not gold or a >= gold[-1][1]):
            gold.append((a, b, kind))
    shared = [place for place in at if sum(place[0] < e and place[1] > s for s, e, _ in gold) > 1]
    assume(not shared)
    encoded = encode_spans([record(text, gold)], aligned, TYPES, 10_000)
    assert back(encoded, [text]) == [tuple(gold)]
    assert encoded.lost.blurred == 0


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(case=cases(), limit=st.integers(3, 60))
def test_what_does_not_come_back_is_counted(aligned: Aligned, case: tuple[str, list[Span]], limit: int) -> None:
    text, gold = case
    encoded = encode_spans([record(text, gold)], aligned, TYPES, limit)
    found = back(encoded, [text])[0]
    lost = encoded.lost
    assert lost.spans == len(gold) and lost.cut >= 0 and lost.blurred >= 0
    assert lost.cut + lost.blurred == len(set(gold) - set(found))


def test_the_resumes_come_back(shared: Path) -> None:
    from tunewright.data import Columns, Options, gather, target_of

    folder = shared / "models" / "tokenizers" / "bert_base_chinese"
    aligned = aligned_by(tokenizer(folder))
    options = Options(
        train=(str(shared / "data" / "resume_ner" / "test.char.bmes"),),
        columns=Columns("text"),
        task="token_classification",
    )
    rows = gather(options).rows
    target = target_of(options)
    records = [record(row.text, parsed(target.answer(row.label or "") or "[]"), str(i)) for i, row in enumerate(rows)]
    types = sorted({kind for r in records for _, _, kind in parsed(r.label or "[]")})
    encoded = encode_spans(records, aligned, types, 512)
    # A character of a Latin word or a number stands in one token with its neighbours.
    assert encoded.lost.spans == 1630 and encoded.lost.cut == 0 and encoded.lost.blurred <= 0.01 * encoded.lost.spans
    scores = [
        np.eye(len(tags_of(types)))[np.asarray(e.target)[np.asarray(e.target) != IGNORED]] for e in encoded.examples
    ]
    found = decode_spans(scores, encoded.offsets, [r.text for r in records], types)
    right = sum(len(set(f) & set(parsed(r.label or "[]"))) for f, r in zip(found, records, strict=True))
    assert right == encoded.lost.spans - encoded.lost.blurred
