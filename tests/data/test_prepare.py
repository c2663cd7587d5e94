"""Preparing: the ledger balances, nothing is lost, splits are stable, refusals say all at once."""

from __future__ import annotations

import json
import tempfile
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tunewright.core.errors import DataError, RunDamaged, StorageError
from tunewright.core.records import Record, Source
from tunewright.data import Columns, Options, Prepared, Row, Rows, Shares, gather, load, prepare, write
from tunewright.data.card import card
from tunewright.data.steps.mojibake import repairer

COLUMNS = Columns("text", "label")


def rows(*content: tuple[str, str | None], split: str | None = None, file: str = "a.csv") -> Rows:
    return Rows([Row(text, label, None, Source(file, i), split) for i, (text, label) in enumerate(content, 2)])


def plain(count: int, labels: str = "ab") -> list[tuple[str, str | None]]:
    return [(f"text number {i}", labels[i % len(labels)]) for i in range(count)]


def go(given_rows: Rows, seed: int = 0, **options: Any) -> Prepared:
    return prepare(given_rows, Options(train=("a.csv",), columns=COLUMNS, **options), seed)


def place(prepared: Prepared) -> dict[str, str]:
    return {record.text: name for name, part in prepared.splits.items() for record in part}


def stage(prepared: Prepared, name: str) -> Any:
    return next(s for s in prepared.ledger.stages if s.name == name)


def test_growth_moves_no_row_and_shares_are_binomial() -> None:
    before = place(go(rows(*plain(4000, "abbb"))))
    after = place(go(rows(*[(f"new {i}", "a") for i in range(40)], *reversed(plain(4000, "abbb")))))
    assert all(after[text] == split for text, split in before.items())
    assert place(go(rows(*plain(4000, "abbb")), seed=1)) != before
    for label, size in (("a", 1000), ("b", 3000)):
        counts = Counter(before[text] for text, own in plain(4000, "abbb") if own == label)
        for name, share in (("validation", 0.1), ("test", 0.1), ("train", 0.8)):
            assert abs(counts[name] - size * share) < 4 * (size * share * (1 - share)) ** 0.5


def test_duplicates_fold_case_and_space_and_the_first_stays() -> None:
    done = go(rows(*plain(12), ("Caf\u00e9  au lait", "a"), ("cafe\u0301 AU lait ", "a")))
    assert stage(done, "duplicates").reasons == {"duplicate": 1}
    assert "Caf\u00e9  au lait" in place(done)
    assert done.defects["duplicate"].examples[0].detail == "same as line 14"
    kept = go(rows(*plain(12), ("Same", "a"), ("Same", "a")), duplicates=False)
    ids = [r.id for part in kept.splits.values() for r in part if r.text == "Same"]
    assert ids[1] == f"{ids[0]}-2"


@pytest.mark.parametrize(("policy", "left", "aside"), [("drop", 0, 3), ("majority", 1, 0), ("keep", 2, 0)])
def test_conflicts(policy: str, left: int, aside: int) -> None:
    done = go(rows(*plain(12), ("same", "a"), ("Same", "b"), ("SAME", "a")), conflicts=policy)
    texts = [r.text.lower() for part in done.splits.values() for r in part]
    assert texts.count("same") == left
    assert [q.reason for q in done.quarantined] == ["conflict"] * aside
    assert all(q.record and q.record.label for q in done.quarantined)
    tie = go(rows(*plain(12), ("same", "a"), ("same", "b")), conflicts=policy)
    assert len(tie.quarantined) == (0 if policy == "keep" else 2)


def test_copies_leave_train_and_stay_in_test() -> None:
    all_rows = rows(*plain(12), ("In Both", "a"), ("in val and test", "b"))
    all_rows.extend(
        rows(("in both", "a"), ("x unseen", "zz"), ("y", "b"), ("in val and test", "b"), split="test", file="t")
    )
    all_rows.extend(rows(("in val and test", "a"), ("v", "a"), split="validation", file="v"))
    done = go(all_rows)
    assert stage(done, "leakage").reasons == {"leaked": 3}
    assert {r.text for r in done.splits["test"]} == {"in both", "y", "in val and test"}
    assert {r.text for r in done.splits["validation"]} == {"v"}
    assert {r.text for r in done.splits["train"]} == {text for text, _ in plain(12)}
    assert [q.reason for q in done.quarantined] == ["unknown_label"]
    assert "'zz' is not in train" in str(done.warnings[0])


