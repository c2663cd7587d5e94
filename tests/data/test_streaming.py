"""Streaming gives what preparing gives, row for row and sum for sum; bounded memory costs nothing but words."""

from __future__ import annotations

import json
import random
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from tunewright.core.errors import DataError, RecipeError
from tunewright.core.registry import build
from tunewright.data import Columns, Options, gather, prepare
from tunewright.data.options import Division
from tunewright.data.streaming import Streamed, stream
from tunewright.data.streaming.workers import in_order

SYLLABLES = ["ba", "ke", "li", "mo", "nu", "pa", "re", "si", "to", "vu", "za", "che", "dri", "flo", "gwe"]
WORDS = [a + b for a in SYLLABLES for b in SYLLABLES]
CHINESE = [
    "送餐速度很快，味道也不错，下次还会再点的",
    "送餐速度很快，味道也不错，下次还会再来的",
    "包装破了",
    "ok",
    "OK ",
]


def sentence(seed: int) -> str:
    chance = random.Random(seed)
    return " ".join(chance.choice(WORDS) for _ in range(24))


def rows_of(picks: Sequence[tuple[int, int, str]]) -> list[tuple[str, str]]:
    """Fillers, and rows with copies, near copies, contradictions, empty texts, missing labels."""
    rows = [(sentence(1000 + i), "ab"[i % 2]) for i in range(30)]
    for number, change, label in picks:
        text = [*(sentence(i) for i in range(6)), *CHINESE, "  ", ""][number]
        rows.append((text + ["", " ", " more", " 再来"][change] if text.strip() else text, label))
    return rows


def write_csv(path: Path, rows: Sequence[tuple[str, str]]) -> None:
    lines = [f'"{text}",{label}' for text, label in rows]
    path.write_text("text,label\n" + "\n".join(lines) + "\n", encoding="utf-8")


def options_of(*files: str, near: Any = "near_duplicates", **more: Any) -> Options:
    steps = tuple(build("step", step) for step in ("mojibake", "strip", *([near] if near else [])))
    return Options(train=files, columns=Columns("text", "label"), steps=steps, **more)


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").split("\n") if line]


def same_as_prepared(options: Options, base: Path, found: Streamed, seed: int = 0) -> None:
    told = prepare(gather(options, base), options, seed)
    for name, part in told.splits.items():
        assert lines(Path(found.files[0]).parent / f"{name}.jsonl") == [record.as_json() for record in part]
    sums = {stage.name: stage for stage in told.ledger.stages}
    assert [stage.name for stage in found.ledger.stages] == [
        name for name in sums if name in {s.name for s in found.ledger.stages}
    ]
    for stage in found.ledger.stages:
        assert stage == sums[stage.name]
    assert set(sums) - {stage.name for stage in found.ledger.stages} <= {"leakage"}
    if told.found:
        assert found.found == told.found
    ledger = lines(Path(found.files[0]).parent / "ledger.jsonl")
    kept = [(e.stage, e.outcome, e.reason, e.source.line) for e in told.ledger.events]
    assert sorted((e["stage"], e["outcome"], e["reason"], e["line"]) for e in ledger) == sorted(kept)


PICKS = st.lists(
    st.tuples(st.integers(0, 12), st.integers(0, 3), st.sampled_from(["a", "b", "b", "", " a"])), max_size=30
)
POLICIES = st.sampled_from([
    ("near_duplicates", "drop"),
    ({"near_duplicates": {"keep": "longest", "conflicts": "majority"}}, "majority"),
    ({"near_duplicates": {"keep": "all", "conflicts": "keep", "threshold": 0.6}}, "keep"),
    ({"near_duplicates": {"keep": "first", "conflicts": "keep"}}, "keep"),
    (None, "majority"),
])  # fmt: skip


