"""Sets of labels and numbers: what a cell may say, what becomes of the rest, conflicts, splits, the card."""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tunewright import data as data_side
from tunewright.core.errors import DataError
from tunewright.core.records import Source
from tunewright.data import Columns, Options, Prepared, Row, Rows, UnfitError, gather, load, prepare, target_of, write
from tunewright.data.card import card
from tunewright.data.targets import KINDS, joined
from tunewright.data.targets.numbers import LARGEST

MULTI: Any = {"task": "multilabel"}
NUMBER: Any = {"task": "regression"}


def options(label: Any = "label", **more: Any) -> Options:
    return Options(train=("a.csv",), columns=Columns("text", label), **more)


def rows(labels: Sequence[str | None], split: str | None = None, texts: Sequence[str] = ()) -> Rows:
    named = texts or [f"{split or 'a'} text {i}" for i in range(len(labels))]
    return Rows(
        [Row(t, g, None, Source("a.csv", i), split) for i, (t, g) in enumerate(zip(named, labels, strict=True), 2)]
    )


def go(found: Rows, label: Any = "label", **more: Any) -> Prepared:
    return prepare(found, options(label, **more), 0)


def answers(prepared: Prepared) -> dict[str, str | None]:
    return {record.text: record.label for part in prepared.splits.values() for record in part}


def reasons(prepared: Prepared) -> dict[str, int]:
    counts: dict[str, int] = {}
    for quarantined in prepared.quarantined:
        counts[quarantined.reason] = counts.get(quarantined.reason, 0) + 1
    return counts


def balanced(prepared: Prepared) -> None:
    assert all(stage.balances for stage in prepared.ledger.stages)
    used = sum(map(len, prepared.splits.values()))
    lost = sum(stage.dropped + stage.quarantined for stage in prepared.ledger.stages)
    assert prepared.ledger.stages[0].entered == used + lost


# Every kind


def test_every_kind_names_its_task() -> None:
    for task in KINDS:
        assert target_of(options(task=task)).task == task  # type: ignore[arg-type]


def test_wrong_tasks_and_columns_come_all_at_once() -> None:
    with pytest.raises(DataError) as error:
        target_of(options(("a", "b", "a"), task="classification"))
    assert [p.where for p in error.value.problems] == ["data.label", "data.label"]
    assert "stands there twice" in error.value.problems[0].found
    with pytest.raises(DataError, match="did you mean 'multilabel'"):
        target_of(options(task="multilable"))


# Sets of labels: what a cell may say


@pytest.mark.parametrize(
    ("cells", "answer"),
    [
        (["joy|anger", "joy", "anger"], '["anger","joy"]'),
        (["joy, anger", "joy", "anger"], '["anger","joy"]'),
        (["joy;anger;joy", "joy", "anger"], '["anger","joy"]'),
        (["joy / anger", "joy", "anger"], '["anger","joy"]'),
        (["joy\tanger", "joy", "anger"], '["anger","joy"]'),
        (["n/a|joy", "n/a", "joy"], '["joy","n/a"]'),
        (["joy|anger", "fear|calm", "calm|joy"], '["anger","joy"]'),
        (['["joy", "anger"]', '["joy"]', "[]"], '["anger","joy"]'),
        (["['joy', 'it\\'s']", "['joy']", "[]"], '["it\'s","joy"]'),
        (["[3, 1]", "[1]", "[]"], '["1","3"]'),
        (["喜|怒", "喜", "怒"], '["喜","怒"]'),
    ],
)
def test_cells_with_several_labels(cells: list[str], answer: str) -> None:
    done = go(rows(cells * 10), **MULTI)
    assert answers(done)["a text 0"] == answer
    assert json.loads(answer) == sorted(json.loads(answer))
    balanced(done)


def test_none_applies_is_an_answer_and_an_empty_cell_is_none() -> None:
    done = go(rows(["a|b", "[]", None, " ", "a", "b"] * 8), **MULTI)
    found = answers(done)
    assert found["a text 1"] == "[]"
    assert {r.text for r in done.unlabelled} >= {"a text 2", "a text 3"} and len(done.unlabelled) == 16
    assert card(done)["labels_per_item"] == {"mean": 1.0, "median": 1.0, "max": 2, "none": 8}


