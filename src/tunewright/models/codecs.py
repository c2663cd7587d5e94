"""A tokenizer as encoding wants it, for tasks without a chat template."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tunewright.encoding.documents import Masking
from tunewright.encoding.sequences import Layout


def tokens_of(tokenizer: Any, texts: Sequence[str]) -> list[list[int]]:
    """Tokens of texts, with nothing added to them."""
    if not texts:
        return []
    ids: list[list[int]] = tokenizer(
        list(texts), add_special_tokens=False, padding=False, truncation=False, return_attention_mask=False,
        return_token_type_ids=False, verbose=False,
    )["input_ids"]  # fmt: skip
    return ids


def text_of(tokenizer: Any, tokens: Sequence[int]) -> str:
    """The text of tokens, special ones shown, nothing tidied up."""
    return str(tokenizer.decode(list(tokens), skip_special_tokens=False, clean_up_tokenization_spaces=False))


def controls_of(tokenizer: Any) -> frozenset[str]:
    """Texts that become special tokens wherever they stand."""
    added = {t.content for t in tokenizer.added_tokens_decoder.values() if t.special}
    return frozenset(added | {str(t) for t in tokenizer.all_special_tokens})


def start_of(tokenizer: Any) -> int | None:
    """The token that the tokenizer puts before every text of a decoder; None where it puts none."""
    known = tokenizer.bos_token_id
    return known if known is not None and tokenizer("")["input_ids"][:1] == [known] else None


@dataclass(frozen=True)
class Plain:
    """What encoding calls a Codec: texts to tokens and back."""

    tokenizer: Any

    def tokenize(self, texts: Sequence[str]) -> list[list[int]]:
        """Tokens of texts, with nothing added to them."""
        return tokens_of(self.tokenizer, texts)

    def decode(self, tokens: Sequence[int]) -> str:
        """The text of tokens, special ones shown, nothing tidied up."""
        return text_of(self.tokenizer, tokens)

    def spans(self, text: str) -> tuple[list[int], list[int]]:
        """Tokens of a text and the character at which each begins (encoding's Spans)."""
        made = self.tokenizer(
            text, add_special_tokens=False, truncation=False, padding=False, return_offsets_mapping=True, verbose=False
        )
        begins = np.asarray([begin for begin, _ in made["offset_mapping"]], dtype=np.int64)
        return list(made["input_ids"]), np.maximum.accumulate(begins).tolist() if len(begins) else []

    def targets(self, texts: Sequence[str]) -> list[list[int]]:
        """Tokens of targets with the special tokens that an encoder-decoder's tokenizer gives them."""
        if not texts:
            return []
        ids: list[list[int]] = self.tokenizer(text_target=list(texts), truncation=False, padding=False)["input_ids"]
        return ids


def layout_of(tokenizer: Any, *, before: str = "", between: str = "\n\n", source_limit: int | None = None) -> Layout:
    """How source and target are one text for this tokenizer."""
    end = tokenizer.eos_token_id if tokenizer.eos_token_id is not None else tokenizer.sep_token_id
    return Layout(end, start_of(tokenizer), before, between, controls_of(tokenizer), source_limit)


def borders_of(tokenizer: Any) -> tuple[list[int], list[int]]:
    """Special tokens that the tokenizer puts before and behind a text."""
    inner = tokenizer("a", add_special_tokens=False)["input_ids"]
    whole = tokenizer("a")["input_ids"]
    at = next((i for i in range(len(whole)) if whole[i : i + len(inner)] == inner), 0)
    return whole[:at], whole[at + len(inner) :]


def masking_of(tokenizer: Any, *, share: float = 0.15, whole_words: bool = False) -> Masking:
    """How this tokenizer's tokens are masked.

    Args:
        tokenizer: with a mask token.
        share: of the tokens of a piece.
        whole_words: whether words are masked with all their tokens or not at all. Where a tokenizer cuts words into
            characters, as for Chinese, every character is a word.
    """
    special = frozenset({*tokenizer.all_special_ids, *tokenizer.added_tokens_decoder})
    known = sorted(tokenizer.get_vocab().values())
    ordinary = np.asarray([i for i in known if i not in special], dtype=np.int64)
    continues = None
    if whole_words:
        continues = np.zeros(known[-1] + 1, dtype=np.bool_)
        goes_on = _goes_on(tokenizer.get_vocab())
        for token, i in tokenizer.get_vocab().items():
            continues[i] = i not in special and goes_on(token)
    return Masking(int(tokenizer.mask_token_id), ordinary, special, share, continues)


def _goes_on(vocabulary: dict[str, int]) -> Callable[[str], bool]:
    """Whether a token goes on with a word, by the marks of this vocabulary."""
    if not any(token.startswith(("Ġ", "▁")) for token in vocabulary):
        return lambda token: token.startswith("##")
    return lambda token: token[:1] not in {"Ġ", "▁", "Ċ", "ĉ"} and (token[:1].isalnum() or ord(token[:1] or " ") > 127)
