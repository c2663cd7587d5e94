"""Several annotators' answers to one text become one label, with what is believed beside it where that is not sure.

    data:
      annotator: worker                    # the column with the annotator's name
      item: question                       # may be left out: equal texts are one item
      steps:
        - arbitrate: {method: dawid_skene, soft: true, queue_below: 0.6, gold: queue.answers.jsonl}

Rows of one item that bear an annotator are joined first (`annotation_joined`). Then each text has the label that the method
believes, and with `soft` the probability of every label, which the loss goes by. A tie, and a label less probable than `queue_below`,
set the row aside (`undecided`): `tunewright data queue export` asks people about it, and `gold`, their answers, settles it in the
next run (`adjudicated`), as it settles rows that contradict each other without annotators. Gold beats all. `opinion` is a file with
out-of-sample probabilities of a model, columns `id` (the record's) and p_LABEL: one annotator more.

Rows without an annotator stay as they are. Classification takes every method but the mean; regression median and mean.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, ClassVar

from annotated_types import Ge, Gt, Le

from tunewright.core.errors import Problem, RecipeError
from tunewright.core.registry import register
from tunewright.data.journal import Draft, Journal
from tunewright.data.labels.agreement import agree
from tunewright.data.labels.answers import Answer, Log, gold_by_key
from tunewright.data.labels.arbitration import Arbitrated, Decision, Method, arbitrate
from tunewright.data.labels.queue import UNDECIDED
from tunewright.data.labels.reading import read_opinion
from tunewright.data.labels.votes import Level, Vote, Votes, gathered
from tunewright.data.steps.protocol import Phase, Room

DESCRIBED = {
    "annotation_joined": ("Answers of several annotators to one text", "joined into one row"),
    "arbitrated": ("Annotators who differ", "labelled by arbitration"),
    UNDECIDED: ("Annotators whose answers decide nothing", "set aside for the adjudication queue"),
    "adjudicated": ("Labels that people have settled", "labelled so"),
}
_TASKS = ("classification", "regression")


@register("step", "arbitrate")
@dataclass(frozen=True)
class Arbitrate:
    """`level` and `order` (lowest first) as the labels are; `spread_above` sets aside what annotators spread more on."""

    phase: ClassVar[Phase] = "labels"
    needs: ClassVar[tuple[()]] = ()
    paths: ClassVar[tuple[str, ...]] = ("gold", "opinion")
    method: Method = "dawid_skene"
    soft: bool = True
    queue_below: Annotated[float, Ge(0), Le(1)] = 0.0
    spread_above: float | None = None
    gold: str | None = None
    opinion: str | None = None
    level: Level | None = None
    order: tuple[str, ...] = ()
    smoothing: Annotated[float, Gt(0)] = 1.0

    def __call__(self, drafts: list[Draft], room: Room) -> list[Draft]:
        if room.target.task not in _TASKS:
            raise RecipeError(
                Problem(where="data.steps, arbitrate", found=f"task {room.target.task}", allowed=" or ".join(_TASKS),
                        to_do="leave the step out")
            )  # fmt: skip
        if self.method == "mean" and room.target.task == "classification":
            raise RecipeError(
                Problem(where="data.steps, arbitrate.method", found="mean", allowed="of classes, any other method",
                        to_do="choose median with `level: ordinal`, or task: regression")
            )  # fmt: skip
        drafts = gather_annotations(drafts, room.journal)
        gold = {} if self.gold is None else gold_by_key(Log(room.base / self.gold).current())
        several = [draft for draft in drafts if draft.annotations and draft.key not in gold]
        decided = self._decided(several, room) if several else {}
        left = []
        for draft in drafts:
            if draft.key in gold:
                _adjudicated(draft, gold[draft.key], room)
            elif id(draft) in decided and not self._settled(draft, decided[id(draft)], room):
                continue
            left.append(draft)
        room.journal.close("arbitrate", len(drafts), len(left))
        return left

    def _decided(self, drafts: Sequence[Draft], room: Room) -> dict[int, Decision]:
        """The decision on each draft, by its identity; what was found goes to the card."""
        numbers = room.target.task == "regression"
        level: Level = self.level or ("interval" if numbers else "ordinal" if self.order else "nominal")
        names = {f"{draft.key} {draft.split or ''} {draft.id}": draft for draft in drafts}
        votes = gathered(
            (Vote(name, one.by, _plain(one.label) if numbers else one.label, one.time)
             for name, draft in names.items() for one in draft.annotations),
            level=level, order=self.order, where="data.steps, arbitrate",
        )  # fmt: skip
        found = arbitrate(
            votes, self.method, below=self.queue_below, spread_above=self.spread_above, smoothing=self.smoothing,
            opinion=self._opinions(names, room),
        )  # fmt: skip
        room.found["arbitrate"] = _told(found, votes, room.seed)
        return {id(names[one.item]): one for one in found.decisions}

    def _opinions(self, names: Mapping[str, Draft], room: Room) -> dict[str, dict[str, float]] | None:
        """The model's probabilities by the votes' names of the items; the file has them by the records' ids."""
        if self.opinion is None:
            return None
        given = read_opinion(room.base / self.opinion, "id")
        return {name: given[draft.id] for name, draft in names.items() if draft.id in given}

    def _settled(self, draft: Draft, one: Decision, room: Room) -> bool:
        """Gives the draft its label; False where it is set aside."""
        said = ", ".join(f"{label!r} x {n}" for label, n in one.votes)
        draft.soft = one.soft if room.target.task == "classification" else ()
        if one.queue:
            room.journal.note("arbitrate", "quarantined", UNDECIDED, draft, f"{one.queue}: {said}")
            return False
        before, draft.label = draft.label, room.target.answer(one.label or "")
        if not self.soft or len(one.soft) < 2:
            draft.soft = ()
        if draft.label != before or len(one.votes) > 1:
            sure = "" if one.probability is None else f", probability {one.probability:.3g}"
            room.journal.note("arbitrate", "changed", "arbitrated", draft, f"{said}; became {draft.label!r}{sure}")
        return True


