"""The review of suspects: what is asked, what the answers say of the list, and the step that treats suspects of train."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tunewright.core.errors import DataError
from tunewright.core.records import Source, content_id
from tunewright.core.registry import build
from tunewright.data.journal import Draft, Journal
from tunewright.data.steps import Room
from tunewright.data.suspects import find, review
from tunewright.data.suspects.review import Answer, Listing


def rows(n: int = 400, wrong: int = 16) -> tuple[list[Draft], set[str]]:
    out, bad = [], set()
    for i in range(n):
        good = i % 2 == 0
        text = f"{'好吃 good fine' if good else '难吃 bad awful'} number {i}"
        one = Draft(
            text, "pos" if good != (i < wrong) else "neg", None, Source("a.csv", i + 2), None, id=content_id(text)
        )
        out.append(one)
        if i < wrong:
            bad.add(one.id)
    return out, bad


def made(tmp_path: Path, top: int = 40) -> tuple[Listing, set[str], Path]:
    drafts, bad = rows()
    path = tmp_path / "suspects.jsonl"
    review.write(find(drafts, rounds=1), path, top=top, seed=0)
    return review.read(path), bad, path


def say(listing: Listing, bad: set[str], count: int | None = None) -> dict[str, Answer]:
    asked = [str(row["id"]) for row in listing.asked()[:count]]
    return {i: Answer(i, "relabel" if i in bad else "keep", "pos" if i in bad else None) for i in asked}


def test_the_list_has_the_top_and_a_random_slice(tmp_path: Path) -> None:
    listing, bad, _ = made(tmp_path)
    top = [row for row in listing.rows if row["part"] == "top"]
    assert [row["rank"] for row in top] == list(range(1, 41))
    assert bad <= {row["id"] for row in top}
    assert len(listing.order("rest")) == 100
    assert sorted(listing.order("top")) == sorted(row["id"] for row in top)
    assert listing.order("top") != [row["id"] for row in top]
    asked = listing.asked()
    assert len(asked) == len(listing.rows) == len({row["id"] for row in asked})
    assert asked[0]["rank"] == 1
    assert {row["part"] for row in asked[:6]} == {"top", "rest"}


def test_a_whole_review_counts_and_a_part_is_an_interval_around_it(tmp_path: Path) -> None:
    listing, bad, _ = made(tmp_path)
    whole = review.estimate(listing, say(listing, bad))
    assert whole.precision.value == 16 / 40
    assert whole.errors.value == 16
    part = review.estimate(listing, say(listing, bad, 40))
    assert part.precision.low < 0.4 < part.precision.high  # type: ignore[operator]
    assert part.errors.low < 16 < part.errors.high  # type: ignore[operator]
    assert part.precision.high - part.precision.low > whole.precision.high - whole.precision.low  # type: ignore[operator]
    none = review.estimate(listing, {})
    assert none.precision.value is None and "needed" in none.precision.refused


def test_the_estimate_is_unbiased_although_the_worst_are_asked_first() -> None:
    """Over many seeds the mean estimate after forty questions is the truth; the share of wrong answers is far above it."""
    drafts, bad = rows()
    found = find(drafts, rounds=1)
    estimates, naive = [], []
    for seed in range(60):
        listing = _listing(found, seed)
        given = say(listing, bad, 40)
        estimates.append(review.estimate(listing, given).errors.value or 0.0)
        top = [a for i, a in given.items() if i in set(listing.order("top"))]
        naive.append(sum(a.action == "relabel" for a in top) / len(top))
    error = np.std(estimates) / 60**0.5
    assert abs(np.mean(estimates) - 16) < 4 * error
    assert np.mean(naive) > 0.45  # of 0.4


def _listing(found: Any, seed: int) -> Listing:
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        return review.write(found, Path(folder) / "s.jsonl", top=40, seed=seed)


def test_skipped_rows_do_not_count(tmp_path: Path) -> None:
    listing, bad, _ = made(tmp_path)
    given = say(listing, bad)
    skipped = {**given, **{i: Answer(i, "skip") for i in listing.order("top")[:20]}}
    left = listing.order("top")[20:]
    assert review.estimate(listing, skipped).precision.value == sum(i in bad for i in left) / 20


def test_answers_are_kept_at_once_and_the_last_counts(tmp_path: Path) -> None:
    listing, _, path = made(tmp_path)
    place = review.answers_beside(path)
    first = str(listing.rows[0]["id"])
    review.append(place, Answer(first, "keep", by="ann"))
    review.append(place, Answer(first, "relabel", "pos"))
    with place.open("a") as file:
        file.write('{"id": "half')  # killed while writing
    assert review.answers(place, listing) == {first: Answer(first, "relabel", "pos")}


def test_wrong_answers_and_files_are_refused(tmp_path: Path) -> None:
    listing, _, path = made(tmp_path)
    place = review.answers_beside(path)
    first = str(listing.rows[0]["id"])
    for answer in (Answer("stranger", "keep"), Answer(first, "burn"), Answer(first, "relabel", "neutral")):  # type: ignore[arg-type]
        review.append(place, answer)
    with pytest.raises(DataError) as caught:
        review.answers(place, listing)
    assert len(caught.value.problems) == 3
    for text in ("", "{}\n", "[1]\n", "no json\n", '{"suspects": 1, "labels": []}\n{"id": 1}\n'):
        (tmp_path / "x.jsonl").write_text(text)
        with pytest.raises(DataError, match="no list"):
            review.read(tmp_path / "x.jsonl")
    with pytest.raises(DataError, match="no such file"):
        review.read(tmp_path / "none.jsonl")


class Classes:
    task = "classification"


def room(task: str = "classification") -> Room:
    target = Classes()
    target.task = task
    return Room(Journal(), target, 0)  # type: ignore[arg-type]


@pytest.mark.parametrize(("action", "left"), [("flag", 400), ("weight", 400), ("drop", 384), ("quarantine", 384)])
def test_the_step_treats_suspects_and_balances(action: str, left: int) -> None:
    drafts, bad = rows()
    here = room()
    stay = build("step", {"suspects": {"action": action, "share": 0.04, "rounds": 1}})(drafts, here)
    assert len(stay) == left
    stage = here.journal.ledger.stages[0]
    assert stage.balances
    assert stage.reasons == {"suspect_label": 16}
    assert {d.id for d in drafts if "suspect" in d.flags} == (bad if action == "flag" else set())
    assert {d.id for d in drafts if d.weight < 0.5} == (bad if action == "weight" else set())
    assert len(here.journal.quarantined) == (16 if action == "quarantine" else 0)
    assert here.found["suspects"]["rows"] == 16


def test_the_step_is_for_classes_alone_and_says_what_it_needs() -> None:
    with pytest.raises(DataError, match="regression"):
        build("step", "suspects")(rows(20)[0], room("regression"))
    assert build("step", {"suspects": {"probe": "both"}}).needs == ("encode",)
    assert build("step", {"suspects": "drop"}).action == "drop"