def test_a_separator_that_is_given_is_taken() -> None:
    done = go(rows(["a and b", "a", "b"] * 8), separator=" and ", **MULTI)
    assert answers(done)["a text 0"] == '["a","b"]'
    assert answers(go(rows(["a/b,c", "a", "b"] * 8), separator="/", **MULTI))["a text 0"] == '["a","b,c"]'


def test_the_separator_that_was_found_is_said_and_kept() -> None:
    done = go(rows(["a;b", "a", "b"] * 8), **MULTI)
    assert "label column 'label': labels are separated by ';'" in done.notes
    assert card(done)["separator"] == ";"
    assert done.target.answer("b ; a") == '["a","b"]', "rows that come later are read likewise"
    assert done.target.knows('["a"]', done.labels) and not done.target.knows('["a","z"]', done.labels)


def test_without_a_separator_every_cell_is_one_label_and_that_is_doubted() -> None:
    done = go(rows(["n/a", "joy", "anger"] * 8), **MULTI)
    assert done.labels == ("anger", "joy", "n/a")
    assert any("no row has more than one label" in str(w) and "data.separator" in str(w) for w in done.warnings)


def test_columns_of_0_and_1() -> None:
    cells = [["1", "0", "0"], ["1.0", "true", "0"], ["0", "0", "0"], ["no", "YES", "False"], [None, None, None]]
    labels = [json.dumps(cell) if any(cell) else None for cell in cells]
    bad = ['["2","0","0"]', '["1",null,"0"]']
    done = go(rows(labels * 6 + bad), ("x", "y", "z"), **MULTI)
    found = answers(done)
    assert [found[f"a text {i}"] for i in range(4)] == ['["x"]', '["x","y"]', "[]", '["y"]']
    assert len(done.unlabelled) == 6
    assert reasons(done) == {"not_0_or_1": 1, "partial_label": 1}
    assert [q.detail for q in done.quarantined] == ["'x' is '2'", "no value in 'y'"]
    assert done.labels == ("x", "y"), "a label that no row has cannot be learnt"
    balanced(done)


def test_rows_that_are_no_sets_are_set_aside_with_their_lines() -> None:
    good = ['["a","b"]', '["a"]', "[]"] * 6
    bad = ["['a' 'b']", '["a"', '[["a"]]', '["\\ud800"]', '["a", null]', "[true]"]
    done = go(rows([*good, *bad]), **MULTI)
    assert reasons(done) == {"bad_list": 5, "lone_surrogate": 1}
    warning = next(w for w in done.warnings if "no set of labels" in w.found)
    assert "6 of 24 labelled rows" in warning.found and "\"['a' 'b']\" is no list of names (line 20)" in warning.found
    balanced(done)
    with pytest.raises(DataError, match=r"no set of labels in 30 of 36 labelled rows: .*\(line 8\)"):
        go(rows(['["a"]'] * 6 + [f'["a{i}" "b"]' for i in range(30)]), **MULTI)


@given(st.lists(st.lists(st.text(alphabet="ab'\"\\,[] \n", max_size=5), max_size=3), min_size=1, max_size=5))
def test_lists_are_read_as_json_and_as_python_wrote_them(sets: list[list[str]]) -> None:
    for names in sets:
        bare = [name.strip() for name in names if name.strip()]
        assert joined.listed(json.dumps(names)) == bare
        if not any("\n" in name or "\\" in name for name in names):
            assert joined.listed(repr(names)) == bare


@given(st.text(alphabet="ab'\"\\,[]{} \n1", max_size=30))
def test_no_text_breaks_the_reading_of_a_list(text: str) -> None:
    found = joined.listed(text)
    assert found is None or all(found)


# Sets of labels: the map, near names, conflicts, splits


def test_names_are_mapped_and_near_ones_refused() -> None:
    content = ["Joy|anger", "joy", "anger", "Joy"] * 5
    with pytest.raises(DataError) as error:
        go(rows(content), **MULTI)
    assert error.value.problems[0].to_do == 'write `label_map: {"joy": "Joy"}`'
    done = go(rows(content), label_map={"joy": "Joy", "anger": "Anger", "none": "x"}, **MULTI)
    assert done.labels == ("Anger", "Joy") and answers(done)["a text 0"] == '["Anger","Joy"]'
    assert any("no row has the label 'none'" in str(w) for w in done.warnings)