def gather_annotations(drafts: Sequence[Draft], journal: Journal) -> list[Draft]:
    """Joins the rows of one item, or of one text where no item is said, each with what its annotator said, into the first.

    That one has the annotations of all. Closes the stage.
    """
    first: dict[tuple[str | None, str, str], Draft] = {}
    left = []
    for draft in drafts:
        place = (draft.split, "text", draft.key) if draft.item is None else (draft.split, "item", draft.item)
        kept = first.setdefault(place, draft) if draft.annotations else draft
        if kept is draft:
            left.append(draft)
            continue
        kept.annotations += draft.annotations
        kept.label = draft.label if kept.label is None else kept.label
        journal.note("annotations", "dropped", "annotation_joined", draft, f"joined to line {kept.source.line}")
    journal.close("annotations", len(drafts), len(left))
    return left


def _plain(label: str) -> str:
    """The number of a canonical answer of one number, `[2.5]`."""
    found = json.loads(label)
    return f"{found[0] if isinstance(found, list) else found:.12g}"


def _adjudicated(draft: Draft, answer: Answer, room: Room) -> None:
    before, draft.label, draft.soft = draft.label, room.target.answer(answer.label or ""), ()
    said = f"{before!r} became {draft.label!r}" if before != draft.label else f"{draft.label!r} confirmed"
    room.journal.note("arbitrate", "changed", "adjudicated", draft, f"{said} by {answer.by}, {answer.time}")


def _told(found: Arbitrated, votes: Votes, seed: int) -> Mapping[str, object]:
    """Sums for the card: what was decided, and how far annotators agree."""
    sums = found.as_json()
    agreement = agree(votes, seed=seed, draws=300).as_json()
    return {**sums, "annotators": sums["annotators"][:50], "agreement": agreement}
