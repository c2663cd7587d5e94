"""How rare a row's words (Chinese: characters) are: the mean of -log p(word), p by the counts of all rows.

Platanios et al. 2019, equation 4, with the mean in place of the sum, which would be another measure of length. A row without
a word gets the mean over rows. Cost: two passes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from math import fsum, log

import numpy as np

from tunewright.core.errors import DataError, Problem
from tunewright.core.registry import register
from tunewright.data.difficulty.protocol import Floats, Means
from tunewright.data.difficulty.words import whole, words_of
from tunewright.data.journal import Draft


@register("difficulty", "rarity")
@dataclass(frozen=True)
class Rarity:
    """No options."""

    def __call__(self, drafts: Sequence[Draft], means: Means) -> Floats:
        texts = [words_of(whole(draft)) for draft in drafts]
        counts = Counter(word for text in texts for word in text)
        total = counts.total()
        if not total:
            raise DataError(
                Problem(where="difficulty.rarity", found="no text holds a word", allowed="texts with words")
            )
        rare = {word: log(total / count) for word, count in counts.items()}
        scores = [fsum(rare[word] for word in text) / len(text) if text else None for text in texts]
        known = [score for score in scores if score is not None]
        usual = fsum(known) / len(known)
        return np.array([usual if score is None else score for score in scores], np.float64)