@pytest.mark.parametrize(("policy", "left", "aside"), [("drop", 0, 3), ("majority", 1, 0), ("keep", 2, 0)])
def test_conflicts_of_sets(policy: str, left: int, aside: int) -> None:
    found = rows(["a|b", "b", "a"] * 5)
    found.extend(rows(["a|b", "b", "b|a"], texts=["Same", "same", "SAME"]))
    done = go(found, conflicts=policy, **MULTI)
    texts = [text.lower() for text in (r.text for part in done.splits.values() for r in part)]
    assert texts.count("same") == left, "the order of the names in a cell makes no conflict"
    assert reasons(done) == ({"conflict": aside} if aside else {})


def test_held_out_rows_with_a_label_that_train_lacks_are_set_aside() -> None:
    found = rows(["a|b", "a", "b"] * 6)
    found.extend(rows(["a", "b", "a|rare", "aa"], split="test"))
    done = go(found, **MULTI)
    assert done.labels == ("a", "b") and len(done.splits["test"]) == 2
    assert reasons(done) == {"unknown_label": 2}
    assert any("'rare' is not in train" in str(w) for w in done.warnings)
    balanced(done)


def test_what_the_split_leaves_out_of_train_is_no_label_either() -> None:
    labels = ["a|b", "a", "b"] * 60
    for seed in range(12):
        done = prepare(rows([*labels, "a|lonely"]), options(**MULTI), seed)
        held = [r for name in ("validation", "test") for r in done.splits[name]]
        assert all(set(json.loads(r.label or "[]")) <= set(done.labels) for r in held)
        assert ("lonely" in done.labels) != (reasons(done) == {"unknown_label": 1})
        balanced(done)


def test_refusals_and_doubts_of_sets() -> None:
    with pytest.raises(DataError) as error:
        go(rows(["[]"] * 5), **MULTI)
    assert [p.found for p in error.value.problems] == ["5 usable rows", "no row has any label"]
    with pytest.raises(DataError, match=r'every row has the labels \["a","b"\]'):
        go(rows(["a|b"] * 12), separator="|", **MULTI)
    done = go(rows(["all|a", "all|b"] * 15 + ["all|a|rare"] * 2), **MULTI)
    said = "\n".join(map(str, done.warnings))
    assert "every row of train has 'all'" in said and "labels with fewer than 5 rows in train: 'rare' (" in said


def test_the_card_of_sets_counts_items_with_each_label() -> None:
    done = go(rows(["a|b", "a", "[]", "b"] * 10), **MULTI)
    found = card(done)
    assert [(c["label"], c["train"] + c["validation"] + c["test"], c["share"]) for c in found["classes"]] == [
        ("a", 20, 0.5), ("b", 20, 0.5)]  # fmt: skip
    assert found["task"] == "multilabel" and found["rows"] == 40


def test_rows_to_be_judged_on_are_read_by_the_same_rules() -> None:
    found = data_side.answers(rows(["b;a", "a", None, " ", "b", "[]"]), options(label_map={"a": "A"}, **MULTI))
    assert found == [
        ('["A","b"]', ""),
        ('["A"]', ""),
        (None, "missing_label"),
        (None, "missing_label"),
        ('["b"]', ""),
        ("[]", ""),
    ]
    assert data_side.answers(rows(["1", "x", "nan"]), options(**NUMBER)) == [
        ("[1.0]", ""), (None, "bad_number"), (None, "not_a_number")]  # fmt: skip
    assert data_side.answers(rows([" a", "b"]), options(label_map={"b": "c"})) == [("a", ""), ("c", "")]


# Numbers


@pytest.mark.parametrize(
    ("cell", "answer"),
    [("3.5", "[3.5]"), (" 3 ", "[3.0]"), ("-0", "[0.0]"), (".5", "[0.5]"), ("5.", "[5.0]"), ("+1e-3", "[0.001]"),
     ("0.1", "[0.1]"), ("12345678901234567890", "[1.2345678901234567e+19]")],
)  # fmt: skip
def test_numbers_in_their_canonical_form(cell: str, answer: str) -> None:
    assert target_of(options(**NUMBER)).answer(cell) == answer


