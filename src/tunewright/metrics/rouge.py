"""ROUGE of two texts (Lin, 2004, https://aclanthology.org/W04-1013): F of shared n-grams and of common subsequences.

The numbers are those of the package rouge_score without its stemmer, for texts in Latin script, tie for tie; it cannot
read others (two identical Chinese sentences score 0 there). Here Chinese, Japanese, Korean and scripts without spaces
are cut into characters, and words of any other script are words.

Cost: subsequences by bit-parallel rows (Crochemore et al., 2001, https://doi.org/10.1016/S0020-0190(00)00214-X):
m n / 64 steps for m and n tokens.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from functools import cache

from tunewright.core.scripts import HANGUL, IDEOGRAPH, KANA, UNSPACED, other_letters

Tokens = Sequence[str]


def tokens(text: str) -> list[str]:
    """Lower-case runs of a-z and 0-9, words of other scripts, and single characters where words are not separated.

    As in rouge_score, an accented Latin letter separates: "für" is f, r.
    """
    return _pattern().findall(text.lower())


@cache
def _pattern() -> re.Pattern[str]:
    return re.compile(rf"[a-z0-9]+|[{IDEOGRAPH}{KANA}{HANGUL}{UNSPACED}]|[{other_letters()}]+")


def rouge_n(gold: str, output: str, n: int) -> float:
    """F of the n-grams that both have, each counted as often as in the text that has it less often."""
    a, b = _ngrams(tokens(gold), n), _ngrams(tokens(output), n)
    return _f((a & b).total(), b.total(), a.total())


def rouge_l(gold: str, output: str) -> float:
    """F of the longest common subsequence of tokens."""
    a, b = tokens(gold), tokens(output)
    return _f(common(a, b), len(b), len(a))


def rouge_lsum(gold: str, output: str) -> float:
    """F of the union, for every line of the gold text, of its subsequences in common with every line of the output.

    A line stands for a sentence; without line breaks it is `rouge_l`.
    """
    golds, outputs = _lines(gold), _lines(output)
    left_gold, left_output = (Counter(token for line in lines for token in line) for lines in (golds, outputs))
    whole_gold, whole_output = left_gold.total(), left_output.total()
    hits = 0
    for line in golds:
        for place in sorted({i for other in outputs for i in _places(line, other)}):
            token = line[place]
            if left_gold[token] > 0 and left_output[token] > 0:  # no token counts twice
                hits += 1
                left_gold[token] -= 1
                left_output[token] -= 1
    return _f(hits, whole_output, whole_gold)


def common(a: Tokens, b: Tokens) -> int:
    """The length of the longest common subsequence."""
    rows = _rows(a, b)
    return len(a) - rows[-1].bit_count()


def _lines(text: str) -> list[list[str]]:
    return [tokens(line) for line in text.split("\n") if line]


def _ngrams(given: Tokens, n: int) -> Counter[tuple[str, ...]]:
    return Counter(zip(*(given[i:] for i in range(n)), strict=False))


def _f(hits: int, output: int, gold: int) -> float:
    if not hits:
        return 0.0
    precision, recall = hits / output, hits / gold
    return 2 * precision * recall / (precision + recall)


def _rows(a: Tokens, b: Tokens) -> list[int]:
    """The table of common lengths, a number for each start of b: its bit i is 0 where a[i] makes the length one more."""
    masks: dict[str, int] = {}
    for i, token in enumerate(a):
        masks[token] = masks.get(token, 0) | 1 << i
    full = (1 << len(a)) - 1
    rows = [full]
    for token in b:
        row = rows[-1]
        met = row & masks.get(token, 0)
        rows.append(((row + met) | (row - met)) & full)
    return rows


def _places(a: Tokens, b: Tokens) -> list[int]:
    """The places in `a` of one longest common subsequence, the one that rouge_score reads out of its table."""
    rows = _rows(a, b)

    def length(i: int, j: int) -> int:
        return i - (rows[j] & ((1 << i) - 1)).bit_count()

    i, j, found = len(a), len(b), list[int]()
    while i > 0 and j > 0:
        if a[i - 1] == b[j - 1]:
            found.append(i - 1)
            i, j = i - 1, j - 1
        elif length(i, j - 1) > length(i - 1, j):
            j -= 1
        else:
            i -= 1
    return found
