"""Easy examples first: by scores that the rows bear (`data.steps: difficulty`) or by length.

Examples are ranked by `by`, from easy to hard (of several scores, by the mean of the ranks; ties by hash). Over the first
`epochs` times as many draws as there are examples, n of N in all:

| order | what is drawn from |
|---|---|
| competence | uniformly from the easiest share c(n) = min(1, sqrt(n (1 - start^2) / (epochs N) + start^2)) |
| easy_to_hard | the easiest i of `stages` parts, each part of the time one more ("baby steps"), shuffled, once each in turn |
| hard_to_easy | the same, hardest first |

After that, all examples once an epoch in shuffled order. `control` draws by the same schedule over a random order: what a
curriculum gains over its control is its order's merit, the rest is the schedule's. Run it; most curricula do not survive it
(Wu, Dyer and Neyshabur 2021, "When Do Curricula Work?").

Platanios et al. 2019, "Competence-based Curriculum Learning for Neural Machine Translation", equation 7 with p = 2; Spitkovsky
et al. 2010, "From Baby Steps to Leapfrog". Differs: time is counted in draws rather than steps. Costs nothing that counts.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import dataclass
from math import ceil, sqrt
from typing import Annotated, Any, ClassVar, Literal

from annotated_types import Ge, Gt, Le

from tunewright.core.registry import register
from tunewright.core.seeds import key, uniform
from tunewright.core.tensors import Pool, Report
from tunewright.samplers.shuffle import Epochs


@register("sampler", "curriculum")
@dataclass(frozen=True)
class Curriculum:
    """`by`: a score or several; `order`; how long, in `epochs`; the share or number of parts that it begins with."""

    shorthand: ClassVar[str] = "by"
    by: str | tuple[str, ...] = "length"
    order: Literal["competence", "easy_to_hard", "hard_to_easy"] = "competence"
    epochs: Annotated[float, Gt(0)] = 1.0
    start: Annotated[float, Gt(0), Le(1)] = 0.1
    stages: Annotated[int, Ge(2)] = 5
    control: bool = False

    def bind(self, pool: Pool, seed: int) -> _Curriculum:
        return _Curriculum(self, pool, seed)


class _Curriculum:
    def __init__(self, options: Curriculum, pool: Pool, seed: int) -> None:
        self.options, self.seed, self.drawn = options, seed, 0
        self.ranking = _ranking(options, pool, seed)
        self.lasts = ceil(options.epochs * len(self.ranking))
        self.after = Epochs(pool, key(seed, "after the curriculum"))
        self._part: tuple[int, int] = (-1, -1)
        self._order: list[str] = []

    def draw(self, n: int) -> list[str]:
        early = max(min(n, self.lasts - self.drawn), 0)
        one = self._competent if self.options.order == "competence" else self._baby
        out = [one(self.drawn + k) for k in range(early)]
        self.drawn += early
        if n > early:
            self.after.drawn = self.drawn - self.lasts
            out += self.after.draw(n - early)
            self.drawn += n - early
        return out

    def share(self, drawn: int) -> float:
        """The share of examples, from the easiest on, that a draw is from."""
        first = self.options.start**2
        return min(1.0, sqrt(drawn * (1 - first) / self.lasts + first))

    def _competent(self, drawn: int) -> str:
        among = max(ceil(self.share(drawn) * len(self.ranking)), 1)
        return self.ranking[int(uniform(self.seed, "competence", drawn) * among)]

    def _baby(self, drawn: int) -> str:
        stages = self.options.stages
        begins = [ceil(i * self.lasts / stages) for i in range(stages)]
        stage = bisect_right(begins, drawn) - 1
        among = max(ceil((stage + 1) * len(self.ranking) / stages), 1)
        turn, place = divmod(drawn - begins[stage], among)
        if self._part != (stage, turn):
            self._part = stage, turn
            self._order = sorted(self.ranking[:among], key=lambda i: key(self.seed, "baby steps", stage, turn, i))
        return self._order[place]

    def observe(self, report: Report) -> None:
        """Nothing to learn from a report."""

    def state(self) -> dict[str, Any]:
        return {"drawn": self.drawn}

    def load(self, state: Mapping[str, Any]) -> None:
        self.drawn = int(state["drawn"])


def _ranking(options: Curriculum, pool: Pool, seed: int) -> list[str]:
    """The ids from the first to be drawn to the last.

    Raises:
        ValueError: the examples have no such score.
    """
    names = (options.by,) if isinstance(options.by, str) else options.by
    places = dict.fromkeys(pool.ids, 0.0)
    for name in names:
        scores = _scores(name, pool)
        for id_, rank in _ranks(dict(zip(pool.ids, scores, strict=True))).items():
            places[id_] += rank
    if options.control:
        return sorted(places, key=lambda i: (key(seed, "control", i), i))
    sign = -1 if options.order == "hard_to_easy" else 1
    return sorted(places, key=lambda i: (sign * places[i], key(seed, "curriculum", i), i))


def _ranks(scores: Mapping[str, float]) -> dict[str, float]:
    """Each id's rank; the mean of the ranks where scores are equal."""
    groups: dict[float, list[str]] = {}
    for id_, score in scores.items():
        groups.setdefault(score, []).append(id_)
    out, before = dict[str, float](), 0
    for score in sorted(groups):
        own = groups[score]
        out |= dict.fromkeys(own, before + (len(own) - 1) / 2)
        before += len(own)
    return out


def _scores(name: str, pool: Pool) -> list[float]:
    scores = (pool.scores or {}).get(name)
    if scores is None and name == "length" and pool.lengths is not None:
        scores = pool.lengths
    if scores is None:
        known = sorted({"length", *(pool.scores or {})})
        raise ValueError(
            f"the curriculum goes by {name!r}, which not all examples have; known here: {', '.join(known)}"
        )
    return [float(score) for score in scores]