@given(PICKS, POLICIES, st.integers(1, 40))
@settings(max_examples=25, deadline=None)
def test_streaming_is_preparing(picks: list[tuple[int, int, str]], policy: tuple[Any, Any], size: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        base = Path(folder)
        rows = [(text, label if label != " a" else "a") for text, label in rows_of(picks)]
        write_csv(base / "one.csv", rows[: len(rows) // 2])
        write_csv(base / "two.csv", rows[len(rows) // 2 :])
        options = options_of("one.csv", "two.csv", near=policy[0], conflicts=policy[1])
        found = stream(options, base / "out", base=base, size=size)
        same_as_prepared(options, base, found)
        assert sorted(p.name for p in base.iterdir()) == ["one.csv", "out", "two.csv"]


def test_two_processes_give_what_one_gives(tmp_path: Path) -> None:
    rows = rows_of([(i % 13, i % 4, "ab"[i % 2]) for i in range(60)])
    write_csv(tmp_path / "rows.csv", rows)
    options = options_of("rows.csv")
    one = stream(options, tmp_path / "one", base=tmp_path, size=16)
    two = stream(options, tmp_path / "two", base=tmp_path, size=16, processes=2)
    for name in ("train.jsonl", "validation.jsonl", "test.jsonl", "ledger.jsonl", "ledger.json"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()
    assert one.splits == two.splits


def test_parquet_holds_the_same_rows(tmp_path: Path) -> None:
    import pyarrow.parquet as pq

    write_csv(tmp_path / "rows.csv", rows_of([(i % 13, i % 4, "a") for i in range(40)]))
    stream(options_of("rows.csv"), tmp_path / "j", base=tmp_path)
    stream(options_of("rows.csv"), tmp_path / "p", base=tmp_path, form="parquet")
    rows = pq.read_table(tmp_path / "p/train.parquet").to_pylist()
    assert [(r["id"], r["text"], r["line"]) for r in rows] == [
        (r["id"], r["text"], r["source"]["line"]) for r in lines(tmp_path / "j/train.jsonl")
    ]


def test_texts_without_labels_are_kept(tmp_path: Path) -> None:
    write_csv(tmp_path / "rows.csv", [(sentence(i // 2), "x") for i in range(40)])
    options = Options(train=("rows.csv",), columns=Columns("text"), steps=options_of().steps)
    found = stream(options, tmp_path / "out", base=tmp_path)
    assert sum(found.splits.values()) == 20
    assert {stage.name: stage.dropped for stage in found.ledger.stages}["duplicates"] == 20


def test_what_needs_all_rows_is_refused_at_once(tmp_path: Path) -> None:
    bad = options_of("a.csv", limit=5, validation=("b.csv",), division=Division(stratify=True), task="regression")
    with pytest.raises(RecipeError) as error:
        stream(bad, tmp_path / "out")
    assert {problem.where for problem in error.value.problems} == {"task", "data", "data.split", "data.limit"}
    assert list(tmp_path.iterdir()) == []


def test_labels_that_differ_by_a_space_stop_it_and_leave_nothing(tmp_path: Path) -> None:
    write_csv(tmp_path / "rows.csv", [(sentence(i), ["yes", "Yes"][i > 30]) for i in range(40)])
    with pytest.raises(DataError):
        stream(options_of("rows.csv"), tmp_path / "out", base=tmp_path, size=10)
    assert [p.name for p in tmp_path.iterdir()] == ["rows.csv"]


def test_an_old_result_stays_where_the_new_run_fails(tmp_path: Path) -> None:
    write_csv(tmp_path / "rows.csv", rows_of([]))
    stream(options_of("rows.csv"), tmp_path / "out", base=tmp_path)
    before = (tmp_path / "out/train.jsonl").read_bytes()
    with pytest.raises(DataError):
        stream(options_of("rows.csv", "absent.csv"), tmp_path / "out", base=tmp_path)
    assert (tmp_path / "out/train.jsonl").read_bytes() == before


def test_results_come_in_order_and_few_wait() -> None:
    taken = []

    def arguments() -> Any:
        for i in range(8):
            taken.append(i)
            yield (i, 3)

    assert list(in_order(pow, arguments(), 1)) == [i**3 for i in range(8)]
    assert list(in_order(pow, arguments(), 2)) == [i**3 for i in range(8)]


def test_the_command(tmp_path: Path) -> None:
    from tunewright.cli_data import app

    write_csv(tmp_path / "rows.csv", rows_of([(i % 6, i % 4, "a") for i in range(40)]))
    asked = ["dedup", str(tmp_path / "rows.csv"), "--text", "text", "--label", "label", "--processes", "1", "--out"]
    result = CliRunner().invoke(app, [*asked, str(tmp_path / "out"), "--json"])
    assert result.exit_code == 0, result.output
    told = json.loads(result.stdout)
    assert all(stage["balances"] for stage in told["stages"]) and told["found"]["near_duplicates"]["clusters"] == 6
    plain = CliRunner().invoke(app, [*asked, str(tmp_path / "out2"), "--near", "0.9"])
    assert plain.exit_code == 0 and "near_duplicates" in plain.stdout and "train" in plain.stdout


def test_real_rows(shared: Path, tmp_path: Path) -> None:
    options = Options(
        train=(str(shared / "data/sms_spam/SMSSpamCollection"),), columns=Columns("1", "0"), steps=options_of().steps,
    )  # fmt: skip
    found = stream(options, tmp_path / "out", size=1000)
    same_as_prepared(options, Path(), found)
    assert {stage.name: stage.dropped for stage in found.ledger.stages}["near_duplicates"] == 113


@pytest.mark.parametrize("labels", ["abb", "aab", "ab", "abbcc", "bbb"])
@pytest.mark.parametrize("change", ["", " more"])
def test_a_majority_stays_and_a_tie_is_set_aside(labels: str, change: str, tmp_path: Path) -> None:
    rows = rows_of([]) + [(sentence(3) + change * (i % 2), label) for i, label in enumerate(labels)]
    write_csv(tmp_path / "rows.csv", rows)
    near = {"near_duplicates": {"conflicts": "majority"}}
    options = options_of("rows.csv", near=near, conflicts="majority", label_map={"c": "b"} if labels == "abbcc" else {})
    same_as_prepared(options, tmp_path, stream(options, tmp_path / "out", base=tmp_path))