@pytest.mark.parametrize(
    ("cell", "reason"),
    [("nan", "not_a_number"), ("NaN", "not_a_number"), ("-inf", "not_a_number"), ("1e999", "bad_number"),
     ("1e31", "bad_number"), ("3,5", "bad_number"), ("1_000", "bad_number"), ("٣", "bad_number"), ("12 kg", "bad_number"),
     ("0x10", "bad_number"), ("true", "bad_number")],
)  # fmt: skip
def test_what_is_no_number(cell: str, reason: str) -> None:
    with pytest.raises(UnfitError) as unfit:
        target_of(options(**NUMBER)).answer(cell)
    assert unfit.value.reason == reason and repr(cell) in unfit.value.detail


@given(st.floats(-LARGEST, LARGEST))
def test_no_digit_of_a_number_is_lost(value: float) -> None:
    answer = target_of(options(**NUMBER)).answer(repr(value))
    assert answer is not None and json.loads(answer) == [value]


def test_rows_without_a_number_are_told_with_their_lines() -> None:
    labels = [str(i / 4) for i in range(20)]
    done = go(rows([*labels, "n/a", None, "", "nan", "x"]), **NUMBER)
    assert reasons(done) == {"bad_number": 2, "not_a_number": 1} and len(done.unlabelled) == 2
    assert done.warnings[0].found == (
        "no number in 3 of 23 labelled rows: 'n/a' is no number (line 22), 'nan' is not finite (line 25), "
        "'x' is no number (line 26); set aside"
    )
    assert go(rows([*labels, "n/a"]), label_map={"n/a": ""}, **NUMBER).unlabelled[0].text == "a text 20"
    with pytest.raises(DataError, match=r"no number in 20 of 32 labelled rows: 'x0' is no number \(line 14\)"):
        go(rows([str(i) for i in range(12)] + [f"x{i}" for i in range(20)]), **NUMBER)
    balanced(done)


def test_several_targets() -> None:
    labels = [json.dumps([str(i), str(i / 2)]) for i in range(20)]
    done = go(rows([*labels, '["1",null]', None]), ("valence", "arousal"), **NUMBER)
    assert done.labels == ("valence", "arousal")
    assert answers(done)["a text 3"] == "[3.0,1.5]"
    assert reasons(done) == {"partial_label": 1}
    assert done.quarantined[0].detail == "no number in 'arousal'"
    assert [t["name"] for t in card(done)["targets"]] == ["valence", "arousal"]


def test_near_numbers_are_no_conflict_and_far_ones_are() -> None:
    base = [str(i) for i in range(21)]  # a standard deviation of about 6: 0.05 of it is 0.3
    for gap, torn in ((0.2, False), (0.4, True)):
        found = rows(base)
        found.extend(rows(["10", str(10 + gap)], texts=["Same", "same"]))
        done = go(found, **NUMBER)
        assert reasons(done) == ({"number_conflict": 2} if torn else {})
        assert sum(r.text.lower() == "same" for part in done.splits.values() for r in part) == (0 if torn else 2)


@pytest.mark.parametrize(
    ("policy", "left", "code"),
    [("drop", [], "number_conflict"), ("majority", [9.5], "number_conflict_minority"),
     ("keep", [1.0, 9.0, 10.0, 20.0], "number_conflict_kept")],
)  # fmt: skip
def test_conflicts_of_numbers(policy: str, left: list[float], code: str) -> None:
    found = rows([str(i) for i in range(21)])
    found.extend(rows(["1", "9", "10", "20"], texts=["same"] * 4))
    done = go(found, conflicts=policy, **NUMBER)
    same = [json.loads(r.label or "")[0] for part in done.splits.values() for r in part if r.text == "same"]
    assert sorted(same) == left
    assert done.defects[code].count == {"drop": 4, "majority": 3, "keep": 4}[policy]
    assert any(d["title"] == "The same text with different numbers" for d in card(done)["defects"])
    balanced(done)


