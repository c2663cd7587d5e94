"""Rows of train whose labels may be wrong: marked for review, weighed down, or taken out. `{suspects: {action: flag}}`

The `share` most suspect rows of `data.suspects.find` whose likeliest label is another than the given one. People confirm about
half of what such methods find, so the default marks and changes nothing. Held-out rows are never touched: they are what the
result is judged by. `found` has how many errors the confident joint expects.

| action | what is done |
|---|---|
| flag | the row bears the flag "suspect" |
| weight | its weight is multiplied by what is believed of its label, at least 0.1 |
| drop | it leaves |
| quarantine | it is set aside with its text, to be mended and brought back |
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal

from annotated_types import Gt, Le

from tunewright.core.errors import DataError, Problem
from tunewright.core.registry import register
from tunewright.data.journal import Draft
from tunewright.data.steps.protocol import Described, Need, Phase, Room
from tunewright.data.suspects.finding import Probe, Suspect, find

DESCRIBED: Described = {
    "suspect_label": ("Labels that may be wrong", "treated as the recipe says: marked, weighed down, or taken out")
}
_OUTCOMES = {"flag": "changed", "weight": "changed", "drop": "dropped", "quarantine": "quarantined"}
_LEAST_WEIGHT = 0.1


@register("step", "suspects")
@dataclass(frozen=True)
class FindSuspects:
    """`probe`: tfidf, encoder or both; `action`; the `share` of rows at most; `rounds` of the probe."""

    phase: ClassVar[Phase] = "train"
    shorthand: ClassVar[str] = "action"
    probe: Probe = "tfidf"
    action: Literal["flag", "weight", "drop", "quarantine"] = "flag"
    share: Annotated[float, Gt(0), Le(0.5)] = 0.02
    rounds: Literal[1, 2] = 2

    @property
    def needs(self) -> tuple[Need, ...]:
        """An encoder, where the probe is one."""
        return () if self.probe == "tfidf" else ("encode",)

    def __call__(self, drafts: list[Draft], room: Room) -> list[Draft]:
        """The rows that stay.

        Raises:
            DataError: the rows have no classes, or fewer than two.
        """
        if room.target.task != "classification":
            raise DataError(
                Problem(where="data.steps.suspects", found=f"the task {room.target.task}", allowed="classification",
                        to_do="leave the step out")
            )  # fmt: skip
        found = find(drafts, room.seed, probe=self.probe, encode=room.encode, rounds=self.rounds)
        most = round(self.share * len(drafts))
        first = [one for one in found.first(most) if one.given != one.suggested]
        gone = set[int]()
        for one in first:
            draft = found.drafts[one.row]
            self._treat(draft, one, room)
            if self.action in ("drop", "quarantine"):
                gone.add(id(draft))
        left = [draft for draft in drafts if id(draft) not in gone]
        room.found["suspects"] = self._found(first, found.errors, len(drafts))
        room.journal.close("suspects", len(drafts), len(left))
        return left

    def _treat(self, draft: Draft, one: Suspect, room: Room) -> None:
        room.journal.note("suspects", _OUTCOMES[self.action], "suspect_label", draft, one.why)
        if self.action == "flag":
            draft.flags = tuple(dict.fromkeys((*draft.flags, "suspect")))
        elif self.action == "weight":
            draft.weight *= max(one.own, _LEAST_WEIGHT)

    def _found(self, first: list[Suspect], errors: float, rows: int) -> dict[str, Any]:
        return {"action": self.action, "rows": len(first), "of": rows, "expected errors": round(errors, 1),
                "first": [{"text": s.text, "given": s.given, "suggested": s.suggested} for s in first[:3]]}  # fmt: skip
