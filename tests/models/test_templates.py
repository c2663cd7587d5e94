"""A tokenizer with its chat template: defaults, what ends a reply, the fingerprint."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from chat_templates import ENDLESS, GEMMA, KINDS, LLAMA3, Kind, tokenizer
from tunewright.core.errors import ModelError
from tunewright.encoding.chat import CannotRender
from tunewright.models.templates import Template, template_of

TALK = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": "Hi"},
    {"role": "assistant", "content": "Hello"},
    {"role": "user", "content": "And?"},
]


@pytest.fixture(scope="session")
def models(shared: Path) -> Path:
    return shared / "models"


def names(chat: Template) -> Sequence[str]:
    return list(chat.tokenizer.convert_ids_to_tokens(chat.ends))


ENDS = {
    "default": "<|endoftext|>", "default_chatml": "<|im_end|>", "chatml": "<|im_end|>", "chatml_plain": "<|endoftext|>",
    "tagged": "<|im_end|>", "llama3": "<|eot_id|>", "mistral": "<|endoftext|>", "mistral_plain": "<|endoftext|>",
    "mistral_last": "<|endoftext|>", "gemma": "<end_of_turn>", "zephyr": "<|endoftext|>", "reasoning": "<|endoftext|>",
    "tools": "<|im_end|>", "endless": "<|endoftext|>",
}  # fmt: skip


@pytest.mark.parametrize("name", KINDS)
def test_what_ends_a_reply_is_found_out(models: Path, name: str) -> None:
    chat = template_of(tokenizer(models, "gpt2", KINDS[name]))
    assert names(chat) == [ENDS[name]]
    assert chat.appended == (name in ("endless", "chatml_plain"))
    assert chat.origin == {"default": "plain", "default_chatml": "chatml"}.get(name, "tokenizer")


def test_a_call_may_end_otherwise(models: Path) -> None:
    text = KINDS["tools"].text or ""
    text = text.replace("{{- '<|im_end|>\\n' }}\n{%- elif message.role == 'tool'",
                        "{{- '<|eom|>' if message.tool_calls else '<|im_end|>' }}\n{%- elif message.role == 'tool'")  # fmt: skip
    chat = template_of(tokenizer(models, "gpt2", Kind(text, (*KINDS["tools"].tokens, "<|eom|>"))))
    assert names(chat) == ["<|im_end|>", "<|eom|>"]


@pytest.mark.parametrize("base", ["gpt2", "stories260K"])
@pytest.mark.parametrize("name", ["default", "default_chatml"])
def test_a_default_is_saved_and_plain_transformers_renders_the_same(
    models: Path, tmp_path: Path, base: str, name: str
) -> None:
    from transformers import AutoTokenizer

    chat = template_of(tokenizer(models, base, KINDS[name]))
    rows = len(chat.tokenizer)
    chat.tokenizer.save_pretrained(tmp_path)
    other = AutoTokenizer.from_pretrained(tmp_path)
    assert len(other) == rows, "no token is new"
    theirs = other.apply_chat_template(TALK, add_generation_prompt=True)["input_ids"]
    assert theirs == chat.ids(TALK, generation_prompt=True)
    again = template_of(other)
    assert (again.fingerprint(), again.origin, again.ends) == (chat.fingerprint(), chat.origin, chat.ends)
    starts = chat.tokenizer("")["input_ids"]
    assert theirs[: len(starts)] == starts, "what the tokenizer puts before every text is there, once"
    assert theirs.count(1) == (base == "stories260K") or base == "gpt2"


def test_the_default_reads_as_documented(models: Path) -> None:
    chat = template_of(tokenizer(models, "gpt2", KINDS["default"]))
    assert chat.render(TALK, generation_prompt=True) == (
        "### System:\nBe brief.\n\n### User:\nHi\n\n### Assistant:\nHello<|endoftext|>\n\n### User:\nAnd?\n\n### Assistant:\n"
    )
    assert chat.render(TALK, [{"name": "f"}]).startswith("### System:\nBe brief.\n\nYou may call these tools.")
    assert chat.render(TALK[1:], [{"name": "f"}]).startswith("### System:\nYou may call these tools.")
    assert '\n{"name": "f"}\n\n### User:\nHi' in chat.render(TALK, [{"name": "f"}])
    assert chat.marks >= {"### Assistant:", "### User:"} and "<|endoftext|>" in chat.controls


def test_the_fingerprint_is_of_all_that_matters(models: Path) -> None:
    def printed(kind: Kind, **tokens: str) -> str:
        made = tokenizer(models, "gpt2", kind)
        for name, token in tokens.items():
            setattr(made, name, token)
        return template_of(made).fingerprint()

    base = printed(KINDS["llama3"])
    assert base == printed(KINDS["llama3"]) and len(base) == 64
    assert base == printed(KINDS["llama3"], pad_token="<|eot_id|>"), "padding is no part of a conversation"
    assert base != printed(Kind(LLAMA3 + " ", KINDS["llama3"].tokens, bos=True))
    assert base != printed(KINDS["llama3"], eos_token="<|eot_id|>")


def test_a_model_is_not_opened_with_another_template(models: Path) -> None:
    one = template_of(tokenizer(models, "gpt2", KINDS["default"]))
    two = template_of(tokenizer(models, "gpt2", KINDS["chatml"]))
    one.agree(one.card(), "runs/x")
    with pytest.raises(ModelError, match="trained with") as caught:
        two.agree(one.card(), "runs/x")
    (problem,) = caught.value.problems
    assert problem.where == "chat template of runs/x" and one.fingerprint()[:12] in problem.found and problem.to_do
    assert one.card()["ends"] == ["<|endoftext|>"]


def test_a_template_that_is_no_use_is_an_error(models: Path) -> None:
    for text in ("{{ messages[0].nothing.at_all }}", "{{ raise_exception('no') }}", "constant", "{% broken"):
        with pytest.raises(ModelError, match="cannot render"):
            template_of(tokenizer(models, "gpt2", Kind(text)))
    endless: Any = tokenizer(models, "gpt2", Kind(ENDLESS))
    endless.eos_token = None
    with pytest.raises(ModelError, match="no token ends a reply"):
        template_of(endless)


def test_what_a_template_refuses_is_said_in_its_words(models: Path) -> None:
    chat = template_of(tokenizer(models, "gpt2", Kind(GEMMA, KINDS["gemma"].tokens)))
    with pytest.raises(CannotRender, match=r"^System role not supported$"):
        chat.render(TALK)
    with pytest.raises(CannotRender):
        chat.render([])


def test_remarks_are_for_what_is_unusual(models: Path) -> None:
    def said(kind: Kind) -> str:
        return " ".join(template_of(tokenizer(models, "gpt2", kind)).remarks())

    assert said(KINDS["chatml"]) == ""
    assert "default one in plain text" in said(KINDS["default"]) and "in ChatML" in said(KINDS["default_chatml"])
    assert "<|endoftext|> is put behind each reply" in said(KINDS["endless"])
    assert "today's date" in said(
        Kind("{{ strftime_now('%d') }}" + (KINDS["chatml"].text or ""), KINDS["chatml"].tokens)
    )


def test_tags_give_a_mask_and_nothing_else_does(models: Path) -> None:
    talk = TALK[:3]
    tokens, mask = template_of(tokenizer(models, "gpt2", KINDS["tagged"])).mask(talk) or ([], [])
    chat = template_of(tokenizer(models, "gpt2", KINDS["chatml"]))
    assert chat.mask(talk) is None
    assert chat.decode([t for t, yes in zip(tokens, mask, strict=True) if yes]) == "Hello<|im_end|>"
