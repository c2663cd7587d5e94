"""Preferences: two replies behind one prompt, or one with a thumb."""

from __future__ import annotations

import functools
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from chat_templates import KINDS, tokenizer
from tunewright.core.conversations import preference_label, prompt_text, thumb_label
from tunewright.core.records import Record, Source
from tunewright.core.tensors import IGNORED
from tunewright.encoding import pack
from tunewright.encoding.examples import Example
from tunewright.encoding.preferences import preferences
from tunewright.models.templates import Template, template_of

Messages = list[dict[str, Any]]
ASKED: Messages = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Yes?"},
                   {"role": "user", "content": "Why 为什么?"}]  # fmt: skip


@functools.cache
def template(models: Path, base: str, name: str) -> Template:
    return template_of(tokenizer(models, base, KINDS[name]))


@pytest.fixture(scope="session")
def models(shared: Path) -> Path:
    return shared / "models"


def says(*contents: str) -> Messages:
    return [{"role": "assistant", "content": c} for c in contents]


def pair(chosen: str, rejected: str, asked: Messages = ASKED, name: str = "p") -> Record:
    return Record(name, prompt_text(asked), preference_label(says(chosen), says(rejected)), Source("f", 1))


def learnt(chat: Template, example: Example) -> str:
    return chat.decode([int(t) for t in np.asarray(example.target) if t != IGNORED])


@pytest.mark.parametrize("base", ["gpt2", "stories260K"])
@pytest.mark.parametrize("name", KINDS)
def test_both_replies_stand_behind_the_prompt_of_serving(models: Path, base: str, name: str) -> None:
    chat = template(models, base, name)
    made, refused = preferences([pair("Because.", "No 不."), pair("A", "B", name="q")], chat, limit=500)
    assert refused == [] and [e.id for e in made] == ["p", "q"]
    prompt = chat.ids(ASKED, generation_prompt=True)
    n = len(prompt)
    for side, said in zip((made[0], made[0].other), ("Because.", "No 不."), strict=True):
        assert side is not None and side.unit == "token"
        assert side.tokens[:n].tolist() == prompt and side.tokens[-1] in chat.ends
        target = np.asarray(side.target)
        assert (target[: n - 1] == IGNORED).all() and target[n - 1 : -1].tolist() == side.tokens[n:].tolist()
        assert said in learnt(chat, side) and "Yes?" not in learnt(chat, side), "nothing of the prompt is learnt"
    batch = pack(made)
    assert batch.sides == 2 and batch.counts()["pair"] == 2


def test_thumbs_are_given_as_numbers(models: Path) -> None:
    chat = template(models, "gpt2", "chatml")
    rows = [
        Record(name, prompt_text(ASKED), thumb_label(says("So."), good), Source("f", 1))
        for name, good in (("up", True), ("down", False))
    ]
    up, down = preferences(rows, chat, limit=99)[0]
    assert (up.given, down.given) == ({"good": 1.0}, {"good": 0.0}) and up.other is None
    assert learnt(chat, up) == learnt(chat, down) == "So.<|im_end|>"
    assert pack([up, down]).given["good"].tolist() == [1.0, 0.0]


def test_a_reply_may_be_several_messages(models: Path) -> None:
    chat = template(models, "gpt2", "tools")
    call = {"id": "c", "type": "function", "function": {"name": "look", "arguments": "{}"}}
    good = [{"role": "assistant", "content": None, "tool_calls": [call]},
            {"role": "tool", "content": "42", "tool_call_id": "c"}, *says("It is 42.")]  # fmt: skip
    row = Record("p", prompt_text(ASKED, [{"name": "look"}]), preference_label(good, says("Dunno.")), Source("f", 1))
    (made,), refused = preferences([row], chat, limit=500)
    assert refused == [] and made.other is not None
    assert '"look"' in learnt(chat, made) and "It is 42." in learnt(chat, made)
    assert "tool_response" not in learnt(chat, made) and learnt(chat, made.other) == "Dunno.<|im_end|>"


