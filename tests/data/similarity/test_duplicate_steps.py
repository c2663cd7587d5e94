"""Steps that find copies: who is marked, who stays, what contradictions cost; every sum balances."""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from tunewright.core.records import Source
from tunewright.core.registry import build
from tunewright.data import Columns, Options, Row, Rows, gather, prepare
from tunewright.data.journal import Draft, Journal
from tunewright.data.similarity.meaning import close_clusters
from tunewright.data.steps import Models, Room
from tunewright.data.targets import CLASSES

LONG = "this is a sentence of a good many words that somebody wrote once and copied with a single change of "
COPIES = [LONG + end for end in ("mood today", "mood now", "mood today too")]
OTHERS = ["the weather in spring", "送餐速度很快味道也不错下次再来", "ok", "a fourth text about something else"]


def drafts_of(*rows: tuple[str, str | None] | tuple[str, str | None, str]) -> list[Draft]:
    made = []
    for i, (text, label, *split) in enumerate(rows):
        made.append(
            Draft(text, label, None, Source("a.csv", i + 2), split[0] if split else None, text, f"{hash_of(text)}")
        )
    return made


def hash_of(text: str) -> str:
    from tunewright.core.records import content_id

    return content_id(text)


def go(spec: Any, drafts: list[Draft], models: Models = Models()) -> tuple[list[Draft], Room]:  # noqa: B008
    room = Room(Journal(), CLASSES, 0, models=models)
    return build("step", spec)(drafts, room), room


def outcomes(room: Room) -> list[tuple[str, str, int]]:
    return [(event.outcome, event.reason, event.source.line) for event in room.journal.ledger.events]


def test_the_first_of_each_cluster_stays_and_all_bear_its_name() -> None:
    drafts = drafts_of(*((text, "a") for text in [*COPIES, *OTHERS]))
    left, room = go("near_duplicates", drafts)
    assert [draft.text for draft in left] == [COPIES[0], *OTHERS]
    assert outcomes(room) == [("duplicate", "near_duplicate", 3), ("duplicate", "near_duplicate", 4)]
    assert {draft.cluster for draft in drafts[:3]} == {min(draft.id for draft in drafts[:3])}
    assert all(draft.cluster is None for draft in drafts[3:])
    assert room.found["near_duplicates"]["in_clusters"] == 3 and room.found["near_duplicates"]["clusters"] == 1


def test_the_longest_stays_or_all_are_only_marked() -> None:
    left, _ = go({"near_duplicates": {"keep": "longest"}}, drafts_of(*((text, "a") for text in COPIES)))
    assert [draft.text for draft in left] == [COPIES[2]]
    left, room = go({"near_duplicates": {"keep": "all"}}, drafts_of(*((text, "a") for text in COPIES)))
    assert len(left) == 3 and len({draft.cluster for draft in left}) == 1 and outcomes(room) == []


@pytest.mark.parametrize(
    ("policy", "kept", "said"),
    [
        ("queue", [], {("quarantined", "near_conflict")}),
        ("majority", [COPIES[0]], {("dropped", "near_conflict_minority"), ("duplicate", "near_duplicate")}),
        ("keep", COPIES[:2], {("duplicate", "near_duplicate")}),
    ],
)
def test_contradictions_go_as_the_policy_says(policy: str, kept: list[str], said: set[tuple[str, str]]) -> None:
    drafts = drafts_of((COPIES[0], "a"), (COPIES[1], "b"), (COPIES[2], "a"))
    left, room = go({"near_duplicates": {"conflicts": policy}}, drafts)
    assert [draft.text for draft in left] == kept
    assert {(outcome, reason) for outcome, reason, _ in outcomes(room)} == said
    assert room.found["near_duplicates"]["contradicted"] == 1


def test_a_tie_is_set_aside_under_majority() -> None:
    left, room = go({"near_duplicates": {"conflicts": "majority"}}, drafts_of((COPIES[0], "a"), (COPIES[1], "b")))
    assert left == [] and len(room.journal.quarantined) == 2


def test_copies_of_held_out_rows_leave_train() -> None:
    drafts = drafts_of((COPIES[0], "a"), (COPIES[1], "b", "test"), (COPIES[2], "a", "validation"))
    left, room = go("near_duplicates", drafts)
    assert [draft.split for draft in left] == ["test"]
    assert {reason for _, reason, _ in outcomes(room)} == {"near_leaked"}


def test_a_cluster_that_swallows_too_much_is_shown() -> None:
    texts = [f"{LONG} number {i}" for i in range(30)] + [f"row {i} of {i * i} other things" for i in range(50)]
    _, room = go({"near_duplicates": {"keep": "all"}}, drafts_of(*((text, "a") for text in texts)))
    assert room.journal.counts["cluster_alarm"] == 1
    (alarm,) = room.found["near_duplicates"]["alarms"]
    assert alarm["rows"] == 30 and alarm["share"] == 30 / 80


