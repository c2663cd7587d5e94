"""Unlabelled rows that the probe labels, added to train: `{pseudo_labels: {confidence: 0.95}}`. See `data.pseudo`.

`confidence` is the share of right labels that each class must reach out of sample, which is measured, not what the probe says of
itself. New rows bear the flag "pseudo_label", weigh `weight`, and where `soft` is on have the probe's probabilities as soft
labels. Rows that are copies of labelled or held-out ones are left alone. `found` has precision and coverage by threshold, on the
held-out rows where there are enough, and what the trial says: where the gain is not above chance nothing is added, unless
`keep_anyway`. Refuses other tasks than classification.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Any, ClassVar

import numpy as np
from annotated_types import Ge, Gt, Le, Lt

from tunewright.core.errors import DataError, Problem
from tunewright.core.registry import register
from tunewright.data.journal import Draft
from tunewright.data.labels.intervals import Figure
from tunewright.data.probe import classes_of, fitted, folds_of, probabilities, text_features, whole_text
from tunewright.data.pseudo import LEAST, Told, chosen, levels, told, trial
from tunewright.data.steps.protocol import Described, Phase, Room

DESCRIBED: Described = {}


@register("step", "pseudo_labels")
@dataclass(frozen=True)
class PseudoLabels:
    """`confidence` wanted, `most` rows, their `weight`, `soft` labels, the trial, and whether to `keep_anyway`."""

    phase: ClassVar[Phase] = "train"
    shorthand: ClassVar[str] = "confidence"
    confidence: Annotated[float, Gt(0), Lt(1)] = 0.95
    most: Annotated[int, Ge(1)] | None = None
    weight: Annotated[float, Gt(0), Le(1)] = 0.5
    soft: bool = False
    ablate: bool = True
    keep_anyway: bool = False

    def __call__(self, drafts: list[Draft], room: Room) -> list[Draft]:
        """The rows with new ones behind them, where these pay.

        Raises:
            DataError: the task is another, or the rows have fewer than two classes.
        """
        if room.target.task != "classification":
            raise DataError(
                Problem(where="data.steps.pseudo_labels", found=f"the task {room.target.task}", allowed="classification",
                        to_do="leave the step out")
            )  # fmt: skip
        new = self._made(drafts, room)
        room.journal.close("pseudo_labels", len(drafts), len(drafts) + len(new), added=len(new))
        return [*drafts, *new]

    def _made(self, drafts: list[Draft], room: Room) -> list[Draft]:
        free = apart(room.unlabelled, [*drafts, *room.held], room.seed)
        found: dict[str, Any] = {"unlabelled": len(room.unlabelled), "apart": len(free)}
        room.found["pseudo_labels"] = found
        if not free:
            found["said"] = "no unlabelled row that is no copy of a labelled one"
            return []
        drafts = sorted(drafts, key=lambda draft: (draft.key, draft.id))
        folds = folds_of(drafts, room.seed)
        labels, given = classes_of(drafts)
        held = [draft for draft in room.held if draft.label in labels]
        every = [*drafts, *free, *held]
        features = text_features([whole_text(draft) for draft in every], len(labels), room.seed)
        n, u = len(drafts), len(free)
        known, unknown = features[:n], features[n : n + u]
        made = told(known, given, unknown, len(labels), folds, self.confidence)
        shown = made.levels
        if len(held) >= LEAST:
            gold = np.array([labels.index(draft.label or "") for draft in held], np.int64)
            shown = levels(probabilities(fitted(known, given), features[n + u :], len(labels)), gold)
        least = [None if np.isinf(t) else float(t) for t in made.thresholds]
        found["judged on"] = "held-out rows" if len(held) >= LEAST else "folds of train"
        found["levels"] = [level.as_json() for level in shown]
        found["thresholds"] = dict(zip(labels, least, strict=True))
        gain = (
            trial(known, given, unknown, len(labels), folds, wanted=self.confidence, weight=self.weight, most=self.most)
            if self.ablate else None
        )  # fmt: skip
        return self._kept(free, made, labels, gain, found)

    def _kept(
        self, free: Sequence[Draft], made: Told, labels: Sequence[str], gain: Figure | None, found: dict[str, Any]
    ) -> list[Draft]:
        places = chosen(made, self.most)
        pays = gain is None or (gain.low is not None and gain.low > 0)
        found |= {"labelled": len(places), "gain": None if gain is None else gain.as_json(), "pays": pays}
        if not pays and not self.keep_anyway:
            found |= {"added": 0, "said": "off: the probe gains nothing by them that is above chance"}
            return []
        out = []
        for place in places:
            p = made.probabilities[place]
            soft = tuple((name, float(x)) for name, x in zip(labels, p, strict=True)) if self.soft else ()
            own = free[int(place)]
            out.append(replace(own, label=labels[int(p.argmax())], split="train", soft=soft, weight=own.weight * self.weight,
                               flags=tuple(dict.fromkeys((*own.flags, "pseudo_label")))))  # fmt: skip
        found["added"] = len(out)
        return out


def apart(unlabelled: Sequence[Draft], others: Sequence[Draft], seed: int) -> list[Draft]:
    """The unlabelled rows, each content once, that are no copies of others nor in a cluster with them; in keyed order."""
    folds_of([*unlabelled, *others], seed)  # gives every row its key
    taken = {draft.key for draft in others}
    clusters = {draft.cluster for draft in others} - {None}
    first: dict[str, Draft] = {}
    for draft in unlabelled:
        if draft.key not in taken and draft.cluster not in clusters:
            first.setdefault(draft.key, draft)
    return [first[key] for key in sorted(first)]
