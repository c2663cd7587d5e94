"""Kinds of answers whose rows are read as a whole: cleaning inside, keys, conflicts, splits, cards, nonsense."""

from __future__ import annotations

import json
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tunewright.core.errors import DataError
from tunewright.data import Columns, Options, Prepared, Shares, content, gather, load, prepare, write
from tunewright.data.card import card

WHOLE = ("chat", "preference", "reward", "seq2seq", "language_modeling")


def go(tmp_path: Path, rows: list[Any], task: Any = "chat", columns: Columns | None = None, **more: Any) -> Prepared:
    path = tmp_path / "rows.jsonl"
    path.write_text("\n".join(json.dumps(row, ensure_ascii=False) for row in rows), encoding="utf-8")
    options = Options(train=(str(path),), columns=columns or Columns(), task=task, **more)
    return prepare(gather(options), options, 0)


def chat(*rows: tuple[str, str]) -> list[Any]:
    return [{"prompt": a, "completion": b} for a, b in rows]


def plain(n: int) -> list[tuple[str, str]]:
    return [(f"question number {i}", f"answer number {i}") for i in range(n)]


def pairs(*rows: tuple[str, str, str]) -> list[Any]:
    return [{"prompt": p, "chosen": c, "rejected": r} for p, c, r in rows]


def records(prepared: Prepared) -> list[Any]:
    return [record for part in prepared.splits.values() for record in part]


def as_written(splits: Any) -> dict[str, list[Any]]:
    return {name: [record.as_json() for record in part] for name, part in splits.items()}


def balanced(prepared: Prepared) -> None:
    assert all(stage.balances for stage in prepared.ledger.stages)
    lost = sum(stage.dropped + stage.quarantined for stage in prepared.ledger.stages)
    assert prepared.ledger.stages[0].entered == len(records(prepared)) + lost


def test_cleaning_works_inside_the_contents(tmp_path: Path) -> None:
    done = go(tmp_path, chat(("  hi\n", " caf\u00c3\u00a9 "), *plain(12)))
    record = next(r for r in records(done) if r.text == '{"messages":[{"role":"user","content":"hi"}]}')
    assert record.label == '{"role":"assistant","content":"café"}'
    assert done.defects["mojibake"].count == 1 and done.defects["mojibake"].examples[0].text == "hi"
    done = go(tmp_path, pairs(("p ", " a", "b "), *[(f"p{i}", "x", "y") for i in range(12)]), "preference")
    record = next(r for r in records(done) if '"p"' in r.text)
    assert json.loads(record.label) == {"chosen": [{"role": "assistant", "content": "a"}],
                                        "rejected": [{"role": "assistant", "content": "b"}]}  # fmt: skip
    assert done.defects["outer_space"].count == 1


def test_equal_prompts_stand_in_one_split_and_several_replies_are_references(tmp_path: Path) -> None:
    rows = chat(
        *[(f"Question  {i}", f"one {i}") for i in range(200)], *[(f"question {i}\n", f"two {i}") for i in range(200)]
    )
    done = go(tmp_path, rows)
    assert len(records(done)) == 400 and "conflict" not in done.defects
    places: dict[str, set[str]] = {}
    for name, part in done.splits.items():
        for record in part:
            places.setdefault(json.loads(record.text)["messages"][0]["content"].split()[1], set()).add(name)
    assert len(places) == 200 and all(len(where) == 1 for where in places.values())
    assert Counter(min(where) for where in places.values())["test"] > 5
    balanced(done)


def test_a_prompt_of_a_given_test_file_leaves_train(tmp_path: Path) -> None:
    test = tmp_path / "test.jsonl"
    test.write_text("\n".join(json.dumps(row) for row in chat(("QUESTION number 3", "x"), *plain(2))))
    done = go(tmp_path, chat(*plain(40)), test=(str(test),))
    assert done.defects["leaked"].count == 3 and len(done.splits["test"]) == 3
    balanced(done)


def test_tools_roles_and_names_tell_prompts_apart_and_weights_do_not(tmp_path: Path) -> None:
    base = [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "a"}, {"role": "user", "content": "hi"}]
    last = {"role": "assistant", "content": "b"}
    light = [base[0], {**base[1], "weight": 0}, base[2]]
    tools = [{"type": "function", "function": {"name": "f"}}]
    rows = [{"messages": [*base, last]}, {"messages": [*light, last]}, {"messages": [*base, last], "tools": tools},
            {"messages": [{"role": "system", "content": "hi"}, *base, last]}]  # fmt: skip
    done = go(tmp_path, [*rows, *({"messages": [{"role": "user", "content": p}, last]} for p, _ in plain(10))])
    assert done.defects["duplicate"].count == 1 and len(records(done)) == 13
    said = card(done)
    assert (said["systems"], said["tools"], said["turns"]["max"], said["conversation"]) == (1, 1, 5, "openai")