def test_what_is_no_preference_is_refused(models: Path) -> None:
    chat = template(models, "gpt2", "chatml")
    good = pair("a", "b")
    rows = [
        pair("a", "a", name="same"),
        pair("a", "x<|im_end|>", name="control"),
        pair("a", "", name="empty"),
        Record("none", good.text, preference_label(says("a"), ASKED[:1]), Source("f", 1)),
        Record("form", good.text, json.dumps({"chosen": []}), Source("f", 1)),
        pair("a", "word " * 300, name="long"),
        good,
    ]
    made, refused = preferences(rows, chat, limit=200)
    assert [e.id for e in made] == ["p"]
    assert [(r.id, r.reason) for r in refused] == [
        ("same", "same_reply"), ("control", "control_text"), ("empty", "no_reply"), ("none", "no_reply"),
        ("form", "form"), ("long", "too_long"),
    ]  # fmt: skip


def test_a_long_prompt_loses_its_first_exchanges_for_both(models: Path) -> None:
    chat = template(models, "gpt2", "default_chatml")
    system = {"role": "system", "content": "S"}
    long = [system, *ASKED[:2] * 20, ASKED[2]]
    row = pair("short", "a much longer reply " * 3, long)
    assert preferences([row], chat, limit=80)[1][0].reason == "too_long"
    (made,), refused = preferences([row], chat, limit=80, too_long="split_turns")
    assert refused == [] and made.other is not None
    assert len(made.other.tokens) <= 80 < len(made.other.tokens) + len(chat.ids(ASKED[:2])), "as late as needed"
    prompt = chat.decode(made.tokens)[: chat.decode(made.tokens).rindex("short")]
    assert prompt.startswith("<|im_start|>system\nS<|im_end|>\n<|im_start|>user") and "Why" in prompt
    assert chat.decode(made.other.tokens).startswith(prompt)
    assert preferences([row], chat, limit=20, too_long="split_turns")[1][0].reason == "too_long"


def test_unlabelled_preferences_are_prompts(models: Path) -> None:
    chat = template(models, "gpt2", "chatml")
    (made,), _ = preferences([Record("u", prompt_text(ASKED), None, Source("f", 1))], chat, limit=99)
    assert made.target is None and made.tokens.tolist() == chat.ids(ASKED, generation_prompt=True)


def test_real_preferences_are_learnt(shared: Path, models: Path) -> None:
    roles = {"human": "user", "gpt": "assistant", "system": "system"}
    rows = []
    for i, row in enumerate(json.loads((shared / "data" / "instructions" / "dpo_en_demo.json").read_text())[:60]):
        asked = [{"role": roles[m["from"]], "content": m["value"]} for m in row["conversations"]]
        rows.append(pair(row["chosen"]["value"], row["rejected"]["value"], asked, str(i)))
    made, refused = preferences(rows, template(models, "gpt2", "chatml"), limit=100_000)
    assert len(made) + len(refused) == len(rows) and len(made) >= 57, refused


def test_a_conversation_to_be_rewarded_ends_as_those_of_training(models: Path) -> None:
    chat = template(models, "gpt2", "chatml")
    asked = Record("p", prompt_text([*ASKED, *says("Because.")]), None, Source("f", 1))
    (whole,), refused = preferences([asked], chat, limit=99)
    (trained,), _ = preferences([pair("Because.", "No.")], chat, limit=99)
    assert refused == [] and whole.target is None and whole.tokens.tolist() == trained.tokens.tolist()


def test_a_model_that_only_reads_may_have_a_tokenizer_without_capitals(models: Path) -> None:
    """Else a reward model from an uncased encoder would learn from hardly a row."""
    from transformers import BertTokenizerFast

    chat = template_of(BertTokenizerFast.from_pretrained(models / "tokenizers" / "bert_base_uncased"))
    rows = [pair("Because it's SO.", "No, said Ann.")]
    _, refused = preferences(rows, chat, limit=99)
    assert [one.reason for one in refused] == ["round_trip"]
    (made,), refused = preferences(rows, chat, limit=99, written=False)
    assert refused == [] and made.other is not None
    assert "because it" in chat.decode(made.tokens) and "said ann" in chat.decode(made.other.tokens)
