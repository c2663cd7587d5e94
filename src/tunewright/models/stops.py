"""Tokens back to text, cut exactly where a stop string begins, wherever the borders of tokens are."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


class Texts:
    """Text of generated tokens.

    Args:
        tokenizer: a tokenizer of transformers.
        stop: strings none of which a text may hold; empty for none.
    """

    def __init__(self, tokenizer: Any, stop: Sequence[str]) -> None:
        self.tokenizer, self.stop = tokenizer, tuple(stop)
        # a character takes at most four tokens, a byte each; special tokens in between are rare
        self._tail = 4 * max((len(s) for s in stop), default=0) + 8

    def whole(self, tokens: Sequence[int]) -> str:
        """The text without special tokens."""
        text: str = self.tokenizer.decode(list(tokens), skip_special_tokens=True, clean_up_tokenization_spaces=False)
        return text

    def stops(self, tokens: Sequence[int]) -> bool:
        """Whether the text holds a stop string that its last tokens have brought."""
        if not self.stop or not self._holds(self.whole(tokens[-self._tail :])):
            return False
        return len(tokens) <= self._tail or self._holds(self.whole(tokens))

    def cut(self, tokens: Sequence[int]) -> str:
        """The text up to the first stop string."""
        text = self.whole(tokens)
        return text[: min((at for s in self.stop if (at := text.find(s)) >= 0), default=len(text))]

    def _holds(self, text: str) -> bool:
        return any(s in text for s in self.stop)
