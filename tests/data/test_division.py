"""How rows are divided: units, groups, times, folds, strata, and a frozen division."""

from collections import Counter, defaultdict
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tunewright.core.errors import DataError
from tunewright.core.records import Source
from tunewright.data import manifest
from tunewright.data.by_time import instant
from tunewright.data.journal import Draft
from tunewright.data.options import Division, Shares
from tunewright.data.splits import CONTENT, assign, split_of

SHARES = Shares(0.1, 0.2)


def row(i, label="a", **more):
    made = Draft(f"text {i}", label, None, Source("f", i), None, **more)
    made.key = f"{i:04x}"
    return made


def places(drafts, division, manifest=None, shares=SHARES, seed=0):
    drafts = [replace(draft) for draft in drafts]  # being divided writes the split into a row
    divided = assign(drafts, seed, shares, (), division, manifest)
    return {d.key: name for name, part in divided.splits.items() for d in part}, [d.key for d in divided.bridges]


def test_rows_alone_go_where_their_own_content_says():
    found, bridges = places([row(i) for i in range(300)], CONTENT)
    assert found == {f"{i:04x}": split_of(f"{i:04x}", 0, SHARES) for i in range(300)}
    assert not bridges and set(found.values()) == {"train", "validation", "test"}


def test_a_cluster_and_a_group_are_never_parted_even_through_one_another():
    drafts = [row(i, cluster=str(i % 40), group=str(i % 30)) for i in range(600)]
    for division, unit in ((CONTENT, "cluster"), (Division("group"), "group"), (Division("group"), "cluster")):
        found, _ = places(drafts, division)
        together = defaultdict(set)
        for draft in drafts:
            together[getattr(draft, unit)].add(found[draft.key])
        assert all(len(splits) == 1 for splits in together.values())
    apart, _ = places(drafts, CONTENT)
    groups = defaultdict(set)
    for draft in drafts:
        groups[draft.group].add(apart[draft.key])
    assert any(len(splits) > 1 for splits in groups.values()), "groups count only where they are asked for"


@given(st.permutations(range(60)), st.integers(1, 59))
def test_order_and_rows_added_later_move_no_group(order, n):
    drafts = [row(i, group=str(i // 4)) for i in range(60)]
    whole, _ = places(drafts, Division("group"))
    some, _ = places([drafts[i] for i in order[:n]], Division("group"))
    assert some == {key: whole[key] for key in some}


def test_strata_have_their_shares_to_a_row_and_folds_meet_every_row_once():
    drafts = [row(i, "rare" if i % 10 == 0 else "common") for i in range(1000)]
    found, _ = places(drafts, Division(stratify=True))
    counts = Counter((d.label, found[d.key]) for d in drafts)
    for label, n in (("rare", 100), ("common", 900)):
        assert abs(counts[label, "test"] - 0.2 * n) <= 1 and abs(counts[label, "validation"] - 0.1 * n) <= 1
    for stratify in (False, True):
        tests = [
            {k for k, name in places(drafts, Division(folds=5, fold=f, stratify=stratify))[0].items() if name == "test"}
            for f in range(5)
        ]
        assert sum(map(len, tests)) == 1000 and len(set.union(*tests)) == 1000
        assert all(150 < len(part) < 250 for part in tests)


def test_by_time_the_latest_rows_are_held_out_and_one_moment_is_not_parted():
    drafts = [row(i, time=f"2026-01-{1 + i // 10:02d}") for i in range(280)]
    found, _ = places(drafts, Division("time"))
    days = defaultdict(set)
    for draft in drafts:
        days[found[draft.key]].add(draft.time)
    assert max(days["train"]) < min(days["validation"]) and max(days["validation"]) < min(days["test"])
    assert 45 <= list(found.values()).count("test") <= 65


def test_rows_without_a_time_are_told_with_their_lines():
    drafts = [row(i, time="2026-01-01") for i in range(5)] + [row(7, time="soon"), row(8)]
    with pytest.raises(DataError) as caught:
        places(drafts, Division("time"))
    problem = caught.value.problems[0]
    assert "2 rows" in problem.found and "'soon' (line 7)" in problem.found and problem.where == "data.time"


@pytest.mark.parametrize(
    "one, later", [("2026-01-02", "2026-01-03T00:00:00Z"), ("1", "2.5"), ("2026/01/02", "2026-02-01 10:00")]
)
def test_times_are_dates_instants_or_numbers(one, later):
    assert instant(one) < instant(later)


@pytest.mark.parametrize("cell", ["", "soon", "nan", "inf", "2026-13-01"])
def test_what_is_no_time_is_refused(cell):
    with pytest.raises(ValueError):
        instant(cell)


def test_rows_of_a_manifest_stay_new_ones_follow_their_cluster_and_bridges_are_left_out(tmp_path: Path):
    frozen = {"0001": "test", "0002": "train", "0003": "test"}
    manifest.write(tmp_path / "m.jsonl", frozen)
    assert manifest.read(tmp_path / "m.jsonl") == frozen
    drafts = [
        row(1, cluster="x"), row(2, cluster="y"), row(3, cluster="z"),
        row(4, cluster="x"), row(5, cluster="y"),
        row(6, cluster="z", group="g"), row(7, cluster="y", group="g"), row(9),
    ]  # fmt: skip
    found, bridges = places(drafts, CONTENT, frozen)
    assert found["0001"] == found["0004"] == "test" and found["0002"] == found["0005"] == "train"
    assert found["0009"] == split_of("0009", 0, SHARES) and not bridges
    found, bridges = places(drafts, Division("group"), frozen)
    assert bridges == ["0005", "0006", "0007"], "the group joins a test cluster and a train cluster"
    assert found["0002"] == "train" and found["0003"] == "test", "rows of the manifest never move"


def test_a_broken_manifest_is_told_by_line(tmp_path: Path):
    path = tmp_path / "m.jsonl"
    path.write_text(
        '{"key": "a", "split": "test"}\nnonsense\n{"key": "b", "split": "dev"}\n{"key": "a", "split": "train"}\n'
    )
    with pytest.raises(DataError) as caught:
        manifest.read(path)
    assert "line 2, 3, 4" in caught.value.problems[0].found
    with pytest.raises(DataError) as caught:
        manifest.read(tmp_path / "none.jsonl")
    assert "--freeze" in caught.value.problems[0].allowed


@pytest.mark.parametrize(
    "division", [{"folds": 3, "fold": 3}, {"by": "time", "folds": 2}, {"by": "time", "stratify": True}]
)
def test_what_does_not_go_together_is_refused(division):
    with pytest.raises(ValueError):
        Division(**division)
