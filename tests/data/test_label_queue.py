"""The adjudication queue: votes from tables, questions from doubts and from rows set aside, answers that are never lost."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tunewright.core.errors import DataError
from tunewright.data.labels import Vote, arbitrate, gathered
from tunewright.data.labels.answers import Log, beside, gold_by_item, gold_by_key, take_in
from tunewright.data.labels.queue import (
    Asked,
    Candidate,
    key_of,
    of_arbitration,
    of_quarantine,
    read_queue,
    write_queue,
)
from tunewright.data.labels.reading import Named, read_opinion, read_truth, read_votes
from tunewright.data.labels.review import Review

LONG = "item,who,said,text\n1,anna,good,很好\n1,ben,bad,很好\n2,anna,bad,awful\n2,ben,bad,awful\n3,anna,good,\n3,,good,x\n4,ben,,y\n"


def put(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


def test_three_forms_say_the_same(tmp_path: Path) -> None:
    long = put(tmp_path / "long.csv", "item,who,said\n1,anna,good\n1,ben,bad\n2,anna,bad\n2,ben,bad\n3,anna,good\n")
    wide = put(tmp_path / "wide.csv", "item,anna,ben\n1,good,bad\n2,bad,bad\n3,good,\n")
    told = [{"item": "1", "annotations": [{"by": "anna", "label": "good"}, {"by": "ben", "label": "bad"}]},
            {"item": "2", "annotations": [{"by": "anna", "label": "bad"}, {"by": "ben", "label": "bad"}]},
            {"item": "3", "annotations": [{"by": "anna", "label": "good"}]}]  # fmt: skip
    lists = put(tmp_path / "lists.jsonl", "".join(json.dumps(row) + "\n" for row in told))
    read = [
        read_votes(long, Named("item", "who", "said"))[0],
        read_votes(wide, Named("item", annotators=("anna", "ben")))[0],
        read_votes(lists, Named("item"))[0],
    ]
    for votes in read:
        assert (votes.items, votes.by, votes.labels) == (("1", "2", "3"), ("anna", "ben"), ("bad", "good"))
        assert votes.counts().tolist() == [[1, 1], [2, 0], [0, 1]]


def test_every_row_is_read_or_left_out_with_a_reason(tmp_path: Path) -> None:
    votes, told = read_votes(put(tmp_path / "a.csv", LONG), Named("item", "who", "said", "text"))
    assert told.rows == 7 and told.left == {"missing_annotator": 1, "no_answer": 1} and len(votes) == 5
    assert votes.texts == {"1": "很好", "2": "awful"}
    assert sorted(told.notes()) == ["1 row left out: missing annotator", "1 row left out: no answer"]


def test_without_a_column_for_items_equal_texts_are_one(tmp_path: Path) -> None:
    votes, _ = read_votes(put(tmp_path / "a.csv", LONG), Named(annotator="who", label="said", text="text"))
    assert sorted(votes.per_item().tolist()) == [1, 2, 2]


@pytest.mark.parametrize(
    ("named", "words"),
    [
        (Named("itme", "who", "said"), ["'itme'", "did you mean 'item'?"]),
        (Named("item", "who"), ["--label"]),
        (Named("item"), ["--annotator, --label"]),
    ],
)
def test_wrong_columns_are_explained(tmp_path: Path, named: Named, words: list[str]) -> None:
    with pytest.raises(DataError) as error:
        read_votes(put(tmp_path / "a.csv", LONG), named)
    assert all(word in str(error.value) for word in words)


def test_truth_and_opinions_are_read(tmp_path: Path) -> None:
    assert read_truth(put(tmp_path / "t.csv", "item,truth\n1,good\n2,\n"), "item", "truth") == {"1": "good"}
    table = put(tmp_path / "p.csv", "item,label,p_bad,p_good\n1,good,0.25,0.75\n2,bad,x,0.1\n")
    assert read_opinion(table, "item") == {"1": {"bad": 0.25, "good": 0.75}}
    lines = put(tmp_path / "p.jsonl", json.dumps({"item": 1, "probabilities": {"bad": 0.25}}) + "\n")
    assert read_opinion(lines, "item") == {"1": {"bad": 0.25}}
    with pytest.raises(DataError, match="no probabilities"):
        read_opinion(put(tmp_path / "n.csv", "item,label\n1,a\n"), "item")


def torn() -> list[Asked]:
    votes = gathered(
        [Vote("1", "anna", "good"), Vote("1", "ben", "bad"), Vote("2", "anna", "bad"), Vote("2", "ben", "bad"),
         Vote("3", "anna", "good"), Vote("3", "ben", "so so")], texts={"1": "很好", "3": 'a "quoted"\ntext, long'}
    )  # fmt: skip
    return of_arbitration(arbitrate(votes, "majority", opinion={"1": {"good": 0.5, "bad": 0.5}}), votes)


def test_what_is_undecided_is_asked_with_all_that_is_known() -> None:
    one, three = torn()
    assert (one.item, one.reason, one.text, one.keys) == ("1", "tie", "很好", (key_of("很好"),))
    assert one.candidates == (Candidate("bad", 1, 0.5), Candidate("good", 1, 0.5))
    assert one.labels == ("bad", "good", "so so") and dict(one.opinion) == {"bad": 0.5, "good": 0.5}
    assert three.labels[0] in ("good", "so so") and one.id != three.id
    assert torn()[0].id == one.id


@pytest.mark.parametrize("ending", [".jsonl", ".csv"])
def test_a_queue_comes_back_as_it_was(tmp_path: Path, ending: str) -> None:
    rows = torn()
    write_queue(rows, tmp_path / f"q{ending}")
    assert read_queue(tmp_path / f"q{ending}") == rows
    with pytest.raises(DataError, match=r"\.jsonl or \.csv"):
        write_queue(rows, tmp_path / "q.xlsx")
    for bad in ("no queue\n1\n", '{"id": 1}\n'):
        with pytest.raises(DataError, match="no adjudication queue"):
            read_queue(put(tmp_path / f"bad{ending}", bad))
    with pytest.raises(DataError, match=r"[Nn]o such file"):
        read_queue(tmp_path / f"absent{ending}")


def row(text: str, label: str, reason: str = "conflict", **more: Any) -> dict[str, Any]:
    return {"id": "x", "text": text, "label": label, "reason": reason, "detail": "why", **more}


def test_rows_set_aside_under_contradicting_labels_are_one_question_a_text() -> None:
    rows = [row("Fine.", "good"), row("fine. ", "bad"), row("fine.", "bad"), row("gone", "x", "bad_json"),
            row("near one", "good", "near_conflict", cluster="c1"), row("near  two", "bad", "near_conflict", cluster="c1"),
            row("who knows", "a", "undecided", soft={"a": 0.5, "b": 0.5}, annotations=[{"by": "x", "label": "a"}]),
            {**row("", "a"), "text": None}]  # fmt: skip
    asked = {one.reason: one for one in of_quarantine(rows, ["neutral"])}
    assert set(asked) == {"conflict", "near_conflict", "undecided"}
    assert asked["conflict"].candidates == (Candidate("bad", 2), Candidate("good", 1))
    assert asked["conflict"].keys == (key_of("FINE."),) and "neutral" in asked["conflict"].labels
    assert len(asked["near_conflict"].keys) == 2 and "near one" in asked["near_conflict"].text
    assert asked["undecided"].candidates == (Candidate("a", 1, 0.5), Candidate("b", 0, 0.5))
    assert of_quarantine(reversed(rows), ["neutral"])[0].id in {one.id for one in asked.values()}


def reviewed(tmp_path: Path, keys: str, rows: list[Asked] | None = None) -> tuple[Review, list[str]]:
    at = iter(range(100))
    review = Review(rows or torn(), Log(tmp_path / "a.jsonl"), "anna", lambda: f"2026-11-30T00:00:{next(at):02d}")
    return review, [review.press(key) for key in keys]


def test_keys_choose_skip_undo_and_leave(tmp_path: Path) -> None:
    review, words = reviewed(tmp_path, "2")
    assert words == ["answered good"] and review.answered == 1
    again, words = reviewed(tmp_path, "x9")
    assert again.answered == 1 and words == ["'x' is no choice", "'9' is no choice"], "it goes on where it was"
    assert again.current() == again.rows[1]
    again.press("s")
    assert again.current() is None and again.press("1") == "nothing is left"
    assert again.press("u") == "undone" and again.current() == again.rows[1]
    again.press("1")
    assert again.answered == 2
    assert [again.press("u"), again.answered] == ["undone", 1] and again.current() == again.rows[1]
    assert again.press("u") == "nothing to undo", "what an earlier sitting answered stays"
    assert again.press("q") == "left" and again.current() is None
    labels = [json.loads(line)["label"] for line in (tmp_path / "a.jsonl").read_text().splitlines()]
    assert labels[0] == "good" and labels[-1] is None, "the file only grows"


def test_more_than_nine_labels_are_pages(tmp_path: Path) -> None:
    many = replace(torn()[0], labels=tuple(f"l{i}" for i in range(12)))
    review, _ = reviewed(tmp_path, "", [many])
    assert review.choices()[0] == "l0" and review.press("n") == "next labels"
    assert review.choices() == ["l9", "l10", "l11"] and review.press("2") == "answered l10"
    review, words = reviewed(tmp_path / "other", "nn1", [many])
    assert words[-1] == "answered l0"


@settings(deadline=None, max_examples=50)
@given(st.text("12snuqx", max_size=25))
def test_whatever_is_pressed_what_counts_is_what_the_screen_said(keys: str) -> None:
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        path, rows = Path(folder) / "a.jsonl", torn()
        review, expected, done = Review(rows, Log(path), "x"), dict[str, str](), list[str]()
        for key in keys:
            asked = review.current()
            word = review.press(key)
            if word.startswith("answered "):
                assert asked is not None
                expected[asked.id] = word.removeprefix("answered ")
                done.append(asked.id)
            elif word == "skipped":
                assert asked is not None
                done.append(asked.id)
            elif word == "undone":
                expected.pop(done.pop(), None)
        assert {i: one.label for i, one in Log(path).current().items()} == expected


def test_a_line_cut_short_by_a_crash_costs_that_line_alone(tmp_path: Path) -> None:
    reviewed(tmp_path, "1")
    path = tmp_path / "a.jsonl"
    path.write_bytes(path.read_bytes() + b'{"id": "half')
    again, _ = reviewed(tmp_path, "1")
    assert again.answered == 2 and len(Log(path).given) == 2
    assert all(json.loads(line) for line in path.read_text().splitlines())


def filled(tmp_path: Path, answers: dict[str, str]) -> Path:
    """The queue as CSV with answers filled in, as a spreadsheet would."""
    path = tmp_path / "q.csv"
    write_queue(torn(), path)
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    for r in rows:
        r["answer"] = answers.get(r["item"], "")
    with path.open("w", encoding="utf-8-sig", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return path


def test_answers_filled_in_the_file_are_taken_in_once(tmp_path: Path) -> None:
    path = filled(tmp_path, {"1": " good "})
    log = Log(beside(path))
    assert log.path.name == "q.answers.jsonl"
    first = take_in(read_queue(path), log, "ben")
    assert (first.taken, first.known, first.open) == (1, 0, 1)
    again = take_in(read_queue(path), Log(log.path), "ben")
    assert (again.taken, again.known) == (0, 1) and len(Log(log.path).given) == 1
    one = next(iter(again.current.values()))
    assert (one.item, one.label, one.by, one.via) == ("1", "good", "ben", "file") and one.time
    assert gold_by_item(again.current) == {"1": "good"} and set(gold_by_key(again.current)) == {key_of("很好")}


def test_unknown_labels_and_ids_are_refused_with_the_closest_and_nothing_is_taken_in(tmp_path: Path) -> None:
    path = filled(tmp_path, {"1": "goood", "3": "good"})
    rows = read_queue(path)
    log = Log(tmp_path / "a.jsonl")
    with pytest.raises(DataError) as error:
        take_in([*rows, replace(rows[0], id="0" * 16, answer=None)], log, "ben", torn())
    said = str(error.value)
    assert "did you mean 'good'?" in said and "0000000000000000' is not in the queue" in said
    assert len(error.value.problems) == 2 and not log.path.exists()


def test_answers_that_are_none_are_explained(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no answers to a queue"):
        Log(put(tmp_path / "a.jsonl", '{"id": 1}\n'))