def test_near_labels_are_refused_until_mapped() -> None:
    content = [*plain(12), ("x1", "Refund"), ("x2", "Refund "), ("x3", "refund"), ("x4", "Refund")]
    with pytest.raises(DataError) as error:
        go(rows(*content))
    assert error.value.problems[0].to_do == 'write `label_map: {"Refund ": "Refund", "refund": "Refund"}`'
    done = go(rows(*content), label_map={"Refund ": "Refund", "refund": "Refund"})
    assert done.labels == ("Refund", "a", "b")
    assert stage(done, "label").reasons == {"label_map": 2}
    assert go(
        rows(*content[:-1], ("x5", " lone"), ("x6", " lone")), label_map={"Refund ": "Refund", "refund": "Refund"}
    )


def test_unlabelled_and_empty_are_accounted_for() -> None:
    done = go(rows(*plain(12), ("none", None), ("blank", "  "), ("", "a"), (" \u3000 ", "a")))
    assert [r.text for r in done.unlabelled] == ["none", "blank"]
    assert stage(done, "unlabelled").reasons == {"missing_label": 2}
    assert stage(done, "empty").reasons == {"empty_text": 2}


def test_refusals_come_all_at_once() -> None:
    with pytest.raises(DataError) as error:
        go(rows(*[(f"t{i}", "a") for i in range(5)]))
    assert [p.found for p in error.value.problems] == ["5 usable rows", "every row has the label 'a'"]
    with pytest.raises(DataError, match="classes of a single row: 'c', 'd'"):
        go(rows(*plain(12), ("x", "c"), ("y", "d")))
    with pytest.raises(DataError, match="0 usable rows"):
        go(Rows())
    done = go(rows(*plain(40), ("x", "c"), ("y", "c")))
    assert any("class 'c' has" in str(w) for w in done.warnings)
    assert any("no row of 'c' in" in str(w) for w in done.warnings)


def test_limit_and_shares() -> None:
    done = go(rows(*plain(200)), limit=50, shares=Shares(0, 0))
    assert len(done.splits["train"]) == 50
    assert set(place(done)) <= set(place(go(rows(*plain(200)), limit=100)))
    with pytest.raises(ValueError, match="below 1"):
        Shares(0.6, 0.5)


def test_repairs_only_the_encoding() -> None:
    repair = repairer()
    assert repair("donâ€™t, cafÃ©") == "don’t, café"
    for text in (
        "“引号”，全角ＡＢＣ！",
        "ﬁne ‘x’",
        "naïve façade",
        "a\r\nb",
        "&lt;b&gt; é",
        "partï¿½ï¿½",
        "é \x1b[0m",
        "😀\ufe0f",
    ):
        assert repair(text) == text
    assert "\ufffd" not in repair("â€\ufffd cafÃ©").replace("\ufffd", "", 1)
    assert repair("cafÃ© ï¿½") == "café ï¿½"


def test_files_are_written_whole_and_read_back(tmp_path: Path) -> None:
    done = go(rows(*plain(40), ("none 好", None), ("same", "a"), ("same", "b")))
    write(done, tmp_path / "data")
    assert {p.name for p in (tmp_path / "data").iterdir()} == {
        "train.jsonl", "validation.jsonl", "test.jsonl", "unlabelled.jsonl", "quarantine.jsonl", "ledger.jsonl",
        "ledger.json", "card.json", "manifest.jsonl",
    }  # fmt: skip
    assert load(tmp_path / "data") == {name: list(part) for name, part in done.splits.items()}
    assert "好" in (tmp_path / "data" / "unlabelled.jsonl").read_text("utf-8")
    described = json.loads((tmp_path / "data" / "card.json").read_text("utf-8"))
    assert described == card(done)
    assert sum(c["train"] + c["validation"] + c["test"] for c in described["classes"]) == described["rows"] == 40
    assert {d["code"]: d["count"] for d in described["defects"]} == {"missing_label": 1, "conflict": 2}
    (tmp_path / "data" / "test.jsonl").write_text('{"id": 1')
    with pytest.raises(RunDamaged):
        load(tmp_path / "data")
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError):
        write(done, tmp_path / "file" / "data")


def test_a_failed_write_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    done = go(rows(*plain(40)))
    write(done, tmp_path)
    before = (tmp_path / "train.jsonl").read_bytes()

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(StorageError, match="No space left"):
        write(go(rows(*plain(60))), tmp_path)
    assert (tmp_path / "train.jsonl").read_bytes() == before
    assert not list(tmp_path.glob(".*"))


def plain_values(splits: Mapping[str, list[Record]]) -> dict[str, list[dict[str, Any]]]:
    return {name: [record.as_json() for record in part] for name, part in splits.items()}


def balanced(prepared: Prepared) -> None:
    stages = prepared.ledger.stages
    assert all(s.balances for s in stages)
    assert all(one.left == two.entered for one, two in pairwise(stages))
    used = sum(map(len, prepared.splits.values()))
    lost = sum(s.dropped + s.quarantined for s in stages)
    assert stages[0].entered == used + lost


