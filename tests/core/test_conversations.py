"""Conversations in records: one way to write them, everything read back."""

from __future__ import annotations

from typing import Any

import pytest

from tunewright.core import conversations as c

CALL = {"id": "call_7", "type": "function", "function": {"name": "weather", "arguments": '{"city": "Köln"}'}}
TURNS: list[c.Message] = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": "Hi"},
    {"role": "assistant", "content": "Hello"},
    {"content": "天气?", "role": "user"},
]


def test_texts_are_compact_ordered_and_read_back() -> None:
    text = c.prompt_text(TURNS)
    assert text == (
        '{"messages":[{"role":"system","content":"Be brief."},{"role":"user","content":"Hi"},'
        '{"role":"assistant","content":"Hello"},{"role":"user","content":"天气?"}]}'
    )
    assert c.messages(text) == TURNS and c.tools(text) == []
    tools = [{"type": "function", "function": {"name": "weather"}}]
    assert c.prompt_text(TURNS, tools).endswith(',"tools":[{"type":"function","function":{"name":"weather"}}]}')
    assert c.tools(c.prompt_text(TURNS, tools)) == tools


def test_keys_stand_in_one_order_and_missing_ones_stay_away() -> None:
    mixed: dict[str, Any] = {"weight": 0, "tool_calls": [CALL], "name": None, "role": "assistant", "more": 1}
    assert list(c.ordered(mixed)) == ["role", "content", "tool_calls", "weight"]
    assert c.ordered(mixed)["content"] is None and c.ordered(mixed)["weight"] == 0
    assert c.reply_label({"content": "Hi", "role": "assistant"}) == '{"role":"assistant","content":"Hi"}'
    assert c.reply(c.reply_label(mixed))["weight"] == 0


def test_choices() -> None:
    good, bad = [{"role": "assistant", "content": "yes"}], [{"role": "assistant", "content": "no"}]
    assert c.choice(c.preference_label(good, bad)) == c.Choice(good, bad)
    assert c.choice(c.thumb_label(good, True)) == c.Choice(good, None)
    assert c.choice(c.thumb_label(bad, False)) == c.Choice(None, bad)


def test_plain_text_says_contents_and_calls() -> None:
    assert c.plain({"role": "assistant", "content": "Hello"}) == "Hello"
    asked = {"role": "assistant", "content": None, "tool_calls": [CALL]}
    assert c.plain(asked) == '{"name":"weather","arguments":{"city":"Köln"}}'
    parsed = {"name": "weather", "arguments": {"city": "Köln"}}
    assert c.plain({**asked, "tool_calls": [parsed]}) == c.plain(asked), "the same call without its id"
    assert c.plain([*TURNS[1:3], {**asked, "content": "Wait."}]).split("\n") == ["Hi", "Hello", "Wait.", c.plain(asked)]
    broken = {"function": {"name": "f", "arguments": "{oops"}}
    assert c.plain({"role": "assistant", "content": "", "tool_calls": [broken]}) == '{"name":"f","arguments":"{oops"}'


def test_the_last_thing_that_the_user_says() -> None:
    assert c.last_user(c.prompt_text(TURNS)) == "天气?"
    assert c.last_user(c.prompt_text(TURNS[:3])) == "Hi"
    assert c.last_user(c.prompt_text(TURNS[:1])) == ""


@pytest.mark.parametrize(
    ("read", "text"),
    [
        (c.messages, '["Hi"]'), (c.messages, '{"role":"user"}'), (c.messages, "Hi"), (c.reply, '{"content":"x"}'),
        (c.choice, '{"chosen":[]}'), (c.choice, '{"reply":[]}'),
    ],
)  # fmt: skip
def test_what_is_no_conversation_is_refused(read: Any, text: str) -> None:
    with pytest.raises(ValueError):
        read(text)
