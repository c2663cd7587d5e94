"""The bundled messages: reading them finds the defects that were put in, no others, and they are not easy."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from itertools import pairwise
from typing import Any

import pytest

from tunewright import bundled
from tunewright import data as data_side
from tunewright.data import Columns, Options

TRUTH = json.loads(bundled.DEFECTS.read_text(encoding="utf-8"))
PUT_IN: dict[str, set[int]] = defaultdict(set)
for _defect in TRUTH["defects"]:
    PUT_IN[_defect["kind"]].add(_defect["line"])
LIKE = {d["line"]: d["like_line"] for d in TRUTH["defects"] if "like_line" in d}


@pytest.fixture(scope="module")
def prepared() -> Any:
    options = Options(train=(str(bundled.MESSAGES),), columns=Columns("text", "sentiment"))
    return data_side.prepare(data_side.gather(options), options, 0)


def lines_of(prepared: Any, reason: str) -> set[int]:
    return {event.source.line for event in prepared.ledger.events if event.reason == reason}


def test_the_list_counts_what_it_lists() -> None:
    assert TRUTH["counts"] == Counter(d["kind"] for d in TRUTH["defects"])


def test_rows_and_labels(prepared: Any) -> None:
    used = [record for part in prepared.splits.values() for record in part]
    assert len(used) >= 1500 and prepared.labels == ("negative", "neutral", "positive")
    counts = Counter(record.label for record in used)
    assert min(counts.values()) > 0.2 * len(used)


@pytest.mark.parametrize("kind", ["mojibake", "empty_text", "blank_line", "missing_label"])
def test_each_defect_is_found_where_it_was_put(prepared: Any, kind: str) -> None:
    assert PUT_IN[kind] and lines_of(prepared, kind) == PUT_IN[kind]


def test_duplicates_and_conflicts(prepared: Any) -> None:
    """Of a pair either line may be the later copy; a conflict sets the whole cluster aside."""
    pairs = {frozenset((line, LIKE[line])) for line in PUT_IN["duplicate"]}
    found = lines_of(prepared, "duplicate")
    assert len(found) == len(pairs) and all(len(pair & found) == 1 for pair in pairs)
    assert lines_of(prepared, "conflict") == PUT_IN["conflict"] | {LIKE[line] for line in PUT_IN["conflict"]}


def test_nothing_else_is_found_and_the_ledger_balances(prepared: Any) -> None:
    known = {"mojibake", "empty_text", "blank_line", "missing_label", "duplicate", "conflict", "outer_space"}
    assert set(prepared.defects) <= known
    stages = prepared.ledger.as_json()["stages"]
    for before, after in pairwise(stages):
        assert before["out"] == after["in"]
    rows = sum(1 for _ in bundled.MESSAGES.read_bytes().splitlines()) - 1
    assert stages[0]["in"] == rows and stages[-1]["out"] == sum(len(part) for part in prepared.splits.values())
    gone = Counter(event.reason for event in prepared.ledger.events if event.outcome != "changed")
    assert rows - sum(gone.values()) == stages[-1]["out"]


def test_words_alone_do_not_solve_them(prepared: Any) -> None:
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import cross_val_score
    from sklearn.pipeline import make_pipeline

    records = [record for part in prepared.splits.values() for record in part]
    model = make_pipeline(
        TfidfVectorizer(sublinear_tf=True, ngram_range=(1, 2)), LogisticRegression(C=4.0, max_iter=200)
    )
    accuracy = cross_val_score(model, [r.text for r in records], [r.label for r in records], cv=4).mean()
    assert 0.45 < accuracy < 0.8