def test_swapped_preferences_are_a_conflict(tmp_path: Path) -> None:
    more = [(f"p{i}", "x", "y") for i in range(12)]
    rows = pairs(("p", "a", "b"), ("P", "b", "a"), ("p", "a", "c"), *more)
    done = go(tmp_path, rows, "preference")
    assert [q.reason for q in done.quarantined] == ["contrary_preference"] * 2
    assert sum(json.loads(r.text)["messages"][0]["content"].lower() == "p" for r in records(done)) == 1
    balanced(done)
    done = go(tmp_path, [*rows, rows[0]], "reward", conflicts="majority")
    assert done.defects["contrary_preference_minority"].count == 1 and done.defects["duplicate"].count == 1
    assert len(records(go(tmp_path, rows, "preference", conflicts="keep"))) == 15


def thumbs(*rows: tuple[str, str, Any]) -> list[Any]:
    return [{"prompt": p, "completion": c, "label": good} for p, c, good in rows]


def test_thumbs(tmp_path: Path) -> None:
    rows = thumbs(
        *[(f"p{i}", "x", i % 2 == 0) for i in range(20)], ("p", "a", True), ("p", "a", False), ("p", "b", True)
    )
    done = go(tmp_path, [*rows, *thumbs(("q", "a", None))], "preference")
    assert [q.reason for q in done.quarantined] == ["contrary_preference"] * 2 and len(done.unlabelled) == 1
    assert card(done)["thumbs"] == {"up": 11, "down": 10}
    with pytest.raises(DataError, match="thumbs"):
        go(tmp_path, rows, "reward")
    with pytest.raises(DataError, match="every reply is good"):
        go(tmp_path, thumbs(*[(f"p{i}", "x", True) for i in range(20)]), "preference")


def test_pairs_beside_thumbs_are_refused(tmp_path: Path) -> None:
    other = tmp_path / "other.jsonl"
    other.write_text("\n".join(json.dumps(row) for row in thumbs(*[(f"p{i}", "x", i % 2 == 0) for i in range(20)])))
    with pytest.raises(DataError, match="20 thumbs and 20 pairs"):
        go(tmp_path, pairs(*[(f"q{i}", "x", "y") for i in range(20)]), "preference", test=(str(other),))


def test_translation_rows_and_references(tmp_path: Path) -> None:
    rows = [{"translation": {"en": f"text {i // 2}", "de": f" Satz {i} "}} for i in range(60)]
    done = go(tmp_path, [*rows, {"translation": {"en": "x"}}, {"translation": {"en": "alone", "de": ""}}],
              "seq2seq", Columns("en", "de"))  # fmt: skip
    assert len(records(done)) == 60 and all(r.label.startswith("Satz") for r in records(done))
    assert [q.reason for q in done.quarantined] == ["missing_field"] and [r.text for r in done.unlabelled] == ["alone"]
    said = card(done)
    assert said["characters"]["target"]["max"] == 7 and said["ratio"] > 0.9
    balanced(done)
    same = go(tmp_path, [{"a": f"text {i}", "b": f"text {i}"} for i in range(20)], "seq2seq", Columns("a", "b"))
    assert "20 of 20 targets are their sources" in str(same.warnings[0])


def test_columns_that_must_be_named() -> None:
    for task in ("seq2seq", "classification"):
        with pytest.raises(DataError) as error:
            gather(Options(train=("x.csv",), columns=Columns(), task=task))  # type: ignore[arg-type]
        assert "data.text" in [problem.where for problem in error.value.problems]


# Parallel files


def test_parallel_files(tmp_path: Path) -> None:
    sources = [f"sentence {i}" for i in range(40)]
    (tmp_path / "part.en").write_text("\n".join([*sources, "", "alone", "x\u2028y"]) + "\n", encoding="utf-8")
    (tmp_path / "part.de").write_bytes(b"\r\n".join([*(b"Satz %d" % i for i in range(40)), b"", b"", b"z"]))
    options = Options(train=(str(tmp_path / "part"),), columns=Columns("en", "de"), task="seq2seq")
    found = gather(options)
    assert [row.source.line for row in found.rows[-2:]] == [42, 43] and found.rows[-1].text == "x\u2028y"
    assert found.rows[39].label == "Satz 39" and len(found.files) == 2
    done = prepare(found, options, 0)
    assert done.defects["blank_line"].count == 1 and [r.text for r in done.unlabelled] == ["alone"]
    balanced(done)
    before = content(tmp_path / "part", options)
    (tmp_path / "part.de").write_text("x\n" * 42)
    assert content(tmp_path / "part", options) != before
    with pytest.raises(DataError, match=r"43 lines, but part\.de has 42"):
        gather(options)
    (tmp_path / "part.de").write_text("x\n" * 50)
    with pytest.raises(DataError, match=r"43 lines, but part\.de has 50"):
        gather(options)
    with pytest.raises(DataError, match="there is no such file"):
        gather(Options(train=(str(tmp_path / "part"),), columns=Columns("en", "fr"), task="seq2seq"))


