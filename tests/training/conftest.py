"""A small packed task for the tests of the loop, its windows and its checkpoints."""

from __future__ import annotations

import random
from collections.abc import Callable

import numpy as np
import pytest

from tunewright.encoding import Example
from tunewright.models.toy import VOCABULARY


@pytest.fixture(scope="session")
def examples() -> Callable[..., dict[str, Example]]:
    """n examples of 1 to `longest` tokens and three classes, by id; each class has tokens of its own."""

    def make(n: int = 24, longest: int = 9, seed: int = 0) -> dict[str, Example]:
        rng = random.Random(seed)
        out = {}
        for i in range(n):
            tokens = [rng.randrange(3, VOCABULARY) for _ in range(rng.randint(0, longest - 1))] + [i % 3]
            out[f"e{i}"] = Example(f"e{i}", np.array(tokens, dtype=np.int64), i % 3, len(tokens))
        return out

    return make
