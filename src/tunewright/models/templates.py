"""A tokenizer and its chat template as one object: the only place that turns messages into text and tokens.

The tokenizer's own template is used as it is. Where there is none, a default is put on the tokenizer and saved with the
model, so that transformers, and every server that reads its files, renders the same. The default writes ChatML where
the vocabulary has its marks, else plain text marks and the end token that the tokenizer has: no embedding row is new.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from tunewright.core.errors import ModelError, Problem
from tunewright.encoding.chat import CannotRender
from tunewright.encoding.messages import plain
from tunewright.models.codecs import controls_of, start_of, text_of, tokens_of

Origin = Literal["tokenizer", "chatml", "plain"]
_TAGS = re.compile(r"\{%-?\s*generation\s*-?%\}")

_DEFAULT = """\
{{- 'BOS' }}
{%- if tools %}
    {{- OPEN_SYSTEM }}
    {%- if messages[0].role == 'system' %}{{- messages[0].content + '\\n\\n' }}{%- endif %}
    {{- 'You may call these tools. A call is a JSON object with "name" and "arguments" between <tool_call> and \
</tool_call>.' }}
    {%- for tool in tools %}{{- '\\n' + (tool | tojson) }}{%- endfor %}
    {{- 'CLOSE' }}
{%- endif %}
{%- for message in messages %}
    {%- if not (tools and loop.first and message.role == 'system') %}
        {{- OPEN_ROLE }}
        {{- message.content or '' }}
        {%- for call in message.tool_calls or [] %}
            {%- set function = call.function or call %}
            {{- '\\n' if message.content or not loop.first else '' }}
            {{- '<tool_call>\\n{"name": ' + (function.name | tojson) + ', "arguments": ' }}
            {{- (function.arguments | tojson) + '}\\n</tool_call>' }}
        {%- endfor %}
        {{- 'END' if message.role == 'assistant' else 'CLOSE' }}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}{{- OPEN_ASSISTANT }}{%- endif %}