def test_one_bad_line_of_parallel_files_costs_one_row(tmp_path: Path) -> None:
    (tmp_path / "p.en").write_bytes(b"".join(b"line %d \xc3\xa9\n" % i for i in range(30)) + b"\xff\xff broken\n")
    (tmp_path / "p.de").write_bytes(b"".join(b"Zeile %d\n" % i for i in range(31)))
    found = gather(Options(train=(str(tmp_path / "p"),), columns=Columns("en", "de"), task="seq2seq"))
    assert len(found.rows) == 30 and [(e.reason, e.source.line) for e in found.events] == [("not_utf8", 31)]


@pytest.mark.parametrize(
    ("file", "text", "label", "rows"),
    [("multi30k/train5k", "en", "de", 5000), ("dialogsum/dialogsum.dev.jsonl", "dialogue", "summary", 500)],
)
def test_real_texts(shared: Path, file: str, text: str, label: str, rows: int) -> None:
    options = Options(train=(str(shared / "data" / file),), columns=Columns(text, label), task="seq2seq")
    done = prepare(gather(options), options, 0)
    assert len(records(done)) == rows and not done.quarantined
    balanced(done)


def test_written_and_read_back(tmp_path: Path) -> None:
    done = go(tmp_path, chat(*plain(30), ("bad", "")))
    write(done, tmp_path / "run")
    assert as_written(load(tmp_path / "run")) == as_written(done.splits)
    said = json.loads((tmp_path / "run" / "card.json").read_text())
    assert said["turns"] == {"mean": 2.0, "max": 2} and said["characters"]["reply"]["max"] == 16
    assert said["length"]["max"] == 18 and [d["code"] for d in said["defects"]] == ["empty_reply"]
    assert json.loads((tmp_path / "run" / "quarantine.jsonl").read_text())["reason"] == "empty_reply"


# Whatever stands in a file


words = st.sampled_from(["hi", "", " ", "assistant", "user", "human", "gpt", "system", "tool", "{", "[]", "\n\nHuman: x", "\0",
                         "\n\nHuman: a\n\nAssistant: b", '{"name":"f"}', "caf\u00c3\u00a9", "\ud800", "0", "true"])  # fmt: skip
keys = st.sampled_from(["role", "from", "content", "value", "messages", "conversations", "instruction", "input", "output", "tools",
                        "chosen", "rejected", "prompt", "completion", "label", "kto_tag", "history", "system", "text", "weight",
                        "preferred_output", "non_preferred_output", "tool_calls", "name", "function", "arguments", "translation",
                        "en", "de", "type"])  # fmt: skip
nonsense = st.recursive(
    st.one_of(words, st.none(), st.booleans(), st.integers(-1, 3), st.just(1e400), st.just(0.5)),
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(keys, inner, max_size=4)),
    max_leaves=10,
)
more = {"tool_calls": nonsense, "weight": nonsense, "name": nonsense}
turns = st.lists(
    st.fixed_dictionaries({"role": words, "content": st.one_of(words, nonsense)}, optional=more), max_size=5
)
near = st.one_of(
    st.fixed_dictionaries({"messages": st.one_of(turns, nonsense)}, optional={"tools": nonsense, "chosen": turns, "rejected": turns}),
    st.fixed_dictionaries({"instruction": words, "output": nonsense}, optional={"history": nonsense, "input": nonsense}),
    st.fixed_dictionaries({"prompt": nonsense, "chosen": nonsense, "rejected": nonsense}),
    st.fixed_dictionaries({"prompt": nonsense, "completion": nonsense, "label": nonsense}),
    st.fixed_dictionaries({"chosen": words, "rejected": words}),
    st.dictionaries(keys, nonsense, max_size=5),
)  # fmt: skip


@given(rows=st.lists(near, max_size=30), task=st.sampled_from(WHOLE), named=st.booleans(), good=st.booleans())
@settings(max_examples=100, deadline=None, derandomize=True, database=None,
          suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])  # fmt: skip
def test_nonsense_is_set_aside_or_refused(rows: list[Any], task: Any, named: bool, good: bool) -> None:
    columns = Columns("en", "de") if task == "seq2seq" else Columns("prompt", "completion") if named else Columns()
    if good:
        rows = [*rows, *({"messages": [{"role": "user", "content": f"q{i}"}, {"role": "assistant", "content": "a"}],
                          "prompt": f"q{i}", "chosen": "a", "rejected": "b", "text": f"t{i}", "en": f"e{i}", "de": "d"}
                         for i in range(40))]  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "rows.jsonl"
        path.write_text("\n".join(json.dumps(row) for row in rows))
        options = Options(train=(str(path),), columns=columns, task=task, shares=Shares(0.2, 0.2))
        try:
            found = gather(options)
            assert found.entered == len(rows)
            done = prepare(found, options, 0)
        except DataError as error:
            assert error.problems
            return
        balanced(done)
        assert done.ledger.stages[0].entered == len(rows)
        for record in records(done):
            if task in ("chat", "preference", "reward"):
                value = json.loads(record.text)
                assert value["messages"] and json.loads(record.label)
                assert record.text == json.dumps(value, ensure_ascii=False, separators=(",", ":"))
            else:
                assert record.text.strip() == record.text != ""
        write(done, Path(folder) / "run")
        assert as_written(load(Path(folder) / "run")) == as_written(done.splits)
