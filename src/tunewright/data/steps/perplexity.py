"""Texts that a small language model finds too unlikely (noise, lists of key words) or too likely (boilerplate).

Wenzek et al. 2020, "CCNet: Extracting High Quality Monolingual Datasets from Web Crawl Data": perplexity a token under a model of
good text, cut at a value or a quantile. Different here: the model is the one that the recipe names (`data.models.language`), not
a five-gram model; a quantile is of this data set's rows, and equal values are on one side. The model must know the language of the
texts: what it has never seen is unlikely, and would leave. All rows of a text alike get the same figure.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from tunewright.core.registry import register
from tunewright.data.journal import Draft
from tunewright.data.steps.protocol import Need, Phase, Room

DESCRIBED = {
    "perplexity_high": ("Texts that the language model finds too unlikely", "left out"),
    "perplexity_low": ("Texts that the language model finds too likely", "left out"),
}


@register("step", "perplexity")
@dataclass(frozen=True, kw_only=True)
class UnderModel:
    """Lets rows go over `most` or the quantile `upper`, and under `least` or the quantile `lower`.

    Keeps what it found as the difficulty `perplexity` of each row that stays. Texts of fewer than two tokens stay.
    """

    most: float | None = None
    least: float | None = None
    upper: float | None = None
    lower: float | None = None

    phase: ClassVar[Phase] = "rows"
    needs: ClassVar[tuple[Need, ...]] = ("perplexity",)

    def __post_init__(self) -> None:
        if (self.most is None) == (self.upper is None) and (self.least is None) == (self.lower is None):
            raise ValueError("one of `most` and `upper`, or one of `least` and `lower`, or one of each")
        if not all(value is None or 0 < value < 1 for value in (self.upper, self.lower)):
            raise ValueError("quantiles lie between 0 and 1")
        if not all(value is None or value > 0 for value in (self.most, self.least)):
            raise ValueError("perplexities lie above 0")

    def __call__(self, drafts: list[Draft], room: Room) -> list[Draft]:
        assert room.models.perplexity is not None
        texts = [_text(draft, room) for draft in drafts]
        once = list(dict.fromkeys(texts))
        known = dict(zip(once, room.models.perplexity(once).tolist(), strict=True))
        values = np.array([known[text] for text in texts])
        said = values[np.isfinite(values)]
        high = self.most if self.upper is None else float(np.quantile(said, self.upper)) if len(said) else None
        low = self.least if self.lower is None else float(np.quantile(said, self.lower)) if len(said) else None
        left = []
        for draft, value in zip(drafts, values.tolist(), strict=True):
            if high is not None and value > high:
                room.journal.note("perplexity", "dropped", "perplexity_high", draft, f"{value:.1f}, at most {high:.1f}")
            elif low is not None and value < low:
                room.journal.note("perplexity", "dropped", "perplexity_low", draft, f"{value:.1f}, at least {low:.1f}")
            else:
                if np.isfinite(value):
                    others = tuple(pair for pair in draft.difficulty if pair[0] != "perplexity")
                    draft.difficulty = (*others, ("perplexity", float(value)))
                left.append(draft)
        room.journal.close("perplexity", len(drafts), len(left))
        room.found["perplexity"] = _summary(said, high, low)
        return left


def _text(draft: Draft, room: Room) -> str:
    shown = room.target.shown(draft.text)
    return shown if draft.pair is None else f"{shown}\n{draft.pair}"


def _summary(values: NDArray[np.float64], high: float | None, low: float | None) -> dict[str, float | None]:
    if not len(values):
        return {"texts": 0, "most": high, "least": low}
    q = np.quantile(values, [0.05, 0.5, 0.95]).tolist()
    return {"texts": len(values), "p5": q[0], "median": q[1], "p95": q[2], "most": high, "least": low}
