"""Text to tokens and back where a prompt and its continuation must be the same tokens in training and in serving."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Protocol


class Codec(Protocol):
    """A tokenizer, as the encoders of this package see it. No call adds special tokens of its own."""

    def tokenize(self, texts: Sequence[str]) -> list[list[int]]:
        """The tokens of each text; what is written like a special token becomes that token."""
        ...

    def decode(self, tokens: Sequence[int]) -> str:
        """The text of `tokens`, special tokens shown, nothing tidied up."""
        ...


@dataclass(frozen=True, slots=True)
class Refused:
    """A record that is not trained on, and why: `reason` is a code for the ledger, `detail` is for people."""

    id: str
    reason: str
    detail: str


def continued(codec: Codec, prompt: Sequence[int], whole: Sequence[int], reply: str) -> list[int] | None:
    """The tokens of prompt and reply, beginning with exactly the `prompt` tokens; None where that cannot be had.

    Serving tokenizes the prompt alone, and the model goes on from there. Where the tokens of the whole text do not
    begin with those of the prompt, a token has grown across the border (two line breaks into one, say): then the reply
    is tokenized by itself, and must read as before behind the prompt.

    Args:
        codec: the tokenizer.
        prompt: tokens of the prompt by itself.
        whole: tokens of prompt and reply as one text.
        reply: what follows the prompt in the text.
    """
    n = len(prompt)
    if list(whole[:n]) == list(prompt):
        return list(whole)
    text = codec.decode(whole)
    alone, behind, line = codec.tokenize([reply, "\n" + reply, "\n"])
    parts = [alone]
    if behind[: len(line)] == line:  # SentencePiece puts a space before a text's first word, not behind a line break
        parts.append(behind[len(line) :])
    for part in parts:
        if codec.decode([*prompt, *part]) == text:
            return [*prompt, *part]
    return None


def texts_between(codec: Codec, tokens: Sequence[int], borders: Sequence[int]) -> list[str]:
    """The text of each stretch between neighbouring `borders` (positions in `tokens`), as it reads within the whole.

    Decoding a stretch by itself would lose the space before its first word with some tokenizers.
    """
    read = [codec.decode(tokens[:border]) if border else "" for border in borders]
    return [after[len(before) :] for before, after in pairwise(read)]


def same(left: str, right: str) -> bool:
    """Whether two texts agree, but for outer white space and for how accents are composed (Unicode NFC)."""
    return folded(left) == folded(right)


def folded(text: str) -> str:
    """A text without outer white space, its accents composed."""
    return unicodedata.normalize("NFC", text).strip()