CELL = st.sampled_from(
    [
        "0",
        "1",
        "1.5",
        "nan",
        "a|b",
        "a,b",
        "[]",
        '["a","b"]',
        "['b']",
        "a",
        "b",
        "A ",
        "",
        " ",
        '"',
        'x"y',
        '"q, ""z"""',
        "é",
        "好",
        "\0",
        "null",
    ]
) | st.text(max_size=8)
TABLE = st.lists(st.lists(CELL, min_size=1, max_size=3), max_size=30)


@settings(max_examples=150, deadline=None)
@given(TABLE, st.sampled_from(["\n", "\r\n"]), st.sampled_from([",", "\t", ";"]), st.binary(max_size=6), st.booleans(),
       st.sampled_from(["classification", "multilabel", "regression"]),
       st.sampled_from([COLUMNS, COLUMNS, Columns("text", ("label",))]))  # fmt: skip
def test_no_csv_ends_in_a_traceback(
    table: list[list[str]], end: str, delimiter: str, noise: bytes, duplicates: bool, task: Any, columns: Columns
) -> None:
    body = [["text", "label"], *table, *([f"row {i}", str(i % 2)] for i in range(12))]
    data = end.join(delimiter.join(line) for line in body).encode("utf-8", "surrogatepass")
    data = data[: len(data) // 2] + noise + data[len(data) // 2 :]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "a.csv")
        path.write_bytes(data)
        options = Options(train=(str(path),), columns=columns, task=task, duplicates=duplicates, conflicts="majority")
        try:
            done = prepare(gather(options), options, 0)
        except DataError as error:
            assert error.problems
            assert "defect of the stage" not in str(error)
            return
        balanced(done)
        write(done, Path(folder, "data"))
        assert plain_values(load(Path(folder, "data"))) == plain_values(done.splits)


@settings(max_examples=100, deadline=None)
@given(
    st.binary(max_size=200),
    st.sampled_from(["a.csv", "a.tsv", "a.json", "a.jsonl", "a", "a.parquet", "a.arrow", "a.csv.gz"]),
)
def test_no_bytes_end_in_a_traceback(data: bytes, name: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, name)
        path.write_bytes(data)
        options = Options(train=(str(path),), columns=COLUMNS)
        with pytest.raises(DataError):
            prepare(gather(options), options, 0)


def test_tweets(shared: Path) -> None:
    options = Options(train=(str(shared / "data/tweets/tweets.csv"),), columns=Columns("text", "sentiment"))
    done = prepare(gather(options), options, 0)
    balanced(done)
    assert stage(done, "read").entered == 8000
    assert done.labels == ("negative", "neutral", "positive")
    assert done.defects["duplicate"].count == 4
    assert done.defects["outer_space"].count > 3000
    assert done.defects["replacement_character"].count == 46
    assert "mojibake" not in done.defects


@pytest.mark.parametrize(
    ("file", "columns"),
    [
        ("waimai/waimai_10k.csv", Columns("review", "label")),
        ("sms_spam/SMSSpamCollection", Columns("1", "0")),
        ("sst2/dev.tsv", Columns("sentence", "label")),
        ("rte/train.tsv", Columns("sentence1", "label", "sentence2")),
    ],
)
def test_real_sets_balance(shared: Path, file: str, columns: Columns) -> None:
    options = Options(train=(str(shared / "data" / file),), columns=columns)
    done = prepare(gather(options), options, 0)
    balanced(done)
    assert len(done.labels) == 2
    assert {"duplicate", "conflict"} & set(done.defects)


def test_a_step_of_train_is_accounted_for_beside_the_rows_that_it_does_not_see() -> None:
    @dataclass(frozen=True)
    class Twice:
        phase = "train"

        def __call__(self, drafts: list[Any], room: Any) -> list[Any]:
            assert len(room.held) + len(drafts) == 60 and {d.split for d in drafts} == {"train"}
            assert [d.text for d in room.unlabelled] == ["nobody said"]
            room.found["twice"] = len(drafts)
            more = [replace(d, id=f"{d.id}+", parents=(d.id,)) for d in drafts]
            room.journal.close("twice", len(drafts), 2 * len(drafts), added=len(more))
            return [*drafts, *more]

    done = go(rows(*plain(60), ("nobody said", None)), steps=(Twice(),))
    last, before = stage(done, "twice"), stage(done, "leakage")
    assert last.entered == before.left == 60 and last.left == 60 + last.added == sum(map(len, done.splits.values()))
    assert card(done)["found"] == {"twice": last.added} and len(done.manifest) == 60
