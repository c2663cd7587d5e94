"""How many words (Chinese: characters) a row has. Platanios et al. 2019, equation 3. Cost: one pass."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tunewright.core.registry import register
from tunewright.data.difficulty.protocol import Floats, Means
from tunewright.data.difficulty.words import whole, words_of
from tunewright.data.journal import Draft


@register("difficulty", "length")
@dataclass(frozen=True)
class Length:
    """No options."""

    def __call__(self, drafts: Sequence[Draft], means: Means) -> Floats:
        return np.array([len(words_of(whole(draft))) for draft in drafts], np.float64)