def test_where_conflicts_leave_nothing_that_is_said() -> None:
    content = rows(["1", "2", "5"] * 20, texts=[f"text {i // 3}" for i in range(60)])
    with pytest.raises(DataError) as error:
        go(content, **NUMBER)
    assert [p.found for p in error.value.problems] == [
        "0 usable rows",
        "60 of 60 rows set aside: one text with different answers",
    ]
    assert len(answers(go(content, conflicts="keep", duplicates=False, **NUMBER))) == 20


def test_the_median_of_two_has_no_more_digits_than_they() -> None:
    found = rows([str(i / 10) for i in range(21)])
    found.extend(rows(["4.2", "4.4"], texts=["same", "Same"]))
    assert answers(go(found, conflicts="majority", **NUMBER))["same"] == "[4.3]"


def test_a_median_that_a_row_has_keeps_that_row() -> None:
    found = rows([str(i) for i in range(21)])
    found.extend(rows(["1", "9", "20"], texts=["Same", "same", "SAME"]))
    done = go(found, conflicts="majority", **NUMBER)
    assert answers(done)["same"] == "[9.0]" and "number_conflict_agreed" not in done.defects


def test_refusals_and_doubts_of_numbers() -> None:
    with pytest.raises(DataError) as error:
        go(rows(["3"] * 5), **NUMBER)
    assert [p.found for p in error.value.problems] == ["5 usable rows", "'label' is 3 in every row"]
    found = rows([str(i % 2) for i in range(40)])
    found.extend(rows(["1", "1"], split="test"))
    said = "\n".join(map(str, go(found, **NUMBER).warnings))
    assert "'label' takes two values, 0 and 1" in said and "'label' is 1 in every row of test" in said


def test_the_card_of_numbers() -> None:
    numbers = np.random.default_rng(0).normal(3, 2, 200)
    target = card(go(rows([repr(float(x)) for x in numbers]), **NUMBER))["targets"][0]
    assert target["mean"] == pytest.approx(numbers.mean()) and target["sd"] == pytest.approx(numbers.std())
    assert (target["low"], target["high"]) == (numbers.min(), numbers.max())
    assert target["median"] == pytest.approx(np.median(numbers))
    assert sum(target["histogram"]["counts"]) == 200 and len(target["histogram"]["edges"]) == 21
    ratings = card(go(rows([str(1 + i % 5) for i in range(50)]), **NUMBER))["targets"][0]["histogram"]
    assert ratings == {"edges": [0.5, 1.5, 2.5, 3.5, 4.5, 5.5], "counts": [10] * 5}


@given(st.lists(st.floats(-LARGEST, LARGEST), min_size=10, max_size=14, unique=True))
def test_any_numbers_have_a_card(numbers: list[float]) -> None:
    found = card(go(rows([repr(x) for x in numbers]), conflicts="keep", shares=options().shares, **NUMBER))
    target = found["targets"][0]
    assert sum(target["histogram"]["counts"]) == len(numbers)
    assert np.isfinite([target["mean"], target["sd"], *target["histogram"]["edges"]]).all()


# From files


def put(path: Path, rows: Sequence[Sequence[object]], delimiter: str = ",") -> str:
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file, delimiter=delimiter).writerows(rows)
    return str(path)


def test_lists_in_json_and_parquet(tmp_path: Path) -> None:
    content = [{"text": f"t{i}", "label": [["joy", "anger"], ["joy"], [], None][i % 4]} for i in range(40)]
    lines = tmp_path / "a.jsonl"
    lines.write_text("\n".join(json.dumps(row) for row in content))
    pq.write_table(pa.Table.from_pylist(content), tmp_path / "a.parquet")
    read = []
    for path in (lines, tmp_path / "a.parquet"):
        wanted = Options(train=(str(path),), columns=Columns("text", "label"), task="multilabel")
        done = prepare(gather(wanted), wanted, 0)
        assert done.labels == ("anger", "joy") and len(done.unlabelled) == 10
        read.append(answers(done))
    assert read[0] == read[1]
    with pytest.raises(DataError, match="0 usable rows"):
        plain = Options(train=(str(lines),), columns=Columns("text", "label"))
        prepare(gather(plain), plain, 0)


