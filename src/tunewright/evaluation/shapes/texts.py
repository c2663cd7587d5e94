"""Written texts beside the wanted ones: chat and sequence to sequence.

Axes: N items.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tunewright.core.outcomes import Floats, Texts
from tunewright.core.seeds import key
from tunewright.evaluation.compare import Plan
from tunewright.evaluation.scoring import Draws
from tunewright.evaluation.shapes import common
from tunewright.metrics import TASKS, Task, sacre
from tunewright.metrics.text import Chrf, RougeL, sides

SAMPLES = 12


@dataclass(frozen=True)
class Shape:
    """The shape of one task; `worst` names the metric by which its mistakes are sorted."""

    TASK: Task
    worst: str

    def row(self, p: Texts, i: int) -> dict[str, Any]:
        """Gold and output, nats and tokens of the gold text; whether the output was cut, where that is known."""
        found = {"gold": p.gold[i], "output": p.output[i], "nll": _number(p.nll[i]), "tokens": int(p.tokens[i])}
        return found if p.truncated is None else {**found, "truncated": bool(p.truncated[i])}

    def faults(self, row: Mapping[str, Any], labels: Sequence[str]) -> list[str]:
        """Anything but texts, finite nats and a count."""
        wrong = []
        if row.get("gold") is not None and not isinstance(row["gold"], str):
            wrong.append(f"gold must be a text or null, found {str(row['gold'])[:80]}")
        if not isinstance(row.get("output"), str):
            wrong.append(f"output must be a text, found {str(row.get('output'))[:80]}")
        if row.get("nll") is not None and not common.finite(row["nll"]):
            wrong.append(f"nll must be a finite number or null, found {str(row['nll'])[:80]}")
        return wrong + [said for said in [common.not_a_count(row, "tokens")] if said]

    def predictions(
        self, named: tuple[str, str], labels: tuple[str, ...], rows: Sequence[Mapping[str, Any]], seconds: Floats | None
    ) -> Texts:
        """The texts that the lines hold."""
        cut = [row.get("truncated") for row in rows]
        return Texts(
            *named,
            labels=labels,
            ids=tuple(row["id"] for row in rows),
            gold=tuple(row.get("gold") for row in rows),
            output=tuple(row["output"] for row in rows),
            nll=common.numbers(row.get("nll") for row in rows),
            tokens=np.array([row["tokens"] for row in rows], np.int64),
            seconds=seconds,
            truncated=None if None in cut else np.array(cut, np.bool_),
            task=self.TASK.name,
        )

    def joined(self, a: Texts, b: Texts) -> tuple[Texts, Texts]:
        """As they are."""
        return a, b

    def details(self, p: Texts, plan: Plan, drawn: Draws) -> dict[str, Any]:
        """Lengths of the outputs in characters, and how many are empty or were cut."""
        lengths = np.array([len(text) for text in p.output], np.float64)
        return {
            **common.no_classes(),
            "lengths": {
                "mean": float(lengths.mean()) if len(p) else None,
                "median": float(np.median(lengths)) if len(p) else None,
                "empty": sum(not text.strip() for text in p.output),
                "truncated": None if p.truncated is None else int(p.truncated.sum()),
            },
        }

    def closeup(self, p: Texts, seed: int) -> dict[str, Any]:
        """Nothing more."""
        return {}

    def overview(self, p: Texts) -> dict[str, Any]:
        """sacrebleu's signatures of BLEU and chrF."""
        return {"signatures": sacre.signatures(sides(p)[0])}

    def mistakes(self, p: Texts, shown: int) -> list[dict[str, Any]]:
        """The items whose output is farthest from the gold text, by ROUGE-L (chat) or chrF (sequence to sequence)."""
        p = p.supervised()
        scores = self._scores(p)
        rows = common.surest(np.flatnonzero(scores < self._best).astype(np.int64), -scores, shown)
        return [{"id": p.ids[i], "gold": p.gold[i], "output": p.output[i], "score": float(scores[i])} for i in rows]

    @property
    def _best(self) -> float:
        return Chrf.bounds[1] if self.worst == "chrf" else 1.0

    def _scores(self, p: Texts) -> Floats:
        """(N,) each item's own score."""
        return sacre.chrf(Chrf().columns(p)) if self.worst == "chrf" else RougeL().columns(p)[:, 0]

    def flips(self, tuned: Texts, against: Texts, shown: int) -> None:
        """None: a text is seldom just right or wrong."""

    def limits(self, p: Texts) -> list[str]:
        """What overlap with one reference does not say; likelihoods and texts that are missing."""
        said = [
            "Whether the texts are true, safe or useful: ROUGE, BLEU and chrF count what they share with one reference, "
            "so that a good answer in other words scores low.",
        ]
        p = p.supervised()
        unsure, cut = int(np.isnan(p.nll).sum()), 0 if p.truncated is None else int(p.truncated.sum())
        if 0 < unsure < len(p):
            said.append(f"The loss of {unsure:,} items: {p.contender} gives no likelihood for them.")
        if cut:
            said.append(f"The ends of {cut:,} texts: {p.contender} was cut off at the longest length allowed.")
        return said


SHAPES = {"chat": Shape(TASKS["chat"], "rougeL"), "seq2seq": Shape(TASKS["seq2seq"], "chrf")}


def samples(contenders: Sequence[Texts], seed: int) -> list[dict[str, Any]]:
    """At most 12 items with what every contender wrote, chosen by their ids: the same ones for every run and contender."""
    first = contenders[0]
    known = np.flatnonzero(first.known()).tolist()
    chosen = sorted(sorted(known, key=lambda i: key(seed, "samples", first.ids[i]))[:SAMPLES])
    return [
        {"id": first.ids[i], "gold": first.gold[i], "outputs": {p.contender: p.output[i] for p in contenders}}
        for i in chosen
    ]


def _number(value: float) -> float | None:
    return None if np.isnan(value) else float(value)
