"""Every form of conversation and preference: what good rows become, and with which reason bad ones are set aside."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tunewright.core import conversations as written
from tunewright.core.errors import DataError
from tunewright.data import Columns, Options, Rows, gather

U, A = {"role": "user", "content": "hi"}, {"role": "assistant", "content": "hello"}
CALL = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": {"x": 1}}}


def said(role: str, content: str | None, **more: Any) -> dict[str, Any]:
    return {"role": role, "content": content, **more}


def read(
    tmp_path: Path, *rows: Any, task: str = "chat", text: str | None = None, label: Any = None, **more: Any
) -> Rows:
    path = tmp_path / "rows.jsonl"
    path.write_text("\n".join(json.dumps(row, ensure_ascii=False) for row in rows), encoding="utf-8")
    return gather(Options(train=(str(path),), columns=Columns(text, label), task=task, **more))  # type: ignore[arg-type]


def one(tmp_path: Path, row: Any, **more: Any) -> tuple[Any, Any]:
    """Text and label of a row as values; sees that they are written in the one canonical form."""
    found = read(tmp_path, row, **more)
    assert not found.events, found.events
    (taken,) = found.rows
    text = json.loads(taken.text)
    assert taken.text == written.prompt_text(text["messages"], text.get("tools", ()))
    if taken.label is None:
        return text, None
    label = json.loads(taken.label)
    if "role" in label:
        assert taken.label == written.reply_label(label)
    elif "good" in label:
        assert taken.label == written.thumb_label(label["reply"], label["good"])
    else:
        assert taken.label == written.preference_label(label["chosen"], label["rejected"])
    return text, label


# Chat


@pytest.mark.parametrize(
    ("row", "messages", "reply"),
    [
        ({"instruction": "hi", "input": "", "output": "hello"}, [U], A),
        ({"instruction": "hi", "input": None, "response": "hello"}, [U], A),
        ({"instruction": "Add.", "input": "1 2", "output": "3"}, [said("user", "Add.\n1 2")], said("assistant", "3")),
        (
            {"instruction": "and?", "output": "x", "system": "Be brief.", "history": [["hi", "hello"]]},
            [said("system", "Be brief."), U, A, said("user", "and?")],
            said("assistant", "x"),
        ),
        ({"conversations": [{"from": "human", "value": "hi"}, {"from": "gpt", "value": "hello"}]}, [U], A),
        (
            {
                "conversations": [
                    {"from": "system", "value": ""},
                    {"from": "Human", "value": "hi"},
                    {"from": "function_call", "value": '{"name": "f", "arguments": {"x": 1}}'},
                    {"from": "observation", "value": "7"},
                    {"from": "gpt", "value": "hello"},
                ],
                "tools": '[{"name": "f", "parameters": {}}]',
            },
            [U, said("assistant", None, tool_calls=[{"type": "function", "function": CALL["function"]}]), said("tool", "7")],
            A,
        ),
        ({"messages": [U, A]}, [U], A),
        ({"messages": json.dumps([U, A])}, [U], A),
        ({"messages": [said("developer", "Be."), U, A]}, [said("system", "Be."), U], A),
        ({"messages": [said("user", [{"type": "text", "text": "h"}, {"type": "text", "text": "i"}]), A]}, [U], A),  # type: ignore[arg-type]
        ({"messages": [U, {**A, "weight": 0}, U, {**A, "weight": 1}]}, [U, {**A, "weight": 0}, U], A),
        ({"messages": [U, U, A]}, [U, U], A),
        ({"messages": [said("user", "hi", name="Ann"), A]}, [said("user", "hi", name="Ann")], A),
        (
            {
                "messages": [
                    U,
                    {"role": "assistant", "tool_calls": [{"id": "c1", "type": "function",
                                                          "function": {"name": "f", "arguments": '{"x": 1}'}}]},
                    {"role": "tool", "content": "7", "tool_call_id": "c1"},
                    A,
                ],
                "tools": [{"type": "function", "function": {"name": "f"}}],
            },
            [U, said("assistant", None, tool_calls=[CALL]), said("tool", "7", tool_call_id="c1")],
            A,
        ),
        (
            {"messages": [U, {"role": "assistant", "content": None, "function_call": {"name": "f", "arguments": ""}}]},
            [U],
            said("assistant", None, tool_calls=[{"type": "function", "function": {"name": "f", "arguments": {}}}]),
        ),
        ({"prompt": "hi", "completion": "hello"}, [U], A),
        ({"question": "hi", "answer": "hello"}, [U], A),
        ({"Question": "hi", "Answer": 42}, [U], said("assistant", "42")),
        ({"prompt": [U], "completion": [A]}, [U], A),
        ({"prompt": "hi", "completion": '{"x": 1}'}, [U], said("assistant", '{"x": 1}')),
        ({"prompt": "[1, 2]", "completion": "hello"}, [said("user", "[1, 2]")], A),
        ({"问题": "hi", "回答": "hello"}, [U], A),
    ],
)  # fmt: skip
def test_conversations(tmp_path: Path, row: Any, messages: list[Any], reply: Any) -> None:
    text, label = one(tmp_path, row)
    assert text["messages"] == messages and label == reply
    assert ("tools" in text) == ("tools" in row)


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ({"messages": [U]}, "no_reply"),
        ({"messages": [A]}, "roles_out_of_order"),
        ({"messages": [said("system", "x"), A]}, "roles_out_of_order"),
        ({"messages": [U, A, A]}, "roles_out_of_order"),
        ({"messages": [U, said("tool", "7"), A]}, "roles_out_of_order"),
        ({"messages": [U, said("assistant", "  ")]}, "empty_reply"),
        ({"messages": [U, said("assistant", None)]}, "empty_reply"),
        ({"messages": [said("user", ""), A]}, "empty_message"),
        ({"messages": [said("user", None), A]}, "empty_message"),
        ({"messages": [said("wizard", "hi"), A]}, "unknown_role"),
        ({"messages": [said("asistant", "hi"), A]}, "unknown_role"),
        ({"messages": [{"content": "hi", "role": None}, A]}, "unknown_role"),
        ({"messages": [said("user", {"a": 1}), A]}, "not_text"),  # type: ignore[arg-type]
        ({"messages": [said("user", [{"type": "image_url", "image_url": "x"}]), A]}, "not_text"),  # type: ignore[arg-type]
        ({"messages": [U, "hello"]}, "not_text"),
        ({"messages": "hello"}, "not_text"),
        ({"messages": [said("user", "a\0b"), A]}, "nul_byte"),
        ({"messages": [U, {**A, "weight": 2}]}, "bad_weight"),
        ({"messages": [U, {**A, "weight": 0}]}, "nothing_learnt"),
        ({"messages": [U, {"role": "assistant", "tool_calls": "no json"}]}, "bad_tool_call"),
        ({"messages": [U, {"role": "assistant", "tool_calls": [{"function": {"name": "f", "arguments": "{x"}}]}]}, "bad_tool_call"),
        ({"messages": [U, {"role": "assistant", "tool_calls": [{"function": {"name": "f", "arguments": "[1]"}}]}]}, "bad_tool_call"),
        ({"messages": [U, {"role": "assistant", "tool_calls": [{"x": 1}]}]}, "bad_tool_call"),
        ({"messages": [U, A], "tools": "no json"}, "bad_tools"),
        ({"messages": [U, A], "tools": "[1]"}, "bad_tools"),
        ({"other": 1}, "missing_field"),
    ],
)  # fmt: skip
def test_rows_that_are_no_conversation(tmp_path: Path, row: Any, reason: str) -> None:
    found = read(tmp_path, {"messages": [U, A]}, row)
    assert len(found.rows) == 1
    (event,) = found.events
    assert (event.outcome, event.reason, event.source.line) == ("quarantined", reason, 2)
    assert event.detail.count("; ") >= 1 and json.dumps(row, ensure_ascii=False)[:20] in event.detail


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ({"instruction": "", "output": "x"}, "empty_message"),
        ({"instruction": "hi", "output": ""}, "empty_reply"),
        ({"instruction": ["hi"], "output": "x"}, "not_text"),
        ({"instruction": "hi", "output": "x", "history": [["a"]]}, "not_text"),
        ({"instruction": "hi", "output": "x", "history": 7}, "not_text"),
        ({"instruction": "hi", "output": "x", "history": "no json"}, "not_text"),
        ({"instruction": "hi", "output": "x", "history": [["a", ""]]}, "empty_reply"),
    ],
)
def test_bad_alpaca(tmp_path: Path, row: Any, reason: str) -> None:
    found = read(tmp_path, {"instruction": "hi", "output": "x"}, row)
    assert [event.reason for event in found.events] == [reason]


def test_what_follows_the_last_reply_is_left_out_and_said(tmp_path: Path) -> None:
    found = read(tmp_path, {"messages": [U, A, said("user", "bye")]}, {"messages": [U, A, U, {**A, "weight": 0}]})
    assert [json.loads(row.label or "") for row in found.rows] == [A, A]
    assert [(c.outcome, c.reason, c.source.line) for c in found.changes] == [
        ("changed", "after_last_reply", 1), ("changed", "after_last_reply", 2)
    ]  # fmt: skip
    assert found.entered == 2


def test_an_empty_cell_for_the_completion_is_no_label(tmp_path: Path) -> None:
    assert one(tmp_path, {"prompt": "hi", "completion": None}) == ({"messages": [U]}, None)
    assert one(tmp_path, {"instruction": "hi", "output": None}) == ({"messages": [U]}, None)
    path = tmp_path / "a.csv"
    path.write_text("prompt,completion\nhi,\nhi,hello\n")
    found = gather(Options(train=(str(path),), columns=Columns(), task="chat"))
    assert [row.label for row in found.rows] == [None, written.reply_label(A)]


def test_the_recipes_system_prompt(tmp_path: Path) -> None:
    given = said("system", "Be.")
    assert one(tmp_path, {"messages": [U, A]}, system="Be.")[0]["messages"] == [given, U]
    own = said("system", "Do.")
    assert one(tmp_path, {"messages": [own, U, A]}, system="Be.")[0]["messages"] == [own, U]
    assert one(tmp_path, {"messages": [said("system", " "), U, A]}, system="Be.")[0]["messages"] == [given, U]


def test_named_columns(tmp_path: Path) -> None:
    assert one(tmp_path, {"ask": "hi", "say": "hello", "messages": []}, text="ask", label="say") == (
        {"messages": [U]},
        A,
    )
    assert one(tmp_path, {"talk": [U, A]}, text="talk") == ({"messages": [U]}, A)
    with pytest.raises(DataError, match="did you mean 'say'"):
        read(tmp_path, {"ask": "hi", "say": "hello"}, text="ask", label="sai")


def test_no_known_form_says_what_was_looked_for(tmp_path: Path) -> None:
    with pytest.raises(DataError) as error:
        read(tmp_path, {"title": "hi", "body": "hello"})
    (problem,) = error.value.problems
    assert "'title', 'body'" in problem.found
    for form in ("alpaca (instruction", "sharegpt (conversations", "openai (messages", "columns (prompt"):
        assert form in problem.allowed
    with pytest.raises(DataError, match=r"which data\.conversation asks for"):
        read(tmp_path, {"messages": [U, A]}, conversation="alpaca")
    assert (
        one(tmp_path, {"messages": [U, A], "instruction": "x", "output": "y"}, conversation="alpaca")[1]["content"]
        == "y"
    )


def test_the_form_of_most_rows_is_taken(tmp_path: Path) -> None:
    alpaca = {"instruction": "hi", "output": "hello"}
    found = read(tmp_path, {"messages": [U, A]}, alpaca, alpaca)
    assert (len(found.rows), [event.reason for event in found.events]) == (2, ["missing_field"])
    assert found.forms == ["alpaca"] and "read as alpaca (instruction, output)" in found.notes[0]


def test_parquet_and_arrays(tmp_path: Path) -> None:
    rows = [{"messages": [U, {**A, "tool_calls": None}]}] * 2
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "a.parquet")
    (tmp_path / "a.json").write_text(json.dumps(rows))
    for name in ("a.parquet", "a.json"):
        found = gather(Options(train=(str(tmp_path / name),), columns=Columns(), task="chat"))
        assert [row.label for row in found.rows] == [written.reply_label(A)] * 2 and not found.events


# Preferences


C, R = said("assistant", "good"), said("assistant", "bad")
HH = "\n\nHuman: hi\n\nAssistant: hello\n\nHuman: and?\n\nAssistant: "


@pytest.mark.parametrize(
    ("row", "messages", "label"),
    [
        ({"instruction": "hi", "input": "", "chosen": "good", "rejected": "bad"}, [U], (C, R)),
        ({"instruction": "hi", "output": ["good", "bad"]}, [U], (C, R)),
        ({"conversations": [{"from": "human", "value": "hi"}], "chosen": {"from": "gpt", "value": "good"},
          "rejected": {"from": "gpt", "value": "bad"}}, [U], (C, R)),
        ({"conversations": [{"from": "human", "value": "hi"}], "chosen": [{"from": "gpt", "value": "good"}],
          "rejected": [{"from": "gpt", "value": "bad"}]}, [U], (C, R)),
        ({"input": {"messages": [U], "tools": []}, "preferred_output": [C], "non_preferred_output": [R]}, [U], (C, R)),
        ({"messages": [U], "chosen": C, "rejected": R}, [U], (C, R)),
        ({"chosen": HH + "good", "rejected": HH + "bad"}, [U, A, said("user", "and?")], (C, R)),
        ({"prompt": "hi", "chosen": "good", "rejected": "bad"}, [U], (C, R)),
        ({"question": "hi", "chosen": "good", "rejected": "bad"}, [U], (C, R)),
        ({"prompt": [U], "chosen": [C], "rejected": [R]}, [U], (C, R)),
        ({"chosen": [U, C], "rejected": [U, R]}, [U], (C, R)),
        ({"prompt": "hi", "chosen": [U, C], "rejected": [U, R]}, [U], (C, R)),
        ({"prompt": "hi", "chosen": "good", "rejected": "bad", "system": "Be."}, [said("system", "Be."), U], (C, R)),
        ({"prompt": "hi", "completion": "good", "label": True}, [U], (C, True)),
        ({"prompt": [U], "completion": [R], "label": "false"}, [U], (R, False)),
        ({"instruction": "hi", "output": "bad", "kto_tag": False}, [U], (R, False)),
        ({"conversations": [{"from": "human", "value": "hi"}, {"from": "gpt", "value": "good"}], "kto_tag": 1}, [U], (C, True)),
        ({"messages": [U, C], "label": True}, [U], (C, True)),
        ({"prompt": "hi", "completion": "good", "label": None}, [U], None),
    ],
)  # fmt: skip
def test_preferences(tmp_path: Path, row: Any, messages: list[Any], label: Any) -> None:
    text, found = one(tmp_path, row, task="preference")
    assert text == {"messages": messages}
    if label is None:
        assert found is None
    elif isinstance(label[1], bool):
        assert found == {"reply": [label[0]], "good": label[1]}
    else:
        assert found == {"chosen": [label[0]], "rejected": [label[1]]}


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ({"prompt": "hi", "chosen": "good", "rejected": "good"}, "equal_replies"),
        ({"prompt": "hi", "chosen": "good", "rejected": " good\n"}, "equal_replies"),
        ({"prompt": "hi", "chosen": "good", "rejected": ""}, "empty_reply"),
        ({"prompt": "hi", "chosen": None, "rejected": "bad"}, "empty_reply"),
        ({"prompt": "", "chosen": "good", "rejected": "bad"}, "empty_message"),
        ({"prompt": [U, A], "chosen": "good", "rejected": "bad"}, "roles_out_of_order"),
        ({"prompt": "hi", "chosen": [C, U], "rejected": "bad"}, "roles_out_of_order"),
        ({"prompt": "hi", "chosen": [], "rejected": "bad"}, "empty_reply"),
        ({"prompt": "hi", "chosen": [said("wizard", "x")], "rejected": "bad"}, "unknown_role"),
        ({"prompt": "hi", "chosen": {"a": 1}, "rejected": "bad"}, "not_text"),
        ({"prompt": "hi", "chosen": [U, C], "rejected": [said("user", "ho"), R]}, "prompts_differ"),
        ({"prompt": "hi", "chosen": [U, C], "rejected": [U, C]}, "equal_replies"),
        ({"chosen": "good", "rejected": "bad"}, "missing_field"),
    ],
)
def test_rows_that_compare_nothing(tmp_path: Path, row: Any, reason: str) -> None:
    found = read(tmp_path, {"prompt": "hi", "chosen": "good", "rejected": "bad"}, row, task="preference")
    assert [(event.reason, event.source.line) for event in found.events] == [(reason, 2)]


def test_bad_transcripts_and_thumbs(tmp_path: Path) -> None:
    good = {"chosen": HH + "good", "rejected": HH + "bad"}
    other = "\n\nHuman: ho\n\nAssistant: bad"
    found = read(tmp_path, good, {"chosen": "x", "rejected": HH}, {"chosen": HH + "good", "rejected": other},
                 {"chosen": HH + "good", "rejected": HH}, task="preference")  # fmt: skip
    assert [event.reason for event in found.events] == ["not_text", "prompts_differ", "empty_reply"]
    rows = [{"prompt": "hi", "completion": "x", "label": label} for label in (True, "maybe")]
    assert [event.reason for event in read(tmp_path, *rows, task="preference").events] == ["bad_thumb"]


def test_named_columns_of_preferences(tmp_path: Path) -> None:
    row = {"ask": "hi", "better": "good", "worse": "bad"}
    assert one(tmp_path, row, task="reward", text="ask", label=("better", "worse"))[1] == {
        "chosen": [C],
        "rejected": [R],
    }
    with pytest.raises(DataError, match="hh_rlhf"):
        read(tmp_path, {"a": "hi", "b": "good"}, task="preference")


# Real files


@pytest.mark.parametrize(
    ("file", "task", "rows", "form"),
    [
        ("instructions/alpaca_en_demo.json", "chat", 999, "alpaca"),
        ("instructions/alpaca_zh_demo.json", "chat", 1000, "alpaca"),
        ("instructions/identity.json", "chat", 91, "alpaca"),
        ("instructions/dpo_en_demo.json", "preference", 300, "sharegpt"),
        ("instructions/dpo_zh_demo.json", "reward", 300, "sharegpt"),
        ("gsm8k/train.jsonl", "chat", 7473, "columns"),
    ],
)
def test_real_files_are_read_whole(shared: Path, file: str, task: Any, rows: int, form: str) -> None:
    found = gather(Options(train=(str(shared / "data" / file),), columns=Columns(), task=task))
    assert (len(found.rows), found.events, found.forms) == (rows, [], [form])
    for row in found.rows[::50]:
        messages = written.messages(row.text)
        assert messages[-1]["role"] == "user" and row.label is not None
        if task == "chat":
            assert written.reply(row.label)["role"] == "assistant"
        else:
            two = written.choice(row.label)
            assert two.chosen and two.rejected and two.chosen != two.rejected
