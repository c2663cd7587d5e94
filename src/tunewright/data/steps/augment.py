"""Augmentation of train: new rows by operators, gates on every child, and a trial of what each operator is worth.

1. Where `ablate` is on, the children of each operator alone are tried on a probe (`augmentation/ablation.py`): an operator whose
   gain in macro F1 is not above chance is off, and the card says so. `keep_anyway` uses all; where nothing can be said (few
   rows, no classes), nothing is used without it.
2. The operators that are left make `copies` children of every row, or as many of each label as `quotas` say: numbers by label,
   or "balance", which brings every class to the size of the largest.
3. What passes the gates is a row of train: its parent's label, soft labels, group and cluster, `parents`, the flags
   "augmented" and the operator's name, and `weight` times its parent's weight.

Only rows of train are read from; held-out rows are there for the gates to keep away from. Refuses texts that are no plain
texts (conversations, preferences, documents, spans): an edit there would not know what it changes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Any, ClassVar, Literal

from annotated_types import Ge, Gt, Le

import tunewright.data.augmentation as _operators  # registers them
from tunewright.core.errors import DataError, Problem, RecipeError
from tunewright.core.registry import build, name_of, register
from tunewright.data.augmentation.ablation import Ablation, ablate, drawn
from tunewright.data.augmentation.gates import CODES, USUAL, Gate, Ground, ProbeGate
from tunewright.data.augmentation.growing import Grown, draft_of, grow, named
from tunewright.data.augmentation.judging import judge_of
from tunewright.data.augmentation.protocol import Kit, Need, Operator
from tunewright.data.augmentation.words import Guard
from tunewright.data.journal import Draft, excerpt
from tunewright.data.steps.protocol import Described, Phase, Room

assert _operators
DESCRIBED: Described = CODES
TASKS = frozenset({"classification", "multilabel", "regression"})
_EXAMPLES = 3


@register("step", "augment")
@dataclass(frozen=True)
class Augment:
    """New rows of train. `operators` and `gates` are names or names with their options; `protect`: words that stay."""

    phase: ClassVar[Phase] = "train"
    operators: tuple[Any, ...] = ("synonyms", "deletion", "swap", "typos", "structure")
    copies: Annotated[int, Ge(1), Le(100)] = 1
    quotas: Literal["balance"] | dict[str, Annotated[int, Ge(0)]] | None = None
    ablate: bool = True
    keep_anyway: bool = False
    gates: tuple[Any, ...] = USUAL
    protect: tuple[str, ...] = ()
    weight: Annotated[float, Gt(0)] = 1.0

    shorthand: ClassVar[str] = "operators"

    def __post_init__(self) -> None:
        problems: list[Problem] = []
        for family, field in (("operator", "operators"), ("gate", "gates")):
            specs, built = getattr(self, field), []
            if not specs and field == "operators":
                problems.append(
                    Problem(where="augment.operators", found="an empty list", allowed="at least one operator")
                )
            for i, spec in enumerate(specs):
                try:
                    built.append(build(family, spec, f"augment.{field}[{i}]"))
                except RecipeError as error:
                    problems += error.problems
            object.__setattr__(self, field, tuple(built))
        if problems:
            raise RecipeError(*problems)

    @property
    def needs(self) -> tuple[Need, ...]:
        """The models that the recipe must name for these operators and gates."""
        return tuple(sorted({need for part in (*self.operators, *self.gates) for need in part.needs}))

    def __call__(self, drafts: list[Draft], room: Room) -> list[Draft]:
        """The rows with their children behind them.

        Raises:
            DataError: the texts are no plain texts, or a quota names a label that nothing can be made for.
        """
        operators = named(self.operators, [name_of(operator) for operator in self.operators])
        quotas = self._checked(drafts, room, operators)
        ground = self._ground(drafts, room)
        trial = self._trial(operators, quotas, ground, room) if self.ablate else None
        used = {name: one for name, one in operators.items() if self.keep_anyway or trial is None or _pays(trial, name)}
        grown = grow(used, self.gates, ground, copies=self.copies, quotas=quotas)
        children = [draft_of(child, self.weight) for child in grown.kept]
        for gone in grown.rejected:
            room.journal.note("augment", "dropped", gone.code, draft_of(gone.child, self.weight), gone.detail)
        room.found["augment"] = _told(operators, used, trial, grown, quotas)
        left = [*drafts, *children]
        room.journal.close("augment", len(drafts), len(left), added=len(children) + len(grown.rejected))
        return left

    def _checked(self, drafts: Sequence[Draft], room: Room, operators: Mapping[str, Operator]) -> dict[str, int] | None:
        """The quotas as numbers, after all that cannot be done was refused."""
        problems = []
        if room.target.task not in TASKS:
            problems.append(
                Problem(where="data.steps.augment", found=f"rows of {room.target.task}", allowed=", ".join(sorted(TASKS)),
                        to_do="leave the step out")
            )  # fmt: skip
        counts = Counter(row.label or "" for row in drafts)
        quotas = self.quotas
        if quotas == "balance":
            quotas = {label: max(counts.values()) - n for label, n in counts.items()}
        writes = any(operator.kind == "new" for operator in operators.values())
        problems += [
            Problem(where=f"data.steps.augment.quotas.{label}", found="no row of train has this label",
                    allowed=", ".join(sorted(counts)), to_do="correct it, or name `generate` among the operators")
            for label, n in (quotas or {}).items() if n and label not in counts and not writes
        ]  # fmt: skip
        if problems:
            raise DataError(*problems)
        return quotas

    def _ground(self, drafts: Sequence[Draft], room: Room) -> Ground:
        classes = room.target.task == "classification"
        labels = tuple(sorted({row.label or "" for row in drafts})) if classes else ()
        kit = Kit(
            room.seed, Guard(labels, self.protect), room.base, tuple(drafts),
            None if room.write is None else _remembering(room.write), tuple(room.unlabelled),
        )  # fmt: skip
        judge, known = judge_of(drafts, room.seed) if len(labels) > 1 and self._probe() is not None else (None, ())
        return Ground(kit, room.held, judge, known, room.encode, room.perplexity)

    def _probe(self) -> ProbeGate | None:
        return next((gate for gate in self.gates if isinstance(gate, ProbeGate)), None)

    def _trial(
        self, operators: Mapping[str, Operator], quotas: Mapping[str, int] | None, ground: Ground, room: Room
    ) -> Ablation:
        """What each operator is worth alone, on some rows at most."""
        if room.target.task != "classification":
            return Ablation(
                len(ground.kit.train), refused=f"the probe tells classes apart, and this is {room.target.task}"
            )
        rows = drawn(ground.kit.train, room.seed)
        gates: list[Gate] = [gate for gate in self.gates if not isinstance(gate, ProbeGate)]
        kit = replace(ground.kit, train=rows)
        smaller = replace(ground, kit=kit, judge=None, classes=())
        share = len(rows) / max(len(ground.kit.train), 1)
        part = None if quotas is None else {label: round(n * share) for label, n in quotas.items()}
        children = {
            name: grow({name: operator}, gates, smaller, copies=self.copies, quotas=part).kept
            for name, operator in operators.items()
        }  # fmt: skip
        probe = self._probe()
        return ablate(rows, children, room.seed, None if probe is None else probe.confidence)


def _pays(trial: Ablation, name: str) -> bool:
    return not trial.refused and trial.worth[name].pays


def _remembering(write: Callable[[Sequence[str]], list[str]]) -> Callable[[Sequence[str]], list[str]]:
    """The same writer, asked once for each prompt: the trial and the growing ask alike."""
    known: dict[str, str] = {}

    def remembering(prompts: Sequence[str]) -> list[str]:
        fresh = [prompt for prompt in dict.fromkeys(prompts) if prompt not in known]
        known.update(zip(fresh, write(fresh) if fresh else [], strict=True))
        return [known[prompt] for prompt in prompts]

    return remembering


def _told(
    operators: Mapping[str, Operator], used: Mapping[str, Operator], trial: Ablation | None, grown: Grown,
    quotas: Mapping[str, int] | None,
) -> dict[str, Any]:  # fmt: skip
    """What came of it all, for the card."""
    examples: dict[str, list[dict[str, str]]] = {}
    for child in grown.kept:
        shown = examples.setdefault(child.operator, [])
        if len(shown) < _EXAMPLES:
            before = "" if child.ask.row is None else child.ask.row.text
            shown.append({"label": child.ask.label, "parent": excerpt(before), "child": excerpt(child.text)})
    made = Counter(child.ask.label for child in grown.kept)
    return {
        "added": len(grown.kept),
        "by_label": dict(sorted(made.items())),
        "quotas": None if quotas is None else dict(sorted(quotas.items())),
        "used": list(used),
        "off": [name for name in operators if name not in used],
        "yields": {name: found.as_json() for name, found in grown.yields.items()},
        "ablation": None if trial is None else trial.as_json(),
        "examples": examples,
    }