"""


@dataclass(frozen=True)
class Template:
    """What encoding calls a ChatTemplate. Made by `template_of`.

    origin: whose template it is: the tokenizer's, or a default. ends: tokens that end a reply, that of an ordinary one
    first. appended: the template writes no such token, so that training puts it behind the reply. controls: texts that
    become special tokens wherever they stand. marks: plain texts by which a default marks turns.
    """

    tokenizer: Any
    origin: Origin
    ends: tuple[int, ...]
    appended: bool
    controls: frozenset[str]
    marks: frozenset[str] = frozenset()

    def render(
        self, messages: Sequence[Mapping[str, Any]], tools: Sequence[Any] | None = (), generation_prompt: bool = False
    ) -> str:
        """The messages as one text, by transformers' own `apply_chat_template`.

        Args:
            messages: role and content, and what else the contract of records names; `weight` is left out.
            tools: JSON schemas of functions; none is none.
            generation_prompt: whether the text ends where a reply begins, as in serving.

        Raises:
            CannotRender: the template refuses these messages.
        """
        return _render(self.tokenizer, messages, tools, generation_prompt)

    def ids(
        self, messages: Sequence[Mapping[str, Any]], tools: Sequence[Any] | None = (), generation_prompt: bool = False
    ) -> list[int]:
        """The tokens of `render`: what serving sends, with a generation prompt."""
        return self.tokenize([self.render(messages, tools, generation_prompt)])[0]

    def tokenize(self, texts: Sequence[str]) -> list[list[int]]:
        """Tokens of texts, with nothing added to them."""
        return tokens_of(self.tokenizer, texts)

    def decode(self, tokens: Sequence[int]) -> str:
        """The text of tokens, special ones shown, nothing tidied up."""
        return text_of(self.tokenizer, tokens)

    def mask(
        self, messages: Sequence[Mapping[str, Any]], tools: Sequence[Any] | None = ()
    ) -> tuple[list[int], list[int]] | None:
        """Tokens, and 1 where the template's `{% generation %}` tags say the assistant's; None where it has no tags."""
        if not _TAGS.search(_text(self.tokenizer)):
            return None
        made = self.tokenizer.apply_chat_template(
            plain(messages), tools=list(tools) if tools else None, return_dict=True, return_assistant_tokens_mask=True
        )
        return list(made["input_ids"]), list(made["assistant_masks"])

    def fingerprint(self) -> str:
        """SHA-256 of the template's text, whose it is, the special tokens (not that of padding) and the ends."""
        special = {n: str(token) for n, token in self.tokenizer.special_tokens_map.items() if n != "pad_token"}
        ends = [list(self.tokenizer.convert_ids_to_tokens(self.ends)), self.appended]
        said = json.dumps([_text(self.tokenizer), self.origin, special, ends], sort_keys=True, ensure_ascii=False)
        return hashlib.sha256(said.encode()).hexdigest()

    def card(self) -> dict[str, Any]:
        """What is saved with a model: `agree` is asked with it when the model is opened."""
        return {
            "sha256": self.fingerprint(),
            "origin": self.origin,
            "ends": self.tokenizer.convert_ids_to_tokens(self.ends),
            "appended": self.appended,
        }

    def agree(self, card: Mapping[str, Any], where: str) -> None:
        """Sees that this is the template that a model was trained with.

        Raises:
            ModelError: it is another.
        """
        if card.get("sha256") == self.fingerprint():
            return
        now = ", ".join(self.tokenizer.convert_ids_to_tokens(self.ends))
        raise ModelError(
            Problem(
                where=f"chat template of {where}",
                found=f"{self.fingerprint()[:12]} (from the {self.origin}, replies end with {now}), but the model was "
                f"trained with {str(card.get('sha256'))[:12]}",
                allowed="the template that the model was trained with",
                to_do="put the tokenizer's files of that run back, or train again",
            )
        )

    def remarks(self) -> tuple[str, ...]:
        """What a user should know about this template, in whole sentences."""
        said = []
        end = self.tokenizer.convert_ids_to_tokens(self.ends[0])
        if self.origin != "tokenizer":
            kind = "ChatML" if self.origin == "chatml" else "plain text"
            said.append(f"The tokenizer has no chat template: a default one in {kind} is saved with the model.")
        if self.appended:
            said.append(f"The template ends no reply with a token: {end} is put behind each reply that is learnt.")
        if "strftime_now" in _text(self.tokenizer):
            said.append("The template writes today's date: prompts differ from day to day, in training and in serving.")
        return tuple(said)


def template_of(tokenizer: Any) -> Template:
    """The tokenizer's chat template; a default is put on the tokenizer where it has none.

    Raises:
        ModelError: the template cannot render a question and an answer, or nothing can end a reply.
    """
    if not tokenizer.chat_template:
        tokenizer.chat_template = _default(tokenizer, _kind(tokenizer))
    text = _text(tokenizer)
    kinds: tuple[Origin, ...] = ("chatml", "plain")
    origin: Origin = next((k for k in kinds if text == _default(tokenizer, k)), "tokenizer")
    ends, appended = _ends(tokenizer)
    controls = controls_of(tokenizer) | set(tokenizer.convert_ids_to_tokens(ends))
    marks = {f"### {role}:" for role in ("System", "User", "Assistant", "Tool")} if origin == "plain" else set()
    return Template(tokenizer, origin, ends, appended, controls, frozenset(marks))


def _render(
    tokenizer: Any, messages: Sequence[Mapping[str, Any]], tools: Sequence[Any] | None, generation_prompt: bool
) -> str:
    from jinja2 import TemplateError

    try:
        return str(
            tokenizer.apply_chat_template(
                plain(messages),
                tools=list(tools) if tools else None,
                add_generation_prompt=generation_prompt,
                tokenize=False,
            )
        )
    except (TemplateError, ValueError, TypeError, KeyError, AttributeError, IndexError) as error:
        said = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise CannotRender(said[:200]) from error


def _text(tokenizer: Any) -> str:
    """The template's text; where there are several by name, all of them."""
    template = tokenizer.chat_template
    return template if isinstance(template, str) else json.dumps(template, sort_keys=True, ensure_ascii=False)


