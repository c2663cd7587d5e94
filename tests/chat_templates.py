"""Chat templates of the kinds that are met, and tokenizers to put them on."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

CHATML = """\
{%- if messages[0]['role'] != 'system' %}{{- '<|im_start|>system\\nYou are a helpful assistant.<|im_end|>\\n' }}{%- endif %}
{%- for message in messages %}
{{- '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>' + '\\n' }}
{%- endfor %}
{%- if add_generation_prompt %}{{- '<|im_start|>assistant\\n' }}{%- endif %}
"""

CHATML_TAGGED = """\
{%- for message in messages %}
{%- if message['role'] == 'assistant' %}
{{- '<|im_start|>assistant\\n' }}{% generation %}{{- message['content'] + '<|im_end|>' }}{% endgeneration %}{{- '\\n' }}
{%- else %}
{{- '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>\\n' }}
{%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}{{- '<|im_start|>assistant\\n' }}{%- endif %}
"""

LLAMA3 = """\
{{- bos_token }}
{%- for message in messages %}
{{- '<|start_header_id|>' + message['role'] + '<|end_header_id|>\\n\\n' + message['content'] | trim + '<|eot_id|>' }}
{%- endfor %}
{%- if add_generation_prompt %}{{- '<|start_header_id|>assistant<|end_header_id|>\\n\\n' }}{%- endif %}
"""

MISTRAL = """\
{%- if messages[0]['role'] == 'system' %}{%- set system = messages[0]['content'] + '\\n\\n' %}{%- set loop_messages = messages[1:] %}
{%- else %}{%- set system = '' %}{%- set loop_messages = messages %}{%- endif %}
{{- bos_token }}
{%- for message in loop_messages %}
{%- if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}
{{- raise_exception('Conversation roles must alternate user/assistant/user/assistant/...') }}
{%- endif %}
{%- if message['role'] == 'user' %}{{- '[INST] ' + (system if loop.first else '') + message['content'] + ' [/INST]' }}
{%- else %}{{- ' ' + message['content'] | trim + eos_token }}{%- endif %}
{%- endfor %}
"""

MISTRAL_LAST = MISTRAL.replace("system if loop.first", "system if loop.last or (loop.index0 == loop.length - 2)")
"""The system prompt goes into the last user message, as in Mistral's third version: the past is rendered otherwise."""

GEMMA = """\
{{- bos_token }}
{%- if messages[0]['role'] == 'system' %}{{- raise_exception('System role not supported') }}{%- endif %}
{%- for message in messages %}
{%- if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}
{{- raise_exception('Conversation roles must alternate user/assistant/user/assistant/...') }}
{%- endif %}
{%- set role = 'model' if message['role'] == 'assistant' else message['role'] %}
{{- '<start_of_turn>' + role + '\\n' + message['content'] | trim + '<end_of_turn>\\n' }}
{%- endfor %}
{%- if add_generation_prompt %}{{- '<start_of_turn>model\\n' }}{%- endif %}
"""

ZEPHYR = """\
{% for message in messages %}
{% if message['role'] == 'user' %}
{{ '<|user|>\\n' + message['content'] + eos_token }}
{% elif message['role'] == 'system' %}
{{ '<|system|>\\n' + message['content'] + eos_token }}
{% elif message['role'] == 'assistant' %}
{{ '<|assistant|>\\n'  + message['content'] + eos_token }}
{% endif %}
{% if loop.last and add_generation_prompt %}
{{ '<|assistant|>' }}
{% endif %}
{% endfor %}
"""

REASONING = """\
{{- bos_token }}
{%- for message in messages %}
{%- if message['role'] == 'system' %}{{- message['content'] }}{%- endif %}
{%- if message['role'] == 'user' %}{{- '<|User|>' + message['content'] }}{%- endif %}
{%- if message['role'] == 'assistant' %}
{%- set content = message['content'] %}
{%- if '</think>' in content and not loop.last %}{%- set content = content.split('</think>')[-1] %}{%- endif %}
{{- '<|Assistant|>' + content + eos_token }}
{%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}{{- '<|Assistant|>' }}{%- endif %}
"""