def test_a_list_of_class_labels_has_their_names(tmp_path: Path) -> None:
    table = pa.table({"text": [f"t{i}" for i in range(30)], "labels": [[i % 3, 0] for i in range(30)]})
    feature = {"feature": {"names": ["joy", "anger", "fear"], "_type": "ClassLabel"}, "_type": "Sequence"}
    info = {"info": {"features": {"labels": feature, "text": {"dtype": "string"}}}}
    pq.write_table(table.replace_schema_metadata({"huggingface": json.dumps(info)}), tmp_path / "a.parquet")
    wanted = Options(train=(str(tmp_path / "a.parquet"),), columns=Columns("text", "labels"), task="multilabel")
    done = prepare(gather(wanted), wanted, 0)
    assert done.labels == ("anger", "fear", "joy") and answers(done)["t1"] == '["anger","joy"]'


def test_several_columns_of_files(tmp_path: Path) -> None:
    content = [[f"t{i}", i % 2, int(i % 3 == 0), i / 2, -i] for i in range(30)]
    header = ["text", "x", "y", "p", "q"]
    path = put(tmp_path / "a.csv", [header, *content])
    lines = tmp_path / "a.jsonl"
    lines.write_text("\n".join(json.dumps(dict(zip(header, row, strict=True))) for row in content))
    for file in (path, str(lines)):
        sets = Options(train=(file,), columns=Columns("text", ("x", "y")), task="multilabel")
        assert answers(prepare(gather(sets), sets, 0))["t3"] == '["x","y"]'
        numbers = Options(train=(file,), columns=Columns("text", ("p", "q")), task="regression")
        assert answers(prepare(gather(numbers), numbers, 0))["t3"] == "[1.5,-3.0]"
    blank = put(tmp_path / "b.csv", [["text", "x", "y"], *[row[:3] for row in content], ["t98", " ", ""]])
    sets = Options(train=(blank,), columns=Columns("text", ("x", "y")), task="multilabel")
    assert [r.text for r in prepare(gather(sets), sets, 0).unlabelled] == ["t98"]
    with pytest.raises(DataError) as error:
        gather(Options(train=(path,), columns=Columns("text", ("x", "yy", "zz")), task="multilabel"))
    assert [p.found for p in error.value.problems] == ["there is no column 'yy'", "there is no column 'zz'"]


def test_they_are_written_and_read_back(tmp_path: Path) -> None:
    for done in (go(rows(["好|a", "a"] * 10), **MULTI), go(rows([str(i / 3) for i in range(20)]), **NUMBER)):
        write(done, tmp_path / "data")
        assert load(tmp_path / "data") == {name: list(part) for name, part in done.splits.items()}
        assert json.loads((tmp_path / "data" / "card.json").read_text("utf-8")) == card(done)


def test_goemotions(shared: Path) -> None:
    names = (shared / "data/goemotions/labels.txt").read_text().split()
    wanted = Options(
        train=(str(shared / "data/goemotions/train8k.tsv"),), columns=Columns("0", "1"), task="multilabel",
        label_map={str(i): name for i, name in enumerate(names)},
    )  # fmt: skip
    done = prepare(gather(wanted), wanted, 0)
    balanced(done)
    assert done.labels == tuple(sorted(names)) and len(done.labels) == 28
    assert done.target.answer("27,0") == '["admiration","neutral"]'
    found = card(done)
    assert found["labels_per_item"]["max"] >= 3 and 1.1 < found["labels_per_item"]["mean"] < 1.3
    assert {c["label"]: c["share"] for c in found["classes"]}["neutral"] > 0.3
    assert done.ledger.stages[0].entered == 8000 and sum(map(len, done.splits.values())) > 7900


def test_stsb(shared: Path) -> None:
    file = str(shared / "data/stsb/stsb-en-train.csv")
    wanted = Options(train=(file,), columns=Columns("0", "2", "1"), task="regression")
    done = prepare(gather(wanted), wanted, 0)
    balanced(done)
    assert done.labels == ("2",) and done.ledger.stages[0].entered == 5749
    target = card(done)["targets"][0]
    assert (target["low"], target["high"]) == (0.0, 5.0) and 2.6 < target["mean"] < 2.8
    assert all(r.pair and len(json.loads(r.label or "[]")) == 1 for part in done.splits.values() for r in part)