def _kind(tokenizer: Any) -> Origin:
    known = tokenizer.get_vocab()
    return "chatml" if {"<|im_start|>", "<|im_end|>"} <= known.keys() else "plain"


def _default(tokenizer: Any, kind: Origin) -> str:
    """The default template: its marks are written into it, so that it stands by itself."""
    if kind == "chatml":
        parts = {
            "OPEN_SYSTEM": r"'<|im_start|>system\n'", "OPEN_ASSISTANT": r"'<|im_start|>assistant\n'",
            "OPEN_ROLE": r"'<|im_start|>' + message.role + '\n'", "CLOSE": r"<|im_end|>\n", "END": r"<|im_end|>\n",
        }  # fmt: skip
    else:
        end = str(tokenizer.eos_token or tokenizer.sep_token or "")
        parts = {
            "OPEN_SYSTEM": r"'### System:\n'", "OPEN_ASSISTANT": r"'### Assistant:\n'",
            "OPEN_ROLE": r"'### ' + message.role | capitalize + ':\n'", "CLOSE": r"\n\n", "END": end + r"\n\n",
        }  # fmt: skip
    parts["BOS"] = "" if start_of(tokenizer) is None else str(tokenizer.bos_token)
    return re.sub("|".join(parts), lambda found: parts[found[0]], _DEFAULT)


_QUESTION = {"role": "user", "content": "Question"}
_ANSWER = "Answer"
_TOOL = {"type": "function", "function": {"name": "lookup_tool", "description": "Looks up.",
         "parameters": {"type": "object", "properties": {"word": {"type": "string"}}}}}  # fmt: skip


def _ends(tokenizer: Any) -> tuple[tuple[int, ...], bool]:
    """What ends a reply, found out by rendering one; and whether that is the end token because nothing does."""
    try:
        whole = _render(tokenizer, [_QUESTION, {"role": "assistant", "content": _ANSWER}], None, False)
        if _ANSWER not in whole:
            raise CannotRender("it leaves out what the assistant says")
    except CannotRender as error:
        raise ModelError(
            Problem(where="chat template", found=f"it cannot render a question and an answer: {error}",
                    to_do="mend the tokenizer's chat_template, or take it away for the default one")
        ) from error  # fmt: skip
    after = _special(tokenizer, whole[whole.rindex(_ANSWER) + len(_ANSWER) :])
    eos = tokenizer.eos_token_id if tokenizer.eos_token_id is not None else tokenizer.sep_token_id
    if not after and eos is None:
        raise ModelError(
            Problem(where="chat template", found="no token ends a reply, and the tokenizer has no end token",
                    allowed="a template that ends each reply with a special token", to_do="choose another model")
        )  # fmt: skip
    end = after[0] if after else int(eos)
    call = _end_of_call(tokenizer)
    return (end, call) if after and call is not None and call != end else (end,), not after


def _end_of_call(tokenizer: Any) -> int | None:
    """What ends a reply that calls a tool, where the template knows tools."""
    function = {"name": "lookup_tool", "arguments": {"word": "Word"}}
    call = {"role": "assistant", "content": None,
            "tool_calls": [{"id": "call00001", "type": "function", "function": function}]}  # fmt: skip
    try:
        whole = _render(tokenizer, [_QUESTION, call], [_TOOL], False)
        prompt = _render(tokenizer, [_QUESTION], [_TOOL], True)
    except CannotRender:
        return None
    if not whole.startswith(prompt) or "lookup_tool" not in whole[len(prompt) :]:
        return None
    after = _special(tokenizer, whole[whole.rindex("lookup_tool") :])
    return after[-1] if after else None


def _special(tokenizer: Any, text: str) -> list[int]:
    """The special tokens in a text; where there are none, the added ones."""
    tokens = tokens_of(tokenizer, [text])[0] if text else []
    added = tokenizer.added_tokens_decoder
    special = set(tokenizer.all_special_ids) | {i for i, token in added.items() if token.special}
    return [t for t in tokens if t in special] or [t for t in tokens if t in added]
