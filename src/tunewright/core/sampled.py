"""What an objective over samples is given: replies that the model makes itself, and what each is worth.

The wiring builds it (it has the model, the tokenizer, the gold texts and the metrics) and hands it over in
`Facts.sampled`. Two rules keep a step independent of how it is cut: what is drawn for an example depends on the step and
on the example's own key or id alone, and a score on the gold and the output alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from tunewright.core.tensors import At, Batch


@dataclass(frozen=True)
class Candidate:
    """One reply to an example. `text`: as a metric reads it.

    tokens (n,): what the model reads, prompt and reply (an encoder-decoder: the source). target: beside the tokens
    (beside `decoder` (m,) where there is one), what the scores made there should say, IGNORED outside the reply.
    """

    text: str
    tokens: NDArray[np.int64]
    target: NDArray[np.int64]
    decoder: NDArray[np.int64] | None = None


@dataclass(frozen=True)
class Measure:
    """What a reply is worth, in 0..1: a metric by its registered name, or "entailment" by the model of a folder."""

    name: str
    model: str | None = None


class Sampled(Protocol):
    """Samples of the model at work."""

    def ready(self, measure: Measure) -> None:
        """Sees that replies can be scored by `measure`; raises a RecipeError or ModelError where not."""
        ...

    def draw(self, batch: Batch, at: At, count: int) -> Sequence[Sequence[Candidate]]:
        """Up to `count` replies to each of the batch's B examples; none for one that is not supervised."""
        ...

    def score(self, measure: Measure, example: str, output: str) -> float:
        """What `output` is worth for the example of this id: in 0..1, higher is better."""
        ...


def known(sampled: Any) -> bool:
    """Whether this is a `Sampled`."""
    return all(callable(getattr(sampled, name, None)) for name in ("ready", "draw", "score"))