@given(st.lists(st.tuples(st.sampled_from([*COPIES, *OTHERS]), st.sampled_from("ab")), max_size=10), st.randoms())
@settings(max_examples=40, deadline=None)
def test_clusters_have_the_same_names_in_every_order(rows: list[tuple[str, str]], chance: random.Random) -> None:
    one, other = drafts_of(*rows), drafts_of(*rows)
    chance.shuffle(other)
    for drafts in (one, other):
        go({"near_duplicates": {"keep": "all", "conflicts": "keep"}}, drafts)
    assert {(d.text, d.cluster) for d in one} == {(d.text, d.cluster) for d in other}


def _numbers(texts: Sequence[str]) -> NDArray[np.float32]:
    """Texts on a circle, by the number in them."""
    angles = np.array([float(text.split()[0]) for text in texts])
    return np.stack([np.cos(angles), np.sin(angles)], 1).astype(np.float32)


def test_rows_of_one_meaning_are_marked_and_join_clusters_that_were_there() -> None:
    drafts = drafts_of(("0.00 a", "x"), ("0.05 b", "x"), ("1.5 c", "x"), ("0.08 d", "x"), ("1.2 e", "x"))
    drafts[2].cluster = drafts[4].cluster = "old"
    left, room = go({"semantic_duplicates": {"threshold": 0.998}}, drafts, Models(encode=_numbers))
    assert len(left) == 5 and room.found["semantic_duplicates"]["clusters"] == 2
    assert len({draft.cluster for draft in (drafts[0], drafts[1], drafts[3])}) == 1
    assert drafts[2].cluster == drafts[4].cluster == min(drafts[2].id, drafts[4].id)


def test_a_step_of_meaning_without_a_model_is_refused() -> None:
    with pytest.raises(ValueError, match="needs a model"):
        go("semantic_duplicates", drafts_of(("a", "x")))


def test_blocks_find_what_all_pairs_find() -> None:
    chance = np.random.default_rng(0)
    vectors = chance.normal(size=(2500, 6)).astype(np.float32)
    vectors[7] = 0
    unit = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-9)
    near = unit @ unit.T >= 0.97
    root = np.arange(2500)
    changed = True
    while changed:  # the least root among the neighbours, until nothing moves
        least = np.array([min(root[i], root[near[i]].min(initial=i)) for i in range(2500)])
        changed, root = bool((least != root).any()), least
    found = close_clusters(vectors, 0.97)
    assert found.tolist() == root.tolist() and found[7] == 7 and len(set(found.tolist())) < 2400


def test_a_recipe_never_parts_a_cluster() -> None:
    rows = [Row(f"{LONG} thing {i % 3} of group {i // 3} " + " ".join(f"g{i // 3}w{j}" for j in range(60)), "ab"[i // 3 % 2], None,
                Source("a.csv", i), None) for i in range(120)]  # fmt: skip
    steps = (build("step", {"near_duplicates": {"keep": "all"}}),)
    prepared = prepare(Rows(rows), Options(train=("a",), columns=Columns("text", "label"), steps=steps), 0)
    where: dict[str, set[str]] = {}
    for name, part in prepared.splits.items():
        for record in part:
            assert record.cluster is not None
            where.setdefault(record.cluster, set()).add(name)
    assert len(where) == 40 and all(len(names) == 1 for names in where.values())
    assert all(stage.balances for stage in prepared.ledger.stages)


@pytest.mark.parametrize(
    ("file", "text", "label", "duplicates", "conflicts", "clusters"),
    [
        ("sms_spam/SMSSpamCollection", "1", "0", 114, 0, 94),
        ("tweets/tweets.csv", "text", "sentiment", 38, 5, 24),
        ("waimai/waimai_10k.csv", "review", "label", 70, 42, 77),
    ],
)
def test_counts_on_real_rows(
    shared: Path, file: str, text: str, label: str, duplicates: int, conflicts: int, clusters: int
) -> None:
    steps = (build("step", "strip"), build("step", "near_duplicates"))
    options = Options(train=(str(shared / "data" / file),), columns=Columns(text, label), steps=steps)
    prepared = prepare(gather(options), options, 0)
    counts = {code: defect.count for code, defect in prepared.defects.items()}
    assert (counts["near_duplicate"], counts.get("near_conflict", 0)) == (duplicates, conflicts)
    assert prepared.found["near_duplicates"]["clusters"] == clusters
    assert all(stage.balances for stage in prepared.ledger.stages)