REASONING_STRICT = REASONING.replace(" and not loop.last", "").replace(
    "add_generation_prompt %}{{- '<|Assistant|>'", "add_generation_prompt %}{{- '<|Assistant|><think>\\n'"
)
"""Drops the reasoning of every reply and opens it in the generation prompt: no reply can be learnt as it is served."""

TOOLS = """\
{%- if tools %}
{{- '<|im_start|>system\\n' + (messages[0].content if messages[0].role == 'system' else 'You are helpful.') }}
{{- '\\n# Tools\\n' }}{%- for tool in tools %}{{- tool | tojson }}{%- endfor %}{{- '<|im_end|>\\n' }}
{%- elif messages[0].role == 'system' %}{{- '<|im_start|>system\\n' + messages[0].content + '<|im_end|>\\n' }}{%- endif %}
{%- for message in messages %}
{%- if message.role == 'user' or (message.role == 'system' and not loop.first) %}
{{- '<|im_start|>' + message.role + '\\n' + message.content + '<|im_end|>\\n' }}
{%- elif message.role == 'assistant' %}
{{- '<|im_start|>assistant' }}
{%- if message.content %}{{- '\\n' + message.content }}{%- endif %}
{%- for call in message.tool_calls or [] %}
{{- '\\n<tool_call>\\n{"name": "' + call.function.name + '", "arguments": ' + (call.function.arguments | tojson) + '}\\n</tool_call>' }}
{%- endfor %}
{{- '<|im_end|>\\n' }}
{%- elif message.role == 'tool' %}
{{- '<|im_start|>user\\n<tool_response>\\n' + message.content + '\\n</tool_response><|im_end|>\\n' }}
{%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}{{- '<|im_start|>assistant\\n' }}{%- endif %}
"""

ENDLESS = """\
{%- for message in messages %}{{- message['role'] + ': ' + message['content'] + '\\n' }}{%- endfor %}
{%- if add_generation_prompt %}{{- 'assistant: ' }}{%- endif %}
"""


@dataclass(frozen=True)
class Kind:
    """A template and the special tokens that its vocabulary has."""

    text: str | None
    tokens: tuple[str, ...] = ()
    bos: bool = False
    system: bool = True
    tools: bool = False
    alternating: bool = False


_IM = ("<|im_start|>", "<|im_end|>")
_REASON = ("<|User|>", "<|Assistant|>")
KINDS = {
    "default": Kind(None, tools=True),
    "default_chatml": Kind(None, _IM, tools=True),
    "chatml": Kind(CHATML, _IM),
    "chatml_plain": Kind(CHATML),
    "tagged": Kind(CHATML_TAGGED, _IM),
    "llama3": Kind(LLAMA3, ("<|begin_of_text|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"), bos=True),
    "mistral": Kind(MISTRAL, ("[INST]", "[/INST]"), alternating=True),
    "mistral_plain": Kind(MISTRAL, alternating=True),
    "mistral_last": Kind(MISTRAL_LAST, ("[INST]", "[/INST]"), alternating=True),
    "gemma": Kind(GEMMA, ("<start_of_turn>", "<end_of_turn>"), system=False, alternating=True),
    "zephyr": Kind(ZEPHYR),
    "reasoning": Kind(REASONING, _REASON),
    "tools": Kind(TOOLS, _IM, tools=True),
    "endless": Kind(ENDLESS),
}
"""Templates under which every ordinary conversation can be learnt."""


def tokenizer(models: Path, base: str, kind: Kind) -> Any:
    """The `gpt2` or `stories260K` tokenizer with a template and its special tokens."""
    from transformers import AutoTokenizer, GPT2TokenizerFast

    if base == "gpt2":
        made = GPT2TokenizerFast.from_pretrained(models / "tokenizers" / "gpt2")
    else:
        made = AutoTokenizer.from_pretrained(models / base)
    if kind.tokens:
        made.add_special_tokens({"additional_special_tokens": list(kind.tokens)})
    if kind.bos:
        made.bos_token = kind.tokens[0]
    made.chat_template = kind.text
    return made
