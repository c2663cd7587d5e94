"""How texts are made: the options of generation, checked. No tensors and no model: a recipe may hold them."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any, Literal

from tunewright.core.errors import Problem, RecipeError

Method = Literal["greedy", "sampling", "beam"]


@dataclass(frozen=True)
class Generation:
    """How texts are made.

    Args:
        max_new_tokens: the most tokens of a text; one that the model's own limit cuts shorter is marked so too.
        method: "greedy" takes the best token, "sampling" draws one, "beam" keeps the `beams` best beginnings.
        temperature: scores are divided by it before a draw; sampling only, as are the next two.
        top_k: a draw is among the so many best tokens; 0 for all.
        top_p: a draw is among the fewest tokens that hold this share of the probability.
        beams: beginnings kept by beam search.
        length_penalty: a finished text's log-probability is divided by its tokens to this power; above 0 longer ones
            gain. Beam search only.
        repetition_penalty: scores of tokens that came before, the prompt included, are made worse by this factor.
        no_repeat_ngram: no run of so many tokens comes twice, the prompt included; 0 for no such rule.
        stop: strings that end a text and are not part of it.

    Raises:
        RecipeError: a value that is not allowed; all of them at once.
    """

    max_new_tokens: int = 128
    method: Method = "greedy"
    temperature: float = 1.0
    top_k: int = 0
    top_p: float = 1.0
    beams: int = 4
    length_penalty: float = 1.0
    repetition_penalty: float = 1.0
    no_repeat_ngram: int = 0
    stop: tuple[str, ...] = field(default=())

    def __post_init__(self) -> None:
        def whole(value: Any) -> bool:
            return isinstance(value, int) and not isinstance(value, bool)

        def number(value: Any) -> bool:
            return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)

        stop: Any = self.stop
        allowed = {
            "max_new_tokens": ("a whole number, 1 or more", whole(self.max_new_tokens) and self.max_new_tokens > 0),
            "method": ("greedy, sampling or beam", self.method in ("greedy", "sampling", "beam")),
            "temperature": ("a number above 0", number(self.temperature) and self.temperature > 0),
            "top_k": ("a whole number, 0 or more", whole(self.top_k) and self.top_k >= 0),
            "top_p": ("a number above 0, at most 1", number(self.top_p) and 0 < self.top_p <= 1),
            "beams": ("a whole number, 1 or more", whole(self.beams) and self.beams > 0),
            "length_penalty": ("a number", number(self.length_penalty)),
            "repetition_penalty": ("a number above 0", number(self.repetition_penalty) and self.repetition_penalty > 0),
            "no_repeat_ngram": ("a whole number, 0 or more", whole(self.no_repeat_ngram) and self.no_repeat_ngram >= 0),
            "stop": (
                "strings that are not empty",
                isinstance(stop, tuple | list) and all(isinstance(s, str) and s for s in stop),
            ),
        }
        wrong = [
            Problem(where=f"generation.{name}", found=repr(getattr(self, name)), allowed=what)
            for name, (what, holds) in allowed.items()
            if not holds
        ]
        if wrong:
            raise RecipeError(*wrong)
        object.__setattr__(self, "stop", tuple(stop))

    @property
    def width(self) -> int:
        """Beams of each text; 1 without beam search. One beam is greedy."""
        return self.beams if self.method == "beam" else 1
