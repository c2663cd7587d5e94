"""What a language model is asked for, in the language of the text, and how its answer is read."""

from __future__ import annotations

import re

from tunewright.core.errors import Problem, RecipeError
from tunewright.core.scripts import chinese

_QUOTES = {'"': '"', "“": "”", "'": "'", "‘": "’", "「": "」", "《": "》", "`": "`"}
_LEAD = re.compile(
    r"^(?:(?:sure|certainly|of course|here(?:'s| is| are))[^\n:]{0,60}:|(?:text|paraphrase|rewritten|translation|answer|output)\s*:"
    r"|(?:好的|当然)[^\n：:]{0,20}[：:]|(?:文本|改写|译文|翻译|答案)[：:])\s*",
    re.IGNORECASE,
)


def instruction(text: str, english: str, own: str) -> str:
    """The instruction for a text: the Chinese one where it is Chinese."""
    return own if chinese([text]) else english


def filled(template: str, where: str, **values: str) -> str:
    """A template with its fields filled in; braces in the values do nothing.

    Raises:
        RecipeError: it has a field that is not known.
    """
    unknown = sorted(set(re.findall(r"\{(\w+)\}", template)) - set(values))
    if unknown:
        raise RecipeError(
            Problem(where=where, found=f"{{{unknown[0]}}}", allowed=", ".join(f"{{{name}}}" for name in values))
        )
    return re.sub(r"\{(\w+)\}", lambda match: values[match.group(1)], template)


def answer(written: str, one_line: bool = False) -> str:
    """What was asked for, without the words and quotes that models put around it."""
    text = re.sub(r"<think>.*?</think>", "", written, flags=re.DOTALL).strip()
    text = _LEAD.sub("", text).strip()
    text = text.split("\n\n")[0].strip()
    if one_line:
        text = " ".join(text.split())
    if len(text) > 1 and _QUOTES.get(text[0]) == text[-1]:
        text = text[1:-1].strip()
    return text
